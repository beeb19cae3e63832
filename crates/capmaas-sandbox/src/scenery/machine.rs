//! Machine: ties bootstrap data, infrastructure and Node together, and lets go of them in order.

use serde_json::{Value, json};

use super::object::{CLUSTER_LABEL, Condition, Object, Reference, conditions};
use super::world::{Action, Plan, World};
use crate::workload::ClusterKey;

const FINALIZER: &str = "machine.cluster.x-k8s.io";
const UNINITIALIZED_TAINT: &str = "node.cluster.x-k8s.io/uninitialized";

/// A Machine to be made, with what belongs to it.
pub(super) struct Blueprint<'a> {
    pub(super) cluster: &'a Object,
    /// The MachineSet or control plane that will control the Machine.
    pub(super) owner: &'a Object,
    pub(super) name: String,
    pub(super) version: Value,
    pub(super) failure_domain: Value,
    /// The infrastructure template.
    pub(super) template: &'a Object,
    /// Spec of the KubeadmConfig to be made, or the name of bootstrap data made by somebody else.
    pub(super) bootstrap: Bootstrap,
    pub(super) labels: Value,
    pub(super) annotations: Value,
}

/// Where a Machine's bootstrap data comes from.
pub(super) enum Bootstrap {
    /// A KubeadmConfig with this spec is made.
    Config(Value),
    /// A Secret that exists.
    Secret(String),
}

/// Infrastructure object, bootstrap config and Machine, in this order, all under the Machine's name.
pub(super) fn create(plan: &mut Plan<'_>, new: Blueprint<'_>) {
    let (template, owner, namespace) = (new.template, new.owner, new.cluster.namespace());
    let mut labels = new.labels;
    labels[CLUSTER_LABEL] = json!(new.cluster.name());
    let kind = template.kind().trim_end_matches("Template");
    let metadata = |labels: &Value, annotations: &Value, controller| {
        json!({
            "name": new.name, "namespace": namespace, "labels": labels, "annotations": annotations,
            "ownerReferences": [owner.owner_ref(controller)],
        })
    };
    let mut infra_labels = template.at("/spec/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    let mut infra_annotations =
        template.at("/spec/template/metadata/annotations").cloned().unwrap_or_else(|| json!({}));
    overlay(&mut infra_labels, &labels);
    overlay(&mut infra_annotations, &new.annotations);
    infra_annotations["cluster.x-k8s.io/cloned-from-name"] = json!(template.name());
    infra_annotations["cluster.x-k8s.io/cloned-from-groupkind"] =
        json!(format!("{}.{}", template.kind(), template.group()));
    let infra = json!({
        "apiVersion": template.text("/apiVersion"), "kind": kind,
        "metadata": metadata(&infra_labels, &infra_annotations, false),
        "spec": template.at("/spec/template/spec").cloned().unwrap_or_else(|| json!({})),
    });
    let mut spec = json!({
        "clusterName": new.cluster.name(), "version": new.version, "failureDomain": new.failure_domain,
        "infrastructureRef": Object(infra.clone()).reference(), "bootstrap": {},
    });
    strip_nulls(&mut spec);
    plan.create(infra);
    match new.bootstrap {
        Bootstrap::Secret(name) => spec["bootstrap"]["dataSecretName"] = json!(name),
        Bootstrap::Config(config) => {
            let config = json!({
                "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1", "kind": "KubeadmConfig",
                "metadata": metadata(&labels, &json!({}), false), "spec": config,
            });
            spec["bootstrap"]["configRef"] = Object(config.clone()).reference();
            plan.create(config);
        }
    }
    plan.create(json!({
        "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Machine",
        "metadata": metadata(&labels, &new.annotations, true), "spec": spec,
    }));
}

fn overlay(onto: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        onto[key] = value.clone();
    }
}

fn strip_nulls(object: &mut Value) {
    if let Some(map) = object.as_object_mut() {
        map.retain(|_, v| !v.is_null());
    }
}

