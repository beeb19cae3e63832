//! Operations of people and controllers on a machine in its present state: power, abort, marks, annotations.

use std::time::Duration;

use serde_json::json;

use crate::Status;
use crate::life::{by, no_rack, timed_out};
use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::results::{Progress, RunKind, ScriptStatus};
use crate::route::Call;
use crate::state::{Bmc, Level, PowerState, Step};

const NO_TOOLS: &str = "Power control software is missing from the rack controller 'lab-rack.maas'. To proceed, install the freeipmi-tools package.";

impl Region {
    pub(crate) fn power_on(&mut self, id: u64, call: &Call) -> Answer {
        self.may_edit(id, call)?;
        let post = &call.form.post;
        let user_data = post.last("user_data").filter(|d| !d.is_empty()).map(str::to_owned);
        let Some(machine) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        if machine.owner.is_none() {
            return Err(Reply::text(409, "Can't start node: it hasn't been allocated."));
        }
        self.command(id, true)?;
        let Some(machine) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        // What was stored for the next boot is replaced, by nothing if nothing is given.
        machine.user_data = user_data;
        let (status, manual, again) =
            (machine.status, !machine.has_bmc(), machine.ephemeral && machine.status == Status::Deployed);
        let text = by(call, post);
        self.event(id, Level::Debug, "User powering up node", text, Some(&call.caller.user));
        if matches!(status, Status::Allocated | Status::Reserved) {
            self.start_deployment(id, call)?;
            return self.shown(id);
        }
        if manual {
            return Ok(Reply::null());
        }
        let on = self.durations.power_on;
        self.schedule_step(id, on, Step::SwitchedOn);
        if again {
            let after = on + self.durations.ephemeral + self.durations.first_boot;
            self.schedule_step(id, after, Step::EphemeralAgain);
        }
        self.shown(id)
    }

    pub(crate) fn power_off(&mut self, id: u64, call: &Call) -> Answer {
        self.may_edit(id, call)?;
        let Some(machine) = self.machines.get(&id) else {
            return Err(Reply::missing("Machine"));
        };
        if !machine.has_bmc() {
            return Ok(Reply::null());
        }
        self.command(id, false)?;
        let text = by(call, &call.form.post);
        self.event(id, Level::Debug, "User powering down node", text, Some(&call.caller.user));
        let off = self.durations.power_off;
        self.schedule_step(id, off, Step::SwitchedOff);
        self.shown(id)
    }

    pub(crate) fn query_power_state(&mut self, id: u64, call: &Call) -> Answer {
        self.may_see(id, call)?;
        let Some(machine) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        if !machine.has_bmc() {
            return Ok(Reply::json(&json!({"state": "unknown"})));
        }
        let bmc = machine.bmc;
        if bmc.answers() {
            machine.power_state = machine.reported_power();
            let shown = json!({"state": machine.power_state.name()});
            self.wait_for(bmc);
            return Ok(Reply::json(&shown));
        }
        machine.power_state = PowerState::Error;
        self.wait_for(bmc);
        Err(match bmc {
            Bmc::NoRack => no_rack(),
            Bmc::Silent => timed_out(),
            Bmc::NoTools => Reply::text(500, NO_TOOLS),
            _ => Reply::text(500, "PowerActionError: Connection timed out while performing power action."),
        })
    }

    /// Asks a BMC to switch; the error is what the request is answered with. That it obeys comes later.
    pub(crate) fn command(&mut self, id: u64, on: bool) -> Result<(), Reply> {
        let Some(machine) = self.machines.get(&id).filter(|m| m.has_bmc()) else {
            return Ok(());
        };
        let (bmc, name) = (machine.bmc, machine.hostname.clone());
        self.wait_for(bmc);
        if bmc.answers() {
            return Ok(());
        }
        if bmc == Bmc::NoRack {
            return Err(no_rack());
        }
        if bmc == Bmc::NoTools {
            return Err(Reply::text(500, NO_TOOLS));
        }
        let (kind, text) = if on {
            ("Failed to power on node", "BMC never transitioned from off to on.")
        } else {
            ("Failed to power off node", "BMC never transitioned from on to off.")
        };
        self.event(id, Level::Error, kind, text, None);
        Err(match bmc {
            Bmc::Silent => timed_out(),
            _ => Reply::text(500, format!("PowerActionError: Failed to power {name}. {text}")),
        })
    }

    /// The request is held as long as the BMC takes.
    fn wait_for(&mut self, bmc: Bmc) {
        self.hold = self.hold.max(match bmc {
            Bmc::Late { seconds } => Duration::from_secs(u64::from(seconds)),
            Bmc::Silent => Duration::from_secs(60),
            Bmc::Works | Bmc::Fails | Bmc::NoRack | Bmc::NoTools | Bmc::Lies => Duration::ZERO,
        });
    }

