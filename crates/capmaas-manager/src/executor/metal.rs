//! Steps through the doors: the MAAS region and the workload clusters.

use std::sync::Arc;

use capi_types::SystemId;
use capmaas_provider_maas::MaasRegion;
use capmaas_reconcile::decision::{NodeTie, PowerOrder};
use capmaas_reconcile::host::HostView;
use capmaas_reconcile::names::{DnsName, Key, ObjectName, Token};
use capmaas_reconcile::outcome::Answer;
use capmaas_reconcile::provider::{
    ClaimOrder, DeployOrder, Fault, Marks, Proof, Provider, PublishOrder, QuarantineOrder, Recorded, Refusal,
    ReleaseOrder, Verdict,
};
use capmaas_reconcile::stores::{Fact, NodesSight};
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::timeout;

use super::{DEADLINE, Ended, Executor};
use crate::feeders::workloads::{ZONE_LABEL, kubeconfig, view};

fn rejected(why: Refusal, message: impl Into<String>) -> Fault {
    Fault::Rejected { why, message: message.into() }
}

fn host(answer: Result<HostView, Fault>) -> Ended {
    Ended::Answered(answer.map(|view| Answer::Host(Box::new(view))), Vec::new())
}

impl Executor {
    fn region(&self) -> Result<Arc<MaasRegion>, Fault> {
        let region = self.shared.lock().region.clone();
        region.ok_or(Fault::Unavailable { message: "not connected to MAAS".to_owned() })
    }

    pub(super) async fn claim(&self, key: &Key, order: &ClaimOrder) -> Ended {
        let intent = self.shared.lock().stores.maas_machines.get(&key.name).and_then(Recorded::read_back);
        let Some(intent) = intent.filter(|i| i.token() == &order.token) else {
            return Fault::Unavailable { message: "the claim is not recorded".to_owned() }.into();
        };
        let region = match self.region() {
            Ok(region) => region,
            Err(fault) => return fault.into(),
        };
        host(region.claim(&intent, order).await.map(|(proof, view)| {
            self.keep_proof(key, proof);
            view
        }))
    }

    /// The region and the proof that an earlier step left, or one from a fresh look.
    async fn proven(
        &self,
        key: &Key,
        host: &SystemId,
        token: &Token,
        takeover: Option<String>,
    ) -> Result<(Arc<MaasRegion>, Proof), Ended> {
        let region = self.region()?;
        if let Some(proof) = self.take_proof(key)
            && proof.host() == host
            && proof.token() == token
        {
            return Ok((region, proof));
        }
        let sent = self.shared.lock().stores.fleet.send();
        match region.prove(host, token, takeover).await? {
            Verdict::Ours(proof, _) => Ok((region, proof)),
            Verdict::NotOurs(found) => Err(Ended::NotOurs(found)),
            Verdict::Gone => {
                let fault = rejected(Refusal::Gone, format!("machine {host} does not exist in MAAS any more"));
                Err(Ended::Answered(Err(fault), vec![Fact::HostGone(host.clone(), sent)]))
            }
        }
    }

    pub(super) async fn mark(
        &self,
        key: &Key,
        id: &SystemId,
        token: &Token,
        marks: &Marks,
        takeover: Option<String>,
    ) -> Ended {
        match self.proven(key, id, token, takeover).await {
            Ok((region, proof)) => host(region.mark(proof, marks).await.map(|(proof, view)| {
                self.keep_proof(key, proof);
                view
            })),
            Err(ended) => ended,
        }
    }

    pub(super) async fn swap_off(&self, key: &Key, id: &SystemId, token: &Token) -> Ended {
        match self.proven(key, id, token, None).await {
            Ok((region, proof)) => host(region.swap_off(proof).await.map(|(proof, view)| {
                self.keep_proof(key, proof);
                view
            })),
            Err(ended) => ended,
        }
    }

    pub(super) async fn deploy(
        &self,
        key: &Key,
        id: &SystemId,
        token: &Token,
        order: &DeployOrder,
        bootstrap: &str,
    ) -> Ended {
        let user_data = match self.bootstrap(&key.name.namespace, bootstrap).await {
            Ok(bytes) => bytes,
            Err(fault) => return fault.into(),
        };
        match self.proven(key, id, token, None).await {
            Ok((region, proof)) => host(region.deploy(proof, order, &user_data).await),
            Err(ended) => ended,
        }
    }

    pub(super) async fn release(&self, key: &Key, id: &SystemId, token: &Token, order: &ReleaseOrder) -> Ended {
        match self.proven(key, id, token, None).await {
            Ok((region, proof)) => host(region.release(proof, order).await),
            Err(ended) => ended,
        }
    }

