//! Generation, and the status and scale subresources.

use serde_json::json;

use super::cases;
use crate::conformance::session::{Outcome, Session, ensure};

cases! {
    "generation counts changes of spec, not of metadata or status" => generation,
    "status is dropped on create" => create,
    "a write of the object leaves its status alone" => main_ignores_status,
    "a write of status leaves spec and metadata alone" => status_ignores_spec,
    "status is replaced whole by PUT" => put,
    "a status patch at an old version is a conflict" => guarded,
    "a status that does not fit the schema is refused" => invalid,
    "status of an object that is not there is NotFound" => missing,
    "a kind without a status subresource has none" => no_status,
    "without a status subresource status is an ordinary field" => plain_status,
    "status is read by itself" => read,
    "scale is read, patched and replaced" => scale,
    "a negative scale is refused" => negative_scale,
    "a scale at an old version is a conflict" => stale_scale,
    "a kind without a scale subresource has none" => no_scale,
}

async fn generation(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).pick(&["/metadata/generation"]).await?;
    let at = format!("{path}/a");
    for patch in [
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"spec": {"size": 2}}),
        json!({"spec": {"size": 2}}),
        json!({"metadata": {"finalizers": ["example.com/a"]}}),
        json!({"spec": {"free": {"a": 1}}}),
        json!({"metadata": {"generation": 77}}),
    ] {
        s.merge(&at, &patch).pick(&["/metadata/generation"]).await?;
    }
    s.merge(&format!("{at}/status"), &json!({"status": {"phase": "x"}})).pick(&["/metadata/generation"]).await?;
    s.delete(&at).pick(&["/metadata/generation"]).await?;
    s.merge(&at, &json!({"metadata": {"finalizers": null}})).quiet().await?;
    Ok(())
}

async fn create(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let mut widget = s.widget("a", json!({}));
    widget["status"] = json!({"phase": "Done"});
    s.post(&path, &widget).await?;
    Ok(())
}

async fn main_ignores_status(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).quiet().await?;
    let at = format!("{path}/a");
    s.merge(&format!("{at}/status"), &json!({"status": {"phase": "One"}})).quiet().await?;
    let mut read =
        s.merge(&at, &json!({"spec": {"size": 2}, "status": {"phase": "Two"}})).pick(&["/spec", "/status"]).await?;
    read.body["status"] = json!({"phase": "Three"});
    read.body["spec"]["size"] = json!(3);
    s.put(&at, &read.body).pick(&["/spec", "/status"]).await?;
    let only = s.merge(&at, &json!({"status": {"phase": "Four"}})).pick(&["/status"]).await?;
    let before = s.get(&at).quiet().await?;
    ensure(only.version() == before.version(), "a patch of status alone changes nothing")
}

async fn status_ignores_spec(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).await?;
    let at = format!("{path}/a/status");
    let patch = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["example.com/a"]},
        "spec": {"size": 2}, "status": {"phase": "One"}});
    s.merge(&at, &patch).await?;
    s.json_patch(&at, &json!([{"op": "add", "path": "/status/replicas", "value": 2}])).pick(&["/status"]).await?;
    Ok(())
}

async fn put(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).quiet().await?;
    let at = format!("{path}/a/status");
    let mut one = s.merge(&at, &json!({"status": {"phase": "One", "replicas": 1}})).quiet().await?;
    one.body["status"] = json!({"phase": "Two"});
    one.body["spec"] = json!({"size": 9});
    s.put(&at, &one.body).pick(&["/spec", "/status", "/metadata/generation"]).await?;
    Ok(())
}

async fn guarded(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    let first = s.post(&path, &widget).await?.version();
    for phase in ["One", "Two"] {
        let patch = json!({"metadata": {"resourceVersion": first}, "status": {"phase": phase}});
        s.merge(&format!("{path}/a/status"), &patch).await?;
    }
    Ok(())
}

async fn invalid(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).quiet().await?;
    let at = format!("{path}/a/status");
    s.merge(&at, &json!({"status": {"conditions": [{"type": "Ready", "status": "Perhaps"}]}})).await?;
    s.merge(&at, &json!({"status": {"conditions": [{"type": "Ready"}]}})).await?;
    s.merge(
        &at,
        &json!({"status": {"conditions": [{"type": "A", "status": "True"}, {"type": "A", "status": "False"}]}}),
    )
    .await?;
    s.merge(&at, &json!({"status": {"phase": 7}})).await?;
    Ok(())
}

async fn missing(s: &mut Session) -> Outcome {
    let path = s.widgets();
    s.merge(&format!("{path}/a/status"), &json!({"status": {"phase": "One"}})).await?;
    s.get(&format!("{path}/a/status")).await?;
    s.get(&format!("{path}/a/scale")).await?;
    Ok(())
}

async fn cardboard(s: &mut Session, more: serde_json::Value) -> Result<String, crate::conformance::Failure> {
    let path = format!("/apis/{}/v1/boxes", s.group());
    let mut object = json!({"apiVersion": format!("{}/v1", s.group()), "kind": "Box", "metadata": {"name": s.token}});
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    s.post(&path, &object).await?;
    let at = format!("{path}/{}", s.token);
    s.sweep_later(&at);
    Ok(at)
}

async fn no_status(s: &mut Session) -> Outcome {
    let at = cardboard(s, json!({})).await?;
    s.merge(&format!("{at}/status"), &json!({"status": {"full": true}})).await?;
    s.get(&format!("{at}/status")).await?;
    let maps = s.core("configmaps");
    s.get(&format!("{maps}/a/status")).await?;
    Ok(())
}

async fn plain_status(s: &mut Session) -> Outcome {
    let at = cardboard(s, json!({"status": {"full": false}})).await?;
    s.merge(&at, &json!({"status": {"full": true}})).pick(&["/status", "/metadata/generation"]).await?;
    Ok(())
}

async fn read(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).quiet().await?;
    s.merge(&format!("{path}/a/status"), &json!({"status": {"phase": "One"}})).quiet().await?;
    s.get(&format!("{path}/a/status")).await?;
    Ok(())
}

async fn scale(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"replicas": 2}));
    s.post(&path, &widget).quiet().await?;
    s.merge(&format!("{path}/a/status"), &json!({"status": {"replicas": 1, "selector": "app=a"}})).quiet().await?;
    let at = format!("{path}/a/scale");
    let mut scale = s.get(&at).await?;
    scale.body["spec"]["replicas"] = json!(4);
    s.put(&at, &scale.body).await?;
    s.merge(&at, &json!({"spec": {"replicas": 5}})).await?;
    s.get(&format!("{path}/a")).pick(&["/spec", "/metadata/generation"]).await?;
    Ok(())
}

async fn negative_scale(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"replicas": 2}));
    s.post(&path, &widget).quiet().await?;
    s.merge(&format!("{path}/a/scale"), &json!({"spec": {"replicas": -1}})).await?;
    Ok(())
}

async fn stale_scale(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"replicas": 2}));
    s.post(&path, &widget).quiet().await?;
    let at = format!("{path}/a/scale");
    let mut scale = s.get(&at).quiet().await?;
    s.merge(&format!("{path}/a"), &json!({"spec": {"size": 1}})).quiet().await?;
    scale.body["spec"]["replicas"] = json!(4);
    s.put(&at, &scale.body).await?;
    Ok(())
}

async fn no_scale(s: &mut Session) -> Outcome {
    let at = cardboard(s, json!({})).await?;
    s.get(&format!("{at}/scale")).await?;
    Ok(())
}
