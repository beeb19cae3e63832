//! Parts of an inventory: users, places, machines with their disks and interfaces, subnets, images.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// A MAAS user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// Name, as in `owner` of a machine.
    pub username: String,
    /// Administrator (`is_superuser`).
    #[serde(default)]
    pub admin: bool,
    /// API keys `consumer:token:secret`.
    pub api_keys: Vec<String>,
}

/// A zone or a pool.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceSpec {
    /// Name, unique among its kind.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
}

/// A tag: a name alone, or with its texts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "TagForm")]
pub struct TagSpec {
    /// Name.
    pub name: String,
    /// Free text.
    pub comment: String,
    /// Options for the kernel of machines that have it.
    pub kernel_opts: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TagForm {
    Name(String),
    Whole {
        name: String,
        #[serde(default)]
        comment: String,
        #[serde(default)]
        kernel_opts: String,
    },
}

impl From<TagForm> for TagSpec {
    fn from(form: TagForm) -> Self {
        match form {
            TagForm::Name(name) => Self::from(name.as_str()),
            TagForm::Whole { name, comment, kernel_opts } => Self { name, comment, kernel_opts },
        }
    }
}

impl From<&str> for TagSpec {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), comment: String::new(), kernel_opts: String::new() }
    }
}

/// A PCI or USB device, as the `devices` constraint knows it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceSpec {
    /// Vendor, hexadecimal: `10de`.
    pub vendor_id: String,
    /// Product, hexadecimal.
    pub product_id: String,
    /// Vendor in words.
    pub vendor_name: String,
    /// Product in words.
    pub product_name: String,
    /// Kernel module that commissioning found in use.
    pub commissioning_driver: String,
}

impl DeviceSpec {
    /// What it has under a key of the constraint; `None`: there is no such key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        Some(match key {
            "vendor_id" => &self.vendor_id,
            "product_id" => &self.product_id,
            "vendor_name" => &self.vendor_name,
            "product_name" => &self.product_name,
            "commissioning_driver" => &self.commissioning_driver,
            _ => return None,
        })
    }
}

/// A block device.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSpec {
    /// Size in decimal gigabytes.
    pub size_gb: u64,
    /// Tags that `storage=` constraints match, e.g. `ssd`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What is deployed has its root file system there. Only a status that was written into a database has not.
    #[serde(default = "yes")]
    pub formatted: bool,
}

fn yes() -> bool {
    true
}

/// A machine of the inventory.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineSpec {
    /// `system_id`; made from the seed when absent.
    pub system_id: Option<String>,
    /// Host name, unique in the region.
    pub hostname: String,
    /// Domain name; the default domain when absent.
    pub domain: Option<String>,
    /// Free text.
    pub description: String,
    /// `amd64/generic`, or `amd64` which means the same.
    pub architecture: String,
    /// Cores.
    pub cpu_count: u32,
    /// Memory in MiB.
    pub memory: u64,
    /// Disks; the first carries the root file system.
    pub disks: Vec<DiskSpec>,
    /// PCI and USB devices: GPUs, say.
    pub devices: Vec<DeviceSpec>,
    /// Zone by name.
    pub zone: String,
    /// Pool by name.
    pub pool: String,
    /// Tags by name.
    pub tags: Vec<String>,
    /// Power driver; `manual` cannot be queried or switched.
    pub power_type: String,
    /// Address of its BMC, shown in `power_parameters` and as a static row of `ipaddresses/`.
    pub bmc_address: Option<IpAddr>,
    /// MAC of the boot interface; made from the position when absent.
    pub mac: Option<String>,
    /// Static addresses; when empty the boot interface has one AUTO link on the first subnet.
    pub ips: Vec<IpAddr>,
    /// Address that DHCP gave while commissioning, shown while there is no other.
    pub observed_ip: Option<IpAddr>,
    /// Interfaces with their links, the boot interface first. When empty there is one, `eth0`, as `mac`, `ips` and
    /// `observed_ip` say; when not, those three stay empty.
    pub interfaces: Vec<InterfaceSpec>,
    /// Status at the start as a list filter names it: `ready`, `new`, `broken` …
    pub status: String,
    /// Who owns it at the start.
    pub owner: Option<String>,
    /// It runs at the start.
    pub powered: bool,
    /// What MAAS shows as `power_state` at the start, where that is not the truth.
    pub power_state: Option<String>,
}

