//! One machine's software, from its first boot to the next wipe.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use capmaas_sandbox::nodes::{CloudInit, Kubeadm, MetaData};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cluster;
use super::pki::{Authority, write};
use super::process::{self, Forward};
use super::region::Machine;
use super::world::Shared;
use super::{join, node};

/// An etcd that joins may wait for the others.
const START: Duration = Duration::from_secs(60);

/// What kubeadm left on the disk.
#[derive(Clone)]
struct Installed {
    command: Kubeadm,
    version: String,
}

impl Installed {
    fn name(&self) -> &str {
        &self.command.registration().name
    }
}

type Disk = Arc<Mutex<Option<Installed>>>;

fn read(disk: &Disk) -> Option<Installed> {
    disk.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A machine with an operating system on its disk.
pub(crate) struct Host {
    machine: Machine,
    disk: Disk,
    /// What runs while it has power; dropping it is a cut.
    running: Option<JoinSet<()>>,
}

impl Host {
    /// A machine that boots for the first time after its deployment.
    pub(crate) fn boot(shared: &Arc<Shared>, machine: Machine) -> Self {
        let mut host = Self { machine, disk: Disk::default(), running: None };
        host.start(shared);
        host
    }

    /// Another system is on the disk, or none.
    pub(crate) fn was_wiped(&self, machine: &Machine) -> bool {
        // A release shows before the disk is touched: etcd's member and the name have been taken out by then.
        let gone = matches!(
            machine.status.as_str(),
            "ready" | "new" | "releasing" | "disk_erasing" | "allocated" | "deploying"
        );
        gone || machine.deployment != self.machine.deployment
    }

    /// Follows power.
    pub(crate) fn follow(&mut self, shared: &Arc<Shared>, machine: &Machine) {
        match (&self.running, machine.powered && !machine.hung) {
            (Some(_), false) => {
                tracing::info!(host = self.machine.hostname, hung = machine.hung, "nothing runs any more");
                self.stop(shared);
            }
            (None, true) => {
                tracing::info!(host = self.machine.hostname, "power on");
                self.start(shared);
            }
            _ => {}
        }
    }

    fn start(&mut self, shared: &Arc<Shared>) {
        let mut tasks = JoinSet::new();
        let (shared, machine, disk) = (shared.clone(), self.machine.clone(), self.disk.clone());
        tasks.spawn(async move {
            let Err(error) = software(&shared, &machine, &disk).await;
            // Whoever watches the log fails the scenario: no machine here should end like that.
            tracing::error!(host = machine.hostname, "{error:#}");
        });
        self.running = Some(tasks);
    }

    /// Everything on the machine ends at once.
    fn stop(&mut self, shared: &Arc<Shared>) {
        self.running = None;
        let Some(installed) = read(&self.disk) else { return };
        if let Some(cluster) = shared.clusters().get_mut(installed.command.endpoint()) {
            cluster.etcd.remove(&self.machine.system_id);
            cluster.silent.insert(installed.name().to_owned(), Instant::now());
        }
    }

    /// The disk is gone.
    pub(crate) async fn wipe(mut self, shared: &Arc<Shared>) {
        tracing::info!(host = self.machine.hostname, "wiped");
        self.stop(shared);
        let Some(installed) = read(&self.disk) else { return };
        let endpoint = installed.command.endpoint();
        if let Some(client) = shared.alive(endpoint)
            && let Err(error) = node::forget_pods(&client, installed.name()).await
        {
            tracing::warn!(host = self.machine.hostname, "static Pods: {error:#}");
        }
        let mut clusters = shared.clusters();
        let Some(cluster) = clusters.get_mut(endpoint) else { return };
        cluster.members.remove(&self.machine.system_id);
        if cluster.members.is_empty() {
            tracing::info!(endpoint, "the cluster's last control-plane machine is gone");
            clusters.remove(endpoint);
        }
    }
}

/// Runs until the power is cut.
async fn software(shared: &Arc<Shared>, machine: &Machine, disk: &Disk) -> Result<std::convert::Infallible> {
    let address = *machine.addresses.first().context("the machine has no address")?;
    let folder = shared.settings.folder.join(format!("{}-{}", machine.hostname, machine.deployment));
    let _running = match read(disk) {
        None => first_boot(shared, machine, address, &folder, disk).await?,
        Some(installed) => again(shared, machine, address, &folder, &installed).await?,
    };
    std::future::pending().await
}

/// What a control-plane machine runs, beside the API server that all of a cluster share.
struct ControlPlane {
    _etcd: Child,
    _kubelet: Child,
    _api: Forward,
    /// Its part in a virtual address, if the cluster has one.
    _vip: Option<Forward>,
}

/// cloud-init and kubeadm.
async fn first_boot(
    shared: &Arc<Shared>,
    machine: &Machine,
    address: IpAddr,
    folder: &Path,
    disk: &Disk,
) -> Result<Option<ControlPlane>> {
    let meta = MetaData {
        instance_id: machine.system_id.clone(),
        local_hostname: machine.fqdn.clone(),
        hostname: machine.hostname.clone(),
    };
    let data =
        shared.region.user_data(&machine.system_id).await?.context("the machine was deployed without user data")?;
    let cloud_init = CloudInit::read(&data, &meta)?;
    let command = cloud_init.kubeadm(&meta)?;
    let name = command.registration().name.clone();
    let endpoint = command.endpoint().to_owned();
    tracing::info!(host = machine.hostname, name, endpoint, init = matches!(command, Kubeadm::Init { .. }), "kubeadm");
    let member = Member { shared, folder, name: &name, address };
    let (control_plane, version) = match &command {
        Kubeadm::Init { version, .. } => {
            match virtual_address(&endpoint) {
                Some(vip) => announced(&cloud_init, vip)?,
                None => join::until_named(&endpoint, address).await?,
            }
            member.write_certificates(&cloud_init)?;
            let etcd = member.start("new", &format!("{name}={}", member.peer())).await?;
            cluster::found(shared, &endpoint, &cloud_init).await?;
            let control_plane = control_plane(shared, machine, address, folder, &endpoint, etcd).await?;
            let client = shared.alive(&endpoint).context("the API server")?;
            let configuration = cloud_init.cluster_configuration().context("no ClusterConfiguration")?;
            let authority = Authority::delivered(&cloud_init, "ca")?;
            node::found(&client, &endpoint, configuration, &authority.certificate).await?;
            (Some(control_plane), version.clone())
        }
        Kubeadm::Join { token, ca_hashes, control_plane: joins, .. } => {
            join::discover(shared, &endpoint, token, ca_hashes).await?;
            let client = shared.alive(&endpoint).context("the cluster lost its API servers")?;
            let version = node::version(&client).await?;
            let mut control = None;
            if *joins {
                member.write_certificates(&cloud_init)?;
                let others = shared.clusters().get(&endpoint).map(|c| c.etcd.values().cloned().collect::<Vec<_>>());
                let initial = member.join(&others.unwrap_or_default().join(",")).await?;
                let etcd = member.start("existing", &initial).await?;
                control = Some(control_plane(shared, machine, address, folder, &endpoint, etcd).await?);
            }
            (control, version)
        }
    };
    let client = shared.alive(&endpoint).context("the cluster lost its API servers")?;
    node::register(&client, &machine.system_id, address, &command, &version, shared.clock.now()).await?;
    tracing::info!(host = machine.hostname, name, version, "Node");
    *disk.lock().unwrap_or_else(PoisonError::into_inner) = Some(Installed { command, version });
    Ok(control_plane)
}

/// Power is back: what was installed starts again.
async fn again(
    shared: &Arc<Shared>,
    machine: &Machine,
    address: IpAddr,
    folder: &Path,
    installed: &Installed,
) -> Result<Option<ControlPlane>> {
    let (name, endpoint) = (installed.name(), installed.command.endpoint());
    let mut running = None;
    if installed.command.is_control_plane() {
        let member = Member { shared, folder, name, address };
        // A member that was removed meanwhile ends; the machine is of no use then, and that is nobody's fault.
        let initial = format!("{name}={}", member.peer());
        let Ok(etcd) = member.start("existing", &initial).await else { std::future::pending().await };
        running = Some(control_plane(shared, machine, address, folder, endpoint, etcd).await?);
    }
    loop {
        if let Some(client) = shared.alive(endpoint)
            && node::report(&client, name, true, shared.clock.now()).await.is_ok()
        {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if let Some(cluster) = shared.clusters().get_mut(endpoint) {
        cluster.silent.remove(name);
    }
    tracing::info!(host = machine.hostname, name, version = installed.version, "Node reports again");
    Ok(running)
}

/// Opens the machine's ports to the cluster's API server and to its kubelet.
async fn control_plane(
    shared: &Arc<Shared>,
    machine: &Machine,
    address: IpAddr,
    folder: &Path,
    endpoint: &str,
    etcd: Child,
) -> Result<ControlPlane> {
    let server = shared.clusters().get(endpoint).map(|cluster| cluster.server).context("the cluster's API server")?;
    let _api = Forward::start(SocketAddr::new(address, 6443), server).await?;
    let kubelet = shared.settings.components.join("kubelet");
    let _kubelet =
        process::daemon(&kubelet, &folder.join("kubelet.log"), ["--address".to_owned(), address.to_string()])?;
    if let Some(cluster) = shared.clusters().get_mut(endpoint) {
        cluster.etcd.insert(machine.system_id.clone(), client_url(address));
        cluster.members.insert(machine.system_id.clone());
    }
    let _vip = virtual_address(endpoint).map(|vip| Forward::when_free(vip, server));
    Ok(ControlPlane { _etcd: etcd, _kubelet, _api, _vip })
}

/// An endpoint that is an address and not a name.
fn virtual_address(endpoint: &str) -> Option<SocketAddr> {
    endpoint.parse().ok()
}

/// kube-vip must have been told the address: nothing else on the machine would take it.
fn announced(cloud_init: &CloudInit, vip: SocketAddr) -> Result<()> {
    const MANIFEST: &str = "/etc/kubernetes/manifests/kube-vip.yaml";
    let manifest = cloud_init.file(MANIFEST).with_context(|| format!("nobody takes {vip}: there is no {MANIFEST}"))?;
    ensure!(manifest.contains(&format!("\"{}\"", vip.ip())), "{MANIFEST} does not name {vip}");
    Ok(())
}

fn client_url(address: IpAddr) -> String {
    format!("https://{}", SocketAddr::new(address, 2379))
}

/// The machine's member of the cluster's etcd.
struct Member<'h> {
    shared: &'h Arc<Shared>,
    folder: &'h Path,
    name: &'h str,
    address: IpAddr,
}

impl Member<'_> {
    fn peer(&self) -> String {
        format!("https://{}", SocketAddr::new(self.address, 2380))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join("pki").join(name)
    }

    fn write_certificates(&self, cloud_init: &CloudInit) -> Result<()> {
        let authority = Authority::delivered(cloud_init, "etcd/ca")?;
        // Peers look at the address that a connection comes from, which between two addresses of loopback is the first one.
        let addresses = [self.address, IpAddr::from(std::net::Ipv4Addr::LOCALHOST)];
        let pair = authority.sign(self.name, None, &[self.name.to_owned()], &addresses)?;
        pair.write(&self.folder.join("pki"), "etcd")?;
        write(&self.file("etcd-ca.crt"), &authority.certificate)
    }

    /// Adds the member; the value of `--initial-cluster`.
    async fn join(&self, endpoints: &str) -> Result<String> {
        let (authority, certificate, key) = (self.file("etcd-ca.crt"), self.file("etcd.crt"), self.file("etcd.key"));
        let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
        let arguments = [
            flag("endpoints", &endpoints),
            flag("cacert", &authority.display()),
            flag("cert", &certificate.display()),
            flag("key", &key.display()),
            flag("name", &self.name),
            flag("peer", &self.peer()),
        ];
        let program = self.shared.settings.components.join("etcdjoin");
        let until = Instant::now() + START;
        loop {
            match process::output(&program, &arguments).await {
                Ok(initial) => return Ok(initial),
                // Another member that has just joined may not have caught up.
                Err(error) if Instant::now() > until => bail!("joining etcd: {error:#}"),
                Err(error) => tracing::info!(name = self.name, "joining etcd: {error:#}"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Starts it and waits until it listens for clients, which it does once it is part of the cluster.
    async fn start(&self, state: &str, initial: &str) -> Result<Child> {
        let (client, peer) = (client_url(self.address), self.peer());
        let (authority, certificate, key) = (self.file("etcd-ca.crt"), self.file("etcd.crt"), self.file("etcd.key"));
        let mut arguments = vec!["--unsafe-no-fsync".to_owned(), "--log-level=warn".to_owned()];
        for (flag, value) in [
            ("name", self.name),
            ("data-dir", &self.folder.join("etcd").display().to_string()),
            ("listen-client-urls", &client),
            ("advertise-client-urls", &client),
            ("listen-peer-urls", &peer),
            ("initial-advertise-peer-urls", &peer),
            ("initial-cluster", initial),
            ("initial-cluster-state", state),
        ] {
            arguments.push(format!("--{flag}={value}"));
        }
        for prefix in ["", "peer-"] {
            arguments.push(format!("--{prefix}cert-file={}", certificate.display()));
            arguments.push(format!("--{prefix}key-file={}", key.display()));
            arguments.push(format!("--{prefix}trusted-ca-file={}", authority.display()));
            arguments.push(format!("--{prefix}client-cert-auth"));
        }
        let log = self.folder.join("etcd.log");
        let mut child = process::daemon(&self.shared.settings.components.join("etcd"), &log, arguments)?;
        let until = Instant::now() + START;
        while tokio::net::TcpStream::connect(SocketAddr::new(self.address, 2379)).await.is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("etcd ended ({status}), see {}", log.display());
            }
            if Instant::now() > until {
                bail!("etcd does not start, see {}", log.display());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(child)
    }
}
