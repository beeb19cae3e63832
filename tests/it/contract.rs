//! Cluster API's contract in the whole system, as far as the embedded plane has what it takes; `capmaas_tests::contract` says which
//! test stands for which point.

use std::collections::BTreeMap;
use std::time::Duration;

use capmaas_manager::gate::{Gate, Verdict};
use capmaas_tests::{Hand, Play, condition, in_lab, paused};
use serde_json::{Value, json};

pub(crate) const GROUP: &str = "infrastructure.cluster.x-k8s.io";
pub(crate) const CLUSTER: &str = "my-cluster";

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(crate) fn name(object: &Value) -> String {
    text(&object["metadata"]["name"])
}

pub(crate) fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

pub(crate) async fn sleep(hand: &Hand<'_>, time: Duration) {
    hand.play.sandbox.clock.sleep(time).await;
}

/// Requests to MAAS that change something, by kind.
pub(crate) fn maas_writes(hand: &Hand<'_>) -> BTreeMap<String, u64> {
    let all = hand.play.sandbox.maas.with(|r, _| r.counters());
    all.into_iter().filter(|(operation, _)| !operation.starts_with("GET ")).collect()
}

/// W-52
#[test]
fn templates_publish_the_least_that_maas_has_and_keep_to_it_while_machines_are_taken() {
    in_lab(7, async |hand| {
        let small = maas_sim::MachineSpec { cpu_count: 4, memory: 8192, ..maas_sim::MachineSpec::named("small") };
        hand.play.sandbox.maas.with(|r, now| r.add_machine(now, small)).unwrap();
        hand.apply_seed().await;
        let template = |name: &'static str| async move { hand.get("MaasMachineTemplate", name).await.unwrap() };
        for of in ["my-cluster-cp", "my-cluster-worker"] {
            let object = hand
                .until("capacity", || async {
                    let object = template(of).await;
                    (!object["status"]["capacity"].is_null()).then_some(object)
                })
                .await;
            let expected = json!({
                "capacity": { "cpu": "4", "memory": "8192Mi" },
                "nodeInfo": { "architecture": "amd64", "operatingSystem": "linux" },
            });
            let mut status = object["status"].clone();
            // How many of them are free is another matter, and moves.
            assert!(status.as_object_mut().unwrap().remove("freeMachines").is_some_and(|free| free.is_i64()), "{of}");
            assert_eq!(status, expected, "{of}");
        }
        let published = async || {
            let status = template("my-cluster-worker").await["status"].clone();
            [status["capacity"].clone(), status["nodeInfo"].clone()]
        };
        hand.until_ready(2).await;
        let first = published().await;
        hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 5 } })).await.unwrap();
        hand.until_ready(6).await;
        sleep(hand, minutes(130)).await;
        assert!(hand.held().contains(&"small".to_owned()), "the cheapest is in use: {:?}", hand.held());
        assert_eq!(published().await, first);
        assert_eq!(template("my-cluster-worker").await["status"]["capacity"]["cpu"], "4");
    });
}

/// `Paused` of every MaasCluster and MaasMachine.
async fn all_paused(hand: &Hand<'_>, status: &str) {
    hand.until(&format!("Paused={status} everywhere"), || async {
        let mut all = hand.list("MaasMachine").await;
        all.extend(hand.list("MaasCluster").await);
        all.iter().all(|o| condition(o, "Paused").0 == status).then_some(())
    })
    .await;
}

/// W-50
#[test]
fn a_paused_cluster_stands_still_even_for_a_deletion_and_goes_on_by_itself() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        all_paused(hand, "False").await;
        hand.merge("Cluster", CLUSTER, json!({ "spec": { "paused": true } })).await.unwrap();
        all_paused(hand, "True").await;
        let machine = hand.list("MaasMachine").await.remove(1);
        let (machine, host) = (name(&machine), text(&machine["status"]["hostname"]));
        hand.delete("MaasMachine", &machine).await;
        sleep(hand, Duration::from_secs(30)).await;
        let before = (maas_writes(hand), hand.play.sandbox.kube.writes());
        sleep(hand, minutes(15)).await;
        assert_eq!((maas_writes(hand), hand.play.sandbox.kube.writes()), before, "nothing is done, nothing is written");
        let waits = hand.get("MaasMachine", &machine).await.unwrap();
        assert_eq!(condition(&waits, "Paused"), ("True".into(), "Paused".into(), "Cluster spec.paused is true".into()));
        hand.merge("Cluster", CLUSTER, json!({ "spec": { "paused": false } })).await.unwrap();
        hand.until("it is released", || async { (!hand.held().contains(&host)).then_some(()) }).await;
    });
}

