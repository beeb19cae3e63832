//! CEL rules (`x-kubernetes-validations`) of one schema node.

use std::fmt;

use kube_cel::{CompiledSchema, ErrorKind, compile_schema, validate_compiled};
use serde_json::{Map, Value};

use super::Type;
use crate::error::Cause;

/// The compiled rules of one node, without those of the nodes below it.
pub(crate) struct Rules {
    compiled: CompiledSchema,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("count", &self.compiled.validations.len()).finish()
    }
}

impl Rules {
    /// Compiles the rules of `node`; errors carry the index of their rule.
    pub(crate) fn compile(node: &Value) -> Result<Self, Vec<(usize, String)>> {
        // Our own walk visits every node (it matches list items with their old selves by key, the engine's walk by
        // index), so the engine gets one node's rules at a time.
        let mut alone = node.clone();
        if let Some(fields) = alone.as_object_mut() {
            fields.values_mut().for_each(strip_rules);
            fields.remove("default");
        }
        let compiled = compile_schema(&alone);
        let errors: Vec<(usize, String)> = compiled
            .validations
            .iter()
            .enumerate()
            .filter_map(|(i, r)| r.as_ref().err().map(|e| (i, format!("compilation failed: {e}"))))
            .collect();
        if errors.is_empty() { Ok(Self { compiled }) } else { Err(errors) }
    }

    /// Evaluates the rules on a value; transition rules only when there is an old one.
    pub(crate) fn check(
        &self,
        kind: Option<Type>,
        value: &Value,
        old: Option<&Value>,
        path: &str,
        out: &mut Vec<Cause>,
    ) {
        let Err(errors) = validate_compiled(&self.compiled, value, old) else {
            return;
        };
        for e in errors.into_vec() {
            let below = e.field_path.trim_start_matches('.');
            let field = match (path, below) {
                ("", "") => "<nil>".to_owned(),
                (p, "") => p.to_owned(),
                ("", b) => b.to_owned(),
                (p, b) => format!("{p}.{b}"),
            };
            out.push(match (&e.kind, e.reason.as_deref()) {
                (ErrorKind::ValidationFailure, Some("FieldValueForbidden")) => Cause::forbidden(field, &e.message),
                (ErrorKind::ValidationFailure, Some("FieldValueRequired")) => {
                    Cause::new("FieldValueRequired", field, format!("Required value: {}", e.message))
                }
                (ErrorKind::ValidationFailure, Some("FieldValueDuplicate")) => {
                    let text = format!("Duplicate value: \"{}\"", type_name(kind));
                    Cause::new("FieldValueDuplicate", field, text)
                }
                // A rule with a fieldPath shows nothing: the value is not the field's.
                _ if !below.is_empty() || value.is_object() || value.is_array() => Cause::hidden(field, &e.message),
                _ => Cause::invalid(field, value, &e.message),
            });
        }
    }
}

fn type_name(kind: Option<Type>) -> &'static str {
    match kind {
        Some(Type::Array) => "array",
        Some(Type::String) => "string",
        Some(Type::Integer) => "integer",
        Some(Type::Number) => "number",
        Some(Type::Boolean) => "boolean",
        Some(Type::Object) | None => "object",
    }
}

/// Removes rules and defaults below a node, which keeps only what types the values.
fn strip_rules(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            strip_here(fields);
            fields.values_mut().for_each(strip_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_rules),
        _ => {}
    }
}

fn strip_here(fields: &mut Map<String, Value>) {
    // A property may itself be called "default": only drop what is not a schema of a property.
    if fields.get("x-kubernetes-validations").is_some_and(Value::is_array) {
        fields.remove("x-kubernetes-validations");
    }
    if fields.contains_key("type") && fields.get("type").is_some_and(Value::is_string) {
        fields.remove("default");
    }
}
