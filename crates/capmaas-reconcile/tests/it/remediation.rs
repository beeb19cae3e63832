//! What is done about a Machine that failed its health check.

use capi_types::conditions::{self, READY};
use capi_types::names::{BLOCK_MOVE_ANNOTATION, CONTROL_PLANE_LABEL, DELETE_FOR_MOVE_ANNOTATION, PAUSED_ANNOTATION};
use capi_types::{CoreMachine, CoreRef, MaasMachine, MaasRemediation, PowerPolicy, RemediationPhase, WhenOff};
use capmaas_reconcile::decision::{Decision, Intent, PowerOrder, Status, Step};
use capmaas_reconcile::host::{Holder, HostPhase, HostView, Power};
use capmaas_reconcile::model::{Injected, ModelFleet, host};
use capmaas_reconcile::names::{Key, Kind, Token};
use capmaas_reconcile::record::Record;
use capmaas_reconcile::stores::{Fact, Region};
use capmaas_reconcile::topic::Topic;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::world::{CLUSTER, Chance, World, annotate, control_plane, core_machine, key, maas_machine, meta, name, t0};

const TIMEOUT: i32 = 600;

fn remedy(n: &str) -> Key {
    Key::new(Kind::Remediation, "default", n)
}

fn id(n: &str) -> capi_types::SystemId {
    format!("aaa11{}", &n[1..]).parse().unwrap()
}

fn deployed(n: &str) -> HostView {
    HostView {
        phase: HostPhase::Deployed,
        holder: Holder::Us(Some(Token::mint(&format!("uid-{n}")))),
        status_name: "Deployed".to_owned(),
        power: Power::On,
        addresses: vec![format!("10.0.0.1{}", &n[1..]).parse().unwrap()],
        ..host(id(n).as_str(), &format!("node-{n}"))
    }
}

fn object(n: &str) -> MaasMachine {
    let mut object = maas_machine(n);
    object.metadata.finalizers = Some(vec![capi_types::names::MACHINE_FINALIZER.to_owned()]);
    let record = Record::text(&Token::mint(&format!("uid-{n}")), &name(n));
    annotate(&mut object.metadata, capi_types::names::CLAIM_ANNOTATION, &record);
    object.spec.system_id = Some(id(n).to_string());
    object.spec.provider_id = Some(format!("maas:///default/{}", id(n)));
    object
}

fn core(n: &str) -> CoreMachine {
    let reference =
        CoreRef { group: capi_types::names::GROUP.to_owned(), kind: "MaasMachine".to_owned(), name: n.to_owned() };
    CoreMachine {
        infrastructure_ref: Some(reference),
        node_name: Some(format!("node-{n}")),
        healthy: true,
        ..core_machine(n)
    }
}

fn request(world: &World, n: &str, tries: i32) -> MaasRemediation {
    let mut request = MaasRemediation { metadata: meta(n, Some(("Machine", n))), ..Default::default() };
    request.metadata.uid = Some(format!("request-{n}"));
    request.metadata.owner_references.as_mut().unwrap()[0].uid = format!("uid-{n}");
    request.metadata.creation_timestamp = Some(Time(world.now));
    request.spec.strategy.retry_limit = tries;
    request.spec.strategy.timeout_seconds = TIMEOUT;
    request
}

/// These machines, deployed and healthy.
fn world(machines: &[&str], of_control_plane: bool) -> World {
    let mut world = World::new(ModelFleet::new(machines.iter().map(|n| deployed(n))));
    for n in machines {
        let mut machine = core(n);
        let mut maas_machine = object(n);
        if of_control_plane {
            machine.metadata.labels.get_or_insert_default().insert(CONTROL_PLANE_LABEL.to_owned(), String::new());
            maas_machine = control_plane(maas_machine);
        }
        world.put_core_machine(machine);
        world.put(maas_machine);
        world.feed(&Topic::Host(id(n)));
    }
    world
}

