//! The manager of the MAAS infrastructure provider: everything that does I/O, around plans that do none.
//!
//! **What it is.** [`Manager::run`] is one future on one `JoinSet`: feeders that watch Kubernetes, the MAAS region and the workload
//! clusters, and look for what the Go provider left behind; stores; the queue; the executor that does the one step a plan asks for; leader election; the admin servers. The
//! controller and the sandbox both call it. Dropping the future is a crash, and everything recovers from it.
//!
//! **What it is not.** It decides nothing: policy is in `capmaas-reconcile`, the metal's ways in `capmaas-provider-maas`. It uses
//! kube-runtime's `watcher` and nothing else of it, because order and time have to be repeatable.
//!
//! **How data flows.**
//! ```text
//!  objects, credentials, region, workloads       Shared { stores, queue }        Executor
//!  (feeders: the only readers) ── Fact ──►  learn ── wakes ──► pass ── next: observe, plan ──► write status | do one step ──►
//!         ▲                                   ▲                                                      │
//!         └── topics that somebody waits for ─┴────────────── what the step taught ◄─────────────────┘
//! ```
//! What enters from outside is in [`Env`]: the clock, a seed, the management cluster's client, the doors to MAAS regions
//! ([`Regions`]) and workload clusters ([`Workloads`]), and the flags ([`Settings`]). A [`gate::Gate`] before the clients numbers every
//! call and may stop the world at one.
//!
//! ```
//! use std::sync::Arc;
//! use capmaas_manager::{Clock, Env, Manager, NetworkRegions, NetworkWorkloads, Settings};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
//! // The embedded API server stands for the management cluster; `kube::Client::try_default()` is the real one.
//! let clock = Clock::new("2026-11-23T12:00:00Z".parse()?, 1.0);
//! let cluster = kube_sim::KubeSim::new(kube_sim::Config::new(Arc::new(move || clock.now()), 7));
//! let env = Env {
//!     clock,
//!     seed: 7,
//!     kube: kube::Client::new(cluster, "default"),
//!     regions: Arc::new(NetworkRegions),
//!     workloads: Arc::new(NetworkWorkloads),
//!     settings: Settings::default(),
//! };
//! // Nothing is installed in this cluster yet: the manager waits for its kinds and its credentials until it is told to stop.
//! Manager::run(env, tokio::time::sleep(std::time::Duration::from_secs(60))).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
pub use leader::{Election, ElectionError};
pub use manager::{Manager, ManagerError};
pub use metrics::Metrics;
