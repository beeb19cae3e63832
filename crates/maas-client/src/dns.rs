//! DNS resources and domains (fact sheet §2.7, §5).

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Client;
use crate::call::Call;
use crate::define::{reply, request, service};
use crate::error::{Error, Result};
use crate::form::Form;
use crate::ids::{DnsRecordId, DnsResourceId, DomainId, SystemId};
use crate::machine::{Interface, SubnetRef, address, null_default};
use crate::operation;

/// DNS names and their addresses: `dnsresources/`.
///
/// Implemented by [`DnsResourcesClient`] ([`Client::dns_resources`]); with feature `mock` there is
/// `MockDnsResources`. Writes need an administrator's key.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait DnsResources: Send + Sync {
    /// `GET dnsresources/` with filters. An unknown name gives an empty list, an unknown domain
    /// `NotFound`.
    async fn list(&self, filter: &DnsFilter) -> Result<Vec<DnsResource>>;

    /// `GET dnsresources/{id}/`.
    async fn read(&self, id: DnsResourceId) -> Result<DnsResource>;

    /// `POST dnsresources/`. MAAS checks uniqueness only in its code: two creators at once can both
    /// succeed.
    async fn create(&self, request: &CreateDnsResource) -> Result<DnsResource>;

    /// `PUT dnsresources/{id}/`: **replaces** the whole address set; a `ttl` of `None` leaves the TTL
    /// as it is. The last writer wins, there is no precondition.
    async fn update_addresses(
        &self,
        id: DnsResourceId,
        addresses: &BTreeSet<IpAddr>,
        ttl: Option<u32>,
    ) -> Result<DnsResource>;

    /// `DELETE dnsresources/{id}/`.
    async fn delete(&self, id: DnsResourceId) -> Result<()>;
}

service! {
    /// DNS domains: `domains/`. With feature `mock` there is `MockDomains`.
    Domains by DomainsClient;

    /// `GET domains/`.
    fn list() -> Vec<Domain> = DOMAINS_LIST;

    /// `GET domains/{id}/`.
    fn read(id: DomainId) -> Domain = DOMAIN_READ [id];

    /// `POST domains/` (admin). One that is made below another takes over a resource of the same name.
    fn create(&request: CreateDomain) -> Domain = DOMAINS_CREATE, request.form();

    /// `PUT domains/{id}/` (admin): what is left out stays.
    fn update(id: DomainId, &request: UpdateDomain) -> Domain = DOMAIN_UPDATE [id], request.form();

    /// `DELETE domains/{id}/` (admin). The default one is `Validation`, one in use `Server`.
    fn delete(id: DomainId) -> () = DOMAIN_DELETE [id];

    /// `POST domains/{id}/?op=set_default` (admin): new machines come into it.
    fn set_default(id: DomainId) -> Domain = DOMAIN_SET_DEFAULT [id];
}

service! {
    /// DNS records other than addresses: `dnsresourcerecords/`. With feature `mock` there is
    /// `MockDnsRecords`. Writes need an administrator's key.
    DnsRecords by DnsRecordsClient;

    /// `GET dnsresourcerecords/` with filters.
    fn list(&filter: DnsRecordFilter) -> Vec<DnsRecordRow> = DNS_RECORDS_LIST, filter.form();

    /// `GET dnsresourcerecords/{id}/`.
    fn read(id: DnsRecordId) -> DnsRecordRow = DNS_RECORD_READ [id];

    /// `POST dnsresourcerecords/`: makes the name too, if it is missing. A CNAME beside anything else is
    /// `Validation`.
    fn create(&request: CreateDnsRecord) -> DnsRecordRow = DNS_RECORDS_CREATE, request.form();

    /// `PUT dnsresourcerecords/{id}/`: what is left out stays.
    fn update(id: DnsRecordId, &request: UpdateDnsRecord) -> DnsRecordRow = DNS_RECORD_UPDATE [id], request.form();

    /// `DELETE dnsresourcerecords/{id}/`: and the name, if nothing is left on it.
    fn delete(id: DnsRecordId) -> () = DNS_RECORD_DELETE [id];
}

reply! {
    /// A record that is not an address, with its name.
    DnsRecordRow {
        /// Number.
        id: DnsRecordId,
        /// Full name without trailing dot.
        fqdn: String,
        /// Seconds; `None` means the domain's.
        ttl: Option<u32>,
        /// CNAME, MX, NS, SRV, SSHFP or TXT.
        rrtype: String,
        /// Value, e.g. `10 mail.example.com`.
        rrdata: String,
    }
}

