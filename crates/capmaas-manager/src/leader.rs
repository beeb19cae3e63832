//! Leader election on a Lease: old and new never both act.
//!
//! Whether a holder is alive is judged by how long *we* have seen the same renewal, never by comparing its clock with ours; and
//! for as long as *it* said that its renewals are good for.

use std::time::Duration;

use capmaas_provider_maas::Clock;
use capmaas_reconcile::provider::FaultKind;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::time::{Instant, timeout};

/// Longest wait for the Lease to be given back: the process is ending.
const GIVE_UP: Duration = Duration::from_secs(3);

/// Flags of the election (`--leader-elect…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// Who we are: unique per process, also across hosts and restarts.
    pub identity: String,
    /// Name of the Lease, in our own namespace.
    pub lease: String,
    /// A lease not renewed for so long is free. Written into the Lease in whole seconds, rounded up.
    pub duration: Duration,
    /// The leader stops when it could not renew for so long.
    pub renew_deadline: Duration,
    /// How often it is tried.
    pub retry: Duration,
}

/// Times of an election that don't go together: two could lead at once, or nobody for long.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ElectionError {
    /// Another could take the Lease while we still act.
    #[error("the lease duration ({duration:?}) must be longer than the renew deadline ({renew_deadline:?})")]
    Duration {
        /// [`Election::duration`]
        duration: Duration,
        /// [`Election::renew_deadline`]
        renew_deadline: Duration,
    },
    /// One late renewal would end it.
    #[error("the renew deadline ({renew_deadline:?}) must be longer than 1.2 times the retry period ({retry:?})")]
    RenewDeadline {
        /// [`Election::renew_deadline`]
        renew_deadline: Duration,
        /// [`Election::retry`]
        retry: Duration,
    },
    /// The API server would be asked without a pause.
    #[error("the retry period must be longer than zero")]
    Retry,
}

impl ElectionError {
    /// Somebody has to change the flags.
    pub fn kind(&self) -> FaultKind {
        FaultKind::Terminal
    }
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

    /// Whether the times go together, by the rules that other managers have.
    ///
    /// # Errors
    /// See [`ElectionError`].
    ///
    /// ```
    /// let mut election = capmaas_manager::Election::new("pod-1");
    /// assert!(election.check().is_ok());
    /// election.duration = election.renew_deadline;
    /// assert!(election.check().is_err());
    /// ```
    pub fn check(&self) -> Result<(), ElectionError> {
        let Self { duration, renew_deadline, retry, .. } = *self;
        if retry.is_zero() {
            Err(ElectionError::Retry)
        } else if renew_deadline <= retry.mul_f64(1.2) {
            Err(ElectionError::RenewDeadline { renew_deadline, retry })
        } else if duration <= renew_deadline {
            Err(ElectionError::Duration { duration, renew_deadline })
        } else {
            Ok(())
        }
    }
}

/// How an attempt to hold the Lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// It is ours.
    Ours,
    /// Another holds it.
    Others,
    /// It was written by somebody else between our look and our write.
    Contested,
    /// No answer, or an error.
    Unclear,
}

/// Holds, or tries to hold, the Lease. Times are tokio time: they bound real calls.
pub(crate) struct Elector {
    election: Election,
    api: Api<Lease>,
    clock: Clock,
    /// What another holder wrote last, and since when we have seen it.
    seen: Option<(LeaseSpec, Instant)>,
    /// When our last successful write was *sent*: others count from when they see it, which is later.
    held: Instant,
}

impl Elector {
    pub(crate) fn new(election: Election, kube: kube::Client, namespace: &str, clock: Clock) -> Self {
        Self { election, api: Api::namespaced(kube, namespace), clock, seen: None, held: Instant::now() }
    }

    /// Resolves once we lead.
    pub(crate) async fn acquire(&mut self) {
        while self.attempt(self.election.renew_deadline).await != Held::Ours {
            tokio::time::sleep(self.election.retry).await;
        }
    }