#[test]
fn an_annotated_machine_stands_still_alone() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let machine = hand.list("MaasMachine").await.remove(1);
        let (machine, host) = (name(&machine), text(&machine["status"]["hostname"]));
        let annotation = |value: Value| json!({ "metadata": { "annotations": { "cluster.x-k8s.io/paused": value } } });
        hand.merge("MaasMachine", &machine, annotation(json!("by hand"))).await.unwrap();
        hand.until("it says so", || async {
            let object = hand.get("MaasMachine", &machine).await?;
            (condition(&object, "Paused").2 == "annotation cluster.x-k8s.io/paused is set").then_some(())
        })
        .await;
        let others: Vec<_> = hand.list("MaasMachine").await.into_iter().filter(|o| name(o) != machine).collect();
        assert!(others.iter().all(|o| condition(o, "Paused").0 == "False"));
        hand.delete("MaasMachine", &machine).await;
        sleep(hand, minutes(15)).await;
        assert!(hand.held().contains(&host), "not released while it is paused");
        hand.merge("MaasMachine", &machine, annotation(Value::Null)).await.unwrap();
        hand.until("it is released", || async { (!hand.held().contains(&host)).then_some(()) }).await;
    });
}

#[test]
fn a_pause_during_an_allocate_records_the_machine_lets_the_object_move_within_a_minute_and_deploys_nothing() {
    paused(async {
        let mut play = Play::lab(1, 7).await;
        // The first allocate takes 20 s to arrive: time to pause.
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let bell = sent.clone();
        play.gate = Gate::with_rule(move |call| {
            let first = call.target.contains("op=allocate") && !bell.swap(true, std::sync::atomic::Ordering::Relaxed);
            if first { Verdict::Delay(Duration::from_secs(20)) } else { Verdict::Pass }
        });
        play.run(async {
            let hand = &Hand::new(&play);
            hand.apply_seed().await;
            while !sent.load(std::sync::atomic::Ordering::Relaxed) {
                play.sandbox.clock.sleep(Duration::from_secs(1)).await;
            }
            let block = "/metadata/annotations/clusterctl.cluster.x-k8s.io~1block-move";
            let claiming = hand.list("MaasMachine").await.remove(0);
            assert!(claiming.pointer(block).is_some() && claiming["spec"]["systemID"].is_null(), "{claiming:#}");
            hand.merge("Cluster", CLUSTER, json!({ "spec": { "paused": true } })).await.unwrap();
            play.sandbox.clock.sleep(Duration::from_secs(60)).await;
            let object = hand.list("MaasMachine").await.remove(0);
            assert!(object.pointer(block).is_none(), "{object:#}");
            assert_eq!(condition(&object, "Paused").0, "True");
            let held = hand.held();
            let host = play.sandbox.maas.with(|r, _| r.machine(&held[0])).unwrap();
            assert_eq!((held.len(), &object["spec"]["systemID"]), (1, &json!(host.system_id)), "recorded");
            play.sandbox.clock.sleep(minutes(15)).await;
            assert_eq!(maas_writes(hand).get("POST machine deploy"), None);
            hand.merge("Cluster", CLUSTER, json!({ "spec": { "paused": false } })).await.unwrap();
            hand.until_ready(2).await;
            assert_eq!(hand.held().len(), 2, "the machine that was allocated before the pause is used");
        })
        .await;
    });
}