pub(super) fn sync(world: &World, plan: &mut Plan<'_>, machine: &Object) {
    if world.paused(machine) {
        return;
    }
    let cluster = world.cluster_of(machine);
    let infra = Reference::read(machine.at("/spec/infrastructureRef")).and_then(|r| world.resolve(machine, &r));
    let config = Reference::read(machine.at("/spec/bootstrap/configRef")).and_then(|r| world.resolve(machine, &r));
    if machine.deleting() {
        return delete(world, plan, machine, cluster, infra, config);
    }
    let Some(cluster) = cluster else { return };
    for child in [infra, config].into_iter().flatten().filter(|c| !c.deleting()) {
        let labels = json!({ CLUSTER_LABEL: cluster.name() });
        let owners = child.owners_with(machine, true);
        plan.patch(child, &json!({ "metadata": { "labels": labels, "ownerReferences": owners } }));
    }

    // A machine once provisioned stays so, whatever becomes of its parts.
    let secret = match machine.text("/spec/bootstrap/dataSecretName") {
        "" => config.map_or("", |c| c.text("/status/dataSecretName")),
        known => known,
    };
    let up = infra.is_some_and(|i| i.provisioned() && !i.text("/spec/providerID").is_empty());
    let infra_ready = machine.infrastructure_ready() || (cluster.infrastructure_ready() && up);
    let mut spec = json!({});
    if !secret.is_empty() {
        spec["bootstrap"]["dataSecretName"] = json!(secret);
    }
    let mut status = json!({});
    if let (true, Some(infra)) = (up && infra_ready, infra) {
        spec["providerID"] = json!(infra.text("/spec/providerID"));
        if !infra.text("/spec/failureDomain").is_empty() {
            spec["failureDomain"] = json!(infra.text("/spec/failureDomain"));
        }
        status["addresses"] = infra.at("/status/addresses").cloned().unwrap_or_default();
        status["failureDomain"] = infra.at("/status/failureDomain").cloned().unwrap_or_default();
    }
    let mut metadata = json!({
        "finalizers": machine.finalizers_with(FINALIZER), "labels": { CLUSTER_LABEL: cluster.name() },
    });
    if machine.controller().is_none() {
        metadata["ownerReferences"] = json!(machine.owners_with(cluster, false));
    }
    plan.patch(machine, &json!({ "metadata": metadata, "spec": spec }));

    let node = node(world, plan, machine, cluster);
    if let Tie::Found(node) = &node {
        status["nodeRef"] = json!({ "apiVersion": "v1", "kind": "Node", "name": node.name(), "uid": node.uid() });
        status["nodeInfo"] = node.at("/status/nodeInfo").cloned().unwrap_or_default();
    }
    let bootstrap_ready = !secret.is_empty();
    let parts = [
        bootstrap_condition(config, bootstrap_ready),
        match infra {
            Some(infra) => Condition::mirror("InfrastructureReady", infra, infra_ready),
            None => Condition::new(
                "InfrastructureReady",
                false,
                "DoesNotExist",
                "spec.infrastructureRef names an object that does not exist",
            ),
        },
        node.condition(),
    ];
    let summary = Condition::all("Ready", &parts);
    let mut all = Vec::from(parts);
    all.push(summary);
    let phase = match (
        bootstrap_ready,
        infra_ready,
        machine.at("/status/nodeRef").is_some() || matches!(node, Tie::Found(_)),
    ) {
        (_, true, true) => "Running",
        (_, true, false) => "Provisioned",
        (true, false, _) => "Provisioning",
        (false, false, _) => "Pending",
    };
    status["phase"] = json!(phase);
    status["observedGeneration"] = json!(machine.number("/metadata/generation"));
    status["bootstrapReady"] = json!(bootstrap_ready);
    status["infrastructureReady"] = json!(infra_ready);
    status["conditions"] = conditions(machine, world.now, &all);
    for (key, holds) in [("bootstrapDataSecretCreated", bootstrap_ready), ("infrastructureProvisioned", infra_ready)] {
        if holds {
            status["initialization"][key] = json!(true);
        }
    }
    plan.status(machine, &status);
}

fn bootstrap_condition(config: Option<&Object>, ready: bool) -> Condition {
    match config {
        _ if ready => Condition::new("BootstrapConfigReady", true, "Ready", ""),
        Some(config) => Condition::mirror("BootstrapConfigReady", config, false),
        None => Condition::new(
            "BootstrapConfigReady",
            false,
            "DoesNotExist",
            "spec.bootstrap.configRef names an object that does not exist",
        ),
    }
}

/// What is known about the Node of a Machine.
enum Tie<'a> {
    NotYet(String),
    Several(String),
    Unreachable,
    Found(&'a Object),
}

impl Tie<'_> {
    fn condition(&self) -> Condition {
        let healthy = |holds, reason: &str, message: &str| Condition::new("NodeHealthy", holds, reason, message);
        match self {
            Tie::NotYet(why) => Condition::unknown("NodeHealthy", "InspectionFailed", why.clone()),
            Tie::Several(why) => healthy(false, "SeveralNodes", why),
            Tie::Unreachable => {
                Condition::unknown("NodeHealthy", "ConnectionDown", "No API server of the workload cluster answers")
            }
            Tie::Found(node) => match node.condition("Ready") {
                Some(c) if c["status"] == "True" => healthy(true, "NodeHealthy", ""),
                Some(c) if c["status"] == "False" => healthy(
                    false,
                    "NodeNotHealthy",
                    &format!("Node {} is not ready: {}", node.name(), c["message"].as_str().unwrap_or_default()),
                ),
                _ => Condition::unknown(
                    "NodeHealthy",
                    "NodeHealthyUnknown",
                    format!("Node {} does not report", node.name()),
                ),
            },
        }
    }
}

