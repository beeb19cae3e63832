//! What is left over, and what to do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use capi_types::ProviderId;
use capi_types::names::CLAIM_ANNOTATION;
use maas_client::{DnsResource, Event, Machine, MachineStatus as Status};
use serde_json::{Value, json};

use super::Objects;
use crate::tree::text;

/// The report.
#[derive(Debug)]
pub(super) struct Report {
    user: String,
    objects: usize,
    /// With marks of ours first, then by name.
    pub(super) machines: Vec<Held>,
    records: Vec<DnsResource>,
}

/// A machine that our user holds and nobody names.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) machine: Machine,
    /// The MaasMachine that it was for, when it has our marks.
    marked: Option<String>,
    why: String,
    last: Option<Event>,
}

impl Objects {
    fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
        text(object, &format!("/metadata/{field}"))
    }

    /// `namespace/name` of a MaasMachine.
    fn name(object: &Value) -> String {
        format!("{}/{}", Self::meta(object, "namespace"), Self::meta(object, "name"))
    }

    /// System ids of the machine that a MaasMachine names.
    fn hosts(object: &Value) -> impl Iterator<Item = String> {
        let id = text(object, "/spec/systemID").to_owned();
        let provider_id = text(object, "/spec/providerID").parse::<ProviderId>().ok();
        [Some(id).filter(|id| !id.is_empty()), provider_id.map(|id| id.system_id().to_string())].into_iter().flatten()
    }

    /// Claim tokens of MaasMachines that name no machine yet.
    pub(super) fn open_claims(&self) -> BTreeSet<String> {
        let open = self.maas_machines.iter().filter(|object| Self::hosts(object).next().is_none());
        let claim = |object| object_claim(object).split(' ').next().map(str::to_owned);
        open.filter_map(claim).filter(|token| !token.is_empty()).collect()
    }

    /// Names that a cluster's API goes by, lower case.
    fn endpoints(&self) -> BTreeSet<String> {
        let paths = ["/spec/controlPlaneEndpoint/host", "/status/network/dnsName"];
        let all = self.clusters.iter().flat_map(|c| paths.map(|path| text(c, path).to_ascii_lowercase()));
        all.filter(|host| !host.is_empty()).collect()
    }
}

fn object_claim(object: &Value) -> &str {
    let annotations = object.pointer("/metadata/annotations");
    annotations.and_then(|all| all.get(CLAIM_ANNOTATION)).and_then(Value::as_str).unwrap_or_default()
}

impl Report {
    /// `claimed`: system ids of machines that were just claimed for MaasMachines that do not name them yet.
    pub(super) fn new(
        user: String,
        objects: &Objects,
        claimed: &BTreeSet<String>,
        machines: Vec<Machine>,
        records: Vec<DnsResource>,
    ) -> Self {
        let named: BTreeSet<String> = objects.maas_machines.iter().flat_map(Objects::hosts).collect();
        let by_name: BTreeMap<_, _> = objects.maas_machines.iter().map(|o| (Objects::name(o), o)).collect();
        let free = |m: &Machine| !named.contains(m.system_id.as_str()) && !claimed.contains(m.system_id.as_str());
        let mut held: Vec<Held> = machines
            .into_iter()
            .filter(free)
            .filter_map(|machine| {
                let marked = marks(&machine);
                let listed = if marked.is_some() { !is_leaving(machine.status) } else { is_work(machine.status) };
                let why = match marked.as_deref().map(|name| (name, by_name.get(name))) {
                    None => "no MaasMachine names it, and it has no marks of ours".to_owned(),
                    Some((name, None)) => format!("it is marked for MaasMachine {name}, which does not exist"),
                    Some((name, Some(object))) => match Objects::hosts(object).next() {
                        Some(host) => format!("it is marked for MaasMachine {name}, which has machine {host}"),
                        None => format!("it is marked for MaasMachine {name}, which names no machine"),
                    },
                };
                listed.then_some(Held { machine, marked, why, last: None })
            })
            .collect();
        held.sort_by(|a, b| (a.marked.is_none(), &a.machine.hostname).cmp(&(b.marked.is_none(), &b.machine.hostname)));
        let endpoints = objects.endpoints();
        let mut records: Vec<_> =
            records.into_iter().filter(|r| is_generated(&r.fqdn) && !endpoints.contains(&normal(&r.fqdn))).collect();
        records.sort_by(|a, b| a.fqdn.cmp(&b.fqdn));
        Self { user, objects: by_name.len(), machines: held, records }
    }

    /// Adds to each machine the last thing that a person (or a program in a user's name) did to it; events come newest first.
    pub(super) fn remember(&mut self, events: &[Event]) {
        for held in &mut self.machines {
            let by_user =
                |e: &&Event| e.node == held.machine.system_id && !matches!(e.username.as_str(), "" | "unknown");
            held.last = events.iter().find(by_user).cloned();
        }
    }

    /// True when nothing has our marks or a name like ours.
    pub(super) fn is_clean(&self) -> bool {
        self.records.is_empty() && self.machines.iter().all(|held| held.marked.is_none())
    }

