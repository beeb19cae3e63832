//! What goes wrong with a host, and what is done about it.

use capi_types::conditions::{BOOTSTRAP_SUCCEEDED, MACHINE_DEPLOYED, READY};
use capi_types::{
    FailedHostAction, FailedHostPolicy, MaasMachine, PowerPolicy, ReleasePolicy, WhenOff, WhenReleaseFails,
};
use capmaas_reconcile::decision::{Decision, Step, StepKind};
use capmaas_reconcile::host::{Holder, HostPhase, HostView, Power, Story};
use capmaas_reconcile::model::{Injected, ModelFleet, host};
use capmaas_reconcile::names::{Key, Kind};
use capmaas_reconcile::provider::{QuarantineOrder, Refusal};
use capmaas_reconcile::stores::{Fact, NodeView, NodesSight};
use capmaas_reconcile::topic::Topic;
use jiff::SignedDuration;

use super::{HOST, condition, in_short, node, planned, provisioned, seen, token, with_host};
use crate::world::{CLUSTER, Chance, World, core_machine, key, maas_cluster, maas_machine, name, t0};

fn id() -> capi_types::SystemId {
    HOST.parse().unwrap()
}

fn cluster_key() -> Key {
    Key { kind: Kind::Cluster, name: name(CLUSTER) }
}

fn deployed(power: Power) -> HostView {
    HostView {
        phase: HostPhase::Deployed,
        holder: Holder::Us(Some(token())),
        status_name: "Deployed".to_owned(),
        power,
        addresses: vec!["10.0.0.10".parse().unwrap()],
        ..node()
    }
}

/// A machine whose deployment has failed, in a cluster that remembers.
fn failed(policy: Option<FailedHostPolicy>) -> World {
    let mut world = World::new(ModelFleet::new([node(), host("bbb222", "node-b")]));
    let mut cluster = maas_cluster();
    cluster.spec.failed_hosts = policy;
    cluster.metadata.finalizers = Some(vec![capi_types::names::CLUSTER_FINALIZER.to_owned()]);
    world.put_cluster(cluster);
    world.add(maas_machine("m0"));
    world.settle(&key("m0"));
    assert!(world.fleet.fail(&id(), "curtin failed"));
    world.feed(&capmaas_reconcile::topic::Topic::Host(id()));
    world
}

fn policy(after: u8, action: FailedHostAction) -> Option<FailedHostPolicy> {
    Some(FailedHostPolicy { after, action, tag: "sick".to_owned() })
}

/// W-06
#[test]
fn a_host_that_failed_is_given_back_only_when_its_cluster_has_noted_it_and_then_is_avoided_by_every_machine() {
    let mut world = failed(None);
    assert_eq!(world.settle(&key("m0")), [], "it waits for the note");
    assert_eq!(condition(&planned(&world), READY).1, "MachineDeployFailed");
    let noted = world.plan(&cluster_key());
    assert!(matches!(&noted.next, Some(Step::Record(_))), "{noted:?}");
    world.execute(&cluster_key(), noted, Chance::Fine);
    assert!(!matches!(world.plan(&cluster_key()).next.map(|s| s.kind()), Some(StepKind::Record)), "noted once");
    assert!(matches!(&world.settle(&key("m0"))[..], [Step::Release { .. }]));

    // The process ends and the MaasMachine is replaced: the memory is in the MaasCluster.
    world.fleet.advance(&id());
    world.restart();
    world.delete("m0");
    world.settle(&key("m0"));
    world.add(maas_machine("m1"));
    world.settle(&key("m1"));
    assert_eq!(world.machine("m1").spec.system_id.as_deref(), Some("bbb222"), "the failed one would be cheaper");
}

