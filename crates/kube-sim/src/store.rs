//! Objects by key, one revision counter, one append-only log. Knows nothing of kinds or rules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

/// Where objects of one resource live: `plural.group` (`pods.` for the core group).
pub(crate) type ResourceId = Arc<str>;

/// Address of one object; the order of these is the order of everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) resource: ResourceId,
    /// Empty for cluster-scoped objects.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// One entry of the log. `after` is `None` when the object went away.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Value>>,
    pub(crate) after: Option<Arc<Value>>,
}

/// The cursor asked for changes that compaction has removed.
#[derive(Debug, PartialEq)]
pub(crate) struct Compacted {
    pub(crate) oldest: u64,
}

/// Objects of one resource by [`place`].
type Shelf = BTreeMap<(String, String), Arc<Value>>;

/// Namespace and name in the order of the API server, whose keys are paths: `a-b/` comes before `a/`.
pub(crate) fn place(namespace: &str, name: &str) -> (String, String) {
    (format!("{namespace}/"), name.to_owned())
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    revision: u64,
    objects: BTreeMap<ResourceId, Shelf>,
    by_uid: BTreeMap<String, Key>,
    dependents: BTreeMap<String, BTreeSet<Key>>,
    log: VecDeque<Arc<Change>>,
    keep: usize,
    writes: u64,
}

impl Store {
    /// An empty store whose log holds at most `keep` changes.
    pub(crate) fn new(keep: usize) -> Self {
        // Revision 1 is "nothing happened yet": 0 means "any" to clients.
        Self { revision: 1, keep: keep.max(1), ..Self::default() }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(&key.resource)?.get(&place(&key.namespace, &key.name))
    }

    /// Objects of a resource in the API server's order, in one namespace if given.
    pub(crate) fn list<'a>(
        &'a self,
        resource: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (Key, &'a Arc<Value>)> + 'a {
        let shelf = self.objects.get_key_value(resource);
        shelf.into_iter().flat_map(move |(id, shelf)| {
            let from = namespace.map_or_else(Default::default, |ns| place(ns, ""));
            let bare = |ns: &'a str| ns.trim_end_matches('/');
            shelf.range(from..).take_while(move |((ns, _), _)| namespace.is_none_or(|want| want == bare(ns))).map(
                move |((ns, name), v)| {
                    let namespace = bare(ns).to_owned();
                    (Key { resource: id.clone(), namespace, name: name.clone() }, v)
                },
            )
        })
    }

    /// Every object, by resource, namespace and name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ResourceId, &Arc<Value>)> {
        self.objects.iter().flat_map(|(id, shelf)| shelf.values().map(move |v| (id, v)))
    }

    /// Keys of everything inside a namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Key> {
        let ids: Vec<ResourceId> = self.objects.keys().cloned().collect();
        ids.iter().flat_map(|id| self.list(id, Some(namespace)).map(|(k, _)| k)).collect()
    }

    pub(crate) fn key_of_uid(&self, uid: &str) -> Option<&Key> {
        self.by_uid.get(uid)
    }

    /// Objects that name `uid` as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents.get(uid).map(|s| s.iter().cloned().collect()).unwrap_or_default()
    }

    /// Stores an object under a fresh revision, which is written into its metadata.
    pub(crate) fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let object = Arc::new(object);
        let before = self
            .objects
            .entry(key.resource.clone())
            .or_default()
            .insert(place(&key.namespace, &key.name), object.clone());
        if let Some(old) = &before {
            self.unindex(&key, old);
        }
        self.index(&key, &object);
        self.append(key, before, Some(object.clone()));
        object
    }

    /// Removes an object; returns what it was.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let old = self.objects.get_mut(&key.resource)?.remove(&place(&key.namespace, &key.name))?;
        self.revision += 1;
        self.unindex(key, &old);
        self.append(key.clone(), Some(old.clone()), None);
        Some(old)
    }

    fn append(&mut self, key: Key, before: Option<Arc<Value>>, after: Option<Arc<Value>>) {
        self.writes += 1;
        self.log.push_back(Arc::new(Change { revision: self.revision, key, before, after }));
        self.compact(self.keep);
    }

    /// Forgets all but the newest `keep` changes: older cursors get 410 from now on.
    pub(crate) fn compact(&mut self, keep: usize) {
        while self.log.len() > keep {
            self.log.pop_front();
        }
    }

    /// Changes after `cursor`, oldest first.
    pub(crate) fn since(&self, cursor: u64) -> Result<impl Iterator<Item = &Arc<Change>>, Compacted> {
        // Every revision has one entry, so the entry after `cursor` sits at a known place.
        let first = self.revision + 1 - self.log.len() as u64;
        if cursor + 1 < first {
            return Err(Compacted { oldest: first });
        }
        let skip = usize::try_from(cursor + 1 - first).unwrap_or(usize::MAX);
        Ok(self.log.iter().skip(skip))
    }

    fn index(&mut self, key: &Key, object: &Value) {
        if let Some(uid) = object["metadata"]["uid"].as_str() {
            self.by_uid.insert(uid.to_owned(), key.clone());
        }
        for owner in owner_uids(object) {
            self.dependents.entry(owner.to_owned()).or_default().insert(key.clone());
        }
    }

    fn unindex(&mut self, key: &Key, object: &Value) {
        if let Some(uid) = object["metadata"]["uid"].as_str() {
            self.by_uid.remove(uid);
        }
        for owner in owner_uids(object) {
            if let Some(set) = self.dependents.get_mut(owner) {
                set.remove(key);
                if set.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }
}

fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten().filter_map(|o| o["uid"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { resource: "things.".into(), namespace: "a".into(), name: name.into() }
    }

    #[test]
    fn every_change_has_its_own_revision_and_is_written_into_the_object() {
        let mut s = Store::new(100);
        let one = s.put(key("x"), json!({"metadata": {"uid": "1"}}));
        assert_eq!(one["metadata"]["resourceVersion"], "2");
        s.put(key("x"), json!({"metadata": {"uid": "1"}, "data": 1}));
        s.remove(&key("x"));
        assert_eq!(s.since(1).map(|i| i.map(|c| c.revision).collect::<Vec<_>>()), Ok(vec![2, 3, 4]));
        assert_eq!(s.since(3).map(|i| i.count()), Ok(1));
        assert_eq!(s.since(4).map(|i| i.count()), Ok(0));
        assert_eq!(s.writes(), 3);
    }

    #[test]
    fn a_cursor_before_the_compacted_part_is_refused() {
        let mut s = Store::new(100);
        for _ in 0..5 {
            s.put(key("x"), json!({"metadata": {"uid": "1"}}));
        }
        s.compact(2);
        assert_eq!(s.since(3).map(|i| i.count()), Err(Compacted { oldest: 5 }));
        assert_eq!(s.since(4).map(|i| i.count()), Ok(2));
        s.compact(0);
        assert_eq!(s.since(6).map(|i| i.count()), Ok(0));
        assert!(s.since(5).is_err());
    }

    #[test]
    fn dependents_follow_owner_references() {
        let mut s = Store::new(10);
        s.put(key("child"), json!({"metadata": {"uid": "c", "ownerReferences": [{"uid": "o"}]}}));
        assert_eq!(s.dependents("o"), vec![key("child")]);
        s.put(key("child"), json!({"metadata": {"uid": "c"}}));
        assert!(s.dependents("o").is_empty());
        assert_eq!(s.key_of_uid("c"), Some(&key("child")));
    }
}
