//! Operations on one machine that change its life: deploy, release, power, marks (reference §3).

use std::net::IpAddr;

use bytes::Bytes;
use serde_json::json;

use crate::Status;
use crate::form::Params;
use crate::region::{Happening, Region};
use crate::reply::{Answer, Reply};
use crate::results::{INSTALL_LOG, Progress, RunKind, ScriptStatus};
use crate::route::Call;
use crate::state::{AllocType, Bmc, DeployFault, Level, Step};

const NO_RACK: &str = "Unable to connect to any rack controller labrck; no connections available.";

pub(crate) fn no_rack() -> Reply {
    Reply::text(503, NO_RACK).with("retry-after", "10")
}

/// What a BMC that never answers ends in.
pub(crate) fn timed_out() -> Reply {
    Reply::text(
        504,
        "Unexpected exception: TimeoutError. See /var/log/maas/regiond.log on the region server for more information.",
    )
}

/// `(user)` or `(user) - comment`, as descriptions of user events read.
pub(crate) fn by(call: &Call, params: &Params) -> String {
    match params.last("comment").filter(|c| !c.is_empty()) {
        Some(comment) => format!("({}) - {comment}", call.caller.user),
        None => format!("({})", call.caller.user),
    }
}

impl Region {
    /// The machine as JSON.
    pub(crate) fn shown(&self, id: u64) -> Answer {
        self.machines.get(&id).map(|m| Reply::json(&self.machine_json(m))).ok_or_else(|| Reply::missing("Machine"))
    }

    /// Refuses callers who may not edit the machine, and everybody while it is locked.
    pub(crate) fn may_edit(&self, id: u64, call: &Call) -> Result<(), Reply> {
        let Some(machine) = self.machines.get(&id) else {
            return Err(Reply::missing("Machine"));
        };
        self.may_edit_locked(id, call)?;
        if machine.locked { Err(Reply::forbidden()) } else { Ok(()) }
    }

    /// As [`Region::may_edit`], for what works on locked machines too.
    pub(crate) fn may_edit_locked(&self, id: u64, call: &Call) -> Result<(), Reply> {
        let Some(machine) = self.machines.get(&id) else {
            return Err(Reply::missing("Machine"));
        };
        let own = machine.owner.as_ref().is_none_or(|owner| *owner == call.caller.user);
        if own || call.caller.admin { Ok(()) } else { Err(Reply::forbidden()) }
    }

    /// Makes a Ready machine the caller's.
    pub(crate) fn acquire(&mut self, id: u64, call: &Call, agent_name: &str) {
        let text = by(call, &call.form.post);
        self.event(id, Level::Debug, "User acquiring node", text, Some(&call.caller.user));
        if let Some(machine) = self.machine_mut(id) {
            machine.owner = Some(call.caller.user.clone());
            agent_name.clone_into(&mut machine.agent_name);
            machine.acquired = true;
        }
        if call.form.post.string_bool("bridge_all").unwrap_or(false) {
            self.bridge_all(id, &call.form.post);
        }
        self.set_machine_status(id, Status::Allocated);
    }

