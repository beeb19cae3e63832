//! MaasCluster: the control plane's name and the zones of one workload cluster.
#![allow(unreachable_pub)] // KubeSchema repeats each struct, `pub`, inside a function

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address_choice::AddressChoice;
use crate::endpoint::{ApiEndpoint, ControlPlaneEndpointMode};
use crate::failure_domain::FailureDomains;
use crate::names::MANAGED_BY_ANNOTATION;
use crate::policies::FailedHostPolicy;

/// What the user wants of a cluster on MAAS.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "MaasCluster",
    plural = "maasclusters",
    namespaced,
    status = "MaasClusterStatus",
    shortname = "mc",
    category = "cluster-api",
    derive = "Default",
    derive = "PartialEq",
    doc = "The infrastructure of one workload cluster on Canonical MAAS: the name of its control plane and its zones.",
    printcolumn(name = "Cluster", type_ = "string", json_path = r#".metadata.labels['cluster\.x-k8s\.io/cluster-name']"#, description = "The Cluster it belongs to"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, description = "Whether the cluster's infrastructure is usable"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.controlPlaneEndpoint.host", description = "Name or address of the API server"),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1, description = "What it is doing or waiting for"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since it was made"),
    validation = Rule::new("self.spec.dnsDomain == oldSelf.spec.dnsDomain")
        .message("spec.dnsDomain cannot change: the API server's certificates and every kubeconfig contain the name; make a new cluster for another domain")
        .field_path(".spec.dnsDomain"),
    validation = Rule::new("!has(oldSelf.spec.controlPlaneEndpoint) || !has(oldSelf.spec.controlPlaneEndpoint.host) || oldSelf.spec.controlPlaneEndpoint.host == '' || (has(self.spec.controlPlaneEndpoint) && has(self.spec.controlPlaneEndpoint.host) && self.spec.controlPlaneEndpoint.host == oldSelf.spec.controlPlaneEndpoint.host)")
        .message("spec.controlPlaneEndpoint.host cannot change once set: the API server's certificates contain it; put the old value back")
        .field_path(".spec.controlPlaneEndpoint"),
)]
#[serde(rename_all = "camelCase")]
pub struct MaasClusterSpec {
    /// DNS domain in MAAS under which the control plane's name is made. It must exist in MAAS.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
            .message("dnsDomain must be a DNS name of lower-case letters, digits, '-' and '.', for example maas.example.com; `maas $PROFILE domains read` lists the domains that exist")
    )]
    pub dns_domain: String,
    /// Where the API server is reached. In mode MaasDNS the provider fills it in; in the other modes it is the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<ApiEndpoint>,
    /// Who makes that address reach healthy machines. MaasDNS: the provider keeps a DNS name in MAAS. VIP: a virtual address that
    /// moves between the machines (kube-vip), given in controlPlaneEndpoint. External: whoever sets Cluster.spec.controlPlaneEndpoint.
    #[serde(default)]
    pub control_plane_endpoint_mode: ControlPlaneEndpointMode,
    /// Which address of each control-plane machine goes into the DNS name (mode MaasDNS). Not given: the boot interface's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_address: Option<AddressChoice>,
    /// What is done about machines that fail deployments again and again. Not given: they go back to the pool, and this cluster avoids
    /// them for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_hosts: Option<FailedHostPolicy>,
    /// Seconds after its deployment in which a machine must have joined as a Node; after that condition BootstrapSucceeded says that it
    /// did not. Not given: 1200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86400))]
    pub node_startup_timeout_seconds: Option<i32>,
    /// MAAS zones to spread the control plane over. None given: none are published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    pub failure_domains: Vec<String>,
    /// LXD hosts on control-plane machines, a feature of the Go provider. Not acted upon: `enabled` blocks the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lxd_config: Option<LxdConfig>,
}

/// `spec.lxdConfig` of the Go provider, kept so that its objects stay valid.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LxdConfig {
    /// Whether control-plane machines become LXD hosts. Not offered by this provider: true blocks the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub resource_pool: Option<String>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub zone: Option<String>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub storage_backend: Option<String>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub storage_size: Option<String>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic_type: Option<NicType>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub nic_parent: Option<String>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub network_bridge: Option<String>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_network_update: Option<bool>,
}

/// Kind of network interface of LXD guests (Go provider).
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NicType {
    /// A bridged interface.
    Bridge,
    /// A macvlan interface.
    Macvlan,
}

/// What is so, as far as the provider knows.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaasClusterStatus {
    /// Provisioned, in the words of contract v1beta1. Set together with initialization.provisioned.
    #[serde(default)]
    pub ready: bool,
    /// Provisioned, in the words of contract v1beta2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<InitializationStatus>,
    /// The name in MAAS DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ClusterNetworkStatus>,
    /// Zones published to Cluster API: a list; objects stored by the Go provider up to v0.8 may still hold a map.
    #[serde(default, skip_serializing_if = "FailureDomains::is_absent")]
    #[schemars(schema_with = "crate::failure_domain::either_shape")]
    pub failure_domains: FailureDomains,
    /// Conditions; Ready sums up the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lenient::list")]
    #[schemars(schema_with = "crate::schemas::conditions")]
    pub conditions: Vec<Condition>,
}

/// Progress of the first provisioning, as contract v1beta2 wants it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct InitializationStatus {
    /// True once the infrastructure is up; it never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
}

/// What we know of the control plane's name.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterNetworkStatus {
    /// Full name of the DNS record in MAAS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub dns_name: Option<String>,
}

impl MaasCluster {
    /// The endpoint, once host and port are both known.
    pub fn endpoint(&self) -> Option<&ApiEndpoint> {
        self.spec.control_plane_endpoint.as_ref().filter(|endpoint| endpoint.is_valid())
    }

    /// Whether the cluster was reported as provisioned, under either contract.
    pub fn provisioned(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|s| s.ready || s.initialization.as_ref().is_some_and(|i| i.provisioned == Some(true)))
    }

    /// Whether somebody else manages it (annotation `cluster.x-k8s.io/managed-by`, any value): then we leave it alone.
    pub fn is_externally_managed(&self) -> bool {
        self.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(MANAGED_BY_ANNOTATION))
    }

    /// Whether the Go provider's LXD host feature is asked for, which we do not offer.
    pub fn wants_lxd(&self) -> bool {
        self.spec.lxd_config.as_ref().is_some_and(|lxd| lxd.enabled == Some(true))
    }
}
