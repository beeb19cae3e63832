//! What a plan answers: at most one step, the status that should stand, and when to look again.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use capi_types::conditions::reason;
use capi_types::{
    MaasClusterStatus, MaasMachineStatus, MaasMachineTemplateStatus, MaasRemediationStatus, ProviderId, SystemId,
};

use jiff::Timestamp;

use crate::cycles::Cycles;
use crate::failed_hosts::FailedHosts;
use crate::names::{DnsName, ObjectName, Token};
use crate::provider::{ClaimOrder, DeployOrder, Marks, PublishOrder, QuarantineOrder, ReleaseOrder};
use crate::topic::Wake;

/// What a plan says should happen next.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The one step to do now.
    pub next: Option<Step>,
    /// The status that should stand; `None` leaves it alone.
    pub status: Option<Status>,
    /// Something to tell the people who watch, when [`Decision::status`] is written.
    pub event: Option<Note>,
    /// When to look again.
    pub wake: Wake,
}

/// A whole status, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Of a MaasCluster.
    Cluster(Box<MaasClusterStatus>),
    /// Of a MaasMachine.
    Machine(Box<MaasMachineStatus>),
    /// Of a MaasMachineTemplate.
    Template(Box<MaasMachineTemplateStatus>),
    /// Of a MaasRemediation.
    Remediation(Box<MaasRemediationStatus>),
}

/// An event for `kubectl describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Needs somebody's attention.
    pub warning: bool,
    /// UpperCamel reason.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// One thing to do. Steps are data: the executor compares what they expect, it does not judge.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write an intent into the object's metadata.
    Record(Intent),
    /// Write an output field of the spec.
    WriteSpec(SpecWrite),
    /// Allocate a host.
    Claim(ClaimOrder),
    /// Put our marks onto a claimed host; with the hostname of a takeover, if it is one.
    Mark {
        /// The host.
        host: SystemId,
        /// The claim.
        token: Token,
        /// What to write.
        marks: Marks,
        /// `status.hostname` of a machine that another provider deployed.
        takeover: Option<String>,
    },
    /// Set a claimed host to be installed without a swap file.
    SwapOff {
        /// The host.
        host: SystemId,
        /// The claim.
        token: Token,
    },
    /// Install the image and hand over the bootstrap data.
    Deploy {
        /// The host.
        host: SystemId,
        /// The claim.
        token: Token,
        /// How.
        order: DeployOrder,
        /// Name of the Secret that holds the bootstrap data, in the object's namespace.
        bootstrap: String,
    },
    /// Give the host back.
    Release {
        /// The host.
        host: SystemId,
        /// The claim.
        token: Token,
        /// How.
        order: ReleaseOrder,
    },
    /// Switch a host on or off.
    Power {
        /// The host.
        host: SystemId,
        /// The claim.
        token: Token,
        /// On or off.
        to: PowerOrder,
        /// What MAAS shows in the machine's event log.
        comment: String,
        /// Under which time it was noted before: in `status.poweredOn`, or among the cycles of a MaasRemediation.
        noted: Timestamp,
    },
    /// Keep a host from being claimed again.
    Quarantine {
        /// The host.
        host: SystemId,
        /// The claim.
        token: Token,
        /// How.
        order: QuarantineOrder,
    },
    /// Make the control plane's name resolve to a set.
    Publish(PublishOrder),
    /// Remove the control plane's name.
    Unpublish(DnsName),
    /// Set a Node's empty `spec.providerID` and its zone label.
    TieNode(NodeTie),
    /// Leave a core Machine to its owner, which replaces it.
    HandOver(HandOver),
    /// Let the object go.
    DropFinalizer,
}

/// What to do with a host's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PowerOrder {
    /// Switch it on.
    On,
    /// Switch it off, at once.
    Off,
}

/// Which Machine is left to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The core Machine.
    pub machine: ObjectName,
    /// Its uid: another one of that name is not meant.
    pub uid: String,
    /// Why, for its condition OwnerRemediated.
    pub message: String,
}

/// What to write into an object's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Our finalizer.
    Finalizer,
    /// Finalizer, claim token and block-move, in one patch (design rule 5.1).
    Claim(Token),
    /// Finalizer and claim token of a machine that the spec names already: nothing is under way that a move could lose.
    Own(Token),
    /// Remove block-move: nothing is under way.
    UnblockMove,
    /// The addresses that the name is about to have from us (the "last applied" note).
    Published(BTreeSet<IpAddr>),
    /// The hosts that failed deployments for the cluster.
    FailedHosts(FailedHosts),
    /// Finalizer and power cycles of a MaasRemediation, with block-move as long as one is under way.
    PowerCycles(Cycles),
}

