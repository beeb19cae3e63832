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
            let ops: json_patch::Patch = serde_json::from_value(patch.clone())
                .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
            // A failed `test` is how clients ask for compare-and-swap; Kubernetes answers 422.
            json_patch::patch(&mut out, &ops).map_err(|e| {
                ApiError::new(
                    422,
                    "Invalid",
                    format!("the server rejected our request due to an error in our request: {e}"),
                )
            })?;
        }
    }
    Ok(out)
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
        // Order hints of kubectl: order is not part of any list's meaning here.
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
                merge_list(slot, items, key, &here)?;
            }
            Value::Array(items) if merges_as_set(&here) => {
                let slot = into.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(have) = slot {
                    for item in items {
                        if !have.contains(item) {
                            have.push(item.clone());
                        }
                    }
                }
            }
            other => {
                into.insert(name.clone(), other.clone());
            }
        }
    }
    Ok(())
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
    ApiError::bad_request(format!("unknown strategic merge patch directive {name:?}"))
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
            (Format::Strategic, json!({"metadata": {"finalizers": ["y"]}}), "/metadata/finalizers", json!(["x", "y"])),
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
        assert_eq!(apply(Format::Strategic, &base, &json!({"$odd": 1})).map_err(|e| e.code), Err(400));
    }
}
