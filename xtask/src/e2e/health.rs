//! Machines that come, fall silent, are replaced: what becomes of the name, of etcd, and of the machine that was there before.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use capi_types::names::{CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL, DEPLOYMENT_NAME_LABEL};
use serde_json::{Value, json};

use super::cluster::{LONG, PATIENCE, Size, UserCluster, released, text};
use super::kubectl::conditions;
use super::patience::{until, when};
use super::story::{deployment, generated};
use super::world::World;

/// What generated clusters are upgraded to.
const NEXT_VERSION: &str = "v1.35.0";

/// The cluster that the rows of this file share.
pub(super) const NAME: &str = "health";

pub(super) const SIZE: Size = Size { control_planes: 3, workers: 1 };

/// All of its machines.
const MACHINES: usize = SIZE.control_planes + SIZE.workers;

pub(super) fn cluster() -> UserCluster {
    UserCluster { namespace: NAME.to_owned(), name: NAME.to_owned() }
}

/// The control plane 1 → 3: etcd gains members one by one, the name gains addresses.
pub(super) fn scale_control_plane(world: &mut World) -> Result<()> {
    let world = &*world;
    let one = Size { control_planes: 1, ..SIZE };
    let cluster = UserCluster::apply(world, NAME, NAME, &generated(world, NAME, NAME, "", one)?)?;
    cluster.available(world, one)?;
    let before = cluster.boxes(world)?;
    let name = text(&cluster.only(world, "kubeadmcontrolplanes")?, "/metadata/name").to_owned();
    cluster.patch(world, "kubeadmcontrolplane", &name, &json!({"spec": {"replicas": 3}}))?;
    cluster.available(world, SIZE)?;
    cluster.named(world)?;
    let after = cluster.boxes(world)?;
    ensure!(after.is_superset(&before) && after.len() == MACHINES, "{before:?} became {after:?}");
    let host = cluster.host(world)?;
    let addresses = world.sim.resolve(&host)?;
    ensure!(addresses.len() == 3, "{host} has {addresses:?}");
    // Each of them answers by itself.
    for address in &addresses {
        let server = format!("--server=https://{address}:6443");
        let verify = format!("--tls-server-name={host}");
        let said = cluster.kubectl(world)?.run(&[&server, &verify, "get", "--raw", "/readyz"])?;
        ensure!(said.trim() == "ok", "{address}: {said}");
    }
    Ok(())
}

/// The first control plane is deleted and replaced: the name never loses its last address, and etcd keeps three members.
pub(super) fn replace_first(world: &mut World) -> Result<()> {
    let world = &*world;
    let cluster = cluster();
    let machines = world.plane.kubectl.list(NAME, "machines.cluster.x-k8s.io", CONTROL_PLANE_LABEL)?;
    let oldest =
        machines.iter().min_by_key(|m| text(m, "/metadata/creationTimestamp").to_owned()).context("a Machine")?;
    let oldest = text(oldest, "/metadata/name").to_owned();
    let infrastructure = cluster.get(world, "machines.cluster.x-k8s.io", &oldest)?;
    let maas_machine = cluster.get(world, "maasmachine", text(&infrastructure, "/spec/infrastructureRef/name"))?;
    let id = text(&maas_machine, "/spec/systemID").to_owned();
    world.plane.kubectl.run(&["delete", "-n", NAME, "machines.cluster.x-k8s.io", &oldest, "--wait=false"])?;
    let host = cluster.host(world)?;
    let kubectl = cluster.kubectl(world)?;
    until("the first control plane is gone", LONG, || {
        ensure!(!world.sim.resolve(&host)?.is_empty(), "{host} lost its last address");
        let answer = kubectl.say(&["get", "--raw", "/readyz"])?;
        let there = world.plane.kubectl.get(NAME, "machines.cluster.x-k8s.io", &oldest)?;
        let left = there.as_ref().map(conditions).unwrap_or_default();
        Ok(when(there.is_none(), || format!("{} {left}", answer.out.trim())))
    })?;
    cluster.available(world, SIZE)?;
    cluster.named(world)?;
    let held = cluster.boxes(world)?;
    ensure!(held.len() == MACHINES, "{held:?}");
    let machine = world.sim.get(&format!("machines/{id}"))?;
    let ours = held.iter().any(|(_, held)| *held == id);
    ensure!(ours || machine["owner"].is_null(), "{id} was not released: {machine}");
    Ok(())
}

/// A health check that reacts within seconds: those of our flavours are made for real machines.
fn health_check(world: &World, name: &str, label: (&str, &str)) -> Result<()> {
    let object = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineHealthCheck", "metadata": {"name": name, "namespace": NAME},
        "spec": {
            "clusterName": NAME,
            "selector": {"matchLabels": {CLUSTER_NAME_LABEL: NAME, label.0: label.1}},
            "checks": {
                "nodeStartupTimeoutSeconds": 600,
                "unhealthyNodeConditions": [{"type": "Ready", "status": "Unknown", "timeoutSeconds": 5}],
            },
        },
    });
    let kubectl = &world.plane.kubectl;
    kubectl.run(&["apply", "-f", &kubectl.manifest(&format!("{name}.json"), &object.to_string())?])?;
    Ok(())
}

/// Pulls the cord of a machine's MaasMachine and waits until the MaasMachine is gone; `meanwhile` is looked at all the time.
fn replaced(world: &World, machine: &Value, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
    let (name, id) = (text(machine, "/metadata/name").to_owned(), text(machine, "/spec/systemID").to_owned());
    world.sim.post(&format!("machines/{id}/power-cord"), &json!({"plugged": false}))?;
    until(&format!("{name} is replaced"), LONG, || {
        meanwhile()?;
        let there = world.plane.kubectl.get(NAME, "maasmachine", &name)?;
        Ok(when(there.is_none(), || there.as_ref().map(conditions).unwrap_or_default()))
    })?;
    let box_back = |world: &World| released(world, &BTreeSet::from([(name.clone(), id.clone())]));
    // Nobody takes it before that: a machine that was lost is remembered.
    until("the old machine is back in the pool", PATIENCE, || {
        Ok(box_back(world).map_err(|error| format!("{error:#}")))
    })?;
    world.sim.post(&format!("machines/{id}/power-cord"), &json!({"plugged": true}))?;
    Ok(())
}

