//! Identities: `maas:///<zone>/<system_id>` and the system id in it.

use std::fmt;
use std::str::FromStr;

/// What is wrong with a system id or providerID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The providerID does not begin with `maas:///`.
    #[error("providerID {text:?} does not begin with maas:///; it must look like maas:///<zone>/<system_id>")]
    Scheme {
        /// What was read.
        text: String,
    },
    /// The providerID has not exactly two parts after `maas:///`.
    #[error("providerID {text:?} has {parts} parts after maas:///, not the two of maas:///<zone>/<system_id>")]
    Parts {
        /// What was read.
        text: String,
        /// How many parts there are.
        parts: usize,
    },
    /// The zone is empty.
    #[error("providerID {text:?} has an empty zone; it must look like maas:///<zone>/<system_id>")]
    Zone {
        /// What was read.
        text: String,
    },
    /// The system id is not one.
    #[error("{text:?} is no MAAS system id: 1 to 64 lower-case letters, digits and '-', such as 4y3h7n")]
    SystemId {
        /// What was read.
        text: String,
    },
}

/// Kinds of [`IdError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdErrorKind {
    /// See [`IdError::Scheme`].
    Scheme,
    /// See [`IdError::Parts`].
    Parts,
    /// See [`IdError::Zone`].
    Zone,
    /// See [`IdError::SystemId`].
    SystemId,
}

impl IdError {
    /// The kind, to match on.
    pub fn kind(&self) -> IdErrorKind {
        match self {
            IdError::Scheme { .. } => IdErrorKind::Scheme,
            IdError::Parts { .. } => IdErrorKind::Parts,
            IdError::Zone { .. } => IdErrorKind::Zone,
            IdError::SystemId { .. } => IdErrorKind::SystemId,
        }
    }
}

/// MAAS's name of a machine, such as `4y3h7n`. It goes into URLs, so nothing but lower-case letters, digits and '-' is let in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemId(String);

impl SystemId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SystemId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let ok = (1..=64).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if ok { Ok(SystemId(text.to_owned())) } else { Err(IdError::SystemId { text: text.to_owned() }) }
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

/// `maas:///<zone>/<system_id>`: what `Machine.spec.providerID`, `MaasMachine.spec.providerID` and `Node.spec.providerID`
/// must all read, byte for byte.
///
/// The zone is the one at claim; a machine moved to another zone keeps its providerID, so never compare zones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId {
    zone: String,
    system_id: SystemId,
}

impl ProviderId {
    /// Builds the id from the zone MAAS names and the machine's system id. The zone must be non-empty and without '/'.
    pub fn new(zone: &str, system_id: SystemId) -> Result<Self, IdError> {
        let text = format!("maas:///{zone}/{system_id}");
        text.parse()
    }

    /// Zone at the time of the claim.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The machine.
    pub fn system_id(&self) -> &SystemId {
        &self.system_id
    }
}

impl FromStr for ProviderId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let rest = text.strip_prefix("maas:///").ok_or_else(|| IdError::Scheme { text: text.to_owned() })?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [zone, system_id] = parts[..] else {
            return Err(IdError::Parts { text: text.to_owned(), parts: parts.len() });
        };
        if zone.is_empty() {
            return Err(IdError::Zone { text: text.to_owned() });
        }
        Ok(ProviderId { zone: zone.to_owned(), system_id: system_id.parse()? })
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "maas:///{}/{}", self.zone, self.system_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_id_reads_back_byte_for_byte() {
        for text in ["maas:///default/4y3h7n", "maas:///zone one/abc", "maas:///AZ_1/node-0ffe-12"] {
            assert_eq!(text.parse::<ProviderId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_malformed_id_says_what_is_wrong() {
        let cases = [
            ("aws:///z/i", IdErrorKind::Scheme),
            ("maas://default/4y3h7n", IdErrorKind::Scheme),
            ("", IdErrorKind::Scheme),
            ("maas:///4y3h7n", IdErrorKind::Parts),
            ("maas:///a/b/c", IdErrorKind::Parts),
            ("maas:////4y3h7n", IdErrorKind::Zone),
            ("maas:///default/", IdErrorKind::SystemId),
            ("maas:///default/4Y3H", IdErrorKind::SystemId),
            ("maas:///default/a?op=release", IdErrorKind::SystemId),
        ];
        for (text, kind) in cases {
            let error = text.parse::<ProviderId>().unwrap_err();
            assert_eq!(error.kind(), kind, "{text}: {error}");
        }
        assert!(ProviderId::new("a/b", "abc".parse().unwrap()).is_err());
        assert_eq!(ProviderId::new("z", "abc".parse().unwrap()).unwrap().to_string(), "maas:///z/abc");
    }
}
