//! From a request to the handler of its operation.

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::auth::{Caller, SignIn};
use crate::catalogue::{self, Op, Resource};
use crate::form::{Form, Params};
use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::results::RunKind;

/// A request that passed routing and sign-in.
#[derive(Debug)]
pub(crate) struct Call {
    resource: &'static Resource,
    method: Method,
    op: String,
    /// The first id or name in the path, decoded.
    pub(crate) key: String,
    /// The second one.
    pub(crate) rest: String,
    /// The third one.
    pub(crate) third: String,
    pub(crate) caller: Caller,
    pub(crate) query: Params,
    pub(crate) form: Form,
    /// The body as it came.
    pub(crate) body: Bytes,
}

/// What the web server says outside of the API.
const NOWHERE: &str = "\n<html>\n  <head><title>404 - No Such Resource</title></head>\n  <body>\n    <h1>No Such Resource</h1>\n    <p>Sorry. No luck finding that resource.</p>\n  </body>\n</html>\n";

/// The name that a request is counted under, and the first key in its path, without more ado.
pub(crate) fn named(request: &http::Request<Bytes>) -> (String, String) {
    let (method, uri) = (request.method(), request.uri());
    let query = Params::urlencoded(uri.query().unwrap_or("").as_bytes());
    let path = uri.path().strip_prefix("/MAAS/api/2.0/").unwrap_or("");
    let segments: Vec<String> = path
        .split('/')
        .filter(|s| !s.is_empty())
        .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
        .collect();
    match catalogue::find(&segments) {
        Some((resource, keys)) => {
            let op = query.last("op").filter(|op| !op.is_empty()).map(|op| format!(" {op}")).unwrap_or_default();
            (format!("{method} {}{op}", resource.name), keys.into_iter().next().unwrap_or_default())
        }
        None => (format!("{method} {}", uri.path()), String::new()),
    }
}

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
            _ => Reply::html(404, NOWHERE),
        });
    };
    let unknown = || Reply::text(404, format!("Unknown API endpoint: {path}."));
    let (rest, path_op) = match rest.rsplit_once("/op-") {
        Some((front, op)) if !op.contains('/') => (format!("{front}/"), Some(op.to_owned())),
        _ => (rest.to_owned(), None),
    };
    let (rest, slash) = match rest.strip_suffix('/') {
        Some(rest) => (rest.to_owned(), true),
        None => (rest, false),
    };
    // A CIDR may stand in the path with its slash percent-encoded; decoding made it one segment again.
    let segments: Vec<String> =
        rest.split('/').map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned()).collect();
    let Some((resource, mut keys)) = catalogue::find(&segments) else {
        return unrouted(unknown());
    };
    if !slash && !catalogue::SLASHLESS.contains(&resource.name) {
        return unrouted(unknown());
    }
    let name = resource.name;
    if !exists_in(region, name) {
        return unrouted(unknown());
    }
    let op = path_op.unwrap_or_else(|| query.last("op").unwrap_or("").to_owned());
    let operation = if op.is_empty() { format!("{method} {name}") } else { format!("{method} {name} {op}") };

    let unrecognised = || {
        let shown = if op.is_empty() { "None" } else { op.as_str() };
        Reply::text(400, format!("Unrecognised signature: method={method} op={shown}"))
    };
    let call = (|| {
        let caller = match region.sign_in(parts, &query) {
            SignIn::Known(caller) => caller,
            SignIn::Refused(reply) => return Err(reply),
            SignIn::Anonymous if name == "version" => Caller { user: String::new(), admin: false },
            // Their anonymous handlers serve enlistment and know nothing else.
            SignIn::Anonymous if matches!(name, "machines" | "nodes") => {
                return Err(unrecognised());
            }
            SignIn::Anonymous => return Err(Reply::plain(401, "Forbidden")),
        };
        if matches!(
            name,
            "vm-hosts" | "vm-host" | "virtual-machines" | "virtual-machine" | "vm-clusters" | "vm-cluster"
        ) && region.is_at_least(4, 0)
        {
            return Err(Reply::text(410, "VM hosts have been removed from MAAS."));
        }
        let all = || resource.does.iter().chain(resource.lacks);
        if !all().any(|(m, _)| *m == method.as_str()) {
            let allowed: Vec<&str> =
                ["GET", "POST", "DELETE", "PUT"].into_iter().filter(|m| all().any(|(x, _)| x == m)).collect();
            return Err(Reply::html(405, "").with("allow", allowed.join(", ")));
        }
        let is = |list: &[Op]| list.iter().any(|(m, o)| *m == method.as_str() && *o == op);
        if is(resource.lacks) {
            return Err(Reply::not_simulated(&operation));
        }
        if !is(resource.does) {
            return Err(unrecognised());
        }
        if query.len() > 1000 {
            return Err(Reply::plain(400, "Bad Request"));
        }
        if body.len() > 10 * 1024 * 1024 {
            return Err(Reply::html(413, "<html><head><title>413 Request Entity Too Large</title></head></html>"));
        }
        let form = Form::read(&parts.headers, body)?;
        keys.resize(3, String::new());
        let [key, rest, third] = <[String; 3]>::try_from(keys).unwrap_or_default();
        Ok(Call {
            resource,
            method: method.clone(),
            op: op.clone(),
            key,
            rest,
            third,
            caller,
            query: query.clone(),
            form,
            body: body.clone(),
        })
    })();
    (operation, call)
}

