//! Address rows and subnets: what is free, reservations (reference §2.8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;
use crate::state::{AllocType, IpRange, IpRow, Subnet};

pub(crate) fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

pub(crate) fn address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        // Numbers come from addresses of that family, so they fit.
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

pub(crate) fn within(range: &IpRange, ip: IpAddr) -> bool {
    range.start.is_ipv4() == ip.is_ipv4() && number(range.start) <= number(ip) && number(ip) <= number(range.end)
}

impl Region {
    pub(crate) fn insert_ip(&mut self, row: IpRow) -> u64 {
        let id = self.next_id("ip");
        if let Some(ip) = row.ip {
            self.by_ip.insert(ip, id);
        }
        self.ips.insert(id, row);
        id
    }

    /// Removes a row, and DNS resources that have no address left by that.
    pub(crate) fn remove_ip(&mut self, id: u64) {
        self.touch_resources_of(id);
        if let Some(row) = self.ips.remove(&id) {
            if let Some(ip) = row.ip {
                self.by_ip.remove(&ip);
            }
            // Its machine shows it no more.
            let _ = row.machine.and_then(|machine| self.machines.get_mut(&machine));
        }
        let records = &self.records;
        self.dns.retain(|dns, r| {
            !r.ips.remove(&id) || !r.ips.is_empty() || records.values().any(|record| record.resource == *dns)
        });
    }

    pub(crate) fn subnet_of(&self, ip: IpAddr) -> Option<u64> {
        self.subnets
            .iter()
            .filter(|(_, s)| s.cidr.contains(&ip))
            .max_by_key(|(_, s)| s.cidr.prefix_len())
            .map(|(id, _)| *id)
    }

    /// A subnet by id, CIDR, name or one of the prefixed forms.
    pub(crate) fn subnet_spec(&self, text: &str) -> Option<u64> {
        let find =
            |test: &dyn Fn(u64, &Subnet) -> bool| self.subnets.iter().find(|(id, s)| test(**id, s)).map(|(id, _)| *id);
        let on_vlan = |spec: &str| find(&|_, s| self.is_vlan(s.vlan, spec));
        match text.split_once(':') {
            Some(("cidr", cidr)) => find(&|_, s| s.cidr.to_string() == cidr),
            Some(("name", name)) => find(&|_, s| s.name == name),
            Some(("ip", ip)) => ip.parse::<IpAddr>().ok().and_then(|ip| self.subnet_of(ip)),
            Some(("vlan", id)) => on_vlan(id),
            Some(("space" | "fabric" | "vid", _)) => on_vlan(text),
            _ => find(&|id, s| id.to_string() == text || s.cidr.to_string() == text || s.name == text),
        }
    }

    /// True if the VLAN is the one that a specifier names: an id, or `fabric:`, `vid:`, `space:`, `name:`.
    pub(crate) fn is_vlan(&self, id: u64, spec: &str) -> bool {
        let Some(vlan) = self.vlans.get(&id) else {
            return false;
        };
        match spec.split_once(':') {
            Some(("vid", vid)) => vlan.vid.to_string() == vid,
            Some(("name", name)) => vlan.name == name,
            Some(("fabric", name)) => self.fabrics.get(&vlan.fabric).is_some_and(|f| f.name == name),
            Some(("space", name)) => vlan.space.and_then(|s| self.spaces.get(&s)).is_some_and(|s| s.name == name),
            _ => id.to_string() == spec || vlan.name == spec,
        }
    }

    /// The address that MAAS would hand out: the first of the smallest gap. A single released address is the smallest
    /// gap there is, so it is the very next to be used again.
    pub(crate) fn pick_ip(&self, subnet: u64) -> Result<IpAddr, Reply> {
        let (id, Some(subnet)) = (subnet, self.subnets.get(&subnet)) else {
            return Err(Reply::missing("Subnet"));
        };
        let network = subnet.cidr.network();
        let (first, last) = (number(network) + 1, number(subnet.cidr.broadcast()));
        let last = if network.is_ipv4() { last.saturating_sub(1) } else { last };
        let mut blocks: Vec<(u128, u128)> =
            self.ranges.values().filter(|r| r.subnet == id).map(|r| (number(r.start), number(r.end))).collect();
        blocks.extend(subnet.gateway.map(|g| (number(g), number(g))));
        blocks.extend(self.by_ip.range(network..=subnet.cidr.broadcast()).map(|(ip, _)| (number(*ip), number(*ip))));
        blocks.sort_unstable();
        let mut best: Option<(u128, u128)> = None;
        let mut next = first;
        for (from, to) in blocks.into_iter().chain([(last + 1, last + 1)]) {
            if from > next {
                let size = from.min(last + 1) - next;
                if size > 0 && best.is_none_or(|(smallest, _)| size < smallest) {
                    best = Some((size, next));
                }
            }
            next = next.max(to.saturating_add(1));
            if next > last {
                break;
            }
        }
        best.map(|(_, at)| address(at, network))
            .ok_or_else(|| Reply::text(503, format!("No more IPs available in subnet: {}.", subnet.cidr)))
    }

