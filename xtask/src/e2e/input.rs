//! What users get wrong, as the real API server and conditions tell them.

use anyhow::{Result, ensure};
use serde_json::json;

use super::article::NAME;
use super::cluster::{PATIENCE, UserCluster};
use super::kubectl::condition;
use super::patience::until;
use super::world::World;

/// A template whose spec is edited is refused, in every version that is served; labels are free, and so is the dry run with
/// which Cluster API's topology controller compares.
pub(super) fn template_immutable(world: &mut World) -> Result<()> {
    let kubectl = &world.plane.kubectl;
    let namespace = "templates";
    kubectl.run(&["create", "namespace", namespace])?;
    let template = |kind: &str, spec: serde_json::Value| {
        json!({
            "apiVersion": capi_types::names::API_VERSION, "kind": kind, "metadata": {"name": "t", "namespace": namespace},
            "spec": {"template": {"spec": spec}},
        })
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        template("MaasMachineTemplate", json!({"image": "ubuntu/noble", "minCPU": 2, "minMemory": 4096})),
        template("MaasClusterTemplate", json!({"dnsDomain": "maas.sc"})),
    ]});
    kubectl.run(&["apply", "-f", &kubectl.manifest("templates.json", &list.to_string())?])?;

    let edits = [
        ("maasmachinetemplates", json!({"template": {"spec": {"image": "ubuntu/jammy"}}})),
        ("maasclustertemplates", json!({"template": {"spec": {"dnsDomain": "maas"}}})),
    ];
    for (kind, spec) in &edits {
        let compare =
            json!({"metadata": {"annotations": {capi_types::names::TOPOLOGY_DRY_RUN_ANNOTATION: ""}}, "spec": spec});
        let (plain, compare) = (json!({"spec": spec}).to_string(), compare.to_string());
        for version in capi_types::names::SERVED_VERSIONS {
            let kind = format!("{kind}.{version}.{}", capi_types::names::GROUP);
            let patch = |patch: &str, dry_run: &str| {
                let dry_run = format!("--dry-run={dry_run}");
                kubectl.say(&["patch", "-n", namespace, &kind, "t", "--type=merge", "-p", patch, &dry_run])
            };
            for (what, text, dry_run) in [
                ("an edit", &plain, "none"),
                ("a dry run without the annotation", &plain, "server"),
                ("an edit with the annotation", &compare, "none"),
            ] {
                let said = patch(text, dry_run)?;
                let told = said.err.contains("the spec of a template cannot be changed");
                ensure!(!said.status.success() && told, "{kind}: {what}: {}{}", said.out, said.err);
            }
            patch(&compare, "server")?.success(&format!("{kind}: the topology controller's dry run"))?;
            patch(r#"{"metadata":{"labels":{"a":"b"}}}"#, "none")?.success(&format!("{kind}: a label"))?;
        }
    }
    kubectl.run(&["delete", "namespace", namespace, "--wait=false"])?;
    Ok(())
}

/// kubectl asks for strict validation: a field that is spelled wrong is named, and so is a value that no machine can have.
pub(super) fn unknown_field(world: &mut World) -> Result<()> {
    let kubectl = &world.plane.kubectl;
    let machine = |name: &str, image: &str| {
        format!(
            "apiVersion: infrastructure.cluster.x-k8s.io/v1beta1\nkind: MaasMachine\nmetadata: {{name: bad}}\n\
             spec: {{{name}: 2, minMemory: 4096, image: {image}}}\n"
        )
    };
    let file = kubectl.manifest("bad.yaml", &machine("minCpu", "ubuntu/noble"))?;
    let said = kubectl.refused(&["apply", "-n", "default", "-f", &file])?;
    ensure!(said.contains("unknown field \"spec.minCpu\""), "{said}");
    let file = kubectl.manifest("bad.yaml", &machine("minCPU", "[]"))?;
    let said = kubectl.refused(&["apply", "-n", "default", "-f", &file])?;
    ensure!(said.contains("spec.image"), "{said}");
    Ok(())
}

/// A DNS domain that MAAS does not have: the condition names it, and adding it is enough.
pub(super) fn bad_dns_domain(world: &mut World) -> Result<()> {
    let world = &*world;
    let namespace = "bad-dns-domain";
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasCluster",
            "metadata": {"name": NAME, "namespace": namespace}, "spec": {"dnsDomain": "nowhere.example"},
        },
        {
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
            "metadata": {"name": NAME, "namespace": namespace},
            "spec": {"infrastructureRef": {"apiGroup": capi_types::names::GROUP, "kind": "MaasCluster", "name": NAME}},
        },
    ]});
    let article = UserCluster::apply(world, namespace, NAME, &objects.to_string())?;
    let ours = article.until(world, "the domain is named", ("maascluster", NAME), |ours| {
        condition(ours, "Ready").1 == "DNSDomainNotFound"
    })?;
    let (status, _, message) = condition(&ours, "Ready");
    ensure!(status == "False" && message.contains("nowhere.example"), "{message}");
    // Cluster API shows users what we say.
    until("the Cluster says it too", PATIENCE, || {
        let (status, _, told) = condition(&article.get(world, "cluster", NAME)?, "InfrastructureReady");
        Ok(if status == "False" && told.contains("nowhere.example") { Ok(()) } else { Err(told) })
    })?;
    world.sim.post("domains", &json!({"name": "nowhere.example"}))?;
    article.until(world, "provisioned once the domain is there", ("cluster", NAME), |cluster| {
        cluster["status"]["initialization"]["infrastructureProvisioned"] == true
    })?;
    article.delete(world)
}
