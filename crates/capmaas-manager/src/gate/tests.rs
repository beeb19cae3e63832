use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use tower::{ServiceExt as _, service_fn};

use super::*;

const SORRY: Canned = Canned { status: 409, retry_after: Some(7), body: "busy" };

/// What a caller sees of one call under a verdict, and how often the other side was called.
async fn call(gate: &Gate, calls: &Arc<AtomicU32>) -> (u16, Option<String>, String) {
    let calls = calls.clone();
    let far = service_fn(move |_: Request<()>| {
        calls.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}")))) }
    });
    let answer = gate.layer("far").layer(far).oneshot(Request::get("/x").body(()).unwrap()).await.unwrap();
    let after = answer.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, after, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn each_verdict_gives_its_answer_and_reaches_the_other_side_or_not() {
    let ok = (200, None, "{}".to_owned());
    let sorry = (409, Some("7".to_owned()), "busy".to_owned());
    let late = Duration::from_secs(5);
    for (verdict, seen, effects) in [
        (Verdict::Pass, Some(ok.clone()), 1),
        (Verdict::Delay(late), Some(ok.clone()), 1),
        (Verdict::Late(late), Some(ok), 1),
        (Verdict::Answer(SORRY), Some(sorry.clone()), 0),
        (Verdict::CommitThenAnswer(SORRY), Some(sorry), 1),
        (Verdict::Cut(0), Some((200, None, String::new())), 1),
        (Verdict::Drop, None, 0),
        (Verdict::CommitThenDrop, None, 1),
        (Verdict::StopBefore, None, 0),
        (Verdict::StopAfter, None, 1),
        (Verdict::FreezeBefore, None, 0),
        (Verdict::FreezeAfter, None, 1),
    ] {
        let (gate, calls) = (Gate::with_rule(move |_| verdict), Arc::default());
        let answer = tokio::time::timeout(Duration::from_secs(60), call(&gate, &calls)).await;
        assert_eq!((answer.ok(), calls.load(Ordering::Relaxed)), (seen, effects), "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_took_effect_at_once_and_a_delayed_call_when_it_arrives() {
    for (verdict, before) in [(Verdict::Late(Duration::from_secs(5)), 1), (Verdict::Delay(Duration::from_secs(5)), 0)] {
        let (gate, calls) = (Gate::with_rule(move |_| verdict), Arc::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = seen.clone();
        gate.witness(move |moment, call| told.lock().unwrap().push((call.number, moment)));
        let mut running = Box::pin(call(&gate, &calls));
        assert!(running.as_mut().now_or_never().is_none());
        assert_eq!(calls.load(Ordering::Relaxed), before, "{verdict:?}");
        running.await;
        assert_eq!(*seen.lock().unwrap(), [(1, Moment::Arrives), (1, Moment::Answered(200))], "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_process_sends_and_receives_nothing_until_it_thaws() {
    let (gate, calls) = (Gate::open(), Arc::default());
    let body = gate.layer("far").layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"frame"))))
    }));
    let watch = body.oneshot(Request::get("/watch").body(()).unwrap()).await.unwrap();
    let mut frames = watch.into_body();
    gate.freeze();
    let mut running = Box::pin(call(&gate, &calls));
    assert!(running.as_mut().now_or_never().is_none() && frames.frame().now_or_never().is_none());
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    gate.thaw();
    assert_eq!(running.await.0, 200);
    assert_eq!(frames.frame().await.unwrap().unwrap().into_data().unwrap(), "frame");
}
