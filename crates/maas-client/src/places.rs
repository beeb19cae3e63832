//! Zones, resource pools and tags: where machines are and how they are grouped (fact sheet §2.6).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Client;
use crate::call::Call;
use crate::define::{reply, request, service};
use crate::error::Result;
use crate::ids::{PoolId, SystemId, ZoneId};
use crate::machine::null_default;
use crate::operation;

/// Availability zones: `zones/`.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Zones: Send + Sync {
    /// `GET zones/`.
    async fn list(&self) -> Result<Vec<Zone>>;
}

/// Resource pools: `resourcepools/`.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Pools: Send + Sync {
    /// `GET resourcepools/`.
    async fn list(&self) -> Result<Vec<Pool>>;
}

service! {
    /// Tags: `tags/`. With feature `mock` there is `MockTags`.
    Tags by TagsClient;

    /// `GET tags/`.
    fn list() -> Vec<Tag> = TAGS_LIST;

    /// `POST tags/` (admin). A name that exists is `Validation` on `name`.
    fn create(&request: CreateTag) -> Tag = TAGS_CREATE, request.form();

    /// `POST tags/{name}/?op=update_nodes` (admin): gives the tag to machines and takes it from others, in
    /// one call. Ids MAAS does not know are skipped without a word: compare the numbers it answers.
    fn update_machines(&name: str, &change: TagMembers) -> TagChange = TAG_UPDATE_NODES [name], change.form();
}

request! {
    /// Parameters of `POST tags/`.
    CreateTag {
        /// Name: letters, digits, `_`, `-`.
        name: String,
        /// Free text.
        comment: Option<String>,
        /// XPath over the hardware listing; MAAS then keeps the tag itself.
        definition: Option<String>,
        /// Kernel options a machine with the tag boots with.
        kernel_opts: Option<String>,
    }

    /// Which machines get a tag and which lose it; at most 500 together in one call.
    TagMembers {
        /// Get it.
        add: Vec<SystemId>,
        /// Lose it.
        remove: Vec<SystemId>,
    }
}

reply! {
    /// How many machines got and lost a tag.
    TagChange {
        /// Got it.
        added: u64,
        /// Lost it.
        removed: u64,
    }
}

/// An availability zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Zone {
    /// Number.
    #[serde(deserialize_with = "null_default")]
    pub id: ZoneId,
    /// Name: the key in calls.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// Free text.
    #[serde(deserialize_with = "null_default")]
    pub description: String,
}

/// A resource pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pool {
    /// Number.
    #[serde(deserialize_with = "null_default")]
    pub id: PoolId,
    /// Name: the key in filters and constraints.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// Free text.
    #[serde(deserialize_with = "null_default")]
    pub description: String,
}

/// A tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tag {
    /// Name: letters, digits, `_`, `-`.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// XPath over the hardware listing; empty for tags set by hand.
    #[serde(deserialize_with = "null_default")]
    pub definition: String,
    /// Free text.
    #[serde(deserialize_with = "null_default")]
    pub comment: String,
    /// Kernel options a machine with the tag boots with.
    #[serde(deserialize_with = "null_default")]
    pub kernel_opts: String,
}

/// [`Zones`] over HTTP; made by [`Client::zones`].
#[derive(Clone, Debug)]
pub struct ZonesClient(pub(crate) Client);

#[async_trait]
impl Zones for ZonesClient {
    async fn list(&self) -> Result<Vec<Zone>> {
        self.0.json(Call::new(&operation::ZONES_LIST)).await
    }
}

/// [`Pools`] over HTTP; made by [`Client::pools`].
#[derive(Clone, Debug)]
pub struct PoolsClient(pub(crate) Client);

#[async_trait]
impl Pools for PoolsClient {
    async fn list(&self) -> Result<Vec<Pool>> {
        self.0.json(Call::new(&operation::POOLS_LIST)).await
    }
}
