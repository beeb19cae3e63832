use std::sync::Arc;

use kube_sim::KubeSim;

use super::*;
use crate::workload::Authority;

const ENDPOINT: &str = "c.maas:6443";
const ID: &str = "abcdef";

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).unwrap()
}

/// One cluster whose name resolves to machine 1, and a token.
async fn cluster() -> (Nodes, ClusterKey) {
    let make: Arc<dyn Fn() -> KubeSim + Send + Sync> = Arc::new(crate::tests::new_sim);
    let workloads = Workloads::new(make, Authority::fixed(), Arc::new(|_| vec![ip(1)]), 1);
    let key = ClusterKey::new("default", "c");
    workloads.ensure(&key, "c.maas", 6443);
    let secrets: Api<Secret> = Api::namespaced(workloads.inside(&key).unwrap(), "kube-system");
    let token = json!({ "metadata": { "name": format!("bootstrap-token-{ID}") }, "data": { "token-secret": "MDEyMzQ1Njc4OWFiY2RlZg==" } });
    secrets.create(&PostParams::default(), &serde_json::from_value(token).unwrap()).await.unwrap();
    (Nodes::new(NodesConfig::default(), workloads), key)
}

fn init() -> String {
    format!(
        "#cloud-config\nwrite_files:\n- path: /k\n  content: |\n    kind: ClusterConfiguration\n    clusterName: c\n    controlPlaneEndpoint: {ENDPOINT}\n    kubernetesVersion: v1.30.2\n    ---\n    kind: InitConfiguration\nruncmd: ['kubeadm init --config /k']\n"
    )
}

fn join(token: &str, hash: &str) -> String {
    format!(
        "#cloud-config\nwrite_files:\n- path: /k\n  content: |\n    kind: JoinConfiguration\n    discovery: {{bootstrapToken: {{apiServerEndpoint: '{ENDPOINT}', token: {token}, caCertHashes: ['{hash}']}}}}\nruncmd: ['kubeadm join --config /k']\n"
    )
}

fn boot(number: u8, data: &str) -> Happening {
    Happening::Booted {
        system_id: format!("id-{number}"),
        hostname: format!("host-{number}"),
        fqdn: format!("host-{number}.maas"),
        zone: "az1".into(),
        addresses: vec![ip(number)],
        user_data: Some(data.as_bytes().to_vec().into()),
        image: "custom/u".into(),
        ephemeral: false,
        deployment: 1,
    }
}

fn line(nodes: &Nodes, number: u8) -> String {
    nodes.console().borrow().get(&format!("id-{number}")).cloned().unwrap_or_default()
}

async fn names(nodes: &Nodes, key: &ClusterKey) -> Vec<String> {
    let api: Api<Node> = Api::all(nodes.workloads.inside(key).unwrap());
    api.list(&ListParams::default()).await.unwrap().items.into_iter().filter_map(|n| n.metadata.name).collect()
}

#[tokio::test(start_paused = true)]
async fn kubeadm_init_then_join_register_nodes_after_a_while() {
    let (mut nodes, key) = cluster().await;
    let hash = nodes.workloads.authority().public_key_hash().to_owned();
    let token = format!("{ID}.0123456789abcdef");
    nodes.handle(at(0), &boot(1, &init()));
    nodes.handle(at(0), &boot(2, &join(&token, &hash)));
    assert_eq!(nodes.tick(at(1)).await, Some(at(45)));
    assert!(names(&nodes, &key).await.is_empty() && !nodes.workloads.reachable(&key));
    nodes.tick(at(45)).await;
    assert!(nodes.workloads.api_healthy(&key, ip(1)) && !nodes.workloads.api_healthy(&key, ip(2)));
    nodes.tick(at(50)).await;
    assert_eq!(names(&nodes, &key).await, ["host-1", "host-2"]);
    let api: Api<Node> = Api::all(nodes.workloads.inside(&key).unwrap());
    for node in api.list(&ListParams::default()).await.unwrap() {
        let spec = node.spec.clone().unwrap_or_default();
        assert_eq!(spec.provider_id, None, "nobody told the kubelet");
        assert_eq!(spec.taints.is_some(), node.metadata.name.as_deref() == Some("host-1"));
        assert!(is_ready(&node));
    }
}

