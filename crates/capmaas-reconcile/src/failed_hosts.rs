//! The memory of bad hardware (design rule 5.4): which hosts failed deployments for a cluster, kept in an annotation of its MaasCluster.
//!
//! It has to outlive the MaasMachine (its replacement must not get the same box), the process, and a move to another management
//! cluster. The plan of the MaasCluster writes it when it sees a host that failed; the plan of the MaasMachine gives that host back only
//! when it is written.

use std::collections::BTreeMap;

use capi_types::SystemId;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::names::Token;

/// A host that failed is not claimed for the same cluster for this long; doubles per failure.
pub const AVOIDED: SignedDuration = SignedDuration::from_mins(30);
/// It doubles so often at most: 32 hours.
const DOUBLED: u32 = 6;
/// What is older than this is forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24 * 14);
/// How many hosts are remembered; the latest ones.
const AT_MOST: usize = 64;
/// Longest text of a reason, in characters.
const REASON: usize = 200;

/// What is remembered of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedHost {
    /// How often it failed.
    pub failures: u32,
    /// When last, as far as we saw.
    pub at: Timestamp,
    /// For which claim.
    pub claim: String,
    /// What MAAS said.
    #[serde(default)]
    pub why: String,
}

impl FailedHost {
    /// Until when this cluster does not claim it.
    pub fn avoided_until(&self) -> Timestamp {
        let doubled = 2i32.saturating_pow(self.failures.saturating_sub(1).min(DOUBLED));
        self.at + AVOIDED.checked_mul(doubled).unwrap_or(AVOIDED)
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedHosts(BTreeMap<SystemId, FailedHost>);

impl FailedHosts {
    /// Reads the annotation. What can't be read is as if it were not there: the memory begins anew.
    pub fn read(annotation: &str) -> Self {
        let known: BTreeMap<String, FailedHost> = serde_json::from_str(annotation).unwrap_or_default();
        Self(known.into_iter().filter_map(|(id, host)| Some((id.parse().ok()?, host))).collect())
    }

    /// The annotation's text.
    pub fn text(&self) -> String {
        let known: BTreeMap<_, _> = self.0.iter().map(|(id, host)| (id.as_str(), host)).collect();
        serde_json::to_string(&known).unwrap_or_default()
    }

    /// What is remembered of a host.
    pub fn get(&self, host: &SystemId) -> Option<&FailedHost> {
        self.0.get(host)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&SystemId, &FailedHost)> {
        self.0.iter()
    }

    /// Whether this failure is noted: the same claim can't get the host again before it is no longer avoided.
    pub fn has(&self, host: &SystemId, claim: &Token, now: Timestamp) -> bool {
        self.0.get(host).is_some_and(|known| known.claim == claim.as_str() && now < known.avoided_until())
    }

    /// Both memories; of a host that is in both, the one that saw more.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        for (id, seen) in &other.0 {
            let known = self.0.entry(id.clone()).or_insert_with(|| seen.clone());
            if (known.failures, known.at) < (seen.failures, seen.at) {
                known.clone_from(seen);
            }
        }
        self
    }

    /// With one failure more.
    #[must_use]
    pub fn with(mut self, host: &SystemId, claim: &Token, why: &str, now: Timestamp) -> Self {
        let failures = self.0.get(host).map_or(1, |known| known.failures.saturating_add(1));
        // Whole seconds are enough, and what is planned twice within one is the same.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let why = why.chars().take(REASON).collect();
        self.0.insert(host.clone(), FailedHost { failures, at: now, claim: claim.to_string(), why });
        self.0.retain(|_, known| known.at + FORGOTTEN > now);
        while self.0.len() > AT_MOST {
            let oldest = self.0.iter().min_by_key(|(id, known)| (known.at, (*id).clone())).map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                self.0.remove(&oldest);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    #[test]
    fn what_is_written_is_read_back_and_nonsense_is_nothing() {
        let id: SystemId = "abc123".parse().unwrap();
        let one = FailedHosts::default().with(&id, &Token::mint("1"), "disk", at(0));
        assert_eq!(FailedHosts::read(&one.text()), one);
        for nonsense in ["", "x", "[]", "{\"ABC\":{}}"] {
            assert_eq!(FailedHosts::read(nonsense), FailedHosts::default(), "{nonsense}");
        }
    }

    #[test]
    fn a_failure_counts_once_per_claim_and_the_time_doubles_with_each() {
        let id: SystemId = "abc123".parse().unwrap();
        let (one, two) = (Token::mint("1"), Token::mint("2"));
        let hosts = FailedHosts::default().with(&id, &one, "disk", at(0));
        assert!(hosts.has(&id, &one, at(29)) && !hosts.has(&id, &two, at(29)) && !hosts.has(&id, &one, at(30)));
        let hosts = hosts.with(&id, &two, "disk", at(40));
        assert_eq!(hosts.get(&id).map(FailedHost::avoided_until), Some(at(100)));
        let mut many = hosts;
        for n in 0..30 {
            many = many.with(&id, &Token::mint(&n.to_string()), "disk", at(0));
        }
        assert_eq!(many.get(&id).map(FailedHost::avoided_until), Some(at(30 * 64)), "there is a longest time");
    }

    #[test]
    fn the_latest_64_hosts_of_two_weeks_are_remembered() {
        let id = |n: usize| -> SystemId { format!("h{n:03}").parse().unwrap() };
        let mut hosts = FailedHosts::default();
        for n in 0..80u16 {
            hosts = hosts.with(&id(n.into()), &Token::mint("1"), "", at(n.into()));
        }
        assert_eq!(hosts.iter().count(), 64);
        assert!(hosts.get(&id(15)).is_none() && hosts.get(&id(16)).is_some());
        let later = hosts.with(&id(99), &Token::mint("1"), "", at(60 * 24 * 15));
        assert_eq!(later.iter().count(), 1);
    }
}
