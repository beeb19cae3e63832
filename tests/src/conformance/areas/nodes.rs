//! Nodes, which we tie to machines.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::Failure;
use crate::conformance::session::{Outcome, Session};

cases! {
    "a Node is created with its status" => created,
    "a new Node is tainted until it is ready" => tainted,
    "providerID of a Node is set once" => provider_id,
    "labels of a Node are merged" => labels,
    "status of a Node is patched by itself" => status,
    "taints of a Node are replaced by a merge patch" => taints,
    "a Node is cordoned" => cordoned,
    "Nodes have a Table of their own" => table,
    "a Node with an invalid name is refused" => bad_name,
}

fn node(s: &Session) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": s.token, "labels": {"kubernetes.io/hostname": "node1"}},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "node1"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {"kubeletVersion": "v1.33.0"}}})
}

async fn make(s: &mut Session) -> Result<String, Failure> {
    let node = node(s);
    let path = format!("/api/v1/nodes/{}", s.token);
    s.sweep_later(&path);
    s.post("/api/v1/nodes", &node).pick(&["/metadata", "/status/addresses", "/status/conditions"]).await?;
    Ok(path)
}

async fn created(s: &mut Session) -> Outcome {
    let path = make(s).await?;
    s.get(&path)
        .pick(&["/metadata", "/status/addresses", "/status/conditions", "/status/nodeInfo/kubeletVersion"])
        .await?;
    Ok(())
}

async fn tainted(s: &mut Session) -> Outcome {
    let path = make(s).await?;
    s.get(&path).pick(&["/spec"]).await?;
    Ok(())
}

async fn provider_id(s: &mut Session) -> Outcome {
    let path = make(s).await?;
    for id in ["maas:///default/abc", "maas:///default/abc", "maas:///default/xyz", ""] {
        s.merge(&path, &json!({"spec": {"providerID": id}}))
            .pick(&["/spec/providerID", "/code", "/reason", "/message"])
            .await?;
    }
    s.merge(&path, &json!({"spec": {"providerID": null}})).pick(&["/spec/providerID", "/code"]).await?;
    Ok(())
}

async fn labels(s: &mut Session) -> Outcome {
    let path = make(s).await?;
    let patch = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "default"}}});
    s.merge(&path, &patch).pick(&["/metadata/labels"]).await?;
    s.strategic(&path, &json!({"metadata": {"labels": {"node.cluster.x-k8s.io/a": "b"}}}))
        .pick(&["/metadata/labels"])
        .await?;
    Ok(())
}

async fn status(s: &mut Session) -> Outcome {
    let path = make(s).await?;
    let patch = json!({"spec": {"providerID": "maas:///a/b"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    s.merge(&format!("{path}/status"), &patch).pick(&["/spec/providerID", "/status/conditions"]).await?;
    s.merge(&path, &json!({"status": {"conditions": []}})).pick(&["/status/conditions"]).await?;
    Ok(())
}

async fn taints(s: &mut Session) -> Outcome {
    let path = make(s).await?;
    let taint = |key: &str| json!({"key": key, "value": "x", "effect": "NoSchedule"});
    s.merge(&path, &json!({"spec": {"taints": [taint("a"), taint("b")]}})).pick(&["/spec/taints"]).await?;
    s.merge(&path, &json!({"spec": {"taints": [taint("b")]}})).pick(&["/spec/taints"]).await?;
    let bad = json!({"spec": {"taints": [{"key": "a", "effect": "Sometimes"}]}});
    s.merge(&path, &bad).pick(&["/code", "/reason"]).await?;
    s.merge(&path, &json!({"spec": {"taints": null}})).pick(&["/spec/taints"]).await?;
    Ok(())
}

async fn cordoned(s: &mut Session) -> Outcome {
    let path = make(s).await?;
    s.strategic(&path, &json!({"spec": {"unschedulable": true}})).pick(&["/spec/unschedulable"]).await?;
    let name = s.token.clone();
    let listed = format!("/api/v1/nodes?fieldSelector=spec.unschedulable%3Dtrue,metadata.name%3D{name}");
    s.get(&listed).only(crate::conformance::session::names).await?;
    s.strategic(&path, &json!({"spec": {"unschedulable": null}})).pick(&["/spec/unschedulable"]).await?;
    Ok(())
}

async fn table(s: &mut Session) -> Outcome {
    let path = make(s).await?;
    s.merge(
        &path,
        &json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "x"}}}),
    )
    .quiet()
    .await?;
    let printed = |table: &Value| {
        let columns = table["columnDefinitions"].as_array().into_iter().flatten();
        let columns: Vec<Value> = columns.map(|c| json!([c["name"], c["type"], c["priority"]])).collect();
        json!({"columns": columns, "cells": table["rows"][0]["cells"]})
    };
    s.get(&path).table().only(printed).await?;
    Ok(())
}

async fn bad_name(s: &mut Session) -> Outcome {
    let mut node = node(s);
    node["metadata"]["name"] = json!("Node_1");
    s.post("/api/v1/nodes", &node).await?;
    Ok(())
}
