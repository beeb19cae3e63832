//! What a worker costs MAAS.

use std::collections::BTreeMap;

use capmaas_tests::{Hand, Play, condition, paused};
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

fn total(spent: &BTreeMap<String, u64>) -> u64 {
    spent.values().sum()
}

/// Requests of one kind, and how many of them.
type Spent = BTreeMap<String, u64>;

/// What MAAS was asked while one control-plane machine and one worker became so many. It ends when all workers are there and the next
/// control-plane machine is, too, if there is to be one; the one after that, which joins alone, is left out.
fn growth(workers: usize, control_plane: bool) -> Spent {
    paused(async move {
        let play = Play::lab(1, 60).await;
        play.run(async {
            let hand = Hand::new(&play);
            hand.apply_seed().await;
            hand.until_ready(2).await;
            play.sandbox.maas.with(|r, _| r.reset_counters());
            let replicas = |n: usize| json!({ "spec": { "replicas": n } });
            hand.merge("MachineDeployment", "my-cluster-worker", replicas(1 + workers)).await.unwrap();
            if control_plane {
                hand.merge("KubeadmControlPlane", "my-cluster-cp", replicas(3)).await.unwrap();
            }
            let machines = 2 + workers + usize::from(control_plane);
            hand.until("all have Nodes", || async {
                let all = hand.list("MaasMachine").await;
                (all.iter().filter(|m| condition(m, "NodeTied").0 == "True").count() >= machines).then_some(())
            })
            .await;
            let mut spent = Spent::new();
            for record in play.sandbox.maas.with(|r, _| r.requests()) {
                let allocate = "POST machines allocate";
                if record.operation == allocate && spent.get(allocate).is_some_and(|n| *n as usize == machines - 2) {
                    break;
                }
                *spent.entry(record.operation).or_default() += 1;
            }
            spent
        })
        .await
    })
}

#[test]
fn at_fifty_machines_a_worker_costs_at_most_four_requests_in_all_and_a_joining_control_plane_seven() {
    let (workers, joined) = std::thread::scope(|scope| {
        let workers = scope.spawn(|| growth(48, false));
        let joined = growth(47, true);
        (workers.join().unwrap(), joined)
    });
    let each = total(&workers) as f64 / 48.0;
    // One worker fewer is three writes fewer; what is read is read for all at once.
    let more = total(&joined) - (total(&workers) - 3);
    println!("48 workers beside two machines: {each:.2} requests each: {workers:?}");
    println!("a control-plane machine beside 47 workers: {more} requests more: {joined:?}");
    let writes: BTreeMap<_, _> =
        workers.iter().filter(|(op, _)| !op.starts_with("GET ")).map(|(op, n)| (op.as_str(), *n)).collect();
    let expected = [("POST machines allocate", 48), ("POST machine deploy", 48), ("POST machine set_owner_data", 48)];
    assert_eq!(writes, BTreeMap::from(expected), "three writes each");
    assert!(each <= 4.0, "{each:.2} requests per worker: {workers:?}");
    assert_eq!(joined.get("PUT dnsresource"), Some(&1), "it gets into the name with one write: {joined:?}");
    assert!(more <= 7, "{more} more for a control-plane machine: {joined:?}, without it {workers:?}");
}
