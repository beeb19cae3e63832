//! One future that runs the provider. Dropping it is a crash.

use std::net::SocketAddr;
use std::time::Duration;

use capmaas_reconcile::names::Key;
use capmaas_reconcile::provider::FaultKind;
use capmaas_reconcile::topic::Wake;
use tokio::task::JoinSet;

use crate::admin;
use crate::env::Env;
use crate::executor::Executor;
use crate::feeders;
use crate::leader::Elector;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// On a clean stop, passes in flight get this long; a pod is killed 10 to 30 s after it was told to stop.
const GRACE: Duration = Duration::from_secs(8);

/// Why a manager ended.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// An admin address can't be bound.
    #[error("can't serve on {address}")]
    Bind {
        /// The address from the flags.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process leads now; a restart joins the election again.
    #[error("the leader election was lost")]
    LostLeadership,
    /// A task panicked; the process must not go on with half of its parts.
    #[error("a part of the manager ended unexpectedly: {0}")]
    Ended(String),
}

impl ManagerError {
    /// A taken address needs a person; the others a restart.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Bind { .. } => FaultKind::Terminal,
            Self::LostLeadership | Self::Ended(_) => FaultKind::Transient,
        }
    }
}

/// The provider's manager.
pub struct Manager;

impl Manager {
    /// Runs until `stop` resolves (then `Ok`), or until it can't go on. On a stop, steps that were sent get some seconds to be
    /// answered and recorded, and the Lease is given back. Dropping the future stops everything at once: that is what a crash looks
    /// like, and everything recovers from it.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub async fn run(env: Env, stop: impl Future<Output = ()>) -> Result<(), ManagerError> {
        let shared = Shared::new(env.clock);
        let metrics = Metrics::default();
        let mut tasks: JoinSet<()> = JoinSet::new();
        {
            let mut inner = shared.lock();
            inner.unlisted.extend(feeders::objects::KINDS);
            inner.standby = env.settings.election.is_some();
        }
        if let Some(address) = env.settings.health {
            let listener = admin::bind(address, "/healthz and /readyz")
                .await
                .map_err(|source| ManagerError::Bind { address, source })?;
            tasks.spawn(admin::health(listener, shared.clone()));
        }
        if let Some(address) = env.settings.metrics {
            let listener =
                admin::bind(address, "/metrics").await.map_err(|source| ManagerError::Bind { address, source })?;
            tasks.spawn(admin::metrics(listener, metrics.clone()));
        }
        tokio::pin!(stop);
        let mut elector = env
            .settings
            .election
            .clone()
            .map(|election| Elector::new(election, env.kube.clone(), &env.settings.own_namespace, env.clock));
        if let Some(elector) = &mut elector {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                () = elector.acquire() => tracing::info!("Leading"),
            }
        }
        shared.lock().standby = false;
        feeders::objects::start(&mut tasks, &env, &shared);
        let credentials = feeders::credentials::start(&mut tasks, &env);
        tasks.spawn(feeders::region::run(env.clone(), shared.clone(), credentials, metrics.clone()));
        tasks.spawn(feeders::workloads::run(env.clone(), shared.clone()));
        tasks.spawn(feeders::leftovers::run(env.clone(), shared.clone()));
        let executor = Executor::new(env.clone(), shared.clone(), metrics);
        let mut runner = Runner { executor, shared, limit: env.settings.concurrency.max(1), passes: JoinSet::new() };
        let ended = {
            let lost = async {
                match &mut elector {
                    Some(elector) => elector.hold().await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(lost);
            let ended = tokio::select! {
                biased;
                () = &mut stop => Ok(()),
                () = &mut lost => Err(ManagerError::LostLeadership),
                error = runner.run() => Err(error),
                ended = tasks.join_next() => Err(ManagerError::Ended(format!("{ended:?}"))),
            };
            match ended {
                // The Lease is renewed meanwhile: nobody else may act on what is being written.
                Ok(()) => tokio::select! {
                    biased;
                    () = &mut lost => Err(ManagerError::LostLeadership),
                    finished = tokio::time::timeout(GRACE, runner.finish()) => Ok(finished.is_ok()),
                },
                Err(error) => Err(error),
            }
        };
        // Given back only when nothing is in flight. Otherwise the next one waits as after a crash.
        if let (Ok(true), Some(elector)) = (&ended, &elector) {
            elector.give_up().await;
        }
        ended.map(|_| ())
    }
}

/// Takes keys from the queue and runs their passes.
struct Runner {
    executor: Executor,
    shared: Shared,
    limit: usize,
    passes: JoinSet<(Key, Option<Wake>)>,
}

impl Runner {
    async fn run(&mut self) -> ManagerError {
        let mut bell = self.shared.listen();
        loop {
            bell.forget();
            let next = {
                let mut inner = self.shared.lock();
                // Before everything is listed once, absence means nothing.
                if inner.unlisted.is_empty() {
                    inner.queue.tick(self.shared.clock.now());
                    while self.passes.len() < self.limit {
                        let Some(key) = inner.pop() else { break };
                        let executor = self.executor.clone();
                        self.passes.spawn(async move {
                            let wake = executor.pass(&key).await;
                            (key, wake)
                        });
                    }
                }
                inner.queue.next_at()
            };
            let timer = async {
                match next {
                    Some(at) => self.shared.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(ended) = self.passes.join_next() => match ended {
                    Ok((key, wake)) => self.shared.done(&key, wake),
                    Err(error) => return ManagerError::Ended(error.to_string()),
                },
                () = bell.rung() => {}
                () = timer => {}
            }
        }
    }

    async fn finish(&mut self) {
        self.shared.lock().stopping = true;
        while self.passes.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests;
