//! One Kubernetes object as JSON, read tolerantly: the scenery accepts the v1beta1 and the v1beta2 shape of core fields.

use jiff::Timestamp;
use serde_json::{Value, json};

/// Label with the name of the Cluster an object belongs to.
pub(super) const CLUSTER_LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// Label that marks control-plane Machines.
pub(super) const CONTROL_PLANE_LABEL: &str = "cluster.x-k8s.io/control-plane";
/// Annotation that pauses one object.
const PAUSED: &str = "cluster.x-k8s.io/paused";

/// An object of any kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object(pub(super) Value);

impl Object {
    /// The value at a JSON pointer, unless absent or null.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer).filter(|v| !v.is_null())
    }

    /// The first of several places that holds something.
    pub(super) fn first(&self, pointers: &[&str]) -> Option<&Value> {
        pointers.iter().find_map(|p| self.at(p))
    }

    /// The text at a JSON pointer, empty when absent.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.at(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The whole number at a JSON pointer.
    pub(super) fn number(&self, pointer: &str) -> Option<i64> {
        self.at(pointer).and_then(Value::as_i64)
    }

    /// Whether the value at a JSON pointer is `true`.
    pub(super) fn flag(&self, pointer: &str) -> bool {
        self.at(pointer).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub(super) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    pub(super) fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    pub(super) fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    /// The API group, empty for the core group.
    pub(super) fn group(&self) -> &str {
        self.text("/apiVersion").split_once('/').map_or("", |(group, _)| group)
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.at("/metadata/labels")?.get(key)?.as_str()
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.at("/metadata/annotations")?.get(key)?.as_str()
    }

    /// The first annotation whose key starts with `prefix`: a deletion hook of that kind.
    pub(super) fn hook(&self, prefix: &str) -> Option<&str> {
        let keys = self.at("/metadata/annotations")?.as_object()?.keys();
        keys.map(String::as_str).find(|key| key.starts_with(prefix))
    }

    pub(super) fn deleting(&self) -> bool {
        self.at("/metadata/deletionTimestamp").is_some()
    }

    pub(super) fn has_pause_annotation(&self) -> bool {
        self.annotation(PAUSED).is_some()
    }

    pub(super) fn finalizers(&self) -> Vec<String> {
        let list = self.at("/metadata/finalizers").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }

    pub(super) fn owners(&self) -> Vec<Value> {
        self.at("/metadata/ownerReferences").and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// The owner that controls this object.
    pub(super) fn controller(&self) -> Option<Value> {
        self.owners().into_iter().find(|o| o["controller"] == true)
    }

    /// Whether `owner` controls this object.
    pub(super) fn controlled_by(&self, owner: &Object) -> bool {
        self.controller().is_some_and(|o| o["uid"] == owner.uid())
    }

    /// The name of the Cluster this object belongs to, empty when none is known.
    pub(super) fn cluster_name(&self) -> &str {
        match self.text("/spec/clusterName") {
            "" => self.label(CLUSTER_LABEL).unwrap_or_default(),
            name => name,
        }
    }

    pub(super) fn condition(&self, kind: &str) -> Option<&Value> {
        self.at("/status/conditions")?.as_array()?.iter().find(|c| c["type"] == kind)
    }

    pub(super) fn is_true(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|c| c["status"] == "True")
    }

    /// Whether the infrastructure behind this object is up, by either contract.
    pub(super) fn provisioned(&self) -> bool {
        self.flag("/status/initialization/provisioned") || self.flag("/status/ready")
    }

    /// Whether a Cluster's infrastructure is up.
    pub(super) fn infrastructure_ready(&self) -> bool {
        self.flag("/status/initialization/infrastructureProvisioned") || self.flag("/status/infrastructureReady")
    }

    /// Whether a Cluster's or control plane's first machine has been initialised.
    pub(super) fn control_plane_initialized(&self) -> bool {
        self.flag("/status/initialization/controlPlaneInitialized")
    }

    /// A Cluster's API address, when both parts are there.
    pub(super) fn endpoint(&self) -> Option<(String, u16)> {
        let host = self.text("/spec/controlPlaneEndpoint/host");
        let port = u16::try_from(self.number("/spec/controlPlaneEndpoint/port")?).ok()?;
        (!host.is_empty() && port != 0).then(|| (host.to_owned(), port))
    }

    /// Creation time, then name: the age order.
    pub(super) fn age_key(&self) -> (&str, &str) {
        (self.text("/metadata/creationTimestamp"), self.name())
    }

    /// A reference to this object for `metadata.ownerReferences`.
    pub(super) fn owner_ref(&self, controller: bool) -> Value {
        let mut reference = json!({
            "apiVersion": self.text("/apiVersion"), "kind": self.kind(), "name": self.name(), "uid": self.uid(),
        });
        if controller {
            reference["controller"] = json!(true);
            reference["blockOwnerDeletion"] = json!(true);
        }
        reference
    }

    /// A reference in a spec, in a form that readers of v1beta1 and of v1beta2 both understand.
    pub(super) fn reference(&self) -> Value {
        json!({
            "apiVersion": self.text("/apiVersion"), "apiGroup": self.group(),
            "kind": self.kind(), "name": self.name(), "namespace": self.namespace(),
        })
    }

    /// The owners of this object once `owner` is among them; a controller takes the place of a first, loose owner.
    pub(super) fn owners_with(&self, owner: &Object, controller: bool) -> Vec<Value> {
        let wanted = owner.owner_ref(controller);
        let mut owners = self.owners();
        owners.retain(|o| o["uid"] == owner.uid() || !controller || o["kind"] == "Cluster");
        match owners.iter_mut().find(|o| o["uid"] == owner.uid()) {
            Some(known) => *known = wanted,
            None => owners.push(wanted),
        }
        owners
    }

    /// The finalizers of this object once `finalizer` is among them.
    pub(super) fn finalizers_with(&self, finalizer: &str) -> Vec<String> {
        let mut all = self.finalizers();
        if !all.iter().any(|f| f == finalizer) {
            all.push(finalizer.to_owned());
        }
        all
    }

    /// The finalizers of this object without `finalizer`.
    pub(super) fn finalizers_without(&self, finalizer: &str) -> Vec<String> {
        self.finalizers().into_iter().filter(|f| f != finalizer).collect()
    }
}

