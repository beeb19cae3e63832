//! From the stores to what one plan sees. Plain functions: a missing Secret, an unread host, an absent Cluster are
//! observations, not errors.

mod remediation;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use capi_types::names::{
    CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL, DELETE_FOR_MOVE_ANNOTATION, DEPLOYMENT_NAME_LABEL,
    FAILED_HOSTS_ANNOTATION, PUBLISHED_ANNOTATION,
};
use capi_types::{
    AddressChoice, AddressFamily, ControlPlaneEndpointMode, CoreCluster, CoreMachine, MaasCluster, MaasMachine,
    MaasMachineTemplate, Network, Spread, SystemId,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(crate) use self::remediation::machine_of;
pub use self::remediation::{Peer, PeerState, Plane, RemediationSeen};
use crate::failed_hosts::FailedHosts;
use crate::fleet::HostSight;
use crate::host::{Attachment, Hardware, HostPhase, HostView, Power, Story};
use crate::names::{DnsName, Key, Kind, ObjectName, Token};
use crate::placement::{self, Constraints, Explanation};
use crate::record::Record;
use crate::stores::{Memory, NameSight, NodesSight, Region, Stores, TokenSight, cluster_of_infra};

/// What the plan of a MaasMachine sees.
#[derive(Debug)]
pub struct MachineSeen<'a> {
    /// The object.
    pub object: &'a MaasMachine,
    /// Its claim record.
    pub record: Record,
    /// The core Machine that owns it.
    pub machine: Option<(ObjectName, Option<&'a CoreMachine>)>,
    /// The core Cluster it belongs to.
    pub cluster: Option<(ObjectName, Option<&'a CoreCluster>)>,
    /// The MaasCluster of that Cluster.
    pub maas_cluster: Option<&'a MaasCluster>,
    /// The region.
    pub region: &'a Region,
    /// What this process remembers.
    pub memory: &'a Memory,
    /// The latest answer to a query for its token.
    pub token: Option<&'a TokenSight>,
    /// The host that its spec names (`systemID`, else `providerID`).
    pub host: Option<(SystemId, &'a HostSight)>,
    /// What a host must have.
    pub constraints: Constraints,
    /// Free hosts that match and that no other machine names or is about to get, cheapest first; or MAAS's refusal of the constraints.
    pub free: Option<Result<Vec<&'a HostView>, &'a str>>,
    /// Free hosts that match and that another machine names or is about to get.
    pub spoken_for: Vec<&'a HostView>,
    /// Why nothing matches, once somebody asked.
    pub explanation: Option<&'a Explanation>,
    /// How many other machines of its group (its MachineDeployment, or the control plane) are in each zone, when they are to be spread.
    pub beside: Option<BTreeMap<String, usize>>,
    /// What befell its host, once somebody asked.
    pub story: Option<&'a Story>,
    /// Hosts that failed for this cluster: what its MaasCluster says.
    pub failed_noted: FailedHosts,
    /// The same, with what this process saw.
    pub failed: FailedHosts,
    /// The MaasRemediation that switches its host's power now: nothing else does.
    pub remedied_by: Option<&'a ObjectName>,
    /// Other MaasMachines whose spec names the same host.
    pub rivals: Vec<&'a ObjectName>,
    /// The control plane's name and what is known of it, when this is a control-plane machine and MAAS keeps the name.
    pub name: Option<(DnsName, &'a NameSight)>,
    /// The Nodes of the workload cluster.
    pub nodes: Option<&'a NodesSight>,
    /// Webhook configurations that are left over from the Go provider.
    pub leftovers: &'a BTreeSet<String>,
}

impl MachineSeen<'_> {
    /// The host to claim now: of those that are free, match and did not fail for the cluster lately, the one that [`placement::choose`] takes.
    pub fn candidate(&self, now: Timestamp) -> Option<&HostView> {
        let free = self.free.as_ref()?.as_ref().ok()?;
        let usable = |host: &&HostView| self.failed.get(&host.id).is_none_or(|failed| failed.avoided_until() <= now);
        placement::choose(free.iter().copied().filter(usable), self.beside.as_ref())
    }
}

/// What the plan of a MaasCluster sees.
#[derive(Debug)]
pub struct ClusterSeen<'a> {
    /// The object.
    pub object: &'a MaasCluster,
    /// The core Cluster that owns it.
    pub cluster: Option<(ObjectName, Option<&'a CoreCluster>)>,
    /// The region.
    pub region: &'a Region,
    /// What this process remembers.
    pub memory: &'a Memory,
    /// Names of all MaasMachines of the Cluster that still exist.
    pub machines: Vec<&'a ObjectName>,
    /// Its control-plane machines.
    pub members: Vec<Member<'a>>,
    /// The name that MAAS keeps, once `spec.controlPlaneEndpoint` has it, and what is known of it.
    pub name: Option<(DnsName, &'a NameSight)>,
    /// Another MaasCluster that had this name first (a copied manifest).
    pub rival: Option<&'a ObjectName>,
    /// The last-applied note: addresses that are there because of us.
    pub published: BTreeSet<IpAddr>,
    /// The hosts that failed deployments for it, as it says.
    pub failed: FailedHosts,
    /// Hosts of its machines whose deployment has failed, or that are given back sick: under which claim, and why.
    pub failing: Vec<(&'a SystemId, Token, &'a str)>,
    /// Addresses of hosts that are known and are no control-plane machine of this cluster.
    pub elsewhere: BTreeSet<IpAddr>,
    /// MAAS domains.
    pub domains: Option<&'a BTreeSet<String>>,
    /// MAAS zones.
    pub zones: Option<&'a BTreeSet<String>>,
    /// Which API server addresses answer.
    pub health: Option<&'a BTreeMap<IpAddr, bool>>,
    /// Webhook configurations that are left over from the Go provider.
    pub leftovers: &'a BTreeSet<String>,
}

/// A control-plane machine as its cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The MaasMachine.
    pub name: &'a ObjectName,
    /// The host that its spec names.
    pub host: Option<SystemId>,
    /// That host was not read yet: nothing may be concluded from its addresses.
    pub unread: bool,
    /// It, or its Machine, is being deleted.
    pub leaving: bool,
    /// Its addresses, while it is held and has (or had) a system; none before it is deployed or deploying.
    pub addresses: Vec<IpAddr>,
    /// Those of them that go into the name: one, or one of each IP version.
    pub chosen: Vec<IpAddr>,
}

/// What the plan of a MaasMachineTemplate sees.
#[derive(Debug)]
pub struct TemplateSeen<'a> {
    /// The object.
    pub object: &'a MaasMachineTemplate,
    /// The core Cluster that owns it.
    pub cluster: Option<(ObjectName, Option<&'a CoreCluster>)>,
    /// MaasMachines cloned from it.
    pub clones: Vec<&'a MaasMachine>,
    /// What a host must have.
    pub constraints: Constraints,
    /// What the machines that have it are made of.
    pub hardware: Option<&'a BTreeSet<Hardware>>,
    /// How many machines that have it are free, and that no machine names or is about to get.
    pub free: Option<usize>,
}

fn labelled<'a>(meta: &'a ObjectMeta, label: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(label).map(String::as_str)
}

fn annotated<'a>(meta: &'a ObjectMeta, annotation: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(annotation).map(String::as_str)
}

fn owner<'a>(meta: &'a ObjectMeta, kind: &str) -> Option<&'a str> {
    let mut owners = meta.owner_references.as_ref()?.iter();
    owners.find(|o| o.kind == kind && o.api_version.starts_with("cluster.x-k8s.io/")).map(|o| o.name.as_str())
}

