//! Merge patches and JSON patches.

use http::Method;
use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::{config_map, labelled};
use crate::conformance::session::{Outcome, Session, ensure};

cases! {
    "a merge patch sets, replaces and removes fields" => merge,
    "a merge patch at the current version is taken, at an old one it is a conflict" => guarded,
    "a merge patch with another uid is a conflict" => other_uid,
    "a patch that changes nothing keeps the version" => no_op,
    "patching what is not there is NotFound" => missing,
    "a patch may not rename" => rename,
    "a merge patch that is no JSON or no object is refused" => no_merge,
    "a JSON patch adds, replaces, removes, copies and tests" => json_patch,
    "a JSON patch whose test fails is refused and changes nothing" => failed_test,
    "a JSON patch on a path that is not there is refused" => no_path,
    "a JSON patch that is none is refused" => no_json_patch,
    "a patch of another media type is refused" => media_type,
    "a strategic merge patch of a custom resource is refused" => strategic_of_custom,
    "ownerReferences are patched as a list" => owners,
    "a patch that makes an object invalid is refused with the field" => invalid,
    "a patch without a version is tried on whatever there is" => unguarded,
}

async fn merge(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = labelled(
        s.widget("a", json!({"size": 1, "even": true, "tags": ["x"], "free": {"a": 1, "b": {"c": 2}}})),
        &[("app", "web")],
    );
    s.post(&path, &widget).quiet().await?;
    let patch = json!({"metadata": {"labels": {"app": null, "tier": "front"}},
        "spec": {"size": 2, "even": null, "tags": ["y", "z"], "free": {"b": {"c": null, "d": 3}}}});
    s.merge(&format!("{path}/a"), &patch).await?;
    let maps = s.core("configmaps");
    s.post(&maps, &config_map("a")).quiet().await?;
    s.merge(&format!("{maps}/a"), &json!({"data": {"a": null, "b": "2"}})).await?;
    Ok(())
}

async fn guarded(s: &mut Session) -> Outcome {
    for path in [s.core("configmaps"), s.widgets()] {
        let object = if path.contains("widgets") { s.widget("a", json!({})) } else { config_map("a") };
        let first = s.post(&path, &object).await?.version();
        let patch =
            |version: &str, value: &str| json!({"metadata": {"resourceVersion": version, "annotations": {"a": value}}});
        s.merge(&format!("{path}/a"), &patch(&first, "1")).await?;
        s.merge(&format!("{path}/a"), &patch(&first, "2")).await?;
        let annotations =
            s.get(&format!("{path}/a")).pick(&["/metadata/annotations", "/metadata/resourceVersion"]).await?;
        ensure(annotations.text("/metadata/annotations/a") == "1", "the second patch was refused")?;
    }
    Ok(())
}

async fn other_uid(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).await?;
    s.merge(&format!("{path}/a"), &json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}})).await?;
    Ok(())
}

async fn no_op(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = labelled(s.widget("a", json!({"size": 1})), &[("app", "web")]);
    let first = s.post(&path, &widget).await?.version();
    let mut last = String::new();
    for patch in [
        json!({}),
        json!({"spec": {"size": 1}}),
        json!({"metadata": {"labels": {"app": "web", "tier": null}}}),
        json!({"metadata": {"finalizers": []}}),
        json!({"metadata": {"annotations": {}}}),
    ] {
        last = s.merge(&format!("{path}/a"), &patch).pick(&["/metadata"]).await?.version();
    }
    s.json_patch(&format!("{path}/a"), &json!([])).pick(&["/metadata/resourceVersion"]).await?;
    ensure(last == first, "the version stays")
}

async fn missing(s: &mut Session) -> Outcome {
    let path = s.widgets();
    s.merge(&format!("{path}/a"), &json!({"spec": {"size": 1}})).await?;
    s.json_patch(&format!("{path}/a"), &json!([])).await?;
    Ok(())
}

async fn rename(s: &mut Session) -> Outcome {
    for path in [s.core("configmaps"), s.widgets()] {
        let object = if path.contains("widgets") { s.widget("a", json!({})) } else { config_map("a") };
        s.post(&path, &object).quiet().await?;
        s.merge(&format!("{path}/a"), &json!({"metadata": {"name": "b"}})).await?;
        s.merge(&format!("{path}/a"), &json!({"metadata": {"namespace": "default"}})).await?;
    }
    Ok(())
}

