//! What Cluster API demands of more than one kind, and what the Go provider leaves behind.

use capi_types::conditions::{self, LEFTOVER_WEBHOOKS, PAUSED, READY};
use capi_types::names::{CLUSTER_FINALIZER, CONTROL_PLANE_LABEL, MANAGED_BY_ANNOTATION, PAUSED_ANNOTATION};
use capi_types::{ApiEndpoint, ControlPlaneEndpointMode, MaasCluster};
use capmaas_reconcile::decision::{Decision, Intent, Status, Step, StepKind};
use capmaas_reconcile::host::{Holder, HostPhase};
use capmaas_reconcile::model::{ModelFleet, host};
use capmaas_reconcile::names::{Key, Kind};
use capmaas_reconcile::outcome::Answer;
use capmaas_reconcile::provider::Fault;
use capmaas_reconcile::stores::Fact;
use capmaas_reconcile::topic::Topic;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use serde_json::json;

use crate::machine::{self, provisioned, seen, token, with_host};
use crate::world::{CLUSTER, World, annotate, key, maas_cluster, maas_machine, name};

fn cluster_key() -> Key {
    Key::new(Kind::Cluster, "default", CLUSTER)
}

fn found(decision: &Decision, type_: &str) -> Option<Condition> {
    let all = match decision.status.as_ref()? {
        Status::Cluster(status) => &status.conditions,
        Status::Machine(status) => &status.conditions,
        Status::Template(status) => &status.conditions,
        Status::Remediation(status) => &status.conditions,
    };
    conditions::find(all, type_).cloned()
}

/// A MaasCluster whose address is the user's: nothing of MAAS is in the way.
fn own_address() -> MaasCluster {
    let mut object = maas_cluster();
    object.metadata.finalizers = Some(vec![CLUSTER_FINALIZER.to_owned()]);
    object.spec.control_plane_endpoint_mode = ControlPlaneEndpointMode::External;
    object.spec.control_plane_endpoint = Some(ApiEndpoint { host: "lb.example.com".to_owned(), port: 443 });
    object
}

fn world() -> World {
    let mut world = World::new(ModelFleet::new([host("aaa111", "node-a")]));
    world.put_cluster(own_address());
    world.add(maas_machine("m0"));
    world
}

/// W-50
#[test]
fn both_kinds_stand_still_for_either_cause_and_say_which_and_for_which_generation() {
    type Pause = fn(&mut World);
    fn annotated(meta: &mut ObjectMeta) {
        annotate(meta, PAUSED_ANNOTATION, "");
    }
    let by_cluster: Pause = |w| w.core_cluster.paused = true;
    let by_annotation: Pause = |w| {
        let mut machine = w.machine("m0").clone();
        annotated(&mut machine.metadata);
        w.put(machine);
        let mut cluster = w.clusters[&name(CLUSTER)].clone();
        annotated(&mut cluster.metadata);
        w.put_cluster(cluster);
    };
    let (cluster, annotation) = ("Cluster spec.paused is true", "annotation cluster.x-k8s.io/paused is set");
    let cases: [(&str, Vec<Pause>, Option<String>); 4] = [
        ("the Cluster", vec![by_cluster], Some(cluster.to_owned())),
        ("the objects", vec![by_annotation], Some(annotation.to_owned())),
        ("both", vec![by_annotation, by_cluster], Some(format!("{cluster}, {annotation}"))),
        // It pauses the Cluster object alone.
        ("the Cluster's own annotation", vec![|w| annotated(&mut w.core_cluster.metadata)], None),
    ];
    for (case, pauses, causes) in cases {
        let mut world = world();
        pauses.iter().for_each(|pause| pause(&mut world));
        world.put_core_cluster();
        for key in [cluster_key(), key("m0")] {
            let decision = world.plan(&key);
            let paused = found(&decision, PAUSED).unwrap_or_else(|| panic!("{case}: {key} says nothing"));
            let (status, reason) = if causes.is_some() { ("True", "Paused") } else { ("False", "NotPaused") };
            assert_eq!((paused.status.as_str(), paused.reason.as_str()), (status, reason), "{case}: {key}");
            assert_eq!(paused.message, causes.clone().unwrap_or_default(), "{case}: {key}");
            assert_eq!(paused.observed_generation, Some(1));
            assert!(causes.is_none() || decision.next.is_none(), "{case}: {key}: {decision:?}");
            assert!(decision.wake.topics.contains(&Topic::Cluster(name(CLUSTER))), "{case}: nothing would end it");
        }
    }
}

