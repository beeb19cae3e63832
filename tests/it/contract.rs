//! Cluster API's contract in the whole system, as far as the embedded plane has what it takes; `capmaas_tests::contract` says which
//! test stands for which point.

use std::collections::BTreeMap;
use std::time::Duration;

use capmaas_manager::gate::{Gate, Verdict};
use capmaas_manager::{Credentials, Manager};
use capmaas_sandbox::sandbox::MAAS_URL;
use capmaas_tests::{Hand, Play, condition, in_lab, paused};
use http::Method;
use serde_json::{Value, json};

const GROUP: &str = "infrastructure.cluster.x-k8s.io";
const CLUSTER: &str = "my-cluster";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn name(object: &Value) -> String {
    text(&object["metadata"]["name"])
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

async fn sleep(hand: &Hand<'_>, time: Duration) {
    hand.play.sandbox.clock.sleep(time).await;
}

/// Requests to MAAS that change something, by kind.
fn maas_writes(hand: &Hand<'_>) -> BTreeMap<String, u64> {
    let all = hand.play.sandbox.maas.with(|r, _| r.counters());
    all.into_iter().filter(|(operation, _)| !operation.starts_with("GET ")).collect()
}

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
            assert_eq!(object["status"], expected, "{of}");
        }
        let revision = async || template("my-cluster-worker").await["metadata"]["resourceVersion"].clone();
        hand.until_ready(2).await;
        let first = revision().await;
        hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 5 } })).await.unwrap();
        hand.until_ready(6).await;
        sleep(hand, minutes(130)).await;
        assert!(hand.held().contains(&"small".to_owned()), "the cheapest is in use: {:?}", hand.held());
        assert_eq!(revision().await, first, "nothing was written");
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

// ---- from the Go provider

/// Runs a manager beside the script, and drops it.
async fn managed<T>(play: &Play, script: impl Future<Output = T>) -> T {
    let env = play.sandbox.env(&play.gate, play.settings.clone());
    tokio::select! { biased;
        ended = Manager::run(env, std::future::pending()) => panic!("the manager ended: {ended:?}"),
        done = script => done,
    }
}

