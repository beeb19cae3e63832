//! Stores and queue under one lock, and the bells that feeders and runner wait for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capmaas_provider_maas::{Clock, MaasRegion};
use capmaas_reconcile::names::Key;
use capmaas_reconcile::queue::Queue;
use capmaas_reconcile::stores::{Fact, Learned, Stores};

use crate::bell::{Bell, Listener};

/// What is behind the lock.
#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) stores: Stores,
    pub(crate) queue: Queue,
    /// The door to the region in use.
    pub(crate) region: Option<Arc<MaasRegion>>,
    /// Kubernetes feeders that have not listed yet.
    pub(crate) unsynced: usize,
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
        let now = self.clock.now();
        let mut inner = self.lock();
        let learned = inner.stores.learn(fact, now);
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
    pub(crate) fn done(&self, key: &Key, wake: Option<capmaas_reconcile::topic::Wake>) {
        self.lock().queue.done(key, wake);
        self.ring();
    }
}
