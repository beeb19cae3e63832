//! Deletion of MaasMachines whose hosts and neighbours are in every kind of trouble: each ends with the machine released, or waits, says
//! for what, and goes on by itself once that is repaired. The full product is run on the model fleet (`tests/it/deletion.rs` of
//! capmaas-reconcile); here whole worlds, also without what no plan sees.

use std::collections::BTreeMap;

use capmaas_manager::Manager;
use capmaas_sandbox::sandbox::MAAS_URL;
use capmaas_tests::{Hand, Play, condition, paused};
use http::Method;
use maas_client::{Machines as _, ReleaseRequest};
use maas_sim::{ADMIN_KEY, Outage, Status};
use serde_json::{Value, json};

use crate::contract::{CLUSTER, GROUP, minutes, name, sleep, text};

const CREDENTIALS: &str = "/api/v1/namespaces/capmaas-system/secrets/capmaas-manager-bootstrap-credentials";

/// What becomes of a worker's host before its MaasMachine is deleted, and what it waits for then.
const HOSTS: [(&str, &str); 9] = [
    ("deployed", ""),
    ("failed", ""),
    ("gone", ""),
    ("foreign", ""),
    ("released by hand", ""),
    ("releasing", ""),
    ("locked", "unlock it"),
    ("rescue", "released when an operator ends that"),
    ("broken", "mark it fixed"),
];

/// An operator at work on the host; `id` is its system id.
async fn trouble(hand: &Hand<'_>, what: &str, id: &str) {
    let status = |status: Status| hand.play.sandbox.maas.with(|r, now| r.set_status(now, id, status)).unwrap();
    let maas = &hand.play.sandbox.maas;
    match what {
        "deployed" => {}
        "failed" => status(Status::FailedDeployment),
        "gone" => maas.with(|r, now| r.remove_machine(now, id)).unwrap(),
        "foreign" => maas.with(|r, now| r.set_owner(now, id, Some("alice"))).unwrap(),
        "released by hand" => status(Status::Ready),
        "releasing" => {
            hand.maas().machines().release(&id.parse().unwrap(), &ReleaseRequest::default()).await.unwrap();
        }
        "locked" => maas.with(|r, now| r.set_locked(now, id, true)).unwrap(),
        "rescue" => status(Status::RescueMode),
        "broken" => {
            hand.maas().machines().mark_broken(&id.parse().unwrap(), Some("no fan".to_owned())).await.unwrap();
        }
        other => panic!("{other}"),
    }
}

/// What the operator does when it is over.
async fn repair(hand: &Hand<'_>, what: &str, id: &str) {
    let maas = &hand.play.sandbox.maas;
    match what {
        "locked" => maas.with(|r, now| r.set_locked(now, id, false)).unwrap(),
        "rescue" => maas.with(|r, now| r.set_status(now, id, Status::Deployed)).unwrap(),
        "broken" => {
            hand.maas().machines().mark_fixed(&id.parse().unwrap(), None).await.unwrap();
        }
        _ => {}
    }
}

/// Deletes an object whatever finalizers it has, as a person does who has lost patience.
fn by_force(hand: &Hand<'_>, path: &str) {
    let kube = &hand.play.sandbox.kube;
    let none = json!({ "metadata": { "finalizers": null } });
    assert_eq!(kube.request(Method::PATCH, path, Some(&none)).0, 200, "{path}");
    let (code, _) = kube.request(Method::DELETE, path, None);
    assert!(code == 200 || code == 404, "{path}: {code}");
}

/// Takes away all that a MaasMachine has beside its host: what core made, the MaasCluster, the Secrets of the cluster.
async fn take_neighbours(hand: &Hand<'_>) {
    let core = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default";
    for machine in hand.list("Machine").await {
        by_force(hand, &format!("{core}/machines/{}", name(&machine)));
    }
    by_force(hand, &format!("{core}/clusters/{CLUSTER}"));
    if hand.get("MaasCluster", CLUSTER).await.is_some() {
        by_force(hand, &format!("/apis/{GROUP}/v1beta1/namespaces/default/maasclusters/{CLUSTER}"));
    }
    for secret in hand.list("Secret").await {
        let path = format!("/api/v1/namespaces/default/secrets/{}", name(&secret));
        hand.play.sandbox.kube.request(Method::DELETE, &path, None);
    }
    assert!(hand.list("Machine").await.is_empty() && hand.list("Secret").await.is_empty());
}