/// Its health check fails: core says so, and asks for help.
fn sick(world: &mut World, n: &str, tries: i32) {
    let machine = CoreMachine { healthy: false, unhealthy: true, ..world.core_machines[&name(n)].clone() };
    world.put_core_machine(machine);
    let request = request(world, n, tries);
    world.put_remediation(request);
}

fn one_sick(tries: i32) -> World {
    let mut world = world(&["m0"], false);
    sick(&mut world, "m0", tries);
    world
}

fn shown(decision: &Decision) -> (RemediationPhase, String, String) {
    let Some(Status::Remediation(status)) = &decision.status else { panic!("no status: {decision:?}") };
    let ready = conditions::find(&status.conditions, READY).unwrap();
    (status.phase.unwrap(), ready.reason.clone(), ready.message.clone())
}

fn orders(steps: &[Step]) -> Vec<&'static str> {
    let word = |step: &Step| match step {
        Step::Record(Intent::PowerCycles(_)) => "note",
        Step::Record(Intent::UnblockMove) => "unblock",
        Step::Power { to: PowerOrder::Off, .. } => "off",
        Step::Power { to: PowerOrder::On, .. } => "on",
        Step::HandOver(_) => "hand over",
        Step::DropFinalizer => "drop",
        other => panic!("{other:?}"),
    };
    steps.iter().map(word).collect()
}

/// Everything happens that happens by itself, until then; the steps with the minute of each.
fn until(world: &mut World, requests: &[&str], minutes: i64) -> Vec<(i64, String, Step)> {
    let end = t0() + SignedDuration::from_mins(minutes);
    let mut done = Vec::new();
    while world.now < end {
        for n in requests {
            if world.remediations.contains_key(&name(n)) {
                let steps = world.settle(&remedy(n));
                let at = world.now.duration_since(t0()).as_mins();
                done.extend(steps.into_iter().map(|step| (at, (*n).to_owned(), step)));
            }
        }
        world.now += SignedDuration::from_secs(30);
    }
    done
}

fn deleted(world: &mut World, n: &str) {
    let mut request = world.remediations[&name(n)].clone();
    request.metadata.deletion_timestamp = Some(Time(world.now));
    world.put_remediation(request);
}

#[test]
fn a_sick_worker_is_switched_off_and_on_with_a_note_before_each_order_and_after() {
    let mut world = one_sick(1);
    let steps = world.settle(&remedy("m0"));
    assert_eq!(orders(&steps), ["note", "off", "note", "on", "note"]);
    assert_eq!(world.fleet.get(&id("m0")).unwrap().power, Power::On);
    let request = &world.remediations[&name("m0")];
    let status = request.status.clone().unwrap();
    assert_eq!(status.phase, Some(RemediationPhase::WaitingForHealth));
    assert_eq!((status.retry_count, status.history.len()), (1, 1));
    assert_eq!(status.last_remediated, Some(Time(t0())));
    assert_eq!(status.history[0].powered_on, Some(Time(t0())));
    let annotations = request.metadata.annotations.as_ref().unwrap();
    assert!(!annotations.contains_key(BLOCK_MOVE_ANNOTATION), "nothing is under way: it may move");

    // It helped: core takes the request away.
    deleted(&mut world, "m0");
    assert_eq!(orders(&world.settle(&remedy("m0"))), ["drop"]);
    assert!(world.remediations.is_empty());
}

#[test]
fn a_machine_that_is_off_already_is_only_switched_on() {
    let mut world = one_sick(1);
    world.fleet.put(HostView { power: Power::Off, ..deployed("m0") });
    world.feed(&Topic::Host(id("m0")));
    assert_eq!(orders(&world.settle(&remedy("m0"))), ["note", "note", "on", "note"]);
}

