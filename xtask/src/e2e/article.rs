//! A cluster as the article of 2021 has it, through `capmaasctl convert`, and what real controllers make of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use capi_types::names::CLAIM_ANNOTATION;
use serde_json::Value;

use super::child::{bound, run};
use super::cluster::{Size, UserCluster, text};
use super::kubectl::{condition, conditions};
use super::world::World;

/// What the manifest's Kubernetes version is replaced with: v1.19.12 is below what today's kubeadm providers take.
const KUBERNETES_VERSION: &str = "v1.33.5";

/// Name of the Cluster in the manifest.
pub(super) const NAME: &str = "my-cluster";

/// Converts the article's manifest with our CLI and applies it with kubectl.
pub(super) fn apply(world: &World, namespace: &str) -> Result<UserCluster> {
    let manifest = manifest(world)?.replace("namespace: default", &format!("namespace: {namespace}"));
    UserCluster::apply(world, namespace, NAME, &manifest)
}

/// The article's manifest, converted.
fn manifest(world: &World) -> Result<String> {
    let seed = world.root.join("crates/capi-types/seed/cluster1.yaml");
    let mut convert = bound(&world.binaries.ours("capmaasctl"));
    convert.args(["convert", "--quiet", "--kubernetes-version", KUBERNETES_VERSION]).arg(&seed);
    let folder = world.plane.kubeconfig.parent().unwrap_or(Path::new("."));
    run(&mut convert, folder, Duration::from_secs(30))?.success("capmaasctl convert")
}

/// The article's own version of Kubernetes: convert warns of it, and the real providers never make bootstrap data for it. No machine
/// is held meanwhile, and the cluster goes as it came.
pub(super) fn old_kubernetes(world: &mut World) -> Result<()> {
    let world = &*world;
    let seed = world.root.join("crates/capi-types/seed/cluster1.yaml");
    let mut convert = bound(&world.binaries.ours("capmaasctl"));
    convert.arg("convert").arg(&seed);
    let said = run(&mut convert, &world.plane.folder, Duration::from_secs(30))?;
    ensure!(said.err.contains("v1.19.12 is older than v1.22.0"), "convert does not warn: {}", said.err);
    let manifest = said.out.replace("namespace: default", "namespace: old");
    let article = UserCluster::apply(world, "old", NAME, &manifest)?;
    let machine = article.control_plane(world)?;
    article.until(world, "waits for bootstrap data", ("maasmachine", text(&machine, "/metadata/name")), |machine| {
        condition(machine, "Ready").1 == "WaitingForBootstrapData"
    })?;
    ensure!(article.boxes(world)?.is_empty(), "a machine is held without bootstrap data");
    article.delete(world)
}

/// The whole article: what we claim is copied, bootstrap data arrives unaltered, one control plane and one worker are there, the
/// Nodes are tied, and nothing alarms anybody.
pub(super) fn article(world: &mut World) -> Result<()> {
    let world = &*world;
    let article = apply(world, "default")?;
    let cluster = article.until(world, "infrastructure provisioned", ("cluster", NAME), |cluster| {
        cluster["status"]["initialization"]["infrastructureProvisioned"] == true
            && condition(cluster, "InfrastructureReady").0 == "True"
    })?;
    let ours = article.get(world, "maascluster", NAME)?;
    ensure!(ours["status"]["initialization"]["provisioned"] == true, "{ours}");
    ensure!(ours["status"]["ready"] == true, "{ours}");
    let endpoint = &ours["spec"]["controlPlaneEndpoint"];
    ensure!(text(endpoint, "/host").ends_with(".maas.sc") && endpoint["port"] == 6443, "endpoint {endpoint}");
    ensure!(cluster["spec"]["controlPlaneEndpoint"] == *endpoint, "Cluster API did not copy {endpoint}: {cluster}");

    let machine = article.provisioned(world)?;
    provisioned_machine(world, &article, &machine)?;
    article.available(world, Size { control_planes: 1, workers: 1 })?;
    article.named(world)?;
    let nodes = article.kubectl(world)?.list("", "nodes", "")?;
    for machine in article.list(world, "maasmachines")? {
        let provider_id = &machine["spec"]["providerID"];
        let node = nodes.iter().find(|node| node["spec"]["providerID"] == *provider_id);
        let node = node.with_context(|| format!("no Node has providerID {provider_id}"))?;
        let zone = &node["metadata"]["labels"]["topology.kubernetes.io/zone"];
        ensure!(*zone == machine["status"]["failureDomain"] || zone.is_string(), "zone {zone}: {machine}");
    }
    let described = world.plane.clusterctl(&["describe", "cluster", NAME, "--show-conditions", "all"], &[])?;
    let shown = described.contains(&format!("MaasCluster/{NAME}"))
        || described.contains(&format!("MaasCluster default/{NAME}"));
    ensure!(shown, "clusterctl describe does not show us: {described}");
    let allocated = world.sim.count("POST machines allocate")?;
    ensure!(allocated == 2, "two machines need two allocates, there were {allocated}");
    article.delete(world)
}

/// What Cluster API copied of a provisioned MaasMachine, and what MAAS was given.
fn provisioned_machine(world: &World, article: &UserCluster, machine: &Value) -> Result<()> {
    let provider_id = text(machine, "/spec/providerID");
    let id = text(machine, "/spec/systemID");
    ensure!(
        provider_id.starts_with("maas:///") && provider_id.ends_with(&format!("/{id}")),
        "providerID {provider_id}"
    );
    let owners = machine["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner["kind"] == "Machine").context("no Machine owns it")?;
    let core = article.until(world, "provisioned", ("machine", text(owner, "/name")), |core| {
        core["status"]["initialization"]["infrastructureProvisioned"] == true && core["spec"]["providerID"].is_string()
    })?;
    ensure!(core["spec"]["providerID"] == provider_id, "{} was not copied: {core}", provider_id);
    let (status, ..) = condition(&core, "InfrastructureReady");
    ensure!(status == "True", "InfrastructureReady of the Machine: {}", conditions(&core));
    let addresses = &core["status"]["addresses"];
    ensure!(*addresses == machine["status"]["addresses"], "addresses {addresses} differ from ours: {machine}");

    let in_maas = world.sim.get(&format!("machines/{id}"))?;
    ensure!(in_maas["status"] == "deployed", "{in_maas}");
    let claim = text(machine, &format!("/metadata/annotations/{}", CLAIM_ANNOTATION.replace('/', "~1")));
    let marks = in_maas["owner_data"].as_object().cloned().unwrap_or_default();
    let token = claim.split(' ').next().unwrap_or_default();
    ensure!(!token.is_empty() && marks.values().any(|mark| mark == token), "no mark of {claim} in {in_maas}");

    let secret = article.get(world, "secret", text(&core, "/spec/bootstrap/dataSecretName"))?;
    let delivered = world.sim.get(&format!("machines/{id}/user-data"))?;
    let wanted = &secret["data"]["value"];
    ensure!(wanted.is_string() && *wanted == delivered["base64"], "bootstrap data did not arrive as it was made");
    Ok(())
}
