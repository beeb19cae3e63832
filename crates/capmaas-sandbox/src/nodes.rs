//! What runs on the machines: cloud-init, kubeadm and the kubelet, as far as a cluster sees them.
//!
//! A machine that booted reads the user data it was *delivered*, runs its kubeadm command after a while and registers a Node
//! in the workload cluster, named as kubeadm would name it and without a providerID unless its user data sets one. Power
//! decides what follows: a Node whose machine is off stops to report, an API server on it falls silent.

mod kubelet;
mod user_data;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use capmaas_provider_maas::Clock;
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use maas_sim::{Happening, SharedRegion};
use serde_json::json;
use tokio::sync::watch;

use self::kubelet::{is_on, is_ready};
pub use self::kubelet::{node, node_conditions};
pub use self::user_data::{CloudInit, Kubeadm, MetaData, Registration, UserDataError, UserDataErrorKind};
use crate::workload::{ClusterKey, Workloads};

/// How long things take on a machine, in policy time, and who misbehaves.
#[derive(Clone, Debug)]
pub struct NodesConfig {
    /// From the metadata service's answer to the end of `kubeadm`.
    pub kubeadm: Duration,
    /// From power on of an installed machine to its kubelet.
    pub restart: Duration,
    /// Between attempts of kubeadm to find the API.
    pub retry: Duration,
    /// After this long kubeadm gives up; nothing runs it again.
    pub give_up: Duration,
    /// A Node that does not report for so long is marked Unknown (40 s in Kubernetes).
    pub grace: Duration,
    /// Host names of machines on which kubeadm never ends.
    pub never_join: BTreeSet<String>,
}

impl Default for NodesConfig {
    fn default() -> Self {
        Self {
            kubeadm: Duration::from_secs(45),
            restart: Duration::from_secs(60),
            retry: Duration::from_secs(5),
            give_up: Duration::from_secs(300),
            grace: Duration::from_secs(40),
            never_join: BTreeSet::new(),
        }
    }
}

/// What a person sees of a machine's inside: by system_id, one line each.
pub type Console = BTreeMap<String, String>;

/// One machine's software.
#[derive(Debug)]
struct Host {
    hostname: String,
    addresses: Vec<IpAddr>,
    powered: bool,
    life: Life,
    /// When the kubelet last stopped to report.
    silent_since: Option<Timestamp>,
}

#[derive(Debug)]
enum Life {
    /// Nothing to do, for this reason.
    Idle,
    /// kubeadm runs; next attempt and the end of patience.
    Kubeadm { command: Kubeadm, next: Timestamp, until: Timestamp },
    /// A Node; `starts` when its machine is coming up.
    Node { cluster: ClusterKey, name: String, control_plane: bool, starts: Option<Timestamp>, marked: bool },
}

/// The software on all machines of a region.
#[derive(Debug)]
pub struct Nodes {
    config: NodesConfig,
    workloads: Workloads,
    hosts: BTreeMap<String, Host>,
    console: watch::Sender<Console>,
}

/// Why kubeadm did not get through this time.
enum Failure {
    /// It tries again.
    Later(String),
    /// It never will.
    Never(String),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Failure::Later(error.to_string())
    }
}

impl Nodes {
    /// Machines of which none has booted.
    pub fn new(config: NodesConfig, workloads: Workloads) -> Self {
        Self { config, workloads, hosts: BTreeMap::new(), console: watch::Sender::default() }
    }

    /// What goes on inside the machines, for display.
    pub fn console(&self) -> watch::Receiver<Console> {
        self.console.subscribe()
    }

    fn say(&self, system_id: &str, line: impl Into<String>) {
        let line = line.into();
        self.console.send_if_modified(|console| {
            let changed = console.get(system_id) != Some(&line);
            if changed {
                tracing::info!(system_id, line, "machine");
                console.insert(system_id.to_owned(), line);
            }
            changed
        });
    }

