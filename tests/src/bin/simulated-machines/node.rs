//! What a workload cluster shows of a machine: its Node and its static Pods.

use std::net::IpAddr;

use anyhow::{Context, Result};
use capmaas_sandbox::nodes::{Kubeadm, node_conditions};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Static Pods of a control-plane machine.
const COMPONENTS: [&str; 4] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"];

/// Creates an object unless it is there.
async fn ensure<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let object: K = serde_json::from_value(object).context("an object of ours")?;
    match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// What `kubeadm init` leaves in the cluster for those who join: its configuration, and whom to trust.
pub(crate) async fn found(client: &Client, endpoint: &str, configuration: &str, authority: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in ["kube-system", "kube-public"] {
        ensure(&namespaces, json!({"metadata": {"name": name}})).await?;
    }
    let map = json!({"metadata": {"name": "kubeadm-config"}, "data": {"ClusterConfiguration": configuration}});
    ensure::<ConfigMap>(&Api::namespaced(client.clone(), "kube-system"), map).await?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "", "cluster": {
            "server": format!("https://{endpoint}"),
            "certificate-authority-data": base64(authority),
        }}],
    });
    let info = json!({"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": kubeconfig.to_string()}});
    ensure::<ConfigMap>(&Api::namespaced(client.clone(), "kube-public"), info).await?;
    let role = json!({
        "metadata": {"name": "kubeadm:bootstrap-signer-clusterinfo"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}],
    });
    ensure::<Role>(&Api::namespaced(client.clone(), "kube-public"), role).await?;
    let binding = json!({
        "metadata": {"name": "kubeadm:bootstrap-signer-clusterinfo"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "kubeadm:bootstrap-signer-clusterinfo"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:anonymous"}],
    });
    ensure::<RoleBinding>(&Api::namespaced(client.clone(), "kube-public"), binding).await
}

pub(crate) fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The Kubernetes version that kubeadm's ConfigMap names, which is that of machines which join.
pub(crate) async fn version(client: &Client) -> Result<String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let map = maps.get("kubeadm-config").await.context("ConfigMap kube-system/kubeadm-config")?;
    let configuration = map.data.unwrap_or_default().remove("ClusterConfiguration").unwrap_or_default();
    let line = configuration.lines().find_map(|line| line.trim().strip_prefix("kubernetesVersion:"));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// Registers the Node of a machine, as its kubelet does, and shows its static Pods.
pub(crate) async fn register(
    client: &Client,
    system_id: &str,
    address: IpAddr,
    command: &Kubeadm,
    version: &str,
    now: Timestamp,
) -> Result<()> {
    let mut body = capmaas_sandbox::nodes::node(system_id, &[address], command, version, now);
    body["status"]["daemonEndpoints"] = json!({"kubeletEndpoint": {"Port": 10250}});
    let name = command.registration().name.clone();
    let nodes: Api<Node> = Api::all(client.clone());
    ensure(&nodes, body.clone()).await.with_context(|| format!("Node {name}"))?;
    let status = json!({"status": body["status"]});
    nodes.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    if !command.is_control_plane() {
        return Ok(());
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    for component in COMPONENTS {
        let pod = format!("{component}-{name}");
        let object = json!({
            "metadata": {
                "name": pod, "labels": {"component": component, "tier": "control-plane"},
                "annotations": {"kubernetes.io/config.mirror": "simulated", "kubernetes.io/config.source": "file"},
            },
            "spec": {
                "nodeName": name, "hostNetwork": true, "priorityClassName": "system-node-critical",
                "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
                "containers": [{"name": component, "image": format!("registry.k8s.io/{component}:{version}")}],
            },
        });
        ensure(&pods, object).await.with_context(|| format!("Pod {pod}"))?;
        let status = json!({"status": {"phase": "Running", "podIP": address, "conditions": [{"type": "Ready", "status": "True"}]}});
        pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(&status)).await?;
    }
    Ok(())
}

/// Writes what the kubelet (`alive`) or else the node controller says about a Node. One that was deleted stays away.
pub(crate) async fn report(client: &Client, name: &str, alive: bool, now: Timestamp) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let body = json!({"status": {"conditions": node_conditions(alive, now)}});
    match nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(&body)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Static Pods go with their machine's disk.
pub(crate) async fn forget_pods(client: &Client, name: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let of_node = ListParams::default().fields(&format!("spec.nodeName={name}"));
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    Ok(pods.delete_collection(&now, &of_node).await.map(drop)?)
}
