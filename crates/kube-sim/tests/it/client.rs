//! Through `kube::Client`, in process.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use http::Method;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Secret};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::sim;

fn widgets(client: &Client, version: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.io", version, "Widget"), "widgets");
    Api::namespaced_with(client.clone(), "default", &kind)
}

fn widget(name: &str, spec: Value) -> DynamicObject {
    serde_json::from_value(
        json!({"apiVersion": "example.io/v1beta1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}),
    )
    .unwrap()
}

fn code<T: std::fmt::Debug>(r: Result<T, kube::Error>) -> (u16, String) {
    match r {
        Err(kube::Error::Api(s)) => (s.code, s.message.clone()),
        other => panic!("an API error was expected: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_what_others_do_under_paused_time() {
    for streaming in [true, false] {
        let client = Client::new(sim(), "default");
        let api = widgets(&client, "v1beta1");
        api.create(&PostParams::default(), &widget("a", json!({"color": "red"}))).await.unwrap();
        let config = if streaming { watcher::Config::default().streaming_lists() } else { watcher::Config::default() };
        let mut events = watcher(api.clone(), config).boxed();
        let mut next = async || match events.next().await.unwrap().unwrap() {
            watcher::Event::Init => "init".to_owned(),
            watcher::Event::InitApply(o) => format!("have {}", o.name_any()),
            watcher::Event::InitDone => "ready".to_owned(),
            watcher::Event::Apply(o) => {
                format!("apply {} {}", o.name_any(), o.data["spec"]["color"])
            }
            watcher::Event::Delete(o) => format!("delete {}", o.name_any()),
        };
        assert_eq!((next().await, next().await, next().await), ("init".into(), "have a".into(), "ready".into()));
        api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"spec": {"color": "blue"}}))).await.unwrap();
        assert_eq!(next().await, "apply a \"blue\"");
        // Ten minutes: the watch times out and is renewed without losing anything.
        tokio::time::timeout(Duration::from_secs(600), next()).await.expect_err("nothing happened");
        api.delete("a", &DeleteParams::default()).await.unwrap();
        assert_eq!(next().await, "delete a");
    }
}

#[tokio::test]
async fn a_stale_write_conflicts_and_a_write_without_change_is_none() {
    let sim = sim();
    let api = widgets(&Client::new(sim.clone(), "default"), "v1beta1");
    let made = api.create(&PostParams::default(), &widget("a", json!({"color": "red"}))).await.unwrap();
    assert_eq!(made.data["spec"]["replicas"], 1, "defaulted");
    let mut new = made.clone();
    new.data["spec"]["replicas"] = json!(2);
    let second = api.replace("a", &PostParams::default(), &new).await.unwrap();
    assert_eq!(second.metadata.generation, Some(2));
    let (status, text) = code(api.replace("a", &PostParams::default(), &new).await);
    assert_eq!(status, 409);
    assert!(
        text.starts_with("Operation cannot be fulfilled on widgets.example.io \"a\": the object has been modified"),
        "{text}"
    );
    let writes = sim.writes();
    let same = api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 2}}))).await.unwrap();
    assert_eq!((same.resource_version(), sim.writes()), (second.resource_version(), writes));
    let twice = api.create(&PostParams::default(), &widget("a", json!({"color": "red"}))).await;
    assert_eq!(code(twice), (409, "widgets.example.io \"a\" already exists".into()));
}

#[tokio::test]
async fn status_and_spec_are_written_apart() {
    let api = widgets(&Client::new(sim(), "default"), "v1beta1");
    let mut w = widget("a", json!({"color": "red"}));
    w.data["status"] = json!({"replicas": 7});
    let made = api.create(&PostParams::default(), &w).await.unwrap();
    assert_eq!(made.data["status"], Value::Null);
    let both = json!({"spec": {"color": "blue"}, "status": {"replicas": 3}});
    let s = api.patch_status("a", &PatchParams::default(), &Patch::Merge(&both)).await.unwrap();
    assert_eq!((&s.data["spec"]["color"], &s.data["status"]["replicas"]), (&json!("red"), &json!(3)));
    assert_eq!(s.metadata.generation, Some(1), "status does not count");
    let m = api
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(&json!({"spec": {"color": "blue"}, "status": {"replicas": 4}})),
        )
        .await
        .unwrap();
    assert_eq!((&m.data["spec"]["color"], &m.data["status"]["replicas"]), (&json!("blue"), &json!(3)));
    assert_eq!(m.metadata.generation, Some(2));
}

