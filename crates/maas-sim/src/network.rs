//! Fabrics, VLANs, spaces, subnets and ranges of addresses (reference §2.8).

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::form::Params;
use crate::net::{address, number, within};
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{AllocType, Fabric, IpRange, Place, Subnet, Vlan};
use crate::view::API;

const REQUIRED: &str = "This field is required.";

/// A run of addresses of one subnet, and what it is for.
struct Run {
    first: u128,
    last: u128,
    purposes: Vec<&'static str>,
}

impl Region {
    pub(crate) fn answer_network(&mut self, call: &Call) -> Answer {
        if call.method() != "GET" && call.resource() != "ipranges" && call.resource() != "iprange" {
            call.admin_or(if call.is_single() { Reply::forbidden() } else { Reply::admins_only() })?;
        }
        match call.resource() {
            "fabrics" | "fabric" => self.answer_fabrics(call),
            "fabric-vlans" | "fabric-vlan" | "vlan" => self.answer_vlans(call),
            "spaces" | "space" => self.answer_spaces(call),
            "ipranges" | "iprange" => self.answer_ranges(call),
            _ => self.answer_subnets(call),
        }
    }

    fn fabric_json(&self, id: u64) -> Value {
        let Some(fabric) = self.fabrics.get(&id) else {
            return Value::Null;
        };
        let vlans: Vec<Value> =
            self.vlans.iter().filter(|(_, v)| v.fabric == id).map(|(id, _)| self.vlan_json(*id)).collect();
        json!({"id": id, "name": fabric.name, "class_type": fabric.class, "vlans": vlans, "resource_uri": format!("{API}/fabrics/{id}/")})
    }

    fn fabric_spec(&self, text: &str) -> Option<u64> {
        let name = text.strip_prefix("name:").unwrap_or(text);
        self.fabrics.iter().find(|(id, f)| id.to_string() == text || f.name == name).map(|(id, _)| *id)
    }