#[test]
fn tries_are_limited_have_their_time_each_and_end_with_the_owner() {
    let mut world = one_sick(2);
    let done = until(&mut world, &["m0"], 60);
    let offs: Vec<_> = done.iter().filter(|(.., step)| orders(std::slice::from_ref(step)) != ["note"]).collect();
    let said: Vec<_> = offs.iter().map(|(at, _, step)| (*at, orders(std::slice::from_ref(step))[0])).collect();
    assert_eq!(said, [(0, "off"), (0, "on"), (10, "off"), (10, "on"), (20, "hand over")]);
    assert!(world.core_machines[&name("m0")].owner_remediates);
    let (phase, reason, message) = shown(&world.plan(&remedy("m0")));
    assert_eq!((phase, reason.as_str()), (RemediationPhase::HandedOver, "HandedOver"));
    assert!(message.contains("spec.strategy.retryLimit"), "{message}");
    let status = world.remediations[&name("m0")].status.clone().unwrap();
    assert_eq!((status.retry_count, status.history.len()), (2, 2));
}

/// Stops the process before or after each step, or loses the answer; the next one goes on.
#[test]
fn wherever_the_process_ends_what_was_switched_off_is_switched_on_and_nothing_is_switched_off_twice() {
    for point in 0..5 {
        for chance in [None, Some(Chance::DoneUnheard), Some(Chance::Refused), Some(Chance::Fine)] {
            let mut world = one_sick(1);
            let mut before = Vec::new();
            while before.len() < point {
                let decision = world.plan(&remedy("m0"));
                before.push(decision.next.clone().unwrap());
                world.execute(&remedy("m0"), decision, Chance::Fine);
            }
            let decision = world.plan(&remedy("m0"));
            let step = decision.next.clone().unwrap();
            if let Some(chance) = chance {
                let metal = matches!(step, Step::Power { .. });
                let chance = match chance {
                    Chance::DoneUnheard if metal => Chance::Metal(Injected::AmbiguousDone),
                    Chance::Refused if metal => Chance::Metal(Injected::AmbiguousLost),
                    other => other,
                };
                world.execute(&remedy("m0"), decision, chance);
                before.push(step);
            }
            world.restart();
            world.feed(&Topic::Host(id("m0")));
            let after: Vec<Step> = until(&mut world, &["m0"], 9).into_iter().map(|(.., step)| step).collect();
            let at = format!("{point} {chance:?}: {before:?}, then {after:?}");
            assert_eq!(world.fleet.get(&id("m0")).unwrap().power, Power::On, "{at}");
            let all: Vec<Step> = before.iter().chain(&after).cloned().collect();
            let orders: Vec<_> = orders(&all).into_iter().filter(|order| *order != "note").collect();
            let last_off = orders.iter().rposition(|order| *order == "off").unwrap();
            let first_on = orders.iter().position(|order| *order == "on").unwrap();
            assert!(last_off < first_on, "switched off again after it was switched on: {at}");
            let status = world.remediations[&name("m0")].status.clone().unwrap();
            assert_eq!((status.retry_count, status.phase), (1, Some(RemediationPhase::WaitingForHealth)), "{at}");
        }
    }
}

/// How an obstacle is made, and what is said of it.
type Obstacle = (&'static str, fn(&mut World), &'static str, Patience);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Patience {
    AtOnce,
    Timeout,
    Endless,
}

fn seen_as(world: &mut World, view: HostView) {
    world.fleet.put(view);
    world.feed(&Topic::Host(id("m0")));
}

fn change(world: &mut World, change: impl FnOnce(&mut MaasMachine)) {
    let mut object = world.machine("m0").clone();
    change(&mut object);
    world.put(object);
}

