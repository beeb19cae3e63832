//! What this MAAS can do, asked once.

use std::collections::BTreeSet;
use std::fmt;

use crate::call::Call;
use crate::client::Client;
use crate::error::Result;
use crate::operation::{self, Operation};
use crate::region::Version;

/// Version and feature words of a MAAS, as [`Client::capabilities`] found them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    version: Version,
}

impl Capabilities {
    /// What `version/` answered.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Feature words.
    pub fn words(&self) -> &BTreeSet<String> {
        &self.version.capabilities
    }

    /// Whether this MAAS has the operation. A version that can't be read has all.
    pub fn supports(&self, operation: &Operation) -> bool {
        self.version.major_minor().is_none_or(|version| operation.exists_in(version))
    }

    /// Reserved addresses by hardware address (3.6+).
    pub fn reserved_ips(&self) -> bool {
        self.supports(&operation::RESERVED_IPS_LIST)
    }

    /// VM hosts and composed machines (up to 3.8): allocate may compose a VM there.
    pub fn vm_hosts(&self) -> bool {
        self.supports(&operation::VM_HOSTS_LIST)
    }

    /// User groups and OIDC (3.8+).
    pub fn groups(&self) -> bool {
        self.supports(&operation::GROUPS_LIST)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MAAS {}", self.version)
    }
}

impl Client {
    /// Version and capabilities of this MAAS: `GET version/`, asked once per client and its clones.
    ///
    /// Calls of operations that not every supported version has ask by themselves, and fail before
    /// sending ([`crate::ErrorKind::Unsupported`]) where this MAAS lacks them. A failed question is asked
    /// again by the next call; after an upgrade of MAAS make a new client.
    pub async fn capabilities(&self) -> Result<&Capabilities> {
        self.known_capabilities()
            .get_or_try_init(|| async {
                let version = self.json(Call::new(&operation::VERSION_READ)).await?;
                Ok(Capabilities { version })
            })
            .await
    }
}
