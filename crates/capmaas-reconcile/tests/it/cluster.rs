//! Tables of a MaasCluster: the name, its addresses, its end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use capi_types::conditions::{self, LOAD_BALANCER_READY, READY};
use capi_types::names::{
    CLAIM_ANNOTATION, CLUSTER_FINALIZER, DELETE_FOR_MOVE_ANNOTATION, MACHINE_FINALIZER, MANAGED_BY_ANNOTATION,
    PUBLISHED_ANNOTATION,
};
use capi_types::{ApiEndpoint, ControlPlaneEndpointMode, MaasCluster, MaasClusterStatus};
use capmaas_reconcile::decision::{Decision, Intent, SpecWrite, Status, Step, StepKind};
use capmaas_reconcile::host::{Holder, HostPhase};
use capmaas_reconcile::model::{Injected, ModelFleet, host};
use capmaas_reconcile::names::{DnsName, Key, Kind, Token};
use capmaas_reconcile::provider::Refusal;
use capmaas_reconcile::record::Record;
use capmaas_reconcile::stores::{Fact, Region, RegionFacts};
use capmaas_reconcile::topic::Topic;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::world::{CLUSTER, Chance, World, annotate, control_plane, maas_cluster, maas_machine, name, t0};

fn key() -> Key {
    Key::new(Kind::Cluster, "default", CLUSTER)
}

fn dns() -> DnsName {
    DnsName::within("c1-abc.maas", "maas").unwrap()
}

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn ips(last: &[u8]) -> BTreeSet<IpAddr> {
    last.iter().copied().map(ip).collect()
}

fn short(addresses: &BTreeSet<IpAddr>) -> String {
    let last = addresses.iter().map(|a| a.to_string().rsplit('.').next().unwrap_or_default().to_owned());
    format!("[{}]", last.collect::<Vec<_>>().join(" "))
}

fn in_short(step: Option<&Step>) -> String {
    match step {
        None => "-".to_owned(),
        Some(Step::Publish(order)) => format!("Publish {}", short(&order.addresses)),
        Some(Step::Record(Intent::Published(addresses))) => format!("Note {}", short(addresses)),
        Some(step) => step.kind().to_string(),
    }
}

fn status(decision: &Decision) -> &MaasClusterStatus {
    match decision.status.as_ref().unwrap() {
        Status::Cluster(status) => status,
        other => panic!("{other:?}"),
    }
}

fn condition<'a>(decision: &'a Decision, type_: &str) -> (&'a str, &'a str, &'a str) {
    let found = conditions::find(&status(decision).conditions, type_);
    found.map_or(("", "", ""), |c| (&c.status, &c.reason, &c.message))
}

/// Plans; a status that was written is not written again.
fn planned(world: &World) -> Decision {
    let decision = world.plan(&key());
    let mut after = world.clone();
    after.write_status(&key(), &decision);
    after.now += SignedDuration::from_millis(10);
    assert_eq!(after.plan(&key()).status, decision.status, "a status is written twice");
    assert_eq!(after.plan(&key()).next, decision.next);
    decision
}

/// A MaasCluster whose name exists.
fn named() -> MaasCluster {
    let mut object = maas_cluster();
    object.metadata.finalizers = Some(vec![CLUSTER_FINALIZER.to_owned()]);
    object.spec.control_plane_endpoint = Some(ApiEndpoint { host: dns().to_string(), port: 6443 });
    object
}

fn world(object: MaasCluster) -> World {
    let mut world = World::new(ModelFleet::new([host("zzz999", "elsewhere")]));
    world.put_cluster(object);
    world
}

/// What a control-plane machine is like; its last address byte is its number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    /// Deployed.
    Up,
    Installing,
    /// Claimed, with the address of its last life.
    Claimed,
    /// In rescue mode.
    Rescue,
    Unread,
    /// Deployed; it, or its Machine, is being deleted.
    Leaving,
    /// Released behind our back.
    Freed,
}

