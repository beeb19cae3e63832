//! One MAAS and one key: connecting, and the reads.

mod story;

use std::collections::BTreeSet;
use std::sync::Arc;

use capi_types::SystemId;
use capmaas_reconcile::fleet::Seq;
use capmaas_reconcile::host::{Holder, HostPhase, HostView};
use capmaas_reconcile::names::{DnsName, Token};
use capmaas_reconcile::placement::{Constraints, Survey, explain};
use capmaas_reconcile::provider::{Fault, Refusal};
use capmaas_reconcile::stores::{Fact, PoolSight, RegionFacts};
use jiff::Timestamp;
use maas_client::{
    BootResources, Client, DnsResources, Domains, Error, ErrorKind, Events, Machine, MachineFilter, MachineStatus,
    Machines, PowerState, Results, Tags, Users, Versions, Zones,
};

use crate::fault::{Doing, fault, rejected, short, words};
use crate::lanes::Lanes;
use crate::rules::{matching, refusal};
use crate::status::{hardware, host_view};
use crate::watcher::Query;

/// The groups of MAAS calls that a region needs; mocks in tests, else [`Services::from`] a client.
#[derive(Clone)]
pub struct Services {
    /// `machines/`
    pub machines: Arc<dyn Machines>,
    /// `dnsresources/`
    pub dns_resources: Arc<dyn DnsResources>,
    /// `domains/`
    pub domains: Arc<dyn Domains>,
    /// `zones/`
    pub zones: Arc<dyn Zones>,
    /// `users/`
    pub users: Arc<dyn Users>,
    /// `version/`
    pub versions: Arc<dyn Versions>,
    /// `events/`
    pub events: Arc<dyn Events>,
    /// `nodes/{system_id}/results/`
    pub results: Arc<dyn Results>,
    /// `tags/`
    pub tags: Arc<dyn Tags>,
    /// `boot-resources/`
    pub boot_resources: Arc<dyn BootResources>,
}

impl From<Client> for Services {
    fn from(client: Client) -> Self {
        Self {
            machines: Arc::new(client.machines()),
            dns_resources: Arc::new(client.dns_resources()),
            domains: Arc::new(client.domains()),
            zones: Arc::new(client.zones()),
            users: Arc::new(client.users()),
            versions: Arc::new(client.version()),
            events: Arc::new(client.events()),
            results: Arc::new(client.results()),
            tags: Arc::new(client.tags()),
            boot_resources: Arc::new(client.boot_resources()),
        }
    }
}

/// Why a region can't be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConnectError {
    /// MAAS does not accept the key: somebody has to change it. The text says what to do and never holds the secret.
    #[error("{0}")]
    Refused(String),
    /// Not reachable, or not answering like a MAAS; may pass.
    #[error("{0}")]
    Down(String),
}

/// See [`ConnectError::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// Another key is needed.
    Refused,
    /// Time may help.
    Down,
}

impl ConnectError {
    /// Which of the two.
    pub fn kind(&self) -> ConnectErrorKind {
        match self {
            Self::Refused(_) => ConnectErrorKind::Refused,
            Self::Down(_) => ConnectErrorKind::Down,
        }
    }

    fn of(error: &Error) -> Self {
        let said = words(error);
        match error.kind() {
            ErrorKind::Auth => Self::Refused(short(format!(
                "{said}; check MAAS_API_KEY: make a key in MAAS (Preferences, API keys) and put it in as consumer:token:secret"
            ))),
            ErrorKind::Permission => Self::Refused(short(format!(
                "the MAAS user of MAAS_API_KEY may not use the API: {said}; use the key of an active user"
            ))),
            ErrorKind::ClockSkew => {
                Self::Down(short(format!("MAAS refuses our requests: {said}; set the clocks right (NTP)")))
            }
            ErrorKind::WrongEndpoint | ErrorKind::Redirect | ErrorKind::Decode => {
                Self::Down(short(format!("MAAS_ENDPOINT does not lead to a MAAS API: {said}")))
            }
            _ => Self::Down(short(format!("MAAS can't be used: {said}"))),
        }
    }
}

/// One MAAS, used with one key. Requests share its lanes, so there should be one per region and process.
pub struct MaasRegion {
    pub(crate) services: Services,
    pub(crate) lanes: Lanes,
    pub(crate) user: String,
}

impl std::fmt::Debug for MaasRegion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaasRegion").field("user", &self.user).finish_non_exhaustive()
    }
}

impl MaasRegion {
    /// Asks MAAS for its version and for who we are (`version/`, `users/?op=whoami`).
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn connect(services: impl Into<Services>) -> Result<(Self, RegionFacts), ConnectError> {
        let mut region = Self { services: services.into(), lanes: Lanes::default(), user: String::new() };
        let facts = region.probe().await?;
        region.user.clone_from(&facts.user);
        Ok((region, facts))
    }

