//! Scenarios over the in-process pair kube-sim + maas-sim, under paused time.

mod bad_input;
mod cost;
mod crash;
mod determinism;
mod life;
