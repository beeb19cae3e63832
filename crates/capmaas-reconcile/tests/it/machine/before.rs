//! Before there is a host: what is waited for, and what is claimed when.

use capi_types::conditions::READY;
use capi_types::names::BLOCK_MOVE_ANNOTATION;
use capi_types::{LxdMachine, MaasMachine};
use capmaas_reconcile::decision::{Intent, SpecWrite, Step, StepKind};
use capmaas_reconcile::model::{Injected, ModelFleet, host};
use capmaas_reconcile::names::Token;
use capmaas_reconcile::provider::Refusal;
use capmaas_reconcile::stores::{Fact, PoolSight, Region, RegionFacts};
use capmaas_reconcile::topic::Topic;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{condition, in_short, node, planned, recorded, token};
use crate::world::{CLUSTER, Chance, World, annotate, core_machine, key, maas_machine, name, t0};

fn world(object: MaasMachine) -> World {
    let mut world = World::new(ModelFleet::new([node(), host("bbb222", "node-b")]));
    world.add(object);
    world
}

/// A world whose process has recorded the claim itself.
fn claiming() -> World {
    let mut world = world(maas_machine("m0"));
    let decision = world.plan(&key("m0"));
    assert!(matches!(&decision.next, Some(Step::Record(Intent::Claim(t))) if *t == token()));
    world.execute(&key("m0"), decision, Chance::Fine);
    world
}

fn constraints(world: &World) -> capmaas_reconcile::placement::Constraints {
    world.stores.observe_machine(&name("m0")).unwrap().constraints
}

#[test]
fn what_a_machine_without_a_host_waits_for() {
    type Change = fn(&mut World);
    let table: &[(&str, Change, &str)] = &[
        ("everything is there", |_| {}, "Record Claiming"),
        (
            "no Machine owns it",
            |w| {
                let mut object = w.machine("m0").clone();
                object.metadata.owner_references = None;
                w.put(object);
            },
            "- WaitingForOwner",
        ),
        (
            "LXD is asked for",
            |w| {
                let mut object = w.machine("m0").clone();
                object.spec.lxd = Some(LxdMachine { enabled: Some(true), vm_config: None });
                w.put(object);
            },
            "- NotSupported",
        ),
        (
            "the providerID is malformed",
            |w| {
                let mut object = w.machine("m0").clone();
                object.spec.provider_id = Some("maas:///4y3h7n".to_owned());
                w.put(object);
            },
            "- InvalidSpec",
        ),
        (
            "the Cluster is not there",
            |w| {
                w.stores.learn(Fact::CoreCluster(name(CLUSTER), None), t0());
            },
            "- WaitingForClusterInfrastructure",
        ),
        (
            "the Cluster's infrastructure is not there",
            |w| {
                w.core_cluster.infrastructure_provisioned = false;
                w.put_core_cluster();
            },
            "- WaitingForClusterInfrastructure",
        ),
        (
            "the Cluster is being deleted",
            |w| {
                w.core_cluster.metadata.deletion_timestamp = Some(Time(t0()));
                w.put_core_cluster();
            },
            "- Deleting",
        ),
        (
            "the Machine is being deleted",
            |w| {
                let mut machine = core_machine("m0");
                machine.metadata.resource_version = Some("900".to_owned());
                machine.metadata.deletion_timestamp = Some(Time(t0()));
                w.stores.learn(Fact::CoreMachine(name("m0"), Some(Box::new(machine))), t0());
            },
            "- Deleting",
        ),
        (
            "no bootstrap data",
            |w| {
                let mut machine = core_machine("m0");
                machine.metadata.resource_version = Some("900".to_owned());
                machine.data_secret_name = None;
                w.stores.learn(Fact::CoreMachine(name("m0"), Some(Box::new(machine))), t0());
            },
            "- WaitingForBootstrapData",
        ),
        (
            "no bootstrap data, as there is no control plane yet",
            |w| {
                let mut machine = core_machine("m0");
                machine.metadata.resource_version = Some("900".to_owned());
                machine.data_secret_name = None;
                w.stores.learn(Fact::CoreMachine(name("m0"), Some(Box::new(machine))), t0());
                w.core_cluster.control_plane_initialized = false;
                w.put_core_cluster();
            },
            "- WaitingForControlPlaneInitialized",
        ),
        (
            "it is paused",
            |w| {
                w.core_cluster.paused = true;
                w.put_core_cluster();
            },
            "- -",
        ),
    ];
    for (case, change, expected) in table {
        let mut world = world(maas_machine("m0"));
        change(&mut world);
        assert_eq!(in_short(&planned(&world)), *expected, "{case}");
    }
}

