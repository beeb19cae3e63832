//! Recorded answers of a real MAAS 3.7.3, asked again of the simulator.
//!
//! Every case starts from a fresh copy of the laboratory, brought into the state that the case needs.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use maas_sim::{ADMIN_KEY, Config, Region, Status};
use serde::Deserialize;
use serde_json::Value;

use crate::clients::sign;

#[derive(Deserialize)]
struct Case {
    case: String,
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: String,
    status: u16,
    answer_headers: BTreeMap<String, String>,
    answer: String,
}

const LAB: &str = include_str!("../recordings/lab.yaml");
const RECORDED: &[&str] = &[
    include_str!("../recordings/abort.jsonl"),
    include_str!("../recordings/allocate.jsonl"),
    include_str!("../recordings/boot-resources.jsonl"),
    include_str!("../recordings/broken.jsonl"),
    include_str!("../recordings/deploy.jsonl"),
    include_str!("../recordings/dnsresources.jsonl"),
    include_str!("../recordings/domains.jsonl"),
    include_str!("../recordings/errors.jsonl"),
    include_str!("../recordings/events.jsonl"),
    include_str!("../recordings/ipaddresses.jsonl"),
    include_str!("../recordings/lock.jsonl"),
    include_str!("../recordings/machine.jsonl"),
    include_str!("../recordings/machines-list.jsonl"),
    include_str!("../recordings/meta.jsonl"),
    include_str!("../recordings/ownerdata.jsonl"),
    include_str!("../recordings/pools.jsonl"),
    include_str!("../recordings/power.jsonl"),
    include_str!("../recordings/put.jsonl"),
    include_str!("../recordings/release-list.jsonl"),
    include_str!("../recordings/release.jsonl"),
    include_str!("../recordings/subnets.jsonl"),
    include_str!("../recordings/tags.jsonl"),
    include_str!("../recordings/zones.jsonl"),
];

/// Owners that the laboratory's machines have besides their status.
const OWNED: &[&str] = &[
    "st-reserved",
    "st-allocated",
    "st-deploying",
    "st-deployed",
    "st-failed-deployment",
    "st-releasing",
    "st-releasing-failed",
    "st-disk-erasing",
    "st-failed-disk-erasing",
    "st-rescue-mode",
    "st-entering-rescue-mode",
    "st-failed-to-enter-rescue-mode",
    "st-exiting-rescue-mode",
    "st-failed-to-exit-rescue-mode",
];

