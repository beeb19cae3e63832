//! A simulated Canonical MAAS region, modelled on MAAS 3.7.3 and its REST API 2.0.
//!
//! **What it is.** [`Region`] is a state machine without I/O and clock: [`Region::handle`] takes the time and an HTTP
//! request and gives the HTTP response; [`Region::tick`] lets happen what is due. Same seed, same requests, same times:
//! same answers, byte for byte. Three shells make it usable: [`SharedRegion`] is a `tower::Service` for clients in the
//! same process, [`serve`] speaks HTTP/1.1 on a socket, [`serve_dns`] answers DNS over UDP and TCP.
//!
//! **What it is not.** No DHCP, no API v3, and of VM hosts, which MAAS has removed, only that allocate composes on them.
//! Operations that a real region has and this one lacks are answered 501 with their name and counted in
//! [`Region::unsimulated`], never faked; the list is at the end. The name server has the domains of the region, with A and AAAA records of machines and
//! DNS resources: no reverse zones, no forwarding, no transfers. What runs on a deployed machine is somebody else's part:
//! [`Region::take_happenings`] tells when a machine booted and with which user data.
//!
//! **How faithful.** 504 recorded answers of a real MAAS 3.7.3 are replayed in the tests of this crate; what differs stands in
//! `tests/recordings/differences.txt`, each with its reason. Other versions are switches of [`Config::version`].
//!
//! **In a test, three lines:**
//! ```
//! use std::time::Duration;
//! use maas_sim::{Config, SharedRegion};
//!
//! let maas = SharedRegion::standing(Config::lab(3)); // a tower::Service: hand it to your client, or to maas_sim::serve
//! maas.with(|region, now| region.fail_next_deployment(now, "node01", "disk sda is gone"))?;
//! maas.advance(Duration::from_secs(600)); // virtual time: nothing waits
//! # Ok::<(), maas_sim::KnobError>(())
//! ```
//!
//! **What goes wrong.** Hardware: [`Region::set_power_cord`], [`Region::set_bmc`], [`Region::fail_deployments`],
//! [`Region::fail_erases`], [`Region::set_mute`] and more. Between client and region: [`Region::add_fault`],
//! [`Region::set_outage`], [`Region::restart`]. All of it over HTTP, too: [`control`].
//!
//! **How data flows.**
//! ```text
//! request ─► faults ─► route ─► sign-in ─► handler ─► tables ─► reply ─► how it is delivered
//!                                   └► agenda ─► tick ─► tables, events, happenings ─► whoever simulates the machines
//! knobs (methods of Region, or control endpoints) ─► tables          tables ─(after a while)─► published zones ─► look_up, DNS
//! ```
//!
//! ```
//! use bytes::Bytes;
//! use maas_sim::{ADMIN_KEY, Config, Happening, Region, Status};
//!
//! let mut region = Region::new(Config::lab(3));
//! let mut now: jiff::Timestamp = "2026-11-23T12:00:00Z".parse()?;
//! let key: Vec<&str> = ADMIN_KEY.split(':').collect();
//! let mut nonce = 0;
//! let mut post = |region: &mut Region, now: jiff::Timestamp, path: &str, form: &str| {
//!     nonce += 1;
//!     let sign = format!(
//!         "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{}\", oauth_token=\"{}\", \
//!          oauth_signature=\"%26{}\", oauth_nonce=\"{nonce}\", oauth_timestamp=\"{}\"",
//!         key[0], key[1], key[2], now.as_second(),
//!     );
//!     let request = http::Request::post(format!("/MAAS/api/2.0/{path}"))
//!         .header("authorization", sign)
//!         .header("content-type", "application/x-www-form-urlencoded")
//!         .body(Bytes::copy_from_slice(form.as_bytes()))
//!         .unwrap();
//!     region.handle(now, request)
//! };
//!
//! let answer = post(&mut region, now, "machines/?op=allocate", "agent_name=me&cpu_count=4");
//! assert_eq!(answer.status(), 200);
//! let machine: serde_json::Value = serde_json::from_slice(answer.body())?;
//! let id = machine["system_id"].as_str().unwrap();
//! post(&mut region, now, &format!("machines/{id}/?op=deploy"), "user_data=I2Nsb3VkLWNvbmZpZwo=");
//! while let Some(due) = region.tick(now) {
//!     if region.machine(id).unwrap().status == Status::Deployed { break }
//!     now = due;
//! }
//! let booted = region.take_happenings().into_iter().find_map(|h| match h {
//!     Happening::Booted { user_data, addresses, .. } => Some((user_data, addresses)),
//!     _ => None,
//! });
//! let (user_data, addresses) = booted.unwrap();
//! assert_eq!(user_data.unwrap(), "#cloud-config\n");
//! assert_eq!(addresses.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **What is not simulated**, and why ([`not_simulated`] gives the same to programs):
//!
#![doc = include_str!("unsimulated.md")]

mod account;
mod auth;
mod body;
mod catalogue;
mod clone;
mod commission;
mod compose;
mod config;
pub mod control;
mod controllers;
mod cost;
mod disks;
mod dns;
mod dump;
mod durations;
mod events;
mod faults;
mod filter;
mod form;
mod hands;
mod hardware;
mod images;
mod interfaces;
mod inventory;
mod knobs;
mod layouts;
mod life;
mod machine_table;
mod machines;
mod nameserver;
mod net;
mod network;
mod places;
mod ranges;
mod records;
mod region;
mod reply;
mod results;
mod route;
mod scripts;
mod shelf;
mod shelf_kinds;
mod shell;
mod specs;
mod ssh_keys;
mod state;
mod status;
mod storage;
mod subnets;
mod tags;
mod timeline;
mod view;
mod zones;

pub use auth::FAKE_SECRET;
pub use body::SimBody;
pub use catalogue::not_simulated;
pub use compose::VmHostSpec;
pub use config::{ADMIN_KEY, Config, ConfigError, ConfigErrorKind, USER_KEY};
pub use cost::Costs;
pub use durations::Durations;
pub use faults::{Delivery, Fault, FaultRule, Latency, When};
pub use knobs::{KnobError, KnobErrorKind, MachineState};
pub use nameserver::serve_dns;
pub use region::{Happening, Held, Outage, Region, RequestRecord};
pub use shell::{ClockFn, SharedRegion, ShellError, ShellErrorKind, serve};
pub use specs::{
    DeviceSpec, DiskSpec, ImageSpec, InterfaceSpec, LinkMode, LinkSpec, MachineSpec, PlaceSpec, RangeSpec, SubnetSpec,
    TagSpec, UserSpec,
};
pub use state::{Bmc, DeployFault};
pub use status::Status;
pub use zones::{NameAnswer, RecordKind, Zone};
