//! What a key can wait for. The topics that somebody waits for are also what the feeders read: nobody else reads.

use std::collections::BTreeSet;

use capi_types::SystemId;
use jiff::Timestamp;

use crate::names::{DnsName, ObjectName, Token};
use crate::placement::Constraints;

/// Something that can change outside a pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Credentials and reachability of the MAAS region.
    Region,
    /// The core Cluster of this name, or the MaasCluster that it owns.
    Cluster(ObjectName),
    /// A core Machine, or the MaasRemediation that was made for it.
    CoreMachine(ObjectName),
    /// The set of Machines and MaasMachines of a Cluster, or one of them.
    Members(ObjectName),
    /// The MaasMachines cloned from a template.
    Clones(ObjectName),
    /// One host.
    Host(SystemId),
    /// What MAAS tells of what befell a host.
    Story(SystemId),
    /// Hosts that our user holds without marks and that no object names: left by a crash, or somebody else's work.
    Strays,
    /// The hosts that were allocated under a token.
    Token(Token),
    /// The free hosts that satisfy constraints.
    Pool(Constraints),
    /// How many free hosts satisfy constraints: the same as [`Topic::Pool`], for those who can wait some minutes.
    Free(Constraints),
    /// Why no free host satisfies constraints.
    Explanation(Constraints),
    /// What the machines that satisfy constraints are made of, whoever holds them.
    Hardware(Constraints),
    /// The addresses of a DNS name.
    Name(DnsName),
    /// The domains that MAAS holds.
    Domains,
    /// The zones that MAAS holds.
    Zones,
    /// What is left over from the Go provider.
    Leftovers,
    /// The Nodes of the workload cluster of a Cluster.
    Nodes(ObjectName),
    /// Which API server addresses of a Cluster answer.
    Health(ObjectName),
}

/// When a key is planned again: at a time, or when one of the topics is reported, whatever comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// At the latest then.
    pub at: Timestamp,
    /// Earlier, when one of these changes.
    pub topics: BTreeSet<Topic>,
}
