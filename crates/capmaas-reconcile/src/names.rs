//! What things are called: object keys, claim tokens, DNS names, placement constraints.

use std::collections::BTreeSet;
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

/// What a machine must have to be claimed; one MAAS query per distinct value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constraints {
    /// MAAS zone (`spec.failureDomain` of MaasMachine or Machine).
    pub zone: Option<String>,
    /// MAAS resource pool.
    pub pool: Option<String>,
    /// MAAS tags, all of which must be there.
    pub tags: BTreeSet<String>,
    /// At least so many cores.
    pub min_cpu: u32,
    /// At least so much memory, MiB.
    pub min_memory_mib: u64,
}

impl fmt::Display for Constraints {
    /// In words, for conditions: `at least 2 CPUs and 4096 MiB, in pool x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at least {} CPUs (spec.minCPU) and {} MiB (spec.minMemory)", self.min_cpu, self.min_memory_mib)?;
        if let Some(zone) = &self.zone {
            write!(f, ", in zone {zone} (spec.failureDomain)")?;
        }
        if let Some(pool) = &self.pool {
            write!(f, ", in pool {pool} (spec.resourcePool)")?;
        }
        if !self.tags.is_empty() {
            let tags: Vec<_> = self.tags.iter().map(String::as_str).collect();
            write!(f, ", tagged {} (spec.tags)", tags.join(" and "))?;
        }
        Ok(())
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