/// What has to be so before a case, by prefix of its name. `machine status owner`, `lock machine`, `bmc …` or a request.
const SETUP: &[(&str, &[&str])] = &[
    ("errors/nonce-reused", &["same GET /MAAS/api/2.0/zones/"]),
    ("allocate/taken-by-other", &["machine node11 allocated alice"]),
    ("deploy/allocated-plain", &["machine node01 allocated admin"]),
    ("deploy/already-deployed", &["machine node01 deployed admin"]),
    ("deploy/already-deploying", &["machine node01 deploying admin"]),
    ("deploy/failed-deployment-again", &["machine node02 failed_deployment admin"]),
    ("deploy/user-data", &["machine node02 allocated admin"]),
    ("release/deployed", &["machine node01 deployed admin", "on node01"]),
    ("release/deploying", &["machine node03 deploying admin"]),
    ("release/erase", &["machine node17 allocated admin"]),
    ("release/failed-disk-erasing", &["machine node18 failed_disk_erasing admin"]),
    ("release/quick-erase-only", &["machine node18 allocated admin"]),
    ("release/json-body", &["machine node01 deploying admin"]),
    ("release/unknown-param", &["machine st-deployed disk_erasing admin"]),
    ("release-list/two", &["machine node02 allocated admin", "machine node03 allocated admin"]),
    ("release-list/with-ready", &["machine node04 allocated admin"]),
    ("release-list/wrong-state", &["machine node02 allocated admin"]),
    ("broken/deploy-broken", &["machine node06 broken -"]),
    ("broken/mark-broken-again", &["machine node06 broken -"]),
    ("broken/mark-broken-allocated", &["machine node01 deploying admin"]),
    ("broken/mark-broken-error", &["machine node07 deploying admin"]),
    ("broken/mark-fixed-2", &["machine node07 broken -"]),
    ("broken/mark-fixed-nonadmin", &["machine node01 broken -"]),
    ("broken/mark-fixed-ready", &[]),
    ("broken/mark-fixed", &["machine node06 broken -"]),
    ("lock/delete-locked", &["lock st-deploying"]),
    ("lock/mark-broken-locked", &["lock st-deployed"]),
    ("lock/release-locked-", &["lock st-deployed"]),
    ("lock/release-locked", &["lock st-deploying"]),
    ("lock/unlock-again", &[]),
    ("lock/unlock", &["lock st-deploying"]),
    ("power/off-deployed", &["on st-deployed"]),
    ("power/off-no-rack", &["machine node04 deploying admin", "bmc node04 no_rack"]),
    ("power/off-soft", &["machine node01 deploying admin"]),
    ("power/on-allocated", &["machine node01 allocated admin"]),
    ("power/on-bmc-fails", &["bmc st-deployed fails"]),
    ("power/on-no-rack", &["bmc st-deployed no_rack"]),
    ("power/query-bmc-fails", &["bmc node04 fails"]),
    ("ownerdata/set-merge", &["machine node10 allocated admin", "POST machines/qdrp74/?op=set_owner_data k1=v1&k2=v2"]),
    ("ownerdata/set-not-owned", &[]),
    ("ownerdata/", &["machine node10 allocated admin"]),
    ("put/multipart", &["PUT machines/ag8cet/ hostname=json15"]),
    ("put/pool-unknown", &[]),
    ("put/pool", &["PUT machines/c6tyka/ zone=zone-b"]),
    ("machine/delete-again", &["DELETE machines/g43hw7/"]),
    ("put/nonadmin-own-zone", &["machine node18 allocated alice"]),
    ("dnsresources/create-empty-ip", &["POST dnsresources/ fqdn=noip.lab.example"]),
    ("dnsresources/list-domain", &["POST dnsresources/ name=*&domain=lab.example&ip_addresses=10.10.0.64"]),
    ("dnsresources/list-unknown-param", &["POST dnsresources/ fqdn=node05.maas&ip_addresses=10.10.0.69"]),
    ("dnsresources/update-name", &["POST dnsresources/ fqdn=www.lab.example"]),
    ("dnsresources/update-nothing", &["POST dnsresources/ fqdn=www4.lab.example&address_ttl=30"]),
    (
        "dnsresources/",
        &[
            "POST dnsresources/ fqdn=www.lab.example&ip_addresses=10.10.0.50",
            "POST dnsresources/ name=api&domain=lab.example&ip_addresses=10.10.0.51&address_ttl=120",
            "POST dnsresources/ name=r3&domain=lab.example&ip_addresses=10.10.0.52",
            "POST dnsresources/ name=r4&domain=lab.example&ip_addresses=10.10.0.53",
            "POST dnsresources/ name=r5&domain=lab.example&ip_addresses=10.10.0.54",
        ],
    ),
    ("ipaddresses/list-all", &[]),
    ("ipaddresses/list", &["POST ipaddresses/?op=reserve ip=10.10.0.120"]),
    ("ipaddresses/reserve-ip-again", &["POST ipaddresses/?op=reserve ip=10.10.0.120"]),
    ("ipaddresses/release-other-user", &["POST ipaddresses/?op=reserve ip=10.10.0.121"]),
    ("ipaddresses/reserve-exhausted", &["exhaust"]),
    ("domains/create-duplicate", &["POST domains/ name=new.example"]),
    ("domains/update", &["POST domains/ name=new.example&ttl=300"]),
    ("zones/create-duplicate", &["POST zones/ name=zone-c"]),
    ("zones/update", &["POST zones/ name=zone-c&description=third"]),
    ("pools/create-duplicate", &["POST resourcepools/ name=pool-x"]),
    ("pools/delete-again", &[]),
    ("pools/create", &[]),
    ("pools/", &["POST resourcepools/ name=pool-x"]),
    ("tags/create-duplicate", &["POST tags/ name=newtag&comment=c"]),
    ("tags/create", &[]),
    ("tags/update-nodes-remove", &["POST tags/ name=newtag&comment=c", "POST tags/newtag/?op=update_nodes add=wt67ch"]),
    ("tags/", &["POST tags/ name=newtag&comment=c"]),
    ("machine/get-curtin", &[]),
];