#[test]
fn what_is_not_ours_to_switch_is_waited_for_and_left_to_the_owner_after_the_timeout() {
    use Patience::{AtOnce, Endless, Timeout};
    let obstacles: [Obstacle; 14] = [
        ("BMC", |w| seen_as(w, HostView { power: Power::Error, ..deployed("m0") }), "PowerUnknown", Timeout),
        ("manual", |w| seen_as(w, HostView { power: Power::Unknown, ..deployed("m0") }), "PowerUnknown", Timeout),
        ("locked", |w| seen_as(w, HostView { locked: true, ..deployed("m0") }), "OperatorHoldsMachine", Timeout),
        (
            "rescue",
            |w| seen_as(w, HostView { phase: HostPhase::Operator, ..deployed("m0") }),
            "OperatorHoldsMachine",
            Timeout,
        ),
        (
            "broken",
            |w| seen_as(w, HostView { phase: HostPhase::Broken, ..deployed("m0") }),
            "OperatorHoldsMachine",
            Timeout,
        ),
        ("released", |w| seen_as(w, HostView { holder: Holder::Nobody, ..deployed("m0") }), "NotOurs", Timeout),
        (
            "alice's",
            |w| seen_as(w, HostView { holder: Holder::Other("alice".to_owned()), ..deployed("m0") }),
            "NotOurs",
            Timeout,
        ),
        ("unmarked", |w| seen_as(w, HostView { holder: Holder::Us(None), ..deployed("m0") }), "NotOurs", Timeout),
        ("memory", |w| seen_as(w, HostView { in_memory: true, ..deployed("m0") }), "InMemorySystemLost", AtOnce),
        ("in memory", |w| change(w, |o| o.spec.deploy_in_memory = true), "InMemorySystemLost", AtOnce),
        ("deploying", |w| change(w, |o| o.spec.provider_id = None), "MachineDeploying", Timeout),
        ("no record", |w| change(w, |o| o.metadata.annotations = None), "AdoptionRequired", Timeout),
        ("deleted", |w| w.delete("m0"), "Deleting", Timeout),
        (
            "MAAS down",
            |w| drop(w.stores.learn(Fact::Region(Region::Down("no route".to_owned())), w.now)),
            "MAASUnreachable",
            Endless,
        ),
    ];
    for (what, make, reason, patience) in obstacles {
        let mut world = one_sick(3);
        make(&mut world);
        let decision = world.plan(&remedy("m0"));
        if patience == AtOnce {
            assert_eq!(orders(decision.next.as_slice()), ["hand over"], "{what}");
            assert!(shown(&decision).2.contains("runs from memory"), "{what}: {decision:?}");
            continue;
        }
        assert_eq!(decision.next, None, "{what}");
        let (phase, said, message) = shown(&decision);
        assert_eq!((phase, said.as_str()), (RemediationPhase::Waiting, reason), "{what}: {message}");
        world.now += SignedDuration::from_secs(i64::from(TIMEOUT));
        let decision = world.plan(&remedy("m0"));
        let expected: &[&str] = if patience == Endless { &[] } else { &["hand over"] };
        assert_eq!(orders(decision.next.as_slice()), expected, "{what}");
        if patience == Timeout {
            assert!(decision.wake.at >= world.now && shown(&decision).2.contains("timeoutSeconds"), "{what}");
        }
    }
}

#[test]
fn a_machine_that_was_taken_away_behind_our_back_is_not_switched_by_an_old_look() {
    let mut world = one_sick(1);
    let noted = world.plan(&remedy("m0"));
    world.execute(&remedy("m0"), noted, Chance::Fine);
    world.fleet.put(HostView { holder: Holder::Other("alice".to_owned()), ..deployed("m0") });
    let off = world.plan(&remedy("m0"));
    assert_eq!(orders(off.next.as_slice()), ["off"], "the stores do not know yet");
    world.execute(&remedy("m0"), off, Chance::Fine);
    assert_eq!(world.fleet.get(&id("m0")).unwrap().power, Power::On, "the proof failed");
    assert_eq!(shown(&world.plan(&remedy("m0"))).1, "NotOurs");
}

