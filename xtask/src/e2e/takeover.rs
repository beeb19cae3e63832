//! A fleet of the Go provider, taken over: its objects and machines as that one leaves them, and then our release over it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use capi_types::conditions;
use capi_types::names::{CONTROL_PLANE_LABEL, GROUP, PROVIDER_NAMESPACE};
use serde_json::{Value, json};

use super::cluster::{PATIENCE, Size, UserCluster, text};
use super::kubectl::condition;
use super::patience::{until, when};
use super::story::{deployment, generated};
use super::world::World;

const SIZE: Size = Size { control_planes: 1, workers: 1 };

/// A webhook configuration as the Go provider names it.
const LEFTOVER: &str = "capmaas-validating-webhook-configuration";

/// A release before the first of ours: the Go provider's last.
pub(super) const OLD_VERSION: &str = "v0.9.0";

/// Rewrites a cluster's objects and machines as the Go provider v0.9 leaves them: no claim, no marks in MAAS, its own status and
/// conditions, `status.failureDomains` as the map of v0.8, LXD fields present.
fn as_go_leaves_it(world: &World, cluster: &UserCluster) -> Result<()> {
    let kubectl = &world.plane.kubectl;
    let strip = |object: &Value| {
        let annotations = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        let ours = annotations.keys().filter(|key| key.contains(GROUP) || key.contains("block-move"));
        let gone: serde_json::Map<String, Value> = ours.map(|key| (key.clone(), Value::Null)).collect();
        json!({"metadata": {"annotations": gone}})
    };
    let status = |kind: &str, name: &str, value: &Value| {
        // A replacement of the whole, so that nothing of ours is left in it.
        let patch = json!([{"op": "replace", "path": "/status", "value": value}]).to_string();
        kubectl.run(&[
            "patch",
            "-n",
            &cluster.namespace,
            kind,
            name,
            "--subresource=status",
            "--type=json",
            "-p",
            &patch,
        ])
    };
    let condition = |type_: &str, reason: &str| json!({"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-07-01T12:00:00Z"});
    for machine in cluster.list(world, "maasmachines")? {
        let name = text(&machine, "/metadata/name");
        let control_plane = machine["metadata"]["labels"].get(CONTROL_PLANE_LABEL).is_some();
        let mut patch = strip(&machine);
        patch["spec"] = json!({"deployInMemory": false, "lxd": {"enabled": false, "vmConfig": {"diskSize": 60}}});
        cluster.patch(world, "maasmachine", name, &patch)?;
        let old = json!({
            "ready": true, "initialization": {"provisioned": true}, "machineState": "Deployed", "machinePowered": true,
            "hostname": machine["status"]["hostname"], "dnsAttached": control_plane,
            "addresses": machine["status"]["addresses"],
            "conditions": [condition("MachineDeployed", "MachineDeployed"), condition("Ready", "Ready")],
        });
        status("maasmachine", name, &old)?;
        world.sim.post(&format!("machines/{}/clear-marks", text(&machine, "/spec/systemID")), &json!({}))?;
    }
    let ours = cluster.only(world, "maasclusters")?;
    let name = text(&ours, "/metadata/name");
    let mut patch = strip(&ours);
    patch["spec"] = json!({"failureDomains": ["default", "zone-a"]});
    cluster.patch(world, "maascluster", name, &patch)?;
    let old = json!({
        "ready": true, "initialization": {"provisioned": true}, "network": {"dnsName": ours["spec"]["controlPlaneEndpoint"]["host"]},
        "failureDomains": {"default": {"controlPlane": true}, "zone-a": {"controlPlane": true}},
        "conditions": [condition("LoadBalancerReady", "LoadBalancerReady"), condition("Ready", "Ready")],
    });
    status("maascluster", name, &old)?;
    Ok(())
}

/// A cluster of the Go provider with no controller, and what must stay as it is.
fn inherited(world: &mut World, name: &str) -> Result<(UserCluster, BTreeSet<String>)> {
    let cluster = UserCluster::apply(world, name, name, &generated(world, name, name, "", SIZE)?)?;
    cluster.available(world, SIZE)?;
    let before = facts(world, &cluster)?;
    world.kill_controller();
    as_go_leaves_it(world, &cluster)?;
    world.turn_page()?;
    Ok((cluster, before))
}

/// What must not change when the provider does.
fn facts(world: &World, cluster: &UserCluster) -> Result<BTreeSet<String>> {
    let machines = cluster.list(world, "maasmachines")?;
    let fact = |m: &Value| {
        let id = text(m, "/spec/systemID");
        let deployment = world.sim.get(&format!("machines/{id}"))?["deployment"].clone();
        anyhow::Ok(format!("{} {} {deployment}", text(m, "/metadata/name"), text(m, "/spec/providerID")))
    };
    machines.iter().map(fact).collect()
}

