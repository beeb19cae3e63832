//! Commissioning, testing and rescue mode; and machines that come and are described by hand (reference §2.1, §3).

use serde_json::{Map, Value, json};

use crate::Status;
use crate::life::by;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::results::{COMMISSIONING, RunKind, ScriptStatus};
use crate::route::Call;
use crate::specs::{InterfaceSpec, MachineSpec};
use crate::state::{Level, Machine, Step};

/// The test that commissioning runs besides when none is named.
const DEFAULT_TEST: &str = "smartctl-validate";

/// What a commissioning looks at and lays out anew.
struct Plan {
    tested: bool,
    networking: bool,
    storage: bool,
}

impl Plan {
    const WHOLE: Self = Self { tested: true, networking: true, storage: true };
}

impl Region {
    pub(crate) fn commission(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let status = self.machines.get(&id).map_or(Status::New, |m| m.status);
        if !matches!(
            status,
            Status::New | Status::Ready | Status::Broken | Status::FailedCommissioning | Status::FailedTesting
        ) {
            let text = "Commission is not available because of the current state of the node.";
            return Err(Reply::invalid("__all__", text));
        }
        self.command(id, true)?;
        let said = by(call, &call.form.data);
        let data = &call.form.data;
        let plan = Plan {
            tested: data.last("testing_scripts") != Some("none"),
            networking: !data.checkbox("skip_networking"),
            storage: !data.checkbox("skip_storage"),
        };
        self.start_commissioning(id, &call.caller.user, said, &plan);
        self.shown(id)
    }

    fn start_commissioning(&mut self, id: u64, user: &str, said: String, plan: &Plan) {
        self.event(id, Level::Debug, "User starting node commissioning", said, Some(user));
        self.begin_run(id, RunKind::Commissioning, &COMMISSIONING, ScriptStatus::Pending);
        if plan.tested {
            self.begin_run(id, RunKind::Testing, &[DEFAULT_TEST], ScriptStatus::Pending);
        }
        if let Some(m) = self.machine_mut(id) {
            m.epoch += 1;
            m.owner = Some(user.to_owned());
            m.netboot = true;
            // What is found on the disks is laid out anew.
            if plan.storage {
                m.clear_disks();
            }
        }
        if plan.networking {
            self.clear_links(id);
        }
        self.event(id, Level::Info, "Commissioning", "", None);
        self.set_machine_status(id, Status::Commissioning);
        let d = self.durations.clone();
        self.schedule_step(id, d.power_on, Step::SwitchedOn);
        self.schedule_step(id, d.power_on + d.ephemeral + d.commissioning, Step::Commissioned);
    }

    /// The scripts of commissioning are through.
    pub(crate) fn commissioned(&mut self, id: u64) {
        let failed = self.machine_mut(id).is_some_and(|m| m.faults.commissioning.take());
        let status = if failed { ScriptStatus::Failed } else { ScriptStatus::Passed };
        self.advance_run(id, RunKind::Commissioning, status, "");
        if failed {
            self.advance_run(id, RunKind::Testing, ScriptStatus::Aborted, "");
            self.fail(id, Status::FailedCommissioning, "Failed to commission: 50-maas-01-commissioning");
            if let Some(m) = self.machine_mut(id) {
                m.owner = None;
            }
            return;
        }
        if let Some(m) = self.machine_mut(id) {
            let bare = |d: &&mut crate::disks::Disk| d.partitions.is_empty();
            m.disks.iter_mut().take(1).filter(bare).for_each(|d| d.lay_out_flat(d.id));
        }
        self.configure_boot_interface(id);
        if self.machines.get(&id).is_some_and(|m| running(m, RunKind::Testing)) {
            self.set_machine_status(id, Status::Testing);
            if let Some(m) = self.machine_mut(id) {
                m.before = Status::Ready;
            }
            let after = self.durations.testing;
            self.schedule_step(id, after, Step::Tested);
        } else {
            self.commissioning_over(id);
        }
    }

    fn commissioning_over(&mut self, id: u64) {
        if let Some(m) = self.machine_mut(id) {
            m.owner = None;
        }
        self.event(id, Level::Info, "Ready", "", None);
        self.set_machine_status(id, Status::Ready);
        self.switch(id, false);
    }

