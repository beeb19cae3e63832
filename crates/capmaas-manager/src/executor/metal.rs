//! Steps through the doors: the MAAS region and the workload clusters.

use std::sync::Arc;

use capi_types::SystemId;
use capmaas_provider_maas::MaasRegion;
use capmaas_reconcile::decision::NodeTie;
use capmaas_reconcile::fleet::HostSight;
use capmaas_reconcile::host::{HostPhase, HostView};
use capmaas_reconcile::names::{DnsName, Key, ObjectName, Token};
use capmaas_reconcile::provider::{
    ClaimOrder, DeployOrder, Fault, Marks, NotOurs, Proof, Provider, PublishOrder, Recorded, Refusal, ReleaseOrder, Verdict,
};
use capmaas_reconcile::stores::{BadHost, Fact, NameSight, NodesSight};
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Executor, Outcome};
use crate::feeders::workloads::{ZONE_LABEL, kubeconfig, view};

fn rejected(why: Refusal, message: impl Into<String>) -> Fault {
    Fault::Rejected { why, message: message.into() }
}

impl Executor {
    fn region(&self) -> Result<Arc<MaasRegion>, Fault> {
        let region = self.shared.lock().region.clone();
        region.ok_or(Fault::Unavailable { message: "not connected to MAAS".to_owned() })
    }

    pub(super) async fn claim(&self, key: &Key, order: ClaimOrder) -> Outcome {
        let outcome = self.claim_reserved(key, &order).await;
        self.shared.lock().stores.memory_mut(key).claiming = None;
        self.shared.ring();
        outcome
    }

    async fn claim_reserved(&self, key: &Key, order: &ClaimOrder) -> Outcome {
        let intent = self.shared.lock().stores.maas_machines.get(&key.name).and_then(Recorded::read_back);
        let Some(intent) = intent.filter(|i| i.token() == &order.token) else { return Outcome::Changed };
        let region = match self.region() {
            Ok(region) => region,
            Err(fault) => return Outcome::Failed(fault),
        };
        self.shared.lock().stores.fleet.write_begins(&order.host);
        match region.claim(&intent, order).await {
            Ok((proof, host)) => {
                self.keep_proof(key, proof);
                self.shared.lock().stores.memory_mut(key).claimed = Some(host.id.clone());
                self.written(&order.host, Some(host));
                Outcome::Done
            }
            Err(fault) => {
                let now = self.env.clock.now();
                match &fault {
                    Fault::Ambiguous { .. } => {
                        self.unclear(&order.host);
                        let mut inner = self.shared.lock();
                        inner.stores.forget_token(&key.name);
                        inner.stores.memory_mut(key).claim_open_since = Some(now);
                    }
                    Fault::Rejected { .. } => {
                        // It was taken, or changed: the pool is read again before the next choice.
                        self.written(&order.host, None);
                        self.shared.lock().stores.pools.remove(&order.constraints);
                    }
                    Fault::Unavailable { .. } => self.written(&order.host, None),
                }
                Outcome::Failed(fault)
            }
        }
    }

    /// The proof that an earlier step left, or one from a fresh look.
    async fn proof(&self, key: &Key, region: &MaasRegion, host: &SystemId, token: &Token, takeover: Option<String>) -> Result<Proof, Outcome> {
        if let Some(proof) = self.take_proof(key)
            && proof.host() == host
            && proof.token() == token
        {
            return Ok(proof);
        }
        let sent = self.shared.lock().stores.fleet.send();
        match region.prove(host, token, takeover).await {
            Ok(Verdict::Ours(proof, seen)) => {
                self.shared.learn(Fact::Host(Box::new(seen), sent));
                Ok(proof)
            }
            Ok(Verdict::Gone) => {
                self.shared.learn(Fact::HostGone(host.clone(), sent));
                Err(Outcome::Changed)
            }
            Ok(Verdict::NotOurs(found)) => Err(self.not_ours(host, &found)),
            Err(fault) => Err(Outcome::Failed(fault)),
        }
    }

    /// What was known of the host is wrong; it is read again, and plan decides on what is really there.
    fn not_ours(&self, host: &SystemId, found: &NotOurs) -> Outcome {
        let mut inner = self.shared.lock();
        inner.stores.fleet.write_begins(host);
        let learned = inner.stores.host_unclear(host);
        inner.concern(learned);
        drop(inner);
        self.shared.ring();
        Outcome::Failed(rejected(Refusal::NotOurs, found.to_string()))
    }

