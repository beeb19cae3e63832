//! Leader election on a Lease: old and new never both act.
//!
//! Whether a holder is alive is judged by how long *we* have seen the same renewal, never by comparing its clock with ours.

use std::time::Duration;

use capmaas_provider_maas::Clock;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::time::Instant;

/// Flags of the election (`--leader-elect…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// Who we are: unique per process (pod name and uid).
    pub identity: String,
    /// Name of the Lease, in our own namespace.
    pub lease: String,
    /// A lease not renewed for so long is free.
    pub duration: Duration,
    /// The leader stops when it could not renew for so long.
    pub renew_deadline: Duration,
    /// How often it is tried.
    pub retry: Duration,
}

impl Election {
    /// The usual times of Cluster API managers: 15 s, 10 s, 2 s.
    pub fn new(identity: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            lease: capi_types::names::LEADER_ELECTION_LEASE.to_owned(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Holds, or tries to hold, the Lease. Times are tokio time: they bound real calls.
pub(crate) struct Elector {
    election: Election,
    api: Api<Lease>,
    clock: Clock,
    /// The renewal that was seen last, and since when.
    seen: Option<(Option<String>, Instant)>,
}

impl Elector {
    pub(crate) fn new(election: Election, kube: kube::Client, namespace: &str, clock: Clock) -> Self {
        Self { election, api: Api::namespaced(kube, namespace), clock, seen: None }
    }

    /// Resolves once we lead.
    pub(crate) async fn acquire(&mut self) {
        loop {
            match tokio::time::timeout(self.election.renew_deadline, self.try_hold()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, lease = self.election.lease, "leader election"),
                Err(_) => tracing::warn!(lease = self.election.lease, "leader election: no answer in time"),
            }
            tokio::time::sleep(self.election.retry).await;
        }
    }

    /// Renews for as long as it succeeds; resolves when we no longer lead.
    pub(crate) async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.election.retry).await;
            let left = self.election.renew_deadline.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.try_hold()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "renewing the lease"),
                Err(_) => {}
            }
            if renewed.elapsed() >= self.election.renew_deadline {
                return;
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub(crate) async fn give_up(&self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.election.lease).await else { return };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.election.identity) {
            return;
        }
        spec.holder_identity = None;
        if let Err(error) = self.api.replace(&self.election.lease, &PostParams::default(), &lease).await {
            tracing::debug!(%error, "giving the lease back");
        }
    }

    /// True when we hold the Lease now. A conflict means: not us.
    async fn try_hold(&mut self) -> Result<bool, kube::Error> {
        let now = MicroTime(self.clock.now());
        let seconds = i32::try_from(self.election.duration.as_secs()).unwrap_or(15);
        let Some(mut lease) = self.api.get_opt(&self.election.lease).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.election.lease.clone()), ..ObjectMeta::default() },
                spec: Some(LeaseSpec {
                    holder_identity: Some(self.election.identity.clone()),
                    lease_duration_seconds: Some(seconds),
                    acquire_time: Some(now.clone()),
                    renew_time: Some(now),
                    lease_transitions: Some(0),
                    ..LeaseSpec::default()
                }),
            };
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let revision = lease.metadata.resource_version.clone();
        let spec = lease.spec.get_or_insert_default();
        let ours = spec.holder_identity.as_deref() == Some(&self.election.identity);
        let free = spec.holder_identity.as_deref().is_none_or(str::is_empty);
        if !ours && !free {
            let since = match &self.seen {
                Some((seen, since)) if *seen == revision => *since,
                _ => {
                    let since = Instant::now();
                    self.seen = Some((revision, since));
                    since
                }
            };
            if since.elapsed() < self.election.duration {
                return Ok(false);
            }
        }
        if !ours {
            spec.holder_identity = Some(self.election.identity.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = Some(seconds);
        won(self.api.replace(&self.election.lease, &PostParams::default(), &lease).await)
    }
}

fn won(answer: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(refusal)) if refusal.is_conflict() || refusal.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}
