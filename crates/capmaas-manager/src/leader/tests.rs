use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube_sim::KubeSim;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::gate::{Gate, Verdict};
use tower::Layer;

const NAMESPACE: &str = "default";
const LEASE: &str = capi_types::names::LEADER_ELECTION_LEASE;

fn world() -> (KubeSim, Clock) {
    let clock = Clock::new("2026-11-23T12:00:00Z".parse().unwrap(), 1.0);
    (KubeSim::new(kube_sim::Config::new(Arc::new(move || clock.now()), 7)), clock)
}

fn elector(sim: &KubeSim, clock: Clock, identity: &str) -> Elector {
    Elector::new(Election::new(identity), kube::Client::new(sim.clone(), "default"), NAMESPACE, clock)
}

fn lease(sim: &KubeSim) -> Value {
    sim.get("coordination.k8s.io", "Lease", Some(NAMESPACE), LEASE).unwrap()["spec"].clone()
}

fn holder(sim: &KubeSim) -> Option<String> {
    lease(sim)["holderIdentity"].as_str().map(str::to_owned)
}

async fn within(seconds: u64, elector: &mut Elector) -> bool {
    timeout(Duration::from_secs(seconds), elector.acquire()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn only_one_of_many_that_start_together_leads_and_the_next_follows_when_it_falls_silent() {
    let (sim, clock) = world();
    let leading = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for n in 0..4 {
        let mut elector = elector(&sim, clock, &format!("e{n}"));
        let leading = leading.clone();
        tasks.spawn(async move {
            elector.acquire().await;
            assert_eq!(leading.fetch_add(1, Ordering::SeqCst), 0, "e{n} leads beside another");
            // Renews for a minute, then stops without a word.
            assert!(timeout(Duration::from_secs(60), elector.hold()).await.is_err(), "e{n} lost the lease");
            leading.fetch_sub(1, Ordering::SeqCst);
            Instant::now()
        });
    }
    let mut ends = Vec::new();
    while let Some(end) = tasks.join_next().await {
        ends.push(end.unwrap());
    }
    assert_eq!(lease(&sim)["leaseTransitions"], 3);
    for pair in ends.windows(2) {
        let between = pair[1].duration_since(pair[0]);
        assert!(between >= Duration::from_secs(60 + 13) && between <= Duration::from_secs(60 + 19), "{between:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_given_back_is_taken_at_the_next_try() {
    let (sim, clock) = world();
    let (mut first, mut second) = (elector(&sim, clock, "first"), elector(&sim, clock, "second"));
    assert!(within(1, &mut first).await);
    assert!(!within(5, &mut second).await);
    second.give_up().await;
    assert_eq!(holder(&sim).as_deref(), Some("first"), "only the holder gives it back");
    first.give_up().await;
    assert_eq!(holder(&sim), None);
    assert!(within(3, &mut second).await);
    assert_eq!(holder(&sim).as_deref(), Some("second"));
}

#[tokio::test(start_paused = true)]
async fn a_holder_is_believed_for_as_long_as_it_said_whatever_its_clock_shows() {
    let (sim, clock) = world();
    sim.apply(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": LEASE, "namespace": NAMESPACE },
        "spec": { "holderIdentity": "go-provider", "leaseDurationSeconds": 40, "renewTime": "2001-01-01T00:00:00.000000Z" },
    }))
    .unwrap();
    let mut ours = elector(&sim, clock, "ours");
    assert!(!within(38, &mut ours).await, "its renewal of 2001 is new to us");
    assert!(within(6, &mut ours).await);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_not_us_but_an_edit_by_hand_costs_nothing() {
    let (sim, clock) = world();
    let (mut first, mut second) = (elector(&sim, clock, "first"), elector(&sim, clock, "second"));
    // Both see that there is no Lease; one write is refused.
    let (a, b) = tokio::join!(first.try_hold(), second.try_hold());
    let mut ends = [a.unwrap(), b.unwrap()];
    ends.sort_by_key(|held| *held != Held::Ours);
    assert!(ends[0] == Held::Ours && ends[1] != Held::Ours, "{ends:?}");

    // Every other write of the leader arrives after an edit that its look did not see.
    let mut writes = 0;
    let gate = Gate::with_rule(move |call| {
        writes += usize::from(call.method == "PUT");
        if call.method == "PUT" && writes % 2 == 1 { Verdict::Delay(Duration::from_millis(150)) } else { Verdict::Pass }
    });
    let kube = kube::Client::new(gate.layer("kube").layer(sim.clone()), "default");
    let mut leader = Elector::new(Election::new(holder(&sim).unwrap()), kube, NAMESPACE, clock);
    leader.acquire().await;
    let edits = async {
        for n in 0..600 {
            sim.apply(json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": { "name": LEASE, "namespace": NAMESPACE, "annotations": { "n": n.to_string() } },
            }))
            .unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        biased;
        () = leader.hold() => panic!("lost the lease to an annotation"),
        () = edits => {}
    }
    let conflicts = gate.trace().iter().filter(|line| line.ends_with("-> 409")).count();
    assert!(conflicts > 10, "{conflicts}");
}

/// W-31
#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_its_lease_is_free() {
    for verdict in [Verdict::Drop, Verdict::Delay(Duration::from_secs(3600))] {
        let (sim, clock) = world();
        // The look and the write of the first attempt pass.
        let gate = Gate::with_rule(move |call| if call.number <= 2 { Verdict::Pass } else { verdict });
        let kube = kube::Client::new(gate.layer("kube").layer(sim.clone()), "default");
        let mut elector = Elector::new(Election::new("cut off"), kube, NAMESPACE, clock);
        elector.acquire().await;
        let since = Instant::now();
        elector.hold().await;
        let took = since.elapsed();
        assert!(took >= Duration::from_secs(9) && took <= Duration::from_secs(10), "{verdict:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_handed_to_another_by_hand_ends_the_leadership() {
    let (sim, clock) = world();
    let mut elector = elector(&sim, clock, "ours");
    elector.acquire().await;
    sim.apply(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": LEASE, "namespace": NAMESPACE },
        "spec": { "holderIdentity": "somebody" },
    }))
    .unwrap();
    timeout(Duration::from_secs(3), elector.hold()).await.expect("it is not ours any more");
    assert_eq!(holder(&sim).as_deref(), Some("somebody"));
}

#[test]
fn times_that_let_two_lead_are_refused_and_fractions_round_up() {
    let times = |duration, renew_deadline, retry| Election {
        duration: Duration::from_millis(duration),
        renew_deadline: Duration::from_millis(renew_deadline),
        retry: Duration::from_millis(retry),
        ..Election::new("x")
    };
    assert_eq!(times(15_000, 10_000, 2_000).check(), Ok(()));
    for (election, words) in [
        (times(10_000, 10_000, 2_000), "lease duration (10s) must be longer than the renew deadline"),
        (times(15_000, 2_400, 2_000), "renew deadline (2.4s) must be longer than 1.2 times the retry period"),
        (times(15_000, 10_000, 0), "longer than zero"),
    ] {
        let error = election.check().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.kind(), FaultKind::Terminal);
    }
}

#[tokio::test(start_paused = true)]
async fn a_duration_of_a_second_and_a_half_is_written_as_two() {
    let (sim, clock) = world();
    let mut elector = elector(&sim, clock, "short");
    elector.election.duration = Duration::from_millis(1500);
    elector.acquire().await;
    assert_eq!(lease(&sim)["leaseDurationSeconds"], 2);
}
