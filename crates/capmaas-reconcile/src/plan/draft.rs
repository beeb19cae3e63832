//! Writing down what should stand: conditions in fixed order, messages without moving numbers, one event when the reason changes.

use std::collections::BTreeSet;

use capi_types::CoreCluster;
use capi_types::conditions::{self, Status as Is, Wanted, reason};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::decision::{Note, Step, StepKind};
use crate::provider::{Fault, FaultKind, Refusal};
use crate::stores::{Attempt, Memory, Region};
use crate::topic::{Topic, Wake};

/// Nobody waits longer than this without another look.
pub(super) const RESYNC: SignedDuration = SignedDuration::from_mins(10);

/// Back-off after the first failure of a step; doubles up to [`BACKOFF_MAX`].
pub(super) const BACKOFF: SignedDuration = SignedDuration::from_secs(10);
pub(super) const BACKOFF_MAX: SignedDuration = SignedDuration::from_mins(5);

/// When a step that failed may be tried again.
pub(super) fn not_before(attempt: &Attempt) -> Timestamp {
    let doubled = 2i32.saturating_pow(attempt.count.saturating_sub(1).min(16));
    attempt.at + BACKOFF.checked_mul(doubled).unwrap_or(BACKOFF_MAX).min(BACKOFF_MAX)
}

/// When and for what to wake; collects as the plan goes.
#[derive(Debug)]
pub(super) struct Waiting {
    now: Timestamp,
    at: Timestamp,
    topics: BTreeSet<Topic>,
}

impl Waiting {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, at: now + RESYNC, topics: BTreeSet::new() }
    }

    pub(super) fn on(&mut self, topic: Topic) {
        self.topics.insert(topic);
    }

    pub(super) fn at(&mut self, at: Timestamp) {
        // A wake in the past would be a busy loop.
        self.at = self.at.min(at.max(self.now + SignedDuration::from_millis(100)));
    }

    pub(super) fn wake(self) -> Wake {
        Wake { at: self.at, topics: self.topics }
    }

    /// True when the step has to wait for its back-off; then the wake is set.
    pub(super) fn backs_off(&mut self, memory: &Memory, step: StepKind) -> bool {
        match memory.attempts.get(&step) {
            Some(attempt) if not_before(attempt) > self.now => {
                self.at(not_before(attempt));
                true
            }
            _ => false,
        }
    }
}

/// A reason and a message: why something is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Why {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Why the object stands still on purpose, if it does: its Cluster says so, or the object itself.
pub(super) fn pause(cluster: Option<&CoreCluster>, annotated: bool) -> Option<String> {
    let by_cluster = cluster.is_some_and(|cluster| cluster.paused).then_some("Cluster spec.paused is true");
    let by_annotation = annotated.then_some("annotation cluster.x-k8s.io/paused is set");
    let causes: Vec<_> = by_cluster.into_iter().chain(by_annotation).collect();
    (!causes.is_empty()).then(|| causes.join(", "))
}

/// A conflict is over with the next look; what failed so often in a row fails for another reason.
const WRITES_IN_VAIN: u32 = 3;
/// From then on it is tried this often.
const WRITE_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// Why the object can't be written, when the step would do that and failed over and over; then the step has to wait a while.
pub(super) fn write_failed(memory: &Memory, next: &mut Option<Step>, waiting: &mut Waiting) -> Option<Why> {
    let attempt = memory.attempts.get(&next.as_ref().filter(|step| step.writes_object())?.kind())?;
    if attempt.count < WRITES_IN_VAIN {
        return None;
    }
    if attempt.at + WRITE_AGAIN > waiting.now {
        waiting.at(attempt.at + WRITE_AGAIN);
        *next = None;
    }
    Some(Why::new(reason::WRITE_FAILED, attempt.fault.to_string()))
}

/// Says what is left over from the Go provider, and how to be rid of it. Nothing is said of what never was there.
pub(super) fn leftovers(
    found: &BTreeSet<String>,
    standing: &[Condition],
    wanted: &mut Conditions,
    note: &mut Option<Note>,
) {
    let told = conditions::find(standing, conditions::LEFTOVER_WEBHOOKS);
    if found.is_empty() {
        if told.is_some() {
            wanted.set(Wanted::new(conditions::LEFTOVER_WEBHOOKS, Is::False, reason::NO_LEFTOVER_WEBHOOKS, ""));
        }
        return;
    }
    let names: Vec<_> = found.iter().map(String::as_str).collect();
    let message = format!(
        "the API server asks webhooks of the Go provider before it takes a write, and refuses it when they do not answer; this provider \
         has none: kubectl delete {}",
        names.join(" ")
    );
    let found = Wanted::new(conditions::LEFTOVER_WEBHOOKS, Is::True, reason::LEFTOVER_WEBHOOKS_FOUND, message);
    if told.is_none_or(|c| (c.status.as_str(), &c.message) != (found.status.as_str(), &found.message)) {
        *note = Some(Note { warning: true, reason: found.reason.clone(), message: found.message.clone() });
    }
    wanted.set(found);
}

