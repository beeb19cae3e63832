//! The CustomResourceDefinitions, made from the Rust types and corrected where the derive and Kubernetes habits differ.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::names::{
    CONTRACT_V1BETA1_LABEL, CONTRACT_V1BETA2_LABEL, MOVE_LABEL, PROVIDER_LABEL, PROVIDER_NAME, SERVED_VERSIONS, VERSION,
};
use crate::{
    MaasCluster, MaasClusterTemplate, MaasMachine, MaasMachineTemplate, MaasRemediation, MaasRemediationTemplate,
};

/// Our kinds, in the order of [`crds()`].
pub const CRD_KINDS: [&str; 6] = [
    "MaasCluster",
    "MaasMachine",
    "MaasMachineTemplate",
    "MaasClusterTemplate",
    "MaasRemediation",
    "MaasRemediationTemplate",
];

/// Schema defaults that are kept. The others that serde brings along (empty text, zero, false in status) would make the API
/// server add fields nobody wrote, and with them differences for server-side apply.
const KEPT_DEFAULTS: [&str; 2] = ["controlPlaneEndpointMode", "deployInMemory"];

/// Fields that must be written although reading is lenient about them.
const REQUIRED: [(&str, &[&str]); 4] = [
    ("MaasCluster", &["dnsDomain"]),
    ("MaasMachine", &["image", "minCPU", "minMemory"]),
    ("MaasMachineTemplate", &["image", "minCPU", "minMemory"]),
    ("MaasClusterTemplate", &["dnsDomain"]),
];

/// The CRDs of all our kinds, ready to apply.
///
/// Each serves one schema under every version of [`SERVED_VERSIONS`], v1beta1 stored, without conversion: the API server
/// only swaps `apiVersion`.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        MaasCluster::crd(),
        MaasMachine::crd(),
        MaasMachineTemplate::crd(),
        MaasClusterTemplate::crd(),
        MaasRemediation::crd(),
        MaasRemediationTemplate::crd(),
    ]
    .into_iter()
    .map(finish)
    .collect()
}

/// File of a kind's CRD in `crates/capi-types/crds`, e.g. `maascluster.yaml`.
pub fn crd_file_name(kind: &str) -> String {
    format!("{}.yaml", kind.to_lowercase())
}

/// A CRD as it is written to its file.
pub fn crd_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::SerializeError> {
    let body = serde_saphyr::to_string(crd)?;
    Ok(format!("# Written by `cargo xtask gen-crds` from crates/capi-types/src; do not edit.\n{body}"))
}

fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let labels = crd.metadata.labels.get_or_insert_default();
    labels.insert(CONTRACT_V1BETA1_LABEL.to_owned(), VERSION.to_owned());
    labels.insert(CONTRACT_V1BETA2_LABEL.to_owned(), VERSION.to_owned());
    labels.insert(PROVIDER_LABEL.to_owned(), PROVIDER_NAME.to_owned());
    if crd.spec.names.kind == "MaasRemediationTemplate" {
        // Nothing of a Cluster owns it: without the label a move would leave it behind, and health checks without their template.
        labels.insert(MOVE_LABEL.to_owned(), "true".to_owned());
    }
    crd.spec.conversion = Some(CustomResourceConversion { strategy: "None".to_owned(), webhook: None });

    let kind = crd.spec.names.kind.clone();
    let mut stored = crd.spec.versions.remove(0);
    if let Some(schema) = stored.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
        tidy(schema, "");
        let required: Vec<_> = REQUIRED.iter().filter(|(of, _)| *of == kind).flat_map(|(_, fields)| *fields).collect();
        if !required.is_empty()
            && let Some(spec) = machine_or_cluster_spec(schema, &kind)
        {
            let fields = spec.required.get_or_insert_default();
            fields.extend(required.into_iter().map(|field| (*field).to_owned()));
            fields.sort();
            fields.dedup();
        }
    }
    crd.spec.versions = SERVED_VERSIONS
        .into_iter()
        .map(|name| CustomResourceDefinitionVersion {
            name: name.to_owned(),
            storage: name == VERSION,
            ..stored.clone()
        })
        .collect();
    crd
}

/// The schema of MaasClusterSpec or MaasMachineSpec inside a kind's schema.
fn machine_or_cluster_spec<'a>(root: &'a mut JSONSchemaProps, kind: &str) -> Option<&'a mut JSONSchemaProps> {
    let path: &[&str] = if kind.ends_with("Template") { &["spec", "template", "spec"] } else { &["spec"] };
    path.iter().try_fold(root, |schema, name| schema.properties.as_mut()?.get_mut(*name))
}

/// Drops `nullable` (Go's CRDs have none: an explicit null is pruned, not stored), titles and needless defaults, in all depths.
fn tidy(schema: &mut JSONSchemaProps, name: &str) {
    schema.nullable = None;
    schema.title = None;
    if !KEPT_DEFAULTS.contains(&name) {
        schema.default = None;
    }
    for (name, child) in schema.properties.iter_mut().flatten() {
        tidy(child, name);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(child)) => tidy(child, ""),
        Some(JSONSchemaPropsOrArray::Schemas(children)) => children.iter_mut().for_each(|child| tidy(child, "")),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(child)) = &mut schema.additional_properties {
        tidy(child, "");
    }
}

#[cfg(test)]
mod tests;