#[tokio::test]
async fn a_finalizer_holds_the_object_until_it_is_dropped() {
    let api = widgets(&Client::new(sim(), "default"), "v1beta1");
    let mut w = widget("a", json!({"color": "red"}));
    w.metadata.finalizers = Some(vec!["example.io/hold".into()]);
    api.create(&PostParams::default(), &w).await.unwrap();
    let left = api.delete("a", &DeleteParams::default()).await.unwrap().left().expect("still there");
    assert!(left.metadata.deletion_timestamp.is_some());
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["example.io/hold", "example.io/more"]}}));
    assert_eq!(code(api.patch("a", &PatchParams::default(), &more).await).0, 422);
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("a", &PatchParams::default(), &none).await.unwrap();
    assert_eq!(code(api.get("a").await), (404, "widgets.example.io \"a\" not found".into()));
}

#[tokio::test]
async fn dependents_go_with_their_owner_as_the_policy_says() {
    let client = Client::new(sim(), "default");
    let (api, maps) = (widgets(&client, "v1beta1"), Api::<ConfigMap>::default_namespaced(client.clone()));
    for (policy, child_left, owner_left) in [
        (DeleteParams::background(), false, false),
        (DeleteParams::foreground(), true, true),
        (DeleteParams::orphan(), true, false),
    ] {
        let owner = api.create(&PostParams::default(), &widget("o", json!({"color": "red"}))).await.unwrap();
        let foreground = owner_left;
        let child: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "c",
            "finalizers": if foreground { json!(["example.io/hold"]) } else { Value::Null },
            "ownerReferences": [{"apiVersion": "example.io/v1beta1", "kind": "Widget", "name": "o",
                "uid": owner.uid().unwrap(), "blockOwnerDeletion": true}]}}))
        .unwrap();
        maps.create(&PostParams::default(), &child).await.unwrap();
        api.delete("o", &policy).await.unwrap();
        assert_eq!(maps.get_opt("c").await.unwrap().is_some(), child_left);
        assert_eq!(api.get_opt("o").await.unwrap().is_some(), owner_left);
        if foreground {
            let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            maps.patch("c", &PatchParams::default(), &none).await.unwrap();
            assert!(api.get_opt("o").await.unwrap().is_none(), "the last blocking dependent is gone");
        } else if child_left {
            assert_eq!(maps.get("c").await.unwrap().metadata.owner_references, None);
            maps.delete("c", &DeleteParams::default()).await.unwrap();
        }
    }
    let lost: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "lost", "ownerReferences": [
        {"apiVersion": "example.io/v1beta1", "kind": "Widget", "name": "o", "uid": "never-was"}]}}))
    .unwrap();
    maps.create(&PostParams::default(), &lost).await.unwrap();
    assert!(maps.get_opt("lost").await.unwrap().is_none(), "no such owner");
}

#[tokio::test]
async fn one_object_is_read_and_written_in_every_version() {
    let client = Client::new(sim(), "default");
    let (old, new) = (widgets(&client, "v1alpha3"), widgets(&client, "v1beta1"));
    let mut w = widget("a", json!({"color": "red"}));
    w.types = Some(kube::api::TypeMeta { api_version: "example.io/v1alpha3".into(), kind: "Widget".into() });
    old.create(&PostParams::default(), &w).await.unwrap();
    let seen = new.get("a").await.unwrap();
    assert_eq!(seen.types.unwrap().api_version, "example.io/v1beta1");
    let listed = old.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items[0].types.as_ref().unwrap().api_version, "example.io/v1alpha3");
}

