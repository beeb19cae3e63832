//! What happens by itself: installers, reboots, power polls, watchdogs.

use jiff::Timestamp;

use crate::Status;
use crate::region::{Happening, Region};
use crate::results::Progress;
use crate::state::{Bmc, DeployFault, Due, Level, PowerState, Step, Times};

impl Region {
    /// Runs a step, unless the machine's story went another way since it was planned.
    pub(crate) fn step(&mut self, id: u64, epoch: u64, step: Step) {
        let Some(machine) = self.machines.get(&id).filter(|m| m.epoch == epoch) else {
            return;
        };
        let (status, powered) = (machine.status, machine.is_on());
        let d = self.durations.clone();
        match step {
            Step::AddressesAccepted => self.accept_addresses(id),
            Step::PowerOn => {
                if self.power_on_for_deployment(id) {
                    self.event(id, Level::Info, "Performing PXE boot", "", None);
                    self.schedule_step(id, d.ephemeral, Step::Ephemeral);
                }
            }
            // Without power nothing goes on; the watchdog will notice.
            Step::Ephemeral | Step::Installed | Step::Rebooted | Step::FirstUserData if !powered => {}
            Step::Ephemeral => {
                self.event(id, Level::Info, "Loading ephemeral", "", None);
                self.log_installation(id, Progress::Started);
                if self.machines.get(&id).is_some_and(|m| m.ephemeral) {
                    self.schedule_step(id, d.first_boot, Step::FirstUserData);
                } else {
                    self.event(id, Level::Info, "Configuring storage", "", None);
                    self.event(id, Level::Info, "Installing OS", "", None);
                    self.schedule_step(id, d.installing, Step::Installed);
                }
            }
            Step::Installed => self.installed(id),
            Step::Rebooted => self.schedule_step(id, d.first_boot, Step::FirstUserData),
            Step::FirstUserData => self.first_user_data(id),
            Step::DeployWatchdog => {
                if status == Status::Deploying {
                    self.fail_deployment(id, "time-out during deployment");
                }
            }
            Step::AbortDone => self.abort_done(id),
            Step::SwitchedOn => {
                // Drivers of IPMI cycle what is on already.
                let cycled = |m: &crate::state::Machine| m.is_on() && m.bmc.obeys() && m.power_type == "ipmi";
                if self.machines.get(&id).is_some_and(cycled) {
                    self.switch(id, false);
                }
                self.switch(id, true);
            }
            Step::SwitchedOff => self.switch(id, false),
            Step::EphemeralAgain => {
                if powered && status == Status::Deployed {
                    if let Some(machine) = self.machine_mut(id) {
                        machine.deployment += 1;
                    }
                    self.booted(id);
                }
            }
            Step::ReleasedOff => {
                let Some(machine) = self.machine_mut(id).filter(|m| m.bmc.answers()) else {
                    return;
                };
                if !machine.faults.release.take() {
                    self.switch(id, false);
                    self.finish_release(id);
                }
            }
            Step::ReleaseWatchdog => {
                if status == Status::Releasing {
                    self.fail(id, Status::FailedReleasing, "Node operation 'Releasing' timed out after 5 minutes.");
                }
            }
            Step::Commissioned | Step::Tested | Step::RescueEntered if !powered => {}
            Step::Commissioned => self.commissioned(id),
            Step::Tested => self.tested(id),
            Step::RescueEntered => self.rescue_entered(id),
            Step::RescueLeft => self.rescue_left(id),
            Step::EraseBoot => {
                if let Some(machine) = self.machine_mut(id).filter(|m| m.bmc.obeys()) {
                    machine.running = false;
                }
                self.switch(id, true);
            }
            Step::Erased => self.erased(id),
        }
    }

    /// Powered off by hand while erasing: hangs, as the real one may.
    fn erased(&mut self, id: u64) {
        let Some(machine) = self.machine_mut(id).filter(|m| m.is_on() || !m.has_bmc()) else {
            return;
        };
        if machine.faults.erase.take() {
            self.fail(id, Status::FailedDiskErasing, "Failed to erase disks.");
            return;
        }
        // The erase already is the end of what was deployed; only one Wiped per release.
        machine.os = None;
        // A BMC that fails now has put the status back and written its event; nobody waits for an answer.
        let _ = self.start_release(id);
    }

