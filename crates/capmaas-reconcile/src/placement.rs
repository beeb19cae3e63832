//! Which machine: what is asked for, which of those that match is taken, and why none matches.
//!
//! What is asked for is a set of [`Rule`]s, each of which names the field it comes from. MAAS judges them all; those that a plain look at a
//! machine answers are judged here, too, when somebody wants to know why nothing fits ([`explain()`]).
//!
//! ```
//! use capmaas_reconcile::model::host;
//! use capmaas_reconcile::placement::{Constraints, Survey, explain};
//!
//! let spec = serde_json::from_value(serde_json::json!({
//!     "image": "ubuntu/noble", "minCPU": 4, "minMemory": 8192, "tags": ["ssd"],
//! }))?;
//! let wanted = Constraints::of(&spec, None);
//! let (mut small, mut big) = (host("aaa111", "node01"), host("bbb222", "node02"));
//! small.tags = ["ssd".to_owned()].into();
//! small.cpu = 2;
//! (big.cpu, big.memory_mib) = (8, 65536);
//! let survey = Survey { hosts: vec![small, big], by_maas: Default::default() };
//! assert_eq!(
//!     explain(&wanted, &survey).to_string(),
//!     "1 of 2 Ready machines has tag ssd (spec.tags); 0 of these have at least 4 CPUs (spec.minCPU); nearest: node01 lacks 2 CPUs"
//! );
//! # Ok::<(), serde_json::Error>(())
//! ```

mod explain;
mod fit;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use capi_types::{Architecture, CoreMachine, MaasMachineSpec, SystemId};

pub use self::explain::{Explanation, Nearest, Row, Survey, explain};
pub use self::fit::{Ask, Fit, fit};
use crate::host::HostView;

/// A system that runs from memory needs a machine with so much, MiB: MAAS's documentation asks for 16 GB, of which firmware keeps some.
pub const MEMORY_OF_A_SYSTEM_IN_MEMORY: u64 = 15 * 1024;

/// One thing that a machine must have. In the order in which they are explained: what a person is surest of first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// `spec.placement.systemID`
    SystemId(String),
    /// `spec.placement.hostname`
    Hostname(String),
    /// `spec.placement.architecture`
    Architecture(Architecture),
    /// `spec.failureDomain` of the MaasMachine or its Machine: a zone.
    FailureDomain(String),
    /// `spec.placement.zones`: in one of them.
    Zones(BTreeSet<String>),
    /// `spec.placement.notZones`: in none of them.
    NotZones(BTreeSet<String>),
    /// `spec.resourcePool`
    ResourcePool(String),
    /// `spec.placement.pools`: in one of them.
    Pools(BTreeSet<String>),
    /// `spec.placement.notPools`: in none of them.
    NotPools(BTreeSet<String>),
    /// One of `spec.tags`.
    Tag(String),
    /// `spec.placement.notTags`: none of them.
    NotTags(BTreeSet<String>),
    /// `spec.minCPU`, cores.
    Cpu(u32),
    /// `spec.minMemory`, MiB.
    Memory(u64),
    /// `spec.deployInMemory`: MiB for the system.
    MemoryForSystem(u64),
    /// `spec.minDiskSize`: GB of the disk with the root file system.
    RootDisk(u64),
    /// `spec.placement.storage`
    Storage(String),
    /// `spec.placement.subnets`: in all of them.
    Subnets(BTreeSet<String>),
    /// `spec.placement.notSubnets`: in none of them.
    NotSubnets(BTreeSet<String>),
    /// `spec.placement.fabrics`: cabled to one of them.
    Fabrics(BTreeSet<String>),
    /// `spec.placement.notFabrics`: cabled to none of them.
    NotFabrics(BTreeSet<String>),
    /// `spec.placement.interfaces`
    Interfaces(String),
    /// `spec.placement.devices`
    Devices(String),
}

