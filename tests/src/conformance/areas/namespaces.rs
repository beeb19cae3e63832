//! Namespaces.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::config_map;
use crate::conformance::session::{Outcome, Session};

cases! {
    "a new namespace is Active, labelled with its name and held by a finalizer of its own" => created,
    "a namespace with an invalid name is refused" => bad_name,
    "a deleted namespace takes its objects along" => deleted,
    "nothing can be made in a namespace that is going" => terminating,
    "a namespace waits for the finalizers of its objects" => waits,
    "the default namespace can't be deleted" => default,
    "labels of a namespace can be patched, that with its name stays" => labels,
    "namespaces are no collection to be deleted" => no_collection,
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

async fn created(s: &mut Session) -> Outcome {
    let name = format!("{}-x", s.token);
    s.post("/api/v1/namespaces", &namespace(&name)).await?;
    s.sweep_later(&format!("/api/v1/namespaces/{name}"));
    s.get(&format!("/api/v1/namespaces/{name}")).await?;
    Ok(())
}

async fn bad_name(s: &mut Session) -> Outcome {
    s.post("/api/v1/namespaces", &namespace("not.valid")).await?;
    Ok(())
}

async fn deleted(s: &mut Session) -> Outcome {
    let name = format!("{}-x", s.token);
    let path = format!("/api/v1/namespaces/{name}");
    s.post("/api/v1/namespaces", &namespace(&name)).quiet().await?;
    s.post(&format!("{path}/configmaps"), &config_map("a")).quiet().await?;
    let widgets = format!("/apis/{}/v1/namespaces/{name}/widgets", s.group());
    let widget = s.widget("a", json!({}));
    s.post(&widgets, &widget).quiet().await?;
    s.delete(&path).unseen().await?;
    s.wait(&path, |answer| answer.status == 404).await?;
    s.get(&path).await?;
    s.get(&format!("{path}/configmaps/a")).pick(&["/code"]).await?;
    s.get(&format!("{widgets}/a")).pick(&["/code"]).await?;
    Ok(())
}

/// Puts a held object into a namespace and deletes the namespace; returns its path.
async fn going(s: &mut Session) -> Result<String, crate::conformance::Failure> {
    let name = format!("{}-x", s.token);
    let path = format!("/api/v1/namespaces/{name}");
    s.post("/api/v1/namespaces", &namespace(&name)).quiet().await?;
    let mut map = config_map("held");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    s.post(&format!("{path}/configmaps"), &map).quiet().await?;
    s.delete(&path).only(|ns| json!([ns["kind"], ns["status"]["phase"], ns["spec"]])).await?;
    s.wait(&format!("{path}/configmaps/held"), |map| map.body["metadata"]["deletionTimestamp"].is_string()).await?;
    Ok(path)
}

async fn let_go(s: &mut Session, path: &str) -> Outcome {
    s.merge(&format!("{path}/configmaps/held"), &json!({"metadata": {"finalizers": null}})).quiet().await?;
    Ok(())
}

async fn terminating(s: &mut Session) -> Outcome {
    let path = going(s).await?;
    s.post(&format!("{path}/configmaps"), &config_map("new")).await?;
    let widgets = format!("/apis/{}/v1/namespaces/{}-x/widgets", s.group(), s.token);
    let widget = s.widget("new", json!({}));
    s.post(&widgets, &widget).await?;
    s.merge(&format!("{path}/configmaps/held"), &json!({"data": {"a": "2"}})).pick(&["/data"]).await?;
    let_go(s, &path).await
}

async fn waits(s: &mut Session) -> Outcome {
    let path = going(s).await?;
    s.get(&path).pick(&["/status/phase", "/spec/finalizers", "/metadata/labels"]).await?;
    s.get(&format!("{path}/configmaps")).only(crate::conformance::session::names).await?;
    let_go(s, &path).await?;
    s.wait(&path, |answer| answer.status == 404).await?;
    s.get(&path).pick(&["/code"]).await?;
    Ok(())
}

async fn default(s: &mut Session) -> Outcome {
    s.delete("/api/v1/namespaces/default").await?;
    Ok(())
}

async fn labels(s: &mut Session) -> Outcome {
    let path = format!("/api/v1/namespaces/{}", s.token);
    let patch = json!({"metadata": {"labels": {"a": "b", "kubernetes.io/metadata.name": "other"}}});
    s.merge(&path, &patch).pick(&["/metadata/labels", "/message"]).await?;
    s.merge(&path, &json!({"metadata": {"labels": {"a": "c"}}})).pick(&["/metadata/labels"]).await?;
    Ok(())
}

async fn no_collection(s: &mut Session) -> Outcome {
    let path = format!("/api/v1/namespaces?labelSelector=nobody%3D{}", s.token);
    s.delete(&path).await?;
    Ok(())
}