fn add(world: &mut World, n: u8, is: Is) {
    let mut object = control_plane(maas_machine(&format!("m{n}")));
    let token = Token::mint(&format!("uid-m{n}"));
    annotate(&mut object.metadata, CLAIM_ANNOTATION, &Record::text(&token, &name(&format!("m{n}"))));
    object.metadata.finalizers = Some(vec![MACHINE_FINALIZER.to_owned()]);
    object.spec.system_id = Some(format!("host{n}"));
    object.metadata.deletion_timestamp = (is == Is::Leaving).then(|| Time(t0()));
    world.add(object);
    let mut view = host(&format!("host{n}"), &format!("node{n}"));
    view.power = capmaas_reconcile::host::Power::On;
    view.addresses = vec![ip(n)];
    view.holder = Holder::Us(Some(token));
    view.phase = match is {
        Is::Up | Is::Leaving | Is::Unread => HostPhase::Deployed,
        Is::Installing => HostPhase::Deploying,
        Is::Claimed => HostPhase::Claimed,
        Is::Rescue => HostPhase::Operator,
        Is::Freed => HostPhase::Free,
    };
    if is == Is::Freed {
        view.holder = Holder::Nobody;
    }
    world.fleet.put(view.clone());
    if is != Is::Unread {
        let sent = world.stores.fleet.send();
        world.stores.learn(Fact::Host(Box::new(view), sent), t0());
    }
}

struct Name<'a> {
    initialized: bool,
    members: &'a [(u8, Is)],
    current: &'a [u8],
    /// The last-applied note.
    ours: &'a [u8],
    /// Addresses of a machine that is no control-plane machine of this cluster.
    elsewhere: &'a [u8],
    answers: &'a [(u8, bool)],
    /// Seconds since the last removal.
    removed: Option<i64>,
}

const CALM: Name<'_> =
    Name { initialized: true, members: &[], current: &[], ours: &[], elsewhere: &[], answers: &[], removed: None };

impl Name<'_> {
    fn world(&self) -> World {
        let mut object = named();
        let text: Vec<_> = ips(self.ours).iter().map(ToString::to_string).collect();
        annotate(&mut object.metadata, PUBLISHED_ANNOTATION, &text.join(","));
        let mut world = world(object);
        world.core_cluster.control_plane_initialized = self.initialized;
        world.put_core_cluster();
        for (n, is) in self.members {
            add(&mut world, *n, *is);
        }
        let mut other = host("zzz999", "elsewhere");
        other.addresses = ips(self.elsewhere).into_iter().collect();
        world.fleet.put(other.clone());
        let sent = world.stores.fleet.send();
        world.stores.learn(Fact::Host(Box::new(other), sent), t0());
        world.fleet.put_name(dns(), ips(self.current));
        world.feed(&Topic::Name(dns()));
        let answers: BTreeMap<_, _> = self.answers.iter().map(|(n, a)| (ip(*n), *a)).collect();
        world.stores.learn(Fact::Health(name(CLUSTER), answers), t0());
        world.stores.memory_mut(&key()).last_removal = self.removed.map(|s| t0() - SignedDuration::from_secs(s));
        world
    }
}

