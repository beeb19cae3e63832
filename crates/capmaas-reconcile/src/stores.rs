//! Everything that was read, in ordered maps. Feeders and the executor write here; `observe` reads.

mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use capi_types::{CoreCluster, CoreMachine, MaasCluster, MaasMachine, MaasMachineTemplate, MaasRemediation, SystemId};
use jiff::Timestamp;

pub(crate) use self::objects::cluster_of_infra;
use self::objects::{annotation, concern, label, put};
use crate::decision::StepKind;
use crate::failed_hosts::FailedHosts;
use crate::fleet::{Fleet, HostSight, Seq};
use crate::host::{Hardware, HostView, Story};
use crate::names::{DnsName, Key, Kind, ObjectName, Token};
use crate::observe::host_of;
use crate::placement::{Constraints, Explanation};
use crate::provider::Fault;
use crate::record::Record;
use crate::topic::Topic;

/// Whether and how the MAAS region can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Region {
    /// Not tried yet.
    #[default]
    Unread,
    /// No usable credentials; the text names the Secret and the fix.
    NoCredentials(String),
    /// Not reachable, or not answering sensibly.
    Down(String),
    /// MAAS refuses the key.
    Refused(String),
    /// In use.
    Up(RegionFacts),
}

/// What the region said of itself and of our user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionFacts {
    /// Our MAAS user name.
    pub user: String,
    /// Whether it may write DNS.
    pub is_admin: bool,
    /// MAAS version.
    pub version: String,
}

impl RegionFacts {
    /// Whether this MAAS deploys into memory as it should: 3.5.10, 3.6.3, 3.7.1 or later. A version that is not understood is given the
    /// benefit of the doubt.
    pub fn deploys_into_memory(&self) -> bool {
        let mut numbers = self.version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
        let mut next = || numbers.next().flatten();
        let (Some(major), Some(minor)) = (next(), next()) else { return true };
        match (major, minor) {
            (..3, _) | (3, ..5) => false,
            (3, 5) => next().is_none_or(|patch| patch >= 10),
            (3, 6) => next().is_none_or(|patch| patch >= 3),
            (3, 7) => next().is_none_or(|patch| patch >= 1),
            _ => true,
        }
    }
}

/// What is known of a DNS name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NameSight {
    /// Not read yet.
    #[default]
    Unread,
    /// MAAS has no such resource; this process has known so since then.
    Absent(Timestamp),
    /// The addresses it has, unchanged since then as far as this process knows.
    Published(BTreeSet<IpAddr>, Timestamp),
}

/// The answers to the queries for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSight {
    /// When the latest query was sent.
    pub asked: Timestamp,
    /// The hosts it found.
    pub hits: BTreeSet<SystemId>,
}

/// The answer to the query for free hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolSight {
    /// These match (some may have been taken since: the fleet knows).
    Hosts(BTreeSet<SystemId>),
    /// MAAS does not accept the constraints (unknown zone, pool or tag).
    Refused(String),
}

/// A Node of a workload cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// `spec.providerID`, empty when unset.
    pub provider_id: String,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// Its InternalIP and ExternalIP addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// The Nodes of a workload cluster, or why they could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodesSight {
    /// Read.
    Nodes(BTreeMap<String, NodeView>),
    /// Not readable; the text says why.
    Unreadable(String),
}

/// A host that our user holds, Allocated and without marks, and that no object names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Since when this process knows.
    pub since: Timestamp,
    /// When MAAS was last asked under which of our claims it was allocated.
    pub asked: Option<Timestamp>,
}

/// Orders to release one host that MAAS took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Releases {
    /// The host.
    pub host: SystemId,
    /// How many.
    pub count: u32,
    /// When the last was.
    pub at: Timestamp,
}

/// What befell a step lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How often in a row it failed.
    pub count: u32,
    /// When it failed last.
    pub at: Timestamp,
    /// How.
    pub fault: Fault,
}

