//! Machine JSON (fact sheet §2.3), as far as a program that deploys machines needs it.
//!
//! Block devices, NUMA nodes and hardware listings (the bulk of the 15 to 35 KB per machine) are
//! skipped while parsing, in single reads as well as in lists.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{DomainId, InterfaceId, PoolId, SubnetId, SystemId, VlanId, ZoneId};
use crate::status::{MachineStatus, PowerState};

/// MAAS writes `null` where it has nothing; missing and `null` both mean the default.
pub(crate) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Lists of machine JSON are short and many: as they grow they would keep room for four entries each, half of
/// the memory of a long machine list.
fn exact<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let mut list = Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default();
    list.shrink_to_fit();
    Ok(list)
}

/// Addresses come as text that may be empty or `null` while none is assigned.
pub(crate) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    let texts = Option::<Vec<Option<String>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(texts.into_iter().flatten().filter_map(|text| text.parse().ok()).collect())
}

/// One machine as `GET machines/`, `GET machines/{system_id}/` and most writes answer it.
///
/// Every field may be missing in a reply and then has its default; fields unknown to us are ignored.
/// `agent_name` is never shown by MAAS and therefore not here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Key of the machine in every call.
    #[serde(deserialize_with = "null_default")]
    pub system_id: SystemId,
    /// Host part of the name; unique in the whole MAAS.
    #[serde(deserialize_with = "null_default")]
    pub hostname: String,
    /// `hostname.domain`.
    #[serde(deserialize_with = "null_default")]
    pub fqdn: String,
    /// DNS domain the machine is in.
    pub domain: Option<DomainRef>,
    /// Free text of the administrators.
    #[serde(deserialize_with = "null_default")]
    pub description: String,
    /// Name of the MAAS user who holds the machine.
    pub owner: Option<String>,
    /// Workload annotations; deleted when the machine becomes Ready again.
    #[serde(deserialize_with = "null_default")]
    pub owner_data: BTreeMap<String, String>,
    /// Locked machines refuse release, deploy and delete with 403.
    #[serde(deserialize_with = "null_default")]
    pub locked: bool,
    /// State by number.
    #[serde(deserialize_with = "null_default")]
    pub status: MachineStatus,
    /// State in MAAS's words.
    #[serde(deserialize_with = "null_default")]
    pub status_name: String,
    /// Text of the last event (INFO and above).
    #[serde(deserialize_with = "null_default")]
    pub status_message: String,
    /// Why it is broken or failed (3.5+; empty when fine).
    #[serde(deserialize_with = "null_default")]
    pub error_description: String,
    /// Last known power.
    pub power_state: PowerState,
    /// Driver, e.g. `ipmi`; empty when none is set.
    #[serde(deserialize_with = "null_default")]
    pub power_type: String,
    /// Operating system deployed; empty when none.
    #[serde(deserialize_with = "null_default")]
    pub osystem: String,
    /// Release deployed; empty when none.
    #[serde(deserialize_with = "null_default")]
    pub distro_series: String,
    /// Kernel deployed, e.g. `ga-24.04`.
    pub hwe_kernel: Option<String>,
    /// Deployed into memory only.
    #[serde(deserialize_with = "null_default")]
    pub ephemeral_deploy: bool,
    /// Swap file that the installer makes, bytes; `Some(0)`: none, absent: as MAAS sees fit.
    pub swap_size: Option<u64>,
    /// Boots from the network next; turns false when the installed disk is to be booted.
    #[serde(deserialize_with = "null_default")]
    pub netboot: bool,
    /// e.g. `amd64/generic`.
    #[serde(deserialize_with = "null_default")]
    pub architecture: String,
    /// Number of cores.
    #[serde(deserialize_with = "null_default")]
    pub cpu_count: u32,
    /// Memory in MiB.
    #[serde(deserialize_with = "null_default")]
    pub memory: u64,
    /// Sum of the physical disks in decimal MB; a float on the wire.
    #[serde(deserialize_with = "null_default")]
    pub storage: f64,
    /// Availability zone.
    pub zone: Option<ZoneRef>,
    /// Resource pool.
    pub pool: Option<PoolRef>,
    /// Names of the tags it has.
    #[serde(deserialize_with = "null_default")]
    pub tag_names: BTreeSet<String>,
    /// All non-observed addresses; the observed (DHCP) ones only if there is no other. In the order
    /// of interfaces, not of importance: see [`Machine::boot_addresses`].
    #[serde(deserialize_with = "addresses")]
    pub ip_addresses: Vec<IpAddr>,
    /// Network interfaces.
    #[serde(deserialize_with = "exact")]
    pub interface_set: Vec<Interface>,
    /// The interface it boots from.
    pub boot_interface: Option<Interface>,
}

impl Machine {
    /// Name of the zone; empty when MAAS gave none.
    pub fn zone_name(&self) -> &str {
        self.zone.as_ref().map_or("", |zone| &zone.name)
    }

    /// Name of the resource pool; empty when MAAS gave none.
    pub fn pool_name(&self) -> &str {
        self.pool.as_ref().map_or("", |pool| &pool.name)
    }

    /// Addresses configured on the boot interface (its links), in order; if it has none, the ones
    /// MAAS discovered on it.
    pub fn boot_addresses(&self) -> Vec<IpAddr> {
        let Some(boot) = &self.boot_interface else {
            return Vec::new();
        };
        let linked: Vec<_> = boot.links.iter().filter_map(|link| link.ip_address).collect();
        if linked.is_empty() { boot.discovered.iter().filter_map(|seen| seen.ip_address).collect() } else { linked }
    }