/// One condition as wanted.
pub(super) struct Condition {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

impl Condition {
    /// A condition that is `True` or `False`.
    pub(super) fn new(kind: &'static str, holds: bool, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, status: if holds { "True" } else { "False" }, reason: reason.into(), message: message.into() }
    }

    /// A condition about which nothing is known.
    pub(super) fn unknown(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, status: "Unknown", reason: reason.into(), message: message.into() }
    }

    /// Another object's `Ready` under a name of ours; without one, the `fallback` flag speaks.
    pub(super) fn mirror(kind: &'static str, of: &Object, fallback: bool) -> Self {
        match of.condition("Ready") {
            Some(ready) => Self {
                kind,
                status: match ready["status"].as_str() {
                    Some("True") => "True",
                    Some("False") => "False",
                    _ => "Unknown",
                },
                reason: ready["reason"].as_str().filter(|r| !r.is_empty()).unwrap_or("NotReady").into(),
                message: ready["message"].as_str().unwrap_or_default().into(),
            },
            None if fallback => Self::new(kind, true, "Provisioned", ""),
            None => {
                Self::new(kind, false, "NotProvisioned", format!("Waiting for {} {} to report", of.kind(), of.name()))
            }
        }
    }

    pub(super) fn holds(&self) -> bool {
        self.status == "True"
    }

    /// All of `parts` in one, called `kind`: true when all are, else the first that is not.
    pub(super) fn all(kind: &'static str, parts: &[Condition]) -> Self {
        match parts.iter().find(|c| !c.holds()) {
            None => Self::new(kind, true, kind, ""),
            Some(bad) => Self {
                kind,
                status: bad.status,
                reason: bad.reason.clone(),
                message: match bad.message.as_str() {
                    "" => format!("{} is {}", bad.kind, bad.status),
                    message => format!("{}: {message}", bad.kind),
                },
            },
        }
    }
}

/// Conditions that other controllers than the object's own write; they stay.
const OF_OTHERS: [&str; 3] = ["ExternallyRemediated", "HealthCheckSucceeded", "OwnerRemediated"];

/// The list for `status.conditions`: a condition that keeps its status keeps its transition time.
pub(super) fn conditions(on: &Object, now: Timestamp, wanted: &[Condition]) -> Value {
    let list = wanted.iter().map(|c| {
        let same = on.condition(c.kind).filter(|old| old["status"] == c.status);
        let since = same.and_then(|old| old["lastTransitionTime"].as_str().map(str::to_owned));
        json!({
            "type": c.kind, "status": c.status, "reason": c.reason, "message": c.message,
            "lastTransitionTime": since.unwrap_or_else(|| rfc3339(now)),
        })
    });
    let others = OF_OTHERS.into_iter().filter_map(|kind| on.condition(kind).cloned());
    list.chain(others).collect()
}

/// Kubernetes' time format: whole seconds, UTC.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The smallest merge patch that makes `current` agree with `wanted` (null: absent), if they differ.
pub(super) fn merge_diff(current: Option<&Value>, wanted: &Value) -> Option<Value> {
    match (current.filter(|v| !v.is_null()), wanted) {
        (None, Value::Null) => None,
        (Some(Value::Object(have)), Value::Object(want)) => {
            let changed: serde_json::Map<_, _> =
                want.iter().filter_map(|(k, v)| Some((k.clone(), merge_diff(have.get(k), v)?))).collect();
            (!changed.is_empty()).then_some(Value::Object(changed))
        }
        (None, Value::Object(want)) => {
            let kept: serde_json::Map<_, _> =
                want.iter().filter_map(|(k, v)| Some((k.clone(), merge_diff(None, v)?))).collect();
            (!kept.is_empty() || want.is_empty()).then_some(Value::Object(kept))
        }
        (Some(have), want) => (have != want).then(|| want.clone()),
        (None, want) => Some(want.clone()),
    }
}

/// A reference in a spec: group, kind and name; the version is found, not named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) kind: String,
    pub(super) name: String,
}

impl Reference {
    /// Reads `{apiVersion | apiGroup, kind, name}`.
    pub(super) fn read(from: Option<&Value>) -> Option<Self> {
        let text = |key: &str| from?.get(key)?.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        Some(Self { kind: text("kind")?, name: text("name")? })
    }
}
