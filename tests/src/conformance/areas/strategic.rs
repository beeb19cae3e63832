//! Strategic merge patches, which kubectl sends for core kinds.

use serde_json::json;

use super::cases;
use crate::conformance::fixtures::{config_map, owned};
use crate::conformance::session::{Outcome, Session};

cases! {
    "a strategic merge patch sets and removes entries of maps" => maps,
    "finalizers are united, and removed by name" => finalizers,
    "ownerReferences are merged by uid" => owners,
    "conditions of a Node's status are merged by type" => conditions,
    "a list without a merge key is replaced" => replaced,
    "a strategic merge patch at an old version is a conflict" => guarded,
    "a directive that nobody knows is refused" => unknown_directive,
}

async fn maps(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    let patch = json!({"metadata": {"annotations": {"x": "y"}}, "data": {"a": null, "b": "2"}});
    s.strategic(&format!("{path}/a"), &patch).await?;
    s.strategic(&format!("{path}/a"), &json!({"data": {"$patch": "replace", "c": "3"}})).pick(&["/data"]).await?;
    s.strategic(&format!("{path}/a"), &json!({"data": null})).await?;
    Ok(())
}

async fn finalizers(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let mut map = config_map("a");
    map["metadata"]["finalizers"] = json!(["example.com/a"]);
    s.post(&path, &map).quiet().await?;
    let at = format!("{path}/a");
    s.strategic(&at, &json!({"metadata": {"finalizers": ["example.com/b"]}})).pick(&["/metadata/finalizers"]).await?;
    let gone = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}});
    s.strategic(&at, &gone).pick(&["/metadata/finalizers"]).await?;
    let order = json!({"metadata": {"$setElementOrder/finalizers": ["example.com/c", "example.com/b"], "finalizers": ["example.com/c"]}});
    s.strategic(&at, &order).pick(&["/metadata/finalizers"]).await?;
    s.strategic(&at, &json!({"metadata": {"finalizers": null}})).pick(&["/metadata/finalizers"]).await?;
    Ok(())
}

async fn owners(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let first = s.post(&path, &config_map("first")).await?.uid();
    let second = s.post(&path, &config_map("second")).await?.uid();
    s.post(&path, &owned("a", &[("first", &first)])).quiet().await?;
    let at = format!("{path}/a");
    let more = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "second", "uid": second}]}});
    s.strategic(&at, &more).pick(&["/metadata/ownerReferences"]).await?;
    let less = json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": first}]}});
    s.strategic(&at, &less).pick(&["/metadata/ownerReferences"]).await?;
    Ok(())
}

async fn conditions(s: &mut Session) -> Outcome {
    let name = s.token.clone();
    let node = json!({"metadata": {"name": name}, "status": {"conditions": [
        {"type": "Ready", "status": "False", "reason": "Starting"}, {"type": "DiskPressure", "status": "False"}]}});
    s.post("/api/v1/nodes", &node).quiet().await?;
    let path = format!("/api/v1/nodes/{name}");
    s.sweep_later(&path);
    let patch = json!({"status": {"$setElementOrder/conditions": [{"type": "Ready"}, {"type": "DiskPressure"}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "Started"}]}});
    s.strategic(&format!("{path}/status"), &patch).pick(&["/status/conditions"]).await?;
    let gone = json!({"status": {"conditions": [{"type": "DiskPressure", "$patch": "delete"}]}});
    s.strategic(&format!("{path}/status"), &gone).pick(&["/status/conditions"]).await?;
    Ok(())
}

async fn replaced(s: &mut Session) -> Outcome {
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles", s.token);
    let rule = |verb: &str| json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": [verb]});
    s.post(&path, &json!({"metadata": {"name": "a"}, "rules": [rule("get"), rule("list")]})).quiet().await?;
    s.strategic(&format!("{path}/a"), &json!({"rules": [rule("watch")]})).pick(&["/rules"]).await?;
    Ok(())
}

async fn guarded(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let first = s.post(&path, &config_map("a")).await?.version();
    for value in ["2", "3"] {
        let patch = json!({"metadata": {"resourceVersion": first}, "data": {"a": value}});
        s.strategic(&format!("{path}/a"), &patch).await?;
    }
    Ok(())
}

async fn unknown_directive(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    s.strategic(&format!("{path}/a"), &json!({"data": {"$patch": "paint"}})).pick(&["/kind", "/code"]).await?;
    Ok(())
}
