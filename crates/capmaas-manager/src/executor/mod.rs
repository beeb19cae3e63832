//! Passes: observe, plan, do the one step, store what was learnt, ask again. The executor compares, it does not judge.

mod hand_over;
mod metal;
mod writes;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use capmaas_reconcile::decision::{Decision, Note, Step};
use capmaas_reconcile::names::{Key, Kind};
use capmaas_reconcile::outcome::Answer;
use capmaas_reconcile::plan;
use capmaas_reconcile::provider::{Fault, NotOurs, Proof};
use capmaas_reconcile::stores::{Fact, Learned, Stores};
use capmaas_reconcile::topic::Wake;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use crate::env::Env;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// A pass that still has a step after so many is put at the end of the queue: nobody starves.
const STEPS: usize = 32;
/// After a conflict or a failed write the object is looked at again this soon; the watch usually comes first.
const AGAIN: SignedDuration = SignedDuration::from_secs(2);

/// A call to a Kubernetes API that is not answered in this time (tokio time) is given up; a write that took effect all the same shows in
/// the watch.
const DEADLINE: Duration = Duration::from_secs(30);

/// Who writes, for managedFields and Events.
const MANAGER: &str = "capmaas-controller";

/// How a step ended.
enum Ended {
    /// It was answered; with what it taught beyond the answer.
    Answered(Result<Answer, Fault>, Vec<Fact>),
    /// The fresh look before it showed that the host is not held for the claim.
    NotOurs(NotOurs),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Answered(Err(fault), Vec::new())
    }
}

/// What a pass does next.
enum Next {
    /// The status does not stand as it should: write this, then decide again.
    Show(Map<String, Value>, Option<Note>, ObjectMeta),
    /// A step; the stores know that it begins. With the metadata that was decided on (what the step's write expects), and with what is to
    /// be told when it is done.
    Do(Step, Option<Note>, ObjectMeta),
    /// Nothing, until the wake.
    Wait(Wake),
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Executor {
    env: Env,
    shared: Shared,
    metrics: Metrics,
    /// Proofs that the last step left for the next one.
    proofs: Arc<Mutex<BTreeMap<Key, Proof>>>,
    /// How many Events were written: their names are numbered.
    events: Arc<AtomicU64>,
    written: Arc<Mutex<BTreeMap<Key, Written>>>,
}

/// What was written last into an object, and when.
#[derive(Default)]
struct Written {
    status: Option<(Map<String, Value>, Timestamp)>,
    step: Option<(Step, Timestamp)>,
}

/// Until when the same is not written again: somebody else writes over it each time (a second leader, for a moment), and two that know
/// different things would do so without a pause.
fn fought<T: PartialEq>(last: Option<&(T, Timestamp)>, now: &T, clock: Timestamp) -> Option<Timestamp> {
    last.filter(|(last, _)| last == now).map(|(_, at)| *at + AGAIN).filter(|until| *until > clock)
}

impl Executor {
    pub(crate) fn new(env: Env, shared: Shared, metrics: Metrics) -> Self {
        Self { env, shared, metrics, proofs: Arc::default(), events: Arc::default(), written: Arc::default() }
    }

    /// One pass over a key; `None` when the object is gone.
    pub(crate) async fn pass(&self, key: &Key) -> Option<Wake> {
        for _ in 0..STEPS {
            match self.next(key)? {
                Next::Wait(wake) => {
                    // What was proven before a wait is proven anew after it.
                    self.take_proof(key);
                    self.metrics.pass(key.kind, "settled");
                    return Some(wake);
                }
                Next::Show(status, event, meta) => {
                    if !self.put_status(key, status.clone(), &meta).await {
                        self.metrics.pass(key.kind, "conflict");
                        return Some(self.again(key));
                    }
                    self.written().entry(key.clone()).or_default().status = Some((status, self.env.clock.now()));
                    if let Some(event) = event {
                        self.tell(key, &event, &meta).await;
                    }
                }
                Next::Do(step, last_words, meta) => {
                    let kind = step.kind();
                    tracing::debug!(%key, ?step, "step");
                    let ended = self.step(key, &step, &meta).await;
                    let ok = matches!(ended, Ended::Answered(Ok(_), _));
                    self.metrics.step(kind, ok);
                    self.learn(key, &step, ended);
                    if ok && step.writes_object() {
                        self.written().entry(key.clone()).or_default().step =
                            Some((step.clone(), self.env.clock.now()));
                    }
                    if ok && let Some(done) = step.done().or(last_words) {
                        self.tell(key, &done, &meta).await;
                    }
                    if !ok && step.writes_object() {
                        // A conflict: what was seen is out of date. The watch, or a moment, brings what is there.
                        self.metrics.pass(key.kind, "conflict");
                        return Some(self.again(key));
                    }
                }
            }
        }
        self.shared.lock().queue.wake(key);
        Some(self.again(key))
    }

    /// What to wait for when a pass ends before it is settled.
    fn again(&self, key: &Key) -> Wake {
        let now = self.env.clock.now();
        let topics = self.decide(key, &self.shared.lock().stores).map(|d| d.wake.topics).unwrap_or_default();
        Wake { at: now + AGAIN, topics }
    }

