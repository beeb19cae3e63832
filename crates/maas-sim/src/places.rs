//! Small collections: users, configuration, zones, pools, tags, domains, images, events.

use serde_json::{Value, json};

use crate::form::Params;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{Domain, Place};
use crate::view;

const REQUIRED: &str = "This field is required.";

fn valid_place_name(name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    name.chars().next().is_some_and(word) && name.chars().all(|c| word(c) || c == ' ' || c == '-')
}

impl Region {
    pub(crate) fn version_info(&self) -> Reply {
        let capabilities = [
            "networks-management",
            "static-ipaddresses",
            "ipv6-deployment-ubuntu",
            "devices-management",
            "storage-deployment-ubuntu",
            "network-deployment-ubuntu",
            "bridging-interface-ubuntu",
            "bridging-automatic-ubuntu",
            "authenticate-api",
        ];
        Reply::json(&json!({"capabilities": capabilities, "version": self.version, "subversion": ""}))
    }

    pub(crate) fn answer_zones(&mut self, call: &Call) -> Answer {
        let found = self.zones.iter().find(|(_, z)| z.name == call.key).map(|(id, _)| *id);
        match (call.is_single(), call.method()) {
            (false, "GET") => {
                let mut rows: Vec<(&String, Value)> =
                    self.zones.iter().map(|(id, z)| (&z.name, view::zone(*id, z))).collect();
                rows.sort_by(|a, b| a.0.cmp(b.0));
                Ok(Reply::list(rows.into_iter().map(|(_, v)| v).collect()))
            }
            (false, _) => {
                call.admin_or(Reply::admins_only())?;
                let id = self.create_place(&call.form.data, "zone", "Physical zone")?;
                Ok(self.zones.get(&id).map_or_else(Reply::null, |z| Reply::json(&view::zone(id, z))))
            }
            (true, "DELETE") => {
                call.admin_or(Reply::forbidden())?;
                if call.key == "default" {
                    return Err(Reply::text(400, "This zone is the default zone, it cannot be deleted."));
                }
                if let Some(id) = found {
                    self.zones.remove(&id);
                    let default = self.ensure_zone("default");
                    self.machines.values_mut().filter(|m| m.zone == id).for_each(|m| m.zone = default);
                }
                // Deleting what is not there is fine too.
                Ok(Reply::no_content())
            }
            (true, method) => {
                let id = found.ok_or_else(|| Reply::missing("Zone"))?;
                if method == "PUT" {
                    call.admin_or(Reply::forbidden())?;
                    update_place(self.zones.get_mut(&id), &call.form.data, "description");
                }
                Ok(self.zones.get(&id).map_or_else(Reply::null, |z| Reply::json(&view::zone(id, z))))
            }
        }
    }

    pub(crate) fn answer_pools(&mut self, call: &Call) -> Answer {
        let found =
            self.pools.iter().find(|(id, p)| p.name == call.key || id.to_string() == call.key).map(|(id, _)| *id);
        match (call.key.is_empty(), call.method()) {
            (true, "GET") => {
                let mut rows: Vec<(&String, Value)> =
                    self.pools.iter().map(|(id, p)| (&p.name, view::pool(*id, p))).collect();
                rows.sort_by(|a, b| a.0.cmp(b.0));
                Ok(Reply::list(rows.into_iter().map(|(_, v)| v).collect()))
            }
            (true, _) => {
                call.admin_or(Reply::admins_only())?;
                let id = self.create_place(&call.form.data, "pool", "Resource pool")?;
                Ok(self.pools.get(&id).map_or_else(Reply::null, |p| Reply::json(&view::pool(id, p))))
            }
            (false, method) => {
                let id = found.ok_or_else(|| Reply::missing("ResourcePool"))?;
                if method != "GET" {
                    call.admin_or(Reply::forbidden())?;
                }
                if method == "DELETE" {
                    if id == 0 {
                        return Err(Reply::text(400, "This is the default pool, it cannot be deleted."));
                    }
                    if self.machines.values().any(|m| m.pool == id) {
                        return Err(Reply::text(400, "Can't delete resource pool: it contains machines."));
                    }
                    self.pools.remove(&id);
                    return Ok(Reply::no_content());
                }
                if method == "PUT" {
                    update_place(self.pools.get_mut(&id), &call.form.data, "description");
                }
                Ok(self.pools.get(&id).map_or_else(Reply::null, |p| Reply::json(&view::pool(id, p))))
            }
        }
    }

    fn create_place(&mut self, data: &Params, table: &'static str, what: &str) -> Result<u64, Reply> {
        let name = data.last("name").unwrap_or("").to_owned();
        let mut errors = FieldErrors::default();
        let places = match table {
            "zone" => &self.zones,
            _ => &self.pools,
        };
        if name.is_empty() {
            errors.add("name", REQUIRED);
        } else if !valid_place_name(&name) {
            errors.add("name", "Enter a valid value.");
        } else if places.values().any(|p| p.name == name) {
            errors.add("name", format!("{what} with this Name already exists."));
        }
        errors.check()?;
        let text = data.last("description").unwrap_or("").to_owned();
        let id = self.next_id(table);
        let place = Place { name, text };
        match table {
            "zone" => self.zones.insert(id, place),
            _ => self.pools.insert(id, place),
        };
        Ok(id)
    }

