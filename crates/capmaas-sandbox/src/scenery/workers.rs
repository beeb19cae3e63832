//! MachineSet (as many Machines as asked for) and MachineDeployment (rolls from one template to the next).

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cluster::{refusal, refuse};
use super::machine::{self, Blueprint, Bootstrap};
use super::object::{CLUSTER_LABEL, Condition, Object, Reference, conditions};
use super::world::{Plan, World};

const SET_FINALIZER: &str = "cluster.x-k8s.io/machineset";
const DEPLOYMENT_FINALIZER: &str = "cluster.x-k8s.io/machinedeployment";
const DEPLOYMENT_LABEL: &str = "cluster.x-k8s.io/deployment-name";
const SET_LABEL: &str = "cluster.x-k8s.io/set-name";
const HASH_LABEL: &str = "machine-template-hash";
/// Annotation with which a user picks the Machine that goes first.
pub(super) const DELETE_ANNOTATION: &str = "cluster.x-k8s.io/delete-machine";

/// Ten hexadecimal digits that differ when what a rollout looks at differs.
pub(super) fn template_hash(of: &Value) -> String {
    let digest = Sha256::digest(of.to_string());
    digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// The part of a machine template whose change replaces machines: references by name, not by content.
fn rollout_part(template: &Object) -> Value {
    let reference = |pointer: &str| Reference::read(template.at(pointer)).map(|r| json!([r.kind, r.name]));
    json!({
        "version": template.text("/spec/version"),
        "failureDomain": template.text("/spec/failureDomain"),
        "infrastructure": reference("/spec/infrastructureRef"),
        "bootstrap": reference("/spec/bootstrap/configRef"),
        "data": template.text("/spec/bootstrap/dataSecretName"),
    })
}

/// Makes the Cluster an owner of the templates named here, so that they go when it goes.
pub(super) fn own_templates(world: &World, plan: &mut Plan<'_>, cluster: &Object, from: &Object, places: &[&str]) {
    for place in places {
        let template = Reference::read(from.at(place)).and_then(|r| world.resolve(from, &r));
        if let Some(template) = template.filter(|t| !t.deleting()) {
            let labels = json!({ CLUSTER_LABEL: cluster.name() });
            let owners = template.owners_with(cluster, false);
            plan.patch(template, &json!({ "metadata": { "labels": labels, "ownerReferences": owners } }));
        }
    }
}

const TEMPLATE_PLACES: [&str; 2] = ["/spec/template/spec/infrastructureRef", "/spec/template/spec/bootstrap/configRef"];

pub(super) fn sync_set(world: &World, plan: &mut Plan<'_>, set: &Object) {
    let Some(cluster) = world.cluster_of(set).filter(|_| !world.paused(set)) else {
        return;
    };
    let machines = world.machines_of(set);
    if set.deleting() {
        machines.iter().for_each(|m| plan.delete(m));
        if machines.is_empty() {
            plan.patch(set, &json!({ "metadata": { "finalizers": set.finalizers_without(SET_FINALIZER) } }));
        }
        return;
    }
    let mut metadata =
        json!({ "finalizers": set.finalizers_with(SET_FINALIZER), "labels": { CLUSTER_LABEL: cluster.name() } });
    if set.controller().is_none() {
        metadata["ownerReferences"] = json!(set.owners_with(cluster, false));
    }
    plan.patch(set, &json!({ "metadata": metadata }));
    own_templates(world, plan, cluster, set, &TEMPLATE_PLACES);

    let wanted = usize::try_from(set.number("/spec/replicas").unwrap_or(1)).unwrap_or(0);
    let mut alive: Vec<_> = machines.iter().copied().filter(|m| !m.deleting()).collect();
    let mut trouble = None;
    if alive.len() < wanted {
        for _ in alive.len()..wanted {
            match blueprint(world, plan, cluster, set) {
                Ok(new) => machine::create(plan, new),
                Err(why) => trouble = Some(why),
            }
        }
    } else {
        // chosen by the user, then those without a Node, then the youngest
        alive.sort_by_key(|m| {
            (m.annotation(DELETE_ANNOTATION).is_some(), m.at("/status/nodeRef").is_none(), m.age_key())
        });
        alive.iter().rev().take(alive.len() - wanted).for_each(|m| plan.delete(m));
    }

    let ready = machines.iter().filter(|m| !m.deleting() && m.is_true("Ready")).count();
    let all_there = machines.len() == wanted;
    let created = match &trouble {
        None => Condition::new("MachinesCreated", true, "Created", ""),
        Some(why) => Condition::new("MachinesCreated", false, "TemplateMissing", why.clone()),
    };
    let ready_condition = Condition::new(
        "MachinesReady",
        ready == wanted && all_there,
        if ready == wanted { "Ready" } else { "NotReady" },
        "",
    );
    let summary = Condition::new(
        "Ready",
        trouble.is_none() && ready == wanted,
        if ready == wanted { "Ready" } else { "NotReady" },
        trouble.unwrap_or_default(),
    );
    plan.status(
        set,
        &json!({
            "observedGeneration": set.number("/metadata/generation"),
            "selector": format!("{CLUSTER_LABEL}={},{SET_LABEL}={}", cluster.name(), set.name()),
            "replicas": machines.len(), "fullyLabeledReplicas": machines.len(),
            "readyReplicas": ready, "availableReplicas": ready,
            "conditions": conditions(set, world.now, &[created, ready_condition, summary]),
        }),
    );
}

fn blueprint<'a>(
    world: &'a World,
    plan: &mut Plan<'_>,
    cluster: &'a Object,
    set: &'a Object,
) -> Result<Blueprint<'a>, String> {
    let template = |place: &str| {
        let reference = Reference::read(set.at(place)).ok_or_else(|| format!("{place} is not set"))?;
        let found = world.resolve(set, &reference);
        found.ok_or_else(|| format!("{} {} does not exist", reference.kind, reference.name))
    };
    let bootstrap = match set.text("/spec/template/spec/bootstrap/dataSecretName") {
        "" => Bootstrap::Config(
            template(TEMPLATE_PLACES[1])?.at("/spec/template/spec").cloned().unwrap_or_else(|| json!({})),
        ),
        secret => Bootstrap::Secret(secret.to_owned()),
    };
    let mut labels = set.at("/spec/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    labels[SET_LABEL] = json!(set.name());
    for key in [DEPLOYMENT_LABEL, HASH_LABEL] {
        if let Some(value) = set.label(key) {
            labels[key] = json!(value);
        }
    }
    Ok(Blueprint {
        cluster,
        owner: set,
        template: template(TEMPLATE_PLACES[0])?,
        name: plan.name(set.name()),
        version: set.at("/spec/template/spec/version").cloned().unwrap_or_default(),
        failure_domain: set.at("/spec/template/spec/failureDomain").cloned().unwrap_or_default(),
        bootstrap,
        labels,
        annotations: set.at("/spec/template/metadata/annotations").cloned().unwrap_or_else(|| json!({})),
    })
}