request! {
    /// Parameters of `POST domains/`.
    CreateDomain {
        /// Name; lower case, since MAAS compares it as it stands.
        name: String,
        /// Whether MAAS serves it; it does unless told not to.
        authoritative: Option<bool>,
        /// Seconds.
        ttl: Option<u32>,
        /// Servers that are asked instead, `address[:port]`, separated by commas.
        forward_dns_servers: Option<String>,
    }

    /// Parameters of `PUT domains/{id}/`.
    UpdateDomain {
        /// Another name.
        name: Option<String>,
        /// Whether MAAS serves it.
        authoritative: Option<bool>,
        /// Seconds; an empty text unsets.
        ttl: Option<String>,
        /// Servers that are asked instead.
        forward_dns_servers: Option<String>,
    }

    /// Filters of `GET dnsresourcerecords/`.
    DnsRecordFilter {
        /// One full name.
        fqdn: Option<String>,
        /// One domain.
        domain: Option<String>,
        /// One label.
        name: Option<String>,
        /// One type.
        rrtype: Option<String>,
    }

    /// Parameters of `POST dnsresourcerecords/`; `fqdn`, or `name` with `domain`.
    CreateDnsRecord {
        /// Full name; MAAS splits it at the first dot.
        fqdn: Option<String>,
        /// Label.
        name: Option<String>,
        /// Domain.
        domain: Option<String>,
        /// CNAME, MX, NS, SRV, SSHFP or TXT.
        rrtype: String,
        /// Value.
        rrdata: String,
        /// Seconds; the domain's when absent.
        ttl: Option<u32>,
    }

    /// Parameters of `PUT dnsresourcerecords/{id}/`.
    UpdateDnsRecord {
        /// Another type.
        rrtype: Option<String>,
        /// Another value.
        rrdata: Option<String>,
        /// Seconds.
        ttl: Option<u32>,
    }
}

/// Filters of `GET dnsresources/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsFilter {
    /// Label and domain; sent as `name` and `domain`, since MAAS splits an `fqdn` at the first dot.
    pub name: Option<DnsName>,
    /// All names of one domain (ignored when `name` is given).
    pub domain: Option<String>,
    /// Only with records of this type.
    pub rrtype: Option<String>,
    /// Adds the entries MAAS makes up for machines (id −1, no addresses).
    pub all: bool,
}

impl DnsFilter {
    /// Every resource of one name.
    pub fn by_name(name: DnsName) -> Self {
        Self { name: Some(name), ..Self::default() }
    }

    fn query(&self) -> Form {
        let mut form = Form::default();
        match (&self.name, &self.domain) {
            (Some(name), _) => {
                form.push("name", &name.name);
                form.push("domain", &name.domain);
            }
            (None, Some(domain)) => form.push("domain", domain),
            (None, None) => {}
        }
        form.opt("rrtype", self.rrtype.as_ref());
        form.flag("all", self.all);
        form
    }
}

/// A new DNS resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateDnsResource {
    /// Label and domain.
    pub name: DnsName,
    /// Addresses; may be empty, then the name exists without resolving.
    pub addresses: BTreeSet<IpAddr>,
    /// Seconds; the domain's when absent.
    pub ttl: Option<u32>,
}

/// A name and what it resolves to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsResource {
    /// Number; −1 for entries MAAS makes up for machines.
    #[serde(deserialize_with = "null_default")]
    pub id: DnsResourceId,
    /// Full name without trailing dot, as somebody once spelt it.
    #[serde(deserialize_with = "null_default")]
    pub fqdn: String,
    /// Seconds; `None` means the domain's.
    pub address_ttl: Option<u32>,
    /// Address rows. One without `ip` belongs to a machine that was released: it gets another address
    /// at the next deployment and then resolves again.
    #[serde(deserialize_with = "null_default")]
    pub ip_addresses: Vec<DnsAddress>,
    /// Other records.
    #[serde(deserialize_with = "null_default")]
    pub resource_records: Vec<DnsRecord>,
}

impl DnsResource {
    /// The addresses it resolves to now.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.ip_addresses.iter().filter_map(|row| row.ip).collect()
    }

    /// Whether a row without address hangs on it (see [`DnsResource::ip_addresses`]).
    pub fn has_dormant_rows(&self) -> bool {
        self.ip_addresses.iter().any(|row| row.ip.is_none())
    }
}

