//! Conditions: their names, and merging wanted ones into stored ones without needless change.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Sum of the others; Cluster API mirrors it as InfrastructureReady.
pub const READY: &str = "Ready";
/// Whether reconciling stands still on purpose.
pub const PAUSED: &str = "Paused";
/// MaasMachine: deployed in MAAS and powered (name of the Go provider).
pub const MACHINE_DEPLOYED: &str = "MachineDeployed";
/// MaasMachine of a control plane: its address is in the cluster's DNS name (name of the Go provider).
pub const DNS_ATTACHED: &str = "DNSAttached";
/// MaasMachine: its Node exists and bears our providerID.
pub const NODE_TIED: &str = "NodeTied";
/// MaasMachine: its operating system came up and joined the cluster as a Node (name in Cluster API's providers). False once that did
/// not happen in time, or when MAAS reports a failure after the installation.
pub const BOOTSTRAP_SUCCEEDED: &str = "BootstrapSucceeded";
/// MaasCluster: the control plane's name exists in MAAS (name of the Go provider).
pub const LOAD_BALANCER_READY: &str = "LoadBalancerReady";
/// MaasCluster: the workload cluster's API server answers (name of the Go provider).
pub const API_SERVER_AVAILABLE: &str = "APIServerAvailable";
/// Webhook configurations of the Go provider are left over, and stand between the API server and us. Only there when some were found;
/// True is the bad case.
pub const LEFTOVER_WEBHOOKS: &str = "LeftoverWebhooks";
/// Of a core Machine: False gives it to its owner, which replaces it. Cluster API's name; the one condition that we write into an
/// object of core.
pub const OWNER_REMEDIATED: &str = "OwnerRemediated";

/// Reasons. Those the Go provider used keep their spelling, the `Reason` in `MachineDeployStartedReason` included.
pub mod reason {
    /// Everything is as wanted.
    pub const READY: &str = "Ready";
    /// Reconciling stands still.
    pub const PAUSED: &str = "Paused";
    /// Reconciling goes on.
    pub const NOT_PAUSED: &str = "NotPaused";
    /// The infrastructure is up.
    pub const PROVISIONED: &str = "Provisioned";
    /// The object is being deleted.
    pub const DELETING: &str = "Deleting";
    /// The machine is gone from MAAS's account of us; the finalizer goes next.
    pub const DELETED: &str = "Deleted";

    /// The machine is deployed and powered.
    pub const MACHINE_DEPLOYED: &str = "MachineDeployed";
    /// The Cluster's infrastructure is not provisioned.
    pub const WAITING_FOR_CLUSTER_INFRASTRUCTURE: &str = "WaitingForClusterInfrastructure";
    /// The bootstrap provider has not made its Secret.
    pub const WAITING_FOR_BOOTSTRAP_DATA: &str = "WaitingForBootstrapData";
    /// A worker waits for the first control-plane machine.
    pub const WAITING_FOR_CONTROL_PLANE_INITIALIZED: &str = "WaitingForControlPlaneInitialized";
    /// A deploy was asked for.
    pub const MACHINE_DEPLOY_STARTED: &str = "MachineDeployStartedReason";
    /// MAAS is deploying.
    pub const MACHINE_DEPLOYING: &str = "MachineDeploying";
    /// MAAS reports a failed deploy.
    pub const MACHINE_DEPLOY_FAILED: &str = "MachineDeployFailed";
    /// The machine was released or taken behind our back.
    pub const MACHINE_TERMINATED: &str = "MachineTerminatedReason";
    /// The machine is off.
    pub const MACHINE_POWERED_OFF: &str = "MachinePoweredOff";
    /// MAAS does not know the machine (any more).
    pub const MACHINE_NOT_FOUND: &str = "MachineNotFound";
    /// A claim is recorded, the machine not yet allocated.
    pub const CLAIMING: &str = "Claiming";
    /// No machine in MAAS matches the constraints now.
    pub const NO_MACHINE_AVAILABLE: &str = "NoMachineAvailable";
    /// Event: the machine is set to be installed without a swap file.
    pub const SWAP_OFF: &str = "SwapOff";
    /// A field of the spec asks for what cannot be.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// A feature of the Go provider that this one does not offer (LXD).
    pub const NOT_SUPPORTED: &str = "NotSupported";
    /// An operator holds the machine (rescue, testing, broken, locked).
    pub const OPERATOR_HOLDS_MACHINE: &str = "OperatorHoldsMachine";
    /// The machine's disks are kept from release or use after a failure.
    pub const QUARANTINED: &str = "Quarantined";
    /// MAAS says that the machine is somebody else's.
    pub const NOT_OURS: &str = "NotOurs";
    /// An unmarked machine is named by providerID; a person must confirm (`capmaasctl adopt`).
    pub const ADOPTION_REQUIRED: &str = "AdoptionRequired";
    /// Release was asked for; MAAS is not done.
    pub const RELEASING: &str = "Releasing";
    /// Release is held back; the message says by what.
    pub const RELEASE_BLOCKED: &str = "ReleaseBlocked";
    /// Release or erasing failed three times; the message says what MAAS said and what is done.
    pub const RELEASE_FAILED: &str = "ReleaseFailed";
    /// The machine was marked broken in MAAS by policy.
    pub const MARKED_BROKEN: &str = "MarkedBroken";
    /// The machine failed a deployment, and was tagged in MAAS by policy.
    pub const TAGGED: &str = "Tagged";
    /// The machine is off and is being powered on by policy.
    pub const POWERING_ON: &str = "PoweringOn";
    /// The machine was powered on by policy as often as allowed, and is off.
    pub const POWER_LIMIT_REACHED: &str = "PowerLimitReached";
    /// A machine that was deployed into memory lost power: its system is gone.
    pub const IN_MEMORY_SYSTEM_LOST: &str = "InMemorySystemLost";

