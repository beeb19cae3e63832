//! The Node object: what kubelet and node controller show of a machine.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::Kubeadm;
use crate::scenery::object::rfc3339;

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// Whether the Node's kubelet reports that it is ready.
pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// Whether a Node was registered by that machine.
pub(super) fn is_on(node: &Node, system_id: &str) -> bool {
    let info = node.status.as_ref().and_then(|s| s.node_info.as_ref());
    info.is_some_and(|info| info.machine_id == system_id)
}

/// The conditions that a kubelet reports, or that the node controller sets when it hears nothing from one.
pub fn node_conditions(alive: bool, now: Timestamp) -> Value {
    let one = |kind: &str, good: &str, reason: &str, message: &str| {
        let (status, reason, message) = if alive {
            (good, reason, message)
        } else {
            ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        };
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": rfc3339(now), "lastHeartbeatTime": rfc3339(now),
        })
    };
    json!([
        one("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        one("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        one("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        one("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ])
}

/// The Node that kubeadm and kubelet make of the machine `id` (MAAS's system_id), with its status.
pub fn node(id: &str, addresses: &[IpAddr], command: &Kubeadm, version: &str, now: Timestamp) -> Value {
    let registration = command.registration();
    let mut labels = json!({
        "kubernetes.io/hostname": registration.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
    });
    for (key, value) in &registration.labels {
        labels[key] = json!(value);
    }
    let mut taints: Vec<Value> = Vec::new();
    match &registration.taints {
        Some(given) => taints
            .extend(given.iter().map(|(key, value, effect)| json!({ "key": key, "value": value, "effect": effect }))),
        None if command.is_control_plane() => taints.push(json!({ "key": CONTROL_PLANE, "effect": "NoSchedule" })),
        None => {}
    }
    if command.is_control_plane() {
        labels[CONTROL_PLANE] = json!("");
    }
    let mut spec = json!({});
    if !taints.is_empty() {
        spec["taints"] = json!(taints);
    }
    if let Some(provider_id) = &registration.provider_id {
        spec["providerID"] = json!(provider_id);
    }
    let mut all: Vec<Value> = addresses.iter().map(|ip| json!({ "type": "InternalIP", "address": ip })).collect();
    all.push(json!({ "type": "Hostname", "address": registration.name }));
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": registration.name, "labels": labels },
        "spec": spec,
        "status": {
            "addresses": all,
            "conditions": node_conditions(true, now),
            "nodeInfo": {
                "kubeletVersion": version, "kubeProxyVersion": version, "osImage": "Ubuntu", "architecture": "amd64",
                "operatingSystem": "linux", "kernelVersion": "6.8.0-simulated", "containerRuntimeVersion": "containerd://1.7.0",
                "machineID": id, "systemUUID": id, "bootID": id,
            },
        },
    })
}
