//! Zones, resource pools and tags: where machines are and how they are grouped (fact sheet §2.6).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Client;
use crate::call::Call;
use crate::error::Result;
use crate::ids::{PoolId, ZoneId};
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

/// Tags: `tags/`.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Tags: Send + Sync {
    /// `GET tags/`.
    async fn list(&self) -> Result<Vec<Tag>>;
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

/// [`Tags`] over HTTP; made by [`Client::tags`].
#[derive(Clone, Debug)]
pub struct TagsClient(pub(crate) Client);

#[async_trait]
impl Tags for TagsClient {
    async fn list(&self) -> Result<Vec<Tag>> {
        self.0.json(Call::new(&operation::TAGS_LIST)).await
    }
}