    /// The machine is being switched off and on because it failed its health check.
    pub const POWER_CYCLING: &str = "PowerCycling";
    /// The machine was power cycled, and has some time to become healthy.
    pub const WAITING_FOR_HEALTH: &str = "WaitingForHealth";
    /// The Machine passes its health check.
    pub const MACHINE_HEALTHY: &str = "MachineHealthy";
    /// A control-plane machine is not power cycled now: that could cost the control plane its quorum.
    pub const WAITING_FOR_CONTROL_PLANE: &str = "WaitingForControlPlane";
    /// MAAS does not know whether the machine is on: its BMC does not answer, or MAAS can't control its power.
    pub const POWER_UNKNOWN: &str = "PowerUnknown";
    /// The Machine is left to its owner, which replaces it.
    pub const HANDED_OVER: &str = "HandedOver";
    /// Reason of the Machine's condition OwnerRemediated; Cluster API's word.
    pub const WAITING_FOR_REMEDIATION: &str = "WaitingForRemediation";

    /// The machine joined the cluster.
    pub const BOOTSTRAP_SUCCEEDED: &str = "BootstrapSucceeded";
    /// The machine runs and has not joined yet.
    pub const WAITING_FOR_BOOTSTRAP: &str = "WaitingForBootstrap";
    /// The machine runs and did not join in time, or MAAS reports a failure after the installation.
    pub const BOOTSTRAP_FAILED: &str = "BootstrapFailed";

    /// A claim is recorded by an allocate that was answered.
    pub const CLAIMED: &str = "Claimed";
    /// MAAS took the order to release.
    pub const RELEASE_STARTED: &str = "ReleaseStarted";
    /// The control plane's name was written.
    pub const DNS_PUBLISHED: &str = "DNSPublished";
    /// The control plane's name was removed.
    pub const DNS_REMOVED: &str = "DNSRemoved";

    /// The Node was not found yet.
    pub const WAITING_FOR_NODE: &str = "WaitingForNode";
    /// The Node bears another providerID.
    pub const NODE_PROVIDER_ID_DIFFERS: &str = "NodeProviderIDDiffers";
    /// The Node bears our providerID.
    pub const NODE_TIED: &str = "NodeTied";

    /// The machine's address is in the DNS name.
    pub const DNS_ATTACHED: &str = "DNSAttached";
    /// The machine's address is not yet in the DNS name.
    pub const DNS_ATTACH_PENDING: &str = "DNSAttachPending";
    /// The machine's address is not yet out of the DNS name.
    pub const DNS_DETACH_PENDING: &str = "DNSDetachPending";