/// Differences that stay, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("boot-resources/read", "names of files within an image are not simulated"),
    ("dnsresources/read-with-records", "records other than addresses are not simulated"),
    ("events/query-after-deploy", "what happened before is not told in that case"),
    ("ipaddresses/list-all", "addresses of BMCs are not simulated"),
    ("ownerdata/multipart", "shows what earlier cases had set"),
    ("power/off-soft", "that deployment was begun by power_on and has no image"),
    ("power/on-bmc-fails", "the text was made up by the recording's stand-in"),
    ("errors/root", "the HTML text of another web server"),
    ("machine/commission", "commissioning is not simulated: 501"),
    ("machine/commission-again", "commissioning is not simulated: 501"),
    ("machine/details", "not simulated: 501"),
    ("machine/get-curtin-config-deploying", "not simulated: 501"),
    ("machine/get-curtin-config-ready", "not simulated: 501"),
    ("machine/get-token-ready", "not simulated: 501"),
    ("machine/power-parameters", "not simulated: 501"),
    ("machine/power-parameters-nonadmin", "not simulated: 501"),
    ("machines-list/accept-all", "not simulated: 501"),
    ("machines-list/power-parameters", "not simulated: 501"),
];

fn prepare(region: &mut Region, now: Timestamp, case: &Case) {
    for name in OWNED {
        region.set_owner(now, name, Some("admin")).unwrap();
    }
    let steps = SETUP.iter().find(|(prefix, _)| case.case.starts_with(prefix)).map_or(&[][..], |(_, steps)| steps);
    for (n, step) in steps.iter().enumerate() {
        let words: Vec<&str> = step.split(' ').collect();
        match words.as_slice() {
            ["machine", name, status, owner] => {
                region.set_status(now, name, Status::from_filter(status).unwrap()).unwrap();
                region.set_owner(now, name, Some(*owner).filter(|o| *o != "-")).unwrap();
            }
            ["lock", name] => region.set_locked(now, name, true).unwrap(),
            ["on", name] => power_on(region, now, name),
            ["bmc", name, state] => {
                let bmc = if *state == "fails" { maas_sim::Bmc::Fails } else { maas_sim::Bmc::NoRack };
                region.set_bmc(now, name, bmc).unwrap();
            }
            ["same", _, _] => {
                region.handle(now, request(case));
            }
            ["exhaust"] => {
                for n in 1..255 {
                    region
                        .add_dns_resource(now, &format!("x{n}.lab.example"), &[format!("10.10.0.{n}").parse().unwrap()])
                        .unwrap();
                }
            }
            [method, path, rest @ ..] => {
                let made = Request::builder()
                    .method(*method)
                    .uri(format!("/MAAS/api/2.0/{path}"))
                    .header("authorization", sign(ADMIN_KEY, now, n as u64))
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(Bytes::from(rest.join(" ")))
                    .unwrap();
                let answer = region.handle(now, made);
                assert!(answer.status().is_success(), "{step}: {}", crate::clients::text(&answer));
            }
            _ => panic!("{step}"),
        }
    }
}

/// Switches a machine on that the knobs put into Deployed.
fn power_on(region: &mut Region, now: Timestamp, name: &str) {
    let id = region.machine(name).unwrap().system_id;
    let made = Request::post(format!("/MAAS/api/2.0/machines/{id}/?op=power_on"))
        .header("authorization", sign(ADMIN_KEY, now, 999))
        .body(Bytes::new())
        .unwrap();
    assert_eq!(region.handle(now, made).status(), 200);
    region.tick(now + jiff::SignedDuration::from_secs(60));
}

fn request(case: &Case) -> Request<Bytes> {
    let mut builder = Request::builder().method(case.method.as_str()).uri(&case.url);
    for (name, value) in &case.headers {
        builder = builder.header(name, value);
    }
    builder.body(Bytes::from(case.body.clone())).unwrap()
}

/// Fields whose values are compared, not only their types.
const VALUES: &[&str] = &[
    "status",
    "status_name",
    "owner",
    "owner_data",
    "hostname",
    "fqdn",
    "osystem",
    "distro_series",
    "hwe_kernel",
    "netboot",
    "locked",
    "error_description",
    "constraints_by_type",
    "description",
    "name",
    "ttl",
    "address_ttl",
    "is_superuser",
    "username",
    "added",
    "removed",
    "capabilities",
    "version",
    "state",
    "cidr",
    "is_default",
];
/// Fields that are made up in the recordings or depend on what went before.
const IGNORED: &[&str] = &["error", "id"];

