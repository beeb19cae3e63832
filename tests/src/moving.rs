//! `clusterctl move`, as far as providers notice: pause, wait for those that block it, make everything anew in the target (other uids, no
//! status), take it away in the source under the annotation that says so, unpause.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use kube_sim::KubeSim;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::{Hand, resource};

const BLOCK: &str = "/metadata/annotations/clusterctl.cluster.x-k8s.io~1block-move";

/// True when an object says that it must not be moved yet.
pub fn blocks(object: &Value) -> bool {
    object.pointer(BLOCK).is_some()
}

/// A hand at the cluster that things are moved to.
///
/// # Panics
/// When the story has none.
pub fn target(stage: &Stage) -> Hand<'_> {
    Hand::at(&stage.play, stage.target.as_ref().expect("a story that moves has a target"))
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let all = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|owner| owner["uid"].as_str())
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// What clusterctl moves, owners first.
fn movable(kube: &KubeSim) -> Vec<Value> {
    let ours = |o: &Value| {
        let group = o["apiVersion"].as_str().unwrap_or_default();
        o["metadata"]["namespace"] == "default" && (group.contains("cluster.x-k8s.io/") || o["kind"] == "Secret")
    };
    let mut left: Vec<_> = kube.dump().into_iter().filter(ours).collect();
    let mut sorted = Vec::new();
    while !left.is_empty() {
        let (later, now): (Vec<_>, Vec<_>) =
            left.iter().cloned().partition(|o| owners(o).any(|owner| left.iter().any(|other| uid(other) == owner)));
        assert!(!now.is_empty(), "owners in a circle: {later:#?}");
        sorted.extend(now);
        left = later;
    }
    sorted
}

/// Moves all objects of namespace `default`.
///
/// # Panics
/// When an object can't be moved.
pub async fn move_all(stage: &Stage, hand: &Hand<'_>) {
    let (source, clock) = (&stage.play.sandbox.kube, stage.play.sandbox.clock);
    let target = &stage.target.as_ref().expect("a story that moves has a target").kube;
    hand.merge("Cluster", "my-cluster", json!({ "spec": { "paused": true } })).await.expect("pause");
    hand.until("nothing blocks the move", || async {
        for kind in ["MaasCluster", "MaasMachine", "MaasMachineTemplate"] {
            if hand.list(kind).await.iter().any(blocks) {
                return None;
            }
        }
        Some(())
    })
    .await;
    stage.retire_core();
    let all = movable(source);
    let mut uids = BTreeMap::new();
    for object in &all {
        let mut new = object.clone();
        new.as_object_mut().expect("an object").remove("status");
        for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
            new["metadata"].as_object_mut().expect("an object").remove(field);
        }
        for owner in new["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
            let old = owner["uid"].as_str().unwrap_or_default();
            owner["uid"] = json!(uids.get(old).unwrap_or_else(|| panic!("no owner {owner} of {object:#}")));
        }
        let made = target.apply(new).unwrap_or_else(|e| panic!("{e:?}: {object:#}"));
        uids.insert(uid(object), uid(&made));
        clock.sleep(Duration::from_millis(100)).await;
    }
    for object in all.iter().rev() {
        take_away(source, object);
        clock.sleep(Duration::from_millis(100)).await;
    }
    let there = Hand::at(&stage.play, stage.target.as_ref().expect("it is there"));
    there.merge("Cluster", "my-cluster", json!({ "spec": { "paused": false } })).await.expect("unpause");
}

fn take_away(source: &KubeSim, object: &Value) {
    let kind = object["kind"].as_str().unwrap_or_default();
    let of = resource(kind);
    let root = if of.group.is_empty() { format!("/api/{}", of.version) } else { format!("/apis/{}", of.api_version) };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let path = format!("{root}/namespaces/default/{}/{name}", of.plural);
    let mark = json!({ "metadata": { "annotations": { "clusterctl.cluster.x-k8s.io/delete-for-move": "" } } });
    let let_go = json!({ "metadata": { "finalizers": null } });
    for (method, body) in [(Method::PATCH, Some(&mark)), (Method::PATCH, Some(&let_go)), (Method::DELETE, None)] {
        let (code, answer) = source.request(method, &path, body);
        // What its owner took along is gone already.
        assert!(code == 200 || code == 404, "{path}: {code} {answer}");
    }
}
