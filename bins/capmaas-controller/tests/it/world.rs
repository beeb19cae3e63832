//! A management cluster and a MAAS region behind real sockets, and controller processes that use them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capmaas_manager::Clock;
use kube_sim::{ADMIN_TOKEN, Certificates, KubeSim, kubeconfig, serve_tls};
use maas_sim::{Region, SharedRegion};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) const GROUP: &str = capi_types::names::GROUP;
pub(crate) const OWN: &str = capi_types::names::PROVIDER_NAMESPACE;

/// Longest wait for anything that is to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a look finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) struct World {
    pub(crate) kube: KubeSim,
    pub(crate) maas: SharedRegion,
    pub(crate) maas_url: String,
    pub(crate) kubeconfig: PathBuf,
    dir: tempfile::TempDir,
    started: AtomicUsize,
    _servers: JoinSet<()>,
}

impl World {
    /// An empty cluster with our namespace, and a region of three machines.
    pub(crate) async fn new() -> Self {
        let clock = Clock::system();
        let now = Arc::new(move || clock.now());
        let kube = KubeSim::new(kube_sim::Config::new(now.clone(), 7));
        let maas =
            SharedRegion::new(Region::new(maas_sim::Config { epoch: clock.now(), ..maas_sim::Config::lab(3) }), now);
        let dir = tempfile::tempdir().unwrap();
        let mut servers = JoinSet::new();

        let certificates = Certificates::generate(&["127.0.0.1"]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (sim, identity) = (kube.clone(), certificates.identity().unwrap());
        servers.spawn(async move {
            serve_tls(listener, sim, identity).await.unwrap();
        });
        let config = dir.path().join("kubeconfig");
        std::fs::write(&config, kubeconfig(&url, &certificates.ca_pem, ADMIN_TOKEN)).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let maas_url = format!("http://{}/MAAS", listener.local_addr().unwrap());
        let region = maas.clone();
        servers.spawn(async move {
            maas_sim::serve(listener, region).await.unwrap();
        });
        let world =
            Self { kube, maas, maas_url, kubeconfig: config, dir, started: AtomicUsize::new(0), _servers: servers };
        world.namespace(OWN);
        world
    }

    /// The same with all kinds installed.
    pub(crate) async fn installed() -> Self {
        let world = Self::new().await;
        world.install();
        world
    }

    /// Installs our CRDs, and Cluster and Machine of Cluster API's core.
    pub(crate) fn install(&self) {
        for crd in capi_types::crds() {
            self.kube.apply(serde_json::to_value(crd).unwrap()).unwrap();
        }
        for (kind, plural) in [("Cluster", "clusters"), ("Machine", "machines")] {
            let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
            let crd = json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": { "name": format!("{plural}.cluster.x-k8s.io") },
                "spec": {
                    "group": "cluster.x-k8s.io", "scope": "Namespaced",
                    "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List") },
                    "versions": [{
                        "name": "v1beta2", "served": true, "storage": true, "subresources": { "status": {} },
                        "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": anything, "status": anything } } },
                    }],
                },
            });
            self.kube.apply(crd).unwrap();
        }
    }

    pub(crate) fn namespace(&self, name: &str) {
        self.kube.apply(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })).unwrap();
    }

    /// A Cluster and the MaasCluster that it owns.
    pub(crate) fn cluster(&self, namespace: &str, name: &str, labels: Value) {
        let owner = self
            .kube
            .apply(json!({
                "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
                "metadata": { "name": name, "namespace": namespace },
                "spec": { "infrastructureRef": { "apiGroup": GROUP, "kind": "MaasCluster", "name": name } },
            }))
            .unwrap();
        let owner = json!({ "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "name": name, "uid": owner["metadata"]["uid"] });
        self.kube
            .apply(json!({
                "apiVersion": capi_types::names::API_VERSION, "kind": "MaasCluster",
                "metadata": { "name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner] },
                "spec": { "dnsDomain": "maas" },
            }))
            .unwrap();
    }

    pub(crate) fn maas_cluster(&self, namespace: &str, name: &str) -> Value {
        self.kube.get(GROUP, "MaasCluster", Some(namespace), name).unwrap()
    }

    /// Waits for a reason of the MaasCluster's Ready condition; its message.
    pub(crate) async fn says(&self, namespace: &str, name: &str, reason: &str, word: &str) -> String {
        until(&format!("{namespace}/{name} says {reason}, {word}"), || {
            let object = self.maas_cluster(namespace, name);
            let ready = object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Ready")?.clone();
            let message = ready["message"].as_str().unwrap_or_default();
            (ready["reason"] == reason && message.contains(word)).then(|| message.to_owned())
        })
        .await
    }

    /// Waits until a MaasCluster is provisioned; the host name of its endpoint.
    pub(crate) async fn provisioned(&self, namespace: &str, name: &str) -> String {
        until(&format!("{namespace}/{name} is provisioned"), || {
            let object = self.maas_cluster(namespace, name);
            let done = object["status"]["initialization"]["provisioned"] == true && object["status"]["ready"] == true;
            done.then(|| object["spec"]["controlPlaneEndpoint"]["host"].as_str().unwrap().to_owned())
        })
        .await
    }

    pub(crate) fn secret(&self, name: &str, endpoint: &str, key: &str) {
        let data = json!({ "MAAS_ENDPOINT": endpoint, "MAAS_API_KEY": key });
        let metadata = json!({ "name": name, "namespace": OWN });
        self.kube
            .apply(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data }))
            .unwrap();
    }

    pub(crate) fn lease(&self) -> Option<Value> {
        let lease =
            self.kube.get("coordination.k8s.io", "Lease", Some(OWN), capi_types::names::LEADER_ELECTION_LEASE)?;
        Some(lease["spec"].clone())
    }

    pub(crate) fn holder(&self) -> Option<String> {
        self.lease()?["holderIdentity"].as_str().map(str::to_owned)
    }

    /// DNS resources that were made in MAAS.
    pub(crate) fn names_made(&self) -> usize {
        let made =
            |r: &&maas_sim::RequestRecord| r.method == "POST" && r.path.contains("/dnsresources/") && r.status == 200;
        self.maas.with(|region, _| region.requests().iter().filter(made).count())
    }

    /// Starts a controller on free ports.
    pub(crate) fn start(&self, flags: &[&str], env: &[(&str, &str)]) -> Controller {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.dir.path().join(format!("controller-{number}.log"));
        let child = controller()
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--health-addr=127.0.0.1:0", "--diagnostics-address=127.0.0.1:0", "--logging-format=json"])
            .args(flags)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Controller { child, log }
    }
}

