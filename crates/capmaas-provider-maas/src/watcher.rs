//! When to read what. Pure: no calls, no clock.

use std::collections::{BTreeMap, BTreeSet};

use capi_types::SystemId;
use capmaas_reconcile::fleet::HostSight;
use capmaas_reconcile::host::{HostPhase, Power};
use capmaas_reconcile::names::{Constraints, DnsName, Token};
use capmaas_reconcile::stores::{NameSight, Stores};
use capmaas_reconcile::topic::Topic;
use jiff::{SignedDuration, Timestamp};

/// Ids in one query: keeps the URL below the 8 KB header buffer of MAAS's nginx.
const IDS: usize = 500;
/// First wait after a failed read; doubles.
const BACKOFF: SignedDuration = SignedDuration::from_secs(1);
/// Longest wait after a failed read.
const BACKOFF_MAX: SignedDuration = SignedDuration::from_secs(60);
/// A host whose report did not count (a write was under way) is read again no sooner than this.
const HOST_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// How often things are read, policy time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Machines on their way somewhere; only while somebody waits for one. A deployment takes minutes: with 50 at once this keeps a
    /// machine below four requests in all, its three writes among them.
    pub in_flight: SignedDuration,
    /// Deployed machines that lost power: to be noticed within a minute.
    pub lost: SignedDuration,
    /// All awaited machines by id.
    pub sweep: SignedDuration,
    /// Machines under a token whose claim had no clear answer.
    pub token: SignedDuration,
    /// What befell a machine that is in trouble.
    pub story: SignedDuration,
    /// Machines that are Allocated to our user without marks; also how long one must be so before it is asked whose it is.
    pub unmarked: SignedDuration,
    /// Free machines, per distinct set of constraints.
    pub pool: SignedDuration,
    /// Machines that match constraints, whoever holds them, per distinct set: machines are bought and scrapped seldom, and such a
    /// list is long.
    pub hardware: SignedDuration,
    /// A DNS name.
    pub name: SignedDuration,
    /// The domains.
    pub domains: SignedDuration,
    /// The zones.
    pub zones: SignedDuration,
}

impl Default for Periods {
    fn default() -> Self {
        let seconds = SignedDuration::from_secs;
        Self {
            in_flight: seconds(20),
            lost: seconds(45),
            sweep: seconds(600),
            token: seconds(5),
            story: seconds(300),
            unmarked: seconds(120),
            pool: seconds(15),
            hardware: seconds(3600),
            name: seconds(60),
            domains: seconds(60),
            zones: seconds(300),
        }
    }
}

impl Periods {
    fn longest(&self) -> SignedDuration {
        let Self { in_flight, lost, sweep, token, story, unmarked, pool, hardware, name, domains, zones } = *self;
        let all = [in_flight, lost, sweep, token, story, unmarked, pool, hardware, name, domains, zones];
        all.into_iter().max().unwrap_or(sweep)
    }
}

/// One read, for [`crate::MaasRegion::read`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    /// These machines by id, at most 500.
    Hosts(BTreeSet<SystemId>),
    /// All of ours that are neither Ready nor Deployed; the expected ones that are not among them are then read by id.
    InFlight {
        /// Awaited hosts that were in flight when last seen.
        expected: BTreeSet<SystemId>,
    },
    /// All of ours that are Deployed and not known to be on; the expected ones that are not among them are then read by id.
    Lost {
        /// Awaited Deployed hosts that were not on when last seen.
        expected: BTreeSet<SystemId>,
    },
    /// The safety net: awaited machines by id, at most 500.
    Sweep(BTreeSet<SystemId>),
    /// Machines allocated under a token.
    Token(Token),
    /// What befell a machine: its latest error events, and the end of its installation's log.
    Story(SystemId),
    /// Machines that are Allocated to our user without marks.
    Unmarked,
    /// Under which of these claims each of these machines was allocated.
    Whose {
        /// Machines that look lost.
        strays: BTreeSet<SystemId>,
        /// All claims that are recorded.
        tokens: BTreeSet<Token>,
    },
    /// Ready machines that satisfy constraints.
    Pool(Constraints),
    /// Machines that satisfy constraints, whoever holds them.
    Hardware(Constraints),
    /// A DNS name.
    Name(DnsName),
    /// The domains.
    Domains,
    /// The zones.
    Zones,
}

/// What to read now, and when to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// To be read now, in this order.
    pub queries: Vec<Query>,
    /// The earliest time anything awaited is due apart from these; never in the past.
    pub next: Timestamp,
}

/// What shares one timer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Hosts,
    InFlight,
    Lost,
    Sweep,
    Token(Token),
    Story(SystemId),
    Unmarked,
    Whose,
    Pool(Constraints),
    Hardware(Constraints),
    Name(DnsName),
    Domains,
    Zones,
}

