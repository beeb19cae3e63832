//! The model fleet: a MAAS region small enough to explore, and the second [`Provider`].
//!
//! It keeps what matters for claims and no more: who holds a host, the claim token (stored by a claim, wiped when a release
//! starts, never shown), the marks, and DNS names. Nothing happens by itself: [`ModelFleet::advance`] and [`ModelFleet::fail`]
//! move a host on, [`ModelFleet::inject`] makes the next write go wrong, [`ModelFleet::facts`] reads as a fleet watcher would.
//! Its futures never wait, so that `now_or_never` and `block_on` are enough.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use capi_types::SystemId;
use jiff::Timestamp;

use crate::fleet::Seq;
use crate::host::{Hardware, Holder, HostPhase, HostView, Power, Story};
use crate::names::{DnsName, Token};
use crate::placement::{Constraints, Survey, explain};
use crate::provider::{
    ClaimOrder, DeployOrder, Fault, Marks, Proof, Provider, PublishOrder, QuarantineOrder, Recorded, Refusal,
    ReleaseOrder, Verdict,
};
use crate::stores::{Fact, PoolSight, Region, RegionFacts};
use crate::topic::Topic;

/// A free host with 8 cores and 16 GiB in zone and pool `default`, powered off.
///
/// # Panics
/// When `id` is not a MAAS system id.
pub fn host(id: &str, hostname: &str) -> HostView {
    HostView {
        id: id.parse().expect("a model host has a valid system id"),
        hostname: hostname.to_owned(),
        fqdn: format!("{hostname}.maas"),
        zone: "default".to_owned(),
        pool: "default".to_owned(),
        phase: HostPhase::Free,
        status_name: "Ready".to_owned(),
        error: String::new(),
        power: Power::Off,
        holder: Holder::Nobody,
        locked: false,
        architecture: "amd64/generic".to_owned(),
        cpu: 8,
        memory_mib: 16384,
        addresses: Vec::new(),
        attachments: BTreeMap::new(),
        tags: BTreeSet::new(),
        in_memory: false,
        swap_off: false,
    }
}

