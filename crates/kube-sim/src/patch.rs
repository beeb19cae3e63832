//! Merge patch, JSON patch, and the part of strategic merge that core kinds need.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// The patch formats served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/merge-patch+json` (RFC 7386)
    Merge,
    /// `application/json-patch+json` (RFC 6902)
    Json,
    /// `application/strategic-merge-patch+json`, core kinds only
    Strategic,
}

/// Applies `patch` to a copy of `target`.
pub(crate) fn apply(format: Format, target: &Value, patch: &Value) -> Result<Value, ApiError> {
    let mut out = target.clone();
    match format {
        Format::Merge => merge(&mut out, patch),
        Format::Strategic => strategic(&mut out, patch, "")?,
        Format::Json => {
            let list = patch.as_array().ok_or_else(|| ApiError::bad_request("error decoding patch: not a list"))?;
            for operation in list {
                operate(&mut out, operation)?;
            }
        }
    }
    Ok(out)
}

/// One operation of RFC 6902, as the API server takes it: replacing a field that is not there adds it.
fn operate(target: &mut Value, operation: &Value) -> Result<(), ApiError> {
    // A failed `test` is how clients ask for compare-and-swap; this is all the API server says.
    let refused = || {
        let text = "the server rejected our request due to an error in our request";
        let mut e = ApiError::new(422, "Invalid", text);
        e.details = serde_json::json!({});
        e
    };
    let mut operation = operation.clone();
    let path = operation["path"].as_str().unwrap_or_default();
    if operation["op"] == "replace"
        && let Some((parent, _)) = path.rsplit_once('/')
        && target.pointer(parent).is_some_and(Value::is_object)
    {
        operation["op"] = Value::from("add");
    }
    let patch: json_patch::Patch = serde_json::from_value(Value::Array(vec![operation])).map_err(|_| refused())?;
    json_patch::patch(target, &patch).map_err(|_| refused())
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(into) = target else { return };
    for (name, value) in fields {
        if value.is_null() {
            into.remove(name);
        } else {
            merge(into.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The merge key of a list in the core kinds; lists not named here are replaced whole.
fn merge_key(path: &str) -> Option<&'static str> {
    Some(match path {
        "metadata.ownerReferences" => "uid",
        "status.conditions" => "type",
        "status.addresses" => "type",
        "spec.taints" => return None,
        "spec.containers" | "spec.initContainers" | "spec.volumes" | "spec.imagePullSecrets" | "secrets" => "name",
        "spec.containers.env" | "spec.initContainers.env" => "name",
        "spec.containers.ports" => "containerPort",
        "spec.containers.volumeMounts" => "mountPath",
        "spec.ports" => "port",
        _ => return None,
    })
}

/// Lists of plain values that strategic merge unites instead of replacing.
fn merges_as_set(path: &str) -> bool {
    matches!(path, "metadata.finalizers" | "spec.podCIDRs")
}

fn strategic(target: &mut Value, patch: &Value, path: &str) -> Result<(), ApiError> {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    match fields.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            *target = Value::Object(fields.iter().filter(|(k, _)| *k != "$patch").map(own).collect());
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) if other != "merge" => return Err(unknown_directive(other)),
        _ => {}
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(into) = target else {
        return Ok(());
    };
    for (name, value) in fields {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().cloned().unwrap_or_default();
            if let Some(Value::Array(items)) = into.get_mut(list) {
                items.retain(|i| !gone.contains(i));
            }
            continue;
        }
        // Read where their list is merged.
        if name.starts_with("$setElementOrder/") || name == "$patch" {
            continue;
        }
        if name == "$retainKeys" {
            let keep: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            into.retain(|k, _| keep.contains(&k.as_str()));
            continue;
        }
        if name.starts_with('$') {
            return Err(unknown_directive(name));
        }
        let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Null => {
                into.remove(name);
            }
            Value::Object(_) => strategic(into.entry(name.clone()).or_insert(Value::Null), value, &here)?,
            Value::Array(items) if merge_key(&here).is_some() => {
                let key = merge_key(&here).unwrap_or_default();
                let slot = into.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                let before = slot.clone();
                merge_list(slot, items, key, &here)?;
                let order = fields.get(&format!("$setElementOrder/{name}")).unwrap_or(value);
                reorder(slot, order, &before, |item| item[key].clone());
            }
            Value::Array(items) if merges_as_set(&here) => {
                let slot = into.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                let before = slot.clone();
                if let Value::Array(have) = slot {
                    for item in items {
                        if !have.contains(item) {
                            have.push(item.clone());
                        }
                    }
                }
                let order = fields.get(&format!("$setElementOrder/{name}")).unwrap_or(value);
                reorder(slot, order, &before, Value::clone);
            }
            other => {
                into.insert(name.clone(), other.clone());
            }
        }
    }
    Ok(())
}

