//! An embedded Kubernetes API server.
//!
//! **What it is.** A state machine that behaves as the API server does towards clients: kinds and CRDs (defaults, pruning,
//! validation, CEL), resourceVersions, list and watch, patches, conflicts, finalizers, owner references, status and scale
//! subresources, selectors, Tables, discovery and OpenAPI v3. `kube::Client` and `kubectl` work on it unchanged.
//!
//! **What it is not.** No controllers beyond garbage collection and namespaces, no scheduler, no admission, no
//! authorization, no server-side apply. What it lacks it refuses by name; `GAPS.md` beside this crate is the list, and a
//! test holds both to each other.
//!
//! **How data flows.** Modules in one direction: `store` (objects, one revision counter, one log) → `names`, `patch`,
//! `schema`, `select`, `kinds` → `verbs` (the rules) → `present` (Table, metadata, discovery, OpenAPI) → `serve` (routing, then two
//! shells: a `tower::Service` in process, HTTPS for everybody else). A write appends to the log and wakes the watches; a
//! watch is a cursor into the log. Garbage collection happens inside the write that causes it, in key order. Time comes
//! from [`Config::clock`], names and uids from [`Config::seed`]: one seed and one order of calls give one history.
//!
//! ```
//! use kube_sim::{Config, KubeSim};
//! use std::sync::Arc;
//!
//! let sim = KubeSim::new(Config::new(Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap()), 7));
//! sim.apply_yaml("
//! apiVersion: v1
//! kind: ConfigMap
//! metadata: {name: greeting}
//! data: {text: hello}
//! ").unwrap();
//!
//! // Any tower client will do; `kube::Client::new(sim.clone(), "default")` is the usual one.
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use http_body_util::BodyExt;
//! use tower::ServiceExt;
//! let request = http::Request::get("/api/v1/namespaces/default/configmaps/greeting")
//!     .body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
//! let answer = sim.clone().oneshot(request).await.unwrap();
//! assert_eq!(answer.status(), 200);
//! let body = answer.into_body().collect().await.unwrap().to_bytes();
//! let object: serde_json::Value = serde_json::from_slice(&body).unwrap();
//! assert_eq!(object["data"]["text"], "hello");
//! assert_eq!(object["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
//! # });
//! ```

mod direct;
mod error;
mod kinds;
mod names;
mod patch;
mod present;
mod schema;
mod select;
mod serve;
mod store;
mod verbs;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub use direct::{RequestLine, Requests};
pub use error::{ApiError, Cause};
pub use serve::{ADMIN_TOKEN, Certificates, ResponseBody, ServerIdentity, TlsError, kubeconfig, serve_tls};
pub use verbs::Clock;

use serve::{Answer, Raw};
use verbs::State;

/// How many requests the log keeps.
const REMEMBERED: usize = 1000;

/// What a simulator is made from.
#[derive(Clone)]
pub struct Config {
    /// Where its times come from.
    pub clock: Clock,
    /// Seed of uids and generated names.
    pub seed: u64,
    /// How many changes the log keeps before the oldest are compacted.
    pub keep: usize,
}

impl Config {
    /// A clock, a seed, and a log of 100 000 changes.
    pub fn new(clock: Clock, seed: u64) -> Self {
        Self { clock, seed, keep: 100_000 }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("seed", &self.seed).field("keep", &self.keep).finish_non_exhaustive()
    }
}

/// A running API server. Clones are handles to the same one.
#[derive(Clone)]
pub struct KubeSim {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    log: Mutex<RequestLog>,
    // Not `tokio::sync::watch`: that one wakes its receivers in a random order.
    changed: Notify,
}

#[derive(Default)]
struct RequestLog {
    total: u64,
    counts: std::collections::BTreeMap<(&'static str, String), u64>,
    recent: VecDeque<RequestLine>,
}

impl std::fmt::Debug for KubeSim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeSim").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl KubeSim {
    /// A server with the built-in kinds and the namespaces `default`, `kube-public` and `kube-system`.
    pub fn new(config: Config) -> Self {
        let state = State::new(config.clock, config.seed, config.keep);
        let inner = Inner { state: Mutex::new(state), log: Mutex::default(), changed: Notify::new() };
        Self { inner: Arc::new(inner) }
    }

    // A panic while the lock was held is a bug that was reported already; the state itself is whole between writes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_state<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.lock())
    }

    pub(crate) fn with_state_mut<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.lock())
    }

    pub(crate) fn changed(&self) -> &Notify {
        &self.inner.changed
    }

    pub(crate) fn answer(&self, raw: &Raw) -> Answer {
        let (before, label, answer, after) = self.with_state_mut(|s| {
            let before = s.store.revision();
            let (label, answer) = serve::handle(s, raw);
            (before, label, answer, s.store.revision())
        });
        if after != before {
            self.inner.changed.notify_waiters();
        }
        let code = match &answer {
            Answer::Json { code, .. } | Answer::Text(code, _) => *code,
            Answer::Watch { .. } => 200,
        };
        let mut log = self.inner.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.total += 1;
        let serve::Label { verb, resource, namespace, name } = label;
        *log.counts.entry((verb, resource.clone())).or_default() += 1;
        let number = log.total;
        log.recent.push_back(RequestLine { number, verb, resource, namespace, name, code });
        if log.recent.len() > REMEMBERED {
            log.recent.pop_front();
        }
        answer
    }

    fn requests_so_far(&self) -> Requests {
        let log = self.inner.log.lock().unwrap_or_else(PoisonError::into_inner);
        Requests { counts: log.counts.clone(), recent: log.recent.iter().cloned().collect() }
    }
}
