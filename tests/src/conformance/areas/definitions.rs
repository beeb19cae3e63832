//! CustomResourceDefinitions.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::{CRDS, crd};
use crate::conformance::session::{Answer, Outcome, Session};

cases! {
    "a CRD gets its names, is accepted and established" => established,
    "a CRD named otherwise than by plural and group is refused" => wrong_name,
    "a CRD without a schema is refused" => no_schema,
    "a CRD whose schema is not structural is refused" => not_structural,
    "a CRD has one storage version" => storage_versions,
    "a CRD whose rule does not parse is refused" => bad_rule,
    "a default that its own schema refuses is refused" => bad_default,
    "a default in a place without a type is refused" => bad_pattern,
    "one schema under several versions shows each object in each version" => versions,
    "a deprecated version warns" => deprecated,
    "a CRD that changes serves new fields" => changed,
    "a version that ceases to be served is not found" => unserved,
    "a change of the CRD's group or scope is refused" => immutable,
    "deleting a CRD deletes its objects and ends its service" => deleted,
    "an object with a finalizer holds its CRD" => held,
    "generation of a CRD counts changes of its spec" => generation,
}

fn group(s: &Session) -> String {
    format!("{}.example.org", s.token)
}

fn thing(s: &Session, version: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{}/{version}", group(s)), "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

fn things(s: &Session, version: &str) -> String {
    format!("/apis/{}/{version}/namespaces/{}/things", group(s), s.token)
}

fn is(answer: &Answer, condition: &str) -> bool {
    let all = answer.body["status"]["conditions"].as_array().into_iter().flatten();
    all.into_iter().any(|c| c["type"] == condition && c["status"] == "True")
}

/// Conditions in an order of their own: they are a map.
fn status(crd: &Value) -> Value {
    let conditions = crd["status"]["conditions"].as_array().into_iter().flatten();
    let mut conditions: Vec<Value> =
        conditions.map(|c| json!([c["type"], c["status"], c["reason"], c["message"]])).collect();
    conditions.sort_by_key(Value::to_string);
    json!({"names": crd["status"]["acceptedNames"], "stored": crd["status"]["storedVersions"], "conditions": conditions,
        "spec": crd["spec"]})
}

async fn established(s: &mut Session) -> Outcome {
    let crd = crd(&group(s), "Thing", "things", &[("size", json!({"type": "integer"}))]);
    let name = format!("{CRDS}/things.{}", group(s));
    s.post(CRDS, &crd).pick(&["/kind", "/metadata", "/spec"]).await?;
    s.sweep_later(&name);
    s.until(&name, status, |answer| is(answer, "Established")).await?;
    s.served(&crd).await?;
    let (path, object) = (things(s, "v1"), thing(s, "v1", "a", json!({"size": 1})));
    s.post(&path, &object).await?;
    Ok(())
}

async fn refused(s: &mut Session, crd: &Value) -> Outcome {
    s.post(CRDS, crd).pick(&["/code", "/reason", "/message"]).await?;
    Ok(())
}

async fn wrong_name(s: &mut Session) -> Outcome {
    let mut crd = crd(&group(s), "Thing", "things", &[]);
    crd["metadata"]["name"] = json!(format!("stuff.{}", group(s)));
    refused(s, &crd).await
}

async fn no_schema(s: &mut Session) -> Outcome {
    let mut crd = crd(&group(s), "Thing", "things", &[]);
    crd["spec"]["versions"][0]["schema"] = Value::Null;
    refused(s, &crd).await
}

async fn not_structural(s: &mut Session) -> Outcome {
    for schema in [
        json!({"description": "no type"}),
        json!({"type": "array"}),
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
        json!({"type": "picture"}),
        json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}),
        json!({"$ref": "#/a"}),
    ] {
        let crd = crd(&group(s), "Thing", "things", &[("bad", schema)]);
        s.post(CRDS, &crd).pick(&["/code", "/reason"]).await?;
    }
    Ok(())
}

async fn storage_versions(s: &mut Session) -> Outcome {
    let mut crd = crd(&group(s), "Thing", "things", &[]);
    let mut second = crd["spec"]["versions"][0].clone();
    second["name"] = json!("v2");
    crd["spec"]["versions"] = json!([crd["spec"]["versions"][0], second]);
    s.post(CRDS, &crd).pick(&["/code", "/reason"]).await?;
    Ok(())
}

async fn bad_rule(s: &mut Session) -> Outcome {
    let schema = json!({"type": "string", "x-kubernetes-validations": [{"rule": "self ==="}]});
    let crd = crd(&group(s), "Thing", "things", &[("bad", schema)]);
    s.post(CRDS, &crd).pick(&["/code", "/reason"]).await?;
    Ok(())
}

async fn bad_default(s: &mut Session) -> Outcome {
    let crd = crd(&group(s), "Thing", "things", &[("size", json!({"type": "integer", "default": "many"}))]);
    s.post(CRDS, &crd).pick(&["/code", "/reason"]).await?;
    Ok(())
}

async fn bad_pattern(s: &mut Session) -> Outcome {
    let crd = crd(&group(s), "Thing", "things", &[("name", json!({"type": "string", "pattern": "["}))]);
    s.post(CRDS, &crd).pick(&["/code", "/reason"]).await?;
    Ok(())
}

