//! Calls over an in-process MAAS that answers from a script, in paused time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Response;
use tokio::time::Instant;

use super::*;
use crate::{
    AllocateRequest, BoxError, Client, ClientBuilder, Deadlines, DeployRequest, Machines as _, ReleaseRequest,
    RetryPolicy, Stamp, SystemId, Zones as _,
};

/// What the script does with one request.
enum Act {
    Answer(u16, Option<&'static str>, &'static str),
    /// Head at once, body never.
    Stall,
    /// No answer ever.
    Hang,
    Fail(fn() -> BoxError),
}

use Act::{Answer, Fail, Hang, Stall};

type Headers = Arc<Mutex<Vec<String>>>;

/// A builder, the script behind it and the Authorization headers it saw.
fn script(acts: Vec<Act>) -> (ClientBuilder, impl FnOnce(ClientBuilder) -> Client, Headers) {
    let seen = Headers::default();
    let acts = Arc::new(Mutex::new(VecDeque::from(acts)));
    let stamps = Arc::new(Mutex::new(0_u64));
    let builder = Client::builder("http://maas:5240/MAAS", "Consumer:Token:Secret")
        .unwrap()
        .rng(fastrand::Rng::with_seed(7))
        .stamps(move || {
            let mut count = stamps.lock().unwrap();
            *count += 1;
            Stamp { nonce: format!("nonce-{count}"), unix_seconds: 1_000 + *count }
        });
    let headers = seen.clone();
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let header = request.headers()[header::AUTHORIZATION].to_str().unwrap().to_owned();
        headers.lock().unwrap().push(header);
        let act = acts.lock().unwrap().pop_front().expect("one request more than the script has");
        async move {
            let body = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync();
            match act {
                Answer(status, retry_after, text) => {
                    let mut response = Response::builder().status(status);
                    if let Some(seconds) = retry_after {
                        response = response.header("retry-after", seconds);
                    }
                    Ok(response.body(body(text).map_err(Into::into).boxed_unsync()).unwrap())
                }
                Stall => Ok(Response::new(Stalled.boxed_unsync())),
                Hang => std::future::pending().await,
                Fail(error) => Err::<Response<ResponseBody>, BoxError>(error()),
            }
        }
    });
    (builder, move |builder: ClientBuilder| builder.build_with_service(service), seen)
}

struct Stalled;

impl http_body::Body for Stalled {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        std::task::Poll::Pending
    }
}

fn id() -> SystemId {
    "wt67ch".parse().unwrap()
}

const MACHINE: &str = r#"{"system_id": "wt67ch", "status": 10}"#;

#[tokio::test(start_paused = true)]
async fn a_read_is_repeated_until_it_works_with_a_fresh_signature_each_time() {
    let (builder, build, seen) =
        script(vec![Answer(502, None, "<html>bad gateway</html>"), Fail(|| "reset".into()), Answer(200, None, "[]")]);
    let client = build(builder);
    assert_eq!(client.zones().list().await.unwrap(), []);
    let seen = seen.lock().unwrap();
    for (index, header) in seen.iter().enumerate() {
        assert!(header.contains(&format!("oauth_nonce=\"nonce-{}\"", index + 1)), "{header}");
        assert!(header.contains(&format!("oauth_timestamp=\"{}\"", 1001 + index)), "{header}");
    }
    assert_eq!(seen.len(), 3);
}

