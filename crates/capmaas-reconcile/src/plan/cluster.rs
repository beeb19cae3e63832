//! The plan of a MaasCluster: the control plane's name, its addresses, the zones.
//!
//! ```text
//! Record(Finalizer) ─ WriteSpec(endpoint) ─ Publish(name, {}) ─ provisioned ─ Record(Published) ─ Publish(name, set) …
//! deleted ─ (no MaasMachine left) ─ Unpublish ─ DropFinalizer
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;

use capi_types::conditions::{self, reason};
use capi_types::names::{CLUSTER_FINALIZER, DELETE_FOR_MOVE_ANNOTATION, PAUSED_ANNOTATION};
use capi_types::{
    ClusterNetworkStatus, ControlPlaneEndpointMode, CoreCluster, FailureDomain, InitializationStatus,
    MaasClusterStatus, Network,
};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::draft::{Conditions, Waiting, Why, leftovers, pause, region_trouble, trouble, write_failed};
use super::machine::TTL;
use crate::decision::{Decision, Intent, SpecWrite, Status, Step, StepKind};
use crate::failed_hosts::FailedHosts;
use crate::names::{DnsName, ObjectName};
use crate::observe::ClusterSeen;
use crate::provider::PublishOrder;
use crate::stores::{NameSight, Region};
use crate::topic::Topic;

/// At most one address leaves the name for its health in this time.
pub const HEALTH_INTERVAL: SignedDuration = SignedDuration::from_secs(20);
const API_SERVER_PORT: i32 = 6443;

/// See the module.
pub fn plan(seen: &ClusterSeen<'_>, now: Timestamp) -> Decision {
    let mut pass = Pass {
        seen,
        now,
        waiting: Waiting::new(now),
        status: seen.object.status.clone().unwrap_or_default(),
        wanted: Conditions::default(),
        silent: false,
        paused: false,
    };
    // A map that the Go provider left behind becomes a list with the next write.
    pass.status.failure_domains = pass.status.failure_domains.as_list();
    let mut next = pass.next();
    let mut note = None;
    let standing = seen.object.status.clone().unwrap_or_default();
    if !pass.silent && !pass.paused {
        pass.waiting.on(Topic::Leftovers);
        leftovers(seen.leftovers, &standing.conditions, &mut pass.wanted, &mut note);
        if let Some(why) = write_failed(seen.memory, &mut next, &mut pass.waiting) {
            pass.wanted.no(conditions::READY, &why);
        }
    }
    let wake = pass.waiting.wake();
    if pass.silent {
        return Decision { next, status: None, event: None, wake };
    }
    let (conditions, event) = pass.wanted.settle(&standing.conditions, seen.object.metadata.generation, now);
    let status = MaasClusterStatus { conditions, ..pass.status };
    Decision { next, status: Some(Status::Cluster(Box::new(status))), event: note.or(event), wake }
}

struct Pass<'a, 'b> {
    seen: &'b ClusterSeen<'a>,
    now: Timestamp,
    waiting: Waiting,
    status: MaasClusterStatus,
    wanted: Conditions,
    silent: bool,
    paused: bool,
}

