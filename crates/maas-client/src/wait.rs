//! Long waits as streams: a machine until it is what one wants, events as they happen.
//!
//! To cancel, drop the stream (or end it with `futures::StreamExt::take_until`). Both streams work on the
//! traits, hence on mocks.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::Stream;
use tokio::time::Instant;

use crate::error::{Disposition, Error, ErrorKind};
use crate::ids::{EventId, SystemId};
use crate::machine::Machine;
use crate::machines::Machines;
use crate::region::{Event, EventFilter, Events};
use crate::status::MachineStatus;

/// How long and how often [`wait_until`] asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Time between questions.
    pub every: Duration,
    /// Time in all.
    pub deadline: Duration,
}

impl Default for Wait {
    /// Every 10 s for an hour, MAAS's own patience with a deployment.
    fn default() -> Self {
        Self { every: Duration::from_secs(10), deadline: Duration::from_secs(3600) }
    }
}

/// What a state of the machine means for the one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    GoOn,
    /// This is it.
    Reached,
    /// It can't be reached from here.
    Hopeless,
}

/// The usual goal: this status. Broken and every status of failure are hopeless, unless wanted.
///
/// ```
/// use maas_client::{Machine, MachineStatus, Verdict, status_is};
/// let mut goal = status_is(MachineStatus::Deployed);
/// let at = |status| Machine { status, ..Default::default() };
/// assert_eq!(goal(&at(MachineStatus::Deploying)), Verdict::GoOn);
/// assert_eq!(goal(&at(MachineStatus::Deployed)), Verdict::Reached);
/// assert_eq!(goal(&at(MachineStatus::FailedDeployment)), Verdict::Hopeless);
/// ```
pub fn status_is(wanted: MachineStatus) -> impl FnMut(&Machine) -> Verdict {
    use MachineStatus as S;
    move |machine| match machine.status {
        status if status == wanted => Verdict::Reached,
        S::Broken
        | S::FailedCommissioning
        | S::FailedDeployment
        | S::FailedReleasing
        | S::FailedDiskErasing
        | S::FailedEnteringRescueMode
        | S::FailedExitingRescueMode
        | S::FailedTesting => Verdict::Hopeless,
        _ => Verdict::GoOn,
    }
}

/// Why a wait ended without its goal.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// MAAS, in a way that time does not help.
    #[error(transparent)]
    Maas(#[from] Error),
    /// The machine took another way.
    #[error("{} is {}: {}", .0.hostname, .0.status, .0.status_message)]
    Hopeless(Box<Machine>),
    /// Time is over; the machine as last seen, or why it never was.
    #[error("{id} was not there within {deadline:?}")]
    Deadline {
        /// Machine.
        id: SystemId,
        /// Time in all.
        deadline: Duration,
        /// As last seen.
        last: Option<Box<Machine>>,
        /// What kept us from looking, if that was the last thing that happened.
        source: Option<Error>,
    },
}

impl WaitError {
    /// What it is, in the terms of calls.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Maas(error) => error.kind(),
            Self::Hopeless(_) => ErrorKind::StateConflict,
            Self::Deadline { .. } => ErrorKind::Timeout,
        }
    }
}

/// Reads a machine again and again: yields it at first and whenever it changed, and ends with the state
/// that is the goal, or with an error.
///
/// Transient failures ([`Disposition::Transient`]) are waited out. The deadline is tokio time.
///
/// ```no_run
/// # use futures::TryStreamExt as _;
/// # use maas_client::*;
/// # async fn example(client: &Client, id: &SystemId) -> Result<(), WaitError> {
/// let machines = client.machines();
/// let mut states = std::pin::pin!(wait_until(&machines, id, Wait::default(), status_is(MachineStatus::Deployed)));
/// while let Some(machine) = states.try_next().await? {
///     println!("{}: {}", machine.status, machine.status_message);
/// }
/// # Ok(())
/// # }
/// ```
pub fn wait_until<'m, M: Machines + ?Sized, G: FnMut(&Machine) -> Verdict>(
    machines: &'m M,
    id: &SystemId,
    wait: Wait,
    goal: G,
) -> impl Stream<Item = Result<Machine, WaitError>> + use<'m, M, G> {
    struct State<G> {
        goal: G,
        end: Instant,
        last: Option<Machine>,
        over: bool,
    }
    let state = State { goal, end: Instant::now() + wait.deadline, last: None, over: false };
    let id = id.clone();
    futures::stream::try_unfold(state, move |mut state| {
        let id = id.clone();
        async move {
            if state.over {
                return Ok(None);
            }
            let mut pause = state.last.is_some();
            loop {
                let end = state.end;
                let look = async {
                    if pause {
                        tokio::time::sleep(wait.every).await;
                    }
                    machines.read(&id).await
                };
                let too_late = |last: Option<Machine>, source| WaitError::Deadline {
                    id: id.clone(),
                    deadline: wait.deadline,
                    last: last.map(Box::new),
                    source,
                };
                let Ok(seen) = tokio::time::timeout_at(end, look).await else {
                    return Err(too_late(state.last, None));
                };
                pause = true;
                match seen {
                    Err(error) if error.disposition() == Disposition::Transient => {
                        if Instant::now() + wait.every >= end {
                            return Err(too_late(state.last, Some(error)));
                        }
                    }
                    Err(error) => return Err(error.into()),
                    Ok(machine) => match (state.goal)(&machine) {
                        Verdict::Hopeless => return Err(WaitError::Hopeless(Box::new(machine))),
                        Verdict::GoOn if state.last.as_ref() == Some(&machine) => {}
                        verdict => {
                            state.over = verdict == Verdict::Reached;
                            state.last = Some(machine.clone());
                            return Ok(Some((machine, state)));
                        }
                    },
                }
            }
        }
    })
}