#[tokio::test]
async fn invalid_objects_are_refused_with_a_cause_for_each_field() {
    let sim = sim();
    let client = Client::new(sim.clone(), "default");
    let api = widgets(&client, "v1beta1");
    for (spec, want) in [
        (json!({}), "spec.color: Required value"),
        (json!({"color": "green"}), "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\""),
        (
            json!({"color": "red", "replicas": -1}),
            "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
        ),
        (json!({"color": "red", "replicas": 6}), "spec: Invalid value: at most 5 red ones, not 6"),
        (
            json!({"color": "red", "ports": [{"name": "a"}, {"name": "a"}]}),
            "spec.ports[1]: Duplicate value: {\"name\":\"a\"}",
        ),
    ] {
        let (status, text) = code(api.create(&PostParams::default(), &widget("x", spec)).await);
        assert!(
            status == 422 && text.starts_with("Widget.example.io \"x\" is invalid: ") && text.contains(want),
            "{text}"
        );
    }
    api.create(&PostParams::default(), &widget("x", json!({"color": "red", "id": "abc"}))).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"id": "abd"}}));
    let (_, text) = code(api.patch("x", &PatchParams::default(), &patch).await);
    assert_eq!(text, "Widget.example.io \"x\" is invalid: spec.id: Forbidden: id cannot change once set");
    let body = serde_json::to_value(widget("y", json!({"color": "red", "foo": 1}))).unwrap();
    let (status, answer) = sim.request(
        Method::POST,
        "/apis/example.io/v1beta1/namespaces/default/widgets?fieldValidation=Strict",
        Some(&body),
    );
    let text = "Widget in version \"v1beta1\" cannot be handled as a Widget: strict decoding error: unknown field \"spec.foo\"";
    assert_eq!((status, &answer["message"]), (400, &json!(text)));
}

#[tokio::test]
async fn a_namespace_takes_its_content_along_and_refuses_new_content_meanwhile() {
    let sim = sim();
    let client = Client::new(sim.clone(), "default");
    sim.apply_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: n}}").unwrap();
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "n");
    let map = |name: &str, hold: bool| -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name, "finalizers": hold.then_some(["example.io/hold"])}}))
            .unwrap()
    };
    maps.create(&PostParams::default(), &map("a", true)).await.unwrap();
    maps.create(&PostParams::default(), &map("b", false)).await.unwrap();
    assert_eq!(sim.request(Method::DELETE, "/api/v1/namespaces/n", None).0, 200);
    assert!(maps.get_opt("b").await.unwrap().is_none());
    assert_eq!(code(maps.create(&PostParams::default(), &map("c", false)).await).0, 403);
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    assert_eq!(sim.get("", "Namespace", None, "n"), None);
    assert_eq!(
        code(maps.create(&PostParams::default(), &map("c", false)).await),
        (404, "namespaces \"n\" not found".into())
    );
}

#[tokio::test]
async fn lists_are_selected_and_paged_and_old_cursors_expire() {
    let sim = sim();
    let client = Client::new(sim.clone(), "default");
    let api = widgets(&client, "v1beta1");
    for (i, color) in ["red", "blue", "red", "red"].iter().enumerate() {
        let mut w = widget(&format!("w{i}"), json!({"color": color}));
        w.labels_mut().insert("n".into(), (i % 2).to_string());
        api.create(&PostParams::default(), &w).await.unwrap();
    }
    let names = async |p: ListParams| -> Vec<String> {
        api.list(&p).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
    };
    assert_eq!(names(ListParams::default().labels("n=0").fields("spec.color=red")).await, ["w0", "w2"]);
    assert_eq!(names(ListParams::default().fields("metadata.name=w3")).await, ["w3"]);
    let (status, _) = code(api.list(&ListParams::default().fields("spec.id=x")).await);
    assert_eq!(status, 400);
    let first = api.list(&ListParams::default().limit(3)).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (3, Some(1)));
    assert_eq!(names(ListParams::default().limit(3).continue_token(&token)).await, ["w3"]);
    sim.compact(0);
    let mut old = api.watch(&Default::default(), "3").await.unwrap().boxed();
    let event = old.try_next().await.unwrap();
    assert!(matches!(event, Some(kube::api::WatchEvent::Error(s)) if s.code == 410));
}

