//! MaasMachineTemplate: what MaasMachines of a control plane or MachineDeployment are cloned from.
//!
//! It carries no transition rule: in-place edits are refused by a ValidatingAdmissionPolicy, because only that can let the
//! topology controller's dry runs through.
#![allow(unreachable_pub)] // KubeSchema repeats each struct, `pub`, inside a function
#![allow(clippy::duplicated_attributes)] // two printer columns of one type

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::maasmachine::MaasMachineSpec;

/// What the machines are made from.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "MaasMachineTemplate",
    plural = "maasmachinetemplates",
    namespaced,
    status = "MaasMachineTemplateStatus",
    shortname = "mmt",
    category = "cluster-api",
    derive = "Default",
    derive = "PartialEq",
    doc = "What MaasMachines are cloned from. To change machines, copy it under a new name and point infrastructureRef at that.",
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".spec.template.spec.image",
        description = "Image that is deployed"
    ),
    printcolumn(
        name = "CPU",
        type_ = "integer",
        json_path = ".spec.template.spec.minCPU",
        description = "Least number of CPU cores"
    ),
    printcolumn(
        name = "Memory",
        type_ = "integer",
        json_path = ".spec.template.spec.minMemory",
        description = "Least memory, in MiB"
    ),
    printcolumn(
        name = "Free",
        type_ = "integer",
        json_path = ".status.freeMachines",
        description = "Machines that match and are free to take"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since it was made"
    )
)]
pub struct MaasMachineTemplateSpec {
    /// The MaasMachine to make.
    pub template: MaasMachineTemplateResource,
}

/// Labels, annotations and spec of the machines to make.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct MaasMachineTemplateResource {
    /// Labels and annotations of the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMeta>,
    /// Spec of the machines. systemID and providerID are the provider's; leave them out.
    pub spec: MaasMachineSpec,
}

/// The part of metadata that a template may hand on.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct TemplateMeta {
    /// Labels for the made objects.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations for the made objects.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a machine made from the template is sure to have, for the cluster autoscaler's scaling from zero.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaasMachineTemplateStatus {
    /// How many machines that match are Ready in MAAS and free to take, as of some minutes ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub free_machines: Option<i32>,
    /// Resources by name: cpu and memory, of each the least that a machine in MAAS has that matches the template, whether it is free or
    /// in use and whoever holds it (as far as the provider's MAAS user may see it). Absent when no machine matches. The annotations
    /// capacity.cluster-autoscaler.kubernetes.io/… on a MachineDeployment win over it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schemas::capacity")]
    pub capacity: BTreeMap<String, Quantity>,
    /// Architecture and operating system, when all machines that match have the same architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_info: Option<NodeInfo>,
    /// Conditions of the template.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lenient::list")]
    #[schemars(schema_with = "crate::schemas::conditions")]
    pub conditions: Vec<Condition>,
}

/// Architecture and operating system of the machines.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// In Go's words: amd64, arm64, s390x, ppc64le.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub architecture: Option<String>,
    /// In Go's words: linux or windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub operating_system: Option<String>,
}