    /// For people.
    pub(super) fn render(&self) -> String {
        let mut out = format!(
            "Looked at the machines of MAAS user {} and at {} MaasMachines. Nothing was changed.\n",
            self.user, self.objects
        );
        let (marked, unmarked): (Vec<_>, Vec<_>) = self.machines.iter().partition(|held| held.marked.is_some());
        let mut section = |title: &str, entries: Vec<String>| {
            if !entries.is_empty() {
                let _ = write!(out, "\n{title}\n{}", entries.concat());
            }
        };
        section(
            "Machines with our marks that no MaasMachine names. Unless another management cluster has it:",
            marked.into_iter().map(Held::render).collect(),
        );
        section(
            "Machines of this user without our marks: somebody's own work with the same key, or another management cluster's. \
             Ask first; only if nobody has it:",
            unmarked.into_iter().map(Held::render).collect(),
        );
        let record = |r: &DnsResource| {
            let addresses: Vec<_> = r.addresses().iter().map(ToString::to_string).collect();
            let to = if addresses.is_empty() { "nothing".to_owned() } else { addresses.join(" ") };
            format!("  {} resolves to {to}\n    {}\n", r.fqdn, delete(r))
        };
        section(
            "DNS records with a name like those we make that are no cluster's endpoint. Unless another management cluster has it:",
            self.records.iter().map(record).collect(),
        );
        if self.machines.is_empty() && self.records.is_empty() {
            out.push_str("Nothing is left over.\n");
        }
        out
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let record = |r: &DnsResource| json!({ "id": r.id, "fqdn": r.fqdn, "addresses": r.addresses(), "suggestion": delete(r) });
        json!({
            "maasUser": self.user,
            "maasMachines": self.objects,
            "machines": self.machines.iter().map(Held::json).collect::<Vec<_>>(),
            "records": self.records.iter().map(record).collect::<Vec<_>>(),
        })
    }
}

impl Held {
    fn suggestion(&self) -> String {
        let id = &self.machine.system_id;
        let unlock = if self.machine.locked { format!("maas $PROFILE machine unlock {id} && ") } else { String::new() };
        let ends = match self.machine.status {
            status if is_releasable(status) => {
                return format!("{unlock}maas $PROFILE machine release {id} comment='capmaas orphan'");
            }
            Status::Testing | Status::Commissioning => format!("maas $PROFILE machine abort {id}"),
            Status::RescueMode => format!("maas $PROFILE machine exit-rescue-mode {id}"),
            // Nothing that is sure to help: whoever brought it there knows.
            status => return format!("end what an operator does with it ({status}), then look again"),
        };
        format!("{unlock}{ends}; when that is over, look again")
    }

    fn last(&self) -> Option<String> {
        self.last.as_ref().map(|event| format!("{} by {}, {}", event.kind, event.username, event.created))
    }

    fn render(&self) -> String {
        let Self { machine, .. } = self;
        let mut line = format!("  {} ({}) {}", machine.hostname, machine.system_id, machine.status);
        if machine.locked {
            line.push_str(", locked");
        }
        if let Some(last) = self.last() {
            let _ = write!(line, "; last: {last}");
        }
        if let Some(cluster) = self.machine.owner_data.get("capmaas-cluster") {
            let _ = write!(line, "; cluster {cluster}");
        }
        format!("{line}\n    {}\n    {}\n", self.why, self.suggestion())
    }

    fn json(&self) -> Value {
        let Self { machine, .. } = self;
        json!({
            "systemID": machine.system_id, "hostname": machine.hostname, "status": machine.status.to_string(), "locked": machine.locked,
            "zone": machine.zone_name(), "marked": self.marked.is_some(), "maasMachine": self.marked,
            "cluster": machine.owner_data.get("capmaas-cluster"), "token": machine.owner_data.get("capmaas-token"),
            "last": self.last.as_ref().map(|e| json!({ "what": e.kind, "by": e.username, "at": e.created })),
            "why": self.why, "suggestion": self.suggestion(),
        })
    }
}

/// The MaasMachine that the machine was marked for.
fn marks(machine: &Machine) -> Option<String> {
    machine.owner_data.get("capmaas-token")?;
    Some(machine.owner_data.get("capmaas-machine").cloned().unwrap_or_else(|| "(not said)".to_owned()))
}

/// It goes back to the pool by itself, or has.
fn is_leaving(status: Status) -> bool {
    matches!(status, Status::Ready | Status::New | Status::Releasing | Status::DiskErasing)
}

fn is_releasable(status: Status) -> bool {
    use Status as S;
    is_work(status) || matches!(status, S::Reserved | S::Broken | S::FailedReleasing | S::FailedDiskErasing)
}

/// Held for something that runs or is to run; whatever else our user holds, an operator does something with.
fn is_work(status: Status) -> bool {
    matches!(status, Status::Allocated | Status::Deploying | Status::Deployed | Status::FailedDeployment)
}

/// `<cluster>-<6 hex>.<domain>`, as we and the provider before us name what nobody named.
fn is_generated(fqdn: &str) -> bool {
    let label = fqdn.split('.').next().unwrap_or_default();
    let hex = |suffix: &str| suffix.len() == 6 && suffix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    label.rsplit_once('-').is_some_and(|(cluster, suffix)| !cluster.is_empty() && hex(suffix))
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn delete(record: &DnsResource) -> String {
    format!("maas $PROFILE dnsresource delete {}", record.id)
}

#[cfg(test)]
mod tests;