impl Rule {
    /// Whether a machine satisfies it; `None`: only MAAS can tell.
    pub fn admits(&self, host: &HostView) -> Option<bool> {
        Some(match self {
            Self::SystemId(id) => host.id.as_str() == id,
            Self::Hostname(name) => host.hostname.eq_ignore_ascii_case(name),
            Self::Architecture(wanted) => host.architecture.split('/').next() == Some(wanted.in_maas()),
            Self::FailureDomain(zone) => host.zone == *zone,
            Self::Zones(zones) => zones.contains(&host.zone),
            Self::NotZones(zones) => !zones.contains(&host.zone),
            Self::ResourcePool(pool) => host.pool == *pool,
            Self::Pools(pools) => pools.contains(&host.pool),
            Self::NotPools(pools) => !pools.contains(&host.pool),
            Self::Tag(tag) => host.tags.contains(tag),
            Self::NotTags(tags) => tags.is_disjoint(&host.tags),
            Self::Cpu(cores) => host.cpu >= *cores,
            Self::Memory(mib) | Self::MemoryForSystem(mib) => host.memory_mib >= *mib,
            Self::RootDisk(_)
            | Self::Storage(_)
            | Self::Subnets(_)
            | Self::NotSubnets(_)
            | Self::Fabrics(_)
            | Self::NotFabrics(_)
            | Self::Interfaces(_)
            | Self::Devices(_) => return None,
        })
    }

    /// The field that asks for it.
    pub fn field(&self) -> &'static str {
        match self {
            Self::SystemId(_) => "spec.placement.systemID",
            Self::Hostname(_) => "spec.placement.hostname",
            Self::Architecture(_) => "spec.placement.architecture",
            Self::FailureDomain(_) => "spec.failureDomain",
            Self::Zones(_) => "spec.placement.zones",
            Self::NotZones(_) => "spec.placement.notZones",
            Self::ResourcePool(_) => "spec.resourcePool",
            Self::Pools(_) => "spec.placement.pools",
            Self::NotPools(_) => "spec.placement.notPools",
            Self::Tag(_) => "spec.tags",
            Self::NotTags(_) => "spec.placement.notTags",
            Self::Cpu(_) => "spec.minCPU",
            Self::Memory(_) => "spec.minMemory",
            Self::MemoryForSystem(_) => "spec.deployInMemory",
            Self::RootDisk(_) => "spec.minDiskSize",
            Self::Storage(_) => "spec.placement.storage",
            Self::Subnets(_) => "spec.placement.subnets",
            Self::NotSubnets(_) => "spec.placement.notSubnets",
            Self::Fabrics(_) => "spec.placement.fabrics",
            Self::NotFabrics(_) => "spec.placement.notFabrics",
            Self::Interfaces(_) => "spec.placement.interfaces",
            Self::Devices(_) => "spec.placement.devices",
        }
    }

    /// What machines that satisfy it do, after a plural subject (`have tag ssd`) or a singular one (`has tag ssd`).
    fn predicate(&self, one: bool) -> String {
        let (be, have) = if one { ("is", "has") } else { ("are", "have") };
        let or = |names: &BTreeSet<String>| listed(names, " or ");
        match self {
            Self::SystemId(id) => format!("{be} the one with system id {id}"),
            Self::Hostname(name) => format!("{be} called {name}"),
            Self::Architecture(architecture) => format!("{be} {architecture}"),
            Self::FailureDomain(zone) => format!("{be} in zone {zone}"),
            Self::Zones(zones) => format!("{be} in zone {}", or(zones)),
            Self::NotZones(zones) => format!("{be} outside of zone {}", or(zones)),
            Self::ResourcePool(pool) => format!("{be} in pool {pool}"),
            Self::Pools(pools) => format!("{be} in pool {}", or(pools)),
            Self::NotPools(pools) => format!("{be} outside of pool {}", or(pools)),
            Self::Tag(tag) => format!("{have} tag {tag}"),
            Self::NotTags(tags) => format!("{have} none of the tags {}", listed(tags, ", ")),
            Self::Cpu(cores) => format!("{have} at least {cores} CPUs"),
            Self::Memory(mib) => format!("{have} at least {}", memory(*mib)),
            Self::MemoryForSystem(mib) => format!("{have} at least {} for a system in memory", memory(*mib)),
            Self::RootDisk(gb) => format!("{have} a root disk of at least {gb} GB"),
            Self::Storage(storage) => format!("{have} storage {storage}"),
            Self::Subnets(subnets) => format!("{be} in subnet {}", listed(subnets, " and ")),
            Self::NotSubnets(subnets) => format!("{be} outside of subnet {}", or(subnets)),
            Self::Fabrics(fabrics) => format!("{be} cabled to fabric {}", or(fabrics)),
            Self::NotFabrics(fabrics) => format!("{be} not cabled to fabric {}", or(fabrics)),
            Self::Interfaces(interfaces) => format!("{have} interfaces {interfaces}"),
            Self::Devices(devices) => format!("{have} a device with {devices}"),
        }
    }
}