    pub(crate) fn deploy(&mut self, id: u64, call: &Call) -> Answer {
        let post = &call.form.post;
        self.may_edit(id, call)?;
        for option in ["enable_hw_sync", "enable_kernel_crash_dump", "bridge_all"] {
            post.string_bool(option)?;
        }
        let ephemeral = post.string_bool("ephemeral_deploy")?;
        if post.string_bool("install_rackd")? {
            return Err(Reply::text(
                400,
                "Deploying a machine as a rackd has been disabled and it's not supported anymore.",
            ));
        }
        if post.string_bool("install_kvm")? || post.string_bool("register_vmhost")? {
            if self.is_at_least(4, 0) {
                return Err(Reply::text(400, "Deploying a machine as a VM host is not supported anymore."));
            }
            call.admin_or(Reply::text(403, "Only administratros can deploy VM hosts"))?;
            return Err(Reply::not_simulated("POST machine deploy install_kvm"));
        }
        let machine = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
        let status = machine.status;
        if !matches!(status, Status::Ready | Status::Allocated | Status::Reserved) {
            return Err(Reply::text(409, format!("Can't deploy a machine that is in the '{status}' state")));
        }
        // Validation comes after acquiring in a real region, but its 400 rolls the transaction back: nothing stays.
        let (os, series, kernel) = self.choose_image(machine, post)?;
        let has_root = !machine.disks.is_empty();
        if !has_root && !ephemeral {
            return Err(Reply::invalid("storage", "Specify a storage device to be able to deploy this node."));
        }
        let agent_name = post.last("agent_name").unwrap_or("").to_owned();
        if agent_name.chars().count() > 255 {
            let length = agent_name.chars().count();
            return Err(Reply::invalid(
                "agent_name",
                format!("Ensure this value has at most 255 characters (it has {length})."),
            ));
        }
        if status == Status::Ready {
            self.acquire(id, call, &agent_name);
        }
        let text = by(call, post);
        self.event(id, Level::Debug, "User starting deployment", text, Some(&call.caller.user));
        if let Some(machine) = self.machine_mut(id) {
            machine.os = Some((os, series));
            machine.hwe_kernel = Some(kernel);
            machine.min_hwe_kernel = Some(String::new());
            machine.ephemeral = ephemeral;
            machine.user_data = post.last("user_data").filter(|d| !d.is_empty()).map(str::to_owned);
        }
        self.start_deployment(id, call)?;
        self.shown(id)
    }

    /// From here on, failures come after the commit: the machine stays allocated.
    pub(crate) fn start_deployment(&mut self, id: u64, call: &Call) -> Result<(), Reply> {
        self.set_machine_status(id, Status::Deploying);
        self.begin_run(id, RunKind::Installation, &[INSTALL_LOG], ScriptStatus::Pending);
        self.event(id, Level::Info, "Deploying", "", None);
        let unstartable = match self.machine_mut(id).map(|m| (m.bmc, &mut m.faults.deployment)) {
            Some((Bmc::NoRack, _)) => Some(no_rack()),
            Some((_, Some((DeployFault::NotStarted, times)))) => times.take().then(|| Reply::bare(500)),
            _ => None,
        };
        let claimed = match unstartable {
            Some(reply) => Err(reply),
            None => self.claim_auto(id),
        };
        if let Err(reply) = claimed {
            let text = format!(
                "({}) - Aborting DEPLOYING and reverting to ALLOCATED. Unable to power control the node. Please check power credentials.",
                call.caller.user
            );
            self.event(id, Level::Warning, "Failed to query node's BMC", text, None);
            self.free_auto(id);
            self.set_machine_status(id, Status::Allocated);
            return Err(reply);
        }
        if let Some(machine) = self.machine_mut(id) {
            machine.epoch += 1;
            machine.netboot = true;
            machine.deployment += 1;
            machine.error_description.clear();
        }
        let d = self.durations.clone();
        self.schedule_step(id, d.addresses, Step::AddressesAccepted);
        self.schedule_step(id, d.power_on, Step::PowerOn);
        self.schedule_step(id, d.deploy_watchdog, Step::DeployWatchdog);
        Ok(())
    }

    pub(crate) fn release(&mut self, id: u64, call: &Call) -> Answer {
        self.may_edit(id, call)?;
        // Unlike deploy, release reads JSON bodies too.
        let data = &call.form.data;
        let status = self.machines.get(&id).map_or(Status::Ready, |m| m.status);
        if matches!(status, Status::Ready | Status::Releasing) {
            return self.shown(id);
        }
        if !status.is_releasable() {
            return Err(Reply::text(409, format!("Machine cannot be released in its current state ('{status}').")));
        }
        let asked = |option: &str| data.checkbox(option);
        let fast = asked("quick_erase") || asked("secure_erase");
        if fast || asked("erase") || self.setting_is_true("enable_disk_erasing_on_release") {
            // Each of the three triggers wiping; from 3.5 on the faster ways reach the script only beside `erase`.
            let quick = fast && (asked("erase") || !self.is_at_least(3, 5));
            self.start_erasing(id, call, quick)?;
        } else {
            let text = by(call, data);
            self.event(id, Level::Debug, "User releasing node", text, Some(&call.caller.user));
            // A composed machine may be gone by the time it is released: its last state is the answer.
            let last = self.machines.get(&id).filter(|m| m.dynamic).map(|m| Reply::json(&self.machine_json(m)));
            self.start_release(id)?;
            if let (Some(last), None) = (last, self.machines.get(&id)) {
                return Ok(last);
            }
        }
        self.shown(id)
    }

