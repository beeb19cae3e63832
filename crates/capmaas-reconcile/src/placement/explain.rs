//! Why nothing matches: how many machines each rule leaves, and which machine came nearest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use capi_types::SystemId;

use super::{Constraints, Rule, memory};
use crate::host::HostView;

/// All Ready machines, and of the rules that only MAAS can judge, which machines satisfy them.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The machines.
    pub hosts: Vec<HostView>,
    /// By rule, for each that a look at a machine does not answer.
    pub by_maas: BTreeMap<Rule, BTreeSet<SystemId>>,
}

impl Survey {
    /// Whether a machine of the survey satisfies a rule. What MAAS was not asked is taken to hold.
    pub fn admits(&self, rule: &Rule, host: &HostView) -> bool {
        rule.admits(host).unwrap_or_else(|| self.by_maas.get(rule).is_none_or(|hosts| hosts.contains(&host.id)))
    }
}

/// What one rule leaves of what the ones before it left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The rule.
    pub rule: Rule,
    /// Machines that satisfy it and all rules before it.
    pub left: usize,
    /// Machines that satisfy it, whatever the other rules say.
    pub alone: usize,
}

/// The machine that fails the fewest rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nearest {
    /// Its host name.
    pub hostname: String,
    /// What is in the way, rule by rule: `lacks 2 GiB memory`.
    pub lacks: Vec<String>,
}

/// See [`explain()`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Explanation {
    /// How many machines are Ready.
    pub ready: usize,
    /// What each rule leaves, down to the one that leaves none.
    pub rows: Vec<Row>,
    /// The machine that came nearest, when none matches and there is one.
    pub nearest: Option<Nearest>,
}

impl Explanation {
    /// The rule that takes the last machine, if one does.
    pub fn blocking(&self) -> Option<&Rule> {
        self.rows.last().filter(|row| row.left == 0).map(|row| &row.rule)
    }

    /// How many machines match.
    pub fn matching(&self) -> usize {
        self.rows.last().map_or(self.ready, |row| row.left)
    }
}

/// How many machines each rule leaves, in order; it ends with the rule that leaves none.
pub fn explain(wanted: &Constraints, survey: &Survey) -> Explanation {
    let mut left: Vec<&HostView> = survey.hosts.iter().collect();
    let mut rows = Vec::new();
    for rule in wanted.rules() {
        if left.is_empty() {
            break;
        }
        left.retain(|host| survey.admits(rule, host));
        let alone = survey.hosts.iter().filter(|host| survey.admits(rule, host)).count();
        rows.push(Row { rule: rule.clone(), left: left.len(), alone });
    }
    let nearest = if left.is_empty() { nearest(wanted, survey) } else { None };
    Explanation { ready: survey.hosts.len(), rows, nearest }
}

/// The one that fails the fewest rules; of several one that only lacks size, then the one that lacks least, then the first by name.
fn nearest(wanted: &Constraints, survey: &Survey) -> Option<Nearest> {
    let failed = |host: &HostView| wanted.rules().filter(|rule| !survey.admits(rule, host)).collect::<Vec<_>>();
    let ranked = survey.hosts.iter().map(|host| {
        let failed = failed(host);
        let otherwise = failed.iter().filter(|rule| shortage(rule, host) == 0).count();
        let shortage: u64 = failed.iter().map(|rule| shortage(rule, host)).sum();
        ((failed.len(), otherwise, shortage, host.hostname.as_str(), &host.id), host, failed)
    });
    let (_, host, failed) = ranked.min_by(|a, b| a.0.cmp(&b.0))?;
    Some(Nearest { hostname: host.hostname.clone(), lacks: failed.into_iter().map(|rule| lack(rule, host)).collect() })
}

/// How far a machine is from satisfying a rule of quantity, MiB; a core counts as 1 GiB, as in MAAS's order.
fn shortage(rule: &Rule, host: &HostView) -> u64 {
    match rule {
        Rule::Cpu(cores) => u64::from(cores.saturating_sub(host.cpu)) * 1024,
        Rule::Memory(mib) | Rule::MemoryForSystem(mib) => mib.saturating_sub(host.memory_mib),
        _ => 0,
    }
}

fn lack(rule: &Rule, host: &HostView) -> String {
    match rule {
        Rule::Cpu(cores) => format!("lacks {} CPUs", cores.saturating_sub(host.cpu)),
        Rule::Memory(mib) | Rule::MemoryForSystem(mib) => {
            format!("lacks {}", memory(mib.saturating_sub(host.memory_mib)))
        }
        Rule::Tag(tag) => format!("lacks tag {tag}"),
        Rule::NotTags(tags) => {
            let has: Vec<_> = tags.intersection(&host.tags).map(String::as_str).collect();
            format!("has tag {}", has.join(", "))
        }
        Rule::FailureDomain(_) | Rule::Zones(_) | Rule::NotZones(_) => format!("is in zone {}", host.zone),
        Rule::ResourcePool(_) | Rule::Pools(_) | Rule::NotPools(_) => format!("is in pool {}", host.pool),
        Rule::Architecture(_) => format!("is {}", host.architecture.split('/').next().unwrap_or_default()),
        Rule::SystemId(_) => format!("has system id {}", host.id),
        Rule::Hostname(_) => "has another name".to_owned(),
        Rule::RootDisk(gb) => format!("has no root disk of {gb} GB"),
        Rule::Storage(storage) => format!("has no storage {storage}"),
        Rule::Subnets(_) | Rule::NotSubnets(_) | Rule::Fabrics(_) | Rule::NotFabrics(_) => {
            format!("is not one that {}", rule.predicate(true))
        }
        Rule::Interfaces(interfaces) => format!("has no interfaces {interfaces}"),
        Rule::Devices(devices) => format!("has no device with {devices}"),
    }
}

impl fmt::Display for Explanation {
    /// In one line: `4 of 12 Ready machines have tag ssd (spec.tags); 0 of these are in zone zone-b (spec.failureDomain); nearest: node07
    /// lacks 2 GiB memory`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ready == 0 {
            return f.write_str("no machine in MAAS is Ready");
        }
        let mut before = self.ready;
        for (nth, row) in self.rows.iter().enumerate() {
            let of = match nth {
                0 => format!(" of {before} Ready machines"),
                _ => " of these".to_owned(),
            };
            let between = if nth == 0 { "" } else { "; " };
            write!(f, "{between}{}{of} {} ({})", row.left, row.rule.predicate(row.left == 1), row.rule.field())?;
            before = row.left;
        }
        if self.rows.is_empty() {
            write!(f, "{} machines are Ready, and any will do", self.ready)?;
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; nearest: {} {}", nearest.hostname, nearest.lacks.join(" and ")),
            None => Ok(()),
        }
    }
}
