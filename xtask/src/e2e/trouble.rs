//! What goes wrong around a cluster: MAAS is away, keys change, Secrets vanish.

use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine as _;
use capi_types::names::{CREDENTIALS_SECRET, FAILED_HOSTS_ANNOTATION, PROVIDER_NAMESPACE};
use serde_json::{Value, json};

use super::article::{self, NAME};
use super::cluster::{UserCluster, released, text};
use super::kubectl::condition;
use super::patience::pause;
use super::world::World;

/// The user of the region whose key the controller has.
const USER: &str = "admin";

/// A key that the region does not know yet.
const OTHER_KEY: &str = "NewConsumerA000000:NewTokenKeyA000000:NewTokenSecretA00000000000000000";

/// While MAAS is away a deleted cluster waits and says for what; nothing is lost, and it goes on by itself.
pub(super) fn delete_without_maas(world: &mut World) -> Result<()> {
    let world = &*world;
    let article = article::apply(world, "maas-down")?;
    article.provisioned(world)?;
    let boxes = article.boxes(world)?;
    world.sim.post("region", &json!({"outage": "refuse"}))?;
    article.start_to_delete(world)?;
    let waits = waits(world, &article, &["MAAS"]);
    pause(Duration::from_secs(5));
    let still = article.boxes(world)?;
    world.sim.post("region", &json!({"outage": "none"}))?;
    waits?;
    ensure!(still == boxes, "let go while MAAS was away: {boxes:?} became {still:?}");
    article.gone(world)?;
    released(world, &boxes)
}

/// Waits until the deleted MaasMachine of the control plane says that it waits, in words with these in them.
fn waits(world: &World, cluster: &UserCluster, words: &[&str]) -> Result<()> {
    let machine = cluster.control_plane(world)?;
    let name = text(&machine, "/metadata/name");
    cluster.until(world, &format!("says that it waits for {words:?}"), ("maasmachine", name), |machine| {
        let (status, _, message) = condition(machine, "Ready");
        let deleted = machine["metadata"]["deletionTimestamp"].is_string();
        deleted && status == "False" && words.iter().all(|word| message.contains(word))
    })?;
    Ok(())
}

/// The Secret with the controller's key.
fn credentials(world: &World) -> Result<Value> {
    let secret = world.plane.kubectl.get(PROVIDER_NAMESPACE, "secret", CREDENTIALS_SECRET)?;
    let Some(mut secret) = secret else { anyhow::bail!("no Secret {CREDENTIALS_SECRET}") };
    for field in ["resourceVersion", "uid", "creationTimestamp", "managedFields"] {
        secret["metadata"].as_object_mut().map(|metadata| metadata.remove(field));
    }
    Ok(secret)
}

/// Without the credentials' Secret a deleted cluster waits and names it; with the Secret back it goes on.
pub(super) fn delete_without_credentials(world: &mut World) -> Result<()> {
    let world = &*world;
    let article = article::apply(world, "no-secret")?;
    article.provisioned(world)?;
    let boxes = article.boxes(world)?;
    let secret = credentials(world)?;
    let kubectl = &world.plane.kubectl;
    kubectl.run(&["delete", "-n", PROVIDER_NAMESPACE, "secret", CREDENTIALS_SECRET])?;
    // The controller reads it again on its own.
    pause(Duration::from_secs(3));
    let waited = article.start_to_delete(world).and_then(|()| waits(world, &article, &[CREDENTIALS_SECRET]));
    let still = article.boxes(world)?;
    kubectl.run(&["apply", "-f", &kubectl.manifest("credentials.json", &secret.to_string())?])?;
    waited?;
    ensure!(still == boxes, "let go without credentials: {boxes:?} became {still:?}");
    article.gone(world)?;
    released(world, &boxes)
}

/// Bootstrap data is of no use to a release.
pub(super) fn delete_without_bootstrap(world: &mut World) -> Result<()> {
    let world = &*world;
    let article = article::apply(world, "no-bootstrap")?;
    article.deploying(world)?;
    let boxes = article.boxes(world)?;
    let machine = article.only_control_plane_core(world)?;
    let secret = text(&machine, "/spec/bootstrap/dataSecretName");
    world.plane.kubectl.run(&["delete", "-n", "no-bootstrap", "secret", secret])?;
    article.start_to_delete(world)?;
    article.gone(world)?;
    released(world, &boxes)
}

