//! Machine collection and records: list, read, allocate, update, delete.

use serde_json::{Map, Value, json};

use crate::Status;
use crate::filter::{Matched, Use, as_sent};
use crate::form::Params;
use crate::region::{Happening, Region};
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::Machine;

/// Values of a constraint by label, as `constraints_by_type` has them.
fn by_label(pairs: &[(String, u64)]) -> Value {
    let mut map = Map::new();
    for (label, id) in pairs {
        if let Value::Array(list) = map.entry(label.clone()).or_insert_with(|| json!([])) {
            list.push(json!(id));
        }
    }
    Value::Object(map)
}

const UNAVAILABLE_CHOICE: &str = "Select a valid choice. That choice is not one of the available choices.";

impl Region {
    /// Users see free machines and their own; administrators see all.
    fn sees(m: &Machine, call: &Call) -> bool {
        call.caller.admin || m.owner.as_ref().is_none_or(|o| *o == call.caller.user)
    }

    /// Refuses callers who may not see the machine.
    pub(crate) fn may_see(&self, id: u64, call: &Call) -> Result<(), Reply> {
        match self.machines.get(&id) {
            Some(m) if Self::sees(m, call) => Ok(()),
            Some(_) => Err(Reply::forbidden()),
            None => Err(Reply::missing("Machine")),
        }
    }

    pub(crate) fn list_machines(&self, call: &Call) -> Answer {
        let constraints = self.constraints(&call.query, Use::List)?;
        let wanted = |m: &&Machine| Self::sees(m, call) && self.satisfies(m, &constraints, &mut Matched::default());
        Ok(match self.candidates(&constraints) {
            Some(ids) => self.machine_list(ids.iter().filter_map(|id| self.machines.get(id)).filter(wanted)),
            None => self.machine_list(self.machines.values().filter(wanted)),
        })
    }

    pub(crate) fn list_allocated(&self, call: &Call) -> Answer {
        let ids: Vec<&str> = call.query.all("id").collect();
        let own = |m: &&Machine| {
            m.status == Status::Allocated
                && m.owner.as_deref() == Some(call.caller.user.as_str())
                && (ids.is_empty() || ids.contains(&m.system_id.as_str()))
        };
        Ok(self.machine_list(self.machines.values().filter(own)))
    }

    pub(crate) fn all_power_parameters(&self, call: &Call) -> Answer {
        call.admin_or(Reply::admins_only())?;
        let ids: Vec<&str> = call.query.all("id").collect();
        let wanted = self.machines.values().filter(|m| ids.is_empty() || ids.contains(&m.system_id.as_str()));
        Ok(Reply::json(&Value::Object(wanted.map(|m| (m.system_id.clone(), Self::power_parameters(m))).collect())))
    }

    pub(crate) fn is_registered(&self, call: &Call) -> Reply {
        let mac = call.query.last("mac_address").unwrap_or("").to_ascii_lowercase();
        let has = |m: &Machine| m.interfaces.iter().any(|i| i.mac.as_deref() == Some(mac.as_str()));
        let busy = |m: &Machine| matches!(m.status, Status::Commissioning | Status::Deploying | Status::DiskErasing);
        let asked_busy = call.op() == "is_action_in_progress";
        Reply::json(&json!(self.machines.values().any(|m| has(m) && (!asked_busy || busy(m)))))
    }

    pub(crate) fn set_zone(&mut self, call: &Call) -> Answer {
        call.admin_or(Reply::admins_only())?;
        let data = &call.form.data;
        let name = data.last("zone").unwrap_or("");
        let found = self.zones.iter().find(|(_, z)| z.name == name).map(|(id, _)| *id);
        let zone = found.ok_or_else(|| Reply::invalid("zone", UNAVAILABLE_CHOICE))?;
        for m in self.machines.values_mut().filter(|m| data.all("nodes").any(|id| id == m.system_id)) {
            m.zone = zone;
        }
        Ok(Reply::null())
    }

    /// Documents about one machine.
    pub(crate) fn machine_document(&mut self, id: u64, call: &Call) -> Answer {
        self.may_see(id, call)?;
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
        match call.op() {
            "power_parameters" => {
                call.admin_or(Reply::forbidden())?;
                Ok(Reply::json(&Self::power_parameters(m)))
            }
            "details" => Ok(Self::details(m)),
            "get_curtin_config" => Self::curtin_config(m),
            _ => {
                call.admin_or(Reply::forbidden())?;
                // A machine has a token from its first boot under MAAS on, until it is free again.
                let has = matches!(m.status, Status::Deploying | Status::Deployed | Status::FailedDeployment);
                let token = json!({"token_key": format!("{}Token", m.system_id), "token_secret": format!("{}Secret", m.system_id), "consumer_key": format!("{}Consumer", m.system_id)});
                Ok(if has { Reply::json(&token) } else { Reply::null() })
            }
        }
    }

    pub(crate) fn read_machine(&self, id: u64, call: &Call) -> Answer {
        self.may_see(id, call)?;
        self.shown(id)
    }