/// W-20, W-21
#[test]
fn which_addresses_the_name_has() {
    use Is::{Claimed, Freed, Installing, Leaving, Rescue, Unread, Up};
    let table: &[(&str, Name<'_>, &str)] = &[
        ("no machine yet", Name { initialized: false, ..CALM }, "-"),
        // Before the control plane is initialised: whoever has its deployed address.
        (
            "the first, noted before it is published",
            Name { initialized: false, members: &[(1, Installing)], ..CALM },
            "Note [1]",
        ),
        (
            "the first, noted",
            Name { initialized: false, members: &[(1, Installing)], ours: &[1], ..CALM },
            "Publish [1]",
        ),
        (
            "an old address of one that is not deployed",
            Name { initialized: false, members: &[(1, Claimed)], ..CALM },
            "-",
        ),
        ("as wanted", Name { initialized: false, members: &[(1, Up)], current: &[1], ours: &[1], ..CALM }, "-"),
        (
            "every one, though none answers",
            Name {
                initialized: false,
                members: &[(1, Up), (2, Up)],
                current: &[1],
                ours: &[1, 2],
                answers: &[(1, false)],
                ..CALM
            },
            "Publish [1 2]",
        ),
        // After that health decides.
        (
            "a new one joins when it answers",
            Name {
                members: &[(1, Up), (2, Up)],
                current: &[1],
                ours: &[1, 2],
                answers: &[(1, true), (2, true)],
                ..CALM
            },
            "Publish [1 2]",
        ),
        (
            "and not before",
            Name { members: &[(1, Up), (2, Up)], current: &[1], ours: &[1], answers: &[(1, true), (2, false)], ..CALM },
            "-",
        ),
        (
            "a sick one leaves while others answer",
            Name {
                members: &[(1, Up), (2, Up)],
                current: &[1, 2],
                ours: &[1, 2],
                answers: &[(1, true), (2, false)],
                ..CALM
            },
            "Publish [1]",
        ),
        (
            "one that was not probed stays",
            Name { members: &[(1, Up), (2, Up)], current: &[1, 2], ours: &[1, 2], answers: &[(1, true)], ..CALM },
            "-",
        ),
        (
            "of two sick ones one leaves",
            Name {
                members: &[(1, Up), (2, Up), (3, Up)],
                current: &[1, 2, 3],
                ours: &[1, 2, 3],
                answers: &[(1, true), (2, false), (3, false)],
                ..CALM
            },
            "Publish [1 3]",
        ),
        (
            "the other waits for the interval",
            Name {
                members: &[(1, Up), (2, Up), (3, Up)],
                current: &[1, 3],
                ours: &[1, 3],
                answers: &[(1, true), (2, false), (3, false)],
                removed: Some(19),
                ..CALM
            },
            "-",
        ),
        (
            "and leaves then",
            Name {
                members: &[(1, Up), (2, Up), (3, Up)],
                current: &[1, 3],
                ours: &[1, 3],
                answers: &[(1, true), (2, false), (3, false)],
                removed: Some(20),
                ..CALM
            },
            "Publish [1]",
        ),
        (
            "nobody answers: the set stays",
            Name {
                members: &[(1, Up), (2, Up)],
                current: &[1, 2],
                ours: &[1, 2],
                answers: &[(1, false), (2, false)],
                ..CALM
            },
            "-",
        ),
        (
            "nobody answers, and nobody joins",
            Name {
                members: &[(1, Up), (2, Up)],
                current: &[1],
                ours: &[1],
                answers: &[(1, false), (2, false)],
                ..CALM
            },
            "-",
        ),
        (
            "nobody answers and the set is empty: better somebody",
            Name { members: &[(1, Up)], current: &[], ours: &[1], answers: &[(1, false)], ..CALM },
            "Publish [1]",
        ),
        (
            "the only one is in rescue mode",
            Name { members: &[(1, Rescue)], current: &[1], ours: &[1], answers: &[(1, false)], ..CALM },
            "-",
        ),
        (
            "one that leaves leaves at once",
            Name {
                members: &[(1, Up), (2, Leaving)],
                current: &[1, 2],
                ours: &[1, 2],
                answers: &[(1, true), (2, true)],
                removed: Some(1),
                ..CALM
            },
            "Publish [1]",
        ),
        (
            "though nobody answers",
            Name { members: &[(1, Up), (2, Leaving)], current: &[1, 2], ours: &[1, 2], ..CALM },
            "Publish [1]",
        ),
        (
            "the last one leaves too",
            Name { members: &[(1, Leaving)], current: &[1], ours: &[1], answers: &[(1, true)], ..CALM },
            "Publish []",
        ),
        (
            "one that leaves and was not read",
            Name { members: &[(1, Up)], current: &[1, 2], ours: &[1, 2], answers: &[(1, true)], ..CALM },
            "Publish [1]",
        ),
        (
            "one that was released behind our back",
            Name {
                members: &[(1, Up), (2, Freed)],
                current: &[1, 2],
                ours: &[1, 2],
                answers: &[(1, true), (2, true)],
                ..CALM
            },
            "Publish [1]",
        ),
        // Whose an address is.
        (
            "a foreign one stays",
            Name { members: &[(1, Up)], current: &[1, 77], ours: &[1], answers: &[(1, true)], ..CALM },
            "-",
        ),
        (
            "and stays when others go",
            Name {
                members: &[(1, Up), (2, Leaving)],
                current: &[1, 2, 77],
                ours: &[1, 2],
                answers: &[(1, true)],
                ..CALM
            },
            "Publish [1 77]",
        ),
        (
            "another machine has it now",
            Name { members: &[(1, Up)], current: &[1, 5], ours: &[1], elsewhere: &[5], answers: &[(1, true)], ..CALM },
            "Publish [1]",
        ),
        (
            "a machine that was not read protects what is ours",
            Name { members: &[(1, Up), (2, Unread)], current: &[1, 2], ours: &[1, 2], answers: &[(1, true)], ..CALM },
            "-",
        ),
        (
            "but neither what leaves nor what is another machine's",
            Name {
                members: &[(1, Up), (2, Unread), (3, Leaving)],
                current: &[1, 2, 3, 5],
                ours: &[1, 2, 3, 5],
                elsewhere: &[5],
                answers: &[(1, true)],
                ..CALM
            },
            "Publish [1 2]",
        ),
        (
            "the note forgets what is gone",
            Name { members: &[(1, Up)], current: &[1], ours: &[1, 2], answers: &[(1, true)], ..CALM },
            "Note [1]",
        ),
    ];
    for (case, given, expected) in table {
        let mut world = given.world();
        let decision = planned(&world);
        assert_eq!(in_short(decision.next.as_ref()), *expected, "{case}");
        // Whatever it was: once it is done there is rest.
        world.settle(&key());
        assert_eq!(planned(&world).next, None, "{case}: it does not settle");
    }
}

#[test]
fn a_removal_is_remembered_and_the_next_waits_for_it() {
    let given = Name {
        members: &[(1, Is::Up), (2, Is::Up), (3, Is::Up)],
        current: &[1, 2, 3],
        ours: &[1, 2, 3],
        answers: &[(1, true), (2, false), (3, false)],
        ..CALM
    };
    let mut world = given.world();
    let left = world.settle(&key()).into_iter().filter(|s| matches!(s, Step::Publish(_))).count();
    assert_eq!((left, world.fleet.name(&dns())), (1, Some(ips(&[1, 3]))));
    assert_eq!(planned(&world).wake.at, t0() + SignedDuration::from_secs(20));
    world.now += SignedDuration::from_secs(20);
    world.settle(&key());
    assert_eq!(world.fleet.name(&dns()), Some(ips(&[1])));
}

/// W-23
#[test]
fn the_name_is_in_the_spec_before_it_is_made_and_provisioned_after() {
    let mut world = world(maas_cluster());
    let steps = world.settle(&key());
    let kinds: Vec<_> = steps.iter().map(Step::kind).collect();
    assert_eq!(kinds, [StepKind::Record, StepKind::WriteSpec, StepKind::Publish]);
    let Step::WriteSpec(SpecWrite::Endpoint { host, port }) = &steps[1] else { panic!("{steps:?}") };
    assert!(host.starts_with("c1-") && host.ends_with(".maas") && *port == 6443, "{host}:{port}");
    let object = world.clusters[&name(CLUSTER)].clone();
    assert!(object.provisioned());
    assert_eq!(object.status.as_ref().unwrap().network.as_ref().unwrap().dns_name.as_ref(), Some(host));
    world.now += SignedDuration::from_mins(30);
    assert_eq!(world.settle(&key()), []);
    assert_eq!(world.clusters[&name(CLUSTER)], object, "a settled cluster is not written");
    assert_eq!(world.fleet.writes(), 1);
}

#[test]
fn why_a_cluster_is_not_provisioned() {
    type Change = fn(&mut World, &mut MaasCluster);
    let table: &[(&str, Change, &str)] = &[
        ("no Cluster owns it", |_, c| c.metadata.owner_references = None, "- WaitingForOwner"),
        (
            "LXD is asked for",
            |_, c| c.spec.lxd_config = Some(capi_types::LxdConfig { enabled: Some(true), ..Default::default() }),
            "- NotSupported",
        ),
        ("the domain is not in MAAS", |_, c| c.spec.dns_domain = "example.com".to_owned(), "- DNSDomainNotFound"),
        (
            "the name is in another domain",
            |_, c| c.spec.control_plane_endpoint = Some(ApiEndpoint { host: "a.example.com".to_owned(), port: 6443 }),
            "- LoadBalancerFailed",
        ),
        (
            "our key has no administrator's rights",
            |w, _| {
                let facts = RegionFacts { user: "u".to_owned(), is_admin: false, version: "3.7".to_owned() };
                w.stores.learn(Fact::Region(Region::Up(facts)), t0());
            },
            "- MAASForbidden",
        ),
        (
            "MAAS is down",
            |w, _| {
                w.stores.learn(Fact::Region(Region::Down("refused".to_owned())), t0());
            },
            "- MAASUnreachable",
        ),
        (
            "an address of the user's own is missing",
            |_, c| c.spec.control_plane_endpoint_mode = ControlPlaneEndpointMode::VIP,
            "- WaitingForControlPlaneEndpoint",
        ),
        (
            "an address of the user's own",
            |_, c| {
                c.spec.control_plane_endpoint_mode = ControlPlaneEndpointMode::External;
                c.spec.control_plane_endpoint = Some(ApiEndpoint { host: "lb.example.com".to_owned(), port: 443 });
            },
            "- Ready",
        ),
        ("a zone is not in MAAS", |_, c| c.spec.failure_domains = vec!["az9".to_owned()], "WriteSpec WaitForDNSName"),
    ];
    for (case, change, expected) in table {
        let mut object = maas_cluster();
        object.metadata.finalizers = Some(vec![CLUSTER_FINALIZER.to_owned()]);
        let mut world = world(object.clone());
        world.feed(&Topic::Domains);
        world.feed(&Topic::Name(DnsName::within("a.maas", "maas").unwrap()));
        change(&mut world, &mut object);
        world.put_cluster(object);
        let decision = planned(&world);
        assert_eq!(
            format!("{} {}", in_short(decision.next.as_ref()), condition(&decision, READY).1),
            *expected,
            "{case}"
        );
    }
}

/// W-55
#[test]
fn zones_are_published_when_asked_for_and_there() {
    for (asked, ready, published) in
        [(vec![], "Ready", 0), (vec!["default", "default"], "Ready", 1), (vec!["az9"], "ZoneNotFound", 0)]
    {
        let mut object = maas_cluster();
        object.spec.failure_domains = asked.into_iter().map(str::to_owned).collect();
        let mut world = world(object);
        world.settle(&key());
        let decision = planned(&world);
        assert_eq!((condition(&decision, READY).1, status(&decision).failure_domains.len()), (ready, published));
    }
}

#[test]
fn a_refused_name_backs_off_and_says_so() {
    let mut world = Name { initialized: false, members: &[(1, Is::Up)], ours: &[1], ..CALM }.world();
    let publish = planned(&world);
    world.execute(&key(), publish, Chance::Metal(Injected::Rejected(Refusal::Permission)));
    let waits = planned(&world);
    assert_eq!((waits.next.clone(), waits.wake.at), (None, t0() + SignedDuration::from_secs(10)));
    assert_eq!(
        (condition(&waits, READY).1, condition(&waits, LOAD_BALANCER_READY).1),
        ("MAASForbidden", "MAASForbidden")
    );
}

/// W-50
#[test]
fn a_paused_managed_or_moved_cluster_is_left_alone() {
    let mut paused = world(maas_cluster());
    paused.core_cluster.paused = true;
    paused.put_core_cluster();
    let decision = planned(&paused);
    assert_eq!((decision.next.clone(), condition(&decision, "Paused").0), (None, "True"));
    let mut managed = maas_cluster();
    annotate(&mut managed.metadata, MANAGED_BY_ANNOTATION, "");
    let mut moved = named();
    annotate(&mut moved.metadata, DELETE_FOR_MOVE_ANNOTATION, "");
    moved.metadata.deletion_timestamp = Some(Time(t0()));
    for object in [managed, moved] {
        let decision = world(object).plan(&key());
        assert_eq!((decision.next, decision.status), (None, None));
    }
}

/// W-24
#[test]
fn a_name_without_its_cluster_lets_those_go_who_leave_but_not_those_who_were_moved_away() {
    for (leaving, moved, expected) in [(false, false, "-"), (true, false, "Publish [2]"), (true, true, "-")] {
        let first = if leaving { Is::Leaving } else { Is::Up };
        let members = &[(1, first), (2, Is::Up)];
        let mut world = Name { members, current: &[1, 2], ours: &[1, 2], ..CALM }.world();
        if moved {
            let mut object = world.machine("m1").clone();
            annotate(&mut object.metadata, DELETE_FOR_MOVE_ANNOTATION, "");
            world.put(object);
        }
        world.stores.learn(Fact::CoreCluster(name(CLUSTER), None), t0());
        assert_eq!(in_short(planned(&world).next.as_ref()), expected, "leaving: {leaving}, moved: {moved}");
    }
}

/// W-23
#[test]
fn the_name_goes_with_the_cluster_after_its_last_machine_and_leaves_foreign_addresses() {
    for (current, steps, left) in [
        (&[1, 2][..], &["Publish [2]", "-", "Unpublish", "DropFinalizer"][..], None),
        (&[1, 2, 77], &["Publish [2 77]", "-", "Publish [77]", "DropFinalizer"], Some(ips(&[77]))),
    ] {
        let given =
            Name { members: &[(1, Is::Leaving), (2, Is::Up)], current, ours: &[1, 2], answers: &[(2, true)], ..CALM };
        let mut world = given.world();
        let mut object = world.clusters[&name(CLUSTER)].clone();
        object.metadata.deletion_timestamp = Some(Time(t0()));
        world.put_cluster(object);
        let mut done = Vec::new();
        for _ in 0..4 {
            let decision = planned(&world);
            done.push(in_short(decision.next.as_ref()));
            if decision.next.is_none() {
                assert!(condition(&decision, READY).2.contains("m1, m2"), "{decision:?}");
                for machine in ["m1", "m2"] {
                    let mut object = world.machine(machine).clone();
                    object.metadata.deletion_timestamp = Some(Time(t0()));
                    object.metadata.finalizers = None;
                    world.put(object);
                }
            }
            world.execute(&key(), decision, Chance::Fine);
        }
        assert_eq!(done, steps);
        assert!(world.clusters.is_empty());
        assert_eq!(world.fleet.name(&dns()), left);
    }
}

#[test]
fn a_copied_manifest_neither_gets_nor_removes_the_name_of_the_original() {
    let mut world = Name { members: &[(1, Is::Up)], current: &[1], ours: &[1], answers: &[(1, true)], ..CALM }.world();
    world.settle(&key());
    assert!(world.clusters[&name(CLUSTER)].provisioned());
    let mut copy = named();
    copy.metadata.name = Some("a-copy".to_owned());
    copy.metadata.labels = None;
    copy.metadata.owner_references.as_mut().unwrap()[0].name = "other".to_owned();
    let cluster = capi_types::CoreCluster { metadata: crate::world::meta("other", None), ..Default::default() };
    world.stores.learn(Fact::CoreCluster(name("other"), Some(Box::new(cluster))), t0());
    world.put_cluster(copy.clone());
    let copied = Key::new(Kind::Cluster, "default", "a-copy");
    assert_eq!(world.settle(&copied), []);
    assert!(condition(&world.plan(&copied), READY).2.contains("is the name of MaasCluster default/c1"));
    assert_eq!(world.plan(&key()).next, None, "the original goes on");
    copy.metadata.deletion_timestamp = Some(Time(t0()));
    world.put_cluster(copy);
    assert_eq!(world.settle(&copied), [Step::DropFinalizer]);
    assert_eq!(world.fleet.name(&dns()), Some(ips(&[1])));
}
