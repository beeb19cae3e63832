//! Workload clusters: one kube-apiserver each, reached through the addresses of its control-plane machines.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use capmaas_sandbox::nodes::CloudInit;
use kube::Client;
use kube::config::AuthInfo;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::process::Child;
use tokio::time::Instant;

use super::pki::{Authority, Pair, delivered, write};
use super::process;
use super::world::{Settings, Shared};

/// An API server may take that long to start beside everything else that starts.
const START: Duration = Duration::from_secs(60);

/// What is known of a workload cluster.
pub(crate) struct Cluster {
    /// Where its API server listens; machines forward to it.
    pub(crate) server: SocketAddr,
    /// An administrator's client, straight to the API server.
    pub(crate) client: Client,
    /// Of its authority, for joining machines.
    pub(crate) hash: String,
    /// Client URLs of etcd on running control-plane machines, by system_id.
    pub(crate) etcd: BTreeMap<String, String>,
    /// Control-plane machines with a disk that holds a member, by system_id.
    pub(crate) members: BTreeSet<String>,
    /// Nodes of machines that no longer report, and since when; see [`super::world`].
    pub(crate) silent: BTreeMap<String, Instant>,
    _process: Child,
}

/// A client for that server.
pub(crate) fn client(server: SocketAddr, authority: &str, auth_info: AuthInfo) -> Result<Client> {
    let mut config = kube::Config::new(format!("https://{server}").parse()?);
    let certificate = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|e| anyhow::anyhow!("{e}"))?;
    config.root_cert = Some(vec![certificate.to_vec()]);
    config.auth_info = auth_info;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(30));
    Ok(Client::try_from(config)?)
}

/// Signs in with a certificate.
fn certificate(pair: &Pair) -> AuthInfo {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    AuthInfo {
        client_certificate_data: Some(encode(&pair.certificate)),
        client_key_data: Some(encode(&pair.key).into()),
        ..AuthInfo::default()
    }
}

/// Starts the API server of a cluster that `kubeadm init` founds, and keeps it among the clusters.
pub(crate) async fn found(shared: &Arc<Shared>, endpoint: &str, cloud_init: &CloudInit) -> Result<()> {
    ensure!(
        !shared.clusters().contains_key(endpoint),
        "kubeadm init: a cluster answers at {endpoint} already, a second one would be founded"
    );
    let number = shared.next_number();
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let folder = shared.settings.folder.join(format!("cluster-{number}"));
    let authority = Authority::delivered(cloud_init, "ca")?;
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let (names, mut addresses) = match host.parse() {
        Ok(ip) => (Vec::new(), vec![ip]),
        Err(_) => (vec![host.to_owned()], Vec::new()),
    };
    addresses.push(loopback);
    // This common name is what the control-plane provider's look at the certificate expects.
    authority.sign("kube-apiserver", None, &names, &addresses)?.write(&folder, "server")?;
    write(&folder.join("ca.crt"), &authority.certificate)?;
    for name in ["sa.key", "sa.pub"] {
        write(&folder.join(name), delivered(cloud_init, name)?)?;
    }
    let server = SocketAddr::new(loopback, free_port()?);
    // Machines of another region may keep their clusters in the same etcd.
    let prefix = format!("/workload/{}-{number}", std::process::id());
    let mut process = start(&shared.settings, &folder, server, &prefix)?;
    let administrator = certificate(&authority.sign("kubernetes-admin", Some("system:masters"), &[], &[])?);
    let client = client(server, &authority.certificate, administrator)?;
    let until = Instant::now() + START;
    loop {
        let answer = client.request_text(http::Request::get("/readyz").body(Vec::new())?).await;
        match answer {
            Ok(_) => break,
            Err(error) if Instant::now() > until => bail!("the API server of {endpoint} does not start: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
        if let Some(status) = process.try_wait()? {
            bail!("the API server of {endpoint} ended ({status}), see {}", folder.display());
        }
    }
    tracing::info!(endpoint, %server, "API server");
    let cluster = Cluster {
        server,
        client,
        hash: authority.hash.clone(),
        etcd: BTreeMap::new(),
        members: BTreeSet::new(),
        silent: BTreeMap::new(),
        _process: process,
    };
    shared.clusters().insert(endpoint.to_owned(), cluster);
    Ok(())
}

fn start(settings: &Settings, folder: &Path, server: SocketAddr, prefix: &str) -> Result<Child> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    let arguments = [
        format!("--etcd-servers={}", settings.etcd),
        format!("--etcd-prefix={prefix}"),
        format!("--bind-address={}", server.ip()),
        format!("--advertise-address={}", server.ip()),
        format!("--secure-port={}", server.port()),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "server.crt"),
        file("tls-private-key-file", "server.key"),
        file("service-account-signing-key-file", "sa.key"),
        file("service-account-key-file", "sa.pub"),
        file("cert-dir", "own"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--enable-bootstrap-token-auth".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--allow-privileged".to_owned(),
        // Host names of machines are for the region's DNS, whose search domain is not set here.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ];
    process::daemon(&settings.components.join("kube-apiserver"), &folder.join("kube-apiserver.log"), arguments)
}

/// A port of loopback that is free now.
fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("a free port")?;
    Ok(listener.local_addr().context("a free port")?.port())
}
