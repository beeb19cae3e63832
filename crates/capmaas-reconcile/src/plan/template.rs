//! The plan of a MaasMachineTemplate: say what a machine made from it is sure to have, and tell whoever edited it in place that
//! nothing will happen.

use std::collections::{BTreeMap, BTreeSet};

use capi_types::names::PAUSED_ANNOTATION;
use capi_types::{MaasMachineTemplateStatus, NodeInfo, conditions};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::draft::{Conditions, Waiting, Why, pause};
use crate::decision::{Decision, Status};
use crate::host::Hardware;
use crate::names::ObjectName;
use crate::observe::TemplateSeen;
use crate::topic::Topic;

/// Reason of Ready=False when machines cloned from the template no longer look like it.
pub const EDITED_IN_PLACE: &str = "EditedInPlace";

/// See the module.
pub fn plan(seen: &TemplateSeen<'_>, now: Timestamp) -> Decision {
    let mut waiting = Waiting::new(now);
    let meta = &seen.object.metadata;
    if let Some((cluster, _)) = &seen.cluster {
        waiting.on(Topic::Cluster(cluster.clone()));
    }
    let annotated = meta.annotations.as_ref().is_some_and(|a| a.contains_key(PAUSED_ANNOTATION));
    let cluster = seen.cluster.as_ref().and_then(|(_, cluster)| *cluster);
    if meta.deletion_timestamp.is_some() || pause(cluster, annotated).is_some() {
        return Decision { next: None, status: None, event: None, wake: waiting.wake() };
    }
    waiting.on(Topic::Clones(ObjectName::new(
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )));
    let standing = seen.object.status.clone().unwrap_or_default();
    let mut status = standing.clone();
    if !seen.object.spec.template.spec.wants_lxd() {
        waiting.on(Topic::Hardware(seen.constraints.clone()));
        waiting.on(Topic::Free(seen.constraints.clone()));
        if let Some(free) = seen.free {
            status.free_machines = Some(free.try_into().unwrap_or(i32::MAX));
        }
        // What was published stands until it is read: a MAAS that is down has no other machines.
        if let Some(makes) = seen.hardware {
            status.capacity = capacity(makes);
            status.node_info = node_info(makes, &seen.object.spec.template.spec.image);
        }
    }
    let fields = edited(seen);
    let mut event = None;
    // Conditions begin with the first edit in place: a template that was always fine has none.
    if !fields.is_empty() || !standing.conditions.is_empty() {
        let mut wanted = Conditions::default();
        if fields.is_empty() {
            wanted.yes(conditions::READY, conditions::reason::READY);
        } else {
            let fields: Vec<_> = fields.into_iter().collect();
            let message = format!(
                "{} was edited in place, which changes no machine that exists: copy the template under a new name and point \
                 infrastructureRef of the MachineDeployment or control plane at it, then put the old value back here",
                fields.join(", ")
            );
            wanted.no(conditions::READY, &Why::new(EDITED_IN_PLACE, message));
        }
        (status.conditions, event) = wanted.settle(&standing.conditions, meta.generation, now);
    }
    let written = seen.object.status.is_some() || status != MaasMachineTemplateStatus::default();
    let status = written.then(|| Status::Template(Box::new(status)));
    Decision { next: None, status, event, wake: waiting.wake() }
}

/// Fields in which machines that were cloned from the template differ from it.
fn edited(seen: &TemplateSeen<'_>) -> BTreeSet<String> {
    let template = &seen.object.spec.template.spec;
    let mut fields = BTreeSet::new();
    for spec in seen.clones.iter().filter(|c| c.metadata.deletion_timestamp.is_none()).map(|clone| &clone.spec) {
        let differs = [
            ("image", spec.image != template.image),
            ("minCPU", spec.min_cpu != template.min_cpu),
            ("minMemory", spec.min_memory != template.min_memory),
            ("minDiskSize", spec.min_disk_size != template.min_disk_size),
            ("placement", spec.placement != template.placement),
            ("swap", spec.swap != template.swap),
            ("resourcePool", spec.resource_pool != template.resource_pool),
            ("tags", spec.tags != template.tags),
            ("deployInMemory", spec.deploy_in_memory != template.deploy_in_memory),
        ];
        fields.extend(differs.into_iter().filter(|(_, d)| *d).map(|(name, _)| format!("spec.template.spec.{name}")));
    }
    fields
}

/// What any machine that matches is sure to have: of each resource the least that one of them has. Which of them it will be nobody
/// knows before the claim, and an autoscaler that counts on more than it gets adds machine after machine for the same Pod.
///
/// Machines in use count, too: what is free changes with every claim, what is there does not. No machine at all: nothing, so that
/// nobody scales up in vain. Disk space is left out: MAAS knows the sum of the disks, not what the image makes its root of.
fn capacity(makes: &BTreeSet<Hardware>) -> BTreeMap<String, Quantity> {
    let (cpu, memory) = (makes.iter().map(|m| m.cpu).min(), makes.iter().map(|m| m.memory_mib).min());
    let cpu = cpu.map(|cores| ("cpu".to_owned(), Quantity(cores.to_string())));
    let memory = memory.map(|mib| ("memory".to_owned(), Quantity(format!("{mib}Mi"))));
    cpu.into_iter().chain(memory).collect()
}

/// The architecture only if all that match have the same.
fn node_info(makes: &BTreeSet<Hardware>, image: &str) -> Option<NodeInfo> {
    let architectures: BTreeSet<_> = makes.iter().map(|m| m.architecture.as_str()).collect();
    let only = architectures.first().filter(|first| architectures.len() == 1 && !first.is_empty())?;
    let system = if image.starts_with("windows/") { "windows" } else { "linux" };
    Some(NodeInfo { architecture: Some((*only).to_owned()), operating_system: Some(system.to_owned()) })
}