/// What goes wrong with the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Injected {
    /// It is refused; nothing happens.
    Rejected(Refusal),
    /// It does not get through.
    Unavailable,
    /// It gets lost on the way there.
    AmbiguousLost,
    /// It takes effect; the answer gets lost.
    AmbiguousDone,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Metal {
    view: HostView,
    agent: Option<Token>,
    user_data: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct World {
    hosts: BTreeMap<SystemId, Metal>,
    names: BTreeMap<DnsName, BTreeSet<IpAddr>>,
    faults: VecDeque<Injected>,
    down: bool,
    writes: u64,
    trespasses: Vec<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct ModelFleet {
    world: Mutex<World>,
}

impl Clone for ModelFleet {
    fn clone(&self) -> Self {
        Self { world: Mutex::new(self.world().clone()) }
    }
}

impl ModelFleet {
    /// A fleet of these hosts.
    pub fn new(hosts: impl IntoIterator<Item = HostView>) -> Self {
        let metal = |view: HostView| (view.id.clone(), Metal { view, agent: None, user_data: Vec::new() });
        let world = World { hosts: hosts.into_iter().map(metal).collect(), ..World::default() };
        Self { world: Mutex::new(world) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- what a test looks at

    /// The hosts as they are.
    pub fn hosts(&self) -> Vec<HostView> {
        self.world().hosts.values().map(|metal| metal.view.clone()).collect()
    }

    /// A host as it is.
    pub fn get(&self, id: &SystemId) -> Option<HostView> {
        self.world().hosts.get(id).map(|metal| metal.view.clone())
    }

    /// The token a host was claimed under, until its release starts. MAAS does not show it; tests may look.
    pub fn agent_name(&self, id: &SystemId) -> Option<Token> {
        self.world().hosts.get(id)?.agent.clone()
    }

    /// What was handed over with the last deployment.
    pub fn user_data(&self, id: &SystemId) -> Vec<u8> {
        self.world().hosts.get(id).map(|metal| metal.user_data.clone()).unwrap_or_default()
    }

    /// The addresses of a name; `None` when there is no such name.
    pub fn name(&self, name: &DnsName) -> Option<BTreeSet<IpAddr>> {
        self.world().names.get(name).cloned()
    }

    /// How many writes were tried.
    pub fn writes(&self) -> u64 {
        self.world().writes
    }

    /// Writes that were tried on hosts that are not held for the claim they came with. There must never be one.
    pub fn trespasses(&self) -> Vec<String> {
        self.world().trespasses.clone()
    }

    // ---- how the world goes on

    /// Puts a host there, or changes it behind everybody's back (an operator at work).
    pub fn put(&self, view: HostView) {
        let mut world = self.world();
        let agent = world.hosts.get(&view.id).and_then(|old| old.agent.clone());
        let agent = agent.filter(|_| matches!(view.holder, Holder::Us(_)));
        world.hosts.insert(view.id.clone(), Metal { view, agent, user_data: Vec::new() });
    }

    /// Puts a host there as somebody else's claim under `token` left it: held by our user, without marks.
    pub fn put_claimed(&self, mut view: HostView, token: Token) {
        view.holder = Holder::Us(None);
        let id = view.id.clone();
        self.world().hosts.insert(id, Metal { view, agent: Some(token), user_data: Vec::new() });
    }

    /// Takes a host out of the region.
    pub fn remove(&self, id: &SystemId) {
        self.world().hosts.remove(id);
    }

    /// Sets the addresses of a name behind everybody's back.
    pub fn put_name(&self, name: DnsName, addresses: BTreeSet<IpAddr>) {
        self.world().names.insert(name, addresses);
    }

    /// Deploying ends in Deployed, Releasing in Ready. False when nothing was under way.
    pub fn advance(&self, id: &SystemId) -> bool {
        let mut world = self.world();
        let Some(metal) = world.hosts.get_mut(id) else { return false };
        match metal.view.phase {
            HostPhase::Deploying => metal.is(HostPhase::Deployed, "Deployed"),
            HostPhase::Releasing => {
                metal.is(HostPhase::Free, "Ready");
                metal.view.holder = Holder::Nobody;
                metal.view.addresses.clear();
                metal.user_data.clear();
            }
            _ => return false,
        }
        true
    }

    /// Deploying ends in Failed deployment, Releasing in Releasing failed. False when nothing was under way.
    pub fn fail(&self, id: &SystemId, why: &str) -> bool {
        let mut world = self.world();
        let Some(metal) = world.hosts.get_mut(id) else { return false };
        match metal.view.phase {
            HostPhase::Deploying => metal.is(HostPhase::DeployFailed, "Failed deployment"),
            HostPhase::Releasing => metal.is(HostPhase::ReleaseFailed, "Releasing failed"),
            _ => return false,
        }
        metal.view.error = why.to_owned();
        true
    }

    /// The next write goes wrong like this; several are kept in order.
    pub fn inject(&self, fault: Injected) {
        self.world().faults.push_back(fault);
    }

    /// Forgets injected faults that no write has met.
    pub fn clear_injected(&self) {
        self.world().faults.clear();
    }

    /// While down, every call is [`Fault::Unavailable`].
    pub fn set_down(&self, down: bool) {
        self.world().down = down;
    }

    // ---- how it is read

    /// Reads a topic as the fleet watcher would; `now` is when the question is sent and `sent` its number.
    pub fn facts(&self, topic: &Topic, sent: Seq, now: Timestamp) -> Vec<Fact> {
        let world = self.world();
        if world.down {
            return match topic {
                Topic::Region => vec![Fact::Region(Region::Down("connection refused".to_owned()))],
                _ => Vec::new(),
            };
        }
        let seen = |metal: &Metal| Fact::Host(Box::new(metal.view.clone()), sent);
        match topic {
            Topic::Region => {
                let facts = RegionFacts { user: USER.to_owned(), is_admin: true, version: "3.7.3".to_owned() };
                vec![Fact::Region(Region::Up(facts))]
            }
            Topic::Host(id) => vec![world.hosts.get(id).map_or(Fact::HostGone(id.clone(), sent), seen)],
            Topic::Story(id) => {
                let error = world.hosts.get(id).map(|metal| metal.view.error.clone()).filter(|error| !error.is_empty());
                let story =
                    Story { errors: error.map(|error| (now, error)).into_iter().collect(), log_tail: String::new() };
                vec![Fact::Story(id.clone(), Box::new(story))]
            }
            Topic::Strays => {
                let lost =
                    |metal: &&Metal| metal.view.phase == HostPhase::Claimed && metal.view.holder == Holder::Us(None);
                let lost: Vec<_> = world.hosts.values().filter(lost).collect();
                let ids = lost.iter().map(|metal| metal.view.id.clone()).collect();
                let whose = lost.iter().map(|metal| (metal.view.id.clone(), metal.agent.clone())).collect();
                lost.into_iter().map(seen).chain([Fact::Unmarked(ids), Fact::Whose(whose, now)]).collect()
            }
            Topic::Token(token) => {
                let hits: Vec<_> = world.hosts.values().filter(|metal| metal.agent.as_ref() == Some(token)).collect();
                let ids = hits.iter().map(|metal| metal.view.id.clone()).collect();
                hits.into_iter().map(seen).chain([Fact::Token(token.clone(), ids, now)]).collect()
            }
            Topic::Pool(constraints) => {
                let free: Vec<_> = world.hosts.values().filter(|metal| metal.can_serve(constraints)).collect();
                let ids = free.iter().map(|metal| metal.view.id.clone()).collect();
                let pool = Fact::Pool(constraints.clone(), PoolSight::Hosts(ids));
                free.into_iter().map(seen).chain([pool]).collect()
            }
            Topic::Free(constraints) => {
                drop(world);
                self.facts(&Topic::Pool(constraints.clone()), sent, now)
            }
            Topic::Explanation(constraints) => {
                let ready = world.hosts.values().filter(|metal| metal.can_serve(&Constraints::default()));
                let hosts: Vec<_> = ready.map(|metal| metal.view.clone()).collect();
                let told_by_maas =
                    constraints.rules().filter(|rule| hosts.iter().any(|host| rule.admits(host).is_none()));
                let by_maas = told_by_maas.map(|rule| (rule.clone(), BTreeSet::new())).collect();
                vec![Fact::Explanation(constraints.clone(), explain(constraints, &Survey { hosts, by_maas }))]
            }
            Topic::Hardware(constraints) => {
                let fit = world.hosts.values().map(|metal| &metal.view).filter(|view| satisfies(view, constraints));
                let make = |view: &HostView| Hardware {
                    architecture: "amd64".to_owned(),
                    cpu: view.cpu,
                    memory_mib: view.memory_mib,
                };
                vec![Fact::Hardware(constraints.clone(), fit.map(make).collect())]
            }
            Topic::Name(name) => vec![Fact::Name(name.clone(), world.names.get(name).cloned(), sent)],
            Topic::Domains => vec![Fact::Domains(BTreeSet::from(["maas".to_owned()]))],
            Topic::Zones => vec![Fact::Zones(world.hosts.values().map(|metal| metal.view.zone.clone()).collect())],
            Topic::Cluster(_)
            | Topic::CoreMachine(_)
            | Topic::Members(_)
            | Topic::Clones(_)
            | Topic::Leftovers
            | Topic::Nodes(_)
            | Topic::Health(_) => Vec::new(),
        }
    }
}

/// The MAAS user name of the model's [`Holder::Us`].
const USER: &str = "capmaas";

impl Metal {
    fn is(&mut self, phase: HostPhase, status: &str) {
        self.view.phase = phase;
        status.clone_into(&mut self.view.status_name);
        self.view.error.clear();
        self.view.power = match phase {
            HostPhase::Deploying | HostPhase::Deployed => Power::On,
            _ => Power::Off,
        };
    }

    fn can_serve(&self, wanted: &Constraints) -> bool {
        let view = &self.view;
        view.phase == HostPhase::Free && !view.locked && satisfies(view, wanted)
    }

    /// Held by our user, for this claim as far as marks and token tell.
    fn is_held_for(&self, token: &Token) -> bool {
        match &self.view.holder {
            Holder::Us(Some(mark)) => mark == token,
            // A takeover proves by host name; there is no token then.
            Holder::Us(None) => self.agent.as_ref().is_none_or(|agent| agent == token),
            Holder::Nobody | Holder::Other(_) => false,
        }
    }
}

fn satisfies(view: &HostView, wanted: &Constraints) -> bool {
    // Disks, networks and devices the model has none of, so nothing has them.
    wanted.rules().all(|rule| rule.admits(view) == Some(true))
}

/// The address of the nth host.
fn address(nth: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(nth + 10).unwrap_or(u8::MAX)))
}

fn refused<T>(why: Refusal, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Rejected { why, message: message.into() })
}

impl World {
    /// One write: the fault that is injected for it, or the thing itself.
    fn write<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.writes += 1;
        if self.down {
            return Err(Fault::Unavailable { message: "connection refused".to_owned() });
        }
        let lost = || Err(Fault::Ambiguous { message: "the connection was closed before an answer came".to_owned() });
        match self.faults.pop_front() {
            None => act(self),
            Some(Injected::Rejected(why)) => refused(why, format!("refused: {why:?}")),
            Some(Injected::Unavailable) => Err(Fault::Unavailable { message: "MAAS is busy".to_owned() }),
            Some(Injected::AmbiguousLost) => lost(),
            Some(Injected::AmbiguousDone) => act(self).and_then(|_| lost()),
        }
    }

    /// The host that a proof speaks of, still held for it. Anything else is what must never be tried.
    fn held(&mut self, proof: &Proof, what: &str) -> Result<&mut Metal, Fault> {
        let id = proof.host();
        if !self.hosts.get(id).is_some_and(|metal| metal.is_held_for(proof.token())) {
            self.trespasses.push(format!("{what} {id} for {}", proof.token()));
            return refused(Refusal::NotOurs, format!("machine {id} is not held by {USER} for {}", proof.token()));
        }
        match self.hosts.get_mut(id) {
            Some(metal) if metal.view.locked => refused(Refusal::Locked, format!("machine {id} is locked")),
            Some(metal) => Ok(metal),
            None => refused(Refusal::Gone, format!("there is no machine {id}")),
        }
    }
}