/// What this process remembers of one object beyond what the API server holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// This process wrote the claim record, and no claim can be under way unknown to it.
    pub recorded_here: bool,
    /// A token that this process is recording right now, and that no other process had recorded.
    pub minting: Option<Token>,
    /// From when on a claim that somebody else sent may still take effect: when a record that this process did not write was first
    /// seen, or when a claim of its own had no clear answer.
    pub claim_open_since: Option<Timestamp>,
    /// A host that was claimed and is not in `spec.systemID` yet.
    pub claimed: Option<SystemId>,
    /// A host that a claim is being sent for right now.
    pub claiming: Option<SystemId>,
    /// Releases of its host that MAAS took, until it has another host.
    pub releases: Option<Releases>,
    /// The note of a power action (in `status.poweredOn`, or of a MaasRemediation) that was acted upon last.
    pub powered: Option<Timestamp>,
    /// A power cycle is being noted right now: nobody else of the control plane begins one.
    pub cycling: bool,
    /// Failed steps, until they succeed.
    pub attempts: BTreeMap<StepKind, Attempt>,
    /// For clusters: when an address was last removed from the name.
    pub last_removal: Option<Timestamp>,
}

/// Something that was read.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A MaasCluster, or that it is gone.
    MaasCluster(ObjectName, Option<Box<MaasCluster>>),
    /// A MaasMachine, or that it is gone.
    MaasMachine(ObjectName, Option<Box<MaasMachine>>),
    /// A MaasMachineTemplate, or that it is gone.
    Template(ObjectName, Option<Box<MaasMachineTemplate>>),
    /// A MaasRemediation, or that it is gone.
    Remediation(ObjectName, Option<Box<MaasRemediation>>),
    /// A core Cluster, or that it is gone.
    CoreCluster(ObjectName, Option<Box<CoreCluster>>),
    /// A core Machine, or that it is gone.
    CoreMachine(ObjectName, Option<Box<CoreMachine>>),
    /// The state of the region.
    Region(Region),
    /// A host in a list or a read.
    Host(Box<HostView>, Seq),
    /// A query by id did not find the host.
    HostGone(SystemId, Seq),
    /// What befell a host.
    Story(SystemId, Box<Story>),
    /// All hosts that our user holds Allocated and without marks.
    Unmarked(BTreeSet<SystemId>),
    /// Under which of the claims that we know each of these hosts was allocated; the time is when that was asked.
    Whose(BTreeMap<SystemId, Option<Token>>, Timestamp),
    /// The hosts under a token; the time is when the query was sent.
    Token(Token, BTreeSet<SystemId>, Timestamp),
    /// The free hosts for constraints.
    Pool(Constraints, PoolSight),
    /// Why no free host satisfies constraints.
    Explanation(Constraints, Explanation),
    /// The machines that satisfy constraints, whoever holds them, each make once. Not in the fleet: what others hold is nobody's
    /// evidence, and it is read too seldom for that.
    Hardware(Constraints, BTreeSet<Hardware>),
    /// The addresses of a name (`None`: no such resource), from a query sent as numbered.
    Name(DnsName, Option<BTreeSet<IpAddr>>, Seq),
    /// The domains.
    Domains(BTreeSet<String>),
    /// The zones.
    Zones(BTreeSet<String>),
    /// Webhook configurations that are left over from the Go provider, each as kubectl takes it: `kind/name`.
    Leftovers(BTreeSet<String>),
    /// The Nodes of a Cluster's workload cluster.
    Nodes(ObjectName, NodesSight),
    /// Which of the probed API server addresses of a Cluster answer.
    Health(ObjectName, BTreeMap<IpAddr, bool>),
}

/// Whom a fact concerns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// These objects changed themselves.
    pub keys: Vec<Key>,
    /// These topics are to be reported.
    pub topics: Vec<Topic>,
}

impl Learned {
    fn topic(topic: Topic) -> Self {
        Self { keys: Vec::new(), topics: vec![topic] }
    }