/// One MachineSet as the rolling update sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetSize {
    /// Wanted size.
    pub(super) spec: i64,
    /// Machines that exist, those going included.
    pub(super) exist: i64,
    /// Machines with a healthy Node.
    pub(super) available: i64,
}

/// The next sizes of the new set and of the old ones (oldest first): never more than `desired + surge` machines, never
/// fewer than `desired - unavailable` healthy ones by our doing.
pub(super) fn roll(desired: i64, surge: i64, unavailable: i64, new: SetSize, old: &[SetSize]) -> (i64, Vec<i64>) {
    let old_wanted: i64 = old.iter().map(|s| s.spec).sum();
    // machines that are still going occupy hardware: a surge of one means one box more, not two
    let old_exist: i64 = old.iter().map(|s| s.exist.max(s.spec)).sum();
    let room = desired + surge - old_exist - new.exist.max(new.spec);
    let new_spec = if new.spec > desired { desired } else { new.spec + room.clamp(0, desired - new.spec) };
    if old_wanted == 0 {
        return (if new.spec < desired { new_spec } else { desired }, vec![0; old.len()]);
    }
    let least = desired - unavailable;
    let most = new.spec + old_wanted - least - (new.spec - new.available).max(0);
    let healthy: i64 = new.available.min(new.spec) + old.iter().map(|s| s.available.min(s.spec)).sum::<i64>();
    let broken: i64 = old.iter().map(|s| (s.spec - s.available).max(0)).sum();
    let mut go = (broken.min(most) + (healthy - least).max(0)).clamp(0, most.max(0));
    let mut sizes = Vec::with_capacity(old.len());
    for set in old {
        let cut = go.min(set.spec);
        go -= cut;
        sizes.push(set.spec - cut);
    }
    (new_spec, sizes)
}