#[tokio::test]
async fn built_in_kinds_keep_their_habits() {
    let sim = sim();
    let client = Client::new(sim.clone(), "default");
    let secrets = Api::<Secret>::default_namespaced(client.clone());
    let s: Secret =
        serde_json::from_value(json!({"metadata": {"generateName": "s-"}, "stringData": {"k": "v"}})).unwrap();
    let made = secrets.create(&PostParams::default(), &s).await.unwrap();
    assert!(made.name_any().starts_with("s-") && made.name_any().len() == 7);
    assert_eq!((made.type_.as_deref(), made.data.unwrap()["k"].0.as_slice()), (Some("Opaque"), b"v".as_slice()));
    let nodes = Api::<Node>::all(client.clone());
    let n: Node = serde_json::from_value(
        json!({"metadata": {"name": "n"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}),
    )
    .unwrap();
    assert!(nodes.create(&PostParams::default(), &n).await.unwrap().status.unwrap().addresses.is_some());
    let patch = Patch::Strategic(json!({"status": {"addresses": [{"type": "Hostname", "address": "n"}]}}));
    let n = nodes.patch_status("n", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(n.status.unwrap().addresses.unwrap().len(), 2);
    let new = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "hello",
        "reason": "R", "type": "Normal", "action": "A", "regarding": {"kind": "Node", "name": "n"}, "reportingController": "c"});
    assert_eq!(sim.request(Method::POST, "/apis/events.k8s.io/v1/namespaces/default/events", Some(&new)).0, 201);
    let events = Api::<Event>::default_namespaced(client);
    let found =
        events.list(&ListParams::default().fields("involvedObject.name=n,involvedObject.kind=Node")).await.unwrap();
    assert_eq!(found.items[0].message.as_deref(), Some("hello"));
}