/// Makes the cluster's objects, and its machines in MAAS, what v0.9 of the Go provider leaves: no claim, no marks, LXD fields, the
/// failure domains of v0.8.
async fn as_the_go_provider_leaves_it(hand: &Hand<'_>) {
    let sandbox = &hand.play.sandbox;
    let env = sandbox.env(&Gate::open(), hand.play.settings.clone());
    let credentials =
        Credentials { endpoint: MAAS_URL.to_owned(), api_key: maas_sim::ADMIN_KEY.into(), source: "test".to_owned() };
    let maas = env.regions.client(&credentials).unwrap();
    let mut cluster = hand.get("MaasCluster", CLUSTER).await.unwrap();
    for machine in hand.list("MaasMachine").await {
        let id = text(&machine["spec"]["systemID"]);
        let marks = sandbox.maas.with(|r, _| r.machine(&id)).unwrap().owner_data;
        let none = marks.into_keys().map(|key| (key, String::new())).collect();
        maas_client::Machines::set_owner_data(&maas.machines(), &id.parse().unwrap(), &none).await.unwrap();

        // Made anew: another uid, so that agent_name is not the token that a claim would record.
        let path = format!("/apis/{GROUP}/v1beta1/namespaces/default/maasmachines/{}", name(&machine));
        let let_go = json!({ "metadata": { "finalizers": null } });
        assert_eq!(sandbox.kube.request(Method::PATCH, &path, Some(&let_go)).0, 200);
        assert_eq!(sandbox.kube.request(Method::DELETE, &path, None).0, 200);
        let time = "2026-01-01T00:00:00Z";
        let yes = |type_: &str| json!({ "type": type_, "status": "True", "reason": type_, "message": "", "lastTransitionTime": time });
        let status = &machine["status"];
        let addresses = status["addresses"].as_array().unwrap().iter().filter(|a| a["type"] != "Hostname");
        let meta = &machine["metadata"];
        let left = json!({
            "apiVersion": format!("{GROUP}/v1beta1"), "kind": "MaasMachine",
            "metadata": {
                "name": meta["name"], "namespace": "default", "labels": meta["labels"], "ownerReferences": meta["ownerReferences"],
                "finalizers": ["maasmachine.infrastructure.cluster.x-k8s.io"],
                "annotations": { "cluster.x-k8s.io/cloned-from-name": meta["annotations"]["cluster.x-k8s.io/cloned-from-name"] },
            },
            "spec": {
                "image": machine["spec"]["image"], "minCPU": machine["spec"]["minCPU"], "minMemory": machine["spec"]["minMemory"],
                "failureDomain": status["failureDomain"], "systemID": id, "providerID": machine["spec"]["providerID"],
                "lxd": { "enabled": false, "vmConfig": { "diskSize": 60, "autoStart": true } },
            },
            "status": {
                "ready": true, "initialization": { "provisioned": true }, "machineState": "Deployed", "machinePowered": true,
                "hostname": status["hostname"], "dnsAttached": status["dnsAttached"], "addresses": addresses.collect::<Vec<_>>(),
                "conditions": [yes("Ready"), yes("MachineDeployed")],
            },
        });
        sandbox.kube.apply(left).unwrap();
    }
    let zones = json!({ "default": { "controlPlane": true }, "zone-a": { "controlPlane": true } });
    let meta = &mut cluster["metadata"];
    meta["annotations"] = json!({ "maas.infrastructure.cluster.x-k8s.io/published": null });
    meta.as_object_mut().unwrap().remove("resourceVersion");
    cluster["spec"]["failureDomains"] = json!(["default", "zone-a"]);
    cluster["spec"]["lxdConfig"] =
        json!({ "enabled": false, "storageBackend": "zfs", "storageSize": "50", "skipNetworkUpdate": true });
    cluster["status"]["failureDomains"] = zones.clone();
    let stored = sandbox.kube.apply(cluster).unwrap();
    assert_eq!(stored["status"]["failureDomains"], zones, "both shapes can be stored");
    assert!(stored["metadata"]["annotations"]["maas.infrastructure.cluster.x-k8s.io/published"].is_null());
}

#[test]
fn a_fleet_of_the_go_provider_is_taken_over_without_a_deployment_or_a_release() {
    paused(async {
        let play = Play::lab(1, 7).await;
        let script = async {
            let hand = &Hand::new(&play);
            managed(&play, async {
                hand.apply_seed().await;
                hand.until_ready(2).await;
            })
            .await;
            as_the_go_provider_leaves_it(hand).await;
            let hosts = |hand: &Hand<'_>| {
                let all = hand.held().into_iter().map(|name| play.sandbox.maas.with(|r, _| r.machine(&name)).unwrap());
                all.map(|m| (m.system_id, m.deployment, m.addresses)).collect::<Vec<_>>()
            };
            let ids = async |hand: &Hand<'_>| {
                let all = hand.list("MaasMachine").await;
                all.iter().map(|m| text(&m["spec"]["providerID"])).collect::<Vec<_>>()
            };
            let (before, hosts_before, ids_before) = (maas_writes(hand), hosts(hand), ids(hand).await);
            let endpoint = hand.get("MaasCluster", CLUSTER).await.unwrap()["spec"]["controlPlaneEndpoint"].clone();
            managed(&play, async {
                hand.until("all are ours", || async {
                    let marked = hand.held().iter().all(|name| {
                        let machine = play.sandbox.maas.with(|r, _| r.machine(name)).unwrap();
                        machine.owner_data.contains_key("capmaas-token")
                    });
                    marked.then_some(())
                })
                .await;
                hand.until_ready(2).await;
                sleep(hand, minutes(30)).await;
                let mut expected = before.clone();
                *expected.entry("POST machine set_owner_data".to_owned()).or_default() += 2;
                assert_eq!(maas_writes(hand), expected, "each machine was marked, and that is all");
                assert_eq!((hosts(hand), ids(hand).await), (hosts_before, ids_before));
                let cluster = hand.get("MaasCluster", CLUSTER).await.unwrap();
                let zones =
                    json!([{ "name": "default", "controlPlane": true }, { "name": "zone-a", "controlPlane": true }]);
                assert_eq!(cluster["status"]["failureDomains"], zones, "a list now");
                assert_eq!(
                    hand.get("Cluster", CLUSTER).await.unwrap()["status"]["failureDomains"].as_array().map(Vec::len),
                    Some(2)
                );
                assert_eq!(
                    (condition(&cluster, "Ready").0.as_str(), &cluster["spec"]["controlPlaneEndpoint"]),
                    ("True", &endpoint)
                );
                hand.delete("Cluster", CLUSTER).await;
                hand.until_gone().await;
                assert_eq!(hand.held(), Vec::<String>::new(), "and they are released like ours");
            })
            .await;
        };
        tokio::select! { biased;
            never = play.sandbox.world() => match never {},
            () = script => {}
        }
    });
}