impl fmt::Display for Rule {
    /// `tag ssd (spec.tags)`, `in zone az1 or az2 (spec.placement.zones)`: for a list of what is asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.predicate(true);
        let bare = text.strip_prefix("has ").or_else(|| text.strip_prefix("is ")).unwrap_or(&text);
        write!(f, "{bare} ({})", self.field())
    }
}

fn listed(names: &BTreeSet<String>, between: &str) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(between)
}

/// `2 GiB`, or `2500 MiB` where that is no round number.
fn memory(mib: u64) -> String {
    if mib >= 1024 && mib.is_multiple_of(1024) {
        format!("{} GiB memory", mib / 1024)
    } else {
        format!("{mib} MiB memory")
    }
}

/// What a machine must have to be claimed; one MAAS query per distinct value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constraints(BTreeSet<Rule>);

impl Constraints {
    /// What a MaasMachine asks for, in the failure domain of its Machine unless it names one itself. Empty texts and zeroes ask for nothing.
    pub fn of(spec: &MaasMachineSpec, machine: Option<&CoreMachine>) -> Self {
        let text = |value: &Option<String>| value.clone().filter(|v| !v.is_empty());
        let set = |values: &[String]| -> Option<BTreeSet<String>> {
            let values: BTreeSet<_> = values.iter().filter(|v| !v.is_empty()).cloned().collect();
            (!values.is_empty()).then_some(values)
        };
        let zone = text(&spec.failure_domain).or_else(|| machine.and_then(|m| text(&m.failure_domain)));
        let disk = spec.min_disk_size.and_then(|gb| u64::try_from(gb).ok());
        let mut rules: BTreeSet<Rule> = spec.tags.iter().filter(|t| !t.is_empty()).cloned().map(Rule::Tag).collect();
        rules.extend(zone.map(Rule::FailureDomain));
        rules.extend(text(&spec.resource_pool).map(Rule::ResourcePool));
        rules.extend(u32::try_from(spec.min_cpu).ok().filter(|cores| *cores > 0).map(Rule::Cpu));
        rules.extend(u64::try_from(spec.min_memory).ok().filter(|mib| *mib > 0).map(Rule::Memory));
        rules.extend(disk.filter(|gb| *gb > 0).map(Rule::RootDisk));
        if spec.deploy_in_memory {
            rules.insert(Rule::MemoryForSystem(MEMORY_OF_A_SYSTEM_IN_MEMORY));
        }
        if let Some(place) = &spec.placement {
            rules.extend(text(&place.system_id).map(Rule::SystemId));
            rules.extend(text(&place.hostname).map(Rule::Hostname));
            rules.extend(place.architecture.map(Rule::Architecture));
            rules.extend(set(&place.zones).map(Rule::Zones));
            rules.extend(set(&place.not_zones).map(Rule::NotZones));
            rules.extend(set(&place.pools).map(Rule::Pools));
            rules.extend(set(&place.not_pools).map(Rule::NotPools));
            rules.extend(set(&place.not_tags).map(Rule::NotTags));
            rules.extend(text(&place.storage).map(Rule::Storage));
            rules.extend(text(&place.interfaces).map(Rule::Interfaces));
            rules.extend(set(&place.subnets).map(Rule::Subnets));
            rules.extend(set(&place.not_subnets).map(Rule::NotSubnets));
            rules.extend(set(&place.fabrics).map(Rule::Fabrics));
            rules.extend(set(&place.not_fabrics).map(Rule::NotFabrics));
            rules.extend(text(&place.devices).map(Rule::Devices));
        }
        Self(rules)
    }

