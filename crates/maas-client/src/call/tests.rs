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
