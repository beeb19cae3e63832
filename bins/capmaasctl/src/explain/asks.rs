//! Which machines manifests ask for.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use capi_types::{MaasMachineSpec, MaasMachineTemplate};
use capmaas_reconcile::names::ObjectName;
use capmaas_reconcile::placement::Ask;
use serde_json::Value;

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn name(document: &Value) -> ObjectName {
    let namespace = text(document, "/metadata/namespace");
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    ObjectName::new(namespace, text(document, "/metadata/name"))
}

fn owner(document: &Value) -> String {
    format!("{} {}", text(document, "/kind"), name(document))
}

fn replicas(document: &Value) -> usize {
    let given = document.pointer("/spec/replicas").and_then(Value::as_u64);
    usize::try_from(given.unwrap_or(1)).unwrap_or(usize::MAX)
}

/// What the documents ask for: control planes first, since their machines come first, then in the order of the file.
///
/// # Errors
/// When a document is not what its kind says, or refers to a template that is not among them.
pub(super) fn asks(documents: &[Value]) -> anyhow::Result<Vec<Ask>> {
    let all = |kind: &'static str| documents.iter().filter(move |document| text(document, "/kind") == kind);
    let mut templates: BTreeMap<ObjectName, MaasMachineSpec> = BTreeMap::new();
    for document in all("MaasMachineTemplate") {
        let template: MaasMachineTemplate =
            serde_json::from_value(document.clone()).with_context(|| owner(document))?;
        templates.insert(name(document), template.spec.template.spec);
    }
    if let Some(topology) = all("Cluster").find(|cluster| cluster.pointer("/spec/topology").is_some()) {
        bail!(
            "{} has spec.topology: its templates are made from a ClusterClass. Apply it with --dry-run=server under another name, or name \
             the MaasMachineTemplate alone to see whether its machines fit",
            owner(topology)
        );
    }
    let mut used = Vec::new();
    let mut spec_of = |document: &Value, paths: &[&str]| {
        let named = paths.iter().map(|path| text(document, path)).find(|name| !name.is_empty()).unwrap_or_default();
        let template = ObjectName::new(name(document).namespace, named);
        used.push(template.clone());
        templates.get(&template).cloned().with_context(|| {
            format!("{}: {}: there is no MaasMachineTemplate {template} among the manifests", owner(document), paths[0])
        })
    };
    let mut asks = Vec::new();
    for document in all("KubeadmControlPlane") {
        let spec = spec_of(
            document,
            &[
                "/spec/machineTemplate/spec/infrastructureRef/name",
                "/spec/machineTemplate/infrastructureRef/name",
                "/spec/infrastructureTemplate/name",
            ],
        )?;
        let this = name(document);
        let of_it = |cluster: &&Value| {
            name(cluster).namespace == this.namespace && text(cluster, "/spec/controlPlaneRef/name") == this.name
        };
        let cluster = all("Cluster").find(of_it);
        let infrastructure = cluster.map(|cluster| text(cluster, "/spec/infrastructureRef/name"));
        let domains = all("MaasCluster")
            .find(|c| name(c).namespace == this.namespace && Some(text(c, "/metadata/name")) == infrastructure)
            .and_then(|c| c.pointer("/spec/failureDomains")?.as_array());
        asks.push(Ask {
            owner: owner(document),
            cluster: cluster.map(name),
            spread_by_core: domains.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            control_plane: true,
            spec,
            replicas: replicas(document),
            ..Ask::default()
        });
    }
    for kind in ["MachineDeployment", "MachineSet", "MachinePool"] {
        for document in all(kind) {
            if kind == "MachinePool" {
                bail!("{}: MachinePools are not offered: use a MachineDeployment", owner(document));
            }
            let mut spec = spec_of(document, &["/spec/template/spec/infrastructureRef/name"])?;
            let domain = text(document, "/spec/template/spec/failureDomain");
            if spec.failure_domain.as_deref().unwrap_or_default().is_empty() && !domain.is_empty() {
                spec.failure_domain = Some(domain.to_owned());
            }
            let this = name(document);
            asks.push(Ask {
                owner: owner(document),
                cluster: Some(ObjectName::new(this.namespace.clone(), text(document, "/spec/clusterName"))),
                deployment: (kind == "MachineDeployment").then(|| this.name.clone()),
                spec,
                replicas: replicas(document),
                ..Ask::default()
            });
        }
    }
    for document in all("MaasMachine") {
        let spec = document.get("spec").cloned().unwrap_or_default();
        let spec = serde_json::from_value(spec).with_context(|| owner(document))?;
        let cluster = text(document, "/metadata/labels/cluster.x-k8s.io~1cluster-name");
        let cluster = (!cluster.is_empty()).then(|| ObjectName::new(name(document).namespace, cluster));
        asks.push(Ask { owner: owner(document), cluster, spec, replicas: 1, ..Ask::default() });
    }
    for (template, spec) in templates.iter().filter(|(name, _)| !used.contains(name)) {
        let owner = format!("MaasMachineTemplate {template} (nothing here refers to it: one machine of it)");
        asks.push(Ask { owner, spec: spec.clone(), replicas: 1, ..Ask::default() });
    }
    if asks.is_empty() {
        bail!("the manifests ask for no machine: give a MaasMachineTemplate, and what refers to it");
    }
    Ok(asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_asks_for_one_control_plane_machine_and_one_worker() {
        let yaml = capi_types::convert(capi_types::SEED_MANIFEST, &Default::default()).unwrap().yaml;
        for text in [yaml.as_str(), capi_types::SEED_MANIFEST] {
            let asks = asks(&capi_types::parse_manifests(text).unwrap()).unwrap();
            let told: Vec<_> = asks.iter().map(|ask| (ask.owner.as_str(), ask.replicas, ask.control_plane)).collect();
            assert_eq!(
                told,
                [
                    ("KubeadmControlPlane default/my-cluster-cp", 1, true),
                    ("MachineDeployment default/my-cluster-worker", 1, false)
                ]
            );
            assert_eq!(asks[0].cluster, Some(ObjectName::new("default", "my-cluster")));
        }
    }

    #[test]
    fn what_can_not_be_told_is_named_with_its_place() {
        let cases = [
            ("kind: Cluster\nmetadata: {name: c}\nspec: {topology: {class: x}}", "spec.topology"),
            (
                "kind: MachineDeployment\nmetadata: {name: w}\nspec: {template: {spec: {infrastructureRef: {name: gone}}}}",
                "there is no MaasMachineTemplate default/gone among",
            ),
            ("kind: MaasMachineTemplate\nmetadata: {name: t}\nspec: {template: {spec: {minCPU: many}}}", "default/t"),
            ("kind: Namespace\nmetadata: {name: n}", "ask for no machine"),
        ];
        for (yaml, words) in cases {
            let error = asks(&capi_types::parse_manifests(yaml).unwrap()).unwrap_err();
            assert!(format!("{error:#}").contains(words), "{words}: {error:#}");
        }
    }
}