    pub(crate) fn first_user_data(&mut self, id: u64) {
        if self.fail_if_told(id) {
            return;
        }
        let image = self
            .machines
            .get(&id)
            .map(|m| format!("deployed {}/{}", m.image(), m.architecture.split('/').next().unwrap_or("")))
            .unwrap_or_default();
        if let Some(machine) = self.machine_mut(id) {
            machine.netboot = false;
            machine.error_description.clear();
        }
        self.accept_addresses(id);
        self.log_installation(id, Progress::Finished);
        self.set_machine_status(id, Status::Deployed);
        self.event(id, Level::Info, "Deployed", "", None);
        self.event(id, Level::Info, "Image Deployed", image, None);
        self.booted(id);
    }

    /// True if a step has nothing to do any more: the machine is gone or went another way, a watchdog's watch is over.
    pub(crate) fn is_void(&self, due: Due) -> bool {
        let Due::Step { machine, epoch, step } = due else {
            return false;
        };
        self.machines.get(&machine).is_none_or(|m| {
            m.epoch != epoch
                || (step == Step::DeployWatchdog && m.status != Status::Deploying)
                || (step == Step::ReleaseWatchdog && m.status != Status::Releasing)
        })
    }

    fn accept_addresses(&mut self, id: u64) {
        let rows = self.rows_of(id);
        let mut news = false;
        for row_id in rows {
            if let Some(row) = self.ips.get_mut(&row_id).filter(|r| r.probing) {
                row.probing = false;
                news = true;
                self.touch_resources_of(row_id);
            }
        }
        if news {
            self.touch_machine_names(id);
        }
    }

    /// True when the machine has power now; a BMC that fails ends the deployment.
    fn power_on_for_deployment(&mut self, id: u64) -> bool {
        let Some(machine) = self.machines.get(&id) else {
            return false;
        };
        let refused = match &machine.faults.deployment {
            Some((DeployFault::Power, times)) => *times != Times::default(),
            _ => !machine.bmc.answers() && machine.has_bmc(),
        };
        if refused {
            let text = format!(
                "PowerActionError: Failed to power {}. BMC never transitioned from off to on.",
                machine.hostname
            );
            self.take_deploy_fault(id, |fault| *fault == DeployFault::Power);
            self.event(id, Level::Error, "Failed to power on node", text.clone(), None);
            self.fail_deployment(id, &text);
            return false;
        }
        // A machine that was on is cycled: what ran before is gone either way.
        if let Some(machine) = self.machine_mut(id).filter(|m| m.bmc.obeys()) {
            machine.running = false;
        }
        self.switch(id, true);
        self.machines.get(&id).is_some_and(crate::state::Machine::is_on)
    }

    fn installed(&mut self, id: u64) {
        self.event(id, Level::Info, "Configuring OS", "", None);
        if self.fail_if_told(id) {
            return;
        }
        self.log_installation(id, Progress::Finished);
        if let Some(machine) = self.machine_mut(id) {
            machine.netboot = false;
        }
        self.event(id, Level::Info, "Rebooting", "", None);
        let reboot = self.durations.reboot;
        self.schedule_step(id, reboot, Step::Rebooted);
    }

    /// The fault that a deployment is to have, if it is of that kind; one time less is left.
    fn take_deploy_fault(&mut self, id: u64, kind: impl Fn(&DeployFault) -> bool) -> Option<DeployFault> {
        let (fault, times) = self.machine_mut(id)?.faults.deployment.as_mut().filter(|(fault, _)| kind(fault))?;
        times.take().then(|| fault.clone())
    }

    /// True if the deployment ends here: the installer said why, or nothing will ever be heard again.
    fn fail_if_told(&mut self, id: u64) -> bool {
        let disk = self.machines.get(&id).is_some_and(|m| m.netboot && !m.ephemeral);
        let kind = |fault: &DeployFault| match fault {
            DeployFault::Installer(_) => true,
            // The installer still says that it is done.
            DeployFault::NeverReports => !disk,
            DeployFault::Power | DeployFault::NotStarted => false,
        };
        match self.take_deploy_fault(id, kind) {
            Some(DeployFault::Installer(text)) => {
                self.log_installation(id, Progress::Failed(&text));
                self.event(id, Level::Error, "Node installation failure", text.clone(), None);
                self.fail_deployment(id, &text);
                true
            }
            Some(_) => true,
            None => false,
        }
    }

