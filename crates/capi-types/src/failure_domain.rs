//! `status.failureDomains`: a list today, a map in objects stored by the Go provider ≤ v0.8.

use std::collections::BTreeMap;
use std::ops::Deref;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
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

/// `status.failureDomains`: sorted by name, and written as a list.
///
/// It is read whatever its shape; what fits neither is left out. What was read in another form than we write serialises as it was
/// read, so that it differs from what should stand and is written anew with the next status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailureDomains {
    list: Vec<FailureDomain>,
    /// What was read, unless it is the list as we write it.
    odd: Option<Value>,
}

impl FailureDomains {
    /// The same domains as we write them.
    #[must_use]
    pub fn as_list(&self) -> Self {
        Self { list: self.list.clone(), odd: None }
    }

    /// Nothing is stored.
    pub(crate) fn is_absent(&self) -> bool {
        self.list.is_empty() && self.odd.is_none()
    }
}

impl From<Vec<FailureDomain>> for FailureDomains {
    fn from(mut list: Vec<FailureDomain>) -> Self {
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list.dedup_by(|a, b| a.name == b.name);
        Self { list, odd: None }
    }
}

impl Deref for FailureDomains {
    type Target = [FailureDomain];

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

impl Serialize for FailureDomains {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.odd {
            Some(read) => read.serialize(serializer),
            None => self.list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FailureDomains {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Value::deserialize(deserializer)?;
        let entries: Vec<Value> = match read.clone() {
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
        let list: Vec<FailureDomain> =
            entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect();
        let mut domains = Self::from(list);
        let as_written = serde_json::to_value(&domains.list).map_err(serde::de::Error::custom)?;
        domains.odd = (read != as_written && !read.is_null()).then_some(read);
        Ok(domains)
    }
}

/// Schema without a type. A typed list would make the API server refuse *every* write (even of a finalizer) to an object
/// whose stored status still holds the map; one schema has to let both shapes through. We always write the list.
pub(crate) fn either_shape(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}