#[async_trait]
impl Provider for ModelFleet {
    async fn claim(&self, intent: &Recorded, order: &ClaimOrder) -> Result<(Proof, HostView), Fault> {
        self.world().write(|world| {
            if *intent.token() != order.token {
                return refused(Refusal::Invalid, "the order's token is not the recorded one");
            }
            match world.hosts.get_mut(&order.host) {
                Some(metal) if metal.can_serve(&order.constraints) => {
                    metal.is(HostPhase::Claimed, "Allocated");
                    metal.view.holder = Holder::Us(None);
                    metal.agent = Some(order.token.clone());
                    let view = metal.view.clone();
                    match Proof::from_claim(&view, order) {
                        Ok(proof) => Ok((proof, view)),
                        Err(not) => refused(Refusal::NotOurs, not.to_string()),
                    }
                }
                _ => refused(Refusal::NoMatch, format!("No machine with system ID {} available.", order.host)),
            }
        })
    }

    async fn prove(&self, host: &SystemId, token: &Token, takeover: Option<String>) -> Result<Verdict, Fault> {
        let world = self.world();
        if world.down {
            return Err(Fault::Unavailable { message: "connection refused".to_owned() });
        }
        let Some(metal) = world.hosts.get(host) else { return Ok(Verdict::Gone) };
        let view = metal.view.clone();
        let proof = match takeover {
            _ if metal.agent.as_ref() == Some(token) => Proof::from_token_query(&view, token),
            Some(hostname) if view.holder == Holder::Us(None) => Proof::from_takeover(&view, token, &hostname),
            _ => Proof::from_marks(&view, token),
        };
        Ok(match proof {
            Ok(proof) => Verdict::Ours(proof, view),
            Err(not_ours) => Verdict::NotOurs(not_ours),
        })
    }

