//! The in-process shell: [`KubeSim`] as a `tower::Service`, so that `kube::Client::new(sim, "default")` works.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};

use super::route::{Answer, Raw, event_line};
use crate::KubeSim;
use crate::present::Presenter;
use crate::verbs::Cursor;

/// Body of an answer; that of a watch goes on until the watch ends.
pub type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;

impl<B> tower::Service<Request<B>> for KubeSim
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let sim = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(b) => b.to_bytes(),
                Err(e) => {
                    tracing::debug!(error = %e, "request body ended early");
                    return Ok(plain(400, "text/plain", Bytes::from_static(b"request body ended early")));
                }
            };
            let text = |name: header::HeaderName| {
                let values: Vec<&str> = head.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
                values.join(",")
            };
            let raw = Raw {
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                accept: text(header::ACCEPT),
                content_type: text(header::CONTENT_TYPE),
                impersonates: head.headers.contains_key("impersonate-user"),
                body: body.to_vec(),
                method: head.method,
            };
            Ok(respond(&sim, sim.answer(&raw)))
        })
    }
}

pub(super) fn plain(code: u16, content_type: &'static str, body: Bytes) -> Response<ResponseBody> {
    let mut out = Response::new(Full::new(body).boxed_unsync());
    *out.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    out.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    out
}

fn respond(sim: &KubeSim, answer: Answer) -> Response<ResponseBody> {
    match answer {
        Answer::Text(code, "") => {
            let mut out = plain(code, "", Bytes::new());
            out.headers_mut().remove(header::CONTENT_TYPE);
            out
        }
        Answer::Text(code, text) => plain(code, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes())),
        Answer::Json { code, content_type, body, warnings } => {
            let mut out = plain(code, content_type, Bytes::from(body.to_string()));
            if let Some(seconds) = body["details"]["retryAfterSeconds"].as_u64() {
                out.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            for w in warnings {
                let quoted = format!("299 - \"{}\"", w.replace('\\', "\\\\").replace('"', "\\\""));
                if let Ok(v) = HeaderValue::from_str(&quoted) {
                    out.headers_mut().append(header::WARNING, v);
                }
            }
            out
        }
        Answer::Watch { cursor, presenter, seconds } => {
            let deadline = seconds.map(|s| tokio::time::Instant::now() + Duration::from_secs(s));
            let running = Running { sim: sim.clone(), cursor, presenter, deadline, over: false };
            let frames = stream::unfold(running, |mut w| async move {
                let chunk = w.next().await?;
                Some((Ok::<_, Infallible>(Frame::data(chunk)), w))
            });
            let mut out = plain(200, "application/json", Bytes::new());
            *out.body_mut() = StreamBody::new(frames).boxed_unsync();
            out
        }
    }
}

/// A watch being streamed. It owns no task: it runs while its body is polled.
struct Running {
    sim: KubeSim,
    cursor: Box<Cursor>,
    presenter: Presenter,
    deadline: Option<tokio::time::Instant>,
    over: bool,
}

impl Running {
    /// The lines that are due, or `None` when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let sim = self.sim.clone();
        loop {
            // Registered before looking, so that a write in between is not missed.
            let changed = sim.changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (events, now) = sim.with_state(|s| (self.cursor.advance(s), s.now()));
            self.presenter.now = now;
            self.over = self.cursor.ended();
            if !events.is_empty() {
                let mut lines = Vec::new();
                for (kind, object) in events {
                    lines.extend(event_line(kind, object, &self.cursor, &self.presenter));
                    // Columns are told once.
                    self.presenter.described = false;
                }
                return Some(lines.into());
            }
            if self.over {
                return None;
            }
            let Some(deadline) = self.deadline else {
                changed.await;
                continue;
            };
            tokio::select! {
                biased;
                () = &mut changed => {}
                () = tokio::time::sleep_until(deadline) => {
                    self.over = true;
                    let (kind, object) = self.cursor.farewell()?;
                    return Some(event_line(kind, object, &self.cursor, &self.presenter).into());
                }
            }
        }
    }
}