/// What to write into an object's spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecWrite {
    /// `spec.systemID`, and block-move goes.
    SystemId(SystemId),
    /// Clears `spec.systemID`: the host is no longer this machine's, and it never was provisioned.
    NoSystemId,
    /// `spec.providerID`, once.
    ProviderId(ProviderId),
    /// `spec.controlPlaneEndpoint`.
    Endpoint {
        /// DNS name.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// Which Node is tied to which machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTie {
    /// The Cluster whose workload cluster has the Node.
    pub cluster: ObjectName,
    /// The Node's exact name.
    pub node: String,
    /// To be written when the Node has none.
    pub provider_id: ProviderId,
    /// For label `topology.kubernetes.io/zone`.
    pub zone: String,
}

/// Steps by kind: for memory of failures, metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// [`Step::Record`]
    Record,
    /// [`Step::WriteSpec`]
    WriteSpec,
    /// [`Step::Claim`]
    Claim,
    /// [`Step::Mark`]
    Mark,
    /// [`Step::SwapOff`]
    SwapOff,
    /// [`Step::Deploy`]
    Deploy,
    /// [`Step::Release`]
    Release,
    /// [`Step::Power`]
    Power,
    /// [`Step::Quarantine`]
    Quarantine,
    /// [`Step::Publish`]
    Publish,
    /// [`Step::Unpublish`]
    Unpublish,
    /// [`Step::TieNode`]
    TieNode,
    /// [`Step::HandOver`]
    HandOver,
    /// [`Step::DropFinalizer`]
    DropFinalizer,
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Step {
    /// Whether it writes metadata or spec of the object itself.
    pub fn writes_object(&self) -> bool {
        matches!(self, Self::Record(_) | Self::WriteSpec(_) | Self::DropFinalizer)
    }

    /// What to tell the people who watch once it is done: every step that changed something outside of the object.
    pub fn done(&self) -> Option<Note> {
        let note = |reason: &str, message: String| Some(Note { warning: false, reason: reason.to_owned(), message });
        match self {
            Self::Claim(order) => note(reason::CLAIMED, format!("MAAS allocated machine {}", order.host)),
            Self::SwapOff { host, .. } => {
                note(reason::SWAP_OFF, format!("machine {host} is set in MAAS to be installed without a swap file"))
            }
            Self::Deploy { host, order, .. } => {
                note(reason::MACHINE_DEPLOY_STARTED, format!("MAAS deploys {} on machine {host}", order.image))
            }
            Self::Release { host, order, .. } => {
                note(reason::RELEASE_STARTED, format!("MAAS releases machine {host}: {}", order.comment))
            }
            Self::Power { host, to: PowerOrder::On, comment, .. } => {
                note(reason::POWERING_ON, format!("machine {host} is powered on: {comment}"))
            }
            Self::Power { host, to: PowerOrder::Off, comment, .. } => {
                note(reason::POWER_CYCLING, format!("machine {host} is powered off, and on again: {comment}"))
            }

            Self::Quarantine { host, order: QuarantineOrder::Broken { comment }, .. } => Some(Note {
                warning: true,
                reason: reason::MARKED_BROKEN.to_owned(),
                message: format!("machine {host} is marked broken in MAAS: {comment}"),
            }),
            Self::Quarantine { host, order: QuarantineOrder::Tag { tag, comment }, .. } => Some(Note {
                warning: true,
                reason: reason::TAGGED.to_owned(),
                message: format!("machine {host} has tag {tag} now: {comment}"),
            }),
            Self::Publish(order) => {
                let addresses: Vec<_> = order.addresses.iter().map(ToString::to_string).collect();
                let addresses = if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") };
                note(reason::DNS_PUBLISHED, format!("{} resolves to {addresses}", order.name))
            }
            Self::Unpublish(name) => note(reason::DNS_REMOVED, format!("{name} is removed from MAAS")),
            Self::TieNode(tie) => {
                note(reason::NODE_TIED, format!("Node {} has providerID {} now", tie.node, tie.provider_id))
            }
            // What it is left for was told with the status.
            Self::HandOver(_) => None,
            Self::Record(_) | Self::WriteSpec(_) | Self::Mark { .. } | Self::DropFinalizer => None,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> StepKind {
        match self {
            Self::Record(_) => StepKind::Record,
            Self::WriteSpec(_) => StepKind::WriteSpec,
            Self::Claim(_) => StepKind::Claim,
            Self::Mark { .. } => StepKind::Mark,
            Self::SwapOff { .. } => StepKind::SwapOff,
            Self::Deploy { .. } => StepKind::Deploy,
            Self::Release { .. } => StepKind::Release,
            Self::Power { .. } => StepKind::Power,
            Self::Quarantine { .. } => StepKind::Quarantine,
            Self::Publish(_) => StepKind::Publish,
            Self::Unpublish(_) => StepKind::Unpublish,
            Self::TieNode(_) => StepKind::TieNode,
            Self::HandOver(_) => StepKind::HandOver,
            Self::DropFinalizer => StepKind::DropFinalizer,
        }
    }
}
