//! Whole lives, and the ends of them.

use std::collections::{BTreeMap, BTreeSet};

use capi_types::conditions::{DNS_ATTACHED, NODE_TIED, READY};
use capi_types::names::{ABANDON_ANNOTATION, CLAIM_ANNOTATION, DELETE_FOR_MOVE_ANNOTATION};
use capi_types::{AddressType, ApiEndpoint};
use capmaas_reconcile::decision::{Intent, SpecWrite, Step, StepKind};
use capmaas_reconcile::host::{Holder, HostPhase, HostView, Power};
use capmaas_reconcile::model::{Injected, ModelFleet, host};
use capmaas_reconcile::names::{DnsName, Token};
use capmaas_reconcile::provider::Refusal;
use capmaas_reconcile::stores::{Fact, NodeView, NodesSight, Region};
use capmaas_reconcile::topic::Topic;
use jiff::SignedDuration;

use super::{HOST, condition, in_short, node, planned, provisioned, recorded, seen, status, token, with_host};
use crate::world::{CLUSTER, Chance, World, annotate, control_plane, key, maas_cluster, maas_machine, name, t0};

fn kinds(steps: &[Step]) -> Vec<StepKind> {
    steps.iter().map(Step::kind).collect()
}

fn held(phase: HostPhase) -> HostView {
    HostView {
        phase,
        status_name: format!("{phase:?}"),
        holder: Holder::Us(Some(token())),
        power: Power::On,
        addresses: vec!["10.0.0.10".parse().unwrap()],
        ..node()
    }
}

#[test]
fn a_worker_is_provisioned_with_three_writes_and_released_with_one() {
    let mut world = World::new(ModelFleet::new([node()]));
    world.add(maas_machine("m0"));
    let steps = world.settle(&key("m0"));
    use StepKind::{Claim, Deploy, DropFinalizer, Mark, Record, Release, WriteSpec};
    assert_eq!(kinds(&steps), [Record, Claim, WriteSpec, Mark, Deploy]);
    assert_eq!(world.fleet.user_data(&HOST.parse().unwrap()), b"#cloud-config");
    assert!(world.fleet.advance(&HOST.parse().unwrap()));
    let steps = world.settle(&key("m0"));
    assert_eq!(steps, [Step::WriteSpec(SpecWrite::ProviderId("maas:///default/aaa111".parse().unwrap()))]);
    assert_eq!(world.fleet.writes(), 3, "claim, marks, deploy");
    let object = world.machine("m0").clone();
    assert!(object.provisioned() && object.status.as_ref().unwrap().ready);
    let addresses: Vec<_> =
        object.status.as_ref().unwrap().addresses.iter().map(|a| (a.type_, a.address.as_str())).collect();
    assert!(
        addresses.contains(&(AddressType::InternalIp, "10.0.0.10"))
            && addresses.contains(&(AddressType::Hostname, "node-a"))
    );

    world.now += SignedDuration::from_mins(4);
    assert_eq!(world.settle(&key("m0")), []);
    assert_eq!(*world.machine("m0"), object, "a settled machine is not written");

    world.delete("m0");
    assert_eq!(kinds(&world.settle(&key("m0"))), [Release]);
    assert_eq!(condition(&world.plan(&key("m0")), READY).1, "Releasing");
    assert!(world.fleet.advance(&HOST.parse().unwrap()));
    assert_eq!(kinds(&world.settle(&key("m0"))), [DropFinalizer]);
    assert!(world.machines.is_empty());
    assert_eq!(world.fleet.get(&HOST.parse().unwrap()), Some(node()), "back in the pool");
    assert_eq!(world.fleet.writes(), 4);
}

#[test]
fn a_host_that_another_process_claimed_and_deployed_meanwhile_is_read_anew_before_it_is_judged() {
    for known in [true, false] {
        let mut world = World::new(ModelFleet::new([node()]));
        if known {
            world.add(maas_machine("m0"));
        }
        // This process sees the host while it is free, and then nothing for a while.
        world.feed(&Topic::Host(HOST.parse().unwrap()));
        let asleep = world.stores.clone();
        if !known {
            world.add(maas_machine("m0"));
        }
        world.settle(&key("m0"));
        world.stores = asleep;
        world.add(world.machine("m0").clone());
        assert_eq!(planned(&world).next, None, "known before: {known}");
        assert_eq!(world.settle(&key("m0")), [], "known before: {known}");
        assert_eq!(condition(&planned(&world), READY).1, "MachineDeploying");
    }
}

