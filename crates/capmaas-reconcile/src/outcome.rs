//! What this process remembers of a step: the executor calls [`Stores::step_begins`] before it sends one and
//! [`Stores::step_ended`] with the answer. Nothing else writes [`Memory`](crate::stores::Memory), so that exploration and the
//! real executor share these rules.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::decision::{Intent, Step};
use crate::fleet::HostSight;
use crate::host::{HostPhase, HostView};
use crate::names::{Key, Kind, Token};
use crate::provider::{Fault, NotOurs, Refusal};
use crate::record::Record;
use crate::stores::{Attempt, Fact, Learned, NameSight, Releases, Stores};

/// What a step that was done brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing that the stores need (the object that a patch returned is learnt as a [`Fact`], after this).
    Done,
    /// The host, as the answer to a claim, mark, deploy or release showed it.
    Host(Box<HostView>),
    /// The addresses that a name has now.
    Published(BTreeSet<IpAddr>),
}

impl Stores {
    /// A step is about to be sent.
    pub fn step_begins(&mut self, key: &Key, step: &Step) {
        match step {
            Step::Record(Intent::Claim(token) | Intent::Own(token)) => {
                // Minted here, unless the object has it already: then another process may have claimed under it.
                let new =
                    self.maas_machines.get(&key.name).is_none_or(|object| Record::of(object).token() != Some(token));
                self.memory_mut(key).minting = new.then(|| token.clone());
            }
            Step::Claim(order) => {
                self.memory_mut(key).claiming = Some(order.host.clone());
                self.fleet.write_begins(&order.host);
            }
            Step::Mark { host, .. }
            | Step::SwapOff { host, .. }
            | Step::Deploy { host, .. }
            | Step::Release { host, .. }
            | Step::Power { host, .. }
            | Step::Quarantine { host, .. } => {
                if matches!(step, Step::Deploy { .. }) {
                    self.stories.remove(host);
                }
                self.fleet.write_begins(host)
            }
            Step::Record(Intent::PowerCycles(_)) => self.memory_mut(key).cycling = true,
            Step::Record(_)
            | Step::WriteSpec(_)
            | Step::Publish(_)
            | Step::Unpublish(_)
            | Step::TieNode(_)
            | Step::HandOver(_)
            | Step::DropFinalizer => {}
        }
    }