fn compare(at: &str, want: &Value, have: &Value, whole: bool, out: &mut Vec<String>) {
    match (want, have) {
        (Value::Object(w), Value::Object(h)) => {
            for (key, value) in w {
                let here = format!("{at}.{key}");
                match h.get(key) {
                    None => out.push(format!("{here}: missing")),
                    Some(other)
                        if VALUES.contains(&key.as_str()) && !IGNORED.contains(&key.as_str()) && value != other =>
                    {
                        out.push(format!("{here}: want {value}, have {other}"))
                    }
                    Some(other) => compare(&here, value, other, true, out),
                }
            }
            // Big machine answers are stored in part.
            if whole && (!w.contains_key("status_name") || w.contains_key("blockdevice_set")) {
                out.extend(h.keys().filter(|k| !w.contains_key(*k)).map(|k| format!("{at}.{k}: too much")));
            }
        }
        (Value::Array(w), Value::Array(h)) => {
            if let (Some(w), Some(h)) = (w.first(), h.first()) {
                compare(&format!("{at}[0]"), w, h, true, out);
            } else if w.is_empty() != h.is_empty()
                && !at.ends_with("tags")
                && !at.ends_with("dns_servers")
                && !at.ends_with("interface_set")
            {
                out.push(format!("{at}: want {} items, have {}", w.len(), h.len()));
            }
        }
        (w, h) if std::mem::discriminant(w) == std::mem::discriminant(h) => {}
        // Made-up hardware of the laboratory, or addresses that lie elsewhere.
        (w, h) if (w.is_null() || h.is_null()) && NULLABLE.iter().any(|n| at.ends_with(n)) => {}
        (w, h) => out.push(format!("{at}: want {w}, have {h}")),
    }
}

const NULLABLE: &[&str] = &[
    ".status_message",
    ".status_action",
    ".min_hwe_kernel",
    ".current_installation_result_id",
    ".uuid",
    ".gateway_ip",
    ".owner",
    ".firmware_version",
    ".subnet",
];

fn differences(case: &Case) -> Vec<String> {
    // The recording's clock: what its Date header says.
    let date = &case.answer_headers["date"];
    let now = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
    let mut region = Region::new(Config::from_yaml(LAB).unwrap());
    prepare(&mut region, now, case);
    let response = region.handle(now, request(case));
    let body = crate::clients::text(&response);
    let mut out = Vec::new();
    if response.status().as_u16() != case.status {
        out.push(format!("status: want {}, have {} {body:.300}", case.status, response.status()));
        return out;
    }
    for name in ["retry-after", "allow", "www-authenticate"] {
        let have = response.headers().get(name).map(|v| v.to_str().unwrap());
        if have != case.answer_headers.get(name).map(String::as_str) {
            out.push(format!("header {name}: {have:?}"));
        }
    }
    match serde_json::from_str::<Value>(&case.answer) {
        Ok(want) => match serde_json::from_str::<Value>(&body) {
            Ok(have) if case.status == 400 && want != have => out.push(format!("want {want}, have {have}")),
            Ok(have) => compare("", &want, &have, true, &mut out),
            Err(_) => out.push(format!("not JSON: {body:.200}")),
        },
        Err(_) if body != case.answer => out.push(format!("want {:?}, have {body:?}", case.answer)),
        Err(_) => {}
    }
    out
}

#[test]
fn the_simulator_answers_recorded_requests_as_maas_did() {
    let mut failures = Vec::new();
    let mut count = 0;
    for line in RECORDED.iter().flat_map(|group| group.lines()) {
        let case: Case = serde_json::from_str(line).unwrap();
        count += 1;
        let found = differences(&case);
        let expected = DIFFERENT.iter().any(|(name, _)| *name == case.case);
        match (found.is_empty(), expected) {
            (true, true) => failures.push(format!("{}: no difference any more, take it off the list", case.case)),
            (false, false) => failures.push(format!("{}:\n    {}", case.case, found.join("\n    "))),
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(count > 300, "only {count} recordings");
}
