//! Machines that fail their health check: healed by a power cycle, or left to their owner.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use capmaas_tests::health_check::HealthCheck;
use capmaas_tests::{Hand, condition, in_lab, seed_documents};
use maas_sim::{Bmc, MachineState};
use serde_json::{Value, json};

use crate::contract::{maas_writes, minutes, name, sleep, text};

const CHECK: HealthCheck = HealthCheck { tries: 1, timeout: 300 };

fn host(hand: &Hand<'_>, id: &str) -> MachineState {
    hand.play.sandbox.maas.look(|r| r.machine(id)).unwrap()
}

fn hang(hand: &Hand<'_>, id: &str) {
    hand.play.sandbox.maas.with(|r, now| r.hang(now, id)).unwrap();
}

async fn those(hand: &Hand<'_>, word: &str) -> Vec<Value> {
    let all = hand.list("MaasMachine").await;
    all.into_iter().filter(|m| name(m).contains(word)).collect()
}

async fn worker(hand: &Hand<'_>) -> Value {
    those(hand, "worker").await.remove(0)
}

async fn checked<T>(hand: &Hand<'_>, check: HealthCheck, script: impl Future<Output = T>) -> T {
    tokio::select! { biased;
        never = check.run(hand) => match never {},
        done = script => done,
    }
}

fn sent(hand: &Hand<'_>, operation: &str) -> u64 {
    maas_writes(hand).get(operation).copied().unwrap_or(0)
}

fn power_orders(hand: &Hand<'_>) -> [u64; 2] {
    ["POST machine power_off", "POST machine power_on"].map(|operation| sent(hand, operation))
}

async fn is_healed(hand: &Hand<'_>, machine: &str) -> Option<()> {
    let core = hand.get("Machine", machine).await?;
    let well = condition(&core, "NodeHealthy").0 == "True" && condition(&core, "HealthCheckSucceeded").0 == "True";
    (well && hand.get("MaasRemediation", machine).await.is_none()).then_some(())
}

async fn events(hand: &Hand<'_>, kind: &str) -> Vec<String> {
    let all = hand.list("Event").await;
    all.iter().filter(|e| e["involvedObject"]["kind"] == kind).map(|e| text(&e["reason"])).collect()
}

/// W-56
#[test]
fn a_hung_worker_is_healed_by_one_power_cycle_and_stays_the_machine_that_it_was() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let before = worker(hand).await;
        let (machine, id) = (name(&before), text(&before["spec"]["systemID"]));
        let deployment = host(hand, &id).deployment;
        hang(hand, &id);
        checked(hand, CHECK, async {
            let told = hand.until_soon("it says how it went", || async {
                let request = hand.get("MaasRemediation", &machine).await?;
                (request["status"]["phase"] == "WaitingForHealth").then_some(request)
            });
            let request = told.await;
            assert_eq!(request["status"]["retryCount"], 1, "{request}");
            assert!(request["status"]["history"][0]["poweredOn"].is_string(), "{request}");
            assert!(request["metadata"]["finalizers"][0].is_string(), "{request}");
            hand.until("it is healed", || is_healed(hand, &machine)).await;
        })
        .await;
        assert_eq!(worker(hand).await["metadata"]["uid"], before["metadata"]["uid"], "not replaced");
        let state = host(hand, &id);
        assert!(state.powered && !state.hung && state.deployment == deployment, "{state:?}");
        assert_eq!(power_orders(hand), [1, 1]);
        assert_eq!((sent(hand, "POST machines allocate"), sent(hand, "POST machine release")), (2, 0));
        let told = events(hand, "MaasRemediation").await;
        assert!(told.contains(&"PowerCycling".to_owned()) && told.contains(&"PoweringOn".to_owned()), "{told:?}");
        hand.until_ready(2).await;
    });
}

/// W-56
#[test]
fn a_dead_worker_is_tried_as_often_as_the_strategy_says_and_then_replaced_by_its_owner_on_another_machine() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let before = worker(hand).await;
        let id = text(&before["spec"]["systemID"]);
        hang(hand, &id);
        hand.play.sandbox.maas.with(|r, now| r.set_power_cord(now, &id, false)).unwrap();
        let reason = RefCell::new(BTreeSet::new());
        checked(hand, HealthCheck { tries: 2, timeout: 300 }, async {
            hand.until("it is replaced", || async {
                if let Some(machine) = hand.get("Machine", &name(&before)).await {
                    reason.borrow_mut().insert(condition(&machine, "OwnerRemediated").2);
                }
                hand.get("MaasMachine", &name(&before)).await.is_none().then_some(())
            })
            .await;
            hand.until_ready(2).await;
        })
        .await;
        assert!(
            reason.borrow().iter().any(|why| why.contains("power cycles did not make it healthy")),
            "the owner is told why: {reason:?}"
        );
        assert_ne!(text(&worker(hand).await["spec"]["systemID"]), id);
        let [_, on] = power_orders(hand);
        assert_eq!(on, 2, "as often as the strategy says");
        assert_eq!(hand.list("MaasRemediation").await, Vec::<Value>::new(), "it went with its Machine");
    });
}

