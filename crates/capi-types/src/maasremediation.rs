//! MaasRemediation: a MachineHealthCheck's request to heal one Machine, and what became of it.
//!
//! Cluster API makes it from a [`MaasRemediationTemplate`](crate::MaasRemediationTemplate), under the Machine's name and owned by the
//! Machine, and deletes it when the Machine is healthy again. It may be made by hand for a Machine, too.
#![allow(unreachable_pub)] // KubeSchema repeats each struct, `pub`, inside a function
#![allow(clippy::duplicated_attributes)] // two printer columns of one type

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a machine that failed its health check is to be healed.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "MaasRemediation",
    plural = "maasremediations",
    namespaced,
    status = "MaasRemediationStatus",
    shortname = "mr",
    category = "cluster-api",
    derive = "Default",
    derive = "PartialEq",
    doc = "The request of a MachineHealthCheck to heal a Machine by power cycles; when they do not help, the Machine's owner replaces it. Made by Cluster API from a MaasRemediationTemplate.",
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = r#".metadata.labels['cluster\.x-k8s\.io/cluster-name']"#,
        description = "The Cluster it belongs to"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "How far it is"),
    printcolumn(
        name = "Tries",
        type_ = "integer",
        json_path = ".status.retryCount",
        description = "Power cycles that were begun"
    ),
    printcolumn(
        name = "Last",
        type_ = "date",
        json_path = ".status.lastRemediated",
        description = "Time since the last power cycle was begun"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1,
        description = "What it is doing or waiting for"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since it was made"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MaasRemediationSpec {
    /// What is done, how often, and how long each try may take. Not given: one power cycle that has ten minutes to help.
    #[serde(default)]
    pub strategy: RemediationStrategy,
}

/// Kinds of remedies.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum RemediationStrategyType {
    /// The machine is switched off and on through MAAS. Its disks are not touched. A machine that runs from memory would lose its system:
    /// it is left to the Machine's owner at once.
    #[default]
    PowerCycle,
}

/// `spec.strategy` of a MaasRemediation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.retryLimit) ? self.retryLimit : 1) * (has(self.timeoutSeconds) ? self.timeoutSeconds : 600) <= 86400")
        .message("strategy: retryLimit times timeoutSeconds may be 86400 at most (a day), or a machine that can't be healed is kept for longer than that; lower one of them")
)]
pub struct RemediationStrategy {
    /// What is done. PowerCycle is all there is: a machine is never deployed anew (kubeadm can't run twice on it); that is what
    /// replacement by the Machine's owner is for.
    #[serde(default, rename = "type")]
    pub type_: RemediationStrategyType,
    /// How many power cycles are tried before the Machine is left to its owner, which replaces it. Not given: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    #[x_kube(
        validation = Rule::new("self >= 1 && self <= 10")
            .message("retryLimit must be a number from 1 to 10: how many power cycles are tried; to have machines replaced at once, leave remediation.templateRef out of the MachineHealthCheck")
    )]
    pub retry_limit: i32,
    /// Seconds that each power cycle has to make the Machine healthy, counted from its begin; also how long is waited when the machine
    /// can't be power cycled (its BMC does not answer, an operator holds it). It must leave the time for firmware, boot and kubelet.
    /// Not given: 600.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 60, max = 21600))]
    #[x_kube(
        validation = Rule::new("self >= 60 && self <= 21600")
            .message("timeoutSeconds must be a number of seconds from 60 to 21600: a server takes minutes from power on to a Node that is Ready; 600 suits most")
    )]
    pub timeout_seconds: i32,
}

fn one() -> i32 {
    1
}

fn ten_minutes() -> i32 {
    600
}

impl Default for RemediationStrategy {
    fn default() -> Self {
        Self { type_: RemediationStrategyType::default(), retry_limit: one(), timeout_seconds: ten_minutes() }
    }
}

/// How far a remediation is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum RemediationPhase {
    /// Nothing can be done yet; condition Ready says why.
    Waiting,
    /// The machine is being switched off and on.
    PowerCycling,
    /// The machine has power again and has the rest of timeoutSeconds to become healthy.
    WaitingForHealth,
    /// The Machine was left to its owner (its condition OwnerRemediated is False).
    HandedOver,
}

/// One power cycle.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemediationTry {
    /// When it was begun: MAAS is told to switch the machine off right after.
    pub started: Time,
    /// When MAAS had taken the order to switch the machine on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub powered_on: Option<Time>,
}

/// What became of the request.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaasRemediationStatus {
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RemediationPhase>,
    /// Power cycles that were begun.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub retry_count: i32,
    /// When the last power cycle was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_remediated: Option<Time>,
    /// The power cycles, oldest first; at most ten, the latest.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lenient::list")]
    #[schemars(length(max = 10))]
    pub history: Vec<RemediationTry>,
    /// Conditions; Ready says what is done or waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lenient::list")]
    #[schemars(schema_with = "crate::schemas::conditions")]
    pub conditions: Vec<Condition>,
}