#[test]
fn a_paused_object_that_is_deleted_waits_too() {
    let mut view = host(machine::HOST, "node-a");
    (view.phase, view.holder) = (HostPhase::Deployed, Holder::Us(Some(token())));
    let mut world = seen(provisioned(), view);
    world.core_cluster.paused = true;
    world.put_core_cluster();
    world.delete("m0");
    let decision = world.plan(&key("m0"));
    assert_eq!((decision.next.clone(), found(&decision, PAUSED).unwrap().status.as_str()), (None, "True"));
    world.core_cluster.paused = false;
    world.put_core_cluster();
    assert_eq!(world.plan(&key("m0")).next.map(|step| step.kind()), Some(StepKind::Release));
}

#[test]
fn a_finalizer_that_somebody_removed_comes_back() {
    let mut view = host(machine::HOST, "node-a");
    (view.phase, view.holder) = (HostPhase::Deployed, Holder::Us(Some(token())));
    let mut object = provisioned();
    object.metadata.finalizers = None;
    assert_eq!(seen(object, view).plan(&key("m0")).next, Some(Step::Record(Intent::Own(token()))));
    let mut world = world();
    let mut cluster = own_address();
    cluster.metadata.finalizers = None;
    world.put_cluster(cluster);
    assert_eq!(world.plan(&cluster_key()).next, Some(Step::Record(Intent::Finalizer)));
}

/// W-02
#[test]
fn provisioned_never_goes_back_whatever_becomes_of_the_host() {
    for phase in [HostPhase::Free, HostPhase::Deployed, HostPhase::Broken, HostPhase::Operator, HostPhase::Unknown] {
        for holder in [Holder::Nobody, Holder::Us(Some(token())), Holder::Us(None), Holder::Other("bob".to_owned())] {
            for deleted in [false, true] {
                let mut view = host(machine::HOST, "node-a");
                (view.phase, view.holder) = (phase, holder.clone());
                let mut world = seen(provisioned(), view);
                if deleted {
                    world.delete("m0");
                }
                let decision = world.plan(&key("m0"));
                let initialization = machine::status(&decision).and_then(|s| s.initialization.clone());
                assert_eq!(initialization.and_then(|i| i.provisioned), Some(true), "{phase:?} {holder:?} {deleted}");
            }
        }
    }
}

#[test]
fn a_provisioned_cluster_stays_so_whatever_maas_says() {
    let mut object = own_address();
    object.status =
        Some(serde_json::from_value(json!({ "ready": true, "initialization": { "provisioned": true } })).unwrap());
    type Change = fn(&mut MaasCluster, &mut World);
    let cases: [(&str, Change); 4] = [
        ("a zone is gone", |c, _| c.spec.failure_domains = vec!["az9".to_owned()]),
        ("LXD is asked for", |c, _| {
            c.spec.lxd_config = Some(serde_json::from_value(json!({ "enabled": true })).unwrap());
        }),
        ("the name is not to be read", |c, _| {
            c.spec.control_plane_endpoint_mode = ControlPlaneEndpointMode::MaasDNS;
            c.spec.control_plane_endpoint.as_mut().unwrap().host = "c1-api.maas".to_owned();
        }),
        ("deleted", |c, w| c.metadata.deletion_timestamp = Some(Time(w.now))),
    ];
    for (case, change) in cases {
        let (mut world, mut object) = (world(), object.clone());
        change(&mut object, &mut world);
        world.put_cluster(object);
        let Some(Status::Cluster(status)) = world.plan(&cluster_key()).status else { panic!("{case}") };
        assert_eq!(status.initialization.and_then(|i| i.provisioned), Some(true), "{case}");
    }
}

#[test]
fn a_provisioned_machine_ignores_what_its_spec_asks_for_now() {
    let mut view = host(machine::HOST, "node-a");
    (view.phase, view.holder) = (HostPhase::Deployed, Holder::Us(Some(token())));
    let before = seen(provisioned(), view.clone()).plan(&key("m0"));
    let mut object = provisioned();
    object.spec.tags = vec!["gpu".to_owned()];
    object.spec.resource_pool = Some("other".to_owned());
    object.spec.failure_domain = Some("az9".to_owned());
    object.spec.image = "ubuntu/jammy".to_owned();
    let after = seen(object, view).plan(&key("m0"));
    assert_eq!((&after.next, &after.status), (&before.next, &before.status), "an update in place is not ours to fake");
}

