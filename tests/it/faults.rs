//! Seeded faults: calls and answers that get lost or are late, errors before and after the fact, conflicts, watches that break or are too
//! old, lists that are out of date. Every story goes through all the same, and nothing is done meanwhile that must not be.

use std::time::Duration;

use capmaas_manager::gate::{Call, Canned, Gate, Verdict};
use capmaas_tests::paused;
use capmaas_tests::stage::{Stage, failing};
use capmaas_tests::stories::Story;
use kube_sim::KubeSim;

const fn canned(status: u16, retry_after: Option<u16>, body: &'static str) -> Canned {
    Canned { status, retry_after, body }
}

/// What MAAS and the proxy before it answer when they are not well; none of them says whether anything was done but the one with
/// `Retry-After`.
const MAAS_BUSY: Canned = canned(409, Some(3), "Conflict");
const MAAS_DOWN: [Canned; 4] = [
    canned(500, None, "Internal Server Error"),
    canned(502, None, "<html><head><title>502 Bad Gateway</title></head></html>"),
    canned(503, None, "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"),
    canned(504, None, "<html><head><title>504 Gateway Time-out</title></head></html>"),
];

const CONFLICT: Canned = canned(
    409,
    None,
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"Conflict","code":409,"message":"the object has been modified; please apply your changes to the latest version and try again"}"#,
);
const KUBE_DOWN: [Canned; 3] = [
    canned(
        500,
        None,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"InternalError","code":500,"message":"etcdserver: request timed out"}"#,
    ),
    canned(
        429,
        Some(1),
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"TooManyRequests","code":429,"message":"too many requests"}"#,
    ),
    canned(503, None, "<html>no healthy upstream</html>"),
];
const EXPIRED: Canned = canned(
    410,
    None,
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"Expired","code":410,"message":"too old resource version"}"#,
);
const EXPIRED_EVENT: Canned = canned(
    200,
    None,
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"reason\":\"Expired\",\"code\":410,\"message\":\"too old resource version\"}}\n",
);

/// What may befall a call. Drawn for each call, so that a run's faults depend on its seed and on nothing else.
struct Fate {
    rng: fastrand::Rng,
    kube: KubeSim,
}

impl Fate {
    fn judge(&mut self, call: &Call) -> Verdict {
        let (bad, dice) = (self.rng.u32(0..100) < 12, self.rng.u32(0..8));
        let (span, which) = (Duration::from_millis(self.rng.u64(500..19_000)), self.rng.usize(0..4));
        let watches = call.target.contains("watch=true");
        if watches && which == 0 {
            // Others wrote so much meanwhile that the log does not reach back that far.
            self.kube.compact(1);
        }
        let writes = call.method != "GET";
        match (call.client, dice) {
            // Every connection ends some time, also one on which nothing was wrong.
            ("kube", _) if watches && !bad => Verdict::Cut(self.rng.usize(1..30)),
            _ if !bad => Verdict::Pass,
            ("kube", 0) if watches => Verdict::Answer(EXPIRED),
            ("kube", 1 | 2) if watches => Verdict::Answer(EXPIRED_EVENT),
            ("kube", 3 | 4) if watches => Verdict::Cut(0),
            (_, 0) => Verdict::Delay(span),
            // A read that is late shows what was.
            (_, 1) => Verdict::Late(span),
            ("maas", 2) => Verdict::Answer(MAAS_BUSY),
            ("maas", 3) => Verdict::Answer(MAAS_DOWN[which]),
            ("maas", 4 | 5) if writes => Verdict::CommitThenAnswer(MAAS_DOWN[which]),
            ("kube", 2 | 3) if writes => Verdict::Answer(CONFLICT),
            ("kube", 4) if writes => Verdict::CommitThenAnswer(KUBE_DOWN[which % 3]),
            ("kube", 2..=5) => Verdict::Answer(KUBE_DOWN[which % 3]),
            // Lists and watches that are never answered are ended by the connection's read timeout, which is not simulated.
            ("kube", _) if !writes && !call.target.contains("/secrets/") => Verdict::Delay(span),
            ("workload", 2..=5) => Verdict::Answer(KUBE_DOWN[which % 3]),
            (_, 6) => Verdict::Drop,
            _ => Verdict::CommitThenDrop,
        }
    }
}

/// Each seed plays one of these.
const STORIES: [Story; 5] = [Story::Life, Story::Upgrade, Story::MoveWhileClaiming, Story::Life, Story::Remediate];

fn play(seed: u64) {
    let story = STORIES[usize::try_from(seed).unwrap() % STORIES.len()];
    paused(async {
        let stage = Stage::set(story, seed).await;
        let gates: Vec<_> = stage
            .clusters()
            .iter()
            .zip(0..)
            .map(|((cluster, _), n)| {
                let mut fate =
                    Fate { rng: fastrand::Rng::with_seed(seed.wrapping_mul(31) + n), kube: cluster.kube.clone() };
                Gate::with_rule(move |call| fate.judge(call))
            })
            .collect();
        let managers = stage.clusters().into_iter().zip(&gates);
        let managers = managers.map(|((cluster, who), gate)| Box::pin(stage.manager(cluster, gate, seed, who)));
        let all = async { futures::future::select_all(managers).await.0 };
        stage.run(all, || (), || ()).await;
    });
}

#[test]
fn every_story_goes_through_faults_of_maas_and_of_the_api_server_and_nothing_is_done_that_must_not_be() {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    // CAPMAAS_FAULT_SEEDS=2000 for more, CAPMAAS_FAULT_FIRST=… from another seed on, CAPMAAS_FAULT_SEED=17 replays one.
    let seeds: Vec<_> = match number("CAPMAAS_FAULT_SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = number("CAPMAAS_FAULT_FIRST").unwrap_or(1);
            (first..first + number("CAPMAAS_FAULT_SEEDS").unwrap_or(5)).collect()
        }
    };
    let failed = failing(&seeds, "CAPMAAS_FAULT_SEED", u64::to_string, |seed| play(*seed));
    println!("{} seeds", seeds.len());
    assert!(failed.is_empty(), "seeds that did not come through: {failed:?}");
}
