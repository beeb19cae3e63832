//! The manager is dropped at every numbered call of the seed scenario; another one takes over. Nothing is leaked or doubly claimed.

use std::sync::atomic::{AtomicU64, Ordering};

use capmaas_tests::{Play, paused, seed_scenario, stop_at};

fn calls() -> u64 {
    paused(async {
        let play = Play::lab(1, 7).await;
        play.run(seed_scenario(&play)).await;
        play.gate.calls()
    })
}

/// Stops at call `number`; panics when the scenario does not converge or leaves something.
fn crash_at(number: u64, after: bool) {
    paused(async {
        let mut play = Play::lab(1, 7).await;
        play.gate = stop_at(number, after);
        play.run(seed_scenario(&play)).await;
    });
}

#[test]
fn a_crash_at_any_call_of_the_seed_scenario_converges() {
    let last = calls();
    // Every call, on both cores; CAPMAAS_CRASH_STEP=7 takes every seventh for the everyday loop.
    let step = std::env::var("CAPMAAS_CRASH_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let next = AtomicU64::new(1);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(step, Ordering::Relaxed);
                    if number > last {
                        return;
                    }
                    for after in [false, true] {
                        if std::panic::catch_unwind(|| crash_at(number, after)).is_err() {
                            failed.lock().unwrap().push((number, after));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("stopped at {} of {last} calls, before and after each", last.div_ceil(step));
    assert!(failed.is_empty(), "(call, after it took effect) that did not converge: {failed:?}");
}