#[test]
fn after_as_many_failures_as_the_policy_says_the_host_is_marked_broken_and_let_go() {
    let mut world = failed(policy(1, FailedHostAction::MarkBroken));
    world.settle(&key("m0"));
    let noted = world.plan(&cluster_key());
    world.execute(&cluster_key(), noted, Chance::Fine);
    let decision = planned(&world);
    assert!(condition(&decision, READY).2.contains("it is marked broken"), "{decision:?}");
    let Some(Step::Quarantine { order: QuarantineOrder::Broken { comment }, .. }) = &decision.next else {
        panic!("{decision:?}")
    };
    assert_eq!(comment, "capmaas: 1 failed deployments for cluster default/c1, the last: curtin failed");
    world.settle(&key("m0"));
    assert_eq!(world.fleet.get(&id()).map(|v| v.phase), Some(HostPhase::Broken));
    assert_eq!(world.machine("m0").spec.system_id.as_deref(), Some("bbb222"), "another one is chosen");

    // Deleted instead: a host that we marked broken is let go, not released.
    let broken = HostView {
        phase: HostPhase::Broken,
        holder: Holder::Us(Some(token())),
        error: comment.clone(),
        ..deployed(Power::On)
    };
    let mut world = seen(with_host(), broken);
    world.delete("m0");
    assert_eq!(world.settle(&key("m0")), [Step::DropFinalizer]);
}

#[test]
fn before_that_or_without_the_right_the_host_is_released_and_the_condition_says_so() {
    let kinds = |world: &mut World| {
        world.settle(&key("m0"));
        let noted = world.plan(&cluster_key());
        world.execute(&cluster_key(), noted, Chance::Fine);
        world.plan(&key("m0")).next.map(|step| step.kind())
    };
    assert_eq!(kinds(&mut failed(policy(2, FailedHostAction::MarkBroken))), Some(StepKind::Release));
    assert_eq!(kinds(&mut failed(policy(1, FailedHostAction::Leave))), Some(StepKind::Release));
    let mut world = failed(policy(1, FailedHostAction::Tag));
    assert_eq!(kinds(&mut world), Some(StepKind::Quarantine));
    let mut refused = world.clone();
    let steps = world.settle(&key("m0"));
    assert!(matches!(steps[..], [Step::Quarantine { .. }, Step::Release { .. }]), "{steps:?}");
    assert!(world.fleet.get(&id()).unwrap().tags.contains("sick"));

    let decision = refused.plan(&key("m0"));
    refused.execute(&key("m0"), decision, Chance::Metal(Injected::Rejected(Refusal::Permission)));
    let decision = planned(&refused);
    assert!(condition(&decision, READY).2.contains("spec.failedHosts could not be done (refused: Permission)"));
    assert_eq!(decision.next.map(|step| step.kind()), Some(StepKind::Release), "not stuck");
}

#[test]
fn the_condition_of_a_failed_deployment_tells_what_maas_tells() {
    let mut world = failed(None);
    let story = Story {
        errors: vec![
            (t0(), "Marking node failed: curtin failed".to_owned()),
            (t0(), "Node installation failure: 'curthooks'".to_owned()),
        ],
        log_tail: "Unexpected error while running command. | Exit code: 3".to_owned(),
    };
    world.stores.learn(Fact::Story(id(), Box::new(story)), world.now);
    assert_eq!(
        condition(&planned(&world), READY).2,
        "deployment on node-a failed: curtin failed; Marking node failed: curtin failed; Node installation failure: 'curthooks'; the \
         installation's log ends with: Unexpected error while running command. | Exit code: 3; it is released, another machine is chosen"
    );
}

/// A machine that is being deleted and whose release failed, as often as MAAS takes the order.
fn releasing(policy: Option<ReleasePolicy>) -> World {
    let mut object = provisioned();
    object.spec.release = policy;
    let mut world = seen(object, deployed(Power::On));
    world.delete("m0");
    world.settle(&key("m0"));
    world
}

fn fails_again(world: &mut World) -> Decision {
    assert!(world.fleet.fail(&id(), "wipe-disks timed out"));
    world.feed(&capmaas_reconcile::topic::Topic::Host(id()));
    planned(world)
}

