//! The region behind a `tower::Service` and behind a socket.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use maas_sim::{ADMIN_KEY, Config, Happening, Outage, Region, SharedRegion, ShellErrorKind, serve};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::clients::sign;

const NOW: &str = "2026-11-23T12:00:00Z";

fn shared() -> SharedRegion {
    let now: Timestamp = NOW.parse().unwrap();
    SharedRegion::new(Region::new(Config::lab(2)), Arc::new(move || now))
}

fn signed(method: &str, uri: &str, nonce: u64) -> http::request::Builder {
    Request::builder().method(method).uri(uri).header("authorization", sign(ADMIN_KEY, NOW.parse().unwrap(), nonce))
}

async fn body(response: Response<impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&bytes)))
}

#[tokio::test]
async fn clones_of_the_service_are_one_region() {
    let region = shared();
    let allocate =
        signed("POST", "http://maas/MAAS/api/2.0/machines/?op=allocate", 1).body(Full::new(Bytes::new())).unwrap();
    assert_eq!(region.clone().oneshot(allocate).await.unwrap().status(), 200);
    region.changed().await;
    let list = signed("GET", "/MAAS/api/2.0/machines/?status=allocated", 2).body(Full::new(Bytes::new())).unwrap();
    assert_eq!(body(region.clone().oneshot(list).await.unwrap()).await.as_array().unwrap().len(), 1);
    region.with(|r, now| r.set_outage(now, Some(Outage::Refuse)));
    let refused =
        region.oneshot(signed("GET", "/MAAS/api/2.0/version/", 3).body(Full::new(Bytes::new())).unwrap()).await;
    assert_eq!(refused.unwrap_err().kind(), ShellErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_driver_sleeps_until_the_next_due_time_and_sees_the_machine_boot() {
    let epoch: Timestamp = NOW.parse().unwrap();
    let started = tokio::time::Instant::now();
    let clock = Arc::new(move || epoch + started.elapsed());
    let region = SharedRegion::new(Region::new(Config::lab(1)), clock);
    let id = region.with(|r, _| r.system_ids()[0].clone());
    let deploy =
        signed("POST", &format!("/MAAS/api/2.0/machines/{id}/?op=deploy"), 1).body(Full::new(Bytes::new())).unwrap();
    assert_eq!(region.clone().oneshot(deploy).await.unwrap().status(), 200);
    let booted = loop {
        let (happenings, next) = region.drive();
        if let Some(booted) = happenings.into_iter().find(|h| matches!(h, Happening::Booted { .. })) {
            break booted;
        }
        let next = next.expect("a deployment always has a next step");
        let pause = std::time::Duration::try_from(next.duration_since(region.now())).unwrap();
        tokio::time::sleep(pause).await;
    };
    assert!(matches!(booted, Happening::Booted { system_id, user_data: None, .. } if system_id == id));
    assert_eq!(region.now().duration_since(epoch).as_secs(), 400);
    assert_eq!(region.tick(), None, "watchdogs of finished deployments wake nobody");
}

#[tokio::test]
async fn http_serves_the_api_and_the_controls() {
    let region = shared();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/MAAS", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, region.clone()));
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let control = |method: &str, path: &str, text: &'static str| {
        Request::builder()
            .method(method)
            .uri(format!("{base}/sim/{path}"))
            .body(Full::new(Bytes::from_static(text.as_bytes())))
            .unwrap()
    };

    let version =
        client.request(Request::get(format!("{base}/api/2.0/version/")).body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(version.headers()["x-maas-api-hash"].len(), 40);
    assert_eq!(body(version).await["version"], "3.7.3");

    let list = client
        .request(signed("GET", &format!("{base}/api/2.0/machines/"), 9).body(Full::default()).unwrap())
        .await
        .unwrap();
    assert_eq!(list.headers()["content-type"], "application/json; charset=utf-8");
    let machines = body(list).await;
    assert_eq!(machines.as_array().unwrap().len(), 2);

    for (path, text) in [
        ("machines/node01/power-cord", r#"{"plugged": false}"#),
        ("machines/node01/fail-next-deployment", r#"{"error": "burnt"}"#),
        ("machines/node01/bmc", r#"{"state": "fails"}"#),
        ("machines/node01/lock", r#"{"locked": true}"#),
        ("machines/node01/status", r#"{"status": "rescue_mode"}"#),
        ("machines/node01/owner", r#"{"owner": "alice"}"#),
        ("machines", r#"{"hostname": "added"}"#),
        ("users/alice", r#"{"admin": true}"#),
        ("users/alice/keys", r#"{"key": "a:b:c"}"#),
        ("dns", r#"{"fqdn": "x.maas.sc", "addresses": ["192.0.2.1"]}"#),
        ("tick", ""),
    ] {
        let done = client.request(control("POST", path, text)).await.unwrap();
        assert_eq!(done.status(), StatusCode::OK, "{path}: {:?}", body(done).await);
    }
    let shown = body(client.request(control("GET", "machines/node01", "")).await.unwrap()).await;
    assert_eq!(
        (shown["status"].as_str(), shown["locked"].as_bool(), shown["owner"].as_str()),
        (Some("rescue_mode"), Some(true), Some("alice"))
    );
    for (name, addresses, ttl) in [
        ("node01.maas", serde_json::json!(["10.10.192.1"]), Some(30)),
        ("none.maas", serde_json::json!([]), Some(30)),
        ("maas.io", serde_json::json!([]), None),
    ] {
        let found = body(client.request(control("GET", &format!("resolve?name={name}"), "")).await.unwrap()).await;
        assert_eq!((&found["addresses"], found["ttl"].as_u64()), (&addresses, ttl), "{name}");
        assert!(found.as_object().unwrap().contains_key("ttl"), "{found}");
    }
    let counters = body(client.request(control("GET", "counters", "")).await.unwrap()).await;
    assert_eq!((counters["reads"].as_u64(), counters["writes"].as_u64()), (Some(2), Some(0)));
    assert_eq!(
        client.request(control("POST", "machines/nobody/lock", r#"{"locked": true}"#)).await.unwrap().status(),
        404
    );
    assert_eq!(
        client.request(control("POST", "machines/node01/lock", r#"{"locked": 1}"#)).await.unwrap().status(),
        400
    );
    assert_eq!(client.request(control("DELETE", "machines/added", "")).await.unwrap().status(), 200);

    client.request(control("POST", "region", r#"{"outage": "refuse"}"#)).await.unwrap();
    let refused =
        client.request(signed("GET", &format!("{base}/api/2.0/machines/"), 10).body(Full::default()).unwrap()).await;
    assert!(refused.is_err(), "the connection closes without an answer");
    client.request(control("POST", "region", r#"{"outage": "none"}"#)).await.unwrap();
    let back = client
        .request(signed("GET", &format!("{base}/api/2.0/machines/"), 11).body(Full::default()).unwrap())
        .await
        .unwrap();
    assert_eq!(back.status(), 200);
}

#[tokio::test]
async fn signatures_are_judged_by_the_clock_of_callers_outside() {
    let later: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
    let region = SharedRegion::new(Region::new(Config::lab(2)), Arc::new(move || later));
    let outside = region.clone().signed_by(Arc::new(|| NOW.parse().unwrap()));
    let list =
        |nonce| signed("GET", "http://maas/MAAS/api/2.0/machines/", nonce).body(Full::new(Bytes::new())).unwrap();
    assert_eq!(outside.oneshot(list(1)).await.unwrap().status(), 200);
    assert_eq!(region.oneshot(list(2)).await.unwrap().status(), 401, "two days old by the region's own clock");
}

#[tokio::test]
async fn time_is_put_forward_by_a_control_call_and_callers_keep_their_clock() {
    let region = SharedRegion::standing(Config::lab(1));
    let epoch = region.now();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/MAAS", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, region.clone()));
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let ask = |method: &str, path: &str, nonce: u64| {
        let builder = Request::builder().method(method).uri(format!("{base}/{path}"));
        builder.header("authorization", sign(ADMIN_KEY, epoch, nonce)).body(Full::new(Bytes::new())).unwrap()
    };
    let id = region.with(|r, _| r.system_ids()[0].clone());
    let deployed = client.request(ask("POST", &format!("api/2.0/machines/{id}/?op=deploy"), 1)).await.unwrap();
    assert_eq!(body(deployed).await["status_name"], "Deploying");
    let jump = Request::post(format!("{base}/sim/advance")).body(Full::from(r#"{"seconds": 3000}"#)).unwrap();
    assert_eq!(body(client.request(jump).await.unwrap()).await["now"], "2026-01-01T00:50:00Z");
    let machine = client.request(ask("GET", &format!("api/2.0/machines/{id}/"), 2)).await.unwrap();
    assert_eq!(body(machine).await["status_name"], "Deployed", "signed by a clock that did not jump");
    let wrong = Request::post(format!("{base}/sim/advance")).body(Full::from("{}")).unwrap();
    assert_eq!(client.request(wrong).await.unwrap().status(), 400);
}
