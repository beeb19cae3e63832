//! Replacing objects (PUT).

use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::config_map;
use crate::conformance::session::{Outcome, Session, ensure};

cases! {
    "a replacement at the current version is taken and gets a new version" => current,
    "a replacement at an old version is a conflict" => stale,
    "a core object may be replaced without a version, a custom resource may not" => without_version,
    "a replacement that changes nothing keeps the version" => no_op,
    "the name in the body must be that of the path" => other_name,
    "the namespace in the body must be that of the path" => other_namespace,
    "another uid in the body is a conflict" => other_uid,
    "replacing what is not there is NotFound" => missing,
    "creation time, uid and generation stay what they are" => owned_metadata,
    "a replacement of another kind is refused" => other_kind,
    "fields that a replacement leaves out are gone" => left_out,
}

async fn current(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({"size": 1}));
    let mut map = s.post(&maps, &config_map("a")).quiet().await?.body;
    let mut widget = s.post(&widgets, &widget).quiet().await?.body;
    map["data"]["a"] = json!("2");
    widget["spec"]["size"] = json!(2);
    s.put(&format!("{maps}/a"), &map).await?;
    s.put(&format!("{widgets}/a"), &widget).await?;
    Ok(())
}

async fn stale(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({"size": 1}));
    let mut map = s.post(&maps, &config_map("a")).quiet().await?.body;
    let mut widget = s.post(&widgets, &widget).quiet().await?.body;
    s.merge(&format!("{maps}/a"), &json!({"data": {"b": "1"}})).quiet().await?;
    s.merge(&format!("{widgets}/a"), &json!({"spec": {"size": 5}})).quiet().await?;
    map["data"]["a"] = json!("2");
    widget["spec"]["size"] = json!(2);
    s.put(&format!("{maps}/a"), &map).await?;
    s.put(&format!("{widgets}/a"), &widget).await?;
    Ok(())
}

async fn without_version(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&maps, &config_map("a")).quiet().await?;
    s.post(&widgets, &widget).quiet().await?;
    let mut map = config_map("a");
    map["data"]["a"] = json!("2");
    s.put(&format!("{maps}/a"), &map).await?;
    s.put(&format!("{widgets}/a"), &widget).await?;
    s.put(&format!("{widgets}/a/status"), &widget).await?;
    Ok(())
}

async fn no_op(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({"size": 1}));
    let map = s.post(&maps, &config_map("a")).await?;
    let widget = s.post(&widgets, &widget).await?;
    let again = s.put(&format!("{maps}/a"), &map.body).await?;
    ensure(again.version() == map.version(), "the map's version stays")?;
    let again = s.put(&format!("{widgets}/a"), &widget.body).await?;
    ensure(again.version() == widget.version(), "the widget's version stays")
}

async fn other_name(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({}));
    let mut map = s.post(&maps, &config_map("a")).quiet().await?.body;
    let mut widget = s.post(&widgets, &widget).quiet().await?.body;
    for object in [&mut map, &mut widget] {
        object["metadata"]["name"] = json!("b");
    }
    s.put(&format!("{maps}/a"), &map).await?;
    s.put(&format!("{widgets}/a"), &widget).await?;
    map["metadata"]["name"] = Value::Null;
    s.put(&format!("{maps}/a"), &map).await?;
    Ok(())
}

async fn other_namespace(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let mut map = s.post(&path, &config_map("a")).quiet().await?.body;
    map["metadata"]["namespace"] = json!("default");
    s.put(&format!("{path}/a"), &map).await?;
    Ok(())
}

async fn other_uid(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({}));
    let mut map = s.post(&maps, &config_map("a")).await?.body;
    let mut widget = s.post(&widgets, &widget).await?.body;
    for object in [&mut map, &mut widget] {
        object["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    }
    s.put(&format!("{maps}/a"), &map).await?;
    s.put(&format!("{widgets}/a"), &widget).await?;
    Ok(())
}

async fn missing(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({}));
    s.put(&format!("{maps}/a"), &config_map("a")).await?;
    s.put(&format!("{widgets}/a"), &widget).await?;
    let mut widget = widget;
    widget["metadata"]["resourceVersion"] = json!("7");
    s.put(&format!("{widgets}/a"), &widget).await?;
    Ok(())
}

async fn owned_metadata(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    let mut widget = s.post(&path, &widget).await?.body;
    widget["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    widget["metadata"]["generation"] = json!(9);
    widget["metadata"]["uid"] = Value::Null;
    widget["metadata"]["labels"] = json!({"a": "b"});
    s.put(&format!("{path}/a"), &widget).await?;
    Ok(())
}

async fn other_kind(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    let mut widget = s.post(&path, &widget).quiet().await?.body;
    widget["kind"] = json!("Gadget");
    s.put(&format!("{path}/a"), &widget).await?;
    Ok(())
}

async fn left_out(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let mut widget = s.widget("a", json!({"size": 1, "even": true}));
    widget["metadata"]["labels"] = json!({"a": "b"});
    widget["metadata"]["annotations"] = json!({"a": "b"});
    let made = s.post(&path, &widget).quiet().await?;
    let mut bare = s.widget("a", json!({"size": 1}));
    bare["metadata"]["resourceVersion"] = json!(made.version());
    s.put(&format!("{path}/a"), &bare).await?;
    Ok(())
}
