//! Constraints of `allocate` and filters of machine lists (reference §4.1, §6.1): one language, two sets of keys.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::Status;
use crate::form::Params;
use crate::hardware::{
    InterfaceItem, StorageItem, match_devices, match_storage, parse_devices, parse_interfaces, parse_storage,
};
use crate::region::Region;
use crate::reply::{FieldErrors, Reply};
use crate::state::{AllocType, Interface, IpRow, Machine};

/// Where the keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Allocate,
    List,
}

/// Keys that both take.
const SHARED: &[&str] = &[
    "system_id",
    "arch",
    "not_arch",
    "cpu_count",
    "cpu_speed",
    "mem",
    "link_speed",
    "tags",
    "not_tags",
    "zone",
    "not_in_zone",
    "pool",
    "not_in_pool",
    "fabrics",
    "not_fabrics",
    "fabric_classes",
    "not_fabric_classes",
    "subnets",
    "not_subnets",
    "vlans",
    "not_vlans",
    "storage",
    "interfaces",
    "devices",
    "owner",
    "not_owner",
    "power_state",
    "not_power_state",
    "deployment_target",
    "not_deployment_target",
    "pod",
    "not_pod",
    "pod_type",
    "not_pod_type",
];
const ALLOCATE_ONLY: &[&str] = &["name"];
const LIST_ONLY: &[&str] = &[
    "id",
    "not_id",
    "hostname",
    "not_hostname",
    "mac_address",
    "domain",
    "not_domain",
    "agent_name",
    "not_agent_name",
    "status",
    "not_status",
    "simple_status",
    "not_simple_status",
];
/// Options of allocate that are no constraints.
const ALLOCATE_OPTIONS: &[&str] =
    &["agent_name", "comment", "bridge_all", "bridge_type", "bridge_stp", "bridge_fd", "dry_run", "verbose", "op"];

/// A validated set of constraints.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    lists: Vec<(String, Vec<String>)>,
    storage: Vec<StorageItem>,
    interfaces: Vec<InterfaceItem>,
}

/// What a machine satisfied a storage or interfaces constraint with.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    pub(crate) storage: Vec<(String, u64)>,
    pub(crate) interfaces: Vec<(String, u64)>,
}

impl Constraints {
    /// True when nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The last value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values(key).and_then(|v| v.last()).map(String::as_str)
    }

    /// Every value of a key.
    pub(crate) fn values(&self, key: &str) -> Option<&[String]> {
        self.lists.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_slice())
    }

    /// Sizes of the disks that are asked for.
    pub(crate) fn disks(&self) -> Vec<u64> {
        self.storage.iter().map(|item| item.bytes).collect()
    }

    /// Labels of the disks that are asked for.
    pub(crate) fn disk_labels(&self) -> Vec<Option<String>> {
        self.storage.iter().map(|item| item.label.clone()).collect()
    }

    /// The second half of a 409's text: `key=value …`.
    pub(crate) fn describe(&self) -> String {
        let mut keys: Vec<&(String, Vec<String>)> = self.lists.iter().collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        let parts: Vec<String> = keys
            .into_iter()
            .map(|(key, values)| {
                let shown = if is_number(key) {
                    minimum(values).map_or_else(String::new, |n| format!("{n:?}"))
                } else {
                    values.join(",")
                };
                format!("{key}={shown}")
            })
            .collect();
        parts.join(" ")
    }
}

/// The first half of a 409's text: what was sent, as Python prints it.
pub(crate) fn as_sent(params: &Params) -> String {
    let mut out = String::from("[");
    for (at, (key, values)) in params.lists().iter().enumerate() {
        let values: Vec<String> = values.iter().map(|v| format!("'{v}'")).collect();
        let comma = if at == 0 { "" } else { ", " };
        // Writing into a String cannot fail.
        let _ = write!(out, "{comma}('{key}', [{}])", values.join(", "));
    }
    out.push(']');
    out
}

fn is_number(key: &str) -> bool {
    matches!(key, "cpu_count" | "cpu_speed" | "mem" | "link_speed")
}

/// Several values of a minimum: the smallest counts.
fn minimum(values: &[String]) -> Option<f64> {
    values.iter().filter_map(|v| v.trim().parse::<f64>().ok()).min_by(f64::total_cmp)
}

fn split_tags(values: &[String]) -> Vec<&str> {
    values.iter().flat_map(|v| v.split([',', ' '])).filter(|t| !t.is_empty()).collect()
}

fn choice(value: &str) -> String {
    format!("Select a valid choice. {value} is not one of the available choices.")
}

