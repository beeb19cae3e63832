//! Defects of the provider before us that only a whole system can show to be absent; `capmaas_tests::defects` says which test stands
//! for which of them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use capmaas_tests::{Hand, Play, condition, in_lab, paused};
use maas_sim::Status;
use serde_json::{Value, json};

use crate::contract::{CLUSTER, maas_writes, minutes, name, sleep, text};

async fn worker(hand: &Hand<'_>) -> Value {
    hand.list("MaasMachine").await.into_iter().find(|m| name(m).contains("worker")).unwrap()
}

/// W-02, W-04, W-35
#[test]
fn a_machine_that_somebody_released_and_others_use_is_told_within_ten_minutes_and_left_alone_for_ever() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let before = worker(hand).await;
        let id = text(&before["spec"]["systemID"]);
        hand.play.sandbox.maas.with(|r, now| {
            r.set_status(now, &id, Status::Ready).unwrap();
            r.set_owner(now, &id, Some("alice")).unwrap();
            r.set_status(now, &id, Status::Deployed).unwrap();
        });
        let theirs = |hand: &Hand<'_>| {
            let host = hand.play.sandbox.maas.with(|r, _| r.machine(&id)).unwrap();
            (host.owner, host.status, host.deployment, host.owner_data)
        };
        let (writes, state) = (maas_writes(hand), theirs(hand));
        sleep(hand, minutes(11)).await;
        let told = worker(hand).await;
        let (status, reason, message) = condition(&told, "Ready");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "MachineTerminatedReason"));
        assert!(message.contains("alice") && message.contains("delete the Machine"), "{message}");
        assert_eq!(told["spec"], before["spec"], "systemID and providerID stay");
        hand.delete("MaasMachine", &name(&told)).await;
        hand.until("it is let go", || async {
            hand.get("MaasMachine", &name(&told))
                .await
                .is_none_or(|o| o["metadata"]["uid"] != told["metadata"]["uid"])
                .then_some(())
        })
        .await;
        assert_eq!((maas_writes(hand), theirs(hand)), (writes, state), "nothing was done in MAAS");
    });
}

/// W-14
#[test]
fn a_second_deployment_gets_the_bootstrap_data_of_its_time() {
    in_lab(7, async |hand| {
        let first = hand.play.sandbox.maas.with(|r, _| r.system_ids().into_iter().min()).unwrap();
        hand.play.sandbox.maas.with(|r, now| r.fail_next_deployment(now, &first, "disk is dying")).unwrap();
        hand.apply_seed().await;
        let machine = hand
            .until("the first deployment runs", || async {
                let all = hand.list("MaasMachine").await;
                all.into_iter().find(|m| condition(m, "Ready").1 == "MachineDeploying")
            })
            .await;
        assert_eq!(machine["spec"]["systemID"], first, "it is the one that is to fail");
        let served = |id: &str| hand.play.sandbox.maas.with(|r, _| r.user_data(id)).unwrap();
        let old = served(&first).unwrap();
        // As the bootstrap provider does when it renews a token.
        let core = hand.get("Machine", &name(&machine)).await.unwrap();
        let secret = text(&core["spec"]["bootstrap"]["dataSecretName"]);
        let renewed = [old.as_ref(), b"\n# renewed\n"].concat();
        let text = String::from_utf8(renewed.clone()).unwrap();
        hand.merge("Secret", &secret, json!({ "stringData": { "value": text } })).await.unwrap();
        let second = hand
            .until("another machine is deployed", || async {
                let object = hand.get("MaasMachine", &name(&machine)).await?;
                let id = object["spec"]["systemID"].as_str()?.to_owned();
                (id != first && served(&id).is_some()).then_some(id)
            })
            .await;
        assert_eq!(served(&second).unwrap(), renewed);
    });
}

/// W-16
#[test]
fn a_life_without_trouble_has_no_warning() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 3 } })).await.unwrap();
        hand.until_ready(4).await;
        hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 1 } })).await.unwrap();
        hand.until("two went", || async { (hand.held().len() == 2).then_some(()) }).await;
        hand.delete("Cluster", CLUSTER).await;
        hand.until_gone().await;
        let events = hand.list("Event").await;
        let of = |type_: &str| events.iter().filter(|e| e["type"] == type_).cloned().collect::<Vec<_>>();
        assert!(of("Normal").len() > 10, "it is told what is done: {events:#?}");
        assert_eq!(of("Warning"), Vec::<Value>::new());
    });
}

/// W-34
#[test]
fn objects_that_change_cost_maas_no_request() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        sleep(hand, minutes(3)).await;
        let asked = || hand.play.sandbox.maas.with(|r, _| r.reads() + r.writes());
        let during = async |touch: bool| {
            let before = asked();
            for n in 0..60 {
                if touch {
                    let note = json!({ "metadata": { "annotations": { "touched": format!("{n}") } } });
                    for kind in ["Cluster", "MaasCluster"] {
                        hand.merge(kind, CLUSTER, note.clone()).await.unwrap();
                    }
                    for machine in hand.list("MaasMachine").await {
                        hand.merge("MaasMachine", &name(&machine), note.clone()).await.unwrap();
                        hand.merge("Machine", &name(&machine), note.clone()).await.unwrap();
                    }
                }
                sleep(hand, Duration::from_secs(10)).await;
            }
            asked() - before
        };
        let (still, touched) = (during(false).await, during(true).await);
        println!("requests in ten minutes: {still}, with 360 changes of objects: {touched}");
        // Ten minutes may hold one poll more than the ten before.
        assert!(still > 10 && touched <= still + 3, "{touched} instead of {still}");
    });
}

/// W-24
#[test]
fn an_address_that_somebody_put_under_the_name_stays_through_every_change_and_goes_only_by_hand() {
    paused(async {
        let play = Play::quick(1, 7).await;
        let hand = &Hand::new(&play);
        let theirs: IpAddr = "10.10.0.5".parse().unwrap();
        play.run(async {
            hand.apply_seed().await;
            hand.until_ready(2).await;
            let host = text(&hand.get("MaasCluster", CLUSTER).await.unwrap()["spec"]["controlPlaneEndpoint"]["host"]);
            let resolve =
                || play.sandbox.maas.with(|r, now| r.resolve(now, &host)).into_iter().collect::<BTreeSet<_>>();
            let mut all = resolve();
            assert!(all.insert(theirs));
            let maas = hand.maas();
            let name = maas_client::DnsName::within(&host, "maas.sc").unwrap();
            let dns = maas.dns_resources();
            let record =
                maas_client::DnsResources::list(&dns, &maas_client::DnsFilter::by_name(name)).await.unwrap().remove(0);
            maas_client::DnsResources::update_addresses(&dns, record.id, &all, None).await.unwrap();
            sleep(hand, minutes(10)).await;
            assert_eq!(resolve(), all, "nothing changed, nothing is put right");
            hand.merge("KubeadmControlPlane", "my-cluster-cp", json!({ "spec": { "replicas": 3 } })).await.unwrap();
            hand.until("all are named", || async { (resolve().len() == 4).then_some(()) }).await;
            assert!(resolve().contains(&theirs));
            hand.delete("Cluster", CLUSTER).await;
            hand.until_gone().await;
            sleep(hand, minutes(1)).await;
            assert_eq!(resolve(), BTreeSet::from([theirs]), "ours are gone with the cluster");
        })
        .await;
    });
}
