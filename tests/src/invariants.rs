//! What must hold at every moment, whatever happens to the provider: looked at from inside of the simulators.
//!
//! An [`Inspector`] sees every MAAS call in the moment in which it takes effect, and looks at all machines and all MaasMachines after
//! every call of a manager. The first thing that is wrong ends the run. What only holds when nothing is under way is
//! [`Inspector::at_rest`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capmaas_manager::gate::{Call, Gate, Moment};
use capmaas_sandbox::sandbox::Sandbox;
use kube_sim::KubeSim;
use maas_sim::{MachineSpec, MachineState, SharedRegion, Status};
use serde_json::Value;
use tokio::sync::Notify;

/// Host names of machines that are somebody else's begin with this.
pub const FOREIGN: &str = "foreign";

/// No story needs so many calls: whoever makes more goes round in circles.
const CALLS: usize = 6000;
/// How many of the last calls a report shows.
const SHOWN: usize = 40;

/// The MAAS user of the provider's key.
const US: &str = "admin";
/// Where the provider writes the claim on a machine.
const MARK: &str = "capmaas-token";
const GROUP: &str = "infrastructure.cluster.x-k8s.io";

/// Machines that are none of the provider's business: owner and status. Some are held by another user, some by the very user whose
/// key the provider has (a person used it by hand), some by nobody but under repair.
const STRANGERS: [(&str, Option<&str>, Status); 6] = [
    ("", Some("alice"), Status::Deployed),
    ("-allocated", Some("alice"), Status::Allocated),
    ("-by-hand", Some(US), Status::Deployed),
    ("-reserved", Some(US), Status::Allocated),
    ("-broken", None, Status::Broken),
    ("-rescue", Some(US), Status::RescueMode),
];

/// Puts machines that are somebody else's into a region that is about to be made.
pub fn specify_strangers(config: &mut maas_sim::Config) {
    config.machines.extend(STRANGERS.map(|(name, ..)| MachineSpec::named(format!("{FOREIGN}{name}"))));
}

/// Gives them to whom they belong.
///
/// # Panics
/// When they are not in the region.
pub fn hand_out_strangers(maas: &SharedRegion) {
    maas.with(|region, now| {
        for (name, owner, status) in STRANGERS {
            let name = format!("{FOREIGN}{name}");
            region.set_status(now, &name, status).expect("it is there");
            region.set_owner(now, &name, owner).expect("it is there");
        }
    });
}

/// True when nothing was done to the strangers that are in the region.
pub fn strangers_are_untouched(maas: &SharedRegion) -> bool {
    STRANGERS.iter().all(|(name, owner, status)| {
        let machine = maas.look(|region| region.machine(&format!("{FOREIGN}{name}")));
        machine.is_none_or(|m| m.owner.as_deref() == *owner && m.status == *status && m.owner_data.is_empty())
    })
}

/// A MaasMachine as far as it says which machine is whose.
#[derive(Clone)]
struct Claim {
    /// Which management cluster.
    cluster: usize,
    name: String,
    uid: String,
    /// The recorded claim.
    token: String,
    system_id: String,
    provider_id: String,
    deleting: bool,
}

impl Claim {
    fn of(cluster: usize, object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text("/metadata/name");
        let record = object["metadata"]["annotations"]["maas.infrastructure.cluster.x-k8s.io/claim"].as_str();
        // A record that names another object is a copy, and says nothing.
        let mine = record.and_then(|r| r.split_once(' ')).filter(|(_, of)| of.ends_with(&format!("/{name}")));
        Self {
            cluster,
            uid: text("/metadata/uid"),
            token: mine.map(|(token, _)| token.to_owned()).unwrap_or_default(),
            system_id: text("/spec/systemID"),
            provider_id: text("/spec/providerID"),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            name,
        }
    }

    /// It has a machine that runs for it, and is to keep it.
    fn keeps(&self) -> bool {
        !self.deleting && !self.provider_id.is_empty()
    }

    fn host(&self) -> &str {
        self.provider_id.rsplit('/').next().filter(|id| !id.is_empty()).unwrap_or(&self.system_id)
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cluster, name, uid, token, system_id, provider_id, deleting } = self;
        write!(
            f,
            "MaasMachine {name} of management cluster {cluster} (uid {uid}, claim {token:?}, systemID {system_id:?}, "
        )?;
        write!(f, "providerID {provider_id:?}, deleting {deleting})")
    }
}

/// Which claim a machine is held for: its marks, or before they are written what allocate was told.
fn token_of(machine: &MachineState) -> &str {
    machine.owner_data.get(MARK).map_or(&machine.agent_name, |mark| mark)
}

fn shown(machine: &MachineState) -> String {
    let MachineState { hostname, system_id, status, owner, agent_name, owner_data, deployment, .. } = machine;
    format!(
        "{hostname} ({system_id}): {status}, owner {owner:?}, agent_name {agent_name:?}, {owner_data:?}, deployment {deployment}"
    )
}

