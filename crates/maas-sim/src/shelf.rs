//! Collections that nothing else in the region depends on: what is put in comes out again, with the fields, defaults and
//! required fields of the real thing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::form::Params;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::view::API;

/// One kind of thing on a shelf.
struct Kind {
    /// Names of its collection and of one of it.
    names: (&'static str, &'static str),
    /// In errors: `No X matches the given query.`
    model: &'static str,
    /// Reading takes an administrator, too.
    admin: bool,
    /// Users have shelves of their own.
    own: bool,
    /// Creating answers 201.
    created: bool,
    /// Field that names it in the path; the id if empty.
    key: &'static str,
    /// Fields with what they are when not given, as JSON. A default of `!` means required.
    fields: &'static [(&'static str, &'static str)],
}

const KINDS: &[Kind] = &[
    Kind {
        names: ("notifications", "notification"),
        model: "Notification",
        admin: false,
        own: false,
        created: false,
        key: "",
        fields: &[
            ("ident", "null"),
            ("user", "null"),
            ("users", "false"),
            ("admins", "false"),
            ("message", "!"),
            ("context", "{}"),
            ("category", "\"info\""),
            ("dismissable", "true"),
        ],
    },
    Kind {
        names: ("package-repositories", "package-repository"),
        model: "PackageRepository",
        admin: false,
        own: false,
        created: false,
        key: "",
        fields: &[
            ("name", "!"),
            ("url", "!"),
            ("distributions", "[]"),
            ("disabled_pockets", "[]"),
            ("disabled_components", "[]"),
            ("disable_sources", "true"),
            ("components", "[]"),
            ("arches", "[\"amd64\",\"i386\"]"),
            ("key", "\"\""),
            ("enabled", "true"),
        ],
    },
    Kind {
        names: ("dhcp-snippets", "dhcp-snippet"),
        model: "DHCPSnippet",
        admin: false,
        own: false,
        created: false,
        key: "",
        fields: &[
            ("name", "!"),
            ("value", "!"),
            ("description", "\"\""),
            ("enabled", "true"),
            ("node", "null"),
            ("subnet", "null"),
            ("global_snippet", "false"),
            ("history", "[]"),
        ],
    },
    Kind {
        names: ("license-keys", "license-key"),
        model: "LicenseKey",
        admin: true,
        own: false,
        created: false,
        key: "",
        fields: &[("osystem", "!"), ("distro_series", "!"), ("license_key", "!")],
    },
    Kind {
        names: ("boot-sources", "boot-source"),
        model: "BootSource",
        admin: true,
        own: false,
        created: true,
        key: "",
        fields: &[
            ("url", "!"),
            ("keyring_filename", "\"\""),
            ("keyring_data", "\"\""),
            ("created", "\"\""),
            ("updated", "\"\""),
        ],
    },
    Kind {
        names: ("boot-source-selections", "boot-source-selection"),
        model: "BootSourceSelection",
        admin: true,
        own: false,
        created: true,
        key: "",
        fields: &[
            ("os", "!"),
            ("release", "!"),
            ("arches", "[\"*\"]"),
            ("subarches", "[\"*\"]"),
            ("labels", "[\"*\"]"),
        ],
    },
    Kind {
        names: ("sshkeys", "sshkey"),
        model: "SSHKey",
        admin: false,
        own: true,
        created: true,
        key: "",
        fields: &[("key", "!"), ("keysource", "null")],
    },
    Kind {
        names: ("sslkeys", "sslkey"),
        model: "SSLKey",
        admin: false,
        own: true,
        created: true,
        key: "",
        fields: &[("key", "!")],
    },
    Kind {
        names: ("static-routes", "static-route"),
        model: "StaticRoute",
        admin: false,
        own: false,
        created: false,
        key: "",
        fields: &[("source", "!"), ("destination", "!"), ("gateway_ip", "!"), ("metric", "0")],
    },
    Kind {
        names: ("reservedips", "reservedip"),
        model: "ReservedIP",
        admin: false,
        own: false,
        created: false,
        key: "",
        fields: &[("ip", "!"), ("subnet", "null"), ("mac_address", "!"), ("comment", "\"\"")],
    },
    Kind {
        names: ("scripts", "script"),
        model: "Script",
        admin: false,
        own: false,
        created: false,
        key: "name",
        fields: &[
            ("name", "!"),
            ("title", "\"\""),
            ("description", "\"\""),
            ("tags", "[]"),
            ("type", "2"),
            ("type_name", "\"Testing script\""),
            ("hardware_type", "0"),
            ("hardware_type_name", "\"Node\""),
            ("parallel", "0"),
            ("parallel_name", "\"Disabled\""),
            ("results", "{}"),
            ("parameters", "{}"),
            ("packages", "{}"),
            ("timeout", "\"0:00:00\""),
            ("destructive", "false"),
            ("for_hardware", "[]"),
            ("may_reboot", "false"),
            ("recommission", "false"),
            ("history", "[]"),
            ("default", "false"),
            ("apply_configured_networking", "false"),
            ("script", "!"),
        ],
    },
    Kind {
        names: ("devices", "device"),
        model: "Device",
        admin: false,
        own: false,
        created: false,
        key: "system_id",
        fields: &[
            ("hostname", "\"\""),
            ("description", "\"\""),
            ("mac_addresses", "!"),
            ("parent", "null"),
            ("tag_names", "[]"),
            ("address_ttl", "null"),
            ("ip_addresses", "[]"),
            ("interface_set", "[]"),
            ("node_type", "1"),
            ("node_type_name", "\"Device\""),
            ("owner_data", "{}"),
            ("workload_annotations", "{}"),
        ],
    },
];

/// What is on the shelves: by collection, by number.
pub(crate) type Shelves = BTreeMap<&'static str, BTreeMap<u64, Item>>;

#[derive(Debug)]
pub(crate) struct Item {
    owner: String,
    fields: Map<String, Value>,
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
            self.put_on_shelf("package-repositories", fields);
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
            self.put_on_shelf("notifications", fields);
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
            self.put_on_shelf("scripts", fields);
        }
    }

    fn put_on_shelf(&mut self, name: &'static str, given: Map<String, Value>) {
        let Some(kind) = Self::shelf_kind(name) else {
            return;
        };
        let mut fields: Map<String, Value> = kind
            .fields
            .iter()
            .map(|(field, default)| ((*field).to_owned(), parsed(if *default == "!" { "\"\"" } else { default })))
            .collect();
        fields.extend(given);
        let id = self.next_id(kind.names.0);
        self.shelves.entry(kind.names.0).or_default().insert(id, Item { owner: String::new(), fields });
    }

    pub(crate) fn answer_shelf(&mut self, call: &Call) -> Answer {
        let Some(kind) = Self::shelf_kind(call.resource()) else {
            return Err(Reply::text(501, "Not simulated: no handler"));
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
            ("PUT", _) => {
                if let Some(item) = shelf.get_mut(&id) {
                    for (field, default) in kind.fields.iter().filter(|(f, _)| call.form.data.has(f)) {
                        item.fields.insert((*field).to_owned(), typed(default, &call.form.data, field));
                    }
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
        let ids = shelf.into_iter().flatten().filter(|(_, i)| own(i) && parent(i)).map(|(id, _)| *id);
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
            "boot-source-selections" => {
                fields.insert("boot_source_id".to_owned(), json!(call.key.parse::<u64>().unwrap_or(0)));
            }
            _ => {}
        }
        let id = self.next_id(kind.names.0);
        self.shelves.entry(kind.names.0).or_default().insert(id, Item { owner: call.caller.user.clone(), fields });
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
