//! Subnets, and which of their addresses are taken (reference §2.8).

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::form::Params;
use crate::net::{address, number};
use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;
use crate::state::{AllocType, Subnet};

const REQUIRED: &str = "This field is required.";

/// A run of addresses of one subnet, and what it is for.
struct Run {
    first: u128,
    last: u128,
    purposes: Vec<&'static str>,
}

impl Region {
    pub(crate) fn answer_subnets(&mut self, call: &Call) -> Answer {
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
        let cidr = match data.last("cidr") {
            Some(text) => Some(
                text.parse::<IpNet>().map_err(|_| Reply::invalid("cidr", "Required format: <network>/<prefixlen>."))?,
            ),
            None => None,
        };
        if cidr.is_some_and(|net| self.subnets.iter().any(|(other, s)| *other != id && s.cidr == net.trunc())) {
            return Err(Reply::invalid("cidr", "Subnet with this Cidr already exists."));
        }
        let vlan = data.last("vlan").map(|text| self.vlans.keys().copied().find(|id| self.is_vlan(*id, text)));
        let Some(subnet) = self.subnets.get_mut(&id) else {
            return Err(Reply::missing("Subnet"));
        };
        if let Some(net) = cidr {
            subnet.cidr = net.trunc();
        }
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
}
