//! Validation of values, in the words of the API server.

use serde_json::Value;

use super::{ListType, Schema, Type, join};
use crate::error::{Cause, show};

/// Checks the shape of `value` against `schema`, all but its rules. A part equal to its old self is not judged again (ratcheting, as Kubernetes 1.33 does),
/// so tightening a CRD does not block unrelated writes.
pub(crate) fn check_shape(schema: &Schema, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut out = Vec::new();
    walk(schema, value, old, "", &mut out);
    out
}

/// Asks the CEL rules.
pub(crate) fn check_rules(schema: &Schema, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut out = Vec::new();
    rules(schema, value, old, "", &mut out);
    out
}

/// Whether the API server asks no rules after it has found this: rules must be able to trust the shape.
pub(crate) fn blocks_rules(causes: &[Cause]) -> bool {
    let blocking = [
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    ];
    causes.iter().any(|c| blocking.contains(&c.reason))
}

fn walk(schema: &Schema, value: &Value, old: Option<&Value>, path: &str, out: &mut Vec<Cause>) {
    if old == Some(value) {
        return;
    }
    if value.is_null() && schema.nullable {
        return;
    }
    let before = out.len();
    types(schema, value, path, out);
    if out.len() > before {
        return;
    }
    limits(schema, value, path, out);
    match value {
        Value::Object(fields) => {
            for (name, v) in fields {
                if path.is_empty() && matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
                    continue;
                }
                if let Some(child) = schema.properties.get(name) {
                    walk(child, v, old.and_then(|o| o.get(name)), &join(path, name), out);
                } else if let Some(child) = &schema.additional {
                    walk(child, v, old.and_then(|o| o.get(name)), &join(path, name), out);
                }
            }
        }
        Value::Array(items) => {
            if let Some(child) = &schema.items {
                for (i, v) in items.iter().enumerate() {
                    walk(child, v, old_item(schema, v, i, old), &format!("{path}[{i}]"), out);
                }
            }
        }
        _ => {}
    }
    junctions(schema, value, path, out);
}

/// The old self of a list item: by key in map lists, by value in sets, else none.
fn old_item<'a>(schema: &Schema, item: &Value, index: usize, old: Option<&'a Value>) -> Option<&'a Value> {
    let list = old?.as_array()?;
    match &schema.list {
        Some(ListType::Map(keys)) => list.iter().find(|o| keys.iter().all(|k| o.get(k) == item.get(k))),
        Some(ListType::Set) => list.iter().find(|o| *o == item),
        _ => list.get(index).filter(|o| *o == item),
    }
}

fn types(schema: &Schema, value: &Value, path: &str, out: &mut Vec<Cause>) {
    if schema.int_or_string {
        if !(value.is_string() || value.is_i64() || value.is_u64()) {
            out.push(wrong_type(path, "integer,string", value));
        }
        return;
    }
    let (ok, name) = match schema.kind {
        None => return,
        Some(Type::Object) => (value.is_object(), "object"),
        Some(Type::Array) => (value.is_array(), "array"),
        Some(Type::String) => (value.is_string(), "string"),
        Some(Type::Boolean) => (value.is_boolean(), "boolean"),
        Some(Type::Number) => (value.is_number(), "number"),
        Some(Type::Integer) => (is_integer(value), "integer"),
    };
    match schema.limits.format.as_deref().filter(|f| *f == "int32" || *f == "int64") {
        // Go's types have their say before the schema has.
        Some(format) if schema.kind == Some(Type::Integer) && value.is_f64() => {
            let text = format!("Invalid value: \"float64\": {path} in body must be of type {format}: \"float64\"");
            out.push(Cause::new("FieldValueTypeInvalid", at(path), text));
            out.push(unfit(path, format));
        }
        _ if !ok => out.push(wrong_type(path, name, value)),
        _ => {}
    }
}

/// A number that its format cannot hold.
fn unfit(path: &str, format: &str) -> Cause {
    let text = format!("Checked value must be of type integer with format {format} in {path}");
    Cause::invalid("<nil>", &Value::from(""), text)
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0)
}

