//! Passes: observe, plan, do the one step, store what was learnt, ask again. The executor compares, it does not judge.

mod metal;
mod writes;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use capmaas_reconcile::decision::{Decision, Status, Step};
use capmaas_reconcile::names::{Key, Kind};
use capmaas_reconcile::plan;
use capmaas_reconcile::provider::{Fault, Proof};
use capmaas_reconcile::stores::Attempt;
use capmaas_reconcile::topic::Wake;
use jiff::SignedDuration;

use crate::env::Env;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// A pass that still has a step after so many is put at the end of the queue: nobody starves.
const STEPS: usize = 32;
/// After a conflict or a failed write the object is looked at again this soon; the watch usually comes first.
const AGAIN: SignedDuration = SignedDuration::from_secs(2);

/// How a step ended.
pub(super) enum Outcome {
    /// Done; plan is asked again.
    Done,
    /// The world was not as expected (a conflict, a stale object): look again when it changed.
    Changed,
    /// The metal said no; plan decides what that means.
    Failed(Fault),
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Executor {
    pub(super) env: Env,
    pub(super) shared: Shared,
    pub(super) metrics: Metrics,
    /// Proofs that the last step left for the next one.
    proofs: Arc<Mutex<BTreeMap<Key, Proof>>>,
    /// How many Events were written: their names are numbered.
    events: Arc<AtomicU64>,
}

impl Executor {
    pub(crate) fn new(env: Env, shared: Shared, metrics: Metrics) -> Self {
        Self { env, shared, metrics, proofs: Arc::default(), events: Arc::default() }
    }

    /// One pass over a key; `None` when the object is gone.
    pub(crate) async fn pass(&self, key: &Key) -> Option<Wake> {
        for _ in 0..STEPS {
            let decision = self.decide(key)?;
            let now = self.env.clock.now();
            let again = |wake: Wake| Some(Wake { at: wake.at.min(now + AGAIN), ..wake });
            let shows = decision.next.as_ref().is_none_or(is_slow);
            if shows
                && let Some(status) = &decision.status
                && !self.write_status(key, status, decision.event.as_ref()).await
            {
                return again(decision.wake);
            }
            let Some(step) = decision.next else {
                self.metrics.pass(key.kind, "settled");
                return Some(decision.wake);
            };
            let kind = step.kind();
            tracing::debug!(%key, ?step, "step");
            match self.step(key, step).await {
                Outcome::Done => {
                    self.metrics.step(kind, true);
                    self.shared.lock().stores.memory_mut(key).attempts.remove(&kind);
                }
                Outcome::Changed => {
                    self.metrics.pass(key.kind, "changed");
                    return again(decision.wake);
                }
                Outcome::Failed(fault) => {
                    self.metrics.step(kind, false);
                    tracing::warn!(%key, step = %kind, %fault, "step failed");
                    let at = self.env.clock.now();
                    let mut inner = self.shared.lock();
                    let attempts = &mut inner.stores.memory_mut(key).attempts;
                    let count = attempts.get(&kind).map_or(0, |a| a.count) + 1;
                    attempts.insert(kind, Attempt { count, at, fault });
                }
            }
        }
        self.shared.lock().queue.wake(key);
        self.decide(key).map(|decision| decision.wake)
    }

    fn decide(&self, key: &Key) -> Option<Decision> {
        let now = self.env.clock.now();
        let mut inner = self.shared.lock();
        let stores = &inner.stores;
        let decision = match key.kind {
            Kind::Cluster => plan::cluster::plan(&stores.observe_cluster(&key.name)?, now),
            Kind::Machine => plan::machine::plan(&stores.observe_machine(&key.name)?, now),
            Kind::Template => plan::template::plan(&stores.observe_template(&key.name)?, now),
        };
        if let Some(Step::Claim(order)) = &decision.next {
            // Reserved under the same lock that saw it free: two waiters never pick the same host.
            inner.stores.memory_mut(key).claiming = Some(order.host.clone());
        }
        Some(decision)
    }

    fn keep_proof(&self, key: &Key, proof: Proof) {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), proof);
    }

    fn take_proof(&self, key: &Key) -> Option<Proof> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    /// Writes a status if it differs from what stands; false when the write failed.
    async fn write_status(&self, key: &Key, status: &Status, event: Option<&capmaas_reconcile::decision::Note>) -> bool {
        match self.put_status(key, status).await {
            Some(true) => {
                if let Some(event) = event {
                    self.tell(key, event).await;
                }
                true
            }
            Some(false) => true,
            None => false,
        }
    }

    async fn step(&self, key: &Key, step: Step) -> Outcome {
        match step {
            Step::Record(intent) => self.record(key, intent).await,
            Step::WriteSpec(write) => self.write_spec(key, write).await,
            Step::DropFinalizer => self.drop_finalizer(key).await,
            Step::Claim(order) => self.claim(key, order).await,
            Step::Mark { host, token, marks, takeover } => self.mark(key, host, token, marks, takeover).await,
            Step::Deploy { host, token, order, bootstrap } => self.deploy(key, host, token, order, &bootstrap).await,
            Step::Release { host, token, order } => self.release(key, host, token, order).await,
            Step::Publish(order) => self.publish(key, order).await,
            Step::Unpublish(name) => self.unpublish(key, name).await,
            Step::TieNode(tie) => self.tie_node(tie).await,
        }
    }
}

/// Steps that take so long that the status is shown before.
fn is_slow(step: &Step) -> bool {
    matches!(step, Step::Claim(_) | Step::Deploy { .. } | Step::Release { .. } | Step::Publish(_) | Step::Unpublish(_))
}
