//! DNS resources, and when their names are published (reference §5).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::form::Params;
use crate::places::parse_ttl;
use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;
use crate::state::{AllocType, DnsResource, Due, Interface, IpRow, Machine};
use crate::zones::{Addresses, DEFAULT_TTL, canonical};

impl Region {
    /// Names of all DNS resources, those without an address too, sorted.
    #[must_use]
    pub fn dns_names(&self) -> BTreeSet<String> {
        self.dns.values().map(|resource| self.resource_fqdn(resource)).collect()
    }

    pub(crate) fn resource_fqdn(&self, resource: &DnsResource) -> String {
        let domain = self.domains.get(&resource.domain).map_or("", |d| &d.name);
        if resource.name == "@" { domain.to_owned() } else { format!("{}.{domain}", resource.name) }
    }

    pub(crate) fn answer_dns(&mut self, call: &Call) -> Answer {
        if !call.is_single() {
            return match call.method() {
                "GET" => self.list_dns(&call.query),
                _ => {
                    call.admin_or(Reply::admins_only())?;
                    self.create_dns(call)
                }
            };
        }
        let id = call
            .key
            .parse::<u64>()
            .ok()
            .filter(|id| self.dns.contains_key(id))
            .ok_or_else(|| Reply::missing("DNSResource"))?;
        match call.method() {
            "GET" => Ok(Reply::json(&self.dns_json(id))),
            "PUT" => {
                call.admin_or(Reply::forbidden())?;
                self.update_dns(id, call)
            }
            _ => {
                call.admin_or(Reply::forbidden())?;
                self.delete_dns(id);
                Ok(Reply::no_content())
            }
        }
    }

    /// Names that a list is asked for.
    pub(crate) fn wanted_names(&self, query: &Params) -> Result<WantedNames, Reply> {
        let (mut name, mut domain) = (query.last("name").map(str::to_owned), None);
        if let Some(text) = query.last("domain") {
            domain = Some(self.domain_spec(text).ok_or_else(|| Reply::missing("Domain"))?);
        }
        // Ignored when one of the others is given.
        if let Some(fqdn) = query.last("fqdn").filter(|_| name.is_none() && domain.is_none()) {
            let (label, id) = self.split_fqdn(fqdn)?;
            name = Some(label);
            domain = Some(id);
        }
        Ok(WantedNames { name, domain })
    }

    /// The name that a new resource or record is to have.
    pub(crate) fn given_name(&self, data: &Params) -> Result<DnsName, Reply> {
        let (name, domain) = match (data.last("name"), data.last("domain"), data.last("fqdn")) {
            (Some(name), Some(domain), _) => {
                (name.to_owned(), self.domain_spec(domain).ok_or_else(|| Reply::missing("Domain"))?)
            }
            (_, _, Some(fqdn)) => self.split_fqdn(fqdn)?,
            (None, _, None) => return Err(Reply::text(500, "'name'")),
            (_, None, None) => return Err(Reply::text(500, "'domain'")),
        };
        Ok(DnsName { name, domain })
    }

    /// An empty resource.
    pub(crate) fn insert_resource(&mut self, name: &str, domain: u64) -> u64 {
        let id = self.next_id("dns");
        self.dns.insert(id, DnsResource { name: name.to_owned(), domain, address_ttl: None, ips: BTreeSet::new() });
        id
    }

    fn list_dns(&self, query: &Params) -> Answer {
        let wanted = self.wanted_names(query)?;
        let (name, domain) = (wanted.name, wanted.domain);
        let rrtype = query.last("rrtype").filter(|t| !t.is_empty());
        let mut hits: Vec<(u64, &str, u64)> = self
            .dns
            .iter()
            .filter(|(_, r)| name.as_ref().is_none_or(|n| *n == r.name) && domain.is_none_or(|d| d == r.domain))
            .filter(|(id, _)| rrtype.is_none_or(|t| self.records.values().any(|r| r.resource == **id && r.kind == t)))
            .map(|(id, r)| (r.domain, r.name.as_str(), *id))
            .collect();
        hits.sort_unstable();
        let mut shown: Vec<Value> = hits.into_iter().map(|(_, _, id)| self.dns_json(id)).collect();
        if query.string_bool("all")? {
            shown.extend(self.implicit_records(name.as_deref(), domain));
        }
        Ok(Reply::list(shown))
    }

