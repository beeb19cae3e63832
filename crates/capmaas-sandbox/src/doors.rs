//! Doors from outside into a sandbox: its APIs on loopback ports, and the files that lead there.
//!
//! [`Doors::open`] binds the management cluster (HTTPS) and the MAAS region (HTTP) and writes `kubeconfig` and `maas.env`
//! into a folder; [`Doors::serve`] answers, and opens a door for each workload cluster while an API server of it answers,
//! with its `<cluster>.kubeconfig`. What comes in is real time on real sockets; what happens inside is the sandbox's own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use capmaas_manager::Clock;
use kube_sim::{Certificates, ServerIdentity, TlsError};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::sandbox::Sandbox;
use crate::workload::{ClusterKey, WorkloadError, Workloads};

/// Names under which servers on loopback are known.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// Where the doors are.
#[derive(Clone, Debug)]
pub struct DoorsConfig {
    /// Folder for `kubeconfig`, `maas.env` and the kubeconfigs of workload clusters; it must exist.
    pub dir: PathBuf,
    /// Port of the management cluster's API; 0 takes a free one.
    pub kube_port: u16,
    /// Port of the MAAS API; 0 takes a free one.
    pub maas_port: u16,
    /// Bearer token of the management cluster's kubeconfig.
    pub token: String,
}

/// Why a door can't be opened or kept open.
#[derive(Debug, thiserror::Error)]
pub enum DoorsError {
    /// A port can't be had.
    #[error("port {port} for {what}: {source}")]
    Port {
        /// What was to be served there.
        what: &'static str,
        /// Which port; 0 stands for any.
        port: u16,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file can't be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A certificate of the management cluster or of a workload cluster's server.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate of a workload cluster.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// A server ended.
    #[error("{what}: {why}")]
    Ended {
        /// Which.
        what: &'static str,
        /// Its last words.
        why: String,
    },
}

/// Kinds of [`DoorsError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorsErrorKind {
    /// See [`DoorsError::Port`].
    Port,
    /// See [`DoorsError::File`].
    File,
    /// See [`DoorsError::Tls`] and [`DoorsError::Workload`].
    Certificate,
    /// See [`DoorsError::Ended`].
    Ended,
}

impl DoorsError {
    /// The kind, to match on.
    pub fn kind(&self) -> DoorsErrorKind {
        match self {
            Self::Port { .. } => DoorsErrorKind::Port,
            Self::File { .. } => DoorsErrorKind::File,
            Self::Tls(_) | Self::Workload(_) => DoorsErrorKind::Certificate,
            Self::Ended { .. } => DoorsErrorKind::Ended,
        }
    }
}

/// Bound ports that wait to be served.
pub struct Doors {
    /// URL of the management cluster.
    pub kube: String,
    /// URL of MAAS, as `MAAS_ENDPOINT` names it.
    pub maas: String,
    dir: PathBuf,
    sandbox: Sandbox,
    kube_listener: TcpListener,
    identity: ServerIdentity,
    maas_listener: TcpListener,
}

impl Doors {
    /// Binds the ports and writes the files of the management cluster and of MAAS.
    ///
    /// # Errors
    /// A port that is taken, a file that can't be written.
    pub async fn open(sandbox: &Sandbox, config: DoorsConfig) -> Result<Self, DoorsError> {
        let (kube_listener, address) = bind("the management cluster", config.kube_port).await?;
        let kube = format!("https://{address}");
        let certificates = Certificates::generate(&NAMES)?;
        let identity = certificates.identity()?.with_token(&config.token);
        let kubeconfig = kube_sim::kubeconfig(&kube, &certificates.ca_pem, &config.token);
        write(&config.dir.join("kubeconfig"), &kubeconfig)?;

        let (maas_listener, address) = bind("MAAS", config.maas_port).await?;
        let maas = format!("http://{address}/MAAS");
        let key = maas_sim::ADMIN_KEY;
        write(&config.dir.join("maas.env"), &format!("MAAS_ENDPOINT={maas}\nMAAS_API_KEY={key}\n"))?;
        let (dir, sandbox) = (config.dir, sandbox.clone());
        Ok(Self { kube, maas, dir, sandbox, kube_listener, identity, maas_listener })
    }

    /// Serves until something fails; dropping the future closes all doors.
    pub async fn serve(self) -> DoorsError {
        // Programs outside sign their requests by the real time, which soon is long past in here.
        let wall = Clock::system();
        let region = self.sandbox.maas.clone().signed_by(Arc::new(move || wall.now()));
        let ended = |what, why: std::io::Error| DoorsError::Ended { what, why: why.to_string() };
        tokio::select! { biased;
            served = kube_sim::serve_tls(self.kube_listener, self.sandbox.kube.clone(), self.identity) => match served {
                Ok(()) => DoorsError::Ended { what: "management cluster", why: "it ended".to_owned() },
                Err(error) => ended("management cluster", error),
            },
            served = maas_sim::serve(self.maas_listener, region) => match served {
                Ok(never) => match never {},
                Err(error) => ended("MAAS", error),
            },
            served = WorkloadDoors::new(self.sandbox.workloads.clone(), self.dir).serve() => match served {
                Ok(never) => match never {},
                Err(error) => error,
            },
        }
    }
}

/// The doors of the workload clusters.
struct WorkloadDoors {
    workloads: Workloads,
    dir: PathBuf,
    servers: JoinSet<()>,
    doors: BTreeMap<ClusterKey, WorkloadDoor>,
}

struct WorkloadDoor {
    /// Kept while the cluster exists: a kubeconfig that was handed out stays good.
    port: u16,
    file: PathBuf,
    server: Option<AbortHandle>,
}

impl WorkloadDoors {
    fn new(workloads: Workloads, dir: PathBuf) -> Self {
        Self { workloads, dir, servers: JoinSet::new(), doors: BTreeMap::new() }
    }