/// W-53
#[test]
fn the_zone_and_the_addresses_of_the_machine_are_told_and_the_asked_zone_is_never_written() {
    let mut view = host(machine::HOST, "node-a");
    (view.phase, view.holder, view.zone) = (HostPhase::Deployed, Holder::Us(Some(token())), "az2".to_owned());
    view.addresses = vec!["10.0.0.10".parse().unwrap()];
    let mut world = seen(with_host(), view);
    world.settle(&key("m0"));
    let object = world.machine("m0");
    let status = object.status.as_ref().unwrap();
    assert_eq!((object.spec.failure_domain.as_deref(), status.failure_domain.as_deref()), (None, Some("az2")));
    assert_eq!(
        serde_json::to_value(&status.addresses).unwrap(),
        json!([
            { "type": "Hostname", "address": "node-a" },
            { "type": "InternalDNS", "address": "node-a.maas" },
            { "type": "ExternalDNS", "address": "node-a.maas" },
            { "type": "InternalIP", "address": "10.0.0.10" },
            { "type": "ExternalIP", "address": "10.0.0.10" },
        ])
    );
}

/// W-25
#[test]
fn an_address_of_the_users_own_may_stand_in_the_cluster_alone() {
    for mode in [ControlPlaneEndpointMode::VIP, ControlPlaneEndpointMode::External] {
        let mut world = world();
        let mut object = own_address();
        (object.spec.control_plane_endpoint, object.spec.control_plane_endpoint_mode) = (None, mode);
        world.put_cluster(object);
        let waits = found(&world.plan(&cluster_key()), READY).unwrap();
        assert_eq!(waits.reason, "WaitingForControlPlaneEndpoint");
        assert!(waits.message.contains("here or of the Cluster"), "{}", waits.message);
        world.core_cluster.control_plane_endpoint = Some(ApiEndpoint { host: "10.9.9.9".to_owned(), port: 6443 });
        world.put_core_cluster();
        let decision = world.plan(&cluster_key());
        assert_eq!((decision.next.clone(), found(&decision, READY).unwrap().status.as_str()), (None, "True"));
    }
}

#[test]
fn a_machine_of_a_cluster_that_somebody_else_manages_does_not_wait_for_its_name() {
    for managed in [false, true] {
        let mut view = host(machine::HOST, "node-a");
        (view.phase, view.holder) = (HostPhase::Deployed, Holder::Us(Some(token())));
        let mut object = provisioned();
        object.metadata.labels.get_or_insert_default().insert(CONTROL_PLANE_LABEL.to_owned(), String::new());
        let mut world = seen(object, view);
        let mut cluster = maas_cluster();
        cluster.spec.control_plane_endpoint = Some(ApiEndpoint { host: "c1-api.maas".to_owned(), port: 6443 });
        if managed {
            annotate(&mut cluster.metadata, MANAGED_BY_ANNOTATION, "somebody");
        }
        world.put_cluster(cluster);
        world.delete("m0");
        let decision = world.plan(&key("m0"));
        let reason = found(&decision, READY).unwrap().reason;
        let expected = if managed { (Some(StepKind::Release), "Releasing") } else { (None, "DNSDetachPending") };
        assert_eq!((decision.next.map(|step| step.kind()), reason.as_str()), expected);
    }
}

/// W-57
#[test]
fn a_stored_map_of_failure_domains_becomes_a_list_with_the_next_status_whatever_that_is_about() {
    let mut stored = own_address();
    stored.spec.failure_domains = vec!["b".to_owned(), "a".to_owned()];
    let map = json!({ "b": { "controlPlane": true }, "a": { "controlPlane": true } });
    stored.status = Some(serde_json::from_value(json!({ "ready": true, "failureDomains": map })).unwrap());
    let as_list = json!([{ "name": "a", "controlPlane": true }, { "name": "b", "controlPlane": true }]);
    for paused in [false, true] {
        let mut world = world();
        world.core_cluster.paused = paused;
        world.put_core_cluster();
        world.put_cluster(stored.clone());
        let Some(Status::Cluster(status)) = world.plan(&cluster_key()).status else { panic!("a status stands") };
        assert_eq!(serde_json::to_value(&status.failure_domains).unwrap(), as_list, "paused: {paused}");
    }
    assert_eq!(serde_json::to_value(stored.status.unwrap().failure_domains).unwrap(), map, "so that it differs");
}