    pub(crate) fn abort(&mut self, id: u64, call: &Call) -> Answer {
        self.may_edit(id, call)?;
        let Some(machine) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        let (asked, what) = match machine.status {
            Status::Deploying => ("User aborting deployment", "Aborted deployment"),
            Status::Commissioning => ("User aborting node commissioning", "Aborted commissioning"),
            Status::DiskErasing => ("User aborting disk erase", "Aborted disk erasing"),
            Status::Testing => ("User aborting node testing", "Aborted testing"),
            other => {
                return Err(Reply::text(
                    409,
                    format!("Cannot abort in current state: node {} is in state {other}.", machine.system_id),
                ));
            }
        };
        machine.epoch += 1;
        if machine.status == Status::Testing {
            self.advance_run(id, RunKind::Testing, ScriptStatus::Aborted, "");
        }
        if self.machines.get(&id).is_some_and(|m| m.status == Status::Commissioning) {
            self.advance_run(id, RunKind::Commissioning, ScriptStatus::Aborted, "");
            self.advance_run(id, RunKind::Testing, ScriptStatus::Aborted, "");
        }
        if self.machines.get(&id).is_some_and(|m| m.status == Status::Deploying) {
            self.wipe(id);
        }
        self.log_installation(id, Progress::GivenUp);
        let text = by(call, &call.form.post);
        self.event(id, Level::Debug, asked, text, Some(&call.caller.user));
        self.event(id, Level::Info, what, "", None);
        let off = self.durations.power_off;
        self.schedule_step(id, off, Step::AbortDone);
        self.shown(id)
    }

    pub(crate) fn mark_broken(&mut self, id: u64, call: &Call) -> Answer {
        self.may_edit(id, call)?;
        let post = &call.form.post;
        let Some(machine) = self.machines.get(&id) else {
            return Err(Reply::missing("Machine"));
        };
        // Only the owner may, administrator or not.
        if machine.owner.as_deref() != Some(call.caller.user.as_str()) {
            return Err(Reply::forbidden());
        }
        let (status, was_on) = (machine.status, machine.is_on());
        let reason = post.last("comment").or_else(|| post.last("error_description")).unwrap_or("").to_owned();
        let user = &call.caller.user;
        let said = if reason.is_empty() { format!("({user})") } else { format!("({user}) - {reason}") };
        self.event(id, Level::Debug, "User marking node broken", said, Some(user));
        if status.is_releasable() {
            self.release_into_broken(id, was_on);
        }
        if let Some(machine) = self.machine_mut(id) {
            machine.error_description = reason;
        }
        self.set_machine_status(id, Status::Broken);
        self.shown(id)
    }

    /// The steps of a release that happen on the way to Broken. The owner stays while the machine runs, so that somebody
    /// can still switch it.
    fn release_into_broken(&mut self, id: u64, was_on: bool) {
        self.wipe(id);
        self.set_machine_status(id, Status::Releasing);
        self.event(id, Level::Info, "Releasing", "", None);
        self.free_auto(id);
        if let Some(machine) = self.machine_mut(id) {
            machine.agent_name.clear();
            machine.os = None;
            machine.hwe_kernel = None;
            machine.netboot = true;
            machine.ephemeral = false;
            machine.epoch += 1;
            if !was_on {
                machine.owner = None;
                machine.owner_data.clear();
            }
        }
        self.log_installation(id, Progress::GivenUp);
        if was_on {
            let off = self.durations.power_off;
            self.schedule_step(id, off, Step::SwitchedOff);
        } else {
            self.event(id, Level::Info, "Released", "", None);
        }
    }

    pub(crate) fn mark_fixed(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let Some(machine) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        if machine.status != Status::Broken {
            return Err(Reply::text(409, "Can't mark a non-broken node as 'Ready'."));
        }
        machine.error_description.clear();
        machine.os = None;
        // Only what MAAS itself marked broken is Deployed right before; people's marks release on the way.
        let to = if machine.previous == Status::Deployed { Status::Deployed } else { Status::Ready };
        if to == Status::Ready {
            machine.owner = None;
            machine.owner_data.clear();
        }
        let text = by(call, &call.form.post);
        self.event(id, Level::Debug, "User marking node fixed", text, Some(&call.caller.user));
        self.set_machine_status(id, to);
        self.shown(id)
    }

    pub(crate) fn lock(&mut self, id: u64, call: &Call, lock: bool) -> Answer {
        self.may_edit_locked(id, call)?;
        let Some(machine) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        if lock && machine.locked {
            return Err(Reply::text(409, "Machine is already locked"));
        }
        if lock && !matches!(machine.status, Status::Deploying | Status::Deployed) {
            return Err(Reply::text(409, "Can't lock, node is not deployed or deploying"));
        }
        if !lock && !machine.locked {
            return Err(Reply::text(409, "Machine is not locked"));
        }
        machine.locked = lock;
        let text = by(call, &call.form.post);
        self.event(
            id,
            Level::Debug,
            if lock { "User locking node" } else { "User unlocking node" },
            text,
            Some(&call.caller.user),
        );
        self.shown(id)
    }

    pub(crate) fn set_owner_data(&mut self, id: u64, call: &Call) -> Answer {
        self.may_edit(id, call)?;
        let Some(machine) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        if machine.owner.as_deref() != Some(call.caller.user.as_str()) {
            return Err(Reply::text(409, "Cannot set workload annotation: it hasn't been acquired."));
        }
        let pairs: Vec<(&str, &str)> = call.form.post.pairs().filter(|(key, _)| *key != "op").collect();
        for (key, _) in &pairs {
            if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
                return Err(Reply::text(500, "Invalid character in key name"));
            }
            let length = key.chars().count();
            if length > 255 {
                return Err(Reply::model_error(
                    "key",
                    format!("Ensure this value has at most 255 characters (it has {length})."),
                ));
            }
        }
        for (key, value) in pairs {
            if value.is_empty() {
                machine.owner_data.remove(key);
            } else {
                machine.owner_data.insert(key.to_owned(), value.to_owned());
            }
        }
        self.shown(id)
    }
}
