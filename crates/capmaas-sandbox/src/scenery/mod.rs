//! The stand-in for Cluster API's own controllers: Cluster, Machine, MachineSet, MachineDeployment, KubeadmControlPlane and
//! the kubeadm bootstrap provider.
//!
//! Level-triggered: anything that changes leads to a new reading of everything (`World`); plain functions, one per kind
//! and in fixed order, say which writes are wanted (`Plan`); that repeats until no write is wanted. A settled cluster
//! hence causes no write. What it lacks (ClusterClass, machine pools, health checks, timed rollouts, external etcd, drain)
//! it refuses by name in a condition, or does not serve at all; the real controllers are the judge of ours, not this.

mod bootstrap;
mod cluster;
mod control_plane;
mod machine;
pub(crate) mod object;
mod workers;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use capmaas_provider_maas::Clock;
use futures::{Stream, StreamExt, stream::BoxStream};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};

use self::object::Object;
use self::world::{Action, KINDS, Kind, Plan, WorkloadView, World};
use crate::workload::{ClusterKey, Workloads};

/// Why the scenery could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SceneryError {
    /// One of our own definitions cannot be read: a mistake in this crate.
    #[error("definition {name}: {why}")]
    Definition {
        /// File.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The API server refused.
    #[error("scenery: {0}")]
    Kube(#[from] kube::Error),
}

/// Kinds of [`SceneryError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SceneryErrorKind {
    /// See [`SceneryError::Definition`].
    Definition,
    /// See [`SceneryError::Kube`].
    Kube,
}

impl SceneryError {
    /// The kind, to match on.
    pub fn kind(&self) -> SceneryErrorKind {
        match self {
            SceneryError::Definition { .. } => SceneryErrorKind::Definition,
            SceneryError::Kube(_) => SceneryErrorKind::Kube,
        }
    }
}

const DEFINITIONS: [(&str, &str); 7] = [
    ("clusters.yaml", include_str!("crds/clusters.yaml")),
    ("machines.yaml", include_str!("crds/machines.yaml")),
    ("machinesets.yaml", include_str!("crds/machinesets.yaml")),
    ("machinedeployments.yaml", include_str!("crds/machinedeployments.yaml")),
    ("kubeadmcontrolplanes.yaml", include_str!("crds/kubeadmcontrolplanes.yaml")),
    ("kubeadmconfigs.yaml", include_str!("crds/kubeadmconfigs.yaml")),
    ("kubeadmconfigtemplates.yaml", include_str!("crds/kubeadmconfigtemplates.yaml")),
];

/// The CustomResourceDefinitions of Cluster API's kinds as the scenery understands them, as JSON.
///
/// One permissive schema is served as v1beta1 (stored) and v1beta2: the scenery reads both shapes and writes one that
/// readers of either understand.
pub fn definitions() -> Result<Vec<Value>, SceneryError> {
    let read = |(name, text): (&'static str, &'static str)| {
        let mut crd: Value =
            serde_saphyr::from_str(text).map_err(|error| SceneryError::Definition { name, why: error.to_string() })?;
        let mut newer = crd["spec"]["versions"][0].clone();
        newer["name"] = json!("v1beta2");
        newer["storage"] = json!(false);
        match crd["spec"]["versions"].as_array_mut() {
            Some(versions) => versions.push(newer),
            None => {
                return Err(SceneryError::Definition { name, why: "no spec.versions".into() });
            }
        }
        Ok(crd)
    };
    DEFINITIONS.into_iter().map(read).collect()
}

/// Creates the [`definitions`] that do not exist yet.
pub async fn install(client: &Client) -> Result<(), SceneryError> {
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "customresourcedefinitions");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    for crd in definitions()? {
        match api.create(&PostParams::default(), &dynamic(crd)?).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => drop(other?),
        }
    }
    Ok(())
}

fn dynamic(value: Value) -> Result<DynamicObject, kube::Error> {
    serde_json::from_value(value).map_err(kube::Error::SerdeError)
}

impl Kind {
    fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(self.group, self.version, self.kind), self.plural)
    }

    fn all(&self, client: &Client) -> Api<DynamicObject> {
        Api::all_with(client.clone(), &self.resource())
    }

    fn within(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.resource())
    }
}

/// Something that changed, nobody asks what.
type Pulses = BoxStream<'static, ()>;

/// The stand-in controllers; see the module's documentation.
pub struct Scenery {
    client: Client,
    clock: Clock,
    workloads: Workloads,
    rng: fastrand::Rng,
    /// Triggers: one watch per kind, one per workload cluster's Nodes and ConfigMaps.
    pulses: BTreeMap<String, Pulses>,
    /// Clients made from each Cluster's kubeconfig Secret.
    connections: BTreeMap<ClusterKey, Client>,
    /// Clusters seen, so that a workload cluster goes with its Cluster.
    known: BTreeSet<ClusterKey>,
}

