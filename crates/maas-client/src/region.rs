//! The region itself: version, users, events (fact sheet §1.1, §2.9, §2.10).

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Client;
use crate::call::Call;
use crate::error::Result;
use crate::form::Form;
use crate::ids::{EventId, SystemId};
use crate::machine::null_default;
use crate::operation;

/// What this MAAS is: `version/`.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Versions: Send + Sync {
    /// `GET version/`: answers without a valid key too.
    async fn read(&self) -> Result<Version>;
}

/// Events: `events/`.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Events: Send + Sync {
    /// `GET events/?op=query`, newest first.
    async fn query(&self, filter: &EventFilter) -> Result<Vec<Event>>;
}

/// Version and abilities of a MAAS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// e.g. `3.6.2`, `3.7.0~rc1`, `2.5.0 from source`.
    #[serde(deserialize_with = "null_default")]
    pub version: String,
    /// Build; empty on new servers.
    #[serde(deserialize_with = "null_default")]
    pub subversion: String,
    /// Feature words.
    #[serde(deserialize_with = "null_default")]
    pub capabilities: BTreeSet<String>,
}

impl Version {
    /// The first two numbers, e.g. `(3, 7)`; none when the text does not begin with them.
    pub fn major_minor(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.split(|c: char| !c.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.version)
    }
}

/// A MAAS user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Name, as `owner` of machines shows it.
    #[serde(deserialize_with = "null_default")]
    pub username: String,
    /// Address.
    #[serde(deserialize_with = "null_default")]
    pub email: String,
    /// Administrator.
    #[serde(deserialize_with = "null_default")]
    pub is_superuser: bool,
    /// Signs in with a password of MAAS's own.
    #[serde(deserialize_with = "null_default")]
    pub is_local: bool,
}

/// Importance of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventLevel {
    /// Status changes and other detail.
    Debug,
    /// The default.
    Info,
    /// Warnings.
    Warning,
    /// Errors.
    Error,
    /// Critical errors.
    Critical,
    /// Who did what.
    Audit,
}

impl EventLevel {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
            Self::Audit => "AUDIT",
        }
    }
}

/// Filters of `GET events/?op=query`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Machines, by system_id.
    pub ids: Vec<SystemId>,
    /// Host names.
    pub hostname: Vec<String>,
    /// Hardware addresses of interfaces.
    pub mac_address: Vec<String>,
    /// Domains, by name.
    pub domain: Vec<String>,
    /// Zone, by name (one value).
    pub zone: Option<String>,
    /// Token of an allocation.
    pub agent_name: Option<String>,
    /// User who *acted*, not the machine's owner.
    pub owner: Option<String>,
    /// This level and above; INFO when absent.
    pub level: Option<EventLevel>,
    /// At most 1000; 100 when absent.
    pub limit: Option<u32>,
    /// Only above this number: the *oldest* `limit` of them. Not together with `before`.
    pub after: Option<EventId>,
    /// Only below this number.
    pub before: Option<EventId>,
}

impl EventFilter {
    fn query(&self) -> Form {
        let mut form = Form::default();
        form.all("id", &self.ids);
        form.all("hostname", &self.hostname);
        form.all("mac_address", &self.mac_address);
        form.all("domain", &self.domain);
        form.opt("zone", self.zone.as_ref());
        form.opt("agent_name", self.agent_name.as_ref());
        form.opt("owner", self.owner.as_ref());
        form.opt("level", self.level.map(EventLevel::as_str));
        form.opt("limit", self.limit);
        form.opt("after", self.after);
        form.opt("before", self.before);
        form
    }
}

/// Something that happened to a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Number.
    #[serde(deserialize_with = "null_default")]
    pub id: EventId,
    /// `system_id` of the machine.
    #[serde(deserialize_with = "null_default")]
    pub node: SystemId,
    /// Its host name.
    #[serde(deserialize_with = "null_default")]
    pub hostname: String,
    /// Who acted; empty for the system.
    #[serde(deserialize_with = "null_default")]
    pub username: String,
    /// e.g. `INFO`.
    #[serde(deserialize_with = "null_default")]
    pub level: String,
    /// When, as MAAS prints it (`Fri, 07 Dec. 2018 20:11:08`).
    #[serde(deserialize_with = "null_default")]
    pub created: String,
    /// Kind of event, e.g. `Deployed`.
    #[serde(rename = "type", deserialize_with = "null_default")]
    pub kind: String,
    /// Details.
    #[serde(deserialize_with = "null_default")]
    pub description: String,
}

#[derive(Deserialize)]
struct EventsReply {
    events: Vec<Event>,
}

/// [`Versions`] over HTTP; made by [`Client::version`].
#[derive(Clone, Debug)]
pub struct VersionsClient(pub(crate) Client);

#[async_trait]
impl Versions for VersionsClient {
    async fn read(&self) -> Result<Version> {
        self.0.json(Call::new(&operation::VERSION_READ)).await
    }
}

/// [`Events`] over HTTP; made by [`Client::events`].
#[derive(Clone, Debug)]
pub struct EventsClient(pub(crate) Client);

#[async_trait]
impl Events for EventsClient {
    async fn query(&self, filter: &EventFilter) -> Result<Vec<Event>> {
        let reply: EventsReply = self.0.json(Call::new(&operation::EVENTS_QUERY).query(filter.query())).await?;
        Ok(reply.events)
    }
}
