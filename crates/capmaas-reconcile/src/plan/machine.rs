//! The plan of a MaasMachine.
//!
//! ```text
//! no finalizer ─ Record(Claim) ─ [look the token up, if somebody else may have claimed] ─ Claim ─ WriteSpec(systemID)
//!   ─ Mark ─ Deploy ─ (MAAS installs) ─ WriteSpec(providerID) ─ provisioned ─ TieNode
//! deleted ─ (the name forgets the address) ─ Release ─ (MAAS frees) ─ DropFinalizer
//! deployment failed ─ (MAAS tells why, the MaasCluster notes it) ─ [Quarantine] ─ Release ─ claim another
//! ```

#![doc = ""]
#![doc = include_str!("machine_table.md")]

mod hosted;
mod leaving;
mod trouble;

use std::net::IpAddr;

use capi_types::conditions::{self, reason};
use capi_types::names::{
    ABANDON_ANNOTATION, BLOCK_MOVE_ANNOTATION, DELETE_FOR_MOVE_ANNOTATION, MACHINE_FINALIZER, PAUSED_ANNOTATION,
};
use capi_types::{
    AddressType, CoreCluster, CoreMachine, InitializationStatus, MaasMachineStatus, MachineAddress, ProviderId, Swap,
    SystemId,
};
use jiff::{SignedDuration, Timestamp};

use super::draft::{Conditions, Waiting, Why, leftovers, pause, region_trouble, trouble, write_failed};
use crate::decision::{Decision, Intent, NodeTie, Note, PowerOrder, SpecWrite, Status, Step, StepKind};
use crate::failed_hosts::FailedHost;
use crate::fleet::HostSight;
use crate::host::{Holder, HostPhase, HostView, Power};
use crate::names::{ObjectName, Token};
use crate::observe::MachineSeen;
use crate::placement::Explanation;
use crate::provider::{ClaimOrder, DeployOrder, Fault, Marks, QuarantineOrder, Refusal, ReleaseOrder};
use crate::record::Record;
use crate::stores::{NameSight, NodeView, NodesSight, Region};
use crate::topic::Topic;

/// A claim without a clear answer may take effect this late (MAAS retries a transaction for 90 s).
pub const CLAIM_MAY_LAND: SignedDuration = SignedDuration::from_secs(100);
/// Paused objects are movable after this at the latest.
pub const UNBLOCK_MOVE: SignedDuration = SignedDuration::from_secs(60);
/// How often a token is looked up while a claim may still land.
const LOOK_UP_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// MAAS's name servers follow a write within this time; until then resolvers may still be told the old addresses.
const NAME_SERVERS_FOLLOW: SignedDuration = SignedDuration::from_secs(5);
/// Time to live of the control plane's name, seconds; a leaving address is waited out this long.
pub const TTL: u32 = 10;

/// See the module.
pub fn plan(seen: &MachineSeen<'_>, now: Timestamp) -> Decision {
    let mut pass = Pass::new(seen, now);
    let next = pass.next();
    let next = pass.in_the_way(next);
    pass.finish(next)
}

struct Pass<'a, 'b> {
    seen: &'b MachineSeen<'a>,
    now: Timestamp,
    waiting: Waiting,
    status: MaasMachineStatus,
    wanted: Conditions,
    note: Option<Note>,
    /// Status is left alone (objects that are not ours to touch).
    silent: bool,
    paused: bool,
}

impl<'a> Pass<'a, '_> {
    fn finish(self, next: Option<Step>) -> Decision {
        let standing = self.seen.object.status.clone().unwrap_or_default();
        if self.silent {
            return Decision { next, status: None, event: None, wake: self.waiting.wake() };
        }
        let generation = self.seen.object.metadata.generation;
        let (conditions, event) = self.wanted.settle(&standing.conditions, generation, self.now);
        let status = MaasMachineStatus { conditions, ..self.status };
        // With the object goes its status: what is told then is why it may go.
        let event = if next == Some(Step::DropFinalizer) { self.note } else { self.note.or(event) };
        Decision { next, status: Some(Status::Machine(Box::new(status))), event, wake: self.waiting.wake() }
    }
}

impl<'a, 'b> Pass<'a, 'b> {
    /// Says that the API server does not take what is to be written, or that left-over webhooks may. A machine that wants nothing written is
    /// not bothered with those: its cluster says it.
    fn in_the_way(&mut self, mut next: Option<Step>) -> Option<Step> {
        if self.silent || self.paused {
            return next;
        }
        let writes = next.as_ref().is_some_and(Step::writes_object);
        if let Some(why) = write_failed(self.seen.memory, &mut next, &mut self.waiting) {
            if self.seen.object.provisioned() && !self.deleting() {
                self.wanted.unknown(conditions::READY, &why);
            } else {
                self.wanted.no(conditions::READY, &why);
            }
        }
        let standing = self.seen.object.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let told = conditions::find(standing, conditions::LEFTOVER_WEBHOOKS).is_some();
        if told || writes {
            self.waiting.on(Topic::Leftovers);
            leftovers(self.seen.leftovers, standing, &mut self.wanted, &mut self.note);
        }
        next
    }