/// W-11
#[test]
fn a_release_that_fails_for_the_third_time_waits_an_hour_or_is_marked_broken_by_policy() {
    let third = |policy| {
        let mut world = releasing(policy);
        for wait in [60, 120] {
            let decision = fails_again(&mut world);
            assert_eq!(in_short(&decision), "- ReleaseFailed");
            assert_eq!(decision.wake.at.duration_since(world.now).as_secs(), wait);
            world.now = decision.wake.at;
            world.settle(&key("m0"));
        }
        fails_again(&mut world);
        world
    };
    let mut world = third(None);
    let message = condition(&planned(&world), READY).2.to_owned();
    assert!(
        message.contains("three times, and is tried again every hour") && message.contains("abandon: aaa111"),
        "{message}"
    );
    world.now += SignedDuration::from_mins(59);
    assert_eq!(planned(&world).next, None);
    world.now += SignedDuration::from_mins(1);
    assert_eq!(planned(&world).next.map(|s| s.kind()), Some(StepKind::Release));

    let mut world = third(Some(ReleasePolicy { when_failing: WhenReleaseFails::MarkBroken, ..Default::default() }));
    let steps = world.settle(&key("m0"));
    assert!(matches!(steps[..], [Step::Quarantine { .. }, Step::DropFinalizer]), "{steps:?}");
    assert!(world.machines.is_empty());
    assert!(world.fleet.get(&id()).unwrap().error.contains("disks may hold data of default/m0"));
}

fn powered(at_most: u8) -> MaasMachine {
    let mut object = provisioned();
    object.spec.power = Some(PowerPolicy { when_off: WhenOff::TurnOn, at_most });
    object
}

#[test]
fn a_machine_that_is_off_is_powered_on_by_policy_as_often_as_allowed_and_each_time_is_noted_before() {
    let mut world = seen(powered(2), deployed(Power::Off));
    let mut done = Vec::new();
    for _ in 0..40 {
        for step in world.settle(&key("m0")) {
            assert!(matches!(step, Step::Power { .. }), "{step:?}");
            let noted = world.machine("m0").status.as_ref().unwrap().powered_on.last().map(|t| t.0);
            done.push((world.now.duration_since(t0()).as_mins(), noted == Some(world.now)));
            // It does not help: the cord is out.
            world.fleet.put(deployed(Power::Off));
        }
        world.feed(&capmaas_reconcile::topic::Topic::Host(id()));
        world.now += SignedDuration::from_mins(2);
    }
    assert_eq!(done, [(0, true), (6, true), (60, true), (66, true)], "minutes");
    world.now = t0() + SignedDuration::from_mins(73);
    assert_eq!(condition(&planned(&world), READY).1, "PowerLimitReached");
}

#[test]
fn a_power_on_that_was_noted_and_not_done_is_done_by_the_next_process() {
    let mut world = seen(powered(1), deployed(Power::Off));
    let decision = world.plan(&key("m0"));
    world.write_status(&key("m0"), &decision);
    world.restart();
    world.feed(&capmaas_reconcile::topic::Topic::Host(id()));
    assert_eq!(in_short(&planned(&world)), "Power PoweringOn");
    world.now += SignedDuration::from_secs(90);
    assert_eq!(planned(&world).next, None, "it may have been done long ago: counted");
}

/// W-03
#[test]
fn no_power_action_without_policy_or_evidence_or_when_it_would_destroy() {
    for (power, in_memory, leaving, when) in [
        (Power::Unknown, false, false, WhenOff::TurnOn),
        (Power::Error, false, false, WhenOff::TurnOn),
        (Power::Off, true, false, WhenOff::TurnOn),
        (Power::Off, false, true, WhenOff::TurnOn),
        (Power::Off, false, false, WhenOff::Report),
    ] {
        let mut object = powered(3);
        object.spec.power.as_mut().unwrap().when_off = when;
        let mut world = seen(object, HostView { in_memory, ..deployed(power) });
        if leaving {
            let mut core = core_machine("m0");
            core.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(t0()));
            core.metadata.resource_version = Some("999".to_owned());
            world.stores.learn(Fact::CoreMachine(name("m0"), Some(Box::new(core))), world.now);
        }
        assert_eq!(planned(&world).next, None, "{power:?} in_memory={in_memory} leaving={leaving} {when:?}");
    }
}

