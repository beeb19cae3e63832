//! How soon what MAAS knows is known to Cluster API.

use std::collections::BTreeMap;
use std::time::Duration;

use capmaas_provider_maas::Periods;
use capmaas_sandbox::sandbox::SandboxConfig;
use capmaas_tests::{Hand, Play, condition, paused};
use jiff::Timestamp;
use maas_client::{Machines as _, PowerState};
use maas_sim::Status;
use serde_json::json;

use crate::contract::{name, text};

/// How often the test looks: short against what it measures.
const STEP: Duration = Duration::from_millis(250);

/// How long it took from Deployed in MAAS until the MaasMachine was provisioned, for each of so many machines.
async fn waits(hand: &Hand<'_>, machines: usize) -> Vec<Duration> {
    let sandbox = &hand.play.sandbox;
    let (mut open, mut waits) = (BTreeMap::<String, Timestamp>::new(), BTreeMap::new());
    while waits.len() < machines {
        let deployed: Vec<_> = sandbox.maas.with(|r, _| {
            let all = r.system_ids().into_iter().filter_map(|id| r.machine(&id));
            all.filter(|m| m.status == Status::Deployed && m.owner.is_some()).map(|m| m.system_id).collect()
        });
        for id in deployed.into_iter().filter(|id| !waits.contains_key(id)).collect::<Vec<_>>() {
            open.entry(id).or_insert(sandbox.clock.now());
        }
        if !open.is_empty() {
            for object in hand.list("MaasMachine").await {
                let provisioned = object["status"]["initialization"]["provisioned"] == true;
                let id = text(&object["spec"]["systemID"]);
                if provisioned && let Some(since) = open.remove(&id) {
                    waits.insert(id, since.duration_until(sandbox.clock.now()));
                }
            }
        }
        sandbox.clock.sleep(STEP).await;
    }
    waits.into_values().map(|wait| wait.unsigned_abs()).collect()
}

/// W-38
#[test]
fn a_deployed_machine_is_provisioned_one_poll_and_a_second_later_at_the_latest() {
    paused(async {
        let mut config = SandboxConfig::lab(1, 12).unwrap();
        // Not a multiple of the poll interval.
        config.maas.durations.installing += Duration::from_millis(3700);
        let play = Play::with(config).await;
        let hand = Hand::new(&play);
        play.run(async {
            hand.apply_seed().await;
            let more = async {
                hand.until_ready(2).await;
                for replicas in 2..=7 {
                    hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": replicas } }))
                        .await
                        .unwrap();
                    play.sandbox.clock.sleep(Duration::from_millis(3300)).await;
                }
            };
            let (waits, ()) = tokio::join!(waits(&hand, 8), more);
            println!("from Deployed to provisioned: {waits:?}");
            let poll = Periods::default().in_flight.unsigned_abs();
            assert!(waits.iter().all(|wait| *wait <= poll + Duration::from_secs(1)), "{waits:?}");
            assert!(waits.iter().any(|wait| *wait > poll / 4), "it measures something: {waits:?}");
        })
        .await;
    });
}

/// W-35
#[test]
fn a_lost_power_is_told_within_a_minute_of_maas_knowing_it() {
    paused(async {
        let play = Play::quick(1, 7).await;
        let hand = Hand::new(&play);
        play.run(async {
            hand.apply_seed().await;
            hand.until_ready(2).await;
            let worker = hand.list("MaasMachine").await.into_iter().find(|m| name(m).contains("worker")).unwrap();
            let (worker, host) = (name(&worker), text(&worker["status"]["hostname"]));
            let mut waits = Vec::new();
            // At different moments of the polls' period.
            for pause in [0, 13, 29] {
                play.sandbox.clock.sleep(Duration::from_secs(pause)).await;
                // MAAS knows it with the next look at the BMC.
                play.sandbox.maas.with(|r, now| r.set_power_cord(now, &host, false)).unwrap();
                let id = play.sandbox.maas.with(|r, _| r.machine(&host)).unwrap().system_id.parse().unwrap();
                let machines = hand.maas().machines();
                while machines.read(&id).await.unwrap().power_state != PowerState::Off {
                    play.sandbox.clock.sleep(Duration::from_secs(1)).await;
                }
                let knows = play.sandbox.clock.now();
                let told = async || condition(&hand.get("MaasMachine", &worker).await.unwrap(), "Ready").1;
                while told().await != "MachinePoweredOff" {
                    play.sandbox.clock.sleep(STEP).await;
                }
                waits.push(play.sandbox.clock.now().duration_since(knows).as_secs());
                play.sandbox.maas.with(|r, now| r.set_power_cord(now, &host, true)).unwrap();
                machines.power_on(&id, None).await.unwrap();
                while told().await != "Ready" {
                    play.sandbox.clock.sleep(STEP).await;
                }
            }
            println!("lost power was told after {waits:?} s");
            assert!(waits.iter().all(|wait| *wait <= 60), "{waits:?}");
        })
        .await;
    });
}
