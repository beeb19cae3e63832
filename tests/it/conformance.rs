//! kube-sim is held to what the real API server said.

use std::path::Path;
use std::sync::Arc;

use capmaas_tests::conformance::{AREAS, Played, Run, Transcript, difference, gaps};
use kube_sim::{Config, KubeSim};
use serde_json::{Map, Value};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance");

fn play() -> Vec<Played> {
    capmaas_tests::paused(async {
        let sim = KubeSim::new(Config::new(Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap()), 1));
        let run = Run::prepare(kube::Client::new(sim, "default"), "conf000001").await.unwrap();
        let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
        run.play(&only, 1).await
    })
}

fn tracked() -> Map<String, Value> {
    let read = |name: &str| Transcript::read(Path::new(FOLDER), name).unwrap();
    AREAS.iter().filter_map(|area| read(area.name)).flat_map(|t| t.cases).collect()
}

#[test]
fn kube_sim_says_what_the_real_server_says_but_for_the_listed_gaps() {
    let (tracked, gaps) = (tracked(), gaps(Path::new(FOLDER)).unwrap());
    let played = play();
    let mut wrong = Vec::new();
    for Played { area, case, outcome, .. } in &played {
        let told = match (tracked.get(case.name), outcome) {
            (None, _) => format!("no transcript of the real server: {}\n", refresh()),
            (Some(_), Err(error)) => format!("{error}\n"),
            (Some(real), Ok(ours)) => difference(real, &Value::from(ours.clone())),
        };
        match (told.is_empty(), gaps.contains_key(case.name)) {
            (true, false) | (false, true) => {}
            (true, true) => wrong.push(format!("{}: works now, remove it from GAPS.md: {}", area.name, case.name)),
            (false, false) => wrong.push(format!("{}: {} (- real, + kube-sim)\n{told}", area.name, case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n\n{}", wrong.len(), played.len(), wrong.join("\n"));
}

fn refresh() -> &'static str {
    "conformance/mod.rs says how to make one"
}

#[test]
fn every_case_has_a_name_of_its_own_and_every_gap_and_transcript_is_a_cases() {
    let mut names: Vec<&str> = AREAS.iter().flat_map(|area| area.cases).map(|case| case.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two cases of one name");
    for name in gaps(Path::new(FOLDER)).unwrap().keys() {
        assert!(names.contains(&name.as_str()), "a gap of no case: {name}");
    }
    for name in tracked().keys() {
        assert!(names.contains(&name.as_str()), "a transcript of no case: {name}");
    }
}
