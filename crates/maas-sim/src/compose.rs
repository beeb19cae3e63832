//! Allocations that compose a machine on a VM host: MAAS 3.8 and before (reference §4.2).
//!
//! VM hosts themselves are not simulated as a resource; the inventory names them, and allocate uses them.

use serde::Deserialize;

use crate::Status;
use crate::filter::{Constraints, Matched};
use crate::region::Region;
use crate::route::Call;
use crate::specs::{DiskSpec, MachineSpec};

/// A host of virtual machines that allocate composes on when no machine fits, in regions up to 3.8.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmHostSpec {
    /// Name, as `pod=` takes it.
    pub name: String,
    /// `virsh` or `lxd`, as `pod_type=` takes it.
    #[serde(default = "virsh")]
    pub kind: String,
    /// Cores that it may give away.
    pub cores: u32,
    /// Memory in MiB that it may give away.
    pub memory: u64,
}

fn virsh() -> String {
    "virsh".to_owned()
}

#[derive(Debug)]
pub(crate) struct VmHost {
    pub(crate) id: u64,
    pub(crate) spec: VmHostSpec,
}

impl Region {
    /// The machine that a VM host makes for constraints that no machine satisfies: its internal id.
    pub(crate) fn compose(&mut self, constraints: &Constraints, call: &Call) -> Option<(u64, Matched)> {
        // Named by its id, a machine is there or not.
        if self.is_at_least(4, 0) || constraints.values("system_id").is_some() || constraints.values("name").is_some() {
            return None;
        }
        // What a fresh virtual machine has not.
        let unfit = ["tags", "devices", "fabric_classes", "owner"];
        if unfit.iter().any(|key| constraints.values(key).is_some()) {
            return None;
        }
        let usual = |key: &str| constraints.values(key).is_none_or(|v| v.iter().any(|v| v == "default"));
        let elsewhere = |key: &str| constraints.values(key).is_some_and(|v| v.iter().any(|v| v == "default"));
        if !usual("zone") || !usual("pool") || elsewhere("not_in_zone") || elsewhere("not_in_pool") {
            return None;
        }
        let number = |key: &str| constraints.get(key).and_then(|v| v.trim().parse::<f64>().ok()).unwrap_or(0.0);
        // Checked to be numbers; more than a host has will not fit anyway.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (cores, memory) = ((number("cpu_count").max(1.0)) as u32, number("mem").max(2048.0) as u64);
        let wanted = |key: &str, value: &str| constraints.values(key).is_none_or(|v| v.iter().any(|v| v == value));
        let banned = |key: &str, value: &str| constraints.values(key).is_some_and(|v| v.iter().any(|v| v == value));
        let host = self.vm_hosts.iter().find(|host| {
            let spec = &host.spec;
            let guests = || self.machines.values().filter(|m| m.pod == Some(host.id));
            let used = guests().map(|m| m.cpu_count).sum::<u32>();
            let taken = guests().map(|m| m.memory).sum::<u64>();
            wanted("pod", &spec.name)
                && wanted("pod_type", &spec.kind)
                && !banned("not_pod", &spec.name)
                && !banned("not_pod_type", &spec.kind)
                && used + cores <= spec.cores
                && taken + memory <= spec.memory
        })?;
        let (pod, power_type) = (host.id, host.spec.kind.clone());
        let sizes = constraints.disks();
        let gigabytes = |bytes: u64| bytes.div_ceil(1_000_000_000);
        let disk = |size_gb: u64| DiskSpec { size_gb, tags: Vec::new(), formatted: true };
        let disks =
            if sizes.is_empty() { vec![disk(8)] } else { sizes.into_iter().map(|b| disk(gigabytes(b))).collect() };
        let (hostname, _) = self.check_hostname(0, "").ok()?;
        let spec = MachineSpec { cpu_count: cores, memory, disks, power_type, ..MachineSpec::named(hostname) };
        let system_id = self.insert_machine(spec);
        let id = self.find(&system_id)?.id;
        let virtual_id = self.next_id("virtual-machine");
        if let Some(m) = self.machine_mut(id) {
            m.pod = Some(pod);
            m.virtual_id = Some(virtual_id);
            m.dynamic = true;
            m.runs.clear();
        }
        let mut matched = Matched::default();
        let m = self.machines.get(&id)?;
        let labels = constraints.disk_labels();
        matched.storage = labels.into_iter().zip(&m.disks).filter_map(|(l, d)| Some((l?, d.id))).collect();
        debug_assert_eq!(m.status, Status::Ready);
        tracing::debug!(system_id, user = call.caller.user, "composed");
        Some((id, matched))
    }
}