    async fn serve(mut self) -> Result<std::convert::Infallible, DoorsError> {
        let mut changes = self.workloads.changes();
        loop {
            self.close();
            for key in self.workloads.keys() {
                let open = self.doors.get(&key).is_some_and(|door| door.server.is_some());
                if !open && self.workloads.api_anywhere(&key) {
                    self.open(key).await?;
                }
            }
            tokio::select! { biased;
                () = changes.changed() => {}
                // Servers that were stopped are taken out of the set.
                Some(_) = self.servers.join_next() => {}
            }
        }
    }

    /// Closes the doors of clusters no API server of which answers, and forgets clusters that are gone.
    fn close(&mut self) {
        let present = self.workloads.keys();
        self.doors.retain(|key, door| {
            if !self.workloads.api_anywhere(key)
                && let Some(server) = door.server.take()
            {
                server.abort();
            }
            let stays = present.contains(key);
            if !stays && let Err(error) = std::fs::remove_file(&door.file) {
                tracing::debug!(%error, file = %door.file.display(), "kubeconfig of a cluster that is gone");
            }
            stays
        });
    }

    async fn open(&mut self, key: ClusterKey) -> Result<(), DoorsError> {
        let (Some(sim), Some(token)) = (self.workloads.sim(&key), self.workloads.admin_token(&key)) else {
            return Ok(());
        };
        const WHAT: &str = "a workload cluster";
        let (listener, address) = match self.doors.get(&key) {
            // Somebody else may have got the port meanwhile.
            Some(door) => match bind(WHAT, door.port).await {
                Ok(bound) => bound,
                Err(_) => bind(WHAT, 0).await?,
            },
            None => bind(WHAT, 0).await?,
        };
        let (certificate, private) = self.workloads.authority().issue(&NAMES.map(str::to_owned))?;
        let identity = ServerIdentity::from_pem(&certificate, &private)?.with_token(&token);
        let taken = |file: &PathBuf| self.doors.iter().any(|(other, door)| *other != key && door.file == *file);
        let mut file = self.dir.join(format!("{}.kubeconfig", key.name));
        if taken(&file) {
            file = self.dir.join(format!("{}.{}.kubeconfig", key.namespace, key.name));
        }
        if let Some(kubeconfig) = self.workloads.kubeconfig_for(&key, &format!("https://{address}")) {
            write(&file, &kubeconfig)?;
        }
        let server = self.servers.spawn(async move {
            if let Err(error) = kube_sim::serve_tls(listener, sim, identity).await {
                tracing::warn!(%error, "workload cluster's door");
            }
        });
        self.doors.insert(key, WorkloadDoor { port: address.port(), file, server: Some(server) });
        Ok(())
    }
}

async fn bind(what: &'static str, port: u16) -> Result<(TcpListener, SocketAddr), DoorsError> {
    let refused = |source| DoorsError::Port { what, port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

fn write(path: &Path, text: &str) -> Result<(), DoorsError> {
    std::fs::write(path, text).map_err(|source| DoorsError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;
    use kube::api::PostParams;

    use super::*;
    use crate::workload::Authority;

    /// Names of namespaces that a kubeconfig file leads to, or nothing.
    async fn namespaces(file: &Path) -> Option<Vec<String>> {
        let list = api(file).await?.list(&Default::default()).await.ok()?;
        Some(list.items.iter().filter_map(|n| n.metadata.name.clone()).collect())
    }

    async fn api(file: &Path) -> Option<Api<Namespace>> {
        let kubeconfig = kube::config::Kubeconfig::read_from(file).ok()?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.ok()?;
        config.default_retry = false;
        Some(Api::all(kube::Client::try_from(config).ok()?))
    }

    /// Waits, within a deadline, until the kubeconfig leads to a cluster with (`true`) or without that namespace.
    async fn until(file: &Path, name: &str, wanted: bool) {
        let found = async {
            while namespaces(file).await.map(|all| all.iter().any(|n| n == name)) != Some(wanted) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), found).await.expect("it comes about");
    }

    #[tokio::test]
    async fn a_workload_cluster_is_open_while_its_api_answers_and_a_new_one_of_its_name_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("one.kubeconfig");
        let address = "10.0.0.1".parse().unwrap();
        let authority = Authority::generate().unwrap();
        let workloads = Workloads::new(Arc::new(crate::tests::new_sim), authority, Arc::new(|_| vec![]), 1);
        let key = ClusterKey::new("default", "one");
        let doors = WorkloadDoors::new(workloads.clone(), dir.path().to_owned());
        let script = async {
            workloads.ensure(&key, "one.maas", 6443);
            workloads.api_up(&key, &[address]);
            until(&file, "mine", false).await;
            let mine: Namespace = serde_json::from_str(r#"{"metadata": {"name": "mine"}}"#).unwrap();
            api(&file).await.unwrap().create(&PostParams::default(), &mine).await.unwrap();
            let first = std::fs::read_to_string(&file).unwrap();

            workloads.api_down(&key, &[address]);
            let closed = async {
                while namespaces(&file).await.is_some() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), closed).await.expect("the door closes");

            workloads.api_up(&key, &[address]);
            until(&file, "mine", true).await;
            assert_eq!(std::fs::read_to_string(&file).unwrap(), first, "a kubeconfig that was handed out stays good");

            workloads.remove(&key);
            let gone = async {
                while file.exists() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the kubeconfig goes");
            workloads.ensure(&key, "one.maas", 6443);
            workloads.api_up(&key, &[address]);
            until(&file, "mine", false).await;
        };
        tokio::select! { biased;
            ended = doors.serve() => panic!("{:?}", ended.err()),
            () = script => {}
        }
    }
}