    /// The name exists.
    pub const LOAD_BALANCER_READY: &str = "LoadBalancerReady";
    /// The name cannot be made.
    pub const LOAD_BALANCER_FAILED: &str = "LoadBalancerFailed";
    /// The name is not known yet.
    pub const WAIT_FOR_DNS_NAME: &str = "WaitForDNSName";
    /// The DNS domain is not in MAAS.
    pub const DNS_DOMAIN_NOT_FOUND: &str = "DNSDomainNotFound";
    /// A failure domain is no MAAS zone.
    pub const ZONE_NOT_FOUND: &str = "ZoneNotFound";
    /// The endpoint is the user's to give (mode VIP or External).
    pub const WAITING_FOR_ENDPOINT: &str = "WaitingForControlPlaneEndpoint";
    /// The owner Cluster is not set yet.
    pub const WAITING_FOR_OWNER: &str = "WaitingForOwner";
    /// The API server answers.
    pub const API_SERVER_AVAILABLE: &str = "APIServerAvailable";
    /// The API server does not answer.
    pub const API_SERVER_NOT_READY: &str = "APIServerNotReady";

    /// MAAS does not answer.
    pub const MAAS_UNREACHABLE: &str = "MAASUnreachable";
    /// MAAS refuses our key.
    pub const MAAS_UNAUTHORIZED: &str = "MAASUnauthorized";
    /// Our MAAS user may not do this.
    pub const MAAS_FORBIDDEN: &str = "MAASForbidden";
    /// No usable credentials Secret.
    pub const CREDENTIALS_MISSING: &str = "CredentialsMissing";

    /// The API server does not take what we have to write into the object, again and again; the message has its words.
    pub const WRITE_FAILED: &str = "WriteFailed";
    /// Webhook configurations are left over.
    pub const LEFTOVER_WEBHOOKS_FOUND: &str = "LeftoverWebhooksFound";
    /// They are gone.
    pub const NO_LEFTOVER_WEBHOOKS: &str = "NoLeftoverWebhooks";

    /// Whether a person must do something before it goes on: change an object, MAAS, or the credentials.
    ///
    /// ```
    /// use capi_types::conditions::reason;
    /// assert!(reason::blocks(reason::INVALID_SPEC));
    /// assert!(!reason::blocks(reason::MACHINE_DEPLOYING));
    /// ```
    pub fn blocks(reason: &str) -> bool {
        [
            NO_MACHINE_AVAILABLE,
            INVALID_SPEC,
            NOT_SUPPORTED,
            OPERATOR_HOLDS_MACHINE,
            QUARANTINED,
            NOT_OURS,
            ADOPTION_REQUIRED,
            RELEASE_BLOCKED,
            RELEASE_FAILED,
            POWER_LIMIT_REACHED,
            IN_MEMORY_SYSTEM_LOST,
            BOOTSTRAP_FAILED,
            NODE_PROVIDER_ID_DIFFERS,
            LOAD_BALANCER_FAILED,
            DNS_DOMAIN_NOT_FOUND,
            ZONE_NOT_FOUND,
            WAITING_FOR_ENDPOINT,
            MAAS_UNAUTHORIZED,
            MAAS_FORBIDDEN,
            CREDENTIALS_MISSING,
        ]
        .contains(&reason)
    }
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It cannot be told.
    Unknown,
}

impl Status {
    /// As Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::True => "True",
            Status::False => "False",
            Status::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Status {
    fn from(so: bool) -> Self {
        if so { Status::True } else { Status::False }
    }
}

/// A condition as a decision wants it; times and generation are added by [`merge`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Type, such as [`READY`].
    pub type_: String,
    /// Status.
    pub status: Status,
    /// One CamelCase word, such as [`reason::MACHINE_DEPLOYING`]. Must not be empty.
    pub reason: String,
    /// For people; the same words as long as the same is so (no counters, no durations).
    pub message: String,
}

impl Wanted {
    /// A wanted condition.
    pub fn new(
        type_: impl Into<String>,
        status: Status,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Wanted {
        Wanted { type_: type_.into(), status, reason: reason.into(), message: message.into() }
    }
}

/// Result of [`merge`].
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The whole list to store.
    pub conditions: Vec<Condition>,
    /// Whether it differs from the stored one; if not, do not write.
    pub changed: bool,
}

/// The schema's limit of a message, in characters.
const MESSAGE_LIMIT: usize = 32768;

