//! Deleting, finalizers, preconditions.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::Failure;
use crate::conformance::fixtures::{config_map, labelled};
use crate::conformance::session::{Outcome, Session, names};

cases! {
    "deleting an object without finalizers removes it and answers with its uid" => plain,
    "deleting an object with finalizers marks it" => marked,
    "a marked object can still be changed" => still_changed,
    "removing the last finalizer removes the object" => last_finalizer,
    "a finalizer can't be added to a marked object" => no_more_finalizers,
    "deleting a marked object again changes nothing" => twice,
    "the mark can't be taken back" => no_way_back,
    "deleting what is not there is NotFound" => missing,
    "a delete for another uid is a conflict" => other_uid,
    "a delete for another version is a conflict" => other_version,
    "a delete for the right uid and version is done" => right_ones,
    "a propagation policy that nobody knows is refused" => bad_policy,
    "an invalid finalizer is refused" => bad_finalizer,
    "a collection is deleted by label selector" => collection,
    "deleting a collection marks what has finalizers" => marked_collection,
    "the name of a deleted object is free again" => again,
}

async fn held(s: &mut Session, name: &str) -> Result<String, Failure> {
    let path = s.widgets();
    let mut widget = s.widget(name, json!({"size": 1}));
    widget["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    s.post(&path, &widget).await?;
    Ok(format!("{path}/{name}"))
}

async fn plain(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({}));
    s.post(&maps, &config_map("a")).quiet().await?;
    s.post(&widgets, &widget).quiet().await?;
    for path in [maps, widgets] {
        s.delete(&format!("{path}/a")).await?;
        s.get(&format!("{path}/a")).pick(&["/code"]).await?;
    }
    Ok(())
}

async fn marked(s: &mut Session) -> Outcome {
    let at = held(s, "a").await?;
    s.delete(&at).await?;
    s.get(&at).await?;
    let path = s.core("configmaps");
    let mut map = config_map("a");
    map["metadata"]["finalizers"] = json!(["example.com/a"]);
    s.post(&path, &map).quiet().await?;
    s.delete(&format!("{path}/a")).await?;
    s.merge(&format!("{path}/a"), &json!({"metadata": {"finalizers": null}})).quiet().await?;
    s.merge(&at, &json!({"metadata": {"finalizers": null}})).quiet().await?;
    Ok(())
}

async fn still_changed(s: &mut Session) -> Outcome {
    let at = held(s, "a").await?;
    s.delete(&at).quiet().await?;
    s.merge(&at, &json!({"spec": {"size": 2}})).await?;
    s.merge(&format!("{at}/status"), &json!({"status": {"phase": "Going"}})).pick(&["/status"]).await?;
    s.merge(&at, &json!({"metadata": {"finalizers": ["example.com/b"]}})).pick(&["/metadata"]).await?;
    s.merge(&at, &json!({"metadata": {"finalizers": []}})).quiet().await?;
    Ok(())
}

async fn last_finalizer(s: &mut Session) -> Outcome {
    let at = held(s, "a").await?;
    s.delete(&at).quiet().await?;
    s.merge(&at, &json!({"metadata": {"finalizers": []}})).await?;
    s.get(&at).await?;
    let at = held(s, "b").await?;
    s.delete(&at).quiet().await?;
    s.json_patch(&at, &json!([{"op": "remove", "path": "/metadata/finalizers"}])).pick(&["/metadata"]).await?;
    s.get(&at).pick(&["/code"]).await?;
    Ok(())
}