    /// Every address with what MAAS knows about where it is: configured ones first, then those seen by
    /// MAAS's DHCP; each in the order of interfaces.
    pub fn addresses(&self) -> impl Iterator<Item = MachineAddress<'_>> {
        let linked = self.interface_set.iter().flat_map(|interface| {
            interface.links.iter().filter_map(move |link| {
                let (address, subnet) = (link.ip_address?, link.subnet.as_ref());
                Some(MachineAddress { address, interface, subnet, discovered: false })
            })
        });
        let seen = self.interface_set.iter().flat_map(|interface| {
            interface.discovered.iter().filter_map(move |seen| {
                let (address, subnet) = (seen.ip_address?, seen.subnet.as_ref());
                Some(MachineAddress { address, interface, subnet, discovered: true })
            })
        });
        linked.chain(seen)
    }
}

/// An address of a machine and where it is: [`Machine::addresses`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineAddress<'a> {
    /// Address.
    pub address: IpAddr,
    /// Interface that has it; name, tags and hardware address are there.
    pub interface: &'a Interface,
    /// Subnet it belongs to; none when MAAS does not know.
    pub subnet: Option<&'a SubnetRef>,
    /// Handed out by MAAS's DHCP instead of configured.
    pub discovered: bool,
}

impl<'a> MachineAddress<'a> {
    /// VLAN of the subnet, else of the interface.
    pub fn vlan(&self) -> Option<&'a VlanRef> {
        self.subnet.and_then(|subnet| subnet.vlan.as_ref()).or(self.interface.vlan.as_ref())
    }

    /// Name of the space; empty when there is none (MAAS then writes `undefined`, or nothing).
    pub fn space(&self) -> &'a str {
        let space = self.subnet.map_or("", |subnet| &subnet.space);
        let space = if space.is_empty() { self.vlan().map_or("", |vlan| &vlan.space) } else { space };
        if space == "undefined" { "" } else { space }
    }
}

/// DNS domain as machine JSON shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainRef {
    /// Number.
    pub id: DomainId,
    /// Name, e.g. `maas`.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
}

/// Zone as machine JSON shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZoneRef {
    /// Number.
    pub id: ZoneId,
    /// Name: the key in calls.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
}

/// Pool as machine JSON shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolRef {
    /// Number.
    pub id: PoolId,
    /// Name: the key in calls.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
}

/// Network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Number.
    #[serde(deserialize_with = "null_default")]
    pub id: InterfaceId,
    /// Machine it belongs to.
    #[serde(deserialize_with = "null_default")]
    pub system_id: SystemId,
    /// e.g. `eth0`.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// `physical`, `bond`, `bridge`, `vlan` or `unknown`.
    #[serde(rename = "type", deserialize_with = "null_default")]
    pub kind: String,
    /// Hardware address, lower case with colons.
    pub mac_address: Option<String>,
    /// Tags of the interface.
    #[serde(deserialize_with = "exact")]
    pub tags: Vec<String>,
    /// Off interfaces are not configured on the deployed machine.
    #[serde(deserialize_with = "null_default")]
    pub enabled: bool,
    /// VLAN it is connected to; none when disconnected.
    pub vlan: Option<VlanRef>,
    /// Names of the interfaces it is made of (bond, bridge, vlan).
    #[serde(deserialize_with = "exact")]
    pub parents: Vec<String>,
    /// Configured addresses. One being probed is hidden until accepted.
    #[serde(deserialize_with = "exact")]
    pub links: Vec<InterfaceLink>,
    /// Addresses seen by MAAS's DHCP.
    #[serde(deserialize_with = "exact")]
    pub discovered: Vec<DiscoveredAddress>,
}

/// Configuration of one interface on one subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceLink {
    /// Number.
    #[serde(deserialize_with = "null_default")]
    pub id: i64,
    /// `auto`, `dhcp`, `static` or `link_up`.
    #[serde(deserialize_with = "null_default")]
    pub mode: String,
    /// Address, once there is one.
    #[serde(deserialize_with = "address")]
    pub ip_address: Option<IpAddr>,
    /// Subnet linked to.
    pub subnet: Option<SubnetRef>,
}

/// An address MAAS's own DHCP handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscoveredAddress {
    /// Address.
    #[serde(deserialize_with = "address")]
    pub ip_address: Option<IpAddr>,
    /// Subnet it was seen on.
    pub subnet: Option<SubnetRef>,
}

/// Subnet as interfaces and addresses show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubnetRef {
    /// Number.
    #[serde(deserialize_with = "null_default")]
    pub id: SubnetId,
    /// Name; the CIDR unless somebody renamed it.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// e.g. `10.10.0.0/24`.
    #[serde(deserialize_with = "null_default")]
    pub cidr: String,
    /// Name of the space; `undefined` or empty without one.
    #[serde(deserialize_with = "null_default")]
    pub space: String,
    /// Gateway handed to machines.
    #[serde(deserialize_with = "address")]
    pub gateway_ip: Option<IpAddr>,
    /// VLAN the subnet is on.
    pub vlan: Option<VlanRef>,
}

/// VLAN as interfaces and subnets show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VlanRef {
    /// Number in the database.
    #[serde(deserialize_with = "null_default")]
    pub id: VlanId,
    /// VID on the wire, 0 to 4094; 0 is untagged.
    #[serde(deserialize_with = "null_default")]
    pub vid: u16,
    /// Name.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// Name of the fabric.
    #[serde(deserialize_with = "null_default")]
    pub fabric: String,
    /// Name of the space; `undefined` or empty without one.
    #[serde(deserialize_with = "null_default")]
    pub space: String,
}