#[test]
fn what_runs_from_memory_and_a_machine_whose_bmc_is_silent_are_left_to_the_owner_without_a_power_order() {
    for (in_memory, word) in [(true, "runs from memory"), (false, "look at its BMC")] {
        in_lab(7, async |hand| {
            let mut documents = seed_documents();
            for document in documents.iter_mut().filter(|d| d["kind"] == "MaasMachineTemplate") {
                document["spec"]["template"]["spec"]["deployInMemory"] = json!(in_memory);
            }
            hand.play.sandbox.apply(&documents).await.unwrap();
            hand.until_ready(2).await;
            let before = worker(hand).await;
            let id = text(&before["spec"]["systemID"]);
            hang(hand, &id);
            if !in_memory {
                hand.play.sandbox.maas.with(|r, now| r.set_bmc(now, &id, Bmc::Fails)).unwrap();
                // MAAS asks every five minutes.
                sleep(hand, minutes(12)).await;
            }
            let why = checked(hand, CHECK, async {
                hand.until("it is left to its owner", || async {
                    let machine = hand.get("Machine", &name(&before)).await?;
                    let (status, _, message) = condition(&machine, "OwnerRemediated");
                    (status == "False").then_some(message)
                })
                .await
            })
            .await;
            assert!(why.contains(word), "{why}");
            assert_eq!(power_orders(hand), [0, 0], "{word}");
        });
    }
}

/// A cluster with a control plane of three, all of them well.
async fn three(hand: &Hand<'_>) -> Vec<Value> {
    hand.apply_seed().await;
    hand.until_ready(2).await;
    let kcp = name(&hand.list("KubeadmControlPlane").await[0]);
    hand.merge("KubeadmControlPlane", &kcp, json!({ "spec": { "replicas": 3 } })).await.unwrap();
    hand.until_ready(4).await;
    those(hand, "-cp-").await
}

#[test]
fn of_a_control_plane_of_three_two_hung_machines_are_power_cycled_one_after_the_other() {
    in_lab(7, async |hand| {
        let planes = three(hand).await;
        let ids: Vec<String> = planes.iter().map(|m| text(&m["spec"]["systemID"])).collect();
        hang(hand, &ids[0]);
        let least_on = RefCell::new(3);
        checked(hand, HealthCheck { tries: 2, timeout: 600 }, async {
            hand.until_soon("the first one is being healed", || async {
                let request = hand.get("MaasRemediation", &name(&planes[0])).await?;
                (request["status"]["phase"] == "PowerCycling").then_some(())
            })
            .await;
            hang(hand, &ids[1]);
            let look = || {
                let on = ids.iter().filter(|id| host(hand, id).powered).count();
                let mut least = least_on.borrow_mut();
                *least = on.min(*least);
            };
            hand.until_soon("both are healed", || async {
                look();
                is_healed(hand, planes[0]["metadata"]["name"].as_str()?).await?;
                is_healed(hand, planes[1]["metadata"]["name"].as_str()?).await
            })
            .await;
        })
        .await;
        assert_eq!(*least_on.borrow(), 2, "never two without power");
        assert_eq!(power_orders(hand), [2, 2]);
        let now: BTreeSet<String> = those(hand, "-cp-").await.iter().map(name).collect();
        assert_eq!(now, planes.iter().map(name).collect(), "none was replaced");
    });
}

#[test]
fn of_a_control_plane_that_still_answers_no_machine_is_switched_off_while_another_is_sick() {
    in_lab(7, async |hand| {
        let planes = three(hand).await;
        for plane in &planes[..2] {
            hang(hand, &text(&plane["spec"]["systemID"]));
        }
        checked(hand, CHECK, async {
            let message = hand
                .until("one says for what it waits", || async {
                    let requests = hand.list("MaasRemediation").await;
                    let waits = requests.iter().map(|r| condition(r, "Ready"));
                    waits.filter(|(_, reason, _)| reason == "WaitingForControlPlane").map(|(.., m)| m).next()
                })
                .await;
            assert!(message.contains("quorum") || message.contains("is first"), "{message}");
            sleep(hand, minutes(60)).await;
        })
        .await;
        assert_eq!(power_orders(hand), [0, 0]);
        assert_eq!(sent(hand, "POST machine release"), 0);
    });
}

#[test]
fn a_machine_that_is_to_be_kept_on_by_policy_is_switched_by_its_remediation_alone() {
    in_lab(7, async |hand| {
        let mut documents = seed_documents();
        for document in documents.iter_mut().filter(|d| d["kind"] == "MaasMachineTemplate") {
            document["spec"]["template"]["spec"]["power"] = json!({ "whenOff": "TurnOn" });
        }
        hand.play.sandbox.apply(&documents).await.unwrap();
        hand.until_ready(2).await;
        let before = worker(hand).await;
        hang(hand, &text(&before["spec"]["systemID"]));
        let machine = name(&before);
        checked(hand, CHECK, hand.until("it is healed", || is_healed(hand, &machine))).await;
        assert_eq!(power_orders(hand), [1, 1]);
        sleep(hand, Duration::from_secs(600)).await;
        assert_eq!(power_orders(hand), [1, 1]);
    });
}

#[test]
fn a_strategy_that_makes_no_sense_is_refused_with_field_and_fix() {
    in_lab(2, async |hand| {
        for (strategy, words) in [
            (json!({ "retryLimit": 0 }), "leave remediation.templateRef out"),
            (json!({ "retryLimit": 99 }), "retryLimit must be a number from 1 to 10"),
            (json!({ "timeoutSeconds": 5 }), "timeoutSeconds must be a number of seconds from 60 to 21600"),
            (json!({ "retryLimit": 10, "timeoutSeconds": 21600 }), "lower one of them"),
            (json!({ "type": "Reboot" }), "PowerCycle"),
            (json!({ "type": "" }), "PowerCycle"),
            (json!({ "retryLimit": "often" }), "retryLimit"),
        ] {
            let template = json!({
                "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasRemediationTemplate",
                "metadata": { "name": "t", "namespace": "default" },
                "spec": { "template": { "spec": { "strategy": strategy } } },
            });
            let refused = hand.play.sandbox.apply(&[template]).await.unwrap_err();
            let text = format!("{refused:?} {refused}");
            assert!(text.contains(words), "{strategy}: {text}");
        }
    });
}