    /// What machines themselves get, shown with `all=true` under the id -1.
    fn implicit_records(&self, name: Option<&str>, domain: Option<u64>) -> Vec<Value> {
        let wanted =
            |m: &&crate::state::Machine| name.is_none_or(|n| n == m.hostname) && domain.is_none_or(|d| d == m.domain);
        let mut shown = Vec::new();
        let mut named: Vec<_> = self.machines.values().filter(wanted).collect();
        named.sort_by_key(|m| (m.domain, self.fqdn(m)));
        for m in named {
            let records: Vec<Value> = self
                .machine_addresses(m)
                .into_iter()
                .map(|ip| {
                    let rrtype = if ip.is_ipv4() { "A" } else { "AAAA" };
                    json!({"system_id": m.system_id, "node_type": 0, "user_id": null, "dnsresource_id": null, "ttl": null, "rrtype": rrtype, "rrdata": ip, "dnsdata_id": null})
                })
                .collect();
            if !records.is_empty() {
                shown.push(json!({"id": -1, "fqdn": self.fqdn(m), "address_ttl": null, "ip_addresses": null, "resource_records": records, "resource_uri": "/MAAS/api/2.0/dnsresources/-1/"}));
            }
        }
        shown
    }

    /// Label and domain: a domain's own name is its `@`, everything else is cut at the first dot.
    fn split_fqdn(&self, fqdn: &str) -> Result<(String, u64), Reply> {
        let fqdn = fqdn.strip_suffix('.').unwrap_or(fqdn);
        if let Some((id, _)) = self.domains.iter().find(|(_, d)| d.name == fqdn) {
            return Ok(("@".to_owned(), *id));
        }
        let (label, domain) = fqdn.split_once('.').unwrap_or((fqdn, ""));
        let id = self
            .domains
            .iter()
            .find(|(_, d)| d.name == domain)
            .map(|(id, _)| *id)
            .ok_or_else(|| Reply::missing("Domain"))?;
        Ok((label.to_owned(), id))
    }

    fn check_name(&self, own: Option<u64>, name: &str, domain: u64) -> Result<(), Reply> {
        let label = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !name.starts_with('-')
            && !name.ends_with('-')
            && !name.is_empty();
        if !label && name != "@" && name != "*" {
            return Err(Reply::invalid("__all__", format!("Invalid dnsresource name: {name}.")));
        }
        let taken = self.dns.iter().any(|(id, r)| Some(*id) != own && r.domain == domain && r.name == name);
        if taken { Err(Reply::invalid("__all__", "Labels must be unique within their zone.")) } else { Ok(()) }
    }

    fn create_dns(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        let DnsName { name, domain } = self.given_name(data)?;
        let address_ttl = parse_ttl(data, "address_ttl")?.flatten();
        self.check_name(None, &name, domain)?;
        let wanted = self.parse_addresses(data.last("ip_addresses").unwrap_or(""))?;
        let ips = self.link_addresses(wanted, &call.caller.user);
        let id = self.next_id("dns");
        self.dns.insert(id, DnsResource { name, domain, address_ttl, ips });
        self.touch_resource(id);
        Ok(Reply::json(&self.dns_json(id)))
    }

    /// A name that is an alias has nothing else.
    fn check_no_alias(&self, id: u64, any: bool) -> Result<(), Reply> {
        let alias = self.records.values().any(|r| r.resource == id && r.kind == "CNAME");
        if any && alias { Err(Reply::invalid("__all__", "Cannot add address: CNAME present.")) } else { Ok(()) }
    }

    fn update_dns(&mut self, id: u64, call: &Call) -> Answer {
        let data = &call.form.data;
        let Some((mut name, mut domain, last)) =
            self.dns.get(&id).map(|r| (r.name.clone(), r.domain, r.ips.last().copied()))
        else {
            return Err(Reply::missing("DNSResource"));
        };
        if let Some(fqdn) = data.last("fqdn").filter(|_| !data.has("name") && !data.has("domain")) {
            (name, domain) = self.split_fqdn(fqdn)?;
        }
        if let Some(text) = data.last("name") {
            text.clone_into(&mut name);
        }
        if let Some(text) = data.last("domain") {
            domain = self.domain_spec(text).ok_or_else(|| Reply::missing("Domain"))?;
        }
        let ttl = parse_ttl(data, "address_ttl")?;
        self.check_name(Some(id), &name, domain)?;
        let ips = match data.last("ip_addresses") {
            Some(text) => {
                let wanted = self.parse_addresses(text)?;
                self.check_no_alias(id, !wanted.is_empty())?;
                self.link_addresses(wanted, &call.caller.user)
            }
            // The form's default is a list of which only the last survives: a bug of theirs that clients must know.
            None => last.into_iter().collect(),
        };
        self.touch_resource(id);
        if let Some(resource) = self.dns.get_mut(&id) {
            resource.name = name;
            resource.domain = domain;
            resource.ips = ips;
            resource.address_ttl = ttl.unwrap_or(resource.address_ttl);
        }
        self.touch_resource(id);
        Ok(Reply::json(&self.dns_json(id)))
    }

