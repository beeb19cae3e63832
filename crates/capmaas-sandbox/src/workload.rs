//! Workload clusters: one kube-sim per Cluster, behind a door that opens as a real one does.
//!
//! The API of a workload cluster answers only while one of its API servers does (they live on control-plane machines, see
//! [`crate::nodes`]), through a name that resolves to it, to callers who bring the admin token and trust its authority.

mod authority;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use kube_sim::KubeSim;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tower::{BoxError, Service};

pub use self::authority::Authority;

/// Why a workload cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The kubeconfig cannot be understood.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
    /// Nothing answers at the address.
    #[error("connection refused: {0}")]
    Refused(String),
    /// The server's certificate does not come from the authority the caller trusts.
    #[error("certificate of {0} is signed by an unknown authority")]
    UnknownAuthority(String),
    /// A key or certificate is not usable.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Kinds of [`WorkloadError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadErrorKind {
    /// See [`WorkloadError::Kubeconfig`].
    Kubeconfig,
    /// See [`WorkloadError::Refused`].
    Refused,
    /// See [`WorkloadError::UnknownAuthority`].
    UnknownAuthority,
    /// See [`WorkloadError::Certificate`].
    Certificate,
}

impl WorkloadError {
    /// The kind, to match on.
    pub fn kind(&self) -> WorkloadErrorKind {
        match self {
            WorkloadError::Kubeconfig(_) => WorkloadErrorKind::Kubeconfig,
            WorkloadError::Refused(_) => WorkloadErrorKind::Refused,
            WorkloadError::UnknownAuthority(_) => WorkloadErrorKind::UnknownAuthority,
            WorkloadError::Certificate(_) => WorkloadErrorKind::Certificate,
        }
    }
}

/// Which Cluster of the management cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterKey {
    /// Namespace of the Cluster.
    pub namespace: String,
    /// Name of the Cluster.
    pub name: String,
}

impl ClusterKey {
    /// Of namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What somebody needs to talk to a workload cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// Host of the control-plane endpoint.
    pub host: String,
    /// Port of the control-plane endpoint.
    pub port: u16,
    /// The cluster's authority.
    pub ca: Authority,
    /// The admin's kubeconfig, for Secret `<cluster>-kubeconfig`.
    pub kubeconfig: String,
}

impl Access {
    /// `host:port`.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Name resolution as the workload cluster's callers see it: the region's DNS.
pub type Resolve = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// Makes the empty API server of a new workload cluster.
pub type MakeSim = Arc<dyn Fn() -> KubeSim + Send + Sync>;

struct Workload {
    sim: KubeSim,
    host: String,
    port: u16,
    token: String,
    /// Addresses at which an API server of this cluster answers.
    api: BTreeSet<IpAddr>,
}

struct Inner {
    make: MakeSim,
    resolve: Resolve,
    ca: Authority,
    seed: u64,
    clusters: Mutex<BTreeMap<ClusterKey, Workload>>,
    // Not `tokio::sync::watch`: that one wakes its receivers in a random order.
    changes: AtomicU64,
    changed: Notify,
}

/// News about which API servers answer; see [`Workloads::changes`].
pub struct Changes {
    inner: Arc<Inner>,
    seen: u64,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Changes {
    /// Waits for a change since the last call.
    pub async fn changed(&mut self) {
        loop {
            let mut waiting = pin!(self.inner.changed.notified());
            // in line before the look, so that nothing is missed in between
            waiting.as_mut().enable();
            let now = self.inner.changes.load(Ordering::Acquire);
            if now != self.seen {
                self.seen = now;
                return;
            }
            waiting.await;
        }
    }
}

/// All workload clusters. Clones are the same clusters.
#[derive(Clone)]
pub struct Workloads {
    inner: Arc<Inner>,
}

impl fmt::Debug for Workloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workloads").field("clusters", &self.keys()).finish_non_exhaustive()
    }
}

