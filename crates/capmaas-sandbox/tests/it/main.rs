//! The scenery and the simulated machines on a kube-sim, with a player in place of the provider.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab;
mod machines;

use std::collections::BTreeSet;

use capmaas_provider_maas::Clock;
use kube_sim::KubeSim;
use maas_sim::Happening;
use serde_json::{Value, json};

use self::lab::Lab;

pub(crate) fn new_sim(clock: Clock) -> KubeSim {
    KubeSim::new(kube_sim::Config::new(std::sync::Arc::new(move || clock.now()), 7))
}

fn names(list: &[Value]) -> BTreeSet<String> {
    list.iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn is_true(object: &Value, condition: &str) -> bool {
    let all = object["status"]["conditions"].as_array();
    all.is_some_and(|c| c.iter().any(|c| c["type"] == condition && c["status"] == "True"))
}

async fn running(lab: &Lab, machines: usize) -> bool {
    let list = lab.list("Machine").await;
    list.len() == machines && list.iter().all(|m| m["status"]["phase"] == "Running" && is_true(m, "Ready"))
}

#[tokio::test(start_paused = true)]
async fn the_seed_becomes_two_machines_with_nodes() {
    let mut lab = Lab::with_seed().await;
    lab.until("two running machines", async |lab| running(lab, 2).await).await;
    lab.until("the cluster is available", async |lab| is_true(&lab.get("Cluster", "my-cluster").await, "Available"))
        .await;
    for machine in lab.list("Machine").await {
        assert_eq!(
            machine["status"]["nodeRef"]["name"], machine["metadata"]["name"],
            "the player names hosts after Machines"
        );
        assert!(machine["spec"]["providerID"].as_str().unwrap().starts_with("maas:///az1/"));
    }
    let cluster = lab.get("Cluster", "my-cluster").await;
    assert_eq!(cluster["status"]["phase"], "Provisioned");
    assert_eq!(cluster["spec"]["controlPlaneEndpoint"]["host"], "my-cluster-x.maas.sc");
    for infra in lab.list("MaasMachine").await {
        assert_eq!(infra["metadata"]["labels"]["cluster.x-k8s.io/cluster-name"], "my-cluster");
        assert_eq!(
            infra["metadata"]["annotations"]["cluster.x-k8s.io/cloned-from-groupkind"],
            "MaasMachineTemplate.infrastructure.cluster.x-k8s.io"
        );
        assert_eq!(infra["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
        assert_eq!(infra["metadata"]["ownerReferences"][0]["kind"], "Machine");
        assert_eq!(infra["spec"]["image"], "u-1804-0-k-11912-0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_settled_cluster_is_left_alone() {
    let mut lab = Lab::with_seed().await;
    lab.until("two running machines", async |lab| running(lab, 2).await).await;
    for _ in 0..6 {
        lab.step().await;
    }
    let versions = async |lab: &Lab| {
        let mut all = Vec::new();
        for kind in [
            "Cluster",
            "KubeadmControlPlane",
            "MachineDeployment",
            "MachineSet",
            "Machine",
            "KubeadmConfig",
            "MaasMachine",
            "Secret",
        ] {
            all.extend(lab.list(kind).await.iter().map(|o| o["metadata"]["resourceVersion"].clone()));
        }
        all.extend(lab.workload_nodes().await.iter().map(|o| o["metadata"]["resourceVersion"].clone()));
        all
    };
    let before = versions(&lab).await;
    for _ in 0..120 {
        lab.step().await;
    }
    assert_eq!(versions(&lab).await, before);
}

#[tokio::test(start_paused = true)]
async fn workers_scale_up_and_down() {
    let mut lab = Lab::with_seed().await;
    lab.until("two running machines", async |lab| running(lab, 2).await).await;
    lab.patch("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 3 } })).await;
    lab.until("four running machines", async |lab| running(lab, 4).await).await;
    lab.patch("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 1 } })).await;
    lab.until("two again", async |lab| running(lab, 2).await).await;
    assert_eq!(lab.workload_nodes().await.len(), 2, "the Nodes of released machines are deleted");
    let deployment = lab.get("MachineDeployment", "my-cluster-worker").await;
    lab.until("the status follows", async |lab| {
        lab.get("MachineDeployment", "my-cluster-worker").await["status"]["replicas"] == 1
    })
    .await;
    assert_eq!(
        deployment["status"]["selector"],
        "cluster.x-k8s.io/cluster-name=my-cluster,cluster.x-k8s.io/deployment-name=my-cluster-worker"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_template_replaces_workers_one_by_one() {
    let mut lab = Lab::with_seed().await;
    lab.patch("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 2 } })).await;
    lab.until("three running machines", async |lab| running(lab, 3).await).await;
    let before = names(&lab.list("MaasMachine").await);
    lab.create("MaasMachineTemplate", json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasMachineTemplate",
        "metadata": { "name": "worker-2", "namespace": "default" }, "spec": { "template": { "spec": { "image": "new" } } },
    }))
    .await;
    lab.patch(
        "MachineDeployment",
        "my-cluster-worker",
        json!({ "spec": { "template": { "spec": { "infrastructureRef": { "name": "worker-2" } } } } }),
    )
    .await;
    lab.until("both replaced", async |lab| {
        let infra = lab.list("MaasMachine").await;
        assert!(infra.len() <= 4, "one more than wanted at most");
        infra.len() == 3 && infra.iter().filter(|m| m["spec"]["image"] == "new").count() == 2 && running(lab, 3).await
    })
    .await;
    let after = names(&lab.list("MaasMachine").await);
    assert_eq!(before.intersection(&after).count(), 1, "the control plane stays");
    lab.until("the old set is gone", async |lab| lab.list("MachineSet").await.len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_grows_and_is_upgraded_one_by_one() {
    let mut lab = Lab::with_seed().await;
    lab.until("two running machines", async |lab| running(lab, 2).await).await;
    lab.patch("KubeadmControlPlane", "my-cluster-cp", json!({ "spec": { "replicas": 3 } })).await;
    lab.until("four running machines", async |lab| running(lab, 4).await).await;
    lab.patch("KubeadmControlPlane", "my-cluster-cp", json!({ "spec": { "version": "v1.31.1" } })).await;
    lab.until("all at the new version", async |lab| {
        let kcp = lab.get("KubeadmControlPlane", "my-cluster-cp").await;
        assert!(lab.list("Machine").await.len() <= 5);
        kcp["status"]["version"] == "v1.31.1" && kcp["status"]["readyReplicas"] == 3 && kcp["status"]["replicas"] == 3
    })
    .await;
    let even = json!({ "spec": { "replicas": 2 } });
    lab.patch("KubeadmControlPlane", "my-cluster-cp", even).await;
    lab.until("an even number is refused", async |lab| {
        let kcp = lab.get("KubeadmControlPlane", "my-cluster-cp").await;
        kcp["status"]["conditions"][0]["message"].as_str().unwrap_or_default().contains("even")
    })
    .await;
    assert_eq!(lab.list("Machine").await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn deleting_the_cluster_leaves_nothing() {
    let mut lab = Lab::with_seed().await;
    lab.until("two running machines", async |lab| running(lab, 2).await).await;
    lab.delete("Cluster", "my-cluster").await;
    lab.until("the Cluster is gone", async |lab| lab.list("Cluster").await.is_empty()).await;
    lab.until("and everything with it", async |lab| {
        let mut left = 0;
        for kind in [
            "MaasCluster",
            "MaasMachine",
            "MaasMachineTemplate",
            "Machine",
            "MachineSet",
            "MachineDeployment",
            "KubeadmControlPlane",
            "KubeadmConfig",
            "KubeadmConfigTemplate",
            "Secret",
        ] {
            left += lab.list(kind).await.len();
        }
        left == 0 && lab.workloads.keys().is_empty()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pulled_power_cord_shows_and_heals() {
    let mut lab = Lab::with_seed().await;
    lab.until("two running machines", async |lab| running(lab, 2).await).await;
    let machines = lab.list("Machine").await;
    let worker = machines.iter().find(|m| m["metadata"]["labels"]["cluster.x-k8s.io/control-plane"].is_null()).unwrap();
    let worker = worker["metadata"]["name"].as_str().unwrap().to_owned();
    lab.nodes.handle(lab.clock.now(), &Happening::PoweredOff { system_id: worker.clone() });
    let off = lab.clock.now();
    let name = worker.clone();
    lab.until("the Machine is not ready", async |lab| !is_true(&lab.get("Machine", &name).await, "NodeHealthy")).await;
    assert!(lab.clock.now().duration_since(off).as_secs() >= 40, "a Node is given 40 s");
    lab.nodes.handle(lab.clock.now(), &Happening::PoweredOn { system_id: worker });
    lab.until("all running again", async |lab| running(lab, 2).await).await;
}

#[tokio::test(start_paused = true)]
async fn the_api_answers_where_a_control_plane_machine_runs_and_to_its_admin_only() {
    let mut lab = Lab::with_seed().await;
    let key = lab.key();
    lab.until("two running machines", async |lab| running(lab, 2).await).await;
    let machines = lab.list("Machine").await;
    let control =
        machines.iter().find(|m| !m["metadata"]["labels"]["cluster.x-k8s.io/control-plane"].is_null()).unwrap();
    let ip = control["status"]["addresses"][0]["address"].as_str().unwrap().parse().unwrap();
    assert!(lab.workloads.api_healthy(&key, ip));
    assert!(!lab.workloads.api_healthy(&key, lab::address(200)));

    let secret = lab.get("Secret", "my-cluster-kubeconfig").await;
    let data: k8s_openapi::ByteString = serde_json::from_value(secret["data"]["value"].clone()).unwrap();
    let text = String::from_utf8(data.0).unwrap();
    let version =
        async |kubeconfig: &str| lab.workloads.connect(kubeconfig.as_bytes()).unwrap().list_core_api_versions().await;
    let nodes = async |kubeconfig: &str| {
        let client = lab.workloads.connect(kubeconfig.as_bytes()).unwrap();
        kube::Api::<k8s_openapi::api::core::v1::Node>::all(client).list(&kube::api::ListParams::default()).await
    };
    assert_eq!(nodes(&text).await.unwrap().items.len(), 2);
    let token = lab.workloads.admin_token(&key).unwrap();
    let error = nodes(&text.replace(&token, "guessed")).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(ref status) if status.code == 401), "{error}");
    assert!(version(&text.replace("my-cluster-x", "elsewhere")).await.is_err());

    let system_id = control["metadata"]["name"].as_str().unwrap().to_owned();
    lab.nodes.handle(lab.clock.now(), &Happening::PoweredOff { system_id });
    assert!(!lab.workloads.api_healthy(&key, ip));
    assert!(nodes(&text).await.is_err(), "nobody answers");
}

#[tokio::test(start_paused = true)]
async fn what_the_scenery_lacks_is_refused_by_name() {
    let mut lab = Lab::with_seed().await;
    lab.patch("Cluster", "my-cluster", json!({ "spec": { "topology": { "class": "c" } } })).await;
    lab.until("refused", async |lab| {
        let cluster = lab.get("Cluster", "my-cluster").await;
        cluster["status"]["conditions"][0]["message"].as_str().unwrap_or_default().contains("spec.topology")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_runs_with_one_seed_make_the_same_objects() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut lab = Lab::with_seed().await;
        lab.until("two running machines", async |lab| running(lab, 2).await).await;
        let mut seen = Vec::new();
        for kind in ["Machine", "MachineSet", "Secret"] {
            for object in lab.list(kind).await {
                seen.push((object["metadata"]["name"].clone(), object["data"].clone(), object["status"].clone()));
            }
        }
        runs.push((seen, lab.clock.now()));
    }
    assert_eq!(runs[0], runs[1]);
}
