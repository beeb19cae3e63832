//! The narrow door to the metal.
//!
//! What may destroy takes a [`Proof`] and uses it up; what claims takes a [`Recorded`] intent. Neither can be made without
//! the evidence that design rules 5.1 and 5.2 ask for: their constructors *are* the rules.

use std::collections::BTreeSet;
use std::net::IpAddr;

use async_trait::async_trait;
use capi_types::{Erase, MaasMachine, SystemId};

use crate::host::{Holder, HostPhase, HostView};
use crate::names::{DnsName, ObjectName, Token};
use crate::placement::Constraints;
use crate::record::Record;

/// Evidence, fresh from the provider, that a host is held by us for one claim. Used up by what it permits.
#[derive(Debug, PartialEq, Eq)]
pub struct Proof {
    host: SystemId,
    token: Token,
}

impl Proof {
    /// From one fresh read: our user holds the host and its marks carry the token.
    ///
    /// # Errors
    /// [`NotOurs`] with what was found instead.
    pub fn from_marks(host: &HostView, token: &Token) -> Result<Self, NotOurs> {
        if host.is_marked(token) {
            Ok(Self { host: host.id.clone(), token: token.clone() })
        } else {
            Err(NotOurs::seen(host))
        }
    }

    /// From a query for the token: `hit` was answered to `machines/?id=<host>&agent_name=<token>` (before marks are written).
    ///
    /// # Errors
    /// [`NotOurs`] when somebody else holds it or other marks are on it.
    pub fn from_token_query(hit: &HostView, token: &Token) -> Result<Self, NotOurs> {
        match &hit.holder {
            Holder::Us(None) => Ok(Self { host: hit.id.clone(), token: token.clone() }),
            Holder::Us(Some(mark)) if mark == token => Ok(Self { host: hit.id.clone(), token: token.clone() }),
            _ => Err(NotOurs::seen(hit)),
        }
    }

    /// From the answer to an allocate that carried the token.
    ///
    /// # Errors
    /// [`NotOurs`] when the answer does not show the host as held by us.
    pub fn from_claim(answer: &HostView, order: &ClaimOrder) -> Result<Self, NotOurs> {
        Self::from_token_query(answer, &order.token)
    }

    /// Takeover of a machine that another provider deployed (design rule 5.2): unmarked, held by our user, Deployed or
    /// Deploying, and bearing the hostname that the MaasMachine's status names. That no other MaasMachine names it is plan's
    /// part.
    ///
    /// # Errors
    /// [`NotOurs`] when one of these does not hold.
    pub fn from_takeover(host: &HostView, token: &Token, hostname: &str) -> Result<Self, NotOurs> {
        let fits = host.holder == Holder::Us(None)
            && matches!(host.phase, HostPhase::Deployed | HostPhase::Deploying)
            && host.hostname.eq_ignore_ascii_case(hostname);
        if fits { Ok(Self { host: host.id.clone(), token: token.clone() }) } else { Err(NotOurs::seen(host)) }
    }

    /// The host it speaks of.
    pub fn host(&self) -> &SystemId {
        &self.host
    }

    /// The claim it speaks of.
    pub fn token(&self) -> &Token {
        &self.token
    }
}

/// A fresh look showed that a host is not held for a claim.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("machine {host} is {status} and held by {holder}")]
pub struct NotOurs {
    /// The host.
    pub host: SystemId,
    /// Its raw status.
    pub status: String,
    /// Who holds it, in words.
    pub holder: String,
    /// The host as it was seen: the executor learns it, so that the next plan sees it too.
    pub view: Box<HostView>,
}

impl NotOurs {
    fn seen(host: &HostView) -> Self {
        let holder = match &host.holder {
            Holder::Nobody => "nobody".to_owned(),
            Holder::Us(None) => "our MAAS user without marks of ours".to_owned(),
            Holder::Us(Some(mark)) => format!("our MAAS user for another claim ({mark})"),
            Holder::Other(user) => format!("MAAS user {user}"),
        };
        Self { host: host.id.clone(), status: host.status_name.clone(), holder, view: Box::new(host.clone()) }
    }
}

/// An intent to claim that stands in the API server: only reading the object back makes one (design rule 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    token: Token,
    machine: ObjectName,
}

impl Recorded {
    /// Reads the intent from an object that came from the API server (it has a resourceVersion), carries our finalizer and
    /// whose record names this very object.
    pub fn read_back(object: &MaasMachine) -> Option<Self> {
        object.metadata.resource_version.as_ref()?;
        let finalizers = object.metadata.finalizers.as_deref().unwrap_or_default();
        if !finalizers.iter().any(|f| f == capi_types::names::MACHINE_FINALIZER) {
            return None;
        }
        match Record::of(object) {
            Record::Mine(token) => Some(Self {
                token,
                machine: ObjectName::new(object.metadata.namespace.clone()?, object.metadata.name.clone()?),
            }),
            Record::Absent | Record::Foreign(_) => None,
        }
    }

    /// The token to claim under.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The MaasMachine that claims.
    pub fn machine(&self) -> &ObjectName {
        &self.machine
    }
}

/// Claim this host (MAAS: allocate by system id, all constraints repeated).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimOrder {
    /// The recorded token.
    pub token: Token,
    /// The host that plan picked.
    pub host: SystemId,
    /// What it was picked for; MAAS checks again.
    pub constraints: Constraints,
}

/// What a person reads on the machine in MAAS (`owner_data`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The MaasMachine.
    pub machine: ObjectName,
    /// The name of its Cluster.
    pub cluster: String,
}

