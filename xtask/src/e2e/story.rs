//! The life of a cluster that its user made with `clusterctl generate cluster`: it comes up, changes its size, moves, goes.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::cluster::{Size, UserCluster, released, text};
use super::patience::until;
use super::world::World;

/// Kubernetes of generated clusters; one minor below the newest that today's kubeadm provider takes, so that it can be upgraded.
pub(super) const KUBERNETES_VERSION: &str = "v1.34.1";

/// For the flavour with a virtual address: in the part of the subnet that MAAS gives to nobody.
const VIRTUAL_ADDRESS: &str = "127.10.0.8";

/// Namespace of the cluster that the smoke test's rows share.
const NAMESPACE: &str = "story";

/// Its name.
const NAME: &str = "story";

/// What it starts with.
const SIZE: Size = Size { control_planes: 3, workers: 3 };

/// The shared cluster, made by [`generate`].
fn story() -> UserCluster {
    UserCluster { namespace: NAMESPACE.to_owned(), name: NAME.to_owned() }
}

/// `clusterctl generate cluster` with a flavour of ours and the variables that have no default.
pub(super) fn generated(world: &World, namespace: &str, name: &str, flavour: &str, size: Size) -> Result<String> {
    generated_in(world, namespace, name, flavour, size, "maas.sc")
}

/// The same under another domain of MAAS.
pub(super) fn generated_in(
    world: &World,
    namespace: &str,
    name: &str,
    flavour: &str,
    size: Size,
    domain: &str,
) -> Result<String> {
    let (control_planes, workers) = (size.control_planes.to_string(), size.workers.to_string());
    let mut arguments = vec!["generate", "cluster", name, "--infrastructure", "maas", "--target-namespace", namespace];
    arguments.extend(["--kubernetes-version", KUBERNETES_VERSION]);
    arguments.extend(["--control-plane-machine-count", &control_planes, "--worker-machine-count", &workers]);
    if !flavour.is_empty() {
        arguments.extend(["--flavor", flavour]);
    }
    let variables = [
        ("MAAS_DNS_DOMAIN", domain),
        ("CONTROL_PLANE_ENDPOINT_IP", VIRTUAL_ADDRESS),
        ("CONTROL_PLANE_MACHINE_IMAGE", "ubuntu/noble"),
        ("WORKER_MACHINE_IMAGE", "ubuntu/noble"),
        ("CLUSTER_TOPOLOGY", "true"),
    ];
    world.plane.clusterctl_out(&arguments, &variables)
}

/// Name of the one MachineDeployment.
pub(super) fn deployment(world: &World, cluster: &UserCluster) -> Result<String> {
    Ok(text(&cluster.only(world, "machinedeployments")?, "/metadata/name").to_owned())
}

/// Three control planes and three workers come up with nothing that alarms anybody; the workload cluster answers by its name.
pub(super) fn generate(world: &mut World) -> Result<()> {
    let world = &*world;
    let manifest = generated(world, NAMESPACE, NAME, "", SIZE)?;
    let cluster = UserCluster::apply(world, NAMESPACE, NAME, &manifest)?;
    cluster.available(world, SIZE)?;
    cluster.named(world)?;
    let described =
        world.plane.clusterctl(&["describe", "cluster", NAME, "-n", NAMESPACE, "--show-conditions", "all"], &[])?;
    ensure!(!described.contains("Unknown"), "clusterctl describe shows something unknown: {described}");
    let nodes = cluster.kubectl(world)?.list("", "nodes", "")?;
    ensure!(nodes.len() == 6, "{} Nodes", nodes.len());
    let taken: BTreeSet<String> = cluster.boxes(world)?.into_iter().map(|(_, id)| id).collect();
    ensure!(taken.len() == 6, "six machines of the region, not {taken:?}");
    for (operation, wanted) in [("POST machines allocate", 6), ("POST machine deploy", 6), ("POST machine release", 0)]
    {
        let count = world.sim.count(operation)?;
        ensure!(count == wanted, "{count} times {operation}");
    }
    Ok(())
}

