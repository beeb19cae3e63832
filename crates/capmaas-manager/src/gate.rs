//! A gate before a client: numbers every call, and may delay it, lose it, lose or age its answer, answer in the other side's place,
//! freeze the process there, or stop it.
//!
//! One [`Gate`] is shared by the clients of a run, so that crash points and interleavings are lists of call numbers. Without a
//! rule it only counts and keeps the trace. A witness ([`Gate::witness`]) sees each call in the moment in which it takes effect.

mod body;
mod frost;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use tower::{Layer, Service};

pub use self::body::GatedBody;
use self::frost::Frost;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes through.
    Pass,
    /// It goes through after this time (tokio time).
    Delay(Duration),
    /// It takes effect now, and its answer comes after this time (tokio time): what a list shows is out of date by then.
    Late(Duration),
    /// It never arrives; no answer.
    Drop,
    /// It takes effect; no answer.
    CommitThenDrop,
    /// It never arrives; this is the answer.
    Answer(Canned),
    /// It takes effect; this is the answer.
    CommitThenAnswer(Canned),
    /// It goes through, and its answer ends after so many frames, as a watch does when its connection is closed.
    Cut(usize),
    /// Before it is sent the process freezes: see [`Gate::freeze`].
    FreezeBefore,
    /// After it took effect, before its answer is seen, the process freezes.
    FreezeAfter,
    /// The run is stopped before it is sent.
    StopBefore,
    /// The run is stopped after it took effect.
    StopAfter,
}

/// An answer that the other side did not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canned {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u16>,
    /// JSON if it begins with a brace, else HTML.
    pub body: &'static str,
}

/// A call as a rule sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Counts from 1.
    pub number: u64,
    /// Which client sends it.
    pub client: &'static str,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub target: String,
}

/// When a witness is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has arrived at the other side, which has not looked at it yet.
    Arrives,
    /// It took effect; the other side answers with this status.
    Answered(u16),
}

type Rule = Box<dyn FnMut(&Call) -> Verdict + Send>;
type Witness = Box<dyn FnMut(Moment, &Call) + Send>;

#[derive(Default)]
struct State {
    calls: u64,
    trace: Vec<String>,
    rule: Option<Rule>,
    stopped: bool,
}

/// See the module. Clones share the state.
#[derive(Clone, Default)]
pub struct Gate {
    state: Arc<Mutex<State>>,
    // Locks of their own: a rule may freeze a gate, and a witness may ask one for its trace.
    witness: Arc<Mutex<Option<Witness>>>,
    frost: Frost,
    bell: Arc<tokio::sync::Notify>,
}

impl Gate {
    /// A gate that lets everything through.
    pub fn open() -> Self {
        Self::default()
    }

    /// A gate with a rule.
    pub fn with_rule(rule: impl FnMut(&Call) -> Verdict + Send + 'static) -> Self {
        let gate = Self::default();
        gate.lock().rule = Some(Box::new(rule));
        gate
    }

