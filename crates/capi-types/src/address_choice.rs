//! Which of a machine's addresses counts.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which IP versions.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum AddressFamily {
    /// The first address, whatever its version.
    #[default]
    First,
    /// The first IPv4 address.
    IPv4,
    /// The first IPv6 address.
    IPv6,
    /// The first of each.
    Dual,
}

/// `spec.controlPlaneAddress` of a MaasCluster: which address of each control-plane machine goes into the DNS name. All that is given
/// must hold; of several addresses that satisfy it, the boot interface's comes first, then MAAS's order.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressChoice {
    /// IP version.
    #[serde(default)]
    pub family: AddressFamily,
    /// Name of the MAAS subnet that the address is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub subnet: Option<String>,
    /// Network that the address is in, such as 10.20.0.0/16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 64), regex(pattern = r"^[0-9a-fA-F:.]+/[0-9]{1,3}$"))]
    pub cidr: Option<String>,
    /// Name of the network interface, such as bond0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub interface: Option<String>,
    /// Tag of the network interface in MAAS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub interface_tag: Option<String>,
}

impl fmt::Display for AddressChoice {
    /// In words, for conditions: `in subnet storage, on interface bond0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.family {
            AddressFamily::First => {}
            AddressFamily::IPv4 => parts.push("of IPv4".to_owned()),
            AddressFamily::IPv6 => parts.push("of IPv6".to_owned()),
            AddressFamily::Dual => parts.push("of IPv4 or IPv6".to_owned()),
        }
        let named = [
            ("in subnet", &self.subnet),
            ("in network", &self.cidr),
            ("on interface", &self.interface),
            ("on an interface tagged", &self.interface_tag),
        ];
        parts.extend(named.into_iter().filter_map(|(what, value)| Some(format!("{what} {}", value.as_ref()?))));
        f.write_str(&if parts.is_empty() { "of any kind".to_owned() } else { parts.join(", ") })
    }
}

/// An IP network in CIDR notation.
///
/// ```
/// let network: capi_types::Network = "10.20.0.0/16".parse()?;
/// assert!(network.contains("10.20.3.4".parse()?) && !network.contains("10.21.0.1".parse()?));
/// assert!("10.20.0.0/33".parse::<capi_types::Network>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// Why a text is not a network.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a network: expected <address>/<prefix length>, for example 10.20.0.0/16 or fd00::/64")]
pub struct NotANetwork(String);

impl std::str::FromStr for Network {
    type Err = NotANetwork;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parsed = s.split_once('/').and_then(|(address, prefix)| {
            let address: IpAddr = address.parse().ok()?;
            let prefix: u32 = prefix.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            (prefix <= most).then_some(Self { address, prefix })
        });
        parsed.ok_or_else(|| NotANetwork(s.to_owned()))
    }
}

impl Network {
    /// Whether the address is in it. Addresses of the other IP version never are.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                (u32::from(network) ^ u32::from(address)) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                (u128::from(network) ^ u128::from(address)) & mask == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_its_prefix_says_and_never_the_other_version() {
        for (network, address, within) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.8", false),
            ("fd00::/64", "fd00::1", true),
            ("fd00::/64", "fd00:0:0:1::1", false),
            ("::/0", "fd00::1", true),
            ("::/0", "10.0.0.1", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), within, "{network:?} {address}");
        }
        for wrong in ["10.0.0.0", "10.0.0.0/33", "fd00::/129", "x/8", "10.0.0.0/-1", ""] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
