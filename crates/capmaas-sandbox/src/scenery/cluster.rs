//! Cluster: passes on what the infrastructure and the control plane report, and takes things down in order.

use serde_json::{Value, json};

use super::object::{CLUSTER_LABEL, Condition, Object, Reference, conditions};
use super::world::{Plan, World};

const FINALIZER: &str = "cluster.cluster.x-k8s.io";

/// What this scenery has no stand-in for: kind, places in the object, what the user reads.
const REFUSED: [(&str, &[&str], &str); 9] = [
    ("Cluster", &["/spec/topology"], "ClusterClass (spec.topology)"),
    ("MachineDeployment", &["/spec/rolloutAfter", "/spec/rollout/after"], "a timed rollout (spec.rollout.after)"),
    ("MachineDeployment", &["/spec/minReadySeconds"], "spec.minReadySeconds"),
    ("MachineDeployment", &["/spec/paused"], "a paused MachineDeployment (spec.paused); annotate it instead"),
    ("KubeadmControlPlane", &["/spec/rolloutAfter", "/spec/rollout/after"], "a timed rollout (spec.rollout.after)"),
    ("KubeadmControlPlane", &["/spec/rolloutBefore", "/spec/rollout/before"], "a timed rollout (spec.rollout.before)"),
    ("KubeadmControlPlane", &["/spec/kubeadmConfigSpec/clusterConfiguration/etcd/external"], "external etcd"),
    ("KubeadmConfig", &["/spec/diskSetup"], "spec.diskSetup"),
    ("KubeadmConfig", &["/spec/ignition"], "Ignition (spec.ignition)"),
];

/// The first thing an object asks for that the scenery lacks.
pub(super) fn refusal(object: &Object) -> Option<String> {
    let lacking = |what: &str| Some(format!("the sandbox's scenery has no {what}; a real Cluster API does"));
    let asked = |v: &Value| !matches!(v, Value::Bool(false)) && v.as_i64() != Some(0);
    for (kind, places, what) in REFUSED {
        if kind == object.kind() && object.first(places).is_some_and(asked) {
            return lacking(what);
        }
    }
    let kind_of_rollout =
        object.first(&["/spec/strategy/type", "/spec/rollout/strategy/type", "/spec/rolloutStrategy/type"]);
    match kind_of_rollout.and_then(Value::as_str) {
        Some(other) if other != "RollingUpdate" => lacking(&format!("rollout strategy {other}")),
        _ => None,
    }
}

/// Conditions and status of an object that is refused.
pub(super) fn refuse(world: &World, plan: &mut Plan<'_>, object: &Object, why: String) {
    let refused = [Condition::new("Ready", false, "NotSupported", why)];
    plan.status(object, &json!({ "conditions": conditions(object, world.now, &refused) }));
}

pub(super) fn sync(world: &World, plan: &mut Plan<'_>, cluster: &Object) {
    if world.paused(cluster) {
        return;
    }
    let infra = Reference::read(cluster.at("/spec/infrastructureRef")).and_then(|r| world.resolve(cluster, &r));
    let control_plane = Reference::read(cluster.at("/spec/controlPlaneRef")).and_then(|r| world.resolve(cluster, &r));
    if cluster.deleting() {
        return delete(world, plan, cluster, control_plane, infra);
    }
    if let Some(why) = refusal(cluster) {
        return refuse(world, plan, cluster, why);
    }
    for (child, controller) in [(infra, false), (control_plane, true)] {
        if let Some(child) = child.filter(|c| !c.deleting()) {
            let labels = json!({ CLUSTER_LABEL: cluster.name() });
            let owners = child.owners_with(cluster, controller);
            plan.patch(child, &json!({ "metadata": { "labels": labels, "ownerReferences": owners } }));
        }
    }

    let provisioned = infra.is_some_and(|i| !i.deleting() && i.provisioned());
    let mut spec = json!({});
    if let (true, None, Some((host, port))) = (provisioned, cluster.endpoint(), infra.and_then(Object::endpoint)) {
        spec["controlPlaneEndpoint"] = json!({ "host": host, "port": port });
    }
    plan.patch(cluster, &json!({ "metadata": { "finalizers": cluster.finalizers_with(FINALIZER) }, "spec": spec }));

    let ready = cluster.infrastructure_ready() || (provisioned && cluster.endpoint().is_some());
    let initialized =
        cluster.control_plane_initialized() || control_plane.is_some_and(Object::control_plane_initialized);
    let parts = parts(world, cluster, infra, control_plane, ready, initialized);
    let available = Condition::all("Available", &parts);
    let summary = Condition::all("Ready", &parts);
    let mut all = parts;
    all.extend([available, summary]);
    let phase = match (cluster.at("/spec/infrastructureRef").is_some(), ready) {
        (_, true) => "Provisioned",
        (true, false) => "Provisioning",
        (false, false) => "Pending",
    };
    let mut status = json!({
        "observedGeneration": cluster.number("/metadata/generation"),
        "phase": phase,
        "infrastructureReady": ready,
        "controlPlaneReady": control_plane.is_some_and(|c| c.flag("/status/ready")),
        "conditions": conditions(cluster, world.now, &all),
    });
    // structs of booleans that are absent until true, as in the v1beta2 contract
    for (key, holds) in [("infrastructureProvisioned", ready), ("controlPlaneInitialized", initialized)] {
        if holds {
            status["initialization"][key] = json!(true);
        }
    }
    if let (true, Some(infra)) = (provisioned, infra) {
        status["failureDomains"] = domains(infra);
    }
    plan.status(cluster, &status);
}