    fn when(changed: bool, topic: Topic) -> Self {
        if changed { Self::topic(topic) } else { Self::default() }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// MaasClusters.
    pub maas_clusters: BTreeMap<ObjectName, MaasCluster>,
    /// MaasMachines.
    pub maas_machines: BTreeMap<ObjectName, MaasMachine>,
    /// MaasMachineTemplates.
    pub templates: BTreeMap<ObjectName, MaasMachineTemplate>,
    /// MaasRemediations.
    pub remediations: BTreeMap<ObjectName, MaasRemediation>,
    /// Core Clusters.
    pub clusters: BTreeMap<ObjectName, CoreCluster>,
    /// Core Machines.
    pub machines: BTreeMap<ObjectName, CoreMachine>,
    /// The region.
    pub region: Region,
    /// The hosts.
    pub fleet: Fleet,
    /// What befell hosts; of a host that is deployed anew nothing is kept.
    pub stories: BTreeMap<SystemId, Story>,
    /// Hosts that look lost.
    pub strays: BTreeMap<SystemId, Stray>,
    /// The answers to token queries.
    pub tokens: BTreeMap<Token, TokenSight>,
    /// The answers to pool queries.
    pub pools: BTreeMap<Constraints, PoolSight>,
    /// Those of them that a host may have joined since they were read.
    pub grown: BTreeSet<Constraints>,
    /// Why no free host satisfies constraints.
    pub explanations: BTreeMap<Constraints, Explanation>,
    /// What the machines that satisfy constraints are made of.
    pub hardware: BTreeMap<Constraints, BTreeSet<Hardware>>,
    /// DNS names.
    pub names: BTreeMap<DnsName, NameSight>,
    names_written: BTreeMap<DnsName, Seq>,
    /// MAAS domains.
    pub domains: Option<BTreeSet<String>>,
    /// MAAS zones.
    pub zones: Option<BTreeSet<String>>,
    /// Webhook configurations that are left over from the Go provider, each as kubectl takes it: `kind/name`.
    pub leftovers: BTreeSet<String>,
    /// Nodes by Cluster.
    pub nodes: BTreeMap<ObjectName, NodesSight>,
    /// API server health by Cluster.
    pub health: BTreeMap<ObjectName, BTreeMap<IpAddr, bool>>,
    /// Hosts that failed as this process saw it, by Cluster; what outlives it is in the MaasCluster.
    pub failed: BTreeMap<ObjectName, FailedHosts>,
    memory: BTreeMap<Key, Memory>,
}

impl Stores {
    /// What this process remembers of an object.
    pub fn memory(&self, key: &Key) -> &Memory {
        static NOTHING: Memory = Memory {
            recorded_here: false,
            minting: None,
            claim_open_since: None,
            claimed: None,
            claiming: None,
            releases: None,
            powered: None,
            cycling: false,
            attempts: BTreeMap::new(),
            last_removal: None,
        };
        self.memory.get(key).unwrap_or(&NOTHING)
    }

    /// The same, to be changed by the executor.
    pub fn memory_mut(&mut self, key: &Key) -> &mut Memory {
        self.memory.entry(key.clone()).or_default()
    }

    /// The claim of a MaasMachine has ended: earlier answers to queries for its token say nothing any more.
    pub fn forget_token(&mut self, machine: &ObjectName) {
        if let Some(token) = self.maas_machines.get(machine).and_then(|o| Record::of(o).token().cloned()) {
            self.tokens.remove(&token);
        }
    }

    /// The hosts that claims are being sent for right now, and those that were claimed but are in no spec yet.
    pub fn reserved(&self) -> impl Iterator<Item = (&Key, &SystemId)> {
        self.memory.iter().flat_map(|(key, m)| m.claiming.iter().chain(&m.claimed).map(move |id| (key, id)))
    }

    /// The claims that MaasMachines have recorded.
    pub fn claims(&self) -> impl Iterator<Item = Token> {
        self.maas_machines.values().filter_map(|object| Record::of(object).token().cloned())
    }

    /// Takes in what a write of ours was answered. The watch may have told the end of the object before that answer came: then it
    /// shows an object that is gone, which nothing would ever take out again.
    pub fn answered(&mut self, fact: Fact, now: Timestamp) -> Learned {
        let there = match &fact {
            Fact::MaasCluster(name, Some(_)) => self.maas_clusters.contains_key(name),
            Fact::MaasMachine(name, Some(_)) => self.maas_machines.contains_key(name),
            Fact::Template(name, Some(_)) => self.templates.contains_key(name),
            Fact::Remediation(name, Some(_)) => self.remediations.contains_key(name),
            Fact::CoreMachine(name, Some(_)) => self.machines.contains_key(name),
            _ => true,
        };
        if there { self.learn(fact, now) } else { Learned::default() }
    }

