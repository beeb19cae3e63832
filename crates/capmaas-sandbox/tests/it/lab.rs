//! A management cluster with the scenery on it and a player for the infrastructure: what the provider and MAAS do, cut down
//! to what Cluster API sees of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capmaas_provider_maas::Clock;
use capmaas_sandbox::nodes::{Nodes, NodesConfig};
use capmaas_sandbox::scenery::{self, Scenery};
use capmaas_sandbox::workload::{Authority, ClusterKey, Workloads};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use kube_sim::KubeSim;
use maas_sim::Happening;
use serde_json::{Value, json};
use tokio::task::JoinSet;

type Names = Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>;

const INFRA: &str = "infrastructure.cluster.x-k8s.io";
const FINALIZER: &str = "maas.test/finalizer";

pub(crate) struct Lab {
    pub(crate) client: Client,
    pub(crate) workloads: Workloads,
    pub(crate) nodes: Nodes,
    pub(crate) clock: Clock,
    names: Names,
    booted: BTreeMap<String, usize>,
    _scenery: JoinSet<std::convert::Infallible>,
}

pub(crate) fn resource(kind: &str) -> ApiResource {
    let (group, version) = match kind {
        "KubeadmControlPlane" => ("controlplane.cluster.x-k8s.io", "v1beta1"),
        "KubeadmConfig" | "KubeadmConfigTemplate" => ("bootstrap.cluster.x-k8s.io", "v1beta1"),
        "Secret" | "Node" | "ConfigMap" => ("", "v1"),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", "v1"),
        k if k.starts_with("Maas") => (INFRA, "v1beta1"),
        _ => ("cluster.x-k8s.io", "v1beta1"),
    };
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, version, kind),
        &format!("{}s", kind.to_lowercase()),
    )
}

fn infra_definition(kind: &str) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    let version = |name: &str| {
        json!({
            "name": name, "served": true, "storage": name == "v1beta1", "subresources": { "status": {} },
            "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{INFRA}") },
        "spec": {
            "group": INFRA, "scope": "Namespaced",
            "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase() },
            "versions": [version("v1alpha3"), version("v1beta1")],
        },
    })
}