#[test]
fn left_over_webhooks_are_told_once_and_until_they_are_gone() {
    let mut world = world();
    let mut cluster = own_address();
    cluster.metadata.finalizers = None;
    world.put_cluster(cluster);
    let clean = world.plan(&cluster_key());
    assert_eq!(found(&clean, LEFTOVER_WEBHOOKS), None, "nobody is told of what never was there");
    assert!(clean.wake.topics.contains(&Topic::Leftovers) && clean.next.is_some());

    let names = ["mutatingwebhookconfiguration/capmaas-m", "validatingwebhookconfiguration/capmaas-v"];
    world.stores.learn(Fact::Leftovers(names.map(str::to_owned).into()), world.now);
    for (key, step) in [(cluster_key(), Intent::Finalizer), (key("m0"), Intent::Claim(token()))] {
        let told = world.plan(&key);
        let condition = found(&told, LEFTOVER_WEBHOOKS).unwrap();
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "LeftoverWebhooksFound"));
        let command = format!("kubectl delete {} {}", names[0], names[1]);
        assert!(condition.message.contains(&command), "{}", condition.message);
        let event = told.event.clone().unwrap();
        assert_eq!((event.warning, event.message.as_str()), (true, condition.message.as_str()));

        world.write_status(&key, &told);
        let again = world.plan(&key);
        assert_eq!((&again.next, &again.event), (&Some(Step::Record(step)), &None), "{key}: told once, then tried");
        assert_eq!(again.status, told.status);
    }
    world.stores.learn(Fact::Leftovers([].into()), world.now);
    for key in [cluster_key(), key("m0")] {
        let gone = found(&world.plan(&key), LEFTOVER_WEBHOOKS).unwrap();
        assert_eq!((gone.status.as_str(), gone.reason.as_str()), ("False", "NoLeftoverWebhooks"), "{key}");
    }
}

#[test]
fn a_write_that_fails_over_and_over_is_told_with_the_words_of_the_api_server() {
    let denied = Fault::Unavailable { message: "the API server did not take the patch: denied by policy x".to_owned() };
    let mut cluster = own_address();
    cluster.metadata.finalizers = None;
    let mut leaving = seen(provisioned(), host(machine::HOST, "node-a"));
    leaving.delete("m0");
    let mut starting = world();
    starting.put_cluster(cluster);
    for (mut world, key) in [(leaving, key("m0")), (starting.clone(), key("m0")), (starting, cluster_key())] {
        let step = world.plan(&key).next.unwrap();
        for refused in 1..=3 {
            assert_ne!(found(&world.plan(&key), READY).map(|c| c.reason).as_deref(), Some("WriteFailed"), "{refused}");
            world.stores.step_begins(&key, &step);
            world.stores.step_ended(&key, &step, Err(denied.clone()), world.now);
        }
        let told = world.plan(&key);
        let ready = found(&told, READY).unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "WriteFailed"), "{key}");
        let soon = world.now + jiff::SignedDuration::from_secs(30);
        assert_eq!((ready.message, &told.next, told.wake.at), (denied.to_string(), &None, soon), "{key}: no hot loop");
        world.write_status(&key, &told);
        world.now = soon;
        let again = world.plan(&key);
        assert_eq!((again.next.as_ref(), &again.status), (Some(&step), &told.status), "{key}: told, and tried again");
        world.stores.step_ended(&key, &step, Ok(Answer::Done), world.now);
        assert_ne!(
            found(&world.plan(&key), READY).map(|c| c.reason).as_deref(),
            Some("WriteFailed"),
            "{key}: it worked"
        );
    }
}

#[test]
fn a_machine_that_wants_nothing_written_leaves_left_over_webhooks_to_its_cluster() {
    let mut view = host(machine::HOST, "node-a");
    (view.phase, view.holder) = (HostPhase::Deployed, Holder::Us(Some(token())));
    let mut world = seen(provisioned(), view);
    world.stores.learn(Fact::Leftovers(["validatingwebhookconfiguration/capmaas-v".to_owned()].into()), world.now);
    assert_eq!(found(&world.plan(&key("m0")), LEFTOVER_WEBHOOKS), None);

    let mut world = seen(provisioned(), host(machine::HOST, "node-a"));
    world.stores.learn(Fact::Leftovers(["validatingwebhookconfiguration/capmaas-v".to_owned()].into()), world.now);
    world.delete("m0");
    let condition = found(&world.plan(&key("m0")), LEFTOVER_WEBHOOKS);
    assert!(condition.is_some(), "dropping the finalizer may be refused, and that is told");
}
