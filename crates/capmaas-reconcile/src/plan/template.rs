//! The plan of a MaasMachineTemplate: tell whoever edited it in place that nothing will happen.

use std::collections::BTreeSet;

use capi_types::{MaasMachineTemplateStatus, conditions};
use jiff::Timestamp;

use super::draft::{Conditions, Waiting, Why};
use crate::decision::{Decision, Status};
use crate::names::ObjectName;
use crate::observe::TemplateSeen;
use crate::topic::Topic;

/// Reason of Ready=False when machines cloned from the template no longer look like it.
pub const EDITED_IN_PLACE: &str = "EditedInPlace";

/// See the module.
pub fn plan(seen: &TemplateSeen<'_>, now: Timestamp) -> Decision {
    let mut waiting = Waiting::new(now);
    let meta = &seen.object.metadata;
    waiting.on(Topic::Clones(ObjectName::new(
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )));
    let template = &seen.object.spec.template.spec;
    let mut fields = BTreeSet::new();
    for spec in seen.clones.iter().filter(|c| c.metadata.deletion_timestamp.is_none()).map(|clone| &clone.spec) {
        let differs = [
            ("image", spec.image != template.image),
            ("minCPU", spec.min_cpu != template.min_cpu),
            ("minMemory", spec.min_memory != template.min_memory),
            ("resourcePool", spec.resource_pool != template.resource_pool),
            ("tags", spec.tags != template.tags),
            ("deployInMemory", spec.deploy_in_memory != template.deploy_in_memory),
        ];
        fields.extend(differs.into_iter().filter(|(_, d)| *d).map(|(name, _)| format!("spec.template.spec.{name}")));
    }
    let standing = seen.object.status.clone().unwrap_or_default();
    if fields.is_empty() && standing.conditions.is_empty() {
        // A template that was always fine needs no status.
        return Decision { next: None, status: None, event: None, wake: waiting.wake() };
    }
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
    let (conditions, event) = wanted.settle(&standing.conditions, meta.generation, now);
    let status = MaasMachineTemplateStatus { conditions, ..standing };
    Decision { next: None, status: Some(Status::Template(Box::new(status))), event, wake: waiting.wake() }
}
