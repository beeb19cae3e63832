//! Scenarios over the in-process pair kube-sim + maas-sim, under paused time.

#![allow(clippy::unwrap_used, reason = "a scenario that fails to unwrap has failed")]

mod bad_input;
mod client_sim;
mod conformance;
mod contract;
mod cost;
mod crash;
mod defects;
mod deletion;
mod determinism;
mod faults;
mod fleet;
mod invariants;
mod kubectl;
mod leaders;
mod life;
mod name;
mod placement;
mod remediation;
mod speed;
mod table;
mod takeover;
mod trouble;