/// One address row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsAddress {
    /// Address, if the row has one now.
    #[serde(deserialize_with = "address")]
    pub ip: Option<IpAddr>,
    /// 0 auto, 1 sticky, 4 user reserved, 5 DHCP, 6 discovered.
    pub alloc_type: Option<i64>,
    /// Subnet, if any fits.
    pub subnet: Option<SubnetRef>,
    /// Interfaces that carry it; empty for a row that only DNS made.
    #[serde(deserialize_with = "null_default")]
    pub interface_set: Vec<Interface>,
}

/// A record that is not an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsRecord {
    /// e.g. `TXT`; `A` and `AAAA` for the entries MAAS makes up for machines.
    #[serde(deserialize_with = "null_default")]
    pub rrtype: String,
    /// Value.
    #[serde(deserialize_with = "null_default")]
    pub rrdata: String,
    /// Machine, for the entries MAAS makes up.
    pub system_id: Option<SystemId>,
}

/// A DNS domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Domain {
    /// Number.
    #[serde(deserialize_with = "null_default")]
    pub id: DomainId,
    /// Name; MAAS compares it case-sensitively.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// Seconds; `None` means the configured default (30 s unless changed).
    pub ttl: Option<u32>,
    /// Whether MAAS serves it.
    #[serde(deserialize_with = "null_default")]
    pub authoritative: bool,
    /// Whether new machines come into it.
    #[serde(deserialize_with = "null_default")]
    pub is_default: bool,
    /// Number of records.
    #[serde(deserialize_with = "null_default")]
    pub resource_record_count: u64,
}

/// Why a text is no name MAAS can hold in a given domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsNameError {
    /// Not below the domain.
    #[error("{fqdn} is not in domain {domain}")]
    OutsideDomain {
        /// The name.
        fqdn: String,
        /// The domain.
        domain: String,
    },
    /// MAAS has no domain the name is in.
    #[error("MAAS has no domain that {fqdn} is in")]
    NoDomain {
        /// The name.
        fqdn: String,
    },
    /// The label is not valid.
    #[error("{label:?} is not a valid label in domain {domain}: {fault}")]
    Label {
        /// The label.
        label: String,
        /// The domain.
        domain: String,
        /// What is wrong.
        fault: &'static str,
    },
}

/// A name split the way MAAS needs it: one label without dots, and an existing domain. Lower case,
/// since MAAS compares domains case-sensitively.
///
/// ```
/// use maas_client::DnsName;
/// let name = DnsName::within("API.k8s.example.com.", "k8s.example.com")?;
/// assert_eq!((name.name.as_str(), name.domain.as_str()), ("api", "k8s.example.com"));
/// assert!(DnsName::within("api.k8s.example.com", "example.com").is_err());
/// # Ok::<(), maas_client::DnsNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName {
    /// Label; `@` for the domain itself, `*` as wildcard.
    pub name: String,
    /// Domain.
    pub domain: String,
}

impl DnsName {
    /// A label in a domain.
    pub fn new(label: &str, domain: &str) -> Result<Self, DnsNameError> {
        let label = label.to_ascii_lowercase();
        let domain = normal(domain);
        let fault = if label.is_empty() || label.len() > 63 {
            "1 to 63 characters are needed"
        } else if label == "@" || label == "*" {
            return Ok(Self { name: label, domain });
        } else if label.contains('.') {
            "it contains a dot; the part behind it must be a domain in MAAS"
        } else if !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            "only letters, digits and hyphens may occur"
        } else if label.starts_with('-') || label.ends_with('-') {
            "it begins or ends with a hyphen"
        } else {
            return Ok(Self { name: label, domain });
        };
        Err(DnsNameError::Label { label, domain, fault })
    }

    /// Splits a full name within a known domain; the domain itself becomes `@`.
    pub fn within(fqdn: &str, domain: &str) -> Result<Self, DnsNameError> {
        let (fqdn, domain) = (normal(fqdn), normal(domain));
        if fqdn == domain {
            return Self::new("@", &domain);
        }
        match fqdn.strip_suffix(&domain).and_then(|rest| rest.strip_suffix('.')) {
            Some(label) if !domain.is_empty() => Self::new(label, &domain),
            _ => Err(DnsNameError::OutsideDomain { fqdn, domain }),
        }
    }

    /// Splits a full name within the longest of these domains that fits.
    pub fn find(fqdn: &str, domains: &[Domain]) -> Result<Self, DnsNameError> {
        let fqdn = normal(fqdn);
        domains
            .iter()
            .map(|domain| normal(&domain.name))
            .filter(|domain| fqdn == *domain || fqdn.ends_with(&format!(".{domain}")))
            .max_by_key(String::len)
            .map_or(Err(DnsNameError::NoDomain { fqdn: fqdn.clone() }), |domain| Self::within(&fqdn, &domain))
    }

    /// The full name, without trailing dot.
    pub fn fqdn(&self) -> String {
        if self.name == "@" { self.domain.clone() } else { format!("{}.{}", self.name, self.domain) }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.fqdn())
    }
}

