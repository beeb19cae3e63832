//! Article-era manifests (Cluster API v1alpha3, v1alpha4) rewritten for the Cluster API of today.
//!
//! Core, control-plane, bootstrap and add-on documents become `v1beta2`, which Cluster API serves since v1.11; documents at
//! `v1beta1`, served but deprecated, are brought along. Our own kinds keep their `apiVersion`, because we serve the old ones,
//! and documents that are at `v1beta2` already or belong to somebody else are left as they are (only a Kubernetes version
//! is put in order everywhere). Every change comes with a [`Note`]; what cannot be carried over is an error that names the
//! field, never a silent loss.
//!
//! What changes, in short:
//!
//! | before | v1beta2 |
//! |---|---|
//! | references `{apiVersion, kind, name, namespace}` | `{apiGroup, kind, name}`, always in the object's own namespace |
//! | durations `5m` | numbers, `…Seconds: 300` |
//! | `nodeDrainTimeout` and its like | `deletion.nodeDrainTimeoutSeconds` |
//! | control plane `infrastructureTemplate`, `machineTemplate.infrastructureRef` | `machineTemplate.spec.infrastructureRef` |
//! | `upgradeAfter`, `rolloutAfter`, `strategy`, `rolloutStrategy` | `rollout.after`, `rollout.strategy` |
//! | `minReadySeconds` of a deployment | `template.spec.minReadySeconds` |
//! | kubeadm `extraArgs: {v: "4"}` | `extraArgs: [{name: v, value: "4"}]` |
//! | `timeoutForControlPlane`, `discovery.timeout` | `timeouts` of `initConfiguration` and `joinConfiguration` |
//! | `clusterName`, `kubernetesVersion`, `networking` and other fields that are known from elsewhere | gone |
//! | empty objects, lists and texts | gone, v1beta2 refuses them |
//! | health check `unhealthyConditions`, `maxUnhealthy`, … | `checks`, `remediation` |
//!
//! A ClusterClass stays at v1beta1, with a warning.

mod duration;
mod fields;
mod kinds;
mod kubeadm;
mod version;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::manifests::{self, ManifestError};
use crate::names::{BOOTSTRAP_GROUP, CONTROL_PLANE_GROUP, CORE_GROUP, GROUP};
pub use version::KubernetesVersion;

/// What the user may choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Kubernetes version to write into every document that names one, such as `v1.33.2`; a leading `v` may be missing.
    pub kubernetes_version: Option<String>,
}

/// The rewritten manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The documents, in the order of the input; empty ones are gone.
    pub documents: Vec<Value>,
    /// The same as one YAML file. Comments of the input are lost.
    pub yaml: String,
    /// What was changed and what to look at, in the order of the documents.
    pub notes: Vec<Note>,
}

/// Whether something was changed or only noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// A field was changed.
    Changed,
    /// Nothing was changed; a person should look.
    Warning,
}

/// One change or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Change or warning.
    pub kind: NoteKind,
    /// Which document of the input, counted from 1 without empty ones.
    pub document: usize,
    /// `Kind name` of the object.
    pub object: String,
    /// Which field, such as `spec.version`.
    pub field: String,
    /// What was done or seen.
    pub what: String,
    /// Why, or what to do.
    pub why: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.kind {
            NoteKind::Changed => "changed",
            NoteKind::Warning => "warning",
        };
        write!(f, "{mark}: document {} ({}): {}: {} ({})", self.document, self.object, self.field, self.what, self.why)
    }
}

/// Why a manifest cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The file could not be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A field cannot be carried over.
    #[error("document {document} ({object}): {field}: {problem}; {fix}")]
    Field {
        /// Which document, counted from 1 without empty ones.
        document: usize,
        /// `Kind name` of the object.
        object: String,
        /// Which field.
        field: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// The option `kubernetes_version` is no version.
    #[error("--kubernetes-version {value:?} is no Kubernetes version; give one like v1.33.2")]
    Version {
        /// What was given.
        value: String,
    },
    /// The result cannot be written as YAML.
    #[error("the result cannot be written as YAML: {0}")]
    Write(#[from] serde_saphyr::SerializeError),
}

/// Kinds of [`ConvertError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvertErrorKind {
    /// See [`ConvertError::Manifest`].
    Manifest,
    /// See [`ConvertError::Field`].
    Field,
    /// See [`ConvertError::Version`].
    Version,
    /// See [`ConvertError::Write`].
    Write,
}

impl ConvertError {
    /// The kind, to match on.
    pub fn kind(&self) -> ConvertErrorKind {
        match self {
            ConvertError::Manifest(_) => ConvertErrorKind::Manifest,
            ConvertError::Field { .. } => ConvertErrorKind::Field,
            ConvertError::Version { .. } => ConvertErrorKind::Version,
            ConvertError::Write(_) => ConvertErrorKind::Write,
        }
    }
}