impl Region {
    /// Checks keys and values; a 400 names each wrong one.
    pub(crate) fn constraints(&self, params: &Params, purpose: Use) -> Result<Constraints, Reply> {
        let mut errors = FieldErrors::default();
        let mut out = Constraints::default();
        for (key, values) in params.lists() {
            if (purpose == Use::Allocate && ALLOCATE_OPTIONS.contains(&key)) || key == "op" || key.starts_with("oauth_")
            {
                continue;
            }
            let own = if purpose == Use::Allocate { ALLOCATE_ONLY } else { LIST_ONLY };
            // VM hosts are gone from 4.0 on, and their constraints.
            let gone = key.trim_start_matches("not_").starts_with("pod") && self.is_at_least(4, 0);
            if gone || (!SHARED.contains(&key) && !own.contains(&key)) {
                errors.add(key, "No such constraint.");
                continue;
            }
            let values: Vec<String> = values.into_iter().map(str::to_owned).collect();
            // Allocate forms ignore empty values; lists look for the empty text.
            if purpose == Use::Allocate && values.iter().all(String::is_empty) {
                continue;
            }
            self.check_values(key, &values, &mut out, &mut errors);
            out.lists.push((key.to_owned(), values));
        }
        errors.check()?;
        Ok(out)
    }

    fn check_values(&self, key: &str, values: &[String], out: &mut Constraints, errors: &mut FieldErrors) {
        let unknown = |known: &dyn Fn(&str) -> bool| {
            values.iter().map(String::as_str).filter(|v| !known(v)).map(str::to_owned).collect::<Vec<_>>()
        };
        match key {
            _ if is_number(key) && values.iter().any(|v| v.trim().parse::<f64>().is_err()) => {
                errors.add(
                    key,
                    match key {
                        "cpu_count" => "Invalid CPU count: number required.",
                        "mem" => "Invalid memory: number of MiB required.",
                        "cpu_speed" => "Invalid CPU speed: number required.",
                        _ => "Invalid link speed: number required.",
                    },
                );
            }
            "arch" | "not_arch" if !unknown(&|v| self.knows_architecture(v)).is_empty() => {
                errors.add(key, "Architecture not recognised.");
            }
            "tags" => {
                let missing: Vec<String> = split_tags(values)
                    .into_iter()
                    .filter(|t| !self.tags.values().any(|p| p.name == *t))
                    .map(|t| format!("'{t}'"))
                    .collect();
                if !missing.is_empty() {
                    errors.add(key, format!("No such tag(s): {}.", missing.join(", ")));
                }
            }
            "zone" | "not_in_zone" | "pool" | "not_in_pool" => {
                let (table, what) = if key.ends_with("zone") { (&self.zones, "zone") } else { (&self.pools, "pool") };
                let missing = unknown(&|v| table.values().any(|p| p.name == v));
                if !missing.is_empty() {
                    errors.add(key, format!("No such {what}(s): {}.", missing.join(", ")));
                }
            }
            "subnets" | "not_subnets" if !unknown(&|v| self.subnet_spec(v).is_some()).is_empty() => {
                errors.add(key, "No matching subnets found.");
            }
            "vlans" | "not_vlans" if !unknown(&|v| self.vlans.keys().any(|id| self.is_vlan(*id, v))).is_empty() => {
                errors.add(key, "No matching VLANs found.");
            }
            "status" | "not_status" => {
                for value in unknown(&|v| Status::from_filter(v).is_some()) {
                    errors.add(key, choice(&value));
                }
            }
            "simple_status" | "not_simple_status" => {
                for value in unknown(&|v| Status::ALL.iter().any(|s| s.simple() == v)) {
                    errors.add(key, choice(&value));
                }
            }
            "power_state" | "not_power_state" => {
                for value in unknown(&|v| matches!(v, "on" | "off" | "unknown" | "error")) {
                    errors.add(key, choice(&value));
                }
            }
            "deployment_target" | "not_deployment_target" => {
                for value in unknown(&|v| matches!(v, "disk" | "memory")) {
                    errors.add(key, choice(&value));
                }
            }
            "mac_address" => {
                for value in unknown(&is_mac) {
                    errors.add(key, format!("'{value}' is not a valid MAC address."));
                }
            }
            "storage" => match values.last().map_or(Ok(Vec::new()), |v| parse_storage(v)) {
                Ok(items) => out.storage = items,
                Err(message) => errors.add(key, message),
            },
            "devices" => {
                if let Some(message) = values.iter().find_map(|value| parse_devices(value).err()) {
                    errors.add(key, message);
                }
            }
            "interfaces" => match values.last().map_or(Ok(Vec::new()), |v| parse_interfaces(v)) {
                Ok(items) => out.interfaces = items,
                Err(message) => errors.add(key, message),
            },
            _ => {}
        }
    }

