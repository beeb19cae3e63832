//! The sandbox: a management cluster, a MAAS region and the machines of workload clusters in one process.
//!
//! Three rooms stand around the provider, which runs in here unchanged:
//! * [`scenery`]: a small stand-in for Cluster API's own controllers on a [`kube_sim`] management cluster,
//! * [`workload`]: the API of each workload cluster, a second kube-sim behind a door that opens as a real one does,
//! * [`nodes`]: what runs on the machines of a [`maas_sim`] region: cloud-init, kubeadm, kubelet.
//!
//! [`sandbox`] puts them together; [`doors`] lets programs outside in, over loopback.
//!
//! It is not a Kubernetes and not Cluster API: it decides nothing that is the provider's to decide, and refuses by name what
//! it lacks. The real controllers judge the provider elsewhere.
//!
//! How data flows: the scenery turns a Cluster into Machines, MaasMachines and bootstrap Secrets; the provider deploys a
//! machine of the region with the Secret's bytes; the region reports it booted; [`nodes::Nodes`] reads those bytes as
//! cloud-init would and registers a Node in the workload cluster; the provider ties the Node; the scenery sees it there
//! through `<cluster>-kubeconfig` and sets `Machine.status.nodeRef`.
//!
//! Two futures must be polled beside the provider: [`scenery::Scenery::run`] and [`nodes::Nodes::run`]; the latter also
//! drives the region's time. Dropping them is a crash.
//!
//! ```
//! use std::sync::Arc;
//! use capmaas_sandbox::workload::{Authority, ClusterKey, Workloads};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let resolve = Arc::new(|host: &str| match host {
//!     "one.maas" => vec!["10.0.0.1".parse().unwrap()],
//!     _ => vec![],
//! });
//! let now = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
//! let make = Arc::new(move || kube_sim::KubeSim::new(kube_sim::Config::new(now.clone(), 1)));
//! let workloads = Workloads::new(make, Authority::fixed(), resolve, 1);
//! let key = ClusterKey::new("default", "one");
//! let access = workloads.ensure(&key, "one.maas", 6443);
//! assert!(access.kubeconfig.contains("https://one.maas:6443"));
//! // no machine of it has booted: the connection is refused
//! let client = workloads.connect(access.kubeconfig.as_bytes())?;
//! assert!(client.list_core_api_versions().await.is_err());
//! assert!(!workloads.reachable(&key));
//! # Ok::<(), capmaas_sandbox::workload::WorkloadError>(())
//! # }).unwrap();
//! ```

pub mod doors;
pub mod nodes;
pub mod sandbox;
pub mod scenery;
pub mod workload;

#[cfg(test)]
mod tests {
    /// An empty API server for unit tests.
    pub(crate) fn new_sim() -> kube_sim::KubeSim {
        let now = || jiff::Timestamp::UNIX_EPOCH;
        kube_sim::KubeSim::new(kube_sim::Config::new(std::sync::Arc::new(now), 1))
    }
}