#[test]
fn a_failed_deployment_is_released_remembered_and_tried_on_another_host() {
    let mut world = World::new(ModelFleet::new([node(), host("bbb222", "node-b")]));
    world.add(maas_machine("m0"));
    world.settle(&key("m0"));
    assert!(world.fleet.fail(&HOST.parse().unwrap(), "curtin failed"));
    world.feed(&Topic::Host(HOST.parse().unwrap()));
    let failed = planned(&world);
    assert_eq!(condition(&failed, READY).1, "MachineDeployFailed");
    assert!(condition(&failed, READY).2.contains("curtin failed"));
    world.settle(&key("m0"));
    let known = world.stores.failed[&name(CLUSTER)].get(&HOST.parse().unwrap());
    assert_eq!(known.map(|b| (b.failures, b.why.as_str())), Some((1, "curtin failed")));
    assert!(world.fleet.advance(&HOST.parse().unwrap()));
    world.settle(&key("m0"));
    assert_eq!(world.machine("m0").spec.system_id.as_deref(), Some("bbb222"));
}

#[test]
fn a_locked_host_is_neither_deployed_nor_released() {
    let locked = HostView { locked: true, ..held(HostPhase::Claimed) };
    let mut world = seen(with_host(), locked);
    assert_eq!(in_short(&planned(&world)), "- OperatorHoldsMachine");
    world.delete("m0");
    let waits = planned(&world);
    assert_eq!(in_short(&waits), "- ReleaseBlocked");
    assert!(condition(&waits, READY).2.contains("unlock it"));
}

/// W-03
#[test]
fn power_off_is_told_and_an_unanswering_bmc_is_not_off() {
    for (power, ready) in
        [(Power::On, "Ready"), (Power::Unknown, "Ready"), (Power::Error, "Ready"), (Power::Off, "MachinePoweredOff")]
    {
        let world = seen(provisioned(), HostView { power, ..held(HostPhase::Deployed) });
        assert_eq!(in_short(&planned(&world)), format!("- {ready}"), "{power:?}");
    }
}

/// W-36
#[test]
fn a_provisioned_machine_goes_on_saying_what_it_says_while_maas_is_down() {
    let mut world = seen(provisioned(), held(HostPhase::Deployed));
    world.settle(&key("m0"));
    let before = world.machine("m0").clone();
    world.fleet.set_down(true);
    world.restart();
    world.settle(&key("m0"));
    assert_eq!(*world.machine("m0"), before);
}

/// W-05, W-07
#[test]
fn a_host_that_is_gone_is_chosen_anew_before_and_told_after_provisioning() {
    for (object, expected) in [(with_host(), "NoSystemId -"), (provisioned(), "- MachineNotFound")] {
        let mut world = World::new(ModelFleet::default());
        world.add(object);
        world.feed(&Topic::Host(HOST.parse().unwrap()));
        assert_eq!(in_short(&planned(&world)), expected);
        world.delete("m0");
        assert_eq!(planned(&world).next, Some(Step::DropFinalizer));
    }
}

#[test]
fn the_node_is_tied_once_and_another_value_is_only_told() {
    let fits: BTreeSet<_> = BTreeSet::from(["10.0.0.10".parse().unwrap()]);
    let node = |name: &str, provider_id: &str| NodeView {
        name: name.to_owned(),
        provider_id: provider_id.to_owned(),
        zone: None,
        addresses: fits.clone(),
    };
    let ours = "maas:///default/aaa111";
    let stranger = NodeView { addresses: BTreeSet::from(["10.9.9.9".parse().unwrap()]), ..node("node-a", "") };
    let table = [
        ("no Node", None, "-", "WaitingForNode"),
        ("by hostname", Some(node("node-a", "")), "TieNode", "WaitingForNode"),
        ("by FQDN", Some(node("node-a.maas", "")), "TieNode", "WaitingForNode"),
        ("another machine of that name", Some(stranger), "-", "WaitingForNode"),
        ("tied", Some(node("node-a", ours)), "-", "NodeTied"),
        ("another providerID", Some(node("node-a", "maas:///default/other")), "-", "NodeProviderIDDiffers"),
    ];
    for (case, there, step, reason) in table {
        let mut world = seen(provisioned(), held(HostPhase::Deployed));
        let nodes = there.into_iter().map(|n| (n.name.clone(), n)).collect::<BTreeMap<_, _>>();
        world.stores.learn(Fact::Nodes(name(CLUSTER), NodesSight::Nodes(nodes)), t0());
        let decision = planned(&world);
        assert_eq!(
            (in_short(&decision), condition(&decision, NODE_TIED).1),
            (format!("{step} Ready"), reason),
            "{case}"
        );
    }
}

// ---- whose it is