#[tokio::test]
async fn a_crd_takes_its_objects_and_its_watches_along() {
    let sim = sim();
    let client = Client::new(sim.clone(), "default");
    let api = widgets(&client, "v1beta1");
    api.create(&PostParams::default(), &widget("a", json!({"color": "red"}))).await.unwrap();
    let rv = sim.revision().to_string();
    let stream = api.watch(&Default::default(), &rv).await.unwrap();
    assert_eq!(
        sim.request(Method::DELETE, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.io", None)
            .0,
        200
    );
    let events: Vec<_> = stream.try_collect().await.unwrap();
    assert!(matches!(events.as_slice(), [kube::api::WatchEvent::Deleted(_)]), "{events:?}");
    assert_eq!(code(api.get("a").await).0, 404);
}

#[test]
fn one_seed_and_one_order_of_calls_give_one_history() {
    let run = || {
        let sim = sim();
        for i in 0..20 {
            let body = json!({"metadata": {"generateName": "c-"}, "data": {"i": i.to_string()}});
            sim.request(Method::POST, "/api/v1/namespaces/default/configmaps", Some(&body));
        }
        sim.dump()
    };
    assert_eq!(run(), run());
    assert_eq!(run().len(), 20 + 4);
}

#[test]
fn setting_the_same_things_up_twice_writes_nothing() {
    let sim = sim();
    let writes = sim.writes();
    sim.apply_yaml(super::WIDGETS).unwrap();
    assert_eq!(sim.writes(), writes);
    assert_eq!(sim.requests().recent, vec![], "set-up is not a request");
}

#[test]
fn malformed_bodies_are_refused_and_the_server_goes_on() {
    let sim = sim();
    let (widgets, crds) = (
        "/apis/example.io/v1beta1/namespaces/default/widgets",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    );
    for (path, body) in [
        (widgets, json!([])),
        (widgets, json!({"apiVersion": "example.io/v1beta1", "kind": "Widget", "metadata": "x"})),
        (
            widgets,
            json!({"apiVersion": "example.io/v1beta1", "kind": "Widget", "metadata": {"name": "a", "labels": "x"}}),
        ),
        (
            widgets,
            json!({"apiVersion": "example.io/v1beta1", "kind": "Widget", "metadata": {"name": "A_b"}, "spec": {"color": "red"}}),
        ),
        (widgets, json!({"apiVersion": "example.io/v1beta1", "kind": "Gadget", "metadata": {"name": "a"}})),
        (widgets, json!({"apiVersion": "example.io/v1beta1", "kind": "Widget", "metadata": {"name": "a"}, "spec": 3})),
        ("/api/v1/namespaces", json!({"metadata": {"name": "a"}, "spec": "x"})),
        (
            "/api/v1/namespaces/default/secrets",
            json!({"metadata": {"name": "a"}, "data": "x", "stringData": {"a": "b"}}),
        ),
        ("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "a"}, "data": {"a": "not base64!"}})),
        ("/api/v1/namespaces/default/pods", json!({"metadata": {"name": "a"}, "status": 3})),
        (crds, json!({"metadata": {"name": "a"}})),
        (
            crds,
            json!({"metadata": {"name": "a"}, "spec": {"names": "x", "versions": ["v1", {"name": 3, "additionalPrinterColumns": [1]}]}}),
        ),
        (
            crds,
            json!({"metadata": {"name": "as.x.io"}, "spec": {"group": "x.io", "scope": "Cluster", "names": {"kind": "A", "plural": "as"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": 3}}}]}}),
        ),
    ] {
        let (code, answer) = sim.request(Method::POST, path, Some(&body));
        assert!(code == 400 || code == 422, "{body}: {code} {answer}");
    }
    assert_eq!(sim.request(Method::GET, widgets, None).0, 200);
}

#[test]
fn a_dry_run_answers_and_stores_nothing() {
    let sim = sim();
    let writes = sim.writes();
    let path = "/apis/example.io/v1beta1/namespaces/default/widgets";
    let body = serde_json::to_value(widget("a", json!({"color": "red"}))).unwrap();
    let (code, made) = sim.request(Method::POST, &format!("{path}?dryRun=All"), Some(&body));
    assert_eq!((code, &made["spec"]["replicas"], sim.writes()), (201, &json!(1), writes));
    sim.request(Method::POST, path, Some(&body));
    for (method, body) in [(Method::PATCH, json!({"spec": {"color": "blue"}})), (Method::DELETE, json!({}))] {
        let writes = sim.writes();
        assert_eq!(sim.request(method, &format!("{path}/a?dryRun=All"), Some(&body)).0, 200);
        assert_eq!(sim.writes(), writes);
    }
    assert_eq!(sim.get("example.io", "Widget", Some("default"), "a").unwrap()["spec"]["color"], "red");
}

#[test]
fn scale_reads_and_writes_the_paths_of_the_crd() {
    let sim = sim();
    let path = "/apis/example.io/v1beta1/namespaces/default/widgets";
    sim.request(Method::POST, path, Some(&serde_json::to_value(widget("a", json!({"color": "blue"}))).unwrap()));
    sim.request(
        Method::PATCH,
        &format!("{path}/a/status"),
        Some(&json!({"status": {"replicas": 2, "selector": "x=y"}})),
    );
    let (_, scale) = sim.request(Method::GET, &format!("{path}/a/scale"), None);
    assert_eq!(
        (&scale["spec"], &scale["status"]),
        (&json!({"replicas": 1}), &json!({"replicas": 2, "selector": "x=y"}))
    );
    let mut wanted = scale.clone();
    wanted["spec"]["replicas"] = json!(4);
    assert_eq!(sim.request(Method::PUT, &format!("{path}/a/scale"), Some(&wanted)).1["spec"]["replicas"], 4);
    assert_eq!(sim.request(Method::PUT, &format!("{path}/a/scale"), Some(&wanted)).0, 409, "stale");
    assert_eq!(sim.request(Method::PATCH, &format!("{path}/a/scale"), Some(&json!({"spec": {"replicas": -1}}))).0, 422);
    let v1alpha3 = path.replace("v1beta1", "v1alpha3");
    assert_eq!(sim.request(Method::GET, &format!("{v1alpha3}/a/scale"), None).0, 404, "no scale in that version");
}

#[test]
fn delete_keeps_to_its_preconditions() {
    let sim = sim();
    let path = "/api/v1/namespaces/default/configmaps";
    sim.request(Method::POST, path, Some(&json!({"metadata": {"name": "a"}})));
    let refused = sim.request(Method::DELETE, &format!("{path}/a"), Some(&json!({"preconditions": {"uid": "other"}})));
    assert_eq!(refused.0, 409);
    let uid = sim.get("", "ConfigMap", Some("default"), "a").unwrap()["metadata"]["uid"].clone();
    assert_eq!(
        sim.request(Method::DELETE, &format!("{path}/a"), Some(&json!({"preconditions": {"uid": uid}}))).1["status"],
        "Success"
    );
    sim.request(Method::POST, path, Some(&json!({"metadata": {"name": "b", "labels": {"x": "1"}}})));
    sim.request(Method::POST, path, Some(&json!({"metadata": {"name": "c"}})));
    assert_eq!(
        sim.request(Method::DELETE, &format!("{path}?labelSelector=x"), None).1["items"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(sim.list("", "ConfigMap", Some("default")).len(), 1);
}
