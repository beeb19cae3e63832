//! Waiting in real time: the processes of a run know no other.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a scenario waits between two looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Time since some moment.
pub(super) struct Watch(Instant);

impl Watch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "processes run in real time, and nothing here decides by it")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    pub(super) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// A moment after which waiting is given up.
pub(super) struct Deadline {
    watch: Watch,
    after: Duration,
}

impl Deadline {
    /// From now on.
    pub(super) fn after(after: Duration) -> Self {
        Self { watch: Watch::start(), after }
    }

    /// Nothing is left.
    pub(super) fn passed(&self) -> bool {
        self.watch.0.elapsed() >= self.after
    }
}

/// Sleeps.
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Looks until `look` has an answer. `Err(reason)` is why it has none yet; the last one is told when patience ends.
pub(super) fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let deadline = Deadline::after(patience);
    loop {
        match look()? {
            Ok(answer) => return Ok(answer),
            Err(reason) if deadline.passed() => {
                bail!("{what}: not within {} s; at the end: {reason}", patience.as_secs())
            }
            Err(_) => pause(PERIOD),
        }
    }
}

/// `Ok` when true, the reason otherwise: for [`until`].
pub(super) fn when(true_: bool, reason: impl FnOnce() -> String) -> std::result::Result<(), String> {
    if true_ { Ok(()) } else { Err(reason()) }
}