#[tokio::test(start_paused = true)]
async fn kubeadm_join_says_why_it_fails() {
    let (mut nodes, key) = cluster().await;
    let hash = nodes.workloads.authority().public_key_hash().to_owned();
    nodes.handle(at(0), &boot(1, &init()));
    nodes.tick(at(45)).await;
    nodes.handle(at(50), &boot(2, &join("abcdef.wrong", &hash)));
    nodes.handle(at(50), &boot(3, &join("fedcba.wrong", &hash)));
    nodes.handle(at(50), &boot(4, &join("abcdef.0123456789abcdef", "sha256:00")));
    nodes.handle(at(50), &boot(5, &init()));
    nodes.handle(at(50), &boot(6, "#cloud-config\nruncmd: [[]"));
    nodes.tick(at(95)).await;
    let expected = [
        (2, "its secret is another"),
        (3, "unknown or has expired"),
        (4, "another hash"),
        (5, "does not resolve to this machine"),
        (6, "#cloud-config:"),
    ];
    for (number, why) in expected {
        assert!(line(&nodes, number).contains(why), "{number}: {:?}", line(&nodes, number));
    }
    assert_eq!(names(&nodes, &key).await, ["host-1"]);
}

#[tokio::test(start_paused = true)]
async fn kubeadm_gives_up_when_no_api_server_answers() {
    let (mut nodes, key) = cluster().await;
    let hash = nodes.workloads.authority().public_key_hash().to_owned();
    nodes.handle(at(0), &boot(2, &join("abcdef.0123456789abcdef", &hash)));
    nodes.tick(at(45)).await;
    assert!(line(&nodes, 2).starts_with("kubeadm waits: no API server answers"), "{}", line(&nodes, 2));
    assert_eq!(nodes.tick(at(345)).await, None);
    assert!(line(&nodes, 2).starts_with("kubeadm failed"), "{}", line(&nodes, 2));
    assert!(names(&nodes, &key).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_init_beside_a_living_cluster_is_refused_and_after_its_loss_founds_anew() {
    let (mut nodes, key) = cluster().await;
    nodes.handle(at(0), &boot(1, &init()));
    nodes.tick(at(45)).await;
    let mut again = boot(2, &init());
    if let Happening::Booted { addresses, .. } = &mut again {
        *addresses = vec![ip(1)];
    }
    nodes.handle(at(50), &again);
    nodes.tick(at(95)).await;
    assert!(line(&nodes, 2).contains("a second one would be founded"), "{}", line(&nodes, 2));
    nodes.handle(at(100), &Happening::Wiped { system_id: "id-1".into() });
    assert!(!nodes.workloads.api_anywhere(&key));
    nodes.handle(at(100), &boot(1, &init()));
    nodes.tick(at(145)).await;
    assert_eq!(names(&nodes, &key).await, ["host-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_goes_unknown_40_s_after_its_power_went_and_comes_back() {
    let (mut nodes, key) = cluster().await;
    let hash = nodes.workloads.authority().public_key_hash().to_owned();
    nodes.handle(at(0), &boot(1, &init()));
    nodes.handle(at(0), &boot(2, &join("abcdef.0123456789abcdef", &hash)));
    nodes.tick(at(45)).await;
    nodes.tick(at(50)).await;
    let ready = async |nodes: &Nodes| {
        let api: Api<Node> = Api::all(nodes.workloads.inside(&key).unwrap());
        is_ready(&api.get("host-2").await.unwrap())
    };
    nodes.handle(at(100), &Happening::PoweredOff { system_id: "id-2".into() });
    assert_eq!(nodes.tick(at(100)).await, Some(at(140)));
    nodes.tick(at(139)).await;
    assert!(ready(&nodes).await);
    nodes.tick(at(140)).await;
    assert!(!ready(&nodes).await);
    nodes.handle(at(200), &Happening::PoweredOn { system_id: "id-2".into() });
    assert_eq!(nodes.tick(at(200)).await, Some(at(260)));
    nodes.tick(at(260)).await;
    assert!(ready(&nodes).await);
    nodes.handle(at(300), &Happening::PoweredOff { system_id: "id-1".into() });
    assert!(!nodes.workloads.api_healthy(&key, ip(1)), "an API server falls silent at once");
    nodes.handle(at(310), &Happening::PoweredOn { system_id: "id-1".into() });
    nodes.tick(at(370)).await;
    assert!(nodes.workloads.api_healthy(&key, ip(1)));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_never_joins_stays_out() {
    let (mut nodes, key) = cluster().await;
    nodes.config.never_join.insert("host-1".into());
    nodes.handle(at(0), &boot(1, &init()));
    assert_eq!(nodes.tick(at(1000)).await, None);
    assert!(names(&nodes, &key).await.is_empty());
}