/// Merges wanted conditions into the stored list.
///
/// Types that nobody wants here (foreign ones) stay as they are. `lastTransitionTime` moves to `now` (whole seconds, as Go
/// writes it) only when the status changes. Order is Ready first, then by name, so that equal facts give equal bytes;
/// a stored list that only differs in order is not rewritten. If a type is wanted twice, the last one counts.
pub fn merge(existing: &[Condition], wanted: &[Wanted], observed_generation: Option<i64>, now: Timestamp) -> Merged {
    let mut by_type: BTreeMap<&str, Condition> =
        existing.iter().map(|condition| (condition.type_.as_str(), condition.clone())).collect();
    let duplicates = by_type.len() != existing.len();
    let mut changed = duplicates;
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    for want in wanted {
        let stored = by_type.get(want.type_.as_str());
        let next = Condition {
            type_: want.type_.clone(),
            status: want.status.as_str().to_owned(),
            reason: want.reason.clone(),
            message: want.message.chars().take(MESSAGE_LIMIT).collect(),
            observed_generation,
            last_transition_time: match stored {
                Some(stored) if stored.status == want.status.as_str() => stored.last_transition_time.clone(),
                _ => Time(now),
            },
        };
        if stored != Some(&next) {
            changed = true;
            by_type.insert(&want.type_, next);
        }
    }
    if !changed {
        return Merged { conditions: existing.to_vec(), changed };
    }
    let mut conditions: Vec<Condition> = by_type.into_values().collect();
    conditions.sort_by(|a, b| (a.type_ != READY, &a.type_).cmp(&(b.type_ != READY, &b.type_)));
    Merged { conditions, changed }
}

/// The condition of that type, if stored.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of that type is stored and True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn waiting(message: &str) -> Vec<Wanted> {
        vec![
            Wanted::new(MACHINE_DEPLOYED, Status::False, reason::MACHINE_DEPLOYING, message),
            Wanted::new(READY, Status::False, reason::MACHINE_DEPLOYING, message),
        ]
    }

    #[test]
    fn time_moves_only_with_the_status() {
        let first = merge(&[], &waiting("a"), Some(1), at(10));
        let same_status = merge(&first.conditions, &waiting("b"), Some(1), at(20));
        assert!(same_status.changed);
        assert!(same_status.conditions.iter().all(|c| c.last_transition_time.0 == at(10) && c.message == "b"));
        let ready = [Wanted::new(READY, Status::True, reason::READY, "")];
        let turned = merge(&same_status.conditions, &ready, Some(1), at(30));
        assert_eq!(find(&turned.conditions, READY).unwrap().last_transition_time.0, at(30));
        assert_eq!(find(&turned.conditions, MACHINE_DEPLOYED).unwrap().last_transition_time.0, at(10));
    }

    #[test]
    fn the_same_facts_are_no_change_whatever_their_order() {
        let mut stored = merge(&[], &waiting("a"), Some(1), at(10)).conditions;
        stored.reverse();
        let again = merge(&stored, &waiting("a"), Some(1), at(99));
        assert!(!again.changed);
        assert_eq!(again.conditions, stored);
        assert!(merge(&stored, &waiting("a"), Some(2), at(99)).changed, "a new generation was looked at");
    }

    #[test]
    fn order_is_ready_first_then_by_name_and_foreign_types_stay() {
        let foreign =
            merge(&[], &[Wanted::new("ZFromElsewhere", Status::Unknown, "Because", "mine")], Some(7), at(1)).conditions;
        let merged = merge(&foreign, &waiting("a"), Some(1), at(10)).conditions;
        let types: Vec<&str> = merged.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, [READY, MACHINE_DEPLOYED, "ZFromElsewhere"]);
        assert_eq!(merged[2], foreign[0]);
    }

    #[test]
    fn a_stored_type_held_twice_is_repaired() {
        let mut stored = merge(&[], &waiting("a"), Some(1), at(10)).conditions;
        stored.push(stored[0].clone());
        let merged = merge(&stored, &waiting("a"), Some(1), at(11));
        assert!(merged.changed);
        assert_eq!(merged.conditions.len(), 2);
    }

    #[test]
    fn times_are_whole_seconds_and_messages_fit_the_schema() {
        let long = "é".repeat(MESSAGE_LIMIT + 5);
        let now = Timestamp::from_millisecond(1_500).unwrap();
        let merged = merge(&[], &[Wanted::new(READY, Status::False, "R", long)], None, now);
        assert_eq!(merged.conditions[0].last_transition_time.0, at(1));
        assert_eq!(merged.conditions[0].message.chars().count(), MESSAGE_LIMIT);
    }
}