    /// Asks the same again: is it still there, and what may our user do now?
    ///
    /// # Errors
    /// [`ConnectError`]; also when the key belongs to another user now, since ownership is judged by user.
    pub async fn probe(&self) -> Result<RegionFacts, ConnectError> {
        let _leave = self.lanes.any().await;
        let version = self.services.versions.read().await.map_err(|e| ConnectError::of(&e))?;
        let user = self.services.users.whoami().await.map_err(|e| ConnectError::of(&e))?;
        if user.username.is_empty() {
            return Err(ConnectError::Down("MAAS does not say which user the API key belongs to".to_owned()));
        }
        if !self.user.is_empty() && self.user != user.username {
            let message = format!(
                "the MAAS user of the key was renamed from {} to {}: connecting anew",
                self.user, user.username
            );
            return Err(ConnectError::Down(message));
        }
        Ok(RegionFacts { user: user.username, is_admin: user.is_superuser, version: version.version })
    }

    /// Does one read of the watcher's. `sent` is the number that the fleet store gave for it before, `asked` the time then.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] mostly. A refusal of constraints is no fault but a fact ([`PoolSight::Refused`]).
    pub async fn read(&self, query: &Query, sent: Seq, asked: Timestamp) -> Result<Vec<Fact>, Fault> {
        match query {
            Query::Hosts(ids) | Query::Sweep(ids) => self.by_id(ids, sent).await,
            Query::InFlight { expected } => {
                let filter = MachineFilter {
                    owner: vec![self.user.clone()],
                    not_status: vec![MachineStatus::Ready, MachineStatus::Deployed],
                    ..Default::default()
                };
                self.expecting(&filter, expected, sent).await
            }
            Query::Lost { expected } => {
                let filter = MachineFilter {
                    owner: vec![self.user.clone()],
                    status: vec![MachineStatus::Deployed],
                    power_state: vec![PowerState::Off, PowerState::Error, PowerState::Unknown],
                    ..Default::default()
                };
                self.expecting(&filter, expected, sent).await
            }
            Query::Token(token) => self.token(token, sent, asked).await,
            Query::Story(id) => self.story(id).await,
            Query::Unmarked => self.unmarked(sent).await,
            Query::Whose { strays, tokens } => self.whose(strays, tokens, asked).await,
            Query::Pool(constraints) => self.pool(constraints, sent).await,
            Query::Explanation(constraints) => {
                let survey = self.survey(constraints).await.map_err(|e| fault(Doing::Read, &e))?;
                Ok(vec![Fact::Explanation(constraints.clone(), explain(constraints, &survey))])
            }
            Query::Hardware(constraints) => self.hardware(constraints).await,
            Query::Name(name) => self.name(name, sent).await,
            Query::Domains => {
                let _leave = self.lanes.any().await;
                let domains = self.services.domains.list().await.map_err(|e| fault(Doing::Read, &e))?;
                Ok(vec![Fact::Domains(domains.into_iter().map(|d| d.name).collect())])
            }
            Query::Zones => {
                let _leave = self.lanes.any().await;
                let zones = self.services.zones.list().await.map_err(|e| fault(Doing::Read, &e))?;
                Ok(vec![Fact::Zones(zones.into_iter().map(|z| z.name).collect())])
            }
        }
    }

    /// One machine in our terms.
    pub(crate) fn view(&self, machine: &Machine) -> Result<HostView, Fault> {
        host_view(machine, &self.user).map_err(|e| Fault::Unavailable { message: e.to_string() })
    }

    async fn list(&self, filter: &MachineFilter) -> Result<Vec<HostView>, Error> {
        let _leave = self.lanes.any().await;
        let machines = self.services.machines.list(filter).await?;
        let views = machines.iter().filter_map(|machine| match host_view(machine, &self.user) {
            Ok(view) => Some(view),
            Err(error) => {
                tracing::warn!(%error, hostname = %machine.hostname, "machine left out");
                None
            }
        });
        Ok(views.collect())
    }

    /// The only kind of read whose silence is evidence.
    async fn by_id(&self, ids: &BTreeSet<SystemId>, sent: Seq) -> Result<Vec<Fact>, Fault> {
        // An id that MAAS can't have is not asked for, and so is gone. Without any id the list would be unfiltered.
        let known: Vec<maas_client::SystemId> = ids.iter().filter_map(|id| id.as_str().parse().ok()).collect();
        let views = match known.is_empty() {
            true => Vec::new(),
            false => self.list(&MachineFilter::by_ids(known)).await.map_err(|e| fault(Doing::Read, &e))?,
        };
        let found: BTreeSet<_> = views.iter().map(|view| view.id.clone()).collect();
        let gone = ids.difference(&found).map(|id| Fact::HostGone(id.clone(), sent));
        Ok(hosts(views.clone(), sent).chain(gone).collect())
    }

    /// A filtered list, and by id those that were expected in it and are not. Both parts carry the number of the first: that is
    /// the careful side.
    async fn expecting(
        &self,
        filter: &MachineFilter,
        expected: &BTreeSet<SystemId>,
        sent: Seq,
    ) -> Result<Vec<Fact>, Fault> {
        let views = self.list(filter).await.map_err(|e| fault(Doing::Read, &e))?;
        let found: BTreeSet<_> = views.iter().map(|view| view.id.clone()).collect();
        let missing: BTreeSet<_> = expected.difference(&found).cloned().collect();
        let mut facts: Vec<_> = hosts(views, sent).collect();
        facts.extend(self.by_id(&missing, sent).await?);
        Ok(facts)
    }