/// Why the region can't be used, if it can't.
pub(super) fn region_trouble(region: &Region) -> Option<Why> {
    match region {
        Region::Up(_) => None,
        Region::Unread => Some(Why::new(reason::MAAS_UNREACHABLE, "connecting to MAAS")),
        Region::NoCredentials(message) => Some(Why::new(reason::CREDENTIALS_MISSING, message)),
        Region::Down(message) => Some(Why::new(reason::MAAS_UNREACHABLE, message)),
        Region::Refused(message) => Some(Why::new(reason::MAAS_UNAUTHORIZED, message)),
    }
}

/// Why the last attempt at a step failed, in words a person can act on. No counts: they would move.
pub(super) fn trouble(memory: &Memory, step: StepKind) -> Option<Why> {
    let attempt = memory.attempts.get(&step)?;
    let text = attempt.fault.to_string();
    let reason = match &attempt.fault {
        Fault::Rejected { why: Refusal::Permission, .. } => reason::MAAS_FORBIDDEN,
        Fault::Rejected { why: Refusal::Locked, .. } => reason::OPERATOR_HOLDS_MACHINE,
        Fault::Rejected { why: Refusal::NoMatch, .. } => reason::NO_MACHINE_AVAILABLE,
        Fault::Rejected { why: Refusal::NotOurs, .. } => reason::NOT_OURS,
        Fault::Rejected { why: Refusal::Invalid, .. } if step == StepKind::Deploy => reason::INVALID_SPEC,
        Fault::Rejected { .. } if step == StepKind::Release => reason::RELEASE_BLOCKED,
        Fault::Rejected { .. } if matches!(step, StepKind::Publish | StepKind::Unpublish) => {
            reason::LOAD_BALANCER_FAILED
        }
        Fault::Rejected { .. } => reason::INVALID_SPEC,
        Fault::Ambiguous { .. } | Fault::Unavailable { .. } => reason::MAAS_UNREACHABLE,
    };
    let hint = match attempt.fault.kind() {
        FaultKind::Terminal => "",
        FaultKind::Transient | FaultKind::Waiting => "; tried again",
    };
    Some(Why::new(reason, format!("{text}{hint}")))
}

/// Reasons that need nobody's attention: their events are Normal.
const CALM: &[&str] = &[
    reason::READY,
    reason::PROVISIONED,
    reason::PAUSED,
    reason::NOT_PAUSED,
    reason::DELETING,
    reason::RELEASING,
    reason::CLAIMING,
    reason::MACHINE_DEPLOYING,
    reason::MACHINE_DEPLOY_STARTED,
    reason::WAITING_FOR_CLUSTER_INFRASTRUCTURE,
    reason::WAITING_FOR_BOOTSTRAP_DATA,
    reason::WAITING_FOR_CONTROL_PLANE_INITIALIZED,
    reason::WAITING_FOR_NODE,
    reason::WAITING_FOR_OWNER,
    reason::WAIT_FOR_DNS_NAME,
    reason::DNS_DETACH_PENDING,
    reason::LOAD_BALANCER_READY,
    reason::POWER_CYCLING,
    reason::WAITING_FOR_HEALTH,
    reason::MACHINE_HEALTHY,
];

/// Conditions that should stand.
#[derive(Debug, Default)]
pub(super) struct Conditions(Vec<Wanted>);

impl Conditions {
    pub(super) fn yes(&mut self, type_: &str, reason: &str) {
        self.set(Wanted::new(type_, Is::True, reason, ""));
    }

    /// What was said last of a condition stands.
    fn set(&mut self, wanted: Wanted) {
        self.0.retain(|w| w.type_ != wanted.type_);
        self.0.push(wanted);
    }

    pub(super) fn no(&mut self, type_: &str, why: &Why) {
        self.set(Wanted::new(type_, Is::False, why.reason, why.message.clone()));
    }

    pub(super) fn unknown(&mut self, type_: &str, why: &Why) {
        self.set(Wanted::new(type_, Is::Unknown, why.reason, why.message.clone()));
    }

    /// Paused=True, with the cause.
    pub(super) fn paused(&mut self, cause: &str) {
        self.set(Wanted::new(conditions::PAUSED, Is::True, reason::PAUSED, cause));
    }

    /// Merges into what stands, and makes the event for a changed reason of Ready.
    pub(super) fn settle(
        mut self,
        standing: &[Condition],
        generation: Option<i64>,
        now: Timestamp,
    ) -> (Vec<Condition>, Option<Note>) {
        if !self.0.iter().any(|w| w.type_ == conditions::PAUSED) {
            self.yes_not_paused();
        }
        let old = conditions::find(standing, conditions::READY).map(|c| c.reason.clone());
        let event =
            self.0.iter().find(|w| w.type_ == conditions::READY && Some(&w.reason) != old.as_ref()).map(|ready| Note {
                warning: !CALM.contains(&ready.reason.as_str()),
                reason: ready.reason.clone(),
                message: if ready.message.is_empty() { ready.reason.clone() } else { ready.message.clone() },
            });
        (conditions::merge(standing, &self.0, generation, now).conditions, event)
    }

    fn yes_not_paused(&mut self) {
        self.set(Wanted::new(conditions::PAUSED, Is::False, reason::NOT_PAUSED, ""));
    }
}
