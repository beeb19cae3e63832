//! Behaviour of the simulated region, seen through its doors.

// The lint knows functions with #[test] only, not what they share.
#![allow(clippy::unwrap_used)]

mod clients;
mod determinism;
mod faults;
mod knobs;
mod layouts;
mod names;
mod nameserver;
mod recordings;
mod replay;
mod results;
mod shells;
mod stories;
mod versions;
mod wire;
