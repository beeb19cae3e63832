//! The API types of the MAAS infrastructure provider, and the little of Cluster API core that it reads.
//!
//! **What it is.** The kinds of group `infrastructure.cluster.x-k8s.io` ([`MaasCluster`], [`MaasMachine`],
//! [`MaasMachineTemplate`], [`MaasClusterTemplate`], [`MaasRemediation`], [`MaasRemediationTemplate`]) with their CRDs ([`crds()`]); tolerant slices of core objects
//! ([`CoreCluster`], [`CoreMachine`]); the names both sides agree on ([`names`]); [`ProviderId`]; conditions
//! ([`conditions`]); and the rewriting of article-era manifests ([`convert()`]).
//!
//! **What it is not.** No client, no network, no clock, no policy: every function here is pure, and `kube` is used with its
//! derive only.
//!
//! **How data flows.** The API server's JSON becomes these types in the manager's stores; `capmaas-reconcile` reads them and
//! decides; the manager writes merge patches made from them. Reading is tolerant (a malformed entry of a list is left out, a
//! missing required field takes its default), because one odd stored object must never stop the watch of all others; what
//! may be *written* is judged by the CRD schema.
//!
//! One schema per kind is served as v1alpha3, v1alpha4 and v1beta1 (stored) with conversion strategy `None`, so a manifest
//! of any of these versions applies unchanged:
//!
//! ```
//! use capi_types::{MaasMachine, ProviderId, SEED_MANIFEST, conditions, convert, crds};
//!
//! // The CRDs, as `cargo xtask gen-crds` writes them.
//! let served: Vec<String> = crds()[1].spec.versions.iter().map(|v| v.name.clone()).collect();
//! assert_eq!(served, ["v1beta1", "v1alpha4", "v1alpha3"]);
//!
//! // The article's manifest, made fit for today's Cluster API, with a reason for every change.
//! let today = convert(SEED_MANIFEST, &Default::default())?;
//! assert_eq!(today.documents[1]["apiVersion"], "cluster.x-k8s.io/v1beta2");
//! assert!(today.notes.iter().any(|n| n.field == "spec.template.spec.version"));
//!
//! // A machine as the provider sees it.
//! let machine: MaasMachine = serde_json::from_value(serde_json::json!({
//!     "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasMachine",
//!     "metadata": {"name": "cp-0", "namespace": "default"},
//!     "spec": {"image": "ubuntu/noble", "minCPU": 2, "minMemory": 4096, "providerID": "maas:///az1/4y3h7n"},
//! }))?;
//! let id: ProviderId = machine.spec.provider_id.as_deref().unwrap().parse()?;
//! assert_eq!(id.system_id().as_str(), "4y3h7n");
//!
//! // Conditions change their time only when their status changes.
//! let now: k8s_openapi::jiff::Timestamp = "2026-01-01T00:00:00Z".parse()?;
//! let wanted = [conditions::Wanted::new(conditions::READY, conditions::Status::False, "MachineDeploying", "4y3h7n: Deploying")];
//! let merged = conditions::merge(&[], &wanted, Some(1), now);
//! assert!(merged.changed);
//! assert!(!conditions::merge(&merged.conditions, &wanted, Some(1), now).changed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address_choice;
pub mod conditions;
pub mod convert;
mod core_objects;
mod crds;
mod endpoint;
mod failure_domain;
mod lenient;
mod maascluster;
mod maasclustertemplate;
mod maasmachine;
mod maasmachinetemplate;
mod maasremediation;
mod maasremediationtemplate;
pub mod manifests;
pub mod names;
mod owner_remediated;
mod placement;
mod policies;
mod provider_id;
mod schemas;

pub use address_choice::{AddressChoice, AddressFamily, Network, NotANetwork};
pub use convert::convert;
pub use core_objects::{CoreCluster, CoreMachine, CoreRef, ReadError, ReadErrorKind};
pub use crds::{CRD_KINDS, crd_file_name, crd_yaml, crds};
pub use endpoint::{ApiEndpoint, ControlPlaneEndpointMode};
pub use failure_domain::{FailureDomain, FailureDomains};
pub use maascluster::{
    ClusterNetworkStatus, InitializationStatus, LxdConfig, MaasCluster, MaasClusterSpec, MaasClusterStatus, NicType,
};
pub use maasclustertemplate::{
    MaasClusterTemplate, MaasClusterTemplateResource, MaasClusterTemplateSpec, MaasClusterTemplateStatus,
};
pub use maasmachine::{
    AddressType, LxdMachine, LxdVmConfig, MaasMachine, MaasMachineSpec, MaasMachineStatus, MachineAddress,
};
pub use maasmachinetemplate::{
    MaasMachineTemplate, MaasMachineTemplateResource, MaasMachineTemplateSpec, MaasMachineTemplateStatus, NodeInfo,
    TemplateMeta,
};
pub use maasremediation::{
    MaasRemediation, MaasRemediationSpec, MaasRemediationStatus, RemediationPhase, RemediationStrategy,
    RemediationStrategyType, RemediationTry,
};
pub use maasremediationtemplate::{
    MaasRemediationTemplate, MaasRemediationTemplateResource, MaasRemediationTemplateSpec,
    MaasRemediationTemplateStatus,
};
pub use manifests::parse_manifests;
pub use owner_remediated::owner_remediated;
pub use placement::{Architecture, Placement, Spread};
pub use policies::{
    Erase, FailedHostAction, FailedHostPolicy, PowerPolicy, ReleasePolicy, Swap, WhenOff, WhenReleaseFails,
};
pub use provider_id::{IdError, IdErrorKind, ProviderId, SystemId};

/// The user's example: one control plane, one worker, written for Cluster API v1alpha3 (2021). Input of the sandbox by default.
pub const SEED_MANIFEST: &str = include_str!("../seed/cluster1.yaml");
