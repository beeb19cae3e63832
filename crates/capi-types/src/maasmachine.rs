//! MaasMachine: one machine of a MAAS region behind one Cluster API Machine.
#![allow(unreachable_pub)] // KubeSchema repeats each struct, `pub`, inside a function

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::maascluster::InitializationStatus;
use crate::placement::Placement;
use crate::policies::{PowerPolicy, ReleasePolicy, Swap};
use crate::provider_id::{IdError, ProviderId};

/// What kind of machine is wanted, and which one was claimed.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "MaasMachine",
    plural = "maasmachines",
    namespaced,
    status = "MaasMachineStatus",
    shortname = "mm",
    category = "cluster-api",
    derive = "Default",
    derive = "PartialEq",
    doc = "One machine of Canonical MAAS behind a Cluster API Machine.",
    printcolumn(name = "Cluster", type_ = "string", json_path = r#".metadata.labels['cluster\.x-k8s\.io/cluster-name']"#, description = "The Cluster it belongs to"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, description = "Whether the machine is deployed, powered and known as a node"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, description = "What it is doing or waiting for, in a word"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.machineState", description = "Status of the machine in MAAS"),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.hostname", description = "Host name in MAAS"),
    printcolumn(name = "Zone", type_ = "string", json_path = ".status.failureDomain", description = "MAAS zone the machine is in"),
    printcolumn(name = "ProviderID", type_ = "string", json_path = ".spec.providerID", priority = 1, description = "Identity of the machine, equal to its Node's"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = 1, description = "Image that is deployed"),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1, description = "What it is doing or waiting for"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since it was made"),
    validation = Rule::new("!has(oldSelf.spec.providerID) || oldSelf.spec.providerID == '' || (has(self.spec.providerID) && self.spec.providerID == oldSelf.spec.providerID)")
        .message("spec.providerID cannot change once set: the Node carries the same value; delete the Machine to get another machine")
        .field_path(".spec.providerID"),
    validation = Rule::new("self.spec.image == oldSelf.spec.image")
        .message("spec.image cannot change on a machine: copy the MaasMachineTemplate under a new name with the new image and point infrastructureRef at it")
        .field_path(".spec.image"),
    validation = Rule::new("self.spec.minCPU == oldSelf.spec.minCPU")
        .message("spec.minCPU cannot change on a machine: copy the MaasMachineTemplate under a new name with the new value and point infrastructureRef at it")
        .field_path(".spec.minCPU"),
    validation = Rule::new("self.spec.minMemory == oldSelf.spec.minMemory")
        .message("spec.minMemory cannot change on a machine: copy the MaasMachineTemplate under a new name with the new value and point infrastructureRef at it")
        .field_path(".spec.minMemory"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.resourcePool) && self.resourcePool != '' && has(self.placement) && has(self.placement.pools))")
        .message("spec.resourcePool and spec.placement.pools both name pools: put the pool into spec.placement.pools and leave spec.resourcePool out")
        .field_path(".placement.pools"),
    validation = Rule::new("!(has(self.minDiskSize) && self.minDiskSize > 0 && has(self.placement) && has(self.placement.storage))")
        .message("spec.minDiskSize and spec.placement.storage both say how large the root disk is: put the size into placement.storage, as in root:100, and leave spec.minDiskSize out")
        .field_path(".minDiskSize"),
    validation = Rule::new("!(has(self.swap) && self.swap == 'Off' && has(self.deployInMemory) && self.deployInMemory)")
        .message("spec.swap Off is for machines that are installed on disk; what is deployed into memory has no swap file: leave spec.swap out")
        .field_path(".swap"),
    validation = Rule::new("!(has(self.failureDomain) && self.failureDomain != '' && has(self.placement) && has(self.placement.zones) && !(self.failureDomain in self.placement.zones))")
        .message("spec.failureDomain is not among spec.placement.zones: no machine can be in both; leave one of them out")
        .field_path(".failureDomain"),
    validation = Rule::new("!(has(self.failureDomain) && has(self.placement) && has(self.placement.notZones) && self.failureDomain in self.placement.notZones)")
        .message("spec.failureDomain is among spec.placement.notZones: no machine can be there; leave one of them out")
        .field_path(".failureDomain"),
)]
pub struct MaasMachineSpec {
    /// MAAS zone the machine must be in. Machine.spec.failureDomain is used when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub failure_domain: Option<String>,
    /// MAAS system id of the claimed machine. Written by the provider.
    #[serde(rename = "systemID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub system_id: Option<String>,
    /// Identity of the machine, `maas:///<zone>/<system_id>`, equal to its Node's. Written once by the provider.
    #[serde(rename = "providerID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = Rule::new("self == '' || self.matches('^maas:///[^/]+/[a-z0-9][-a-z0-9]*$')")
            .message("providerID must look like maas:///<zone>/<system_id>, for example maas:///default/4y3h7n; the provider writes it, leave it out of manifests")
    )]
    pub provider_id: Option<String>,
    /// System id of the LXD host, a field of the Go provider. Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub parent: Option<String>,
    /// MAAS resource pool to take the machine from. None given: any pool the MAAS user may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub resource_pool: Option<String>,
    /// Least number of CPU cores.
    #[serde(rename = "minCPU", default)]
    #[schemars(range(min = 0))]
    pub min_cpu: i32,
    /// Least memory, in MiB.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub min_memory: i64,
    /// Least size of the disk that carries the root file system, in GB (10^9 bytes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_disk_size: Option<i64>,
    /// MAAS tags the machine must have, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 256)))]
    pub tags: Vec<String>,
    /// Image to deploy: a custom image's name, or os/series such as ubuntu/noble.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    pub image: String,
    /// Deploy the image into memory; the disks stay as they are (MAAS 3.5.10, 3.6.3, 3.7.1 or later).
    #[serde(default)]
    pub deploy_in_memory: bool,
    /// Which machine, beyond its size: zones, pools, tags, disks, networks, devices, or one by name. Not given: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// The swap file that MAAS's installer makes, which kubelet refuses to start with unless told otherwise. Not given: as MAAS is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<Swap>,
    /// What is done about the machine when it is off. Not given: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerPolicy>,
    /// How the machine is given back. Not given: as MAAS is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleasePolicy>,
    /// LXD virtual machines, a feature of the Go provider. Not acted upon: `enabled` blocks the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lxd: Option<LxdMachine>,
}

