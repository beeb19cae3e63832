//! The control plane's address: host and port, and who looks after it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the API server of the workload cluster is reached.
///
/// The Go provider stored `{host: "", port: 0}` for "not yet known", so both are accepted; see [`ApiEndpoint::is_valid`].
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct ApiEndpoint {
    /// DNS name or address of the API server. Empty: not yet known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub host: String,
    /// TCP port of the API server. 0: not yet known.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 65535))]
    pub port: i32,
}

impl ApiEndpoint {
    /// Whether Cluster API would take it: a host and a port.
    pub fn is_valid(&self) -> bool {
        !self.host.is_empty() && self.port != 0
    }
}

fn is_zero(port: &i32) -> bool {
    *port == 0
}

/// Who makes the control plane's address reach healthy machines.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum ControlPlaneEndpointMode {
    /// The provider keeps a DNS name in MAAS whose addresses are the control plane's machines.
    #[default]
    MaasDNS,
    /// A virtual address in spec.controlPlaneEndpoint moves between the machines (kube-vip, keepalived); no DNS record is made.
    VIP,
    /// Somebody else supplies Cluster.spec.controlPlaneEndpoint (a load balancer); no DNS record is made.
    External,
}