    async fn mark(&self, proof: Proof, _: &Marks) -> Result<(Proof, HostView), Fault> {
        self.world().write(|world| {
            let metal = world.held(&proof, "mark")?;
            metal.view.holder = Holder::Us(Some(proof.token().clone()));
            Ok((proof, metal.view.clone()))
        })
    }

    async fn deploy(&self, proof: Proof, order: &DeployOrder, user_data: &[u8]) -> Result<HostView, Fault> {
        self.world().write(|world| {
            let nth = world.hosts.keys().position(|id| id == proof.host()).unwrap_or_default();
            let metal = world.held(&proof, "deploy")?;
            if metal.view.phase != HostPhase::Claimed {
                return refused(Refusal::WrongState, format!("machine is {}", metal.view.status_name));
            }
            if order.image.is_empty() {
                return refused(Refusal::Invalid, "spec.image: MAAS has no image of that name");
            }
            metal.is(HostPhase::Deploying, "Deploying");
            metal.view.addresses = vec![address(nth)];
            metal.user_data = user_data.to_vec();
            Ok(metal.view.clone())
        })
    }

    async fn release(&self, proof: Proof, _: &ReleaseOrder) -> Result<HostView, Fault> {
        self.world().write(|world| {
            let metal = world.held(&proof, "release")?;
            if metal.view.phase == HostPhase::Operator {
                return refused(Refusal::WrongState, format!("machine is {}", metal.view.status_name));
            }
            metal.is(HostPhase::Releasing, "Releasing");
            metal.agent = None;
            Ok(metal.view.clone())
        })
    }

