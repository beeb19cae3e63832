//! What the scenery sees (a [`World`], read anew for each pass) and what it wants done about it (a [`Plan`]).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::object::{Object, Reference, merge_diff};
use crate::workload::ClusterKey;

/// A kind the scenery reads: group, version it is read at, kind, plural.
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
}

const CORE: &str = "cluster.x-k8s.io";
const INFRA: &str = "infrastructure.cluster.x-k8s.io";

const fn kind(group: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind { group, version: "v1beta1", kind, plural }
}

/// Every kind that is watched and listed, in that order. The infrastructure kinds are the successor's own.
pub(super) const KINDS: [Kind; 11] = [
    kind(CORE, "Cluster", "clusters"),
    kind(CORE, "Machine", "machines"),
    kind(CORE, "MachineSet", "machinesets"),
    kind(CORE, "MachineDeployment", "machinedeployments"),
    kind("controlplane.cluster.x-k8s.io", "KubeadmControlPlane", "kubeadmcontrolplanes"),
    kind("bootstrap.cluster.x-k8s.io", "KubeadmConfig", "kubeadmconfigs"),
    kind("bootstrap.cluster.x-k8s.io", "KubeadmConfigTemplate", "kubeadmconfigtemplates"),
    kind(INFRA, "MaasCluster", "maasclusters"),
    kind(INFRA, "MaasMachine", "maasmachines"),
    kind(INFRA, "MaasMachineTemplate", "maasmachinetemplates"),
    Kind { group: "", version: "v1", kind: "Secret", plural: "secrets" },
];

impl Kind {
    /// The entry for a kind's name.
    pub(super) fn find(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|k| k.kind == name)
    }

    /// `group/version`, or the bare version of the core group.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// What a workload cluster's API shows; absent from the [`World`] when none of its API servers answers.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkloadView {
    pub(super) nodes: Vec<Object>,
    /// ConfigMap `kube-system/kubeadm-config` exists.
    pub(super) initialized: bool,
    /// Names of the bootstrap token Secrets in `kube-system`.
    pub(super) tokens: Vec<String>,
}

/// One reading of everything.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) now: Timestamp,
    objects: BTreeMap<(String, String, String), Object>,
    pub(super) workloads: BTreeMap<ClusterKey, WorkloadView>,
}

impl World {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    pub(super) fn insert(&mut self, object: Object) {
        let key = (object.kind().to_owned(), object.namespace().to_owned(), object.name().to_owned());
        self.objects.insert(key, object);
    }

    pub(super) fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&Object> {
        self.objects.get(&(kind.to_owned(), namespace.to_owned(), name.to_owned()))
    }