    pub(crate) fn test(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let status = self.machines.get(&id).map_or(Status::New, |m| m.status);
        let fits = !matches!(
            status,
            Status::Commissioning
                | Status::Deploying
                | Status::Releasing
                | Status::DiskErasing
                | Status::EnteringRescueMode
                | Status::ExitingRescueMode
        );
        if !fits {
            return Err(invalid_transition(status, Status::Testing));
        }
        self.command(id, true)?;
        let said = by(call, &call.form.data);
        let user = call.caller.user.clone();
        self.event(id, Level::Debug, "User starting node testing", said, Some(&user));
        self.begin_run(id, RunKind::Testing, &[DEFAULT_TEST], ScriptStatus::Pending);
        // Up to 3.7 there is one place for user data, and the test's own takes it.
        let one_store = !self.is_at_least(3, 8);
        if let Some(m) = self.machine_mut(id) {
            m.epoch += 1;
            m.before = status;
            if one_store {
                m.user_data = None;
            }
            m.owner.get_or_insert(user);
        }
        self.event(id, Level::Info, "Testing", "", None);
        self.set_machine_status(id, Status::Testing);
        let d = self.durations.clone();
        self.schedule_step(id, d.power_on, Step::SwitchedOn);
        self.schedule_step(id, d.power_on + d.ephemeral + d.testing, Step::Tested);
        self.shown(id)
    }

    /// The tests are through: back to what it was before, which for a machine that is nobody's then means nobody's.
    pub(crate) fn tested(&mut self, id: u64) {
        let failed = self.machine_mut(id).is_some_and(|m| m.faults.testing.take());
        self.advance_run(id, RunKind::Testing, if failed { ScriptStatus::Failed } else { ScriptStatus::Passed }, "");
        if failed {
            self.fail(id, Status::FailedTesting, &format!("Failed to test: {DEFAULT_TEST}"));
            return;
        }
        match self.machines.get(&id).map(|m| m.before) {
            Some(Status::Ready) => self.commissioning_over(id),
            Some(before) => self.back_to(id, before),
            None => {}
        }
    }

    fn back_to(&mut self, id: u64, before: Status) {
        if matches!(before, Status::New | Status::Ready | Status::Broken)
            && let Some(m) = self.machine_mut(id)
        {
            m.owner = None;
        }
        self.set_machine_status(id, before);
    }

    pub(crate) fn override_failed_testing(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let Some(m) = self.machines.get(&id) else {
            return Err(Reply::missing("Machine"));
        };
        if m.status != Status::FailedTesting {
            return Err(Reply::text(409, format!("Cannot override failed testing: node is in state {}.", m.status)));
        }
        let deployed = m.os.is_some();
        let said = by(call, &call.form.data);
        self.event(id, Level::Debug, "User overrode 'Failed testing' status", said, Some(&call.caller.user));
        if let Some(m) = self.machine_mut(id) {
            m.error_description.clear();
        }
        if deployed {
            self.set_machine_status(id, Status::Deployed);
        } else {
            self.back_to(id, Status::Ready);
        }
        self.shown(id)
    }

    pub(crate) fn rescue_mode(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let status = self.machines.get(&id).map_or(Status::New, |m| m.status);
        let steady = matches!(
            status,
            Status::New
                | Status::FailedCommissioning
                | Status::Missing
                | Status::Ready
                | Status::Reserved
                | Status::Allocated
                | Status::Deployed
                | Status::Retired
                | Status::Broken
                | Status::FailedDeployment
                | Status::FailedDiskErasing
                | Status::FailedTesting
                | Status::FailedEnteringRescueMode
        );
        if !steady {
            return Err(invalid_transition(status, Status::EnteringRescueMode));
        }
        self.command(id, true)?;
        let said = by(call, &call.form.data);
        let user = call.caller.user.clone();
        self.event(id, Level::Debug, "User starting rescue mode", said, Some(&user));
        let one_store = !self.is_at_least(3, 8);
        if let Some(m) = self.machine_mut(id) {
            m.epoch += 1;
            if status != Status::FailedEnteringRescueMode {
                m.before = status;
            }
            if one_store {
                m.user_data = None;
            }
            m.owner = Some(user);
        }
        self.event(id, Level::Info, "Entering rescue mode", "", None);
        self.set_machine_status(id, Status::EnteringRescueMode);
        let d = self.durations.clone();
        self.schedule_step(id, d.power_on, Step::SwitchedOn);
        self.schedule_step(id, d.power_on + d.ephemeral, Step::RescueEntered);
        self.shown(id)
    }

    pub(crate) fn rescue_entered(&mut self, id: u64) {
        self.event(id, Level::Info, "Rescue mode", "", None);
        self.set_machine_status(id, Status::RescueMode);
    }

