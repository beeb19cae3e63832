//! A world to plan in: an API server of three kinds, the model fleet, the stores of one process, and an executor.

use std::collections::{BTreeMap, BTreeSet};

use capi_types::names::{
    BLOCK_MOVE_ANNOTATION, CLAIM_ANNOTATION, CLUSTER_FINALIZER, CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL,
    FAILED_HOSTS_ANNOTATION, MACHINE_FINALIZER, POWER_CYCLES_ANNOTATION, PUBLISHED_ANNOTATION, REMEDIATION_FINALIZER,
};
use capi_types::{ApiEndpoint, CoreCluster, CoreMachine, MaasCluster, MaasMachine, MaasRemediation};
use capmaas_reconcile::decision::{Decision, Intent, PowerOrder, SpecWrite, Status, Step};
use capmaas_reconcile::model::{Injected, ModelFleet};
use capmaas_reconcile::names::{Key, Kind, ObjectName};
use capmaas_reconcile::outcome::Answer;
use capmaas_reconcile::plan;
use capmaas_reconcile::provider::{ClaimOrder, Fault, Provider, Recorded, Refusal, Verdict};
use capmaas_reconcile::record::Record;
use capmaas_reconcile::stores::{Fact, Stores};
use capmaas_reconcile::topic::Topic;
use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

pub(crate) const CLUSTER: &str = "c1";

pub(crate) fn t0() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn name(n: &str) -> ObjectName {
    ObjectName::new("default", n)
}

pub(crate) fn key(n: &str) -> Key {
    Key::new(Kind::Machine, "default", n)
}

pub(crate) fn meta(n: &str, owner: Option<(&str, &str)>) -> ObjectMeta {
    let owner = owner.map(|(kind, name)| OwnerReference {
        api_version: "cluster.x-k8s.io/v1beta2".to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: format!("uid-of-{name}"),
        ..OwnerReference::default()
    });
    ObjectMeta {
        name: Some(n.to_owned()),
        namespace: Some("default".to_owned()),
        uid: Some(format!("uid-{n}")),
        generation: Some(1),
        labels: Some(BTreeMap::from([(CLUSTER_NAME_LABEL.to_owned(), CLUSTER.to_owned())])),
        owner_references: owner.map(|o| vec![o]),
        ..ObjectMeta::default()
    }
}

pub(crate) fn core_cluster() -> CoreCluster {
    CoreCluster {
        metadata: meta(CLUSTER, None),
        infrastructure_provisioned: true,
        control_plane_initialized: true,
        ..CoreCluster::default()
    }
}

pub(crate) fn core_machine(n: &str) -> CoreMachine {
    CoreMachine {
        metadata: meta(n, None),
        cluster_name: CLUSTER.to_owned(),
        data_secret_name: Some(format!("{n}-bootstrap")),
        ..CoreMachine::default()
    }
}

/// As Cluster API makes it: owned by the Machine of the same name.
pub(crate) fn maas_machine(n: &str) -> MaasMachine {
    let mut object = MaasMachine { metadata: meta(n, Some(("Machine", n))), ..MaasMachine::default() };
    object.spec.image = "ubuntu/noble".to_owned();
    object.spec.min_cpu = 2;
    object.spec.min_memory = 4096;
    object
}

pub(crate) fn control_plane(mut object: MaasMachine) -> MaasMachine {
    object.metadata.labels.get_or_insert_default().insert(CONTROL_PLANE_LABEL.to_owned(), String::new());
    object
}

pub(crate) fn maas_cluster() -> MaasCluster {
    let mut object = MaasCluster { metadata: meta(CLUSTER, Some(("Cluster", CLUSTER))), ..MaasCluster::default() };
    object.spec.dns_domain = "maas".to_owned();
    object
}

pub(crate) fn annotate(meta: &mut ObjectMeta, annotation: &str, text: &str) {
    meta.annotations.get_or_insert_default().insert(annotation.to_owned(), text.to_owned());
}

/// How a step fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Chance {
    Fine,
    /// The metal refuses, or does it without an answer.
    Metal(Injected),
    /// The API server refuses (a conflict).
    Refused,
    /// The API server does it; the answer gets lost.
    DoneUnheard,
}