#[test]
fn what_a_recorded_claim_waits_for() {
    type Change = fn(&mut World);
    let table: &[(&str, Change, &str)] = &[
        ("the pool was not read", |_| {}, "- Claiming"),
        ("a host is free", |w| w.feed(&Topic::Pool(constraints(w))), "Claim Claiming"),
        (
            "no credentials",
            |w| {
                w.stores.learn(Fact::Region(Region::NoCredentials("Secret x: key y is missing".to_owned())), t0());
            },
            "- CredentialsMissing",
        ),
        (
            "MAAS is down",
            |w| {
                w.stores.learn(Fact::Region(Region::Down("refused".to_owned())), t0());
            },
            "- MAASUnreachable",
        ),
        (
            "the key is refused",
            |w| {
                w.stores.learn(Fact::Region(Region::Refused("401".to_owned())), t0());
            },
            "- MAASUnauthorized",
        ),
        (
            "the key has no administrator's rights, which claims do not need",
            |w| {
                let facts = RegionFacts { user: "u".to_owned(), is_admin: false, version: "3.7".to_owned() };
                w.stores.learn(Fact::Region(Region::Up(facts)), t0());
                w.feed(&Topic::Pool(constraints(w)));
            },
            "Claim Claiming",
        ),
        (
            "MAAS does not know the zone",
            |w| {
                w.stores.learn(Fact::Pool(constraints(w), PoolSight::Refused("No such zone".to_owned())), t0());
            },
            "- InvalidSpec",
        ),
        (
            "no host matches",
            |w| {
                for view in w.fleet.hosts() {
                    w.fleet.remove(&view.id);
                }
                w.feed(&Topic::Pool(constraints(w)));
            },
            "- NoMachineAvailable",
        ),
    ];
    for (case, change, expected) in table {
        let mut world = claiming();
        change(&mut world);
        assert_eq!(in_short(&planned(&world)), *expected, "{case}");
    }
}

