//! Whole-system scenarios: the provider's manager, unchanged, in a world of simulators.
//!
//! **What it is.** [`Play`] runs a manager in a [`Sandbox`] under paused time and plays a script against it; a [`Hand`] does what a user
//! does with kubectl; [`seed_scenario`] is the script of the README: the seed's manifest comes up, is scaled, and goes.
//!
//! [`conformance`] holds the embedded API server to the real one: its documentation says how to add a case and how to refresh the
//! transcripts.
//!
//! The program `simulated-machines` is what runs on machines when the management plane is a real one (`cargo xtask e2e`): it boots
//! from user data that MAAS delivered, with a real etcd per control-plane machine and a real kube-apiserver per workload cluster.
//!
//! **What it is not.** No unit tests (they are beside the code) and no judge of Cluster API's contract: the real controllers are.
//! Which test, here or elsewhere, stands for which point of that contract is in [`contract`], and for which defect of the provider
//! before us in [`defects`].
//!
//! **How data flows.** Script → embedded API server ↔ scenery, manager ↔ simulated MAAS → simulated machines → workload cluster. All in
//! one process and deterministic: same seed, same trace ([`trace_hash`]), also in two processes. A [`Gate`] may disturb the manager at any
//! numbered call. [`stage`] plays the [`stories`] under such disturbances (managers that are stopped, two that lead at once, faults), and
//! [`invariants`] are what must hold all the while.
//!
//! ```
//! use capmaas_tests::{condition, in_lab};
//!
//! in_lab(2, async |hand| {
//!     hand.apply_seed().await;
//!     hand.until_ready(2).await;
//!     let cluster = hand.get("MaasCluster", "my-cluster").await.unwrap();
//!     assert_eq!(condition(&cluster, "Ready").0, "True");
//! });
//! ```

pub mod conformance;
pub mod contract;
pub mod defects;
pub mod health_check;
pub mod invariants;
pub mod moving;
#[cfg(test)]
mod proofs;
pub mod stage;
pub mod stories;

use std::future::Future;
use std::time::Duration;

use capmaas_manager::gate::Gate;
use capmaas_manager::{Credentials, Manager, Settings};
use capmaas_sandbox::sandbox::{MAAS_URL, Sandbox, SandboxConfig};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::invariants::FOREIGN;

/// Longest policy time that a script waits for one thing.
pub const PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// A world with a manager in it.
pub struct Play {
    /// The world.
    pub sandbox: Sandbox,
    /// The gate of the manager.
    pub gate: Gate,
    /// Flags of the manager.
    pub settings: Settings,
}

impl Play {
    /// A lab of so many machines, with everything installed and no manager running yet.
    ///
    /// # Panics
    /// When the lab can't be set up.
    pub async fn lab(seed: u64, machines: usize) -> Self {
        Self::with(SandboxConfig::lab(seed, machines).expect("the lab's own configuration")).await
    }

    /// The same, on hardware that takes half a minute to deploy, and with machines in it that are somebody else's: fewer polls, so that
    /// each call can be made the last one of a manager.
    ///
    /// # Panics
    /// When the lab can't be set up.
    pub async fn quick(seed: u64, machines: usize) -> Self {
        let mut config = SandboxConfig::lab(seed, machines).expect("the lab's own configuration");
        let s = Duration::from_secs;
        config.maas.durations = maas_sim::Durations {
            ephemeral: s(5),
            installing: s(10),
            reboot: s(5),
            first_boot: s(5),
            power_on: s(2),
            release: s(5),
            deploy_watchdog: s(90),
            ..maas_sim::Durations::default()
        };
        config.nodes.kubeadm = s(5);
        // As much shorter than MAAS's own as the hardware is quicker.
        config.deadlines = maas_client::Deadlines::all(s(20));
        invariants::specify_strangers(&mut config.maas);
        let play = Self::with(config).await;
        invariants::hand_out_strangers(&play.sandbox.maas);
        play
    }

    /// A world of this configuration.
    ///
    /// # Panics
    /// When it can't be set up.
    pub async fn with(config: SandboxConfig) -> Self {
        let sandbox = Sandbox::new(config);
        sandbox.install().await.expect("the kinds and the credentials are ours");
        Self { sandbox, gate: Gate::open(), settings: Settings::default() }
    }

    /// Runs world, manager and script until the script ends.
    pub async fn run<T>(&self, script: impl Future<Output = T>) -> T {
        let manager = async {
            let env = self.sandbox.env(&self.gate, self.settings.clone());
            let ended = Manager::run(env, std::future::pending()).await;
            panic!("the manager ended: {ended:?}")
        };
        tokio::select! { biased;
            never = self.sandbox.world() => match never {},
            () = manager => unreachable!("it runs for ever"),
            done = script => done,
        }
    }
}

