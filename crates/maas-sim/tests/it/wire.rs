//! Each fault as a client sees it on real HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::{SignedDuration, Timestamp};
use maas_sim::{
    ADMIN_KEY, Config, Costs, Delivery, Fault, FaultRule, Latency, Outage, Region, SharedRegion, Status, When, serve,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clients::sign;

const NOW: &str = "2026-11-23T12:00:00Z";

/// A region on a socket, with a clock that tests move.
struct Wire {
    region: SharedRegion,
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
    clock: Arc<AtomicI64>,
    nonce: u64,
    _server: JoinSet<std::io::Result<std::convert::Infallible>>,
}

impl Wire {
    async fn new(config: Config) -> Self {
        let start: Timestamp = NOW.parse().unwrap();
        let clock = Arc::new(AtomicI64::new(start.as_second()));
        let told = Arc::clone(&clock);
        let now = move || Timestamp::from_second(told.load(Ordering::SeqCst)).unwrap();
        let region = SharedRegion::new(Region::new(config), Arc::new(now));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/MAAS", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(serve(listener, region.clone()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { region, base, client, clock, nonce: 0, _server: server }
    }

    fn fault(&self, operation: &str, fault: Fault, when: When) {
        self.region.with(|r, _| r.add_fault(FaultRule::on(operation, fault, when)));
    }

    fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// One request on a connection of its own: nothing in the client hides that one breaks.
    async fn ask(&mut self, method: &str, path: &str) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        self.nonce += 1;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/api/2.0/{path}", self.base))
            .header("authorization", sign(ADMIN_KEY, self.region.now(), self.nonce))
            .header("connection", "close")
            .body(Full::default())
            .unwrap();
        self.client.request(request).await
    }

    async fn status(&mut self, method: &str, path: &str) -> (u16, Option<String>, String) {
        let answer = self.ask(method, path).await.unwrap();
        let retry = answer.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, retry, String::from_utf8(body.to_vec()).unwrap())
    }

    fn allocated(&self) -> usize {
        self.region.with(|r, _| {
            let ids = r.system_ids();
            ids.iter().filter(|id| r.machine(id).unwrap().status == Status::Allocated).count()
        })
    }
}

const ALLOCATE: &str = "machines/?op=allocate";

#[tokio::test]
async fn a_dropped_request_was_done_or_not_and_the_client_cannot_tell() {
    for (fault, done) in [(Fault::DropBefore, 0), (Fault::CommitThenDrop, 1)] {
        let mut wire = Wire::new(Config::lab(3)).await;
        wire.fault("POST machines allocate", fault, When::Times(1));
        assert!(wire.ask("POST", ALLOCATE).await.is_err());
        assert_eq!(wire.allocated(), done);
        assert_eq!(wire.status("POST", ALLOCATE).await.0, 200, "once only");
    }
}

#[tokio::test]
async fn an_error_may_follow_what_was_done() {
    for (status, html) in [(500, false), (502, true), (504, true)] {
        let mut wire = Wire::new(Config::lab(3)).await;
        wire.fault("POST", Fault::CommitThenStatus(status), When::Times(1));
        let (seen, _, body) = wire.status("POST", ALLOCATE).await;
        assert_eq!((seen, body.contains("nginx")), (status, html));
        assert_eq!(wire.allocated(), 1);
    }
}

#[tokio::test]
async fn refusals_by_conflict_overload_proxy_and_redirect_do_nothing() {
    for (fault, status, retry, text) in [
        (Fault::Conflict { retry_after: 5 }, 409, Some("5"), "<html>"),
        (Fault::Unavailable { retry_after: Some(10) }, 503, Some("10"), "no connections available"),
        (Fault::Unavailable { retry_after: None }, 503, None, "no connections available"),
        (Fault::Gateway(502), 502, None, "502 Bad Gateway"),
        (Fault::Gateway(504), 504, None, "504 Gateway Time-out"),
    ] {
        let mut wire = Wire::new(Config::lab(3)).await;
        wire.fault("POST machines allocate", fault.clone(), When::Times(2));
        for _ in 0..2 {
            let (seen, after, body) = wire.status("POST", ALLOCATE).await;
            assert_eq!((seen, after.as_deref()), (status, retry), "{fault:?}");
            assert!(body.contains(text), "{fault:?}: {body}");
        }
        assert_eq!(wire.allocated(), 0, "{fault:?}");
        assert_eq!(wire.status("POST", ALLOCATE).await.0, 200, "{fault:?}");
    }
    let mut wire = Wire::new(Config::lab(1)).await;
    wire.fault("", Fault::Redirect("https://maas.example:5443/MAAS/".to_owned()), When::Always);
    let answer = wire.ask("GET", "zones/").await.unwrap();
    assert_eq!(answer.status(), StatusCode::MOVED_PERMANENTLY);
    assert_eq!(answer.headers()["location"], "https://maas.example:5443/MAAS/");
}