    async fn token(&self, token: &Token, sent: Seq, asked: Timestamp) -> Result<Vec<Fact>, Fault> {
        let views =
            self.list(&MachineFilter::by_agent_name(token.as_str())).await.map_err(|e| fault(Doing::Read, &e))?;
        // A box that another user holds, or that bears another claim's marks, can't be ours whatever its agent_name says.
        let ours = |view: &&HostView| match &view.holder {
            Holder::Us(mark) => mark.as_ref().is_none_or(|mark| mark == token),
            Holder::Nobody | Holder::Other(_) => false,
        };
        let hits = views.iter().filter(ours).map(|view| view.id.clone()).collect();
        Ok(hosts(views, sent).chain([Fact::Token(token.clone(), hits, asked)]).collect())
    }

    async fn pool(&self, constraints: &Constraints, sent: Seq) -> Result<Vec<Fact>, Fault> {
        let filter = MachineFilter { status: vec![MachineStatus::Ready], ..matching(constraints) };
        match self.list(&filter).await {
            Ok(views) => {
                let ids = views.iter().map(|view| view.id.clone()).collect();
                Ok(hosts(views, sent).chain([Fact::Pool(constraints.clone(), PoolSight::Hosts(ids))]).collect())
            }
            Err(error) if error.kind() == ErrorKind::Validation => {
                Ok(vec![Fact::Pool(constraints.clone(), PoolSight::Refused(short(refusal(&error, constraints))))])
            }
            Err(error) => Err(fault(Doing::Read, &error)),
        }
    }

    /// All Ready machines, and which of them satisfy each rule that only MAAS can judge: one list, and one more for each such rule.
    ///
    /// # Errors
    /// MAAS's.
    pub async fn survey(&self, constraints: &Constraints) -> Result<Survey, Error> {
        let ready = MachineFilter { status: vec![MachineStatus::Ready], ..Default::default() };
        let free =
            |hosts: Vec<HostView>| hosts.into_iter().filter(|host| host.phase == HostPhase::Free && !host.locked);
        let mut survey = Survey { hosts: free(self.list(&ready).await?).collect(), by_maas: Default::default() };
        let Some(any) = survey.hosts.first() else { return Ok(survey) };
        let unanswered: Vec<_> = constraints.rules().filter(|rule| rule.admits(any).is_none()).cloned().collect();
        for rule in unanswered {
            let one = Constraints::from_iter([rule.clone()]);
            let filter = MachineFilter { status: ready.status.clone(), ..matching(&one) };
            let ids = match self.list(&filter).await {
                Ok(hosts) => free(hosts).map(|host| host.id).collect(),
                // A subnet that does not exist: no machine is in it.
                Err(error) if error.kind() == ErrorKind::Validation => BTreeSet::new(),
                Err(error) => return Err(error),
            };
            survey.by_maas.insert(rule, ids);
        }
        Ok(survey)
    }

    /// What the machines that match are made of, as far as our user may see them (an administrator: all).
    async fn hardware(&self, constraints: &Constraints) -> Result<Vec<Fact>, Fault> {
        let filter = MachineFilter {
            // A missing or retired machine is hardware that is not there (any more).
            not_status: vec![MachineStatus::Missing, MachineStatus::Retired],
            ..matching(constraints)
        };
        let _leave = self.lanes.any().await;
        let makes = match self.services.machines.list(&filter).await {
            Ok(machines) => machines.iter().filter_map(hardware).collect(),
            // A zone, pool or tag that does not exist: no machine is in it.
            Err(error) if error.kind() == ErrorKind::Validation => BTreeSet::new(),
            Err(error) => return Err(fault(Doing::Read, &error)),
        };
        Ok(vec![Fact::Hardware(constraints.clone(), makes)])
    }

    async fn name(&self, name: &DnsName, sent: Seq) -> Result<Vec<Fact>, Fault> {
        let _leave = self.lanes.any().await;
        let addresses = match maas_dns::read(&*self.services.dns_resources, &dns_name(name)?).await {
            Ok(found) => found.map(|published| published.addresses),
            // The name is not there; that its domain is missing too is what publishing it will say.
            Err(maas_dns::Error::UnknownDomain { .. }) => None,
            Err(error) => return Err(fault(Doing::Read, error.maas())),
        };
        Ok(vec![Fact::Name(name.clone(), addresses, sent)])
    }
}

fn hosts(views: Vec<HostView>, sent: Seq) -> impl Iterator<Item = Fact> {
    views.into_iter().map(move |view| Fact::Host(Box::new(view), sent))
}

pub(crate) fn dns_name(name: &DnsName) -> Result<maas_client::DnsName, Fault> {
    maas_client::DnsName::new(&name.label, &name.domain)
        .map_err(|e| rejected(Refusal::Invalid, format!("spec.controlPlaneEndpoint.host {name}: {e}")))
}

#[cfg(test)]
pub(crate) mod tests;
