//! The control plane's name with three members: never empty, without the dead, and left alone while nothing changes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use capmaas_sandbox::workload::ClusterKey;
use capmaas_tests::{Hand, Play, paused};
use serde_json::json;

use crate::contract::{CLUSTER, maas_writes, minutes, name, text};

/// Members that answer.
fn healthy(play: &Play, of: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let key = ClusterKey::new("default", CLUSTER);
    of.iter().copied().filter(|address| play.sandbox.workloads.api_healthy(&key, *address)).collect()
}

/// Addresses of all machines that we hold.
fn addresses(hand: &Hand<'_>) -> BTreeSet<IpAddr> {
    let machine = |host: String| hand.play.sandbox.maas.with(|r, _| r.machine(&host)).unwrap();
    hand.held().into_iter().flat_map(|host| machine(host).addresses).collect()
}

async fn endpoint(hand: &Hand<'_>) -> String {
    hand.until("the name is chosen", || async {
        let host = hand.get("MaasCluster", CLUSTER).await?["spec"]["controlPlaneEndpoint"]["host"].clone();
        host.as_str().map(str::to_owned)
    })
    .await
}

fn resolve(play: &Play, host: &str) -> BTreeSet<IpAddr> {
    play.sandbox.maas.with(|r, now| r.resolve(now, host)).into_iter().collect()
}

/// From the first address on, looks every second whether the name has one while some machine of ours answers, and whether who joins
/// it answers; never ends.
async fn watch(hand: &Hand<'_>) {
    let host = endpoint(hand).await;
    let play = hand.play;
    while resolve(play, &host).is_empty() {
        play.sandbox.clock.sleep(Duration::from_secs(1)).await;
    }
    let mut before = resolve(play, &host);
    loop {
        let (named, alive) = (resolve(play, &host), healthy(play, &addresses(hand)));
        let joined: BTreeSet<_> = named.difference(&before).copied().collect();
        assert!(joined.is_subset(&alive), "{joined:?} joined {host}, but only {alive:?} answer");
        assert!(
            !named.is_empty() || alive.is_empty(),
            "{host} is empty at {} though {alive:?} answer",
            play.sandbox.clock.now()
        );
        before = named;
        play.sandbox.clock.sleep(Duration::from_secs(1)).await;
    }
}