#[tokio::test]
async fn heads_and_bodies_come_late() {
    let late = Duration::from_millis(300);
    let mut wire = Wire::new(Config::lab(3)).await;
    wire.fault("GET machines", Fault::Slow(Latency::Fixed(late)), When::Times(1));
    let started = tokio::time::Instant::now();
    let answer = wire.ask("GET", "machines/").await.unwrap();
    assert!(started.elapsed() >= late, "the head was late");
    assert_eq!(answer.status(), 200);

    wire.fault("GET machines", Fault::SlowBody(late), When::Times(1));
    let started = tokio::time::Instant::now();
    let answer = wire.ask("GET", "machines/").await.unwrap();
    let length: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert!(started.elapsed() < late, "the head is there at once");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(started.elapsed() >= late, "the body is late");
    assert_eq!(body.len(), length);
}

#[tokio::test]
async fn latencies_are_spread_as_told() {
    let ms = Duration::from_millis;
    let mut wire = Wire::new(Config::lab(1)).await;
    for (latency, at_least) in
        [(Latency::Uniform(ms(60), ms(90)), ms(60)), (Latency::LogNormal { median: ms(500), sigma: 0.2 }, ms(100))]
    {
        wire.fault("GET zones", Fault::Slow(latency), When::Times(1));
        let started = tokio::time::Instant::now();
        assert_eq!(wire.status("GET", "zones/").await.0, 200);
        assert!(started.elapsed() >= at_least, "{latency:?}");
    }
    let holds = |latency: Latency| -> Vec<Duration> {
        wire.fault("GET zones", Fault::Slow(latency), When::Times(1000));
        let ask = || Request::get("/MAAS/api/2.0/zones/").body(Bytes::new()).unwrap();
        let hold = |_| match wire.region.deliver(ask()).unwrap() {
            Delivery::Answer { hold, .. } => hold,
            Delivery::Dropped => panic!("dropped"),
        };
        let mut all: Vec<Duration> = (0..1000).map(hold).collect();
        all.sort_unstable();
        all
    };
    let uniform = holds(Latency::Uniform(ms(100), ms(300)));
    assert!(uniform[0] >= ms(100) && uniform[999] <= ms(300));
    assert!((ms(180)..ms(220)).contains(&uniform[500]), "{:?}", uniform[500]);
    let skewed = holds(Latency::LogNormal { median: ms(100), sigma: 1.0 });
    assert!((ms(85)..ms(115)).contains(&skewed[500]), "{:?}", skewed[500]);
    assert!(skewed[950] > ms(350), "few are far above: {:?}", skewed[950]);
}

#[tokio::test]
async fn bodies_break_off_or_end_in_the_middle_of_their_json() {
    let mut wire = Wire::new(Config::lab(3)).await;
    wire.fault("GET machines", Fault::CutBody, When::Times(1));
    let answer = wire.ask("GET", "machines/").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.into_body().collect().await.is_err(), "the connection breaks");
    wire.fault("GET machines", Fault::TruncatedText, When::Times(1));
    let (status, _, body) = wire.status("GET", "machines/").await;
    assert_eq!(status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_err() && body.starts_with('['));
    let (_, _, body) = wire.status("GET", "machines/").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap().as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn faults_strike_by_script_by_chance_and_by_machine() {
    let mut wire = Wire::new(Config::lab(2)).await;
    wire.fault("GET zones", Fault::Gateway(502), When::Script("x.xx".to_owned()));
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(wire.status("GET", "zones/").await.0);
    }
    assert_eq!(seen, [502, 200, 502, 502, 200, 200]);

    wire.fault("GET tags", Fault::Gateway(502), When::Chance(0.5));
    let mut broken = 0;
    for _ in 0..100 {
        broken += u32::from(wire.status("GET", "tags/").await.0 == 502);
    }
    assert!((30..70).contains(&broken), "{broken} of 100");

    let (first, second) = wire.region.with(|r, _| {
        let machine = Some("node01".to_owned());
        let rule = FaultRule { machine, ..FaultRule::on("GET machine", Fault::Gateway(504), When::Always) };
        r.add_fault(rule);
        (r.machine("node01").unwrap().system_id, r.machine("node02").unwrap().system_id)
    });
    assert_eq!(wire.status("GET", &format!("machines/{first}/")).await.0, 504);
    assert_eq!(wire.status("GET", &format!("machines/{second}/")).await.0, 200);
    let hits: Vec<u64> = wire.region.with(|r, _| r.faults().into_iter().map(|(_, _, hits)| hits).collect());
    assert_eq!((hits[0], hits[2]), (3, 1));
}

