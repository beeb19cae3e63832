//! What the metal looks like from above: one host, as a provider reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use capi_types::SystemId;
use jiff::Timestamp;

use crate::names::Token;

/// Where a host is in its life, as far as plans care. The provider maps its own states onto these; the raw name stays in
/// [`HostView::status_name`] for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPhase {
    /// In the pool: can be claimed.
    Free,
    /// Allocated to somebody, no operating system yet.
    Claimed,
    /// The image is being installed.
    Deploying,
    /// An operating system runs (its bootstrap data was fetched; nothing says that the data has run).
    Deployed,
    /// The installation failed.
    DeployFailed,
    /// Being released or erased.
    Releasing,
    /// The release or the erasing failed; somebody has to look.
    ReleaseFailed,
    /// Marked broken.
    Broken,
    /// In the hands of an operator: rescue mode, testing, commissioning, retired. Never touched by reflex (design rule 5.3).
    Operator,
    /// A state this version does not know: treated like [`HostPhase::Operator`].
    Unknown,
}

/// Power, as far as the BMC told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Power {
    /// On.
    On,
    /// Off, confirmed.
    Off,
    /// Not known: manual power type, or never asked. Never a reason to act.
    Unknown,
    /// The BMC did not answer. Never a reason to act.
    Error,
}

/// Who holds a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// Our MAAS user; with the claim token found in the marks, if any.
    Us(Option<Token>),
    /// Another MAAS user.
    Other(String),
}

/// What a machine is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hardware {
    /// Architecture in Go's words (`amd64`, `arm64`, `ppc64le`, `s390x`); empty when the provider knows none of them.
    pub architecture: String,
    /// Cores.
    pub cpu: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
}

/// Where an address of a host sits.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attachment {
    /// Name of the network interface.
    pub interface: String,
    /// The interface's tags.
    pub tags: BTreeSet<String>,
    /// Name of the subnet.
    pub subnet: String,
}

/// What MAAS tells of what befell a host: read when somebody needs to know why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// The latest error events, newest first, each with its time.
    pub errors: Vec<(Timestamp, String)>,
    /// The end of the installation's log; empty when there is none.
    pub log_tail: String,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostView {
    /// MAAS system id: the identity.
    pub id: SystemId,
    /// MAAS hostname, unique in the region.
    pub hostname: String,
    /// `hostname.domain`.
    pub fqdn: String,
    /// MAAS zone.
    pub zone: String,
    /// MAAS resource pool.
    pub pool: String,
    /// Where it is in its life.
    pub phase: HostPhase,
    /// The raw status name, for people.
    pub status_name: String,
    /// What MAAS says is wrong (`error_description`), empty when nothing is.
    pub error: String,
    /// Power state.
    pub power: Power,
    /// Who holds it.
    pub holder: Holder,
    /// Locked by an operator.
    pub locked: bool,
    /// Architecture in MAAS's words, `amd64/generic`.
    pub architecture: String,
    /// Cores.
    pub cpu: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Addresses, the boot interface's first.
    pub addresses: Vec<IpAddr>,
    /// Where they sit, as far as the provider knows.
    pub attachments: BTreeMap<IpAddr, Attachment>,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// Its system runs from memory: a power cycle loses it.
    pub in_memory: bool,
    /// It is set to be installed without a swap file.
    pub swap_off: bool,
}

impl HostView {
    /// True when our user holds it under `token`.
    pub fn is_marked(&self, token: &Token) -> bool {
        self.holder == Holder::Us(Some(token.clone()))
    }

    /// MAAS's own order of preference for allocation: `cores + memory in GiB`, scaled to integers; the system id breaks ties.
    pub fn cost(&self) -> (u64, &SystemId) {
        (u64::from(self.cpu) * 1024 + self.memory_mib, &self.id)
    }
}