    /// Runs until dropped: drives the region's time and the machines on it.
    pub async fn run(mut self, region: SharedRegion, clock: Clock) -> std::convert::Infallible {
        let mut api = self.workloads.changes();
        loop {
            for happening in region.with(|region, _| region.take_happenings()) {
                self.handle(clock.now(), &happening);
            }
            let ours = self.tick(clock.now()).await;
            // our own look at the region is no news
            let _ = region.changed().now_or_never();
            let due = [ours, region.tick()].into_iter().flatten().min();
            // a request may slip in between the two looks above when threads are many: hence never longer than this
            let due = due.unwrap_or(Timestamp::MAX).min(clock.now() + LONGEST_SLEEP);
            tokio::select! { biased;
                () = region.changed() => {}
                () = api.changed() => {}
                () = clock.sleep_until(due) => {}
            }
        }
    }

    /// Takes note of something that happened to hardware.
    pub fn handle(&mut self, now: Timestamp, happening: &Happening) {
        match happening {
            Happening::Booted { system_id, hostname, fqdn, addresses, user_data, .. } => {
                self.wipe(system_id, now);
                let meta = MetaData {
                    instance_id: system_id.clone(),
                    local_hostname: fqdn.clone(),
                    hostname: hostname.clone(),
                };
                let read = user_data.as_deref().ok_or(UserDataError::None).and_then(|data| Kubeadm::read(data, &meta));
                let life = match read {
                    Ok(_) if self.config.never_join.contains(hostname) => {
                        self.say(system_id, "kubeadm hangs");
                        Life::Idle
                    }
                    Ok(command) => {
                        self.say(
                            system_id,
                            if matches!(command, Kubeadm::Init { .. }) { "kubeadm init" } else { "kubeadm join" },
                        );
                        let next = now + self.config.kubeadm;
                        Life::Kubeadm { command, next, until: next + self.config.give_up }
                    }
                    Err(error) => {
                        tracing::warn!(system_id, %error, "machine cannot use its user data");
                        self.say(system_id, error.to_string());
                        Life::Idle
                    }
                };
                let host = Host {
                    hostname: hostname.clone(),
                    addresses: addresses.clone(),
                    powered: true,
                    life,
                    silent_since: None,
                };
                self.hosts.insert(system_id.clone(), host);
            }
            Happening::PoweredOff { system_id } | Happening::Hung { system_id } => {
                let Some(host) = self.hosts.get_mut(system_id) else {
                    return;
                };
                // Nothing runs, whether it has power or not.
                host.powered = false;
                host.silent_since.get_or_insert(now);
                if let Life::Node { cluster, control_plane, starts, .. } = &mut host.life {
                    *starts = None;
                    if *control_plane {
                        self.workloads.api_down(cluster, &host.addresses);
                    }
                }
                self.say(system_id, if matches!(happening, Happening::Hung { .. }) { "hung" } else { "off" });
            }
            Happening::PoweredOn { system_id } => {
                let Some(host) = self.hosts.get_mut(system_id) else {
                    return;
                };
                host.powered = true;
                match &mut host.life {
                    Life::Node { starts, .. } => *starts = Some(now + self.config.restart),
                    // an interrupted kubeadm is not run again: cloud-init ran once
                    Life::Kubeadm { .. } => host.life = Life::Idle,
                    Life::Idle => {}
                }
                self.say(system_id, "starting");
            }
            Happening::Wiped { system_id } => self.wipe(system_id, now),
        }
    }

    /// The disk is gone; a Node it had stops to report.
    fn wipe(&mut self, system_id: &str, now: Timestamp) {
        let Some(host) = self.hosts.get_mut(system_id) else {
            return;
        };
        host.powered = false;
        host.silent_since.get_or_insert(now);
        match &mut host.life {
            Life::Node { cluster, control_plane, starts, .. } => {
                *starts = None;
                if *control_plane {
                    self.workloads.api_down(cluster, &host.addresses);
                    *control_plane = false;
                }
            }
            other => *other = Life::Idle,
        }
        self.console.send_if_modified(|console| console.remove(system_id).is_some());
    }

