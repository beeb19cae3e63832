//! Runs the seed scenario once and prints number and digest of its calls: `two_processes_one_seed_one_trace` compares two of them.

use capmaas_tests::{Play, paused, seed_scenario, trace_hash};

fn main() {
    let seed = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    paused(async {
        let play = Play::lab(seed, 7).await;
        play.run(seed_scenario(&play)).await;
        if std::env::var_os("TRACE").is_some() {
            play.gate.trace().iter().for_each(|line| eprintln!("{line}"));
        }
        println!("{} {}", play.gate.calls(), trace_hash(&play.gate));
    });
}