/// A claim that was sent and may still take effect.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) machine: MaasMachine,
    pub(crate) order: ClaimOrder,
    pub(crate) sent: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) fleet: ModelFleet,
    pub(crate) stores: Stores,
    pub(crate) machines: BTreeMap<ObjectName, MaasMachine>,
    pub(crate) clusters: BTreeMap<ObjectName, MaasCluster>,
    pub(crate) core_cluster: CoreCluster,
    pub(crate) core_machines: BTreeMap<ObjectName, CoreMachine>,
    pub(crate) remediations: BTreeMap<ObjectName, MaasRemediation>,
    pub(crate) in_flight: Vec<InFlight>,
    revision: u64,
}

impl World {
    /// A provisioned Cluster without a MaasCluster, a process that has read everything but hosts, and no machines.
    pub(crate) fn new(fleet: ModelFleet) -> Self {
        let mut world = Self {
            now: t0(),
            fleet,
            stores: Stores::default(),
            machines: BTreeMap::new(),
            clusters: BTreeMap::new(),
            core_cluster: core_cluster(),
            core_machines: BTreeMap::new(),
            remediations: BTreeMap::new(),
            in_flight: Vec::new(),
            revision: 100,
        };
        world.restart();
        world
    }

    /// The process is dropped; a new one reads the objects.
    pub(crate) fn restart(&mut self) {
        self.stores = Stores::default();
        let mut facts = self.fleet.facts(&Topic::Region, self.stores.fleet.send(), self.now);
        facts.push(Fact::CoreCluster(name(CLUSTER), Some(Box::new(self.core_cluster.clone()))));
        facts.extend(self.core_machines.iter().map(|(n, m)| Fact::CoreMachine(n.clone(), Some(Box::new(m.clone())))));
        facts.extend(self.machines.iter().map(|(n, m)| Fact::MaasMachine(n.clone(), Some(Box::new(m.clone())))));
        facts.extend(self.remediations.iter().map(|(n, r)| Fact::Remediation(n.clone(), Some(Box::new(r.clone())))));
        facts.extend(self.clusters.iter().map(|(n, c)| Fact::MaasCluster(n.clone(), Some(Box::new(c.clone())))));
        for fact in facts {
            self.stores.learn(fact, self.now);
        }
    }

    /// A MaasMachine and, unless there is one, the Machine that owns it.
    pub(crate) fn add(&mut self, object: MaasMachine) {
        let n = name(object.metadata.name.as_deref().unwrap());
        let core = self.core_machines.entry(n.clone()).or_insert_with(|| core_machine(&n.name)).clone();
        self.stores.learn(Fact::CoreMachine(n, Some(Box::new(core))), self.now);
        self.put(object);
    }

    pub(crate) fn put(&mut self, mut object: MaasMachine) {
        self.revision += 1;
        object.metadata.resource_version = Some(self.revision.to_string());
        let n = name(object.metadata.name.as_deref().unwrap());
        let finalizers = object.metadata.finalizers.as_ref().is_some_and(|f| !f.is_empty());
        let object = (object.metadata.deletion_timestamp.is_none() || finalizers).then_some(object);
        match &object {
            Some(object) => self.machines.insert(n.clone(), object.clone()),
            None => self.machines.remove(&n),
        };
        self.stores.learn(Fact::MaasMachine(n, object.map(Box::new)), self.now);
    }

    pub(crate) fn put_cluster(&mut self, mut object: MaasCluster) {
        self.revision += 1;
        object.metadata.resource_version = Some(self.revision.to_string());
        let n = name(object.metadata.name.as_deref().unwrap());
        let finalizers = object.metadata.finalizers.as_ref().is_some_and(|f| !f.is_empty());
        let object = (object.metadata.deletion_timestamp.is_none() || finalizers).then_some(object);
        match &object {
            Some(object) => self.clusters.insert(n.clone(), object.clone()),
            None => self.clusters.remove(&n),
        };
        self.stores.learn(Fact::MaasCluster(n, object.map(Box::new)), self.now);
    }

    /// A Machine as Cluster API has it now.
    pub(crate) fn put_core_machine(&mut self, mut object: CoreMachine) {
        self.revision += 1;
        object.metadata.resource_version = Some(self.revision.to_string());
        let n = name(object.metadata.name.as_deref().unwrap());
        self.core_machines.insert(n.clone(), object.clone());
        self.stores.learn(Fact::CoreMachine(n, Some(Box::new(object))), self.now);
    }