/// Events in one question, at most what MAAS gives.
const PAGE: u32 = 1000;

/// An event of a slow transaction may appear below numbers already seen; so much is looked at again.
const LOOK_BACK: i64 = 100;

/// Events as they happen, oldest first, each once: `GET events/?op=query` every so often.
///
/// Begins after [`EventFilter::after`], or with what happens from now on; `before` and `limit` are not
/// used. Transient failures are waited out without end.
///
/// ```no_run
/// # use futures::TryStreamExt as _;
/// # use maas_client::*;
/// # async fn example(client: &Client) -> Result<()> {
/// let events = client.events();
/// let filter = EventFilter { level: Some(EventLevel::Warning), ..Default::default() };
/// let mut events = std::pin::pin!(follow_events(&events, filter, std::time::Duration::from_secs(5)));
/// while let Some(event) = events.try_next().await? {
///     println!("{} {}: {}", event.created, event.hostname, event.description);
/// }
/// # Ok(())
/// # }
/// ```
pub fn follow_events<E: Events + ?Sized>(
    events: &E,
    filter: EventFilter,
    every: Duration,
) -> impl Stream<Item = Result<Event, Error>> {
    struct State {
        filter: EventFilter,
        /// Highest number handed out.
        highest: Option<EventId>,
        /// Numbers seen, back to [`LOOK_BACK`] below the highest.
        seen: BTreeSet<EventId>,
        ready: std::vec::IntoIter<Event>,
        /// Ask again at once: the last page was full.
        more: bool,
        asked: bool,
    }
    impl State {
        fn take(&mut self, mut page: Vec<Event>) {
            page.sort_by_key(|event| event.id);
            page.retain(|event| self.seen.insert(event.id));
            self.highest = self.highest.max(page.last().map(|event| event.id));
            if let Some(highest) = self.highest {
                self.seen = self.seen.split_off(&EventId(highest.0 - LOOK_BACK));
            }
            self.ready = page.into_iter();
        }
    }
    let highest = filter.after;
    let filter = EventFilter { before: None, after: None, ..filter };
    let state =
        State { filter, highest, seen: BTreeSet::new(), ready: Vec::new().into_iter(), more: false, asked: false };
    futures::stream::try_unfold(state, move |mut state| async move {
        loop {
            if let Some(event) = state.ready.next() {
                return Ok(Some((event, state)));
            }
            if state.asked && !state.more {
                tokio::time::sleep(every).await;
            }
            let from_now = state.highest.is_none();
            // what lay below the starting point was never to be handed out
            let start = state.filter.after.unwrap_or_else(|| state.highest.unwrap_or_default());
            let after = state.highest.map(|highest| EventId((highest.0 - LOOK_BACK).max(start.0)));
            let limit = if from_now { 1 } else { PAGE };
            let query = EventFilter { after, limit: Some(limit), ..state.filter.clone() };
            match events.query(&query).await {
                Ok(page) if from_now => {
                    let newest = page.iter().map(|event| event.id).max().unwrap_or_default();
                    (state.highest, state.filter.after, state.asked) = (Some(newest), Some(newest), true);
                }
                Ok(page) => {
                    state.filter.after = Some(start);
                    state.more =
                        page.len() >= PAGE as usize && page.iter().any(|event| !state.seen.contains(&event.id));
                    state.asked = true;
                    state.take(page);
                }
                Err(error) if error.disposition() == Disposition::Transient => {
                    (state.asked, state.more) = (true, false);
                }
                Err(error) => return Err(error),
            }
        }
    })
}

#[cfg(test)]
mod tests;