    fn written(&self, host: &SystemId, answer: Option<HostView>) {
        let mut inner = self.shared.lock();
        let learned = inner.stores.host_written(host, answer);
        inner.concern(learned);
        drop(inner);
        self.shared.ring();
    }

    fn unclear(&self, host: &SystemId) {
        let mut inner = self.shared.lock();
        let learned = inner.stores.host_unclear(host);
        inner.concern(learned);
        drop(inner);
        self.shared.ring();
    }

    /// Takes over how a write on a host ended.
    fn ended(&self, host: &SystemId, answer: Result<HostView, Fault>) -> Outcome {
        match answer {
            Ok(view) => {
                self.written(host, Some(view));
                Outcome::Done
            }
            Err(fault) => {
                match &fault {
                    Fault::Unavailable { .. } => self.written(host, None),
                    // Wrong state, gone, not ours: what was known is out of date. Ambiguous: nobody knows.
                    Fault::Ambiguous { .. } | Fault::Rejected { .. } => self.unclear(host),
                }
                Outcome::Failed(fault)
            }
        }
    }

    pub(super) async fn mark(&self, key: &Key, host: SystemId, token: Token, marks: Marks, takeover: Option<String>) -> Outcome {
        let region = match self.region() {
            Ok(region) => region,
            Err(fault) => return Outcome::Failed(fault),
        };
        let proof = match self.proof(key, &region, &host, &token, takeover).await {
            Ok(proof) => proof,
            Err(outcome) => return outcome,
        };
        self.shared.lock().stores.fleet.write_begins(&host);
        let answer = region.mark(proof, &marks).await.map(|(proof, view)| {
            self.keep_proof(key, proof);
            view
        });
        self.ended(&host, answer)
    }

    pub(super) async fn deploy(&self, key: &Key, host: SystemId, token: Token, order: DeployOrder, bootstrap: &str) -> Outcome {
        let region = match self.region() {
            Ok(region) => region,
            Err(fault) => return Outcome::Failed(fault),
        };
        let user_data = match self.bootstrap(&key.name.namespace, bootstrap).await {
            Ok(bytes) => bytes,
            Err(fault) => return Outcome::Failed(fault),
        };
        let proof = match self.proof(key, &region, &host, &token, None).await {
            Ok(proof) => proof,
            Err(outcome) => return outcome,
        };
        self.shared.lock().stores.fleet.write_begins(&host);
        let answer = region.deploy(proof, &order, &user_data).await;
        self.ended(&host, answer)
    }

    /// The bootstrap data, read right before it is used and never kept (design rule 5.10).
    async fn bootstrap(&self, namespace: &str, name: &str) -> Result<Vec<u8>, Fault> {
        let api: Api<Secret> = Api::namespaced(self.env.kube.clone(), namespace);
        let secret = api.get_opt(name).await.map_err(|e| Fault::Unavailable { message: format!("bootstrap Secret {namespace}/{name}: {e}") })?;
        let invalid = |what: &str| rejected(Refusal::Invalid, format!("bootstrap Secret {namespace}/{name} {what}"));
        let mut data = secret.and_then(|s| s.data).ok_or_else(|| invalid("is not there (any more)"))?;
        let format = data.remove("format").map(|f| String::from_utf8_lossy(&f.0).into_owned()).unwrap_or_default();
        if !format.is_empty() && format != "cloud-config" {
            return Err(invalid(&format!("has format {format}; MAAS images take cloud-config only: set spec.kubeadmConfigSpec.format to cloud-config")));
        }
        data.remove("value").map(|v| v.0).filter(|v| !v.is_empty()).ok_or_else(|| invalid("has no key value"))
    }

    pub(super) async fn release(&self, key: &Key, host: SystemId, token: Token, order: ReleaseOrder) -> Outcome {
        let region = match self.region() {
            Ok(region) => region,
            Err(fault) => return Outcome::Failed(fault),
        };
        let proof = match self.proof(key, &region, &host, &token, None).await {
            Ok(proof) => proof,
            Err(outcome) => return outcome,
        };
        let failed = {
            let mut inner = self.shared.lock();
            inner.stores.fleet.write_begins(&host);
            match inner.stores.fleet.get(&host) {
                HostSight::Seen(view) if view.phase == HostPhase::DeployFailed => Some(view.error.clone()),
                _ => None,
            }
        };
        let answer = region.release(proof, &order).await;
        let done = answer.is_ok();
        let outcome = self.ended(&host, answer);
        if done {
            self.released(key, &host, failed);
        }
        outcome
    }

