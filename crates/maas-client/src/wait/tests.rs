//! Waits in paused time, on mocks.

use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, StatusCode};

use super::*;
use crate::operation::{EVENTS_QUERY, MACHINE_READ};
use crate::{MockEvents, MockMachines};

fn id() -> SystemId {
    "wt67ch".parse().unwrap()
}

fn failure(status: u16) -> Error {
    Error::from_reply(&MACHINE_READ, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), b"")
}

/// A machine that goes through these states, one per question, and stays in the last.
fn machines(states: Vec<Result<MachineStatus, u16>>) -> MockMachines {
    let mut machines = MockMachines::new();
    let (mut at, start) = (0, Instant::now());
    machines.expect_read().returning(move |asked| {
        assert_eq!(asked, &id());
        assert_eq!(start.elapsed().as_secs() % 10, 0, "asked every 10 s");
        let state = states[at.min(states.len() - 1)];
        at += 1;
        state.map(|status| Machine { status, hostname: "node01".into(), ..Default::default() }).map_err(failure)
    });
    machines
}

async fn wait(states: Vec<Result<MachineStatus, u16>>) -> (Vec<MachineStatus>, Option<WaitError>, u64) {
    let start = Instant::now();
    let machines = machines(states);
    let wait = Wait { deadline: Duration::from_secs(95), ..Default::default() };
    let mut stream = std::pin::pin!(wait_until(&machines, &id(), wait, status_is(MachineStatus::Deployed)));
    let mut seen = Vec::new();
    let error = loop {
        match stream.try_next().await {
            Ok(Some(machine)) => seen.push(machine.status),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(stream.next().await.is_none(), "it is over");
    (seen, error, start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_wait_tells_each_change_once_and_ends_at_its_goal() {
    use MachineStatus::{Allocated, Deployed, Deploying};
    let states =
        vec![Ok(Allocated), Ok(Deploying), Ok(Deploying), Err(502), Ok(Deploying), Ok(Deployed), Ok(Deploying)];
    let (seen, error, seconds) = wait(states).await;
    assert_eq!((seen, error.is_none(), seconds), (vec![Allocated, Deploying, Deployed], true, 50));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_early_where_the_goal_is_out_of_reach() {
    use MachineStatus::{Deploying, FailedDeployment};
    let (seen, error, seconds) = wait(vec![Ok(Deploying), Ok(FailedDeployment)]).await;
    let error = error.unwrap();
    assert_eq!((seen, error.kind(), seconds), (vec![Deploying], ErrorKind::StateConflict, 10));
    assert!(error.to_string().starts_with("node01 is Failed deployment"), "{error}");

    let (seen, error, _) = wait(vec![Ok(Deploying), Err(401)]).await;
    assert_eq!((seen, error.unwrap().kind()), (vec![Deploying], ErrorKind::Auth));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline_and_says_what_it_saw_last() {
    let (seen, error, seconds) = wait(vec![Ok(MachineStatus::Deploying)]).await;
    let Some(WaitError::Deadline { last: Some(last), source: None, .. }) = error else { panic!("{error:?}") };
    assert_eq!((seen.len(), last.status, seconds), (1, MachineStatus::Deploying, 95));

    let (seen, error, _) = wait(vec![Err(502)]).await;
    let Some(WaitError::Deadline { last: None, source: Some(source), .. }) = error else { panic!("{error:?}") };
    assert_eq!((seen.len(), source.kind()), (0, ErrorKind::Unavailable));
}

fn event(id: i64) -> Event {
    Event { id: EventId(id), ..Default::default() }
}

/// A MAAS whose events come in these steps, one per question.
fn events(steps: Vec<Result<Vec<i64>, u16>>) -> MockEvents {
    let mut events = MockEvents::new();
    let (mut known, mut steps) = (BTreeSet::new(), steps.into_iter());
    events.expect_query().returning(move |filter| {
        match steps.next() {
            Some(Err(status)) => {
                let status = StatusCode::from_u16(status).unwrap();
                return Err(Error::from_reply(&EVENTS_QUERY, status, &HeaderMap::new(), b""));
            }
            Some(Ok(more)) => known.extend(more),
            None => {}
        }
        let limit = filter.limit.unwrap() as usize;
        let above = |id: &&i64| filter.after.is_none_or(|after| **id > after.0);
        // with `after` the oldest of them, else the newest; newest first either way
        let mut page: Vec<_> = match filter.after {
            Some(_) => known.iter().filter(above).take(limit).copied().collect(),
            None => known.iter().rev().take(limit).copied().collect(),
        };
        page.sort_by_key(|id| std::cmp::Reverse(*id));
        Ok(page.into_iter().map(event).collect())
    });
    events
}

async fn follow(events: &MockEvents, filter: EventFilter, count: usize) -> (Vec<i64>, u64) {
    let start = Instant::now();
    let stream = follow_events(events, filter, Duration::from_secs(5));
    let seen: Vec<_> = stream.take(count).map_ok(|event| event.id.0).try_collect().await.unwrap();
    (seen, start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn events_are_followed_from_now_on_each_once_and_in_order() {
    let steps = vec![Ok(vec![1, 7, 9]), Ok(vec![]), Err(502), Ok(vec![12, 11]), Ok(vec![13, 10])];
    let (seen, seconds) = follow(&events(steps), EventFilter::default(), 4).await;
    assert_eq!((seen, seconds), (vec![11, 12, 10, 13], 20), "10 was committed late");
}

#[tokio::test(start_paused = true)]
async fn events_are_followed_from_a_given_number_and_full_pages_are_not_waited_for() {
    let steps = vec![Ok((1..=2500).collect())];
    let filter = EventFilter { after: Some(EventId(200)), ..Default::default() };
    let (seen, seconds) = follow(&events(steps), filter, 2300).await;
    assert_eq!((seen, seconds), ((201..=2500).collect::<Vec<_>>(), 0));

    let refused = events(vec![Err(403)]);
    let mut stream = std::pin::pin!(follow_events(&refused, EventFilter::default(), Duration::from_secs(5)));
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), ErrorKind::Permission);
    assert!(stream.next().await.is_none());
}