    /// Lets somebody see every call when it arrives and when it is answered. In a runtime of one thread nothing happens between the
    /// two, so that what differs is the call's doing.
    pub fn witness(&self, witness: impl FnMut(Moment, &Call) + Send + 'static) {
        *self.witness.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(witness));
    }

    /// From now on nothing goes out and nothing comes in, neither answers nor what watches bring, as when the process is suspended.
    /// Its timers go on, though: deadlines pass.
    pub fn freeze(&self) {
        self.frost.freeze();
    }

    /// Ends [`Gate::freeze`]: what was held goes on.
    pub fn thaw(&self) {
        self.frost.thaw();
    }

    /// Whether it is frozen now.
    pub fn is_frozen(&self) -> bool {
        self.frost.is_frozen()
    }

    /// The layer for one client; `client` names it in the trace.
    pub fn layer(&self, client: &'static str) -> GateLayer {
        GateLayer { gate: self.clone(), client }
    }

    /// How many calls were made.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// One line per call: number, client, method, target, and the status once it was answered.
    pub fn trace(&self) -> Vec<String> {
        self.lock().trace.clone()
    }

    /// Resolves when a rule has stopped the run.
    pub async fn stopped(&self) {
        loop {
            let notified = self.bell.notified();
            if self.lock().stopped {
                return;
            }
            notified.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, client: &'static str, method: &str, target: &str) -> (Call, Verdict) {
        let mut state = self.lock();
        state.calls += 1;
        let call = Call { number: state.calls, client, method: method.to_owned(), target: target.to_owned() };
        let verdict = state.rule.as_mut().map_or(Verdict::Pass, |rule| rule(&call));
        state.trace.push(format!("{} {client} {method} {target}", call.number));
        (call, verdict)
    }

    fn seen(&self, moment: Moment, call: &Call) {
        if let Some(witness) = &mut *self.witness.lock().unwrap_or_else(PoisonError::into_inner) {
            witness(moment, call);
        }
    }

    fn answered(&self, number: u64, status: u16) {
        self.lock().trace.push(format!("{number} -> {status}"));
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.bell.notify_waiters();
    }

    fn canned<B>(&self, number: u64, canned: Canned) -> Response<GatedBody<B>> {
        self.answered(number, canned.status);
        let kind = if canned.body.starts_with('{') { "application/json" } else { "text/html; charset=utf-8" };
        let mut response =
            Response::new(GatedBody::canned(Bytes::from_static(canned.body.as_bytes()), self.frost.clone()));
        *response.status_mut() = StatusCode::from_u16(canned.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(seconds) = canned.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Puts a [`Gate`] before a service.
#[derive(Clone)]
pub struct GateLayer {
    gate: Gate,
    client: &'static str,
}

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.gate.clone(), client: self.client }
    }
}

/// A service behind a [`Gate`].
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
    client: &'static str,
}

impl<S, Q, B> Service<Request<Q>> for Gated<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    Q: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin,
{
    type Response = Response<GatedBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let target = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
        let (call, verdict) = self.gate.judge(self.client, request.method().as_str(), &target);
        // The service that was polled ready is the one to call; the clone waits for its own turn.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gate = self.gate.clone();
        Box::pin(async move {
            match verdict {
                Verdict::Delay(span) => tokio::time::sleep(span).await,
                Verdict::Drop => return std::future::pending().await,
                Verdict::Answer(canned) => return Ok(gate.canned(call.number, canned)),
                Verdict::FreezeBefore => gate.freeze(),
                Verdict::StopBefore => {
                    gate.stop();
                    return std::future::pending().await;
                }
                Verdict::Pass
                | Verdict::Late(_)
                | Verdict::CommitThenDrop
                | Verdict::CommitThenAnswer(_)
                | Verdict::Cut(_)
                | Verdict::FreezeAfter
                | Verdict::StopAfter => {}
            }
            gate.frost.thawed().await;
            gate.seen(Moment::Arrives, &call);
            let answer = inner.call(request).await;
            if let Ok(response) = &answer {
                gate.seen(Moment::Answered(response.status().as_u16()), &call);
                gate.answered(call.number, response.status().as_u16());
            }
            let mut frames = None;
            match verdict {
                Verdict::Late(span) => tokio::time::sleep(span).await,
                Verdict::CommitThenDrop => return std::future::pending().await,
                Verdict::CommitThenAnswer(canned) => return Ok(gate.canned(call.number, canned)),
                Verdict::Cut(after) => frames = Some(after),
                Verdict::FreezeAfter => gate.freeze(),
                Verdict::StopAfter => {
                    gate.stop();
                    return std::future::pending().await;
                }
                Verdict::Pass
                | Verdict::Delay(_)
                | Verdict::Drop
                | Verdict::Answer(_)
                | Verdict::FreezeBefore
                | Verdict::StopBefore => {}
            }
            gate.frost.thawed().await;
            Ok(answer?.map(|body| GatedBody::passed(body, frames, gate.frost.clone())))
        })
    }
}

#[cfg(test)]
mod tests;
