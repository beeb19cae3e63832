//! What things are called: object keys, claim tokens, DNS names.

use std::fmt;
use std::str::FromStr;

/// The kinds that have a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// MaasCluster
    Cluster,
    /// MaasMachine
    Machine,
    /// MaasMachineTemplate
    Template,
    /// MaasRemediation
    Remediation,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "MaasCluster",
            Self::Machine => "MaasMachine",
            Self::Template => "MaasMachineTemplate",
            Self::Remediation => "MaasRemediation",
        })
    }
}

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectName {
    /// `namespace/name` from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One of our objects: what the queue holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which kind.
    pub kind: Kind,
    /// Which object.
    pub name: ObjectName,
}

impl Key {
    /// A key from its parts.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, name: ObjectName::new(namespace, name) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// The claim token of a MaasMachine: `capmaas:` and the object's *first* uid (design rule 1).
///
/// It is minted once, stored in the claim annotation, sent to MAAS as `agent_name` and written into `owner_data`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// The token for a MaasMachine that never had one.
    pub fn mint(uid: &str) -> Self {
        Self(format!("{}{uid}", Self::PREFIX))
    }

    const PREFIX: &'static str = "capmaas:";

    /// The text that goes to MAAS.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a claim token.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a claim token: expected capmaas:<uid>")]
pub struct NotAToken(String);

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.strip_prefix(Self::PREFIX) {
            Some(uid) if !uid.is_empty() && !uid.contains(char::is_whitespace) && s.len() <= 255 => {
                Ok(Self(s.to_owned()))
            }
            _ => Err(NotAToken(s.to_owned())),
        }
    }
}

/// A DNS name kept in MAAS, split where MAAS splits it: label and domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName {
    /// The resource's label, no dots.
    pub label: String,
    /// A domain that MAAS holds, lower case.
    pub domain: String,
}

impl DnsName {
    /// The name `label.domain` if `host` ends in `.domain` and has exactly one more label.
    pub fn within(host: &str, domain: &str) -> Option<Self> {
        let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
        let label = host.strip_suffix(&domain)?.strip_suffix('.')?;
        (!label.is_empty() && !label.contains('.')).then(|| Self { label: label.to_owned(), domain })
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.label, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_as_it_was_minted_and_nothing_else_is_a_token() {
        let token = Token::mint("1234-5678");
        assert_eq!(token.to_string().parse(), Ok(token));
        for text in ["", "capmaas:", "1234", "capmaas:a b", "other:1"] {
            assert!(text.parse::<Token>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_is_within_a_domain_only_with_one_label_more() {
        let within = |host| DnsName::within(host, "maas.sc").map(|n| n.label);
        assert_eq!(within("My-Cluster.maas.sc"), Some("my-cluster".to_owned()));
        for host in ["maas.sc", "a.b.maas.sc", "xmaas.sc", ".maas.sc", "a.maas.org"] {
            assert_eq!(within(host), None, "{host}");
        }
    }
}