    /// One allocation at a time is the nature of a state machine; so is the global lock of a real region.
    pub(crate) fn allocate(&mut self, call: &Call) -> Answer {
        if call.form.is_json {
            return Err(Reply::text(500, "'dict' object has no attribute 'lists'"));
        }
        let post = &call.form.post;
        let constraints = self.constraints(post, Use::Allocate)?;
        post.string_bool("bridge_all")?;
        let dry_run = post.string_bool("dry_run")?;
        let verbose = post.string_bool("verbose")?;
        let agent_name = post.last("agent_name").unwrap_or("").to_owned();
        let length = agent_name.chars().count();
        if length > 255 {
            return Err(Reply::invalid(
                "agent_name",
                format!("Ensure this value has at most 255 characters (it has {length})."),
            ));
        }
        let mut best: Option<(f64, u64, Matched)> = None;
        for id in self.by_status.get(&Status::Ready).into_iter().flatten() {
            let Some(m) = self.machines.get(id).filter(|m| !m.locked) else {
                continue;
            };
            let mut matched = Matched::default();
            if best.as_ref().is_none_or(|(cost, _, _)| m.cost() < *cost)
                && self.satisfies(m, &constraints, &mut matched)
            {
                best = Some((m.cost(), m.id, matched));
            }
        }
        let found = best.map(|(_, id, matched)| (id, matched));
        let composed = if found.is_none() && !dry_run { self.compose(&constraints, call) } else { None };
        let Some((id, matched)) = found.or(composed) else {
            return Err(Reply::text(
                409,
                match constraints.get("system_id") {
                    Some(system_id) => format!("No machine with system ID {system_id} available."),
                    None if constraints.is_empty() => "No machine available.".to_owned(),
                    None => format!(
                        "No available machine matches constraints: {} (resolved to \"{}\")",
                        as_sent(post),
                        constraints.describe()
                    ),
                },
            ));
        };
        if !dry_run {
            self.acquire(id, call, &agent_name);
        }
        let Some(Value::Object(mut shown)) = self.machines.get(&id).map(|m| self.machine_json(m)) else {
            return Err(Reply::missing("Machine"));
        };
        let mut by_type = Map::new();
        if constraints.values("storage").is_some() {
            by_type.insert("storage".to_owned(), by_label(&matched.storage));
        }
        if constraints.values("interfaces").is_some() {
            by_type.insert("interfaces".to_owned(), by_label(&matched.interfaces));
        }
        if verbose {
            by_type.insert("verbose_storage".to_owned(), json!({}));
            by_type.insert("verbose_interfaces".to_owned(), json!({}));
        }
        shown.insert("constraints_by_type".to_owned(), Value::Object(by_type));
        Ok(Reply::json(&Value::Object(shown)))
    }

    pub(crate) fn update_machine(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let change = self.check_update(id, &call.form.data)?;
        self.touch_machine_names(id);
        let Some(m) = self.machines.get_mut(&id) else {
            return Err(Reply::missing("Machine"));
        };
        let old_name = m.hostname.to_ascii_lowercase();
        change.apply(m);
        let new_name = m.hostname.to_ascii_lowercase();
        if old_name != new_name {
            self.by_hostname.remove(&old_name);
            self.by_hostname.insert(new_name, id);
        }
        self.touch_machine_names(id);
        self.shown(id)
    }

    fn check_update(&mut self, id: u64, data: &Params) -> Result<Update, Reply> {
        let mut errors = FieldErrors::default();
        let mut change = Update::default();
        let place = |table: &std::collections::BTreeMap<u64, crate::state::Place>, name: &str| {
            table.iter().find(|(_, p)| p.name == name).map(|(id, _)| *id)
        };
        if let Some(hostname) = data.last("hostname") {
            match self.check_hostname(id, hostname) {
                Ok((name, domain)) => {
                    change.hostname = Some(name);
                    change.domain = domain;
                }
                Err(message) => errors.add("hostname", message),
            }
        }
        if let Some(domain) = data.last("domain") {
            match self.domain_spec(domain) {
                Some(domain) => change.domain = Some(domain),
                None => errors.add("domain", UNAVAILABLE_CHOICE),
            }
        }
        for (field, table, slot) in [("zone", &self.zones, &mut change.zone), ("pool", &self.pools, &mut change.pool)] {
            if let Some(name) = data.last(field) {
                *slot = place(table, name);
                if slot.is_none() {
                    errors.add(field, UNAVAILABLE_CHOICE);
                }
            }
        }
        for (field, slot) in
            [("cpu_count", &mut change.cpu_count), ("memory", &mut change.memory), ("swap_size", &mut change.swap_size)]
        {
            if let Some(text) = data.last(field) {
                match text.parse() {
                    Ok(number) => *slot = Some(number),
                    // Clearing is what an empty swap size means.
                    Err(_) if text.is_empty() => change.clear_swap |= field == "swap_size",
                    Err(_) => errors.add(field, "Enter a whole number."),
                }
            }
        }
        if let Some(text) = data.last("architecture") {
            let known = self
                .machines
                .values()
                .any(|m| m.architecture == text || m.architecture.split('/').next() == Some(text));
            if known {
                change.architecture =
                    Some(if text.contains('/') { text.to_owned() } else { format!("{text}/generic") });
            } else {
                errors.add(
                    "architecture",
                    format!("'{text}' is not a valid architecture.  It should be one of: 'amd64/generic'."),
                );
            }
        }
        change.power_parameters = data
            .pairs()
            .filter_map(|(k, v)| Some((k.strip_prefix("power_parameters_")?.to_owned(), v.to_owned())))
            .filter(|(k, _)| k != "skip_check")
            .collect();
        change.description = data.last("description").map(str::to_owned);
        change.power_type = data.last("power_type").map(str::to_owned);
        change.min_hwe_kernel = data.last("min_hwe_kernel").map(str::to_owned);
        errors.check()?;
        Ok(change)
    }

