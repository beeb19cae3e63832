//! Which kinds are served, and how each behaves.

mod builtin;
mod crd;
mod order;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::schema::Schema;
use crate::store::ResourceId;

pub(crate) use crd::{CLEANUP, from_crd, prepare as prepare_crd};
pub(crate) use order::compare_versions;

/// A served kind in all its versions.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Where objects are stored; two kinds may show the same objects (core and `events.k8s.io` Events).
    pub(crate) id: ResourceId,
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// apiVersion of what is stored.
    pub(crate) stored_api_version: String,
    /// Highest priority first.
    pub(crate) versions: Vec<Version>,
    /// From a CRD: strict about apiVersion, no strategic merge, generation kept.
    pub(crate) custom: bool,
    /// Create keeps `status` (Nodes register with theirs).
    pub(crate) status_on_create: bool,
    /// Field selectors beyond metadata, besides a version's own.
    pub(crate) fields: Vec<&'static str>,
    /// Top-level fields as shown here → as stored; empty unless this is a view of another kind.
    pub(crate) view: &'static [(&'static str, &'static str)],
    /// Nothing is stored: the answer is computed from the request (access reviews).
    pub(crate) review: bool,
}

/// One version of a kind.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) served: bool,
    pub(crate) deprecation: Option<String>,
    pub(crate) schema: Schema,
    /// The schema as published in OpenAPI.
    pub(crate) published: Value,
    pub(crate) status: bool,
    pub(crate) scale: Option<Scale>,
    pub(crate) columns: Vec<Column>,
    pub(crate) selectable: Vec<String>,
}

/// JSON paths of a scale subresource, dotted without the leading dot.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub(crate) spec: String,
    pub(crate) status: String,
    pub(crate) selector: Option<String>,
}

/// A printer column of a CRD.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) path: String,
    pub(crate) priority: i64,
}

impl Kind {
    pub(crate) fn version(&self, name: &str) -> Option<usize> {
        self.versions.iter().position(|v| v.name == name && v.served)
    }

    pub(crate) fn api_version(&self, version: usize) -> String {
        let name = self.versions.get(version).map_or("", |v| &v.name);
        if self.group.is_empty() { name.to_owned() } else { format!("{}/{name}", self.group) }
    }

    /// A stored object as this kind shows it in one of its versions.
    pub(crate) fn show(&self, version: usize, stored: &Value) -> Value {
        let mut out = if self.view.is_empty() { stored.clone() } else { rename(stored, self.view, true) };
        if !self.view.is_empty()
            && let Some(fields) = out.as_object_mut()
        {
            // The older type always has its texts, the newer one leaves empty ones out.
            fields.retain(|_, v| v != "");
        }
        out["apiVersion"] = Value::from(self.api_version(version));
        out["kind"] = Value::from(self.kind.as_str());
        if self.custom
            && let Some(v) = self.versions.get(version)
        {
            // What is stored may be older than the schema: reading prunes and defaults, too.
            v.schema.prune(&mut out);
            v.schema.fill(&mut out);
        }
        out
    }

    /// The inverse of [`Kind::show`].
    pub(crate) fn store(&self, shown: Value) -> Value {
        let mut out = if self.view.is_empty() { shown } else { rename(&shown, self.view, false) };
        out["apiVersion"] = Value::from(self.stored_api_version.as_str());
        out["kind"] = Value::from(self.kind.as_str());
        out
    }

    /// Whether objects can be selected by a field; why not, if not.
    pub(crate) fn selectable(&self, version: usize, path: &str) -> Result<(), String> {
        let known = path == "metadata.name"
            || (self.namespaced && path == "metadata.namespace")
            || self.fields.contains(&path)
            || self.versions.get(version).is_some_and(|v| v.selectable.iter().any(|s| s == path));
        match known {
            true => Ok(()),
            // Kinds that add fields say it in their own words.
            false if self.custom || !self.fields.is_empty() => Err(format!("field label not supported: {path}")),
            false => {
                Err(format!("\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""))
            }
        }
    }
}

fn rename(object: &Value, table: &[(&str, &str)], show: bool) -> Value {
    let fields = object.as_object().into_iter().flatten().map(|(k, v)| {
        let to = table.iter().find_map(|(shown, stored)| {
            let (from, to) = if show { (stored, shown) } else { (shown, stored) };
            (from == k).then_some(*to)
        });
        (to.unwrap_or(k).to_owned(), v.clone())
    });
    Value::Object(fields.collect())
}

/// All served kinds by (group, plural).
#[derive(Debug, Default)]
pub(crate) struct Registry {
    kinds: BTreeMap<(String, String), Arc<Kind>>,
}

impl Registry {
    pub(crate) fn with_builtins() -> Self {
        let mut out = Self::default();
        for kind in builtin::all() {
            out.add(kind);
        }
        out
    }

    pub(crate) fn add(&mut self, kind: Kind) {
        self.kinds.insert((kind.group.clone(), kind.plural.clone()), Arc::new(kind));
    }

    pub(crate) fn remove(&mut self, group: &str, plural: &str) {
        self.kinds.remove(&(group.to_owned(), plural.to_owned()));
    }

    pub(crate) fn get(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.kinds.get(&(group.to_owned(), plural.to_owned()))
    }

    /// By kind or plural name.
    pub(crate) fn find(&self, group: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.kinds.values().find(|k| k.group == group && (k.kind == kind || k.plural == kind))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.values()
    }

    /// Served (version, kinds) of each group, versions by priority.
    pub(crate) fn groups(&self) -> BTreeMap<String, Vec<String>> {
        let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for k in self.kinds.values() {
            let versions = out.entry(k.group.clone()).or_default();
            for v in k.versions.iter().filter(|v| v.served) {
                if !versions.contains(&v.name) {
                    versions.push(v.name.clone());
                }
            }
        }
        out.values_mut().for_each(|v| v.sort_by(|a, b| compare_versions(a, b)));
        out.retain(|_, v| !v.is_empty());
        out
    }
}
