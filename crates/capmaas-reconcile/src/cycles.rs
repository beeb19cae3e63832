//! Power cycles of one machine, kept in an annotation of its MaasRemediation.
//!
//! Each order to MAAS is noted before it is given, so that whoever comes after a crash knows how far the last one got: a machine that
//! was switched off is switched on again, and one that was switched on is not switched off once more. The annotation outlives the process
//! and a move; the status only shows what it says.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How many are kept; no strategy allows more.
const AT_MOST: usize = 10;

/// An order to switch off shows in MAAS within this time, or is taken for done: the fleet watcher looks at machines that are not on every
/// 45 s.
pub const OFF_SHOWS: SignedDuration = SignedDuration::from_secs(100);

/// One power cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// From then on the machine may be told to switch off.
    pub began: Timestamp,
    /// From then on it may be told to switch on, and no longer to switch off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off: Option<Timestamp>,
    /// It was told to switch on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Timestamp>,
}

impl Cycle {
    /// Whether the machine was seen off before it was to be switched on (and not just taken for it): then a machine that is on has been
    /// switched on.
    pub fn was_seen_off(&self) -> bool {
        self.off.is_some_and(|off| off < self.began + OFF_SHOWS)
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cycles(Vec<Cycle>);

impl Cycles {
    /// Reads the annotation. What can't be read is as if it were not there: the count begins anew.
    pub fn read(annotation: &str) -> Self {
        Self(serde_json::from_str(annotation).unwrap_or_default())
    }

    /// The annotation's text.
    pub fn text(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// How many were begun.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Cycle> {
        self.0.iter()
    }

    /// The latest.
    pub fn last(&self) -> Option<&Cycle> {
        self.0.last()
    }

    /// The one that is under way: begun, and the order to switch on not given yet.
    pub fn open(&self) -> Option<&Cycle> {
        self.0.last().filter(|cycle| cycle.on.is_none())
    }

    /// With one more that begins now.
    #[must_use]
    pub fn begun(&self, now: Timestamp) -> Self {
        let mut all = self.0.clone();
        all.push(Cycle { began: seconds(now), off: None, on: None });
        all.drain(..all.len().saturating_sub(AT_MOST));
        Self(all)
    }

    /// The machine is off, or taken for it: it is to be switched on. Noted under a time of its own, by which the two orders of a cycle
    /// are told apart.
    #[must_use]
    pub fn switching_on(&self, now: Timestamp) -> Self {
        self.change(|cycle| cycle.off = Some(seconds(now).max(cycle.began + SignedDuration::from_secs(1))))
    }

    /// The order to switch on was given, or there was nothing to undo.
    #[must_use]
    pub fn ended(&self, now: Timestamp) -> Self {
        self.change(|cycle| cycle.on = Some(seconds(now)))
    }

    fn change(&self, change: impl FnOnce(&mut Cycle)) -> Self {
        let mut all = self.clone();
        if let Some(last) = all.0.last_mut() {
            change(last);
        }
        all
    }
}

/// Whole seconds: what a status keeps.
fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back_and_nonsense_is_nothing() {
        let now: Timestamp = "2026-01-01T00:00:00.7Z".parse().unwrap();
        let mut cycles = Cycles::default();
        assert_eq!(cycles.open(), None);
        for step in [Cycles::begun, Cycles::switching_on] {
            cycles = step(&cycles, now);
            assert_eq!(Cycles::read(&cycles.text()), cycles);
            assert!(cycles.open().is_some(), "{cycles:?}");
        }
        assert!(cycles.last().unwrap().was_seen_off());
        cycles = cycles.ended(now);
        assert_eq!((cycles.open(), cycles.count()), (None, 1));
        assert_eq!(cycles.last().unwrap().began, "2026-01-01T00:00:00Z".parse().unwrap());
        for _ in 0..20 {
            cycles = cycles.begun(now).ended(now);
        }
        assert_eq!(cycles.count(), AT_MOST);
        for text in ["", "[", "{}", r#"[{"began": 1}]"#] {
            assert_eq!(Cycles::read(text), Cycles::default(), "{text:?}");
        }
    }
}