struct State {
    maas: SharedRegion,
    kubes: Vec<KubeSim>,
    /// The machines that are somebody else's, as they were.
    strangers: BTreeMap<String, MachineState>,
    /// The MaasMachines as they stood at these revisions.
    claims: (Vec<u64>, Vec<Claim>),
    /// providerID by management cluster and uid, and the deployment that it stands for.
    provisioned: BTreeMap<(usize, String), (String, u64)>,
    /// A machine as it was when the write that is being handled arrived.
    before: Option<MachineState>,
    violations: Vec<String>,
    calls: usize,
    /// The last calls, for reports.
    recent: VecDeque<String>,
}

/// See the module. Clones are the same inspector.
#[derive(Clone)]
pub struct Inspector {
    state: Arc<Mutex<State>>,
    bell: Arc<Notify>,
}

impl Inspector {
    /// Of a region and the management clusters that share it. What is foreign now has to stay as it is.
    pub fn new(clusters: &[&Sandbox]) -> Self {
        let maas = clusters[0].maas.clone();
        let all = maas.look(machines);
        let strangers = all.into_iter().filter(|(_, m)| m.hostname.starts_with(FOREIGN)).collect();
        let state = State {
            maas,
            kubes: clusters.iter().map(|sandbox| sandbox.kube.clone()).collect(),
            strangers,
            claims: Default::default(),
            provisioned: BTreeMap::new(),
            before: None,
            violations: Vec::new(),
            calls: 0,
            recent: VecDeque::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), bell: Arc::default() }
    }

    /// Sees what goes through a gate; `who` is named in what it reports.
    pub fn watch(&self, gate: &Gate, who: &str) {
        let (inspector, who) = (self.clone(), who.to_owned());
        gate.witness(move |moment, call| {
            let mut state = inspector.lock();
            let known = state.violations.len();
            match moment {
                Moment::Arrives => state.arrives(&who, call),
                Moment::Answered(status) => state.answered(&who, call, status),
            }
            if state.violations.len() > known {
                inspector.bell.notify_waiters();
            }
        });
    }

    /// The last calls, for reports.
    pub fn recent(&self) -> String {
        Vec::from(self.lock().recent.clone()).join("\n")
    }

    /// Resolves with what is wrong as soon as something is.
    pub async fn violated(&self) -> String {
        loop {
            let notified = self.bell.notified();
            if let Some(first) = self.lock().violations.first() {
                return first.clone();
            }
            notified.await;
        }
    }

    /// What is wrong when nothing is under way: besides what must hold at any time, each machine that we hold is that of one
    /// MaasMachine, marked for it, and each MaasMachine has one.
    pub fn at_rest(&self) -> Vec<String> {
        let mut state = self.lock();
        state.look("at rest");
        let mut found = state.violations.clone();
        let (claims, machines) = (state.claims.1.clone(), state.maas.look(machines));
        let ours = machines.values().filter(|m| !state.strangers.contains_key(&m.system_id));
        for machine in ours.filter(|m| m.owner.is_some() || m.status != Status::Ready) {
            let of: Vec<_> = claims.iter().filter(|c| c.host() == machine.system_id).collect();
            match of[..] {
                [one] if !one.token.is_empty() && one.token == token_of(machine) => {}
                [] => found.push(format!("leaked: {}", shown(machine))),
                _ => {
                    let of = of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    found.push(format!("not held for the one that names it, {of}: {}", shown(machine)));
                }
            }
        }
        for claim in &claims {
            if machines.get(claim.host()).is_none_or(|m| m.status != Status::Deployed) {
                found.push(format!("{claim} has no deployed machine"));
            }
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn machines(region: &maas_sim::Region) -> BTreeMap<String, MachineState> {
    region.system_ids().into_iter().filter_map(|id| region.machine(&id).map(|m| (id, m))).collect()
}

/// The machine and the operation of a write on a machine.
fn write_on_machine(call: &Call) -> Option<(&str, &str)> {
    if call.client != "maas" || call.method == "GET" {
        return None;
    }
    let (_, rest) = call.target.split_once("/machines/")?;
    let (id, operation) = rest.split_once('/')?;
    // `machines/?op=allocate` names its machine in the form.
    (!id.starts_with('?')).then(|| (id, operation.strip_prefix("?op=").unwrap_or(&call.method)))
}

impl State {
    fn wrong(&mut self, at: &str, what: String) {
        self.violations.push(format!("{at}: {what}"));
    }

    fn arrives(&mut self, who: &str, call: &Call) {
        self.before = None;
        let Some((id, operation)) = write_on_machine(call) else { return };
        let at = format!("{who}'s call {} ({operation})", call.number);
        let Some(machine) = self.maas.look(|region| region.machine(id)) else {
            return self.wrong(&at, format!("there is no machine {id}"));
        };
        self.refresh();
        if self.strangers.contains_key(&machine.system_id) {
            self.wrong(&at, format!("sent to a machine that is somebody else's: {}", shown(&machine)));
        }
        let nobodys = machine.owner.is_none();
        if machine.owner.as_deref() != Some(US) && !(nobodys && operation == "release") {
            // MAAS takes a release of a free machine for done; everything else makes it somebody's.
            self.wrong(&at, format!("sent to a machine that we do not hold: {}", shown(&machine)));
        }
        let token = token_of(&machine);
        let of: Vec<_> = self.claims.1.iter().filter(|c| !c.token.is_empty() && c.token == token).cloned().collect();
        let runs = matches!(machine.status, Status::Deploying | Status::Deployed);
        if operation == "deploy" && of.is_empty() {
            self.wrong(&at, format!("for no MaasMachine: {}", shown(&machine)));
        }
        let needs = of.iter().find(|claim| !claim.deleting && claim.host() == machine.system_id);
        if let Some(claim) = needs.filter(|_| operation == "release" && runs) {
            self.wrong(&at, format!("{claim} needs its machine: {}", shown(&machine)));
        }
        self.before = Some(machine);
    }

    fn answered(&mut self, who: &str, call: &Call, status: u16) {
        let line = format!("{who}'s call {} {} {} -> {status}", call.number, call.method, call.target);
        let at = format!("after {line}");
        let now = self.maas.now();
        self.recent.push_back(format!("{now} {line}"));
        if self.recent.len() > SHOWN {
            self.recent.pop_front();
        }
        self.calls += 1;
        if self.calls == CALLS {
            self.wrong(&at, format!("{CALLS} calls, and no end"));
        }
        if let Some(before) = self.before.take()
            && let Some(after) = self.maas.look(|region| region.machine(&before.system_id))
            && let (Some(old), Some(new)) = (before.owner_data.get(MARK), after.owner_data.get(MARK))
            && old != new
        {
            self.wrong(&at, format!("the mark of {old} was overwritten: {}", shown(&after)));
        }
        self.look(&at);
    }

    /// Reads the MaasMachines if something changed since the last time.
    fn refresh(&mut self) {
        let revisions: Vec<_> = self.kubes.iter().map(KubeSim::revision).collect();
        if self.claims.0 == revisions {
            return;
        }
        let all = self.kubes.iter().enumerate().flat_map(|(cluster, kube)| {
            let objects = kube.list(GROUP, "MaasMachine", None);
            objects.into_iter().map(move |object| Claim::of(cluster, &object))
        });
        self.claims = (revisions, all.collect());
    }

    fn look(&mut self, at: &str) {
        self.refresh();
        let all = self.maas.look(machines);
        let mut wrong: Vec<String> = Vec::new();
        for (id, was) in &self.strangers {
            match all.get(id) {
                Some(is) if is == was => {}
                Some(is) => wrong.push(format!("somebody else's machine was {}, and is {}", shown(was), shown(is))),
                None => wrong.push(format!("somebody else's machine is gone: {}", shown(was))),
            }
        }
        let mut running: BTreeMap<&str, &MachineState> = BTreeMap::new();
        let ours =
            all.values().filter(|m| m.owner.as_deref() == Some(US) && !self.strangers.contains_key(&m.system_id));
        for machine in ours {
            if let Some(mark) = machine.owner_data.get(MARK)
                && !machine.agent_name.is_empty()
                && *mark != machine.agent_name
            {
                wrong.push(format!("held for two: {}", shown(machine)));
            }
            if matches!(machine.status, Status::Deploying | Status::Deployed)
                && let Some(other) = running.insert(token_of(machine), machine)
            {
                wrong.push(format!("two machines deployed for one claim: {} and {}", shown(other), shown(machine)));
            }
        }
        let mut hosts: BTreeMap<&str, &Claim> = BTreeMap::new();
        for claim in self.claims.1.iter().filter(|c| c.keeps()) {
            if let Some(other) = hosts.insert(claim.host(), claim)
                && other.token != claim.token
            {
                wrong.push(format!("one machine for {other} and {claim}"));
            }
            let Some(machine) = all.get(claim.host()) else {
                wrong.push(format!("the machine of {claim} is gone"));
                continue;
            };
            if machine.status != Status::Deployed || token_of(machine) != claim.token {
                wrong.push(format!("{claim} has lost its machine: {}", shown(machine)));
            }
            let key = (claim.cluster, claim.uid.clone());
            let first = self.provisioned.entry(key).or_insert_with(|| (claim.provider_id.clone(), machine.deployment));
            if *first != (claim.provider_id.clone(), machine.deployment) {
                wrong.push(format!("{claim} was provisioned as {first:?}, and is now {}", shown(machine)));
            }
        }
        for what in wrong {
            self.wrong(at, what);
        }
    }
}
