//! Tables and stories of one MaasMachine.

mod before;
mod life;
mod phases;
mod trouble;

use capi_types::conditions::{self, READY};
use capi_types::names::{CLAIM_ANNOTATION, MACHINE_FINALIZER};
use capi_types::{MaasMachine, MaasMachineStatus};
use capmaas_reconcile::decision::{Decision, Status, Step};
use capmaas_reconcile::host::HostView;
use capmaas_reconcile::model::{self, ModelFleet};
use capmaas_reconcile::names::Token;
use capmaas_reconcile::record::Record;
use capmaas_reconcile::stores::Fact;
use jiff::SignedDuration;

use crate::world::{World, annotate, key, maas_machine, name};

pub(crate) const HOST: &str = "aaa111";

pub(crate) fn token() -> Token {
    Token::mint("uid-m0")
}

pub(crate) fn node() -> HostView {
    model::host(HOST, "node-a")
}

/// m0 with finalizer and record.
pub(crate) fn recorded() -> MaasMachine {
    let mut object = maas_machine("m0");
    object.metadata.finalizers = Some(vec![MACHINE_FINALIZER.to_owned()]);
    annotate(&mut object.metadata, CLAIM_ANNOTATION, &Record::text(&token(), &name("m0")));
    object
}

/// m0 with a host in its spec.
pub(crate) fn with_host() -> MaasMachine {
    let mut object = recorded();
    object.spec.system_id = Some(HOST.to_owned());
    object
}

/// m0 as it is after it was provisioned.
pub(crate) fn provisioned() -> MaasMachine {
    let mut object = with_host();
    object.spec.provider_id = Some(format!("maas:///default/{HOST}"));
    let initialization = Some(capi_types::InitializationStatus { provisioned: Some(true) });
    object.status = Some(MaasMachineStatus {
        ready: true,
        initialization,
        hostname: Some("node-a".to_owned()),
        ..Default::default()
    });
    object
}

/// A world with this object and this host, both read.
pub(crate) fn seen(object: MaasMachine, view: HostView) -> World {
    let mut world = World::new(ModelFleet::new([view.clone()]));
    world.add(object);
    let sent = world.stores.fleet.send();
    world.stores.learn(Fact::Host(Box::new(view), sent), world.now);
    world
}

pub(crate) fn status(decision: &Decision) -> Option<&MaasMachineStatus> {
    match decision.status.as_ref()? {
        Status::Machine(status) => Some(status),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn condition<'a>(decision: &'a Decision, type_: &str) -> (&'a str, &'a str, &'a str) {
    let found = status(decision).and_then(|s| conditions::find(&s.conditions, type_));
    found.map_or(("", "", ""), |c| (&c.status, &c.reason, &c.message))
}

/// `Step Reason`, in a word each; `-` for none.
pub(crate) fn in_short(decision: &Decision) -> String {
    let step = match &decision.next {
        None => "-".to_owned(),
        Some(Step::WriteSpec(write)) => {
            let text = format!("{write:?}");
            text.split(['(', ' ']).next().unwrap_or_default().to_owned()
        }
        Some(Step::Mark { takeover: Some(_), .. }) => "TakeOver".to_owned(),
        Some(step) => step.kind().to_string(),
    };
    let reason = condition(decision, READY).1;
    format!("{step} {}", if reason.is_empty() { "-" } else { reason })
}

/// Plans, and checks what must be so of every plan: the same again gives the same, and it is never planned again at once.
pub(crate) fn planned(world: &World) -> Decision {
    let decision = world.plan(&key("m0"));
    assert_eq!(world.plan(&key("m0")), decision, "the same is seen and another thing is planned");
    assert!(decision.wake.at >= world.now + SignedDuration::from_millis(100), "a busy loop");
    if decision.status.is_some() {
        let mut after = world.clone();
        after.write_status(&key("m0"), &decision);
        after.now += SignedDuration::from_millis(10);
        let again = after.plan(&key("m0"));
        assert_eq!(again.status, decision.status, "a status is written twice");
        assert_eq!(again.next, decision.next);
    }
    decision
}
