//! Policy time: what plans, conditions and simulators call "now".
//!
//! It runs on tokio's clock, so a paused runtime pauses it too, and `speed` scales it: the sandbox lets ten minutes of
//! deployment pass in half a minute. Transport deadlines are tokio time and are never scaled.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A clock that starts at `epoch` and runs `speed` times as fast as tokio's.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    start: Instant,
    speed: f64,
}

impl Clock {
    /// A clock that shows `epoch` now and runs `speed` (> 0, else 1) times as fast as real time.
    ///
    /// Must be called inside a tokio runtime when that runtime's time is paused.
    pub fn new(epoch: Timestamp, speed: f64) -> Self {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        Self { epoch, start: Instant::now(), speed }
    }

    /// The machine's own time, unscaled: what a controller in a cluster uses.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place where real time enters")]
        Self::new(Timestamp::now(), 1.0)
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.epoch + self.start.elapsed().mul_f64(self.speed)
    }

    /// Waits until [`Clock::now`] has reached `at`.
    pub async fn sleep_until(&self, at: Timestamp) {
        let left = at.duration_since(self.now());
        if let Ok(left) = Duration::try_from(left) {
            tokio::time::sleep(left.div_f64(self.speed)).await;
        }
    }

    /// Waits for `span` of policy time.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span.div_f64(self.speed)).await;
    }
}
