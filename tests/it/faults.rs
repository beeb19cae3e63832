//! Seeded faults: calls that get lost, answers that get lost, answers that are late. The seed's life goes through all the same.

use std::time::Duration;

use capmaas_manager::gate::{Call, Gate, Verdict};
use capmaas_tests::{Play, paused, seed_scenario};

/// Lists and watches of the management cluster are left alone: a client that gets no answer to one waits for its read timeout, which
/// is the network's and not simulated here.
fn spared(call: &Call) -> bool {
    call.client == "kube" && call.method == "GET" && !call.target.contains("/secrets/")
}

fn faulty(seed: u64) -> Gate {
    let mut rng = fastrand::Rng::with_seed(seed);
    Gate::with_rule(move |call| {
        // Drawn for each call, so that a run's faults depend on its seed and on nothing else.
        let (dice, delay) = (rng.u32(0..100), rng.u64(1..20));
        match dice {
            _ if spared(call) => Verdict::Pass,
            0..=2 => Verdict::Drop,
            3..=5 => Verdict::CommitThenDrop,
            6..=9 => Verdict::Delay(Duration::from_secs(delay)),
            _ => Verdict::Pass,
        }
    })
}

#[test]
fn the_seeds_life_goes_through_lost_calls_lost_answers_and_delays() {
    let seeds = std::env::var("CAPMAAS_FAULT_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(8u64);
    let mut failed = Vec::new();
    for seed in 1..=seeds {
        let run = std::panic::catch_unwind(|| {
            paused(async {
                let mut play = Play::quick(seed, 7).await;
                play.gate = faulty(seed);
                play.run(seed_scenario(&play)).await;
            });
        });
        if run.is_err() {
            failed.push(seed);
        }
    }
    println!("{seeds} seeds");
    assert!(
        failed.is_empty(),
        "seeds that did not come through (Play::quick(seed, 7) with faulty(seed) replays one): {failed:?}"
    );
}
