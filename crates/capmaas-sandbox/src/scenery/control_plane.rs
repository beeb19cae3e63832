//! KubeadmControlPlane: one machine at a time, `init` once, `join` ever after.

use serde_json::{Value, json};

use super::cluster::{refusal, refuse};
use super::machine::{self, Blueprint, Bootstrap};
use super::object::{CLUSTER_LABEL, CONTROL_PLANE_LABEL, Condition, Object, Reference, conditions};
use super::workers::{DELETE_ANNOTATION, own_templates, template_hash};
use super::world::{Plan, World};
use crate::workload::{ClusterKey, Workloads};

const FINALIZER: &str = "kubeadm.controlplane.cluster.x-k8s.io";
/// Annotation of ours on a Machine: what it was made from.
const HASH: &str = "sandbox.capmaas.io/control-plane-hash";
const NAME_LABEL: &str = "cluster.x-k8s.io/control-plane-name";
const TEMPLATE_PLACES: [&str; 2] =
    ["/spec/machineTemplate/spec/infrastructureRef", "/spec/machineTemplate/infrastructureRef"];

pub(super) fn sync(world: &World, plan: &mut Plan<'_>, workloads: &Workloads, kcp: &Object) {
    // the name of the Cluster is only known once it has taken the control plane over
    let owner = kcp.owners().into_iter().find(|o| o["kind"] == "Cluster");
    let name = owner.as_ref().and_then(|o| o["name"].as_str()).unwrap_or_default();
    let Some(cluster) = world.get("Cluster", kcp.namespace(), name) else {
        if kcp.deleting() {
            plan.patch(kcp, &json!({ "metadata": { "finalizers": kcp.finalizers_without(FINALIZER) } }));
        }
        return;
    };
    if world.paused(kcp) {
        return;
    }
    let machines = world.machines_of(kcp);
    if kcp.deleting() {
        return delete(world, plan, cluster, kcp, &machines);
    }
    let replicas = kcp.number("/spec/replicas").unwrap_or(1);
    let why = refusal(kcp).or_else(|| match replicas {
        n if n < 1 => Some("spec.replicas: a control plane cannot be scaled to zero".into()),
        n if n % 2 == 0 => Some(format!("spec.replicas: {n} is even, which stacked etcd does not allow")),
        _ => None,
    });
    if let Some(why) = why {
        return refuse(world, plan, kcp, why);
    }
    plan.patch(kcp, &json!({ "metadata": { "finalizers": kcp.finalizers_with(FINALIZER) } }));
    own_templates(world, plan, cluster, kcp, &TEMPLATE_PLACES);

    let hash = template_hash(&json!({
        "version": kcp.text("/spec/version"),
        "infrastructure": Reference::read(kcp.first(&TEMPLATE_PLACES)).map(|r| json!([r.kind, r.name])),
        "kubeadm": kcp.at("/spec/kubeadmConfigSpec"),
    }));
    let initialized = kcp.control_plane_initialized() || world.workload(cluster).is_some_and(|w| w.initialized);
    let certificates = secrets(world, plan, workloads, cluster, kcp);
    let step = if !certificates {
        Err("Waiting for the Cluster's infrastructure and API address".to_owned())
    } else {
        step(replicas, surge(kcp), initialized, &hash, &machines)
    };
    let message = match step {
        Ok(Step::Settled) => String::new(),
        Ok(Step::Delete(at)) => {
            plan.delete(machines[at]);
            format!("Deleting Machine {}", machines[at].name())
        }
        Ok(Step::Create) => match blueprint(world, plan, cluster, kcp, &hash, initialized, &machines) {
            Ok(new) => {
                machine::create(plan, new);
                "Adding a Machine".into()
            }
            Err(why) => why,
        },
        Err(why) => why,
    };
    status(world, plan, cluster, kcp, &Summary { machines, hash, replicas, initialized, certificates, message });
}

