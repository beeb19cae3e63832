//! What the built-in kinds demand and fill in beyond their schemas: as much as somebody here relies on.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{NAMESPACES, deleting};
use crate::error::Cause;
use crate::kinds::Kind;

/// Namespaces that can't be deleted.
pub(super) const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Fills what the API server fills.
pub(super) fn settle(kind: &Kind, object: &mut Value) {
    match kind.kind.as_str() {
        "Secret" => settle_secret(object),
        "Namespace" => settle_namespace(object),
        "Node" => settle_node(object),
        "Event" => settle_event(kind, object),
        "Lease" => {
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.retain(|_, v| !v.is_null());
            }
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            let subjects = object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten();
            for subject in subjects.filter(|s| s["kind"] == "User" || s["kind"] == "Group") {
                if subject["apiGroup"].as_str().is_none_or(str::is_empty) {
                    subject["apiGroup"] = json!(kind.group);
                }
            }
        }
        "Pod" if object["status"]["phase"].is_null() => object["status"]["phase"] = json!("Pending"),
        _ => {}
    }
}

fn settle_secret(secret: &mut Value) {
    let Some(text) = secret.as_object_mut().and_then(|s| s.remove("stringData")) else {
        return;
    };
    for (name, v) in text.as_object().into_iter().flatten() {
        let bytes = v.as_str().unwrap_or_default();
        secret["data"][name] = json!(base64::engine::general_purpose::STANDARD.encode(bytes));
    }
}

pub(super) fn settle_namespace(ns: &mut Value) {
    if ns["spec"]["finalizers"].is_null() && !deleting(ns) {
        ns["spec"]["finalizers"] = json!(["kubernetes"]);
    }
    ns["metadata"]["labels"]["kubernetes.io/metadata.name"] = ns["metadata"]["name"].clone();
    ns["status"]["phase"] = json!(if deleting(ns) { "Terminating" } else { "Active" });
}

/// Adds absent fields to an object.
fn fill(object: &mut Map<String, Value>, fields: &[(&str, Value)]) {
    for (name, value) in fields {
        if !object.contains_key(*name) {
            object.insert((*name).to_owned(), value.clone());
        }
    }
}

/// Times are part of a condition in the types of the API server, given or not.
fn settle_node(node: &mut Value) {
    let conditions = node.get_mut("status").and_then(|s| s.get_mut("conditions")).and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        fill(condition, &[("lastHeartbeatTime", Value::Null), ("lastTransitionTime", Value::Null)]);
    }
}

fn settle_event(kind: &Kind, event: &mut Value) {
    let Some(fields) = event.as_object_mut() else { return };
    fill(fields, &[("eventTime", Value::Null)]);
    let core = kind.group.is_empty();
    fill(
        fields,
        &[
            (if core { "reportingComponent" } else { "reportingController" }, json!("")),
            ("reportingInstance", json!("")),
        ],
    );
}

/// What is wrong with an object, or with the change from `old`.
pub(super) fn check(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    match kind.kind.as_str() {
        "Secret" | "ConfigMap" => data(object, old, &mut causes),
        "Node" => node(object, old, &mut causes),
        "Lease" => lease(object, &mut causes),
        "Event" if kind.group.is_empty() => {
            let about = object["involvedObject"]["namespace"].as_str().unwrap_or_default();
            if !about.is_empty() && object["metadata"]["namespace"] != about {
                let shown = &object["involvedObject"]["namespace"];
                causes.push(Cause::invalid("involvedObject.namespace", shown, "does not match event.namespace"));
            }
        }
        "Role" | "ClusterRole" => {
            for (i, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
                if rule["verbs"].as_array().is_none_or(Vec::is_empty) {
                    let text = "Required value: verbs must contain at least one value";
                    causes.push(Cause::new("FieldValueRequired", format!("rules[{i}].verbs"), text));
                }
            }
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            let role = &object["roleRef"];
            if old.is_some_and(|old| old["roleRef"] != *role) {
                let text = format!(
                    "Invalid value: {{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}: cannot change roleRef",
                    role["apiGroup"], role["kind"], role["name"]
                );
                causes.push(Cause::new("FieldValueInvalid", "roleRef", text));
            }
        }
        "CustomResourceDefinition" => definition(object, old, &mut causes),
        _ => {}
    }
    causes
}

fn data(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    for field in ["data", "binaryData"] {
        for key in object[field].as_object().into_iter().flatten().map(|(key, _)| key) {
            let good = !key.is_empty()
                && key.len() <= 253
                && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            if !good {
                let text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                causes.push(Cause::invalid(format!("{field}[{key}]"), &json!(key), text));
            }
            if field == "data" && !object["binaryData"][key].is_null() {
                let text = "duplicate of key present in binaryData";
                causes.push(Cause::invalid(format!("data[{key}]"), &json!(key), text));
            }
        }
    }
    let Some(old) = old else { return };
    if object["type"] != old["type"] {
        causes.push(Cause::immutable("type", &object["type"]));
    }
    if old["immutable"] == true {
        let fixed = "field is immutable when `immutable` is set";
        if object["immutable"] != true {
            causes.push(Cause::forbidden("immutable", fixed));
        }
        for field in ["data", "binaryData"] {
            if object[field] != old[field] {
                causes.push(Cause::forbidden(field, fixed));
            }
        }
    }
}

fn node(node: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    for (i, taint) in node["spec"]["taints"].as_array().into_iter().flatten().enumerate() {
        if !matches!(taint["effect"].as_str(), Some("NoSchedule" | "PreferNoSchedule" | "NoExecute")) {
            let text = format!(
                "Unsupported value: {}: supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                taint["effect"]
            );
            causes.push(Cause::new("FieldValueNotSupported", format!("spec.taints[{i}].effect"), text));
        }
    }
    let id = |node: &Value| node["spec"]["providerID"].as_str().unwrap_or_default().to_owned();
    if let Some(old) = old.map(id)
        && !old.is_empty()
        && old != id(node)
    {
        let text = "node updates may not change providerID except from \"\" to valid";
        causes.push(Cause::forbidden("spec.providerID", text));
    }
}

fn lease(lease: &Value, causes: &mut Vec<Cause>) {
    for (field, least, text) in [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        let given = &lease["spec"][field];
        if given.as_i64().is_some_and(|n| n < least) {
            causes.push(Cause::invalid(format!("spec.{field}"), given, text));
        }
    }
}

fn definition(crd: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let Some(old) = old else { return };
    for path in ["/spec/group", "/spec/scope", "/spec/names/kind", "/spec/names/plural"] {
        let at = |crd: &Value| crd.pointer(path).cloned().unwrap_or_default();
        if at(crd) != at(old) {
            causes.push(Cause::immutable(path.trim_start_matches('/').replace('/', "."), &at(crd)));
        }
    }
}

/// Whether the whole collection can be deleted at once.
pub(crate) fn deletes_collections(kind: &Kind) -> bool {
    &*kind.id != NAMESPACES
}