    /// Takes a fact in and says whom it concerns. A fact that says nothing new concerns nobody.
    pub fn learn(&mut self, fact: Fact, now: Timestamp) -> Learned {
        match fact {
            Fact::MaasCluster(name, object) => {
                let owner = object.as_deref().or(self.maas_clusters.get(&name)).and_then(cluster_of_infra);
                let changed = put(&mut self.maas_clusters, &name, object, |o| &o.metadata);
                let key = Key { kind: Kind::Cluster, name };
                self.forget_if_gone(&key, |s| s.maas_clusters.contains_key(&key.name));
                concern(changed, key, owner.map(Topic::Cluster))
            }
            Fact::MaasMachine(name, object) => {
                let known = object.as_deref().or(self.maas_machines.get(&name));
                let mut topics: Vec<_> = known
                    .map(|o| &o.metadata)
                    .into_iter()
                    .flat_map(|meta| {
                        let members = label(meta, capi_types::names::CLUSTER_NAME_LABEL).map(Topic::Members);
                        let clones =
                            annotation(meta, capi_types::names::CLONED_FROM_NAME_ANNOTATION).map(Topic::Clones);
                        members.into_iter().chain(clones)
                    })
                    .collect();
                let key = Key { kind: Kind::Machine, name };
                let before = self.maas_machines.get(&key.name).map(|old| (old.metadata.uid.clone(), host_of(old)));
                let changed = put(&mut self.maas_machines, &key.name, object, |o| &o.metadata);
                if let (true, Some((_, Some(host)))) = (changed, &before)
                    && self.maas_machines.get(&key.name).and_then(host_of).as_ref() != Some(host)
                {
                    // Nobody names it any more: those who wait for a machine may have it.
                    topics.extend(self.pools_of(host));
                }
                if changed {
                    self.machine_changed(&key, before, now);
                }
                self.forget_if_gone(&key, |s| s.maas_machines.contains_key(&key.name));
                concern(changed, key, topics)
            }
            Fact::Template(name, object) => {
                let changed = put(&mut self.templates, &name, object, |o| &o.metadata);
                concern(changed, Key { kind: Kind::Template, name }, None)
            }
            Fact::Remediation(name, object) => self.remediation_is(name, object),
            Fact::CoreCluster(name, object) => {
                let changed = put(&mut self.clusters, &name, object, |o| &o.metadata);
                Learned::when(changed, Topic::Cluster(name))
            }
            Fact::CoreMachine(name, object) => {
                let cluster = object.as_deref().or(self.machines.get(&name)).map(|m| m.cluster_name.clone());
                let changed = put(&mut self.machines, &name, object, |o| &o.metadata);
                if !changed {
                    return Learned::default();
                }
                let members = cluster.map(|c| Topic::Members(ObjectName::new(name.namespace.clone(), c)));
                Learned { keys: Vec::new(), topics: std::iter::once(Topic::CoreMachine(name)).chain(members).collect() }
            }
            Fact::Region(region) => {
                let changed = self.region != region;
                self.region = region;
                Learned::when(changed, Topic::Region)
            }
            Fact::Host(view, sent) => {
                let id = view.id.clone();
                let changed = self.fleet.report(*view, sent);
                self.host_concerns(changed, id)
            }
            Fact::HostGone(id, sent) => {
                let changed = self.fleet.gone(&id, sent);
                self.host_concerns(changed, id)
            }
            Fact::Story(id, story) => {
                let changed = self.stories.get(&id) != Some(&story);
                self.stories.insert(id.clone(), *story);
                Learned::when(changed, Topic::Story(id))
            }
            Fact::Unmarked(ids) => {
                let mut strays: BTreeMap<_, _> =
                    ids.into_iter().map(|id| (id, Stray { since: now, asked: None })).collect();
                let named: BTreeSet<_> = self.maas_machines.values().filter_map(host_of).collect();
                strays.retain(|id, _| !named.contains(id));
                for (id, stray) in &mut strays {
                    if let Some(known) = self.strays.remove(id) {
                        *stray = known;
                    }
                }
                self.strays = strays;
                Learned::default()
            }
            Fact::Whose(answers, asked) => {
                let mut found = false;
                for (id, token) in answers {
                    if let Some(token) = &token {
                        found = true;
                        let sight = self.tokens.entry(token.clone());
                        sight.or_insert(TokenSight { asked, hits: BTreeSet::new() }).hits.insert(id.clone());
                    }
                    if let Some(stray) = self.strays.get_mut(&id) {
                        stray.asked = Some(asked);
                    }
                }
                Learned::when(found, Topic::Strays)
            }
            Fact::Token(token, hits, asked) => {
                self.tokens.insert(token.clone(), TokenSight { asked, hits });
                Learned::topic(Topic::Token(token))
            }
            Fact::Pool(constraints, sight) => {
                self.grown.remove(&constraints);
                if matches!(&sight, PoolSight::Hosts(hosts) if !hosts.is_empty()) {
                    self.explanations.remove(&constraints);
                }
                let changed = self.pools.get(&constraints) != Some(&sight);
                self.pools.insert(constraints.clone(), sight);
                // How many of them are free may have changed all the same.
                let mut learned = Learned::when(changed, Topic::Pool(constraints.clone()));
                learned.topics.push(Topic::Free(constraints));
                learned
            }
            Fact::Explanation(constraints, explanation) => {
                let changed = self.explanations.get(&constraints) != Some(&explanation);
                self.explanations.insert(constraints.clone(), explanation);
                Learned::when(changed, Topic::Explanation(constraints))
            }
            Fact::Hardware(constraints, makes) => {
                let changed = self.hardware.get(&constraints) != Some(&makes);
                self.hardware.insert(constraints.clone(), makes);
                Learned::when(changed, Topic::Hardware(constraints))
            }
            Fact::Name(name, addresses, sent) => {
                if self.names_written.get(&name).is_some_and(|written| sent < *written) {
                    return Learned::default();
                }
                self.name_is(name, addresses, now)
            }
            Fact::Domains(domains) => {
                let changed = self.domains.as_ref() != Some(&domains);
                self.domains = Some(domains);
                Learned::when(changed, Topic::Domains)
            }
            Fact::Zones(zones) => {
                let changed = self.zones.as_ref() != Some(&zones);
                self.zones = Some(zones);
                Learned::when(changed, Topic::Zones)
            }
            Fact::Leftovers(found) => {
                let changed = self.leftovers != found;
                self.leftovers = found;
                Learned::when(changed, Topic::Leftovers)
            }
            Fact::Nodes(cluster, sight) => {
                let changed = self.nodes.get(&cluster) != Some(&sight);
                self.nodes.insert(cluster.clone(), sight);
                Learned::when(changed, Topic::Nodes(cluster))
            }
            Fact::Health(cluster, answers) => {
                let changed = self.health.get(&cluster) != Some(&answers);
                self.health.insert(cluster.clone(), answers);
                Learned::when(changed, Topic::Health(cluster))
            }
        }
    }

