//! What a worker costs MAAS.

use std::collections::BTreeMap;

use capmaas_tests::{Hand, Play, paused};
use serde_json::json;

fn counters(play: &Play) -> BTreeMap<String, u64> {
    play.sandbox.maas.with(|r, _| r.counters())
}

fn since(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let gained = after.iter().map(|(op, n)| (op.clone(), n - before.get(op).copied().unwrap_or(0)));
    gained.filter(|(_, n)| *n > 0).collect()
}

#[test]
fn a_worker_costs_three_writes_and_at_most_one_read_of_its_own() {
    let spent = |workers: i64| {
        paused(async move {
            let play = Play::lab(1, 12).await;
            play.run(async {
                let hand = Hand::new(&play);
                hand.apply_seed().await;
                hand.until_ready(2).await;
                let before = counters(&play);
                hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 1 + workers } }))
                    .await
                    .unwrap();
                hand.until_ready(2 + usize::try_from(workers).unwrap()).await;
                since(&before, &counters(&play))
            })
            .await
        })
    };
    let one = spent(1);
    println!("MAAS requests for one worker: {one:?}");
    let writes: BTreeMap<_, _> =
        one.iter().filter(|(op, _)| !op.starts_with("GET ")).map(|(op, n)| (op.as_str(), *n)).collect();
    let expected = [("POST machines allocate", 1), ("POST machine deploy", 1), ("POST machine set_owner_data", 1)];
    assert_eq!(writes, BTreeMap::from(expected));
    let own = |spent: &BTreeMap<String, u64>| spent.get("GET machine").copied().unwrap_or(0);
    assert!(own(&one) <= 1, "reads of single machines: {one:?}");

    // No polling per object: eight workers deploy in the time of one, and the lists do not get more.
    let eight = spent(8);
    println!("MAAS requests for eight workers: {eight:?}");
    assert_eq!(eight.get("POST machines allocate"), Some(&8));
    assert!(own(&eight) <= 8);
    let lists = |spent: &BTreeMap<String, u64>| spent.get("GET machines").copied().unwrap_or(0);
    assert!(lists(&eight) <= lists(&one) + 8, "lists for one: {}, for eight: {}", lists(&one), lists(&eight));
}