    fn released(&self, key: &Key, host: &SystemId, failed: Option<String>) {
        let now = self.env.clock.now();
        let mut inner = self.shared.lock();
        inner.stores.forget_token(&key.name);
        let cluster = inner.stores.observe_machine(&key.name).and_then(|seen| seen.cluster.map(|(name, _)| name));
        let memory = inner.stores.memory_mut(key);
        if memory.claimed.as_ref() == Some(host) {
            memory.claimed = None;
        }
        if let (Some(why), Some(cluster)) = (failed, cluster) {
            let bad = inner.stores.bad.entry((cluster, host.clone())).or_insert(BadHost { failures: 0, at: now, why: String::new() });
            *bad = BadHost { failures: bad.failures + 1, at: now, why };
        }
    }

    pub(super) async fn publish(&self, key: &Key, order: PublishOrder) -> Outcome {
        let region = match self.region() {
            Ok(region) => region,
            Err(fault) => return Outcome::Failed(fault),
        };
        match region.publish(&order).await {
            Ok(addresses) => {
                let now = self.env.clock.now();
                let mut inner = self.shared.lock();
                let left = matches!(inner.stores.names.get(&order.name), Some(NameSight::Published(old, _)) if !old.is_subset(&addresses));
                if left {
                    inner.stores.memory_mut(key).last_removal = Some(now);
                }
                let learned = inner.stores.name_written(&order.name, Some(addresses), now);
                inner.concern(learned);
                drop(inner);
                self.shared.ring();
                Outcome::Done
            }
            Err(fault) => {
                self.name_unclear(&order.name, &fault);
                Outcome::Failed(fault)
            }
        }
    }

    /// After an answer that is not clear the name is read again.
    fn name_unclear(&self, name: &DnsName, fault: &Fault) {
        if matches!(fault, Fault::Ambiguous { .. }) {
            self.shared.lock().stores.names.remove(name);
            self.shared.ring();
        }
    }

    pub(super) async fn unpublish(&self, _key: &Key, name: DnsName) -> Outcome {
        let region = match self.region() {
            Ok(region) => region,
            Err(fault) => return Outcome::Failed(fault),
        };
        match region.unpublish(&name).await {
            Ok(()) => {
                let now = self.env.clock.now();
                let mut inner = self.shared.lock();
                let learned = inner.stores.name_written(&name, None, now);
                inner.concern(learned);
                drop(inner);
                self.shared.ring();
                Outcome::Done
            }
            Err(fault) => {
                self.name_unclear(&name, &fault);
                Outcome::Failed(fault)
            }
        }
    }

    pub(super) async fn tie_node(&self, tie: NodeTie) -> Outcome {
        match self.tie(&tie).await {
            Ok(node) => {
                self.node_is(&tie.cluster, &node);
                Outcome::Done
            }
            Err(message) => Outcome::Failed(Fault::Unavailable { message }),
        }
    }

    async fn tie(&self, tie: &NodeTie) -> Result<Node, String> {
        let kubeconfig = kubeconfig(&self.env.kube, &tie.cluster).await.map_err(|e| e.to_string())?;
        let client = self.env.workloads.client(&tie.cluster, &kubeconfig).await.map_err(|e| e.to_string())?;
        let api: Api<Node> = Api::all(client);
        let node = api.get(&tie.node).await.map_err(|e| format!("Node {}: {e}", tie.node))?;
        let present = node.spec.as_ref().and_then(|s| s.provider_id.as_deref()).unwrap_or_default();
        if !present.is_empty() {
            // Somebody else was faster; plan compares.
            return Ok(node);
        }
        let body = json!({
            "metadata": { "resourceVersion": node.metadata.resource_version, "labels": { ZONE_LABEL: tie.zone } },
            "spec": { "providerID": tie.provider_id.to_string() },
        });
        api.patch(&tie.node, &PatchParams::default(), &Patch::Merge(&body)).await.map_err(|e| format!("Node {}: {e}", tie.node))
    }

    fn node_is(&self, cluster: &ObjectName, node: &Node) {
        let view = view(node);
        let sight = match self.shared.lock().stores.nodes.get(cluster) {
            Some(NodesSight::Nodes(nodes)) => {
                let mut nodes = nodes.clone();
                nodes.insert(view.name.clone(), view);
                NodesSight::Nodes(nodes)
            }
            _ => return,
        };
        self.shared.learn(Fact::Nodes(cluster.clone(), sight));
    }
}
