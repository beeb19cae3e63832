//! The client against recorded answers of a real MAAS and against sockets.

#![allow(clippy::unwrap_used)] // clippy's exception for tests does not see the functions tests share

mod completeness;
mod embedding;
mod loopback;
mod reality;
mod recordings;
mod refusals;
mod robustness;
mod secrets;
mod simulator;
mod store;
mod typed;
