//! What happens to a cluster after it was applied: deletion, pause, a crash, and nothing at all.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::article::{self, NAME};
use super::cluster::{PATIENCE, Size, UserCluster, text};
use super::kubectl::{condition, conditions};
use super::patience::{pause, until};
use super::world::World;

/// A deleted Cluster takes everything along, in the middle of a deployment too.
pub(super) fn delete(world: &mut World) -> Result<()> {
    let article = article::apply(world, "delete")?;
    article.deploying(world)?;
    article.delete(world)?;
    let secrets = world.plane.kubectl.list("delete", "secrets", "cluster.x-k8s.io/cluster-name")?;
    let names: Vec<&str> = secrets.iter().map(|secret| text(secret, "/metadata/name")).collect();
    ensure!(names.is_empty(), "Secrets are left: {names:?}");
    let mut marked = world.sim.machines()?;
    marked.retain(|machine| text(machine, "/owner_data/capmaas-machine").starts_with("delete/"));
    ensure!(marked.is_empty(), "machines keep our marks: {marked:?}");
    Ok(())
}

/// A paused cluster says so on every object and nothing is done to it, not even what is due; it goes on when resumed.
pub(super) fn pause_and_resume(world: &mut World) -> Result<()> {
    let world = &*world;
    let kubectl = &world.plane.kubectl;
    let article = article::apply(world, "pause")?;
    let id = text(&article.deploying(world)?, "/system_id").to_owned();
    let paused = |value: bool| {
        let patch = format!(r#"{{"spec":{{"paused":{value}}}}}"#);
        kubectl.run(&["patch", "-n", "pause", "cluster", NAME, "--type=merge", "-p", &patch])
    };
    paused(true)?;
    let machine = article.control_plane(world)?;
    let name = text(&machine, "/metadata/name");
    for (kind, name) in [("maascluster", NAME), ("maasmachine", name)] {
        article.until(world, "Paused", (kind, name), |object| condition(object, "Paused").0 == "True")?;
    }
    let writes = world.sim.writes()?;
    // The deployment ends meanwhile, which would be reason to write.
    until("MAAS deploys on", PATIENCE, || {
        let machine = world.sim.get(&format!("machines/{id}"))?;
        Ok(if machine["status"] == "deployed" { Ok(()) } else { Err(machine["status"].to_string()) })
    })?;
    pause(Duration::from_secs(10));
    let after = article.get(world, "maasmachine", name)?;
    ensure!(after["spec"]["providerID"].is_null(), "a paused MaasMachine was provisioned: {}", conditions(&after));
    let block_move = "/metadata/annotations/clusterctl.cluster.x-k8s.io~1block-move";
    ensure!(after.pointer(block_move).is_none(), "block-move stays on a paused MaasMachine");
    let now = world.sim.writes()?;
    ensure!(now == writes, "{} writes to MAAS while paused", now - writes);
    paused(false)?;
    article.provisioned(world)?;
    article.until(world, "no longer paused", ("maascluster", NAME), |o| condition(o, "Paused").0 == "False")?;
    article.delete(world)
}

/// A controller that is killed while a machine deploys goes on with that machine.
pub(super) fn restart(world: &mut World) -> Result<()> {
    let article = article::apply(world, "restart")?;
    let before = article.deploying(world)?;
    world.kill_controller();
    world.start_controller()?;
    let machine = article.provisioned(world)?;
    let id = text(&before, "/system_id");
    ensure!(text(&machine, "/spec/systemID") == id, "another machine than {id}: {machine}");
    for operation in ["POST machines allocate", "POST machine deploy"] {
        let count = world.sim.count(operation)?;
        ensure!(count == 1, "{count} times {operation}");
    }
    article.delete(world)
}

/// Versions of our objects, and writes to MAAS.
fn footprint(world: &World, article: &UserCluster) -> Result<(Vec<String>, u64)> {
    let objects = world.plane.kubectl.list(&article.namespace, "maasclusters,maasmachines,maasmachinetemplates", "")?;
    let version = |o: &Value| {
        format!("{} {} {}", text(o, "/kind"), text(o, "/metadata/name"), text(o, "/metadata/resourceVersion"))
    };
    Ok((objects.iter().map(version).collect(), world.sim.writes()?))
}

/// Where nothing changes, nothing is written: 30 s, after things have come to rest.
pub(super) fn settled(world: &mut World) -> Result<()> {
    let world = &*world;
    let article = article::apply(world, "settled")?;
    article.available(world, Size { control_planes: 1, workers: 1 })?;
    let mut last = footprint(world, &article)?;
    // The name is published after the machine is provisioned, and Cluster API adds labels and owners in its own time.
    for _ in 0..6 {
        pause(Duration::from_secs(5));
        let now = footprint(world, &article)?;
        if now == last {
            break;
        }
        last = now;
    }
    pause(Duration::from_secs(30));
    let now = footprint(world, &article)?;
    if now != last {
        bail!("written without a reason: {last:?} became {now:?}");
    }
    article.delete(world)
}