    /// The object a reference in `from`'s namespace points at.
    pub(super) fn resolve<'a>(&'a self, from: &Object, reference: &Reference) -> Option<&'a Object> {
        self.get(&reference.kind, from.namespace(), &reference.name)
    }

    pub(super) fn list<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        let from = (kind.to_owned(), String::new(), String::new());
        self.objects.range(from..).map(|(_, o)| o).take_while(move |o| o.kind() == kind)
    }

    /// The Cluster an object belongs to.
    pub(super) fn cluster_of<'a>(&'a self, object: &Object) -> Option<&'a Object> {
        self.get("Cluster", object.namespace(), object.cluster_name())
    }

    /// Objects of a kind that belong to a Cluster.
    pub(super) fn of_cluster<'a>(&'a self, kind: &'a str, cluster: &Object) -> Vec<&'a Object> {
        let same = |o: &&Object| o.namespace() == cluster.namespace() && o.cluster_name() == cluster.name();
        self.list(kind).filter(same).collect()
    }

    /// Machines a set or control plane controls, oldest first.
    pub(super) fn machines_of<'a>(&'a self, owner: &Object) -> Vec<&'a Object> {
        let mut all: Vec<_> = self.list("Machine").filter(|m| m.controlled_by(owner)).collect();
        all.sort_by_key(|m| m.age_key());
        all
    }

    /// The view of a Cluster's workload cluster, when its API answers.
    pub(super) fn workload(&self, cluster: &Object) -> Option<&WorkloadView> {
        self.workloads.get(&ClusterKey::new(cluster.namespace(), cluster.name()))
    }

    /// Whether an object or its Cluster is paused; the scenery then leaves it alone.
    pub(super) fn paused(&self, object: &Object) -> bool {
        let cluster = if object.kind() == "Cluster" { Some(object) } else { self.cluster_of(object) };
        object.has_pause_annotation() || cluster.is_some_and(|c| c.flag("/spec/paused"))
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Make an object on the management cluster.
    Create(Value),
    /// Merge-patch an object or its status.
    Patch { kind: &'static str, namespace: String, name: String, body: Value, status: bool },
    /// Delete an object.
    Delete { kind: &'static str, namespace: String, name: String },
    /// Merge-patch a Node of a workload cluster.
    PatchNode { cluster: ClusterKey, name: String, body: Value },
    /// Delete a Node of a workload cluster.
    DeleteNode { cluster: ClusterKey, name: String },
    /// Make a bootstrap token Secret in a workload cluster.
    CreateToken { cluster: ClusterKey, secret: Value },
}

impl Action {
    /// Verb and object, without content: Secrets are among them.
    pub(super) fn summary(&self) -> String {
        match self {
            Action::Create(object) => {
                let object = Object(object.clone());
                format!("create {} {}/{}", object.kind(), object.namespace(), object.name())
            }
            Action::Patch { kind, namespace, name, status, .. } => {
                format!("patch {kind} {namespace}/{name}{}", if *status { " status" } else { "" })
            }
            Action::Delete { kind, namespace, name } => format!("delete {kind} {namespace}/{name}"),
            Action::PatchNode { cluster, name, .. } => format!("patch Node {name} of {cluster}"),
            Action::DeleteNode { cluster, name } => format!("delete Node {name} of {cluster}"),
            Action::CreateToken { cluster, .. } => format!("create join token in {cluster}"),
        }
    }
}

/// The writes of one pass.
pub(super) struct Plan<'a> {
    pub(super) actions: Vec<Action>,
    rng: &'a mut fastrand::Rng,
}

impl<'a> Plan<'a> {
    pub(super) fn new(rng: &'a mut fastrand::Rng) -> Self {
        Self { actions: Vec::new(), rng }
    }

    pub(super) fn create(&mut self, object: Value) {
        self.actions.push(Action::Create(object));
    }

    /// Patches what differs; the patch is bound to the version that was read, since lists are replaced whole.
    pub(super) fn patch(&mut self, object: &Object, wanted: &Value) {
        if let Some(mut body) = merge_diff(Some(&object.0), wanted) {
            body["metadata"]["resourceVersion"] = json!(object.text("/metadata/resourceVersion"));
            self.push_patch(object, body, false);
        }
    }

    /// Patches what differs in the status.
    pub(super) fn status(&mut self, object: &Object, wanted: &Value) {
        if let Some(body) = merge_diff(object.at("/status"), wanted) {
            self.push_patch(object, json!({ "status": body }), true);
        }
    }

    fn push_patch(&mut self, object: &Object, body: Value, status: bool) {
        let Some(kind) = Kind::find(object.kind()) else {
            return;
        };
        let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
        self.actions.push(Action::Patch { kind: kind.kind, namespace, name, body, status });
    }

    /// Asks for deletion, unless that is under way.
    pub(super) fn delete(&mut self, object: &Object) {
        if let (Some(kind), false) = (Kind::find(object.kind()), object.deleting()) {
            let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
            self.actions.push(Action::Delete { kind: kind.kind, namespace, name });
        }
    }

    /// A name as Kubernetes generates them: `base-` and five letters.
    pub(super) fn name(&mut self, base: &str) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let suffix: String = (0..5).map(|_| char::from(LETTERS[self.rng.usize(..LETTERS.len())])).collect();
        // generateName cuts the base so that the whole fits a label value
        format!("{}-{suffix}", &base[..base.len().min(57)])
    }
}
