//! From the Go provider to this one: what v0.9 leaves, in Kubernetes and in MAAS.

use capmaas_manager::Manager;
use capmaas_tests::{Hand, Play, condition, in_lab, paused};
use http::Method;
use serde_json::json;

use crate::contract::{CLUSTER, GROUP, maas_writes, minutes, name, sleep, text};

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
    let maas = hand.maas();
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
