//! How long a call may take, how large its answer may be, how often it is repeated.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{Error, ErrorKind};
use crate::operation::CallClass;

/// Deadlines per class of call, around sending *and* reading the whole answer, per attempt. Tokio
/// time: tests may pause it, provided that the transport runs in process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// DNS, TCP, proxy and TLS together; a connection that fails within it was not sent.
    pub connect: Duration,
    /// [`CallClass::Read`].
    pub read: Duration,
    /// [`CallClass::List`].
    pub list: Duration,
    /// [`CallClass::Allocate`]; MAAS itself may retry for 90 s.
    pub allocate: Duration,
    /// [`CallClass::Deploy`].
    pub deploy: Duration,
    /// [`CallClass::Power`]: MAAS waits for the BMC, its nginx cuts at 900 s. Programs that poll the
    /// machine anyway may cut at 60 s: the timeout is ambiguous, the work goes on.
    pub power: Duration,
    /// [`CallClass::PowerQuery`]; MAAS gives up after 60 s.
    pub power_query: Duration,
    /// [`CallClass::Write`].
    pub write: Duration,
    /// [`CallClass::Upload`]: one chunk.
    pub upload: Duration,
}

impl Default for Deadlines {
    /// The table of the fact sheet, §9.5.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(5),
            read: seconds(30),
            list: seconds(120),
            allocate: seconds(120),
            deploy: seconds(300),
            power: seconds(600),
            power_query: seconds(90),
            write: seconds(120),
            upload: seconds(300),
        }
    }
}

impl Deadlines {
    /// The same deadline for every class; connecting keeps its default unless that is longer.
    pub fn all(deadline: Duration) -> Self {
        Self {
            connect: Self::default().connect.min(deadline),
            read: deadline,
            list: deadline,
            allocate: deadline,
            deploy: deadline,
            power: deadline,
            power_query: deadline,
            write: deadline,
            upload: deadline,
        }
    }

    /// Deadline of a class.
    pub fn of(&self, class: CallClass) -> Duration {
        match class {
            CallClass::Read => self.read,
            CallClass::List => self.list,
            CallClass::Allocate => self.allocate,
            CallClass::Deploy => self.deploy,
            CallClass::Power => self.power,
            CallClass::PowerQuery => self.power_query,
            CallClass::Write => self.write,
            CallClass::Upload => self.upload,
        }
    }
}

/// How many calls of a kind are under way at once; further ones wait for their turn, in order.
///
/// A region has few worker threads, and a call that waits for a BMC holds one of them. Waiting for a turn
/// is not part of a call's deadline; it is part of [`crate::ClientBuilder::total_deadline`]'s time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Reads and lists together.
    pub read: usize,
    /// Allocations. MAAS serialises them itself; side by side they only collide.
    pub allocate: usize,
    /// Calls that wait for a BMC: power, release, abort, commission, questions for the power state.
    pub power: usize,
    /// Everything else that changes something, deployments and uploads included.
    pub write: usize,
}

impl Default for Lanes {
    /// No limits.
    fn default() -> Self {
        Self { read: usize::MAX, allocate: usize::MAX, power: usize::MAX, write: usize::MAX }
    }
}

impl Lanes {
    /// What a single region of default size bears from one client: 8 reads, 1 allocation, 16 power calls,
    /// 8 writes.
    pub fn gentle() -> Self {
        Self { read: 8, allocate: 1, power: 16, write: 8 }
    }
}

/// The turns of [`Lanes`].
pub(crate) struct Turns {
    read: Semaphore,
    allocate: Semaphore,
    power: Semaphore,
    write: Semaphore,
}

impl Turns {
    pub(crate) fn new(lanes: Lanes) -> Self {
        let turns = |count: usize| Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            read: turns(lanes.read),
            allocate: turns(lanes.allocate),
            power: turns(lanes.power),
            write: turns(lanes.write),
        }
    }

    pub(crate) async fn turn(&self, class: CallClass) -> Option<SemaphorePermit<'_>> {
        let lane = match class {
            CallClass::Read | CallClass::List => &self.read,
            CallClass::Allocate => &self.allocate,
            CallClass::Power | CallClass::PowerQuery => &self.power,
            CallClass::Deploy | CallClass::Write | CallClass::Upload => &self.write,
        };
        lane.acquire().await.ok() // never closed
    }
}

/// How calls are repeated, where [`Error::is_retryable`] says that it is safe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// How often a call is sent in all; 1 switches repeating off.
    pub attempts: u32,
    /// First wait where MAAS names none; doubles each time.
    pub base: Duration,
    /// Longest wait. If MAAS asks for more, the error goes to the caller at once.
    pub cap: Duration,
    /// Up to this share of the wait is added at random, 0.0 to 1.0.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, base: Duration::from_millis(500), cap: Duration::from_secs(15), jitter: 0.25 }
    }
}

impl RetryPolicy {
    /// Every call is sent once (a replayed nonce is still signed anew once: it was never looked at).
    pub fn none() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// How long to wait before sending again, after `attempts` attempts; none to give up.
    pub(crate) fn wait(&self, error: &Error, attempts: u32, rng: &mut fastrand::Rng) -> Option<Duration> {
        if attempts >= self.attempts || !error.is_retryable() || error.kind() == ErrorKind::NonceReplayed {
            return None;
        }
        let doubled = self.base.saturating_mul(1 << (attempts - 1).min(16));
        let wait = error.retry_after().unwrap_or(doubled.min(self.cap));
        (wait <= self.cap).then(|| wait.saturating_add(wait.mul_f64(self.jitter.clamp(0.0, 1.0) * rng.f64())))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::operation;

    /// W-32
    #[test]
    fn a_wait_is_what_maas_asks_or_doubles_and_is_never_above_the_cap() {
        let policy = RetryPolicy { attempts: 9, jitter: 0.0, ..Default::default() };
        let rng = &mut fastrand::Rng::with_seed(1);
        let conflict = |after: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(after) = after {
                headers.insert("retry-after", after.parse().unwrap());
            }
            let status = if after.is_some() { StatusCode::CONFLICT } else { StatusCode::BAD_GATEWAY };
            Error::from_reply(&operation::MACHINES_LIST, status, &headers, b"")
        };
        let millis = |wait: Option<Duration>| wait.map(|wait| wait.as_millis());
        assert_eq!(millis(policy.wait(&conflict(Some("5")), 1, rng)), Some(5000));
        assert_eq!(millis(policy.wait(&conflict(Some("16")), 1, rng)), None);
        assert_eq!(millis(policy.wait(&conflict(None), 1, rng)), Some(500));
        assert_eq!(millis(policy.wait(&conflict(None), 3, rng)), Some(2000));
        assert_eq!(millis(policy.wait(&conflict(None), 8, rng)), Some(15_000));
        assert_eq!(millis(policy.wait(&conflict(None), 9, rng)), None);
        assert_eq!(millis(RetryPolicy::none().wait(&conflict(None), 1, rng)), None);

        let seeded = |seed| RetryPolicy::default().wait(&conflict(None), 1, &mut fastrand::Rng::with_seed(seed));
        assert_eq!(seeded(7), seeded(7));
        assert_ne!(seeded(7), seeded(8));
    }
}
