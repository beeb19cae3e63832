//! The [`Provider`](capmaas_reconcile::provider::Provider) on a MAAS region, and the reads that keep the stores fresh.
//!
//! # What it is
//! * [`MaasRegion`]: one MAAS and one key. Writes go through the `Provider` trait, reads through [`MaasRegion::read`]. Requests
//!   run in lanes: allocate one at a time, release four, eight in all.
//! * [`Watcher`]: the schedule of the reads. Pure: it is told what is awaited, what is known and what time it is, and says what to
//!   read now and when to ask again. One watcher per (MAAS, user) instead of one poll per object.
//! * [`host_view`], [`host_phase`]: MAAS's words in reconcile's terms; [`fault`]: MAAS's errors in reconcile's terms.
//! * [`Clock`]: policy time.
//!
//! # What it is not
//! No policy and no retries: what to do with a fault, which host to choose, when to give up is `plan`'s. It knows no Kubernetes.
//!
//! # How data flows
//! ```text
//! awaited topics + stores + now ─► Watcher::due ─► Query ─► MaasRegion::read ─► Facts ─► stores
//!                                       ▲                        │
//!                                       └── Watcher::answered ◄──┘
//! step + Proof ─► Provider method ─► lane ─► maas-client / maas-dns ─► HostView | Fault
//! ```
//! A filtered list proves presence, never absence: when a host that was in flight (or lost) is missing in the answer, the same read
//! asks for it by id, and only that answer counts.
//!
//! # MAAS status → host phase
//! | no | MAAS status | phase |
//! |---|---|---|
//! | 0 | New | Operator |
//! | 1 | Commissioning | Operator |
//! | 2 | Failed commissioning | Operator |
//! | 3 | Missing | Operator |
//! | 4 | Ready | Free |
//! | 5 | Reserved | Claimed |
//! | 6 | Deployed | Deployed |
//! | 7 | Retired | Operator |
//! | 8 | Broken | Broken |
//! | 9 | Deploying | Deploying |
//! | 10 | Allocated | Claimed |
//! | 11 | Failed deployment | DeployFailed |
//! | 12 | Releasing | Releasing |
//! | 13 | Releasing failed | ReleaseFailed |
//! | 14 | Disk erasing | Releasing |
//! | 15 | Failed disk erasing | ReleaseFailed |
//! | 16 | Rescue mode | Operator |
//! | 17 | Entering rescue mode | Operator |
//! | 18 | Failed to enter rescue mode | Operator |
//! | 19 | Exiting rescue mode | Operator |
//! | 20 | Failed to exit rescue mode | Operator |
//! | 21 | Testing | Operator |
//! | 22 | Failed testing | Operator |
//!
//! Evidence overrides the status in one case: a machine that is Ready *and* has an owner contradicts itself and is `Unknown`, as is
//! any number that is not in the table. A test holds this table to the code.
//!
//! # Example
//! ```
//! use std::collections::BTreeSet;
//! use capmaas_provider_maas::{Query, Watcher};
//! use capmaas_reconcile::stores::Stores;
//! use capmaas_reconcile::topic::Topic;
//!
//! let now: jiff::Timestamp = "2026-11-23T12:00:00Z".parse()?;
//! let awaited = BTreeSet::from([Topic::Host("wt67ch".parse()?), Topic::Zones]);
//! let mut watcher = Watcher::default();
//! let due = watcher.due(&awaited, &Stores::default(), now);
//! assert_eq!(due.queries, [Query::Hosts(BTreeSet::from(["wt67ch".parse()?])), Query::Zones]);
//! // each goes through MaasRegion::read; the schedule only hears whether that worked
//! for query in &due.queries {
//!     watcher.answered(query, now, false);
//! }
//! assert!(watcher.due(&awaited, &Stores::default(), now).queries.is_empty(), "failed reads back off");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod door;
pub mod fault;
mod lanes;
mod region;
mod rules;
mod status;
mod watcher;

pub use clock::Clock;
pub use region::{ConnectError, ConnectErrorKind, MaasRegion, Services};
pub use status::{CLUSTER_KEY, Evidence, MACHINE_KEY, TOKEN_KEY, ViewError, host_phase, host_view};
pub use watcher::{Due, Periods, Query, Watcher};
