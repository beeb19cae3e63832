//! Machines that a real MachineHealthCheck finds sick: healed by power cycles, or replaced by their owner.

use anyhow::{Context, Result, ensure};
use capi_types::names::{API_VERSION, CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL, DEPLOYMENT_NAME_LABEL};
use serde_json::{Value, json};

use super::cluster::{LONG, text};
use super::health::{NAME, SIZE, cluster};
use super::kubectl::{condition, conditions};
use super::patience::{until, when};
use super::story::deployment;
use super::world::World;

const REQUESTS: &str = "maasremediations";
const MACHINES: &str = "machines.cluster.x-k8s.io";

/// A template and a health check that uses it, both as quick as simulated machines allow.
fn health_check(world: &World, name: &str, label: (&str, &str), seconds: i64) -> Result<()> {
    let template = json!({
        "apiVersion": API_VERSION, "kind": "MaasRemediationTemplate", "metadata": {"name": name, "namespace": NAME},
        "spec": {"template": {"spec": {"strategy": {"type": "PowerCycle", "retryLimit": 1, "timeoutSeconds": seconds}}}},
    });
    let check = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineHealthCheck", "metadata": {"name": name, "namespace": NAME},
        "spec": {
            "clusterName": NAME,
            "selector": {"matchLabels": {CLUSTER_NAME_LABEL: NAME, label.0: label.1}},
            "checks": {
                "nodeStartupTimeoutSeconds": 600,
                "unhealthyNodeConditions": [{"type": "Ready", "status": "Unknown", "timeoutSeconds": 5}],
            },
            "remediation": {"templateRef": {"apiVersion": API_VERSION, "kind": "MaasRemediationTemplate", "name": name}},
        },
    });
    let kubectl = &world.plane.kubectl;
    for (kind, object) in [("template", template), ("check", check)] {
        kubectl.run(&["apply", "-f", &kubectl.manifest(&format!("{name}-{kind}.json"), &object.to_string())?])?;
    }
    Ok(())
}

fn forget(world: &World, name: &str) -> Result<()> {
    let kubectl = &world.plane.kubectl;
    kubectl.run(&["delete", "-n", NAME, "machinehealthcheck", name])?;
    kubectl.run(&["delete", "-n", NAME, "maasremediationtemplate", name])?;
    Ok(())
}

fn hang(world: &World, machine: &Value) -> Result<()> {
    world.sim.post(&format!("machines/{}/hang", text(machine, "/spec/systemID")), &json!({}))?;
    Ok(())
}

/// What maas-sim holds about a machine.
fn state(world: &World, machine: &Value) -> Result<Value> {
    world.sim.get(&format!("machines/{}", text(machine, "/spec/systemID")))
}

fn request(world: &World, machine: &Value) -> Result<Option<Value>> {
    world.plane.kubectl.get(NAME, REQUESTS, text(machine, "/metadata/name"))
}

/// Waits until these machines are well again, the same ones, and nothing is left of the requests; `meanwhile` is looked at all the time.
fn healed(world: &World, machines: &[&Value], mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
    until("the machines are healed", LONG, || {
        meanwhile()?;
        let mut open = Vec::new();
        for machine in machines {
            let name = text(machine, "/metadata/name");
            let now = world.plane.kubectl.get(NAME, MACHINES, name)?;
            let now = now.with_context(|| format!("Machine {name} was replaced"))?;
            let request = request(world, machine)?;
            let well = ["NodeHealthy", "HealthCheckSucceeded"].iter().all(|c| condition(&now, c).0 == "True");
            // Without a quorum of etcd nobody notices that a Node is silent.
            let hung = state(world, machine)?["hung"] == true;
            if hung || !well || request.is_some() {
                open.push(format!(
                    "{name}: {} | {}",
                    conditions(&now),
                    request.as_ref().map(conditions).unwrap_or_default()
                ));
            }
        }
        Ok(when(open.is_empty(), || open.join(" || ")))
    })
}