    fn knows_architecture(&self, value: &str) -> bool {
        let value = if value == "arm" { "armhf" } else { value };
        let matches = |full: &str| full == value || full.split('/').next() == Some(value);
        self.machines.values().any(|m| matches(&m.architecture))
            || self.images.iter().any(|i| i.architecture == value || format!("{}/generic", i.architecture) == value)
    }

    /// Ids that can match at all, from the narrowest index; `None` for every machine.
    pub(crate) fn candidates(&self, constraints: &Constraints) -> Option<BTreeSet<u64>> {
        let by_id = |values: &[String]| values.iter().filter_map(|v| self.by_system_id.get(v)).copied().collect();
        if let Some(values) = constraints.values("id").or_else(|| constraints.values("system_id")) {
            return Some(by_id(values));
        }
        if let Some(values) = constraints.values("hostname") {
            return Some(
                values.iter().filter_map(|v| self.by_hostname.get(&v.to_ascii_lowercase())).copied().collect(),
            );
        }
        let of =
            |statuses: Vec<Status>| statuses.iter().filter_map(|s| self.by_status.get(s)).flatten().copied().collect();
        if let Some(values) = constraints.values("status") {
            return Some(of(values.iter().filter_map(|v| Status::from_filter(v)).collect()));
        }
        if let Some(values) = constraints.values("simple_status") {
            return Some(of(Status::ALL.iter().copied().filter(|s| values.iter().any(|v| v == s.simple())).collect()));
        }
        None
    }

    /// True if the machine satisfies all of them; `matched` says with which disks and interfaces.
    pub(crate) fn satisfies(&self, m: &Machine, constraints: &Constraints, matched: &mut Matched) -> bool {
        constraints.lists.iter().all(|(key, values)| self.matches(m, key, values))
            && match_storage(m, &constraints.storage, matched)
            && self.match_interfaces(m, &constraints.interfaces, matched)
    }

    fn matches(&self, m: &Machine, key: &str, values: &[String]) -> bool {
        let any = |text: &str| values.iter().any(|v| v == text);
        let place = |table: &std::collections::BTreeMap<u64, crate::state::Place>, id: u64| {
            table.get(&id).is_some_and(|p| any(&p.name))
        };
        let domain = || self.domains.get(&m.domain).is_some_and(|d| any(&d.name));
        let architecture = || {
            values.iter().any(|v| {
                let v = if v == "arm" { "armhf" } else { v };
                m.architecture == v || m.architecture.split('/').next() == Some(v)
            })
        };
        let at_least = |have: f64| minimum(values).is_none_or(|wanted| have >= wanted);
        let subnets = || -> Vec<u64> {
            m.rows()
                .filter_map(|id| self.ips.get(&id))
                .filter(|r| r.alloc != AllocType::Discovered)
                .filter_map(|r| r.subnet)
                .collect()
        };
        let wanted_subnets = || values.iter().filter_map(|v| self.subnet_spec(v));
        let vlans = || m.interfaces.iter().filter_map(|i| i.vlan);
        let fabrics = || vlans().filter_map(|id| self.fabrics.get(&self.vlans.get(&id)?.fabric));
        let host = || self.vm_hosts.iter().find(|h| Some(h.id) == m.pod);
        let target = if m.ephemeral { "memory" } else { "disk" };
        match key {
            "name" => values
                .last()
                .is_none_or(|name| name.eq_ignore_ascii_case(&m.hostname) || name.eq_ignore_ascii_case(&self.fqdn(m))),
            "id" | "system_id" => any(&m.system_id),
            "not_id" => !any(&m.system_id),
            "hostname" => any(&m.hostname),
            "not_hostname" => !any(&m.hostname),
            "mac_address" => m.interfaces.iter().filter_map(|i| i.mac.as_deref()).any(any),
            "domain" => domain(),
            "not_domain" => !domain(),
            "owner" => m.owner.as_deref().is_some_and(any),
            "not_owner" => !m.owner.as_deref().is_some_and(any),
            "agent_name" => any(&m.agent_name),
            "not_agent_name" => !any(&m.agent_name),
            "status" => any(m.status.filter_value()),
            "not_status" => !any(m.status.filter_value()),
            "simple_status" => any(m.status.simple()),
            "not_simple_status" => !any(m.status.simple()),
            "power_state" => any(m.power_state.name()),
            "not_power_state" => !any(m.power_state.name()),
            "deployment_target" => any(target),
            "not_deployment_target" => !any(target),
            "zone" => place(&self.zones, m.zone),
            "not_in_zone" => !place(&self.zones, m.zone),
            "pool" => place(&self.pools, m.pool),
            "not_in_pool" => !place(&self.pools, m.pool),
            "tags" => split_tags(values).into_iter().all(|t| m.tags.contains(t)),
            "not_tags" => !values.iter().any(|t| m.tags.contains(t)),
            "arch" => architecture(),
            "not_arch" => !architecture(),
            "cpu_count" => at_least(f64::from(m.cpu_count)),
            "cpu_speed" => at_least(2400.0),
            "link_speed" => at_least(1000.0),
            // Memory of machines is far below 2^52 MiB.
            #[allow(clippy::cast_precision_loss)]
            "mem" => at_least(m.memory as f64),
            "subnets" => wanted_subnets().all(|id| subnets().contains(&id)),
            "not_subnets" => !wanted_subnets().any(|id| subnets().contains(&id)),
            "fabrics" => fabrics().any(|f| any(&f.name)),
            "not_fabrics" => !fabrics().any(|f| any(&f.name)),
            "fabric_classes" => fabrics().any(|f| f.class.as_deref().is_some_and(any)),
            "not_fabric_classes" => !fabrics().any(|f| f.class.as_deref().is_some_and(any)),
            "vlans" => vlans().any(|id| values.iter().any(|v| self.is_vlan(id, v))),
            "not_vlans" => !vlans().any(|id| values.iter().any(|v| self.is_vlan(id, v))),
            "pod" => host().is_some_and(|h| any(&h.spec.name)),
            "not_pod" => !host().is_some_and(|h| any(&h.spec.name)),
            "pod_type" => host().is_some_and(|h| any(&h.spec.kind)),
            "not_pod_type" => !host().is_some_and(|h| any(&h.spec.kind)),
            "devices" => values.iter().all(|value| parse_devices(value).is_ok_and(|wanted| match_devices(m, &wanted))),
            // storage and interfaces are matched as a whole; the `not_` forms of what is not there hold.
            _ => true,
        }
    }

