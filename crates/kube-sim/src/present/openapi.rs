//! OpenAPI v3: enough for `kubectl explain`, `apply`, `edit` and strict validation on the server.

use serde_json::{Value, json};

use crate::kinds::{Kind, Registry, Version};

/// `/openapi/v3`
pub(crate) fn index(kinds: &Registry) -> Value {
    let mut paths = json!({});
    for (group, versions) in kinds.groups() {
        for version in versions {
            let at = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let hash = fingerprint(&document(kinds, &group, &version).unwrap_or_default());
            paths[&at] = json!({"serverRelativeURL": format!("/openapi/v3/{at}?hash={hash:016X}")});
        }
    }
    json!({"paths": paths})
}

/// FNV-1a: clients cache documents by this.
fn fingerprint(document: &Value) -> u64 {
    document.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// `/openapi/v3/apis/{group}/{version}`
pub(crate) fn document(kinds: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut schemas = json!({OBJECT_META: object_meta()});
    let mut paths = json!({});
    let mut any = false;
    for k in kinds.iter().filter(|k| k.group == group) {
        let Some(v) = k.version(version).map(|i| &k.versions[i]) else {
            continue;
        };
        any = true;
        let gvk = json!({"group": group, "version": version, "kind": k.kind});
        let name = schema_name(k, v);
        schemas[&name] = published(v, &gvk);
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        schemas[format!("{name}List")] = json!({"type": "object", "description": format!("A list of {}.", k.kind),
            "required": ["items"], "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"},
                "metadata": {"type": "object"}, "items": {"type": "array", "items": reference}},
            "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": k.list_kind}]});
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let collection = if k.namespaced {
            format!("{root}/namespaces/{{namespace}}/{}", k.plural)
        } else {
            format!("{root}/{}", k.plural)
        };
        let operation = |action: &str| {
            json!({"x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk,
                "parameters": parameters(), "responses": {"200": {"description": "OK",
                    "content": {"application/json": {"schema": reference}}}}})
        };
        let with_body = |action: &str, types: &[&str]| {
            let mut o = operation(action);
            for t in types {
                o["requestBody"]["content"][*t] = json!({"schema": reference});
            }
            o
        };
        paths[&collection] = json!({"get": operation("list"), "post": with_body("post", &["application/json"])});
        let mut patches = vec!["application/json-patch+json", "application/merge-patch+json"];
        if !k.custom {
            patches.push("application/strategic-merge-patch+json");
        }
        paths[format!("{collection}/{{name}}")] = json!({"get": operation("get"), "delete": operation("delete"),
            "put": with_body("put", &["application/json"]), "patch": with_body("patch", &patches)});
    }
    any.then(|| {
        json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": super::super::serve::VERSION},
            "paths": paths, "components": {"schemas": schemas}})
    })
}

fn parameters() -> Value {
    let query = |name: &str, text: &str| json!({"name": name, "in": "query", "description": text, "schema": {"type": "string", "uniqueItems": true}});
    json!([
        query("dryRun", "When All, nothing is stored."),
        query("fieldManager", "Accepted and ignored."),
        query("fieldValidation", "Ignore, Warn or Strict."),
    ])
}

/// Reversed group, version and kind, as the API server names CRD schemas.
fn schema_name(k: &Kind, v: &Version) -> String {
    if k.group.is_empty() {
        return format!("io.k8s.api.core.{}.{}", v.name, k.kind);
    }
    let reversed: Vec<&str> = k.group.split('.').rev().collect();
    format!("{}.{}.{}", reversed.join("."), v.name, k.kind)
}

/// What may be both says so, as the API server publishes it.
fn open_int_or_string(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(open_int_or_string);
            if fields.get("x-kubernetes-int-or-string") == Some(&json!(true)) && !fields.contains_key("anyOf") {
                fields.insert("anyOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(open_int_or_string),
        _ => {}
    }
}

fn published(v: &Version, gvk: &Value) -> Value {
    let mut out = v.published.clone();
    open_int_or_string(&mut out);
    out["type"] = json!("object");
    if !out["properties"].is_object() {
        out["properties"] = json!({});
    }
    out["properties"]["apiVersion"] =
        json!({"type": "string", "description": "Group and version of the schema this object is written in."});
    out["properties"]["kind"] = json!({"type": "string", "description": "The kind of the object."});
    out["properties"]["metadata"] = json!({"description": "Name, labels, owners and what the server keeps.",
        "allOf": [{"$ref": format!("#/components/schemas/{OBJECT_META}")}], "default": {}});
    out["x-kubernetes-group-version-kind"] = json!([gvk]);
    out
}

fn object_meta() -> Value {
    let text = |d: &str| json!({"type": "string", "description": d});
    let map = |d: &str| json!({"type": "object", "description": d, "additionalProperties": {"type": "string"}});
    json!({"type": "object", "description": "ObjectMeta is metadata that all stored objects have.", "properties": {
        "annotations": map("Notes of tools and people."),
        "creationTimestamp": {"type": "string", "format": "date-time", "description": "When the object was made."},
        "deletionGracePeriodSeconds": {"type": "integer", "format": "int64", "description": "Seconds until removal."},
        "deletionTimestamp": {"type": "string", "format": "date-time", "description": "When deletion was asked for."},
        "finalizers": {"type": "array", "description": "Who has to agree before it is removed.", "items": {"type": "string"},
            "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"},
        "generateName": text("Prefix of a name the server completes."),
        "generation": {"type": "integer", "format": "int64", "description": "Counts changes of the wanted state."},
        "labels": map("What selectors match."),
        "name": text("Unique in its namespace."),
        "namespace": text("The scope of the name."),
        "ownerReferences": {"type": "array", "description": "Objects this one goes away with.", "items": {"type": "object",
            "properties": {"apiVersion": text("Of the owner."), "kind": text("Of the owner."), "name": text("Of the owner."),
                "uid": text("Of the owner."), "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"}}},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
            "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "uid"},
        "resourceVersion": text("Changes with every write."),
        "uid": text("Unique in time and space."),
    }})
}