impl Query {
    fn slot(&self) -> Slot {
        match self {
            Self::Hosts(_) => Slot::Hosts,
            Self::InFlight { .. } => Slot::InFlight,
            Self::Lost { .. } => Slot::Lost,
            Self::Sweep(_) => Slot::Sweep,
            Self::Token(token) => Slot::Token(token.clone()),
            Self::Story(id) => Slot::Story(id.clone()),
            Self::Unmarked => Slot::Unmarked,
            Self::Whose { .. } => Slot::Whose,
            Self::Pool(constraints) => Slot::Pool(constraints.clone()),
            Self::Hardware(constraints) => Slot::Hardware(constraints.clone()),
            Self::Name(name) => Slot::Name(name.clone()),
            Self::Domains => Slot::Domains,
            Self::Zones => Slot::Zones,
        }
    }
}

/// When a slot was last answered, or how often in a row it failed.
#[derive(Clone, Copy, Debug)]
struct Last {
    at: Timestamp,
    failures: u32,
}

impl Last {
    fn retry(&self) -> Timestamp {
        let doubled = BACKOFF * 2i32.saturating_pow(self.failures.saturating_sub(1).min(10));
        self.at + doubled.min(BACKOFF_MAX)
    }
}

/// The schedule of one region's reads.
#[derive(Clone, Debug, Default)]
pub struct Watcher {
    periods: Periods,
    slots: BTreeMap<Slot, Last>,
    hosts_read: BTreeMap<SystemId, Timestamp>,
}

impl Watcher {
    /// A schedule with other periods than the default ones.
    pub fn new(periods: Periods) -> Self {
        Self { periods, ..Self::default() }
    }

    /// What is to be read, given what is awaited and known.
    pub fn due(&self, awaited: &BTreeSet<Topic>, stores: &Stores, now: Timestamp) -> Due {
        let mut draft = Draft { watcher: self, now, queries: Vec::new(), next: now + self.periods.sweep };
        let p = &self.periods;
        self.due_hosts(&mut draft, awaited, stores);
        for topic in awaited {
            match topic {
                Topic::Token(token) => {
                    let missing = !stores.tokens.contains_key(token);
                    draft.single(Query::Token(token.clone()), missing, p.token);
                }
                Topic::Story(id) => {
                    let missing = !stores.stories.contains_key(id);
                    draft.single(Query::Story(id.clone()), missing, p.story);
                }
                Topic::Strays => {
                    draft.single(Query::Unmarked, false, p.unmarked);
                    self.due_whose(&mut draft, stores);
                }
                Topic::Pool(constraints) => {
                    let missing = !stores.pools.contains_key(constraints);
                    draft.single(Query::Pool(constraints.clone()), missing, p.pool);
                }
                Topic::Hardware(constraints) => {
                    let missing = !stores.hardware.contains_key(constraints);
                    draft.single(Query::Hardware(constraints.clone()), missing, p.hardware);
                }
                Topic::Name(name) => {
                    let missing = matches!(stores.names.get(name), None | Some(NameSight::Unread));
                    draft.single(Query::Name(name.clone()), missing, p.name);
                }
                Topic::Domains => draft.single(Query::Domains, stores.domains.is_none(), p.domains),
                Topic::Zones => draft.single(Query::Zones, stores.zones.is_none(), p.zones),
                Topic::Host(_)
                | Topic::Region
                | Topic::Cluster(_)
                | Topic::CoreMachine(_)
                | Topic::Members(_)
                | Topic::Clones(_)
                | Topic::Leftovers
                | Topic::Nodes(_)
                | Topic::Health(_) => {}
            }
        }
        Due { queries: draft.queries, next: draft.next.max(now) }
    }