/// Serves a kind of `admissionregistration.k8s.io`, which the embedded API server lacks: stored, and nobody is asked.
fn serve_webhook_configurations(hand: &Hand<'_>) {
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        let (group, plural) = ("admissionregistration.k8s.io", format!("{}s", kind.to_lowercase()));
        let hooks =
            json!({ "type": "array", "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
        let schema = json!({ "openAPIV3Schema": { "type": "object", "properties": { "webhooks": hooks } } });
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{group}") },
            "spec": {
                "group": group, "scope": "Cluster",
                "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List") },
                "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }],
            },
        });
        hand.play.sandbox.kube.apply(definition).unwrap();
    }
}

#[test]
fn webhooks_that_the_go_provider_left_behind_are_named_with_the_command_that_deletes_them() {
    in_lab(7, async |hand| {
        serve_webhook_configurations(hand);
        let left = |kind: &str, name: &str, namespace: &str| {
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": name },
                "webhooks": [{
                    "name": "default.maasmachine.infrastructure.cluster.x-k8s.io", "failurePolicy": "Fail", "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": { "service": { "name": "capmaas-webhook-service", "namespace": namespace, "path": "/x" } },
                    "rules": [{ "apiGroups": [GROUP], "apiVersions": ["v1beta1"], "operations": ["CREATE", "UPDATE"], "resources": ["maasmachines"] }],
                }],
            })
        };
        for (kind, name, namespace) in [
            ("ValidatingWebhookConfiguration", "capmaas-validating-webhook-configuration", "capmaas-system"),
            ("MutatingWebhookConfiguration", "renamed", "capmaas-system"),
            ("MutatingWebhookConfiguration", "of-somebody-else", "elsewhere"),
        ] {
            hand.play.sandbox.kube.apply(left(kind, name, namespace)).unwrap();
        }
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let said = condition(&hand.get("MaasCluster", CLUSTER).await.unwrap(), "LeftoverWebhooks");
        assert_eq!((said.0.as_str(), said.1.as_str()), ("True", "LeftoverWebhooksFound"));
        let command = "kubectl delete mutatingwebhookconfiguration/renamed validatingwebhookconfiguration/capmaas-validating-webhook-configuration";
        assert!(said.2.ends_with(command), "{}", said.2);
        let events = hand.list("Event").await;
        let told: Vec<_> = events.iter().filter(|e| e["reason"] == "LeftoverWebhooksFound").collect();
        assert!(
            told.iter().any(|e| e["involvedObject"]["kind"] == "MaasCluster" && e["type"] == "Warning"),
            "{told:#?}"
        );
        assert!(told.iter().all(|e| text(&e["message"]).ends_with(command)), "{told:#?}");

        for path in [
            "mutatingwebhookconfigurations/renamed",
            "validatingwebhookconfigurations/capmaas-validating-webhook-configuration",
        ] {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{path}");
            assert_eq!(hand.play.sandbox.kube.request(Method::DELETE, &path, None).0, 200, "we never delete them");
        }
        hand.until("it is taken back", || async {
            let cluster = hand.get("MaasCluster", CLUSTER).await?;
            (condition(&cluster, "LeftoverWebhooks").0 == "False").then_some(())
        })
        .await;
    });
}
