//! DNS resources, addresses, and when name servers know.

use std::net::IpAddr;

use maas_sim::{Config, NameAnswer, RecordKind};
use serde_json::Value;

use crate::clients::{Lab, text};

fn addresses(resource: &Value) -> Vec<String> {
    resource["ip_addresses"].as_array().unwrap().iter().map(|i| i["ip"].as_str().unwrap_or("null").to_owned()).collect()
}

fn resolved(lab: &mut Lab, name: &str) -> Vec<String> {
    lab.region.resolve(lab.now, name).iter().map(IpAddr::to_string).collect()
}

fn create(lab: &mut Lab, form: &str) -> u64 {
    lab.ok("POST", "dnsresources/", form)["id"].as_u64().unwrap()
}

#[test]
fn a_put_replaces_the_set_and_one_without_addresses_keeps_the_last() {
    let mut lab = Lab::new(Config::lab(1));
    let id = create(&mut lab, "name=api&domain=maas.sc&ip_addresses=10.10.1.1+10.10.1.2");
    let put = |lab: &mut Lab, form: &str| addresses(&lab.ok("PUT", &format!("dnsresources/{id}/"), form));
    assert_eq!(put(&mut lab, "ip_addresses=10.10.1.2+10.10.1.3"), ["10.10.1.2", "10.10.1.3"]);
    assert_eq!(put(&mut lab, "address_ttl=10"), ["10.10.1.3"]);
    assert_eq!(put(&mut lab, "ip_addresses=10.10.1.4&ip_addresses=10.10.1.5"), ["10.10.1.5"]);
    assert_eq!(put(&mut lab, "ip_addresses="), [""; 0]);
    // Rows that a PUT made stay as the user's reservations; 10.10.1.4 was never read.
    let mut left: Vec<String> = lab
        .ok("GET", "ipaddresses/", "")
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["ip"].as_str().unwrap().to_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["10.10.1.1", "10.10.1.2", "10.10.1.3", "10.10.1.5"]);
}

#[test]
fn name_servers_follow_a_change_only_after_publication() {
    let mut lab = Lab::new(Config::lab(1));
    let id = create(&mut lab, "fqdn=api.maas.sc&ip_addresses=10.10.1.1");
    assert_eq!(resolved(&mut lab, "api.maas.sc"), [""; 0]);
    lab.wait(3);
    assert_eq!(resolved(&mut lab, "API.maas.sc."), ["10.10.1.1"]);
    lab.ok("DELETE", &format!("dnsresources/{id}/"), "");
    assert_eq!(resolved(&mut lab, "api.maas.sc"), ["10.10.1.1"]);
    lab.wait(3);
    assert_eq!(resolved(&mut lab, "api.maas.sc"), [""; 0]);
    assert_eq!(lab.ok("GET", "ipaddresses/", ""), serde_json::json!([]), "its reservation went with it");
}

#[test]
fn an_auto_address_left_in_a_name_points_to_the_machine_that_is_deployed_next() {
    let mut lab = Lab::new(Config::lab(2));
    let first = lab.deployed("name=node01");
    let address = lab.machine(&first)["ip_addresses"][0].as_str().unwrap().to_owned();
    let id = create(&mut lab, &format!("fqdn=api.maas.sc&ip_addresses={address}"));
    assert_eq!(lab.ok("GET", &format!("dnsresources/{id}/"), "")["ip_addresses"][0]["alloc_type_name"], "Automatic");
    lab.ok("POST", &format!("machines/{first}/?op=release"), "");
    lab.wait(60);
    assert_eq!(addresses(&lab.ok("GET", &format!("dnsresources/{id}/"), "")), ["null"]);
    assert_eq!(resolved(&mut lab, "api.maas.sc"), [""; 0]);
    // Another machine takes the address; the row is still the first machine's.
    let second = lab.deployed("name=node02");
    assert_eq!(lab.machine(&second)["ip_addresses"][0], address);
    assert_eq!(resolved(&mut lab, "api.maas.sc"), [""; 0]);
    let again = lab.deployed("name=node01");
    let new = lab.machine(&again)["ip_addresses"][0].as_str().unwrap().to_owned();
    assert_ne!(new, address);
    assert_eq!(resolved(&mut lab, "api.maas.sc"), [new], "the row got the machine's next address");
}

#[test]
fn a_machine_has_a_name_of_its_own() {
    let mut lab = Lab::new(Config::lab(1));
    assert_eq!(resolved(&mut lab, "node01.maas"), ["10.10.192.1"]);
    let id = lab.deployed("");
    let address = lab.machine(&id)["ip_addresses"][0].as_str().unwrap().to_owned();
    assert_eq!(resolved(&mut lab, "node01.maas"), std::slice::from_ref(&address));
    lab.ok("PUT", &format!("machines/{id}/"), "hostname=renamed.maas.sc");
    lab.wait(5);
    assert_eq!(resolved(&mut lab, "node01.maas"), [""; 0]);
    assert_eq!(resolved(&mut lab, "renamed.maas.sc"), [address]);
}

#[test]
fn reserving_with_a_name_makes_the_record_and_releasing_takes_it_away() {
    let mut lab = Lab::new(Config::lab(1));
    let row = lab.ok("POST", "ipaddresses/?op=reserve", "subnet=lab-net&hostname=vip.maas.sc");
    let ip = row["ip"].as_str().unwrap().to_owned();
    lab.wait(3);
    assert_eq!(resolved(&mut lab, "vip.maas.sc"), std::slice::from_ref(&ip));
    assert_eq!(lab.alice("POST", "ipaddresses/?op=release", &format!("ip={ip}")).status(), 400);
    lab.ok("POST", "ipaddresses/?op=release", &format!("ip={ip}"));
    assert_eq!(lab.ok("GET", "dnsresources/?fqdn=vip.maas.sc", ""), serde_json::json!([]));
}

