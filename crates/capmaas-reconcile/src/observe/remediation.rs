//! What the plan of a MaasRemediation sees.

use std::collections::BTreeMap;
use std::net::IpAddr;

use capi_types::names::{CLUSTER_NAME_LABEL, DELETE_FOR_MOVE_ANNOTATION, POWER_CYCLES_ANNOTATION};
use capi_types::{CoreCluster, CoreMachine, MaasMachine, MaasRemediation, SystemId};
use jiff::Timestamp;

use super::{annotated, host_of, labelled, owner};
use crate::cycles::Cycles;
use crate::fleet::HostSight;
use crate::names::{Key, Kind, ObjectName};
use crate::record::Record;
use crate::stores::{Memory, Region, Stores};

/// What the plan of a MaasRemediation sees.
#[derive(Debug)]
pub struct RemediationSeen<'a> {
    /// The object.
    pub object: &'a MaasRemediation,
    /// Its power cycles so far.
    pub cycles: Cycles,
    /// The core Machine that owns it; not one that was made under the same name since.
    pub machine: Option<(ObjectName, Option<&'a CoreMachine>)>,
    /// The core Cluster it belongs to.
    pub cluster: Option<(ObjectName, Option<&'a CoreCluster>)>,
    /// The MaasMachine of that Machine.
    pub maas_machine: Option<(ObjectName, &'a MaasMachine)>,
    /// The claim record of that MaasMachine.
    pub record: Record,
    /// The host that it names.
    pub host: Option<(SystemId, &'a HostSight)>,
    /// The region.
    pub region: &'a Region,
    /// What this process remembers of the remediation.
    pub memory: &'a Memory,
    /// The rest of the control plane, when the Machine belongs to one.
    pub plane: Option<Plane<'a>>,
}

/// A control plane as one of its machines sees it that may be switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plane<'a> {
    /// Its other Machines.
    pub others: Vec<Peer<'a>>,
    /// One of them whose remediation comes first.
    pub ahead: Option<String>,
    /// Whether any API server of the cluster answers; `None` when none was asked yet. One that answers has a quorum of etcd behind it.
    pub answers: Option<bool>,
}

/// Another control-plane Machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Its name.
    pub name: &'a str,
    /// How it is.
    pub state: PeerState,
}

/// How another control-plane Machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerState {
    /// It has joined, no health check complains, and its API server answers as far as that was asked.
    Well,
    /// It is being deleted.
    Leaving,
    /// Its health check failed.
    Sick,
    /// It has not joined yet.
    Coming,
    /// Its API server does not answer.
    Silent,
}

impl PeerState {
    fn of(machine: &CoreMachine, answers: Option<bool>) -> Self {
        if machine.is_deleting() {
            Self::Leaving
        } else if machine.unhealthy {
            Self::Sick
        } else if machine.node_name.is_none() {
            Self::Coming
        } else if answers == Some(false) {
            Self::Silent
        } else {
            Self::Well
        }
    }
}

/// The power cycles that a MaasRemediation has noted.
pub(crate) fn cycles_of(object: &MaasRemediation) -> Cycles {
    annotated(&object.metadata, POWER_CYCLES_ANNOTATION).map(Cycles::read).unwrap_or_default()
}

/// The Machine that a MaasRemediation is for.
pub(crate) fn machine_of(object: &MaasRemediation) -> Option<ObjectName> {
    let namespace = object.metadata.namespace.clone()?;
    owner(&object.metadata, "Machine").map(|name| ObjectName::new(namespace, name))
}

fn owner_uid(object: &MaasRemediation) -> Option<&str> {
    let mut owners = object.metadata.owner_references.as_ref()?.iter();
    owners.find(|o| o.kind == "Machine" && o.api_version.starts_with("cluster.x-k8s.io/")).map(|o| o.uid.as_str())
}

impl Stores {
    /// The Machine of a remediation, as long as it is the one that the remediation was made for.
    fn remedied(&self, object: &MaasRemediation) -> Option<&CoreMachine> {
        let machine = self.machines.get(&machine_of(object)?)?;
        (machine.metadata.uid.as_deref() == owner_uid(object)).then_some(machine)
    }