/// `maxSurge` or `maxUnavailable`: a number or a percentage of `desired`.
fn share(value: Option<&Value>, desired: i64, default: i64, round_up: bool) -> i64 {
    match value {
        Some(Value::Number(n)) => n.as_i64().unwrap_or(default),
        Some(Value::String(text)) => match text.trim_end_matches('%').parse::<i64>() {
            Ok(percent) if text.ends_with('%') && round_up => (desired * percent + 99) / 100,
            Ok(percent) if text.ends_with('%') => desired * percent / 100,
            Ok(count) => count,
            Err(_) => default,
        },
        _ => default,
    }
}

pub(super) fn sync_deployment(world: &World, plan: &mut Plan<'_>, deployment: &Object) {
    let Some(cluster) = world.cluster_of(deployment).filter(|_| !world.paused(deployment)) else {
        return;
    };
    let mut sets: Vec<_> = world.list("MachineSet").filter(|s| s.controlled_by(deployment)).collect();
    sets.sort_by_key(|s| s.age_key());
    if deployment.deleting() {
        sets.iter().for_each(|s| plan.delete(s));
        if sets.is_empty() {
            let finalizers = deployment.finalizers_without(DEPLOYMENT_FINALIZER);
            plan.patch(deployment, &json!({ "metadata": { "finalizers": finalizers } }));
        }
        return;
    }
    if let Some(why) = refusal(deployment) {
        return refuse(world, plan, deployment, why);
    }
    plan.patch(
        deployment,
        &json!({ "metadata": {
        "finalizers": deployment.finalizers_with(DEPLOYMENT_FINALIZER),
        "labels": { CLUSTER_LABEL: cluster.name() },
        "ownerReferences": deployment.owners_with(cluster, false),
    } }),
    );
    own_templates(world, plan, cluster, deployment, &TEMPLATE_PLACES);

    let desired = deployment.number("/spec/replicas").unwrap_or(1);
    let template = Object(deployment.at("/spec/template").cloned().unwrap_or_default());
    let hash = template_hash(&rollout_part(&template));
    let (new, old): (Vec<&Object>, Vec<&Object>) =
        sets.iter().filter(|s| !s.deleting()).partition(|s| s.label(HASH_LABEL) == Some(&hash));
    let setting = |key: &str| {
        let places =
            [format!("/spec/strategy/rollingUpdate/{key}"), format!("/spec/rollout/strategy/rollingUpdate/{key}")];
        places.iter().find_map(|p| deployment.at(p))
    };
    let unavailable = share(setting("maxUnavailable"), desired, 0, false);
    let surge = share(setting("maxSurge"), desired, 1, true);
    // both 0 could never move
    let surge = if surge == 0 && unavailable == 0 { 1 } else { surge };
    let size = |s: &Object| SetSize {
        spec: s.number("/spec/replicas").unwrap_or(1),
        exist: i64::try_from(world.machines_of(s).len()).unwrap_or(i64::MAX),
        available: s.number("/status/availableReplicas").unwrap_or(0),
    };
    let old_sizes: Vec<_> = old.iter().map(|s| size(s)).collect();
    let none = SetSize { spec: 0, exist: 0, available: 0 };
    let (new_spec, old_specs) = roll(desired, surge, unavailable, new.first().map_or(none, |s| size(s)), &old_sizes);
    match new.first() {
        Some(set) => {
            // labels and annotations reach a set in place; what a rollout looks at is equal by its hash
            let metadata = deployment.at("/spec/template/metadata").cloned().unwrap_or_default();
            plan.patch(set, &json!({ "spec": { "replicas": new_spec, "template": { "metadata": metadata } } }));
        }
        None => {
            let revisions = sets.iter().filter_map(|s| s.annotation(REVISION)?.parse::<u64>().ok());
            let revision = revisions.max().unwrap_or(0) + 1;
            plan.create(new_set(cluster, deployment, &template, &hash, new_spec, revision));
        }
    }
    for (set, (wanted, size)) in old.iter().zip(old_specs.into_iter().zip(&old_sizes)) {
        if wanted == 0 && size.spec == 0 && size.exist == 0 {
            plan.delete(set);
        } else {
            plan.patch(set, &json!({ "spec": { "replicas": wanted } }));
        }
    }
    deployment_status(world, plan, cluster, deployment, &sets, new.first().copied(), desired, unavailable);
}

