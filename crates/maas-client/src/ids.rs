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
