//! What tests, demos and people do to a region from outside of its API: hardware, operators, outages.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::Status;
use crate::region::{Outage, Region};
use crate::specs::{ImageSpec, MachineSpec};
use crate::state::{Bmc, DeployFault, DnsResource, Faults, IpRow, Level, User};

/// Why a knob could not be turned.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KnobError {
    /// No machine has that `system_id` or host name.
    #[error("no machine {0}")]
    NoMachine(String),
    /// No user has that name.
    #[error("no user {0}")]
    NoUser(String),
    /// A value that cannot be used.
    #[error("{0}")]
    Invalid(String),
}

/// Kind of a [`KnobError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnobErrorKind {
    /// The thing to act on does not exist.
    NotFound,
    /// The value is wrong.
    Invalid,
}

impl KnobError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> KnobErrorKind {
        match self {
            KnobError::NoMachine(_) | KnobError::NoUser(_) => KnobErrorKind::NotFound,
            KnobError::Invalid(_) => KnobErrorKind::Invalid,
        }
    }
}

/// What the region holds about a machine, beyond what its API shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineState {
    /// `system_id`.
    pub system_id: String,
    /// Host name.
    pub hostname: String,
    /// `hostname.domain`.
    pub fqdn: String,
    /// Zone name.
    pub zone: String,
    /// Status.
    pub status: Status,
    /// Owner, if any.
    pub owner: Option<String>,
    /// The marker of allocate, which the API never shows.
    pub agent_name: String,
    /// Workload annotations.
    pub owner_data: std::collections::BTreeMap<String, String>,
    /// Power reaches the mainboard, whatever `power_state` still says.
    pub powered: bool,
    /// What runs on it stands still, see [`Region::hang`].
    pub hung: bool,
    /// The BMC's condition.
    pub bmc: Bmc,
    /// Locked by an operator.
    pub locked: bool,
    /// Addresses as machine JSON shows them.
    pub addresses: Vec<IpAddr>,
    /// `os/series`, empty when nothing is deployed.
    pub image: String,
    /// Number of deployments so far.
    pub deployment: u64,
}

