//! Typed identifiers: what MAAS calls its objects, kept apart by type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not the identifier it was given as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {fault}")]
pub struct IdError {
    what: &'static str,
    text: String,
    fault: &'static str,
}

/// The `system_id` of a machine, device or controller: in practice six signs of
/// `34678abcdefghkmnpqrstwxy`, in the database up to 41 letters and digits.
///
/// ```
/// let id: maas_client::SystemId = "wt67ch".parse()?;
/// assert_eq!(id.as_str(), "wt67ch");
/// assert!("wt/67".parse::<maas_client::SystemId>().is_err());
/// # Ok::<(), maas_client::IdError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SystemId(String);

impl SystemId {
    /// The bare text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SystemId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fault = if text.is_empty() {
            "it is empty"
        } else if text.len() > 41 {
            "it is longer than 41 characters"
        } else if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            "only letters and digits occur in it"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(IdError { what: "system_id", text: text.to_owned(), fault })
    }
}

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for SystemId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self).map_err(|_| IdError {
                    what: $what,
                    text: text.to_owned(),
                    fault: "a whole number is needed",
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id!(
    /// Number of a DNS resource (`dnsresources/{id}/`). `-1` marks the entries MAAS makes up for
    /// machines; they can't be read or changed by number.
    DnsResourceId, "DNS resource id");
numeric_id!(
    /// Number of a DNS domain (`domains/{id}/`); 0 is the domain of a fresh installation.
    DomainId, "domain id");
numeric_id!(
    /// Number of an availability zone. Zones are addressed by name; the number is for reference.
    ZoneId, "zone id");
numeric_id!(
    /// Number of a resource pool (`resourcepool/{id}/`).
    PoolId, "resource pool id");
numeric_id!(
    /// Number of a subnet.
    SubnetId, "subnet id");
numeric_id!(
    /// Number of a network interface (`nodes/{system_id}/interfaces/{id}/`).
    InterfaceId, "interface id");
numeric_id!(
    /// Number of an image row (`boot-resources/{id}/`): one per architecture and kernel flavour.
    BootResourceId, "boot resource id");
numeric_id!(
    /// Number of an event; grows with time, though a late commit may appear below the highest seen.
    EventId, "event id");
numeric_id!(
    /// Number of a set of script results (`nodes/{system_id}/results/{id}/`).
    ScriptSetNumber, "script set id");
numeric_id!(
    /// Number of one script result in a set.
    ScriptResultId, "script result id");
numeric_id!(
    /// Number of a VLAN in the database (`vlans/{id}/`), which is not its VID; starts at 5001.
    VlanId, "VLAN id");
numeric_id!(
    /// Number of a fabric (`fabrics/{id}/`).
    FabricId, "fabric id");
numeric_id!(
    /// Number of a space (`spaces/{id}/`); −1 is what belongs to none.
    SpaceId, "space id");
numeric_id!(
    /// Number of a range of addresses (`ipranges/{id}/`).
    IpRangeId, "IP range id");
numeric_id!(
    /// Number of a reserved address (`reservedips/{id}/`).
    ReservedIpId, "reserved IP id");
numeric_id!(
    /// Number of a static route (`static-routes/{id}/`).
    StaticRouteId, "static route id");
numeric_id!(
    /// Number of a DNS record that is no address (`dnsresourcerecords/{id}/`).
    DnsRecordId, "DNS record id");
numeric_id!(
    /// Number of a block device (`nodes/{system_id}/blockdevices/{id}/`).
    BlockDeviceId, "block device id");
numeric_id!(
    /// Number of a partition on its block device.
    PartitionId, "partition id");
numeric_id!(
    /// Number of a link between an interface and a subnet.
    LinkId, "link id");
numeric_id!(
    /// Number of an ssh or ssl key (`account/prefs/sshkeys/{id}/`).
    KeyId, "key id");
numeric_id!(
    /// Number of a notification (`notifications/{id}/`).
    NotificationId, "notification id");
numeric_id!(
    /// Number of a file of an image that is being uploaded.
    BootFileId, "boot file id");
numeric_id!(
    /// Number of a script.
    ScriptId, "script id");

/// A subnet as calls name it: by number, name or CIDR, or by a specifier such as `ip:10.0.0.5`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubnetKey(String);

impl SubnetKey {
    /// The text in paths and forms.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SubnetKey {
    /// A number that no subnet has: required parameters should be given.
    fn default() -> Self {
        Self("0".to_owned())
    }
}

impl From<SubnetId> for SubnetKey {
    fn from(id: SubnetId) -> Self {
        Self(id.to_string())
    }
}

impl From<&str> for SubnetKey {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for SubnetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