    /// A step was answered, or given up. Returns whom that concerns.
    pub fn step_ended(&mut self, key: &Key, step: &Step, answer: Result<Answer, Fault>, now: Timestamp) -> Learned {
        let kind = step.kind();
        let fault = answer.as_ref().err().cloned();
        if let Some(fault) = &fault {
            let attempts = &mut self.memory_mut(key).attempts;
            let count = attempts.get(&kind).map_or(1, |attempt| attempt.count.saturating_add(1));
            attempts.insert(kind, Attempt { count, at: now, fault: fault.clone() });
        } else {
            self.memory_mut(key).attempts.remove(&kind);
        }
        match step {
            Step::Record(Intent::Claim(token) | Intent::Own(token)) => {
                let memory = self.memory_mut(key);
                if memory.minting.take().as_ref() == Some(token) && fault.is_none() {
                    memory.recorded_here = true;
                    memory.claim_open_since = None;
                }
                Learned::default()
            }
            Step::Record(Intent::PowerCycles(_)) => {
                // A write without an answer may have been taken: it counts until the next one shows what stands.
                if fault.is_none() {
                    self.memory_mut(key).cycling = false;
                }
                Learned::default()
            }
            Step::Claim(order) => {
                let memory = self.memory_mut(key);
                memory.claiming = None;
                match &fault {
                    None => memory.claimed = Some(order.host.clone()),
                    Some(Fault::Ambiguous { .. }) => {
                        memory.claim_open_since = Some(now);
                        self.tokens.remove(&order.token);
                    }
                    Some(Fault::Rejected { why: Refusal::NoMatch, .. }) => {
                        self.pools.remove(&order.constraints);
                    }
                    Some(Fault::Rejected { .. } | Fault::Unavailable { .. }) => {}
                }
                self.host_answered(&order.host, answer)
            }
            Step::Release { host, token, .. } => {
                if fault.is_none() {
                    self.tokens.remove(token);
                    let memory = self.memory_mut(key);
                    memory.claimed.take_if(|claimed| claimed == host);
                    let before = memory.releases.take().filter(|r| r.host == *host).map_or(0, |r| r.count);
                    memory.releases = Some(Releases { host: host.clone(), count: before.saturating_add(1), at: now });
                    self.remember_if_bad(key, host, token, now);
                }
                self.host_answered(host, answer)
            }
            Step::Power { host, noted, .. } => {
                if fault.is_none() {
                    self.memory_mut(key).powered = Some(*noted);
                }
                self.host_answered(host, answer)
            }
            Step::Mark { host, .. }
            | Step::SwapOff { host, .. }
            | Step::Deploy { host, .. }
            | Step::Quarantine { host, .. } => self.host_answered(host, answer),
            Step::Publish(order) => {
                let Ok(Answer::Published(addresses)) = answer else { return Learned::default() };
                let left = match self.names.get(&order.name) {
                    Some(NameSight::Published(before, _)) => !before.is_subset(&addresses),
                    _ => false,
                };
                if left {
                    self.memory_mut(key).last_removal = Some(now);
                }
                self.name_written(&order.name, Some(addresses), now)
            }
            Step::Unpublish(name) if fault.is_none() => self.name_written(name, None, now),
            Step::Record(_)
            | Step::WriteSpec(_)
            | Step::Unpublish(_)
            | Step::TieNode(_)
            | Step::HandOver(_)
            | Step::DropFinalizer => Learned::default(),
        }
    }

    /// A fresh look before a step showed that the host is not held for the claim: what was seen is learnt, and plan meets the
    /// refusal.
    pub fn step_not_ours(&mut self, key: &Key, step: &Step, not_ours: &NotOurs, now: Timestamp) -> Learned {
        let fault = Fault::Rejected { why: Refusal::NotOurs, message: not_ours.to_string() };
        let mut learned = self.step_ended(key, step, Err(fault), now);
        if let Step::Release { host, token, .. } = step {
            // What an earlier look-up found under the token is not so any more.
            if let Some(sight) = self.tokens.get_mut(token) {
                sight.hits.remove(host);
            }
            self.memory_mut(key).claimed.take_if(|claimed| claimed == host);
        }
        let sent = self.fleet.send();
        let seen = self.learn(Fact::Host(not_ours.view.clone(), sent), now);
        learned.topics.extend(seen.topics);
        learned
    }

    fn host_answered(&mut self, host: &capi_types::SystemId, answer: Result<Answer, Fault>) -> Learned {
        match answer {
            Ok(Answer::Host(view)) => self.host_written(host, Some(*view)),
            Err(Fault::Ambiguous { .. }) => self.host_unclear(host),
            Ok(Answer::Done | Answer::Published(_)) | Err(_) => self.host_written(host, None),
        }
    }

    /// A host that is released because its deployment failed is not to be claimed for the same cluster again soon.
    fn remember_if_bad(&mut self, key: &Key, host: &capi_types::SystemId, token: &Token, now: Timestamp) {
        let HostSight::Seen(view) = self.fleet.get(host) else { return };
        if view.phase != HostPhase::DeployFailed || key.kind != Kind::Machine {
            return;
        }
        let why = view.error.clone();
        let Some(cluster) = self.observe_machine(&key.name).and_then(|seen| Some(seen.cluster?.0)) else { return };
        let known = self.failed.entry(cluster).or_default();
        if !known.has(host, token, now) {
            *known = std::mem::take(known).with(host, token, &why, now);
        }
    }
}
