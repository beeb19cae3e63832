//! What befell a machine, and whose a machine is that nobody seems to hold: reads that are only made when something is wrong.

use std::collections::{BTreeMap, BTreeSet};

use capi_types::SystemId;
use capmaas_reconcile::fleet::Seq;
use capmaas_reconcile::host::{Holder, HostPhase, Story};
use capmaas_reconcile::names::Token;
use capmaas_reconcile::provider::Fault;
use capmaas_reconcile::stores::Fact;
use jiff::Timestamp;
use jiff::fmt::strtime;
use maas_client::{Error, Event, EventFilter, EventLevel, MachineFilter, MachineStatus, ResultFilter, ScriptSetId};

use super::{MaasRegion, hosts};
use crate::fault::{Doing, fault};

/// Error events that are kept.
const EVENTS: u32 = 5;
/// Characters of the installation's log that are kept, from its end.
const TAIL: usize = 400;
/// Claims that are asked for in one request: each is 44 characters, and the line that MAAS's nginx takes has 8 KiB.
const CLAIMS: usize = 100;

impl MaasRegion {
    /// What befell a machine. MAAS's refusal to tell is an empty answer: nothing may wait for ever for a reason.
    pub(super) async fn story(&self, id: &SystemId) -> Result<Vec<Fact>, Fault> {
        let Ok(maas_id) = id.as_str().parse::<maas_client::SystemId>() else {
            return Ok(vec![Fact::Story(id.clone(), Box::default())]);
        };
        let filter = EventFilter {
            ids: vec![maas_id.clone()],
            level: Some(EventLevel::Error),
            limit: Some(EVENTS),
            ..Default::default()
        };
        let _leave = self.lanes.any().await;
        let events = answered(self.services.events.query(&filter).await)?;
        if events.as_ref().is_some_and(Vec::is_empty) {
            // Nothing has failed: the log of an installation that went well is long and tells nothing.
            return Ok(vec![Fact::Story(id.clone(), Box::default())]);
        }
        let events = events.unwrap_or_default();
        let filter = ResultFilter { include_output: true, ..Default::default() };
        let log = answered(self.services.results.read(&maas_id, &ScriptSetId::CurrentInstallation, &filter).await)?;
        let failed = log.iter().flat_map(|set| &set.results).filter(|result| result.status.failed());
        let log_tail = failed.map(|result| tail(&result.output.to_string())).find(|text| !text.is_empty());
        let story = Story { errors: events.iter().map(told).collect(), log_tail: log_tail.unwrap_or_default() };
        Ok(vec![Fact::Story(id.clone(), Box::new(story))])
    }

    /// Machines that are Allocated to our user and bear no marks of ours.
    pub(super) async fn unmarked(&self, sent: Seq) -> Result<Vec<Fact>, Fault> {
        let filter = MachineFilter {
            owner: vec![self.user.clone()],
            status: vec![MachineStatus::Allocated],
            ..Default::default()
        };
        let views = self.list(&filter).await.map_err(|e| fault(Doing::Read, &e))?;
        let bare = views.iter().filter(|view| view.phase == HostPhase::Claimed && view.holder == Holder::Us(None));
        let ids = bare.map(|view| view.id.clone()).collect();
        Ok(hosts(views, sent).chain([Fact::Unmarked(ids)]).collect())
    }

    /// Under which of these claims each of these machines was allocated: MAAS does not show a claim, but finds by it. All claims are
    /// asked for at once, and halved as long as there are hits.
    pub(super) async fn whose(
        &self,
        strays: &BTreeSet<SystemId>,
        tokens: &BTreeSet<Token>,
        asked: Timestamp,
    ) -> Result<Vec<Fact>, Fault> {
        let mut owners: BTreeMap<_, Option<Token>> = strays.iter().map(|id| (id.clone(), None)).collect();
        let tokens: Vec<&Token> = tokens.iter().collect();
        let mut open: Vec<(&[&Token], BTreeSet<SystemId>)> =
            tokens.chunks(CLAIMS).map(|part| (part, strays.clone())).collect();
        while let Some((part, among)) = open.pop() {
            let ids = among.iter().filter_map(|id| id.as_str().parse().ok()).collect::<Vec<_>>();
            if ids.is_empty() {
                continue;
            }
            let filter =
                MachineFilter { ids, agent_name: part.iter().map(ToString::to_string).collect(), ..Default::default() };
            let hits = self.list(&filter).await.map_err(|e| fault(Doing::Read, &e))?;
            let hits: BTreeSet<_> = hits.into_iter().map(|view| view.id).filter(|id| among.contains(id)).collect();
            match part {
                _ if hits.is_empty() => {}
                [one] => owners.extend(hits.into_iter().map(|id| (id, Some((*one).clone())))),
                part => {
                    let (left, right) = part.split_at(part.len() / 2);
                    open.extend([(left, hits.clone()), (right, hits)]);
                }
            }
        }
        Ok(vec![Fact::Whose(owners, asked)])
    }
}

/// The answer, `None` when MAAS answered that there is none.
fn answered<T>(answer: Result<T, Error>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.status().is_some() => Ok(None),
        Err(error) => Err(fault(Doing::Read, &error)),
    }
}

/// An event with its time; one whose time can't be read is old.
fn told(event: &Event) -> (Timestamp, String) {
    let text = match (event.kind.as_str(), event.description.as_str()) {
        (kind, "") => kind.to_owned(),
        (kind, description) => format!("{kind}: {description}"),
    };
    // `Fri, 07 Dec. 2018 20:11:08`, UTC
    let at = strtime::parse("%a, %d %b. %Y %H:%M:%S", &event.created).and_then(|parsed| parsed.to_datetime());
    let at = at.and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC)).map(|at| at.timestamp());
    (at.unwrap_or(Timestamp::MIN), text)
}

/// The last lines of a log, in one line.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut kept: Vec<&str> = Vec::new();
    let mut length = 0;
    for line in lines.into_iter().rev() {
        length += line.chars().count() + 3;
        if length > TAIL && !kept.is_empty() {
            break;
        }
        kept.push(line);
    }
    kept.reverse();
    let text = kept.join(" | ");
    let skip = text.chars().count().saturating_sub(TAIL);
    text.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_maass_time_and_its_words() {
        let event = |created: &str, description: &str| Event {
            created: created.to_owned(),
            kind: "Node installation failure".to_owned(),
            description: description.to_owned(),
            ..Default::default()
        };
        let (at, text) = told(&event("Fri, 07 Dec. 2018 20:11:08", "'cloudinit' failed"));
        assert_eq!(
            (at.to_string().as_str(), text.as_str()),
            ("2018-12-07T20:11:08Z", "Node installation failure: 'cloudinit' failed")
        );
        assert_eq!(told(&event("yesterday", "")), (Timestamp::MIN, "Node installation failure".to_owned()));
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines_within_the_limit() {
        assert_eq!(tail("a\n\n  b  \nc\n"), "a | b | c");
        let long = (0..100).map(|n| format!("line {n}\n")).collect::<String>();
        let text = tail(&long);
        assert!(text.ends_with("line 98 | line 99") && text.chars().count() <= TAIL, "{text}");
        assert_eq!(tail(&"x".repeat(2 * TAIL)).len(), TAIL);
    }
}