    fn new(seen: &'b MachineSeen<'a>, now: Timestamp) -> Self {
        let mut waiting = Waiting::new(now);
        waiting.on(Topic::Region);
        if let Some((name, _)) = &seen.machine {
            waiting.on(Topic::CoreMachine(name.clone()));
        }
        if let Some((name, _)) = &seen.cluster {
            waiting.on(Topic::Cluster(name.clone()));
        }
        let status = seen.object.status.clone().unwrap_or_default();
        Self { seen, now, waiting, status, wanted: Conditions::default(), note: None, silent: false, paused: false }
    }

    fn annotated(&self, name: &str) -> Option<&str> {
        self.seen.object.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }

    fn deleting(&self) -> bool {
        self.seen.object.metadata.deletion_timestamp.is_some()
    }

    fn has_finalizer(&self) -> bool {
        self.seen.object.metadata.finalizers.iter().flatten().any(|f| f == MACHINE_FINALIZER)
    }

    /// Ready=False and MachineDeployed=False for one reason: the usual way to say why there is no machine yet.
    fn not_yet(&mut self, why: &Why) {
        self.wanted.no(conditions::READY, why);
        if !self.seen.object.provisioned() {
            self.wanted.no(conditions::MACHINE_DEPLOYED, why);
            self.status.ready = false;
        }
    }

    fn next(&mut self) -> Option<Step> {
        let seen = self.seen;
        if self.deleting() && (!self.has_finalizer() || self.annotated(DELETE_FOR_MOVE_ANNOTATION).is_some()) {
            // Nothing of ours is left to do; or clusterctl moved the object away and its machine lives on elsewhere.
            self.silent = true;
            return None;
        }
        let cluster = seen.cluster.as_ref().and_then(|(_, cluster)| *cluster);
        if let Some(cause) = pause(cluster, self.annotated(PAUSED_ANNOTATION).is_some()) {
            return self.paused(&cause);
        }
        if self.deleting() {
            return self.leave();
        }
        let Some((_, Some(_))) = &seen.machine else {
            self.not_yet(&Why::new(reason::WAITING_FOR_OWNER, "waiting for the Machine that owns this object"));
            return None;
        };
        if seen.object.wants_lxd() {
            let message =
                "spec.lxd.enabled is not supported: MAAS has removed VM hosts; remove spec.lxd from the template";
            self.not_yet(&Why::new(reason::NOT_SUPPORTED, message));
            return None;
        }
        if let Some(Err(error)) = seen.object.provider_id() {
            self.not_yet(&Why::new(reason::INVALID_SPEC, format!("spec.providerID: {error}")));
            return None;
        }
        if seen.record.token().is_some() {
            self.waiting.on(Topic::Strays);
        }
        match &seen.host {
            Some((id, sight)) => self.with_host(id.clone(), sight),
            None => self.without_host(),
        }
    }

    // ---- before there is a host

