//! The region: its tables, time, and the one door for requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;

use crate::Status;
use crate::compose::VmHost;
use crate::cost::Costs;
use crate::durations::Durations;
use crate::faults::ActiveRule;
use crate::machine_table::Machines;
use crate::reply::Reply;
use crate::shelf::Shelves;
use crate::state::{
    DnsRecord, DnsResource, Domain, Due, Event, Fabric, Image, IpRange, IpRow, Level, Machine, Place, Step, Subnet,
    Tag, Token, User, Vlan,
};
use crate::zones::Zones;

/// Something that happened to hardware, for whoever simulates what runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A freshly deployed operating system came up and fetched its user data: the machine is Deployed now.
    Booted {
        /// `system_id`, which the metadata service also gives as instance id.
        system_id: String,
        /// Host name at that time.
        hostname: String,
        /// `hostname.domain`, the local-hostname of the metadata service.
        fqdn: String,
        /// Zone name.
        zone: String,
        /// Addresses of the boot interface.
        addresses: Vec<IpAddr>,
        /// What the metadata service serves: decoded when it was valid base64; `None` is its 404.
        user_data: Option<Bytes>,
        /// `os/series`.
        image: String,
        /// Runs from memory: contents are gone with the power.
        ephemeral: bool,
        /// Counts the deployments of this machine, from 1.
        deployment: u64,
    },
    /// Power is gone: switched off or cord pulled.
    PoweredOff {
        /// Whose.
        system_id: String,
    },
    /// What runs on the machine stands still, with the power on: until that has been off.
    Hung {
        /// Whose.
        system_id: String,
    },
    /// Power is back, or came for the first time. On a deployed machine its system runs again from then on, without
    /// another `Booted`; during a deployment it is the installer that runs.
    PoweredOn {
        /// Whose.
        system_id: String,
    },
    /// The operating system that was deployed is lost: release, erase or abort began, the machine was removed, or memory went with the power.
    Wiped {
        /// Whose.
        system_id: String,
    },
}

/// In the extensions of a response: the region holds it back for that long, as a real one waits for a BMC. Shells do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held(pub Duration);

/// One line of the request log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// Running number from 1, over the life of the region.
    pub number: u64,
    /// When it was handled.
    pub at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// Operation as counted, e.g. `POST machines allocate`.
    pub operation: String,
    /// Status of the answer.
    pub status: u16,
}

/// How a region is out of order as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Every request is answered 503 with the HTML page of the proxy in front.
    Unavailable,
    /// Shells refuse the connection; [`Region::handle`] itself answers as for [`Outage::Unavailable`].
    Refuse,
}

const LOG_LIMIT: usize = 10_000;
const EVENT_LIMIT: usize = 200_000;

/// A MAAS region: a state machine without I/O and clock.
///
/// All times come in as arguments and never run backwards: an earlier `now` is read as the latest seen.
#[derive(Debug)]
pub struct Region {
    pub(crate) version: String,
    pub(crate) durations: Durations,
    pub(crate) rng: fastrand::Rng,
    pub(crate) now: Timestamp,

    pub(crate) users: BTreeMap<String, User>,
    pub(crate) consumers: BTreeSet<String>,
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) nonces: BTreeMap<(String, String, String), Timestamp>,

    pub(crate) zones: BTreeMap<u64, Place>,
    pub(crate) pools: BTreeMap<u64, Place>,
    pub(crate) tags: BTreeMap<u64, Tag>,
    pub(crate) domains: BTreeMap<u64, Domain>,
    pub(crate) default_domain: u64,
    pub(crate) fabrics: BTreeMap<u64, Fabric>,
    pub(crate) spaces: BTreeMap<u64, Place>,
    pub(crate) vlans: BTreeMap<u64, Vlan>,
    pub(crate) subnets: BTreeMap<u64, Subnet>,
    pub(crate) ranges: BTreeMap<u64, IpRange>,
    pub(crate) images: Vec<Image>,

    pub(crate) machines: Machines,
    /// Counts changes of what machines refer to.
    pub(crate) references: u64,
    pub(crate) by_system_id: BTreeMap<String, u64>,
    pub(crate) by_hostname: BTreeMap<String, u64>,
    pub(crate) by_status: BTreeMap<Status, BTreeSet<u64>>,

    pub(crate) ips: BTreeMap<u64, IpRow>,
    pub(crate) by_ip: BTreeMap<IpAddr, u64>,
    pub(crate) dns: BTreeMap<u64, DnsResource>,
    pub(crate) vm_hosts: Vec<VmHost>,
    pub(crate) records: BTreeMap<u64, DnsRecord>,
    pub(crate) shelves: Shelves,
    pub(crate) dns_dirty: BTreeSet<String>,
    pub(crate) published: Zones,

    pub(crate) events: VecDeque<Event>,
    pub(crate) agenda: BTreeMap<(Timestamp, u64), Due>,
    pub(crate) happenings: Vec<Happening>,
    pub(crate) next_ids: BTreeMap<&'static str, u64>,

    pub(crate) outage: Option<Outage>,
    pub(crate) rules: Vec<ActiveRule>,
    pub(crate) fault_rng: fastrand::Rng,
    /// How far the region's clock is ahead of its callers', for signatures.
    pub(crate) skew: jiff::SignedDuration,
    pub(crate) costs: Costs,
    /// Until when allocations stand in line.
    pub(crate) allocating_until: Timestamp,
    /// How many machines the present answer shows.
    pub(crate) shown_machines: std::cell::Cell<usize>,
    /// How long the present request is held back by a BMC.
    pub(crate) hold: Duration,
    /// Settings of `maas/?op=set_config` that differ from what they are at first.
    pub(crate) settings: BTreeMap<String, String>,
    /// The time by the clock of who sent the present request, where it is not ours.
    pub(crate) signed_now: Option<Timestamp>,
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) unsimulated: BTreeMap<String, u64>,
    pub(crate) log: VecDeque<RequestRecord>,
}

