//! kube-sim seen from outside: through `kube::Client`, through `kubectl`, and against its own list of gaps.

// Helpers of tests are tests, too; the lint only knows functions marked so.
#![allow(clippy::unwrap_used)]

mod client;
mod gaps;
mod kubectl;

use std::sync::Arc;

use kube_sim::{Config, KubeSim};

const WIDGETS: &str = include_str!("../data/widgets.yaml");

/// A simulator that knows Widgets and whose clock stands still.
fn sim() -> KubeSim {
    let sim = KubeSim::new(Config::new(Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap()), 1));
    sim.apply_yaml(WIDGETS).unwrap();
    sim
}