#[test]
fn a_machine_that_another_provider_deployed_is_taken_over_by_its_hostname_and_then_released_like_ours() {
    let mut object = provisioned();
    object.spec.system_id = None;
    object.metadata.annotations = None;
    let mut world = seen(object, HostView { holder: Holder::Us(None), ..held(HostPhase::Deployed) });
    let steps = world.settle(&key("m0"));
    assert_eq!(steps[0], Step::Record(Intent::Own(token())));
    assert!(matches!(&steps[1..], [Step::Mark { takeover: Some(h), .. }] if h == "node-a"), "{steps:?}");
    assert_eq!(in_short(&world.plan(&key("m0"))), "- Ready");
    world.delete("m0");
    assert_eq!(kinds(&world.settle(&key("m0"))), [StepKind::Release]);
}

#[test]
fn an_unmarked_machine_under_another_hostname_is_neither_taken_over_nor_released() {
    let view = HostView { holder: Holder::Us(None), hostname: "somebody".to_owned(), ..held(HostPhase::Deployed) };
    let mut world = seen(provisioned(), view.clone());
    // What the status says now is what MAAS shows; what counts is what stood before.
    assert_eq!(in_short(&world.plan(&key("m0"))), "- AdoptionRequired");
    world.settle(&key("m0"));
    assert_eq!(in_short(&planned(&world)), "- AdoptionRequired", "seeing it once more does not make it ours");
    world.delete("m0");
    assert_eq!(in_short(&planned(&world)), "- AdoptionRequired");
    world.settle(&key("m0"));
    assert_eq!(world.fleet.get(&HOST.parse().unwrap()), Some(view));
    assert_eq!(world.fleet.writes(), 0);
}

#[test]
fn a_copy_neither_stops_the_original_nor_gets_or_releases_its_machine() {
    let mut world = seen(provisioned(), held(HostPhase::Deployed));
    let mut copy = provisioned();
    copy.metadata.name = Some("copy".to_owned());
    copy.metadata.uid = Some("uid-copy".to_owned());
    world.add(copy);
    assert_eq!(in_short(&world.plan(&key("m0"))), "- -", "somebody says that it is another's: it is read again");
    world.feed(&Topic::Host(HOST.parse().unwrap()));
    assert_eq!(in_short(&world.plan(&key("m0"))), "- Ready");
    world.settle(&key("copy"));
    let told = world.plan(&key("copy"));
    assert_eq!((told.next.clone(), condition(&told, READY).1), (None, "NotOurs"));
    assert!(condition(&told, READY).2.contains("default/m0"));
    world.delete("copy");
    world.settle(&key("copy"));
    assert!(!world.machines.contains_key(&name("copy")));
    assert_eq!(world.fleet.writes(), 0);
    world.delete("m0");
    assert_eq!(kinds(&world.settle(&key("m0"))), [StepKind::Release], "the original releases what is its own");
}

#[test]
fn of_two_copies_of_a_takeover_neither_gets_the_machine() {
    let mut world = seen(provisioned(), HostView { holder: Holder::Us(None), ..held(HostPhase::Deployed) });
    let mut copy = provisioned();
    copy.metadata.name = Some("copy".to_owned());
    copy.metadata.uid = Some("uid-copy".to_owned());
    world.add(copy);
    assert_eq!(in_short(&world.plan(&key("m0"))), "- -", "somebody says that it is another's: it is read again");
    world.feed(&Topic::Host(HOST.parse().unwrap()));
    assert_eq!(in_short(&world.plan(&key("m0"))), "- NotOurs");
    world.delete("copy");
    world.settle(&key("copy"));
    assert_eq!(world.fleet.writes(), 0);
    assert_eq!(in_short(&world.plan(&key("m0"))), "TakeOver -", "the copy is gone");
}

#[test]
fn the_loser_of_a_race_gives_its_box_back_first_and_waits_when_that_fails() {
    for deleting in [false, true] {
        let mut world = World::new(ModelFleet::new([held(HostPhase::Claimed), host("bbb222", "node-b")]));
        let mut loser = host("bbb222", "node-b");
        loser.holder = Holder::Us(Some(token()));
        loser.phase = HostPhase::Claimed;
        world.fleet.put(loser);
        world.add(with_host());
        world.feed(&Topic::Host(HOST.parse().unwrap()));
        world.stores.memory_mut(&key("m0")).claimed = Some("bbb222".parse().unwrap());
        if deleting {
            world.delete("m0");
        }
        let gives = planned(&world);
        assert!(matches!(&gives.next, Some(Step::Release { host, .. }) if host.as_str() == "bbb222"), "{gives:?}");
        world.execute(&key("m0"), gives.clone(), Chance::Metal(Injected::Unavailable));
        let waits = planned(&world);
        assert_eq!((waits.next, waits.wake.at), (None, t0() + SignedDuration::from_secs(10)));
        world.now = waits.wake.at;
        world.execute(&key("m0"), gives, Chance::Fine);
        assert_eq!(world.stores.memory(&key("m0")).claimed, None);
    }
}

