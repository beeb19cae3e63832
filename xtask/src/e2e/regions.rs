//! Two MAAS regions in one management cluster: a controller for each, with a namespace and credentials of its own.

use std::fs;

use anyhow::{Context, Result, ensure};
use capi_types::names::{CREDENTIALS_SECRET, PROVIDER_NAMESPACE};
use serde_json::{Value, json};

use super::cluster::{Size, UserCluster};
use super::patience::{until, when};
use super::simulator::{self, Simulator};
use super::story::{generated, generated_in};
use super::world::World;

/// Where the second controller has its Secret and its Lease.
const SECOND_NAMESPACE: &str = "capmaas-west";

/// A DNS domain that the first region does not have.
const SECOND_DOMAIN: &str = "west.sc";

/// The rights that a controller has in its own namespace, copied for a second one.
fn copy_rights(world: &World, sim: &Simulator) -> Result<()> {
    let kubectl = &world.plane.kubectl;
    kubectl.run(&["create", "namespace", SECOND_NAMESPACE])?;
    let mut items =
        kubectl.list(PROVIDER_NAMESPACE, "roles,rolebindings", "cluster.x-k8s.io/provider=infrastructure-maas")?;
    for item in &mut items {
        let name = item["metadata"]["name"].clone();
        item["metadata"] = json!({"name": name, "namespace": SECOND_NAMESPACE});
    }
    items.push(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": CREDENTIALS_SECRET, "namespace": SECOND_NAMESPACE},
        "stringData": {"MAAS_ENDPOINT": sim.endpoint, "MAAS_API_KEY": sim.api_key},
    }));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    kubectl.run(&["apply", "-f", &kubectl.manifest("west.json", &list.to_string())?])?;
    Ok(())
}

/// Each cluster's machines and name are in its own region, and neither controller touches the other's.
pub(super) fn two_regions(world: &mut World) -> Result<()> {
    let folder = world.plane.folder.join("west");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let west = Simulator::start(&world.binaries.ours("capmaasctl"), &simulator::SECOND, &folder)?;
    west.post("domains", &json!({"name": SECOND_DOMAIN}))?;
    let mut machines = World::machines(&world.binaries, &world.plane.etcd, &west, &folder)?;
    copy_rights(world, &west)?;
    world.kill_controller();
    let mut first = world.controller("controller-east", &["--namespace=east"], &[])?;
    let mut second =
        world.controller("controller-west", &["--namespace=west"], &[("POD_NAMESPACE", SECOND_NAMESPACE)])?;

    let size = Size { control_planes: 1, workers: 1 };
    let east_cluster = UserCluster::apply(world, "east", "twin", &generated(world, "east", "twin", "", size)?)?;
    let manifest = generated_in(world, "west", "twin", "", size, SECOND_DOMAIN)?;
    let west_cluster = UserCluster::apply(world, "west", "twin", &manifest)?;
    east_cluster.available(world, size)?;
    west_cluster.available(world, size)?;
    for daemon in [&mut machines, &mut first, &mut second] {
        daemon.check()?;
    }
    let owned = |machines: Vec<Value>| machines.iter().filter(|machine| machine["owner"].is_string()).count();
    for (name, sim, cluster) in [("east", &world.sim, &east_cluster), ("west", &west, &west_cluster)] {
        let held = owned(sim.machines()?);
        ensure!(held == 2, "{held} machines are held in the region of {name}");
        let host = cluster.host(world)?;
        ensure!(sim.has_name(&host)?, "the region of {name} has no name {host}");
        ensure!(sim.resolve(&host)?.len() == 1, "{host}: {:?}", sim.resolve(&host)?);
    }
    ensure!(west_cluster.host(world)?.ends_with(SECOND_DOMAIN), "{}", west_cluster.host(world)?);
    for cluster in [&east_cluster, &west_cluster] {
        cluster.start_to_delete(world)?;
    }
    east_cluster.gone(world)?;
    west_cluster.gone(world)?;
    until("both regions have their machines back", super::cluster::PATIENCE, || {
        let held = owned(world.sim.machines()?) + owned(west.machines()?);
        Ok(when(held == 0, || format!("{held} are held")))
    })?;
    let log = fs::read_to_string(&machines.log).context("log of the machines")?;
    let error = log.lines().find(|line| line.contains(" ERROR "));
    ensure!(error.is_none(), "a machine does not join: {}", error.unwrap_or_default());
    drop((first, second));
    world.start_controller()
}