fn surge(kcp: &Object) -> i64 {
    let places = ["/spec/rolloutStrategy/rollingUpdate/maxSurge", "/spec/rollout/strategy/rollingUpdate/maxSurge"];
    let set = kcp.first(&places).and_then(|v| v.as_i64().or_else(|| v.as_str()?.parse().ok()));
    // without surge a machine goes before its successor comes, which only a quorum survives
    if kcp.number("/spec/replicas").unwrap_or(1) >= 3 { set.unwrap_or(1) } else { 1 }
}

/// What a control plane does next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Settled,
    Create,
    /// Delete the machine at this place.
    Delete(usize),
}

/// At most one step; `Err` says what it waits for. `machines` are oldest first.
fn step(replicas: i64, surge: i64, initialized: bool, hash: &str, machines: &[&Object]) -> Result<Step, String> {
    let count = i64::try_from(machines.len()).unwrap_or(i64::MAX);
    if let Some(going) = machines.iter().find(|m| m.deleting()) {
        return Err(format!("Waiting for Machine {} to be deleted", going.name()));
    }
    if machines.is_empty() {
        return Ok(Step::Create);
    }
    if !initialized {
        return Err("Waiting for the first Machine to initialise the control plane".into());
    }
    let healthy = |m: &Object| m.at("/status/nodeRef").is_some() && m.is_true("NodeHealthy");
    let sick = |except: Option<usize>| {
        let bad = machines.iter().enumerate().find(|(i, m)| Some(*i) != except && !healthy(m));
        bad.map_or(Ok(()), |(_, m)| Err(format!("Waiting for Machine {} to have a healthy Node", m.name())))
    };
    let old = |m: &Object| m.annotation(HASH) != Some(hash);
    let outdated = machines.iter().any(|m| old(m));
    if count < replicas || (outdated && count < replicas + surge) {
        return sick(None).map(|()| Step::Create);
    }
    if count > replicas || outdated {
        let crowd = |m: &Object| {
            machines.iter().filter(|o| o.text("/spec/failureDomain") == m.text("/spec/failureDomain")).count()
        };
        // chosen by the user, then outdated, then sick, then from the fullest failure domain, then the oldest
        let rank = |m: &Object| (m.annotation(DELETE_ANNOTATION).is_some(), old(m), !healthy(m), crowd(m));
        let first = (0..machines.len()).rev().max_by_key(|&i| rank(machines[i])).unwrap_or(0);
        return sick(Some(first)).map(|()| Step::Delete(first));
    }
    Ok(Step::Settled)
}

/// The cluster's authority and kubeconfig; true once both exist.
fn secrets(world: &World, plan: &mut Plan<'_>, workloads: &Workloads, cluster: &Object, kcp: &Object) -> bool {
    let (true, Some((host, port))) = (cluster.infrastructure_ready(), cluster.endpoint()) else {
        return false;
    };
    let key = ClusterKey::new(cluster.namespace(), cluster.name());
    let access = workloads.ensure(&key, &host, port);
    let parts = [
        ("ca", json!({ "tls.crt": access.ca.certificate(), "tls.key": access.ca.key() })),
        ("kubeconfig", json!({ "value": access.kubeconfig })),
    ];
    let mut there = true;
    for (suffix, data) in parts {
        let name = format!("{}-{suffix}", cluster.name());
        if world.get("Secret", cluster.namespace(), &name).is_none() {
            there = false;
            plan.create(json!({
                "apiVersion": "v1", "kind": "Secret", "type": "cluster.x-k8s.io/secret",
                "metadata": {
                    "name": name, "namespace": cluster.namespace(), "labels": { CLUSTER_LABEL: cluster.name() },
                    "ownerReferences": [kcp.owner_ref(true)],
                },
                "data": encoded(&data),
            }));
        }
    }
    there
}

/// Values in base64, as Secrets carry them.
pub(super) fn encoded(data: &Value) -> Value {
    use base64::Engine as _;
    let entries = data.as_object().into_iter().flatten();
    let encode = |v: &Value| base64::engine::general_purpose::STANDARD.encode(v.as_str().unwrap_or_default());
    entries.map(|(k, v)| (k.clone(), json!(encode(v)))).collect::<serde_json::Map<_, _>>().into()
}