impl Pass<'_, '_> {
    fn annotated(&self, name: &str) -> bool {
        self.seen.object.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(name))
    }

    fn not_yet(&mut self, why: &Why) {
        self.wanted.no(conditions::READY, why);
        self.wanted.no(conditions::LOAD_BALANCER_READY, why);
        if !self.seen.object.provisioned() {
            self.status.ready = false;
        }
    }

    fn next(&mut self) -> Option<Step> {
        let seen = self.seen;
        let object = seen.object;
        self.waiting.on(Topic::Region);
        let has_finalizer = object.metadata.finalizers.iter().flatten().any(|f| f == CLUSTER_FINALIZER);
        let deleting = object.metadata.deletion_timestamp.is_some();
        if object.is_externally_managed() || deleting && (!has_finalizer || self.annotated(DELETE_FOR_MOVE_ANNOTATION))
        {
            self.silent = true;
            return None;
        }
        if let Some((name, _)) = &seen.cluster {
            self.waiting.on(Topic::Cluster(name.clone()));
            self.waiting.on(Topic::Members(name.clone()));
        }
        let cluster = seen.cluster.as_ref().and_then(|(_, cluster)| *cluster);
        if let Some(cause) = pause(cluster, self.annotated(PAUSED_ANNOTATION)) {
            self.wanted.paused(&cause);
            self.paused = true;
            return None;
        }
        if deleting {
            return self.leave();
        }
        // Before all else: a host that failed is given back only when it is noted.
        if has_finalizer && let Some(noted) = self.failures() {
            return Some(Step::Record(Intent::FailedHosts(noted)));
        }
        let Some((owner, Some(_))) = &seen.cluster else {
            self.not_yet(&Why::new(
                reason::WAITING_FOR_OWNER,
                "waiting for the Cluster whose infrastructureRef names this object",
            ));
            // A Cluster that was removed by force: who leaves must get out of the name all the same, or waits for ever.
            let leaves = has_finalizer && seen.members.iter().any(|member| member.leaving);
            return if leaves { self.detach() } else { None };
        };
        if object.wants_lxd() {
            let message = "spec.lxdConfig.enabled is not supported: MAAS has removed VM hosts; remove spec.lxdConfig";
            self.not_yet(&Why::new(reason::NOT_SUPPORTED, message));
            return None;
        }
        if !has_finalizer {
            self.not_yet(&Why::new(reason::WAIT_FOR_DNS_NAME, "preparing the control plane's name"));
            return Some(Step::Record(Intent::Finalizer));
        }
        match object.spec.control_plane_endpoint_mode {
            ControlPlaneEndpointMode::MaasDNS => self.named(owner),
            ControlPlaneEndpointMode::VIP | ControlPlaneEndpointMode::External => {
                let of_cluster = cluster.and_then(|cluster| cluster.control_plane_endpoint.as_ref());
                if object.endpoint().or(of_cluster).is_none() {
                    let message = "spec.controlPlaneEndpoint, here or of the Cluster, needs host and port: with this \
                                   controlPlaneEndpointMode the address is yours";
                    self.not_yet(&Why::new(reason::WAITING_FOR_ENDPOINT, message));
                    return None;
                }
                self.provisioned();
                None
            }
        }
    }

    /// The memory of bad hardware, when there is something to add.
    fn failures(&self) -> Option<FailedHosts> {
        let seen = self.seen;
        if seen.cluster.as_ref().is_some_and(|(_, cluster)| cluster.is_some_and(CoreCluster::is_deleting)) {
            // Nobody of this cluster claims any more.
            return None;
        }
        let news = seen.failing.iter().filter(|(host, claim, _)| !seen.failed.has(host, claim, self.now));
        let noted = news.fold(seen.failed.clone(), |noted, (host, claim, why)| noted.with(host, claim, why, self.now));
        (noted != seen.failed).then_some(noted)
    }

    /// MAAS keeps the name.
    fn named(&mut self, owner: &ObjectName) -> Option<Step> {
        let seen = self.seen;
        let domain = &seen.object.spec.dns_domain;
        let Some(endpoint) = seen.object.endpoint() else {
            if let Some(why) = self.may_write_dns(domain) {
                self.not_yet(&why);
                return None;
            }
            let chosen =
                seen.object.spec.control_plane_endpoint.as_ref().map(|e| e.host.clone()).filter(|h| !h.is_empty());
            let host = chosen.unwrap_or_else(|| {
                generated_name(owner, seen.object.metadata.uid.as_deref().unwrap_or_default(), domain)
            });
            let cluster_port = seen.cluster.as_ref().and_then(|(_, c)| c.and_then(|c| c.api_server_port));
            let port = u16::try_from(cluster_port.unwrap_or(API_SERVER_PORT)).unwrap_or(6443);
            self.not_yet(&Why::new(reason::WAIT_FOR_DNS_NAME, "choosing the control plane's name"));
            return Some(Step::WriteSpec(SpecWrite::Endpoint { host, port }));
        };
        let Some((name, sight)) = &seen.name else {
            let message = format!(
                "spec.controlPlaneEndpoint.host {} is not one label within spec.dnsDomain {domain}; leave it out, or set controlPlaneEndpointMode to External",
                endpoint.host
            );
            self.not_yet(&Why::new(reason::LOAD_BALANCER_FAILED, message));
            return None;
        };
        if let Some(rival) = seen.rival {
            let message = format!(
                "{name} is the name of MaasCluster {rival}; leave spec.controlPlaneEndpoint out of a copy of its manifest"
            );
            self.not_yet(&Why::new(reason::LOAD_BALANCER_FAILED, message));
            return None;
        }
        self.status.network = Some(ClusterNetworkStatus { dns_name: Some(name.to_string()) });
        self.waiting.on(Topic::Name(name.clone()));
        let current = match sight {
            NameSight::Unread => {
                let why = region_trouble(seen.region)
                    .unwrap_or(Why::new(reason::WAIT_FOR_DNS_NAME, format!("reading {name} from MAAS")));
                if !seen.object.provisioned() {
                    self.not_yet(&why);
                }
                return None;
            }
            NameSight::Absent(_) => None,
            NameSight::Published(current, _) => Some(current),
        };
        if let Some(why) = self.wrong_choice() {
            self.wanted.no(conditions::LOAD_BALANCER_READY, &why);
            self.wanted.no(conditions::READY, &why);
            return None;
        }
        let cluster = seen.cluster.as_ref().and_then(|(_, c)| *c);
        let initialized = cluster.is_some_and(|c| c.control_plane_initialized);
        let wanted = self.addresses(current, initialized, owner);
        let ours: BTreeSet<_> = wanted.iter().copied().filter(|a| !self.is_foreign(a)).collect();
        if current != Some(&wanted) {
            let gone = current.is_none();
            if !gone && let Some(why) = region_trouble(seen.region) {
                // What stands in MAAS goes on standing; the region's own trouble is told elsewhere.
                if !seen.object.provisioned() {
                    self.not_yet(&why);
                }
                return None;
            }
            if gone && let Some(why) = self.may_write_dns(domain) {
                self.not_yet(&why);
                return None;
            }
            if self.waiting.backs_off(seen.memory, StepKind::Publish) {
                if let Some(why) = trouble(seen.memory, StepKind::Publish) {
                    self.wanted.no(conditions::LOAD_BALANCER_READY, &why);
                    self.wanted.no(conditions::READY, &why);
                }
                return None;
            }
            if gone && !seen.object.provisioned() {
                self.not_yet(&Why::new(reason::WAIT_FOR_DNS_NAME, format!("creating {name} in MAAS")));
            }
            if !ours.is_subset(&seen.published) {
                // Noted before it is done: what is there because of us can be told from what is not.
                return Some(Step::Record(Intent::Published(ours.union(&seen.published).copied().collect())));
            }
            return Some(Step::Publish(PublishOrder { name: name.clone(), addresses: wanted, ttl: TTL }));
        }
        if ours != seen.published {
            return Some(Step::Record(Intent::Published(ours)));
        }
        self.provisioned();
        self.api_server(current, initialized);
        if let Some(why) = self.without_fitting_address() {
            self.wanted.no(conditions::LOAD_BALANCER_READY, &why);
            self.wanted.no(conditions::READY, &why);
        }
        None
    }

    /// `spec.controlPlaneAddress` that can't be understood: the name is left as it is.
    fn wrong_choice(&self) -> Option<Why> {
        let cidr = self.seen.object.spec.control_plane_address.as_ref()?.cidr.as_ref()?;
        let error = cidr.parse::<Network>().err()?;
        Some(Why::new(reason::INVALID_SPEC, format!("spec.controlPlaneAddress.cidr: {error}")))
    }

    /// Machines that run and have no address that may go into the name.
    fn without_fitting_address(&self) -> Option<Why> {
        let choice = self.seen.object.spec.control_plane_address.as_ref()?;
        let without = self.seen.members.iter().filter(|m| !m.leaving && m.chosen.is_empty() && !m.addresses.is_empty());
        let without: Vec<_> = without
            .map(|m| {
                let has: Vec<_> = m.addresses.iter().map(ToString::to_string).collect();
                format!("{} has {}", m.name.name, has.join(", "))
            })
            .collect();
        (!without.is_empty()).then(|| {
            let message = format!(
                "spec.controlPlaneAddress: these machines have no address {choice}, so the name does not lead to them: {}",
                without.join("; ")
            );
            Why::new(reason::LOAD_BALANCER_FAILED, message)
        })
    }

    /// Why a name can't be made now; `None` when it can.
    fn may_write_dns(&mut self, domain: &str) -> Option<Why> {
        let seen = self.seen;
        if let Some(why) = region_trouble(seen.region) {
            return Some(why);
        }
        if let Region::Up(facts) = seen.region
            && !facts.is_admin
        {
            let message = format!(
                "MAAS user {} may not write DNS: give it administrator rights in MAAS (or use an administrator's MAAS_API_KEY), or bring your own \
                 address with spec.controlPlaneEndpointMode External or VIP",
                facts.user
            );
            return Some(Why::new(reason::MAAS_FORBIDDEN, message));
        }
        self.waiting.on(Topic::Domains);
        match seen.domains {
            None => Some(Why::new(reason::WAIT_FOR_DNS_NAME, "reading the DNS domains of MAAS")),
            Some(domains) if !domains.contains(domain) => {
                let there: Vec<_> = domains.iter().map(String::as_str).collect();
                let message = format!(
                    "spec.dnsDomain: MAAS has no domain {domain}; create it there, or make a new MaasCluster with one of: {}",
                    there.join(", ")
                );
                Some(Why::new(reason::DNS_DOMAIN_NOT_FOUND, message))
            }
            Some(_) => None,
        }
    }

    fn is_foreign(&self, address: &IpAddr) -> bool {
        let seen = self.seen;
        !seen.published.contains(address)
            && !seen.elsewhere.contains(address)
            && !seen.members.iter().any(|m| m.addresses.contains(address))
    }

    /// The set that the name should have now (design rule 5.5).
    fn addresses(
        &mut self,
        current: Option<&BTreeSet<IpAddr>>,
        initialized: bool,
        owner: &ObjectName,
    ) -> BTreeSet<IpAddr> {
        let seen = self.seen;
        let none = BTreeSet::new();
        let current = current.unwrap_or(&none);
        for member in &seen.members {
            if let Some(host) = &member.host {
                self.waiting.on(Topic::Host(host.clone()));
            }
        }
        if initialized {
            self.waiting.on(Topic::Health(owner.clone()));
        }
        let foreign = current.iter().copied().filter(|a| self.is_foreign(a));
        let mut wanted: BTreeSet<IpAddr> = foreign.collect();
        let staying: Vec<_> =
            seen.members.iter().filter(|m| !m.leaving).flat_map(|m| m.chosen.iter().copied()).collect();
        if seen.members.iter().any(|m| m.unread && !m.leaving) {
            // A member that was not read yet: what is there because of us and known to be nobody else's stays.
            let known = |a: &IpAddr| seen.elsewhere.contains(a) || seen.members.iter().any(|m| m.addresses.contains(a));
            wanted.extend(current.iter().filter(|a| seen.published.contains(a) && !known(a)));
        }
        if !initialized {
            wanted.extend(staying);
            return wanted;
        }
        let answers = |a: &IpAddr| seen.health.and_then(|h| h.get(a)).copied();
        if !staying.iter().any(|a| answers(a) == Some(true)) {
            // Nobody answers: the set stays; a member that was never published joins only when the set would be empty.
            let kept: Vec<_> = staying.iter().copied().filter(|a| current.contains(a)).collect();
            wanted.extend(if kept.is_empty() { staying } else { kept });
            return wanted;
        }
        let (healthy, sick): (Vec<_>, Vec<_>) = staying.into_iter().partition(|a| answers(a) == Some(true));
        wanted.extend(&healthy);
        let mut sick: Vec<_> = sick.into_iter().filter(|a| current.contains(a)).collect();
        match seen.memory.last_removal {
            Some(last) if last + HEALTH_INTERVAL > self.now => self.waiting.at(last + HEALTH_INTERVAL),
            // One removal for health per interval; one whose health is not known yet stays.
            _ => {
                if let Some(removed) = sick.iter().position(|a| answers(a) == Some(false)) {
                    sick.remove(removed);
                }
            }
        }
        wanted.extend(sick);
        wanted
    }

    fn provisioned(&mut self) {
        let seen = self.seen;
        self.status.ready = true;
        self.status.initialization = Some(InitializationStatus { provisioned: Some(true) });
        self.wanted.yes(conditions::LOAD_BALANCER_READY, reason::LOAD_BALANCER_READY);
        let asked = &seen.object.spec.failure_domains;
        if !asked.is_empty() {
            self.waiting.on(Topic::Zones);
            let missing: Vec<_> = asked
                .iter()
                .filter(|z| seen.zones.is_some_and(|zones| !zones.contains(*z)))
                .map(String::as_str)
                .collect();
            if !missing.is_empty() {
                let there: Vec<_> = seen.zones.into_iter().flatten().map(String::as_str).collect();
                let message = format!(
                    "spec.failureDomains: MAAS has no zone {}; create it there or use: {}",
                    missing.join(", "),
                    there.join(", ")
                );
                self.wanted.no(conditions::READY, &Why::new(reason::ZONE_NOT_FOUND, message));
                return;
            }
        }
        let domain =
            |name: &String| FailureDomain { name: name.clone(), control_plane: Some(true), ..Default::default() };
        self.status.failure_domains = asked.iter().map(domain).collect::<Vec<_>>().into();
        self.wanted.yes(conditions::READY, reason::READY);
    }

    fn api_server(&mut self, current: Option<&BTreeSet<IpAddr>>, initialized: bool) {
        let answers =
            current.is_some_and(|set| set.iter().any(|a| self.seen.health.is_some_and(|h| h.get(a) == Some(&true))));
        if initialized && answers {
            self.wanted.yes(conditions::API_SERVER_AVAILABLE, reason::API_SERVER_AVAILABLE);
        } else {
            let message = if initialized {
                "no address of the control plane's name answers"
            } else {
                "waiting for the first control-plane machine"
            };
            self.wanted.no(conditions::API_SERVER_AVAILABLE, &Why::new(reason::API_SERVER_NOT_READY, message));
        }
    }

    fn leave(&mut self) -> Option<Step> {
        let seen = self.seen;
        self.status.ready = false;
        if !seen.machines.is_empty() {
            let names: Vec<_> = seen.machines.iter().map(|n| n.name.as_str()).collect();
            let message = format!("waiting until these MaasMachines are released: {}", names.join(", "));
            self.wanted.no(conditions::READY, &Why::new(reason::DELETING, message));
            return self.detach();
        }
        let Some((name, sight)) = seen.name.as_ref().filter(|_| seen.rival.is_none()) else {
            return Some(Step::DropFinalizer);
        };
        self.wanted.no(conditions::READY, &Why::new(reason::DELETING, format!("removing {name} from MAAS")));
        self.waiting.on(Topic::Name(name.clone()));
        if let Some(why) = region_trouble(seen.region) {
            let message = format!("can't remove {name} from MAAS: {}", why.message);
            self.wanted.no(conditions::READY, &Why::new(why.reason, message));
            return None;
        }
        match sight {
            NameSight::Unread => None,
            NameSight::Absent(_) => Some(Step::DropFinalizer),
            NameSight::Published(current, _) => {
                let foreign: BTreeSet<_> = current.iter().copied().filter(|a| self.is_foreign(a)).collect();
                if foreign.is_empty() {
                    return self.unless_failing(Step::Unpublish(name.clone()));
                }
                // Somebody else's addresses are under the name: they stay, and so does it.
                if foreign == *current {
                    return Some(Step::DropFinalizer);
                }
                self.unless_failing(Step::Publish(PublishOrder { name: name.clone(), addresses: foreign, ttl: TTL }))
            }
        }
    }

    /// Deleted while it has machines (as with a whole namespace): those that leave must get out of the name first.
    fn detach(&mut self) -> Option<Step> {
        if self.seen.rival.is_some() {
            return None;
        }
        let seen = self.seen;
        let (Some((name, NameSight::Published(current, _))), Some((owner, _)), None) =
            (&seen.name, &seen.cluster, region_trouble(seen.region))
        else {
            if let Some((name, _)) = &seen.name {
                self.waiting.on(Topic::Name(name.clone()));
            }
            return None;
        };
        self.waiting.on(Topic::Name(name.clone()));
        let staying = self.addresses(Some(current), true, owner);
        // Nobody joins any more.
        let wanted: BTreeSet<_> = staying.intersection(current).copied().collect();
        if wanted == *current {
            return None;
        }
        self.unless_failing(Step::Publish(PublishOrder { name: name.clone(), addresses: wanted, ttl: TTL }))
    }

    /// The step, unless it failed lately; then Ready says why.
    fn unless_failing(&mut self, step: Step) -> Option<Step> {
        if !self.waiting.backs_off(self.seen.memory, step.kind()) {
            return Some(step);
        }
        if let Some(why) = trouble(self.seen.memory, step.kind()) {
            self.wanted.no(conditions::READY, &why);
        }
        None
    }
}

/// `<cluster>-<6 hex>.<domain>`: as the provider before us names it. The suffix comes from the object's uid, so that the same object
/// gets the same name however often this is asked; afterwards `spec.controlPlaneEndpoint` keeps it.
fn generated_name(owner: &ObjectName, uid: &str, domain: &str) -> String {
    let digest = Sha256::digest(format!("{owner}/{uid}").as_bytes());
    let suffix: String = digest.iter().take(3).map(|b| format!("{b:02x}")).collect();
    // A DNS label has at most 63 characters.
    let label: String = owner.name.to_ascii_lowercase().replace('.', "-").chars().take(56).collect();
    DnsName { label: format!("{label}-{suffix}"), domain: domain.to_ascii_lowercase() }.to_string()
}