/// The Node with exactly the Machine's providerID; marks it as ours and lifts the kubeadm provider's taint.
fn node<'a>(world: &'a World, plan: &mut Plan<'_>, machine: &Object, cluster: &Object) -> Tie<'a> {
    let id = machine.text("/spec/providerID");
    if id.is_empty() || !cluster.control_plane_initialized() {
        return Tie::NotYet("Waiting for the machine to be provisioned and the control plane to be initialised".into());
    }
    let Some(view) = world.workload(cluster) else {
        return Tie::Unreachable;
    };
    let found: Vec<_> = view.nodes.iter().filter(|n| n.text("/spec/providerID") == id).collect();
    match found[..] {
        [] => Tie::NotYet(format!("Waiting for a Node with spec.providerID {id} to exist")),
        [node] => {
            let taints = node.at("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
            let kept: Vec<_> = taints.iter().filter(|t| t["key"] != UNINITIALIZED_TAINT).cloned().collect();
            let mut wanted = json!({ "metadata": { "annotations": {
                "cluster.x-k8s.io/cluster-name": cluster.name(),
                "cluster.x-k8s.io/cluster-namespace": cluster.namespace(),
                "cluster.x-k8s.io/machine": machine.name(),
            } } });
            if kept.len() != taints.len() {
                wanted["spec"]["taints"] = json!(kept);
            }
            if let Some(body) = super::object::merge_diff(Some(&node.0), &wanted) {
                let cluster = ClusterKey::new(cluster.namespace(), cluster.name());
                plan.actions.push(Action::PatchNode { cluster, name: node.name().into(), body });
            }
            Tie::Found(node)
        }
        _ => Tie::Several(format!("{} Nodes have spec.providerID {id}", found.len())),
    }
}

/// Hooks, cordon, infrastructure, bootstrap config, Node, finalizer.
fn delete(
    world: &World,
    plan: &mut Plan<'_>,
    machine: &Object,
    cluster: Option<&Object>,
    infra: Option<&Object>,
    config: Option<&Object>,
) {
    let wait = |plan: &mut Plan<'_>, reason: &str, message: String| {
        let all = [
            Condition::new("Deleting", true, reason, message.clone()),
            Condition::new("Ready", false, "Deleting", message),
        ];
        plan.status(machine, &json!({ "phase": "Deleting", "conditions": conditions(machine, world.now, &all) }));
    };
    let key = ClusterKey::new(machine.namespace(), machine.cluster_name());
    let node = machine.text("/status/nodeRef/name");
    let view = cluster.and_then(|c| world.workload(c));
    let node = view.and_then(|v| v.nodes.iter().find(|n| !node.is_empty() && n.name() == node));
    if let Some(hook) = machine.hook("pre-drain.delete.hook.machine.cluster.x-k8s.io") {
        return wait(plan, "WaitingForPreDrainHook", format!("Waiting for annotation {hook} to be removed"));
    }
    if let Some(node) = node.filter(|n| !n.flag("/spec/unschedulable") && infra.is_some_and(|i| !i.deleting())) {
        let body = json!({ "spec": { "unschedulable": true } });
        plan.actions.push(Action::PatchNode { cluster: key.clone(), name: node.name().into(), body });
    }
    if let Some(hook) = machine.hook("pre-terminate.delete.hook.machine.cluster.x-k8s.io") {
        return wait(plan, "WaitingForPreTerminateHook", format!("Waiting for annotation {hook} to be removed"));
    }
    if let Some(child) = infra.or(config) {
        plan.delete(child);
        let reason = if infra.is_some() { "WaitingForInfrastructureDeletion" } else { "WaitingForBootstrapDeletion" };
        return wait(plan, reason, format!("Waiting for {} {} to be deleted", child.kind(), child.name()));
    }
    // With the cluster or its control plane on the way out, the Nodes go down with their API.
    let going = cluster.is_none_or(Object::deleting)
        || machine.controller().is_some_and(|o| {
            let name = o["name"].as_str().unwrap_or_default();
            world
                .get("KubeadmControlPlane", machine.namespace(), name)
                .is_some_and(|kcp| o["kind"] == kcp.kind() && kcp.deleting())
        });
    if let (Some(node), false) = (node, going) {
        plan.actions.push(Action::DeleteNode { cluster: key, name: node.name().into() });
    }
    plan.patch(machine, &json!({ "metadata": { "finalizers": machine.finalizers_without(FINALIZER) } }));
}