/// `spec.lxd` of the Go provider, kept so that its objects stay valid.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LxdMachine {
    /// Whether the machine is an LXD virtual machine. Not offered by this provider: true blocks the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_config: Option<LxdVmConfig>,
}

/// `spec.lxd.vmConfig` of the Go provider.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LxdVmConfig {
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub disk_size: Option<i64>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub storage_pool: Option<String>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub network: Option<String>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub interface_link_modes: BTreeMap<String, String>,
    /// Not acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_start: Option<bool>,
}

/// What is so, as far as the provider knows.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaasMachineStatus {
    /// Provisioned and running, in the words of contract v1beta1.
    #[serde(default)]
    pub ready: bool,
    /// Provisioned, in the words of contract v1beta2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<InitializationStatus>,
    /// Status of the machine in MAAS, in MAAS's words (`status_name`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub machine_state: Option<String>,
    /// Whether MAAS says that the machine is powered on.
    #[serde(default)]
    pub machine_powered: bool,
    /// Host name of the machine in MAAS; the Node bears it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub hostname: Option<String>,
    /// Control plane only: whether the cluster's DNS name has this machine's address.
    #[serde(rename = "dnsAttached", default)]
    pub dns_attached: bool,
    /// MAAS zone the machine really is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub failure_domain: Option<String>,
    /// Names and addresses of the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lenient::list")]
    #[schemars(length(max = 256))]
    pub addresses: Vec<MachineAddress>,
    /// When the machine was powered on by the provider within the last hour (spec.power); an entry is written before it is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lenient::list")]
    #[schemars(schema_with = "crate::schemas::times")]
    pub powered_on: Vec<Time>,
    /// Conditions; Ready sums up the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lenient::list")]
    #[schemars(schema_with = "crate::schemas::conditions")]
    pub conditions: Vec<Condition>,
    /// Field of old contracts that the Go provider may have stored. Never written: conditions say more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Field of old contracts that the Go provider may have stored. Never written: conditions say more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
}

/// One name or address of a machine.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct MachineAddress {
    /// What kind of name or address it is.
    #[serde(rename = "type")]
    pub type_: AddressType,
    /// The name or address.
    #[schemars(length(max = 256))]
    pub address: String,
}

/// Kinds of names and addresses, as Cluster API spells them.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum AddressType {
    /// A bare host name.
    Hostname,
    /// A DNS name that resolves outside of the cluster.
    #[serde(rename = "ExternalDNS")]
    ExternalDns,
    /// A DNS name that resolves inside of the cluster.
    #[serde(rename = "InternalDNS")]
    InternalDns,
    /// An IP address reached from outside of the cluster.
    #[serde(rename = "ExternalIP")]
    ExternalIp,
    /// An IP address reached from inside of the cluster.
    #[serde(rename = "InternalIP")]
    InternalIp,
}

impl MaasMachineSpec {
    /// Whether the Go provider's LXD virtual machines are asked for, which we do not offer.
    pub fn wants_lxd(&self) -> bool {
        self.lxd.as_ref().is_some_and(|lxd| lxd.enabled == Some(true))
    }
}

impl MaasMachine {
    /// The parsed `spec.providerID`; `None` when it is absent or empty.
    pub fn provider_id(&self) -> Option<Result<ProviderId, IdError>> {
        let text = self.spec.provider_id.as_deref()?;
        (!text.is_empty()).then(|| text.parse())
    }

    /// Whether the machine was reported as provisioned, under either contract (objects of the Go provider ≤ v0.8 have only
    /// `status.ready`).
    pub fn provisioned(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|s| s.ready || s.initialization.as_ref().is_some_and(|i| i.provisioned == Some(true)))
    }

    /// Whether the Go provider's LXD feature is asked for, which we do not offer.
    pub fn wants_lxd(&self) -> bool {
        self.spec.wants_lxd()
    }

    /// Whether it belongs to a control plane (label `cluster.x-k8s.io/control-plane`, copied from the Machine).
    pub fn is_control_plane(&self) -> bool {
        self.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(crate::names::CONTROL_PLANE_LABEL))
    }
}
