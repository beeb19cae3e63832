//! For each recorded operation with a typed method: the typed request that a recorded one means, and the
//! method that sends it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::str::FromStr;

use maas_client::operation::Operation;
use maas_client::*;
use serde::Serialize;
use serde_json::Value;

use crate::store::Pairs;

/// Recorded parameters, taken one after the other; what is left over has no typed form.
pub(crate) struct Given {
    left: Pairs,
    ids: Vec<String>,
}

impl Given {
    pub(crate) fn new(ids: &[String], query: &Pairs, form: &Pairs) -> Self {
        let left = query.iter().chain(form).filter(|(key, _)| key != "op").cloned().collect();
        Self { left, ids: ids.to_vec() }
    }

    fn id<T: FromStr>(&self, at: usize) -> Option<T> {
        self.ids.get(at)?.parse().ok()
    }

    /// All values of a name, if each of them reads as the type.
    fn all<T: FromStr>(&mut self, name: &str) -> Vec<T> {
        let texts: Vec<_> = self.left.iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect();
        let Ok(values) = texts.iter().map(|text| text.parse()).collect::<Result<Vec<T>, _>>() else {
            return Vec::new();
        };
        self.left.retain(|(key, _)| key != name);
        values
    }

    fn one<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let several = self.left.iter().filter(|(key, _)| key == name).count() > 1;
        if several { None } else { self.all(name).pop() }
    }

    fn text(&mut self, name: &str) -> String {
        self.one(name).unwrap_or_default()
    }

    fn flag(&mut self, name: &str) -> bool {
        let given = self.left.iter().any(|(key, value)| key == name && value == "true");
        self.left.retain(|(key, value)| key != name || value != "true");
        given
    }

    fn word<T: for<'a> From<&'a str>>(&mut self, name: &str) -> Option<T> {
        self.one::<String>(name).map(|text| T::from(&text))
    }

    fn rest(&mut self) -> BTreeMap<String, String> {
        self.left.drain(..).collect()
    }

    fn statuses(&mut self, name: &str) -> Vec<MachineStatus> {
        let known = |text: &str| MachineStatus::ALL.iter().copied().find(|s| s.filter_value() == Some(text));
        let texts: Vec<_> = self.left.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect();
        let found: Option<Vec<_>> = texts.iter().map(|text| known(text)).collect();
        if found.is_some() {
            self.left.retain(|(key, _)| key != name);
        }
        found.unwrap_or_default()
    }
}

fn machine_filter(p: &mut Given) -> MachineFilter {
    MachineFilter {
        ids: p.all("id"),
        hostname: p.all("hostname"),
        mac_address: p.all("mac_address"),
        domain: p.all("domain"),
        owner: p.all("owner"),
        status: p.statuses("status"),
        power_state: p.all::<String>("power_state").iter().map(|text| PowerState::from(text.as_str())).collect(),
        zone: p.all("zone"),
        pool: p.all("pool"),
        tags: p.all("tags"),
        not_tags: p.all("not_tags"),
        arch: p.all("arch"),
        cpu_count: p.one("cpu_count"),
        mem: p.one("mem"),
        ..Default::default()
    }
}

fn allocate(p: &mut Given) -> AllocateRequest {
    AllocateRequest {
        system_id: p.all("system_id"),
        name: p.one("name"),
        tags: p.all("tags"),
        not_tags: p.all("not_tags"),
        zone: p.all("zone"),
        not_in_zone: p.all("not_in_zone"),
        pool: p.all("pool"),
        not_in_pool: p.all("not_in_pool"),
        arch: p.all("arch"),
        cpu_count: p.one("cpu_count"),
        mem: p.one("mem"),
        storage: p.one("storage"),
        interfaces: p.one("interfaces"),
        subnets: p.all("subnets"),
        not_subnets: p.all("not_subnets"),
        fabrics: p.all("fabrics"),
        not_fabrics: p.all("not_fabrics"),
        agent_name: p.one("agent_name"),
        comment: p.one("comment"),
        bridge_all: p.flag("bridge_all"),
        dry_run: p.flag("dry_run"),
        ..Default::default()
    }
}