/// A worker hangs: one power cycle heals it, it is not replaced. Then it is dead: its owner replaces it on another machine.
pub(super) fn workers(world: &mut World) -> Result<()> {
    let world = &*world;
    let cluster = cluster();
    let name = deployment(world, &cluster)?;
    health_check(world, "remedied-workers", (DEPLOYMENT_NAME_LABEL, &name), 120)?;
    let worker = |world: &World| -> Result<Value> {
        let machines = cluster.list(world, "maasmachines")?;
        let found = machines.into_iter().find(|m| m["metadata"]["labels"].get(CONTROL_PLANE_LABEL).is_none());
        found.context("a worker")
    };
    let before = worker(world)?;
    let deploys = world.sim.count("POST machine deploy")?;
    hang(world, &before)?;
    until("a request is made and acted upon", LONG, || {
        let request = request(world, &before)?;
        let tries = request.as_ref().map(|r| r["status"]["retryCount"].clone());
        Ok(when(tries == Some(json!(1)), || request.as_ref().map(conditions).unwrap_or_default()))
    })?;
    healed(world, &[&before], || Ok(()))?;
    let after = worker(world)?;
    ensure!(after["metadata"]["uid"] == before["metadata"]["uid"], "replaced: {before} became {after}");
    let orders = ["POST machine power_off", "POST machine power_on", "POST machine deploy"];
    let counted = orders.iter().map(|order| world.sim.count(order)).collect::<Result<Vec<_>>>()?;
    ensure!(counted == [1, 1, deploys], "{orders:?} were {counted:?}");
    cluster.available(world, SIZE)?;

    let (dead, id) = (text(&before, "/metadata/name"), text(&before, "/spec/systemID"));
    world.sim.post(&format!("machines/{id}/power-cord"), &json!({"plugged": false}))?;
    let mut told = String::new();
    until(&format!("{dead} is replaced"), LONG, || {
        if let Some(machine) = world.plane.kubectl.get(NAME, MACHINES, dead)? {
            let (status, _, message) = condition(&machine, "OwnerRemediated");
            if status == "False" && message.contains("MaasRemediation") {
                told = message;
            }
        }
        let there = world.plane.kubectl.get(NAME, "maasmachine", dead)?;
        Ok(when(there.is_none(), || there.as_ref().map(conditions).unwrap_or_default()))
    })?;
    ensure!(told.contains("power cycles did not make it healthy"), "the owner was told: {told:?}");
    cluster.available(world, SIZE)?;
    ensure!(text(&worker(world)?, "/spec/systemID") != id, "it got the dead machine back");
    ensure!(request(world, &before)?.is_none(), "the request outlived its Machine");
    forget(world, "remedied-workers")?;
    world.sim.post(&format!("machines/{id}/power-cord"), &json!({"plugged": true}))?;
    Ok(())
}

/// Two machines of a control plane of three hang, one after the other: both are healed by power cycles, and never are two of three without
/// power.
pub(super) fn control_plane(world: &mut World) -> Result<()> {
    let world = &*world;
    let cluster = cluster();
    health_check(world, "remedied-control-plane", (CONTROL_PLANE_LABEL, ""), 240)?;
    let machines = world.plane.kubectl.list(NAME, "maasmachines", CONTROL_PLANE_LABEL)?;
    let [first, second, _] = machines.as_slice() else { anyhow::bail!("{} control planes", machines.len()) };
    hang(world, first)?;
    until("the first one is being power cycled", LONG, || {
        let request = request(world, first)?;
        let phase = request.as_ref().map(|r| text(r, "/status/phase").to_owned()).unwrap_or_default();
        Ok(when(phase == "PowerCycling", || request.as_ref().map(conditions).unwrap_or_default()))
    })?;
    hang(world, second)?;
    let mut fewest = machines.len();
    healed(world, &[first, second], || {
        let mut on = 0;
        for machine in &machines {
            on += usize::from(state(world, machine)?["powered"] == true);
        }
        fewest = fewest.min(on);
        Ok(())
    })?;
    ensure!(fewest >= 2, "only {fewest} of three had power");
    let offs = world.sim.count("POST machine power_off")?;
    ensure!(offs == 2, "{offs} times switched off");
    cluster.available(world, SIZE)?;
    let after = world.plane.kubectl.list(NAME, "maasmachines", CONTROL_PLANE_LABEL)?;
    let uids = |all: &[Value]| all.iter().map(|m| text(m, "/metadata/uid").to_owned()).collect::<Vec<_>>();
    ensure!(uids(&after) == uids(&machines), "one was replaced");
    forget(world, "remedied-control-plane")
}