/// A new key comes, the old one is revoked, and a machine that deploys meanwhile is finished with the new one.
pub(super) fn rotate_credentials(world: &mut World) -> Result<()> {
    let world = &*world;
    let article = article::apply(world, "rotate")?;
    let id = text(&article.deploying(world)?, "/system_id").to_owned();
    world.sim.post(&format!("users/{USER}/keys"), &json!({"key": OTHER_KEY}))?;
    let key = base64::engine::general_purpose::STANDARD.encode(OTHER_KEY);
    let patch = json!({"data": {"MAAS_API_KEY": key}}).to_string();
    let kubectl = &world.plane.kubectl;
    kubectl.run(&["patch", "-n", PROVIDER_NAMESPACE, "secret", CREDENTIALS_SECRET, "--type=merge", "-p", &patch])?;
    world.sim.delete(&format!("users/{USER}/keys"), &json!({"key": world.sim.api_key}))?;
    let machine = article.provisioned(world)?;
    ensure!(text(&machine, "/spec/systemID") == id, "another machine than {id}: {machine}");
    let deploys = world.sim.count("POST machine deploy")?;
    ensure!(deploys == 1, "{deploys} deployments");
    article.get(world, "maascluster", NAME)?;
    article.delete(world)?;
    // As it was, for the rows that follow.
    world.sim.post(&format!("users/{USER}/keys"), &json!({"key": world.sim.api_key}))?;
    let key = base64::engine::general_purpose::STANDARD.encode(&world.sim.api_key);
    let patch = json!({"data": {"MAAS_API_KEY": key}}).to_string();
    kubectl.run(&["patch", "-n", PROVIDER_NAMESPACE, "secret", CREDENTIALS_SECRET, "--type=merge", "-p", &patch])?;
    Ok(())
}

/// The machine fails its deployment: the cluster notes it, MAAS has it marked broken with the reason, another one is deployed, and the
/// broken one is left for an operator when the cluster goes.
pub(super) fn failed_host(world: &mut World) -> Result<()> {
    let world = &*world;
    let article = article::apply(world, "failed-host")?;
    let policy = json!({"spec": {"failedHosts": {"after": 1, "action": "MarkBroken"}}});
    article.patch(world, "maascluster", NAME, &policy)?;
    let bad = text(&article.deploying(world)?, "/system_id").to_owned();
    let fault = json!({"fault": "installer", "reason": "curthooks: no space left on device", "times": "always"});
    world.sim.post(&format!("machines/{bad}/fail-deployments"), &fault)?;
    let machine = article.provisioned(world)?;
    ensure!(text(&machine, "/spec/systemID") != bad, "the machine that fails was taken again: {machine}");
    let state = world.sim.get(&format!("machines/{bad}"))?;
    ensure!(text(&state, "/status") == "broken", "not marked broken: {state}");
    let cluster = article.get(world, "maascluster", NAME)?;
    let noted = &cluster["metadata"]["annotations"][FAILED_HOSTS_ANNOTATION];
    ensure!(noted.as_str().is_some_and(|text| text.contains(&bad)), "not noted: {noted}");
    let events =
        world.plane.kubectl.run(&["get", "events", "-n", "failed-host", "-o", "jsonpath={.items[*].message}"])?;
    for words in ["no space left on device", "is marked broken in MAAS"] {
        ensure!(events.contains(words), "no Event says {words:?}: {events}");
    }
    article.delete(world)?;
    let state = world.sim.get(&format!("machines/{bad}"))?;
    ensure!(text(&state, "/status") == "broken", "it was released: {state}");
    // For the rows that follow.
    world
        .sim
        .post(&format!("machines/{bad}/fail-deployments"), &json!({"fault": "installer", "reason": "", "times": 0}))?;
    world.sim.post(&format!("machines/{bad}/status"), &json!({"status": "ready"}))?;
    Ok(())
}
