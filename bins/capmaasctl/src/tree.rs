//! `capmaasctl tree`: what `clusterctl describe cluster` shows, and the MAAS side of each machine.

use std::path::{Path, PathBuf};

use anyhow::Context;
use capi_types::conditions::reason;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

/// Flags of `tree`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Kubeconfig of the management cluster; default: in-cluster, $KUBECONFIG, ~/.kube/config.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Namespace; default: all.
    #[arg(long, short)]
    namespace: Option<String>,
    /// Name of one Cluster; default: all.
    cluster: Option<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let client = client(args.kubeconfig.as_deref()).await?;
    let world = World::read(&client, args.namespace.as_deref()).await?;
    let text = world.render(args.cluster.as_deref());
    anyhow::ensure!(!text.is_empty(), "no Cluster{} found", args.cluster.map(|c| format!(" {c}")).unwrap_or_default());
    crate::out(text.as_bytes())
}

/// A client of the management cluster.
pub(crate) async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let kubeconfig = kube::config::Kubeconfig::read_from(path)
                .with_context(|| format!("--kubeconfig {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?
        }
        None => kube::Config::infer().await.context("no management cluster: give --kubeconfig")?,
    };
    Ok(Client::try_from(config)?)
}

/// All objects that the tree is made of.
#[derive(Debug, Default)]
pub(crate) struct World {
    clusters: Vec<Value>,
    maas_clusters: Vec<Value>,
    control_planes: Vec<Value>,
    deployments: Vec<Value>,
    machines: Vec<Value>,
    maas_machines: Vec<Value>,
}

impl World {
    /// Reads them; kinds that are not served count as empty.
    pub(crate) async fn read(client: &Client, namespace: Option<&str>) -> anyhow::Result<Self> {
        const CORE: &str = "cluster.x-k8s.io";
        const INFRA: &str = "infrastructure.cluster.x-k8s.io";
        let list = async |group, kind, plural| {
            anyhow::Ok(objects(client, namespace, group, kind, plural).await?.unwrap_or_default())
        };
        Ok(Self {
            clusters: list(CORE, "Cluster", "clusters").await?,
            maas_clusters: list(INFRA, "MaasCluster", "maasclusters").await?,
            control_planes: list("controlplane.cluster.x-k8s.io", "KubeadmControlPlane", "kubeadmcontrolplanes")
                .await?,
            deployments: list(CORE, "MachineDeployment", "machinedeployments").await?,
            machines: list(CORE, "Machine", "machines").await?,
            maas_machines: list(INFRA, "MaasMachine", "maasmachines").await?,
        })
    }

    /// The clusters as a tree, one line per object.
    pub(crate) fn render(&self, only: Option<&str>) -> String {
        let mut rows = Vec::new();
        for cluster in self.clusters.iter().filter(|c| only.is_none_or(|name| name_of(c) == name)) {
            let (namespace, name) = (text(cluster, "/metadata/namespace"), name_of(cluster));
            rows.push(row(0, "Cluster", cluster, format!("{} {}", text(cluster, "/status/phase"), condition(cluster))));
            let of = |o: &&Value| text(o, "/metadata/namespace") == namespace && cluster_name(o) == name;
            for maas in self.maas_clusters.iter().filter(of) {
                rows.push(row(1, "MaasCluster", maas, format!("{}  {}", endpoint(maas), condition(maas))));
            }
            for control_plane in self.control_planes.iter().filter(of) {
                rows.push(row(1, "KubeadmControlPlane", control_plane, replicas(control_plane)));
                let members =
                    |m: &&Value| of(m) && m.pointer("/metadata/labels/cluster.x-k8s.io~1control-plane").is_some();
                self.machines(&mut rows, members);
            }
            for deployment in self.deployments.iter().filter(of) {
                rows.push(row(1, "MachineDeployment", deployment, replicas(deployment)));
                let label = "/metadata/labels/cluster.x-k8s.io~1deployment-name";
                self.machines(&mut rows, |m| of(m) && text(m, label) == name_of(deployment));
            }
        }
        let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
        rows.iter().map(|(left, right)| format!("{left:<width$}  {right}").trim_end().to_owned() + "\n").collect()
    }

