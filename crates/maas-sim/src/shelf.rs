//! Collections that nothing else in the region depends on: what is put in comes out again, with the fields, defaults and
//! required fields of the real thing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::form::Params;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::shelf_kinds::{KINDS, Kind};
use crate::view::API;

/// What is on the shelves: by collection, by number.
pub(crate) type Shelves = BTreeMap<&'static str, BTreeMap<u64, Item>>;

#[derive(Debug)]
pub(crate) struct Item {
    owner: String,
    fields: Map<String, Value>,
    /// Texts that it has and had, oldest first.
    revisions: Vec<Revision>,
}

/// A text of a script or a snippet.
#[derive(Debug)]
struct Revision {
    id: u64,
    text: String,
    comment: Option<String>,
    created: jiff::Timestamp,
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// A parameter in the type that the field has by default.
fn typed(default: &str, data: &Params, field: &str) -> Value {
    let text = data.last(field).unwrap_or("");
    match parsed(if default == "!" { "\"\"" } else { default }) {
        Value::Bool(_) => json!(data.checkbox(field) && text != "0"),
        Value::Number(_) => text.parse::<i64>().map_or_else(|_| json!(text), |n| json!(n)),
        Value::Array(_) => {
            json!(data.all(field).flat_map(|t| t.split(',')).filter(|t| !t.is_empty()).collect::<Vec<_>>())
        }
        Value::Object(_) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        _ => json!(text),
    }
}

impl Region {
    /// The kind of thing that a resource is, if it lies on a shelf.
    fn shelf_kind(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|k| k.names.0 == name || k.names.1 == name)
    }

    /// What a fresh region has on its shelves.
    pub(crate) fn stock_shelves(&mut self) {
        for (name, host, arches) in [
            ("main_archive", "archive.ubuntu.com/ubuntu", &["amd64", "i386"][..]),
            ("ports_archive", "ports.ubuntu.com/ubuntu-ports", &["armhf", "arm64", "ppc64el", "s390x"]),
        ] {
            let mut fields = Map::new();
            fields.insert("name".to_owned(), json!(name));
            fields.insert("url".to_owned(), json!(format!("http://{host}")));
            fields.insert("arches".to_owned(), json!(arches));
            self.put_on_shelf("package-repositories", "", fields);
        }
        for (ident, message, dismissable) in [
            (
                "deprecation_MD6_admins",
                "DHCP snippets are deprecated and will be removed in the next major release.<br><a class='p-link--external' href='https://maas.io/deprecations/MD6'>How to replace DHCP snippets...</a>",
                true,
            ),
            (
                "deprecation_MD5_admins",
                "The PostgreSQL version in use is older than 16.<br><a class='p-link--external' href='https://maas.io/deprecations/MD5'>How to upgrade the PostgreSQL server...</a>",
                false,
            ),
        ] {
            let mut fields = Map::new();
            for (field, value) in [
                ("ident", json!(ident)),
                ("message", json!(message)),
                ("admins", json!(true)),
                ("category", json!("warning")),
                ("dismissable", json!(dismissable)),
            ] {
                fields.insert(field.to_owned(), value);
            }
            self.put_on_shelf("notifications", "", fields);
        }
        for name in crate::results::COMMISSIONING.into_iter().chain(["smartctl-validate"]) {
            let mut fields = Map::new();
            let testing = name == "smartctl-validate";
            fields.insert("name".to_owned(), json!(name));
            fields.insert("title".to_owned(), json!(name));
            fields.insert("script".to_owned(), json!("#!/bin/bash\n"));
            fields.insert("default".to_owned(), json!(true));
            fields.insert("type".to_owned(), json!(if testing { 2 } else { 0 }));
            let kind = if testing { "Testing script" } else { "Commissioning script" };
            fields.insert("type_name".to_owned(), json!(kind));
            if testing {
                fields.insert("hardware_type".to_owned(), json!(3));
                fields.insert("hardware_type_name".to_owned(), json!("Storage"));
            }
            self.put_on_shelf("scripts", "", fields);
        }
    }