    async fn swap_off(&self, proof: Proof) -> Result<(Proof, HostView), Fault> {
        self.world().write(|world| {
            let metal = world.held(&proof, "set")?;
            metal.view.swap_off = true;
            Ok((proof, metal.view.clone()))
        })
    }

    async fn power_on(&self, proof: Proof, _: &str) -> Result<HostView, Fault> {
        self.world().write(|world| {
            let metal = world.held(&proof, "power on")?;
            metal.view.power = Power::On;
            Ok(metal.view.clone())
        })
    }

    async fn power_off(&self, proof: Proof, _: &str) -> Result<HostView, Fault> {
        self.world().write(|world| {
            let metal = world.held(&proof, "power off")?;
            metal.view.power = Power::Off;
            Ok(metal.view.clone())
        })
    }

    async fn quarantine(&self, proof: Proof, order: &QuarantineOrder) -> Result<HostView, Fault> {
        self.world().write(|world| {
            let metal = world.held(&proof, "quarantine")?;
            match order {
                QuarantineOrder::Broken { comment } => {
                    // What runs stays owned, so that it can be powered off.
                    let running = metal.view.power == Power::On;
                    metal.is(HostPhase::Broken, "Broken");
                    metal.view.error.clone_from(comment);
                    metal.agent = None;
                    if !running {
                        metal.view.holder = Holder::Nobody;
                    }
                }
                QuarantineOrder::Tag { tag, .. } => {
                    metal.view.tags.insert(tag.clone());
                }
            }
            Ok(metal.view.clone())
        })
    }

    async fn publish(&self, order: &PublishOrder) -> Result<BTreeSet<IpAddr>, Fault> {
        self.world().write(|world| {
            world.names.insert(order.name.clone(), order.addresses.clone());
            Ok(order.addresses.clone())
        })
    }

    async fn unpublish(&self, name: &DnsName) -> Result<(), Fault> {
        self.world().write(|world| {
            world.names.remove(name);
            Ok(())
        })
    }
}
