//! delete and deletecollection.

use serde_json::{Value, json};

use super::native::IMMORTAL;
use super::{CRDS, NAMESPACES, Query, State, Target, deleting, finalizers, meta};
use crate::error::{ApiError, Cause};
use crate::kinds::CLEANUP;
use crate::store::Key;

/// Finalizer of a foreground deletion.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of a deletion that leaves the dependents alone.
pub(super) const ORPHAN: &str = "orphan";

/// What becomes of the dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

/// Body and query of a DELETE.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) propagation: Propagation,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// Reads the `DeleteOptions` object; query parameters are read by the caller.
    pub(crate) fn from_body(body: &Value) -> Result<Self, ApiError> {
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let propagation = match body["propagationPolicy"].as_str() {
            None if body["orphanDependents"] == true => Propagation::Orphan,
            None => Propagation::Background,
            Some(name) => Propagation::parse(name)?,
        };
        Ok(Self {
            propagation,
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            dry_run: body["dryRun"].as_array().is_some_and(|a| !a.is_empty()),
        })
    }
}

impl Propagation {
    pub(crate) fn parse(name: &str) -> Result<Self, ApiError> {
        match name {
            "Background" => Ok(Self::Background),
            "Foreground" => Ok(Self::Foreground),
            "Orphan" => Ok(Self::Orphan),
            other => {
                let text = format!(
                    "Unsupported value: \"{other}\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                );
                let cause = Cause::new("FieldValueNotSupported", "propagationPolicy", text);
                Err(ApiError::options("DeleteOptions", cause))
            }
        }
    }
}

impl State {
    /// DELETE of one object: the object if it lingers, else a `Status`.
    pub(crate) fn delete(&mut self, t: &Target, o: &DeleteOptions) -> Result<Value, ApiError> {
        let stored = self.store.get(&t.key()).cloned().ok_or_else(|| t.not_found())?;
        let m = &stored["metadata"];
        if &*t.kind.id == NAMESPACES && IMMORTAL.contains(&t.name.as_str()) {
            let why = "this namespace may not be deleted";
            return Err(ApiError::forbidden(&t.kind.group, &t.kind.plural, &t.name, why));
        }
        for (name, want, have, happened) in [
            ("UID", &o.uid, &m["uid"], "deleted and then recreated"),
            ("ResourceVersion", &o.resource_version, &m["resourceVersion"], "modified"),
        ] {
            if let Some(want) = want
                && *have != want.as_str()
            {
                let why = format!(
                    "the {name} in the precondition ({want}) does not match the {name} in record ({}). The object might have been {happened}",
                    have.as_str().unwrap_or_default()
                );
                // Here the API server names the kind, not the resource.
                return Err(ApiError::conflict(&t.kind.group, &t.kind.kind, &t.name, &why));
            }
        }
        if !o.dry_run {
            self.mark_deleted(&t.key(), o.propagation);
        }
        let left = if o.dry_run { None } else { self.store.get(&t.key()).map(|s| t.show(s)) };
        self.settle();
        Ok(left.unwrap_or_else(|| {
            let mut details = json!({"name": t.name, "kind": t.kind.plural, "uid": m["uid"]});
            if !t.kind.group.is_empty() {
                details["group"] = json!(t.kind.group);
            }
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
        }))
    }

    /// DELETE of a collection: the list of what was deleted.
    pub(crate) fn delete_collection(
        &mut self,
        t: &Target,
        q: &Query,
        o: &DeleteOptions,
    ) -> Result<Vec<Value>, ApiError> {
        let page = self.list(t, q)?;
        if !o.dry_run {
            for item in &page.items {
                let text = |f: &str| item["metadata"][f].as_str().unwrap_or_default().to_owned();
                let key = Key { resource: t.kind.id.clone(), namespace: text("namespace"), name: text("name") };
                self.mark_deleted(&key, o.propagation);
            }
            self.settle();
        }
        Ok(page.items)
    }

    /// Removes at once what nothing holds; else sets the deletion time and the finalizer of the policy.
    pub(super) fn mark_deleted(&mut self, key: &Key, propagation: Propagation) {
        let Some(stored) = self.store.get(key).cloned() else {
            return;
        };
        let mut holding = finalizers(&stored);
        let uid = stored["metadata"]["uid"].as_str().unwrap_or_default();
        let policy = match propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some(FOREGROUND),
            Propagation::Orphan => Some(ORPHAN),
        };
        holding.retain(|f| f != FOREGROUND && f != ORPHAN);
        if let Some(f) = policy
            && !self.store.dependents(uid).is_empty()
        {
            holding.push(f.to_owned());
        }
        if &*key.resource == CRDS && !holding.iter().any(|f| f == CLEANUP) {
            holding.push(CLEANUP.to_owned());
        }
        if holding.is_empty() && &*key.resource != NAMESPACES {
            self.take(key);
            return;
        }
        let mut new = (*stored).clone();
        let now = self.now_text();
        let m = meta(&mut new);
        if !m.contains_key("deletionTimestamp") {
            m.insert("deletionTimestamp".into(), json!(now));
            m.insert("deletionGracePeriodSeconds".into(), json!(0));
            if let Some(g) = m.get("generation").and_then(Value::as_i64) {
                m.insert("generation".into(), json!(g + 1));
            }
        }
        if holding.is_empty() {
            m.remove("finalizers");
        } else {
            m.insert("finalizers".into(), json!(holding));
        }
        if &*key.resource == NAMESPACES {
            new["status"]["phase"] = json!("Terminating");
        }
        if new != *stored {
            self.put(key.clone(), new);
        }
    }

    /// Removes an object and marks who has to notice: dependents, owners, namespace, CRD.
    pub(super) fn take(&mut self, key: &Key) {
        let Some(old) = self.store.remove(key) else {
            return;
        };
        if let Some(uid) = old["metadata"]["uid"].as_str() {
            self.dirty.extend(self.store.dependents(uid));
        }
        for owner in old["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
            if let Some(k) = owner["uid"].as_str().and_then(|u| self.store.key_of_uid(u)) {
                self.dirty.insert(k.clone());
            }
        }
        if !key.namespace.is_empty() {
            let ns = Key { resource: NAMESPACES.into(), namespace: String::new(), name: key.namespace.clone() };
            self.dirty.insert(ns);
        }
        let crd = Key { resource: CRDS.into(), namespace: String::new(), name: key.resource.to_string() };
        if self.store.get(&crd).is_some_and(|c| deleting(c)) {
            self.dirty.insert(crd);
        }
        if &*key.resource == CRDS {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            self.kinds.remove(&text(&old["spec"]["group"]), &text(&old["spec"]["names"]["plural"]));
        }
    }
}
