//! Writes to the management cluster: merge patches of our own fields, guarded by the resourceVersion that was seen.

use std::fmt::Debug;
use std::sync::atomic::Ordering;

use capi_types::names::{
    BLOCK_MOVE_ANNOTATION, CLAIM_ANNOTATION, CLUSTER_FINALIZER, FAILED_HOSTS_ANNOTATION, MACHINE_FINALIZER,
    POWER_CYCLES_ANNOTATION, PUBLISHED_ANNOTATION, REMEDIATION_FINALIZER,
};
use capi_types::{MaasCluster, MaasMachine, MaasMachineTemplate, MaasRemediation};
use capmaas_reconcile::decision::{Intent, Note, SpecWrite, Status};
use capmaas_reconcile::names::{Key, Kind, ObjectName};
use capmaas_reconcile::outcome::Answer;
use capmaas_reconcile::provider::Fault;
use capmaas_reconcile::record::Record;
use capmaas_reconcile::stores::{Fact, Stores};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{DEADLINE, Ended, Executor, MANAGER};

impl Executor {
    pub(super) async fn record(&self, key: &Key, intent: &Intent, meta: &ObjectMeta) -> Ended {
        let (finalizers, annotations) = match intent {
            Intent::Finalizer => (Some(with(meta, finalizer(key.kind))), json!({})),
            Intent::Claim(token) => {
                let claim = Record::text(token, &key.name);
                // Until the claim's outcome is in the spec, a move would lose it.
                let annotations = json!({ CLAIM_ANNOTATION: claim, BLOCK_MOVE_ANNOTATION: "" });
                (Some(with(meta, MACHINE_FINALIZER)), annotations)
            }
            Intent::Own(token) => {
                let annotations = json!({ CLAIM_ANNOTATION: Record::text(token, &key.name) });
                (Some(with(meta, MACHINE_FINALIZER)), annotations)
            }
            Intent::UnblockMove => (None, json!({ BLOCK_MOVE_ANNOTATION: null })),
            Intent::Published(addresses) => {
                let text: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                (None, json!({ PUBLISHED_ANNOTATION: text.join(",") }))
            }
            Intent::FailedHosts(hosts) => (None, json!({ FAILED_HOSTS_ANNOTATION: hosts.text() })),
            Intent::PowerCycles(cycles) => {
                let block = cycles.open().map(|_| "");
                let annotations = json!({ POWER_CYCLES_ANNOTATION: cycles.text(), BLOCK_MOVE_ANNOTATION: block });
                // Nothing is added to the finalizers of what is being deleted.
                let finalizers = meta.deletion_timestamp.is_none().then(|| with(meta, REMEDIATION_FINALIZER));
                (finalizers, annotations)
            }
        };
        let mut metadata = json!({ "resourceVersion": meta.resource_version });
        if let Some(finalizers) = finalizers {
            metadata["finalizers"] = json!(finalizers);
        }
        if annotations.as_object().is_some_and(|a| !a.is_empty()) {
            metadata["annotations"] = annotations;
        }
        self.patch(key, json!({ "metadata": metadata })).await
    }

    pub(super) async fn write_spec(&self, key: &Key, write: &SpecWrite, meta: &ObjectMeta) -> Ended {
        let mut metadata = json!({ "resourceVersion": meta.resource_version });
        let spec = match write {
            SpecWrite::SystemId(id) => {
                if meta.annotations.as_ref().is_some_and(|a| a.contains_key(BLOCK_MOVE_ANNOTATION)) {
                    metadata["annotations"] = json!({ BLOCK_MOVE_ANNOTATION: null });
                }
                json!({ "systemID": id.as_str() })
            }
            SpecWrite::NoSystemId => json!({ "systemID": null }),
            SpecWrite::ProviderId(id) => json!({ "providerID": id.to_string() }),
            SpecWrite::Endpoint { host, port } => json!({ "controlPlaneEndpoint": { "host": host, "port": port } }),
        };
        self.patch(key, json!({ "metadata": metadata, "spec": spec })).await
    }

    pub(super) async fn drop_finalizer(&self, key: &Key, meta: &ObjectMeta) -> Ended {
        let ours = finalizer(key.kind);
        let left: Vec<_> = meta.finalizers.iter().flatten().filter(|f| *f != ours).cloned().collect();
        let last = left.is_empty();
        let metadata = json!({ "resourceVersion": meta.resource_version, "finalizers": left });
        match self.patch(key, json!({ "metadata": metadata })).await {
            // The answer to the last write of an object shows it once more.
            Ended::Answered(Ok(answer), _) if last => {
                let name = key.name.clone();
                let fact = match key.kind {
                    Kind::Cluster => Fact::MaasCluster(name, None),
                    Kind::Machine => Fact::MaasMachine(name, None),
                    Kind::Template => Fact::Template(name, None),
                    Kind::Remediation => Fact::Remediation(name, None),
                };
                Ended::Answered(Ok(answer), vec![fact])
            }
            ended => ended,
        }
    }

    /// Writes into the status; false when it was not taken.
    pub(super) async fn put_status(&self, key: &Key, difference: Map<String, Value>, meta: &ObjectMeta) -> bool {
        let body = json!({ "metadata": { "resourceVersion": meta.resource_version }, "status": difference });
        match self.send(key, body, true).await {
            Ok(fact) => {
                self.shared.answered(fact);
                true
            }
            Err(_) => false,
        }
    }

    async fn patch(&self, key: &Key, body: Value) -> Ended {
        match self.send(key, body, false).await {
            Ok(fact) => Ended::Answered(Ok(Answer::Done), vec![fact]),
            Err(fault) => fault.into(),
        }
    }