    /// Puts a thing there whose other fields are as by default.
    pub(crate) fn put_on_shelf(&mut self, name: &str, owner: &str, given: Map<String, Value>) -> Option<u64> {
        let kind = Self::shelf_kind(name)?;
        let mut fields: Map<String, Value> = kind
            .fields
            .iter()
            .map(|(field, default)| ((*field).to_owned(), parsed(if *default == "!" { "\"\"" } else { default })))
            .collect();
        fields.extend(given);
        Some(self.insert_on_shelf(kind, owner, fields))
    }

    fn insert_on_shelf(&mut self, kind: &Kind, owner: &str, fields: Map<String, Value>) -> u64 {
        let id = self.next_id(kind.names.0);
        let item = Item { owner: owner.to_owned(), fields, revisions: Vec::new() };
        self.shelves.entry(kind.names.0).or_default().insert(id, item);
        self.note_revision(kind, id, None);
        id
    }

    /// Keeps the present text.
    fn note_revision(&mut self, kind: &Kind, id: u64, comment: Option<&str>) {
        if kind.history.is_empty() {
            return;
        }
        let (number, created) = (self.next_id("revision"), self.now);
        if let Some(item) = self.shelves.get_mut(kind.names.0).and_then(|s| s.get_mut(&id)) {
            let text = item.fields[kind.history].as_str().unwrap_or("").to_owned();
            let comment = comment.map(str::to_owned);
            item.revisions.push(Revision { id: number, text, comment, created });
        }
    }

    /// `revert`: back to the text of that number, or so many texts back; those that came later are gone.
    fn revert_on_shelf(&mut self, kind: &Kind, id: u64, to: Option<&str>) -> Result<(), Reply> {
        let to = to.ok_or_else(|| Reply::text(400, "You must specify where to revert to."))?;
        let number: i64 = to.parse().map_err(|_| Reply::text(400, "to must be an id or a negative number."))?;
        let Some(item) = self.shelves.get_mut(kind.names.0).and_then(|s| s.get_mut(&id)) else {
            return Err(Reply::missing(kind.model));
        };
        let at = match u64::try_from(number) {
            Ok(number) => item.revisions.iter().position(|r| r.id == number),
            Err(_) => {
                usize::try_from(number.unsigned_abs()).ok().and_then(|back| item.revisions.len().checked_sub(back + 1))
            }
        };
        let at = at.ok_or_else(|| Reply::text(404, format!("{to} not found in history.")))?;
        item.revisions.truncate(at + 1);
        let text = item.revisions.last().map(|r| r.text.clone());
        item.fields.insert(kind.history.to_owned(), json!(text));
        Ok(())
    }

    /// One thing as JSON, by its collection and number.
    pub(crate) fn shown_on_shelf(&self, name: &str, id: u64, call: &Call) -> Value {
        Self::shelf_kind(name).map_or(Value::Null, |kind| self.item_json(kind, id, call))
    }