fn wrong_type(path: &str, wanted: &str, value: &Value) -> Cause {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Cause::new(
        "FieldValueTypeInvalid",
        at(path),
        format!("Invalid value: \"{found}\": {} in body must be of type {wanted}: \"{found}\"", said(path)),
    )
}

/// A path as messages have it: without what the walk passed first when it began at `status`.
fn said(path: &str) -> &str {
    path.strip_prefix("status.").unwrap_or(path)
}

fn at(path: &str) -> String {
    if path.is_empty() { "<nil>".to_owned() } else { path.to_owned() }
}

fn limits(schema: &Schema, value: &Value, path: &str, out: &mut Vec<Cause>) {
    let l = &schema.limits;
    if l.format.as_deref() == Some("int32") && value.as_i64().is_some_and(|n| i32::try_from(n).is_err()) {
        out.push(unfit(path, "int32"));
    }
    let mut bad = |detail: String| out.push(Cause::invalid(at(path), value, format!("{path} in body {detail}")));
    if let Some(n) = value.as_f64().filter(|_| value.is_number()) {
        if let Some(min) = l.minimum {
            if l.exclusive_minimum && n <= min {
                bad(format!("should be greater than {min}"));
            } else if n < min {
                bad(format!("should be greater than or equal to {min}"));
            }
        }
        if let Some(max) = l.maximum {
            if l.exclusive_maximum && n >= max {
                bad(format!("should be less than {max}"));
            } else if n > max {
                bad(format!("should be less than or equal to {max}"));
            }
        }
        if let Some(m) = l.multiple_of.filter(|m| *m != 0.0)
            && (n / m).fract() != 0.0
        {
            bad(format!("should be a multiple of {m}"));
        }
    }
    if let Some(s) = value.as_str() {
        let chars = s.chars().count() as u64;
        if l.min_length.is_some_and(|m| chars < m) {
            bad(format!("should be at least {} chars long", l.min_length.unwrap_or_default()));
        }
        if let Some(p) = l.pattern.as_ref().filter(|p| !p.is_match(s)) {
            bad(format!("should match '{p}'"));
        }
        if let Some(f) = l.format.as_deref().filter(|f| !format_ok(f, s)) {
            let text = format!("Invalid value: {0}: {1} in body must be of type {f}: {0}", show(value), said(path));
            out.push(Cause::new("FieldValueTypeInvalid", at(path), text));
        }
        if let Some(max) = l.max_length.filter(|m| chars > *m) {
            out.push(Cause::new("FieldValueTooLong", at(path), format!("Too long: may not be more than {max} bytes")));
        }
    }
    if let Some(choices) = &l.choices
        && !choices.contains(value)
    {
        let list: Vec<String> = choices.iter().map(show).collect();
        let text = format!("Unsupported value: {}: supported values: {}", show(value), list.join(", "));
        out.push(Cause::new("FieldValueNotSupported", at(path), text));
    }
    if let Some(items) = value.as_array() {
        lists(schema, items, value, path, out);
    }
    if let Some(fields) = value.as_object() {
        for name in &l.required {
            let always_there = path.is_empty() && name == "metadata";
            if !always_there && !fields.contains_key(name) {
                out.push(Cause::required(join(path, name)));
            }
        }
        let n = fields.len() as u64;
        if let Some(min) = l.min_properties.filter(|m| n < *m) {
            out.push(Cause::invalid(at(path), value, format!("{path} in body should have at least {min} properties")));
        }
        if let Some(max) = l.max_properties.filter(|m| n > *m) {
            let text = format!("Too many: {n}: must have at most {max} items");
            out.push(Cause::new("FieldValueTooMany", at(path), text));
        }
    }
}

