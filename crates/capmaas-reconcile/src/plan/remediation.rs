//! The plan of a MaasRemediation: switch the machine of a sick Machine off and on, a few times; then leave the Machine to its owner.
//!
//! ```text
//! Record(cycle) ─ Power(off) ─ (it is off) ─ Record(switching on) ─ Power(on) ─ Record(ended) ─ timeoutSeconds to become healthy
//!   ─ again, up to retryLimit ─ HandOver (the Machine's OwnerRemediated is False: its owner replaces it)
//! deleted (the Machine is healthy) ─ [whatever was switched off is switched on] ─ DropFinalizer
//! ```
//!
//! Never deployed anew (design rule 5.13). Whoever has the machine in hand otherwise keeps it: an operator, another claim, a BMC that does
//! not answer are waited for, and after timeoutSeconds the owner decides. What runs from memory is the owner's at once.
//!
//! **A control plane** keeps its quorum: of its machines one is healed at a time, and it is switched off only while all others are well
//! and are a majority without it; or while no API server answers, which means that the quorum is lost already. To wait for that never
//! times out.
//!
//! **Notes.** The cycles are an annotation ([`crate::cycles`]), written before each order: after a crash what was switched off is switched
//! on, and nothing is switched off twice.

use capi_types::conditions::{self, reason};
use capi_types::names::{BLOCK_MOVE_ANNOTATION, DELETE_FOR_MOVE_ANNOTATION, PAUSED_ANNOTATION, REMEDIATION_FINALIZER};
use capi_types::{MaasRemediationStatus, RemediationPhase, RemediationTry};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::draft::{Conditions, Waiting, Why, pause, region_trouble, trouble, write_failed};
use crate::cycles::{Cycle, OFF_SHOWS};
use crate::decision::{Decision, HandOver, Intent, Note, PowerOrder, Status, Step, StepKind};
use crate::fleet::HostSight;
use crate::host::{Holder, HostPhase, HostView, Power};
use crate::names::Token;
use crate::observe::{PeerState, Plane, RemediationSeen};
use crate::provider::QuarantineOrder;
use crate::topic::Topic;

/// An order to switch off that another process may have sent takes effect within this time, or never does.
const MAY_LAND: SignedDuration = SignedDuration::from_secs(100);

/// See the module.
pub fn plan(seen: &RemediationSeen<'_>, now: Timestamp) -> Decision {
    let mut pass = Pass::new(seen, now);
    let mut next = pass.next();
    if let Some(why) = write_failed(seen.memory, &mut next, &mut pass.waiting) {
        pass.say(pass.phase(), &why);
    }
    pass.finish(next)
}

struct Pass<'a, 'b> {
    seen: &'b RemediationSeen<'a>,
    now: Timestamp,
    waiting: Waiting,
    status: MaasRemediationStatus,
    wanted: Conditions,
    note: Option<Note>,
    silent: bool,
}

/// Why the machine can't be switched now.
struct Obstacle {
    why: Why,
    patience: Patience,
}

/// How long an obstacle is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Not at all: it will never go.
    None,
    /// As long as a try may take.
    Timeout,
    /// Until it is gone.
    Endless,
}

impl Obstacle {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { why: Why::new(reason, message), patience: Patience::Timeout }
    }

    fn patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }
}

/// What is left of a power cycle that is not to go on.
enum Winding {
    /// This comes next.
    Step(Step),
    /// It has to be waited for.
    Wait,
    /// Nothing, or nothing that can be done.
    Done,
}

impl Winding {
    fn step(self) -> Option<Step> {
        match self {
            Self::Step(step) => Some(step),
            Self::Wait | Self::Done => None,
        }
    }
}

impl<'a, 'b> Pass<'a, 'b> {
    fn new(seen: &'b RemediationSeen<'a>, now: Timestamp) -> Self {
        let mut waiting = Waiting::new(now);
        waiting.on(Topic::Region);
        if let Some((name, _)) = &seen.machine {
            waiting.on(Topic::CoreMachine(name.clone()));
        }
        if let Some((name, _)) = &seen.cluster {
            waiting.on(Topic::Cluster(name.clone()));
            // Its MaasMachine is one of these.
            waiting.on(Topic::Members(name.clone()));
        }
        if let Some((id, _)) = &seen.host {
            waiting.on(Topic::Host(id.clone()));
        }
        let status = seen.object.status.clone().unwrap_or_default();
        Self { seen, now, waiting, status, wanted: Conditions::default(), note: None, silent: false }
    }

