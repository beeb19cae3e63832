//! Direct access for embedding programs and tests: no HTTP, no futures.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;

use crate::KubeSim;
use crate::error::ApiError;
use crate::patch::{self, Format};
use crate::serve::{Answer, Raw};
use crate::verbs::{Options, Strictness, Target};

/// One line of the request log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// Number of the request, from 1.
    pub number: u64,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// `plural.group`, with `/subresource` if any; the path for anything that is not a resource.
    pub resource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name, or empty.
    pub name: String,
    /// HTTP code of the answer.
    pub code: u16,
}

/// What has been asked so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// How often, by verb and resource.
    pub counts: BTreeMap<(&'static str, String), u64>,
    /// The newest requests (at most 1000), oldest first.
    pub recent: Vec<RequestLine>,
}

impl KubeSim {
    /// One object by group, kind (or plural) and name, as stored; `namespace` is `None` for cluster scope.
    pub fn get(&self, group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Option<Value> {
        self.with_state(|s| {
            let t = target(s.kinds.find(group, kind)?.clone(), namespace, name);
            s.get(&t).ok()
        })
    }

    /// Objects of a kind in (namespace, name) order; `None` is all namespaces.
    pub fn list(&self, group: &str, kind: &str, namespace: Option<&str>) -> Vec<Value> {
        self.with_state(|s| {
            let Some(kind) = s.kinds.find(group, kind).cloned() else {
                return Vec::new();
            };
            let t = target(kind, namespace, "");
            s.list(&t, &crate::verbs::Query::default()).map(|p| p.items).unwrap_or_default()
        })
    }

    /// Every stored object, ordered by resource, namespace and name.
    pub fn dump(&self) -> Vec<Value> {
        self.with_state(|s| s.store.all().map(|(_, v)| (**v).clone()).collect())
    }

    /// Creates or merges every object of a YAML stream; `status` is written, too. For set-up.
    pub fn apply_yaml(&self, text: &str) -> Result<Vec<Value>, ApiError> {
        parse_yaml(text)?.into_iter().map(|o| self.apply(o)).collect()
    }

    /// Creates an object, or merges it into the one that is there; `status` is written, too. For set-up.
    /// Objects of a namespaced kind without a namespace go to `default`.
    pub fn apply(&self, object: Value) -> Result<Value, ApiError> {
        let out = self.with_state_mut(|s| {
            let (group, version) = match object["apiVersion"].as_str().unwrap_or_default().split_once('/') {
                Some((g, v)) => (g.to_owned(), v.to_owned()),
                None => (String::new(), object["apiVersion"].as_str().unwrap_or_default().to_owned()),
            };
            let kind = object["kind"].as_str().unwrap_or_default();
            let no_match =
                || ApiError::bad_request(format!("no matches for kind {kind:?} in version {group}/{version}"));
            let kind = s.kinds.find(&group, kind).cloned().ok_or_else(no_match)?;
            let index = kind.version(&version).ok_or_else(no_match)?;
            let namespace = match object["metadata"]["namespace"].as_str() {
                _ if !kind.namespaced => "",
                Some(ns) => ns,
                None => "default",
            };
            let t = Target {
                namespace: namespace.to_owned(),
                name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                version: index,
                kind,
            };
            let mut o = Options { strictness: Strictness::Strict, ..Options::default() };
            let mut out = if !t.name.is_empty() && s.store.get(&t.key()).is_some() {
                s.modify(&t, false, &mut o, |old| patch::apply(Format::Merge, old, &object))?
            } else {
                s.create(&t, object.clone(), &mut o)?
            };
            if t.kind.versions[t.version].status && !object["status"].is_null() {
                let t = Target { name: out["metadata"]["name"].as_str().unwrap_or_default().to_owned(), ..t };
                let wanted = serde_json::json!({"status": object["status"]});
                out = s.modify(&t, true, &mut o, |old| patch::apply(Format::Merge, old, &wanted))?;
            }
            Ok(out)
        });
        self.changed().notify_waiters();
        out
    }

    /// One API call without HTTP: method, path with query, body (a patch is a merge patch). Code and JSON come back.
    pub fn request(&self, method: Method, path_and_query: &str, body: Option<&Value>) -> (u16, Value) {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let content_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let raw = Raw {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            content_type: content_type.to_owned(),
            body: body.map(|b| b.to_string().into_bytes()).unwrap_or_default(),
            ..Raw::default()
        };
        match self.answer(&raw) {
            Answer::Json { code, body, .. } => (code, body),
            Answer::Text(code, text) => (code, Value::from(text)),
            Answer::Watch { .. } => (200, Value::Null),
        }
    }

    /// How many writes had an effect since the start; a no-op write does not count.
    pub fn writes(&self) -> u64 {
        self.with_state(|s| s.store.writes())
    }

    /// The newest resourceVersion.
    pub fn revision(&self) -> u64 {
        self.with_state(|s| s.store.revision())
    }

    /// Forgets all but the newest `keep` changes: watches further behind get 410 Expired.
    pub fn compact(&self, keep: usize) {
        self.with_state_mut(|s| s.store.compact(keep));
        self.changed().notify_waiters();
    }

    /// Counters and the newest requests.
    pub fn requests(&self) -> Requests {
        self.requests_so_far()
    }
}

fn target(kind: std::sync::Arc<crate::kinds::Kind>, namespace: Option<&str>, name: &str) -> Target {
    // As stored, not as preferred: the storage version.
    let version = (0..kind.versions.len()).find(|i| kind.api_version(*i) == kind.stored_api_version).unwrap_or(0);
    Target { kind, version, namespace: namespace.unwrap_or_default().to_owned(), name: name.to_owned() }
}

/// Documents of a YAML stream; empty ones are skipped.
pub(crate) fn parse_yaml(text: &str) -> Result<Vec<Value>, ApiError> {
    // Without strict booleans `yes` would become true, which YAML 1.2 and Kubernetes users do not mean.
    let options = serde_saphyr::options! { strict_booleans: true };
    let docs: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|e| ApiError::bad_request(format!("YAML: {e}")))?;
    Ok(docs.into_iter().filter(|d| !d.is_null()).collect())
}