/// W-05
#[test]
fn an_in_memory_machine_that_lost_power_stays_lost_when_the_power_is_back() {
    let mut world = seen(powered(3), HostView { in_memory: true, ..deployed(Power::Off) });
    world.settle(&key("m0"));
    for view in [deployed(Power::On), HostView { phase: HostPhase::Deploying, ..deployed(Power::On) }] {
        world.fleet.put(HostView { in_memory: true, ..view });
        world.feed(&capmaas_reconcile::topic::Topic::Host(id()));
        let decision = planned(&world);
        assert_eq!(in_short(&decision), "- InMemorySystemLost");
        assert_eq!(condition(&decision, MACHINE_DEPLOYED).0, "False");
    }
    let object = world.machine("m0");
    assert!(object.provisioned() && object.spec.provider_id.is_some(), "provisioned and providerID stay");
}

#[test]
fn a_machine_that_does_not_join_in_time_says_so_and_one_that_joins_later_is_fine() {
    let mut world = seen(provisioned(), deployed(Power::On));
    let mut cluster = maas_cluster();
    cluster.spec.node_startup_timeout_seconds = Some(600);
    world.put_cluster(cluster);
    world.settle(&key("m0"));
    assert_eq!(condition(&planned(&world), BOOTSTRAP_SUCCEEDED).1, "WaitingForBootstrap");
    world.now += SignedDuration::from_mins(10);
    world.settle(&key("m0"));
    let decision = planned(&world);
    assert_eq!(condition(&decision, BOOTSTRAP_SUCCEEDED).1, "WaitingForBootstrap", "the Nodes were not read yet");
    let asks = |decision: &Decision| decision.wake.topics.contains(&Topic::Story(id()));
    assert!(!asks(&decision), "a process that starts does not ask MAAS for the story of every machine");
    world.stores.learn(Fact::Nodes(name(CLUSTER), NodesSight::Nodes([].into())), world.now);
    assert!(asks(&planned(&world)));
    world.settle(&key("m0"));
    let decision = planned(&world);
    assert!(!asks(&decision), "once it was told, MAAS is not asked again and again");
    let (status, reason, message) = condition(&decision, BOOTSTRAP_SUCCEEDED);
    assert_eq!((status, reason), ("False", "BootstrapFailed"));
    assert!(message.contains("did not join within 600 s; no Node node-a has joined"), "{message}");
    assert_eq!(condition(&decision, READY).0, "True", "the machine itself is as it should be");

    let node = NodeView {
        name: "node-a".to_owned(),
        provider_id: format!("maas:///default/{HOST}"),
        zone: None,
        addresses: ["10.0.0.10".parse().unwrap()].into(),
    };
    let nodes = NodesSight::Nodes([(node.name.clone(), node)].into());
    world.stores.learn(Fact::Nodes(name(CLUSTER), nodes), world.now);
    world.settle(&key("m0"));
    assert_eq!(condition(&planned(&world), BOOTSTRAP_SUCCEEDED).0, "True");
    world.stores.learn(Fact::Nodes(name(CLUSTER), NodesSight::Nodes([].into())), world.now);
    assert_eq!(condition(&planned(&world), BOOTSTRAP_SUCCEEDED).0, "True", "it did join, once");
}