    pub(crate) fn exit_rescue_mode(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let status = self.machines.get(&id).map_or(Status::New, |m| m.status);
        let inside = matches!(
            status,
            Status::RescueMode
                | Status::EnteringRescueMode
                | Status::FailedEnteringRescueMode
                | Status::FailedExitingRescueMode
        );
        if !inside {
            return Err(invalid_transition(status, Status::ExitingRescueMode));
        }
        self.command(id, false)?;
        let said = by(call, &call.form.data);
        self.event(id, Level::Debug, "User stopping rescue mode", said, Some(&call.caller.user));
        if let Some(m) = self.machine_mut(id) {
            m.epoch += 1;
        }
        self.set_machine_status(id, Status::ExitingRescueMode);
        let off = self.durations.power_off;
        self.schedule_step(id, off, Step::RescueLeft);
        self.shown(id)
    }

    /// Off again, or for what was deployed: cycled into its own system.
    pub(crate) fn rescue_left(&mut self, id: u64) {
        let before = self.machines.get(&id).map_or(Status::Ready, |m| m.before);
        self.switch(id, false);
        self.event(id, Level::Info, "Exited rescue mode", "", None);
        self.back_to(id, before);
        if before == Status::Deployed {
            let on = self.durations.power_on;
            self.schedule_step(id, on, Step::SwitchedOn);
        }
    }

    /// `POST machines/`: a machine that somebody enters by hand.
    pub(crate) fn create_machine(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        let mut errors = FieldErrors::default();
        let macs: Vec<&str> = data.all("mac_addresses").flat_map(|m| m.split(',')).filter(|m| !m.is_empty()).collect();
        let power_type = data.last("power_type").unwrap_or("");
        let architecture = self.check_architecture(data.last("architecture"), &mut errors);
        if macs.is_empty() && power_type != "ipmi" {
            errors.add("mac_addresses", "This field is required.");
            if power_type == "manual" {
                errors.add("power_type", "Can't set power type to manual without network interfaces");
            }
        }
        for mac in &macs {
            let known = |m: &Machine| m.interfaces.iter().any(|i| i.mac.as_deref() == Some(*mac));
            if let Some(owner) = self.machines.values().find(|m| known(m)) {
                errors.add("mac_addresses", format!("MAC address {mac} already in use on {}.", owner.hostname));
            }
        }
        let (hostname, domain) = match self.check_hostname(0, data.last("hostname").unwrap_or("")) {
            Ok(named) => named,
            Err(message) => {
                errors.add("hostname", message);
                (String::new(), None)
            }
        };
        errors.check()?;
        let domain = data.last("domain").and_then(|d| self.domain_spec(d)).or(domain);
        let deployed = data.checkbox("deployed");
        let nic = |(at, mac): (usize, &&str)| InterfaceSpec {
            name: format!("eth{at}"),
            mac: Some((*mac).to_owned()),
            observed_ip: None,
            links: Vec::new(),
            tags: Vec::new(),
        };
        let spec = MachineSpec {
            domain: domain.and_then(|d| self.domains.get(&d)).map(|d| d.name.clone()),
            architecture,
            cpu_count: 0,
            memory: 0,
            disks: Vec::new(),
            description: data.last("description").unwrap_or("").to_owned(),
            power_type: power_type.to_owned(),
            interfaces: macs.iter().enumerate().map(nic).collect(),
            status: if deployed { "deployed" } else { "new" }.to_owned(),
            owner: deployed.then(|| call.caller.user.clone()),
            ..MachineSpec::named(hostname)
        };
        let system_id = self.insert_machine(spec);
        let id = self.find(&system_id).map(|m| m.id).ok_or_else(|| Reply::missing("Machine"))?;
        let named: Vec<(String, String)> = data
            .pairs()
            .filter_map(|(k, v)| Some((k.strip_prefix("power_parameters_")?.to_owned(), v.to_owned())))
            .collect();
        if let Some(m) = self.machine_mut(id) {
            m.min_hwe_kernel = Some(data.last("min_hwe_kernel").unwrap_or("").to_owned());
            // Nothing is known of it yet.
            m.known = false;
            m.power_parameters.extend(named);
            m.interfaces.iter_mut().for_each(|i| i.vlan = None);
        }
        let wanted = !deployed && (!data.has("commission") || data.checkbox("commission"));
        if wanted && call.caller.admin {
            // What stands in its way is swallowed.
            if self.command(id, true).is_ok() {
                let user = call.caller.user.clone();
                self.start_commissioning(id, &user, format!("({user})"), &Plan::WHOLE);
            }
        }
        self.shown(id)
    }

