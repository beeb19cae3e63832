//! Structural schemas: what a stored object may hold.
//!
//! A [`Schema`] is read once from the OpenAPI JSON of a CRD (or of a built-in kind) and then walked three times per
//! write: [`Schema::prune`] drops or names unknown fields, [`Schema::fill`] sets defaults, [`check_shape`] validates, and then
//! [`check_rules`] asks the CEL rules unless what was found [`blocks_rules`].

mod check;
mod parse;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

pub(crate) use check::{blocks_rules, check_rules, check_shape};
pub(crate) use rules::Rules;

use crate::error::Cause;

/// JSON type of a schema node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// How a list's items are told apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListType {
    Atomic,
    Set,
    Map(Vec<String>),
}

/// One node of a structural schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    pub(crate) kind: Option<Type>,
    pub(crate) nullable: bool,
    pub(crate) int_or_string: bool,
    pub(crate) preserve_unknown: bool,
    pub(crate) embedded: bool,
    pub(crate) properties: BTreeMap<String, Schema>,
    pub(crate) additional: Option<Box<Schema>>,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) default: Option<Value>,
    pub(crate) list: Option<ListType>,
    pub(crate) limits: Limits,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
    pub(crate) rules: Option<Arc<Rules>>,
}

/// The value checks of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) required: Vec<String>,
    pub(crate) choices: Option<Vec<Value>>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) pattern: Option<regex::Regex>,
    pub(crate) format: Option<String>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
}

impl Schema {
    /// Whether there are CEL rules anywhere in it.
    pub(crate) fn has_rules(&self) -> bool {
        let below = self.properties.values().chain(self.additional.as_deref()).chain(self.items.as_deref());
        self.rules.is_some() || below.into_iter().any(Schema::has_rules)
    }

    /// Defaults have to fit their own schemas; what does not is told by path below `at`.
    pub(crate) fn check_defaults(&self, at: &str, causes: &mut Vec<Cause>) {
        if let Some(default) = &self.default {
            let mut filled = default.clone();
            self.fill(&mut filled);
            for wrong in check_shape(self, &filled, None) {
                causes.push(Cause { field: format!("{at}.default"), ..wrong });
            }
        }
        for (name, child) in &self.properties {
            child.check_defaults(&format!("{at}.properties[{name}]"), causes);
        }
        if let Some(child) = &self.items {
            child.check_defaults(&format!("{at}.items"), causes);
        }
        if let Some(child) = &self.additional {
            child.check_defaults(&format!("{at}.additionalProperties"), causes);
        }
    }

    /// Removes what the schema does not know; returns the paths removed, in document order.
    pub(crate) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        self.prune_at(object, "", true, &mut unknown);
        unknown
    }

    fn prune_at(&self, value: &mut Value, path: &str, root: bool, unknown: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                let meta = root || self.embedded;
                let names: Vec<String> = fields.keys().cloned().collect();
                for name in names {
                    let here = join(path, &name);
                    if meta && (name == "apiVersion" || name == "kind") {
                        continue;
                    }
                    if meta && name == "metadata" {
                        if let Some(m) = fields.get_mut(&name) {
                            prune_metadata(m, &here, unknown);
                        }
                        continue;
                    }
                    let child = self.properties.get(&name).or(self.additional.as_deref());
                    match (child, fields.get_mut(&name)) {
                        (Some(child), Some(v)) => child.prune_at(v, &here, false, unknown),
                        _ if self.preserve_unknown => {}
                        _ => {
                            fields.remove(&name);
                            unknown.push(here);
                        }
                    }
                }
            }
            Value::Array(items) => {
                if let Some(child) = &self.items {
                    for (i, item) in items.iter_mut().enumerate() {
                        child.prune_at(item, &format!("{path}[{i}]"), false, unknown);
                    }
                }
            }
            _ => {}
        }
    }

    /// Sets defaults where a field is absent, or null without being nullable.
    pub(crate) fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, child) in &self.properties {
                    if let Some(default) = &child.default {
                        let missing = match fields.get(name) {
                            None => true,
                            Some(v) => v.is_null() && !child.nullable,
                        };
                        if missing {
                            fields.insert(name.clone(), default.clone());
                        }
                    } else if fields.get(name).is_some_and(Value::is_null) && !child.nullable && child.kind.is_some() {
                        // The API server drops nulls that the schema forbids, as pruning does.
                        fields.remove(name);
                    }
                    if let Some(v) = fields.get_mut(name) {
                        child.fill(v);
                    }
                }
                if let Some(child) = &self.additional {
                    fields
                        .iter_mut()
                        .filter(|(n, _)| !self.properties.contains_key(*n))
                        .for_each(|(_, v)| child.fill(v));
                }
            }
            Value::Array(items) => {
                if let Some(child) = &self.items {
                    items.iter_mut().for_each(|v| child.fill(v));
                }
            }
            _ => {}
        }
    }
}

/// Fields of ObjectMeta; anything else in `metadata` is unknown.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

const OWNER: [&str; 6] = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];

fn prune_metadata(meta: &mut Value, path: &str, unknown: &mut Vec<String>) {
    let Value::Object(fields) = meta else { return };
    retain(fields, &METADATA, path, unknown);
    fields.retain(|_, v| !v.is_null());
    if let Some(Value::Array(owners)) = fields.get_mut("ownerReferences") {
        for (i, owner) in owners.iter_mut().enumerate() {
            if let Value::Object(o) = owner {
                retain(o, &OWNER, &format!("{path}.ownerReferences[{i}]"), unknown);
            }
        }
    }
}

fn retain(fields: &mut Map<String, Value>, known: &[&str], path: &str, unknown: &mut Vec<String>) {
    fields.retain(|name, _| {
        let keep = known.contains(&name.as_str());
        if !keep {
            unknown.push(join(path, name));
        }
        keep
    });
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