fn blueprint<'a>(
    world: &'a World,
    plan: &mut Plan<'_>,
    cluster: &'a Object,
    kcp: &'a Object,
    hash: &str,
    initialized: bool,
    machines: &[&Object],
) -> Result<Blueprint<'a>, String> {
    let reference =
        Reference::read(kcp.first(&TEMPLATE_PLACES)).ok_or("spec.machineTemplate.infrastructureRef is not set")?;
    let template = world.resolve(kcp, &reference);
    let template = template.ok_or_else(|| format!("{} {} does not exist", reference.kind, reference.name))?;
    let mut config = kcp.at("/spec/kubeadmConfigSpec").cloned().unwrap_or_else(|| json!({}));
    if let Some(config) = config.as_object_mut() {
        // the bootstrap provider takes these as orders
        config.remove(if initialized { "initConfiguration" } else { "joinConfiguration" });
        let role = if initialized { "joinConfiguration" } else { "initConfiguration" };
        config.entry(role).or_insert_with(|| json!({}));
        config.entry("clusterConfiguration").or_insert_with(|| json!({}));
    }
    let mut labels = kcp.at("/spec/machineTemplate/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    labels[CONTROL_PLANE_LABEL] = json!("");
    labels[NAME_LABEL] = json!(kcp.name());
    let mut annotations = kcp.at("/spec/machineTemplate/metadata/annotations").cloned().unwrap_or_else(|| json!({}));
    annotations[HASH] = json!(hash);
    Ok(Blueprint {
        cluster,
        owner: kcp,
        template,
        name: plan.name(kcp.name()),
        version: kcp.at("/spec/version").cloned().unwrap_or_default(),
        failure_domain: emptiest_domain(cluster, machines),
        bootstrap: Bootstrap::Config(config),
        labels,
        annotations,
    })
}

/// The published domain for control planes that holds the fewest of them; null when none is published.
fn emptiest_domain(cluster: &Object, machines: &[&Object]) -> Value {
    let published = cluster.at("/status/failureDomains").and_then(Value::as_array);
    let fit = published.into_iter().flatten().filter(|d| d["controlPlane"] == true);
    let holds = |d: &Value| machines.iter().filter(|m| m.at("/spec/failureDomain") == Some(&d["name"])).count();
    fit.min_by_key(|d| holds(d)).map_or(Value::Null, |d| d["name"].clone())
}

struct Summary<'a> {
    machines: Vec<&'a Object>,
    hash: String,
    replicas: i64,
    initialized: bool,
    certificates: bool,
    message: String,
}

fn status(world: &World, plan: &mut Plan<'_>, cluster: &Object, kcp: &Object, now: &Summary<'_>) {
    let count = now.machines.len();
    let ready = now.machines.iter().filter(|m| !m.deleting() && m.is_true("NodeHealthy")).count();
    let updated = now.machines.iter().filter(|m| m.annotation(HASH) == Some(&now.hash)).count();
    let available = now.initialized && ready > 0;
    let rolling = updated < count;
    let complete = i64::try_from(count) == Ok(now.replicas) && ready == count && !rolling;
    let why = if available { "" } else { now.message.as_str() };
    let conditions = conditions(
        kcp,
        world.now,
        &[
            Condition::new("Available", available, if available { "Available" } else { "NotAvailable" }, why),
            Condition::new(
                "Initialized",
                now.initialized,
                if now.initialized { "Initialized" } else { "NotInitialized" },
                "",
            ),
            Condition::new(
                "CertificatesAvailable",
                now.certificates,
                if now.certificates { "Available" } else { "NotAvailable" },
                "",
            ),
            Condition::new("RollingOut", rolling, if rolling { "RollingOut" } else { "NotRollingOut" }, ""),
            Condition::new("Ready", complete, if complete { "Ready" } else { "NotReady" }, now.message.clone()),
        ],
    );
    let mut status = json!({
        "observedGeneration": kcp.number("/metadata/generation"),
        "selector": format!("{CLUSTER_LABEL}={},{CONTROL_PLANE_LABEL}", cluster.name()),
        "replicas": count, "readyReplicas": ready, "availableReplicas": ready, "updatedReplicas": updated,
        "upToDateReplicas": updated, "unavailableReplicas": count - ready,
        "initialized": now.initialized, "ready": available,
        "version": now.machines.iter().map(|m| m.text("/spec/version")).min().unwrap_or_default(),
        "conditions": conditions,
    });
    if now.initialized {
        status["initialization"] = json!({ "controlPlaneInitialized": true });
    }
    plan.status(kcp, &status);
}

