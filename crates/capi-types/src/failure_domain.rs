//! `status.failureDomains`: a list today, a map in objects stored by the Go provider ≤ v0.8.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// One MAAS zone as published to Cluster API.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureDomain {
    /// Name of the MAAS zone.
    pub name: String,
    /// Whether control-plane machines may be placed here.
    #[serde(rename = "controlPlane", default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<bool>,
    /// Free-form facts for people; we write none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// Reads both shapes, sorted by name. What fits neither is left out: the status is rewritten by us anyway.
pub(crate) fn list_or_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FailureDomain>, D::Error> {
    let entries: Vec<Value> = match Value::deserialize(deserializer)? {
        Value::Array(list) => list,
        Value::Object(map) => map
            .into_iter()
            .filter_map(|(name, value)| match value {
                Value::Object(mut fields) => {
                    fields.insert("name".into(), Value::String(name));
                    Some(Value::Object(fields))
                }
                Value::Null => Some(serde_json::json!({ "name": name })),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let mut domains: Vec<FailureDomain> =
        entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect();
    domains.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(domains)
}

/// Schema without a type. A typed list would make the API server refuse *every* write (even of a finalizer) to an object
/// whose stored status still holds the map; one schema has to let both shapes through. We always write the list.
pub(crate) fn either_shape(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}
