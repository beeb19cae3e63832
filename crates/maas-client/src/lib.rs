//! Client of the [Canonical MAAS](https://maas.io) REST API 2.0, for MAAS 3.4 to 3.8.
//!
//! # What it is
//! Typed calls, honest errors. A [`Client`] holds a URL and an API key and gives a handle per group of
//! calls (`client.machines()`, `client.dns_resources()`, …). Every group is a trait ([`Machines`],
//! [`DnsResources`], …), so that programs can be tested with mocks (feature `mock`). Errors say what
//! happened, in MAAS's words, and what may be concluded from it: see [`error`].
//!
//! # What it is not
//! No policy: it chooses no machine, waits for nothing unasked and repeats no write that might act twice.
//! No Kubernetes. No API v3 (which has no machine life cycle yet).
//!
//! # How data flows
//! ```text
//! typed request ─► Form (never JSON) ─► signed http::Request ─► tower Service ─► whole body ─► typed reply
//!                        └ operation table: deadline class, effect ┘ └ hyper+rustls, or your own    └ Error
//! ```
//! Nonce and time of a signature come from a [`StampSource`], jitter from an injected
//! `fastrand::Rng`, deadlines are tokio time: a program that injects all three and its own service runs
//! the same way every time.
//!
//! # What to use for what
//! | you want | use |
//! |---|---|
//! | machines from allocate to release | [`Client::machines`] |
//! | a machine until it is deployed | [`wait_until`] with [`status_is`] |
//! | to know why a deployment failed | [`Client::results`] with [`ScriptSetId::CurrentInstallation`] |
//! | where each address of a machine is | [`Machine::addresses`] |
//! | names and records | [`Client::dns_resources`], [`Client::dns_records`] |
//! | what happens | [`follow_events`] |
//! | an image in MAAS | [`BootResourcesClient::upload`] |
//! | anything else MAAS can do | [`Client::call`] with a row of [`operation`] |
//! | a fleet too large to hold | [`AnyCall::entries`] |
//! | to be gentle to a region, or impatient | [`ClientBuilder::lanes`], [`ClientBuilder::total_deadline`], [`Deadlines`] |
//! | numbers about calls | [`ClientBuilder::observer`] |
//! | no runtime of your own | [`block_on`] |
//!
//! # A whole program
//! Over the network one writes `Client::builder("http://maas.example:5240/MAAS", &key)?.build()?`.
//! Here a closure stands in for MAAS:
//! ```
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use maas_client::{AllocateRequest, Client, DeployRequest, ErrorKind, Machines as _};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let maas = tower::service_fn(|request: http::Request<Full<Bytes>>| async move {
//!         let (status, body) = match request.uri().query() {
//!             Some("op=allocate") => (200, r#"{"system_id": "wt67ch", "hostname": "node01", "status": 10}"#),
//!             Some("op=deploy") => (200, r#"{"system_id": "wt67ch", "hostname": "node01", "status": 9}"#),
//!             _ => (404, "No Machine matches the given query."),
//!         };
//!         http::Response::builder().status(status).body(Full::new(Bytes::from(body)))
//!     });
//!     let client = Client::builder("http://localhost:5240/MAAS", "consumer:token:secret")?
//!         .build_with_service(maas);
//!
//!     let request = AllocateRequest { tags: vec!["gpu".into()], agent_name: Some("job-7".into()), ..Default::default() };
//!     let machine = client.machines().allocate(&request).await?;
//!     let deploy = DeployRequest {
//!         distro_series: Some("ubuntu/noble".into()),
//!         user_data: Some(b"#cloud-config\n".to_vec()),
//!         ..Default::default()
//!     };
//!     let machine = client.machines().deploy(&machine.system_id, &deploy).await?;
//!     println!("{} is {}", machine.hostname, machine.status);
//!
//!     let gone = client.machines().read(&"zzzzzz".parse()?).await.unwrap_err();
//!     assert_eq!(gone.kind(), ErrorKind::NotFound);
//!     Ok(())
//! }
//! ```

// mockall's types inside `service!` look like ours to this lint
#![cfg_attr(any(test, feature = "mock"), allow(unreachable_pub))]

mod base_url;
mod block_on;
mod call;
mod capabilities;
mod client;
mod define;
mod dns;
pub mod error;
mod form;
mod generic;
mod hardware;
mod ids;
mod images;
mod key;
mod limits;
mod list;
mod machine;
mod machine_requests;
mod machines;
mod maintenance;
mod network;
mod oauth;
mod observe;
pub mod operation;
mod people;
mod places;
mod region;
mod results;
mod scripts;
mod status;
mod transport;
mod wait;
mod wire;

pub use base_url::{BaseUrl, UrlError};
pub use block_on::block_on;
pub use capabilities::Capabilities;
pub use client::{BuildError, Client, ClientBuilder};
pub use dns::*;
pub use error::{ClockSkew, Conflict, Disposition, Error, ErrorKind, Result};
pub use generic::AnyCall;
pub use hardware::*;
pub use ids::*;
pub use images::*;
pub use key::{ApiKey, ApiKeyError};
pub use limits::{Deadlines, Lanes, RetryPolicy};
pub use list::Entries;
pub use machine::{
    DiscoveredAddress, DomainRef, Interface, InterfaceLink, Machine, MachineAddress, PoolRef, SubnetRef, VlanRef,
    ZoneRef,
};
pub use machine_requests::{
    AllocateRequest, DeployRequest, MachineFilter, PowerOffMode, ReleaseRequest, UpdateMachine,
};
#[cfg(any(test, feature = "mock"))]
pub use machines::MockMachines;
pub use machines::{Machines, MachinesClient};
pub use maintenance::*;
pub use network::*;
pub use oauth::{Stamp, StampSource, SystemStamps};
pub use observe::{CallReport, Observer};
pub use operation::{CallClass, Effect, Operation, Returns};
pub use people::*;
pub use places::*;
pub use region::*;
pub use results::*;
pub use scripts::*;
pub use status::{MachineStatus, PowerState};
pub use transport::{BoxError, NotSent, RequestBody, ResponseBody, Transport, erase};
pub use wait::*;