    pub(crate) fn list_ips(&self, call: &Call) -> Answer {
        let query = &call.query;
        let all = query.string_bool("all")?;
        let owner = query.last("owner");
        if (all || owner.is_some_and(|o| o != call.caller.user)) && !call.caller.admin {
            return Err(Reply::text(403, "Listing all IP addresses requires admin privileges."));
        }
        let wanted_ip = match query.last("ip") {
            Some(text) => {
                Some(text.parse::<IpAddr>().map_err(|_| Reply::invalid("ip", "Enter a valid IPv4 or IPv6 address."))?)
            }
            None => None,
        };
        let owner = owner.unwrap_or(&call.caller.user);
        let wanted = |r: &&IpRow| {
            wanted_ip.is_none_or(|ip| r.ip == Some(ip))
                && if all {
                    r.ip.is_some()
                } else {
                    r.alloc == AllocType::UserReserved && r.user.as_deref() == Some(owner)
                }
        };
        let hits: Vec<Value> = self.ips.values().filter(wanted).map(|r| self.ip_json(r)).collect();
        Ok(Reply::list(hits))
    }

    pub(crate) fn reserve_ip(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        let given = match data.last("ip").or_else(|| data.last("ip_address")) {
            Some(text) => Some(
                text.parse::<IpAddr>()
                    .map_err(|_| Reply::invalid("ip_address", "Enter a valid IPv4 or IPv6 address."))?,
            ),
            None => None,
        };
        let subnet = match (data.last("subnet"), given) {
            (Some(text), _) => Some(
                self.subnet_spec(text)
                    .ok_or_else(|| Reply::text(400, format!("Unable to identify subnet: {text}.")))?,
            ),
            (None, Some(ip)) => self.subnet_of(ip),
            (None, None) => {
                return Err(Reply::text(400, "Must supply either the 'subnet' or the 'ip' parameter."));
            }
        };
        let ip = match (given, subnet) {
            (Some(ip), Some(id)) => self.check_reservable(ip, id)?,
            (Some(ip), None) => {
                return Err(Reply::text(400, format!("No known subnet for IP {ip}.")));
            }
            (None, Some(id)) => self.pick_ip(id)?,
            (None, None) => {
                return Err(Reply::text(400, "Must supply either the 'subnet' or the 'ip' parameter."));
            }
        };
        let name = match data.last("hostname").filter(|h| !h.is_empty()) {
            None => None,
            Some(hostname) => {
                let (label, domain) = match (hostname.split_once('.'), data.last("domain")) {
                    (Some((label, domain)), _) => (label, Some(domain)),
                    (None, domain) => (hostname, domain),
                };
                let domain = domain
                    .map_or(Some(self.default_domain), |d| self.domain_spec(d))
                    .ok_or_else(|| Reply::missing("Domain"))?;
                Some((label.to_owned(), domain))
            }
        };
        let user = Some(call.caller.user.clone());
        let mac = data.last("mac").or_else(|| data.last("mac_address")).filter(|m| !m.is_empty());
        let unknown = mac.map(str::to_ascii_lowercase).map(|mac| (self.next_id("interface"), mac));
        let row = self.insert_ip(IpRow { unknown, ..IpRow::reserved(ip, subnet, user, self.now) });
        if let Some((label, domain)) = name {
            self.add_to_resource(&label, domain, row);
        }
        Ok(self.ips.get(&row).map_or_else(Reply::null, |r| Reply::json(&self.ip_json(r))))
    }

    /// True for addresses that only DHCP hands out.
    pub(crate) fn in_dynamic_range(&self, subnet: u64, ip: IpAddr) -> bool {
        self.ranges.values().any(|r| r.subnet == subnet && r.dynamic && within(r, ip))
    }

    fn check_reservable(&self, ip: IpAddr, subnet: u64) -> Result<IpAddr, Reply> {
        let (id, Some(subnet)) = (subnet, self.subnets.get(&subnet)) else {
            return Err(Reply::missing("Subnet"));
        };
        if !subnet.cidr.contains(&ip) {
            return Err(Reply::text(403, format!("{ip} is not within the subnet CIDR: {}", subnet.cidr)));
        }
        if self.in_dynamic_range(id, ip) {
            return Err(Reply::text(
                403,
                format!(
                    "IP address {ip} belongs to an existing dynamic range. To reserve this IP address, a MAC address is required. (Create a device instead.)"
                ),
            ));
        }
        if self.by_ip.contains_key(&ip) {
            return Err(Reply::text(404, format!("The IP address {ip} is already in use.")));
        }
        Ok(ip)
    }

    pub(crate) fn release_ip(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        let text = data.last("ip").unwrap_or("");
        let ip: IpAddr = text.parse().map_err(|_| Reply::invalid("ip", "Enter a valid IPv4 or IPv6 address."))?;
        let force = data.string_bool("force")?;
        let discovered = data.string_bool("discovered")?;
        if force {
            call.admin_or(Reply::text(403, "Force-releasing an IP address requires admin privileges."))?;
        }
        let fits = |r: &IpRow| {
            let kind = r.alloc == AllocType::UserReserved || (discovered && r.alloc == AllocType::Discovered);
            force || (kind && (discovered || r.user.as_deref() == Some(call.caller.user.as_str())))
        };
        let row = self.by_ip.get(&ip).copied().filter(|id| self.ips.get(id).is_some_and(fits));
        let Some(row) = row else {
            return Err(Reply::text(
                400,
                format!(
                    "IP address {ip} does not exist, is not the correct type of address, or does not belong to the requesting user.\nIf you are sure you want to release this address, use force=true as a MAAS administrator."
                ),
            ));
        };
        let machine = self.ips.get(&row).and_then(|r| r.machine);
        self.remove_ip(row);
        for interface in machine.and_then(|id| self.machines.get_mut(&id)).into_iter().flat_map(|m| &mut m.interfaces) {
            interface.rows.retain(|id| *id != row);
        }
        Ok(Reply::no_content())
    }
}
