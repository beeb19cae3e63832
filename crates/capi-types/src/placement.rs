//! Which machine is wanted, beyond its size: `spec.placement` of a MaasMachine.
#![allow(unreachable_pub)] // KubeSchema repeats each struct, `pub`, inside a function

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Architectures that Kubernetes has nodes of and that MAAS deploys, in Go's words.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86, 64 bit.
    Amd64,
    /// Arm, 64 bit.
    Arm64,
    /// POWER, little endian (MAAS: ppc64el).
    Ppc64le,
    /// IBM Z.
    S390x,
}

impl Architecture {
    /// MAAS's word: the part of a machine's architecture before the slash.
    pub fn in_maas(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Ppc64le => "ppc64el",
            Self::S390x => "s390x",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ppc64le => "ppc64le",
            other => other.in_maas(),
        })
    }
}

/// Which of the machines that match is taken.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum Spread {
    /// The smallest: MAAS's own order.
    #[default]
    Smallest,
    /// The smallest of those in the zone that has the fewest machines of the same MachineDeployment or control plane.
    Zones,
}

/// `spec.placement` of a MaasMachine, in MAAS's own vocabulary. All that is given must hold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.hostname) && has(self.systemID))")
        .message("placement.hostname and placement.systemID both pin one machine: leave one of them out")
        .field_path(".hostname"),
    validation = Rule::new("!has(self.zones) || !has(self.notZones) || !self.zones.exists(z, z in self.notZones)")
        .message("a zone is in placement.zones and in placement.notZones: no machine can be in it; take it out of one of the two")
        .field_path(".notZones"),
    validation = Rule::new("!has(self.pools) || !has(self.notPools) || !self.pools.exists(p, p in self.notPools)")
        .message("a pool is in placement.pools and in placement.notPools: no machine can be in it; take it out of one of the two")
        .field_path(".notPools"),
)]
pub struct Placement {
    /// Only the machine of this host name in MAAS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub hostname: Option<String>,
    /// Only the machine of this system id in MAAS. (spec.systemID is written by the provider: it says which machine was claimed.)
    #[serde(rename = "systemID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+$"))]
    pub system_id: Option<String>,
    /// CPU architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// MAAS zones, one of which the machine must be in. Where spec.failureDomain or the Machine names one, that must be among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub zones: Vec<String>,
    /// MAAS zones the machine must not be in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub not_zones: Vec<String>,
    /// MAAS resource pools, one of which the machine must be in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub pools: Vec<String>,
    /// MAAS resource pools the machine must not be in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub not_pools: Vec<String>,
    /// MAAS tags of which the machine must have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub not_tags: Vec<String>,
    /// Disks, as MAAS's storage constraint: `root:100(ssd),data:500` is a disk of 100 GB tagged ssd for the root file system and
    /// another one of 500 GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub storage: Option<String>,
    /// Network interfaces, as MAAS's interfaces constraint: `fast:link_speed=25000,fabric=spine;pub:space=public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub interfaces: Option<String>,
    /// Subnets the machine must be in, all of them: names, CIDRs or MAAS's specifiers such as `space:public`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub subnets: Vec<String>,
    /// Subnets the machine must not be in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub not_subnets: Vec<String>,
    /// Names of fabrics, to one of which the machine must be cabled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub fabrics: Vec<String>,
    /// Names of fabrics to none of which the machine may be cabled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub not_fabrics: Vec<String>,
    /// A PCI or USB device the machine must have, as MAAS's devices constraint: `vendor_id=10de` is any NVIDIA GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub devices: Option<String>,
    /// Which of the machines that match is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}