impl Region {
    /// The machine of that `system_id` or host name.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<MachineState> {
        let id = self.locate(name).ok()?;
        let m = self.machines.get(&id)?;
        Some(MachineState {
            system_id: m.system_id.clone(),
            hostname: m.hostname.clone(),
            fqdn: self.fqdn(m),
            zone: self.zones.get(&m.zone).map(|z| z.name.clone()).unwrap_or_default(),
            status: m.status,
            owner: m.owner.clone(),
            agent_name: m.agent_name.clone(),
            owner_data: m.owner_data.clone(),
            powered: m.is_on(),
            hung: m.faults.hung,
            bmc: m.bmc,
            locked: m.locked,
            addresses: self.machine_addresses(m),
            image: m.image(),
            deployment: m.deployment,
        })
    }

    /// The user data that the machine gets from the metadata service: what `deploy` was given, decoded. None before a deploy
    /// and after a release.
    ///
    /// # Errors
    /// No such machine.
    pub fn user_data(&self, machine: &str) -> Result<Option<bytes::Bytes>, KnobError> {
        let id = self.locate(machine)?;
        let stored = self.machines.get(&id).and_then(|m| m.user_data.as_deref());
        Ok(stored.map(crate::life::served_user_data))
    }

    fn locate(&self, name: &str) -> Result<u64, KnobError> {
        self.by_system_id
            .get(name)
            .or_else(|| self.by_hostname.get(&name.to_ascii_lowercase()))
            .copied()
            .ok_or_else(|| KnobError::NoMachine(name.to_owned()))
    }

    /// Pulls (`false`) or plugs (`true`) the power cord. `power_state` follows at the next poll; a machine that was
    /// running runs again when plugged in.
    ///
    /// # Errors
    /// No such machine.
    pub fn set_power_cord(&mut self, now: Timestamp, machine: &str, plugged: bool) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if let Some(m) = self.machine_mut(id) {
            let before = m.is_on();
            m.plugged = plugged;
            let after = m.is_on();
            self.power_news(id, before, after);
        }
        self.plan_power_poll(id);
        Ok(())
    }

    /// Sets what the BMC does from now on. The region notices at its next poll or action.
    ///
    /// # Errors
    /// No such machine.
    pub fn set_bmc(&mut self, now: Timestamp, machine: &str, bmc: Bmc) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if let Some(m) = self.machine_mut(id) {
            m.bmc = bmc;
            m.claimed = None;
        }
        self.plan_power_poll(id);
        Ok(())
    }

    /// Lets the next deployment of the machine fail (also one that runs now) with that `error_description`.
    ///
    /// # Errors
    /// No such machine.
    pub fn fail_next_deployment(&mut self, now: Timestamp, machine: &str, error: &str) -> Result<(), KnobError> {
        self.fail_deployments(now, machine, DeployFault::Installer(error.to_owned()), Some(1))
    }

    /// Lets the next deployments of the machine go wrong in that way, so many times or always (`None`); also one that
    /// runs now. Zero times makes deployments work again.
    ///
    /// # Errors
    /// No such machine.
    pub fn fail_deployments(
        &mut self,
        now: Timestamp,
        machine: &str,
        fault: DeployFault,
        times: Option<u32>,
    ) -> Result<(), KnobError> {
        self.with_faults(now, machine, |faults| faults.deployment = Some((fault, times.into())))
    }

    /// Lets commissionings of the machine fail, so many times or always (`None`).
    ///
    /// # Errors
    /// No such machine.
    pub fn fail_commissionings(&mut self, now: Timestamp, machine: &str, times: Option<u32>) -> Result<(), KnobError> {
        self.with_faults(now, machine, |faults| faults.commissioning = times.into())
    }

    /// Lets tests of the machine fail, so many times or always (`None`).
    ///
    /// # Errors
    /// No such machine.
    pub fn fail_tests(&mut self, now: Timestamp, machine: &str, times: Option<u32>) -> Result<(), KnobError> {
        self.with_faults(now, machine, |faults| faults.testing = times.into())
    }

    /// MAAS gives the machine up where it stands, for that reason: `Failed deployment` and so on.
    ///
    /// # Errors
    /// No such machine, or it is in a state that cannot fail.
    pub fn fail_now(&mut self, now: Timestamp, machine: &str, reason: &str) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        let status = self.machines.get(&id).map_or(Status::New, |m| m.status);
        let to = match status {
            Status::Commissioning => Status::FailedCommissioning,
            Status::Deploying => Status::FailedDeployment,
            Status::Releasing => Status::FailedReleasing,
            Status::DiskErasing => Status::FailedDiskErasing,
            Status::EnteringRescueMode => Status::FailedEnteringRescueMode,
            Status::ExitingRescueMode => Status::FailedExitingRescueMode,
            Status::Testing => Status::FailedTesting,
            other => return Err(KnobError::Invalid(format!("{machine}: {other} has no failed state"))),
        };
        self.fail(id, to, reason);
        Ok(())
    }

    /// What the machine is being deployed with is there at once, as if the time had passed.
    ///
    /// # Errors
    /// No such machine, or one that is not Deploying.
    pub fn finish_deployment(&mut self, now: Timestamp, machine: &str) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if self.machines.get(&id).is_none_or(|m| m.status != Status::Deploying) {
            return Err(KnobError::Invalid(format!("{machine} is not Deploying")));
        }
        if let Some(m) = self.machine_mut(id) {
            m.epoch += 1;
        }
        self.switch(id, true);
        self.first_user_data(id);
        Ok(())
    }

    /// What the machine boots from next: the network (`true`) or its disk.
    ///
    /// # Errors
    /// No such machine.
    pub fn set_netboot(&mut self, now: Timestamp, machine: &str, netboot: bool) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if let Some(m) = self.machine_mut(id) {
            m.netboot = netboot;
        }
        Ok(())
    }

    /// Lets disks of the machine refuse to be erased, so many times or always (`None`): `Failed disk erasing`.
    ///
    /// # Errors
    /// No such machine.
    pub fn fail_erases(&mut self, now: Timestamp, machine: &str, times: Option<u32>) -> Result<(), KnobError> {
        self.with_faults(now, machine, |faults| faults.erase = times.into())
    }

    /// Lets releases of the machine hang while it runs, so many times or always (`None`): the request is answered with
    /// Releasing, the power never goes off, and the watchdog ends it in `Releasing failed`. A release that fails within its
    /// request is what [`Bmc::Fails`] makes.
    ///
    /// # Errors
    /// No such machine.
    pub fn fail_releases(&mut self, now: Timestamp, machine: &str, times: Option<u32>) -> Result<(), KnobError> {
        self.with_faults(now, machine, |faults| faults.release = times.into())
    }

    /// Lets what is deployed on the machine be dead: MAAS sees it ask for its user data and says Deployed, but there is no
    /// [`Booted`](crate::Happening::Booted), so nothing on it ever joins anything. From the next boot on.
    ///
    /// # Errors
    /// No such machine.
    pub fn set_mute(&mut self, now: Timestamp, machine: &str, mute: bool) -> Result<(), KnobError> {
        self.with_faults(now, machine, |faults| faults.mute = mute)
    }

    /// Lets what runs on the machine stand still (a kernel that panicked): MAAS sees Deployed and on, and nothing on it answers until the
    /// power has been off.
    ///
    /// # Errors
    /// No such machine, or one that is off.
    pub fn hang(&mut self, now: Timestamp, machine: &str) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        let Some(m) = self.machine_mut(id).filter(|m| m.is_on()) else {
            return Err(KnobError::Invalid(format!("{machine} is off: nothing runs on it that could hang")));
        };
        m.faults.hung = true;
        let system_id = m.system_id.clone();
        self.happenings.push(crate::Happening::Hung { system_id });
        Ok(())
    }

    /// Cuts the power for a moment: what is on disk boots again; what ran from memory has lost its root and nothing runs
    /// any more, while MAAS shows Deployed and on.
    ///
    /// # Errors
    /// No such machine.
    pub fn glitch_power(&mut self, now: Timestamp, machine: &str) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if self.machines.get(&id).is_some_and(crate::state::Machine::is_on) {
            self.power_news(id, true, false);
            self.power_news(id, false, true);
        }
        Ok(())
    }

    /// Switches the machine on or off at its button; `power_state` follows at the next poll.
    ///
    /// # Errors
    /// No such machine.
    pub fn press_power_button(&mut self, now: Timestamp, machine: &str, on: bool) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if let Some(m) = self.machine_mut(id) {
            let before = m.is_on();
            m.running = on;
            let after = m.is_on();
            self.power_news(id, before, after);
        }
        self.plan_power_poll(id);
        Ok(())
    }

    fn with_faults(
        &mut self,
        now: Timestamp,
        machine: &str,
        change: impl FnOnce(&mut Faults),
    ) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if let Some(m) = self.machine_mut(id) {
            change(&mut m.faults);
        }
        Ok(())
    }

    /// Locks or unlocks, in whatever state the machine is.
    ///
    /// # Errors
    /// No such machine.
    pub fn set_locked(&mut self, now: Timestamp, machine: &str, locked: bool) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if let Some(m) = self.machine_mut(id) {
            m.locked = locked;
        }
        Ok(())
    }

    /// An operator's hand: puts the machine into that status, stopping what was going on. Ready and New also take
    /// owner, annotations and addresses away, as a release by hand does.
    ///
    /// # Errors
    /// No such machine.
    pub fn set_status(&mut self, now: Timestamp, machine: &str, status: Status) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if matches!(status, Status::Ready | Status::New) {
            self.wipe(id);
            self.finish_release(id);
        }
        if let Some(m) = self.machine_mut(id) {
            m.epoch += 1;
            if matches!(status, Status::RescueMode | Status::EnteringRescueMode | Status::Testing) {
                m.before = m.status;
            }
            m.acquired |= crate::storage::shows_copies(status)
                && !crate::storage::shows_copies(m.status)
                && status != Status::Testing;
        }
        self.set_machine_status(id, status);
        self.give_os(id);
        Ok(())
    }

    /// MAAS itself marks the machine broken: an ERROR event with the reason. Nothing else changes, the owner stays.
    ///
    /// # Errors
    /// No such machine.
    pub fn mark_broken_by_system(&mut self, now: Timestamp, machine: &str, reason: &str) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        self.event(id, Level::Error, "Marking node broken", reason, None);
        if let Some(m) = self.machine_mut(id) {
            m.epoch += 1;
            reason.clone_into(&mut m.error_description);
        }
        self.set_machine_status(id, Status::Broken);
        Ok(())
    }

    /// Gives the machine to another user, or to nobody, without any further change.
    ///
    /// # Errors
    /// No such machine.
    pub fn set_owner(&mut self, now: Timestamp, machine: &str, owner: Option<&str>) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if let Some(m) = self.machine_mut(id) {
            m.owner = owner.map(str::to_owned);
        }
        Ok(())
    }

    /// Takes workload annotations and the marker of allocate off the machine, so that it looks as if another program had
    /// deployed it.
    ///
    /// # Errors
    /// No such machine.
    pub fn clear_marks(&mut self, now: Timestamp, machine: &str) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        if let Some(m) = self.machine_mut(id) {
            m.agent_name.clear();
            m.owner_data.clear();
        }
        Ok(())
    }

    /// Puts a new machine into the inventory; answers its `system_id`.
    ///
    /// # Errors
    /// The host name or `system_id` is taken, or the host name empty.
    pub fn add_machine(&mut self, now: Timestamp, spec: MachineSpec) -> Result<String, KnobError> {
        self.tick(now);
        let taken = spec.system_id.as_ref().is_some_and(|id| self.by_system_id.contains_key(id));
        if spec.hostname.is_empty() || taken || self.by_hostname.contains_key(&spec.hostname.to_ascii_lowercase()) {
            return Err(KnobError::Invalid(format!(
                "machine {:?}: hostname empty, or hostname or system_id taken",
                spec.hostname
            )));
        }
        Ok(self.insert_machine(spec))
    }

    /// Takes a machine out of the inventory, as an administrator's DELETE does, in any state.
    ///
    /// # Errors
    /// No such machine.
    pub fn remove_machine(&mut self, now: Timestamp, machine: &str) -> Result<(), KnobError> {
        self.tick(now);
        let id = self.locate(machine)?;
        self.drop_machine(id);
        Ok(())
    }

    /// Adds a boot image, as an import or an upload does.
    pub fn add_image(&mut self, now: Timestamp, image: ImageSpec) {
        self.tick(now);
        self.insert_image(image);
    }

    /// Adds an authoritative DNS domain, if there is none of that name.
    pub fn add_domain(&mut self, now: Timestamp, name: &str) {
        self.tick(now);
        self.ensure_domain(name);
    }

    /// Takes the whole region down, or up with `None`. Time goes on for machines meanwhile.
    pub fn set_outage(&mut self, now: Timestamp, outage: Option<Outage>) {
        self.tick(now);
        self.outage = outage;
    }

    /// How the region is out of order, if it is.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        self.outage
    }

    /// Makes a user administrator or not; creates the user when missing.
    pub fn set_admin(&mut self, user: &str, admin: bool) {
        self.users.entry(user.to_owned()).or_insert(User { admin, email: None }).admin = admin;
    }

    /// Adds an API key `consumer:token:secret` of a user.
    ///
    /// # Errors
    /// No such user, or a key of another form.
    pub fn add_api_key(&mut self, user: &str, key: &str) -> Result<(), KnobError> {
        if !self.users.contains_key(user) {
            return Err(KnobError::NoUser(user.to_owned()));
        }
        if self.insert_key(user, key) {
            Ok(())
        } else {
            Err(KnobError::Invalid("an API key is consumer:token:secret".to_owned()))
        }
    }

    /// Gives an API key another name than `MAAS consumer`.
    ///
    /// # Errors
    /// No such key.
    pub fn name_api_key(&mut self, key: &str, name: &str) -> Result<(), KnobError> {
        let token = key.split(':').nth(1).and_then(|token| self.tokens.get_mut(token));
        let token = token.ok_or_else(|| KnobError::Invalid("no such API key".to_owned()))?;
        name.clone_into(&mut token.name);
        Ok(())
    }

    /// Revokes one API key, or all keys of the user with `None`. The consumer goes with its last token.
    ///
    /// # Errors
    /// No such user.
    pub fn revoke_api_keys(&mut self, user: &str, key: Option<&str>) -> Result<(), KnobError> {
        if !self.users.contains_key(user) {
            return Err(KnobError::NoUser(user.to_owned()));
        }
        let token = key.map(|k| k.split(':').nth(1).unwrap_or(""));
        self.tokens.retain(|name, t| t.user != user || token.is_some_and(|wanted| wanted != name));
        self.consumers = self.tokens.values().map(|t| t.consumer.clone()).collect();
        Ok(())
    }

    /// Adds a DNS resource without going through the API: foreign records, or a duplicate as two concurrent creations
    /// leave it. Creates the domain when missing.
    ///
    /// # Errors
    /// A name without a domain.
    pub fn add_dns_resource(&mut self, now: Timestamp, fqdn: &str, addresses: &[IpAddr]) -> Result<u64, KnobError> {
        self.tick(now);
        let (name, domain) = fqdn.split_once('.').ok_or_else(|| KnobError::Invalid(format!("{fqdn}: no domain")))?;
        let domain = self.ensure_domain(domain);
        let ips: BTreeSet<u64> = addresses
            .iter()
            .map(|ip| match self.by_ip.get(ip) {
                Some(row) => *row,
                None => {
                    let subnet = self.subnet_of(*ip);
                    self.insert_ip(IpRow::reserved(*ip, subnet, None, self.now))
                }
            })
            .collect();
        let id = self.next_id("dns");
        self.dns.insert(id, DnsResource { name: name.to_owned(), domain, address_ttl: None, ips });
        self.touch_resource(id);
        Ok(id)
    }
}