fn deploy(p: &mut Given) -> DeployRequest {
    use base64::Engine as _;
    let decoded = p
        .left
        .iter()
        .find(|(key, _)| key == "user_data")
        .and_then(|(_, text)| base64::engine::general_purpose::STANDARD.decode(text).ok());
    if decoded.is_some() {
        p.left.retain(|(key, _)| key != "user_data");
    }
    DeployRequest {
        distro_series: p.one("distro_series"),
        user_data: decoded,
        hwe_kernel: p.one("hwe_kernel"),
        ephemeral_deploy: p.flag("ephemeral_deploy"),
        agent_name: p.one("agent_name"),
        comment: p.one("comment"),
        ..Default::default()
    }
}

/// `name` and `domain`; a recorded `fqdn` stays for the generic call, since the client splits it itself.
fn dns_name(p: &mut Given) -> Option<DnsName> {
    let find = |name: &str| p.left.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let name = DnsName::new(find("name")?, find("domain")?).ok()?;
    p.left.retain(|(key, _)| key != "name" && key != "domain");
    Some(name)
}

fn addresses(p: &mut Given) -> Option<BTreeSet<IpAddr>> {
    let text = p.left.iter().find(|(key, _)| key == "ip_addresses").map(|(_, value)| value.clone())?;
    let found: BTreeSet<IpAddr> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let canonical = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    if canonical == text && p.left.iter().filter(|(key, _)| key == "ip_addresses").count() == 1 {
        p.left.retain(|(key, _)| key != "ip_addresses");
    }
    Some(found)
}

fn events(p: &mut Given) -> EventFilter {
    use EventLevel::*;
    let levels = [Debug, Info, Warning, Error, Critical, Audit];
    let level = p.left.iter().find(|(key, _)| key == "level").map(|(_, value)| value.clone());
    let level = level.and_then(|text| levels.into_iter().find(|level| level.as_str() == text));
    if level.is_some() {
        p.left.retain(|(key, _)| key != "level");
    }
    EventFilter {
        ids: p.all("id"),
        hostname: p.all("hostname"),
        level,
        limit: p.one("limit"),
        after: p.one("after"),
        before: p.one("before"),
        ..Default::default()
    }
}

fn update_machine(p: &mut Given) -> UpdateMachine {
    UpdateMachine {
        hostname: p.one("hostname"),
        domain: p.one("domain"),
        description: p.one("description"),
        swap_size: p.one("swap_size"),
        zone: p.one("zone"),
        pool: p.one("pool"),
    }
}

fn create_machine(p: &mut Given) -> CreateMachine {
    CreateMachine {
        architecture: p.text("architecture"),
        mac_addresses: p.all("mac_addresses"),
        power_type: p.one("power_type"),
        commission: p.one("commission"),
        ..Default::default()
    }
}

/// What became of a recorded request.
pub(crate) enum Sent {
    /// The answer, as JSON.
    Done(Result<Value, Error>),
    /// The operation has a typed method, but not for these parameters.
    Odd,
    /// The operation has no typed method.
    Untyped,
}

fn json<T: Serialize>(reply: Result<T, Error>) -> Result<Value, Error> {
    reply.map(|value| serde_json::to_value(value).unwrap())
}

/// Sends what the recording means by the typed method of its operation, if it has one.
pub(crate) async fn send(client: &Client, operation: &Operation, given: Given) -> Sent {
    let mut untyped = false;
    match outcome(client, operation, given, &mut untyped).await {
        Some(answer) => Sent::Done(answer),
        None if untyped => Sent::Untyped,
        None => Sent::Odd,
    }
}

