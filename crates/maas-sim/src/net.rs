//! Address rows and subnets: what is free, reservations (reference §2.8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;
use crate::state::{AllocType, IpRow, Subnet};

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        // Numbers come from addresses of that family, so they fit.
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

fn within(range: Option<(IpAddr, IpAddr)>, ip: IpAddr) -> bool {
    range.is_some_and(|(first, last)| {
        first.is_ipv4() == ip.is_ipv4() && number(first) <= number(ip) && number(ip) <= number(last)
    })
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
        if let Some(ip) = self.ips.remove(&id).and_then(|r| r.ip) {
            self.by_ip.remove(&ip);
        }
        self.dns.retain(|_, r| !r.ips.remove(&id) || !r.ips.is_empty());
    }

    pub(crate) fn subnet_of(&self, ip: IpAddr) -> Option<u64> {
        self.subnets.iter().filter(|s| s.cidr.contains(&ip)).max_by_key(|s| s.cidr.prefix_len()).map(|s| s.id)
    }

    /// A subnet by id, CIDR, name or one of the prefixed forms.
    pub(crate) fn subnet_spec(&self, text: &str) -> Option<&Subnet> {
        let find = |test: &dyn Fn(&Subnet) -> bool| self.subnets.iter().find(|s| test(s));
        match text.split_once(':') {
            Some(("cidr", cidr)) => find(&|s| s.cidr.to_string() == cidr),
            Some(("name", name)) => find(&|s| s.name == name),
            Some(("ip", ip)) => {
                ip.parse::<IpAddr>().ok().and_then(|ip| self.subnet_of(ip)).and_then(|id| find(&|s| s.id == id))
            }
            Some(("space", "lab-space") | ("fabric", "fabric-0") | ("vid", "0") | ("vlan", "5001")) => {
                self.subnets.first()
            }
            _ => find(&|s| s.id.to_string() == text || s.cidr.to_string() == text || s.name == text),
        }
    }

    /// The address that MAAS would hand out: the first of the smallest gap. A single released address is the smallest
    /// gap there is, so it is the very next to be used again.
    pub(crate) fn pick_ip(&self, subnet: u64) -> Result<IpAddr, Reply> {
        let Some(subnet) = self.subnets.iter().find(|s| s.id == subnet) else {
            return Err(Reply::missing("Subnet"));
        };
        let network = subnet.cidr.network();
        let (first, last) = (number(network) + 1, number(subnet.cidr.broadcast()));
        let last = if network.is_ipv4() { last.saturating_sub(1) } else { last };
        let mut blocks: Vec<(u128, u128)> =
            [subnet.dynamic, subnet.reserved].into_iter().flatten().map(|(a, b)| (number(a), number(b))).collect();
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
                    .map(|s| s.id)
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
        let row = self.insert_ip(IpRow {
            alloc: AllocType::UserReserved,
            ip: Some(ip),
            subnet,
            machine: None,
            user,
            created: self.now,
            probing: false,
        });
        if let Some((label, domain)) = name {
            self.add_to_resource(&label, domain, row);
        }
        Ok(self.ips.get(&row).map_or_else(Reply::null, |r| Reply::json(&self.ip_json(r))))
    }

    fn check_reservable(&self, ip: IpAddr, subnet: u64) -> Result<IpAddr, Reply> {
        let Some(subnet) = self.subnets.iter().find(|s| s.id == subnet) else {
            return Err(Reply::missing("Subnet"));
        };
        if !subnet.cidr.contains(&ip) {
            return Err(Reply::text(403, format!("{ip} is not within the subnet CIDR: {}", subnet.cidr)));
        }
        if within(subnet.dynamic, ip) {
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
        self.remove_ip(row);
        for machine in self.machines.values_mut() {
            machine.rows.retain(|id| *id != row);
        }
        Ok(Reply::no_content())
    }
}
