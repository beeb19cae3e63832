//! A cluster of a ClusterClass.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::cluster::{LONG, Size, UserCluster, text};
use super::patience::{pause, until, when};
use super::story::generated;
use super::world::World;

const NAME: &str = "classy";

const SIZE: Size = Size { control_planes: 1, workers: 1 };

/// Names of all templates: a topology controller that sees a difference where there is none makes new ones without end.
fn templates(world: &World, cluster: &UserCluster) -> Result<Vec<String>> {
    let all = cluster.list(world, "maasmachinetemplates,maasclustertemplates,kubeadmconfigtemplates")?;
    let mut names: Vec<String> =
        all.iter().map(|t| format!("{}/{}", text(t, "/kind"), text(t, "/metadata/name"))).collect();
    names.sort();
    Ok(names)
}

/// The ClusterClass flavour comes up; a changed variable replaces the workers once; the comparison by server-side-apply dry run
/// finds nothing to do afterwards.
pub(super) fn topology(world: &mut World) -> Result<()> {
    let world = &*world;
    let class = world.plane.folder.join("repository/infrastructure-maas");
    let class =
        std::fs::read_dir(&class)?.flatten().map(|e| e.path().join("clusterclass-maas.yaml")).find(|p| p.exists());
    let class = std::fs::read_to_string(class.context("no clusterclass-maas.yaml in the release")?)?;
    let manifest = generated(world, NAME, NAME, "topology", SIZE)?;
    // clusterctl adds the class to what it generates; a class that it did not add is added here.
    let manifest = if manifest.contains("kind: ClusterClass") { manifest } else { format!("{class}\n---\n{manifest}") };
    let cluster = UserCluster::apply(world, NAME, NAME, &manifest)?;
    cluster.available(world, SIZE)?;
    let settled = templates(world, &cluster)?;
    let writes = world.sim.writes()?;
    pause(Duration::from_secs(20));
    let later = templates(world, &cluster)?;
    ensure!(later == settled, "templates are made without a reason: {settled:?} became {later:?}");
    let count = world.sim.writes()? - writes;
    ensure!(count == 0, "{count} writes to MAAS without a reason");

    let before = cluster.boxes(world)?;
    let object = cluster.get(world, "cluster", NAME)?;
    let mut variables = object["spec"]["topology"]["variables"].clone();
    let list = variables.as_array_mut().context("the Cluster has no variables")?;
    let worker = list.iter_mut().find(|v| text(v, "/name").to_lowercase().contains("worker"));
    let worker = worker.with_context(|| format!("no variable for workers: {}", object["spec"]["topology"]))?;
    worker["value"]["minCPU"] = json!(4);
    cluster.patch(world, "cluster", NAME, &json!({"spec": {"topology": {"variables": variables}}}))?;
    until("the worker is replaced", LONG, || {
        let now = cluster.boxes(world)?;
        let gone = before.difference(&now).count();
        Ok(when(gone == 1, || format!("{before:?} → {now:?}")))
    })?;
    cluster.available(world, SIZE)?;
    let settled = templates(world, &cluster)?;
    pause(Duration::from_secs(15));
    let later = templates(world, &cluster)?;
    ensure!(later == settled, "templates are made without a reason: {settled:?} became {later:?}");
    cluster.delete(world)
}