#[test]
fn records_put_there_by_others_and_duplicates_are_listed() {
    let mut lab = Lab::new(Config::lab(1));
    create(&mut lab, "fqdn=api.maas.sc&ip_addresses=10.10.1.1");
    lab.region.add_dns_resource(lab.now, "api.maas.sc", &["192.0.2.9".parse().unwrap()]).unwrap();
    let list = lab.ok("GET", "dnsresources/?name=api&domain=maas.sc", "");
    assert_eq!(list.as_array().unwrap().len(), 2);
    lab.wait(3);
    assert_eq!(resolved(&mut lab, "api.maas.sc"), ["10.10.1.1", "192.0.2.9"]);
    let all = lab.ok("GET", "dnsresources/?all=true", "");
    assert!(all.as_array().unwrap().iter().any(|r| r["id"] == -1 && r["fqdn"] == "node01.maas"));
}

#[test]
fn people_without_rights_may_read_names_only() {
    let mut lab = Lab::new(Config::lab(1));
    let id = create(&mut lab, "fqdn=api.maas.sc");
    assert_eq!(lab.alice("GET", "dnsresources/?fqdn=api.maas.sc", "").status(), 200);
    let cases = [
        ("POST", "dnsresources/".to_owned(), "This method is reserved for admin users."),
        ("PUT", format!("dnsresources/{id}/"), ""),
        ("DELETE", format!("dnsresources/{id}/"), ""),
    ];
    for (method, path, body) in cases {
        let refused = lab.alice(method, &path, "fqdn=x.maas.sc");
        assert_eq!((refused.status().as_u16(), text(&refused).as_str()), (403, body), "{method}");
    }
}

#[test]
fn a_domain_is_served_once_published_and_only_while_the_region_is_its_authority() {
    let mut lab = Lab::new(Config::lab(1));
    let authority = |lab: &mut Lab, name: &str| match lab.region.look_up(lab.now, name, RecordKind::Soa) {
        NameAnswer::Authority(zone) => format!("{} {} {}", zone.name, zone.ttl, zone.name_server),
        other => format!("{other:?}"),
    };
    let id = lab.ok("POST", "domains/", "name=Lab.Example&ttl=5")["id"].as_u64().unwrap();
    assert_eq!(authority(&mut lab, "lab.example"), "NotOurs", "not published yet");
    lab.wait(3);
    assert_eq!(authority(&mut lab, "lab.example"), "lab.example 5 maas");
    lab.ok("POST", &format!("domains/{id}/?op=set_default"), "");
    lab.wait(3);
    assert_eq!(authority(&mut lab, "maas"), "maas 30 lab.example");
    for (method, form, expected) in [
        ("PUT", "ttl=", "lab.example 30 maas"),
        ("PUT", "authoritative=false", "NotOurs"),
        ("PUT", "authoritative=true", "lab.example 30 maas"),
        ("DELETE", "", "NotOurs"),
    ] {
        lab.ok("POST", "domains/0/?op=set_default", "");
        lab.ok(method, &format!("domains/{id}/"), form);
        lab.wait(3);
        assert_eq!(authority(&mut lab, "lab.example"), expected, "{method} {form}");
    }
}

#[test]
fn a_name_shared_by_machine_and_resource_has_the_shorter_ttl() {
    let mut lab = Lab::new(Config::lab(1));
    let id = create(&mut lab, "name=node01&domain=maas&ip_addresses=10.10.1.1&address_ttl=0");
    lab.wait(3);
    let asked = |lab: &mut Lab| lab.region.look_up(lab.now, "node01.maas", RecordKind::A);
    let NameAnswer::Addresses { ttl, addresses } = asked(&mut lab) else { panic!("no addresses") };
    assert_eq!((ttl, addresses.len()), (0, 2));
    lab.ok("DELETE", &format!("dnsresources/{id}/"), "");
    assert_eq!(asked(&mut lab).ttl(), Some(0), "still published");
    lab.wait(3);
    assert_eq!(asked(&mut lab).ttl(), Some(30), "the machine's own");
}

#[test]
fn a_serial_number_that_is_set_is_followed_by_the_next() {
    let mut lab = Lab::new(Config::lab(0));
    assert_eq!(lab.ok("POST", "domains/?op=set_serial", "serial=41"), Value::Null);
    lab.wait(3);
    let NameAnswer::Authority(zone) = lab.region.look_up(lab.now, "maas", RecordKind::Soa) else {
        panic!("no zone");
    };
    assert_eq!(zone.serial, 42);
    for form in ["", "serial=0", "serial=x"] {
        assert_eq!(lab.admin("POST", "domains/?op=set_serial", form).status(), 400, "{form}");
    }
}

#[test]
fn a_renamed_domain_takes_its_names_along() {
    let mut lab = Lab::new(Config::lab(1));
    create(&mut lab, "fqdn=api.maas.sc&ip_addresses=10.10.1.1");
    let id = lab.ok("GET", "domains/", "")[1]["id"].as_u64().unwrap();
    assert_eq!(lab.admin("PUT", &format!("domains/{id}/"), "name=maas").status(), 400, "taken");
    assert_eq!(lab.ok("PUT", &format!("domains/{id}/"), "name=lab.example")["name"], "lab.example");
    lab.wait(3);
    assert_eq!(resolved(&mut lab, "api.lab.example"), ["10.10.1.1"]);
    assert_eq!(resolved(&mut lab, "api.maas.sc"), [""; 0]);
}