    pub(crate) fn answer_domains(&mut self, call: &Call) -> Answer {
        if !call.is_single() {
            if call.method() == "GET" {
                return Ok(Reply::list(self.domains.iter().map(|(id, d)| self.domain_json(*id, d)).collect()));
            }
            call.admin_or(Reply::admins_only())?;
            if call.op() == "set_serial" {
                return self.set_serial(&call.form.data);
            }
            return self.create_domain(&call.form.data);
        }
        let key = call.key.strip_prefix("name:").unwrap_or(&call.key);
        let id = self.domain_spec(key).ok_or_else(|| Reply::missing("Domain"))?;
        if call.method() != "GET" {
            call.admin_or(Reply::forbidden())?;
        }
        match call.method() {
            "DELETE" if id == self.default_domain => {
                return Err(Reply::text(400, "This domain is the default domain, it cannot be deleted."));
            }
            "DELETE" => {
                if self.machines.values().any(|m| m.domain == id) || self.dns.values().any(|r| r.domain == id) {
                    let resources =
                        self.dns.values().filter(|r| r.domain == id).map(|r| format!("<DNSResource: name={}>", r.name));
                    let nodes = self.machines.values().filter(|m| m.domain == id);
                    let nodes = nodes.map(|m| format!("<Node: {} ({})>", m.system_id, m.hostname));
                    let all: Vec<String> = resources.chain(nodes).collect();
                    return Err(Reply::text(
                        500,
                        format!(
                            "(\"Cannot delete some instances of model 'Domain' because they are referenced through protected foreign keys: 'Node.domain', 'DNSResource.domain'.\", {{{}}})",
                            all.join(", ")
                        ),
                    ));
                }
                self.touch_domain(id);
                self.domains.remove(&id);
                return Ok(Reply::no_content());
            }
            "POST" => {
                self.default_domain = id;
                // Name servers are called by the default domain.
                self.touch_domain(id);
            }
            "PUT" => {
                let data = &call.form.data;
                let ttl = parse_ttl(data, "ttl")?;
                let name = data.last("name").map(|n| n.trim_end_matches('.').to_owned());
                if let Some(name) = &name {
                    self.check_domain_name(name, Some(id)).check()?;
                }
                self.touch_domain(id);
                if let Some(domain) = self.domains.get_mut(&id) {
                    domain.name = name.unwrap_or_else(|| domain.name.clone());
                    domain.ttl = ttl.unwrap_or(domain.ttl);
                    domain.authoritative =
                        data.last("authoritative").map_or(domain.authoritative, |_| data.checkbox("authoritative"));
                }
                self.touch_domain(id);
            }
            _ => {}
        }
        Ok(self.domains.get(&id).map_or_else(Reply::null, |d| Reply::json(&self.domain_json(id, d))))
    }

    fn create_domain(&mut self, data: &Params) -> Answer {
        let name = data.last("name").unwrap_or("").trim_end_matches('.').to_owned();
        let errors = self.check_domain_name(&name, None);
        let ttl = match parse_ttl(data, "ttl") {
            Ok(ttl) => ttl.flatten(),
            Err(reply) => return Err(reply),
        };
        errors.check()?;
        let id = self.next_id("domain");
        let authoritative = !data.has("authoritative") || data.checkbox("authoritative");
        self.domains.insert(id, Domain { name, authoritative, ttl });
        self.touch_domain(id);
        Ok(self.domains.get(&id).map_or_else(Reply::null, |d| Reply::json(&self.domain_json(id, d))))
    }

    fn check_domain_name(&self, name: &str, own: Option<u64>) -> FieldErrors {
        let mut errors = FieldErrors::default();
        let bad = |label: &&str| label.is_empty() || !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if name.is_empty() {
            errors.add("name", REQUIRED);
        } else if let Some(label) = name.split('.').find(bad) {
            errors.add("name", "Domain name contains invalid characters.");
            errors.add("name", format!("Label contains disallowed characters: '{label}'."));
        } else if self.domains.iter().any(|(id, d)| Some(*id) != own && d.name == name) {
            errors.add("name", "Domain with this Name already exists.");
        }
        errors
    }

    /// The zones are published anew, with the number that follows.
    fn set_serial(&mut self, data: &Params) -> Answer {
        let text = data.last("serial").ok_or_else(|| Reply::text(400, "No provided serial!"))?;
        let serial = text.parse().ok().filter(|n| *n > 0);
        let serial = serial.ok_or_else(|| Reply::text(400, "Invalid serial: Please enter an integer value"))?;
        self.published.set_serial(serial);
        self.touch_domain(self.default_domain);
        Ok(Reply::null())
    }

    /// A domain by name or id.
    pub(crate) fn domain_spec(&self, text: &str) -> Option<u64> {
        let by_id = text.parse::<u64>().ok().filter(|id| self.domains.contains_key(id));
        by_id.or_else(|| self.domains.iter().find(|(_, d)| d.name == text).map(|(id, _)| *id))
    }
}

fn update_place(place: Option<&mut Place>, data: &Params, text: &str) {
    let Some(place) = place else { return };
    if let Some(name) = data.last("name").filter(|n| !n.is_empty()) {
        name.clone_into(&mut place.name);
    }
    if let Some(text) = data.last(text) {
        text.clone_into(&mut place.text);
    }
}

/// `None`: not given; `Some(None)`: cleared.
pub(crate) fn parse_ttl(data: &Params, field: &str) -> Result<Option<Option<u32>>, Reply> {
    match data.last(field) {
        None => Ok(None),
        Some("") => Ok(Some(None)),
        Some(text) => match text.parse::<u32>() {
            Ok(ttl) if ttl <= i32::MAX.unsigned_abs() => Ok(Some(Some(ttl))),
            _ => Err(Reply::invalid(field, "Enter a whole number.")),
        },
    }
}
