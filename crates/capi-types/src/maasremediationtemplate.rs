//! MaasRemediationTemplate: what MaasRemediations are made from, named by `spec.remediation.templateRef` of a MachineHealthCheck.
#![allow(unreachable_pub)] // KubeSchema repeats each struct, `pub`, inside a function

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::maasmachinetemplate::TemplateMeta;
use crate::maasremediation::MaasRemediationSpec;

/// What remediations are made from.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "MaasRemediationTemplate",
    plural = "maasremediationtemplates",
    namespaced,
    status = "MaasRemediationTemplateStatus",
    shortname = "mrt",
    category = "cluster-api",
    derive = "Default",
    derive = "PartialEq",
    doc = "How machines are healed when a MachineHealthCheck finds them sick: name it in spec.remediation.templateRef there.",
    printcolumn(
        name = "Strategy",
        type_ = "string",
        json_path = ".spec.template.spec.strategy.type",
        description = "What is done"
    ),
    printcolumn(
        name = "Tries",
        type_ = "integer",
        json_path = ".spec.template.spec.strategy.retryLimit",
        description = "How often"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since it was made"
    )
)]
pub struct MaasRemediationTemplateSpec {
    /// The MaasRemediation to make.
    pub template: MaasRemediationTemplateResource,
}

/// Labels, annotations and spec of the remediations to make.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct MaasRemediationTemplateResource {
    /// Labels and annotations of the remediations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMeta>,
    /// Spec of the remediations.
    pub spec: MaasRemediationSpec,
}

/// Status of the template.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct MaasRemediationTemplateStatus {
    /// Conditions of the template. None are written: a template is what it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lenient::list")]
    #[schemars(schema_with = "crate::schemas::conditions")]
    pub conditions: Vec<Condition>,
}