    pub(crate) fn answer_shelf(&mut self, call: &Call) -> Answer {
        let Some(kind) = Self::shelf_kind(call.resource()) else {
            return Err(Reply::not_simulated("no handler"));
        };
        if kind.admin || (call.method() != "GET" && !kind.own && kind.names.0 != "devices" && call.op() != "dismiss") {
            call.admin_or(if call.is_single() { Reply::forbidden() } else { Reply::admins_only() })?;
        }
        // A selection belongs to its source.
        if kind.names.0 == "boot-source-selections"
            && !self.shelves.get("boot-sources").is_some_and(|s| s.keys().any(|id| id.to_string() == call.key))
        {
            return Err(Reply::missing("BootSource"));
        }
        if call.resource() == kind.names.0 {
            return if call.method() == "GET" {
                Ok(Reply::list(self.shown_of(kind, call)))
            } else {
                self.create_on_shelf(kind, call)
            };
        }
        let key = match kind.names.1 {
            "boot-source-selection" => call.rest.as_str(),
            _ => call.key.as_str(),
        };
        let own = |i: &Item| !kind.own || i.owner == call.caller.user;
        let named = |id: u64, i: &Item| match (kind.names.1, kind.key) {
            ("license-key", _) => i.fields["osystem"] == call.key && i.fields["distro_series"] == call.rest,
            (_, "") => id.to_string() == key,
            (_, field) => i.fields.get(field).and_then(Value::as_str) == Some(key) || id.to_string() == key,
        };
        let shelf = self.shelves.entry(kind.names.0).or_default();
        let id = shelf.iter().find(|(id, i)| own(i) && named(**id, i)).map(|(id, _)| *id);
        let id = id.ok_or_else(|| Reply::missing(kind.model))?;
        match (call.method(), call.op()) {
            ("DELETE", _) | ("POST", "dismiss") => {
                shelf.remove(&id);
                return Ok(if call.op() == "dismiss" { Reply::null() } else { Reply::no_content() });
            }
            ("GET", "download") => {
                let text = shelf.get(&id).and_then(|i| i.fields["script"].as_str()).unwrap_or("").to_owned();
                return Ok(Reply::octets(text.into_bytes()));
            }
            ("POST", "set_workload_annotations" | "set_owner_data") => {
                let pairs: Vec<(String, String)> =
                    call.form.post.pairs().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
                if let Some(item) = shelf.get_mut(&id) {
                    for field in ["owner_data", "workload_annotations"] {
                        if let Value::Object(map) = &mut item.fields[field] {
                            map.extend(pairs.iter().map(|(k, v)| (k.clone(), json!(v))));
                        }
                    }
                }
            }
            ("POST", op @ ("add_tag" | "remove_tag")) => {
                let tag = call.form.data.last("tag").unwrap_or("").to_owned();
                if let Some(Value::Array(tags)) = shelf.get_mut(&id).map(|i| &mut i.fields["tags"]) {
                    tags.retain(|t| *t != tag.as_str());
                    if op == "add_tag" {
                        tags.push(json!(tag));
                    }
                }
            }
            ("POST", "revert") => self.revert_on_shelf(kind, id, call.form.data.last("to"))?,
            ("PUT", _) => {
                if let Some(item) = shelf.get_mut(&id) {
                    for (field, default) in kind.fields.iter().filter(|(f, _)| call.form.data.has(f)) {
                        item.fields.insert((*field).to_owned(), typed(default, &call.form.data, field));
                    }
                    if kind.names.0 == "scripts" {
                        crate::scripts::settle(&mut item.fields);
                    }
                }
                if call.form.data.has(kind.history) {
                    self.note_revision(kind, id, call.form.data.last("comment"));
                }
            }
            _ => {}
        }
        Ok(Reply::json(&self.item_json(kind, id, call)))
    }

    fn shown_of(&self, kind: &Kind, call: &Call) -> Vec<Value> {
        let own = |i: &Item| !kind.own || i.owner == call.caller.user;
        let parent = |i: &Item| {
            kind.names.0 != "boot-source-selections" || i.fields["boot_source_id"].as_u64() == call.key.parse().ok()
        };
        let shelf = self.shelves.get(kind.names.0);
        let wanted = |i: &Item| kind.names.0 != "scripts" || crate::scripts::wanted(&i.fields, &call.query);
        let ids = shelf.into_iter().flatten().filter(|(_, i)| own(i) && parent(i) && wanted(i)).map(|(id, _)| *id);
        ids.map(|id| self.item_json(kind, id, call)).collect()
    }

    fn create_on_shelf(&mut self, kind: &Kind, call: &Call) -> Answer {
        let data = &call.form.data;
        let mut errors = FieldErrors::default();
        let mut fields = Map::new();
        for (field, default) in kind.fields {
            let given = data.has(field);
            if *default == "!" && data.last(field).is_none_or(str::is_empty) {
                errors.add(field, "This field is required.");
            }
            let value = if given { typed(default, data, field) } else { parsed(default) };
            fields.insert((*field).to_owned(), value);
        }
        if kind.key == "name"
            && self.shelves.get(kind.names.0).is_some_and(|s| s.values().any(|i| i.fields["name"] == fields["name"]))
        {
            errors.add("name", format!("{} with this Name already exists.", kind.model));
        }
        errors.check()?;
        match kind.names.0 {
            "devices" => {
                let macs: Vec<String> = data.all("mac_addresses").map(str::to_owned).collect();
                let id = self.new_system_id();
                if fields["hostname"] == "" {
                    let (name, _) = self.check_hostname(0, "").unwrap_or_default();
                    fields.insert("hostname".to_owned(), json!(name));
                }
                fields.insert("mac_addresses".to_owned(), json!(macs));
                fields.insert("system_id".to_owned(), json!(id));
            }
            "scripts" => crate::scripts::settle(&mut fields),
            "boot-source-selections" => {
                fields.insert("boot_source_id".to_owned(), json!(call.key.parse::<u64>().unwrap_or(0)));
            }
            _ => {}
        }
        let id = self.insert_on_shelf(kind, &call.caller.user, fields);
        let shown = self.item_json(kind, id, call);
        Ok(Reply::json_status(if kind.created { 201 } else { 200 }, &shown))
    }