async fn no_more_finalizers(s: &mut Session) -> Outcome {
    let at = held(s, "a").await?;
    s.delete(&at).quiet().await?;
    let more = json!({"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}});
    s.merge(&at, &more).await?;
    s.merge(&at, &json!({"metadata": {"finalizers": null}})).quiet().await?;
    Ok(())
}

async fn twice(s: &mut Session) -> Outcome {
    let at = held(s, "a").await?;
    s.delete(&at).await?;
    s.delete(&at).await?;
    s.merge(&at, &json!({"metadata": {"finalizers": null}})).quiet().await?;
    Ok(())
}

async fn no_way_back(s: &mut Session) -> Outcome {
    let at = held(s, "a").await?;
    s.delete(&at).await?;
    s.merge(&at, &json!({"metadata": {"deletionTimestamp": Value::Null}})).pick(&["/metadata"]).await?;
    s.merge(&at, &json!({"metadata": {"finalizers": null}})).quiet().await?;
    Ok(())
}

async fn missing(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    s.delete(&format!("{maps}/a")).await?;
    s.delete(&format!("{widgets}/a")).await?;
    Ok(())
}

fn precondition(field: &str, value: &str) -> Value {
    json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {field: value}})
}

async fn other_uid(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).await?;
    s.delete_with(&format!("{path}/a"), &precondition("uid", "00000000-0000-0000-0000-000000000000")).await?;
    s.get(&format!("{path}/a")).pick(&["/metadata/name"]).await?;
    Ok(())
}

async fn other_version(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    let first = s.post(&path, &widget).await?.version();
    s.merge(&format!("{path}/a"), &json!({"spec": {"size": 1}})).quiet().await?;
    s.delete_with(&format!("{path}/a"), &precondition("resourceVersion", &first)).await?;
    s.get(&format!("{path}/a")).pick(&["/metadata/name"]).await?;
    Ok(())
}

async fn right_ones(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    let made = s.post(&path, &widget).await?;
    let mut options = precondition("uid", &made.uid());
    options["preconditions"]["resourceVersion"] = json!(made.version());
    s.delete_with(&format!("{path}/a"), &options).await?;
    Ok(())
}

async fn bad_policy(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).quiet().await?;
    let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Sideways"});
    s.delete_with(&format!("{path}/a"), &body).await?;
    s.delete(&format!("{path}/a?propagationPolicy=Sideways")).await?;
    Ok(())
}

async fn bad_finalizer(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    for finalizer in ["example", "example.com/a b", "foregroundDeletion"] {
        let mut map = config_map("a");
        map["metadata"]["finalizers"] = json!([finalizer]);
        s.post(&maps, &map).pick(&["/metadata/finalizers", "/message", "/details", "/code"]).await?;
        let mut widget = s.widget("a", json!({}));
        widget["metadata"]["finalizers"] = json!([finalizer]);
        s.post(&widgets, &widget).pick(&["/metadata/finalizers", "/message", "/details", "/code"]).await?;
    }
    for path in [maps, widgets] {
        s.merge(&format!("{path}/a"), &json!({"metadata": {"finalizers": null}})).quiet().await?;
    }
    Ok(())
}

async fn collection(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    for (name, app) in [("a", "web"), ("b", "db"), ("c", "web")] {
        s.post(&path, &labelled(config_map(name), &[("app", app)])).quiet().await?;
    }
    let deleted = |list: &Value| json!({"kind": list["kind"], "names": names(list)});
    s.delete(&format!("{path}?labelSelector=app%3Dweb")).only(deleted).await?;
    s.get(&path).only(names).await?;
    Ok(())
}

async fn marked_collection(s: &mut Session) -> Outcome {
    let at = held(s, "a").await?;
    let path = s.widgets();
    let widget = s.widget("b", json!({}));
    s.post(&path, &widget).quiet().await?;
    let marks = |list: &Value| {
        let items = list["items"].as_array().into_iter().flatten();
        items.map(|item| json!([item["metadata"]["name"], item["metadata"]["deletionTimestamp"].is_string()])).collect()
    };
    s.delete(&path).only(marks).await?;
    s.get(&path).only(marks).await?;
    s.merge(&at, &json!({"metadata": {"finalizers": null}})).quiet().await?;
    Ok(())
}

async fn again(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).pick(&["/metadata/uid"]).await?;
    s.delete(&format!("{path}/a")).quiet().await?;
    s.post(&path, &widget).pick(&["/metadata/uid", "/metadata/generation"]).await?;
    Ok(())
}