    pub(crate) fn put_remediation(&mut self, mut object: MaasRemediation) {
        self.revision += 1;
        object.metadata.resource_version = Some(self.revision.to_string());
        let n = name(object.metadata.name.as_deref().unwrap());
        let finalizers = object.metadata.finalizers.as_ref().is_some_and(|f| !f.is_empty());
        let object = (object.metadata.deletion_timestamp.is_none() || finalizers).then_some(object);
        match &object {
            Some(object) => self.remediations.insert(n.clone(), object.clone()),
            None => self.remediations.remove(&n),
        };
        self.stores.learn(Fact::Remediation(n, object.map(Box::new)), self.now);
    }

    pub(crate) fn put_core_cluster(&mut self) {
        self.revision += 1;
        self.core_cluster.metadata.resource_version = Some(self.revision.to_string());
        self.stores.learn(Fact::CoreCluster(name(CLUSTER), Some(Box::new(self.core_cluster.clone()))), self.now);
    }

    /// Somebody deletes a MaasMachine.
    pub(crate) fn delete(&mut self, n: &str) {
        let mut object = self.machines[&name(n)].clone();
        object.metadata.deletion_timestamp = Some(Time(self.now));
        self.put(object);
    }

    pub(crate) fn machine(&self, n: &str) -> &MaasMachine {
        &self.machines[&name(n)]
    }

    pub(crate) fn plan(&self, key: &Key) -> Decision {
        match key.kind {
            Kind::Machine => plan::machine::plan(&self.stores.observe_machine(&key.name).unwrap(), self.now),
            Kind::Cluster => plan::cluster::plan(&self.stores.observe_cluster(&key.name).unwrap(), self.now),
            Kind::Template => plan::template::plan(&self.stores.observe_template(&key.name).unwrap(), self.now),
            Kind::Remediation => {
                plan::remediation::plan(&self.stores.observe_remediation(&key.name).unwrap(), self.now)
            }
        }
    }

    /// Reads what the decision waits for, as the feeders do.
    pub(crate) fn feed(&mut self, topic: &Topic) {
        let sent = self.stores.fleet.send();
        for fact in self.fleet.facts(topic, sent, self.now) {
            self.stores.learn(fact, self.now);
        }
    }

    /// Writes the status, does the step, remembers.
    pub(crate) fn execute(&mut self, key: &Key, decision: Decision, chance: Chance) {
        self.write_status(key, &decision);
        if let Some(step) = decision.next {
            self.step(key, &step, chance);
        }
    }

    pub(crate) fn write_status(&mut self, key: &Key, decision: &Decision) {
        match &decision.status {
            Some(Status::Machine(status)) if self.machines[&key.name].status.as_ref() != Some(&**status) => {
                let mut object = self.machines[&key.name].clone();
                object.status = Some((**status).clone());
                self.put(object);
            }
            Some(Status::Cluster(status)) if self.clusters[&key.name].status.as_ref() != Some(&**status) => {
                let mut object = self.clusters[&key.name].clone();
                object.status = Some((**status).clone());
                self.put_cluster(object);
            }
            Some(Status::Remediation(status)) if self.remediations[&key.name].status.as_ref() != Some(&**status) => {
                let mut object = self.remediations[&key.name].clone();
                object.status = Some((**status).clone());
                self.put_remediation(object);
            }
            _ => {}
        }
    }

    fn step(&mut self, key: &Key, step: &Step, chance: Chance) {
        self.stores.step_begins(key, step);
        if let Chance::Metal(injected) = chance {
            self.fleet.inject(injected);
        }
        let answer = match step {
            Step::Record(_) | Step::WriteSpec(_) | Step::DropFinalizer | Step::TieNode(_) | Step::HandOver(_) => {
                let unheard =
                    || Err(Fault::Unavailable { message: "the API server did not take the patch".to_owned() });
                let done = if chance == Chance::Refused { unheard() } else { Ok(Answer::Done) };
                let heard = if chance == Chance::DoneUnheard { unheard() } else { done.clone() };
                self.stores.step_ended(key, step, heard, self.now);
                if done.is_ok() {
                    self.patch(key, step);
                }
                return;
            }
            Step::Claim(order) => {
                let object = self.stores.maas_machines[&key.name].clone();
                if chance == Chance::Metal(Injected::AmbiguousLost) {
                    self.in_flight.push(InFlight { machine: object.clone(), order: order.clone(), sent: self.now });
                }
                let intent = Recorded::read_back(&object).expect("plan claims recorded intents only");
                let answer = self.fleet.claim(&intent, order).now_or_never().unwrap();
                answer.map(|(_, view)| Answer::Host(Box::new(view)))
            }
            Step::Publish(order) => self.fleet.publish(order).now_or_never().unwrap().map(Answer::Published),
            Step::Unpublish(name) => self.fleet.unpublish(name).now_or_never().unwrap().map(|()| Answer::Done),
            Step::Mark { host, token, takeover, .. } => {
                let verdict = self.fleet.prove(host, token, takeover.clone()).now_or_never().unwrap();
                let Some(answer) = self.proven(key, step, verdict) else { return };
                answer
            }
            Step::Deploy { host, token, .. }
            | Step::Release { host, token, .. }
            | Step::SwapOff { host, token }
            | Step::Power { host, token, .. }
            | Step::Quarantine { host, token, .. } => {
                let verdict = self.fleet.prove(host, token, None).now_or_never().unwrap();
                let Some(answer) = self.proven(key, step, verdict) else { return };
                answer
            }
        };
        self.stores.step_ended(key, step, answer, self.now);
    }

