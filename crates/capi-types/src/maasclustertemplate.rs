//! MaasClusterTemplate: what a ClusterClass makes MaasClusters from. Like MaasMachineTemplate it has no transition rule.
#![allow(unreachable_pub)] // KubeSchema repeats each struct, `pub`, inside a function

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::maascluster::MaasClusterSpec;
use crate::maasmachinetemplate::TemplateMeta;

/// What the clusters are made from.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "MaasClusterTemplate",
    plural = "maasclustertemplates",
    namespaced,
    status = "MaasClusterTemplateStatus",
    shortname = "mct",
    category = "cluster-api",
    derive = "Default",
    derive = "PartialEq",
    doc = "What a ClusterClass makes MaasClusters from.",
    printcolumn(
        name = "Domain",
        type_ = "string",
        json_path = ".spec.template.spec.dnsDomain",
        description = "DNS domain of the clusters' names"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since it was made"
    )
)]
pub struct MaasClusterTemplateSpec {
    /// The MaasCluster to make.
    pub template: MaasClusterTemplateResource,
}

/// Labels, annotations and spec of the clusters to make.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct MaasClusterTemplateResource {
    /// Labels and annotations of the clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMeta>,
    /// Spec of the clusters.
    pub spec: MaasClusterSpec,
}

/// Conditions of the template; nothing else is known about it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct MaasClusterTemplateStatus {
    /// Conditions of the template.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lenient::list")]
    #[schemars(schema_with = "crate::schemas::conditions")]
    pub conditions: Vec<Condition>,
}