    /// Deletes; user-reserved addresses go too unless something else uses them (3.6.2 and later).
    fn delete_dns(&mut self, id: u64) {
        self.touch_resource(id);
        let Some(resource) = self.dns.remove(&id) else {
            return;
        };
        self.records.retain(|_, r| r.resource != id);
        // 3.6.0 and before left the addresses behind; 3.6.1 took them from other names, too.
        let frees = self.is_at_least(3, 7) || self.version.starts_with("3.6.") && self.version != "3.6.0";
        for row in resource.ips.into_iter().filter(|_| frees) {
            let shared = self.version != "3.6.1" && self.dns.values().any(|r| r.ips.contains(&row));
            if !shared && self.ips.get(&row).is_some_and(|r| r.alloc == AllocType::UserReserved && r.machine.is_none())
            {
                self.remove_ip(row);
            }
        }
    }

    fn parse_addresses(&self, text: &str) -> Result<Vec<Wanted>, Reply> {
        text.split_whitespace()
            .map(|item| match (item.parse::<u64>(), item.parse::<IpAddr>()) {
                (Ok(id), _) => self
                    .ips
                    .contains_key(&id)
                    .then_some(Wanted::Row(id))
                    .ok_or_else(|| Reply::missing("StaticIPAddress")),
                (_, Ok(ip)) => Ok(Wanted::Ip(ip)),
                _ => Err(Reply::text(500, format!("failed to detect a valid IP address from '{item}'"))),
            })
            .collect()
    }

    /// Links rows that have the address, whatever they are, and makes user-reserved rows for the others.
    fn link_addresses(&mut self, wanted: Vec<Wanted>, user: &str) -> BTreeSet<u64> {
        let mut rows = BTreeSet::new();
        for item in wanted {
            let row = match item {
                Wanted::Row(id) => id,
                Wanted::Ip(ip) => match self.by_ip.get(&ip) {
                    Some(row) => *row,
                    None => {
                        let subnet = self.subnet_of(ip);
                        self.insert_ip(IpRow::reserved(ip, subnet, Some(user.to_owned()), self.now))
                    }
                },
            };
            rows.insert(row);
        }
        rows
    }

    /// Adds an address to the resource of that name, made when missing.
    pub(crate) fn add_to_resource(&mut self, name: &str, domain: u64, row: u64) {
        let found = self.dns.iter().find(|(_, r)| r.name == name && r.domain == domain).map(|(id, _)| *id);
        let id = found.unwrap_or_else(|| {
            let id = self.next_id("dns");
            self.dns.insert(id, DnsResource { name: name.to_owned(), domain, address_ttl: None, ips: BTreeSet::new() });
            id
        });
        if let Some(resource) = self.dns.get_mut(&id) {
            resource.ips.insert(row);
        }
        self.touch_resource(id);
    }

    /// The name of a resource changed its answer, or is about to.
    pub(crate) fn touch_resource(&mut self, id: u64) {
        // Domains show how many records they have, and machines show their domain.
        self.refer_anew();
        if let Some(fqdn) = self.dns.get(&id).map(|r| self.resource_fqdn(r)) {
            self.touch_name(&fqdn);
        }
    }

    /// Every resource with that address row.
    pub(crate) fn touch_resources_of(&mut self, row: u64) {
        let ids: Vec<u64> = self.dns.iter().filter(|(_, r)| r.ips.contains(&row)).map(|(id, _)| *id).collect();
        for id in ids {
            self.touch_resource(id);
        }
    }

    /// The machine's own name, and those of its interfaces where there are several addresses.
    pub(crate) fn touch_machine_names(&mut self, id: u64) {
        // Its addresses are about to be others, or were until now.
        let host = self.machines.get_mut(&id).map(|m| m.hostname.clone());
        if self.dns.values().any(|r| Some(&r.name) == host.as_ref()) {
            self.refer_anew();
        }
        let Some(machine) = self.machines.get(&id) else {
            return;
        };
        let fqdn = self.fqdn(machine);
        let mut names = Vec::new();
        if machine.rows().count() > 2 {
            names.extend(machine.interfaces.iter().map(|i| format!("{}.{fqdn}", i.name)));
        }
        names.push(fqdn);
        for name in names {
            self.touch_name(&name);
        }
    }

    /// What a machine's own name leads to: of the boot interface one address per family, fixed before given before seen;
    /// of the others only when that has none.
    fn named_addresses(&self, machine: &Machine) -> Vec<IpAddr> {
        let rank = |row: &IpRow| match row.alloc {
            AllocType::Sticky => 0,
            AllocType::UserReserved => 1,
            AllocType::Auto => 2,
            AllocType::Dhcp => 3,
            AllocType::Discovered => 4,
        };
        let best = |interface: &Interface, four: bool| {
            let rows = interface.rows.iter().filter_map(|id| self.ips.get(id)).filter(|r| !r.probing);
            let usable = rows.filter_map(|r| r.ip.filter(|ip| ip.is_ipv4() == four).map(|ip| (rank(r), ip)));
            // The first of equals, in the order of links.
            usable.min_by_key(|(rank, _)| *rank).map(|(_, ip)| ip)
        };
        [true, false].into_iter().filter_map(|four| machine.interfaces.iter().find_map(|i| best(i, four))).collect()
    }

