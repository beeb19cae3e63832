//! A MaasMachineTemplate that was edited in place.

use capi_types::names::CLONED_FROM_NAME_ANNOTATION;
use capi_types::{MaasMachineTemplate, conditions};
use capmaas_reconcile::decision::Status;
use capmaas_reconcile::model::ModelFleet;
use capmaas_reconcile::names::{Key, Kind};
use capmaas_reconcile::stores::{Fact, Learned};

use crate::world::{World, annotate, maas_machine, meta, name, t0};

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
