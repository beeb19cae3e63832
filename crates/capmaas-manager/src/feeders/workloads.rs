//! What workload clusters say: their Nodes, and which of their API servers answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use capmaas_reconcile::names::ObjectName;
use capmaas_reconcile::stores::{Fact, NameSight, NodeView, NodesSight, Stores};
use capmaas_reconcile::topic::Topic;
use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::Api;
use kube::api::ListParams;

use crate::bell::Listener;
use crate::env::{Env, WorkloadError};
use crate::shared::Shared;

/// Label with the zone of a Node.
pub(crate) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Clusters that are read at once: some that don't answer must not make the others wait.
const AT_ONCE: usize = 16;
/// Longest wait for the kubeconfig and for the Nodes of one cluster: tokio time, it is transport.
const READ: Duration = Duration::from_secs(30);

/// Runs for as long as it is polled.
pub(crate) async fn run(env: Env, shared: Shared) {
    let mut bell = shared.listen();
    loop {
        bell.forget();
        let (nodes, health) = awaited(&shared);
        if nodes.is_empty() && health.is_empty() {
            bell.rung().await;
            continue;
        }
        let clusters: BTreeSet<_> = nodes.iter().chain(&health).cloned().collect();
        futures::stream::iter(&clusters)
            .for_each_concurrent(AT_ONCE, |cluster| {
                look(&env, &shared, cluster, nodes.contains(cluster), health.contains(cluster))
            })
            .await;
        wait(&env, &shared, &mut bell, &clusters).await;
    }
}

/// One look at one cluster.
async fn look(env: &Env, shared: &Shared, cluster: &ObjectName, nodes: bool, health: bool) {
    let kubeconfig = match kubeconfig(&env.kube, cluster).await {
        Ok(kubeconfig) => kubeconfig,
        Err(error) => {
            if nodes {
                shared.learn(Fact::Nodes(cluster.clone(), NodesSight::Unreadable(error.to_string())));
            }
            return;
        }
    };
    if nodes {
        let read = tokio::time::timeout(READ, read_nodes(env, cluster, &kubeconfig)).await;
        let sight = match read {
            Ok(Ok(nodes)) => NodesSight::Nodes(nodes),
            Ok(Err(error)) => NodesSight::Unreadable(error.to_string()),
            Err(_) => NodesSight::Unreadable(WorkloadError::Unreachable("no answer in time".to_owned()).to_string()),
        };
        shared.learn(Fact::Nodes(cluster.clone(), sight));
    }
    if health {
        let (addresses, port) = candidates(&shared.lock().stores, cluster);
        let kubeconfig = &kubeconfig;
        let probes = addresses
            .into_iter()
            .map(|address| async move { (address, env.workloads.answers(cluster, kubeconfig, address, port).await) });
        let answers: BTreeMap<_, _> = join_all(probes).await.into_iter().collect();
        shared.learn(Fact::Health(cluster.clone(), answers));
    }
}

fn awaited(shared: &Shared) -> (BTreeSet<ObjectName>, BTreeSet<ObjectName>) {
    let inner = shared.lock();
    let mut nodes = BTreeSet::new();
    let mut health = BTreeSet::new();
    for topic in inner.queue.awaited() {
        match topic {
            Topic::Nodes(cluster) => nodes.insert(cluster.clone()),
            Topic::Health(cluster) => health.insert(cluster.clone()),
            _ => false,
        };
    }
    (nodes, health)
}

/// Until the next poll, or until a cluster is awaited that was not.
async fn wait(env: &Env, shared: &Shared, bell: &mut Listener, read: &BTreeSet<ObjectName>) {
    let until = env.clock.now() + env.settings.workload_poll;
    loop {
        bell.forget();
        let (nodes, health) = awaited(shared);
        if nodes.iter().chain(&health).any(|cluster| !read.contains(cluster)) {
            return;
        }
        tokio::select! {
            biased;
            () = bell.rung() => {}
            () = env.clock.sleep_until(until) => return,
        }
    }
}

/// The kubeconfig that the control-plane provider keeps in Secret `<cluster>-kubeconfig`; read by name, never cached.
pub(crate) async fn kubeconfig(kube: &kube::Client, cluster: &ObjectName) -> Result<Vec<u8>, WorkloadError> {
    let api: Api<Secret> = Api::namespaced(kube.clone(), &cluster.namespace);
    let name = format!("{}-kubeconfig", cluster.name);
    let missing = |what: String| WorkloadError::Kubeconfig(format!("Secret {}/{name}: {what}", cluster.namespace));
    let secret = tokio::time::timeout(READ, api.get_opt(&name))
        .await
        .map_err(|_| missing("no answer from the API server in time".to_owned()))?
        .map_err(|e| missing(e.to_string()))?
        .ok_or_else(|| missing("not there yet".to_owned()))?;
    secret
        .data
        .and_then(|mut d| d.remove("value"))
        .map(|b| b.0)
        .ok_or_else(|| missing("it has no key value".to_owned()))
}

async fn read_nodes(
    env: &Env,
    cluster: &ObjectName,
    kubeconfig: &[u8],
) -> Result<BTreeMap<String, NodeView>, WorkloadError> {
    let client = env.workloads.client(cluster, kubeconfig).await?;
    let api: Api<Node> = Api::all(client);
    let nodes = api.list(&ListParams::default()).await.map_err(|e| WorkloadError::Unreachable(cause(&e)))?;
    Ok(nodes.items.iter().map(view).map(|view| (view.name.clone(), view)).collect())
}

/// What lies at the bottom of an error: "connection refused" says more than "client error".
fn cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// A Node as plans see it.
pub(crate) fn view(node: &Node) -> NodeView {
    let spec = node.spec.as_ref();
    let addresses = node.status.as_ref().and_then(|s| s.addresses.as_ref()).into_iter().flatten();
    NodeView {
        name: node.metadata.name.clone().unwrap_or_default(),
        provider_id: spec.and_then(|s| s.provider_id.clone()).unwrap_or_default(),
        zone: node.metadata.labels.as_ref().and_then(|l| l.get(ZONE_LABEL)).cloned(),
        addresses: addresses.filter(|a| a.type_.ends_with("IP")).filter_map(|a| a.address.parse().ok()).collect(),
    }
}

/// Addresses to probe: those that the name has and those that could join it.
fn candidates(stores: &Stores, cluster: &ObjectName) -> (BTreeSet<IpAddr>, u16) {
    let mut addresses = BTreeSet::new();
    let mut port = 6443;
    let objects = stores.maas_clusters.keys().filter(|n| n.namespace == cluster.namespace);
    for seen in objects.filter_map(|name| stores.observe_cluster(name)) {
        if seen.cluster.as_ref().map(|(name, _)| name) != Some(cluster) {
            continue;
        }
        port = seen.object.endpoint().and_then(|e| u16::try_from(e.port).ok()).unwrap_or(port);
        addresses.extend(seen.members.iter().filter(|m| !m.leaving).flat_map(|m| m.chosen.iter().copied()));
        if let Some((_, NameSight::Published(set, _))) = &seen.name {
            addresses.extend(set);
        }
    }
    (addresses, port)
}