/// W-56
#[test]
fn an_externally_managed_cluster_is_never_written_and_its_machines_live_and_go_without_us_keeping_its_name() {
    in_lab(7, async |hand| {
        let mut documents = capmaas_tests::seed_documents();
        for document in documents.iter_mut().filter(|d| d["kind"] == "MaasCluster") {
            document["metadata"]["annotations"] = json!({ "cluster.x-k8s.io/managed-by": "terraform" });
        }
        hand.play.sandbox.apply(&documents).await.unwrap();
        sleep(hand, minutes(15)).await;
        let object = hand.get("MaasCluster", CLUSTER).await.unwrap();
        assert!(object["status"].is_null() && object["metadata"]["finalizers"].is_null(), "{object:#}");
        assert!(object["spec"]["controlPlaneEndpoint"].is_null(), "{object:#}");

        // The tool that manages it does what the contract asks for.
        let host = "by-hand.maas.sc";
        hand.play.sandbox.maas.with(|r, now| r.add_dns_resource(now, host, &[])).unwrap();
        let managed = json!({
            "apiVersion": format!("{GROUP}/v1beta1"), "kind": "MaasCluster",
            "metadata": { "name": CLUSTER, "namespace": "default" },
            "spec": { "controlPlaneEndpoint": { "host": host, "port": 6443 } },
            "status": { "ready": true, "initialization": { "provisioned": true } },
        });
        hand.play.sandbox.kube.apply(managed).unwrap();
        hand.until("a control-plane machine is deployed", || async {
            let all = hand.list("MaasMachine").await;
            all.iter().any(|m| m["status"]["initialization"]["provisioned"] == true).then_some(())
        })
        .await;
        let writes = maas_writes(hand);
        assert!(writes.keys().all(|operation| !operation.contains("dns")), "{writes:?}");
        let object = hand.get("MaasCluster", CLUSTER).await.unwrap();
        assert!(object["metadata"]["finalizers"].is_null() && object["status"]["conditions"].is_null(), "{object:#}");
        hand.delete("Cluster", CLUSTER).await;
        hand.until_gone().await;
        assert_eq!(hand.held(), Vec::<String>::new());
    });
}

/// W-56
#[test]
fn ready_and_paused_stand_on_every_object_from_first_to_last_as_metav1_conditions_of_this_generation() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        let check = async |moment: &str| {
            let mut all = hand.list("MaasMachine").await;
            all.extend(hand.list("MaasCluster").await);
            for object in &all {
                let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
                for type_ in ["Ready", "Paused"] {
                    assert!(conditions.iter().any(|c| c["type"] == type_), "{moment}: no {type_}: {object:#}");
                }
                for one in conditions {
                    let given =
                        ["type", "status", "reason", "lastTransitionTime"].map(|field| !text(&one[field]).is_empty());
                    assert_eq!(given, [true; 4], "{moment}: {one}");
                    assert!(one["message"].is_string() && one["severity"].is_null(), "{moment}: {one}");
                    assert!(one["observedGeneration"].as_i64() <= object["metadata"]["generation"].as_i64(), "{one}");
                }
            }
            all.len()
        };
        sleep(hand, Duration::from_secs(45)).await;
        assert!(check("on the way").await >= 2);
        hand.until_ready(2).await;
        sleep(hand, minutes(1)).await;
        assert_eq!(check("settled").await, 3);
        for object in hand.list("MaasMachine").await {
            let ready = object["status"]["conditions"][0].clone();
            assert_eq!(
                (&ready["type"], &ready["observedGeneration"]),
                (&json!("Ready"), &object["metadata"]["generation"])
            );
        }
        hand.delete("Cluster", CLUSTER).await;
        sleep(hand, Duration::from_secs(20)).await;
        assert!(check("going").await >= 1);
        hand.until_gone().await;
    });
}