    async fn send(&self, key: &Key, body: Value, status: bool) -> Result<Fact, Fault> {
        match key.kind {
            Kind::Cluster => self.send_as::<MaasCluster>(key, body, status, Fact::MaasCluster).await,
            Kind::Machine => self.send_as::<MaasMachine>(key, body, status, Fact::MaasMachine).await,
            Kind::Template => self.send_as::<MaasMachineTemplate>(key, body, status, Fact::Template).await,
            Kind::Remediation => self.send_as::<MaasRemediation>(key, body, status, Fact::Remediation).await,
        }
    }

    async fn send_as<K>(
        &self,
        key: &Key,
        body: Value,
        status: bool,
        fact: fn(ObjectName, Option<Box<K>>) -> Fact,
    ) -> Result<Fact, Fault>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.env.kube.clone(), &key.name.namespace);
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(&body);
        let sent = async {
            if status {
                api.patch_status(&key.name.name, &params, &patch).await
            } else {
                api.patch(&key.name.name, &params, &patch).await
            }
        };
        let what = if status { "status" } else { "object" };
        let Ok(answer) = tokio::time::timeout(DEADLINE, sent).await else {
            self.metrics.kube_write(what, false);
            tracing::warn!(%key, "no answer from the API server in time");
            return Err(Fault::Unavailable { message: "no answer from the API server in time".to_owned() });
        };
        self.metrics.kube_write(what, answer.is_ok());
        match answer {
            Ok(object) => Ok(fact(key.name.clone(), Some(Box::new(object)))),
            Err(error) => {
                let stale =
                    matches!(&error, kube::Error::Api(refusal) if refusal.is_conflict() || refusal.is_not_found());
                if !stale {
                    tracing::warn!(%key, %error, "write to the management cluster");
                }
                Err(Fault::Unavailable { message: format!("the API server did not take the patch: {error}") })
            }
        }
    }

    /// Writes an Event. Failing to do so fails nothing.
    pub(super) async fn tell(&self, key: &Key, note: &Note, meta: &ObjectMeta) {
        let now = Time(self.env.clock.now());
        let serial = self.event_serial(key);
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{serial:016x}", key.name.name)),
                namespace: Some(key.name.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(capi_types::names::API_VERSION.to_owned()),
                kind: Some(key.kind.to_string()),
                name: Some(key.name.name.clone()),
                namespace: Some(key.name.namespace.clone()),
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                ..ObjectReference::default()
            },
            reason: Some(note.reason.clone()),
            // Events take at most 1024 characters.
            message: Some(note.message.chars().take(1000).collect()),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            source: Some(EventSource { component: Some(MANAGER.to_owned()), host: None }),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.env.kube.clone(), &key.name.namespace);
        let created = tokio::time::timeout(DEADLINE, api.create(&PostParams::default(), &event)).await;
        let Ok(answer) = created else { return };
        self.metrics.kube_write("event", answer.is_ok());
        if let Err(error) = answer {
            tracing::debug!(%key, event = event.name_any(), %error, "Event not written");
        }
    }

    /// Names of Events: different within a process and between processes, the same for one seed and clock.
    fn event_serial(&self, key: &Key) -> u64 {
        let serial = self.events.fetch_add(1, Ordering::Relaxed);
        let text = format!("{key}/{}/{serial}/{}", self.env.seed, self.env.clock.now());
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

fn finalizer(kind: Kind) -> &'static str {
    match kind {
        Kind::Cluster | Kind::Template => CLUSTER_FINALIZER,
        Kind::Machine => MACHINE_FINALIZER,
        Kind::Remediation => REMEDIATION_FINALIZER,
    }
}

fn with(meta: &ObjectMeta, finalizer: &str) -> Vec<String> {
    let mut all = meta.finalizers.clone().unwrap_or_default();
    if !all.iter().any(|f| f == finalizer) {
        all.push(finalizer.to_owned());
    }
    all
}

/// What has to be written so that a status stands; empty when it does.
pub(super) fn status_difference(stores: &Stores, key: &Key, status: &Status) -> Map<String, Value> {
    let (standing, wanted) = match status {
        Status::Cluster(wanted) => (stores.maas_clusters.get(&key.name).map(|o| value(&o.status)), value(wanted)),
        Status::Machine(wanted) => (stores.maas_machines.get(&key.name).map(|o| value(&o.status)), value(wanted)),
        Status::Template(wanted) => (stores.templates.get(&key.name).map(|o| value(&o.status)), value(wanted)),
        Status::Remediation(wanted) => (stores.remediations.get(&key.name).map(|o| value(&o.status)), value(wanted)),
    };
    standing.map(|standing| difference(&standing, &wanted)).unwrap_or_default()
}

fn value(status: &impl Serialize) -> Value {
    // Our own types serialise; an empty status is no status.
    match serde_json::to_value(status) {
        Ok(Value::Null) | Err(_) => json!({}),
        Ok(value) => value,
    }
}

/// The merge patch that makes `wanted` of `standing`, on the first level: only what differs, null for what goes.
fn difference(standing: &Value, wanted: &Value) -> Map<String, Value> {
    let empty = Map::new();
    let (standing, wanted) = (standing.as_object().unwrap_or(&empty), wanted.as_object().unwrap_or(&empty));
    let mut patch = Map::new();
    for (name, value) in wanted {
        if standing.get(name) != Some(value) {
            patch.insert(name.clone(), value.clone());
        }
    }
    for name in standing.keys().filter(|name| !wanted.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_only_what_differs_and_null_for_what_goes() {
        let standing = json!({ "a": 1, "b": [1], "c": "x" });
        let wanted = json!({ "a": 1, "b": [2] });
        assert_eq!(Value::Object(difference(&standing, &wanted)), json!({ "b": [2], "c": null }));
        assert!(difference(&standing, &standing).is_empty());
    }
}