/// Runs a script on a cluster of three control-plane machines and one worker while the name is watched.
fn with_three(script: impl AsyncFnOnce(&Hand<'_>, String)) {
    paused(async {
        let play = Play::quick(1, 9).await;
        let hand = &Hand::new(&play);
        play.run(async {
            hand.apply_seed().await;
            hand.merge("KubeadmControlPlane", "my-cluster-cp", json!({ "spec": { "replicas": 3 } })).await.unwrap();
            let life = async {
                hand.until_ready(4).await;
                let host = endpoint(hand).await;
                hand.until("all three are named", || async { (resolve(&play, &host).len() == 3).then_some(()) }).await;
                script(hand, host).await;
            };
            tokio::select! { biased;
                () = watch(hand) => unreachable!("it never ends"),
                () = life => {}
            }
        })
        .await;
    });
}

/// Host name and address of each control-plane machine.
async fn members(hand: &Hand<'_>) -> Vec<(String, IpAddr)> {
    let all = hand.list("MaasMachine").await;
    let members = all.iter().filter(|m| name(m).contains("-cp-"));
    let address = |host: &str| hand.play.sandbox.maas.with(|r, _| r.machine(host)).unwrap().addresses[0];
    members.map(|m| text(&m["status"]["hostname"])).map(|host| (host.clone(), address(&host))).collect()
}

fn cord(hand: &Hand<'_>, host: &str, plugged: bool) {
    hand.play.sandbox.maas.with(|r, now| r.set_power_cord(now, host, plugged)).unwrap();
}

/// Seconds until the name is exactly this set.
async fn seconds_until(hand: &Hand<'_>, host: &str, wanted: &BTreeSet<IpAddr>) -> u64 {
    for second in 0..600 {
        if resolve(hand.play, host) == *wanted {
            return second;
        }
        hand.play.sandbox.clock.sleep(Duration::from_secs(1)).await;
    }
    panic!("{host} is {:?} after ten minutes, expected {wanted:?}", resolve(hand.play, host));
}

#[test]
fn a_dead_member_leaves_the_name_within_half_a_minute_and_comes_back_when_it_answers() {
    with_three(async |hand, host| {
        let members = members(hand).await;
        let all: BTreeSet<_> = members.iter().map(|(_, address)| *address).collect();
        let mut took = Vec::new();
        for (machine, address) in &members {
            cord(hand, machine, false);
            let others = all.iter().copied().filter(|a| a != address).collect();
            took.push(seconds_until(hand, &host, &others).await);
            cord(hand, machine, true);
            power_on(hand, machine).await;
            seconds_until(hand, &host, &all).await;
        }
        println!("dead members were out of the name after {took:?} s");
        assert!(took.iter().all(|seconds| *seconds <= 30), "{took:?}");
    });
}

/// What an operator does after the power is back.
async fn power_on(hand: &Hand<'_>, machine: &str) {
    let maas = hand.maas();
    let id = hand.play.sandbox.maas.with(|r, _| r.machine(machine)).unwrap().system_id;
    maas_client::Machines::power_on(&maas.machines(), &id.parse().unwrap(), None).await.unwrap();
}

/// W-21
#[test]
fn when_one_after_another_dies_the_last_address_stays_and_the_set_too_when_nobody_answers() {
    with_three(async |hand, host| {
        let members = members(hand).await;
        cord(hand, &members[0].0, false);
        cord(hand, &members[1].0, false);
        let last = BTreeSet::from([members[2].1]);
        let took = seconds_until(hand, &host, &last).await;
        println!("of three, two that died together were out of the name after {took} s");
        assert!((20..=50).contains(&took), "one removal for health per interval, and half a minute for each: {took} s");
        cord(hand, &members[2].0, false);
        hand.play.sandbox.clock.sleep(minutes(5)).await;
        assert_eq!(resolve(hand.play, &host), last, "nobody answers: the set stays");
        assert!(hand.foreign_is_untouched());
    });
}

/// W-20
#[test]
fn a_rolled_control_plane_keeps_its_name_all_the_time_and_ends_with_the_new_members() {
    with_three(async |hand, host| {
        let before: BTreeSet<_> = members(hand).await.into_iter().map(|(_, address)| address).collect();
        let mut template = hand.get("MaasMachineTemplate", "my-cluster-cp").await.unwrap();
        template["metadata"] = json!({ "name": "my-cluster-cp-noble", "namespace": "default" });
        template["spec"]["template"]["spec"]["image"] = json!("ubuntu/noble");
        template.as_object_mut().unwrap().remove("status");
        hand.play.sandbox.apply(&[template]).await.unwrap();
        let reference = json!({ "infrastructureRef": { "name": "my-cluster-cp-noble" } });
        let patch = json!({ "spec": { "machineTemplate": { "spec": reference } } });
        hand.merge("KubeadmControlPlane", "my-cluster-cp", patch).await.unwrap();
        hand.until("all are new", || async {
            let all = hand.list("MaasMachine").await;
            let members: Vec<_> = all.iter().filter(|m| name(m).contains("-cp-")).collect();
            (members.len() == 3 && members.iter().all(|m| m["spec"]["image"] == "ubuntu/noble")).then_some(())
        })
        .await;
        hand.until_ready(4).await;
        let now: BTreeSet<_> = members(hand).await.into_iter().map(|(_, address)| address).collect();
        assert!(now != before, "{now:?}");
        seconds_until(hand, &host, &now).await;
        assert!(hand.foreign_is_untouched());
    });
}

/// W-10
#[test]
fn a_deleted_member_leaves_the_name_first_and_its_machine_is_back_two_minutes_later() {
    with_three(async |hand, host| {
        let machine = hand.list("MaasMachine").await.into_iter().find(|m| name(m).contains("-cp-")).unwrap();
        let id = text(&machine["spec"]["systemID"]);
        let state = || hand.play.sandbox.maas.with(|r, _| r.machine(&id)).unwrap();
        let address = state().addresses[0];
        hand.delete("Machine", &name(&machine)).await;
        let mut left = None;
        for second in 0..120 {
            if !resolve(hand.play, &host).contains(&address) {
                left.get_or_insert(second);
            }
            if state().status != maas_sim::Status::Deployed {
                // Ten seconds after the write, which name servers follow after three.
                assert!(
                    left.is_some_and(|left| left + 7 <= second),
                    "out of the name after {left:?} s, released after {second} s"
                );
            }
            if state().owner.is_none() {
                println!("out of the name after {left:?} s, back in the pool after {second} s");
                return;
            }
            hand.play.sandbox.clock.sleep(Duration::from_secs(1)).await;
        }
        panic!("it is still {:?}, out of the name after {left:?} s", state().status);
    });
}

/// W-22
#[test]
fn three_members_that_do_not_change_cost_no_write_in_ten_minutes() {
    with_three(async |hand, _| {
        hand.play.sandbox.clock.sleep(minutes(2)).await;
        let before = (hand.play.sandbox.kube.writes(), maas_writes(hand));
        hand.play.sandbox.clock.sleep(minutes(10)).await;
        assert_eq!((hand.play.sandbox.kube.writes(), maas_writes(hand)), before, "writes to Kubernetes and MAAS");
    });
}
