//! The loop that follows the region: machines get software, lose power, are wiped.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use capmaas_manager::Clock;
use kube::Client;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::host::Host;
use super::node;
use super::region::Region;

/// Between two looks at the region.
const PERIOD: Duration = Duration::from_millis(250);

/// A Node that does not report for so long is marked, as the node controller does after 40 s: here machines boot faster too.
const GRACE: Duration = Duration::from_secs(5);

/// Flags.
pub(crate) struct Settings {
    pub(crate) region: SocketAddr,
    pub(crate) components: PathBuf,
    pub(crate) etcd: String,
    pub(crate) folder: PathBuf,
}

/// What all machines share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) region: Region,
    pub(crate) clock: Clock,
    /// By control-plane endpoint, `host:port`.
    clusters: Mutex<BTreeMap<String, Cluster>>,
    founded: AtomicU64,
}

impl Shared {
    pub(crate) fn clusters(&self) -> MutexGuard<'_, BTreeMap<String, Cluster>> {
        // Every change is complete before anything can panic.
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts clusters that were founded.
    pub(crate) fn next_number(&self) -> u64 {
        self.founded.fetch_add(1, Ordering::Relaxed)
    }

    /// The administrator's client of a cluster, when one of its API servers answers on some machine.
    pub(crate) fn alive(&self, endpoint: &str) -> Option<Client> {
        let clusters = self.clusters();
        clusters.get(endpoint).filter(|cluster| !cluster.etcd.is_empty()).map(|cluster| cluster.client.clone())
    }
}

/// Follows the region for ever.
pub(crate) async fn run(settings: Settings) -> Result<Infallible> {
    let shared = Arc::new(Shared {
        region: Region::new(settings.region),
        clock: Clock::system(),
        clusters: Mutex::default(),
        founded: AtomicU64::new(0),
        settings,
    });
    let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
    loop {
        match shared.region.machines().await {
            Ok(machines) => {
                let known: BTreeMap<_, _> = machines.into_iter().map(|m| (m.system_id.clone(), m)).collect();
                let gone: Vec<String> = hosts
                    .iter()
                    .filter(|(id, host)| known.get(*id).is_none_or(|machine| host.was_wiped(machine)))
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in gone {
                    if let Some(host) = hosts.remove(&id) {
                        host.wipe(&shared).await;
                    }
                }
                for (id, machine) in known {
                    match hosts.get_mut(&id) {
                        Some(host) => host.follow(&shared, &machine),
                        None if machine.status == "deployed" && machine.powered => {
                            hosts.insert(id, Host::boot(&shared, machine));
                        }
                        None => {}
                    }
                }
            }
            Err(error) => tracing::warn!("the region does not answer: {error:#}"),
        }
        mark_silent(&shared).await;
        tokio::time::sleep(PERIOD).await;
    }
}

/// The node controller's part: Nodes that do not report become Unknown.
async fn mark_silent(shared: &Shared) {
    let now = Instant::now();
    let due: Vec<(String, String)> = shared
        .clusters()
        .iter()
        // With no API server there is no node controller either; it marks when one is back.
        .filter(|(_, cluster)| !cluster.etcd.is_empty())
        .flat_map(|(endpoint, cluster)| {
            let late = cluster.silent.iter().filter(|(_, since)| now - **since >= GRACE);
            late.map(|(name, _)| (endpoint.clone(), name.clone())).collect::<Vec<_>>()
        })
        .collect();
    for (endpoint, name) in due {
        let Some(client) = shared.alive(&endpoint) else { continue };
        match node::report(&client, &name, false, shared.clock.now()).await {
            Ok(()) => {
                if let Some(cluster) = shared.clusters().get_mut(&endpoint) {
                    cluster.silent.remove(&name);
                }
            }
            Err(error) => tracing::warn!(name, "marking the Node: {error:#}"),
        }
    }
}
