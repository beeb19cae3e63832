//! What `kubectl apply` and `clusterctl` send.

use http::Method;
use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::config_map;
use crate::conformance::session::{Outcome, Session, names};

cases! {
    "kubectl apply creates with its annotation and patches the difference of a custom resource" => custom,
    "kubectl apply patches a core object strategically" => core,
    "a server-side apply is taken" => server_side,
    "clusterctl moves an object: created anew with owners, found by label, let go without its finalizer" => moved,
    "clusterctl reads a kind in all namespaces" => all_namespaces,
}

const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";
const QUERY: &str = "fieldManager=kubectl-client-side-apply&fieldValidation=Strict";

fn applied(mut object: Value) -> Value {
    let last = object.to_string();
    object["metadata"]["annotations"][LAST] = json!(last);
    object
}

async fn custom(s: &mut Session) -> Outcome {
    let path = s.widgets();
    s.get(&format!("{path}/a")).pick(&["/code"]).await?;
    let widget = applied(s.widget("a", json!({"size": 1, "tags": ["x"]})));
    s.post(&format!("{path}?{QUERY}"), &widget).pick(&["/spec", "/metadata/generation"]).await?;
    let wanted = applied(s.widget("a", json!({"size": 2})));
    let patch =
        json!({"metadata": {"annotations": wanted["metadata"]["annotations"]}, "spec": {"size": 2, "tags": null}});
    s.merge(&format!("{path}/a?{QUERY}"), &patch).pick(&["/spec", "/metadata/generation"]).await?;
    // Applied again, nothing is sent; and if it were, nothing would change.
    s.merge(&format!("{path}/a?{QUERY}"), &patch).pick(&["/metadata/generation"]).await?;
    Ok(())
}

async fn core(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&format!("{path}?{QUERY}"), &applied(config_map("a"))).pick(&["/data"]).await?;
    let mut wanted = config_map("a");
    wanted["data"] = json!({"b": "2"});
    let patch =
        json!({"data": {"a": null, "b": "2"}, "metadata": {"annotations": applied(wanted)["metadata"]["annotations"]}});
    s.strategic(&format!("{path}/a?{QUERY}"), &patch).pick(&["/data"]).await?;
    Ok(())
}

async fn server_side(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let body = config_map("a").to_string();
    let query = format!("{path}/a?fieldManager=tester");
    s.raw(Method::PATCH, &query, "application/apply-patch+yaml", &body).pick(&["/kind", "/data"]).await?;
    Ok(())
}

async fn moved(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let owner = s.post(&maps, &config_map("owner")).await?.uid();
    let mut widget = s.widget("a", json!({}));
    widget["metadata"] = json!({"name": "a", "labels": {"cluster.x-k8s.io/cluster-name": "one"},
        "finalizers": ["example.com/hold"], "annotations": {"clusterctl.cluster.x-k8s.io/block-move": "true"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner}]});
    s.post(&widgets, &widget).await?;
    let selector = "labelSelector=cluster.x-k8s.io/cluster-name%3Done";
    s.get(&format!("{widgets}?{selector}&limit=500")).only(names).await?;
    let mark = json!({"metadata": {"annotations": {"clusterctl.cluster.x-k8s.io/delete-for-move": ""}}});
    s.merge(&format!("{widgets}/a"), &mark).pick(&["/metadata/annotations"]).await?;
    s.merge(&format!("{widgets}/a"), &json!({"metadata": {"finalizers": null}}))
        .pick(&["/metadata/finalizers"])
        .await?;
    s.delete(&format!("{widgets}/a")).pick(&["/status"]).await?;
    Ok(())
}

async fn all_namespaces(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let mut widget = s.widget("a", json!({}));
    widget["metadata"]["labels"] = json!({"case": s.token});
    s.post(&path, &widget).quiet().await?;
    let all = format!("/apis/{}/v1/widgets?labelSelector=case%3D{}", s.group(), s.token);
    s.get(&all).metadata("PartialObjectMetadataList").await?;
    s.get(&all).table().pick(&["/kind", "/rows"]).await?;
    Ok(())
}
