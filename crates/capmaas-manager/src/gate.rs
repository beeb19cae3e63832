//! A gate before a client: numbers every call, and may delay it, lose it, lose its answer, or stop the world there.
//!
//! One [`Gate`] is shared by the clients of a run, so that crash points and interleavings are lists of call numbers. Without a
//! rule it only counts and keeps the trace.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tower::{Layer, Service};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes through.
    Pass,
    /// It goes through after this time (tokio time).
    Delay(Duration),
    /// It never arrives; no answer.
    Drop,
    /// It takes effect; no answer.
    CommitThenDrop,
    /// The run is stopped before it is sent.
    StopBefore,
    /// The run is stopped after it took effect.
    StopAfter,
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

type Rule = Box<dyn FnMut(&Call) -> Verdict + Send>;

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

    fn judge(&self, client: &'static str, method: &str, target: &str) -> (u64, Verdict) {
        let mut state = self.lock();
        state.calls += 1;
        let call = Call { number: state.calls, client, method: method.to_owned(), target: target.to_owned() };
        let verdict = state.rule.as_mut().map_or(Verdict::Pass, |rule| rule(&call));
        state.trace.push(format!("{} {client} {method} {target}", call.number));
        (call.number, verdict)
    }

    fn answered(&self, number: u64, status: u16) {
        self.lock().trace.push(format!("{number} -> {status}"));
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.bell.notify_waiters();
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

impl<S, Q, R> Service<Request<Q>> for Gated<S>
where
    S: Service<Request<Q>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    Q: Send + 'static,
    R: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let target = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
        let (number, verdict) = self.gate.judge(self.client, request.method().as_str(), &target);
        // The service that was polled ready is the one to call; the clone waits for its own turn.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gate = self.gate.clone();
        Box::pin(async move {
            match verdict {
                Verdict::Pass | Verdict::CommitThenDrop | Verdict::StopAfter => {}
                Verdict::Delay(span) => tokio::time::sleep(span).await,
                Verdict::Drop => return std::future::pending().await,
                Verdict::StopBefore => {
                    gate.stop();
                    return std::future::pending().await;
                }
            }
            let answer = inner.call(request).await;
            if let Ok(response) = &answer {
                gate.answered(number, response.status().as_u16());
            }
            match verdict {
                Verdict::CommitThenDrop => std::future::pending().await,
                Verdict::StopAfter => {
                    gate.stop();
                    std::future::pending().await
                }
                Verdict::Pass | Verdict::Delay(_) | Verdict::Drop | Verdict::StopBefore => answer,
            }
        })
    }
}