impl Scenery {
    /// The scenery on a management cluster. `seed` decides the generated parts of names.
    pub fn new(client: Client, workloads: Workloads, clock: Clock, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self {
            client,
            clock,
            workloads,
            rng,
            pulses: BTreeMap::new(),
            connections: BTreeMap::new(),
            known: BTreeSet::new(),
        }
    }

    /// Runs until dropped. The kinds must be served before long ([`install`], and the provider's own definitions):
    /// until then it tries again each second.
    pub async fn run(mut self) -> std::convert::Infallible {
        for kind in &KINDS {
            self.pulses.insert(kind.plural.to_owned(), pulses(watcher(kind.all(&self.client), config_of(kind))));
        }
        let mut api_changes = self.workloads.changes();
        loop {
            let settled = self.settle().await;
            let pulses = &mut self.pulses;
            tokio::select! { biased;
                () = changed(pulses) => {}
                () = api_changes.changed() => {}
                () = tokio::time::sleep(RETRY), if !settled => {}
            }
            // one pass for a burst of changes
            tokio::time::sleep(BURST).await;
        }
    }

    /// Passes until nothing is wanted; false if something was refused and must be tried again.
    async fn settle(&mut self) -> bool {
        loop {
            let world = match self.read().await {
                Ok(world) => world,
                Err(error) => {
                    tracing::warn!(%error, "scenery cannot read the management cluster");
                    return false;
                }
            };
            let mut plan = Plan::new(&mut self.rng);
            decide(&world, &mut plan, &self.workloads);
            let actions = plan.actions;
            if actions.is_empty() {
                return true;
            }
            let mut done = 0;
            for action in &actions {
                match self.act(action).await {
                    Ok(()) => done += 1,
                    // the next reading shows what is there now; an object that exists although we did not see it does not
                    Err(kube::Error::Api(status)) if moved_on(action, status.code) => done += 1,
                    Err(error) => {
                        tracing::warn!(%error, action = action.summary(), "scenery: refused")
                    }
                }
            }
            if done == 0 {
                return false;
            }
        }
    }

    async fn read(&mut self) -> Result<World, kube::Error> {
        let mut world = World::new(self.clock.now());
        for kind in &KINDS {
            let labelled = if kind.kind == "Secret" {
                ListParams::default().labels(object::CLUSTER_LABEL)
            } else {
                ListParams::default()
            };
            for item in kind.all(&self.client).list(&labelled).await? {
                let mut value = serde_json::to_value(&item).map_err(kube::Error::SerdeError)?;
                // items of a list carry neither
                value["apiVersion"] = json!(kind.api_version());
                value["kind"] = json!(kind.kind);
                world.insert(Object(value));
            }
        }
        let clusters: BTreeSet<_> = world.list("Cluster").map(|c| ClusterKey::new(c.namespace(), c.name())).collect();
        for gone in self.known.difference(&clusters) {
            self.workloads.remove(gone);
            self.connections.remove(gone);
            self.pulses.remove(&gone.to_string());
        }
        for key in &clusters {
            if let Some(view) = self.read_workload(&world, key).await {
                world.workloads.insert(key.clone(), view);
            }
        }
        self.known = clusters;
        Ok(world)
    }

    /// What the workload cluster shows, asked for through the kubeconfig Secret as everybody else does.
    async fn read_workload(&mut self, world: &World, key: &ClusterKey) -> Option<WorkloadView> {
        if !self.connections.contains_key(key) {
            let secret = world.get("Secret", &key.namespace, &format!("{}-kubeconfig", key.name))?;
            let kubeconfig = object_data(secret, "value")?;
            match self.workloads.connect(&kubeconfig) {
                Ok(client) => {
                    let watch = watcher(
                        Api::<DynamicObject>::all_with(client.clone(), &node_resource()),
                        watcher::Config::default(),
                    );
                    self.pulses.insert(key.to_string(), pulses(watch));
                    self.connections.insert(key.clone(), client);
                }
                Err(error) => {
                    tracing::warn!(%error, cluster = %key, "kubeconfig");
                    return None;
                }
            }
        }
        let client = self.connections.get(key)?;
        match view(client).await {
            Ok(view) => Some(view),
            Err(error) => {
                tracing::debug!(%error, cluster = %key, "workload cluster does not answer");
                None
            }
        }
    }