/// The program, with nothing of our own environment.
pub(crate) fn controller() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_capmaas-controller"));
    command.env_clear().env("HOSTNAME", "test-host");
    command
}

/// A controller process; killed when dropped.
pub(crate) struct Controller {
    child: Child,
    log: PathBuf,
}

impl Controller {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log has a line with these words.
    pub(crate) async fn logs(&mut self, words: &str) -> Value {
        until(&format!("{words:?} in the log"), || {
            let log = self.log();
            assert!(self.child.try_wait().unwrap().is_none(), "the controller ended: {log}");
            log.lines().find(|line| line.contains(words)).and_then(|line| serde_json::from_str(line).ok())
        })
        .await
    }

    async fn get(&mut self, server: &str, path: &str) -> (u16, String) {
        let line = self.logs(&format!("Serving {server}")).await;
        let mut stream = TcpStream::connect(line["fields"]["address"].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    pub(crate) async fn health(&mut self, path: &str) -> (u16, String) {
        self.get("/healthz", path).await
    }

    pub(crate) async fn metrics(&mut self) -> String {
        let (code, answer) = self.get("/metrics", "/metrics").await;
        assert_eq!(code, 200, "{answer}");
        answer
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self) {
        let began = Instant::now();
        while self.health("/readyz").await.0 != 200 {
            assert!(began.elapsed() < PATIENCE, "not ready: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGTERM; how it ended and how long that took.
    pub(crate) async fn terminate(mut self) -> (ExitStatus, Duration, String) {
        let began = Instant::now();
        assert!(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap().success());
        let status = until("the controller ends", || self.child.try_wait().unwrap()).await;
        (status, began.elapsed(), self.log())
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ends(mut self) -> (ExitStatus, String) {
        let status = until("the controller ends", || self.child.try_wait().unwrap()).await;
        (status, self.log())
    }

    /// SIGKILL: it can't say goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