    fn without_host(&mut self) -> Option<Step> {
        let seen = self.seen;
        let Some((_, Some(machine))) = &seen.machine else { return None };
        if let (Some(id), Record::Mine(_)) = (&seen.memory.claimed, &seen.record) {
            self.not_yet(&Why::new(reason::CLAIMING, "recording the claimed machine"));
            return Some(Step::WriteSpec(SpecWrite::SystemId(id.clone())));
        }
        if let (Some(id), Record::Mine(_)) = (self.found(), &seen.record) {
            self.not_yet(&Why::new(reason::CLAIMING, "recording a machine that an earlier claim got"));
            return Some(Step::WriteSpec(SpecWrite::SystemId(id)));
        }
        if machine.is_deleting() {
            self.not_yet(&Why::new(reason::DELETING, "the Machine is being deleted"));
            return None;
        }
        if let Some(contradiction) = seen.constraints.contradiction() {
            self.not_yet(&Why::new(reason::INVALID_SPEC, contradiction));
            return None;
        }
        let Some((cluster_name, Some(cluster))) = &seen.cluster else {
            self.not_yet(&Why::new(reason::WAITING_FOR_CLUSTER_INFRASTRUCTURE, "waiting for the Cluster"));
            return None;
        };
        if cluster.is_deleting() {
            self.not_yet(&Why::new(reason::DELETING, "the Cluster is being deleted"));
            return None;
        }
        if !cluster.infrastructure_provisioned {
            let message = format!("waiting for the infrastructure of Cluster {}", cluster_name.name);
            self.not_yet(&Why::new(reason::WAITING_FOR_CLUSTER_INFRASTRUCTURE, message));
            return None;
        }
        if machine.data_secret_name.is_none() {
            let why = if !machine.is_control_plane() && !cluster.control_plane_initialized {
                Why::new(
                    reason::WAITING_FOR_CONTROL_PLANE_INITIALIZED,
                    "waiting for the first control-plane machine to be initialised",
                )
            } else {
                Why::new(
                    reason::WAITING_FOR_BOOTSTRAP_DATA,
                    "waiting for the bootstrap provider to make the bootstrap data",
                )
            };
            self.not_yet(&why);
            return None;
        }
        let token = match &seen.record {
            // block-move stands whenever a claim may be sent; a pause has taken it away.
            Record::Mine(token) if self.has_finalizer() && self.annotated(BLOCK_MOVE_ANNOTATION).is_some() => {
                token.clone()
            }
            Record::Mine(token) => {
                self.not_yet(&Why::new(reason::CLAIMING, "claiming a machine"));
                return Some(Step::Record(Intent::Claim(token.clone())));
            }
            Record::Absent | Record::Foreign(_) => {
                let uid = seen.object.metadata.uid.as_deref()?;
                self.not_yet(&Why::new(reason::CLAIMING, "claiming a machine"));
                return Some(Step::Record(Intent::Claim(Token::mint(uid))));
            }
        };
        if let Some(why) = region_trouble(seen.region) {
            self.not_yet(&why);
            return None;
        }
        match self.claim_may_land(&token, CLAIM_MAY_LAND) {
            Landing::Found(id) => return Some(Step::WriteSpec(SpecWrite::SystemId(id))),
            Landing::Open => {
                let message =
                    "an earlier claim may still take effect in MAAS; waiting until it has shown or its time is over";
                self.not_yet(&Why::new(reason::CLAIMING, message));
                return None;
            }
            Landing::Closed => {}
        }
        self.claim(token)
    }

    fn claim(&mut self, token: Token) -> Option<Step> {
        let seen = self.seen;
        let Region::Up(facts) = seen.region else { return None };
        if seen.object.spec.deploy_in_memory && !facts.deploys_into_memory() {
            let message = format!(
                "spec.deployInMemory needs MAAS 3.5.10, 3.6.3, 3.7.1 or later, and this one is {}: upgrade MAAS, or leave the field out",
                facts.version
            );
            self.not_yet(&Why::new(reason::NOT_SUPPORTED, message));
            return None;
        }
        self.waiting.on(Topic::Pool(seen.constraints.clone()));
        let free = match &seen.free {
            None => {
                self.not_yet(
                    &trouble(seen.memory, StepKind::Claim).unwrap_or(Why::new(reason::CLAIMING, "choosing a machine")),
                );
                return None;
            }
            Some(Err(refusal)) => {
                self.not_yet(&Why::new(
                    reason::INVALID_SPEC,
                    format!("MAAS does not accept {}: {refusal}", seen.constraints),
                ));
                return None;
            }
            Some(Ok(free)) => free,
        };
        let Some(host) = seen.candidate(self.now) else {
            self.nothing_free(free);
            return None;
        };
        self.not_yet(&Why::new(reason::CLAIMING, "claiming a machine"));
        if self.failing(StepKind::Claim) {
            return None;
        }
        Some(Step::Claim(ClaimOrder { token, host: host.id.clone(), constraints: seen.constraints.clone() }))
    }