#[test]
fn the_cheapest_free_host_that_nobody_is_about_to_get_is_claimed() {
    let mut world = claiming();
    world.fleet.put(capmaas_reconcile::host::HostView { memory_mib: 8192, ..host("ccc333", "node-c") });
    world.feed(&Topic::Pool(constraints(&world)));
    let chosen = |world: &World| match world.plan(&key("m0")).next {
        Some(Step::Claim(order)) => order.host.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(chosen(&world), "ccc333");
    world.stores.memory_mut(&key("m1")).claiming = Some("ccc333".parse().unwrap());
    assert_eq!(chosen(&world), "aaa111", "another machine's claim for it is on its way");
}

#[test]
fn a_free_host_that_another_machine_still_names_is_claimed_by_nobody_until_that_one_is_gone() {
    let mut world = claiming();
    world.feed(&Topic::Pool(constraints(&world)));
    let chosen = |world: &World| match world.plan(&key("m0")).next {
        Some(Step::Claim(order)) => order.host.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(chosen(&world), "aaa111");
    let mut ending = maas_machine("m1");
    ending.spec.system_id = Some("aaa111".to_owned());
    world.add(ending);
    world.feed(&Topic::Host("aaa111".parse().unwrap()));
    assert_eq!(chosen(&world), "bbb222", "it was given back, but core may not be done with its Node");
    let learned = world.stores.learn(Fact::MaasMachine(name("m1"), None), t0());
    assert!(learned.topics.contains(&Topic::Pool(constraints(&world))), "those who wait are told: {learned:?}");
    assert_eq!(chosen(&world), "aaa111");
}

/// W-09
#[test]
fn a_record_of_another_process_is_looked_up_for_100_seconds_before_a_claim() {
    let mut world = world(recorded());
    world.feed(&Topic::Pool(constraints(&world)));
    let waits = planned(&world);
    assert_eq!(in_short(&waits), "Record Claiming", "block-move first");
    world.execute(&key("m0"), waits, Chance::Fine);
    for seconds in (0..100).step_by(5) {
        world.now = t0() + SignedDuration::from_secs(seconds);
        world.feed(&Topic::Token(token()));
        let decision = planned(&world);
        assert_eq!(in_short(&decision), "- Claiming", "after {seconds} s");
        assert!(decision.wake.topics.contains(&Topic::Token(token())));
        assert_eq!(decision.wake.at, world.now + SignedDuration::from_secs(5));
    }
    world.now = t0() + SignedDuration::from_secs(100);
    assert_eq!(in_short(&planned(&world)), "- Claiming", "the last look was sent too early");
    world.feed(&Topic::Token(token()));
    assert_eq!(in_short(&planned(&world)), "Claim Claiming");
}

/// W-09
#[test]
fn a_claim_without_an_answer_is_looked_up_and_never_sent_twice() {
    let mut world = claiming();
    world.feed(&Topic::Pool(constraints(&world)));
    let claim = world.plan(&key("m0"));
    world.execute(&key("m0"), claim, Chance::Metal(Injected::AmbiguousDone));
    assert_eq!(in_short(&planned(&world)), "- Claiming");
    world.feed(&Topic::Token(token()));
    let found = planned(&world);
    assert_eq!(found.next, Some(Step::WriteSpec(SpecWrite::SystemId("aaa111".parse().unwrap()))));
    assert_eq!(world.fleet.writes(), 1);
}

#[test]
fn a_host_that_was_taken_meanwhile_backs_off_and_another_is_chosen() {
    let mut world = claiming();
    world.feed(&Topic::Pool(constraints(&world)));
    let claim = world.plan(&key("m0"));
    world.execute(&key("m0"), claim, Chance::Metal(Injected::Rejected(Refusal::NoMatch)));
    assert!(world.stores.pools.is_empty(), "the pool is read again");
    world.fleet.remove(&"aaa111".parse().unwrap());
    world.feed(&Topic::Pool(constraints(&world)));
    let waits = planned(&world);
    assert_eq!(in_short(&waits), "- NoMachineAvailable");
    assert_eq!(waits.wake.at, t0() + SignedDuration::from_secs(10));
    world.now = waits.wake.at;
    assert!(matches!(planned(&world).next, Some(Step::Claim(order)) if order.host.as_str() == "bbb222"));
}

/// W-32
#[test]
fn back_off_doubles_up_to_five_minutes_and_the_message_does_not_move() {
    let mut world = claiming();
    world.feed(&Topic::Pool(constraints(&world)));
    let mut messages = std::collections::BTreeSet::new();
    for seconds in [10, 20, 40, 80, 160, 300, 300] {
        let claim = world.plan(&key("m0"));
        assert_eq!(claim.next.as_ref().map(Step::kind), Some(StepKind::Claim));
        world.execute(&key("m0"), claim, Chance::Metal(Injected::Unavailable));
        let waits = planned(&world);
        messages.insert(condition(&waits, READY).2.to_owned());
        assert_eq!((waits.next.clone(), waits.wake.at), (None, world.now + SignedDuration::from_secs(seconds)));
        world.now = waits.wake.at;
    }
    assert_eq!(messages.len(), 1, "{messages:?}");
}

#[test]
fn a_host_that_failed_for_the_cluster_is_left_alone_for_a_while() {
    let mut world = claiming();
    world.feed(&Topic::Pool(constraints(&world)));
    let mut bad = |host: &str| {
        let known = world.stores.failed.entry(name(CLUSTER)).or_default();
        let claim = Token::mint(&known.iter().count().to_string());
        *known = known.clone().with(&host.parse().unwrap(), &claim, "curtin failed", t0());
        in_short(&planned(&world))
    };
    assert_eq!(bad("aaa111"), "Claim Claiming", "the other one is free");
    assert_eq!(bad("bbb222"), "- Quarantined");
    assert_eq!(bad("bbb222"), "- Quarantined");
    let waits = planned(&world);
    assert!(condition(&waits, READY).2.contains("node-a, node-b"), "{waits:?}");
    world.now = t0() + SignedDuration::from_mins(30);
    assert!(waits.wake.at <= world.now);
    assert!(matches!(planned(&world).next, Some(Step::Claim(order)) if order.host.as_str() == "aaa111"));
}

#[test]
fn a_pause_finishes_and_records_what_was_sent_and_lets_the_object_move_within_a_minute() {
    // Nothing was sent: movable at once.
    let mut world = claiming();
    world.core_cluster.paused = true;
    world.put_core_cluster();
    assert_eq!(planned(&world).next, Some(Step::Record(Intent::UnblockMove)));
    // Claimed: recorded first.
    let mut sent = claiming();
    sent.feed(&Topic::Pool(constraints(&sent)));
    let claim = sent.plan(&key("m0"));
    sent.execute(&key("m0"), claim, Chance::Fine);
    sent.core_cluster.paused = true;
    sent.put_core_cluster();
    assert_eq!(planned(&sent).next, Some(Step::WriteSpec(SpecWrite::SystemId("aaa111".parse().unwrap()))));
    assert_eq!(sent.settle(&key("m0")).len(), 1);
    let rests = sent.plan(&key("m0"));
    assert_eq!((rests.next.clone(), condition(&rests, "Paused").0), (None, "True"));
    assert!(!sent.machine("m0").metadata.annotations.as_ref().unwrap().contains_key(BLOCK_MOVE_ANNOTATION));
    // Sent without an answer: looked up for a minute.
    let mut unclear = claiming();
    unclear.feed(&Topic::Pool(constraints(&unclear)));
    let claim = unclear.plan(&key("m0"));
    unclear.execute(&key("m0"), claim, Chance::Metal(Injected::AmbiguousLost));
    unclear.core_cluster.paused = true;
    unclear.put_core_cluster();
    unclear.feed(&Topic::Token(token()));
    assert_eq!(unclear.plan(&key("m0")).next, None);
    unclear.now += SignedDuration::from_secs(60);
    unclear.feed(&Topic::Token(token()));
    assert_eq!(unclear.plan(&key("m0")).next, Some(Step::Record(Intent::UnblockMove)));
}

#[test]
fn after_a_pause_block_move_stands_again_before_anything_is_claimed() {
    let mut world = claiming();
    world.core_cluster.paused = true;
    world.put_core_cluster();
    world.settle(&key("m0"));
    world.core_cluster.paused = false;
    world.put_core_cluster();
    let kinds: Vec<_> = world.settle(&key("m0")).iter().map(Step::kind).collect();
    assert_eq!(kinds[..2], [StepKind::Record, StepKind::Claim]);
}

#[test]
fn the_record_of_a_copied_manifest_is_ignored() {
    let mut copy = maas_machine("m0");
    annotate(&mut copy.metadata, capi_types::names::CLAIM_ANNOTATION, "capmaas:uid-of-the-original default/original");
    let world = world(copy);
    assert_eq!(planned(&world).next, Some(Step::Record(Intent::Claim(token()))));
}