#[test]
fn a_machine_is_placed_in_the_failure_domain_that_is_asked_for_or_nowhere() {
    in_lab(3, async |hand| {
        let mut documents = capmaas_tests::seed_documents();
        for document in documents.iter_mut().filter(|d| d["kind"] == "MachineDeployment") {
            document["spec"]["template"]["spec"]["failureDomain"] = json!("zone-b");
        }
        hand.play.sandbox.apply(&documents).await.unwrap();
        let worker = async || hand.list("MaasMachine").await.into_iter().find(|m| name(m).contains("worker"));
        let said = hand
            .until("it says that there is none", || async {
                let said = condition(&worker().await?, "Ready");
                (said.1 == "NoMachineAvailable").then_some(said.2)
            })
            .await;
        assert!(said.contains("in zone zone-b"), "{said}");
        sleep(hand, minutes(15)).await;
        assert_eq!(hand.held().len(), 1, "free machines elsewhere are left alone");
        let there = maas_sim::MachineSpec { zone: "zone-b".to_owned(), ..maas_sim::MachineSpec::named("there") };
        hand.play.sandbox.maas.with(|r, now| r.add_machine(now, there)).unwrap();
        hand.until_ready(2).await;
        let worker = worker().await.unwrap();
        let placed =
            (&worker["status"]["hostname"], &worker["status"]["failureDomain"], &worker["spec"]["failureDomain"]);
        assert_eq!(placed, (&json!("there"), &json!("zone-b"), &Value::Null));
    });
}

#[test]
fn bootstrap_data_arrives_unaltered_and_may_be_gone_afterwards() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        for machine in hand.list("Machine").await {
            let secret = text(&machine["spec"]["bootstrap"]["dataSecretName"]);
            let data = hand.get("Secret", &secret).await.unwrap()["data"]["value"].clone();
            let maas = hand.get("MaasMachine", &name(&machine)).await.unwrap();
            let id = text(&maas["spec"]["systemID"]);
            let served = hand.play.sandbox.maas.with(|r, _| r.user_data(&id)).unwrap().unwrap();
            let stored: k8s_openapi::ByteString = serde_json::from_value(data).unwrap();
            assert_eq!(served, stored.0, "{secret}");
            hand.delete("Secret", &secret).await;
        }
        sleep(hand, minutes(15)).await;
        hand.until_ready(2).await;
        hand.delete("Cluster", CLUSTER).await;
        hand.until_gone().await;
        assert_eq!(hand.held(), Vec::<String>::new());
    });
}

#[test]
fn bootstrap_data_that_maas_images_cannot_run_is_named_and_never_deployed() {
    in_lab(7, async |hand| {
        hand.play.sandbox.apply(&ignition()).await.unwrap();
        let said = hand
            .until("it is named", || async {
                let said = condition(&hand.get("MaasMachine", "by-hand").await?, "Ready");
                (said.1 == "InvalidSpec").then_some(said.2)
            })
            .await;
        assert!(said.contains("default/by-hand-data") && said.contains("format ignition"), "{said}");
        assert_eq!(maas_writes(hand).get("POST machine deploy"), None);
    });
}

/// A provisioned Cluster and one Machine of it with Ignition data, as a user may make them without a control-plane provider.
fn ignition() -> Vec<Value> {
    let meta = |name: &str, more: Value| {
        let mut meta =
            json!({ "name": name, "namespace": "default", "labels": { "cluster.x-k8s.io/cluster-name": "ours" } });
        meta.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        meta
    };
    vec![
        json!({
            "apiVersion": format!("{GROUP}/v1beta1"), "kind": "MaasCluster", "metadata": meta("ours", json!({})),
            "spec": { "dnsDomain": "maas.sc", "controlPlaneEndpointMode": "External", "controlPlaneEndpoint": { "host": "lb.maas.sc", "port": 6443 } },
        }),
        json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": meta("ours", json!({})),
            "spec": { "infrastructureRef": { "apiGroup": GROUP, "kind": "MaasCluster", "name": "ours" } },
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta("by-hand-data", json!({})), "type": "cluster.x-k8s.io/secret",
            "stringData": { "value": "{\"ignition\": {}}", "format": "ignition" },
        }),
        json!({
            "apiVersion": format!("{GROUP}/v1beta1"), "kind": "MaasMachine", "metadata": meta("by-hand", json!({})),
            "spec": { "image": "ubuntu/noble", "minCPU": 1, "minMemory": 1024 },
        }),
        json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "metadata": meta("by-hand", json!({})),
            "spec": {
                "clusterName": "ours", "version": "v1.34.1", "bootstrap": { "dataSecretName": "by-hand-data" },
                "infrastructureRef": { "apiGroup": GROUP, "kind": "MaasMachine", "name": "by-hand" },
            },
        }),
    ]
}
