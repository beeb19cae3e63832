//! What a manager is given: time, chance and the doors to the outside. Nothing else enters.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use capmaas_provider_maas::Clock;
use capmaas_reconcile::names::ObjectName;
use secrecy::SecretString;

use crate::leader::Election;

/// Everything that [`crate::Manager::run`] works with.
#[derive(Clone)]
pub struct Env {
    /// Policy time.
    pub clock: Clock,
    /// Seed of whatever is random (names of Events).
    pub seed: u64,
    /// The management cluster.
    pub kube: kube::Client,
    /// The way to MAAS regions.
    pub regions: Arc<dyn Regions>,
    /// The way to workload clusters.
    pub workloads: Arc<dyn Workloads>,
    /// Flags.
    pub settings: Settings,
}

/// What the flags say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our own namespace: where the credentials Secret and the Lease are.
    pub own_namespace: String,
    /// Only this namespace is watched (`--namespace`); all when `None`.
    pub namespace: Option<String>,
    /// Only objects with label `cluster.x-k8s.io/watch-filter` of this value (`--watch-filter`).
    pub watch_filter: Option<String>,
    /// Passes that run at once.
    pub concurrency: usize,
    /// Credentials from the environment, used when there is no Secret.
    pub credentials: Option<Credentials>,
    /// Leader election; off when `None`.
    pub election: Option<Election>,
    /// Where /healthz and /readyz are served.
    pub health: Option<SocketAddr>,
    /// Where /metrics is served.
    pub metrics: Option<SocketAddr>,
    /// How often Nodes and API servers of workload clusters are read, policy time.
    pub workload_poll: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            own_namespace: capi_types::names::PROVIDER_NAMESPACE.to_owned(),
            namespace: None,
            watch_filter: None,
            concurrency: 64,
            credentials: None,
            election: None,
            health: None,
            metrics: None,
            workload_poll: Duration::from_secs(10),
        }
    }
}

/// Where a MAAS region is and how we sign in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `MAAS_ENDPOINT`.
    pub endpoint: String,
    /// `MAAS_API_KEY`.
    pub api_key: SecretString,
    /// Where they came from, for messages: `Secret ns/name`, or `environment`.
    pub source: String,
}

/// The way to MAAS regions: over the network, or straight into a simulator.
pub trait Regions: Send + Sync {
    /// A client for these credentials; the error names the field and the fix, and never the key.
    ///
    /// # Errors
    /// When endpoint or key are malformed.
    fn client(&self, credentials: &Credentials) -> Result<maas_client::Client, String>;
}

/// Why a workload cluster could not be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WorkloadError {
    /// The kubeconfig is not acceptable.
    #[error("the kubeconfig can't be used: {0}")]
    Kubeconfig(String),
    /// The API server did not answer.
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
}

impl WorkloadError {
    /// A kubeconfig has to be changed by somebody; an API server may answer later.
    pub fn kind(&self) -> capmaas_reconcile::provider::FaultKind {
        match self {
            Self::Kubeconfig(_) => capmaas_reconcile::provider::FaultKind::Terminal,
            Self::Unreachable(_) => capmaas_reconcile::provider::FaultKind::Transient,
        }
    }
}

/// The way to workload clusters.
#[async_trait]
pub trait Workloads: Send + Sync {
    /// A client for the workload cluster, from the kubeconfig in Secret `<cluster>-kubeconfig`.
    async fn client(&self, cluster: &ObjectName, kubeconfig: &[u8]) -> Result<kube::Client, WorkloadError>;

    /// Whether the API server at one address answers (200, 401 or 403) over TLS verified by the kubeconfig's authority.
    async fn answers(&self, cluster: &ObjectName, kubeconfig: &[u8], address: IpAddr, port: u16) -> bool;
}
