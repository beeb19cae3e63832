//! Watches.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::Failure;
use crate::conformance::fixtures::{config_map, labelled};
use crate::conformance::session::{Outcome, Session};

cases! {
    "a watch from a list's version tells of everything after it" => from_list,
    "a watch from an object's version tells of what came after that object" => from_object,
    "a watch without a version begins with what there is" => from_nothing,
    "a watch from version 0 begins with what there is" => from_zero,
    "an object that begins to match a label selector is ADDED, one that ceases is DELETED" => labels,
    "one object is watched by its name" => by_name,
    "a watch ends when its time is up" => timeout,
    "initial events end with a bookmark that says so" => initial_events,
    "initial events need resourceVersionMatch NotOlderThan" => initial_events_match,
    "a watch from a version that is long gone gets 410 Expired" => expired,
    "a watch from a version that is no number is refused" => bad_version,
    "a write that changes nothing is no event" => no_op,
    "changes of status and of metadata are events" => status,
    "a deletion that waits for finalizers is MODIFIED, its end is DELETED" => finalizers,
    "a watch in all namespaces sees every namespace" => all_namespaces,
    "a watch of metadata sends metadata" => metadata,
    "a watch of a Table describes its columns once" => table,
    "a watch with an unknown field selector is refused" => bad_selector,
}

/// Version of a list of the path.
async fn version(s: &mut Session, path: &str) -> Result<String, Failure> {
    Ok(s.get(path).quiet().await?.version())
}

async fn from_list(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("before")).quiet().await?;
    let from = version(s, &path).await?;
    let mut watch = s.watch(&format!("{path}?watch=true&resourceVersion={from}")).await?;
    s.post(&path, &config_map("a")).await?;
    s.merge(&format!("{path}/a"), &json!({"data": {"a": "2"}})).await?;
    s.delete(&format!("{path}/a")).await?;
    watch.take(3).await?;
    s.note_watch(watch);
    Ok(())
}

async fn from_object(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let first = s.post(&path, &config_map("a")).await?.version();
    s.post(&path, &config_map("b")).await?;
    let mut watch = s.watch(&format!("{path}?watch=true&resourceVersion={first}")).await?;
    watch.take(1).await?;
    s.note_watch(watch);
    Ok(())
}

async fn from_nothing(s: &mut Session) -> Outcome {
    let path = s.widgets();
    for name in ["b", "a"] {
        let widget = s.widget(name, json!({}));
        s.post(&path, &widget).await?;
    }
    let mut watch = s.watch(&format!("{path}?watch=true")).await?;
    watch.take(2).await?;
    let widget = s.widget("c", json!({}));
    s.post(&path, &widget).await?;
    watch.take(1).await?;
    s.note_watch(watch);
    Ok(())
}

async fn from_zero(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    s.wait(&format!("{path}?resourceVersion=0"), |list| list.body["items"][0].is_object()).await?;
    let mut watch = s.watch(&format!("{path}?watch=true&resourceVersion=0")).await?;
    watch.take(1).await?;
    s.note_watch(watch);
    Ok(())
}

async fn labels(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    let from = version(s, &path).await?;
    let query = format!("{path}?watch=true&labelSelector=app%3Dweb&resourceVersion={from}");
    let mut watch = s.watch(&query).await?;
    for labels in [json!({"app": "web"}), json!({"tier": "front"}), json!({"app": "db"})] {
        s.merge(&format!("{path}/a"), &json!({"metadata": {"labels": labels}})).await?;
    }
    s.delete(&format!("{path}/a")).quiet().await?;
    s.post(&path, &labelled(config_map("end"), &[("app", "web")])).quiet().await?;
    watch.until("end").await?;
    s.note_watch(watch);
    Ok(())
}

async fn by_name(s: &mut Session) -> Outcome {
    let path = s.core("secrets");
    let secret = |name: &str| json!({"metadata": {"name": name}, "stringData": {"a": "1"}});
    let from = version(s, &path).await?;
    let mut watch =
        s.watch(&format!("{path}?watch=true&fieldSelector=metadata.name%3Db&resourceVersion={from}")).await?;
    for name in ["a", "b", "c"] {
        s.post(&path, &secret(name)).quiet().await?;
    }
    s.merge(&format!("{path}/a"), &json!({"stringData": {"a": "2"}})).quiet().await?;
    s.delete(&format!("{path}/b")).quiet().await?;
    watch.take(2).await?;
    s.note_watch(watch);
    Ok(())
}

async fn timeout(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    let mut watch = s.watch(&format!("{path}?watch=true&timeoutSeconds=1")).await?;
    watch.rest().await?;
    s.note_watch(watch);
    Ok(())
}

const INITIAL: &str = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&timeoutSeconds=20";

