//! What `metadata` may hold, in the words of the API server.

use serde_json::{Value, json};

use super::finalizers;
use crate::error::Cause;
use crate::kinds::Kind;
use crate::names::{NAME, is_subdomain, wrong_key, wrong_label_value};

/// Finalizers without a domain that Kubernetes itself sets.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// Everything that is wrong with the metadata of an object of this kind.
pub(super) fn check_metadata(object: &Value, kind: &Kind) -> Vec<Cause> {
    let mut causes = Vec::new();
    let m = &object["metadata"];
    if let Some(wrong) = wrong_name(m["name"].as_str().unwrap_or_default(), kind) {
        causes.push(Cause::invalid("metadata.name", &m["name"], wrong));
    }
    for (key, value) in m["labels"].as_object().into_iter().flatten() {
        if let Some(wrong) = wrong_key(key, "a valid label key") {
            causes.push(Cause::invalid("metadata.labels", &json!(key), wrong));
        }
        if let Some(wrong) = wrong_label_value(value.as_str().unwrap_or("\n")) {
            causes.push(Cause::invalid("metadata.labels", value, wrong));
        }
    }
    for (key, value) in m["annotations"].as_object().into_iter().flatten() {
        if let Some(wrong) = wrong_key(&key.to_lowercase(), "a valid annotation key") {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), wrong));
        }
        if !value.is_string() {
            causes.push(Cause::invalid("metadata.annotations", value, "must be a string"));
        }
    }
    owners(m, &mut causes);
    for (i, f) in finalizers(object).iter().enumerate() {
        if let Some(wrong) = wrong_key(f, "a valid finalizer") {
            causes.push(Cause::invalid("metadata.finalizers", &json!(f), wrong));
        } else if !kind.custom && !f.contains('/') && !STANDARD_FINALIZERS.contains(&f.as_str()) {
            let text = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid(format!("metadata.finalizers[{i}]"), &json!(f), text));
        }
    }
    causes
}

/// What a client is warned of: custom resources may have finalizers without a domain.
pub(super) fn warnings(object: &Value, kind: &Kind) -> Vec<String> {
    let bare =
        finalizers(object).into_iter().filter(|f| !f.contains('/') && !STANDARD_FINALIZERS.contains(&f.as_str()));
    let warn = |f: String| {
        format!(
            "metadata.finalizers: \"{f}\": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
        )
    };
    if kind.custom { bare.map(warn).collect() } else { Vec::new() }
}

fn owners(m: &Value, causes: &mut Vec<Cause>) {
    let owners: Vec<&Value> = m["ownerReferences"].as_array().into_iter().flatten().collect();
    for owner in &owners {
        for (field, text) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                causes.push(Cause::invalid(format!("metadata.ownerReferences.{field}"), &json!(""), text));
            }
        }
    }
    let controllers: Vec<String> = owners
        .iter()
        .filter(|o| o["controller"] == true)
        .map(|o| format!("{}/{}", o["kind"].as_str().unwrap_or_default(), o["name"].as_str().unwrap_or_default()))
        .collect();
    if let [first, second, ..] = controllers.as_slice() {
        let shown: Vec<String> = owners.iter().map(|o| in_order_of_fields(o)).collect();
        let text = format!(
            "Invalid value: [{}]: Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}",
            shown.join(",")
        );
        causes.push(Cause::new("FieldValueInvalid", "metadata.ownerReferences", text));
    }
}

/// A reference as the API server prints it.
fn in_order_of_fields(owner: &Value) -> String {
    let fields = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let given = fields.iter().filter(|f| !owner[**f].is_null());
    format!("{{{}}}", given.map(|f| format!("\"{f}\":{}", owner[*f])).collect::<Vec<_>>().join(","))
}

fn wrong_name(name: &str, kind: &Kind) -> Option<String> {
    // Names of RBAC objects are path segments: they may hold colons and capitals.
    if kind.group == "rbac.authorization.k8s.io" {
        let good = !matches!(name, "" | "." | "..") && !name.contains(['/', '%']);
        return (!good).then(|| "may not be '.' or '..' or contain '/' or '%'".to_owned());
    }
    if kind.kind == "Namespace" && !kind.custom && name.contains('.') {
        return Some("must not contain dots".to_owned());
    }
    (!is_subdomain(name)).then(|| NAME.to_owned())
}
