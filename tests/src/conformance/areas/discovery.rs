//! What the server tells of itself.

use http::Method;
use serde_json::{Value, json};

use super::cases;
use crate::conformance::session::{Outcome, Session};

cases! {
    "the server has a version" => version,
    "health endpoints say ok" => health,
    "the core group has one version" => core_group,
    "core kinds are discovered with verbs and short names" => core_kinds,
    "a group of ours is listed among the groups" => groups,
    "kinds of a group are discovered with their subresources" => group_kinds,
    "aggregated discovery tells of our kinds in one document" => aggregated,
    "our kinds have OpenAPI documents" => openapi,
    "our schemas are published with their descriptions" => explain,
    "core kinds have OpenAPI documents" => core_openapi,
    "an unknown path is not found, in plain text" => unknown,
    "a group or version that is not served is not found" => unknown_group,
    "methods that make no sense are not allowed" => methods,
    "the server says who may do what" => access_review,
}

async fn version(s: &mut Session) -> Outcome {
    s.get("/version").pick(&["/major"]).await?;
    Ok(())
}

async fn health(s: &mut Session) -> Outcome {
    for path in ["/healthz", "/readyz", "/livez"] {
        s.get(path).await?;
    }
    Ok(())
}

async fn core_group(s: &mut Session) -> Outcome {
    s.get("/api").pick(&["/kind", "/versions"]).await?;
    Ok(())
}

/// Resources of a list by these names; a hash of what is stored is of no use to anybody else.
fn resources(list: &Value, wanted: &[&str]) -> Value {
    let all = list["resources"].as_array().into_iter().flatten();
    let chosen = all.filter(|r| wanted.is_empty() || wanted.iter().any(|w| r["name"] == *w)).cloned().map(|mut one| {
        if let Some(fields) = one.as_object_mut() {
            fields.remove("storageVersionHash");
        }
        one
    });
    let mut chosen: Vec<Value> = chosen.collect();
    chosen.sort_by_key(|one| one["name"].to_string());
    json!({"kind": list["kind"], "groupVersion": list["groupVersion"], "resources": chosen})
}

async fn core_kinds(s: &mut Session) -> Outcome {
    const CORE: &[&str] = &[
        "configmaps",
        "events",
        "namespaces",
        "namespaces/status",
        "nodes",
        "nodes/status",
        "secrets",
        "serviceaccounts",
    ];
    s.get("/api/v1").only(|list| resources(list, CORE)).await?;
    s.get("/apis/coordination.k8s.io/v1").only(|list| resources(list, &["leases"])).await?;
    let crds = &["customresourcedefinitions", "customresourcedefinitions/status"];
    s.get("/apis/apiextensions.k8s.io/v1").only(|list| resources(list, crds)).await?;
    Ok(())
}

async fn groups(s: &mut Session) -> Outcome {
    let group = s.group();
    let wanted = group.clone();
    s.wait("/apis", move |answer| answer.body.to_string().contains(&group)).await?;
    let group = wanted.clone();
    let one = move |list: &Value| {
        let all = list["groups"].as_array().into_iter().flatten();
        json!([list["kind"], all.filter(|g| g["name"] == wanted.as_str()).cloned().collect::<Vec<_>>()])
    };
    s.get("/apis").only(one).await?;
    s.get(&format!("/apis/{group}")).await?;
    Ok(())
}

async fn group_kinds(s: &mut Session) -> Outcome {
    let group = s.group();
    s.wait(&format!("/apis/{group}/v1"), |answer| answer.status == 200).await?;
    for version in ["v1", "v1beta1"] {
        s.get(&format!("/apis/{group}/{version}")).only(|list| resources(list, &[])).await?;
    }
    Ok(())
}

