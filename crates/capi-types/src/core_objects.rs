//! The little of Cluster and Machine that the provider reads, from v1alpha3 to v1beta2 alike.
//!
//! The API server has already judged these objects; here a field of an unexpected shape reads as absent, so that a new
//! contract version does not stop the watch.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use serde_json::Value;

use crate::conditions::OWNER_REMEDIATED;
use crate::endpoint::ApiEndpoint;
use crate::names::CONTROL_PLANE_LABEL;

/// Why a core object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is another kind.
    #[error("expected a {expected} of group cluster.x-k8s.io, got kind {got:?}")]
    Kind {
        /// What was expected.
        expected: &'static str,
        /// `apiVersion/kind` that was read.
        got: String,
    },
    /// `metadata` is missing, malformed or nameless.
    #[error("metadata of a {kind} is not usable: {why}")]
    Metadata {
        /// Which kind.
        kind: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Kinds of [`ReadError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadErrorKind {
    /// See [`ReadError::Kind`].
    Kind,
    /// See [`ReadError::Metadata`].
    Metadata,
}

impl ReadError {
    /// The kind, to match on.
    pub fn kind(&self) -> ReadErrorKind {
        match self {
            ReadError::Kind { .. } => ReadErrorKind::Kind,
            ReadError::Metadata { .. } => ReadErrorKind::Metadata,
        }
    }
}

/// A reference to another object, whichever way its group was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoreRef {
    /// API group, without version.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name, in the namespace of the object that holds the reference.
    pub name: String,
}

/// What we read of a Cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoreCluster {
    /// Name, namespace, labels, deletionTimestamp, …
    pub metadata: ObjectMeta,
    /// `spec.paused`: pauses everything of the Cluster. (Its own pause annotation pauses the Cluster object alone.)
    pub paused: bool,
    /// Whether Cluster API has seen our MaasCluster provisioned.
    pub infrastructure_provisioned: bool,
    /// Whether the first control-plane machine has come up.
    pub control_plane_initialized: bool,
    /// `spec.controlPlaneEndpoint`, only when host and port are both set.
    pub control_plane_endpoint: Option<ApiEndpoint>,
    /// The MaasCluster.
    pub infrastructure_ref: Option<CoreRef>,
    /// The control plane.
    pub control_plane_ref: Option<CoreRef>,
    /// `spec.clusterNetwork.apiServerPort`.
    pub api_server_port: Option<i32>,
}

/// What we read of a Machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoreMachine {
    /// Name, namespace, labels, deletionTimestamp, …
    pub metadata: ObjectMeta,
    /// `spec.clusterName`; empty if absent.
    pub cluster_name: String,
    /// Secret with the bootstrap data, once made.
    pub data_secret_name: Option<String>,
    /// MAAS zone asked for.
    pub failure_domain: Option<String>,
    /// Kubernetes version, `v1.30.2`.
    pub version: Option<String>,
    /// The MaasMachine.
    pub infrastructure_ref: Option<CoreRef>,
    /// Name of its Node, once Cluster API has matched it.
    pub node_name: Option<String>,
    /// `spec.providerID`, copied by Cluster API from the MaasMachine.
    pub provider_id: Option<String>,
    /// A MachineHealthCheck found it sick (condition HealthCheckSucceeded is False).
    pub unhealthy: bool,
    /// It passes the health check (condition HealthCheckSucceeded is True). Without a MachineHealthCheck it is neither.
    pub healthy: bool,
    /// It is left to its owner to be replaced (condition OwnerRemediated is False).
    pub owner_remediates: bool,
}

impl CoreCluster {
    /// Reads a Cluster of any version.
    pub fn from_value(value: &Value) -> Result<Self, ReadError> {
        let metadata = metadata_of(value, "Cluster")?;
        let endpoint = ApiEndpoint {
            host: text(value, "/spec/controlPlaneEndpoint/host").unwrap_or_default(),
            port: port(value, "/spec/controlPlaneEndpoint/port").unwrap_or_default(),
        };
        Ok(CoreCluster {
            metadata,
            paused: flag(value, "/spec/paused"),
            infrastructure_provisioned: flag(value, "/status/initialization/infrastructureProvisioned")
                || flag(value, "/status/infrastructureReady"),
            control_plane_initialized: flag(value, "/status/initialization/controlPlaneInitialized")
                || flag(value, "/status/controlPlaneInitialized")
                || ["/status/conditions", "/status/v1beta2/conditions", "/status/deprecated/v1beta1/conditions"]
                    .into_iter()
                    .any(|path| condition_is(value, path, "ControlPlaneInitialized", "True")),
            control_plane_endpoint: endpoint.is_valid().then_some(endpoint),
            infrastructure_ref: reference(value, "/spec/infrastructureRef"),
            control_plane_ref: reference(value, "/spec/controlPlaneRef"),
            api_server_port: port(value, "/spec/clusterNetwork/apiServerPort"),
        })
    }

    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

impl CoreMachine {
    /// Reads a Machine of any version.
    pub fn from_value(value: &Value) -> Result<Self, ReadError> {
        let metadata = metadata_of(value, "Machine")?;
        Ok(CoreMachine {
            metadata,
            cluster_name: text(value, "/spec/clusterName").unwrap_or_default(),
            data_secret_name: text(value, "/spec/bootstrap/dataSecretName"),
            failure_domain: text(value, "/spec/failureDomain"),
            version: text(value, "/spec/version"),
            infrastructure_ref: reference(value, "/spec/infrastructureRef"),
            node_name: text(value, "/status/nodeRef/name"),
            provider_id: text(value, "/spec/providerID"),
            unhealthy: either(value, "HealthCheckSucceeded", "False"),
            healthy: either(value, "HealthCheckSucceeded", "True"),
            owner_remediates: either(value, OWNER_REMEDIATED, "False"),
        })
    }

    /// Whether it belongs to a control plane.
    pub fn is_control_plane(&self) -> bool {
        self.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(CONTROL_PLANE_LABEL))
    }

    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

impl TryFrom<&DynamicObject> for CoreCluster {
    type Error = ReadError;

    fn try_from(object: &DynamicObject) -> Result<Self, ReadError> {
        Self::from_value(&to_value(object, "Cluster")?)
    }
}

impl TryFrom<&DynamicObject> for CoreMachine {
    type Error = ReadError;

    fn try_from(object: &DynamicObject) -> Result<Self, ReadError> {
        Self::from_value(&to_value(object, "Machine")?)
    }
}

fn to_value(object: &DynamicObject, kind: &'static str) -> Result<Value, ReadError> {
    serde_json::to_value(object).map_err(|error| ReadError::Metadata { kind, why: error.to_string() })
}

/// Metadata, after a look at the kind. Items of a list carry no kind, so an absent one is let through.
fn metadata_of(value: &Value, kind: &'static str) -> Result<ObjectMeta, ReadError> {
    if let Some(got) = text(value, "/kind") {
        let version = text(value, "/apiVersion").unwrap_or_default();
        if got != kind || !version.starts_with("cluster.x-k8s.io/") {
            return Err(ReadError::Kind { expected: kind, got: format!("{version}/{got}") });
        }
    }
    let why = |why: String| ReadError::Metadata { kind, why };
    let metadata = value.get("metadata").ok_or_else(|| why("absent".to_owned()))?;
    let metadata: ObjectMeta = serde_json::from_value(metadata.clone()).map_err(|error| why(error.to_string()))?;
    if metadata.name.as_deref().unwrap_or_default().is_empty() {
        return Err(why("no name".to_owned()));
    }
    Ok(metadata)
}

/// Non-empty text at a JSON pointer; core writes "" for absent in some versions.
fn text(value: &Value, path: &str) -> Option<String> {
    value.pointer(path)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn flag(value: &Value, path: &str) -> bool {
    value.pointer(path).and_then(Value::as_bool).unwrap_or(false)
}

/// A non-zero port at a JSON pointer.
fn port(value: &Value, path: &str) -> Option<i32> {
    let port = value.pointer(path)?.as_i64()?;
    i32::try_from(port).ok().filter(|port| (1..=65535).contains(port))
}

fn condition_is(value: &Value, path: &str, type_: &str, status: &str) -> bool {
    value.pointer(path).and_then(Value::as_array).is_some_and(|conditions| {
        conditions.iter().any(|condition| condition["type"] == type_ && condition["status"] == status)
    })
}

/// The condition where a Machine of v1beta2 has it, or where one of v1beta1 has either of its two lists.
fn either(value: &Value, type_: &str, status: &str) -> bool {
    ["/status/conditions", "/status/v1beta2/conditions"]
        .into_iter()
        .any(|path| condition_is(value, path, type_, status))
}

/// A reference with `apiGroup` (v1beta2) or `apiVersion` (before).
fn reference(value: &Value, path: &str) -> Option<CoreRef> {
    let at = value.pointer(path)?;
    let group = text(at, "/apiGroup").or_else(|| {
        let version = text(at, "/apiVersion")?;
        Some(version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned()))
    });
    Some(CoreRef { group: group.unwrap_or_default(), kind: text(at, "/kind")?, name: text(at, "/name")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn clusters() -> [(&'static str, Value); 3] {
        let metadata = json!({"name": "c", "namespace": "n", "resourceVersion": "7"});
        [
            (
                "v1alpha3",
                json!({"apiVersion": "cluster.x-k8s.io/v1alpha3", "kind": "Cluster", "metadata": metadata,
                    "spec": {"paused": false, "controlPlaneEndpoint": {"host": "c.maas", "port": 6443},
                        "clusterNetwork": {"apiServerPort": 6443},
                        "controlPlaneRef": {"apiVersion": "controlplane.cluster.x-k8s.io/v1alpha3", "kind": "KubeadmControlPlane", "name": "cp"},
                        "infrastructureRef": {"apiVersion": "infrastructure.cluster.x-k8s.io/v1alpha3", "kind": "MaasCluster", "name": "mc", "namespace": "n"}},
                    "status": {"infrastructureReady": true, "controlPlaneInitialized": true}}),
            ),
            (
                "v1beta1",
                json!({"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster", "metadata": metadata,
                    "spec": {"controlPlaneEndpoint": {"host": "c.maas", "port": 6443}, "clusterNetwork": {"apiServerPort": 6443},
                        "controlPlaneRef": {"apiVersion": "controlplane.cluster.x-k8s.io/v1beta1", "kind": "KubeadmControlPlane", "name": "cp"},
                        "infrastructureRef": {"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasCluster", "name": "mc"}},
                    "status": {"infrastructureReady": true, "conditions": [{"type": "ControlPlaneInitialized", "status": "True"}]}}),
            ),
            (
                "v1beta2",
                json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": metadata,
                    "spec": {"controlPlaneEndpoint": {"host": "c.maas", "port": 6443}, "clusterNetwork": {"apiServerPort": 6443},
                        "controlPlaneRef": {"apiGroup": "controlplane.cluster.x-k8s.io", "kind": "KubeadmControlPlane", "name": "cp"},
                        "infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "MaasCluster", "name": "mc"}},
                    "status": {"initialization": {"infrastructureProvisioned": true, "controlPlaneInitialized": true}}}),
            ),
        ]
    }

    #[test]
    fn a_cluster_reads_alike_in_every_version() {
        for (version, value) in clusters() {
            let cluster = CoreCluster::from_value(&value).unwrap();
            let expected = CoreCluster {
                metadata: ObjectMeta {
                    name: Some("c".into()),
                    namespace: Some("n".into()),
                    resource_version: Some("7".into()),
                    ..Default::default()
                },
                paused: false,
                infrastructure_provisioned: true,
                control_plane_initialized: true,
                control_plane_endpoint: Some(ApiEndpoint { host: "c.maas".into(), port: 6443 }),
                infrastructure_ref: Some(CoreRef {
                    group: "infrastructure.cluster.x-k8s.io".into(),
                    kind: "MaasCluster".into(),
                    name: "mc".into(),
                }),
                control_plane_ref: Some(CoreRef {
                    group: "controlplane.cluster.x-k8s.io".into(),
                    kind: "KubeadmControlPlane".into(),
                    name: "cp".into(),
                }),
                api_server_port: Some(6443),
            };
            assert_eq!(cluster, expected, "{version}");
        }
    }

    #[test]
    fn a_machine_reads_alike_in_v1beta1_and_v1beta2() {
        let read = |version: &str, infrastructure: Value, node: Value| {
            CoreMachine::from_value(&json!({"apiVersion": format!("cluster.x-k8s.io/{version}"), "kind": "Machine",
                "metadata": {"name": "m", "labels": {CONTROL_PLANE_LABEL: ""}, "deletionTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"clusterName": "c", "version": "v1.30.0", "failureDomain": "az1", "providerID": "maas:///az1/abc",
                    "bootstrap": {"dataSecretName": "s"}, "infrastructureRef": infrastructure},
                "status": {"nodeRef": node}}))
            .unwrap()
        };
        let old = read(
            "v1beta1",
            json!({"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasMachine", "name": "mm"}),
            json!({"apiVersion": "v1", "kind": "Node", "name": "host"}),
        );
        let new = read(
            "v1beta2",
            json!({"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "MaasMachine", "name": "mm"}),
            json!({"name": "host"}),
        );
        assert_eq!(old, new);
        assert!(new.is_control_plane() && new.is_deleting());
        assert_eq!(new.node_name.as_deref(), Some("host"));
        assert_eq!(new.infrastructure_ref.unwrap().name, "mm");
        assert_eq!(new.data_secret_name.as_deref(), Some("s"));
    }

    #[test]
    fn empty_and_odd_values_read_as_absent() {
        let cluster = CoreCluster::from_value(&json!({"metadata": {"name": "c"},
            "spec": {"paused": null, "controlPlaneEndpoint": {"host": "", "port": 0}, "infrastructureRef": {}},
            "status": {"conditions": "none", "initialization": {}}}))
        .unwrap();
        assert!(cluster.control_plane_endpoint.is_none() && cluster.infrastructure_ref.is_none());
        assert!(!cluster.paused);
        let machine =
            CoreMachine::from_value(&json!({"metadata": {"name": "m"}, "spec": {"failureDomain": ""}})).unwrap();
        assert_eq!(machine.failure_domain, None);
    }

    #[test]
    fn another_kind_or_a_nameless_object_is_an_error() {
        let kind = CoreMachine::from_value(&clusters()[2].1).unwrap_err();
        assert_eq!(kind.kind(), ReadErrorKind::Kind);
        assert!(kind.to_string().contains("cluster.x-k8s.io/v1beta2/Cluster"), "{kind}");
        assert_eq!(CoreMachine::from_value(&json!({"metadata": {}})).unwrap_err().kind(), ReadErrorKind::Metadata);
        assert_eq!(CoreMachine::from_value(&json!([])).unwrap_err().kind(), ReadErrorKind::Metadata);
    }

    #[test]
    fn a_dynamic_object_reads_like_its_json() {
        let value = &clusters()[2].1;
        let object: DynamicObject = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(CoreCluster::try_from(&object).unwrap(), CoreCluster::from_value(value).unwrap());
    }
}