    fn item_json(&self, kind: &Kind, id: u64, call: &Call) -> Value {
        let Some(item) = self.shelves.get(kind.names.0).and_then(|s| s.get(&id)) else {
            return Value::Null;
        };
        let mut shown = item.fields.clone();
        let collection = kind.names.0;
        let mut path = format!("{API}/{collection}/{id}/");
        shown.insert("id".to_owned(), json!(id));
        if !kind.history.is_empty() {
            // The newest first.
            let told = item.revisions.iter().rev().map(|r| {
                let created = crate::view::stamp(r.created);
                match kind.history {
                    "value" => json!({"id": r.id, "value": r.text, "created": created}),
                    _ => json!({"id": r.id, "comment": r.comment, "created": created}),
                }
            });
            shown.insert("history".to_owned(), told.collect());
        }
        match collection {
            "sshkeys" | "sslkeys" => path = format!("{API}/account/prefs/{collection}/{id}/"),
            "license-keys" => {
                shown.remove("id");
                let text = |key: &str| item.fields[key].as_str().unwrap_or("");
                path = format!("{API}/license-key/{}/{}", text("osystem"), text("distro_series"));
            }
            "boot-source-selections" => {
                let source = &item.fields["boot_source_id"];
                path = format!("{API}/boot-sources/{source}/selections/{id}/");
            }
            "boot-sources" => {
                for field in ["created", "updated"] {
                    shown.insert(field.to_owned(), json!(crate::view::stamp(self.now)));
                }
            }
            "static-routes" => {
                for end in ["source", "destination"] {
                    let subnet = item.fields[end].as_str().and_then(|s| self.subnet_spec(s));
                    shown.insert(end.to_owned(), subnet.map_or(Value::Null, |s| self.subnet_json(s)));
                }
            }
            "reservedips" => {
                let ip = item.fields["ip"].as_str().and_then(|t| t.parse().ok());
                let given = item.fields["subnet"].as_str().and_then(|s| self.subnet_spec(s));
                let subnet = given.or_else(|| ip.and_then(|ip| self.subnet_of(ip)));
                shown.insert("subnet".to_owned(), subnet.map_or(Value::Null, |s| self.subnet_json(s)));
            }
            "scripts" => {
                let whole = call.query.checkbox("include_script");
                if !whole {
                    shown.remove("script");
                }
                let name = item.fields["name"].as_str().unwrap_or("");
                path = format!("{API}/scripts/{name}");
            }
            "devices" => {
                shown.remove("id");
                let macs = shown.remove("mac_addresses").unwrap_or_default();
                let system_id = item.fields["system_id"].clone();
                let interfaces: Vec<Value> = macs
                    .as_array()
                    .into_iter()
                    .flatten()
                    .enumerate()
                    .map(|(at, mac)| json!({"id": 1_000_000 + id * 100 + at as u64, "name": format!("eth{at}"), "mac_address": mac, "type": "physical", "links": [], "system_id": system_id}))
                    .collect();
                let domain = self.domains.get(&self.default_domain);
                let host = item.fields["hostname"].as_str().unwrap_or("");
                let fqdn = domain.map_or_else(|| host.to_owned(), |d| format!("{host}.{}", d.name));
                shown.insert("interface_set".to_owned(), json!(interfaces));
                shown.insert("fqdn".to_owned(), json!(fqdn));
                shown.insert("owner".to_owned(), json!(item.owner));
                let shown_domain = domain.map(|d| self.domain_json(self.default_domain, d));
                shown.insert("domain".to_owned(), json!(shown_domain));
                shown.insert(
                    "zone".to_owned(),
                    json!(self.zones.iter().next().map(|(id, z)| crate::view::zone(*id, z))),
                );
                path = format!("{API}/devices/{}/", system_id.as_str().unwrap_or(""));
            }
            _ => {}
        }
        shown.insert("resource_uri".to_owned(), json!(path));
        Value::Object(shown)
    }
}