const REVISION: &str = "machinedeployment.clusters.x-k8s.io/revision";

fn new_set(
    cluster: &Object,
    deployment: &Object,
    template: &Object,
    hash: &str,
    replicas: i64,
    revision: u64,
) -> Value {
    let labels = json!({ CLUSTER_LABEL: cluster.name(), DEPLOYMENT_LABEL: deployment.name(), HASH_LABEL: hash });
    json!({
        "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "MachineSet",
        "metadata": {
            "name": format!("{}-{hash}", deployment.name()), "namespace": deployment.namespace(), "labels": labels,
            "annotations": { REVISION: revision.to_string() },
            "ownerReferences": [deployment.owner_ref(true)],
        },
        "spec": {
            "clusterName": cluster.name(), "replicas": replicas,
            "selector": { "matchLabels": labels }, "template": template.0,
        },
    })
}

#[expect(clippy::too_many_arguments, reason = "what the status says, gathered by the one caller")]
fn deployment_status(
    world: &World,
    plan: &mut Plan<'_>,
    cluster: &Object,
    deployment: &Object,
    sets: &[&Object],
    new: Option<&Object>,
    desired: i64,
    unavailable: i64,
) {
    let count = |key: &str| -> i64 { sets.iter().filter_map(|s| s.number(&format!("/status/{key}"))).sum() };
    let (replicas, ready, available) = (count("replicas"), count("readyReplicas"), count("availableReplicas"));
    let updated = new.and_then(|s| s.number("/status/replicas")).unwrap_or(0);
    let enough = available >= desired - unavailable;
    let rolling =
        sets.iter().any(|s| Some(s.name()) != new.map(Object::name) && s.number("/status/replicas") != Some(0));
    let phase = match () {
        () if replicas < desired => "ScalingUp",
        () if replicas > desired => "ScalingDown",
        () if ready < desired => "ScalingUp",
        () => "Running",
    };
    let trouble = new.and_then(|s| s.condition("MachinesCreated")).filter(|c| c["status"] == "False");
    let why = match trouble {
        Some(c) => c["message"].as_str().unwrap_or_default().to_owned(),
        None if enough => String::new(),
        None => "Waiting for Machines to be ready".into(),
    };
    let all = [
        Condition::new("Available", enough, if enough { "Available" } else { "NotAvailable" }, why.clone()),
        Condition::new("RollingOut", rolling, if rolling { "RollingOut" } else { "NotRollingOut" }, ""),
        Condition::new("Ready", enough && !rolling, if enough { "Ready" } else { "NotReady" }, why),
    ];
    plan.status(deployment, &json!({
        "observedGeneration": deployment.number("/metadata/generation"),
        "selector": format!("{CLUSTER_LABEL}={},{DEPLOYMENT_LABEL}={}", cluster.name(), deployment.name()),
        "replicas": replicas, "readyReplicas": ready, "availableReplicas": available,
        "updatedReplicas": updated, "upToDateReplicas": updated, "unavailableReplicas": (desired - available).max(0),
        "phase": phase,
        "conditions": conditions(deployment, world.now, &all),
    }));
}

#[cfg(test)]
mod tests;