impl Default for MachineSpec {
    fn default() -> Self {
        Self {
            system_id: None,
            hostname: String::new(),
            domain: None,
            description: String::new(),
            architecture: "amd64/generic".to_owned(),
            cpu_count: 8,
            memory: 16_384,
            disks: vec![DiskSpec { size_gb: 200, tags: vec!["ssd".to_owned()], formatted: true }],
            devices: Vec::new(),
            zone: "default".to_owned(),
            pool: "default".to_owned(),
            tags: Vec::new(),
            power_type: "ipmi".to_owned(),
            bmc_address: None,
            mac: None,
            ips: Vec::new(),
            observed_ip: None,
            interfaces: Vec::new(),
            status: "ready".to_owned(),
            owner: None,
            powered: false,
            power_state: None,
        }
    }
}

impl MachineSpec {
    /// A usual machine of that name.
    #[must_use]
    pub fn named(hostname: impl Into<String>) -> Self {
        Self { hostname: hostname.into(), ..Self::default() }
    }
}

/// A network interface of a machine of the inventory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceSpec {
    /// Name, unique within the machine.
    pub name: String,
    /// MAC; made from the position when absent.
    #[serde(default)]
    pub mac: Option<String>,
    /// Address that DHCP gave while commissioning.
    #[serde(default)]
    pub observed_ip: Option<IpAddr>,
    /// Tags that `interfaces=` constraints match.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Subnets it is linked to, several of one interface too. The VLAN is that of the first.
    #[serde(default)]
    pub links: Vec<LinkSpec>,
}

/// A link of an interface to a subnet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Where addresses come from.
    #[serde(default)]
    pub mode: LinkMode,
    /// Subnet by name or CIDR; the first of the region when absent, or the one that `ip` lies in.
    #[serde(default)]
    pub subnet: Option<String>,
    /// Address of a static link.
    #[serde(default)]
    pub ip: Option<IpAddr>,
}

/// Where the addresses of a link come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkMode {
    /// MAAS picks one for each deployment.
    #[default]
    Auto,
    /// A fixed one.
    Static,
    /// From a DHCP server, when the machine runs.
    Dhcp,
    /// None.
    LinkUp,
}

/// A subnet that MAAS manages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetSpec {
    /// Name.
    pub name: String,
    /// Address block.
    #[serde(deserialize_with = "parsed")]
    pub cidr: IpNet,
    /// Gateway, never handed out.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Fabric by name; `fabric-0` when absent.
    #[serde(default = "fabric_0")]
    pub fabric: String,
    /// VLAN of the fabric; 0 is the untagged one.
    #[serde(default)]
    pub vid: u16,
    /// Space of the VLAN by name, `lab-space` when absent.
    #[serde(default = "lab_space")]
    pub space: String,
    /// Dynamic (DHCP) range, first and last address: not used for AUTO addresses.
    #[serde(default)]
    pub dynamic: Option<(IpAddr, IpAddr)>,
    /// Reserved range, first and last address: not used for AUTO addresses.
    #[serde(default)]
    pub reserved: Option<(IpAddr, IpAddr)>,
    /// Further ranges.
    #[serde(default)]
    pub ranges: Vec<RangeSpec>,
}

/// A range of addresses that AUTO addresses stay out of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeSpec {
    /// For DHCP; otherwise reserved.
    #[serde(default)]
    pub dynamic: bool,
    /// First address.
    pub start: IpAddr,
    /// Last address.
    pub end: IpAddr,
    /// Free text.
    #[serde(default)]
    pub comment: String,
}

/// A boot image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// `os/series` for synced images; a plain name for uploaded ones (deployed as `custom/<name>`).
    pub name: String,
    /// Main architecture, e.g. `amd64`.
    #[serde(default = "amd64")]
    pub architecture: String,
    /// Uploaded by a person instead of synced from a source.
    #[serde(default)]
    pub uploaded: bool,
    /// Version alias that deploy accepts from 3.6 on, e.g. `22.04`.
    #[serde(default)]
    pub alias: Option<String>,
    /// Kernels, the first is the one taken by default, e.g. `ga-22.04`. One row of `boot-resources/` each.
    #[serde(default)]
    pub kernels: Vec<String>,
    /// `title` of the row.
    #[serde(default)]
    pub title: String,
}

pub(crate) fn fabric_0() -> String {
    "fabric-0".to_owned()
}

pub(crate) fn lab_space() -> String {
    "lab-space".to_owned()
}

pub(crate) fn amd64() -> String {
    "amd64".to_owned()
}

/// Reads a text with the type's own parser.
pub(crate) fn parsed<'de, D: serde::Deserializer<'de>, T: std::str::FromStr<Err: std::fmt::Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}