    /// Does a step that needs a proof. `None`: the look before it showed that there is none.
    fn proven(&mut self, key: &Key, step: &Step, verdict: Result<Verdict, Fault>) -> Option<Result<Answer, Fault>> {
        let proof = match verdict {
            Err(fault) => return Some(Err(fault)),
            Ok(Verdict::Ours(proof, _)) => proof,
            Ok(Verdict::NotOurs(not_ours)) => {
                self.fleet.clear_injected();
                self.stores.step_not_ours(key, step, &not_ours, self.now);
                return None;
            }
            Ok(Verdict::Gone) => {
                self.fleet.clear_injected();
                let gone = Fault::Rejected { why: Refusal::Gone, message: "there is no such machine".to_owned() };
                self.stores.step_ended(key, step, Err(gone), self.now);
                let (Step::Mark { host, .. }
                | Step::Deploy { host, .. }
                | Step::Release { host, .. }
                | Step::SwapOff { host, .. }
                | Step::Power { host, .. }
                | Step::Quarantine { host, .. }) = step
                else {
                    return None;
                };
                let sent = self.stores.fleet.send();
                self.stores.learn(Fact::HostGone(host.clone(), sent), self.now);
                return None;
            }
        };
        let view = match step {
            Step::Mark { marks, .. } => self.fleet.mark(proof, marks).now_or_never().unwrap().map(|(_, view)| view),
            Step::SwapOff { .. } => self.fleet.swap_off(proof).now_or_never().unwrap().map(|(_, view)| view),
            Step::Deploy { order, .. } => self.fleet.deploy(proof, order, b"#cloud-config").now_or_never().unwrap(),
            Step::Release { order, .. } => self.fleet.release(proof, order).now_or_never().unwrap(),
            Step::Power { to: PowerOrder::On, comment, .. } => {
                self.fleet.power_on(proof, comment).now_or_never().unwrap()
            }
            Step::Power { to: PowerOrder::Off, comment, .. } => {
                self.fleet.power_off(proof, comment).now_or_never().unwrap()
            }
            Step::Quarantine { order, .. } => self.fleet.quarantine(proof, order).now_or_never().unwrap(),
            other => unreachable!("{other:?} needs no proof"),
        };
        Some(view.map(|view| Answer::Host(Box::new(view))))
    }

    fn patch(&mut self, key: &Key, step: &Step) {
        match key.kind {
            Kind::Cluster => return self.patch_cluster(key, step),
            Kind::Remediation => return self.patch_remediation(key, step),
            Kind::Machine | Kind::Template => {}
        }
        let mut object = self.machines[&key.name].clone();
        match step {
            Step::Record(Intent::Claim(token)) => {
                let finalizers = object.metadata.finalizers.get_or_insert_default();
                if !finalizers.iter().any(|f| f == MACHINE_FINALIZER) {
                    finalizers.push(MACHINE_FINALIZER.to_owned());
                }
                annotate(&mut object.metadata, CLAIM_ANNOTATION, &Record::text(token, &key.name));
                annotate(&mut object.metadata, BLOCK_MOVE_ANNOTATION, "");
            }
            Step::Record(Intent::Own(token)) => {
                let finalizers = object.metadata.finalizers.get_or_insert_default();
                if !finalizers.iter().any(|f| f == MACHINE_FINALIZER) {
                    finalizers.push(MACHINE_FINALIZER.to_owned());
                }
                annotate(&mut object.metadata, CLAIM_ANNOTATION, &Record::text(token, &key.name));
            }
            Step::Record(Intent::UnblockMove) => {
                object.metadata.annotations.as_mut().unwrap().remove(BLOCK_MOVE_ANNOTATION);
            }
            Step::WriteSpec(SpecWrite::SystemId(id)) => {
                object.spec.system_id = Some(id.to_string());
                object.metadata.annotations.as_mut().unwrap().remove(BLOCK_MOVE_ANNOTATION);
            }
            Step::WriteSpec(SpecWrite::NoSystemId) => object.spec.system_id = None,
            Step::WriteSpec(SpecWrite::ProviderId(id)) => {
                assert_eq!(object.spec.provider_id, None, "written once");
                object.spec.provider_id = Some(id.to_string());
            }
            Step::DropFinalizer => object.metadata.finalizers = None,
            other => unreachable!("{other:?} is no patch of a MaasMachine"),
        }
        self.put(object);
    }