    fn start_erasing(&mut self, id: u64, call: &Call, quick: bool) -> Result<(), Reply> {
        let text = by(call, &call.form.data);
        self.event(id, Level::Debug, "User erasing disk", text, Some(&call.caller.user));
        self.command(id, true)?;
        self.wipe(id);
        if let Some(machine) = self.machine_mut(id) {
            machine.epoch += 1;
            machine.netboot = true;
        }
        self.log_installation(id, Progress::GivenUp);
        self.set_machine_status(id, Status::DiskErasing);
        let d = self.durations.clone();
        // It boots into the ephemeral system for that, also when it was off; what ran is gone either way.
        self.schedule_step(id, d.power_on, Step::EraseBoot);
        self.schedule_step(id, if quick { d.quick_erase } else { d.erase }.max(d.power_on), Step::Erased);
        Ok(())
    }

    /// The steps of a release that happen at its start; ends it at once when there is nothing to switch off.
    pub(crate) fn start_release(&mut self, id: u64) -> Result<(), Reply> {
        self.wipe(id);
        let Some(machine) = self.machine_mut(id) else {
            return Ok(());
        };
        let before = machine.status;
        machine.epoch += 1;
        machine.agent_name.clear();
        machine.os = None;
        machine.hwe_kernel = None;
        machine.netboot = true;
        machine.ephemeral = false;
        machine.acquired = false;
        let (running, has_bmc) = (machine.is_on(), machine.has_bmc());
        self.log_installation(id, Progress::GivenUp);
        self.set_machine_status(id, Status::Releasing);
        self.event(id, Level::Info, "Releasing", "", None);
        if !running || !has_bmc {
            self.finish_release(id);
            return Ok(());
        }
        if let Err(reply) = self.command(id, false) {
            // The status goes back to what it was; what was cleared stays cleared.
            self.set_machine_status(id, before);
            return Err(reply);
        }
        let d = self.durations.clone();
        self.schedule_step(id, d.release, Step::ReleasedOff);
        self.schedule_step(id, d.release_watchdog, Step::ReleaseWatchdog);
        Ok(())
    }

    /// The end of a release: the machine belongs to nobody.
    pub(crate) fn finish_release(&mut self, id: u64) {
        self.free_auto(id);
        self.drop_acquired_bridges(id);
        if let Some(machine) = self.machine_mut(id) {
            machine.epoch += 1;
            machine.owner = None;
            machine.owner_data.clear();
            machine.agent_name.clear();
            machine.os = None;
            machine.hwe_kernel = None;
            machine.ephemeral = false;
            machine.netboot = true;
            machine.user_data = None;
            machine.error_description.clear();
        }
        self.event(id, Level::Info, "Released", "", None);
        // What was never commissioned is New again.
        let known = self.machines.get(&id).is_some_and(|m| m.runs.iter().any(|r| r.kind == RunKind::Commissioning));
        self.set_machine_status(id, if known { Status::Ready } else { Status::New });
        // What allocate composed is decomposed.
        if self.machines.get(&id).is_some_and(|m| m.dynamic) {
            self.drop_machine(id);
        }
    }

    /// Says that what was deployed is lost, if there was something.
    pub(crate) fn wipe(&mut self, id: u64) {
        if let Some(machine) = self.machines.get(&id).filter(|m| m.os.is_some()) {
            self.happenings.push(Happening::Wiped { system_id: machine.system_id.clone() });
        }
    }