async fn no_merge(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).quiet().await?;
    for body in ["{\"spec\":", "[]", "\"text\""] {
        let call = s.raw(Method::PATCH, &format!("{path}/a"), "application/merge-patch+json", body);
        call.pick(&["/kind", "/reason", "/code"]).await?;
    }
    Ok(())
}

async fn json_patch(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1, "even": true, "tags": ["x", "y"], "free": {"a/b": 1}}));
    s.post(&path, &widget).quiet().await?;
    let patch = json!([
        {"op": "test", "path": "/spec/size", "value": 1},
        {"op": "replace", "path": "/spec/size", "value": 2},
        {"op": "remove", "path": "/spec/even"},
        {"op": "add", "path": "/spec/tags/-", "value": "z"},
        {"op": "copy", "from": "/spec/size", "path": "/spec/free/copied"},
        {"op": "move", "from": "/spec/free/a~1b", "path": "/spec/free/moved"},
        {"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}},
    ]);
    s.json_patch(&format!("{path}/a"), &patch).await?;
    Ok(())
}

async fn failed_test(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).quiet().await?;
    let patch = json!([{"op": "replace", "path": "/spec/size", "value": 2}, {"op": "test", "path": "/spec/color", "value": "blue"}]);
    s.json_patch(&format!("{path}/a"), &patch).await?;
    s.get(&format!("{path}/a")).pick(&["/spec"]).await?;
    Ok(())
}

async fn no_path(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).quiet().await?;
    for operation in [
        json!({"op": "replace", "path": "/spec/even", "value": true}),
        json!({"op": "remove", "path": "/spec/even"}),
        json!({"op": "add", "path": "/spec/free/a/b", "value": 1}),
    ] {
        s.json_patch(&format!("{path}/a"), &json!([operation])).pick(&["/kind", "/reason", "/code"]).await?;
    }
    Ok(())
}

async fn no_json_patch(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).quiet().await?;
    for body in ["{}", "[{\"op\":", "[{\"op\": \"paint\", \"path\": \"/spec\"}]"] {
        let call = s.raw(Method::PATCH, &format!("{path}/a"), "application/json-patch+json", body);
        call.pick(&["/kind", "/reason", "/code"]).await?;
    }
    Ok(())
}

async fn media_type(s: &mut Session) -> Outcome {
    for path in [s.core("configmaps"), s.widgets()] {
        let object = if path.contains("widgets") { s.widget("a", json!({})) } else { config_map("a") };
        s.post(&path, &object).quiet().await?;
        for kind in ["application/json", "text/plain"] {
            s.raw(Method::PATCH, &format!("{path}/a"), kind, "{}").pick(&["/kind", "/reason", "/code"]).await?;
        }
    }
    let path = s.widgets();
    let widget = s.widget("b", json!({}));
    s.raw(Method::POST, &path, "text/plain", &widget.to_string()).pick(&["/kind", "/reason", "/code"]).await?;
    Ok(())
}

async fn strategic_of_custom(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).quiet().await?;
    s.strategic(&format!("{path}/a"), &json!({"spec": {"size": 1}})).await?;
    Ok(())
}

async fn owners(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let uid = s.post(&maps, &config_map("owner")).await?.uid();
    let widget = s.widget("a", json!({}));
    s.post(&widgets, &widget).quiet().await?;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": true});
    s.merge(&format!("{widgets}/a"), &json!({"metadata": {"ownerReferences": [owner]}})).await?;
    s.merge(&format!("{widgets}/a"), &json!({"metadata": {"ownerReferences": Value::Null}})).await?;
    for broken in [
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}]),
        json!([{"apiVersion": "", "kind": "", "name": "", "uid": uid}]),
        json!([owner, {"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "00000000-0000-0000-0000-000000000000", "controller": true}]),
    ] {
        s.merge(&format!("{widgets}/a"), &json!({"metadata": {"ownerReferences": broken}})).await?;
    }
    Ok(())
}

async fn invalid(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).quiet().await?;
    s.merge(&format!("{path}/a"), &json!({"spec": {"size": 101}})).await?;
    s.json_patch(&format!("{path}/a"), &json!([{"op": "add", "path": "/spec/color", "value": "green"}])).await?;
    s.merge(&format!("{path}/a"), &json!({"metadata": {"labels": {"a": "not valid"}}})).await?;
    Ok(())
}

async fn unguarded(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).await?;
    for size in [2, 3] {
        s.merge(&format!("{path}/a"), &json!({"metadata": {"resourceVersion": ""}, "spec": {"size": size}})).await?;
    }
    Ok(())
}