    /// A domain came, goes, or has another TTL: that changes its SOA record and every name in it.
    pub(crate) fn touch_domain(&mut self, id: u64) {
        let Some(domain) = self.domains.get(&id).map(|d| d.name.clone()) else {
            return;
        };
        let resources = self.dns.values().filter(|r| r.domain == id).map(|r| self.resource_fqdn(r));
        let machines = self.machines.values().filter(|m| m.domain == id).map(|m| self.fqdn(m));
        let names: Vec<String> = resources.chain(machines).chain([domain]).collect();
        for name in names {
            self.touch_name(&name);
        }
    }

    fn touch_name(&mut self, fqdn: &str) {
        if self.dns_dirty.is_empty() {
            let after = self.durations.dns_publication;
            self.schedule(after, Due::Publish);
        }
        self.dns_dirty.insert(canonical(fqdn));
    }

    /// Name servers load what is true now of the domains, and of the names that changed.
    pub(crate) fn publish(&mut self) {
        let dirty = std::mem::take(&mut self.dns_dirty);
        let changed = dirty.into_iter().map(|name| (name.clone(), self.addresses_of(&name))).collect();
        // Of the others MAAS is no authority: it only forwards what is asked about them.
        let own = self.domains.iter().filter(|(_, d)| d.authoritative);
        let ttls: BTreeMap<String, u32> = own.map(|(id, d)| (canonical(&d.name), self.domain_ttl(*id))).collect();
        let name_server = self.domains.get(&self.default_domain).map(|d| canonical(&d.name)).unwrap_or_default();
        self.published.load(name_server, ttls, changed);
    }

    fn domain_ttl(&self, id: u64) -> u32 {
        self.domains.get(&id).and_then(|d| d.ttl).unwrap_or(DEFAULT_TTL)
    }

    /// Address records that a canonical name has by the tables, of resources and a machine together.
    fn addresses_of(&self, name: &str) -> Option<Addresses> {
        let mut found: Vec<(u32, Vec<IpAddr>)> = Vec::new();
        for resource in self.dns.values().filter(|r| canonical(&self.resource_fqdn(r)) == name) {
            let rows = resource.ips.iter().filter_map(|id| self.ips.get(id)).filter(|r| !r.probing);
            let ttl = resource.address_ttl.unwrap_or_else(|| self.domain_ttl(resource.domain));
            found.push((ttl, rows.filter_map(|r| r.ip).collect()));
        }
        let machine =
            name.split('.').next().and_then(|host| self.by_hostname.get(host)).and_then(|id| self.machines.get(id));
        if let Some(machine) = machine.filter(|m| canonical(&self.fqdn(m)) == name) {
            found.push((self.domain_ttl(machine.domain), self.named_addresses(machine)));
        }
        // `eth1.node01.maas`: what the machine has besides.
        let behind = name.split_once('.').and_then(|(interface, rest)| {
            let host = rest.split('.').next()?;
            let machine =
                self.machines.get(self.by_hostname.get(host)?).filter(|m| canonical(&self.fqdn(m)) == rest)?;
            Some((machine, machine.interfaces.iter().find(|i| i.name.eq_ignore_ascii_case(interface))?))
        });
        if let Some((machine, interface)) = behind {
            let own = self.named_addresses(machine);
            let rows = interface.rows.iter().filter_map(|id| self.ips.get(id)).filter(|r| !r.probing);
            let all =
                rows.filter(|r| r.alloc != AllocType::Discovered).filter_map(|r| r.ip).filter(|ip| !own.contains(ip));
            found.push((self.domain_ttl(machine.domain), all.collect()));
        }
        found.retain(|(_, all)| !all.is_empty());
        // Records of one name and type have one TTL; where sources differ the shorter is the safe one.
        let ttl = found.iter().map(|(ttl, _)| *ttl).min()?;
        Some(Addresses { ttl, all: found.into_iter().flat_map(|(_, all)| all).collect() })
    }
}

/// A label and its domain.
pub(crate) struct DnsName {
    pub(crate) name: String,
    pub(crate) domain: u64,
}

/// What a list of names is narrowed to.
pub(crate) struct WantedNames {
    name: Option<String>,
    domain: Option<u64>,
}

impl WantedNames {
    pub(crate) fn fits(&self, name: &str, domain: u64) -> bool {
        self.name.as_deref().is_none_or(|n| n == name) && self.domain.is_none_or(|d| d == domain)
    }
}

enum Wanted {
    Row(u64),
    Ip(IpAddr),
}
