//! A MaasMachineTemplate: what it publishes for the autoscaler, and what it says when it was edited in place.

use std::collections::BTreeSet;

use capi_types::names::{CLONED_FROM_NAME_ANNOTATION, PAUSED_ANNOTATION};
use capi_types::{MaasMachineTemplate, conditions};
use capmaas_reconcile::decision::Status;
use capmaas_reconcile::host::{Hardware, HostPhase};
use capmaas_reconcile::model::{ModelFleet, host};
use capmaas_reconcile::names::{Key, Kind};
use capmaas_reconcile::stores::{Fact, Learned};
use capmaas_reconcile::topic::Topic;
use serde_json::json;

use crate::world::{CLUSTER, World, annotate, maas_machine, meta, name, t0};

fn template(image: &str) -> MaasMachineTemplate {
    let mut object = MaasMachineTemplate { metadata: meta("t", None), ..MaasMachineTemplate::default() };
    object.spec.template.spec = maas_machine("any").spec;
    object.spec.template.spec.image = image.to_owned();
    object
}

fn learn(world: &mut World, mut object: MaasMachineTemplate, revision: &str) -> Learned {
    object.metadata.resource_version = Some(revision.to_owned());
    world.stores.learn(Fact::Template(name("t"), Some(Box::new(object))), t0())
}

#[test]
fn an_edit_in_place_is_told_until_it_is_undone_and_a_template_that_is_fine_is_never_written() {
    let mut world = World::new(ModelFleet::default());
    let key = Key::new(Kind::Template, "default", "t");
    let mut clone = maas_machine("m0");
    annotate(&mut clone.metadata, CLONED_FROM_NAME_ANNOTATION, "t");
    world.add(clone);
    learn(&mut world, template("ubuntu/noble"), "1");
    assert_eq!(world.plan(&key).status, None);

    learn(&mut world, template("ubuntu/jammy"), "2");
    let told = world.plan(&key);
    let Some(Status::Template(status)) = &told.status else { panic!("{told:?}") };
    let ready = conditions::find(&status.conditions, conditions::READY).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "EditedInPlace"));
    assert!(ready.message.starts_with("spec.template.spec.image was edited in place"), "{}", ready.message);
    assert!(
        ready.message.contains("copy the template under a new name") && told.event.as_ref().is_some_and(|e| e.warning)
    );

    let mut written = template("ubuntu/jammy");
    written.status = Some((**status).clone());
    learn(&mut world, written.clone(), "3");
    let again = world.plan(&key);
    assert_eq!((&again.status, &again.event), (&told.status, &None), "told once");

    written.spec = template("ubuntu/noble").spec;
    learn(&mut world, written, "4");
    let Some(Status::Template(status)) = world.plan(&key).status else { panic!("it stays told") };
    assert!(conditions::is_true(&status.conditions, conditions::READY));
}