    /// The rules, in the order in which they are explained.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// The zones that a machine may be in; `None`: any. Rules about zones all hold, so this is what they have in common, without those that
    /// are ruled out.
    pub fn zones(&self) -> Option<BTreeSet<String>> {
        let named = self.0.iter().filter_map(|rule| match rule {
            Rule::FailureDomain(zone) => Some(BTreeSet::from([zone.clone()])),
            Rule::Zones(zones) => Some(zones.clone()),
            _ => None,
        });
        let mut common = named.reduce(|a, b| a.intersection(&b).cloned().collect())?;
        for rule in &self.0 {
            if let Rule::NotZones(zones) = rule {
                common.retain(|zone| !zones.contains(zone));
            }
        }
        Some(common)
    }

    /// The pools that a machine may be in; `None`: any.
    pub fn pools(&self) -> Option<BTreeSet<String>> {
        let named = self.0.iter().filter_map(|rule| match rule {
            Rule::ResourcePool(pool) => Some(BTreeSet::from([pool.clone()])),
            Rule::Pools(pools) => Some(pools.clone()),
            _ => None,
        });
        let mut common = named.reduce(|a, b| a.intersection(&b).cloned().collect())?;
        for rule in &self.0 {
            if let Rule::NotPools(pools) = rule {
                common.retain(|pool| !pools.contains(pool));
            }
        }
        Some(common)
    }

    /// Why no machine of any MAAS can satisfy them, if so: with the fields and the fix.
    pub fn contradiction(&self) -> Option<String> {
        let fields = |about: fn(&Rule) -> bool| {
            let rules: Vec<_> = self.0.iter().filter(|rule| about(rule)).map(ToString::to_string).collect();
            rules.join(", ")
        };
        if self.zones().is_some_and(|zones| zones.is_empty()) {
            let rules = fields(|r| matches!(r, Rule::FailureDomain(_) | Rule::Zones(_) | Rule::NotZones(_)));
            return Some(format!(
                "no zone satisfies all of: {rules}; leave one of them out (the Machine's spec.failureDomain counts, too: Cluster API sets it)"
            ));
        }
        if self.pools().is_some_and(|pools| pools.is_empty()) {
            let rules = fields(|r| matches!(r, Rule::ResourcePool(_) | Rule::Pools(_) | Rule::NotPools(_)));
            return Some(format!("no pool satisfies all of: {rules}; leave one of them out"));
        }
        None
    }

    /// Whether a machine satisfies all rules that a look at it answers.
    pub fn may_admit(&self, host: &HostView) -> bool {
        self.0.iter().all(|rule| rule.admits(host) != Some(false))
    }
}

impl FromIterator<Rule> for Constraints {
    fn from_iter<T: IntoIterator<Item = Rule>>(rules: T) -> Self {
        Self(rules.into_iter().collect())
    }
}

impl fmt::Display for Constraints {
    /// In words, for conditions: `in zone az1 (spec.failureDomain), at least 2 CPUs (spec.minCPU)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&rules.join(", "))
    }
}

/// Of the machines that match, the one to take. `beside`: how many machines of the same group are in each zone already, when they are to be
/// spread over zones; else the smallest is taken, which is MAAS's own order.
pub fn choose<'a>(
    free: impl IntoIterator<Item = &'a HostView>,
    beside: Option<&BTreeMap<String, usize>>,
) -> Option<&'a HostView> {
    let crowd = |host: &HostView| beside.and_then(|zones| zones.get(&host.zone)).copied().unwrap_or(0);
    let order = |host: &&HostView| -> (usize, u64, SystemId) {
        let (cost, id) = host.cost();
        (crowd(host), cost, id.clone())
    };
    free.into_iter().min_by_key(order)
}
