//! Objects of the API server in the stores: which one counts, and whom a change concerns.

use std::collections::BTreeMap;

use capi_types::names::CLUSTER_NAME_LABEL;
use capi_types::{MaasCluster, MaasRemediation};

use super::{Learned, Stores};
use crate::names::{Key, Kind, ObjectName};
use crate::observe::machine_of;
use crate::topic::Topic;

impl Stores {
    /// A MaasRemediation changed: besides itself that concerns the MaasMachine whose power it has, and others of its control plane that
    /// wait for their turn.
    pub(super) fn remediation_is(&mut self, name: ObjectName, object: Option<Box<MaasRemediation>>) -> Learned {
        let topics: Vec<_> = object
            .as_deref()
            .or(self.remediations.get(&name))
            .into_iter()
            .flat_map(|o| {
                let machine = machine_of(o).map(Topic::CoreMachine);
                machine.into_iter().chain(label(&o.metadata, CLUSTER_NAME_LABEL).map(Topic::Members))
            })
            .collect();
        let before = self.remediations.get(&name).and_then(|old| old.metadata.uid.clone());
        let changed = put(&mut self.remediations, &name, object, |o| &o.metadata);
        let after = self.remediations.get(&name).map(|new| new.metadata.uid.clone());
        let key = Key { kind: Kind::Remediation, name };
        if after.is_none_or(|after| before.is_some() && after != before) {
            self.memory.remove(&key);
        }
        concern(changed, key, topics)
    }
}

type Meta = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(super) fn label(meta: &Meta, name: &str) -> Option<ObjectName> {
    Some(ObjectName::new(meta.namespace.clone()?, meta.labels.as_ref()?.get(name)?))
}

pub(super) fn annotation(meta: &Meta, name: &str) -> Option<ObjectName> {
    Some(ObjectName::new(meta.namespace.clone()?, meta.annotations.as_ref()?.get(name)?))
}

/// The core Cluster that owns a MaasCluster.
pub(crate) fn cluster_of_infra(object: &MaasCluster) -> Option<ObjectName> {
    let owner = object.metadata.owner_references.as_ref()?.iter().find(|o| o.kind == "Cluster")?;
    Some(ObjectName::new(object.metadata.namespace.clone()?, &owner.name))
}

pub(super) fn concern(changed: bool, key: Key, topics: impl IntoIterator<Item = Topic>) -> Learned {
    if changed { Learned { keys: vec![key], topics: topics.into_iter().collect() } } else { Learned::default() }
}

/// Puts an object into its map unless the map holds a newer one. True when the map changed.
pub(super) fn put<T>(
    map: &mut BTreeMap<ObjectName, T>,
    name: &ObjectName,
    object: Option<Box<T>>,
    meta: fn(&T) -> &Meta,
) -> bool {
    let Some(object) = object else { return map.remove(name).is_some() };
    if let Some(old) = map.get(name) {
        let (old, new) = (meta(old), meta(&object));
        // Compared as numbers: the answers to our own writes and the watch's events overtake each other.
        let revision = |m: &Meta| m.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok());
        if let (Some(old), Some(new)) = (revision(old), revision(new))
            && old >= new
        {
            return false;
        }
    }
    map.insert(name.clone(), *object);
    true
}
