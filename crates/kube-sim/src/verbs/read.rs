//! get and list.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as CODE;
use serde_json::{Value, json};

use super::{State, Target};
use crate::error::ApiError;
use crate::kinds::Kind;
use crate::select::{Fields, Labels};
use crate::store::place;

/// What a list, watch or deletecollection asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
    pub(crate) limit: usize,
    pub(crate) next: String,
    pub(crate) resource_version: String,
    pub(crate) exact: bool,
}

/// One answer to a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    pub(crate) resource_version: String,
    pub(crate) next: String,
    pub(crate) remaining: Option<usize>,
}

impl Query {
    /// Whether a shown object is selected.
    pub(crate) fn selects(&self, kind: &Kind, shown: &Value) -> bool {
        // `source` of an Event selector means its component.
        let aliases: BTreeMap<&str, &str> =
            if kind.kind == "Event" { BTreeMap::from([("source", "source.component")]) } else { BTreeMap::new() };
        self.labels.matches(shown) && self.fields.matches(shown, &aliases)
    }
}

impl State {
    /// GET of one object.
    pub(crate) fn get(&self, t: &Target) -> Result<Value, ApiError> {
        self.store.get(&t.key()).map(|s| t.show(s)).ok_or_else(|| t.not_found())
    }

    /// A revision the client has seen must not lie in our future.
    pub(crate) fn not_future(&self, resource_version: &str) -> Result<u64, ApiError> {
        if resource_version.is_empty() {
            return Ok(0);
        }
        let asked: u64 = resource_version.parse().map_err(|_| {
            let why = format!("Invalid value: \"{resource_version}\": strconv.ParseUint: parsing \"{resource_version}\": invalid syntax");
            ApiError::bad_request(format!("invalid resource version: resourceVersion: {why}"))
        })?;
        if asked > self.store.revision() {
            let text = format!("Timeout: Too large resource version: {asked}, current: {}", self.store.revision());
            let mut e = ApiError::new(504, "Timeout", text);
            e.details = json!({"retryAfterSeconds": 1, "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]});
            return Err(e);
        }
        Ok(asked)
    }

    /// GET of a collection.
    pub(crate) fn list(&self, t: &Target, q: &Query) -> Result<Page, ApiError> {
        let asked = self.not_future(&q.resource_version)?;
        if q.exact && asked != self.store.revision() {
            return Err(ApiError::lacking(410, "lists at a past revision (resourceVersionMatch=Exact)"));
        }
        let (revision, after) = if q.next.is_empty() {
            (self.store.revision().to_string(), None)
        } else {
            let bad = || ApiError::bad_request("continue key is not valid: it was not made by this server");
            let raw = CODE.decode(&q.next).map_err(|_| bad())?;
            let (rv, ns, name): (String, String, String) = serde_json::from_slice(&raw).map_err(|_| bad())?;
            (rv, Some((ns, name)))
        };
        let namespace = (!t.namespace.is_empty()).then_some(t.namespace.as_str());
        let mut matching = self
            .store
            .list(&t.kind.id, namespace)
            .filter(|(k, _)| after.as_ref().is_none_or(|a| place(&k.namespace, &k.name) > place(&a.0, &a.1)))
            .map(|(k, s)| (k, t.show(s)))
            .filter(|(_, shown)| q.selects(&t.kind, shown));
        let mut items = Vec::new();
        let mut last = None;
        let limit = if q.limit == 0 { usize::MAX } else { q.limit };
        for (key, shown) in matching.by_ref().take(limit) {
            last = Some(key);
            items.push(shown);
        }
        let remaining = matching.count();
        let next = match (remaining, last) {
            (1.., Some(key)) => CODE.encode(json!([revision, key.namespace, key.name]).to_string()),
            _ => String::new(),
        };
        // The API server counts only what it need not look at.
        let whole = q.labels == Labels::default() && q.fields == Fields::default();
        let remaining = (remaining > 0 && whole).then_some(remaining);
        Ok(Page { items, resource_version: revision, next, remaining })
    }
}
