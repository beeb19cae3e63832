//! From a request to the handler of its operation.

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::auth::{Caller, SignIn};
use crate::form::{Form, Params};
use crate::region::Region;
use crate::reply::{Answer, Reply};

/// A request that passed routing and sign-in.
#[derive(Debug)]
pub(crate) struct Call {
    resource: &'static str,
    method: Method,
    op: String,
    /// The id or name in the path, decoded.
    pub(crate) key: String,
    pub(crate) caller: Caller,
    pub(crate) query: Params,
    pub(crate) form: Form,
}

/// Resources with an id in their path have names in singular. Per resource: operations that are simulated, operations
/// that a real region has besides (answered 501).
type Resource = (&'static str, &'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)]);

const RESOURCES: &[Resource] = &[
    ("version", &[("GET", "")], &[]),
    ("users", &[("GET", "whoami"), ("GET", "")], &[("POST", "")]),
    ("user", &[("GET", "")], &[("DELETE", "")]),
    ("maas", &[("GET", "get_config")], &[("POST", "set_config")]),
    (
        "machines",
        &[("GET", ""), ("POST", "allocate"), ("POST", "release"), ("GET", "list_allocated")],
        &[
            ("POST", ""),
            ("POST", "accept"),
            ("POST", "accept_all"),
            ("POST", "clone"),
            ("POST", "add_chassis"),
            ("GET", "power_parameters"),
            ("POST", "set_zone"),
            ("GET", "is_registered"),
            ("GET", "is_action_in_progress"),
        ],
    ),
    (
        "machine",
        &[
            ("GET", ""),
            ("PUT", ""),
            ("DELETE", ""),
            ("POST", "deploy"),
            ("POST", "release"),
            ("POST", "set_workload_annotations"),
            ("POST", "set_owner_data"),
            ("POST", "power_on"),
            ("POST", "power_off"),
            ("GET", "query_power_state"),
            ("POST", "abort"),
            ("POST", "mark_broken"),
            ("POST", "mark_fixed"),
            ("POST", "lock"),
            ("POST", "unlock"),
        ],
        &[
            ("POST", "commission"),
            ("POST", "test"),
            ("POST", "override_failed_testing"),
            ("POST", "rescue_mode"),
            ("POST", "exit_rescue_mode"),
            ("POST", "set_storage_layout"),
            ("POST", "mount_special"),
            ("POST", "unmount_special"),
            ("POST", "clear_default_gateways"),
            ("POST", "restore_networking_configuration"),
            ("POST", "restore_storage_configuration"),
            ("POST", "restore_default_configuration"),
            ("GET", "get_curtin_config"),
            ("GET", "get_token"),
            ("GET", "power_parameters"),
            ("GET", "details"),
        ],
    ),
    ("nodes", &[], &[("GET", ""), ("POST", "set_zone"), ("GET", "is_registered")]),
    ("zones", &[("GET", ""), ("POST", "")], &[]),
    ("zone", &[("GET", ""), ("PUT", ""), ("DELETE", "")], &[]),
    ("resourcepools", &[("GET", ""), ("POST", "")], &[]),
    ("resourcepool", &[("GET", ""), ("PUT", ""), ("DELETE", "")], &[]),
    ("tags", &[("GET", ""), ("POST", "")], &[]),
    (
        "tag",
        &[("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "machines"), ("POST", "update_nodes")],
        &[("GET", "nodes"), ("GET", "devices"), ("POST", "rebuild")],
    ),
    ("domains", &[("GET", ""), ("POST", "")], &[("POST", "set_serial")]),
    ("domain", &[("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "set_default")], &[]),
    ("dnsresources", &[("GET", ""), ("POST", "")], &[]),
    ("dnsresource", &[("GET", ""), ("PUT", ""), ("DELETE", "")], &[]),
    ("ipaddresses", &[("GET", ""), ("POST", "reserve"), ("POST", "release")], &[]),
    ("subnets", &[("GET", "")], &[("POST", "")]),
    (
        "subnet",
        &[("GET", "")],
        &[
            ("PUT", ""),
            ("DELETE", ""),
            ("GET", "statistics"),
            ("GET", "reserved_ip_ranges"),
            ("GET", "unreserved_ip_ranges"),
            ("GET", "ip_addresses"),
        ],
    ),
    (
        "boot-resources",
        &[("GET", ""), ("GET", "is_importing")],
        &[("POST", ""), ("POST", "import"), ("POST", "stop_import")],
    ),
    ("boot-resource", &[("GET", "")], &[("DELETE", "")]),
    ("events", &[("GET", "query")], &[]),
];

/// First path segments that a 3.7.3 has and this simulator has not.
const ABSENT: &[&str] = &[
    "account",
    "bcache-cache-set",
    "bcache-cache-sets",
    "bcaches",
    "boot-sources",
    "commissioning-results",
    "commissioning-scripts",
    "devices",
    "dhcp-snippets",
    "discovery",
    "dnsresourcerecords",
    "fabrics",
    "files",
    "installation-results",
    "ipranges",
    "license-key",
    "license-keys",
    "networks",
    "nodes",
    "notifications",
    "package-repositories",
    "pods",
    "rackcontrollers",
    "raid",
    "raids",
    "regioncontrollers",
    "reservedips",
    "scripts",
    "spaces",
    "sshkeys",
    "static-routes",
    "virtual-machines",
    "vlans",
    "vm-clusters",
    "vm-hosts",
    "volume-group",
    "volume-groups",
];

/// The name to count under, and the call or the answer that routing and sign-in already give.
pub(crate) fn route(region: &mut Region, parts: &Parts, body: &Bytes) -> (String, Result<Call, Reply>) {
    let query = Params::urlencoded(parts.uri.query().unwrap_or("").as_bytes());
    let mut path = parts.uri.path().to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    let method = &parts.method;
    let unrouted = |reply: Reply| (format!("{method} {path}"), Err(reply));
    let Some(rest) = path.strip_prefix("/MAAS/api/2.0/") else {
        return unrouted(match path.as_str() {
            p if p.starts_with("/MAAS/api/1.0/") => {
                Reply::plain(410, "The 1.0 API is no longer available. Please use API version 2.0.")
            }
            "/MAAS/api/version/" => Reply::text(200, "2.0"),
            _ => Reply::html(404, "<html>\n  <head><title>404 - No Such Resource</title></head>\n</html>\n"),
        });
    };
    let unknown = || Reply::text(404, format!("Unknown API endpoint: {path}."));
    let (rest, path_op) = match rest.rsplit_once("/op-") {
        Some((front, op)) if !op.contains('/') => (format!("{front}/"), Some(op.to_owned())),
        _ => (rest.to_owned(), None),
    };
    let Some(rest) = rest.strip_suffix('/') else {
        return unrouted(unknown());
    };
    let segments: Vec<String> =
        rest.split('/').map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned()).collect();
    let Some((name, key)) = resource_name(&segments) else {
        let absent = segments.first().is_some_and(|s| ABSENT.contains(&s.as_str()));
        let operation = format!("{method} {}", segments.first().map_or("", String::as_str));
        return if absent { (operation.clone(), Err(not_simulated(&operation))) } else { unrouted(unknown()) };
    };
    let Some((resource, simulated, absent)) = RESOURCES.iter().find(|(r, _, _)| *r == name) else {
        return unrouted(unknown());
    };
    let op = path_op.unwrap_or_else(|| query.last("op").unwrap_or("").to_owned());
    let operation = if op.is_empty() { format!("{method} {resource}") } else { format!("{method} {resource} {op}") };

    let unrecognised = || {
        let shown = if op.is_empty() { "None" } else { op.as_str() };
        Reply::text(400, format!("Unrecognised signature: method={method} op={shown}"))
    };
    let call = (|| {
        let caller = match region.sign_in(parts, &query) {
            SignIn::Known(caller) => caller,
            SignIn::Refused(reply) => return Err(reply),
            SignIn::Anonymous if *resource == "version" => Caller { user: String::new(), admin: false },
            // Their anonymous handlers serve enlistment and know nothing else.
            SignIn::Anonymous if matches!(*resource, "machines" | "nodes") => {
                return Err(unrecognised());
            }
            SignIn::Anonymous => return Err(Reply::plain(401, "Forbidden")),
        };
        let all = || simulated.iter().chain(absent.iter());
        if !all().any(|(m, _)| *m == method.as_str()) {
            let allowed: Vec<&str> =
                ["GET", "POST", "DELETE", "PUT"].into_iter().filter(|m| all().any(|(x, _)| x == m)).collect();
            return Err(Reply::html(405, "").with("allow", allowed.join(", ")));
        }
        let is = |list: &[(&str, &str)]| list.iter().any(|(m, o)| *m == method.as_str() && *o == op);
        if is(absent) {
            return Err(not_simulated(&operation));
        }
        if !is(simulated) {
            return Err(unrecognised());
        }
        if query.len() > 1000 {
            return Err(Reply::plain(400, "Bad Request"));
        }
        if body.len() > 10 * 1024 * 1024 {
            return Err(Reply::html(413, "<html><head><title>413 Request Entity Too Large</title></head></html>"));
        }
        let form = Form::read(&parts.headers, body)?;
        Ok(Call { resource, method: method.clone(), op: op.clone(), key, caller, query: query.clone(), form })
    })();
    (operation, call)
}

fn not_simulated(operation: &str) -> Reply {
    Reply::text(501, format!("Not simulated: {operation}"))
}

fn resource_name(segments: &[String]) -> Option<(&'static str, String)> {
    let texts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let plain = |name: &'static str| Some((name, String::new()));
    match texts.as_slice() {
        ["nodes", id] => Some(("machine", (*id).to_owned())),
        [one] => RESOURCES.iter().map(|(r, _, _)| *r).find(|r| r == one).filter(|r| !is_single(r)).and_then(plain),
        // A CIDR may stand in the path with its slash percent-encoded; decoding made it one segment again.
        [collection, key] => {
            let single = match *collection {
                "users" => "user",
                "machines" => "machine",
                "zones" => "zone",
                "resourcepool" => "resourcepool",
                "tags" => "tag",
                "domains" => "domain",
                "dnsresources" => "dnsresource",
                "subnets" => "subnet",
                "boot-resources" => "boot-resource",
                _ => return None,
            };
            Some((single, (*key).to_owned()))
        }
        _ => None,
    }
}

fn is_single(resource: &str) -> bool {
    matches!(
        resource,
        "user" | "machine" | "zone" | "resourcepool" | "tag" | "domain" | "dnsresource" | "subnet" | "boot-resource"
    )
}

impl Region {
    /// Runs the handler of a routed call.
    pub(crate) fn answer(&mut self, call: Call) -> Answer {
        let call = &call;
        match (call.resource, call.method.as_str(), call.op.as_str()) {
            ("version", _, _) => Ok(self.version_info()),
            ("users", _, "whoami") => Ok(Reply::json(&self.user_json(&call.caller.user))),
            ("users", _, _) => Ok(Reply::list(self.users.keys().map(|u| self.user_json(u)).collect())),
            ("user", _, _) => self.user_read(call),
            ("maas", _, _) => self.get_config(call),
            ("machines", "GET", "list_allocated") => self.list_allocated(call),
            ("machines", "GET", _) => self.list_machines(call),
            ("machines", _, "allocate") => self.allocate(call),
            ("machines", _, "release") => self.release_batch(call),
            ("machine", _, _) => self.answer_machine(call),
            ("zones" | "zone", _, _) => self.answer_zones(call),
            ("resourcepools" | "resourcepool", _, _) => self.answer_pools(call),
            ("tags" | "tag", _, _) => self.answer_tags(call),
            ("domains" | "domain", _, _) => self.answer_domains(call),
            ("dnsresources" | "dnsresource", _, _) => self.answer_dns(call),
            ("ipaddresses", "GET", _) => self.list_ips(call),
            ("ipaddresses", _, "reserve") => self.reserve_ip(call),
            ("ipaddresses", _, _) => self.release_ip(call),
            ("subnets", _, _) => Ok(Reply::list(self.subnets.iter().map(crate::view::subnet).collect())),
            ("subnet", _, _) => self
                .subnet_spec(&call.key)
                .map(|s| Reply::json(&crate::view::subnet(s)))
                .ok_or_else(|| Reply::missing("Subnet")),
            ("boot-resources" | "boot-resource", _, _) => self.answer_images(call),
            ("events", _, _) => self.query_events(call),
            _ => Err(Reply::text(501, "Not simulated: no handler")),
        }
    }

    fn answer_machine(&mut self, call: &Call) -> Answer {
        let id = self.find(&call.key).map(|m| m.id).ok_or_else(|| Reply::missing("Machine"))?;
        match (call.method.as_str(), call.op.as_str()) {
            ("GET", "query_power_state") => self.query_power_state(id, call),
            ("GET", _) => self.read_machine(id, call),
            ("PUT", _) => self.update_machine(id, call),
            ("DELETE", _) => self.delete_machine(id, call),
            (_, "deploy") => self.deploy(id, call),
            (_, "release") => self.release(id, call),
            (_, "set_workload_annotations" | "set_owner_data") => self.set_owner_data(id, call),
            (_, "power_on") => self.power_on(id, call),
            (_, "power_off") => self.power_off(id, call),
            (_, "abort") => self.abort(id, call),
            (_, "mark_broken") => self.mark_broken(id, call),
            (_, "mark_fixed") => self.mark_fixed(id, call),
            (_, "lock") => self.lock(id, call, true),
            _ => self.lock(id, call, false),
        }
    }
}

impl Call {
    /// True for the resource with an id in its path.
    pub(crate) fn is_single(&self) -> bool {
        is_single(self.resource)
    }

    /// HTTP method as text.
    pub(crate) fn method(&self) -> &str {
        self.method.as_str()
    }

    /// Operation name, empty for none.
    pub(crate) fn op(&self) -> &str {
        &self.op
    }

    /// Refuses callers that are no administrators.
    pub(crate) fn admin_or(&self, refusal: Reply) -> Result<(), Reply> {
        if self.caller.admin { Ok(()) } else { Err(refusal) }
    }
}
