//! A process that stands still, as its calls and answers see it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Clones are the same frost.
#[derive(Clone, Default)]
pub(super) struct Frost(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    frozen: bool,
    /// Who waits for the thaw, in the order in which they came: they go on in that order.
    held: Vec<Waker>,
}

impl Frost {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn freeze(&self) {
        self.lock().frozen = true;
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.lock().frozen
    }

    pub(super) fn thaw(&self) {
        let held = {
            let mut state = self.lock();
            state.frozen = false;
            std::mem::take(&mut state.held)
        };
        held.into_iter().for_each(Waker::wake);
    }

    pub(super) fn poll_thawed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.frozen {
            return Poll::Ready(());
        }
        if !state.held.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.held.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) async fn thawed(&self) {
        poll_fn(|cx| self.poll_thawed(cx)).await;
    }
}