    pub(crate) fn release_batch(&mut self, call: &Call) -> Answer {
        let wanted: Vec<String> = call.form.data.all("machines").map(str::to_owned).collect();
        let unknown: Vec<&str> = wanted.iter().map(String::as_str).filter(|id| self.find(id).is_none()).collect();
        if !unknown.is_empty() {
            return Err(Reply::text(400, format!("Unknown machine(s): {}.", unknown.join(", "))));
        }
        let ids: Vec<u64> = self.machines.values().filter(|m| wanted.contains(&m.system_id)).map(|m| m.id).collect();
        let refused: Vec<&str> = ids
            .iter()
            .filter(|id| self.may_edit(**id, call).is_err())
            .filter_map(|id| Some(self.machines.get(id)?.system_id.as_str()))
            .collect();
        if !refused.is_empty() {
            return Err(Reply::text(
                403,
                format!(
                    "You don't have the required permission to release the following machine(s): {}.",
                    refused.join(", ")
                ),
            ));
        }
        let idle = |s: Status| matches!(s, Status::Ready | Status::Releasing);
        let wrong: Vec<String> = ids
            .iter()
            .filter_map(|id| self.machines.get(id))
            .filter(|m| !idle(m.status) && !m.status.is_releasable())
            .map(|m| format!("{} ('{}')", m.system_id, m.status))
            .collect();
        if !wrong.is_empty() {
            return Err(Reply::text(
                409,
                format!("Machine(s) cannot be released in their current state: {}.", wrong.join(", ")),
            ));
        }
        let mut released = Vec::new();
        for id in ids {
            let Some(machine) = self.machines.get(&id) else {
                continue;
            };
            if idle(machine.status) {
                continue;
            }
            released.push(json!(machine.system_id));
            let text = by(call, &call.form.data);
            self.event(id, Level::Debug, "User releasing node", text, Some(&call.caller.user));
            self.start_release(id)?;
        }
        Ok(Reply::list(released))
    }

    /// Gives every AUTO row of the machine an address, hidden until it counts as checked.
    fn claim_auto(&mut self, id: u64) -> Result<(), Reply> {
        let rows = self.machine_mut(id).map(|m| m.rows().collect::<Vec<_>>()).unwrap_or_default();
        for row in rows {
            let subnet = match self.ips.get(&row) {
                Some(r) if r.alloc == AllocType::Auto && r.ip.is_none() => r.subnet,
                _ => continue,
            };
            let Some(subnet) = subnet else { continue };
            let ip = self.pick_ip(subnet)?;
            if let Some(row) = self.ips.get_mut(&row) {
                row.ip = Some(ip);
                row.probing = true;
            }
            self.by_ip.insert(ip, row);
        }
        Ok(())
    }

    /// Takes the addresses of AUTO rows back. The rows stay, and stay linked to DNS resources.
    pub(crate) fn free_auto(&mut self, id: u64) {
        let rows = self.rows_of(id);
        for id in rows {
            let Some(row) = self.ips.get_mut(&id).filter(|r| r.alloc == AllocType::Auto) else {
                continue;
            };
            row.probing = false;
            if let Some(ip) = row.ip.take() {
                self.by_ip.remove(&ip);
                self.touch_resources_of(id);
            }
        }
        self.touch_machine_names(id);
    }

    /// The deployed system came up: what runs on it may start.
    pub(crate) fn booted(&mut self, id: u64) {
        let Some(m) = self.machines.get(&id).filter(|m| !m.faults.mute) else {
            return;
        };
        let addresses: Vec<IpAddr> = self.machine_addresses(m);
        self.happenings.push(Happening::Booted {
            system_id: m.system_id.clone(),
            hostname: m.hostname.clone(),
            fqdn: self.fqdn(m),
            zone: self.zones.get(&m.zone).map(|z| z.name.clone()).unwrap_or_default(),
            addresses,
            user_data: m.user_data.as_deref().map(served_user_data),
            image: m.image(),
            ephemeral: m.ephemeral,
            deployment: m.deployment,
        });
    }
}

/// What the metadata service makes of stored user data: decoded if it is base64 that encodes back to the same text.
pub(crate) fn served_user_data(stored: &str) -> Bytes {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let compact: String = stored.split_whitespace().collect();
    match engine.decode(&compact) {
        Ok(bytes) if engine.encode(&bytes) == compact => Bytes::from(bytes),
        _ => Bytes::copy_from_slice(stored.as_bytes()),
    }
}