#[test]
fn healthy_deleted_and_foreign_machines_are_left_alone() {
    type Change = fn(&mut World);
    let cases: [(&str, Change, &str); 4] = [
        ("healthy", |w| w.put_core_machine(core("m0")), "MachineHealthy"),
        (
            "deleted",
            |w| {
                let mut machine = core("m0");
                machine.metadata.deletion_timestamp = Some(Time(t0()));
                w.put_core_machine(machine);
            },
            "Deleting",
        ),
        (
            "another of that name",
            |w| {
                let mut machine = core("m0");
                machine.metadata.uid = Some("another".to_owned());
                w.put_core_machine(machine);
            },
            "WaitingForOwner",
        ),
        (
            "nobody's",
            |w| {
                let mut request = w.remediations[&name("m0")].clone();
                request.metadata.owner_references = None;
                w.put_remediation(request);
            },
            "WaitingForOwner",
        ),
    ];
    for (what, make, reason) in cases {
        let mut world = one_sick(1);
        make(&mut world);
        world.now += SignedDuration::from_hours(3);
        let decision = world.plan(&remedy("m0"));
        assert_eq!((decision.next.clone(), shown(&decision).1.as_str()), (None, reason), "{what}");
    }
}

#[test]
fn a_pause_finishes_what_was_sent_lets_it_move_and_begins_nothing() {
    let paused = |world: &mut World, annotation: &str| {
        let mut request = world.remediations[&name("m0")].clone();
        annotate(&mut request.metadata, annotation, "");
        world.put_remediation(request);
    };
    let mut world = one_sick(3);
    paused(&mut world, PAUSED_ANNOTATION);
    assert_eq!(until(&mut world, &["m0"], 60), []);

    let mut world = one_sick(3);
    for _ in 0..2 {
        let decision = world.plan(&remedy("m0"));
        world.execute(&remedy("m0"), decision, Chance::Fine);
    }
    let open = world.clone();
    paused(&mut world, PAUSED_ANNOTATION);
    assert_eq!(orders(&world.settle(&remedy("m0"))), ["note", "on", "note"]);
    let Some(Status::Remediation(status)) = world.plan(&remedy("m0")).status else { panic!() };
    assert!(conditions::is_true(&status.conditions, conditions::PAUSED));

    // Its BMC does not answer any more: it may move, and the note goes with it.
    let mut world = open.clone();
    paused(&mut world, PAUSED_ANNOTATION);
    let noted = world.plan(&remedy("m0"));
    world.execute(&remedy("m0"), noted, Chance::Fine);
    let on = world.plan(&remedy("m0"));
    world.execute(&remedy("m0"), on, Chance::Metal(Injected::Unavailable));
    assert_eq!(orders(&world.settle(&remedy("m0"))), ["unblock"]);
    assert!(world.remediations[&name("m0")].metadata.annotations.as_ref().unwrap().len() == 2);

    let mut world = open;
    paused(&mut world, DELETE_FOR_MOVE_ANNOTATION);
    deleted(&mut world, "m0");
    let decision = world.plan(&remedy("m0"));
    assert_eq!((decision.next, decision.status), (None, None), "it lives on elsewhere");
}

#[test]
fn a_request_that_is_taken_away_in_the_middle_leaves_nothing_switched_off() {
    for steps in 1..5 {
        let mut world = one_sick(1);
        for _ in 0..steps {
            let decision = world.plan(&remedy("m0"));
            world.execute(&remedy("m0"), decision, Chance::Fine);
        }
        deleted(&mut world, "m0");
        let done: Vec<Step> = until(&mut world, &["m0"], 30).into_iter().map(|(.., step)| step).collect();
        assert!(world.remediations.is_empty(), "{steps}: {done:?}");
        assert_eq!(world.fleet.get(&id("m0")).unwrap().power, Power::On, "{steps}: {done:?}");
        assert!(!orders(&done).contains(&"off"), "{steps}: {done:?}");
    }
    // The Machine goes: what becomes of its machine is not the request's any more.
    let mut world = one_sick(1);
    for _ in 0..2 {
        let decision = world.plan(&remedy("m0"));
        world.execute(&remedy("m0"), decision, Chance::Fine);
    }
    let mut machine = core("m0");
    machine.metadata.deletion_timestamp = Some(Time(t0()));
    world.put_core_machine(machine);
    deleted(&mut world, "m0");
    assert_eq!(orders(&world.settle(&remedy("m0"))), ["drop"]);
}

