//! The whole world in one process: both simulators, the scenery, the machines' software, and the doors through which the
//! provider's manager works in it, unchanged.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use capmaas_manager::gate::Gate;
use capmaas_manager::{Clock, Credentials, Env, Regions, Settings, WorkloadError};
use capmaas_reconcile::names::ObjectName;
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube_sim::KubeSim;
use maas_sim::{Region, SharedRegion};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tower::Layer;

use crate::nodes::{Nodes, NodesConfig};
use crate::scenery::{self, Scenery, SceneryError};
use crate::workload::{Authority, ClusterKey, Workloads};

/// Where the sandbox's MAAS pretends to be for clients in the process.
pub const MAAS_URL: &str = "http://maas.sandbox:5240/MAAS";

/// What a sandbox is made of.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Seed of everything that is random.
    pub seed: u64,
    /// How fast policy time runs: 20 lets a deployment of five minutes pass in 15 s.
    pub speed: f64,
    /// When the world begins.
    pub epoch: Timestamp,
    /// The MAAS region.
    pub maas: maas_sim::Config,
    /// The software on the machines.
    pub nodes: NodesConfig,
    /// How long the provider waits for MAAS to answer, tokio time.
    pub deadlines: maas_client::Deadlines,
    /// The authority of the workload clusters; the checked-in one makes runs repeatable.
    pub authority: Authority,
}

impl SandboxConfig {
    /// A repeatable world with so many machines, which begins at a fixed time and runs at real speed.
    ///
    /// # Errors
    /// When the checked-in authority is not usable: a mistake of ours.
    pub fn lab(seed: u64, machines: usize) -> Result<Self, SandboxError> {
        Ok(Self {
            seed,
            speed: 1.0,
            epoch: Timestamp::from_second(1_790_000_000).unwrap_or_default(),
            maas: maas_sim::Config { seed, ..maas_sim::Config::lab(machines) },
            nodes: NodesConfig::default(),
            deadlines: maas_client::Deadlines::default(),
            authority: Authority::fixed(),
        })
    }
}