    pub(crate) fn check_hostname(&mut self, id: u64, text: &str) -> Result<(String, Option<u64>), String> {
        if text.is_empty() {
            return Ok((self.petname(), None));
        }
        let (name, domain) = match text.split_once('.') {
            Some((name, domain)) => {
                let domain = self
                    .domains
                    .iter()
                    .find(|(_, d)| d.name == domain)
                    .map(|(id, _)| *id)
                    .ok_or("Nonexistant domain.")?;
                (name, Some(domain))
            }
            None => (text, None),
        };
        if name.contains('_') {
            return Err(format!("Host label cannot contain underscore: '{name}'."));
        }
        if name.is_empty()
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            || name.starts_with('-')
            || name.ends_with('-')
        {
            return Err(format!("Label contains disallowed characters: '{name}'."));
        }
        if self.by_hostname.get(&name.to_ascii_lowercase()).is_some_and(|other| *other != id) {
            return Err("Node with this Hostname already exists.".to_owned());
        }
        Ok((name.to_owned(), domain))
    }

    /// A name for machines whose host name was emptied.
    fn petname(&mut self) -> String {
        const FIRST: [&str; 8] = ["brave", "calm", "eager", "fair", "keen", "native", "quick", "wise"];
        const SECOND: [&str; 8] = ["cat", "crow", "deer", "hare", "lynx", "mole", "sheep", "wren"];
        loop {
            let name = format!("{}-{}", FIRST[self.rng.usize(..FIRST.len())], SECOND[self.rng.usize(..SECOND.len())]);
            if !self.by_hostname.contains_key(&name) {
                return name;
            }
            let name = format!("{name}-{}", self.rng.u32(..));
            if !self.by_hostname.contains_key(&name) {
                return name;
            }
        }
    }

    pub(crate) fn delete_machine(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        self.drop_machine(id);
        Ok(Reply::no_content())
    }

    /// Removes a machine with its address rows; DNS resources that lose their last address go too.
    pub(crate) fn drop_machine(&mut self, id: u64) {
        self.wipe(id);
        self.touch_machine_names(id);
        let Some(machine) = self.machines.remove(&id) else {
            return;
        };
        self.by_system_id.remove(&machine.system_id);
        self.by_hostname.remove(&machine.hostname.to_ascii_lowercase());
        if let Some(set) = self.by_status.get_mut(&machine.status) {
            set.remove(&id);
        }
        for row in machine.rows() {
            self.remove_ip(row);
        }
        self.events.retain(|e| e.machine != id);
        if machine.is_on() {
            self.happenings.push(Happening::PoweredOff { system_id: machine.system_id });
        }
    }
}

/// A checked PUT.
#[derive(Debug, Default)]
struct Update {
    hostname: Option<String>,
    domain: Option<u64>,
    zone: Option<u64>,
    pool: Option<u64>,
    cpu_count: Option<u64>,
    memory: Option<u64>,
    swap_size: Option<u64>,
    clear_swap: bool,
    architecture: Option<String>,
    description: Option<String>,
    power_type: Option<String>,
    min_hwe_kernel: Option<String>,
    power_parameters: Vec<(String, String)>,
}

impl Update {
    fn apply(self, m: &mut Machine) {
        fn set<T>(slot: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *slot = value;
            }
        }
        set(&mut m.hostname, self.hostname);
        set(&mut m.domain, self.domain);
        set(&mut m.zone, self.zone);
        set(&mut m.pool, self.pool);
        set(&mut m.cpu_count, self.cpu_count.map(|n| u32::try_from(n).unwrap_or(u32::MAX)));
        set(&mut m.memory, self.memory);
        set(&mut m.architecture, self.architecture);
        set(&mut m.description, self.description);
        set(&mut m.power_type, self.power_type);
        m.swap_size = if self.clear_swap { None } else { self.swap_size.or(m.swap_size) };
        m.power_parameters.extend(self.power_parameters);
        // Their form writes the empty text where nothing was.
        m.min_hwe_kernel = self.min_hwe_kernel.or(m.min_hwe_kernel.take()).or(Some(String::new()));
    }
}