    /// Renews for as long as it succeeds; resolves when we no longer lead: at the latest when the renew deadline has passed since the
    /// last good renewal was sent.
    pub(crate) async fn hold(&mut self) {
        let deadline = self.election.renew_deadline;
        loop {
            let left = deadline.saturating_sub(self.held.elapsed());
            tokio::time::sleep(self.election.retry.min(left)).await;
            let left = deadline.saturating_sub(self.held.elapsed());
            // Half of the deadline, so that one call that hangs leaves time for another.
            if left.is_zero() || self.attempt(left.min(deadline / 2)).await == Held::Others {
                return;
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub(crate) async fn give_up(&self) {
        if timeout(GIVE_UP, self.put_back()).await.is_err() {
            tracing::debug!("giving the lease back: no answer in time");
        }
    }

    async fn put_back(&self) {
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

    async fn attempt(&mut self, limit: Duration) -> Held {
        let sent = Instant::now();
        let tries = async {
            match self.try_hold().await {
                // Somebody annotated the Lease, or took it: a second look tells.
                Ok(Held::Contested) => self.try_hold().await,
                first => first,
            }
        };
        match timeout(limit, tries).await {
            Ok(Ok(held)) => {
                if held == Held::Ours {
                    self.held = sent;
                }
                held
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, lease = self.election.lease, "leader election");
                Held::Unclear
            }
            Err(_) => {
                tracing::warn!(lease = self.election.lease, "leader election: no answer in time");
                Held::Unclear
            }
        }
    }

    /// One look, and one write if the Lease is ours or free.
    async fn try_hold(&mut self) -> Result<Held, kube::Error> {
        let now = MicroTime(self.clock.now());
        let Some(mut lease) = self.api.get_opt(&self.election.lease).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.election.lease.clone()), ..ObjectMeta::default() },
                spec: Some(LeaseSpec {
                    holder_identity: Some(self.election.identity.clone()),
                    lease_duration_seconds: Some(self.seconds()),
                    acquire_time: Some(now.clone()),
                    renew_time: Some(now),
                    lease_transitions: Some(0),
                    ..LeaseSpec::default()
                }),
            };
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.get_or_insert_default();
        let ours = spec.holder_identity.as_deref() == Some(&self.election.identity);
        let free = spec.holder_identity.as_deref().is_none_or(str::is_empty);
        if !ours && !free && !self.is_stale(spec) {
            return Ok(Held::Others);
        }
        if !ours {
            spec.holder_identity = Some(self.election.identity.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = Some(self.seconds());
        won(self.api.replace(&self.election.lease, &PostParams::default(), &lease).await)
    }

    /// Whether another holder's renewal has been standing for longer than it is good for.
    fn is_stale(&mut self, spec: &LeaseSpec) -> bool {
        let since = match &self.seen {
            Some((seen, since)) if seen == spec => *since,
            before => {
                let holder = spec.holder_identity.as_deref().unwrap_or_default();
                if before.as_ref().is_none_or(|(old, _)| old.holder_identity != spec.holder_identity) {
                    tracing::info!(holder, lease = self.election.lease, "Another process leads, standing by");
                }
                let since = Instant::now();
                self.seen = Some((spec.clone(), since));
                since
            }
        };
        let stated = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
        since.elapsed() >= stated.map_or(self.election.duration, Duration::from_secs)
    }

    /// Rounded up: others must not count a shorter time than we do.
    fn seconds(&self) -> i32 {
        let whole = self.election.duration.as_secs() + u64::from(self.election.duration.subsec_nanos() > 0);
        i32::try_from(whole).unwrap_or(i32::MAX).max(1)
    }
}

fn won(answer: Result<Lease, kube::Error>) -> Result<Held, kube::Error> {
    match answer {
        Ok(_) => Ok(Held::Ours),
        Err(kube::Error::Api(refusal)) if refusal.is_conflict() || refusal.is_already_exists() => Ok(Held::Contested),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
