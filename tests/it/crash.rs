//! The manager is dropped at every numbered call of a story; another one takes over. Nothing is leaked, doubly claimed, or touched that
//! is somebody else's.

use capmaas_manager::gate::Verdict;
use capmaas_tests::paused;
use capmaas_tests::stage::{Stage, Trigger, failing, thinned};
use capmaas_tests::stories::Story;

/// Plays a story; the managers of all its management clusters go through the trigger.
fn play(story: Story, trigger: &Trigger) {
    paused(async {
        let stage = Stage::set(story, 1).await;
        trigger.arm(story.is_all());
        let gates: Vec<_> = stage.clusters().iter().map(|_| trigger.gate(story)).collect();
        let managers = stage.clusters().into_iter().zip(&gates);
        let managers = managers.map(|((cluster, who), gate)| Box::pin(stage.replaced(cluster, gate, 1, who)));
        let all = async { futures::future::select_all(managers).await.0 };
        stage.run(all, || trigger.arm(true), || trigger.arm(false)).await;
    });
}

type Point = (Story, u64, Verdict);

/// The points at which a story can be stopped: before each call, and after it too where it changes something (after a read the world is as
/// before it).
fn points(story: Story) -> Vec<Point> {
    let counting = Trigger::counting();
    play(story, &counting);
    let calls = counting.calls();
    let both = calls.iter().zip(1u64..).flat_map(|(write, number)| {
        let verdicts = [Verdict::StopBefore, Verdict::StopAfter];
        verdicts.into_iter().take(1 + usize::from(*write)).map(move |verdict| (story, number, verdict))
    });
    let points: Vec<_> = both.collect();
    println!("{story:?}: {} calls, {} stop points", calls.len(), points.len());
    points
}

fn named((story, number, verdict): &Point) -> String {
    format!("{story:?} {number} {verdict:?}")
}

/// W-08
#[test]
fn a_manager_that_is_stopped_at_any_call_of_any_story_is_replaced_and_the_story_ends_well() {
    let all: Vec<_> = Story::ALL.into_iter().flat_map(points).collect();
    let chosen = match std::env::var("CAPMAAS_CRASH_POINT") {
        Ok(only) => all.into_iter().filter(|point| named(point) == only).collect(),
        // CAPMAAS_CRASH_STEP=1 is the full matrix.
        Err(_) => thinned(all, "CAPMAAS_CRASH_STEP", 23),
    };
    assert!(!chosen.is_empty(), "no such point");
    let failed = failing(&chosen, "CAPMAAS_CRASH_POINT", named, |(story, number, verdict)| {
        play(*story, &Trigger::at(*number, *verdict));
    });
    assert!(failed.is_empty(), "{failed:?}");
}
