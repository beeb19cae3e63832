//! Stores and queue under one lock, and the bells that feeders and runner wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capmaas_provider_maas::{Clock, MaasRegion};
use capmaas_reconcile::names::Key;
use capmaas_reconcile::queue::Queue;
use capmaas_reconcile::stores::{Fact, Learned, Stores};
use capmaas_reconcile::topic::{Topic, Wake};
use jiff::Timestamp;

use crate::bell::{Bell, Listener};

/// What is behind the lock.
#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) stores: Stores,
    pub(crate) queue: Queue,
    /// The door to the region in use.
    pub(crate) region: Option<Arc<MaasRegion>>,
    /// Kinds that were not listed yet.
    pub(crate) unlisted: BTreeSet<&'static str>,
    /// Another process leads; this one has nothing to list.
    pub(crate) standby: bool,
    /// The manager is told to stop: no step is begun any more.
    pub(crate) stopping: bool,
    /// What was reported while passes run, oldest first.
    reports: Vec<Topic>,
    /// The passes that run, with how many reports there were when each began.
    began: BTreeMap<Key, usize>,
}

impl Inner {
    /// Wakes whom it concerns.
    pub(crate) fn concern(&mut self, learned: Learned) {
        for key in &learned.keys {
            self.queue.wake(key);
        }
        for topic in &learned.topics {
            self.queue.report(topic);
        }
        if !self.began.is_empty() {
            self.reports.extend(learned.topics);
        }
    }

    /// The next key whose pass is to run.
    pub(crate) fn pop(&mut self) -> Option<Key> {
        let key = self.queue.pop()?;
        self.began.insert(key.clone(), self.reports.len());
        Some(key)
    }

    /// A key's pass is over. What was reported since it began may have come after it looked, and before the queue knew that it
    /// waits for it: then it looks again.
    fn done(&mut self, key: &Key, wake: Option<Wake>) {
        let began = self.began.remove(key).unwrap_or(self.reports.len());
        let missed = wake.as_ref().is_some_and(|w| self.reports[began..].iter().any(|t| w.topics.contains(t)));
        self.queue.done(key, wake);
        if missed {
            self.queue.wake(key);
        }
        let needed = self.began.values().copied().min().unwrap_or(self.reports.len());
        self.reports.drain(..needed);
        self.began.values_mut().for_each(|at| *at -= needed);
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Shared {
    inner: Arc<Mutex<Inner>>,
    bell: Bell,
    pub(crate) clock: Clock,
}

impl Shared {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { inner: Arc::default(), bell: Bell::default(), clock }
    }

    /// The stores and the queue. Never held over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock ends the process (every task is awaited); what it left behind is not used again.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a fact in and wakes whom it concerns.
    pub(crate) fn learn(&self, fact: Fact) {
        self.take_in(fact, Stores::learn);
    }

    /// A write of ours was answered, which says less than what a feeder reads: see [`Stores::answered`].
    pub(crate) fn answered(&self, fact: Fact) {
        self.take_in(fact, Stores::answered);
    }

    fn take_in(&self, fact: Fact, how: fn(&mut Stores, Fact, Timestamp) -> Learned) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let learned = how(&mut inner.stores, fact, now);
        inner.concern(learned);
        drop(inner);
        self.ring();
    }

    /// Something changed: the queue may have work, the feeders may have something new to read.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// Rings on every change.
    pub(crate) fn listen(&self) -> Listener {
        self.bell.listen()
    }

    /// A key's pass is over.
    pub(crate) fn done(&self, key: &Key, wake: Option<Wake>) {
        self.lock().done(key, wake);
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use capmaas_reconcile::names::Kind;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_report_between_the_look_and_the_wait_is_not_missed() {
        let mut inner = Inner::default();
        let (a, b) = (Key::new(Kind::Machine, "default", "a"), Key::new(Kind::Machine, "default", "b"));
        let wake = || Some(Wake { at: Timestamp::MAX, topics: [Topic::Zones].into() });
        let report = |topic| Learned { keys: Vec::new(), topics: vec![topic] };
        inner.queue.wake(&a);
        inner.queue.wake(&b);
        assert_eq!(inner.pop(), Some(a.clone()));
        inner.concern(report(Topic::Zones));
        assert_eq!(inner.pop(), Some(b.clone()));
        inner.concern(report(Topic::Domains));
        inner.done(&a, wake());
        inner.done(&b, wake());
        assert_eq!(inner.pop(), Some(a.clone()), "the zones were reported while it looked");
        assert_eq!(inner.pop(), None, "b began after that and does not wait for the domains");
        inner.done(&a, wake());
        assert!(inner.queue.is_idle() && inner.reports.is_empty() && inner.began.is_empty());
    }
}