/// Resources that came with a version.
fn exists_in(region: &Region, name: &str) -> bool {
    match name {
        "reservedips" | "reservedip" => region.is_at_least(3, 6),
        "groups" | "group" | "oidc-providers" | "oidc-provider" => region.is_at_least(3, 8),
        _ => true,
    }
}

impl Region {
    /// Runs the handler of a routed call.
    pub(crate) fn answer(&mut self, call: Call) -> Answer {
        let call = &call;
        // What machines and their parts do is noticed where it happens; anything else may be what machines refer to.
        let own = matches!(
            call.resource.name,
            "machines"
                | "machine"
                | "nodes"
                | "interfaces"
                | "interface"
                | "results"
                | "result"
                | "blockdevices"
                | "blockdevice"
                | "partitions"
                | "partition"
        );
        if call.method != Method::GET && !own {
            self.refer_anew();
        }
        match (call.resource.name, call.method.as_str(), call.op.as_str()) {
            ("version", _, _) => Ok(self.version_info()),
            // A form without data has no fields to complain about.
            (_, "POST", "") if call.form.is_foreign => Err(Reply::json_status(400, &serde_json::json!({}))),
            ("users" | "user", _, _) => self.answer_users(call),
            ("account", _, _) => self.answer_account(call),
            ("sshkeys", _, "import") => self.import_ssh_keys(call),
            ("maas", _, _) => self.answer_settings(call),
            ("nodes", "GET", "") => self.list_nodes(call),
            ("nodes", "POST", _) => self.set_zone(call),
            ("nodes", _, _) => Ok(self.is_registered(call)),
            ("rackcontrollers" | "rackcontroller" | "regioncontrollers" | "regioncontroller", _, _) => {
                self.answer_controllers(call)
            }
            ("interfaces" | "interface", _, _) => self.answer_interfaces(call),
            ("dnsresourcerecords" | "dnsresourcerecord", _, _) => self.answer_records(call),
            ("discoveries", _, _) => Ok(Reply::list(Vec::new())),
            (
                "fabrics" | "fabric" | "fabric-vlans" | "fabric-vlan" | "vlan" | "spaces" | "space" | "ipranges"
                | "iprange" | "subnets" | "subnet",
                _,
                _,
            ) => self.answer_network(call),
            ("machines", "GET", "power_parameters") => self.all_power_parameters(call),
            ("machines", "GET", "is_registered" | "is_action_in_progress") => Ok(self.is_registered(call)),
            ("machines", "GET", "list_allocated") => self.list_allocated(call),
            ("machines", "GET", _) => self.list_machines(call),
            ("machines", _, "allocate") => self.allocate(call),
            ("machines", _, "release") => self.release_batch(call),
            ("machines", _, "accept" | "accept_all") => self.accept(call),
            ("machines", _, "set_zone") => self.set_zone(call),
            ("machines", _, "clone") => self.clone_machines(call),
            ("machines", "POST", "") => self.create_machine(call),
            (
                "blockdevices" | "blockdevice" | "partitions" | "partition" | "volume-groups" | "volume-group"
                | "raids" | "bcaches" | "bcache-cache-sets" | "vmfs-datastores",
                _,
                _,
            ) => self.answer_storage(call),
            ("machine", _, _) => self.answer_machine(call),
            ("zones" | "zone", _, _) => self.answer_zones(call),
            ("resourcepools" | "resourcepool", _, _) => self.answer_pools(call),
            ("tags" | "tag", _, _) => self.answer_tags(call),
            ("domains" | "domain", _, _) => self.answer_domains(call),
            ("dnsresources" | "dnsresource", _, _) => self.answer_dns(call),
            ("ipaddresses", "GET", _) => self.list_ips(call),
            ("ipaddresses", _, "reserve") => self.reserve_ip(call),
            ("ipaddresses", _, _) => self.release_ip(call),
            ("boot-resources" | "boot-resource" | "boot-resource-upload", _, _) => self.answer_images(call),
            ("results" | "result", _, _) => {
                let id = self.find(&call.key).map(|m| m.id).ok_or_else(|| Reply::missing("Node"))?;
                self.answer_results(id, call)
            }
            ("installation-results", _, _) => self.answer_old_results(call, RunKind::Installation),
            ("commissioning-results", _, _) => self.answer_old_results(call, RunKind::Commissioning),
            ("events", _, _) => self.query_events(call),
            _ => self.answer_shelf(call),
        }
    }

    fn answer_machine(&mut self, call: &Call) -> Answer {
        let id = self.find(&call.key).map(|m| m.id).ok_or_else(|| Reply::missing("Machine"))?;
        match (call.method.as_str(), call.op.as_str()) {
            ("GET", "power_parameters" | "details" | "get_curtin_config" | "get_token") => {
                self.machine_document(id, call)
            }
            (_, "commission") => self.commission(id, call),
            (_, "test") => self.test(id, call),
            (_, "override_failed_testing") => self.override_failed_testing(id, call),
            (_, "rescue_mode") => self.rescue_mode(id, call),
            (_, "exit_rescue_mode") => self.exit_rescue_mode(id, call),
            (_, "set_storage_layout") => self.set_storage_layout(id, call),
            (_, op) if op.starts_with("restore_") => self.restore(id, call),
            (_, "clear_default_gateways") => self.clear_default_gateways(id, call),
            (_, "mount_special" | "unmount_special") => self.change_special(id, call),
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
        self.resource.is_single()
    }

    /// Name of the resource.
    pub(crate) fn resource(&self) -> &'static str {
        self.resource.name
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