    fn finish(mut self, next: Option<Step>) -> Decision {
        if self.silent {
            return Decision { next, status: None, event: None, wake: self.waiting.wake() };
        }
        let standing = self.seen.object.status.clone().unwrap_or_default();
        let cycles = &self.seen.cycles;
        let shown = |time: Timestamp| Time(time);
        self.status.retry_count = i32::try_from(cycles.count()).unwrap_or(i32::MAX);
        self.status.last_remediated = cycles.last().map(|cycle| shown(cycle.began));
        let tried = |cycle: &Cycle| RemediationTry { started: shown(cycle.began), powered_on: cycle.on.map(shown) };
        self.status.history = cycles.iter().map(tried).collect();
        let generation = self.seen.object.metadata.generation;
        let (conditions, event) = self.wanted.settle(&standing.conditions, generation, self.now);
        let status = MaasRemediationStatus { conditions, ..self.status };
        let event = if next == Some(Step::DropFinalizer) { self.note } else { event };
        Decision { next, status: Some(Status::Remediation(Box::new(status))), event, wake: self.waiting.wake() }
    }

    fn annotated(&self, name: &str) -> bool {
        self.seen.object.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(name))
    }

    fn phase(&self) -> RemediationPhase {
        self.status.phase.unwrap_or(RemediationPhase::Waiting)
    }

    fn say(&mut self, phase: RemediationPhase, why: &Why) {
        self.status.phase = Some(phase);
        self.wanted.no(conditions::READY, why);
    }

    fn timeout(&self) -> SignedDuration {
        SignedDuration::from_secs(self.seen.object.spec.strategy.timeout_seconds.max(1).into())
    }

    fn limit(&self) -> usize {
        usize::try_from(self.seen.object.spec.strategy.retry_limit).unwrap_or(1).max(1)
    }

    /// When the present try is over: a timeout after the last cycle began, or after the request was made.
    fn end_of_try(&self) -> Timestamp {
        let made = self.seen.object.metadata.creation_timestamp.as_ref().map_or(self.now, |time| time.0);
        self.seen.cycles.last().map_or(made, |cycle| cycle.began) + self.timeout()
    }

    fn next(&mut self) -> Option<Step> {
        let seen = self.seen;
        let meta = &seen.object.metadata;
        let deleting = meta.deletion_timestamp.is_some();
        let held = meta.finalizers.iter().flatten().any(|f| f == REMEDIATION_FINALIZER);
        if self.annotated(DELETE_FOR_MOVE_ANNOTATION) || deleting && !held {
            self.silent = true;
            return None;
        }
        let cluster = seen.cluster.as_ref().and_then(|(_, cluster)| *cluster);
        if let Some(cause) = pause(cluster, self.annotated(PAUSED_ANNOTATION)) {
            return self.paused(&cause);
        }
        if deleting {
            return self.leave();
        }
        let Some((name, machine)) = &seen.machine else {
            let message = "no owner reference to a Machine: a MachineHealthCheck sets it, whoever makes a MaasRemediation by hand must";
            self.say(RemediationPhase::Waiting, &Why::new(reason::WAITING_FOR_OWNER, message));
            return None;
        };
        let Some(machine) = machine else {
            let message = format!("waiting for Machine {}, with the uid of the owner reference", name.name);
            self.say(RemediationPhase::Waiting, &Why::new(reason::WAITING_FOR_OWNER, message));
            return None;
        };
        if machine.is_deleting() {
            self.say(self.phase(), &Why::new(reason::DELETING, "the Machine is being deleted"));
            return None;
        }
        if machine.owner_remediates {
            let message = self.status.phase.filter(|phase| *phase == RemediationPhase::HandedOver).and_then(|_| {
                let standing = seen.object.status.as_ref()?;
                conditions::find(&standing.conditions, conditions::READY).map(|ready| ready.message.clone())
            });
            let message = message.unwrap_or("the Machine is its owner's to replace".to_owned());
            self.say(RemediationPhase::HandedOver, &Why::new(reason::HANDED_OVER, message));
            return self.wind_up().step();
        }
        if machine.healthy {
            let message = "the Machine is healthy; its MachineHealthCheck takes this request away";
            self.say(self.phase(), &Why::new(reason::MACHINE_HEALTHY, message));
            return self.wind_up().step();
        }
        match seen.cycles.open() {
            Some(cycle) => self.cycle(cycle),
            None => self.between(),
        }
    }

    /// No cycle is under way: wait for what the last one does, begin one, or give up.
    fn between(&mut self) -> Option<Step> {
        let seen = self.seen;
        let tries = seen.cycles.count();
        if tries > 0 && self.end_of_try() > self.now {
            self.waiting.at(self.end_of_try());
            let message =
                "the machine was power cycled; waiting until the Machine is healthy (spec.strategy.timeoutSeconds)";
            self.say(RemediationPhase::WaitingForHealth, &Why::new(reason::WAITING_FOR_HEALTH, message));
            return None;
        }
        if tries >= self.limit() {
            return self.hand_over("power cycles did not make it healthy (spec.strategy.retryLimit)");
        }
        match self.switchable().and_then(|held| self.its_turn().map(|()| held)) {
            Err(obstacle) => self.wait_for(obstacle),
            Ok(_) => {
                self.say(RemediationPhase::PowerCycling, &Why::new(reason::POWER_CYCLING, "power cycling the machine"));
                Some(Step::Record(Intent::PowerCycles(seen.cycles.begun(self.now))))
            }
        }
    }

    fn wait_for(&mut self, Obstacle { why, patience }: Obstacle) -> Option<Step> {
        let end = self.end_of_try();
        match patience {
            Patience::None => return self.hand_over(&why.message),
            Patience::Timeout if end <= self.now => {
                return self.hand_over(&format!("{}, for longer than spec.strategy.timeoutSeconds", why.message));
            }
            Patience::Timeout => self.waiting.at(end),
            Patience::Endless => {}
        }
        self.say(RemediationPhase::Waiting, &why);
        None
    }

    /// A cycle is under way.
    fn cycle(&mut self, cycle: &Cycle) -> Option<Step> {
        let seen = self.seen;
        let (view, token) = match self.held() {
            Ok(held) => held,
            Err(obstacle) => return self.wait_for(obstacle),
        };
        if self.end_of_try() <= self.now {
            return self.hand_over("it could not be power cycled within spec.strategy.timeoutSeconds");
        }
        self.waiting.at(self.end_of_try());
        let message = format!("machine {} is switched off and on", view.hostname);
        self.say(RemediationPhase::PowerCycling, &Why::new(reason::POWER_CYCLING, message));
        match cycle.off {
            None if view.power == Power::Off => {
                Some(Step::Record(Intent::PowerCycles(seen.cycles.switching_on(self.now))))
            }
            None if seen.memory.powered == Some(cycle.began) => self.until_off(cycle),
            None => self.power(view, token, PowerOrder::Off, cycle.began),
            Some(off) => self.switch_on(cycle, off, view, token),
        }
    }

    /// It was told to switch off: wait until that shows. A BMC that says yes and does nothing has its order to switch on all the same.
    fn until_off(&mut self, cycle: &Cycle) -> Option<Step> {
        if cycle.began + OFF_SHOWS > self.now {
            self.waiting.at(cycle.began + OFF_SHOWS);
            return None;
        }
        Some(Step::Record(Intent::PowerCycles(self.seen.cycles.switching_on(self.now))))
    }

    fn switch_on(&mut self, cycle: &Cycle, off: Timestamp, view: &HostView, token: Token) -> Option<Step> {
        let seen = self.seen;
        let done = seen.memory.powered == Some(off) || cycle.was_seen_off() && view.power == Power::On;
        if done {
            return Some(Step::Record(Intent::PowerCycles(seen.cycles.ended(self.now))));
        }
        self.power(view, token, PowerOrder::On, off)
    }

    fn power(&mut self, view: &HostView, token: Token, to: PowerOrder, noted: Timestamp) -> Option<Step> {
        let waits = self.waiting.backs_off(self.seen.memory, StepKind::Power);
        if let Some(why) = trouble(self.seen.memory, StepKind::Power) {
            self.say(self.phase(), &why);
        }
        if waits {
            return None;
        }
        let meta = &self.seen.object.metadata;
        let (namespace, name) =
            (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let comment = format!("{}MaasRemediation {namespace}/{name}", QuarantineOrder::SIGNATURE);
        Some(Step::Power { host: view.id.clone(), token, to, comment, noted })
    }

    /// The machine, if it is ours to switch.
    fn held(&self) -> Result<(&'a HostView, Token), Obstacle> {
        let seen = self.seen;
        let Some((name, object)) = &seen.maas_machine else {
            return Err(Obstacle::new(reason::MACHINE_NOT_FOUND, "the Machine has no MaasMachine"));
        };
        if object.metadata.deletion_timestamp.is_some() {
            return Err(Obstacle::new(reason::DELETING, format!("MaasMachine {} is being deleted", name.name)));
        }
        let memory = |hostname: &str| {
            let message = format!("{hostname} runs from memory: a power cycle would lose its system");
            Obstacle::new(reason::IN_MEMORY_SYSTEM_LOST, message).patience(Patience::None)
        };
        if object.spec.deploy_in_memory {
            return Err(memory(&format!("MaasMachine {}", name.name)));
        }
        if object.spec.provider_id.as_deref().is_none_or(str::is_empty) {
            let message = format!("MaasMachine {} has no deployed machine yet", name.name);
            return Err(Obstacle::new(reason::MACHINE_DEPLOYING, message));
        }
        let Some(token) = seen.record.token() else {
            let message = format!("MaasMachine {} has no claim record of its own", name.name);
            return Err(Obstacle::new(reason::ADOPTION_REQUIRED, message));
        };
        if let Some(why) = region_trouble(seen.region) {
            return Err(Obstacle { why, patience: Patience::Endless });
        }
        let view = match &seen.host {
            Some((_, HostSight::Seen(view))) => view,
            Some((id, HostSight::Unread)) => {
                let message = format!("reading machine {id} from MAAS");
                return Err(Obstacle::new(reason::MAAS_UNREACHABLE, message).patience(Patience::Endless));
            }
            Some((id, HostSight::Gone)) => {
                return Err(Obstacle::new(reason::MACHINE_NOT_FOUND, format!("machine {id} does not exist in MAAS")));
            }
            None => return Err(Obstacle::new(reason::MACHINE_NOT_FOUND, "spec.providerID names no machine")),
        };
        let hostname = &view.hostname;
        if view.in_memory {
            return Err(memory(&format!("machine {hostname}")));
        }
        if view.holder != Holder::Us(Some(token.clone())) {
            let message = format!("machine {hostname} is {} in MAAS and not held for this Machine", view.status_name);
            return Err(Obstacle::new(reason::NOT_OURS, message));
        }
        if view.locked || view.phase != HostPhase::Deployed {
            let locked = if view.locked { " and locked" } else { "" };
            let message = format!("machine {hostname} is {}{locked} in MAAS: an operator has it", view.status_name);
            return Err(Obstacle::new(reason::OPERATOR_HOLDS_MACHINE, message));
        }
        Ok((view, token.clone()))
    }

    /// The same, if MAAS can tell whether it is on.
    fn switchable(&self) -> Result<(&'a HostView, Token), Obstacle> {
        let (view, token) = self.held()?;
        if matches!(view.power, Power::Unknown | Power::Error) {
            let message = format!("MAAS can't tell whether machine {} is on; look at its BMC", view.hostname);
            return Err(Obstacle::new(reason::POWER_UNKNOWN, message));
        }
        Ok((view, token))
    }

    /// Whether the control plane can do without the machine for a moment.
    fn its_turn(&mut self) -> Result<(), Obstacle> {
        let Some(plane) = &self.seen.plane else { return Ok(()) };
        if let Some((cluster, _)) = &self.seen.cluster {
            self.waiting.on(Topic::Health(cluster.clone()));
        }
        let wait = |message: String| {
            Err(Obstacle::new(reason::WAITING_FOR_CONTROL_PLANE, message).patience(Patience::Endless))
        };
        if let Some(ahead) = &plane.ahead {
            return wait(format!("one control-plane machine is healed at a time: Machine {ahead} is first"));
        }
        match quorum_without(plane) {
            Ok(()) => Ok(()),
            // Where no API server answers there is no quorum to lose, and a power cycle may bring it back.
            Err(_) if plane.answers == Some(false) => Ok(()),
            Err(message) => wait(message),
        }
    }

    fn hand_over(&mut self, why: &str) -> Option<Step> {
        let (name, machine) = self.seen.machine.as_ref()?;
        let uid = (*machine)?.metadata.uid.clone()?;
        self.say(RemediationPhase::HandedOver, &Why::new(reason::HANDED_OVER, why));
        if let Some(attempt) = self.seen.memory.attempts.get(&StepKind::HandOver) {
            let fault = attempt.fault.to_string();
            self.say(RemediationPhase::HandedOver, &Why::new(reason::WRITE_FAILED, fault));
        }
        if self.waiting.backs_off(self.seen.memory, StepKind::HandOver) {
            return None;
        }
        let message = format!("MaasRemediation: {why}");
        Some(Step::HandOver(HandOver { machine: name.clone(), uid, message }))
    }

    /// Ends a cycle that is under way without switching off any more: what is off, or about to be, is switched on.
    fn wind_up(&mut self) -> Winding {
        let seen = self.seen;
        let Some(cycle) = seen.cycles.open() else { return Winding::Done };
        let (view, token) = match self.held() {
            Ok(held) => held,
            Err(Obstacle { patience: Patience::Endless, .. }) => return Winding::Wait,
            Err(_) => return Winding::Done,
        };
        let record = |cycles| Winding::Step(Step::Record(Intent::PowerCycles(cycles)));
        let step = match cycle.off {
            Some(off) => self.switch_on(cycle, off, view, token),
            None if view.power == Power::Off => return record(seen.cycles.switching_on(self.now)),
            None if seen.memory.powered == Some(cycle.began) => self.until_off(cycle),
            // An order of the process before this one may still take effect.
            None if cycle.began + MAY_LAND > self.now => {
                self.waiting.at(cycle.began + MAY_LAND);
                return Winding::Wait;
            }
            None => return record(seen.cycles.ended(self.now)),
        };
        step.map_or(Winding::Wait, Winding::Step)
    }

    /// Design rule 5.12: what was sent is finished and noted, then nothing is done. A machine whose BMC does not let it be finished may
    /// move: the annotation goes with it.
    fn paused(&mut self, cause: &str) -> Option<Step> {
        if !self.seen.memory.attempts.contains_key(&StepKind::Power) {
            match self.wind_up() {
                Winding::Step(step) => return Some(step),
                Winding::Wait => {
                    self.silent = true;
                    return None;
                }
                Winding::Done => {}
            }
        }
        if self.annotated(BLOCK_MOVE_ANNOTATION) && self.seen.object.metadata.deletion_timestamp.is_none() {
            return Some(Step::Record(Intent::UnblockMove));
        }
        self.wanted.paused(cause);
        None
    }

    /// Deleted: the Machine is healthy, or gone.
    fn leave(&mut self) -> Option<Step> {
        let seen = self.seen;
        let deleted = seen.machine.as_ref().is_none_or(|(_, machine)| machine.is_none_or(|m| m.is_deleting()));
        let given_up = seen.cycles.open().is_some_and(|cycle| cycle.began + 2 * self.timeout() <= self.now);
        if !deleted && !given_up {
            let message = "the request was taken away; what was switched off is switched on again first";
            self.say(self.phase(), &Why::new(reason::DELETING, message));
            match self.wind_up() {
                Winding::Step(step) => return Some(step),
                Winding::Wait => {
                    if let Some(cycle) = seen.cycles.open() {
                        self.waiting.at(cycle.began + 2 * self.timeout());
                    }
                    return None;
                }
                Winding::Done => {}
            }
        }
        if given_up && let Some((id, HostSight::Seen(view))) = &seen.host {
            let message = format!("machine {} ({id}) could not be switched on again; look at its BMC", view.hostname);
            self.note = Some(Note { warning: true, reason: reason::POWER_UNKNOWN.to_owned(), message });
        }
        Some(Step::DropFinalizer)
    }
}