#[test]
fn a_machine_that_can_not_be_switched_on_again_does_not_hold_its_request_for_ever() {
    let mut world = one_sick(1);
    for _ in 0..2 {
        let decision = world.plan(&remedy("m0"));
        world.execute(&remedy("m0"), decision, Chance::Fine);
    }
    deleted(&mut world, "m0");
    world.fleet.set_down(true);
    world.stores.learn(Fact::Region(Region::Down("no route".to_owned())), world.now);
    assert_eq!(world.settle(&remedy("m0")), []);
    world.now += SignedDuration::from_secs(i64::from(2 * TIMEOUT));
    let decision = world.plan(&remedy("m0"));
    assert_eq!(decision.next, Some(Step::DropFinalizer));
    assert!(decision.event.unwrap().message.contains("could not be switched on again"));
}

#[test]
fn the_power_policy_of_the_machine_does_not_fight_with_its_remediation() {
    let mut world = world(&["m0"], false);
    change(&mut world, |o| o.spec.power = Some(PowerPolicy { when_off: WhenOff::TurnOn, at_most: 3 }));
    sick(&mut world, "m0", 1);
    for expected in ["note", "off"] {
        let decision = world.plan(&remedy("m0"));
        assert_eq!(orders(decision.next.as_slice()), [expected]);
        world.execute(&remedy("m0"), decision, Chance::Fine);
    }
    let decision = world.plan(&key("m0"));
    assert_eq!(decision.next, None, "the remediation has its power");
    assert!(decision.wake.topics.contains(&Topic::CoreMachine(name("m0"))), "{:?}", decision.wake);
    // Left to its owner, the request has it no more.
    until(&mut world, &["m0"], 12);
    assert!(world.core_machines[&name("m0")].owner_remediates);
    world.fleet.put(HostView { power: Power::Off, ..deployed("m0") });
    world.feed(&Topic::Host(id("m0")));
    assert!(matches!(world.plan(&key("m0")).next, Some(Step::Power { to: PowerOrder::On, .. })));
}

// ---- control planes

fn answers(world: &mut World, all: &[(&str, bool)]) {
    let probed = all.iter().map(|(n, answers)| (deployed(n).addresses[0], *answers)).collect();
    world.stores.learn(Fact::Health(name(CLUSTER), probed), world.now);
}

const THREE: [&str; 3] = ["m0", "m1", "m2"];

#[test]
fn of_a_control_plane_of_three_one_machine_is_healed_at_a_time() {
    let mut world = world(&THREE, true);
    answers(&mut world, &[("m0", false), ("m1", true), ("m2", true)]);
    sick(&mut world, "m0", 2);
    assert_eq!(orders(&world.settle(&remedy("m0"))), ["note", "off", "note", "on", "note"]);
    // Another one falls sick meanwhile.
    sick(&mut world, "m1", 2);
    answers(&mut world, &[("m0", false), ("m1", false), ("m2", false)]);
    let done = until(&mut world, &["m0", "m1"], 15);
    let m1: Vec<_> = done.iter().filter(|(_, n, _)| n == "m1").collect();
    assert!(m1.is_empty(), "one at a time: {m1:?}");
    let (_, reason, message) = shown(&world.plan(&remedy("m1")));
    assert_eq!(reason, "WaitingForControlPlane");
    assert!(message.contains("Machine m0 is first"), "{message}");
    // The first one is well again: the other one's turn has come, however long it waited.
    world.put_core_machine({
        let mut machine = core("m0");
        machine.metadata.labels.get_or_insert_default().insert(CONTROL_PLANE_LABEL.to_owned(), String::new());
        machine
    });
    deleted(&mut world, "m0");
    world.settle(&remedy("m0"));
    answers(&mut world, &[("m0", true), ("m1", false), ("m2", true)]);
    assert_eq!(orders(&world.settle(&remedy("m1"))), ["note", "off", "note", "on", "note"]);
}