/// The host that a MaasMachine's spec names.
pub(crate) fn host_of(object: &MaasMachine) -> Option<SystemId> {
    let by_id = object.spec.system_id.as_deref().filter(|id| !id.is_empty()).and_then(|id| id.parse().ok());
    by_id.or_else(|| Some(object.provider_id()?.ok()?.system_id().clone()))
}

/// What a MaasCluster remembers of hosts.
fn failed_hosts(object: &MaasCluster) -> FailedHosts {
    annotated(&object.metadata, FAILED_HOSTS_ANNOTATION).map(FailedHosts::read).unwrap_or_default()
}

/// Why the host of a machine that is being deleted is not to be claimed for the same cluster soon, if so: its replacement would get the
/// same sick box back.
pub(crate) fn given_back_sick(
    object: &MaasMachine,
    machine: Option<&CoreMachine>,
    view: &HostView,
) -> Option<&'static str> {
    let moved = annotated(&object.metadata, DELETE_FOR_MOVE_ANNOTATION).is_some();
    if object.metadata.deletion_timestamp.is_none() || moved || view.phase != HostPhase::Deployed {
        return None;
    }
    if view.power == Power::Off {
        Some("it was powered off when its Machine was deleted")
    } else if machine.is_some_and(|machine| machine.unhealthy) {
        Some("it failed the health check of its Machine")
    } else {
        None
    }
}

