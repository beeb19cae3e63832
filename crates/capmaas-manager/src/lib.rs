//! Runs the provider.
mod admin;
mod bell;
mod doors;
mod env;
mod executor;
mod feeders;
pub mod gate;
mod leader;
mod manager;
mod metrics;
mod shared;

pub use capi_types::names::PROVIDER_NAMESPACE as DEFAULT_NAMESPACE;
pub use capmaas_provider_maas::Clock;
pub use doors::{NetworkRegions, NetworkWorkloads};
pub use env::{Credentials, Env, Regions, Settings, WorkloadError, Workloads};
pub use leader::Election;
pub use manager::{Manager, ManagerError};
pub use metrics::Metrics;