    fn machines(&self, rows: &mut Vec<(String, String)>, belongs: impl Fn(&&Value) -> bool) {
        for machine in self.machines.iter().filter(belongs) {
            let node = text(machine, "/status/nodeRef/name");
            let node = if node.is_empty() { String::new() } else { format!("  node {node}") };
            rows.push(row(
                2,
                "Machine",
                machine,
                format!("{} {}{node}", text(machine, "/status/phase"), text(machine, "/spec/version")),
            ));
            let infra = text(machine, "/spec/infrastructureRef/name");
            let same = |m: &&Value| {
                name_of(m) == infra && text(m, "/metadata/namespace") == text(machine, "/metadata/namespace")
            };
            for maas in self.maas_machines.iter().filter(same) {
                rows.push(row(3, "MaasMachine", maas, format!("{}  {}", metal(maas), condition(maas))));
            }
        }
    }

    /// `(name, what MAAS does with it, why it is not ready)` of each MaasMachine.
    pub(crate) fn progress(&self) -> Vec<(String, String, String)> {
        let mut all: Vec<_> =
            self.maas_machines.iter().map(|m| (name_of(m).to_owned(), metal(m), condition(m))).collect();
        all.extend(self.maas_clusters.iter().map(|c| (name_of(c).to_owned(), endpoint(c), condition(c))));
        all
    }

    /// True when every Cluster is provisioned and all its machines, as many as wanted, have Nodes and are tied.
    pub(crate) fn settled(&self) -> bool {
        let full = |o: &Value| {
            let count = |path| o.pointer(path).and_then(Value::as_i64).unwrap_or(0);
            count("/status/replicas") == count("/spec/replicas")
                && count("/status/readyReplicas") == count("/spec/replicas")
        };
        !self.clusters.is_empty()
            && self.clusters.iter().all(|c| text(c, "/status/phase") == "Provisioned")
            && self.control_planes.iter().chain(&self.deployments).all(full)
            && self.machines.iter().all(|m| !text(m, "/status/nodeRef/name").is_empty())
            && self.maas_machines.iter().all(|m| is_true(m, "Ready") && is_true(m, "NodeTied"))
    }

    /// `Kind/name: reason: message` of each object of ours that waits for a person.
    pub(crate) fn blocked(&self) -> Vec<String> {
        let ours = self.maas_clusters.iter().map(|o| ("MaasCluster", o));
        ours.chain(self.maas_machines.iter().map(|o| ("MaasMachine", o)))
            .filter(|(_, o)| conditions(o).any(|c| c["type"] == "Ready" && reason::blocks(text(c, "/reason"))))
            .map(|(kind, o)| format!("{kind}/{}: {}", name_of(o), condition(o)))
            .collect()
    }

    /// Name of the first MachineDeployment.
    pub(crate) fn deployment(&self) -> Option<&str> {
        self.deployments.first().map(name_of)
    }

    /// Host name of a machine that is in use, a worker's if there is one.
    pub(crate) fn host(&self) -> Option<&str> {
        let control_plane = |m: &&Value| m.pointer("/metadata/labels/cluster.x-k8s.io~1control-plane").is_some();
        let host = |m: &Value| !text(m, "/status/hostname").is_empty();
        let worker = self.maas_machines.iter().filter(|m| host(m)).find(|m| !control_plane(m));
        worker.or_else(|| self.maas_machines.iter().find(|m| host(m))).map(|m| text(m, "/status/hostname"))
    }

    /// Names of Clusters as `(namespace, name)`.
    pub(crate) fn cluster_names(&self) -> Vec<(String, String)> {
        self.clusters.iter().map(|c| (text(c, "/metadata/namespace").to_owned(), name_of(c).to_owned())).collect()
    }

    /// Control plane endpoint hosts.
    pub(crate) fn hosts(&self) -> Vec<String> {
        self.maas_clusters
            .iter()
            .map(|c| text(c, "/spec/controlPlaneEndpoint/host").to_owned())
            .filter(|h| !h.is_empty())
            .collect()
    }
}

/// All objects of a kind; `None` when it is not served.
pub(crate) async fn objects(
    client: &Client,
    namespace: Option<&str>,
    group: &str,
    kind: &str,
    plural: &str,
) -> anyhow::Result<Option<Vec<Value>>> {
    for version in ["v1beta2", "v1beta1"] {
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        match api.list(&ListParams::default()).await {
            Ok(list) => {
                let items = list.items.into_iter().map(|o| serde_json::to_value(o).map_err(anyhow::Error::from));
                return items.collect::<anyhow::Result<_>>().map(Some);
            }
            // By code: a group that is not served is answered in plain text, which has no reason.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error).with_context(|| format!("listing {plural}.{group}")),
        }
    }
    Ok(None)
}

pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn name_of(object: &Value) -> &str {
    text(object, "/metadata/name")
}

fn cluster_name(object: &Value) -> &str {
    let label = text(object, "/metadata/labels/cluster.x-k8s.io~1cluster-name");
    if label.is_empty() { text(object, "/spec/clusterName") } else { label }
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

fn is_true(object: &Value, type_: &str) -> bool {
    conditions(object).any(|c| c["type"] == type_ && c["status"] == "True")
}

/// `Ready`, or why not.
fn condition(object: &Value) -> String {
    match conditions(object).find(|c| c["type"] == "Ready") {
        Some(ready) if ready["status"] == "True" => "Ready".to_owned(),
        Some(ready) => {
            format!("{}: {}", text(ready, "/reason"), text(ready, "/message")).trim_end_matches([':', ' ']).to_owned()
        }
        None => String::new(),
    }
}

fn endpoint(object: &Value) -> String {
    match (text(object, "/spec/controlPlaneEndpoint/host"), object.pointer("/spec/controlPlaneEndpoint/port")) {
        ("", _) => String::new(),
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    }
}

/// The MAAS side: host, system id, state, power, zone, first address.
fn metal(object: &Value) -> String {
    let host = text(object, "/status/hostname");
    if host.is_empty() {
        return String::new();
    }
    let powered = object.pointer("/status/machinePowered").and_then(Value::as_bool).unwrap_or(false);
    let addresses = object.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten();
    let address =
        addresses.filter(|a| a["type"] == "InternalIP").map(|a| text(a, "/address")).next().unwrap_or_default();
    format!(
        "{host} ({}) {}, power {}, zone {} {address}",
        text(object, "/spec/systemID"),
        text(object, "/status/machineState"),
        if powered { "on" } else { "off" },
        text(object, "/status/failureDomain"),
    )
    .trim_end()
    .to_owned()
}

fn replicas(object: &Value) -> String {
    let count = |path| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    format!("{}/{} ready", count("/status/readyReplicas"), count("/spec/replicas"))
}

fn row(depth: usize, kind: &str, object: &Value, right: String) -> (String, String) {
    let indent = if depth == 0 { String::new() } else { format!("{}└─ ", "   ".repeat(depth - 1)) };
    (format!("{indent}{kind}/{}", name_of(object)), right)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tree_shows_each_machine_under_its_owner_with_its_host() {
        let meta = |name: &str, labels: Value| json!({ "name": name, "namespace": "default", "labels": labels });
        let mut world = World {
            clusters: vec![json!({ "metadata": meta("c", json!({})), "status": { "phase": "Provisioned" } })],
            deployments: vec![
                json!({ "metadata": meta("w", json!({ "cluster.x-k8s.io/cluster-name": "c" })), "spec": { "replicas": 1 } }),
            ],
            machines: vec![json!({
                "metadata": meta("w-1", json!({ "cluster.x-k8s.io/cluster-name": "c", "cluster.x-k8s.io/deployment-name": "w" })),
                "spec": { "infrastructureRef": { "name": "w-1" } },
            })],
            maas_machines: vec![json!({
                "metadata": meta("w-1", json!({})),
                "spec": { "systemID": "abc123" },
                "status": { "hostname": "node01", "machineState": "Deployed", "machinePowered": true,
                            "conditions": [{ "type": "Ready", "status": "False", "reason": "Why", "message": "because" }] },
            })],
            ..World::default()
        };
        let text = world.render(None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[3].contains("MaasMachine/w-1") && lines[3].contains("node01 (abc123) Deployed, power on"),
            "{text}"
        );
        assert!(lines[3].ends_with("Why: because"), "{text}");
        assert_eq!(world.render(Some("other")), "");
        assert_eq!(world.blocked(), Vec::<String>::new(), "a reason that goes away by itself");
        world.maas_machines[0]["status"]["conditions"][0]["reason"] = json!(reason::INVALID_SPEC);
        assert_eq!(world.blocked(), ["MaasMachine/w-1: InvalidSpec: because"]);
    }
}