/// The status that stands when these machines match.
fn published(image: &str, makes: &[(&str, u32, u64)]) -> serde_json::Value {
    let mut world = World::new(ModelFleet::default());
    learn(&mut world, template(image), "1");
    let makes = makes.iter().map(|(architecture, cpu, memory_mib)| Hardware {
        architecture: (*architecture).to_owned(),
        cpu: *cpu,
        memory_mib: *memory_mib,
    });
    let constraints = world.stores.observe_template(&name("t")).unwrap().constraints;
    world.stores.learn(Fact::Hardware(constraints, makes.collect::<BTreeSet<_>>()), t0());
    match world.plan(&Key::new(Kind::Template, "default", "t")).status {
        None => json!({}),
        Some(Status::Template(status)) => serde_json::to_value(status).unwrap(),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_template_publishes_what_any_machine_that_matches_is_sure_to_have() {
    let linux = |architecture: &str| json!({ "architecture": architecture, "operatingSystem": "linux" });
    let both = [("amd64", 16, 32768), ("amd64", 64, 16384)];
    for (case, image, makes, expected) in [
        ("none matches", "ubuntu/noble", &[][..], json!({})),
        (
            "the least of each resource",
            "ubuntu/noble",
            &both[..],
            json!({ "capacity": { "cpu": "16", "memory": "16384Mi" }, "nodeInfo": linux("amd64") }),
        ),
        (
            "of several architectures none is sure",
            "ubuntu/noble",
            &[("amd64", 8, 8192), ("arm64", 8, 8192)][..],
            json!({ "capacity": { "cpu": "8", "memory": "8192Mi" } }),
        ),
        (
            "an architecture that the contract has no word for",
            "ubuntu/noble",
            &[("", 8, 8192)][..],
            json!({ "capacity": { "cpu": "8", "memory": "8192Mi" } }),
        ),
        (
            "an image of another system",
            "windows/win2022",
            &[("amd64", 8, 8192)][..],
            json!({ "capacity": { "cpu": "8", "memory": "8192Mi" }, "nodeInfo": { "architecture": "amd64", "operatingSystem": "windows" } }),
        ),
    ] {
        assert_eq!(published(image, makes), expected, "{case}");
    }
}

#[test]
fn capacity_is_the_same_while_machines_are_taken_given_back_or_not_to_be_read() {
    let small = |id: &str, cpu| {
        let mut view = host(id, id);
        view.cpu = cpu;
        view
    };
    let mut world = World::new(ModelFleet::new([small("aaaaaa", 4), small("bbbbbb", 8), small("cccccc", 1)]));
    let key = Key::new(Kind::Template, "default", "t");
    learn(&mut world, template("ubuntu/noble"), "1");
    let decision = world.plan(&key);
    assert_eq!(decision.status, None, "nothing was read yet");
    let hardware = Topic::Hardware(world.stores.observe_template(&name("t")).unwrap().constraints);
    assert!(decision.wake.topics.contains(&hardware), "{:?}", decision.wake);
    world.feed(&hardware);
    let Some(Status::Template(status)) = world.plan(&key).status else { panic!("it is known now") };
    assert_eq!(status.capacity["cpu"].0, "4", "cccccc is too small");

    let mut written = template("ubuntu/noble");
    written.status = Some((*status).clone());
    learn(&mut world, written, "2");
    let mut taken = small("aaaaaa", 4);
    taken.phase = HostPhase::Deployed;
    world.fleet.put(taken);
    world.feed(&hardware);
    assert_eq!(world.plan(&key).status, Some(Status::Template(status.clone())), "the smallest is in use");
    world.stores.hardware.clear();
    assert_eq!(world.plan(&key).status, Some(Status::Template(status)), "what was published stands until it is read");
}

#[test]
fn a_template_that_stands_still_or_goes_or_asks_for_lxd_publishes_nothing() {
    type Change = fn(&mut World, &mut MaasMachineTemplate);
    let cases: [(&str, Change); 4] = [
        ("annotated", |_, t| annotate(&mut t.metadata, PAUSED_ANNOTATION, "")),
        ("its Cluster is paused", |w, t| {
            t.metadata.owner_references = meta("t", Some(("Cluster", CLUSTER))).owner_references;
            w.core_cluster.paused = true;
            w.put_core_cluster();
        }),
        ("deleted", |w, t| {
            t.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(w.now));
        }),
        ("lxd", |_, t| t.spec.template.spec.lxd = serde_json::from_value(json!({ "enabled": true })).unwrap()),
    ];
    for (case, change) in cases {
        let mut world = World::new(ModelFleet::new([host("aaaaaa", "node01")]));
        let mut object = template("ubuntu/noble");
        change(&mut world, &mut object);
        learn(&mut world, object, "1");
        let hardware = Topic::Hardware(world.stores.observe_template(&name("t")).unwrap().constraints);
        world.feed(&hardware);
        let decision = world.plan(&Key::new(Kind::Template, "default", "t"));
        assert_eq!(decision.status, None, "{case}");
        assert!(!decision.wake.topics.contains(&hardware), "{case}: nobody asks MAAS for it");
    }
}

#[test]
fn an_answer_that_comes_after_the_end_of_an_object_does_not_bring_it_back() {
    let mut world = World::new(ModelFleet::default());
    let mut machine = maas_machine("m9");
    machine.metadata.resource_version = Some("5".to_owned());
    let seen = |world: &World| world.stores.observe_machine(&name("m9")).is_some();
    let shown = |revision: &str| {
        let mut object = machine.clone();
        object.metadata.resource_version = Some(revision.to_owned());
        Fact::MaasMachine(name("m9"), Some(Box::new(object)))
    };
    world.stores.learn(shown("5"), t0());
    assert_ne!(
        world.stores.answered(shown("6"), t0()),
        Learned::default(),
        "an answer is news while the object is there"
    );
    world.stores.learn(Fact::MaasMachine(name("m9"), None), t0());
    assert_eq!(world.stores.answered(shown("7"), t0()), Learned::default());
    assert!(!seen(&world), "the cluster would wait for it for ever");
    world.stores.learn(shown("8"), t0());
    assert!(seen(&world), "one of that name that the watch shows is another");
}