/// Rewrites a manifest file; see the [module](self).
///
/// ```
/// use capi_types::convert::{Options, convert};
/// let old = "apiVersion: cluster.x-k8s.io/v1alpha3\nkind: Machine\nmetadata: {name: m}\nspec: {clusterName: c, version: 1.30.1}\n";
/// let new = convert(old, &Options::default())?;
/// assert_eq!(new.documents[0]["apiVersion"], "cluster.x-k8s.io/v1beta2");
/// assert_eq!(new.documents[0]["spec"]["version"], "v1.30.1");
/// for note in &new.notes {
///     println!("{note}");
/// }
/// # Ok::<(), capi_types::convert::ConvertError>(())
/// ```
pub fn convert(yaml_text: &str, options: &Options) -> Result<Converted, ConvertError> {
    let version = match &options.kubernetes_version {
        None => None,
        Some(text) => {
            Some(text.parse::<KubernetesVersion>().map_err(|_| ConvertError::Version { value: text.clone() })?)
        }
    };
    let mut documents = manifests::parse_manifests(yaml_text)?;
    let mut notes = Vec::new();
    if let Some(line) = yaml_text.lines().position(|line| manifests::plain_spaces(line) != line) {
        notes.push(Note {
            kind: NoteKind::Changed,
            document: 1,
            object: "whole file".to_owned(),
            field: format!("line {} and others", line + 1),
            what: "no-break spaces (U+00A0) became spaces".to_owned(),
            why: "a copy from a web page; kubectl takes them for letters".to_owned(),
        });
    }
    for (index, value) in documents.iter_mut().enumerate() {
        let object = object_name(value);
        let mut document = Document { number: index + 1, object, value, home: None, notes: &mut notes };
        document.convert(version.as_ref())?;
    }
    note_mixed_namespaces(&documents, &mut notes);
    notes.sort_by_key(|note| note.document);
    let yaml = manifests::to_yaml(&documents)?;
    Ok(Converted { documents, yaml, notes })
}

/// One document on its way.
struct Document<'a> {
    number: usize,
    object: String,
    value: &'a mut Value,
    /// The namespace that a reference named first.
    home: Option<String>,
    notes: &'a mut Vec<Note>,
}

impl Document<'_> {
    fn convert(&mut self, version: Option<&KubernetesVersion>) -> Result<(), ConvertError> {
        for field in ["apiVersion", "kind"] {
            if self.value[field].as_str().unwrap_or_default().is_empty() {
                return Err(self.error(field, "is missing", "every document must say what it is"));
            }
        }
        let api_version = self.value["apiVersion"].as_str().unwrap_or_default().to_owned();
        let (group, api) = api_version.split_once('/').unwrap_or(("", &api_version));
        let ours = group == GROUP;
        let core = is_core_group(group);
        if (ours || core) && self.value.get("status").is_some_and(Value::is_null) {
            self.remove("/status", "removed an empty status:", "status is written by controllers, not by manifests");
        }
        if core {
            match api {
                "v1alpha3" | "v1alpha4" | "v1beta1" => self.rewrite(group, api)?,
                "v1beta2" => {}
                other => {
                    let problem = format!("{group}/{other} is not known");
                    return Err(self.error("apiVersion", &problem, "write v1alpha3, v1alpha4, v1beta1 or v1beta2"));
                }
            }
            self.kubernetes_version(version)?;
        }
        Ok(())
    }

    /// Drops the value at a JSON pointer, with a note.
    fn remove(&mut self, path: &str, what: &str, why: &str) {
        let Some((parent, name)) = path.rsplit_once('/') else {
            return;
        };
        if let Some(Value::Object(parent)) = self.value.pointer_mut(parent)
            && parent.remove(name).is_some()
        {
            self.changed(path, what, why);
        }
    }

    fn changed(&mut self, path: &str, what: impl Into<String>, why: impl Into<String>) {
        self.note(NoteKind::Changed, path, what.into(), why.into());
    }

    fn warning(&mut self, path: &str, what: impl Into<String>, why: impl Into<String>) {
        self.note(NoteKind::Warning, path, what.into(), why.into());
    }

    fn note(&mut self, kind: NoteKind, path: &str, what: String, why: String) {
        self.notes.push(Note {
            kind,
            document: self.number,
            object: self.object.clone(),
            field: dotted(path),
            what,
            why,
        });
    }

    fn error(&self, path: &str, problem: &str, fix: &str) -> ConvertError {
        ConvertError::Field {
            document: self.number,
            object: self.object.clone(),
            field: dotted(path),
            problem: problem.to_owned(),
            fix: fix.to_owned(),
        }
    }
}

/// Whether Cluster API itself owns the group.
fn is_core_group(group: &str) -> bool {
    [CORE_GROUP, CONTROL_PLANE_GROUP, BOOTSTRAP_GROUP, "addons.cluster.x-k8s.io", "exp.cluster.x-k8s.io"]
        .contains(&group)
}

fn object_name(value: &Value) -> String {
    let kind = value["kind"].as_str().unwrap_or("object without kind");
    match value["metadata"]["name"].as_str() {
        Some(name) => format!("{kind} {name}"),
        None => format!("{kind} without name"),
    }
}

/// Whether it is absent or an object without fields.
fn object_is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A JSON pointer as people write it: `/spec/template` → `spec.template`.
fn dotted(path: &str) -> String {
    path.trim_start_matches('/')
        .split('/')
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect::<Vec<_>>()
        .join(".")
}

/// Objects of one cluster must share a namespace; half of the documents naming one is a trap for `kubectl -n`.
fn note_mixed_namespaces(documents: &[Value], notes: &mut Vec<Note>) {
    let named: BTreeSet<&str> =
        documents.iter().filter_map(|document| document["metadata"]["namespace"].as_str()).collect();
    let first_without = documents.iter().position(|document| document["metadata"]["namespace"].is_null());
    if let (Some(index), false) = (first_without, named.is_empty()) {
        let named: Vec<&str> = named.into_iter().collect();
        notes.push(Note {
            kind: NoteKind::Warning,
            document: index + 1,
            object: object_name(&documents[index]),
            field: "metadata.namespace".to_owned(),
            what: format!("not given here, but other documents name {}", named.join(", ")),
            why: "all objects of a cluster live in one namespace: apply with that namespace as kubectl's current one"
                .to_owned(),
        });
    }
}

#[cfg(test)]
mod tests;