    fn decide(&self, key: &Key, stores: &Stores) -> Option<Decision> {
        let now = self.env.clock.now();
        Some(match key.kind {
            Kind::Cluster => plan::cluster::plan(&stores.observe_cluster(&key.name)?, now),
            Kind::Machine => plan::machine::plan(&stores.observe_machine(&key.name)?, now),
            Kind::Template => plan::template::plan(&stores.observe_template(&key.name)?, now),
            Kind::Remediation => plan::remediation::plan(&stores.observe_remediation(&key.name)?, now),
        })
    }

    /// Decides, and begins the step under the same lock: two machines that wait never pick the same host.
    fn next(&self, key: &Key) -> Option<Next> {
        let mut inner = self.shared.lock();
        let Some((mut decision, meta)) = self.decide(key, &inner.stores).zip(metadata(&inner.stores, key)) else {
            self.written().remove(key);
            return None;
        };
        // Before what takes long, and before what failed and may fail again: a pass that is never settled would never tell.
        let failed = |step: &Step| inner.stores.memory(key).attempts.contains_key(&step.kind());
        let shows = decision.next.as_ref().is_none_or(|step| is_slow(step) || failed(step));
        if shows && let Some(status) = &decision.status {
            let difference = writes::status_difference(&inner.stores, key, status);
            // That is no reason to do nothing else: the step is done meanwhile.
            let last =
                self.written().get(key).and_then(|w| fought(w.status.as_ref(), &difference, self.env.clock.now()));
            match last {
                Some(until) => decision.wake.at = decision.wake.at.min(until),
                None if difference.is_empty() => {}
                None => return Some(Next::Show(difference, decision.event, meta)),
            }
        }
        let Some(step) = decision.next.filter(|_| !inner.stopping) else { return Some(Next::Wait(decision.wake)) };
        let last = self.written().get(key).and_then(|w| fought(w.step.as_ref(), &step, self.env.clock.now()));
        if let Some(until) = last {
            return Some(Next::Wait(Wake { at: decision.wake.at.min(until), ..decision.wake }));
        }
        inner.stores.step_begins(key, &step);
        // The status of an object that is let go is not written any more; why it is let go is still told.
        let last_words = decision.event.filter(|_| step == Step::DropFinalizer);
        Some(Next::Do(step, last_words, meta))
    }

    fn learn(&self, key: &Key, step: &Step, ended: Ended) {
        let now = self.env.clock.now();
        let mut inner = self.shared.lock();
        let (learned, facts) = match ended {
            Ended::Answered(answer, facts) => {
                if let Err(fault) = &answer {
                    tracing::warn!(%key, step = %step.kind(), %fault, "step failed");
                }
                (inner.stores.step_ended(key, step, answer, now), facts)
            }
            Ended::NotOurs(found) => {
                tracing::warn!(%key, step = %step.kind(), %found, "not ours");
                (inner.stores.step_not_ours(key, step, &found, now), Vec::new())
            }
        };
        inner.concern(learned);
        for fact in facts {
            let learned: Learned = inner.stores.answered(fact, now);
            inner.concern(learned);
        }
        drop(inner);
        self.shared.ring();
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<Key, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_proof(&self, key: &Key, proof: Proof) {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), proof);
    }

    fn take_proof(&self, key: &Key) -> Option<Proof> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    async fn step(&self, key: &Key, step: &Step, meta: &ObjectMeta) -> Ended {
        match step {
            Step::Record(intent) => self.record(key, intent, meta).await,
            Step::WriteSpec(write) => self.write_spec(key, write, meta).await,
            Step::DropFinalizer => self.drop_finalizer(key, meta).await,
            Step::Claim(order) => self.claim(key, order).await,
            Step::Mark { host, token, marks, takeover } => self.mark(key, host, token, marks, takeover.clone()).await,
            Step::SwapOff { host, token } => self.swap_off(key, host, token).await,
            Step::Deploy { host, token, order, bootstrap } => self.deploy(key, host, token, order, bootstrap).await,
            Step::Release { host, token, order } => self.release(key, host, token, order).await,
            Step::Power { host, token, to, comment, .. } => self.power(key, host, token, *to, comment).await,
            Step::Quarantine { host, token, order } => self.quarantine(key, host, token, order).await,
            Step::Publish(order) => self.publish(order).await,
            Step::Unpublish(name) => self.unpublish(name).await,
            Step::TieNode(tie) => self.tie_node(tie).await,
            Step::HandOver(order) => self.hand_over(order).await,
        }
    }
}

fn metadata(stores: &Stores, key: &Key) -> Option<ObjectMeta> {
    match key.kind {
        Kind::Cluster => stores.maas_clusters.get(&key.name).map(|o| o.metadata.clone()),
        Kind::Machine => stores.maas_machines.get(&key.name).map(|o| o.metadata.clone()),
        Kind::Template => stores.templates.get(&key.name).map(|o| o.metadata.clone()),
        Kind::Remediation => stores.remediations.get(&key.name).map(|o| o.metadata.clone()),
    }
}

/// Steps that take so long that the status is shown before.
fn is_slow(step: &Step) -> bool {
    matches!(
        step,
        Step::Claim(_)
            | Step::Deploy { .. }
            | Step::Release { .. }
            | Step::Power { .. }
            | Step::Quarantine { .. }
            | Step::Publish(_)
            | Step::Unpublish(_)
            | Step::HandOver(_)
    )
}