    fn answer_fabrics(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        if !call.is_single() {
            if call.method() == "GET" {
                return Ok(Reply::list(self.fabrics.keys().map(|id| self.fabric_json(*id)).collect()));
            }
            let id = self.next_id("fabric");
            let name =
                data.last("name").filter(|n| !n.is_empty()).map_or_else(|| format!("fabric-{id}"), str::to_owned);
            if self.fabrics.values().any(|f| f.name == name) {
                return Err(Reply::invalid("name", "Fabric with this Name already exists."));
            }
            self.fabrics.insert(id, Fabric { name, class: data.last("class_type").map(str::to_owned) });
            // A fabric comes with its untagged VLAN.
            self.insert_vlan(id, 0, "untagged");
            return Ok(Reply::json(&self.fabric_json(id)));
        }
        let id = self.fabric_spec(&call.key).ok_or_else(|| Reply::missing("Fabric"))?;
        match call.method() {
            "DELETE" => {
                if id == 0 {
                    return Err(Reply::text(400, "This fabric is the default fabric, it cannot be deleted."));
                }
                let vlans: Vec<u64> = self.vlans.iter().filter(|(_, v)| v.fabric == id).map(|(id, _)| *id).collect();
                if self.subnets.values().any(|s| vlans.contains(&s.vlan)) {
                    return Err(Reply::text(400, "Can't delete fabric; the following subnets are still present."));
                }
                self.vlans.retain(|_, v| v.fabric != id);
                self.fabrics.remove(&id);
                return Ok(Reply::no_content());
            }
            "PUT" => {
                if let Some(fabric) = self.fabrics.get_mut(&id) {
                    if let Some(name) = data.last("name").filter(|n| !n.is_empty()) {
                        name.clone_into(&mut fabric.name);
                    }
                    if let Some(class) = data.last("class_type") {
                        fabric.class = Some(class.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(Reply::json(&self.fabric_json(id)))
    }

    pub(crate) fn insert_vlan(&mut self, fabric: u64, vid: u16, name: &str) -> u64 {
        let id = self.next_id("vlan");
        let name = name.to_owned();
        let vlan = Vlan { fabric, vid, name, mtu: 1500, dhcp: false, space: None, primary_rack: None, relay: None };
        self.vlans.insert(id, vlan);
        id
    }

    fn answer_vlans(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        if call.resource() == "fabric-vlans" {
            let fabric = self.fabric_spec(&call.key).ok_or_else(|| Reply::missing("Fabric"))?;
            if call.method() == "GET" {
                let vlans = self.vlans.iter().filter(|(_, v)| v.fabric == fabric).map(|(id, _)| self.vlan_json(*id));
                return Ok(Reply::list(vlans.collect()));
            }
            let Some(vid) = data.last("vid").and_then(|v| v.parse::<u16>().ok()).filter(|v| *v < 4095) else {
                return Err(Reply::invalid(
                    "vid",
                    if data.has("vid") { "Vid must be between 0 and 4094." } else { REQUIRED },
                ));
            };
            if self.vlans.values().any(|v| v.fabric == fabric && v.vid == vid) {
                return Err(Reply::invalid("__all__", "VLAN with this Fabric and Vid already exists."));
            }
            let id = self.insert_vlan(fabric, vid, data.last("name").unwrap_or(&vid.to_string()));
            self.change_vlan(id, data)?;
            return Ok(Reply::json(&self.vlan_json(id)));
        }
        let found = if call.resource() == "vlan" {
            call.key.parse::<u64>().ok().filter(|id| self.vlans.contains_key(id))
        } else {
            let fabric = self.fabric_spec(&call.key).ok_or_else(|| Reply::missing("Fabric"))?;
            self.vlans.iter().find(|(_, v)| v.fabric == fabric && v.vid.to_string() == call.rest).map(|(id, _)| *id)
        };
        let id = found.ok_or_else(|| Reply::missing("VLAN"))?;
        match call.method() {
            "DELETE" => {
                if self.vlans.get(&id).is_some_and(|v| v.vid == 0) {
                    return Err(Reply::text(400, "This VLAN is the default VLAN in the fabric, it cannot be deleted."));
                }
                self.vlans.remove(&id);
                return Ok(Reply::no_content());
            }
            "PUT" => self.change_vlan(id, data)?,
            _ => {}
        }
        Ok(Reply::json(&self.vlan_json(id)))
    }

    fn change_vlan(&mut self, id: u64, data: &Params) -> Result<(), Reply> {
        let space = match data.last("space") {
            None => None,
            Some("") => Some(None),
            Some(text) => Some(Some(self.space_spec(text).ok_or_else(|| Reply::missing("Space"))?)),
        };
        let Some(vlan) = self.vlans.get_mut(&id) else {
            return Err(Reply::missing("VLAN"));
        };
        if let Some(name) = data.last("name") {
            name.clone_into(&mut vlan.name);
        }
        if let Some(mtu) = data.last("mtu") {
            vlan.mtu = mtu.parse().map_err(|_| Reply::invalid("mtu", "Enter a whole number."))?;
        }
        if data.has("dhcp_on") {
            vlan.dhcp = data.checkbox("dhcp_on");
        }
        if let Some(rack) = data.last("primary_rack") {
            vlan.primary_rack = Some(rack.to_owned()).filter(|r| !r.is_empty());
        }
        if let Some(relay) = data.last("relay_vlan") {
            vlan.relay = relay.parse().ok();
        }
        vlan.space = space.unwrap_or(vlan.space);
        Ok(())
    }

    fn space_json(&self, id: Option<u64>) -> Value {
        let in_it = |v: &Vlan| v.space == id;
        let vlans: Vec<u64> = self.vlans.iter().filter(|(_, v)| in_it(v)).map(|(id, _)| *id).collect();
        let subnets = self.subnets.iter().filter(|(_, s)| vlans.contains(&s.vlan)).map(|(id, _)| self.subnet_json(*id));
        let subnets: Vec<Value> = subnets.collect();
        let vlans: Vec<Value> = vlans.iter().map(|id| self.vlan_json(*id)).collect();
        let number = id.map_or(-1, |id| i64::try_from(id).unwrap_or(i64::MAX));
        let place = id.and_then(|id| self.spaces.get(&id));
        json!({
            "id": number, "name": place.map_or("undefined", |p| &p.name), "description": place.map_or("", |p| &p.text), "vlans": vlans, "subnets": subnets,
            "resource_uri": match id { Some(id) => format!("{API}/spaces/{id}/"), None => format!("{API}/spaces/undefined/") },
        })
    }

    fn space_spec(&self, text: &str) -> Option<u64> {
        let name = text.strip_prefix("name:").unwrap_or(text);
        self.spaces.iter().find(|(id, s)| id.to_string() == text || s.name == name).map(|(id, _)| *id)
    }

    fn answer_spaces(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        if !call.is_single() {
            if call.method() == "GET" {
                let mut shown: Vec<Value> = self.spaces.keys().map(|id| self.space_json(Some(*id))).collect();
                if self.vlans.values().any(|v| v.space.is_none()) {
                    shown.push(self.space_json(None));
                }
                return Ok(Reply::list(shown));
            }
            let Some(name) = data.last("name").filter(|n| !n.is_empty()) else {
                return Err(Reply::invalid("name", REQUIRED));
            };
            if self.spaces.values().any(|s| s.name == name) {
                return Err(Reply::invalid("name", "Space with this Name already exists."));
            }
            let id = self.next_id("space");
            let text = data.last("description").unwrap_or("").to_owned();
            self.spaces.insert(id, Place { name: name.to_owned(), text });
            return Ok(Reply::json(&self.space_json(Some(id))));
        }
        if matches!(call.key.as_str(), "-1" | "undefined") && call.method() == "GET" {
            return Ok(Reply::json(&self.space_json(None)));
        }
        let id = self.space_spec(&call.key).ok_or_else(|| Reply::missing("Space"))?;
        match call.method() {
            "DELETE" => {
                self.spaces.remove(&id);
                self.vlans.values_mut().filter(|v| v.space == Some(id)).for_each(|v| v.space = None);
                return Ok(Reply::no_content());
            }
            "PUT" => {
                if let Some(space) = self.spaces.get_mut(&id) {
                    for (field, slot) in [("name", &mut space.name), ("description", &mut space.text)] {
                        if let Some(text) = data.last(field) {
                            text.clone_into(slot);
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(Reply::json(&self.space_json(Some(id))))
    }

    fn answer_subnets(&mut self, call: &Call) -> Answer {
        if !call.is_single() {
            if call.method() == "GET" {
                return Ok(Reply::list(self.subnets.keys().map(|id| self.subnet_json(*id)).collect()));
            }
            return self.create_subnet(&call.form.data);
        }
        let id = self.subnet_spec(&call.key).ok_or_else(|| Reply::missing("Subnet"))?;
        match (call.method(), call.op()) {
            ("DELETE", _) => {
                let used = self.ips.values().any(|r| r.subnet == Some(id) && r.machine.is_some());
                let forced = self.is_at_least(3, 7) && call.query.checkbox("force");
                if used && !forced {
                    return Err(Reply::text(
                        400,
                        "Cannot delete a subnet that is actively dynamically assigning IP addresses.",
                    ));
                }
                self.subnets.remove(&id);
                self.ranges.retain(|_, r| r.subnet != id);
                self.ips.values_mut().filter(|r| r.subnet == Some(id)).for_each(|r| r.subnet = None);
                Ok(Reply::no_content())
            }
            ("PUT", _) => {
                self.change_subnet(id, &call.form.data)?;
                Ok(Reply::json(&self.subnet_json(id)))
            }
            (_, "statistics") => Ok(Reply::json(&self.subnet_statistics(id, call))),
            (_, "reserved_ip_ranges") => {
                Ok(Reply::list(self.taken(id, true).iter().map(|r| self.run_json(id, r, true)).collect()))
            }
            (_, "unreserved_ip_ranges") => {
                Ok(Reply::list(self.free(id).iter().map(|r| self.run_json(id, r, false)).collect()))
            }
            (_, "ip_addresses") => Ok(Reply::list(self.subnet_addresses(id))),
            _ => Ok(Reply::json(&self.subnet_json(id))),
        }
    }

    fn create_subnet(&mut self, data: &Params) -> Answer {
        let cidr = data.last("cidr").unwrap_or("");
        let Ok(net) = cidr.parse::<IpNet>() else {
            return Err(Reply::invalid(
                "cidr",
                if cidr.is_empty() { REQUIRED } else { "Required format: <network>/<prefixlen>." },
            ));
        };
        let net = net.trunc();
        if self.subnets.values().any(|s| s.cidr == net) {
            return Err(Reply::invalid("cidr", "Subnet with this Cidr already exists."));
        }
        let vlan = match (data.last("vlan"), data.last("fabric")) {
            (Some(text), _) => self.vlans.keys().copied().find(|id| self.is_vlan(*id, text)),
            (None, Some(fabric)) => {
                let fabric = self.fabric_spec(fabric).ok_or_else(|| Reply::missing("Fabric"))?;
                let vid = data.last("vid").unwrap_or("0");
                self.vlans.iter().find(|(_, v)| v.fabric == fabric && v.vid.to_string() == vid).map(|(id, _)| *id)
            }
            (None, None) => self.vlans.keys().next().copied(),
        };
        let vlan = vlan.ok_or_else(|| {
            Reply::invalid("vlan", "Select a valid choice. That choice is not one of the available choices.")
        })?;
        let id = self.next_id("subnet");
        let subnet = Subnet {
            name: data.last("name").unwrap_or(cidr).to_owned(),
            description: String::new(),
            vlan,
            cidr: net,
            gateway: None,
            dns_servers: Vec::new(),
            rdns_mode: 2,
            allow_dns: true,
            allow_proxy: true,
            active_discovery: false,
            managed: true,
        };
        self.subnets.insert(id, subnet);
        if let Err(reply) = self.change_subnet(id, data) {
            self.subnets.remove(&id);
            return Err(reply);
        }
        Ok(Reply::json(&self.subnet_json(id)))
    }

    fn change_subnet(&mut self, id: u64, data: &Params) -> Result<(), Reply> {
        let vlan = data.last("vlan").map(|text| self.vlans.keys().copied().find(|id| self.is_vlan(*id, text)));
        let Some(subnet) = self.subnets.get_mut(&id) else {
            return Err(Reply::missing("Subnet"));
        };
        if let Some(Some(vlan)) = vlan {
            subnet.vlan = vlan;
        }
        if let Some(text) = data.last("gateway_ip") {
            let gateway = match text {
                "" => None,
                text => Some(
                    text.parse::<IpAddr>()
                        .map_err(|_| Reply::invalid("gateway_ip", "Enter a valid IPv4 or IPv6 address."))?,
                ),
            };
            if gateway.is_some_and(|ip| !subnet.cidr.contains(&ip)) {
                return Err(Reply::invalid("gateway_ip", "Gateway IP must be within CIDR range."));
            }
            subnet.gateway = gateway;
        }
        for (field, slot) in [("name", &mut subnet.name), ("description", &mut subnet.description)] {
            if let Some(text) = data.last(field) {
                text.clone_into(slot);
            }
        }
        if data.has("dns_servers") {
            let all = data.all("dns_servers").flat_map(|t| t.split([',', ' '])).filter(|t| !t.is_empty());
            subnet.dns_servers = all.map(str::to_owned).collect();
        }
        if let Some(mode) = data.last("rdns_mode") {
            subnet.rdns_mode = mode.parse().map_err(|_| Reply::invalid("rdns_mode", "Select a valid choice."))?;
        }
        for (field, slot) in [
            ("allow_dns", &mut subnet.allow_dns),
            ("allow_proxy", &mut subnet.allow_proxy),
            ("active_discovery", &mut subnet.active_discovery),
            ("managed", &mut subnet.managed),
        ] {
            if data.has(field) {
                *slot = data.string_bool(field)?;
            }
        }
        Ok(())
    }

    fn bounds(&self, id: u64) -> Option<(u128, u128, IpAddr)> {
        let subnet = self.subnets.get(&id)?;
        let network = subnet.cidr.network();
        let last = number(subnet.cidr.broadcast());
        Some((number(network) + 1, if network.is_ipv4() { last.saturating_sub(1) } else { last }, network))
    }

    /// Addresses that are taken or set aside, in runs of one purpose; with seen and dynamic ones, or without.
    fn taken(&self, id: u64, with_dynamic: bool) -> Vec<Run> {
        let Some((_, _, network)) = self.bounds(id) else {
            return Vec::new();
        };
        let mut uses: std::collections::BTreeMap<u128, Vec<&'static str>> = std::collections::BTreeMap::new();
        let mut add = |at: u128, what: &'static str| {
            let list = uses.entry(at).or_default();
            if !list.contains(&what) {
                list.push(what);
            }
        };
        let Some(subnet) = self.subnets.get(&id) else {
            return Vec::new();
        };
        for server in
            subnet.dns_servers.iter().filter_map(|s| s.parse::<IpAddr>().ok()).filter(|ip| subnet.cidr.contains(ip))
        {
            add(number(server), "dns-server");
        }
        if let Some(gateway) = subnet.gateway {
            add(number(gateway), "gateway-ip");
        }
        let ranges = self.ranges.values().filter(|r| r.subnet == id && (with_dynamic || !r.dynamic));
        for range in ranges.clone() {
            // Wide ranges are kept by their ends only; what lies in them is added below.
            add(number(range.start), if range.dynamic { "dynamic" } else { "reserved" });
        }
        for (ip, row) in self.by_ip.range(network..=subnet.cidr.broadcast()) {
            let seen = self.ips.get(row).is_some_and(|r| r.alloc == AllocType::Discovered);
            let dynamic = self.in_dynamic_range(id, *ip);
            if !seen && !dynamic {
                add(number(*ip), "assigned-ip");
            }
        }
        let mut runs: Vec<Run> = Vec::new();
        for range in ranges {
            // What was seen there counts, too.
            let inner = self.by_ip.range(range.start..=range.end).next().is_some();
            let mut purposes = vec![if range.dynamic { "dynamic" } else { "reserved" }];
            if inner {
                purposes.insert(0, "assigned-ip");
            }
            runs.push(Run { first: number(range.start), last: number(range.end), purposes });
        }
        for (at, purposes) in uses {
            if runs.iter().any(|r| r.first <= at && at <= r.last) {
                continue;
            }
            match runs.iter_mut().find(|r| r.last + 1 == at && r.purposes == purposes) {
                Some(run) => run.last = at,
                None => runs.push(Run { first: at, last: at, purposes }),
            }
        }
        runs.sort_by_key(|r| r.first);
        runs
    }

    fn free(&self, id: u64) -> Vec<Run> {
        let Some((first, last, _)) = self.bounds(id) else {
            return Vec::new();
        };
        let mut free = Vec::new();
        let mut next = first;
        for run in self.taken(id, true) {
            if run.first > next {
                free.push(Run { first: next, last: run.first - 1, purposes: Vec::new() });
            }
            next = next.max(run.last + 1);
        }
        if next <= last {
            free.push(Run { first: next, last, purposes: Vec::new() });
        }
        free
    }

    fn run_json(&self, id: u64, run: &Run, purpose: bool) -> Value {
        let like = self.bounds(id).map_or(IpAddr::from([0, 0, 0, 0]), |b| b.2);
        let mut shown = json!({"start": address(run.first, like), "end": address(run.last, like), "num_addresses": run.last - run.first + 1});
        if purpose {
            shown["purpose"] = json!(run.purposes);
        }
        shown
    }

    fn subnet_statistics(&self, id: u64, call: &Call) -> Value {
        let Some((first, last, like)) = self.bounds(id) else {
            return Value::Null;
        };
        let free = self.free(id);
        let sizes = free.iter().map(|r| r.last - r.first + 1);
        let (available, largest) = (sizes.clone().sum::<u128>(), sizes.max().unwrap_or(0));
        let total = last - first + 1;
        let used = total - available;
        // Shares need no more than the precision of a float.
        #[allow(clippy::cast_precision_loss)]
        let share = used as f64 / total as f64;
        let percent = (share * 100.0).round();
        let mut shown = json!({
            "num_available": available, "largest_available": largest, "num_unavailable": used, "total_addresses": total, "usage": share,
            "usage_string": format!("{percent}%"), "available_string": format!("{}%", 100.0 - percent), "first_address": address(first, like),
            "last_address": address(last, like), "ip_version": if like.is_ipv4() { 4 } else { 6 },
        });
        if call.query.checkbox("include_ranges") {
            let ranges: Vec<Value> = self.taken(id, true).iter().map(|r| self.run_json(id, r, true)).collect();
            shown["ranges"] = json!(ranges);
        }
        shown
    }

    fn subnet_addresses(&self, id: u64) -> Vec<Value> {
        let rows = self.ips.values().filter(|r| r.subnet == Some(id) && r.ip.is_some());
        rows.map(|r| {
            let machine = r.machine.and_then(|id| self.machines.get(&id));
            let node = machine.map(|m| {
                json!({"system_id": m.system_id, "hostname": m.hostname, "fqdn": self.fqdn(m), "node_type": 0, "is_container": false})
            });
            let mut shown = json!({
                "ip": r.ip, "alloc_type": r.alloc.code(), "created": crate::view::stamp(r.created), "updated": crate::view::stamp(r.created), "user": r.user,
            });
            if let Some(node) = node {
                shown["node_summary"] = node;
            }
            shown
        })
        .collect()
    }

    fn range_json(&self, id: u64) -> Value {
        let Some(range) = self.ranges.get(&id) else {
            return Value::Null;
        };
        json!({
            "id": id, "type": if range.dynamic { "dynamic" } else { "reserved" }, "start_ip": range.start, "end_ip": range.end, "comment": range.comment,
            "user": range.user.as_deref().map(|u| self.user_json(u)), "subnet": self.subnet_json(range.subnet), "resource_uri": format!("{API}/ipranges/{id}/"),
        })
    }

    fn answer_ranges(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        if !call.is_single() {
            if call.method() == "GET" {
                return Ok(Reply::list(self.ranges.keys().map(|id| self.range_json(*id)).collect()));
            }
            let dynamic = match data.last("type") {
                Some("dynamic") => true,
                Some("reserved") => false,
                Some(other) => return Err(Reply::invalid("type", format!("Value '{other}' is not a valid choice."))),
                None => return Err(Reply::invalid("type", REQUIRED)),
            };
            let _ = dynamic
                .then(|| {
                    call.admin_or(Reply::text(
                        403,
                        "Unable to create dynamic IP range. You don't have sufficient privileges.",
                    ))
                })
                .transpose()?;
            let (start, end) = range_ends(data, None)?;
            let subnet = data.last("subnet").and_then(|s| self.subnet_spec(s)).or_else(|| self.subnet_of(start));
            let subnet = subnet.ok_or_else(|| Reply::invalid("subnet", REQUIRED))?;
            let range = IpRange {
                subnet,
                dynamic,
                start,
                end,
                comment: data.last("comment").unwrap_or("").to_owned(),
                user: Some(call.caller.user.clone()),
            };
            self.check_range(None, &range)?;
            let id = self.next_id("range");
            self.ranges.insert(id, range);
            return Ok(Reply::json(&self.range_json(id)));
        }
        let id = call
            .key
            .parse::<u64>()
            .ok()
            .filter(|id| self.ranges.contains_key(id))
            .ok_or_else(|| Reply::missing("IPRange"))?;
        let own = self.ranges.get(&id).is_some_and(|r| r.user.as_deref() == Some(call.caller.user.as_str()));
        if call.method() != "GET" && !own {
            call.admin_or(Reply::text(403, "Unable to modify IP range. You don't own the IP range."))?;
        }
        match call.method() {
            "DELETE" => {
                self.ranges.remove(&id);
                return Ok(Reply::no_content());
            }
            "PUT" => {
                let Some(mut range) = self.ranges.get(&id).cloned() else {
                    return Err(Reply::missing("IPRange"));
                };
                (range.start, range.end) = range_ends(data, Some((range.start, range.end)))?;
                if let Some(comment) = data.last("comment") {
                    comment.clone_into(&mut range.comment);
                }
                self.check_range(Some(id), &range)?;
                self.ranges.insert(id, range);
            }
            _ => {}
        }
        Ok(Reply::json(&self.range_json(id)))
    }

    fn check_range(&self, own: Option<u64>, range: &IpRange) -> Result<(), Reply> {
        let Some(subnet) = self.subnets.get(&range.subnet) else {
            return Err(Reply::missing("Subnet"));
        };
        let mut errors = FieldErrors::default();
        for (field, ip) in [("start_ip", range.start), ("end_ip", range.end)] {
            if !subnet.cidr.contains(&ip) {
                errors.add(field, "IP addresses must be within subnet: ".to_owned() + &subnet.cidr.to_string() + ".");
            }
        }
        if number(range.start) > number(range.end) {
            errors.add("end_ip", "End IP address must not be less than Start IP address.");
        }
        errors.check()?;
        let clash = |other: &IpRange| {
            other.subnet == range.subnet
                && (within(other, range.start) || within(other, range.end) || within(range, other.start))
        };
        let over_range = self.ranges.iter().any(|(id, other)| Some(*id) != own && clash(other));
        let used = self.by_ip.range(range.start..=range.end);
        let over_used = range.dynamic
            && used.into_iter().any(|(_, row)| self.ips.get(row).is_some_and(|r| r.alloc != AllocType::Discovered));
        if over_range || over_used {
            let kind = if range.dynamic { "dynamic" } else { "reserved" };
            let text = format!(
                "Requested {kind} range conflicts with an existing {}range.",
                if range.dynamic { "IP address or " } else { "" }
            );
            let mut errors = FieldErrors::default();
            errors.add("start_ip", text.clone());
            errors.add("end_ip", text);
            return errors.check();
        }
        Ok(())
    }
}

fn range_ends(data: &Params, known: Option<(IpAddr, IpAddr)>) -> Result<(IpAddr, IpAddr), Reply> {
    let end = |field: &str, known: Option<IpAddr>| match (data.last(field), known) {
        (Some(text), _) => {
            text.parse::<IpAddr>().map_err(|_| Reply::invalid(field, "Enter a valid IPv4 or IPv6 address."))
        }
        (None, Some(ip)) => Ok(ip),
        (None, None) => Err(Reply::invalid(field, REQUIRED)),
    };
    Ok((end("start_ip", known.map(|k| k.0))?, end("end_ip", known.map(|k| k.1))?))
}
