//! The machines' software on a maas-sim region: from the deploy call to the Node.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use capmaas_provider_maas::Clock;
use capmaas_sandbox::nodes::{Nodes, NodesConfig};
use capmaas_sandbox::workload::{Authority, ClusterKey, Workloads};
use http::Request;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use maas_sim::{Config, Region, SharedRegion};
use serde_json::Value;

const INIT: &str = "#cloud-config
write_files:
- path: /run/kubeadm/kubeadm.yaml
  content: |
    kind: ClusterConfiguration
    clusterName: c
    controlPlaneEndpoint: c.maas:6443
    kubernetesVersion: v1.30.2
    ---
    kind: InitConfiguration
runcmd: ['kubeadm init --config /run/kubeadm/kubeadm.yaml']
";

fn call(region: &SharedRegion, path: &str, form: &str) -> Value {
    let key: Vec<&str> = maas_sim::ADMIN_KEY.split(':').collect();
    let authorization = format!(
        "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{}\", oauth_token=\"{}\", \
         oauth_signature=\"%26{}\", oauth_nonce=\"{}\", oauth_timestamp=\"{}\"",
        key[0],
        key[1],
        key[2],
        form.len(),
        region.now().as_second()
    );
    let request = Request::post(format!("http://maas/MAAS/api/2.0/{path}"))
        .header("authorization", authorization)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(form.to_owned()))
        .unwrap();
    let response = region.answer(request).unwrap();
    let text = String::from_utf8_lossy(response.body()).into_owned();
    assert!(response.status().is_success(), "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_deployed_machine_reads_its_user_data_and_becomes_a_node() {
    let clock = Clock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1.0);
    let region = SharedRegion::new(Region::new(Config::lab(2)), Arc::new(move || clock.now()));
    let published = Arc::new(Mutex::new(Vec::new()));
    let dns = published.clone();
    let resolve = move |_: &str| dns.lock().unwrap().clone();
    let workloads = Workloads::new(Arc::new(move || crate::new_sim(clock)), Authority::fixed(), Arc::new(resolve), 1);
    let cluster = ClusterKey::new("default", "c");
    workloads.ensure(&cluster, "c.maas", 6443);

    let machine = call(&region, "machines/op-allocate", "");
    let id = machine["system_id"].as_str().unwrap().to_owned();
    let data = base64::engine::general_purpose::STANDARD
        .encode(INIT)
        .replace('+', "%2B")
        .replace('=', "%3D")
        .replace('/', "%2F");
    call(&region, &format!("machines/{id}/op-deploy"), &format!("user_data={data}"));
    let nodes = Nodes::new(NodesConfig::default(), workloads.clone());
    let mut console = nodes.console();
    let play = async {
        // once it is up its addresses are known, and the name is published
        console.wait_for(|c| c.get(&id).is_some_and(|line| line == "kubeadm init")).await.unwrap();
        let addresses = region.with(|r, _| r.machine(&id)).unwrap().addresses;
        published.lock().unwrap().extend(addresses);
        console.wait_for(|c| c.get(&id).is_some_and(|line| line.starts_with("Node "))).await.unwrap();
    };
    tokio::select! { biased;
        () = play => {}
        never = nodes.run(region.clone(), clock) => match never {},
        () = tokio::time::sleep(Duration::from_secs(3600)) => panic!("no Node within an hour"),
    }
    let client = workloads.client(&cluster).unwrap();
    let list = Api::<Node>::all(client).list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.len(), 1);
    assert_eq!(list.items[0].metadata.name.as_deref(), machine["hostname"].as_str());
}

#[tokio::test(start_paused = true)]
async fn the_driver_sleeps_while_nothing_happens() {
    let clock = Clock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1.0);
    let region = SharedRegion::new(Region::new(Config::lab(2)), Arc::new(move || clock.now()));
    let workloads =
        Workloads::new(Arc::new(move || crate::new_sim(clock)), Authority::fixed(), Arc::new(|_| vec![]), 1);
    let nodes = Nodes::new(NodesConfig::default(), workloads);
    let run = tokio::time::timeout(Duration::from_secs(600), nodes.run(region, clock));
    assert!(run.await.is_err(), "ten minutes pass: it never kept the runtime busy");
}