/// Resource of a kind that the scripts touch.
pub fn resource(kind: &str) -> ApiResource {
    let (group, version, plural) = match kind {
        "Cluster" => ("cluster.x-k8s.io", "v1beta2", "clusters"),
        "Machine" => ("cluster.x-k8s.io", "v1beta2", "machines"),
        "MachineDeployment" => ("cluster.x-k8s.io", "v1beta2", "machinedeployments"),
        "MachineSet" => ("cluster.x-k8s.io", "v1beta2", "machinesets"),
        "KubeadmConfig" => ("bootstrap.cluster.x-k8s.io", "v1beta2", "kubeadmconfigs"),
        "KubeadmConfigTemplate" => ("bootstrap.cluster.x-k8s.io", "v1beta2", "kubeadmconfigtemplates"),
        "KubeadmControlPlane" => ("controlplane.cluster.x-k8s.io", "v1beta2", "kubeadmcontrolplanes"),
        "MaasCluster" => ("infrastructure.cluster.x-k8s.io", "v1beta1", "maasclusters"),
        "MaasMachine" => ("infrastructure.cluster.x-k8s.io", "v1beta1", "maasmachines"),
        "MaasMachineTemplate" => ("infrastructure.cluster.x-k8s.io", "v1beta1", "maasmachinetemplates"),
        "MaasRemediation" => ("infrastructure.cluster.x-k8s.io", "v1beta1", "maasremediations"),
        "Event" => ("", "v1", "events"),
        "Secret" => ("", "v1", "secrets"),
        other => panic!("no resource for {other}"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// What scripts do and look at.
pub struct Hand<'a> {
    /// The world it works in.
    pub play: &'a Play,
    client: kube::Client,
}

impl<'a> Hand<'a> {
    /// A hand in this world.
    pub fn new(play: &'a Play) -> Self {
        Self::at(play, &play.sandbox)
    }

    /// The same, at another management cluster of that world.
    pub fn at(play: &'a Play, cluster: &Sandbox) -> Self {
        Self { play, client: cluster.client() }
    }

    /// A client of the region for what an operator does in MAAS; with the controller's own key, and not through its gate.
    ///
    /// # Panics
    /// Never: the sandbox's URL and key are good.
    pub fn maas(&self) -> maas_client::Client {
        let credentials = Credentials {
            endpoint: MAAS_URL.to_owned(),
            api_key: maas_sim::ADMIN_KEY.into(),
            source: "an operator".to_owned(),
        };
        let env = self.play.sandbox.env(&Gate::open(), self.play.settings.clone());
        env.regions.client(&credentials).expect("the sandbox's own URL and key")
    }

    fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }

    /// All objects of a kind in namespace `default`, in order of their names.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn list(&self, kind: &str) -> Vec<Value> {
        let list = self.api(kind, "default").list(&ListParams::default()).await.expect("list");
        list.items.into_iter().map(|o| serde_json::to_value(o).expect("an object is JSON")).collect()
    }

    /// One object in namespace `default`, if it is there.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let object = self.api(kind, "default").get_opt(name).await.expect("get");
        object.map(|o| serde_json::to_value(o).expect("an object is JSON"))
    }

    /// Merges into an object in namespace `default`.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn merge(&self, kind: &str, name: &str, patch: Value) -> Result<Value, kube::Error> {
        let object = self.api(kind, "default").patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        serde_json::to_value(object).map_err(kube::Error::SerdeError)
    }

    /// Deletes an object in namespace `default`.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind, "default").delete(name, &DeleteParams::default()).await.expect("delete");
    }

    /// Applies the seed's manifest, converted for today.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn apply_seed(&self) {
        self.play.sandbox.apply(&seed_documents()).await.expect("the seed's manifest is accepted");
    }

    /// Waits until `probe` gives something, looking every five seconds of policy time.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`].
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, probe: impl Fn() -> F) -> T {
        self.until_every(Duration::from_secs(5), what, probe).await
    }

    /// The same for what does not last: looks ten times a second.
    pub async fn until_soon<T, F: Future<Output = Option<T>>>(&self, what: &str, probe: impl Fn() -> F) -> T {
        self.until_every(Duration::from_millis(100), what, probe).await
    }

    async fn until_every<T, F: Future<Output = Option<T>>>(
        &self,
        period: Duration,
        what: &str,
        probe: impl Fn() -> F,
    ) -> T {
        let clock = self.play.sandbox.clock;
        let end = clock.now() + PATIENCE;
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            if clock.now() >= end {
                let mut state = String::new();
                for kind in ["Cluster", "MaasCluster", "Machine", "MaasMachine"] {
                    for object in self.list(kind).await {
                        let show = json!({ "spec": object["spec"], "status": object["status"], "metadata": object["metadata"] });
                        state.push_str(&format!("{kind} {}: {show:#}\n", object["metadata"]["name"]));
                    }
                }
                panic!("waited in vain: {what}\n{state}");
            }
            clock.sleep(period).await;
        }
    }

    /// Waits until there are so many machines, all with Nodes, tied and ready.
    pub async fn until_ready(&self, machines: usize) {
        self.until(&format!("{machines} machines ready"), || async {
            let cores = self.list("Machine").await;
            let maas = self.list("MaasMachine").await;
            let done = cores.len() == machines
                && maas.len() == machines
                && cores.iter().all(|m| m.pointer("/status/nodeRef/name").is_some())
                && maas.iter().all(|m| condition(m, "Ready").0 == "True" && condition(m, "NodeTied").0 == "True");
            done.then_some(())
        })
        .await;
    }

    /// Waits until neither Cluster nor anything of it is left.
    pub async fn until_gone(&self) {
        self.until("nothing left", || async {
            for kind in ["Cluster", "MaasCluster", "Machine", "MaasMachine"] {
                if !self.list(kind).await.is_empty() {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// True when nothing was done to the machines that are somebody else's, if there are any.
    pub fn foreign_is_untouched(&self) -> bool {
        invariants::strangers_are_untouched(&self.play.sandbox.maas)
    }

    /// Host names of machines in MAAS that we hold.
    pub fn held(&self) -> Vec<String> {
        self.play.sandbox.maas.with(|region, _| {
            let all = region.system_ids().into_iter().filter_map(|id| region.machine(&id)).collect::<Vec<_>>();
            let taken = |m: &maas_sim::MachineState| m.owner.is_some() || m.status != maas_sim::Status::Ready;
            all.into_iter().filter(taken).map(|m| m.hostname).filter(|name| !name.starts_with(FOREIGN)).collect()
        })
    }
}

/// `(status, reason, message)` of a condition; empty when it is not there.
pub fn condition(object: &Value, type_: &str) -> (String, String, String) {
    let all = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let text = |c: &Value, field: &str| c[field].as_str().unwrap_or_default().to_owned();
    all.filter(|c| c["type"] == type_)
        .map(|c| (text(c, "status"), text(c, "reason"), text(c, "message")))
        .next()
        .unwrap_or_default()
}

/// The seed's manifest as today's Cluster API takes it.
///
/// # Panics
/// When it can't be converted.
pub fn seed_documents() -> Vec<Value> {
    capi_types::convert(capi_types::SEED_MANIFEST, &Default::default()).expect("the seed's manifest converts").documents
}

/// The seed's life: up, scaled to three workers, deleted; checks that nothing is left.
///
/// # Panics
/// When something is left, or does not come about.
pub async fn seed_scenario(play: &Play) {
    let hand = Hand::new(play);
    hand.apply_seed().await;
    hand.until_ready(2).await;
    let host =
        hand.get("MaasCluster", "my-cluster").await.expect("it is there")["spec"]["controlPlaneEndpoint"]["host"]
            .clone();
    let host = host.as_str().expect("the endpoint is set").to_owned();
    let addresses = play.sandbox.maas.with(|region, now| region.resolve(now, &host));
    assert_eq!(addresses.len(), 1, "{host} resolves to the control plane");
    hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 3 } })).await.expect("scale");
    hand.until_ready(4).await;
    check_hosts(&hand, 4).await;
    hand.delete("Cluster", "my-cluster").await;
    hand.until_gone().await;
    assert_eq!(hand.held(), Vec::<String>::new(), "every machine is back in the pool");
    play.sandbox.clock.sleep(Duration::from_secs(60)).await;
    let left = play.sandbox.maas.with(|region, now| region.resolve(now, &host));
    assert!(left.is_empty(), "{host} still resolves to {left:?}");
}

/// Each MaasMachine has a host of its own, and MAAS holds no more machines than that.
async fn check_hosts(hand: &Hand<'_>, machines: usize) {
    let mut hosts: Vec<_> = hand.list("MaasMachine").await.iter().map(|m| m["spec"]["systemID"].to_string()).collect();
    hosts.sort();
    hosts.dedup();
    assert_eq!(hosts.len(), machines, "hosts of their own");
    assert_eq!(hand.held().len(), machines, "nothing leaked: {:?}", hand.held());
}

/// Runs a script in a lab of so many machines, under paused time.
///
/// # Panics
/// When the lab can't be set up.
pub fn in_lab<T>(machines: usize, script: impl AsyncFnOnce(&Hand<'_>) -> T) -> T {
    paused(async {
        let play = Play::lab(1, machines).await;
        let hand = Hand::new(&play);
        play.run(script(&hand)).await
    })
}

/// A digest of all calls of a run, in order.
pub fn trace_hash(gate: &Gate) -> String {
    let digest = Sha256::digest(gate.trace().join("\n").as_bytes());
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// A runtime with paused time and one thread: what every scenario runs in.
///
/// # Panics
/// When the runtime can't be built.
pub fn paused<T>(script: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(script)
}