/// A world with a worker per kind of trouble, in which `missing` neighbours are missing.
fn deleted(missing: &[&str]) {
    paused(async {
        let play = Play::quick(1, 12).await;
        let hand = &Hand::new(&play);
        play.run(async {
            hand.apply_seed().await;
            let replicas = json!({ "spec": { "replicas": HOSTS.len() } });
            hand.merge("MachineDeployment", "my-cluster-worker", replicas).await.unwrap();
            hand.until_ready(1 + HOSTS.len()).await;
        })
        .await;
        // From here on nobody plays Cluster API: what is taken away stays away.
        let script = async {
            let all = hand.list("MaasMachine").await;
            let (workers, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|m| name(m).contains("worker"));
            let mut cases: BTreeMap<String, (&str, &str, String)> = BTreeMap::new();
            for (machine, (what, waits)) in workers.iter().zip(HOSTS) {
                cases.insert(name(machine), (what, waits, text(&machine["spec"]["systemID"])));
            }
            cases.insert(name(&rest[0]), ("deployed", "", text(&rest[0]["spec"]["systemID"])));
            for (what, _, id) in cases.values() {
                trouble(hand, what, id).await;
            }
            if missing.contains(&"credentials") {
                assert_eq!(play.sandbox.kube.request(Method::DELETE, CREDENTIALS, None).0, 200);
                sleep(hand, minutes(1)).await;
            }
            if missing.contains(&"MAAS") {
                play.sandbox.maas.with(|r, now| r.set_outage(now, Some(Outage::Refuse)));
                sleep(hand, minutes(1)).await;
            }
            if missing.contains(&"neighbours") {
                take_neighbours(hand).await;
            }
            for machine in cases.keys() {
                if hand.get("MaasMachine", machine).await.is_some() {
                    hand.delete("MaasMachine", machine).await;
                }
            }
            check(hand, &cases, missing).await;
        };
        tokio::select! { biased;
            ended = Manager::run(play.sandbox.env(&play.gate, play.settings.clone()), std::future::pending()) => panic!("{ended:?}"),
            () = script => {}
        }
    });
}

fn ready(object: &Value) -> (String, String) {
    let (status, reason, message) = condition(object, "Ready");
    assert_eq!(status, "False");
    (reason, message)
}

async fn check(hand: &Hand<'_>, cases: &BTreeMap<String, (&str, &str, String)>, missing: &[&str]) {
    let sandbox = &hand.play.sandbox;
    sleep(hand, minutes(5)).await;
    for (unreachable, reason) in [("credentials", "CredentialsMissing"), ("MAAS", "MAASUnreachable")] {
        if missing.contains(&unreachable) {
            for (machine, (what, ..)) in cases {
                let object = hand.get("MaasMachine", machine).await.unwrap_or_else(|| panic!("{what}: it is gone"));
                assert_eq!(ready(&object).0, reason, "{what}");
            }
        }
    }
    sandbox.maas.with(|r, now| r.set_outage(now, None));
    if missing.contains(&"credentials") {
        sandbox.credentials(MAAS_URL, ADMIN_KEY).await.unwrap();
    }
    sleep(hand, minutes(5)).await;
    for (machine, (what, waits, id)) in cases {
        let object = hand.get("MaasMachine", machine).await;
        assert_eq!(object.is_some(), !waits.is_empty(), "{what}: {object:#?}");
        if let Some(object) = object {
            let (reason, message) = ready(&object);
            assert!(reason == "ReleaseBlocked" && message.contains(waits), "{what}: {reason}: {message}");
            repair(hand, what, id).await;
        }
    }
    hand.until("all are gone", || async { hand.list("MaasMachine").await.is_empty().then_some(()) }).await;
    for (what, _, id) in cases.values() {
        let host = sandbox.maas.with(|r, _| r.machine(id));
        match *what {
            "gone" => assert!(host.is_none()),
            "foreign" => {
                let host = host.unwrap();
                assert_eq!((host.owner.as_deref(), host.status), (Some("alice"), Status::Deployed), "left alone");
            }
            _ => {
                let host = host.unwrap();
                assert_eq!((host.owner, host.status), (None, Status::Ready), "{what}: back in the pool");
            }
        }
    }
    assert!(hand.foreign_is_untouched());
}

/// W-07
#[test]
fn machines_in_every_kind_of_trouble_are_deleted_and_released_or_say_what_they_wait_for() {
    deleted(&[]);
}

#[test]
fn they_are_without_owner_cluster_infrastructure_bootstrap_data_and_kubeconfig_too() {
    deleted(&["neighbours"]);
}

#[test]
fn they_wait_for_credentials_and_go_on_by_themselves() {
    deleted(&["credentials"]);
}

#[test]
fn they_wait_for_maas_and_go_on_by_themselves_even_without_any_neighbour() {
    deleted(&["MAAS", "neighbours"]);
}