    /// Each item needs an interface that has all of its keys.
    fn match_interfaces(&self, m: &Machine, wanted: &[InterfaceItem], matched: &mut Matched) -> bool {
        let mut found = Vec::new();
        for (label, keys) in wanted {
            let hit = m.interfaces.iter().find(|i| {
                keys.iter().all(|(key, value)| match key.strip_prefix("not_") {
                    Some(key) => !self.interface_has(m, i, key, value),
                    None => self.interface_has(m, i, key, value),
                })
            });
            let Some(interface) = hit else { return false };
            found.push((label.clone(), interface.id));
        }
        matched.interfaces = found;
        true
    }

    fn interface_has(&self, m: &Machine, interface: &Interface, key: &str, value: &str) -> bool {
        let rows = || interface.rows.iter().filter_map(|id| self.ips.get(id));
        let vlan = || interface.vlan.and_then(|id| self.vlans.get(&id));
        let on_vlan = |spec: &str| interface.vlan.is_some_and(|id| self.is_vlan(id, spec));
        let mode = |row: &IpRow| match (row.alloc, row.ip) {
            (AllocType::Auto, _) => "auto",
            (AllocType::Dhcp, _) => "dhcp",
            (AllocType::Sticky, Some(_)) => "static",
            (AllocType::Sticky, None) => "link_up",
            _ => "",
        };
        match key {
            "id" => value.parse() == Ok(interface.id),
            "fabric" | "space" => on_vlan(&format!("{key}:{value}")),
            "fabric_class" => {
                vlan().and_then(|v| self.fabrics.get(&v.fabric)).is_some_and(|f| f.class.as_deref() == Some(value))
            }
            "subnet" | "subnet_cidr" => self.subnet_spec(value).is_some_and(|s| rows().any(|r| r.subnet == Some(s))),
            "ip" => value.parse::<IpAddr>().is_ok_and(|ip| rows().any(|r| r.ip == Some(ip))),
            "mode" => rows().any(|r| mode(r) == value),
            "name" => interface.name == value,
            "hostname" => m.hostname == value,
            "type" => interface.kind.name() == value,
            "vlan" => on_vlan(value),
            "vid" => vlan().is_some_and(|v| v.vid.to_string() == value),
            "tag" => interface.tags.iter().any(|t| t == value),
            "link_speed" => value.parse::<f64>().is_ok_and(|speed| speed <= 1000.0),
            _ => false,
        }
    }
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6 && parts.iter().all(|p| p.len() == 2 && p.chars().all(|c| c.is_ascii_hexdigit()))
}