#[tokio::test]
async fn clocks_that_differ_refuse_signatures() {
    let mut wire = Wire::new(Config::lab(1)).await;
    wire.region.with(|r, _| r.set_clock_skew(SignedDuration::from_secs(301)));
    let (status, _, body) = wire.status("GET", "zones/").await;
    assert_eq!(status, 401);
    assert!(body.contains("has a greater difference than threshold 300"), "{body}");
    // A caller whose clock is ahead is not noticed.
    wire.region.with(|r, _| r.set_clock_skew(SignedDuration::from_secs(-3000)));
    assert_eq!(wire.status("GET", "zones/").await.0, 200);
}

#[tokio::test]
async fn a_maintenance_window_begins_and_ends_by_itself() {
    let mut wire = Wire::new(Config::lab(1)).await;
    wire.region.with(|r, now| {
        let at = |seconds| now + SignedDuration::from_secs(seconds);
        r.plan_outage(now, at(60), at(120), Outage::Unavailable);
    });
    assert_eq!(wire.status("GET", "zones/").await.0, 200);
    wire.wait(60);
    assert_eq!(wire.status("GET", "zones/").await.0, 503);
    wire.wait(60);
    assert_eq!(wire.status("GET", "zones/").await.0, 200);
}

#[tokio::test]
async fn a_restart_keeps_what_goes_on_or_loses_it() {
    for (lose, ended) in [(false, Status::Deployed), (true, Status::FailedDeployment)] {
        let mut wire = Wire::new(Config::lab(1)).await;
        let id = wire.region.with(|r, _| r.system_ids()[0].clone());
        assert_eq!(wire.status("POST", &format!("machines/{id}/?op=deploy")).await.0, 200);
        wire.wait(30);
        wire.region.with(|r, now| r.restart(now, Duration::from_secs(20), lose));
        assert!(wire.ask("GET", "zones/").await.is_err(), "connections are refused");
        wire.wait(20);
        assert_eq!(wire.status("GET", "zones/").await.0, 200);
        wire.wait(3600);
        let machine = wire.region.with(|r, _| r.machine(&id).unwrap());
        assert_eq!(machine.status, ended, "lose work: {lose}");
    }
}

#[tokio::test]
async fn faults_and_outages_are_asked_for_over_http_too() {
    let mut wire = Wire::new(Config::lab(1)).await;
    for (body, seen) in [
        (r#"{"operation": "GET zones", "fault": "gateway", "status": 504, "times": 1}"#, 504),
        (r#"{"operation": "GET zones", "fault": "conflict", "script": "x"}"#, 409),
        (r#"{"operation": "GET zones", "fault": "unavailable", "retry_after": 10, "chance": 1.0}"#, 503),
    ] {
        let request = Request::post(format!("{}/sim/faults", wire.base)).body(Full::from(body)).unwrap();
        assert_eq!(wire.client.request(request).await.unwrap().status(), 200, "{body}");
        assert_eq!(wire.status("GET", "zones/").await.0, seen, "{body}");
    }
    let request = Request::delete(format!("{}/sim/faults", wire.base)).body(Full::default()).unwrap();
    assert_eq!(wire.client.request(request).await.unwrap().status(), 200);
    assert_eq!(wire.status("GET", "zones/").await.0, 200);
}

#[tokio::test]
async fn a_region_can_cost_as_much_as_a_real_one() {
    let costs = Costs { per_machine: Duration::from_millis(20), ..Costs::default() };
    let mut wire = Wire::new(Config { costs, ..Config::lab(20) }).await;
    let started = tokio::time::Instant::now();
    wire.status("GET", "machines/").await;
    assert!(started.elapsed() >= Duration::from_millis(400), "twenty machines at 20 ms");
    let started = tokio::time::Instant::now();
    wire.status("GET", "machines/?hostname=node03").await;
    assert!(started.elapsed() < Duration::from_millis(300), "one of them");
}