/// Why a sandbox could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The scenery could not be set up.
    #[error(transparent)]
    Scenery(#[from] SceneryError),
    /// The workload clusters' authority is not usable.
    #[error(transparent)]
    Authority(#[from] crate::workload::WorkloadError),
    /// The embedded API server refused an object.
    #[error("document {number} ({object}): {}", in_words(error))]
    Refused {
        /// Counts from 1.
        number: usize,
        /// Kind and name.
        object: String,
        /// The refusal.
        error: Box<kube::Error>,
    },
    /// A document is no Kubernetes object, or of a kind that the sandbox does not serve.
    #[error("document {number}: {why}")]
    Document {
        /// Counts from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// Kinds of [`SandboxError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxErrorKind {
    /// A mistake of ours.
    Setup,
    /// The user's input.
    Input,
}

impl SandboxError {
    /// The kind, to match on.
    pub fn kind(&self) -> SandboxErrorKind {
        match self {
            Self::Scenery(_) | Self::Authority(_) => SandboxErrorKind::Setup,
            Self::Refused { .. } | Self::Document { .. } => SandboxErrorKind::Input,
        }
    }
}

/// See the module. Clones are the same world.
#[derive(Clone)]
pub struct Sandbox {
    /// Policy time.
    pub clock: Clock,
    /// The management cluster.
    pub kube: KubeSim,
    /// The MAAS region.
    pub maas: SharedRegion,
    /// The workload clusters.
    pub workloads: Workloads,
    nodes: NodesConfig,
    deadlines: maas_client::Deadlines,
    seed: u64,
    nonces: Arc<AtomicU64>,
}

impl Sandbox {
    /// Builds the world; nothing runs yet. Call it inside a tokio runtime.
    pub fn new(config: SandboxConfig) -> Self {
        let clock = Clock::new(config.epoch, config.speed);
        let kube = kube_sim(clock, config.seed);
        let maas = SharedRegion::new(Region::new(config.maas), Arc::new(move || clock.now()));
        let (seed, region) = (config.seed, maas.clone());
        let make = Arc::new(move || kube_sim(clock, seed));
        let resolve = Arc::new(move |host: &str| region.with(|r, now| r.resolve(now, host)).into_iter().collect());
        let workloads = Workloads::new(make, config.authority, resolve, config.seed);
        Self {
            clock,
            kube,
            maas,
            workloads,
            nodes: config.nodes,
            deadlines: config.deadlines,
            seed: config.seed,
            nonces: Arc::default(),
        }
    }

    /// A client of the management cluster.
    pub fn client(&self) -> Client {
        Client::new(self.kube.clone(), "default")
    }

    /// Installs all kinds, our namespace, and the Secret with the MAAS credentials.
    ///
    /// # Errors
    /// When the embedded API server refuses one of them: a mistake of ours.
    pub async fn install(&self) -> Result<(), SandboxError> {
        let client = self.client();
        scenery::install(&client).await?;
        let crds = capi_types::crds().into_iter().filter_map(|crd| serde_json::to_value(crd).ok()).collect::<Vec<_>>();
        self.apply(&crds).await?;
        let namespace = capi_types::names::PROVIDER_NAMESPACE;
        self.apply(&[json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } })]).await?;
        self.credentials(MAAS_URL, maas_sim::ADMIN_KEY).await
    }

    /// Writes the Secret with the MAAS credentials.
    ///
    /// # Errors
    /// When the embedded API server refuses it.
    pub async fn credentials(&self, endpoint: &str, key: &str) -> Result<(), SandboxError> {
        self.apply(&[json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": { "name": capi_types::names::CREDENTIALS_SECRET, "namespace": capi_types::names::PROVIDER_NAMESPACE },
            "stringData": { capi_types::names::MAAS_ENDPOINT_KEY: endpoint, capi_types::names::MAAS_API_KEY_KEY: key },
        })])
        .await
    }

    /// Creates each document, or merges it into what is there.
    ///
    /// # Errors
    /// A document that is no object, of a kind that is not served, or that the API server refuses.
    pub async fn apply(&self, documents: &[Value]) -> Result<(), SandboxError> {
        self.put(documents, false).await
    }

    /// The same for a user's manifest: fields that a kind does not have are refused, and `kubectl apply` finds the note it
    /// would have left itself, so that an edited manifest can be applied over this one.
    ///
    /// # Errors
    /// As [`Sandbox::apply`].
    pub async fn apply_manifest(&self, documents: &[Value]) -> Result<(), SandboxError> {
        self.put(documents, true).await
    }

    async fn put(&self, documents: &[Value], manifest: bool) -> Result<(), SandboxError> {
        let client = self.client();
        for (number, document) in documents.iter().enumerate() {
            let bad = |why: String| SandboxError::Document { number: number + 1, why };
            let mut object: DynamicObject = serde_json::from_value(document.clone()).map_err(|e| bad(e.to_string()))?;
            let types = object.types.clone().ok_or_else(|| bad("it has no apiVersion and kind".to_owned()))?;
            let gvk = GroupVersionKind::try_from(&types).map_err(|e| bad(e.to_string()))?;
            let name = object.metadata.name.clone().ok_or_else(|| bad("it has no metadata.name".to_owned()))?;
            let (resource, namespaced) = self.resource(&client, &gvk).await.ok_or_else(|| {
                bad(format!("{} {name}: the sandbox serves no kind {} in {}", gvk.kind, gvk.kind, gvk.api_version()))
            })?;
            let api: Api<DynamicObject> = if namespaced {
                let namespace = object.metadata.namespace.get_or_insert_with(|| "default".to_owned()).clone();
                Api::namespaced_with(client.clone(), &namespace, &resource)
            } else {
                Api::all_with(client.clone(), &resource)
            };
            let refused = |error| SandboxError::Refused {
                number: number + 1,
                object: format!("{} {name}", gvk.kind),
                error: Box::new(error),
            };
            let mut patching = PatchParams::default();
            if manifest {
                note_last_applied(&mut object).map_err(|e| bad(e.to_string()))?;
                patching = patching.validation_strict();
            }
            let created = match manifest {
                true => create_strictly(&client, api.resource_url(), &object).await,
                false => api.create(&PostParams::default(), &object).await,
            };
            match created {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_already_exists() => {
                    api.patch(&name, &patching, &Patch::Merge(&object)).await.map_err(refused)?;
                }
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(())
    }

    async fn resource(&self, client: &Client, gvk: &GroupVersionKind) -> Option<(ApiResource, bool)> {
        let list = if gvk.group.is_empty() {
            client.list_core_api_resources(&gvk.version).await
        } else {
            client.list_api_group_resources(&gvk.api_version()).await
        };
        let found = list.ok()?.resources.into_iter().find(|r| r.kind == gvk.kind && !r.name.contains('/'))?;
        Some((ApiResource::from_gvk_with_plural(gvk, &found.name), found.namespaced))
    }

    /// Another management cluster, still empty, beside this one: the same MAAS region, machines and workload clusters. Its uids are
    /// others when its seed is.
    #[must_use]
    pub fn beside(&self, seed: u64) -> Self {
        Self { kube: kube_sim(self.clock, seed), seed, ..self.clone() }
    }

    /// Runs what the provider does not: Cluster API's stand-in and the machines' software. Poll it beside the manager.
    pub async fn world(&self) -> std::convert::Infallible {
        tokio::select! { biased;
            never = self.core() => never,
            never = self.machines() => never,
        }
    }

    /// Cluster API's stand-in in this management cluster alone.
    pub async fn core(&self) -> std::convert::Infallible {
        Scenery::new(self.client(), self.workloads.clone(), self.clock, self.seed).run().await
    }

    /// The machines' software alone: once per region.
    pub async fn machines(&self) -> std::convert::Infallible {
        Nodes::new(self.nodes.clone(), self.workloads.clone()).run(self.maas.clone(), self.clock).await
    }

    /// What [`capmaas_manager::Manager::run`] needs to work in this world; every call of its clients goes through the gate.
    pub fn env(&self, gate: &Gate, settings: Settings) -> Env {
        Env {
            clock: self.clock,
            seed: self.seed,
            kube: Client::new(gate.layer("kube").layer(self.kube.clone()), "default"),
            regions: Arc::new(InProcess { sandbox: self.clone(), gate: gate.clone() }),
            workloads: Arc::new(InProcess { sandbox: self.clone(), gate: gate.clone() }),
            settings,
        }
    }
}

/// What the API server said, without the frame that kube puts around it.
fn in_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Annotation in which `kubectl apply` keeps what it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn note_last_applied(object: &mut DynamicObject) -> Result<(), serde_json::Error> {
    let mut bare = object.clone();
    // kubectl writes an empty map, too.
    bare.metadata.annotations.get_or_insert_default().remove(LAST_APPLIED);
    let text = format!("{}\n", serde_json::to_value(bare)?);
    let annotations = object.metadata.annotations.get_or_insert_default();
    annotations.insert(LAST_APPLIED.to_owned(), text);
    Ok(())
}

/// Creates with `fieldValidation=Strict`, which kube's `PostParams` can't say.
async fn create_strictly(client: &Client, url: &str, object: &DynamicObject) -> Result<DynamicObject, kube::Error> {
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let request = http::Request::post(format!("{url}?fieldValidation=Strict"))
        .header("content-type", "application/json")
        .body(body)
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}

fn kube_sim(clock: Clock, seed: u64) -> KubeSim {
    KubeSim::new(kube_sim::Config::new(Arc::new(move || clock.now()), seed))
}

struct InProcess {
    sandbox: Sandbox,
    gate: Gate,
}

impl Regions for InProcess {
    fn client(&self, credentials: &Credentials) -> Result<maas_client::Client, String> {
        let clock = self.sandbox.clock;
        // Counted for the whole world: a restarted manager must not use a nonce again.
        let nonces = self.sandbox.nonces.clone();
        let stamps = move || maas_client::Stamp {
            nonce: format!("{:032x}", nonces.fetch_add(1, Ordering::Relaxed)),
            unix_seconds: u64::try_from(clock.now().as_second()).unwrap_or_default(),
        };
        let builder = maas_client::Client::builder(&credentials.endpoint, credentials.api_key.expose_secret())
            .map_err(|e| e.to_string())?;
        let service = self.gate.layer("maas").layer(self.sandbox.maas.clone());
        Ok(builder
            .stamps(stamps)
            .retry(maas_client::RetryPolicy::none())
            .deadlines(self.sandbox.deadlines)
            .build_with_service(service))
    }
}

#[async_trait]
impl capmaas_manager::Workloads for InProcess {
    async fn client(&self, _cluster: &ObjectName, kubeconfig: &[u8]) -> Result<Client, WorkloadError> {
        let door = self.sandbox.workloads.door(kubeconfig).map_err(|e| WorkloadError::Kubeconfig(e.to_string()))?;
        Ok(Client::new(self.gate.layer("workload").layer(door), "default"))
    }

    async fn answers(&self, cluster: &ObjectName, _kubeconfig: &[u8], address: IpAddr, _port: u16) -> bool {
        let key = ClusterKey::new(&cluster.namespace, &cluster.name);
        self.sandbox.workloads.api_healthy(&key, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manifest_is_checked_field_by_field_and_bears_what_kubectl_would_note() {
        let sandbox = Sandbox::new(SandboxConfig::lab(1, 1).unwrap());
        sandbox.install().await.unwrap();
        let template = |spec: Value| {
            json!({
                "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasMachineTemplate",
                "metadata": { "name": "t", "namespace": "default" }, "spec": { "template": { "spec": spec } },
            })
        };
        let good = template(json!({ "image": "ubuntu/noble", "minCPU": 1, "minMemory": 1024 }));
        let bad = template(json!({ "image": "ubuntu/noble", "minCPU": 1, "minMemory": 1024, "colour": "red" }));
        for again in ["created", "merged into what is there"] {
            let error = sandbox.apply_manifest(std::slice::from_ref(&bad)).await.unwrap_err();
            assert_eq!(error.kind(), SandboxErrorKind::Input);
            let error = error.to_string();
            assert!(error.starts_with("document 1 (MaasMachineTemplate t): "), "{again}: {error}");
            assert!(error.contains("unknown field \"spec.template.spec.colour\""), "{again}: {error}");
            sandbox.apply_manifest(std::slice::from_ref(&good)).await.unwrap();
        }
        let stored =
            sandbox.kube.get("infrastructure.cluster.x-k8s.io", "MaasMachineTemplate", Some("default"), "t").unwrap();
        let noted: Value =
            serde_json::from_str(stored["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap()).unwrap();
        assert_eq!(noted["spec"], good["spec"]);
    }
}