async fn outcome(
    client: &Client,
    operation: &Operation,
    mut given: Given,
    untyped: &mut bool,
) -> Option<Result<Value, Error>> {
    let p = &mut given;
    // the typed request is made first; a parameter left over means that it would not be the recorded one
    macro_rules! with {
        ($request:expr, |$name:ident| $call:expr) => {{
            let $name = $request;
            if p.left.is_empty() { Some(json($call.await)) } else { None }
        }};
    }
    let machines = client.machines();
    let care = client.maintenance();
    macro_rules! plain {
        ($call:expr) => {
            if p.left.is_empty() { Some(json($call.await)) } else { None }
        };
    }
    let machine = p.id::<SystemId>(0);
    let name = p.ids.first().cloned().unwrap_or_default();
    match operation.name {
        "version.read" => plain!(client.version().read()),
        "users.whoami" => plain!(client.users().whoami()),
        "user.read" => plain!(client.users().read(&name)),
        "machines.list" => with!(machine_filter(p), |filter| machines.list(&filter)),
        "machines.allocate" => with!(allocate(p), |request| machines.allocate(&request)),
        "machines.create" if p.left.iter().any(|(key, _)| key == "architecture") => {
            with!(create_machine(p), |request| care.create(&request))
        }
        "machines.release" => {
            let request = ReleaseMany { machines: p.all("machines"), comment: p.one("comment") };
            plain!(care.release_all(&request))
        }
        "machines.list_allocated" => with!(Members { machines: p.all("id") }, |filter| care.list_allocated(&filter)),
        "machines.accept_all" => plain!(care.accept_all()),
        "machine.read" => plain!(machines.read(&machine?)),
        "machine.update" => with!(update_machine(p), |request| machines.update(&machine?, &request)),
        "machine.delete" => {
            let request = DeleteMachine { force: p.flag("force") };
            plain!(care.delete(&machine?, &request))
        }
        "machine.deploy" => with!(deploy(p), |request| machines.deploy(&machine?, &request)),
        "machine.release" => {
            let request = ReleaseRequest {
                comment: p.one("comment"),
                erase: p.flag("erase"),
                secure_erase: p.flag("secure_erase"),
                quick_erase: p.flag("quick_erase"),
            };
            plain!(machines.release(&machine?, &request))
        }
        "machine.power_on" => with!(p.one("comment"), |comment| machines.power_on(&machine?, comment)),
        "machine.power_off" => {
            let soft = p.left.iter().any(|(key, value)| key == "stop_mode" && value == "soft");
            if soft {
                p.left.retain(|(key, _)| key != "stop_mode");
            }
            let mode = if soft { PowerOffMode::Soft } else { PowerOffMode::Hard };
            with!(p.one("comment"), |comment| machines.power_off(&machine?, mode, comment))
        }
        "machine.query_power_state" => {
            let state = machines.query_power_state(&machine?).await;
            Some(state.map(|state| serde_json::json!({ "state": state })))
        }
        // keys that MAAS chokes on are refused by the client, hence not sent
        "machine.set_owner_data" if p.left.iter().all(|(key, _)| key.len() <= 255) => {
            with!(p.rest(), |data| machines.set_owner_data(&machine?, &data))
        }
        "machine.mark_broken" => with!(p.one("comment"), |comment| machines.mark_broken(&machine?, comment)),
        "machine.mark_fixed" => with!(p.one("comment"), |comment| machines.mark_fixed(&machine?, comment)),
        "machine.lock" => with!(p.one("comment"), |comment| machines.lock(&machine?, comment)),
        "machine.unlock" => with!(p.one("comment"), |comment| machines.unlock(&machine?, comment)),
        "machine.abort" => with!(p.one("comment"), |comment| machines.abort(&machine?, comment)),
        "machine.commission" => {
            let request = Commission { enable_ssh: p.flag("enable_ssh"), ..Default::default() };
            plain!(care.commission(&machine?, &request))
        }
        "machine.test" => plain!(care.test(&machine?, &TestHardware::default())),
        "machine.override_failed_testing" => {
            with!(Note { comment: p.one("comment") }, |note| care.override_failed_testing(&machine?, &note))
        }
        "machine.rescue_mode" => plain!(care.rescue_mode(&machine?)),
        "machine.exit_rescue_mode" => plain!(care.exit_rescue_mode(&machine?)),
        "machine.power_parameters" => plain!(care.power_parameters(&machine?)),
        "machine.get_curtin_config" => plain!(care.curtin_config(&machine?)),
        "blockdevices.list" => plain!(client.block_devices().list(&machine?)),
        "results.list" => plain!(client.results().list(&machine?, &ResultFilter::default())),
        "results.read" => {
            let set = match name_at(p, 1).as_str() {
                "current-commissioning" => ScriptSetId::CurrentCommissioning,
                "current-testing" => ScriptSetId::CurrentTesting,
                "current-installation" => ScriptSetId::CurrentInstallation,
                number => ScriptSetId::Number(number.parse().ok()?),
            };
            plain!(client.results().read(&machine?, &set, &ResultFilter::default()))
        }
        "devices.list" => plain!(client.devices().list()),
        "dnsresources.list" => {
            let mut filter = DnsFilter { name: dns_name(p), all: p.flag("all"), ..Default::default() };
            (filter.domain, filter.rrtype) = (p.one("domain"), p.one("rrtype"));
            plain!(client.dns_resources().list(&filter))
        }
        "dnsresources.create" => {
            let name = dns_name(p)?;
            let addresses = addresses(p).unwrap_or_default();
            let request = CreateDnsResource { name, addresses, ttl: p.one("address_ttl") };
            plain!(client.dns_resources().create(&request))
        }
        "dnsresource.read" => plain!(client.dns_resources().read(p.id(0)?)),
        "dnsresource.update" => {
            let (id, addresses, ttl) = (p.id(0)?, addresses(p)?, p.one("address_ttl"));
            plain!(client.dns_resources().update_addresses(id, &addresses, ttl))
        }
        "dnsresource.delete" => plain!(client.dns_resources().delete(p.id(0)?)),
        "dnsresourcerecords.list" => {
            let filter = DnsRecordFilter { fqdn: p.one("fqdn"), rrtype: p.one("rrtype"), ..Default::default() };
            plain!(client.dns_records().list(&filter))
        }
        "dnsresourcerecords.create" if p.left.iter().any(|(key, _)| key == "rrdata") => {
            let request = CreateDnsRecord {
                fqdn: p.one("fqdn"),
                name: p.one("name"),
                domain: p.one("domain"),
                rrtype: p.text("rrtype"),
                rrdata: p.text("rrdata"),
                ttl: p.one("ttl"),
            };
            plain!(client.dns_records().create(&request))
        }
        "dnsresourcerecord.read" => plain!(client.dns_records().read(p.id(0)?)),
        "dnsresourcerecord.update" => {
            let request = UpdateDnsRecord { rrtype: p.one("rrtype"), rrdata: p.one("rrdata"), ttl: p.one("ttl") };
            plain!(client.dns_records().update(p.id(0)?, &request))
        }
        "dnsresourcerecord.delete" => plain!(client.dns_records().delete(p.id(0)?)),
        "domains.list" => plain!(client.domains().list()),
        "domain.read" => plain!(client.domains().read(p.id(0)?)),
        "domains.create" => {
            let request = CreateDomain { name: p.text("name"), ttl: p.one("ttl"), ..Default::default() };
            plain!(client.domains().create(&request))
        }
        "domain.update" => {
            let request = UpdateDomain { name: p.one("name"), ttl: p.one("ttl"), ..Default::default() };
            plain!(client.domains().update(p.id(0)?, &request))
        }
        "domain.delete" => plain!(client.domains().delete(p.id(0)?)),
        "domain.set_default" => plain!(client.domains().set_default(p.id(0)?)),
        "zones.list" => plain!(client.zones().list()),
        "zone.read" => plain!(client.zones().read(&name)),
        "zone.delete" => plain!(client.zones().delete(&name)),
        "zones.create" if p.left.iter().any(|(key, _)| key == "name") => {
            with!(place(p), |request| client.zones().create(&request))
        }
        "zone.update" => with!(place_update(p), |request| client.zones().update(&name, &request)),
        "resourcepools.list" => plain!(client.pools().list()),
        "resourcepool.read" => plain!(client.pools().read(&name)),
        "resourcepool.delete" => plain!(client.pools().delete(&name)),
        "resourcepools.create" => with!(place(p), |request| client.pools().create(&request)),
        "resourcepool.update" => with!(place_update(p), |request| client.pools().update(&name, &request)),
        "tags.list" => plain!(client.tags().list()),
        "tag.read" => plain!(client.tags().read(&name)),
        "tag.machines" => plain!(client.tags().machines(&name)),
        "tag.delete" => plain!(client.tags().delete(&name)),
        "tags.create" if p.left.iter().any(|(key, _)| key == "name") => {
            let (name, comment, kernel_opts) = (p.text("name"), p.one("comment"), p.one("kernel_opts"));
            let request = CreateTag { name, comment, kernel_opts, definition: p.one("definition") };
            plain!(client.tags().create(&request))
        }
        "tag.update" => {
            let request = UpdateTag { name: p.one("name"), comment: p.one("comment"), definition: p.one("definition") };
            plain!(client.tags().update(&name, &request))
        }
        "tag.update_nodes" => {
            let change = TagMembers { add: p.all("add"), remove: p.all("remove") };
            plain!(client.tags().update_machines(&name, &change))
        }
        "subnets.list" => plain!(client.subnets().list()),
        "subnet.read" => plain!(client.subnets().read(&name.as_str().into())),
        "subnet.statistics" => plain!(client.subnets().statistics(&name.as_str().into())),
        "subnet.reserved_ip_ranges" => plain!(client.subnets().reserved_ranges(&name.as_str().into())),
        "subnet.unreserved_ip_ranges" => plain!(client.subnets().free_ranges(&name.as_str().into())),
        "fabric-vlans.list" => plain!(client.vlans().list(p.id(0)?)),
        "ipranges.list" => plain!(client.ip_ranges().list()),
        "ipranges.create" => {
            let request = CreateIpRange {
                kind: p.word("type").unwrap_or_default(),
                start_ip: p.text("start_ip"),
                end_ip: p.text("end_ip"),
                subnet: p.word("subnet"),
                comment: p.one("comment"),
            };
            plain!(client.ip_ranges().create(&request))
        }
        "ipaddresses.list" => {
            let filter = IpAddressFilter { ip: p.one("ip"), all: p.flag("all"), owner: p.one("owner") };
            plain!(client.ip_addresses().list(&filter))
        }
        "ipaddresses.reserve" => {
            let request =
                ReserveIp { subnet: p.word("subnet"), ip: p.one("ip"), hostname: p.one("hostname"), mac: p.one("mac") };
            plain!(client.ip_addresses().reserve(&request))
        }
        "ipaddresses.release" => {
            let request = ReleaseIp { ip: p.one("ip"), ..Default::default() };
            plain!(client.ip_addresses().release(&request))
        }
        "static-routes.list" => plain!(client.static_routes().list()),
        "boot-resources.list" => match p.word::<ImageKind>("type") {
            Some(kind) => plain!(client.boot_resources().list_of(&kind)),
            None => plain!(client.boot_resources().list()),
        },
        "boot-resource.read" => plain!(client.boot_resources().read(p.id(0)?)),
        "boot-resources.is_importing" => plain!(client.boot_resources().is_importing()),
        "events.query" => with!(events(p), |filter| client.events().query(&filter)),
        "notifications.list" => plain!(client.notifications().list()),
        "sshkeys.list" => plain!(client.ssh_keys().list()),
        "maas.get_config" => with!(ConfigName { name: p.text("name") }, |name| client.config().get(&name)),
        // keys are not serialised, so that nobody writes them anywhere by accident
        "account.list_authorisation_tokens" => {
            let keys = client.account().list_keys().await;
            Some(keys.map(|keys| keys.iter().map(|key| serde_json::json!({ "name": key.name })).collect()))
        }
        "account.create_authorisation_token" => {
            let made = client.account().create_key(&CreateKey { name: p.one("name") }).await;
            Some(made.map(|made| serde_json::json!({ "name": made.name })))
        }
        "account.delete_authorisation_token" => {
            with!(DeleteKey { token_key: p.text("token_key") }, |key| client.account().delete_key(&key))
        }
        "account.update_token_name" => {
            let request = RenameKey { token: p.text("token"), name: p.text("name") };
            plain!(client.account().rename_key(&request))
        }
        "machines.create" | "machine.set_owner_data" | "dnsresourcerecords.create" | "zones.create" | "tags.create" => {
            None
        }
        _ => {
            *untyped = true;
            None
        }
    }
}

fn name_at(p: &Given, at: usize) -> String {
    p.ids.get(at).cloned().unwrap_or_default()
}

fn place(p: &mut Given) -> CreatePlace {
    CreatePlace { name: p.text("name"), description: p.one("description") }
}

fn place_update(p: &mut Given) -> UpdatePlace {
    UpdatePlace { name: p.one("name"), description: p.one("description") }
}