async fn aggregated(s: &mut Session) -> Outcome {
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let group = s.group();
    // The group is in the document a moment after it is served.
    for _ in 0..100 {
        let all = s.get("/apis").accept(accept).unseen().await?;
        if all.body.to_string().contains(&group) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let one = move |list: &Value| {
        let all = list["items"].as_array().into_iter().flatten();
        let mut mine: Vec<Value> = all.filter(|g| g["metadata"]["name"] == group.as_str()).cloned().collect();
        for versions in mine.iter_mut().filter_map(|g| g["versions"].as_array_mut()) {
            for resources in versions.iter_mut().filter_map(|v| v["resources"].as_array_mut()) {
                resources.sort_by_key(|r| r["resource"].to_string());
            }
        }
        json!({"kind": list["kind"], "apiVersion": list["apiVersion"], "items": mine})
    };
    s.get("/apis").accept(accept).only(one).await?;
    let core = |list: &Value| {
        let all = list["items"][0]["versions"][0]["resources"].as_array().into_iter().flatten();
        let secrets: Vec<Value> = all.filter(|r| r["resource"] == "secrets").cloned().collect();
        json!({"kind": list["kind"], "apiVersion": list["apiVersion"], "secrets": secrets})
    };
    s.get("/api").accept(accept).only(core).await?;
    Ok(())
}

async fn openapi(s: &mut Session) -> Outcome {
    let at = format!("apis/{}/v1", s.group());
    let wanted = at.clone();
    s.wait("/openapi/v3", move |answer| answer.body["paths"][&wanted].is_object()).await?;
    let listed = at.clone();
    s.get("/openapi/v3")
        .only(move |index| {
            let url = index["paths"][&listed]["serverRelativeURL"].as_str().unwrap_or_default();
            json!(url.split_once("?hash=").map(|(path, _)| path))
        })
        .await?;
    let root = format!("/apis/{}/v1", s.group());
    let told = move |document: &Value| {
        let kinds = document["components"]["schemas"].as_object().into_iter().flatten();
        let kinds: Vec<Value> = kinds
            .filter(|(name, _)| name.contains("example"))
            .map(|(name, schema)| json!([name, schema["x-kubernetes-group-version-kind"]]))
            .collect();
        // What kubectl looks for before it sends an object: whether fieldValidation and dryRun are understood.
        let collection = &document["paths"][format!("{root}/namespaces/{{namespace}}/widgets")]["post"];
        let one = &document["paths"][format!("{root}/namespaces/{{namespace}}/widgets/{{name}}")]["patch"];
        let parameters = one["parameters"].as_array().into_iter().flatten();
        let mut names: Vec<Value> = parameters.map(|p| p["name"].clone()).collect();
        names.retain(|name| name == "dryRun" || name == "fieldValidation");
        names.sort_by_key(Value::to_string);
        json!({"openapi": document["openapi"], "kinds": kinds, "create": collection["x-kubernetes-group-version-kind"],
            "action": one["x-kubernetes-action"], "parameters": names})
    };
    s.get(&format!("/openapi/v3/{at}")).only(told).await?;
    Ok(())
}

async fn explain(s: &mut Session) -> Outcome {
    let at = format!("/openapi/v3/apis/{}/v1", s.group());
    s.wait(&at, |answer| answer.status == 200).await?;
    let told = |document: &Value| {
        let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
        let widget = schemas.filter(|(name, _)| name.ends_with(".Widget")).map(|(_, schema)| schema).next();
        let at = |pointer: &str| widget.and_then(|w| w.pointer(pointer)).cloned().unwrap_or_default();
        json!({"type": at("/type"), "description": at("/description"), "color": at("/properties/spec/properties/color"),
            "port": at("/properties/spec/properties/port"), "tags": at("/properties/spec/properties/tags"),
            "inner": at("/properties/spec/properties/inner")})
    };
    s.get(&at).only(told).await?;
    Ok(())
}

async fn core_openapi(s: &mut Session) -> Outcome {
    let told = |document: &Value| {
        let map = &document["components"]["schemas"]["io.k8s.api.core.v1.ConfigMap"];
        let fields = map["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
        let mut fields: Vec<String> = fields.collect();
        fields.sort();
        json!({"fields": fields, "kind": map["x-kubernetes-group-version-kind"]})
    };
    s.get("/openapi/v3/api/v1").only(told).await?;
    Ok(())
}

async fn unknown(s: &mut Session) -> Outcome {
    for path in ["/nothing", "/api/v1/nothing", "/apis/apps.nobody/v1/things"] {
        s.get(path).await?;
    }
    Ok(())
}

async fn unknown_group(s: &mut Session) -> Outcome {
    let group = s.group();
    for path in [
        format!("/apis/nobody.{group}"),
        format!("/apis/{group}/v9"),
        "/api/v9".to_owned(),
        format!("/openapi/v3/apis/{group}/v9"),
    ] {
        s.get(&path).await?;
    }
    Ok(())
}

async fn methods(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    for path in [maps, widgets] {
        s.put(&path, &json!({})).await?;
        s.merge(&path, &json!({})).await?;
        s.call(Method::TRACE, &format!("{path}/a")).pick(&["/code"]).await?;
    }
    s.post("/api/v1", &json!({})).await?;
    Ok(())
}

async fn access_review(s: &mut Session) -> Outcome {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
        "resourceAttributes": {"namespace": s.token, "verb": "get", "resource": "secrets"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    s.post(path, &review).pick(&["/kind", "/status/allowed"]).await?;
    Ok(())
}
