//! What a request does to the store: the rules of Kubernetes objects.

mod gc;
mod metadata;
pub(crate) mod native;
mod read;
mod remove;
mod scale;
mod watch;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::{Kind, Registry};
use crate::store::{Key, Store};

pub(crate) use read::{Page, Query};
pub(crate) use remove::{DeleteOptions, Propagation};
pub(crate) use watch::{Cursor, Start};
pub(crate) use write::{Options, Strictness};

/// The time source: policy time of whoever embeds the simulator.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

pub(crate) const NAMESPACES: &str = "namespaces.";
pub(crate) const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Everything the API server knows. Pure: time comes from the clock it was given, chance from its seed.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) kinds: Registry,
    rng: fastrand::Rng,
    clock: Clock,
    /// Objects whose life (owners, finalizers, namespace) has to be looked at again.
    dirty: BTreeSet<Key>,
}

/// Which kind, version and object a request is about.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Arc<Kind>,
    pub(crate) version: usize,
    /// Empty: cluster scope, or all namespaces.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn key(&self) -> Key {
        Key { resource: self.kind.id.clone(), namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// Where the API server would keep it, which it shows in one of its messages.
    fn registry_path(&self) -> String {
        let group = if self.kind.custom { format!("{}/", self.kind.group) } else { String::new() };
        let namespace = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        format!("/registry/{group}{}/{namespace}{}", self.kind.plural, self.name)
    }

    pub(crate) fn not_found(&self) -> crate::error::ApiError {
        crate::error::ApiError::not_found(&self.kind.group, &self.kind.plural, &self.name)
    }

    fn show(&self, stored: &Value) -> Value {
        self.kind.show(self.version, stored)
    }
}

impl State {
    pub(crate) fn new(clock: Clock, seed: u64, keep: usize) -> Self {
        let mut out = Self {
            store: Store::new(keep),
            kinds: Registry::with_builtins(),
            rng: fastrand::Rng::with_seed(seed),
            clock,
            dirty: BTreeSet::new(),
        };
        for name in ["default", "kube-public", "kube-system"] {
            let mut ns = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name,
                "uid": out.new_uid(), "creationTimestamp": out.now_text()}});
            native::settle_namespace(&mut ns);
            let key = Key { resource: NAMESPACES.into(), namespace: String::new(), name: name.to_owned() };
            out.store.put(key, ns);
        }
        // As after a restart of the real one: nobody can ask for what was before.
        out.store.compact(0);
        out
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Now as Kubernetes writes times in metadata: whole seconds, UTC.
    pub(crate) fn now_text(&self) -> String {
        let now = self.now();
        Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
    }

    fn new_uid(&mut self) -> String {
        let mut b = [0u8; 16];
        self.rng.fill(&mut b);
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let hex: String = b.iter().map(|x| format!("{x:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    fn name_suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(LETTERS[self.rng.usize(..LETTERS.len())])).collect()
    }
}

/// The object's `metadata` as a map, made if absent.
pub(crate) fn meta(object: &mut Value) -> &mut serde_json::Map<String, Value> {
    let slot = &mut object["metadata"];
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

pub(crate) fn deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}
