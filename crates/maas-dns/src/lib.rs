//! Makes the address set of one MAAS DNS name equal a wanted set.
//!
//! # What it is
//! Three functions over [`maas_client::DnsResources`]: [`read`] what a name resolves to, [`ensure`]
//! that it is exactly the wanted set, [`remove`] it. They compare sets and write only differences;
//! calling them again changes nothing. They know the oddities of MAAS: several resources may carry one
//! name, a PUT replaces the whole set, rows of released machines come back to life.
//!
//! # What it is not
//! No policy. *Which* addresses belong to a name, which are foreign and stay, and when the last one may
//! go is the caller's decision, who reads, decides and passes the complete set. It never empties a set
//! that it was not told to empty, and keeps records that are not addresses (TXT, MX, …).
//!
//! # How data flows
//! ```text
//! wanted ─► ensure ─► list by name ─► same? ── yes ─► Outcome { written: false }
//!                                       └ no ─► create, or PUT the complete list on the lowest id,
//!                                               then empty and delete duplicates ─► Outcome { written: true }
//! ```
//! One writer per name is assumed: MAAS has no preconditions, the last writer wins.
//!
//! # Example
//! ```
//! use std::collections::BTreeSet;
//! use maas_client::{DnsName, DnsResource, DnsAddress, DnsResourceId, DnsResources};
//! # struct Maas;
//! # #[async_trait::async_trait]
//! # impl DnsResources for Maas {
//! #     async fn list(&self, _: &maas_client::DnsFilter) -> maas_client::Result<Vec<DnsResource>> { Ok(vec![]) }
//! #     async fn read(&self, _: DnsResourceId) -> maas_client::Result<DnsResource> { unreachable!() }
//! #     async fn create(&self, new: &maas_client::CreateDnsResource) -> maas_client::Result<DnsResource> {
//! #         let ip_addresses = new.addresses.iter().map(|ip| DnsAddress { ip: Some(*ip), ..Default::default() }).collect();
//! #         Ok(DnsResource { id: DnsResourceId(1), fqdn: new.name.fqdn(), ip_addresses, ..Default::default() })
//! #     }
//! #     async fn update_addresses(&self, _: DnsResourceId, _: &BTreeSet<std::net::IpAddr>, _: Option<u32>) -> maas_client::Result<DnsResource> { unreachable!() }
//! #     async fn delete(&self, _: DnsResourceId) -> maas_client::Result<()> { unreachable!() }
//! # }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // a real one: Client::builder(url, key)?.build()?.dns_resources()
//!     let maas = Maas;
//!     let name = DnsName::within("api.k8s.example.com", "k8s.example.com")?;
//!     let wanted = BTreeSet::from(["10.10.0.11".parse()?, "10.10.0.12".parse()?]);
//!     let outcome = maas_dns::ensure(&maas, &name, &wanted, Some(30)).await?;
//!     assert!(outcome.written);
//!     assert_eq!(outcome.resource.addresses(), wanted);
//!     Ok(())
//! }
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;

use maas_client::{CreateDnsResource, DnsFilter, DnsName, DnsResource, DnsResourceId, DnsResources, ErrorKind};

#[cfg(test)]
mod tests;

/// Why a name could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// MAAS has no such domain.
    #[error("MAAS has no DNS domain {domain}: create it, or choose another domain")]
    UnknownDomain {
        /// The domain.
        domain: String,
        /// MAAS's answer.
        source: maas_client::Error,
    },
    /// A call failed.
    #[error("DNS name {name}: {source}")]
    Maas {
        /// Full name.
        name: String,
        /// The failed call.
        source: maas_client::Error,
    },
}

impl Error {
    /// What MAAS's answer was.
    pub fn kind(&self) -> ErrorKind {
        self.maas().kind()
    }

    /// The failed call.
    pub fn maas(&self) -> &maas_client::Error {
        match self {
            Self::UnknownDomain { source, .. } | Self::Maas { source, .. } => source,
        }
    }
}

/// Result of a function here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What [`ensure`] found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The one resource that carries the name now.
    pub resource: DnsResource,
    /// Whether MAAS was written to.
    pub written: bool,
}

/// What a name resolves to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The resources that carry the name, lowest first: normally one.
    pub ids: Vec<DnsResourceId>,
    /// All their addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// TTL of the first in seconds; `None` means the domain's.
    pub ttl: Option<u32>,
}

