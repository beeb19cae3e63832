//! Zones, resource pools and tags: where machines are and how they are grouped (fact sheet §2.6).

use serde::{Deserialize, Serialize};

use crate::define::{reply, request, service};
use crate::ids::{PoolId, SystemId, ZoneId};
use crate::machine::{Machine, null_default};

service! {
    /// Availability zones: `zones/`. With feature `mock` there is `MockZones`.
    Zones by ZonesClient;

    /// `GET zones/`.
    fn list() -> Vec<Zone> = ZONES_LIST;

    /// `GET zones/{name}/`.
    fn read(&name: str) -> Zone = ZONE_READ [name];

    /// `POST zones/` (admin).
    fn create(&request: CreatePlace) -> Zone = ZONES_CREATE, request.form();

    /// `PUT zones/{name}/` (admin): what is left out stays.
    fn update(&name: str, &request: UpdatePlace) -> Zone = ZONE_UPDATE [name], request.form();

    /// `DELETE zones/{name}/` (admin). One that does not exist is success as well; the default one is
    /// `Validation`.
    fn delete(&name: str) -> () = ZONE_DELETE [name];
}

service! {
    /// Resource pools: `resourcepools/` and `resourcepool/{id}/`. With feature `mock` there is `MockPools`.
    Pools by PoolsClient;

    /// `GET resourcepools/`.
    fn list() -> Vec<Pool> = POOLS_LIST;

    /// `GET resourcepool/{id}/`: by number or name.
    fn read(&pool: str) -> Pool = POOL_READ [pool];

    /// `POST resourcepools/` (admin).
    fn create(&request: CreatePlace) -> Pool = POOLS_CREATE, request.form();

    /// `PUT resourcepool/{id}/` (admin): what is left out stays.
    fn update(&pool: str, &request: UpdatePlace) -> Pool = POOL_UPDATE [pool], request.form();

    /// `DELETE resourcepool/{id}/` (admin). The default one and those with machines are `Validation`.
    fn delete(&pool: str) -> () = POOL_DELETE [pool];
}

service! {
    /// Tags: `tags/`. With feature `mock` there is `MockTags`.
    Tags by TagsClient;

    /// `GET tags/`.
    fn list() -> Vec<Tag> = TAGS_LIST;

    /// `POST tags/` (admin). A name that exists is `Validation` on `name`.
    fn create(&request: CreateTag) -> Tag = TAGS_CREATE, request.form();

    /// `GET tags/{name}/`.
    fn read(&name: str) -> Tag = TAG_READ [name];

    /// `PUT tags/{name}/` (admin): what is left out stays.
    fn update(&name: str, &request: UpdateTag) -> Tag = TAG_UPDATE [name], request.form();

    /// `DELETE tags/{name}/` (admin).
    fn delete(&name: str) -> () = TAG_DELETE [name];

    /// `GET tags/{name}/?op=machines`: whole machines, as costly as a list of them.
    fn machines(&name: str) -> Vec<Machine> = TAG_MACHINES [name];

    /// `POST tags/{name}/?op=update_nodes` (admin): gives the tag to machines and takes it from others, in
    /// one call. Ids MAAS does not know are skipped without a word: compare the numbers it answers.
    fn update_machines(&name: str, &change: TagMembers) -> TagChange = TAG_UPDATE_NODES [name], change.form();
}

request! {
    /// Parameters of `POST zones/` and `POST resourcepools/`.
    CreatePlace {
        /// Name: a word character first, then word characters, blanks and `-`.
        name: String,
        /// Free text.
        description: Option<String>,
    }

    /// Parameters of `PUT zones/{name}/` and `PUT resourcepool/{id}/`.
    UpdatePlace {
        /// Another name.
        name: Option<String>,
        /// Free text.
        description: Option<String>,
    }

    /// Parameters of `PUT tags/{name}/`.
    UpdateTag {
        /// Another name.
        name: Option<String>,
        /// Free text.
        comment: Option<String>,
        /// XPath over the hardware listing.
        definition: Option<String>,
    }

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