/// W-02
#[test]
fn a_host_that_was_released_and_claimed_for_another_machine_is_let_go() {
    // m0's spec names it, but m1 holds it, and has not marked it yet.
    for deleting in [false, true] {
        let mut world = World::new(ModelFleet::new([node()]));
        world.add(maas_machine("m1"));
        for _ in 0..10 {
            let decision = world.plan(&key("m1"));
            if matches!(decision.next, Some(Step::Mark { .. })) {
                break;
            }
            let topics = decision.wake.topics.clone();
            world.execute(&key("m1"), decision, Chance::Fine);
            topics.iter().for_each(|t| world.feed(t));
        }
        world.add(with_host());
        world.feed(&Topic::Host(HOST.parse().unwrap()));
        if deleting {
            world.delete("m0");
        }
        let steps = world.settle(&key("m0"));
        assert_eq!(kinds(&steps[..1]), [StepKind::Mark], "which proves that it is not m0's");
        assert!(steps[1..].iter().all(|s| !matches!(s, Step::Mark { .. })), "{steps:?}");
        assert_eq!(world.machines.get(&name("m0")).and_then(|o| o.spec.system_id.clone()), None);
        assert_eq!(world.fleet.agent_name(&HOST.parse().unwrap()), Some(Token::mint("uid-m1")));
        assert_eq!(world.fleet.trespasses(), Vec::<String>::new());
        assert!(kinds(&world.settle(&key("m1"))).contains(&StepKind::Deploy), "and m1 goes on");
    }
}

// ---- the end

#[test]
fn deletion_waits_and_says_for_what() {
    let mut world = seen(provisioned(), held(HostPhase::Deployed));
    world.delete("m0");
    world.stores.learn(Fact::Region(Region::NoCredentials("Secret capmaas-system/x is missing".to_owned())), t0());
    let waits = planned(&world);
    assert_eq!(in_short(&waits), "- CredentialsMissing");
    assert!(condition(&waits, READY).2.starts_with("can't release the machine: Secret"));
    world.feed(&Topic::Region);
    let release = planned(&world);
    world.execute(&key("m0"), release, Chance::Metal(Injected::Rejected(Refusal::Permission)));
    assert_eq!(in_short(&planned(&world)), "- MAASForbidden");
}

#[test]
fn deletion_needs_neither_machine_nor_cluster_nor_bootstrap_data() {
    let mut world = seen(with_host(), held(HostPhase::Claimed));
    world.stores.learn(Fact::CoreMachine(name("m0"), None), t0());
    world.stores.learn(Fact::CoreCluster(name(CLUSTER), None), t0());
    world.delete("m0");
    assert_eq!(kinds(&world.settle(&key("m0"))), [StepKind::Release]);
}

/// W-11
#[test]
fn deletion_before_anything_was_claimed_ends_at_once_but_not_while_a_claim_may_land() {
    let mut world = World::new(ModelFleet::new([node()]));
    world.add(maas_machine("m0"));
    let record = world.plan(&key("m0"));
    world.execute(&key("m0"), record, Chance::Fine);
    let mut early = world.clone();
    early.delete("m0");
    assert_eq!(planned(&early).next, Some(Step::DropFinalizer));
    // A process that did not write the record can't know.
    world.restart();
    world.delete("m0");
    world.feed(&Topic::Token(token()));
    let waits = planned(&world);
    assert_eq!((waits.next.clone(), condition(&waits, READY).1), (None, "Deleting"));
    world.now += SignedDuration::from_secs(100);
    world.feed(&Topic::Token(token()));
    assert_eq!(planned(&world).next, Some(Step::DropFinalizer));
}

#[test]
fn an_object_that_clusterctl_moved_away_is_never_released() {
    let mut object = provisioned();
    annotate(&mut object.metadata, DELETE_FOR_MOVE_ANNOTATION, "");
    let mut world = seen(object, held(HostPhase::Deployed));
    world.delete("m0");
    let decision = world.plan(&key("m0"));
    assert_eq!((decision.next, decision.status), (None, None));
}