#[test]
fn a_failure_that_maas_reports_after_the_installation_is_told_with_its_words() {
    let mut world = seen(provisioned(), deployed(Power::On));
    world.settle(&key("m0"));
    let errors = |at| vec![(at, "Node post-installation failure: 'scripts-user' running 'runcmd'".to_owned())];
    let story = |at| Box::new(Story { errors: errors(at), log_tail: String::new() });
    world.stores.learn(Fact::Story(id(), story(t0() - SignedDuration::from_hours(1))), world.now);
    assert_eq!(condition(&planned(&world), BOOTSTRAP_SUCCEEDED).1, "WaitingForBootstrap", "that was before");
    world.stores.learn(Fact::Story(id(), story(t0() + SignedDuration::from_secs(30))), world.now);
    let decision = planned(&world);
    let (status, reason, message) = condition(&decision, BOOTSTRAP_SUCCEEDED);
    assert_eq!((status, reason), ("False", "BootstrapFailed"));
    assert!(message.contains("deployed, then failed: Node post-installation failure: 'scripts-user'"), "{message}");
}

/// W-08
#[test]
fn a_machine_that_an_earlier_claim_got_is_adopted_or_given_back_when_the_sweep_finds_it() {
    let lost = || host("bbb222", "node-b");
    // The object has a machine already: the other is given back.
    let mut world = seen(provisioned(), deployed(Power::On));
    world
        .fleet
        .put_claimed(HostView { phase: HostPhase::Claimed, status_name: "Allocated".to_owned(), ..lost() }, token());
    let steps = world.settle(&key("m0"));
    assert!(matches!(&steps[..], [Step::Release { host, .. }] if host.as_str() == "bbb222"), "{steps:?}");

    // It has none, and waits for data: the lost one is taken.
    let mut object = with_host();
    object.spec.system_id = None;
    let mut world = World::new(ModelFleet::default());
    let mut core = core_machine("m0");
    core.data_secret_name = None;
    world.core_machines.insert(name("m0"), core);
    world.add(object.clone());
    world.stores.memory_mut(&key("m0")).claim_open_since = None;
    world.fleet.put_claimed(HostView { phase: HostPhase::Claimed, ..lost() }, token());
    world.settle(&key("m0"));
    assert_eq!(world.machine("m0").spec.system_id.as_deref(), Some("bbb222"));

    // It is being deleted: the lost one is found first, and given back.
    let mut world = World::new(ModelFleet::default());
    world.add(object);
    world.fleet.put_claimed(HostView { phase: HostPhase::Claimed, ..lost() }, token());
    world.feed(&capmaas_reconcile::topic::Topic::Strays);
    world.delete("m0");
    let steps: Vec<_> = world.settle(&key("m0")).iter().map(Step::kind).collect();
    assert_eq!(steps, [StepKind::WriteSpec, StepKind::Mark, StepKind::Release]);
}

#[test]
fn a_box_that_is_given_back_sick_is_noted_first_so_that_the_replacement_gets_another() {
    let sick = |power, unhealthy, ending: bool| {
        let mut world = seen(provisioned(), deployed(power));
        let mut cluster = maas_cluster();
        cluster.metadata.finalizers = Some(vec![capi_types::names::CLUSTER_FINALIZER.to_owned()]);
        world.put_cluster(cluster);
        let mut core = core_machine("m0");
        (core.unhealthy, core.metadata.resource_version) = (unhealthy, Some("999".to_owned()));
        world.stores.learn(Fact::CoreMachine(name("m0"), Some(Box::new(core))), world.now);
        if ending {
            world.core_cluster.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(t0()));
            world.put_core_cluster();
        }
        world.delete("m0");
        let waits = world.settle(&key("m0")).is_empty();
        let noted = world.plan(&cluster_key());
        let notes = matches!(noted.next, Some(Step::Record(_)));
        world.execute(&cluster_key(), noted, Chance::Fine);
        world.settle(&key("m0"));
        assert_eq!(world.fleet.get(&id()).map(|v| v.phase), Some(HostPhase::Releasing), "released in the end");
        (waits, notes && world.clusters[&name(CLUSTER)].metadata.annotations.is_some())
    };
    assert_eq!(sick(Power::Off, false, false), (true, true));
    assert_eq!(sick(Power::On, true, false), (true, true));
    assert!(!sick(Power::On, false, false).0, "a healthy one is released at once");
    assert!(!sick(Power::Off, true, true).0, "as is the last of its cluster");
}