/// W-32
#[tokio::test(start_paused = true)]
async fn a_rolled_back_write_is_repeated_after_the_time_maas_asks_for() {
    let (builder, build, seen) = script(vec![Answer(409, Some("5"), "<html>busy</html>"), Answer(200, None, MACHINE)]);
    let client = build(builder);
    let start = Instant::now();
    let machine = client.machines().allocate(&AllocateRequest::default()).await.unwrap();
    assert_eq!(machine.system_id, id());
    assert!(start.elapsed() >= Duration::from_secs(5) && start.elapsed() < Duration::from_secs(7));
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_worked_is_sent_once_and_is_ambiguous() {
    for act in [Answer(500, None, "boom"), Answer(503, Some("10"), "no rack"), Fail(|| "reset".into()), Hang, Stall] {
        let (builder, build, seen) = script(vec![act]);
        let error = build(builder).machines().deploy(&id(), &DeployRequest::default()).await.unwrap_err();
        assert!(error.is_ambiguous(), "{error:?}");
        assert_eq!((error.attempts(), seen.lock().unwrap().len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_not_sent_is_repeated_and_then_not_ambiguous() {
    let acts = (0..3).map(|_| Fail(|| NotSent("refused".into()).into())).collect();
    let (builder, build, _) = script(acts);
    let error = build(builder).machines().deploy(&id(), &DeployRequest::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), error.is_ambiguous()), (ErrorKind::Transport, 3, false));
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_attempt_is_remembered_by_the_final_error() {
    let (builder, build, _) = script(vec![Answer(503, Some("1"), "no rack"), Answer(403, None, "")]);
    let error = build(builder).machines().release(&id(), &ReleaseRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(error.is_ambiguous());
}

#[tokio::test(start_paused = true)]
async fn a_replayed_nonce_is_signed_anew_once_even_with_retries_off() {
    let replayed = || Answer(401, None, "Authorization Error: 'Nonce already used: x'");
    let (builder, build, seen) = script(vec![replayed(), Answer(200, None, MACHINE)]);
    let client = build(builder.retry(RetryPolicy::none()));
    client.machines().allocate(&AllocateRequest::default()).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 2);

    let (builder, build, seen) = script(vec![replayed(), replayed()]);
    let error = build(builder).zones().list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonceReplayed);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn retries_can_be_switched_off() {
    let (builder, build, seen) = script(vec![Answer(502, None, "")]);
    let error = build(builder.retry(RetryPolicy::none())).zones().list().await.unwrap_err();
    assert_eq!((error.attempts(), seen.lock().unwrap().len()), (1, 1));
}

/// W-31
#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_hits_the_deadline_of_its_class() {
    let (builder, build, _) = script(vec![Stall]);
    let deadlines = Deadlines { read: Duration::from_secs(3), ..Deadlines::default() };
    let client = build(builder.deadlines(deadlines).retry(RetryPolicy::none()));
    let start = Instant::now();
    let error = client.zones().list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(start.elapsed().as_secs(), 3);
    assert!(!error.is_ambiguous());
}

#[tokio::test(start_paused = true)]
async fn an_answer_above_the_cap_is_refused() {
    let (builder, build, _) = script(vec![Answer(200, None, MACHINE), Answer(200, None, MACHINE)]);
    let client = build(builder.reply_limit(10));
    assert_eq!(client.machines().read(&id()).await.unwrap_err().kind(), ErrorKind::TooLarge);
    let write = client.machines().deploy(&id(), &DeployRequest::default()).await.unwrap_err();
    assert!(write.is_ambiguous());
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_success_is_a_decode_error_with_its_words() {
    let (builder, build, _) = script(vec![
        Answer(200, None, "<html><title>Log in to the portal</title></html>"),
        Answer(200, None, "{\"system_id\": [}"),
        Answer(200, None, "null"),
    ]);
    let client = build(builder);
    let error = client.machines().read(&id()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("Log in to the portal"), "{error}");
    for _ in 0..2 {
        assert_eq!(client.machines().read(&id()).await.unwrap_err().kind(), ErrorKind::Decode);
    }
}

#[tokio::test(start_paused = true)]
async fn parameters_maas_would_choke_on_are_refused_before_sending() {
    let (builder, build, seen) = script(vec![]);
    let client = build(builder);
    for key in ["", "op", "a/b", "a b", "ü", &"k".repeat(256)] {
        let data = [(key.to_owned(), "v".to_owned())].into();
        let error = client.machines().set_owner_data(&id(), &data).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{key:?}");
    }
    let request = AllocateRequest { agent_name: Some("x".repeat(256)), ..Default::default() };
    assert_eq!(client.machines().allocate(&request).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_operation_is_callable_by_its_row() {
    type Seen = (http::Method, String, usize);
    let seen = Arc::new(Mutex::new(Vec::<Seen>::new()));
    let slot = seen.clone();
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let slot = slot.clone();
        async move {
            let (head, body) = request.into_parts();
            let size = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes().len();
            let uri = head.uri.path_and_query().unwrap().as_str().to_owned();
            if uri != "/MAAS/api/2.0/version/" {
                slot.lock().unwrap().push((head.method, uri, size));
            }
            Ok::<_, BoxError>(Response::new(Full::new(Bytes::from_static(b"{\"version\": \"of its own\"}"))))
        }
    });
    let client = Client::builder("http://maas:5240/MAAS", "a:b:c").unwrap().build_with_service(service);
    for operation in crate::operation::all().filter(|operation| operation.name != "version.read") {
        let mut call = client.call(operation).parameter("key", "a b");
        for id in 0..operation.ids() {
            call = call.id(format!("10.0.0.0/2{id}"));
        }
        call.done().await.unwrap_or_else(|error| panic!("{}: {error}", operation.name));
        let (method, uri, size) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(method, operation.method, "{}", operation.name);
        let mut path = operation.path.to_owned();
        for id in 0..operation.ids() {
            path = path.replacen("{}", &format!("10.0.0.0%2F2{id}"), 1);
        }
        let op = operation.op.map(|op| format!("op={op}"));
        let in_url = matches!(method, Method::GET | Method::DELETE);
        let query: Vec<_> = op.into_iter().chain(in_url.then(|| "key=a%20b".to_owned())).collect();
        let question = if query.is_empty() { "" } else { "?" };
        assert_eq!(uri, format!("/MAAS/api/2.0/{path}{question}{}", query.join("&")), "{}", operation.name);
        assert_eq!(size, if in_url { 0 } else { "key=a%20b".len() }, "{}", operation.name);
    }
}

#[tokio::test]
async fn a_call_with_the_wrong_ids_is_refused_before_sending() {
    let (builder, build, seen) = script(vec![]);
    let client = build(builder);
    let call = || client.call(&crate::operation::PARTITION_READ);
    for call in [
        call(),
        call().id(1).id(2),
        call().id(1).id(2).id(3).id(4),
        call().id("..").id(2).id(3),
        call().id("").id(2).id(3),
    ] {
        assert_eq!(call.done().await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_operation_this_maas_lacks_fails_before_sending_with_the_version() {
    for (version, operation, words) in [
        (
            "3.5.2",
            &crate::operation::RESERVED_IPS_LIST,
            "MAAS 3.5.2 does not have this operation, which exists since 3.6",
        ),
        ("3.9.0", &crate::operation::VM_HOSTS_LIST, "MAAS 3.9.0 does not have this operation, which exists up to 3.8"),
    ] {
        let body: &'static str = format!("{{\"version\": \"{version}\"}}").leak();
        let (builder, build, seen) = script(vec![Answer(502, None, ""), Answer(200, None, body)]);
        let client = build(builder.retry(RetryPolicy { base: Duration::ZERO, ..Default::default() }));
        for _ in 0..2 {
            let error = client.call(operation).done().await.unwrap_err();
            assert_eq!(
                (error.kind(), error.is_ambiguous(), error.is_retryable()),
                (ErrorKind::Unsupported, false, false)
            );
            assert!(error.to_string().contains(words), "{error}");
        }
        assert_eq!(seen.lock().unwrap().len(), 2, "the version was asked once, after one retry");
    }
}

#[tokio::test]
async fn an_operation_this_maas_has_is_sent_after_one_question() {
    let version = r#"{"version": "3.7.3", "capabilities": ["networks-management"]}"#;
    let (builder, build, seen) =
        script(vec![Answer(200, None, version), Answer(200, None, "[]"), Answer(200, None, "[]")]);
    let client = build(builder);
    for _ in 0..2 {
        let list: Vec<serde_json::Value> = client.call(&crate::operation::RESERVED_IPS_LIST).json().await.unwrap();
        assert_eq!(list.len(), 0);
    }
    let abilities = client.capabilities().await.unwrap();
    assert!(abilities.reserved_ips() && abilities.vm_hosts() && !abilities.groups());
    assert_eq!((abilities.to_string().as_str(), abilities.words().len()), ("MAAS 3.7.3", 1));
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_total_deadline_covers_attempts_and_waits() {
    let (builder, build, seen) = script(vec![Answer(502, None, ""), Hang]);
    let client = build(builder.total_deadline(Duration::from_secs(4)));
    let start = Instant::now();
    let error = client.zones().list().await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Timeout, Duration::from_secs(4)));
    assert_eq!(seen.lock().unwrap().len(), 2);

    // a wait that would outlast it is not begun
    let (builder, build, seen) = script(vec![Answer(503, Some("10"), "")]);
    let client = build(builder.total_deadline(Duration::from_secs(4)));
    let start = Instant::now();
    let error = client.zones().list().await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Unavailable, Some(Duration::from_secs(10))));
    assert_eq!((start.elapsed(), seen.lock().unwrap().len()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lane_lets_no_more_through_than_it_should_and_lanes_do_not_block_each_other() {
    let busy = Arc::new(Mutex::new((0_usize, 0_usize)));
    let counter = busy.clone();
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let counter = counter.clone();
        async move {
            if request.method() == Method::GET {
                return Ok::<_, BoxError>(Response::new(Full::new(Bytes::from_static(b"[]"))));
            }
            {
                let mut counter = counter.lock().unwrap();
                counter.0 += 1;
                counter.1 = counter.1.max(counter.0);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            counter.lock().unwrap().0 -= 1;
            Ok(Response::new(Full::new(Bytes::from_static(MACHINE.as_bytes()))))
        }
    });
    let lanes = crate::Lanes { power: 2, ..crate::Lanes::gentle() };
    let client = Client::builder("http://maas:5240", "a:b:c").unwrap().lanes(lanes).build_with_service(service);
    let (machines, request) = (client.machines(), ReleaseRequest::default());
    let start = Instant::now();
    let releases = futures::future::join_all((0..6).map(|_| async {
        let machine = machines.release(&id(), &request).await;
        (machine.is_ok(), start.elapsed().as_secs())
    }));
    let read = async {
        client.zones().list().await.unwrap();
        start.elapsed()
    };
    let (releases, read) = futures::future::join(releases, read).await;
    assert_eq!(releases.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3]);
    assert!(releases.iter().all(|(ok, _)| *ok));
    assert_eq!((busy.lock().unwrap().1, read), (2, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_every_call_once() {
    let (builder, build, _) = script(vec![
        Answer(200, None, "[]"),
        Answer(502, None, ""),
        Answer(404, None, "No Machine matches the given query."),
    ]);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let slot = reports.clone();
    let client = build(builder.observer(move |report: &crate::CallReport| slot.lock().unwrap().push(report.clone())));
    client.zones().list().await.unwrap();
    client.machines().read(&id()).await.unwrap_err();
    client.call(&crate::operation::MACHINE_READ).done().await.unwrap_err();
    let reports: Vec<_> = reports.lock().unwrap().drain(..).collect();
    let told = |at: usize| {
        let report: &crate::CallReport = &reports[at];
        (report.operation.name, report.status, report.failure, report.attempts, report.bytes)
    };
    assert_eq!(reports.len(), 3);
    assert_eq!(told(0), ("zones.list", Some(200), None, 1, 2));
    assert_eq!(told(1), ("machine.read", Some(404), Some(ErrorKind::NotFound), 2, 0));
    assert_eq!(told(2), ("machine.read", None, Some(ErrorKind::InvalidRequest), 0, 0));
    assert!(reports[1].elapsed >= Duration::from_millis(500));
}

#[tokio::test]
async fn the_trace_id_of_the_region_is_kept_unless_it_is_odd() {
    for (header, expected) in [("5f2c-a_1", Some("5f2c-a_1")), ("a b", None), (&*"x".repeat(65), None)] {
        let headers = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("maas-trace-id"),
            HeaderValue::from_str(header).unwrap(),
        )]);
        let error = Error::from_reply(&crate::operation::ZONES_LIST, StatusCode::FORBIDDEN, &headers, b"");
        assert_eq!(error.request_id(), expected);
    }
}