    fn check_architecture(&self, given: Option<&str>, errors: &mut FieldErrors) -> String {
        let text = given.unwrap_or("");
        let full = if text.contains('/') { text.to_owned() } else { format!("{text}/generic") };
        let known = self.images.iter().any(|i| format!("{}/generic", i.architecture) == full)
            || self.machines.values().any(|m| m.architecture == full);
        if text.is_empty() {
            errors.add("architecture", "This field is required.");
        } else if !known {
            let text = format!("'{full}' is not a valid architecture.  It should be one of: 'amd64/generic'.");
            errors.add("architecture", text);
        }
        full
    }

    /// `accept`, `accept_all`: New machines are commissioned.
    pub(crate) fn accept(&mut self, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        let wanted: Vec<&str> = call.form.data.all("machines").collect();
        let unknown: Vec<&str> = wanted.iter().copied().filter(|id| self.find(id).is_none()).collect();
        if !unknown.is_empty() {
            return Err(Reply::text(400, format!("Unknown machine(s): {}.", unknown.join(", "))));
        }
        let all = call.op() == "accept_all";
        let ids: Vec<u64> = self
            .machines
            .values()
            .filter(|m| all || wanted.contains(&m.system_id.as_str()))
            .filter(|m| m.status == Status::New)
            .map(|m| m.id)
            .collect();
        let user = call.caller.user.clone();
        for id in &ids {
            self.start_commissioning(*id, &user, format!("({user})"), &Plan::WHOLE);
        }
        Ok(Reply::list(ids.iter().filter_map(|id| self.machines.get(id)).map(|m| self.machine_json(m)).collect()))
    }

    /// Parameters of the BMC, with their passwords.
    pub(crate) fn power_parameters(m: &Machine) -> Value {
        let mut shown = Map::new();
        if m.power_type == "ipmi" {
            let address = m.bmc_address.map(|ip| ip.to_string()).unwrap_or_default();
            for (key, value) in [
                ("power_driver", "LAN_2_0"),
                ("power_boot_type", "auto"),
                ("power_address", address.as_str()),
                ("power_user", "maas"),
                ("power_pass", "x"),
                ("privilege_level", "OPERATOR"),
                ("cipher_suite_id", "3"),
                ("mac_address", ""),
            ] {
                shown.insert(key.to_owned(), json!(value));
            }
        }
        shown.extend(m.power_parameters.iter().map(|(k, v)| (k.clone(), json!(v))));
        Value::Object(shown)
    }

    /// `details`: what lshw and lldp said, as BSON.
    pub(crate) fn details(m: &Machine) -> Reply {
        let lldp = "<?xml version='1.0'?><lldp label='LLDP neighbors'/>";
        let lshw = format!("<?xml version='1.0'?><list><node id='{}' class='system'/></list>", m.hostname);
        let mut body = Vec::new();
        for (name, value) in [("lldp", lldp.as_bytes()), ("lshw", lshw.as_bytes())] {
            body.push(5);
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
            body.push(0);
            body.extend_from_slice(value);
        }
        body.push(0);
        let mut whole = u32::try_from(body.len() + 4).unwrap_or(0).to_le_bytes().to_vec();
        whole.append(&mut body);
        Reply::bson(whole)
    }

    /// The installer's configuration, in outline.
    pub(crate) fn curtin_config(m: &Machine) -> Answer {
        if !matches!(m.status, Status::Deploying | Status::Deployed | Status::FailedDeployment) {
            return Err(Reply::text(400, format!("Machine {} is not in a deployment state.", m.hostname)));
        }
        Ok(Reply::plain(
            200,
            format!(
                "apt:\n  preserve_sources_list: false\n  proxy: http://127.0.0.1:8000/\nreporting:\n  maas:\n    consumer_key: {}\nsources:\n  00_image: {}\n",
                m.system_id,
                m.image()
            ),
        ))
    }
}

fn running(m: &Machine, kind: RunKind) -> bool {
    m.runs.iter().rev().find(|r| r.kind == kind).and_then(|r| r.status()).is_some_and(|s| s <= ScriptStatus::Running)
}

pub(crate) fn invalid_transition(from: Status, to: Status) -> Reply {
    Reply::text(409, format!("Invalid transition: {from} -> {to}."))
}