impl Workloads {
    /// None yet. All use one authority; `seed` decides the admin tokens.
    pub fn new(make: MakeSim, ca: Authority, resolve: Resolve, seed: u64) -> Self {
        let inner = Inner {
            make,
            resolve,
            ca,
            seed,
            clusters: Mutex::default(),
            changes: AtomicU64::new(0),
            changed: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    fn clusters(&self) -> MutexGuard<'_, BTreeMap<ClusterKey, Workload>> {
        // every change below is complete before anything can panic
        self.inner.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signals each time an API server starts or stops to answer, or a cluster goes.
    pub fn changes(&self) -> Changes {
        Changes { seen: self.inner.changes.load(Ordering::Acquire), inner: self.inner.clone() }
    }

    fn changed(&self) {
        self.inner.changes.fetch_add(1, Ordering::AcqRel);
        self.inner.changed.notify_waiters();
    }

    /// The cluster's access data; makes its (still silent) API the first time.
    pub fn ensure(&self, key: &ClusterKey, host: &str, port: u16) -> Access {
        let token = {
            let mut clusters = self.clusters();
            let workload = clusters.entry(key.clone()).or_insert_with(|| Workload {
                sim: (self.inner.make)(),
                host: host.to_owned(),
                port,
                token: self.token(key),
                api: BTreeSet::new(),
            });
            (workload.host, workload.port) = (host.to_owned(), port);
            workload.token.clone()
        };
        let kubeconfig = self.render(&key.name, &format!("https://{host}:{port}"), &token);
        Access { host: host.to_owned(), port, ca: self.inner.ca.clone(), kubeconfig }
    }

    fn token(&self, key: &ClusterKey) -> String {
        let digest = Sha256::digest(format!("admin of {key} under {}", self.inner.seed));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn render(&self, name: &str, server: &str, token: &str) -> String {
        let ca = self.inner.ca.certificate_data();
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {server}\n    \
             certificate-authority-data: {ca}\ncontexts:\n- name: {name}-admin@{name}\n  context:\n    cluster: {name}\n    \
             user: {name}-admin\ncurrent-context: {name}-admin@{name}\npreferences: {{}}\nusers:\n- name: {name}-admin\n  user:\n    \
             token: {token}\n"
        )
    }

    /// An admin's kubeconfig that names another server, such as a loopback address where [`Workloads::sim`] is served.
    pub fn kubeconfig_for(&self, key: &ClusterKey, server: &str) -> Option<String> {
        let token = self.clusters().get(key)?.token.clone();
        Some(self.render(&key.name, server, &token))
    }

    /// The admin token of a cluster.
    pub fn admin_token(&self, key: &ClusterKey) -> Option<String> {
        Some(self.clusters().get(key)?.token.clone())
    }

    /// The authority of all clusters.
    pub fn authority(&self) -> &Authority {
        &self.inner.ca
    }

    /// Forgets a cluster whose Cluster is gone.
    pub fn remove(&self, key: &ClusterKey) {
        if self.clusters().remove(key).is_some() {
            self.changed();
        }
    }

    /// The clusters there are.
    pub fn keys(&self) -> Vec<ClusterKey> {
        self.clusters().keys().cloned().collect()
    }

    /// A cluster's API server itself, with no door before it: to serve it, or to look at it in tests.
    pub fn sim(&self, key: &ClusterKey) -> Option<KubeSim> {
        Some(self.clusters().get(key)?.sim.clone())
    }

    /// A client without the door, as the machines of the cluster have it.
    pub(crate) fn inside(&self, key: &ClusterKey) -> Option<Client> {
        Some(Client::new(self.sim(key)?, "default"))
    }

    /// The cluster whose control-plane endpoint this is (`host:port`).
    pub fn by_endpoint(&self, endpoint: &str) -> Option<ClusterKey> {
        let clusters = self.clusters();
        clusters.iter().find(|(_, w)| format!("{}:{}", w.host, w.port) == endpoint).map(|(key, _)| key.clone())
    }

    /// Whether an API server of the cluster answers at `ip`, on the endpoint's port.
    pub fn api_healthy(&self, key: &ClusterKey, ip: IpAddr) -> bool {
        self.clusters().get(key).is_some_and(|w| w.api.contains(&ip))
    }

    /// Whether any API server of the cluster answers, whatever its name resolves to.
    pub fn api_anywhere(&self, key: &ClusterKey) -> bool {
        self.clusters().get(key).is_some_and(|w| !w.api.is_empty())
    }

    /// Whether one answers at an address the endpoint resolves to.
    pub fn reachable(&self, key: &ClusterKey) -> bool {
        let Some(host) = self.clusters().get(key).map(|w| w.host.clone()) else {
            return false;
        };
        // asked without the lock: the region's DNS has its own
        self.addresses(&host).into_iter().any(|ip| self.api_healthy(key, ip))
    }

    /// What a host resolves to; an address is itself.
    pub fn addresses(&self, host: &str) -> Vec<IpAddr> {
        host.parse().map_or_else(|_| (self.inner.resolve)(host), |ip| vec![ip])
    }

    /// An API server starts to answer.
    pub(crate) fn api_up(&self, key: &ClusterKey, ips: &[IpAddr]) {
        if let Some(workload) = self.clusters().get_mut(key) {
            workload.api.extend(ips);
        }
        self.changed();
    }

    /// An API server falls silent.
    pub(crate) fn api_down(&self, key: &ClusterKey, ips: &[IpAddr]) {
        if let Some(workload) = self.clusters().get_mut(key) {
            workload.api.retain(|ip| !ips.contains(ip));
        }
        self.changed();
    }

    /// Empties a cluster whose machines are all lost, for a `kubeadm init` that founds it anew.
    pub(crate) fn refound(&self, key: &ClusterKey) {
        if let Some(workload) = self.clusters().get_mut(key) {
            workload.sim = (self.inner.make)();
        }
        self.changed();
    }

    /// The way in that a kubeconfig describes; only tokens are understood. Whether it opens is seen at each call.
    pub fn door(&self, kubeconfig: &[u8]) -> Result<Door, WorkloadError> {
        let bad = |why: &str| WorkloadError::Kubeconfig(why.to_owned());
        let text = std::str::from_utf8(kubeconfig).map_err(|_| bad("not UTF-8"))?;
        let parsed: Kubeconfig = serde_saphyr::from_str(text).map_err(|e| WorkloadError::Kubeconfig(e.to_string()))?;
        let context = parsed
            .contexts
            .iter()
            .find(|c| c.name == parsed.current_context)
            .ok_or_else(|| bad("no current context"))?;
        let cluster =
            parsed.clusters.iter().find(|c| c.name == context.context.cluster).ok_or_else(|| bad("no cluster"))?;
        let user = parsed.users.iter().find(|u| u.name == context.context.user).ok_or_else(|| bad("no user"))?;
        let server = cluster.cluster.server.strip_prefix("https://").ok_or_else(|| bad("the server is not https"))?;
        Ok(Door {
            workloads: self.clone(),
            endpoint: server.trim_end_matches('/').to_owned(),
            trusts: cluster.cluster.authority.clone(),
            token: user.user.token.clone(),
        })
    }

    /// A client as a kubeconfig describes it: through its [`Door`].
    pub fn connect(&self, kubeconfig: &[u8]) -> Result<Client, WorkloadError> {
        Ok(Client::new(self.door(kubeconfig)?, "default"))
    }

    /// A client with the cluster's own admin kubeconfig.
    pub fn client(&self, key: &ClusterKey) -> Option<Client> {
        let (endpoint, token) = {
            let clusters = self.clusters();
            let workload = clusters.get(key)?;
            (format!("{}:{}", workload.host, workload.port), workload.token.clone())
        };
        let door = Door { workloads: self.clone(), endpoint, trusts: self.inner.ca.certificate_data(), token };
        Some(Client::new(door, "default"))
    }

    /// The API server behind a door, if it opens.
    fn open(&self, door: &Door) -> Result<Opened, WorkloadError> {
        let refused = || WorkloadError::Refused(door.endpoint.clone());
        let key = self.by_endpoint(&door.endpoint).ok_or_else(refused)?;
        if !self.reachable(&key) {
            return Err(refused());
        }
        if door.trusts != self.inner.ca.certificate_data() {
            return Err(WorkloadError::UnknownAuthority(door.endpoint.clone()));
        }
        let clusters = self.clusters();
        let workload = clusters.get(&key).ok_or_else(refused)?;
        Ok(if workload.token == door.token { Opened::Sim(workload.sim.clone()) } else { Opened::Unauthorized })
    }
}

enum Opened {
    Sim(KubeSim),
    Unauthorized,
}

/// The body of an answer, watches included.
pub type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// The way into a workload cluster for one caller: a `tower::Service` to make a client over. It opens while an API server
/// answers at an address the endpoint resolves to; watches end when none does any more.
#[derive(Clone)]
pub struct Door {
    workloads: Workloads,
    endpoint: String,
    trusts: String,
    token: String,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Door {
    /// Waits until no API server of the cluster answers any more.
    async fn shut(self) {
        let mut changes = self.workloads.changes();
        while self.workloads.by_endpoint(&self.endpoint).is_some_and(|key| self.workloads.api_anywhere(&key)) {
            changes.changed().await;
        }
    }
}

const UNAUTHORIZED: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;

impl Service<Request<Body>> for Door {
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let opened = self.workloads.open(self);
        let watches = request.uri().query().is_some_and(|q| q.contains("watch="));
        let door = self.clone();
        async move {
            match opened? {
                Opened::Sim(mut sim) => {
                    let response = Service::call(&mut sim, request).await.map_err(BoxError::from)?;
                    Ok(response.map(|body| {
                        let body = body.map_err(BoxError::from);
                        match watches {
                            true => StreamBody::new(BodyStream::new(body).take_until(door.shut())).boxed_unsync(),
                            false => body.boxed_unsync(),
                        }
                    }))
                }
                Opened::Unauthorized => {
                    let body = Full::new(Bytes::from_static(UNAUTHORIZED.as_bytes()))
                        .map_err(|never| match never {})
                        .boxed_unsync();
                    Ok(Response::builder().status(401).header("content-type", "application/json").body(body)?)
                }
            }
        }
        .boxed()
    }
}

#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
    contexts: Vec<NamedContext>,
    #[serde(rename = "current-context")]
    current_context: String,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
struct ClusterEntry {
    server: String,
    #[serde(rename = "certificate-authority-data", default)]
    authority: String,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: UserEntry,
}

#[derive(Deserialize)]
struct UserEntry {
    #[serde(default)]
    token: String,
}