/// Reads what a name resolves to; `None` if no resource carries it.
pub async fn read<R: DnsResources + ?Sized>(resources: &R, name: &DnsName) -> Result<Option<Published>> {
    let found = find(resources, name).await?;
    let Some(first) = found.first() else {
        return Ok(None);
    };
    Ok(Some(Published {
        ttl: first.address_ttl,
        ids: found.iter().map(|resource| resource.id).collect(),
        addresses: found.iter().flat_map(DnsResource::addresses).collect(),
    }))
}

/// Makes a name resolve to exactly these addresses; an empty set makes a name that exists without
/// resolving. A `ttl` of `None` leaves the TTL as it is. Nothing differs → nothing is written.
///
/// If several resources carry the name, the lowest id gets the set first, so that the name resolves
/// throughout; the others are emptied and deleted (kept, without addresses, if they hold other
/// records). A row without address counts as a difference: it belongs to a released machine and would
/// resolve again, to whatever that machine is used for next.
pub async fn ensure<R: DnsResources + ?Sized>(
    resources: &R,
    name: &DnsName,
    wanted: &BTreeSet<IpAddr>,
    ttl: Option<u32>,
) -> Result<Outcome> {
    let mut found = find(resources, name).await?.into_iter();
    let Some(kept) = found.next() else {
        let request = CreateDnsResource { name: name.clone(), addresses: wanted.clone(), ttl };
        let resource = resources.create(&request).await.map_err(|source| failed(name, source))?;
        tracing::info!(%name, ?wanted, "DNS name created");
        return Ok(Outcome { resource, written: true });
    };
    let ttl_differs = ttl.is_some() && ttl != kept.address_ttl;
    let mut written = false;
    let resource = if kept.addresses() != *wanted || kept.has_dormant_rows() || ttl_differs {
        written = true;
        tracing::info!(%name, had = ?kept.addresses(), ?wanted, "DNS name changed");
        resources.update_addresses(kept.id, wanted, ttl).await.map_err(|source| failed(name, source))?
    } else {
        kept
    };
    for duplicate in found {
        written |= dissolve(resources, name, &duplicate).await?;
    }
    Ok(Outcome { resource, written })
}

/// Makes a name not resolve any more; true if something was written. Resources with other records
/// stay, without addresses. An unknown name or domain is fine.
pub async fn remove<R: DnsResources + ?Sized>(resources: &R, name: &DnsName) -> Result<bool> {
    let found = match find(resources, name).await {
        Err(Error::UnknownDomain { .. }) => return Ok(false),
        found => found?,
    };
    let mut written = false;
    for resource in found {
        written |= dissolve(resources, name, &resource).await?;
    }
    if written {
        tracing::info!(%name, "DNS name removed");
    }
    Ok(written)
}

/// Empties a resource, then deletes it unless it holds other records. Emptied first because MAAS 3.6.1
/// deletes addresses along with a resource even where another one uses them.
async fn dissolve<R: DnsResources + ?Sized>(resources: &R, name: &DnsName, resource: &DnsResource) -> Result<bool> {
    let mut written = false;
    if !resource.ip_addresses.is_empty() {
        match resources.update_addresses(resource.id, &BTreeSet::new(), None).await {
            Ok(_) => written = true,
            Err(error) if error.is_not_found() => return Ok(false),
            Err(source) => return Err(failed(name, source)),
        }
    }
    if resource.resource_records.is_empty() {
        match resources.delete(resource.id).await {
            Ok(()) => written = true,
            Err(error) if error.is_not_found() => {}
            Err(source) => return Err(failed(name, source)),
        }
    }
    Ok(written)
}

/// The resources that carry a name, lowest id first, without those MAAS makes up for machines.
async fn find<R: DnsResources + ?Sized>(resources: &R, name: &DnsName) -> Result<Vec<DnsResource>> {
    let found = resources.list(&DnsFilter::by_name(name.clone())).await;
    let mut found = found.map_err(|source| failed(name, source))?;
    let fqdn = name.fqdn();
    found.retain(|resource| resource.id.0 >= 0 && resource.fqdn.eq_ignore_ascii_case(&fqdn));
    found.sort_by_key(|resource| resource.id);
    Ok(found)
}

fn failed(name: &DnsName, source: maas_client::Error) -> Error {
    // the resource itself is never what a list or create misses
    let misses_domain = source.is_not_found() && source.message().contains("Domain");
    if misses_domain {
        Error::UnknownDomain { domain: name.domain.clone(), source }
    } else {
        Error::Maas { name: name.fqdn(), source }
    }
}