/// How to deploy. The bootstrap bytes are not part of it: the executor reads them right before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployOrder {
    /// `spec.image`, in any form that MAAS takes.
    pub image: String,
    /// Run from memory, leave the disks alone.
    pub in_memory: bool,
    /// What MAAS shows in the machine's event log.
    pub comment: String,
}

/// How to release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseOrder {
    /// How disks are erased.
    pub erase: Erase,
    /// What MAAS shows in the machine's event log.
    pub comment: String,
}

/// How to keep a host from being claimed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuarantineOrder {
    /// Mark it broken; it is no longer anybody's to claim until an operator marks it fixed.
    Broken {
        /// What MAAS shows as the reason. Begins with [`QuarantineOrder::SIGNATURE`].
        comment: String,
    },
    /// Tag it. It stays held.
    Tag {
        /// The tag.
        tag: String,
        /// What MAAS shows when it has to make the tag.
        comment: String,
    },
}

impl QuarantineOrder {
    /// Begins the comment of what we marked broken: such a host is let go, not released (design rule 5.4).
    pub const SIGNATURE: &'static str = "capmaas: ";
}

/// Make a name resolve to exactly these addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishOrder {
    /// The name.
    pub name: DnsName,
    /// The complete set, foreign addresses that stay included.
    pub addresses: BTreeSet<IpAddr>,
    /// Time to live, seconds.
    pub ttl: u32,
}

/// How the metal said no. [`Fault::Ambiguous`] is never retried below plan.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// Understood and refused; nothing was changed.
    #[error("{message}")]
    Rejected {
        /// In which way.
        why: Refusal,
        /// The provider's words, with field and fix where known.
        message: String,
    },
    /// It may or may not have happened.
    #[error("no clear answer: {message}")]
    Ambiguous {
        /// What was seen.
        message: String,
    },
    /// It did not happen: the region can't be reached, is busy, or does not let us in.
    #[error("{message}")]
    Unavailable {
        /// What was seen.
        message: String,
    },
}

/// Ways to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No machine matches (taken meanwhile).
    NoMatch,
    /// It is not held for our claim.
    NotOurs,
    /// Locked by an operator.
    Locked,
    /// Our MAAS user lacks the right.
    Permission,
    /// A value of ours is not acceptable (unknown image, zone, tag, domain).
    Invalid,
    /// Not in this state.
    WrongState,
    /// The object is not there.
    Gone,
}

/// How a fault is to be met (which condition, which back-off, which metric label).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Somebody has to change something.
    Terminal,
    /// The same call may succeed later.
    Transient,
    /// The world has to change first; a read tells.
    Waiting,
}

impl Fault {
    /// See [`FaultKind`].
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Rejected { why: Refusal::Permission | Refusal::Invalid, .. } => FaultKind::Terminal,
            Self::Rejected { .. } => FaultKind::Waiting,
            Self::Ambiguous { .. } | Self::Unavailable { .. } => FaultKind::Transient,
        }
    }
}

/// The answer to [`Provider::prove`]. The third answer, "unknown", is a [`Fault`].
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly always the large one")]
pub enum Verdict {
    /// Held for the claim; the host as it was seen.
    Ours(Proof, HostView),
    /// Not held for the claim (any more).
    NotOurs(NotOurs),
    /// There is no such host (any more).
    Gone,
}

/// The metal. Each method is one thing done, or a [`Fault`]; no method retries, waits for an outcome or decides.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Allocates one host under a recorded token.
    async fn claim(&self, intent: &Recorded, order: &ClaimOrder) -> Result<(Proof, HostView), Fault>;

    /// One fresh look: is the host held for the token? `takeover` is the hostname under which an unmarked machine may be
    /// taken over.
    async fn prove(&self, host: &SystemId, token: &Token, takeover: Option<String>) -> Result<Verdict, Fault>;

    /// Writes our marks onto a host that we hold. The answer proves anew.
    async fn mark(&self, proof: Proof, marks: &Marks) -> Result<(Proof, HostView), Fault>;

    /// Sets a host that we hold to be installed without a swap file. The answer proves anew.
    async fn swap_off(&self, proof: Proof) -> Result<(Proof, HostView), Fault>;

    /// Installs the image and hands the bootstrap data over.
    async fn deploy(&self, proof: Proof, order: &DeployOrder, user_data: &[u8]) -> Result<HostView, Fault>;

    /// Gives the host back to the pool. The answer may still be on its way ([`HostPhase::Releasing`]).
    async fn release(&self, proof: Proof, order: &ReleaseOrder) -> Result<HostView, Fault>;

    /// Powers a host on. Never asked for a host whose system runs from memory.
    async fn power_on(&self, proof: Proof, comment: &str) -> Result<HostView, Fault>;

    /// Cuts a host's power. Never asked for a host whose system runs from memory.
    async fn power_off(&self, proof: Proof, comment: &str) -> Result<HostView, Fault>;

    /// Keeps a host from being claimed again.
    async fn quarantine(&self, proof: Proof, order: &QuarantineOrder) -> Result<HostView, Fault>;

    /// Makes a name resolve to exactly the wanted set; creates it when missing. Returns the set that stands now.
    async fn publish(&self, order: &PublishOrder) -> Result<BTreeSet<IpAddr>, Fault>;

    /// Removes a name. Fine when it is gone already.
    async fn unpublish(&self, name: &DnsName) -> Result<(), Fault>;
}