/// The addresses of a host that go into the control plane's name.
fn choose(view: &HostView, choice: Option<&AddressChoice>) -> Vec<IpAddr> {
    let Some(choice) = choice else { return view.addresses.first().copied().into_iter().collect() };
    let network = choice.cidr.as_deref().map(|cidr| cidr.parse::<Network>());
    let fits = |address: &&IpAddr| {
        let place = view.attachments.get(address);
        let at = |holds: &dyn Fn(&Attachment) -> bool| place.is_some_and(holds);
        network.as_ref().is_none_or(|n| n.as_ref().is_ok_and(|n| n.contains(**address)))
            && choice.subnet.as_ref().is_none_or(|subnet| at(&|a| a.subnet == *subnet))
            && choice.interface.as_ref().is_none_or(|interface| at(&|a| a.interface == *interface))
            && choice.interface_tag.as_ref().is_none_or(|tag| at(&|a| a.tags.contains(tag)))
    };
    let fitting: Vec<_> = view.addresses.iter().filter(fits).copied().collect();
    let first = |v6: bool| fitting.iter().copied().find(|a| a.is_ipv6() == v6);
    match choice.family {
        AddressFamily::First => fitting.first().copied().into_iter().collect(),
        AddressFamily::IPv4 => first(false).into_iter().collect(),
        AddressFamily::IPv6 => first(true).into_iter().collect(),
        AddressFamily::Dual => first(false).into_iter().chain(first(true)).collect(),
    }
}

impl Stores {
    fn maas_cluster_of(&self, cluster: &ObjectName) -> Option<&MaasCluster> {
        self.maas_clusters
            .iter()
            .find(|(name, object)| {
                name.namespace == cluster.namespace && cluster_of_infra(object).as_ref() == Some(cluster)
            })
            .map(|(_, object)| object)
    }

    fn name_of(&self, object: &MaasCluster) -> Option<(DnsName, &NameSight)> {
        static UNREAD: NameSight = NameSight::Unread;
        let endpoint = object.endpoint()?;
        if object.spec.control_plane_endpoint_mode != ControlPlaneEndpointMode::MaasDNS {
            return None;
        }
        let name = DnsName::within(&endpoint.host, &object.spec.dns_domain)?;
        let sight = self.names.get(&name).unwrap_or(&UNREAD);
        Some((name, sight))
    }