/// After the change: everything is as it was, only marked, and it can be worked with.
fn judged(world: &World, cluster: &UserCluster, before: &BTreeSet<String>) -> Result<()> {
    until("the machines are marked and ready", PATIENCE, || {
        let machines = cluster.list(world, "maasmachines")?;
        let told: Vec<String> = machines.iter().map(|m| format!("{:?}", condition(m, "Ready"))).collect();
        let in_maas = machines.iter().map(|m| world.sim.get(&format!("machines/{}", text(m, "/spec/systemID"))));
        let in_maas = in_maas.collect::<Result<Vec<Value>>>()?;
        let marked = in_maas.iter().all(|m| m["owner_data"].as_object().is_some_and(|marks| !marks.is_empty()));
        let ready = machines.iter().all(|m| condition(m, "Ready").0 == "True");
        Ok(when(marked && ready, || told.join(" | ")))
    })?;
    let ours = until("the failure domains are a list", PATIENCE, || {
        let ours = cluster.only(world, "maasclusters")?;
        Ok(if ours["status"]["failureDomains"].is_array() { Ok(ours) } else { Err(ours["status"].to_string()) })
    })?;
    let names: Vec<&str> =
        ours["status"]["failureDomains"].as_array().into_iter().flatten().map(|d| text(d, "/name")).collect();
    ensure!(names == ["default", "zone-a"], "failure domains {names:?}");
    cluster.available(world, SIZE)?;
    cluster.named(world)?;
    let after = facts(world, cluster)?;
    ensure!(after == *before, "{before:?} became {after:?}");
    for operation in ["POST machines allocate", "POST machine deploy", "POST machine release", "POST machines release"]
    {
        let count = world.sim.count(operation)?;
        ensure!(count == 0, "{count} times {operation}");
    }
    // It is ours now: it grows and goes.
    let name = deployment(world, cluster)?;
    cluster.patch(world, "machinedeployment", &name, &json!({"spec": {"replicas": 2}}))?;
    cluster.available(world, Size { workers: 2, ..SIZE })?;
    cluster.delete(world)
}

/// The Go provider's webhook configuration, whose server goes with it: every write of a spec is refused from now on.
fn leave_webhooks(world: &World) -> Result<()> {
    let service = json!({"name": "capmaas-webhook-service", "namespace": PROVIDER_NAMESPACE, "path": "/validate"});
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": LEFTOVER},
        "webhooks": [{
            "name": "validation.maasmachine.infrastructure.cluster.x-k8s.io", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "clientConfig": {"service": service}, "timeoutSeconds": 5,
            "rules": [{
                "apiGroups": [GROUP], "apiVersions": ["v1beta1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["maasmachines", "maasclusters"],
            }],
        }],
    });
    let kubectl = &world.plane.kubectl;
    kubectl.run(&["apply", "-f", &kubectl.manifest("leftover.json", &object.to_string())?])?;
    Ok(())
}

/// What is left over is named where the user looks, with the command that deletes it.
fn told_of_webhooks(world: &World, cluster: &UserCluster) -> Result<()> {
    let ours = until("the left-over webhooks are named", PATIENCE, || {
        let ours = cluster.only(world, "maasclusters")?;
        let (status, _, message) = condition(&ours, conditions::LEFTOVER_WEBHOOKS);
        Ok(if status == "True" { Ok(message) } else { Err(super::kubectl::conditions(&ours)) })
    })?;
    let command = format!("kubectl delete validatingwebhookconfiguration/{LEFTOVER}");
    ensure!(ours.contains(&command), "the condition does not say {command}: {ours}");
    world.plane.kubectl.run(&["delete", &format!("validatingwebhookconfiguration/{LEFTOVER}")])?;
    Ok(())
}

/// Our release with plain `kubectl apply` over what the Go provider had: nothing is redeployed or released.
pub(super) fn by_apply(world: &mut World) -> Result<()> {
    let (cluster, before) = inherited(world, "heritage")?;
    let version = crate::dist::workspace_version();
    let components = world.plane.components(&version);
    let text = std::fs::read_to_string(&components).with_context(|| components.display().to_string())?;
    let text = text.replace("${MAAS_ENDPOINT}", &world.sim.endpoint).replace("${MAAS_API_KEY}", &world.sim.api_key);
    let kubectl = &world.plane.kubectl;
    kubectl.run(&["apply", "-f", &kubectl.manifest("over.yaml", &text)?])?;
    leave_webhooks(world)?;
    world.start_controller()?;
    told_of_webhooks(world, &cluster)?;
    // A controller that starts looks at once; one that runs looks again within a minute.
    world.kill_controller();
    world.start_controller()?;
    judged(world, &cluster, &before)
}

/// `clusterctl upgrade apply` from an older release, in a management cluster of its own.
pub(super) fn by_upgrade(world: &mut World) -> Result<()> {
    world.add_side(OLD_VERSION)?;
    world.turn_over();
    let result = upgraded(world);
    world.turn_over();
    if result.is_ok() {
        world.drop_side();
    }
    result
}

fn upgraded(world: &mut World) -> Result<()> {
    let (cluster, before) = inherited(world, "elder")?;
    let version = crate::dist::workspace_version();
    let variables = [("MAAS_ENDPOINT", world.sim.endpoint.as_str()), ("MAAS_API_KEY", world.sim.api_key.as_str())];
    let to = format!("maas:{version}");
    let said = world.plane.clusterctl(&["upgrade", "apply", "--infrastructure", &to], &variables)?;
    let provider =
        world.plane.kubectl.get(PROVIDER_NAMESPACE, "providers.clusterctl.cluster.x-k8s.io", "infrastructure-maas")?;
    let now = provider.map(|provider| text(&provider, "/version").to_owned()).unwrap_or_default();
    ensure!(now == version, "clusterctl's inventory says {now}: {said}");
    world.start_controller()?;
    judged(world, &cluster, &before)
}
