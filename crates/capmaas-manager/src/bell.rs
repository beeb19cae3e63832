//! A bell that many listen to. Not `tokio::sync::watch`: that one wakes its receivers in a random order, and order is ours
//! (design §4).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Rings for everybody who listens. Clones are the same bell.
#[derive(Clone, Default)]
pub(crate) struct Bell {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    rung: AtomicU64,
    notify: Notify,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.inner.rung.fetch_add(1, Ordering::Release);
        // Wakes in the order in which they began to listen.
        self.inner.notify.notify_waiters();
    }

    pub(crate) fn listen(&self) -> Listener {
        Listener { heard: self.inner.rung.load(Ordering::Acquire), bell: self.clone() }
    }
}

/// One who listens.
pub(crate) struct Listener {
    bell: Bell,
    heard: u64,
}

impl Listener {
    /// What was rung until now counts as heard.
    pub(crate) fn forget(&mut self) {
        self.heard = self.bell.inner.rung.load(Ordering::Acquire);
    }

    /// Resolves when the bell was rung since it was heard last.
    pub(crate) async fn rung(&mut self) {
        loop {
            let notified = self.bell.inner.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let rung = self.bell.inner.rung.load(Ordering::Acquire);
            if rung != self.heard {
                self.heard = rung;
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ring_before_the_wait_is_heard_and_heard_once() {
        let bell = Bell::default();
        let mut listener = bell.listen();
        bell.ring();
        bell.ring();
        listener.rung().await;
        let again = tokio::time::timeout(std::time::Duration::from_secs(1), listener.rung()).await;
        assert!(again.is_err(), "nothing was rung since");
    }
}