    fn patch_cluster(&mut self, key: &Key, step: &Step) {
        let mut object = self.clusters[&key.name].clone();
        match step {
            Step::Record(Intent::Finalizer) => object.metadata.finalizers = Some(vec![CLUSTER_FINALIZER.to_owned()]),
            Step::Record(Intent::Published(addresses)) => {
                let text: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                annotate(&mut object.metadata, PUBLISHED_ANNOTATION, &text.join(","));
            }
            Step::Record(Intent::FailedHosts(hosts)) => {
                annotate(&mut object.metadata, FAILED_HOSTS_ANNOTATION, &hosts.text());
            }
            Step::WriteSpec(SpecWrite::Endpoint { host, port }) => {
                object.spec.control_plane_endpoint = Some(ApiEndpoint { host: host.clone(), port: i32::from(*port) });
            }
            Step::DropFinalizer => object.metadata.finalizers = None,
            other => unreachable!("{other:?} is no patch of a MaasCluster"),
        }
        self.put_cluster(object);
    }

    fn patch_remediation(&mut self, key: &Key, step: &Step) {
        let mut object = self.remediations[&key.name].clone();
        match step {
            Step::Record(Intent::PowerCycles(cycles)) => {
                if object.metadata.deletion_timestamp.is_none() {
                    object.metadata.finalizers = Some(vec![REMEDIATION_FINALIZER.to_owned()]);
                }
                annotate(&mut object.metadata, POWER_CYCLES_ANNOTATION, &cycles.text());
                match cycles.open() {
                    Some(_) => annotate(&mut object.metadata, BLOCK_MOVE_ANNOTATION, ""),
                    None => drop(object.metadata.annotations.as_mut().unwrap().remove(BLOCK_MOVE_ANNOTATION)),
                }
            }
            Step::Record(Intent::UnblockMove) => {
                object.metadata.annotations.as_mut().unwrap().remove(BLOCK_MOVE_ANNOTATION);
            }
            Step::HandOver(order) => {
                let mut machine = self.core_machines[&order.machine].clone();
                assert_eq!(machine.metadata.uid.as_deref(), Some(&*order.uid));
                machine.owner_remediates = true;
                return self.put_core_machine(machine);
            }
            Step::DropFinalizer => object.metadata.finalizers = None,
            other => unreachable!("{other:?} is no patch of a MaasRemediation"),
        }
        self.put_remediation(object);
    }

    /// Plans, feeds and executes one object until it plans nothing more; the steps that were done.
    pub(crate) fn settle(&mut self, key: &Key) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut read = BTreeSet::new();
        for _ in 0..60 {
            let there = match key.kind {
                Kind::Machine => self.machines.contains_key(&key.name),
                Kind::Cluster => self.clusters.contains_key(&key.name),
                Kind::Template => true,
                Kind::Remediation => self.remediations.contains_key(&key.name),
            };
            if !there {
                return steps;
            }
            let decision = self.plan(key);
            if let Some(step) = decision.next.clone() {
                steps.push(step);
                self.execute(key, decision, Chance::Fine);
                read.clear();
            } else if let Some(topic) = decision.wake.topics.iter().find(|t| !read.contains(*t)).cloned() {
                self.feed(&topic);
                read.insert(topic);
            } else {
                self.write_status(key, &decision);
                return steps;
            }
        }
        panic!("{key} does not settle: {steps:?}");
    }
}