#[test]
fn an_object_that_arrives_by_a_move_keeps_its_machine() {
    let mut object = provisioned();
    object.metadata.uid = Some("uid-after-the-move".to_owned());
    object.status = None;
    let mut world = seen(object, held(HostPhase::Deployed));
    assert_eq!(world.settle(&key("m0")), []);
    assert!(world.machine("m0").provisioned());
    assert_eq!(world.machine("m0").metadata.annotations, recorded().metadata.annotations, "the first token stays");
}

#[test]
fn only_the_annotation_with_its_system_id_lets_go_of_a_box_unreleased() {
    for (text, step) in [(HOST, StepKind::DropFinalizer), ("bbb222", StepKind::Release), ("", StepKind::Release)] {
        let mut object = provisioned();
        annotate(&mut object.metadata, ABANDON_ANNOTATION, text);
        let mut world = seen(object, held(HostPhase::Deployed));
        world.delete("m0");
        assert_eq!(planned(&world).next.as_ref().map(Step::kind), Some(step), "{text:?}");
    }
}

/// W-10
#[test]
fn release_waits_until_dns_forgot_the_address() {
    let mut cluster = maas_cluster();
    cluster.spec.control_plane_endpoint = Some(ApiEndpoint { host: "c1-abc.maas".to_owned(), port: 6443 });
    let dns = DnsName::within("c1-abc.maas", "maas").unwrap();
    let mut world = seen(control_plane(provisioned()), held(HostPhase::Deployed));
    world.put_cluster(cluster);
    world.fleet.put_name(dns.clone(), BTreeSet::from(["10.0.0.10".parse().unwrap(), "10.0.0.11".parse().unwrap()]));
    world.feed(&Topic::Name(dns.clone()));
    let attached = planned(&world);
    assert_eq!((condition(&attached, DNS_ATTACHED).1, status(&attached).unwrap().dns_attached), ("DNSAttached", true));
    world.delete("m0");
    assert_eq!(in_short(&planned(&world)), "- DNSDetachPending");
    world.fleet.put_name(dns.clone(), BTreeSet::from(["10.0.0.11".parse().unwrap()]));
    world.feed(&Topic::Name(dns));
    let waits = planned(&world);
    assert_eq!(
        (in_short(&waits).as_str(), waits.wake.at),
        ("- DNSDetachPending", t0() + SignedDuration::from_secs(15))
    );
    world.now = waits.wake.at;
    assert_eq!(in_short(&planned(&world)), "Release Releasing");
}

/// W-55
#[test]
fn a_systemid_that_somebody_wrote_by_hand_is_not_acted_upon() {
    let mut object = with_host();
    annotate(&mut object.metadata, CLAIM_ANNOTATION, "capmaas:x default/other");
    let mut world = seen(object, HostView { holder: Holder::Us(Some(Token::mint("x"))), ..held(HostPhase::Deployed) });
    assert_eq!(in_short(&planned(&world)), "- AdoptionRequired");
    world.delete("m0");
    assert_eq!(planned(&world).next, Some(Step::DropFinalizer));
}

#[test]
fn an_unmarked_machine_in_an_operators_hands_is_not_called_lost() {
    // As a fleet of the provider before us may stand when we take over.
    let world = seen(provisioned(), HostView { holder: Holder::Us(None), ..held(HostPhase::Operator) });
    assert_eq!(in_short(&planned(&world)), "- OperatorHoldsMachine");
}

#[test]
fn of_two_boxes_under_one_token_one_is_kept_and_the_other_given_back_before_any_deploy() {
    // As two leaders at once may leave it.
    let claimed = |id: &str, name: &str| HostView {
        phase: HostPhase::Claimed,
        status_name: "Allocated".to_owned(),
        ..host(id, name)
    };
    for stale in [false, true] {
        let mut world = World::new(ModelFleet::new([node(), host("bbb222", "node-b")]));
        world.add(maas_machine("m0"));
        let record = world.plan(&key("m0"));
        world.execute(&key("m0"), record, Chance::Fine);
        for view in [claimed(HOST, "node-a"), claimed("bbb222", "node-b")] {
            world.fleet.put_claimed(view, token());
        }
        world.restart();
        world.feed(&Topic::Token(token()));
        if stale {
            world.fleet.put(host("bbb222", "node-b"));
        }
        let steps = world.settle(&key("m0"));
        use StepKind::{Deploy, Mark, Release, WriteSpec};
        assert_eq!(kinds(&steps), [WriteSpec, Release, Mark, Deploy], "stale: {stale}");
        assert!(matches!(&steps[1], Step::Release { host, .. } if host.as_str() == "bbb222"));
        assert_eq!(world.fleet.writes(), if stale { 2 } else { 3 }, "a stale hit is looked at, and left alone");
    }
}