fn normal(name: &str) -> String {
    name.trim().trim_end_matches('.').to_ascii_lowercase()
}

/// MAAS wants one string; a repeated field would keep only its last value.
fn joined(addresses: &BTreeSet<IpAddr>) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// [`DnsResources`] over HTTP; made by [`Client::dns_resources`], cheap to clone.
#[derive(Clone, Debug)]
pub struct DnsResourcesClient(pub(crate) Client);

#[async_trait]
impl DnsResources for DnsResourcesClient {
    async fn list(&self, filter: &DnsFilter) -> Result<Vec<DnsResource>> {
        self.0.json(Call::new(&operation::DNS_LIST).query(filter.query())).await
    }

    async fn read(&self, id: DnsResourceId) -> Result<DnsResource> {
        self.0.json(Call::new(&operation::DNS_READ).id(id)).await
    }

    async fn create(&self, request: &CreateDnsResource) -> Result<DnsResource> {
        let mut form = Form::default();
        form.push("name", &request.name.name);
        form.push("domain", &request.name.domain);
        if !request.addresses.is_empty() {
            form.push("ip_addresses", joined(&request.addresses));
        }
        form.opt("address_ttl", request.ttl);
        self.0.json(Call::new(&operation::DNS_CREATE).form(form)).await
    }

    async fn update_addresses(
        &self,
        id: DnsResourceId,
        addresses: &BTreeSet<IpAddr>,
        ttl: Option<u32>,
    ) -> Result<DnsResource> {
        if id.0 < 0 {
            return Err(Error::invalid_request(
                &operation::DNS_UPDATE,
                "entries MAAS makes up for machines can't be changed",
            ));
        }
        let mut form = Form::default();
        // always sent, also when empty: without the field MAAS keeps only the last address
        form.push("ip_addresses", joined(addresses));
        form.opt("address_ttl", ttl);
        self.0.json(Call::new(&operation::DNS_UPDATE).id(id).form(form)).await
    }

    async fn delete(&self, id: DnsResourceId) -> Result<()> {
        self.0.done(Call::new(&operation::DNS_DELETE).id(id)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_the_domain_and_not_at_the_first_dot() {
        let domain = |name: &str| Domain { name: name.into(), ..Default::default() };
        let domains = [domain("example.com"), domain("k8s.example.com"), domain("maas")];
        for (fqdn, expected) in [
            ("api.k8s.example.com", Ok(("api", "k8s.example.com"))),
            ("API.K8S.Example.com.", Ok(("api", "k8s.example.com"))),
            ("api.example.com", Ok(("api", "example.com"))),
            ("k8s.example.com", Ok(("@", "k8s.example.com"))),
            ("*.maas", Ok(("*", "maas"))),
            ("a.b.example.com", Err("dot")),
            ("bad_name.maas", Err("hyphens")),
            ("-x.maas", Err("hyphen")),
            (".maas", Err("1 to 63")),
            ("notmaas", Err("no domain")),
            ("api.other", Err("no domain")),
        ] {
            match (DnsName::find(fqdn, &domains), expected) {
                (Ok(name), Ok((label, domain))) => {
                    assert_eq!((name.name.as_str(), name.domain.as_str()), (label, domain), "{fqdn}");
                }
                (Err(error), Err(words)) => {
                    assert!(error.to_string().contains(words), "{fqdn}: {error}")
                }
                (got, _) => panic!("{fqdn}: {got:?}"),
            }
        }
        assert_eq!(DnsName::within("maas", "maas").unwrap().fqdn(), "maas");
        assert!(DnsName::within("api.other", "maas").is_err());
    }
}
