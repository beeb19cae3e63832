//! Two managers lead at once, as if both thought that the Lease is theirs: over the same management cluster and the same MAAS, with seeds
//! of their own, interleaved at every call. Never two machines deployed for one MaasMachine, never one held for two, nothing leaked,
//! nothing foreign touched.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capmaas_manager::gate::{Call, Gate, Verdict};
use capmaas_tests::paused;
use capmaas_tests::stage::{Stage, Trigger, failing, thinned};
use capmaas_tests::stories::Story;

const STORY: Story = Story::Life;

/// How the two get in each other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The second one begins at this call of the first.
    Joins(u64),
    /// Both run; the first freezes before this call is sent, or after it took effect, for so many seconds. (Calls are given up after 20 s:
    /// what is frozen for less arrives late, and what for longer wakes up among things that it does not know.)
    Freezes(u64, Verdict, u64),
    /// Whoever made the last call lets the other one go first.
    Alternate,
    /// Each call of either takes up to three seconds to arrive, or to be answered, by this seed.
    Jitter(u64),
}

fn jitter(seed: u64) -> impl FnMut(&Call) -> Verdict + Send {
    let mut rng = fastrand::Rng::with_seed(seed);
    move |_| match (rng.u32(0..4), Duration::from_millis(rng.u64(1..3000))) {
        (0, span) => Verdict::Delay(span),
        (1, span) => Verdict::Late(span),
        _ => Verdict::Pass,
    }
}

/// Thaws a gate that was frozen by its rule.
async fn thaw(stage: &Stage, gate: &Gate, after: u64) -> Infallible {
    let clock = stage.play.sandbox.clock;
    loop {
        clock.sleep(Duration::from_secs(1)).await;
        if gate.is_frozen() {
            clock.sleep(Duration::from_secs(after)).await;
            gate.thaw();
        }
    }
}

/// Plays the story under two managers; answers how many calls the first one made in it.
fn play(way: Option<Way>) -> u64 {
    paused(async {
        let stage = Stage::set(STORY, 1).await;
        let second = Gate::open();
        let trigger = match way {
            Some(Way::Joins(number)) => {
                second.freeze();
                let second = second.clone();
                Trigger::doing(number, move || second.thaw())
            }
            Some(Way::Freezes(number, verdict, _)) => Trigger::at(number, verdict),
            Some(Way::Alternate | Way::Jitter(_)) | None => Trigger::counting(),
        };
        trigger.arm(true);
        let (first, second) = match way {
            Some(Way::Alternate) => {
                let last = Arc::new(Mutex::new(0));
                let turn = |me: usize| {
                    let last = last.clone();
                    Gate::with_rule(move |_| match std::mem::replace(&mut *last.lock().unwrap(), me) == me {
                        true => Verdict::Delay(Duration::from_millis(200)),
                        false => Verdict::Pass,
                    })
                };
                (turn(1), turn(2))
            }
            Some(Way::Jitter(seed)) => (Gate::with_rule(jitter(2 * seed)), Gate::with_rule(jitter(2 * seed + 1))),
            _ => (trigger.gate(STORY), second),
        };
        let cluster = &stage.play.sandbox;
        let both = async {
            tokio::select! { biased;
                never = stage.manager(cluster, &first, 1, "the first leader") => never,
                never = stage.manager(cluster, &second, 2, "the second leader") => never,
                never = thaw(&stage, &first, if let Some(Way::Freezes(.., after)) = way { after } else { 0 }) => never,
            }
        };
        stage.run(both, || (), || trigger.arm(false)).await;
        trigger.calls().len() as u64
    })
}

#[test]
fn two_managers_that_both_lead_never_deploy_two_machines_for_one_or_hold_one_for_two() {
    let calls = play(None);
    let freezes = |n| {
        let times = [(Verdict::FreezeBefore, 15), (Verdict::FreezeAfter, 15), (Verdict::FreezeAfter, 120)];
        times.map(|(verdict, after)| Way::Freezes(n, verdict, after))
    };
    let mut all: Vec<_> = (1..=calls).map(Way::Joins).chain((1..=calls).flat_map(freezes)).collect();
    all.extend((1..=50).map(Way::Jitter));
    println!("{calls} calls of the first leader, {} interleavings", all.len() + 1);
    let named = |way: &Way| format!("{way:?}");
    let chosen = match std::env::var("CAPMAAS_LEADERS_WAY") {
        Ok(only) => all.into_iter().chain([Way::Alternate]).filter(|way| named(way) == only).collect(),
        // CAPMAAS_LEADERS_STEP=1 is all of them.
        Err(_) => [Way::Alternate].into_iter().chain(thinned(all, "CAPMAAS_LEADERS_STEP", 97)).collect::<Vec<_>>(),
    };
    assert!(!chosen.is_empty(), "no such way");
    let failed = failing(&chosen, "CAPMAAS_LEADERS_WAY", named, |way| {
        play(Some(*way));
    });
    assert!(failed.is_empty(), "{failed:?}");
}