/// Workers 3 → 6 → 2: six different machines, and those that go are free again; nobody else is touched.
pub(super) fn scale_workers(world: &mut World) -> Result<()> {
    let world = &*world;
    let cluster = story();
    let name = deployment(world, &cluster)?;
    let before = cluster.boxes(world)?;
    let scale = |replicas: usize| {
        let replicas = format!("--replicas={replicas}");
        world.plane.kubectl.run(&["scale", "-n", NAMESPACE, "machinedeployment", &name, &replicas])?;
        anyhow::Ok(())
    };
    scale(6)?;
    cluster.available(world, Size { workers: 6, ..SIZE })?;
    let all = cluster.boxes(world)?;
    ensure!(all.is_superset(&before) && all.len() == 9, "{before:?} became {all:?}");
    scale(2)?;
    cluster.available(world, Size { workers: 2, ..SIZE })?;
    let left = cluster.boxes(world)?;
    ensure!(left.is_subset(&all) && left.len() == 5, "{all:?} became {left:?}");
    let gone = all.difference(&left).cloned().collect();
    until("the machines are free", super::cluster::PATIENCE, || {
        Ok(released(world, &gone).map_err(|error| format!("{error:#}")))
    })?;
    let nodes = cluster.kubectl(world)?.list("", "nodes", "")?;
    ensure!(nodes.len() == 5, "{} Nodes", nodes.len());
    Ok(())
}

/// `clusterctl move` to a second management cluster while the first one's controller runs on: MAAS is told nothing, and the
/// cluster is as it was.
pub(super) fn moved(world: &mut World) -> Result<()> {
    world.add_side(&crate::dist::workspace_version())?;
    let cluster = story();
    let size = Size { workers: 2, ..SIZE };
    let before = cluster.boxes(world)?;
    let writes = world.sim.writes()?;
    let to = world.other_kubeconfig()?.display().to_string();
    world.plane.clusterctl(&["move", "-n", NAMESPACE, "--to-kubeconfig", &to], &[])?;
    let left = cluster.list(world, super::world::CLUSTER_KINDS)?;
    ensure!(left.is_empty(), "{} objects stayed behind", left.len());
    world.turn_over();
    cluster.available(world, size)?;
    cluster.named(world)?;
    let (after, boxes) = (world.sim.writes()?, cluster.boxes(world)?);
    ensure!(boxes == before, "{before:?} became {boxes:?}");
    ensure!(after == writes, "{} writes to MAAS for a move", after - writes);
    let blocked = cluster
        .list(world, "maasclusters,maasmachines")?
        .into_iter()
        .find(|object| object.pointer("/metadata/annotations/clusterctl.cluster.x-k8s.io~1block-move").is_some());
    ensure!(blocked.is_none(), "block-move is left on {blocked:?}");
    Ok(())
}

/// The moved cluster grows and goes where it is now; then there is one management cluster again.
pub(super) fn delete_story(world: &mut World) -> Result<()> {
    let cluster = story();
    let moved = cluster.list(world, "clusters")?.len() == 1;
    ensure!(moved, "the cluster is not here");
    let name = deployment(world, &cluster)?;
    cluster.patch(world, "machinedeployment", &name, &json!({"spec": {"replicas": 3}}))?;
    cluster.available(world, SIZE)?;
    cluster.delete(world)?;
    let machines = world.sim.machines()?;
    let owned: Vec<&str> = machines.iter().filter(|m| m["owner"].is_string()).map(|m| text(m, "/system_id")).collect();
    ensure!(owned.is_empty(), "machines are still owned: {owned:?}");
    world.turn_over();
    world.drop_side();
    Ok(())
}

/// There and back again. While its first machine is claimed and deployed, clusterctl itself refuses to move a cluster, and nothing
/// has changed then; once it is up it is moved, and moved back. Each machine is allocated and deployed once.
pub(super) fn moved_and_back(world: &mut World) -> Result<()> {
    world.add_side(&crate::dist::workspace_version())?;
    let one = Size { control_planes: 1, workers: 1 };
    let manifest = generated(world, "nomad", "nomad", "", one)?;
    let cluster = UserCluster::apply(world, "nomad", "nomad", &manifest)?;
    let machine = cluster.control_plane(world)?;
    cluster.until(world, "is claimed", ("maasmachine", text(&machine, "/metadata/name")), |machine| {
        machine["metadata"]["annotations"].get(capi_types::names::CLAIM_ANNOTATION).is_some()
    })?;
    let to = world.other_kubeconfig()?.display().to_string();
    let early = world.plane.clusterctl(&["move", "-n", "nomad", "--to-kubeconfig", &to], &[]);
    let told = early.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(told.contains("cannot start the move operation"), "clusterctl moved half a cluster: {told}");
    cluster.available(world, one)?;
    for _ in 0..2 {
        let to = world.other_kubeconfig()?.display().to_string();
        world.plane.clusterctl(&["move", "-n", "nomad", "--to-kubeconfig", &to], &[])?;
        world.turn_over();
        cluster.available(world, one)?;
    }
    world.drop_side();
    cluster.named(world)?;
    for operation in ["POST machines allocate", "POST machine deploy"] {
        let count = world.sim.count(operation)?;
        ensure!(count == 2, "{count} times {operation}");
    }
    cluster.delete(world)
}