    /// Does what is due; answers when the next thing is.
    pub async fn tick(&mut self, now: Timestamp) -> Option<Timestamp> {
        let mut wake: Option<Timestamp> = None;
        let mut later = |at: Timestamp| wake = Some(wake.map_or(at, |w| w.min(at)));
        let ids: Vec<String> = self.hosts.keys().cloned().collect();
        for id in ids {
            let Some(mut host) = self.hosts.remove(&id) else {
                continue;
            };
            if let Some(at) = self.advance(&id, &mut host, now).await {
                later(at);
            }
            self.hosts.insert(id, host);
        }
        wake
    }

    async fn advance(&self, id: &str, host: &mut Host, now: Timestamp) -> Option<Timestamp> {
        match &mut host.life {
            Life::Idle => None,
            Life::Kubeadm { .. } if !host.powered => None,
            Life::Kubeadm { next, .. } if *next > now => Some(*next),
            Life::Kubeadm { command, next, until } => match self.kubeadm(id, &host.addresses, command, now).await {
                Ok(cluster) => {
                    let (name, control_plane) = (command.registration().name.clone(), command.is_control_plane());
                    self.say(id, format!("Node {name}"));
                    host.silent_since = None;
                    host.life =
                        Life::Node { cluster: cluster.clone(), name, control_plane, starts: None, marked: false };
                    if control_plane {
                        self.workloads.api_up(&cluster, &host.addresses);
                    }
                    None
                }
                Err(Failure::Later(why)) if now < *until => {
                    self.say(id, format!("kubeadm waits: {why}"));
                    *next = now + self.config.retry;
                    Some(*next)
                }
                Err(Failure::Later(why) | Failure::Never(why)) => {
                    tracing::warn!(system_id = id, hostname = host.hostname, why, "kubeadm failed");
                    self.say(id, format!("kubeadm failed: {why}"));
                    host.life = Life::Idle;
                    None
                }
            },
            Life::Node { cluster, name, control_plane, starts: starts @ Some(_), marked } => {
                if starts.is_some_and(|at| at > now) {
                    return *starts;
                }
                // the machine's own API server is up before its kubelet reports
                if *control_plane {
                    self.workloads.api_up(cluster, &host.addresses);
                }
                match self.report(cluster, name, true, now).await {
                    Ok(()) => {
                        self.say(id, format!("Node {name}"));
                        (*starts, *marked, host.silent_since) = (None, false, None);
                        None
                    }
                    Err(why) => {
                        self.say(id, format!("kubelet waits: {why}"));
                        *starts = Some(now + self.config.retry);
                        *starts
                    }
                }
            }
            Life::Node { cluster, name, marked, .. } => {
                let since = host.silent_since.filter(|_| !*marked)?;
                let at = since + self.config.grace;
                if at > now {
                    return Some(at);
                }
                // with no API server there is no node controller either; it marks when it is back
                match self.report(cluster, name, false, now).await {
                    Ok(()) => {
                        *marked = true;
                        None
                    }
                    Err(_) => Some(now + self.config.retry),
                }
            }
        }
    }

