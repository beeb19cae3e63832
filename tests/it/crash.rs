//! The manager is dropped at every numbered call of the seed scenario; another one takes over. Nothing is leaked or doubly claimed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use capmaas_tests::{Play, paused, seed_scenario, stop_at};

/// The calls of a run that nothing disturbs; true for those that change something.
fn calls() -> Vec<bool> {
    paused(async {
        let play = Play::quick(1, 7).await;
        play.run(seed_scenario(&play)).await;
        let lines = play.gate.trace().into_iter().filter(|line| !line.contains(" -> "));
        lines.map(|line| line.split(' ').nth(2) != Some("GET")).collect()
    })
}

/// Stops at call `number`; panics when the scenario does not converge or leaves something.
fn crash_at(number: u64, after: bool) {
    paused(async {
        let mut play = Play::quick(1, 7).await;
        play.gate = stop_at(number, after);
        play.run(seed_scenario(&play)).await;
    });
}

/// W-08
#[test]
fn a_crash_at_any_call_of_the_seed_scenario_converges() {
    let writes = calls();
    // Before each call; after it too where it changes something (after a read the world is as before it).
    let points = writes
        .iter()
        .zip(1u64..)
        .flat_map(|(write, number)| [(number, false), (number, true)].into_iter().take(1 + usize::from(*write)));
    let points: Vec<(u64, bool)> = points.collect();
    // CAPMAAS_CRASH_STEP=7 takes every seventh point, for the everyday loop.
    let step = std::env::var("CAPMAAS_CRASH_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&(number, after)) = points.get(next.fetch_add(step, Ordering::Relaxed)) {
                    if std::panic::catch_unwind(|| crash_at(number, after)).is_err() {
                        failed.lock().unwrap().push((number, after));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("stopped at {} points of {} calls", points.len().div_ceil(step), writes.len());
    assert!(failed.is_empty(), "(call, after it took effect) that did not converge: {failed:?}");
}