fn lists(schema: &Schema, items: &[Value], value: &Value, path: &str, out: &mut Vec<Cause>) {
    let l = &schema.limits;
    let n = items.len() as u64;
    if let Some(min) = l.min_items.filter(|m| n < *m) {
        out.push(Cause::invalid(at(path), value, format!("{path} in body should have at least {min} items")));
    }
    if let Some(max) = l.max_items.filter(|m| n > *m) {
        let text = format!("Too many: {n}: must have at most {max} items");
        out.push(Cause::new("FieldValueTooMany", at(path), text));
    }
    let id = |v: &Value| match &schema.list {
        Some(ListType::Map(keys)) => {
            Value::Object(keys.iter().filter_map(|k| v.get(k).map(|x| (k.clone(), x.clone()))).collect())
        }
        _ => v.clone(),
    };
    if matches!(schema.list, Some(ListType::Map(_) | ListType::Set)) || l.unique_items {
        let ids: Vec<Value> = items.iter().map(id).collect();
        for (i, one) in ids.iter().enumerate() {
            if ids[..i].contains(one) {
                let text = format!("Duplicate value: {}", show(one));
                out.push(Cause::new("FieldValueDuplicate", format!("{path}[{i}]"), text));
            }
        }
    }
}

fn junctions(schema: &Schema, value: &Value, path: &str, out: &mut Vec<Cause>) {
    let passes = |s: &Schema| {
        let mut errors = Vec::new();
        walk(s, value, None, path, &mut errors);
        errors.is_empty()
    };
    for s in &schema.all_of {
        walk(s, value, None, path, out);
    }
    if !schema.any_of.is_empty() && !schema.any_of.iter().any(passes) {
        out.push(Cause::invalid(at(path), value, format!("{path} in body must validate at least one schema (anyOf)")));
    }
    if !schema.one_of.is_empty() {
        let only = |found: &str| {
            let text = format!("\"{path}\" must validate one and only one schema (oneOf). Found {found}");
            Cause::invalid("<nil>", &Value::from(""), text)
        };
        match schema.one_of.iter().filter(|s| passes(s)).count() {
            1 => {}
            0 => {
                out.push(only("none valid"));
                // And what the first one lacks, as a hint.
                walk(&schema.one_of[0], value, None, path, out);
            }
            n => out.push(only(&format!("{n} valid alternatives"))),
        }
    }
    if let Some(not) = &schema.not
        && passes(not)
    {
        out.push(Cause::invalid(at(path), value, format!("{path} in body must not validate the schema (not)")));
    }
}

/// Formats the API server knows; unknown ones are ignored there and here.
fn format_ok(format: &str, s: &str) -> bool {
    match format {
        "date-time" | "datetime" => s.parse::<jiff::Timestamp>().is_ok(),
        // One of the API server's own types, not of CRDs.
        "micro-time" => {
            let digits = s.strip_suffix('Z').and_then(|s| s.rsplit_once('.')).map(|(_, digits)| digits.len());
            digits == Some(6) && s.parse::<jiff::Timestamp>().is_ok()
        }
        "date" => s.len() == 10 && s.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => s.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => s.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => s.split_once('/').is_some_and(|(ip, len)| {
            let bits = match ip.parse::<std::net::IpAddr>() {
                Ok(std::net::IpAddr::V4(_)) => 32,
                Ok(std::net::IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            len.parse::<u8>().is_ok_and(|n| n <= bits)
        }),
        "byte" => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(s).is_ok()
        }
        "uuid" => {
            let parts: Vec<&str> = s.split('-').collect();
            parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12])
                && parts.iter().all(|p| p.bytes().all(|b| b.is_ascii_hexdigit()))
        }
        "hostname" => {
            !s.is_empty() && s.len() <= 253 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        }
        _ => true,
    }
}

fn rules(schema: &Schema, value: &Value, old: Option<&Value>, path: &str, out: &mut Vec<Cause>) {
    if value.is_null() || old == Some(value) {
        return;
    }
    if let Some(r) = &schema.rules {
        r.check(schema.kind, value, old.filter(|o| !o.is_null()), path, out);
    }
    match value {
        Value::Object(fields) => {
            for (name, v) in fields {
                let child = schema.properties.get(name).or(schema.additional.as_deref());
                if let Some(child) = child {
                    rules(child, v, old.and_then(|o| o.get(name)), &join(path, name), out);
                }
            }
        }
        Value::Array(items) => {
            if let Some(child) = &schema.items {
                for (i, v) in items.iter().enumerate() {
                    rules(child, v, old_item(schema, v, i, old), &format!("{path}[{i}]"), out);
                }
            }
        }
        _ => {}
    }
}
