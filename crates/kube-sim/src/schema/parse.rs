//! OpenAPI JSON to [`Schema`], with the structural rules that matter to users of CRDs.

use std::sync::Arc;

use serde_json::Value;

use super::{Limits, ListType, Rules, Schema, Type};
use crate::error::Cause;

impl Schema {
    /// Reads a schema; what is wrong with it is told by path below `at`.
    pub(crate) fn parse(json: &Value, at: &str) -> Result<Self, Vec<Cause>> {
        let mut causes = Vec::new();
        let schema = node(json, at, Place::Structural, &mut causes);
        if causes.is_empty() { Ok(schema) } else { Err(causes) }
    }
}

/// Inside `allOf` and friends only value checks are allowed, types are not needed.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Structural,
    Junction,
}

fn node(json: &Value, at: &str, place: Place, causes: &mut Vec<Cause>) -> Schema {
    let flag = |name: &str| json[name].as_bool().unwrap_or(false);
    let mut out = Schema {
        nullable: flag("nullable"),
        int_or_string: flag("x-kubernetes-int-or-string"),
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        default: json.get("default").cloned(),
        ..Schema::default()
    };
    out.kind = match json["type"].as_str() {
        Some("object") => Some(Type::Object),
        Some("array") => Some(Type::Array),
        Some("string") => Some(Type::String),
        Some("integer") => Some(Type::Integer),
        Some("number") => Some(Type::Number),
        Some("boolean") => Some(Type::Boolean),
        Some(other) => {
            causes.push(Cause::new(
                "FieldValueNotSupported",
                format!("{at}.type"),
                format!("Unsupported value: \"{other}\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\""),
            ));
            None
        }
        None => {
            if place == Place::Structural && !out.int_or_string && !out.preserve_unknown {
                causes.push(Cause::new(
                    "FieldValueRequired",
                    format!("{at}.type"),
                    "Required value: must not be empty for specified object fields",
                ));
            }
            None
        }
    };
    if json.get("$ref").is_some() {
        causes.push(Cause::forbidden(format!("{at}.$ref"), "$ref is not supported"));
    }
    if json.get("properties").is_some_and(|p| !p.is_object()) {
        causes.push(Cause::invalid(format!("{at}.properties"), &json["properties"], "must be an object"));
    }
    if let Some(props) = json["properties"].as_object() {
        if json["additionalProperties"].is_object() || flag("additionalProperties") {
            causes.push(Cause::forbidden(
                format!("{at}.additionalProperties"),
                "additionalProperties and properties are mutual exclusive",
            ));
        }
        for (name, p) in props {
            out.properties.insert(name.clone(), node(p, &format!("{at}.properties[{name}]"), place, causes));
        }
    } else if json["additionalProperties"].is_object() {
        let child = node(&json["additionalProperties"], &format!("{at}.additionalProperties"), place, causes);
        out.additional = Some(Box::new(child));
    } else if flag("additionalProperties") {
        out.preserve_unknown = true;
    }
    if json["items"].is_object() {
        out.items = Some(Box::new(node(&json["items"], &format!("{at}.items"), place, causes)));
    } else if out.kind == Some(Type::Array) && place == Place::Structural {
        causes.push(Cause::new("FieldValueRequired", format!("{at}.items"), "Required value: must be specified"));
    }
    out.list = match json["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(ListType::Set),
        Some("map") => {
            let keys = strings(&json["x-kubernetes-list-map-keys"]);
            if keys.is_empty() {
                causes.push(Cause::new(
                    "FieldValueRequired",
                    format!("{at}.x-kubernetes-list-map-keys"),
                    "Required value: must not be empty if x-kubernetes-list-type is map",
                ));
            }
            Some(ListType::Map(keys))
        }
        Some(_) => Some(ListType::Atomic),
        None => None,
    };
    for (name, into) in [("allOf", &mut out.all_of), ("anyOf", &mut out.any_of), ("oneOf", &mut out.one_of)] {
        for (i, branch) in json[name].as_array().into_iter().flatten().enumerate() {
            into.push(node(branch, &format!("{at}.{name}[{i}]"), Place::Junction, causes));
        }
    }
    if json["not"].is_object() {
        out.not = Some(Box::new(node(&json["not"], &format!("{at}.not"), Place::Junction, causes)));
    }
    out.limits = limits(json, at, causes);
    if json["x-kubernetes-validations"].as_array().is_some_and(|a| !a.is_empty()) {
        match Rules::compile(json) {
            Ok(rules) => out.rules = Some(Arc::new(rules)),
            Err(errors) => causes.extend(errors.into_iter().map(|(i, e)| {
                let text = format!("Invalid value: {e}");
                Cause::new("FieldValueInvalid", format!("{at}.x-kubernetes-validations[{i}].rule"), text)
            })),
        }
    }
    out
}

fn limits(json: &Value, at: &str, causes: &mut Vec<Cause>) -> Limits {
    let size = |name: &str| json[name].as_f64().map(|n| n.max(0.0) as u64);
    let pattern = json["pattern"].as_str().and_then(|p| match regex::Regex::new(p) {
        Ok(r) => Some(r),
        Err(e) => {
            let text = format!("Invalid value: \"{p}\": must be a valid regular expression, but isn't: {e}");
            causes.push(Cause::new("FieldValueInvalid", format!("{at}.pattern"), text));
            None
        }
    });
    Limits {
        required: strings(&json["required"]),
        choices: json["enum"].as_array().cloned(),
        minimum: json["minimum"].as_f64(),
        maximum: json["maximum"].as_f64(),
        exclusive_minimum: json["exclusiveMinimum"].as_bool().unwrap_or(false),
        exclusive_maximum: json["exclusiveMaximum"].as_bool().unwrap_or(false),
        multiple_of: json["multipleOf"].as_f64(),
        min_length: size("minLength"),
        max_length: size("maxLength"),
        pattern,
        format: json["format"].as_str().map(str::to_owned),
        min_items: size("minItems"),
        max_items: size("maxItems"),
        unique_items: json["uniqueItems"].as_bool().unwrap_or(false),
        min_properties: size("minProperties"),
        max_properties: size("maxProperties"),
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