    /// A write on a name was answered: from now on it has these addresses.
    pub fn name_written(&mut self, name: &DnsName, addresses: Option<BTreeSet<IpAddr>>, now: Timestamp) -> Learned {
        let seq = self.fleet.send();
        self.names_written.insert(name.clone(), seq);
        self.name_is(name.clone(), addresses, now)
    }

    fn name_is(&mut self, name: DnsName, addresses: Option<BTreeSet<IpAddr>>, now: Timestamp) -> Learned {
        let same = match (self.names.get(&name), &addresses) {
            (Some(NameSight::Published(old, _)), Some(new)) => old == new,
            (Some(NameSight::Absent(_)), None) => true,
            _ => false,
        };
        if same {
            return Learned::default();
        }
        let sight = addresses.map_or(NameSight::Absent(now), |addresses| NameSight::Published(addresses, now));
        self.names.insert(name.clone(), sight);
        Learned::topic(Topic::Name(name))
    }

    /// A write on a host was answered or given up. See [`Fleet::write_ends`].
    pub fn host_written(&mut self, id: &SystemId, answer: Option<HostView>) -> Learned {
        let changed = self.fleet.write_ends(id, answer);
        self.host_concerns(changed, id.clone())
    }

    /// A write on a host had no clear answer. See [`Fleet::write_unclear`].
    pub fn host_unclear(&mut self, id: &SystemId) -> Learned {
        let changed = self.fleet.write_unclear(id);
        self.host_concerns(changed, id.clone())
    }

