//! The one watcher of the MAAS region: connects when there are credentials, reads what somebody waits for, notices when the region
//! stops answering.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use capmaas_provider_maas::{ConnectError, MaasRegion, Watcher};
use capmaas_reconcile::provider::{Fault, Refusal};
use capmaas_reconcile::stores::{Fact, Region};
use capmaas_reconcile::topic::Topic;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::credentials::Found;
use crate::bell::Listener;
use crate::env::Env;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// How often a region that does not let us in is tried again, policy time.
const RECONNECT: SignedDuration = SignedDuration::from_secs(15);
/// How often a region that answers is asked who we are, policy time: rights and version change seldom.
const PROBE: SignedDuration = SignedDuration::from_mins(10);
/// Nothing awaited: look again after this at the latest, policy time.
const IDLE: SignedDuration = SignedDuration::from_mins(5);

/// Runs for as long as it is polled.
pub(crate) async fn run(env: Env, shared: Shared, mut credentials: watch::Receiver<Option<Found>>, metrics: Metrics) {
    let mut bell = shared.listen();
    loop {
        let found = credentials.borrow_and_update().clone();
        let region = match found {
            None => None,
            Some(Err(message)) => {
                state(&shared, Region::NoCredentials(message), None);
                None
            }
            Some(Ok(found)) => match env.regions.client(&found) {
                Err(message) => {
                    state(&shared, Region::NoCredentials(format!("{}: {message}", found.source)), None);
                    None
                }
                Ok(client) => Some((client, found.source)),
            },
        };
        let Some((client, source)) = region else {
            if credentials.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            biased;
            changed = credentials.changed() => if changed.is_err() { return },
            () = serve(&env, &shared, client, &source, &mut bell, &metrics) => {}
        }
    }
}

fn state(shared: &Shared, region: Region, door: Option<Arc<MaasRegion>>) {
    shared.lock().region = door;
    shared.learn(Fact::Region(region));
}

fn trouble(error: &ConnectError, source: &str) -> Region {
    match error {
        ConnectError::Refused(message) => Region::Refused(format!("{message} (credentials from {source})")),
        ConnectError::Down(message) => Region::Down(message.clone()),
    }
}

/// Connects and reads until the credentials change (then the caller drops this).
async fn serve(
    env: &Env,
    shared: &Shared,
    client: maas_client::Client,
    source: &str,
    bell: &mut Listener,
    metrics: &Metrics,
) {
    loop {
        let (region, facts) = match MaasRegion::connect(client.clone()).await {
            Ok(connected) => connected,
            Err(error) => {
                tracing::warn!(%error, "MAAS can't be used");
                state(shared, trouble(&error, source), None);
                env.clock.sleep(wait(RECONNECT)).await;
                continue;
            }
        };
        tracing::info!(user = %facts.user, version = %facts.version, admin = facts.is_admin, "Connected to MAAS");
        let region = Arc::new(region);
        state(shared, Region::Up(facts), Some(region.clone()));
        let error = read(env, shared, &region, bell, metrics).await;
        tracing::warn!(%error, "MAAS can't be used any more");
        state(shared, trouble(&error, source), None);
        env.clock.sleep(wait(RECONNECT)).await;
    }
}

fn wait(span: SignedDuration) -> Duration {
    span.try_into().unwrap_or_default()
}

/// Reads what is awaited until the region lets us down.
async fn read(env: &Env, shared: &Shared, region: &MaasRegion, bell: &mut Listener, metrics: &Metrics) -> ConnectError {
    let mut watcher = Watcher::default();
    let mut probe_at = env.clock.now() + PROBE;
    loop {
        bell.forget();
        let now = env.clock.now();
        if now >= probe_at {
            match region.probe().await {
                Ok(facts) => shared.learn(Fact::Region(Region::Up(facts))),
                Err(error) => return error,
            }
            probe_at = env.clock.now() + PROBE;
        }
        let due = {
            let inner = shared.lock();
            let awaited: BTreeSet<Topic> = inner.queue.awaited().cloned().collect();
            watcher.due(&awaited, &inner.stores, now)
        };
        if due.queries.is_empty() {
            let until = due.next.min(probe_at).min(now + IDLE);
            sleep_or_bell(env, until, bell).await;
            continue;
        }
        for query in due.queries {
            let asked = env.clock.now();
            let sent = shared.lock().stores.fleet.send();
            let answer = region.read(&query, sent, asked).await;
            watcher.answered(&query, env.clock.now(), answer.is_ok());
            metrics.read(answer.is_ok());
            match answer {
                Ok(facts) => facts.into_iter().for_each(|fact| shared.learn(fact)),
                Err(fault) => {
                    tracing::warn!(?query, %fault, "reading from MAAS");
                    let out = matches!(
                        fault,
                        Fault::Unavailable { .. }
                            | Fault::Ambiguous { .. }
                            | Fault::Rejected { why: Refusal::Permission, .. }
                    );
                    // One failed read may be bad luck; whether the region is in use is the probe's to say.
                    if out && let Err(error) = region.probe().await {
                        return error;
                    }
                }
            }
        }
    }
}

async fn sleep_or_bell(env: &Env, until: Timestamp, bell: &mut Listener) {
    tokio::select! {
        biased;
        () = bell.rung() => {}
        () = env.clock.sleep_until(until) => {}
    }
}
