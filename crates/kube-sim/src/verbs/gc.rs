//! What the API server's own controllers do after a write, here at once and in key order: owner references,
//! foreground and orphaning deletion, emptying of namespaces, clean-up of CRDs.

use serde_json::{Value, json};

use super::remove::{FOREGROUND, ORPHAN, Propagation};
use super::{CRDS, NAMESPACES, State, deleting, finalizers, meta};
use crate::kinds::CLEANUP;
use crate::store::Key;

impl State {
    /// Looks at marked objects until none is left.
    pub(super) fn settle(&mut self) {
        while let Some(key) = self.dirty.pop_first() {
            self.look_at(&key);
        }
    }

    fn look_at(&mut self, key: &Key) {
        let Some(object) = self.store.get(key).cloned() else {
            return;
        };
        if deleting(&object) {
            match &*key.resource {
                NAMESPACES => return self.empty_namespace(key, &object),
                CRDS => return self.clean_up_crd(key),
                _ => {}
            }
            let holding = finalizers(&object);
            if holding.iter().any(|f| f == ORPHAN) {
                return self.orphan_dependents(key, &object);
            }
            if holding.iter().any(|f| f == FOREGROUND) {
                return self.delete_dependents_first(key, &object);
            }
            return;
        }
        self.check_owners(key, &object);
    }

    /// No owner is left → the object goes; some are → the dangling references go.
    fn check_owners(&mut self, key: &Key, object: &Value) {
        let owners: Vec<Value> = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        if owners.is_empty() {
            return;
        }
        let (mut solid, mut waiting) = (Vec::new(), false);
        for owner in &owners {
            match self.owner(key, owner) {
                None => {}
                Some(o) if deleting(&o) && finalizers(&o).iter().any(|f| f == FOREGROUND) => waiting = true,
                Some(_) => solid.push(owner.clone()),
            }
        }
        if solid.len() == owners.len() {
            return;
        }
        if solid.is_empty() {
            let deep = waiting && self.has_blocking_dependents(object);
            let how = if deep { Propagation::Foreground } else { Propagation::Background };
            self.mark_deleted(key, how);
            return;
        }
        let mut new = object.clone();
        meta(&mut new).insert("ownerReferences".into(), json!(solid));
        self.put(key.clone(), new);
    }

    /// The owner if it exists where an owner may be: same namespace, or cluster scope.
    fn owner(&self, of: &Key, reference: &Value) -> Option<Value> {
        let key = self.store.key_of_uid(reference["uid"].as_str()?)?;
        if !key.namespace.is_empty() && key.namespace != of.namespace {
            return None;
        }
        self.store.get(key).map(|o| (**o).clone())
    }

    fn has_blocking_dependents(&self, object: &Value) -> bool {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        self.store.dependents(uid).iter().any(|d| self.store.get(d).is_some_and(|o| blocks(o, uid)))
    }

    fn delete_dependents_first(&mut self, key: &Key, object: &Value) {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        for d in self.store.dependents(uid) {
            let Some(child) = self.store.get(&d).cloned() else {
                continue;
            };
            if !deleting(&child) {
                self.check_owners(&d, &child);
            }
        }
        if !self.has_blocking_dependents(object) {
            self.drop_finalizer(key, FOREGROUND);
        }
    }

    fn orphan_dependents(&mut self, key: &Key, object: &Value) {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        for d in self.store.dependents(uid) {
            let Some(child) = self.store.get(&d).cloned() else {
                continue;
            };
            let mut new = (*child).clone();
            let left: Vec<Value> = child["metadata"]["ownerReferences"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|o| o["uid"] != uid)
                .cloned()
                .collect();
            if left.is_empty() {
                meta(&mut new).remove("ownerReferences");
            } else {
                meta(&mut new).insert("ownerReferences".into(), json!(left));
            }
            self.put(d, new);
        }
        self.drop_finalizer(key, ORPHAN);
    }

    fn empty_namespace(&mut self, key: &Key, namespace: &Value) {
        for inner in self.store.in_namespace(&key.name) {
            if self.store.get(&inner).is_some_and(|o| !deleting(o)) {
                self.mark_deleted(&inner, Propagation::Background);
            }
        }
        if self.store.in_namespace(&key.name).is_empty() && finalizers(namespace).is_empty() {
            self.take(key);
        }
    }

    fn clean_up_crd(&mut self, key: &Key) {
        let resource = key.name.clone();
        let instances: Vec<Key> = self.store.list(&resource, None).map(|(k, _)| k).collect();
        for k in instances {
            if self.store.get(&k).is_some_and(|o| !deleting(o)) {
                self.mark_deleted(&k, Propagation::Background);
            }
        }
        if self.store.list(&resource, None).next().is_none() {
            self.drop_finalizer(key, CLEANUP);
        }
    }

    fn drop_finalizer(&mut self, key: &Key, finalizer: &str) {
        let Some(stored) = self.store.get(key).cloned() else {
            return;
        };
        let left: Vec<String> = finalizers(&stored).into_iter().filter(|f| f != finalizer).collect();
        if left.is_empty() {
            self.take(key);
            return;
        }
        let mut new = (*stored).clone();
        meta(&mut new).insert("finalizers".into(), json!(left));
        if new != *stored {
            self.put(key.clone(), new);
        }
    }
}

fn blocks(dependent: &Value, uid: &str) -> bool {
    dependent["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|o| o["uid"] == uid && o["blockOwnerDeletion"] == true)
}