    fn due_hosts(&self, draft: &mut Draft<'_>, awaited: &BTreeSet<Topic>, stores: &Stores) {
        let mut unread = BTreeSet::new();
        let (mut in_flight, mut lost, mut all) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut deployed = false;
        for topic in awaited {
            let Topic::Host(id) = topic else { continue };
            match stores.fleet.get(id) {
                HostSight::Unread => {
                    unread.insert(id.clone());
                    continue;
                }
                HostSight::Gone => {}
                HostSight::Seen(view) => match view.phase {
                    HostPhase::Deployed => {
                        deployed = true;
                        if view.power != Power::On {
                            lost.insert(id.clone());
                        }
                    }
                    HostPhase::Free => {}
                    HostPhase::Claimed
                    | HostPhase::Deploying
                    | HostPhase::DeployFailed
                    | HostPhase::Releasing
                    | HostPhase::ReleaseFailed
                    | HostPhase::Broken
                    | HostPhase::Operator
                    | HostPhase::Unknown => {
                        in_flight.insert(id.clone());
                    }
                },
            }
            all.insert(id.clone());
        }
        let mut now_unread = BTreeSet::new();
        for id in unread {
            let again = self.hosts_read.get(&id).map(|read| *read + HOST_AGAIN);
            let at = self.retry_at(&Slot::Hosts).max(again).unwrap_or(draft.now);
            if draft.reached(at) {
                now_unread.insert(id);
            }
        }
        draft.batches(&now_unread, Query::Hosts);
        if !in_flight.is_empty() {
            draft.single(Query::InFlight { expected: in_flight }, false, self.periods.in_flight);
        }
        if deployed {
            draft.single(Query::Lost { expected: lost }, false, self.periods.lost);
        }
        if !all.is_empty() {
            // What is awaited was read when it first became awaited: the first sweep is one period after the first answer.
            let at = match self.slots.get(&Slot::Sweep) {
                Some(last) if last.failures > 0 => last.retry(),
                Some(last) => last.at + self.periods.sweep,
                None => draft.now + self.periods.sweep,
            };
            if draft.reached(at) {
                draft.batches(&all, Query::Sweep);
            }
        }
    }

    /// Machines that have looked lost for a while, and whether some claim of ours knows them: asked once, and seldom again.
    fn due_whose(&self, draft: &mut Draft<'_>, stores: &Stores) {
        let taken: BTreeSet<_> = stores.reserved().map(|(_, id)| id).collect();
        let mut strays = BTreeSet::new();
        for (id, stray) in &stores.strays {
            let at = match &stray.asked {
                None => stray.since + self.periods.unmarked,
                Some((asked, _)) => *asked + self.periods.sweep,
            };
            if !taken.contains(id) && draft.reached(at) {
                strays.insert(id.clone());
            }
        }
        let tokens: BTreeSet<_> = stores.claims().collect();
        if !strays.is_empty() && !tokens.is_empty() {
            draft.single(Query::Whose { strays, tokens }, true, self.periods.sweep);
        }
    }

    fn retry_at(&self, slot: &Slot) -> Option<Timestamp> {
        self.slots.get(slot).filter(|last| last.failures > 0).map(Last::retry)
    }

    /// A read was answered, or failed: it backs off then, one second doubling to sixty.
    pub fn answered(&mut self, query: &Query, at: Timestamp, ok: bool) {
        self.slots.entry(Slot::Sweep).or_insert(Last { at, failures: 0 });
        self.hosts_read.retain(|_, read| *read + HOST_AGAIN > at);
        if let (Query::Hosts(ids), true) = (query, ok) {
            self.hosts_read.extend(ids.iter().map(|id| (id.clone(), at)));
        }
        let last = self.slots.entry(query.slot()).or_insert(Last { at, failures: 0 });
        if !ok {
            *last = Last { at, failures: last.failures.saturating_add(1) };
        } else if last.failures == 0 || at >= last.retry() {
            // A batch that succeeds right after another one failed does not call the retry off.
            *last = Last { at, failures: 0 };
        }
        // Tokens, pools and names come and go: what was not asked for within twice the longest period is forgotten.
        let keep = self.periods.longest().max(BACKOFF_MAX) * 2;
        self.slots.retain(|slot, last| *slot == Slot::Sweep || last.at + keep > at);
    }
}

struct Draft<'a> {
    watcher: &'a Watcher,
    now: Timestamp,
    queries: Vec<Query>,
    next: Timestamp,
}

impl Draft<'_> {
    /// True when `at` is now; else it is remembered as a time to look again.
    fn reached(&mut self, at: Timestamp) -> bool {
        if at <= self.now {
            return true;
        }
        self.next = self.next.min(at);
        false
    }

    /// A read with a timer of its own. `missing`: nothing is known, so it does not wait for the period.
    fn single(&mut self, query: Query, missing: bool, period: SignedDuration) {
        let at = match self.watcher.slots.get(&query.slot()) {
            Some(last) if last.failures > 0 => last.retry(),
            Some(last) if !missing => last.at + period,
            _ => self.now,
        };
        if self.reached(at) {
            self.next = self.next.min(self.now + period);
            self.queries.push(query);
        }
    }

    fn batches(&mut self, ids: &BTreeSet<SystemId>, query: fn(BTreeSet<SystemId>) -> Query) {
        let ids: Vec<_> = ids.iter().cloned().collect();
        self.queries.extend(ids.chunks(IDS).map(|part| query(part.iter().cloned().collect())));
    }
}

#[cfg(test)]
mod tests;
