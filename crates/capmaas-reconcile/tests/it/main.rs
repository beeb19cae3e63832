//! The plans at work: tables, and exhaustive exploration on the model fleet.
#![allow(clippy::unwrap_used)] // helpers of tests

mod cluster;
mod contract;
mod deletion;
mod explore;
mod machine;
mod placement;
mod remediation;
mod template;
mod world;