/// Published failure domains, by name; none published empties the Cluster's list.
fn domains(infra: &Object) -> Value {
    let published = infra.at("/status/failureDomains");
    let mut list: Vec<Value> = match published {
        Some(Value::Array(list)) => list.clone(),
        // the map of the v1beta1 contract
        Some(Value::Object(map)) => {
            map.iter().map(|(name, d)| json!({ "name": name, "controlPlane": d["controlPlane"] == true })).collect()
        }
        _ => return Value::Null,
    };
    for domain in &mut list {
        if domain["controlPlane"].is_null() {
            domain["controlPlane"] = json!(false);
        }
    }
    list.sort_by_key(|d| d["name"].as_str().unwrap_or_default().to_owned());
    json!(list)
}

fn parts(
    world: &World,
    cluster: &Object,
    infra: Option<&Object>,
    control_plane: Option<&Object>,
    ready: bool,
    initialized: bool,
) -> Vec<Condition> {
    let absent = |kind, field| {
        Condition::new(kind, false, "DoesNotExist", format!("{field} names an object that does not exist"))
    };
    let infrastructure = match infra {
        Some(infra) => Condition::mirror("InfrastructureReady", infra, ready),
        None => absent("InfrastructureReady", "spec.infrastructureRef"),
    };
    let message = if initialized { "" } else { "Waiting for the first control plane machine" };
    let started = Condition::new(
        "ControlPlaneInitialized",
        initialized,
        if initialized { "Initialized" } else { "NotInitialized" },
        message,
    );
    let control = match control_plane {
        None => absent("ControlPlaneAvailable", "spec.controlPlaneRef"),
        Some(cp) => match cp.condition("Available") {
            Some(c) => Condition::new(
                "ControlPlaneAvailable",
                c["status"] == "True",
                c["reason"].as_str().unwrap_or("NotAvailable"),
                c["message"].as_str().unwrap_or_default(),
            ),
            None => {
                Condition::unknown("ControlPlaneAvailable", "Unknown", format!("Waiting for {} to report", cp.name()))
            }
        },
    };
    let bad = world.of_cluster("MachineDeployment", cluster).into_iter().find(|md| !md.is_true("Available"));
    let workers = match bad {
        None => Condition::new("WorkersAvailable", true, "Available", ""),
        Some(md) => Condition::new(
            "WorkersAvailable",
            false,
            "NotAvailable",
            format!("MachineDeployment {} is not available", md.name()),
        ),
    };
    vec![infrastructure, started, control, workers]
}

/// Workers, then the control plane, then the infrastructure, then the Cluster itself.
fn delete(
    world: &World,
    plan: &mut Plan<'_>,
    cluster: &Object,
    control_plane: Option<&Object>,
    infra: Option<&Object>,
) {
    let mut waiting: Vec<&Object> = Vec::new();
    for kind in ["MachineDeployment", "MachineSet"] {
        waiting.extend(world.of_cluster(kind, cluster));
    }
    let control_plane_uid = control_plane.map_or("", Object::uid);
    let of_control_plane = |m: &&Object| m.controller().is_some_and(|o| o["uid"] == control_plane_uid);
    waiting.extend(world.of_cluster("Machine", cluster).into_iter().filter(|m| !of_control_plane(m)));
    if waiting.is_empty() {
        waiting.extend(control_plane);
        waiting.extend(
            world
                .of_cluster("Machine", cluster)
                .into_iter()
                .filter(|m| control_plane.is_none() || !of_control_plane(m)),
        );
    }
    if waiting.is_empty() {
        waiting.extend(infra);
    }
    let Some(first) = waiting.first() else {
        return plan.patch(cluster, &json!({ "metadata": { "finalizers": cluster.finalizers_without(FINALIZER) } }));
    };
    let message = format!("Waiting for {} {} to be deleted", first.kind(), first.name());
    for object in &waiting {
        plan.delete(object);
    }
    let deleting = [
        Condition::new("Deleting", true, "WaitingForObjects", message.clone()),
        Condition::new("Available", false, "Deleting", message.clone()),
        Condition::new("Ready", false, "Deleting", message),
    ];
    plan.status(cluster, &json!({ "phase": "Deleting", "conditions": conditions(cluster, world.now, &deleting) }));
}