    /// Whether a remediation may switch its machine's power, or has to.
    fn is_active(&self, name: &ObjectName, object: &MaasRemediation) -> bool {
        let moved = annotated(&object.metadata, DELETE_FOR_MOVE_ANNOTATION).is_some();
        let begins = self.memory(&Key { kind: Kind::Remediation, name: name.clone() }).cycling;
        let open = begins || cycles_of(object).open().is_some();
        let left = self.remedied(object).is_none_or(|machine| machine.owner_remediates || machine.is_deleting());
        !moved && (open || object.metadata.deletion_timestamp.is_none() && !left)
    }

    /// The remediation that decides on the power of a Machine's host, if one does: nobody else switches it then.
    pub(super) fn remediation_of(&self, machine: &ObjectName) -> Option<&ObjectName> {
        let of = |(name, object): &(&ObjectName, &MaasRemediation)| {
            machine_of(object).as_ref() == Some(machine) && self.is_active(name, object)
        };
        self.remediations.iter().find(of).map(|(name, _)| name)
    }

    /// What the plan of this MaasRemediation sees; `None` when there is no such object.
    pub fn observe_remediation(&self, name: &ObjectName) -> Option<RemediationSeen<'_>> {
        let object = self.remediations.get(name)?;
        let here = |n: &str| ObjectName::new(name.namespace.clone(), n);
        let core = self.remedied(object);
        let machine = machine_of(object).map(|n| (n, core));
        let cluster =
            core.map(|m| m.cluster_name.as_str()).or(labelled(&object.metadata, CLUSTER_NAME_LABEL)).map(|n| {
                let n = here(n);
                let found = self.clusters.get(&n);
                (n, found)
            });
        let maas_machine = core.and_then(|m| m.infrastructure_ref.as_ref()).filter(|r| r.kind == "MaasMachine");
        let maas_machine = maas_machine.and_then(|reference| {
            let n = here(&reference.name);
            self.maas_machines.get(&n).map(|found| (n, found))
        });
        let host_id = maas_machine.as_ref().and_then(|(_, m)| host_of(m));
        Some(RemediationSeen {
            object,
            cycles: cycles_of(object),
            plane: core.filter(|m| m.is_control_plane()).map(|m| self.plane(name, object, m)),
            record: maas_machine.as_ref().map_or(Record::Absent, |(_, m)| Record::of(m)),
            host: host_id.map(|id| {
                let sight = self.fleet.get(&id);
                (id, sight)
            }),
            machine,
            cluster,
            maas_machine,
            region: &self.region,
            memory: self.memory(&Key { kind: Kind::Remediation, name: name.clone() }),
        })
    }

    fn plane(&self, name: &ObjectName, object: &MaasRemediation, machine: &CoreMachine) -> Plane<'_> {
        let cluster = ObjectName::new(name.namespace.clone(), machine.cluster_name.clone());
        let health = self.health.get(&cluster).filter(|probed| !probed.is_empty());
        let mut others = Vec::new();
        for (other, peer) in &self.machines {
            let same = other.namespace == name.namespace && peer.cluster_name == machine.cluster_name;
            if same && peer.is_control_plane() && peer.metadata.name != machine.metadata.name {
                others.push(Peer { name: &other.name, state: PeerState::of(peer, self.answers(peer, health)) });
            }
        }
        // Who has begun goes on; else whoever was there first begins.
        let rank = |name: &ObjectName, object: &MaasRemediation| {
            let begins = self.memory(&Key { kind: Kind::Remediation, name: name.clone() }).cycling;
            let waits = !begins && cycles_of(object).count() == 0;
            let made: Option<Timestamp> = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (waits, made, name.clone())
        };
        let ours = rank(name, object);
        let ahead = self.remediations.iter().find_map(|(other, request)| {
            let of = machine_of(request).filter(|of| others.iter().any(|peer| peer.name == of.name))?;
            (self.is_active(other, request) && rank(other, request) < ours).then_some(of.name)
        });
        Plane { others, ahead, answers: health.map(|probed| probed.values().any(|answers| *answers)) }
    }

    /// Whether the API server of a Machine answered at any of its host's addresses; `None` when none of them was probed.
    fn answers(&self, machine: &CoreMachine, health: Option<&BTreeMap<IpAddr, bool>>) -> Option<bool> {
        let reference = machine.infrastructure_ref.as_ref()?;
        let namespace = machine.metadata.namespace.clone()?;
        let object = self.maas_machines.get(&ObjectName::new(namespace, &reference.name))?;
        let HostSight::Seen(view) = self.fleet.get(&host_of(object)?) else { return None };
        let probed = view.addresses.iter().filter_map(|address| health?.get(address));
        probed.copied().reduce(|one, other| one || other)
    }
}