impl Region {
    /// Brings the region to `now`, answers one request, logs and counts it.
    pub fn handle(&mut self, now: Timestamp, request: Request<Bytes>) -> Response<Bytes> {
        self.tick(now);
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or_else(|| parts.uri.path().to_owned(), ToString::to_string);
        let routed = crate::route::route(self, &parts, &body);
        let (operation, reply) = match (routed, self.outage) {
            ((operation, _), Some(_)) => (
                operation,
                Reply::html(503, "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"),
            ),
            ((operation, Ok(call)), None) => match self.answer(call) {
                Ok(reply) | Err(reply) => (operation, reply),
            },
            ((operation, Err(reply)), None) => (operation, reply),
        };
        if let Some(what) = reply.lacks() {
            *self.unsimulated.entry(what.to_owned()).or_default() += 1;
        }
        let machines = self.shown_machines.take();
        self.charge(now, &operation, machines);
        let status = reply.status();
        self.log_request(&parts.method, path, operation, status);
        let mut response = reply.into_response(Some("36763f1444f05f8c565d0292aabefcaa9ece4369"));
        // Later ones echo the caller's trace id, or make one.
        if self.is_at_least(3, 8) {
            let given = parts.headers.get("maas-trace-id").cloned();
            let made =
                || http::HeaderValue::from_str(&format!("{:032x}", self.log.back().map_or(0, |r| r.number))).ok();
            if let Some(id) = given.or_else(made) {
                response.headers_mut().insert("maas-trace-id", id);
            }
        }
        let hold = std::mem::take(&mut self.hold);
        if !hold.is_zero() {
            response.extensions_mut().insert(Held(hold));
        }
        response
    }