async fn initial_events(s: &mut Session) -> Outcome {
    let path = s.widgets();
    for name in ["b", "a"] {
        let widget = s.widget(name, json!({}));
        s.post(&path, &widget).quiet().await?;
    }
    let mut watch = s.watch(&format!("{path}?{INITIAL}&resourceVersionMatch=NotOlderThan")).await?;
    watch.take(3).await?;
    let widget = s.widget("c", json!({}));
    s.post(&path, &widget).quiet().await?;
    watch.take(1).await?;
    s.note_watch(watch);
    Ok(())
}

async fn initial_events_match(s: &mut Session) -> Outcome {
    let path = s.widgets();
    s.get(&format!("{path}?{INITIAL}")).await?;
    s.get(&format!("{path}?sendInitialEvents=true")).await?;
    Ok(())
}

async fn expired(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let mut watch = s.watch(&format!("{path}?watch=true&resourceVersion=1")).await?;
    watch.rest().await?;
    s.note_watch(watch);
    Ok(())
}

async fn bad_version(s: &mut Session) -> Outcome {
    let path = s.widgets();
    s.get(&format!("{path}?watch=true&resourceVersion=abc")).await?;
    Ok(())
}

async fn no_op(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).await?;
    let from = version(s, &path).await?;
    let mut watch = s.watch(&format!("{path}?watch=true&resourceVersion={from}")).await?;
    s.merge(&format!("{path}/a"), &json!({"spec": {"size": 1}})).await?;
    s.merge(&format!("{path}/a"), &json!({})).await?;
    let same = s.get(&format!("{path}/a")).quiet().await?.body;
    s.put(&format!("{path}/a"), &same).await?;
    let widget = s.widget("end", json!({}));
    s.post(&path, &widget).quiet().await?;
    watch.until("end").await?;
    s.note_watch(watch);
    Ok(())
}

async fn status(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).quiet().await?;
    let from = version(s, &path).await?;
    let mut watch = s.watch(&format!("{path}?watch=true&resourceVersion={from}")).await?;
    s.merge(&format!("{path}/a/status"), &json!({"status": {"phase": "New"}})).quiet().await?;
    s.merge(&format!("{path}/a"), &json!({"metadata": {"annotations": {"a": "b"}}})).quiet().await?;
    watch.take(2).await?;
    s.note_watch(watch);
    Ok(())
}

async fn finalizers(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let mut widget = s.widget("a", json!({}));
    widget["metadata"]["finalizers"] = json!(["example.com/hold"]);
    s.post(&path, &widget).quiet().await?;
    let from = version(s, &path).await?;
    let mut watch = s.watch(&format!("{path}?watch=true&resourceVersion={from}")).await?;
    s.delete(&format!("{path}/a")).quiet().await?;
    s.merge(&format!("{path}/a"), &json!({"metadata": {"finalizers": null}})).quiet().await?;
    watch.take(2).await?;
    s.note_watch(watch);
    Ok(())
}

async fn all_namespaces(s: &mut Session) -> Outcome {
    let second = format!("{}-b", s.token);
    s.post("/api/v1/namespaces", &json!({"metadata": {"name": second}})).quiet().await?;
    s.sweep_later(&format!("/api/v1/namespaces/{second}"));
    let all = format!("/apis/{}/v1/widgets", s.group());
    let from = version(s, &all).await?;
    let query = format!("{all}?watch=true&labelSelector=case%3D{}&resourceVersion={from}", s.token);
    let mut watch = s.watch(&query).await?;
    let (here, there) = (s.widgets(), format!("/apis/{}/v1/namespaces/{second}/widgets", s.group()));
    let widget = labelled(s.widget("a", json!({})), &[("case", &s.token)]);
    for path in [here, there] {
        s.post(&path, &widget).quiet().await?;
    }
    watch.take(2).await?;
    s.note_watch(watch);
    Ok(())
}

async fn metadata(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).quiet().await?;
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let mut watch = s.watch_as(&format!("{path}?watch=true"), accept).await?;
    watch.take(1).await?;
    s.note_watch(watch);
    Ok(())
}

async fn table(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    let from = version(s, &path).await?;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut watch = s.watch_as(&format!("{path}?watch=true&resourceVersion={from}"), accept).await?;
    s.merge(&format!("{path}/a"), &json!({"data": {"b": "2"}})).quiet().await?;
    s.delete(&format!("{path}/a")).quiet().await?;
    watch.take(2).await?;
    for event in &mut watch.events {
        // Descriptions are the documentation of Kubernetes, which nobody prints.
        for column in event["object"]["columnDefinitions"].as_array_mut().into_iter().flatten() {
            column["description"] = Value::Null;
        }
    }
    s.note_watch(watch);
    Ok(())
}

async fn bad_selector(s: &mut Session) -> Outcome {
    let path = s.widgets();
    s.get(&format!("{path}?watch=true&fieldSelector=spec.nothing%3D1")).await?;
    Ok(())
}