/// The power cord of a worker is pulled: the health check replaces it, the old machine comes back to the pool.
pub(super) fn worker_power(world: &mut World) -> Result<()> {
    let world = &*world;
    let cluster = cluster();
    let name = deployment(world, &cluster)?;
    health_check(world, "workers", (DEPLOYMENT_NAME_LABEL, &name))?;
    let machines = cluster.list(world, "maasmachines")?;
    let worker = machines.iter().find(|m| m["metadata"]["labels"].get(CONTROL_PLANE_LABEL).is_none());
    replaced(world, worker.context("a worker")?, || Ok(()))?;
    world.plane.kubectl.run(&["delete", "-n", NAME, "machinehealthcheck", "workers"])?;
    cluster.available(world, SIZE)
}

/// The power cord of a control plane is pulled: it is replaced, and the name keeps leading to API servers that answer.
pub(super) fn control_plane_power(world: &mut World) -> Result<()> {
    let world = &*world;
    let cluster = cluster();
    health_check(world, "control-plane", (CONTROL_PLANE_LABEL, ""))?;
    let machines = world.plane.kubectl.list(NAME, "maasmachines", CONTROL_PLANE_LABEL)?;
    let host = cluster.host(world)?;
    let mut fewest = usize::MAX;
    replaced(world, machines.first().context("a control plane")?, || {
        fewest = fewest.min(world.sim.resolve(&host)?.len());
        Ok(())
    })?;
    ensure!(fewest >= 2, "{host} had only {fewest} addresses");
    world.plane.kubectl.run(&["delete", "-n", NAME, "machinehealthcheck", "control-plane"])?;
    cluster.available(world, SIZE)?;
    cluster.named(world)?;
    let said = cluster.kubectl(world)?.run(&["get", "--raw", "/readyz"])?;
    ensure!(said.trim() == "ok", "{said}");
    Ok(())
}

/// A copy of a template under another name, which asks for a little more.
fn next_template(world: &World, cluster: &UserCluster, name: &str) -> Result<String> {
    let mut template = cluster.get(world, "maasmachinetemplate", name)?;
    let next = format!("{name}-2");
    let object = json!({
        "apiVersion": template["apiVersion"], "kind": template["kind"], "metadata": {"name": next, "namespace": NAME},
        "spec": template["spec"].take(),
    });
    let mut object = object;
    object["spec"]["template"]["spec"]["minCPU"] = json!(4);
    let kubectl = &world.plane.kubectl;
    kubectl.run(&["apply", "-f", &kubectl.manifest("template.json", &object.to_string())?])?;
    Ok(next)
}

/// A new version and new templates for control plane and workers: every machine is replaced, one after the other; the name never
/// loses its last address, and the machines that go are free again.
pub(super) fn upgrade(world: &mut World) -> Result<()> {
    let world = &*world;
    let cluster = cluster();
    let before = cluster.boxes(world)?;
    let control_plane = cluster.only(world, "kubeadmcontrolplanes")?;
    let template = text(&control_plane, "/spec/machineTemplate/spec/infrastructureRef/name");
    let next = next_template(world, &cluster, template)?;
    let patch = json!({"spec": {
        "version": NEXT_VERSION, "machineTemplate": {"spec": {"infrastructureRef": {"name": next}}},
    }});
    cluster.patch(world, "kubeadmcontrolplane", text(&control_plane, "/metadata/name"), &patch)?;
    let workers = cluster.only(world, "machinedeployments")?;
    let template = text(&workers, "/spec/template/spec/infrastructureRef/name");
    let next = next_template(world, &cluster, template)?;
    let patch = json!({"spec": {"template": {"spec": {"version": NEXT_VERSION, "infrastructureRef": {"name": next}}}}});
    cluster.patch(world, "machinedeployment", text(&workers, "/metadata/name"), &patch)?;

    let host = cluster.host(world)?;
    until("every machine has the new version", 2 * LONG, || {
        world.check_machines()?;
        ensure!(!world.sim.resolve(&host)?.is_empty(), "{host} lost its last address");
        let machines = cluster.list(world, "machines.cluster.x-k8s.io")?;
        let old: Vec<&str> = machines
            .iter()
            .filter(|machine| machine["spec"]["version"] != NEXT_VERSION)
            .map(|machine| text(machine, "/metadata/name"))
            .collect();
        Ok(when(old.is_empty() && machines.len() == MACHINES, || format!("{} machines, old: {old:?}", machines.len())))
    })?;
    cluster.available(world, SIZE)?;
    cluster.named(world)?;
    let after = cluster.boxes(world)?;
    let kept: Vec<_> = after.intersection(&before).collect();
    ensure!(kept.is_empty(), "MaasMachines of before: {kept:?}");
    let held: BTreeSet<&String> = after.iter().map(|(_, id)| id).collect();
    let free = before.iter().filter(|(_, id)| !held.contains(id)).cloned().collect();
    released(world, &free)?;
    let nodes = cluster.kubectl(world)?.list("", "nodes", "")?;
    ensure!(nodes.len() == MACHINES, "{} Nodes", nodes.len());
    Ok(())
}

/// Everything of it goes.
pub(super) fn end(world: &mut World) -> Result<()> {
    cluster().delete(world)
}