    /// One attempt of kubeadm; answers which cluster the Node is in.
    async fn kubeadm(
        &self,
        id: &str,
        addresses: &[IpAddr],
        command: &Kubeadm,
        now: Timestamp,
    ) -> Result<ClusterKey, Failure> {
        let endpoint = command.endpoint();
        let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
        let resolved = self.workloads.addresses(host);
        if resolved.is_empty() {
            return Err(Failure::Later(format!("{host} does not resolve")));
        }
        let silent = || Failure::Later(format!("no API server answers at {endpoint}"));
        let key = self.workloads.by_endpoint(endpoint).ok_or_else(silent)?;
        let client = self.workloads.inside(&key).ok_or_else(silent)?;
        let version = match command {
            Kubeadm::Init { cluster, version, .. } => {
                // kubeadm finds its own API server through the name
                if !resolved.iter().any(|ip| addresses.contains(ip)) {
                    return Err(Failure::Later(format!("{host} does not resolve to this machine")));
                }
                let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
                let founded = maps.get_opt(CONFIG_MAP).await?.is_some();
                if founded && self.workloads.api_anywhere(&key) {
                    return Err(Failure::Never(format!("cluster {key} exists already: a second one would be founded")));
                }
                let client = if founded {
                    self.workloads.refound(&key);
                    self.workloads.inside(&key).ok_or_else(silent)?
                } else {
                    client.clone()
                };
                found(&client, cluster, endpoint, version).await?;
                version.clone()
            }
            Kubeadm::Join { token, ca_hashes, .. } => {
                if !self.workloads.reachable(&key) {
                    return Err(silent());
                }
                if !ca_hashes.is_empty() && !ca_hashes.iter().any(|h| h == self.workloads.authority().public_key_hash())
                {
                    return Err(Failure::Never("the cluster's certificate authority has another hash".into()));
                }
                check_token(&client, token).await?;
                let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
                let map = maps.get_opt(CONFIG_MAP).await?;
                let map =
                    map.ok_or_else(|| Failure::Later("ConfigMap kube-system/kubeadm-config does not exist".into()))?;
                let configuration = map.data.unwrap_or_default().remove("ClusterConfiguration").unwrap_or_default();
                let version = configuration.lines().find_map(|line| line.strip_prefix("kubernetesVersion: "));
                version.unwrap_or_default().to_owned()
            }
        };
        let client = self.workloads.inside(&key).ok_or_else(silent)?;
        let body = node(id, addresses, command, &version, now);
        let name = command.registration().name.clone();
        let nodes: Api<Node> = Api::all(client);
        match nodes.get_opt(&name).await? {
            // the kubelet takes a Node over as it finds it, its providerID included
            Some(old) if is_ready(&old) && !is_on(&old, id) => {
                return Err(Failure::Later(format!(
                    "a Node with name {name} and status Ready already exists in the cluster"
                )));
            }
            Some(_) => {}
            None => {
                let typed: Node = serde_json::from_value(body.clone()).map_err(|e| Failure::Never(e.to_string()))?;
                nodes.create(&PostParams::default(), &typed).await?;
            }
        }
        let status = json!({ "status": body["status"] });
        nodes.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
        Ok(key)
    }

    /// Writes what the kubelet (`alive`) or else the node controller says about a Node.
    async fn report(&self, cluster: &ClusterKey, name: &str, alive: bool, now: Timestamp) -> Result<(), String> {
        if !self.workloads.api_anywhere(cluster) {
            return Err("no API server answers".into());
        }
        let Some(client) = self.workloads.inside(cluster) else {
            return Err("the cluster is gone".into());
        };
        let nodes: Api<Node> = Api::all(client);
        let body = json!({ "status": { "conditions": node_conditions(alive, now) } });
        match nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(&body)).await {
            Ok(_) => Ok(()),
            // a deleted Node stays away until its kubelet is set up anew
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

const CONFIG_MAP: &str = "kubeadm-config";
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// What `kubeadm init` leaves in the cluster.
async fn found(client: &kube::Client, cluster: &str, endpoint: &str, version: &str) -> Result<(), Failure> {
    let configuration = format!(
        "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nclusterName: {cluster}\ncontrolPlaneEndpoint: {endpoint}\nkubernetesVersion: {version}\n"
    );
    let map = json!({
        "metadata": { "name": CONFIG_MAP, "namespace": "kube-system" },
        "data": { "ClusterConfiguration": configuration },
    });
    let map: ConfigMap = serde_json::from_value(map).map_err(|e| Failure::Never(e.to_string()))?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    match maps.create(&PostParams::default(), &map).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// The token must be a bootstrap token of the cluster.
async fn check_token(client: &kube::Client, token: &str) -> Result<(), Failure> {
    let refused = |why: &str| Failure::Never(format!("the cluster does not accept the join token: {why}"));
    let (id, secret) = token.split_once('.').ok_or_else(|| refused("it is malformed"))?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "kube-system");
    let list = secrets.list(&ListParams::default()).await?;
    let known = list.items.iter().find(|s| s.metadata.name.as_deref() == Some(&format!("bootstrap-token-{id}")));
    let stored = known.and_then(|s| s.data.as_ref()?.get("token-secret"));
    match stored {
        Some(stored) if stored.0 == secret.as_bytes() => Ok(()),
        Some(_) => Err(refused("its secret is another")),
        None => Err(refused("it is unknown or has expired")),
    }
}

#[cfg(test)]
mod tests;