async fn versions(s: &mut Session) -> Outcome {
    let mut crd = crd(&group(s), "Thing", "things", &[("size", json!({"type": "integer"}))]);
    let mut old = crd["spec"]["versions"][0].clone();
    old["name"] = json!("v1alpha3");
    old["storage"] = json!(false);
    crd["spec"]["versions"] = json!([old, crd["spec"]["versions"][0]]);
    s.install(&crd).await?;
    let (new, old) = (things(s, "v1"), things(s, "v1alpha3"));
    let (first, second) = (thing(s, "v1", "a", json!({"size": 1})), thing(s, "v1alpha3", "b", json!({"size": 2})));
    s.post(&new, &first).await?;
    s.post(&old, &second).await?;
    s.get(&old).await?;
    s.get(&format!("{new}/b")).await?;
    s.merge(&format!("{old}/a"), &json!({"spec": {"size": 3}})).await?;
    let mut watch = s.watch(&format!("{old}?watch=true")).await?;
    watch.take(2).await?;
    s.note_watch(watch);
    Ok(())
}

async fn deprecated(s: &mut Session) -> Outcome {
    let path = s.custom("v1beta1", "widgets");
    let widget = json!({"apiVersion": format!("{}/v1beta1", s.group()), "kind": "Widget", "metadata": {"name": "a"}});
    s.post(&path, &widget).await?;
    s.get(&format!("{path}/a")).pick(&["/apiVersion"]).await?;
    s.get(&path).pick(&["/apiVersion"]).await?;
    s.delete(&format!("{path}/a")).pick(&["/status"]).await?;
    Ok(())
}

async fn changed(s: &mut Session) -> Outcome {
    let properties = [("size", json!({"type": "integer"}))];
    let crd = crd(&group(s), "Thing", "things", &properties);
    s.install(&crd).await?;
    let path = things(s, "v1");
    let first = thing(s, "v1", "a", json!({"size": 1, "color": "red"}));
    s.post(&path, &first).await?;
    let pointer = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/color";
    let more = json!([{"op": "add", "path": pointer, "value": {"type": "string", "default": "blue"}}]);
    s.json_patch(&format!("{CRDS}/things.{}", group(s)), &more).pick(&["/metadata/generation"]).await?;
    // The new schema is in force a moment later.
    s.wait(&format!("{path}/a"), |answer| answer.body["spec"]["color"] == "blue").await?;
    s.get(&format!("{path}/a")).await?;
    let second = thing(s, "v1", "b", json!({"size": 1, "color": "red"}));
    s.post(&path, &second).await?;
    Ok(())
}

async fn unserved(s: &mut Session) -> Outcome {
    let mut crd = crd(&group(s), "Thing", "things", &[]);
    let mut old = crd["spec"]["versions"][0].clone();
    old["name"] = json!("v1alpha3");
    old["storage"] = json!(false);
    crd["spec"]["versions"] = json!([crd["spec"]["versions"][0], old]);
    s.install(&crd).await?;
    let path = things(s, "v1alpha3");
    s.get(&path).pick(&["/kind"]).await?;
    let off = json!([{"op": "replace", "path": "/spec/versions/1/served", "value": false}]);
    s.json_patch(&format!("{CRDS}/things.{}", group(s)), &off).quiet().await?;
    s.wait(&path, |answer| answer.status == 404).await?;
    s.get(&path).await?;
    Ok(())
}

async fn immutable(s: &mut Session) -> Outcome {
    let crd = crd(&group(s), "Thing", "things", &[]);
    s.install(&crd).await?;
    let at = format!("{CRDS}/things.{}", group(s));
    s.merge(&at, &json!({"spec": {"group": "other.example.org"}})).pick(&["/code", "/reason"]).await?;
    s.merge(&at, &json!({"spec": {"scope": "Cluster"}})).pick(&["/code", "/reason"]).await?;
    s.merge(&at, &json!({"spec": {"names": {"kind": "Other"}}})).pick(&["/code", "/spec/names/kind"]).await?;
    Ok(())
}

async fn deleted(s: &mut Session) -> Outcome {
    let crd = crd(&group(s), "Thing", "things", &[]);
    s.install(&crd).await?;
    let path = things(s, "v1");
    let object = thing(s, "v1", "a", json!({}));
    s.post(&path, &object).quiet().await?;
    let at = format!("{CRDS}/things.{}", group(s));
    s.delete(&at).unseen().await?;
    s.wait(&at, |answer| answer.status == 404).await?;
    s.get(&at).await?;
    s.wait(&path, |answer| answer.status == 404).await?;
    s.get(&path).await?;
    s.get(&format!("/apis/{}", group(s))).unseen().await?;
    Ok(())
}

async fn held(s: &mut Session) -> Outcome {
    let crd = crd(&group(s), "Thing", "things", &[]);
    s.install(&crd).await?;
    let path = things(s, "v1");
    let mut object = thing(s, "v1", "a", json!({}));
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    s.post(&path, &object).quiet().await?;
    let at = format!("{CRDS}/things.{}", group(s));
    s.delete(&at).pick(&["/metadata/finalizers", "/metadata/name"]).await?;
    s.wait(&format!("{path}/a"), |answer| answer.body["metadata"]["deletionTimestamp"].is_string()).await?;
    s.get(&at).pick(&["/metadata/finalizers", "/metadata/deletionTimestamp"]).await?;
    s.merge(&format!("{path}/a"), &json!({"metadata": {"finalizers": null}})).quiet().await?;
    s.wait(&at, |answer| answer.status == 404).await?;
    Ok(())
}

async fn generation(s: &mut Session) -> Outcome {
    let crd = crd(&group(s), "Thing", "things", &[]);
    s.install(&crd).await?;
    let at = format!("{CRDS}/things.{}", group(s));
    let names = json!({"spec": {"names": {"shortNames": ["th"]}}});
    s.merge(&at, &names).pick(&["/metadata/generation"]).await?;
    s.merge(&at, &names).pick(&["/metadata/generation"]).await?;
    s.merge(&at, &json!({"metadata": {"labels": {"a": "b"}}})).pick(&["/metadata/generation"]).await?;
    Ok(())
}