    /// Says why there is no machine to claim: which rule takes the last one, and in an event how many each of them takes.
    fn nothing_free(&mut self, kept: &[&HostView]) {
        let seen = self.seen;
        let names = |hosts: &[&HostView]| hosts.iter().map(|h| h.hostname.as_str()).collect::<Vec<_>>().join(", ");
        let why = if !kept.is_empty() {
            if let Some(until) = kept.iter().filter_map(|h| self.avoided_until(&h.id)).min() {
                self.waiting.at(until);
            }
            let message = format!(
                "no machine: {} would match but failed a deployment for this cluster lately; repair it, or add a machine",
                names(kept)
            );
            Why::new(reason::QUARANTINED, message)
        } else if !seen.spoken_for.is_empty() {
            let message = format!(
                "no machine: {} would match but another MaasMachine is about to take it, or has not let go of it yet; add a machine",
                names(&seen.spoken_for)
            );
            Why::new(reason::NO_MACHINE_AVAILABLE, message)
        } else {
            self.waiting.on(Topic::Explanation(seen.constraints.clone()));
            let none = match seen.constraints.rules().next() {
                None => "no machine in MAAS is Ready".to_owned(),
                Some(_) => format!("no Ready machine in MAAS satisfies all of: {}", seen.constraints),
            };
            let blocking = match seen.explanation.and_then(Explanation::blocking) {
                Some(rule) => format!("; {rule} rules the last one out"),
                None => String::new(),
            };
            let message = format!(
                "{none}{blocking}; add or free a machine in MAAS, or ask for less: capmaasctl explain says what each of these rules out"
            );
            Why::new(reason::NO_MACHINE_AVAILABLE, message)
        };
        let standing = seen.object.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let told = conditions::find(standing, conditions::READY).is_some_and(|c| c.message == why.message);
        if let (Some(explanation), false, reason::NO_MACHINE_AVAILABLE) = (seen.explanation, told, why.reason) {
            self.note = Some(Note {
                warning: true,
                reason: why.reason.to_owned(),
                message: format!("no machine to claim: {explanation}"),
            });
        }
        self.not_yet(&why);
    }

    fn avoided_until(&self, host: &SystemId) -> Option<Timestamp> {
        self.seen.failed.get(host).map(FailedHost::avoided_until)
    }

    /// A host that was allocated under this object's claim, as the latest look-up shows.
    fn found(&self) -> Option<SystemId> {
        self.seen.token?.hits.first().cloned()
    }

    /// Whether a claim that this process does not know the end of may still show up, `window` after it was sent.
    fn claim_may_land(&mut self, token: &Token, window: SignedDuration) -> Landing {
        let Some(since) = self.seen.memory.claim_open_since else { return Landing::Closed };
        if let Some(hit) = self.found() {
            return Landing::Found(hit);
        }
        match self.seen.token {
            Some(sight) if sight.asked >= since + window => Landing::Closed,
            _ => {
                self.waiting.on(Topic::Token(token.clone()));
                self.waiting.at(self.now + LOOK_UP_EVERY);
                Landing::Open
            }
        }
    }

    fn paused(&mut self, cause: &str) -> Option<Step> {
        self.paused = true;
        let seen = self.seen;
        let blocked = self.annotated(BLOCK_MOVE_ANNOTATION).is_some();
        if let Some(id) = &seen.memory.claimed
            && seen.host.is_none()
            && !self.deleting()
        {
            // Rule 5.12: what was sent is finished and recorded before the object may move.
            return Some(Step::WriteSpec(SpecWrite::SystemId(id.clone())));
        }
        if blocked && !self.deleting() {
            if let (Record::Mine(token), Region::Up(_), None) = (&seen.record, seen.region, &seen.host) {
                match self.claim_may_land(token, UNBLOCK_MOVE) {
                    Landing::Found(id) => return Some(Step::WriteSpec(SpecWrite::SystemId(id))),
                    Landing::Open => {
                        self.silent = true;
                        return None;
                    }
                    Landing::Closed => {}
                }
            }
            return Some(Step::Record(Intent::UnblockMove));
        }
        self.wanted.paused(cause);
        None
    }

    // ---- small things

    /// True when the step failed lately and has to wait. As long as it has not succeeded the condition says why, also while it is
    /// tried again: it does not flap with the attempts.
    fn failing(&mut self, step: StepKind) -> bool {
        let waits = self.waiting.backs_off(self.seen.memory, step);
        if let Some(why) = trouble(self.seen.memory, step) {
            if self.deleting() {
                self.blocked_release(&why);
            } else if step == StepKind::TieNode {
                self.wanted.unknown(conditions::NODE_TIED, &why);
            } else if self.seen.object.provisioned() {
                self.wanted.unknown(conditions::READY, &why);
            } else {
                self.not_yet(&why);
            }
        }
        waits
    }

    fn name(&self) -> ObjectName {
        let meta = &self.seen.object.metadata;
        ObjectName::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }

    fn marks(&self) -> Marks {
        let cluster = self.seen.cluster.as_ref().map(|(cluster, _)| cluster.name.clone());
        Marks { machine: self.name(), cluster: cluster.unwrap_or_default() }
    }

    fn release(&mut self, host: SystemId, token: Token, why: &str) -> Option<Step> {
        let erase = self.seen.object.spec.release.as_ref().map(|release| release.erase).unwrap_or_default();
        let order = ReleaseOrder { erase, comment: format!("capmaas {}: {why}", self.name()) };
        Some(Step::Release { host, token, order })
    }
}

enum Landing {
    Found(SystemId),
    Open,
    Closed,
}