/// What every flavour makes is taken by the real API server with all its webhooks and schemas, strictly.
pub(super) fn flavours(world: &mut World) -> Result<()> {
    let world = &*world;
    let kubectl = &world.plane.kubectl;
    kubectl.run(&["create", "namespace", "flavours"])?;
    for flavour in ["", "vip", "mhc", "topology"] {
        let manifest = generated(world, "flavours", "taste", flavour, Size { control_planes: 3, workers: 3 })?;
        let file = kubectl.manifest("flavour.yaml", &manifest)?;
        let said = kubectl.say(&["apply", "-n", "flavours", "--dry-run=server", "--validate=strict", "-f", &file])?;
        // A dry run makes no class that the Cluster in the same file could be checked with.
        let class = said.err.lines().all(|line| line.contains("ClusterClass") || line.trim().is_empty());
        ensure!(said.status.success() || flavour == "topology" && class, "{flavour}: {}{}", said.out, said.err);
    }
    kubectl.run(&["delete", "namespace", "flavours", "--wait=false"])?;
    Ok(())
}

/// The flavour with a virtual address: it comes up under the user's address, and MAAS's DNS is not written at all.
pub(super) fn virtual_address(world: &mut World) -> Result<()> {
    let world = &*world;
    let size = Size { control_planes: 3, workers: 1 };
    let names = world.sim.get("dns")?;
    let cluster = UserCluster::apply(world, "vip", "vip", &generated(world, "vip", "vip", "vip", size)?)?;
    cluster.available(world, size)?;
    let server =
        cluster.kubectl(world)?.run(&["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
    ensure!(server == format!("https://{VIRTUAL_ADDRESS}:6443"), "the server is {server}");
    ensure!(world.sim.get("dns")? == names, "names changed: {} {names}", world.sim.get("dns")?);
    let counters = world.sim.get("counters")?;
    let written = counters["counters"]
        .as_object()
        .context("counters")?
        .keys()
        .find(|operation| operation.contains("dnsresource") && !operation.starts_with("GET"));
    ensure!(written.is_none(), "{written:?} for a cluster that needs no DNS");
    let boxes = cluster.boxes(world)?;
    cluster.start_to_delete(world)?;
    cluster.gone(world)?;
    released(world, &boxes)
}

/// Two clusters of one name in two namespaces: nothing of one is the other's.
pub(super) fn two_namespaces(world: &mut World) -> Result<()> {
    let world = &*world;
    let one = Size { control_planes: 1, workers: 0 };
    let mut clusters = Vec::new();
    for namespace in ["left", "right"] {
        clusters.push(UserCluster::apply(world, namespace, "twin", &generated(world, namespace, "twin", "", one)?)?);
    }
    for cluster in &clusters {
        cluster.available(world, one)?;
        cluster.named(world)?;
    }
    let (left, right) = (&clusters[0], &clusters[1]);
    let ids = |cluster: &UserCluster| {
        anyhow::Ok(cluster.boxes(world)?.into_iter().map(|(_, id)| id).collect::<BTreeSet<String>>())
    };
    ensure!(ids(left)?.is_disjoint(&ids(right)?), "{:?} and {:?}", ids(left)?, ids(right)?);
    ensure!(left.host(world)? != right.host(world)?, "both are {}", left.host(world)?);
    let before = ids(right)?;
    left.delete(world)?;
    right.available(world, one)?;
    right.named(world)?;
    ensure!(ids(right)? == before, "{before:?} became {:?}", ids(right)?);
    right.delete(world)
}
