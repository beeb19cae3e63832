//! How many requests may be under way (design rule 5.8). MAAS runs about 16 per region host, and calls that wait for a BMC hold
//! theirs for minutes.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests in flight in all.
const IN_FLIGHT: usize = 8;
/// Of these, at most so many that wait for a BMC.
const POWER: usize = 4;

/// The lanes of one region.
#[derive(Debug)]
pub(crate) struct Lanes {
    in_flight: Semaphore,
    allocate: Semaphore,
    power: Semaphore,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { in_flight: Semaphore::new(IN_FLIGHT), allocate: Semaphore::new(1), power: Semaphore::new(POWER) }
    }
}

/// Leave to send; given back when dropped. The semaphores are never closed, so the permits are always there.
pub(crate) struct Leave<'a> {
    _lane: Option<SemaphorePermit<'a>>,
    _in_flight: Option<SemaphorePermit<'a>>,
}

impl Lanes {
    /// For reads and short writes.
    pub(crate) async fn any(&self) -> Leave<'_> {
        Leave { _lane: None, _in_flight: self.in_flight.acquire().await.ok() }
    }

    /// For allocate: MAAS serialises it anyway, and parallel ones only burn its retries.
    pub(crate) async fn allocate(&self) -> Leave<'_> {
        self.through(&self.allocate).await
    }

    /// For calls that wait for a BMC.
    pub(crate) async fn power(&self) -> Leave<'_> {
        self.through(&self.power).await
    }

    /// The narrow lane first: those who queue for it hold nothing that others need.
    async fn through<'a>(&'a self, lane: &'a Semaphore) -> Leave<'a> {
        let lane = lane.acquire().await.ok();
        Leave { _lane: lane, _in_flight: self.in_flight.acquire().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// W-32
    #[test]
    fn one_allocate_four_releases_and_eight_in_all() {
        let lanes = Lanes::default();
        let first = lanes.allocate().now_or_never();
        assert!(first.is_some() && lanes.allocate().now_or_never().is_none());
        let releases: Vec<_> = std::iter::from_fn(|| lanes.power().now_or_never()).collect();
        assert_eq!(releases.len(), 4);
        let reads: Vec<_> = std::iter::from_fn(|| lanes.any().now_or_never()).collect();
        assert_eq!(reads.len(), 3, "a read gets through although all releases wait for BMCs");
        drop(first);
        assert!(lanes.allocate().now_or_never().is_some());
    }
}