/// Whether the others are a quorum, and all of them well; or which is not.
fn quorum_without(plane: &Plane<'_>) -> Result<(), String> {
    let all = plane.others.len() + 1;
    let other = plane.others.iter().find(|peer| peer.state != PeerState::Well);
    match other {
        Some(peer) => {
            let how = match peer.state {
                PeerState::Leaving => "is being deleted",
                PeerState::Sick => "is sick, too",
                PeerState::Coming => "has not joined yet",
                PeerState::Silent => "has an API server that does not answer",
                PeerState::Well => "is well",
            };
            Err(format!(
                "waiting until the rest of the control plane is well, so that it keeps its quorum: Machine {} {how}",
                peer.name
            ))
        }
        None if plane.others.len() > all / 2 => Ok(()),
        None => Err(format!(
            "the control plane has {all} machines and its API server answers: without this one it has no quorum; power cycle it by hand \
             when that suits"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Peer;

    #[test]
    fn a_control_plane_can_do_without_one_machine_only_while_all_others_are_well_and_a_majority() {
        use PeerState::{Coming, Leaving, Sick, Silent, Well};
        for (others, fine) in [
            (&[][..], false),
            (&[Well], false),
            (&[Well, Well], true),
            (&[Well, Sick], false),
            (&[Well, Leaving], false),
            (&[Well, Coming], false),
            (&[Well, Silent], false),
            (&[Well, Well, Well, Well], true),
            (&[Well, Well, Well, Sick], false),
        ] {
            let others: Vec<_> = others.iter().map(|state| Peer { name: "other", state: *state }).collect();
            let plane = Plane { others, ahead: None, answers: Some(true) };
            assert_eq!(quorum_without(&plane).is_ok(), fine, "{plane:?}");
        }
    }
}