    /// What the plan of this MaasMachine sees; `None` when there is no such object.
    pub fn observe_machine(&self, name: &ObjectName) -> Option<MachineSeen<'_>> {
        let object = self.maas_machines.get(name)?;
        let key = Key { kind: Kind::Machine, name: name.clone() };
        let here = |n: &str| ObjectName::new(name.namespace.clone(), n);
        let machine = owner(&object.metadata, "Machine").map(|n| {
            let n = here(n);
            let found = self.machines.get(&n);
            (n, found)
        });
        let core = machine.as_ref().and_then(|(_, m)| *m);
        let cluster =
            labelled(&object.metadata, CLUSTER_NAME_LABEL).or(core.map(|m| m.cluster_name.as_str())).map(|n| {
                let n = here(n);
                let found = self.clusters.get(&n);
                (n, found)
            });
        let maas_cluster = cluster.as_ref().and_then(|(n, _)| self.maas_cluster_of(n));
        let record = Record::of(object);
        let memory = self.memory(&key);
        let host_id = host_of(object);
        let constraints = Constraints::of(&object.spec, core);
        let reserved: BTreeSet<_> = self.reserved().filter(|(k, _)| **k != key).map(|(_, id)| id).collect();
        // What another object still names is not free to take, whatever MAAS says: core deletes the Node of an ending Machine by the
        // host's name, and would hit the next one's.
        let named: BTreeSet<_> =
            self.maas_machines.iter().filter(|(n, _)| *n != name).filter_map(|(_, o)| host_of(o)).collect();
        let takes = |host: &&HostView| !reserved.contains(&host.id) && !named.contains(&host.id);
        let mut spoken_for = Vec::new();
        let free = self.free_hosts(&constraints).map(|answer| {
            answer.map(|hosts| {
                let (free, others) = hosts.into_iter().partition(takes);
                spoken_for = others;
                free
            })
        });
        let failed_noted = maas_cluster.map(failed_hosts).unwrap_or_default();
        let seen_failing = cluster.as_ref().and_then(|(c, _)| self.failed.get(c));
        let failed = seen_failing.map_or_else(|| failed_noted.clone(), |seen| failed_noted.clone().merged(seen));
        let rivals = host_id.as_ref().map(|id| {
            let others = self.maas_machines.iter().filter(|(n, o)| *n != name && host_of(o).as_ref() == Some(id));
            others.map(|(n, _)| n).collect()
        });
        let control_plane = labelled(&object.metadata, CONTROL_PLANE_LABEL).is_some()
            || core.is_some_and(CoreMachine::is_control_plane);
        Some(MachineSeen {
            object,
            remedied_by: machine.as_ref().and_then(|(n, _)| self.remediation_of(n)),
            token: record.token().and_then(|t| self.tokens.get(t)),
            record,
            machine,
            maas_cluster,
            region: &self.region,
            memory,
            story: host_id.as_ref().and_then(|id| self.stories.get(id)),
            host: host_id.map(|id| {
                let sight = self.fleet.get(&id);
                (id, sight)
            }),
            explanation: self.explanations.get(&constraints),
            beside: self.beside(name, object),
            constraints,
            free,
            spoken_for,
            failed_noted,
            failed,
            rivals: rivals.unwrap_or_default(),
            // The name of a cluster that somebody else manages is not ours to keep, nor to wait for.
            name: maas_cluster.filter(|c| control_plane && !c.is_externally_managed()).and_then(|c| self.name_of(c)),
            nodes: cluster.as_ref().and_then(|(c, _)| self.nodes.get(c)),
            leftovers: &self.leftovers,
            cluster,
        })
    }

    /// How many other machines of the group are in each zone; `None` when it does not matter.
    fn beside(&self, name: &ObjectName, object: &MaasMachine) -> Option<BTreeMap<String, usize>> {
        let spread = object.spec.placement.as_ref().and_then(|place| place.spread).unwrap_or_default();
        if spread != Spread::Zones {
            return None;
        }
        let group = |meta: &ObjectMeta| {
            let text = |label| labelled(meta, label).map(str::to_owned);
            (text(CLUSTER_NAME_LABEL), text(DEPLOYMENT_NAME_LABEL), labelled(meta, CONTROL_PLANE_LABEL).is_some())
        };
        let mine = group(&object.metadata);
        let others = self.maas_machines.iter().filter(|(n, o)| {
            *n != name
                && n.namespace == name.namespace
                && o.metadata.deletion_timestamp.is_none()
                && group(&o.metadata) == mine
        });
        let claimed = |n: &ObjectName| {
            let memory = self.memory(&Key { kind: Kind::Machine, name: n.clone() });
            memory.claimed.clone().or_else(|| memory.claiming.clone())
        };
        let mut zones = BTreeMap::new();
        for (n, other) in others {
            let Some(host) = host_of(other).or_else(|| claimed(n)) else { continue };
            let zone = match self.fleet.get(&host) {
                HostSight::Seen(view) => Some(view.zone.clone()),
                HostSight::Unread | HostSight::Gone => other.status.as_ref().and_then(|s| s.failure_domain.clone()),
            };
            if let Some(zone) = zone {
                *zones.entry(zone).or_default() += 1;
            }
        }
        Some(zones)
    }

    /// What the plan of this MaasCluster sees; `None` when there is no such object.
    pub fn observe_cluster(&self, name: &ObjectName) -> Option<ClusterSeen<'_>> {
        let object = self.maas_clusters.get(name)?;
        let cluster = cluster_of_infra(object).map(|n| {
            let found = self.clusters.get(&n);
            (n, found)
        });
        let label = labelled(&object.metadata, CLUSTER_NAME_LABEL).map(str::to_owned);
        let label = cluster.as_ref().map(|(n, _)| n.name.clone()).or(label);
        let ours = |n: &ObjectName, o: &MaasMachine| {
            n.namespace == name.namespace
                && label.is_some()
                && labelled(&o.metadata, CLUSTER_NAME_LABEL) == label.as_deref()
        };
        let machines: Vec<_> = self.maas_machines.iter().filter(|(n, o)| ours(n, o)).collect();
        let choice = object.spec.control_plane_address.as_ref();
        let members: Vec<_> = machines.iter().filter_map(|(n, o)| self.member(n, o, choice)).collect();
        let failing = machines.iter().filter_map(|(_, o)| self.failing(o)).collect();
        let hosts: BTreeSet<_> = members.iter().filter_map(|m| m.host.as_ref()).collect();
        let elsewhere =
            self.fleet.seen().filter(|h| !hosts.contains(&h.id)).flat_map(|h| h.addresses.iter().copied()).collect();
        let note = annotated(&object.metadata, PUBLISHED_ANNOTATION).unwrap_or_default();
        Some(ClusterSeen {
            object,
            region: &self.region,
            memory: self.memory(&Key { kind: Kind::Cluster, name: name.clone() }),
            machines: machines.into_iter().map(|(n, _)| n).collect(),
            members,
            name: self.name_of(object),
            rival: self.name_rival(name, object),
            failed: failed_hosts(object),
            failing,
            published: note.split(',').filter_map(|a| a.parse().ok()).collect(),
            elsewhere,
            domains: self.domains.as_ref(),
            zones: self.zones.as_ref(),
            health: cluster.as_ref().and_then(|(n, _)| self.health.get(n)),
            leftovers: &self.leftovers,
            cluster,
        })
    }

    /// The MaasCluster whose name this one's is, if it is another's: the provisioned one's, else the older one's.
    fn name_rival(&self, name: &ObjectName, object: &MaasCluster) -> Option<&ObjectName> {
        let (dns, _) = self.name_of(object)?;
        fn rank<'n>(name: &'n ObjectName, object: &MaasCluster) -> (bool, Option<jiff::Timestamp>, &'n ObjectName) {
            (!object.provisioned(), object.metadata.creation_timestamp.as_ref().map(|t| t.0), name)
        }
        let same = |o: &MaasCluster| self.name_of(o).is_some_and(|(other, _)| other == dns);
        let others =
            self.maas_clusters.iter().filter(|(n, o)| *n != name && same(o) && rank(n, o) < rank(name, object));
        others.map(|(n, _)| n).next()
    }

    /// The host of a MaasMachine, when it failed a deployment or is given back sick, and why.
    fn failing(&self, object: &MaasMachine) -> Option<(&SystemId, Token, &str)> {
        let token = Record::of(object).token()?.clone();
        let HostSight::Seen(view) = self.fleet.get(&host_of(object)?) else { return None };
        if !view.is_marked(&token) {
            return None;
        }
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let machine =
            owner(&object.metadata, "Machine").and_then(|n| self.machines.get(&ObjectName::new(namespace, n)));
        let failed = view.phase == HostPhase::DeployFailed && object.spec.provider_id.is_none();
        let why = if failed { view.error.as_str() } else { given_back_sick(object, machine, view)? };
        Some((&view.id, token, why))
    }

    fn member<'a>(
        &'a self,
        name: &'a ObjectName,
        object: &'a MaasMachine,
        choice: Option<&AddressChoice>,
    ) -> Option<Member<'a>> {
        let machine = owner(&object.metadata, "Machine");
        let machine = machine.and_then(|n| self.machines.get(&ObjectName::new(name.namespace.clone(), n)));
        if labelled(&object.metadata, CONTROL_PLANE_LABEL).is_none()
            && !machine.is_some_and(CoreMachine::is_control_plane)
        {
            return None;
        }
        // What is deleted because it was moved lives on elsewhere, under the same name.
        let moved = annotated(&object.metadata, DELETE_FOR_MOVE_ANNOTATION).is_some();
        let deleted = object.metadata.deletion_timestamp.is_some()
            || machine.is_some_and(|m| m.metadata.deletion_timestamp.is_some());
        let host = host_of(object);
        let sight = host.as_ref().map(|id| self.fleet.get(id));
        let record = Record::of(object);
        let held = match sight {
            Some(HostSight::Seen(view)) => Some(view).filter(|v| {
                // In an operator's hands it is still this cluster's: its health decides, not its state.
                let installed = matches!(
                    v.phase,
                    HostPhase::Deploying
                        | HostPhase::Deployed
                        | HostPhase::Broken
                        | HostPhase::Operator
                        | HostPhase::Unknown
                );
                installed && record.token().is_some_and(|t| v.is_marked(t))
            }),
            _ => None,
        };
        Some(Member {
            name,
            host,
            unread: sight == Some(&HostSight::Unread),
            leaving: deleted && !moved,
            chosen: held.map(|v| choose(v, choice)).unwrap_or_default(),
            addresses: held.map(|v| v.addresses.clone()).unwrap_or_default(),
        })
    }

    /// What the plan of this MaasMachineTemplate sees; `None` when there is no such object.
    pub fn observe_template(&self, name: &ObjectName) -> Option<TemplateSeen<'_>> {
        let object = self.templates.get(name)?;
        let cloned = |o: &&MaasMachine| {
            o.metadata.namespace.as_deref() == Some(&name.namespace)
                && annotated(&o.metadata, capi_types::names::CLONED_FROM_NAME_ANNOTATION) == Some(&name.name)
        };
        let constraints = Constraints::of(&object.spec.template.spec, None);
        let cluster = owner(&object.metadata, "Cluster").map(|n| {
            let n = ObjectName::new(name.namespace.clone(), n);
            let found = self.clusters.get(&n);
            (n, found)
        });
        Some(TemplateSeen {
            object,
            cluster,
            clones: self.maas_machines.values().filter(cloned).collect(),
            hardware: self.hardware.get(&constraints),
            free: self.free_hosts(&constraints).map(|answer| answer.map_or(0, |hosts| self.unclaimed(&hosts))),
            constraints,
        })
    }

    /// How many of these no machine names or is about to get.
    fn unclaimed(&self, hosts: &[&HostView]) -> usize {
        let named: BTreeSet<_> = self.maas_machines.values().filter_map(host_of).collect();
        let reserved: BTreeSet<_> = self.reserved().map(|(_, id)| id).collect();
        hosts.iter().filter(|host| !named.contains(&host.id) && !reserved.contains(&host.id)).count()
    }
}