    pub(super) async fn power(&self, key: &Key, id: &SystemId, token: &Token, to: PowerOrder, comment: &str) -> Ended {
        match (self.proven(key, id, token, None).await, to) {
            (Ok((region, proof)), PowerOrder::On) => host(region.power_on(proof, comment).await),
            (Ok((region, proof)), PowerOrder::Off) => host(region.power_off(proof, comment).await),
            (Err(ended), _) => ended,
        }
    }

    pub(super) async fn quarantine(&self, key: &Key, id: &SystemId, token: &Token, order: &QuarantineOrder) -> Ended {
        match self.proven(key, id, token, None).await {
            Ok((region, proof)) => host(region.quarantine(proof, order).await),
            Err(ended) => ended,
        }
    }

    /// The bootstrap data, read right before it is used and never kept (design rule 5.10).
    async fn bootstrap(&self, namespace: &str, name: &str) -> Result<Vec<u8>, Fault> {
        let api: Api<Secret> = Api::namespaced(self.env.kube.clone(), namespace);
        let unread =
            |e: kube::Error| Fault::Unavailable { message: format!("bootstrap Secret {namespace}/{name}: {e}") };
        let late =
            |_| Fault::Unavailable { message: format!("bootstrap Secret {namespace}/{name}: no answer in time") };
        let secret = timeout(DEADLINE, api.get_opt(name)).await.map_err(late)?.map_err(unread)?;
        let invalid = |what: &str| rejected(Refusal::Invalid, format!("bootstrap Secret {namespace}/{name} {what}"));
        let mut data = secret.and_then(|s| s.data).ok_or_else(|| invalid("is not there (any more)"))?;
        let format = data.remove("format").map(|f| String::from_utf8_lossy(&f.0).into_owned()).unwrap_or_default();
        if !format.is_empty() && format != "cloud-config" {
            return Err(invalid(&format!(
                "has format {format}; MAAS images take cloud-config only: set spec.kubeadmConfigSpec.format to cloud-config"
            )));
        }
        let value = data.remove("value").map(|v| v.0).filter(|v| !v.is_empty());
        value.ok_or_else(|| invalid("has no key value"))
    }

    pub(super) async fn publish(&self, order: &PublishOrder) -> Ended {
        let published = async { self.region()?.publish(order).await };
        Ended::Answered(published.await.map(Answer::Published), Vec::new())
    }

    pub(super) async fn unpublish(&self, name: &DnsName) -> Ended {
        let removed = async { self.region()?.unpublish(name).await };
        Ended::Answered(removed.await.map(|()| Answer::Done), Vec::new())
    }

    pub(super) async fn tie_node(&self, tie: &NodeTie) -> Ended {
        let late = |_| Err(format!("Node {}: no answer in time", tie.node));
        match timeout(DEADLINE, self.tie(tie)).await.unwrap_or_else(late) {
            Ok(node) => Ended::Answered(Ok(Answer::Done), self.with_node(&tie.cluster, &node)),
            Err(message) => Fault::Unavailable { message }.into(),
        }
    }

    async fn tie(&self, tie: &NodeTie) -> Result<Node, String> {
        let kubeconfig = kubeconfig(&self.env.kube, &tie.cluster).await.map_err(|e| e.to_string())?;
        let client = self.env.workloads.client(&tie.cluster, &kubeconfig).await.map_err(|e| e.to_string())?;
        let api: Api<Node> = Api::all(client);
        let about = |e: kube::Error| format!("Node {}: {e}", tie.node);
        let node = api.get(&tie.node).await.map_err(about)?;
        let present = node.spec.as_ref().and_then(|s| s.provider_id.as_deref()).unwrap_or_default();
        if !present.is_empty() {
            // Somebody else was faster; plan compares.
            return Ok(node);
        }
        let body = json!({
            "metadata": { "resourceVersion": node.metadata.resource_version, "labels": { ZONE_LABEL: tie.zone } },
            "spec": { "providerID": tie.provider_id.to_string() },
        });
        api.patch(&tie.node, &PatchParams::default(), &Patch::Merge(&body)).await.map_err(about)
    }

    /// The known Nodes with this one as it is now.
    fn with_node(&self, cluster: &ObjectName, node: &Node) -> Vec<Fact> {
        let Some(NodesSight::Nodes(nodes)) = self.shared.lock().stores.nodes.get(cluster).cloned() else {
            return Vec::new();
        };
        let view = view(node);
        let nodes = nodes.into_iter().chain([(view.name.clone(), view)]).collect();
        vec![Fact::Nodes(cluster.clone(), NodesSight::Nodes(nodes))]
    }
}
