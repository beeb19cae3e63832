//! Measures a region of 10,000 machines: memory, a filtered list, single reads, a whole list. `cargo xtask bench sim` runs it.

// Figures are of this process on this computer, so the real clock is the right one.
#![allow(clippy::disallowed_methods)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use jiff::Timestamp;
use maas_sim::{ADMIN_KEY, Config, Costs, Region};

const MACHINES: usize = 10_000;
/// What 10,000 machines may take, in MiB.
const MEMORY: u64 = 400;
/// What a filtered list of 50 of them may take.
const FILTERED: Duration = Duration::from_millis(2);

/// Resident memory of this process in MiB, from Linux.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

struct Caller {
    region: Region,
    now: Timestamp,
    nonce: u64,
}

impl Caller {
    fn ask(&mut self, method: Method, path: &str) -> http::Response<Bytes> {
        self.nonce += 1;
        let key: Vec<&str> = ADMIN_KEY.split(':').collect();
        let sign = format!(
            "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{}\", oauth_token=\"{}\", oauth_signature=\"%26{}\", oauth_nonce=\"{}\", oauth_timestamp=\"{}\"",
            key[0],
            key[1],
            key[2],
            self.nonce,
            self.now.as_second()
        );
        let request = Request::builder()
            .method(method)
            .uri(format!("/MAAS/api/2.0/{path}"))
            .header("authorization", sign)
            .body(Bytes::new())
            .expect("a request");
        self.region.handle(self.now, request)
    }

    /// Half of the runs are faster than the first time, nine of ten than the second.
    fn measure(&mut self, what: &str, path: &str, runs: usize) -> Duration {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..runs {
            let started = Instant::now();
            let answer = self.ask(Method::GET, path);
            times.push(started.elapsed());
            assert_eq!(answer.status(), 200, "{path}");
            bytes = answer.body().len();
        }
        times.sort_unstable();
        let (median, most) = (times[runs / 2], times[runs * 9 / 10]);
        println!("{what:<44} {median:>10.2?} median {most:>10.2?} p90 {:>8} KiB", bytes / 1024);
        median
    }
}

/// Fails when a figure is worse than it may be.
fn main() -> ExitCode {
    let costly = std::env::args().any(|a| a == "--costs");
    let before = resident();
    let started = Instant::now();
    let costs = if costly { Costs::real() } else { Costs::default() };
    let config = Config { costs, ..Config::lab(MACHINES) };
    let now = config.epoch;
    let mut caller = Caller { region: Region::new(config), now, nonce: 0 };
    println!("{MACHINES} machines made in {:.2?}", started.elapsed());
    let started = Instant::now();
    for _ in 0..50 {
        assert_eq!(caller.ask(Method::POST, "machines/?op=allocate").status(), 200);
    }
    println!("50 allocations among them in {:.2?}", started.elapsed());
    let filtered =
        caller.measure("filtered list of 50 of 10,000", "machines/?owner=admin&status=allocated&status=deploying", 200);
    caller.measure("read of one", "machines/?hostname=node00777", 200);
    caller.measure("free ones of a zone, 1,250 of 10,000", "machines/?status=ready&zone=zone-a", 5);
    let lazy = resident();
    if let (Some(before), Some(after)) = (before, lazy) {
        println!("resident: {after} MiB, {} MiB of them the region", after.saturating_sub(before));
    }
    caller.measure("whole list", "machines/", 2);
    if let Some(after) = resident() {
        println!("resident once every machine's text is kept for lists: {after} MiB");
    }
    if costly {
        let held = caller.ask(Method::GET, "machines/").extensions().get::<maas_sim::Held>().map(|h| h.0);
        println!("the whole list would be held for {held:?} by the cost model");
    }
    let fast = filtered <= FILTERED;
    // Nowhere but on Linux is the size known.
    let small = lazy.is_none_or(|mib| mib <= MEMORY);
    println!("filtered list within {FILTERED:?}: {fast}; {MACHINES} machines within {MEMORY} MiB: {small}");
    if fast && small { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