    /// Counts and logs a request that was answered before it came to any handler.
    pub(crate) fn count(&mut self, request: &Request<Bytes>, operation: String, status: u16) {
        let uri = request.uri();
        let path = uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string);
        self.log_request(request.method(), path, operation, status);
    }

    fn log_request(&mut self, method: &http::Method, path: String, operation: String, status: u16) {
        *self.counters.entry(operation.clone()).or_default() += 1;
        let number = self.next_id("request");
        tracing::trace!(operation, status, "answered");
        self.log.push_back(RequestRecord { number, at: self.now, method: method.to_string(), path, operation, status });
        if self.log.len() > LOG_LIMIT {
            self.log.pop_front();
        }
    }

    /// Lets everything happen that is due by `now`; answers when the next thing is due.
    pub fn tick(&mut self, now: Timestamp) -> Option<Timestamp> {
        while let Some((key, due)) = self.agenda.first_key_value().map(|(k, d)| (*k, *d)) {
            let at = key.0;
            // What another turn of a machine's story made void must not wake anybody.
            if self.is_void(due) {
                self.agenda.remove(&key);
                continue;
            }
            if at > now {
                break;
            }
            self.agenda.remove(&key);
            self.now = self.now.max(at);
            match due {
                Due::Step { machine, epoch, step } => self.step(machine, epoch, step),
                Due::PowerPoll { machine } => self.power_poll(machine),
                Due::Publish => self.publish(),
                Due::Outage(outage) => self.outage = outage,
            }
        }
        self.now = self.now.max(now);
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// What happened to hardware since the last call, in order.
    pub fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// Requests by operation since the start or the last reset: `GET machines`, `POST machines allocate`,
    /// `GET machine`, `POST machine deploy`, `PUT dnsresource` … Those that begin with `GET` are reads.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.clone()
    }

    /// Number of requests that read.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.counters.iter().filter(|(op, _)| op.starts_with("GET ")).map(|(_, n)| n).sum()
    }

    /// Number of requests that write (POST, PUT, DELETE).
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.counters.iter().filter(|(op, _)| !op.starts_with("GET ")).map(|(_, n)| n).sum()
    }

    /// Operations that were answered 501 because they are not simulated; all there are stand in [`crate::not_simulated`].
    #[must_use]
    pub fn unsimulated(&self) -> BTreeMap<String, u64> {
        self.unsimulated.clone()
    }

    /// Forgets counters and log.
    pub fn reset_counters(&mut self) {
        self.counters.clear();
        self.unsimulated.clear();
        self.log.clear();
    }

    /// The last 10,000 requests.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.log.iter().cloned().collect()
    }

    /// Latest time the region has seen.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// True for a region of that version or a later one.
    pub(crate) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self.version.split(['.', '~', ' ', '-']).map(|p| p.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
    }

    /// True if a setting was set to true.
    pub(crate) fn setting_is_true(&self, name: &str) -> bool {
        self.settings.get(name).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// Every `system_id`, in list order.
    #[must_use]
    pub fn system_ids(&self) -> Vec<String> {
        self.machines.values().map(|m| m.system_id.clone()).collect()
    }

    pub(crate) fn next_id(&mut self, table: &'static str) -> u64 {
        let next = self.next_ids.entry(table).or_insert(1);
        let id = *next;
        *next += 1;
        id
    }

    pub(crate) fn schedule(&mut self, after: Duration, due: Due) {
        let number = self.next_id("agenda");
        let at = self.now.checked_add(after).unwrap_or(Timestamp::MAX);
        self.agenda.insert((at, number), due);
    }

    pub(crate) fn schedule_step(&mut self, machine: u64, after: Duration, step: Step) {
        if let Some(epoch) = self.machines.get(&machine).map(|m| m.epoch) {
            self.schedule(after, Due::Step { machine, epoch, step });
        }
    }

    /// Changes a status and writes the event that real regions write.
    pub(crate) fn set_machine_status(&mut self, id: u64, status: Status) {
        let Some(machine) = self.machines.get_mut(&id) else {
            return;
        };
        let old = machine.status;
        if old == status {
            return;
        }
        machine.previous = old;
        machine.status = status;
        let to = machine
            .owner
            .as_deref()
            .filter(|_| status == Status::Allocated)
            .map(|o| format!(" (to {o})"))
            .unwrap_or_default();
        if let Some(set) = self.by_status.get_mut(&old) {
            set.remove(&id);
        }
        self.by_status.entry(status).or_default().insert(id);
        self.event(id, Level::Debug, "Node changed status", format!("From '{old}' to '{status}'{to}"), None);
    }

    pub(crate) fn event(
        &mut self,
        machine: u64,
        level: Level,
        kind: &'static str,
        description: impl Into<String>,
        user: Option<&str>,
    ) {
        let description = description.into();
        let id = self.next_id("event");
        if level >= Level::Info
            && let Some(m) = self.machines.get_mut(&machine)
        {
            m.status_message =
                Some(if description.is_empty() { kind.to_owned() } else { format!("{kind} - {description}") });
            m.status_action = Some(if kind == "Marking node failed" { "mark_failed" } else { "" });
        }
        self.events.push_back(Event {
            id,
            machine,
            username: user.map(str::to_owned),
            level,
            created: self.now,
            kind,
            description,
        });
        if self.events.len() > EVENT_LIMIT {
            self.events.pop_front();
        }
    }

    pub(crate) fn find(&self, system_id: &str) -> Option<&Machine> {
        self.by_system_id.get(system_id).and_then(|id| self.machines.get(id))
    }

    pub(crate) fn machine_mut(&mut self, id: u64) -> Option<&mut Machine> {
        self.machines.get_mut(&id)
    }

    /// Address rows of all interfaces of a machine.
    pub(crate) fn rows_of(&self, id: u64) -> Vec<u64> {
        self.machines.get(&id).map(|m| m.rows().collect()).unwrap_or_default()
    }

    pub(crate) fn fqdn(&self, machine: &Machine) -> String {
        match self.domains.get(&machine.domain) {
            Some(domain) => format!("{}.{}", machine.hostname, domain.name),
            None => machine.hostname.clone(),
        }
    }
}