    /// A host changed: those who watch it, and those who wait in a pool that it may have joined.
    fn host_concerns(&mut self, changed: bool, id: SystemId) -> Learned {
        if !changed {
            return Learned::default();
        }
        if let HostSight::Seen(view) = self.fleet.get(&id)
            && view.phase == crate::host::HostPhase::Free
        {
            let lacks = |sight: &PoolSight| matches!(sight, PoolSight::Hosts(hosts) if !hosts.contains(&id));
            let joined = self.pools.iter().filter(|(wanted, sight)| lacks(sight) && wanted.may_admit(view));
            self.grown.extend(joined.map(|(wanted, _)| wanted.clone()));
        }
        let topics = self.pools_of(&id).chain([Topic::Host(id.clone())]).collect();
        Learned { keys: Vec::new(), topics }
    }

    fn pools_of(&self, id: &SystemId) -> impl Iterator<Item = Topic> {
        let pools =
            self.pools.iter().filter(move |(_, sight)| matches!(sight, PoolSight::Hosts(hosts) if hosts.contains(id)));
        pools.map(|(constraints, _)| Topic::Pool(constraints.clone()))
    }

    /// What a changed MaasMachine means for what is remembered of it; `before` is the uid and the host that it had.
    fn machine_changed(&mut self, key: &Key, before: Option<(Option<String>, Option<SystemId>)>, now: Timestamp) {
        let Some(object) = self.maas_machines.get(&key.name) else { return };
        let (uid, host) = (object.metadata.uid.clone(), host_of(object));
        let token = Record::of(object).token().cloned();
        if before.as_ref().is_some_and(|(old, _)| *old != uid) {
            // Deleted and made anew between two looks: what is remembered is of the other object.
            self.memory.remove(key);
        }
        let memory = self.memory.entry(key.clone()).or_default();
        if token.is_some() && memory.minting != token && !memory.recorded_here && memory.claim_open_since.is_none() {
            memory.claim_open_since = Some(now);
        }
        if let Some(id) = &host
            && before.as_ref().is_none_or(|(_, old)| old.as_ref() != Some(id))
            && memory.claimed.as_ref() != Some(id)
        {
            // Not we have claimed it: another process has, after what we saw of the host last (it may still be free there).
            self.fleet.doubt(id);
        }
        if before.is_none_or(|(_, old)| old == host) {
            return;
        }
        // What befell the last host says nothing of this one.
        for kind in [StepKind::Mark, StepKind::SwapOff, StepKind::Deploy, StepKind::Release] {
            memory.attempts.remove(&kind);
        }
        memory.claimed.take_if(|claimed| Some(&*claimed) == host.as_ref());
        memory.releases = None;
        memory.powered = None;
        if let (None, Some(token)) = (host, token) {
            self.tokens.remove(&token);
        }
    }

    fn forget_if_gone(&mut self, key: &Key, there: impl Fn(&Self) -> bool) {
        if !there(self) {
            self.memory.remove(key);
        }
    }

    /// The free hosts of a pool as they stand now, cheapest first; `None` when the pool was not read yet.
    pub fn free_hosts(&self, constraints: &Constraints) -> Option<Result<Vec<&HostView>, &str>> {
        match self.pools.get(constraints)? {
            PoolSight::Refused(message) => Some(Err(message)),
            PoolSight::Hosts(ids) => {
                let mut hosts: Vec<_> = ids
                    .iter()
                    .filter_map(|id| match self.fleet.get(id) {
                        HostSight::Seen(view) if view.phase == crate::host::HostPhase::Free && !view.locked => {
                            Some(view)
                        }
                        _ => None,
                    })
                    .collect();
                hosts.sort_by_key(|h| h.cost());
                Some(Ok(hosts))
            }
        }
    }
}
