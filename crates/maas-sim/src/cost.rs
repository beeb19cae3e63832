//! What requests cost a real region, for whoever wants the simulator to be as slow (reference §6.2).

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::durations::seconds;
use crate::region::Region;

/// How long requests are held to imitate the work of a real region. All zero unless asked for. In YAML: seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Costs {
    /// Of every request: sign-in, transaction.
    #[serde(deserialize_with = "seconds")]
    pub request: Duration,
    /// Per machine in an answer: MAAS makes several queries for each.
    #[serde(deserialize_with = "seconds")]
    pub per_machine: Duration,
    /// Of an allocation, under the lock that allows one at a time: those that come meanwhile wait in line.
    #[serde(deserialize_with = "seconds")]
    pub allocate: Duration,
    /// Of a deployment's start: claimed addresses are probed.
    #[serde(deserialize_with = "seconds")]
    pub deploy: Duration,
}

impl Costs {
    /// About what a region of one host costs: 30 ms per request, 15 ms per listed machine, an allocation a second, the start
    /// of a deployment four.
    #[must_use]
    pub fn real() -> Self {
        let ms = Duration::from_millis;
        Self { request: ms(30), per_machine: ms(15), allocate: ms(1000), deploy: ms(4000) }
    }
}

impl Region {
    /// Holds the present answer back for what it would have cost.
    pub(crate) fn charge(&mut self, now: Timestamp, operation: &str, machines: usize) {
        let costs = &self.costs;
        let mut cost = costs.request + costs.per_machine * u32::try_from(machines).unwrap_or(u32::MAX);
        if operation.ends_with(" deploy") {
            cost += costs.deploy;
        }
        if operation == "POST machines allocate" && !costs.allocate.is_zero() {
            let free = self.allocating_until.max(now);
            let done = free.checked_add(costs.allocate).unwrap_or(Timestamp::MAX);
            self.allocating_until = done;
            cost += Duration::try_from(done.duration_since(now)).unwrap_or_default();
        }
        self.hold += cost;
    }
}