fn delete(world: &World, plan: &mut Plan<'_>, cluster: &Object, kcp: &Object, machines: &[&Object]) {
    let workers = world.of_cluster("Machine", cluster).into_iter().find(|m| !m.controlled_by(kcp));
    let message = match (workers, machines.first()) {
        (Some(worker), _) => format!("Waiting for worker Machine {} to be deleted", worker.name()),
        (None, Some(machine)) => {
            machines.iter().for_each(|m| plan.delete(m));
            format!("Waiting for Machine {} to be deleted", machine.name())
        }
        (None, None) => {
            return plan.patch(kcp, &json!({ "metadata": { "finalizers": kcp.finalizers_without(FINALIZER) } }));
        }
    };
    let all = [
        Condition::new("Available", false, "Deleting", message.clone()),
        Condition::new("Ready", false, "Deleting", message),
    ];
    plan.status(kcp, &json!({ "conditions": conditions(kcp, world.now, &all) }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str, hash: &str, healthy: bool, deleting: bool) -> Object {
        let mut m = json!({
            "kind": "Machine",
            "metadata": { "name": name, "annotations": { HASH: hash } },
            "spec": {},
            "status": {
                "nodeRef": { "name": name },
                "conditions": [{ "type": "NodeHealthy", "status": if healthy { "True" } else { "Unknown" } }],
            },
        });
        if deleting {
            m["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Object(m)
    }

    #[test]
    fn a_control_plane_takes_one_step_at_a_time() {
        let new = |n: &str| machine(n, "new", true, false);
        let old = |n: &str| machine(n, "old", true, false);
        let sick = |n: &str| machine(n, "new", false, false);
        let going = |n: &str| machine(n, "new", true, true);
        let none: Vec<Object> = Vec::new();
        let cases = [
            ("the first is made without waiting", 1, 1, false, none, Some(Step::Create)),
            ("the second waits for the first to initialise", 3, 1, false, vec![new("a")], None),
            ("then it is made", 3, 1, true, vec![new("a")], Some(Step::Create)),
            ("but not beside a sick one", 3, 1, true, vec![new("a"), sick("b")], None),
            ("settled", 3, 1, true, vec![new("a"), new("b"), new("c")], Some(Step::Settled)),
            ("sick but complete is settled", 1, 1, true, vec![sick("a")], Some(Step::Settled)),
            ("one that goes is waited for", 1, 1, true, vec![new("a"), going("b")], None),
            ("scaling down takes the oldest", 1, 1, true, vec![new("a"), new("b"), new("c")], Some(Step::Delete(0))),
            ("scaling down takes the sick one first", 1, 1, true, vec![new("a"), sick("b")], Some(Step::Delete(1))),
            ("a rollout adds first", 1, 1, true, vec![old("a")], Some(Step::Create)),
            ("then takes the outdated", 1, 1, true, vec![old("a"), new("b")], Some(Step::Delete(0))),
            ("without surge it takes first", 3, 0, true, vec![old("a"), old("b"), old("c")], Some(Step::Delete(0))),
        ];
        for (what, replicas, surge, initialized, machines, expected) in cases {
            let machines: Vec<_> = machines.iter().collect();
            assert_eq!(step(replicas, surge, initialized, "new", &machines).ok(), expected, "{what}");
        }
    }
}