    fn fail_deployment(&mut self, id: u64, text: &str) {
        self.wipe(id);
        self.log_installation(id, Progress::GivenUp);
        self.fail(id, Status::FailedDeployment, text);
    }

    pub(crate) fn fail(&mut self, id: u64, status: Status, text: &str) {
        if let Some(machine) = self.machine_mut(id) {
            machine.epoch += 1;
            text.clone_into(&mut machine.error_description);
        }
        self.event(id, Level::Error, "Marking node failed", text, None);
        self.set_machine_status(id, status);
    }

    fn abort_done(&mut self, id: u64) {
        let Some(machine) = self.machine_mut(id) else {
            return;
        };
        let to = match machine.status {
            Status::Deploying => Status::Allocated,
            Status::Commissioning => {
                machine.owner = None;
                Status::New
            }
            Status::DiskErasing => Status::FailedDiskErasing,
            _ => machine.before,
        };
        if matches!(to, Status::Ready | Status::New) {
            machine.owner = None;
        }
        if to == Status::Allocated {
            machine.os = None;
            machine.hwe_kernel = None;
            self.free_auto(id);
        }
        self.set_machine_status(id, to);
        self.switch(id, false);
    }

    /// The BMC did as told: power and what the region knows of it agree. Unless it lies, or does not answer.
    pub(crate) fn switch(&mut self, id: u64, on: bool) {
        let Some(machine) = self.machine_mut(id) else {
            return;
        };
        let has_bmc = machine.has_bmc();
        if has_bmc && !machine.bmc.obeys() {
            if machine.bmc == Bmc::Lies {
                machine.claimed = Some(on);
                machine.power_state = machine.reported_power();
            }
            return;
        }
        let before = machine.is_on();
        // By hand somebody switches a machine on to be deployed, but nobody switches it off.
        if has_bmc || on {
            machine.running = on;
        }
        let after = machine.is_on();
        if has_bmc {
            machine.power_state = machine.reported_power();
        }
        self.power_news(id, before, after);
    }

    /// Tells of power that came or went.
    pub(crate) fn power_news(&mut self, id: u64, before: bool, after: bool) {
        let Some(machine) = self.machine_mut(id) else {
            return;
        };
        let system_id = machine.system_id.clone();
        match (before, after) {
            (true, false) => {
                machine.faults.hung = false;
                let lost = machine.ephemeral && machine.status == Status::Deployed;
                self.happenings.push(Happening::PoweredOff { system_id: system_id.clone() });
                if lost {
                    self.happenings.push(Happening::Wiped { system_id });
                }
            }
            (false, true) => self.happenings.push(Happening::PoweredOn { system_id }),
            _ => {}
        }
    }

    /// Plans the poll that will see a change; each machine has its own place in the period.
    pub(crate) fn plan_power_poll(&mut self, id: u64) {
        let period = i64::try_from(self.durations.power_poll.as_millis()).unwrap_or(i64::MAX).max(1);
        let phase = i64::try_from(id.wrapping_mul(7919)).unwrap_or(0) % period;
        let now = self.now.as_millisecond();
        let next = now - (now - phase).rem_euclid(period) + period;
        let at = Timestamp::from_millisecond(next).unwrap_or(self.now);
        let number = self.next_id("agenda");
        self.agenda.insert((at, number), Due::PowerPoll { machine: id });
    }

    pub(crate) fn power_poll(&mut self, id: u64) {
        let Some(machine) = self.machine_mut(id) else {
            return;
        };
        // Broken machines are not polled.
        if !machine.has_bmc() || machine.status == Status::Broken {
            return;
        }
        let seen = if machine.bmc.answers() { machine.reported_power() } else { PowerState::Error };
        let failed = seen == PowerState::Error && machine.power_state != PowerState::Error;
        machine.power_state = seen;
        if failed {
            self.event(
                id,
                Level::Warning,
                "Failed to query node's BMC",
                "Connection timed out while performing power action.",
                None,
            );
        }
    }
}