impl Lab {
    pub(crate) async fn new(config: NodesConfig) -> Self {
        let clock = Clock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1.0);
        let client = Client::new(crate::new_sim(clock), "default");
        let names = Names::default();
        let dns = names.clone();
        let resolve = move |host: &str| dns.lock().unwrap().get(host).cloned().unwrap_or_default();
        let make: Arc<dyn Fn() -> KubeSim + Send + Sync> = Arc::new(move || crate::new_sim(clock));
        let workloads = Workloads::new(make, Authority::fixed(), Arc::new(resolve), 7);
        let nodes = Nodes::new(config, workloads.clone());
        scenery::install(&client).await.unwrap();
        let lab = Self {
            nodes,
            names,
            booted: BTreeMap::new(),
            _scenery: [Scenery::new(client.clone(), workloads.clone(), clock, 7).run()].into_iter().collect(),
            client,
            workloads,
            clock,
        };
        for kind in ["MaasCluster", "MaasMachine", "MaasMachineTemplate"] {
            lab.create("CustomResourceDefinition", infra_definition(kind)).await;
        }
        lab
    }

    /// With the seed's cluster in it.
    pub(crate) async fn with_seed() -> Self {
        let lab = Self::new(NodesConfig::default()).await;
        let documents: Vec<Value> = serde_saphyr::from_multiple(include_str!("seed.yaml")).unwrap();
        for document in documents {
            lab.create(document["kind"].as_str().unwrap(), document.clone()).await;
        }
        lab
    }

    pub(crate) fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), "default", &resource(kind))
    }

    pub(crate) async fn create(&self, kind: &str, object: Value) {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        if kind == "CustomResourceDefinition" {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource(kind));
            api.create(&PostParams::default(), &object).await.unwrap();
        } else {
            // at the version the document has
            let gvk = GroupVersionKind::try_from(object.types.clone().unwrap()).unwrap();
            let resource = ApiResource::from_gvk_with_plural(&gvk, &format!("{}s", kind.to_lowercase()));
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "default", &resource);
            api.create(&PostParams::default(), &object).await.unwrap();
        }
    }

    pub(crate) async fn list(&self, kind: &str) -> Vec<Value> {
        let list = self.api(kind).list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|o| serde_json::to_value(o).unwrap()).collect()
    }

    pub(crate) async fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::to_value(self.api(kind).get(name).await.unwrap()).unwrap()
    }

    pub(crate) async fn patch(&self, kind: &str, name: &str, body: Value) {
        self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(&body)).await.unwrap();
    }

    async fn status(&self, kind: &str, name: &str, body: Value) {
        self.api(kind).patch_status(name, &PatchParams::default(), &Patch::Merge(&body)).await.unwrap();
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        self.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) fn key(&self) -> ClusterKey {
        ClusterKey::new("default", "my-cluster")
    }

    pub(crate) async fn workload_nodes(&self) -> Vec<Value> {
        let Some(sim) = self.workloads.sim(&self.key()) else {
            return Vec::new();
        };
        let api: Api<DynamicObject> = Api::all_with(Client::new(sim, "default"), &resource("Node"));
        api.list(&ListParams::default())
            .await
            .unwrap()
            .items
            .into_iter()
            .map(|o| serde_json::to_value(o).unwrap())
            .collect()
    }

    /// Lets five seconds pass: infrastructure, then machines.
    pub(crate) async fn step(&mut self) {
        self.infrastructure().await;
        self.nodes.tick(self.clock.now()).await;
        self.tie_nodes().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }

    /// Lets time pass until `holds`, at most half an hour.
    pub(crate) async fn until(&mut self, what: &str, holds: impl AsyncFn(&Lab) -> bool) {
        for _ in 0..360 {
            if holds(self).await {
                return;
            }
            self.step().await;
        }
        let mut seen = String::new();
        for kind in ["Cluster", "KubeadmControlPlane", "MachineDeployment", "Machine", "KubeadmConfig"] {
            for o in self.list(kind).await {
                seen += &format!("{kind} {}: {}\n", o["metadata"]["name"], o["status"]);
            }
        }
        panic!("never: {what}\n{seen}{:?}", self.nodes.console().borrow());
    }

    async fn infrastructure(&mut self) {
        for cluster in self.list("MaasCluster").await {
            let name = cluster["metadata"]["name"].as_str().unwrap();
            if !cluster["metadata"]["deletionTimestamp"].is_null() || cluster["status"]["ready"] == true {
                continue;
            }
            if cluster["metadata"]["ownerReferences"].is_array() {
                self.patch(
                    "MaasCluster",
                    name,
                    json!({ "spec": { "controlPlaneEndpoint": { "host": "my-cluster-x.maas.sc", "port": 6443 } } }),
                )
                .await;
                let ready = json!({ "status": { "ready": true, "initialization": { "provisioned": true }, "conditions": [{ "type": "Ready", "status": "True" }] } });
                self.status("MaasCluster", name, ready).await;
            }
        }
        let secrets = self.list("Secret").await;
        let machines = self.list("Machine").await;
        for infra in self.list("MaasMachine").await {
            let name = infra["metadata"]["name"].as_str().unwrap().to_owned();
            if !infra["metadata"]["deletionTimestamp"].is_null() {
                self.nodes.handle(self.clock.now(), &Happening::Wiped { system_id: name.clone() });
                self.booted.remove(&name);
                self.publish().await;
                self.patch("MaasMachine", &name, json!({ "metadata": { "finalizers": null } })).await;
                continue;
            }
            let Some(machine) = machines.iter().find(|m| m["metadata"]["name"] == infra["metadata"]["name"]) else {
                continue;
            };
            let secret = machine["spec"]["bootstrap"]["dataSecretName"].as_str();
            let Some(secret) = secrets.iter().find(|s| s["metadata"]["name"].as_str() == secret) else {
                continue;
            };
            if infra["status"]["ready"] == true {
                continue;
            }
            let number = (1..).find(|n| !self.booted.values().any(|v| v == n)).unwrap();
            self.booted.insert(name.clone(), number);
            self.publish().await;
            let ip = address(number);
            let data: String = secret["data"]["value"].as_str().unwrap().to_owned();
            let data: DataValue = serde_json::from_value(json!(data)).unwrap();
            self.patch("MaasMachine", &name, json!({ "metadata": { "finalizers": [FINALIZER] }, "spec": { "providerID": format!("maas:///az1/{name}") } })).await;
            self.status("MaasMachine", &name, json!({ "status": {
                "ready": true, "initialization": { "provisioned": true }, "addresses": [{ "type": "InternalIP", "address": ip }],
                "conditions": [{ "type": "Ready", "status": "True", "reason": "Provisioned" }],
            } }))
            .await;
            self.nodes.handle(
                self.clock.now(),
                &Happening::Booted {
                    hostname: name.clone(),
                    fqdn: format!("{name}.maas.sc"),
                    system_id: name,
                    zone: "az1".into(),
                    addresses: vec![ip],
                    user_data: Some(data.0.0.into()),
                    image: "custom/u".into(),
                    ephemeral: false,
                    deployment: 1,
                },
            );
        }
    }

    /// The control-plane name resolves to all control-plane machines.
    async fn publish(&self) {
        let machines = self.list("Machine").await;
        let control = |name: &String| {
            machines.iter().any(|m| {
                m["metadata"]["name"] == **name && !m["metadata"]["labels"]["cluster.x-k8s.io/control-plane"].is_null()
            })
        };
        let ips = self.booted.iter().filter(|(name, _)| control(name)).map(|(_, n)| address(*n)).collect();
        self.names.lock().unwrap().insert("my-cluster-x.maas.sc".into(), ips);
    }

    /// The provider's part: a Node without providerID gets the one of the machine of its name.
    async fn tie_nodes(&self) {
        for node in self.workload_nodes().await.into_iter().filter(|n| n["spec"]["providerID"].is_null()) {
            let name = node["metadata"]["name"].as_str().unwrap();
            if let Some(client) = self.workloads.client(&self.key()) {
                let api: Api<DynamicObject> = Api::all_with(client, &resource("Node"));
                let body = json!({ "spec": { "providerID": format!("maas:///az1/{name}") } });
                drop(api.patch(name, &PatchParams::default(), &Patch::Merge(&body)).await);
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct DataValue(k8s_openapi::ByteString);

pub(crate) fn address(number: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()])
}