/// Puts a merged list in the order of the API server: that of the patch, and between its items what only the server had,
/// as far as the old list says which of two came first.
fn reorder(merged: &mut Value, order: &Value, before: &Value, id: impl Fn(&Value) -> Value) {
    let Value::Array(items) = merged else { return };
    let ids = |list: &Value| -> Vec<Value> { list.as_array().into_iter().flatten().map(&id).collect() };
    let (order, before) = (ids(order), ids(before));
    let place = |list: &[Value], item: &Value| list.iter().position(|have| *have == id(item));
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(items).into_iter().partition(|item| place(&order, item).is_some());
    named.sort_by_key(|item| place(&order, item));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(left), Some(right)) = (named.peek(), others.peek()) {
        let right_first = match (place(&before, left), place(&before, right)) {
            (Some(l), Some(r)) => r < l,
            _ => false,
        };
        items.extend(if right_first { others.next() } else { named.next() });
    }
    items.extend(named);
    items.extend(others);
}

fn merge_list(slot: &mut Value, items: &[Value], key: &str, path: &str) -> Result<(), ApiError> {
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    let Value::Array(have) = slot else {
        return Ok(());
    };
    if items.iter().any(|i| i["$patch"] == "replace") {
        *have = items.iter().filter(|i| i["$patch"] != "replace").cloned().collect();
        return Ok(());
    }
    for item in items {
        let id = &item[key];
        if id.is_null() {
            return Err(ApiError::bad_request(format!("map: {item} does not contain declared merge key: {key}")));
        }
        if item["$patch"] == "delete" {
            have.retain(|h| h[key] != *id);
        } else if let Some(old) = have.iter_mut().find(|h| h[key] == *id) {
            strategic(old, item, path)?;
        } else {
            have.push(item.clone());
        }
    }
    Ok(())
}

fn own((k, v): (&String, &Value)) -> (String, Value) {
    (k.clone(), v.clone())
}

fn unknown_directive(name: &str) -> ApiError {
    ApiError::internal(format!("unknown strategic merge patch directive {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patches_of_each_format_do_what_their_standard_says() {
        let base = json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x"]},
            "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "r"}, {"type": "Disk", "status": "True"}]}});
        for (format, patch, pointer, want) in [
            (
                Format::Merge,
                json!({"metadata": {"labels": {"a": null, "b": "2"}}}),
                "/metadata/labels",
                json!({"b": "2"}),
            ),
            (Format::Merge, json!({"metadata": {"finalizers": ["y"]}}), "/metadata/finalizers", json!(["y"])),
            (
                Format::Json,
                json!([{"op": "test", "path": "/metadata/labels/a", "value": "1"}, {"op": "remove", "path": "/metadata/labels/a"}]),
                "/metadata/labels",
                json!({}),
            ),
            (Format::Strategic, json!({"metadata": {"finalizers": ["y"]}}), "/metadata/finalizers", json!(["y", "x"])),
            (
                Format::Strategic,
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}),
                "/metadata/finalizers",
                json!([]),
            ),
            (
                Format::Strategic,
                json!({"status": {"$setElementOrder/conditions": [{"type": "Ready"}],
                    "conditions": [{"type": "Ready", "status": "True"}, {"type": "Disk", "$patch": "delete"}]}}),
                "/status/conditions",
                json!([{"type": "Ready", "status": "True", "reason": "r"}]),
            ),
        ] {
            let got = apply(format, &base, &patch).unwrap();
            assert_eq!(got.pointer(pointer), Some(&want), "{format:?} {patch}");
        }
    }

    #[test]
    fn a_failed_json_patch_test_is_422_and_a_malformed_patch_400() {
        let base = json!({"a": 1});
        let code = |p| apply(Format::Json, &base, &p).map_err(|e| e.code);
        assert_eq!(code(json!([{"op": "test", "path": "/a", "value": 2}])), Err(422));
        assert_eq!(code(json!({"op": "test"})), Err(400));
        assert_eq!(apply(Format::Strategic, &base, &json!({"$odd": 1})).map_err(|e| e.code), Err(500));
    }
}