    async fn act(&mut self, action: &Action) -> Result<(), kube::Error> {
        let client = &self.client;
        match action {
            Action::Create(object) => {
                let o = Object(object.clone());
                let Some(kind) = Kind::find(o.kind()) else {
                    return Ok(());
                };
                tracing::info!(kind = o.kind(), name = o.name(), "scenery: create");
                kind.within(client, o.namespace())
                    .create(&PostParams::default(), &dynamic(object.clone())?)
                    .await
                    .map(drop)
            }
            Action::Patch { kind, namespace, name, body, status } => {
                let Some(kind) = Kind::find(kind) else {
                    return Ok(());
                };
                let (api, params, body) = (kind.within(client, namespace), PatchParams::default(), Patch::Merge(body));
                if *status {
                    api.patch_status(name, &params, &body).await
                } else {
                    api.patch(name, &params, &body).await
                }
                .map(drop)
            }
            Action::Delete { kind, namespace, name } => {
                let Some(kind) = Kind::find(kind) else {
                    return Ok(());
                };
                tracing::info!(kind = kind.kind, name, "scenery: delete");
                kind.within(client, namespace).delete(name, &DeleteParams::default()).await.map(drop)
            }
            Action::PatchNode { cluster, name, body } => {
                let Some(client) = self.connections.get(cluster) else {
                    return Ok(());
                };
                let api: Api<DynamicObject> = Api::all_with(client.clone(), &node_resource());
                api.patch(name, &PatchParams::default(), &Patch::Merge(body)).await.map(drop)
            }
            Action::DeleteNode { cluster, name } => {
                let Some(client) = self.connections.get(cluster) else {
                    return Ok(());
                };
                let api: Api<DynamicObject> = Api::all_with(client.clone(), &node_resource());
                api.delete(name, &DeleteParams::default()).await.map(drop)
            }
            Action::CreateToken { cluster, secret } => {
                let Some(client) = self.connections.get(cluster) else {
                    return Ok(());
                };
                let api: Api<DynamicObject> =
                    Api::namespaced_with(client.clone(), "kube-system", &core_resource("Secret", "secrets"));
                api.create(&PostParams::default(), &dynamic(secret.clone())?).await.map(drop)
            }
        }
    }
}

/// Whether a refusal only says that the reading is out of date.
fn moved_on(action: &Action, code: u16) -> bool {
    match action {
        Action::Create(_) | Action::CreateToken { .. } => false,
        _ => code == 404 || code == 409,
    }
}

const RETRY: Duration = Duration::from_secs(1);
const BURST: Duration = Duration::from_millis(5);

/// All kinds in fixed order over one reading.
fn decide(world: &World, plan: &mut Plan<'_>, workloads: &Workloads) {
    world.list("Cluster").for_each(|o| cluster::sync(world, plan, o));
    world.list("KubeadmControlPlane").for_each(|o| control_plane::sync(world, plan, workloads, o));
    world.list("MachineDeployment").for_each(|o| workers::sync_deployment(world, plan, o));
    world.list("MachineSet").for_each(|o| workers::sync_set(world, plan, o));
    world.list("Machine").for_each(|o| machine::sync(world, plan, o));
    world.list("KubeadmConfig").for_each(|o| bootstrap::sync(world, plan, workloads, o));
}

async fn view(client: &Client) -> Result<WorkloadView, kube::Error> {
    let nodes: Api<DynamicObject> = Api::all_with(client.clone(), &node_resource());
    let maps: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "kube-system", &core_resource("ConfigMap", "configmaps"));
    let secrets: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "kube-system", &core_resource("Secret", "secrets"));
    let mut view = WorkloadView::default();
    for node in nodes.list(&ListParams::default()).await? {
        view.nodes.push(Object(serde_json::to_value(&node).map_err(kube::Error::SerdeError)?));
    }
    view.initialized = maps.get_opt("kubeadm-config").await?.is_some();
    let tokens = secrets.list(&ListParams::default()).await?.items.into_iter().filter_map(|s| s.metadata.name);
    view.tokens = tokens.filter(|name| name.starts_with("bootstrap-token-")).collect();
    Ok(view)
}

fn core_resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), plural)
}

fn node_resource() -> ApiResource {
    core_resource("Node", "nodes")
}

/// One decoded entry of a Secret.
fn object_data(secret: &Object, key: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let text = secret.at("/data")?.get(key)?.as_str()?;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn config_of(kind: &Kind) -> watcher::Config {
    let config = watcher::Config::default();
    if kind.kind == "Secret" { config.labels(object::CLUSTER_LABEL) } else { config }
}

/// A watch as a mere signal. A watch that fails is taken up again after a second; kube's own backoff would bring chance
/// and the real clock in.
fn pulses<T: Send + 'static>(watch: impl Stream<Item = Result<T, watcher::Error>> + Send + 'static) -> Pulses {
    let pulse = |event: Result<T, watcher::Error>| async move {
        if let Err(error) = event {
            tracing::debug!(%error, "scenery: watch");
            tokio::time::sleep(RETRY).await;
        }
    };
    watch.then(pulse).boxed()
}

/// Waits for the next signal and takes all that are there.
async fn changed(pulses: &mut BTreeMap<String, Pulses>) {
    poll_fn(|context| {
        let mut any = false;
        for stream in pulses.values_mut() {
            while let Poll::Ready(Some(())) = stream.poll_next_unpin(context) {
                any = true;
            }
        }
        if any { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