#[test]
fn two_requests_at_once_begin_one_power_cycle_also_while_its_note_is_being_written() {
    let mut world = world(&THREE, true);
    sick(&mut world, "m1", 1);
    world.now += SignedDuration::from_secs(1);
    sick(&mut world, "m0", 1);
    // Quorum is lost: nobody answers. Who asked first is first.
    answers(&mut world, &[("m0", false), ("m1", false), ("m2", false)]);
    let first = world.plan(&remedy("m1"));
    assert_eq!(orders(first.next.as_slice()), ["note"]);
    assert_eq!(world.plan(&remedy("m0")).next, None);
    // An older request than the one that has begun, or begins, comes too late.
    let mut older = world.remediations[&name("m0")].clone();
    older.metadata.creation_timestamp = Some(Time("2020-01-01T00:00:00Z".parse::<Timestamp>().unwrap()));
    world.stores.step_begins(&remedy("m1"), first.next.as_ref().unwrap());
    world.put_remediation(older);
    assert_eq!(world.plan(&remedy("m0")).next, None, "its note is being written");
    world.execute(&remedy("m1"), first, Chance::Fine);
    assert_eq!(world.plan(&remedy("m0")).next, None, "it has begun");
}

#[test]
fn a_control_plane_that_still_answers_never_loses_its_quorum_by_us() {
    let others_sick = |world: &mut World| {
        let machine = CoreMachine { healthy: false, unhealthy: true, ..world.core_machines[&name("m1")].clone() };
        world.put_core_machine(machine);
    };
    let leaving = |world: &mut World| {
        let mut machine = world.core_machines[&name("m1")].clone();
        machine.metadata.deletion_timestamp = Some(Time(t0()));
        world.put_core_machine(machine);
    };
    let coming = |world: &mut World| {
        let machine = CoreMachine { node_name: None, ..world.core_machines[&name("m1")].clone() };
        world.put_core_machine(machine);
    };
    let nothing = |_: &mut World| {};
    type Case<'a> = (&'a str, &'a [&'a str], &'a dyn Fn(&mut World), [bool; 3], Option<&'a str>);
    let cases: [Case; 9] = [
        ("all others well", &THREE, &nothing, [false, true, true], None),
        ("hung, but its kubelet only", &THREE, &nothing, [true, true, true], None),
        ("another one sick", &THREE, &others_sick, [false, true, true], Some("Machine m1 is sick, too")),
        ("another one leaving", &THREE, &leaving, [false, true, true], Some("Machine m1 is being deleted")),
        ("another one coming", &THREE, &coming, [false, true, true], Some("Machine m1 has not joined yet")),
        ("another one silent", &THREE, &nothing, [false, false, true], Some("API server that does not answer")),
        ("two machines", &THREE[..2], &nothing, [false, true, true], Some("has 2 machines")),
        ("one machine that answers", &THREE[..1], &nothing, [true, true, true], Some("power cycle it by hand")),
        ("nobody answers: there is none to lose", &THREE, &others_sick, [false, false, false], None),
    ];
    for (what, machines, make, answer, expected) in cases {
        let mut world = world(machines, true);
        make(&mut world);
        let all: Vec<_> = machines.iter().copied().zip(answer).collect();
        answers(&mut world, &all);
        sick(&mut world, "m0", 1);
        // However long: the owner keeps its own quorum, but this one may still be needed for it.
        world.now += SignedDuration::from_hours(5);
        let decision = world.plan(&remedy("m0"));
        assert!(decision.wake.topics.contains(&Topic::Health(name(CLUSTER))), "{what}");
        match expected {
            None => assert_eq!(orders(decision.next.as_slice()), ["note"], "{what}: {decision:?}"),
            Some(words) => {
                let (_, reason, message) = shown(&decision);
                assert_eq!((decision.next, reason.as_str()), (None, "WaitingForControlPlane"), "{what}: {message}");
                assert!(message.contains(words), "{what}: {message}");
            }
        }
    }
}
