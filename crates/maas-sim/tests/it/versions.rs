//! What clients notice of MAAS versions other than 3.7, and resources that came in with this one.

use maas_sim::{Config, VmHostSpec};

use crate::clients::{Lab, field, text};

fn lab(version: &str, machines: usize) -> Lab {
    let host =
        |name: &str, kind: &str| VmHostSpec { name: name.to_owned(), kind: kind.to_owned(), cores: 32, memory: 65_536 };
    let vm_hosts = vec![host("vmhost01", "virsh"), host("vmhost02", "lxd")];
    Lab::new(Config { version: version.to_owned(), vm_hosts, ..Config::lab(machines) })
}

#[test]
fn fields_resources_and_aliases_come_and_go_with_versions() {
    for (version, error, dump, dpu, pod, reserved, alias, hosts) in [
        ("3.4.10", false, false, false, true, 404, 400, 501),
        ("3.5.13", true, false, false, true, 404, 400, 501),
        ("3.6.5", true, true, false, true, 200, 200, 501),
        ("3.7.3", true, true, true, true, 200, 200, 501),
        ("3.8.0~beta6", true, true, true, true, 200, 200, 501),
        ("4.0.0", true, true, true, false, 200, 200, 410),
    ] {
        let mut lab = lab(version, 1);
        let id = lab.region.system_ids()[0].clone();
        let machine = lab.machine(&id);
        let has = |name: &str| machine.get(name).is_some();
        let seen = (has("error_description"), has("enable_kernel_crash_dump"), has("is_dpu"), has("pod"));
        assert_eq!(seen, (error, dump, dpu, pod), "{version}");
        assert_eq!(lab.admin("GET", "reservedips/", "").status(), reserved, "{version}");
        assert_eq!(lab.admin("GET", "vm-hosts/", "").status(), hosts, "{version}");
        let deployed = lab.admin("POST", &format!("machines/{id}/?op=deploy"), "distro_series=22.04");
        assert_eq!(deployed.status(), alias, "{version}");
        let traced = deployed.headers().contains_key("maas-trace-id");
        assert_eq!(traced, version >= "3.8", "{version}");
    }
}

#[test]
fn up_to_3_8_allocate_composes_when_nothing_fits_and_a_release_deletes_that() {
    let mut lab = lab("3.7.3", 1);
    assert_eq!(lab.ok("POST", "machines/?op=allocate", "")["hostname"], "node01", "what is there comes first");
    let made = lab.ok("POST", "machines/?op=allocate", "cpu_count=4&mem=4096&storage=root:20&agent_name=t");
    assert_eq!((made["pod"]["name"].as_str(), made["power_type"].as_str()), (Some("vmhost01"), Some("virsh")));
    assert_eq!((made["cpu_count"].as_u64(), made["status_name"].as_str()), (Some(4), Some("Allocated")));
    assert_eq!(made["constraints_by_type"]["storage"]["root"][0], made["boot_disk"]["id"]);
    let id = made["system_id"].as_str().unwrap().to_owned();
    let by_kind = lab.ok("POST", "machines/?op=allocate", "not_pod_type=virsh");
    assert_eq!(by_kind["pod"]["name"], "vmhost02");
    assert_eq!(field(&lab.ok("GET", "machines/?pod=vmhost01", ""), "system_id"), std::slice::from_ref(&id));
    for form in ["not_pod_type=virsh&not_pod_type=lxd", "cpu_count=64", "system_id=zzzzzz", "zone=zone-a"] {
        assert_eq!(lab.admin("POST", "machines/?op=allocate", form).status(), 409, "{form}");
    }
    assert_eq!(lab.ok("POST", &format!("machines/{id}/?op=release"), "")["system_id"], id);
    assert_eq!(lab.admin("GET", &format!("machines/{id}/"), "").status(), 404);
}

#[test]
fn from_4_0_on_nothing_is_composed_and_constraints_of_vm_hosts_are_unknown() {
    let mut lab = lab("4.0.0", 0);
    assert_eq!(text(&lab.admin("POST", "machines/?op=allocate", "")), "No machine available.");
    assert_eq!(lab.admin("POST", "machines/?op=allocate", "not_pod_type=lxd").status(), 400);
    assert_eq!(lab.admin("GET", "machines/?pod=x", "").status(), 400);
}

#[test]
fn rescue_mode_forgets_user_data_where_there_is_one_place_for_it() {
    for (version, kept) in [("3.7.3", false), ("3.8.0", true)] {
        let mut lab = lab(version, 1);
        let id = lab.deployed("");
        lab.ok("POST", &format!("machines/{id}/?op=rescue_mode"), "");
        lab.wait(200);
        assert_eq!(lab.machine(&id)["status_name"], "Rescue mode");
        lab.ok("POST", &format!("machines/{id}/?op=exit_rescue_mode"), "");
        lab.wait(60);
        assert_eq!(lab.machine(&id)["status_name"], "Deployed");
        assert_eq!(lab.region.user_data(&id).unwrap().is_some(), kept, "{version}");
    }
}

#[test]
fn commissioning_ends_in_ready_and_fails_as_told() {
    let mut config = Config::lab(1);
    config.machines[0].status = "new".to_owned();
    let mut lab = Lab::new(config);
    let id = lab.region.system_ids()[0].clone();
    lab.region.fail_commissionings(lab.now, &id, Some(1)).unwrap();
    for ended in ["Failed commissioning", "Ready"] {
        lab.ok("POST", &format!("machines/{id}/?op=commission"), "");
        assert_eq!(lab.machine(&id)["commissioning_status_name"], "Pending");
        lab.wait(1000);
        assert_eq!(lab.machine(&id)["status_name"], ended);
    }
    assert!(lab.machine(&id)["owner"].is_null());
    lab.region.fail_tests(lab.now, &id, Some(1)).unwrap();
    lab.ok("POST", &format!("machines/{id}/?op=test"), "");
    lab.wait(1000);
    assert_eq!(lab.machine(&id)["status_name"], "Failed testing");
    assert_eq!(lab.ok("POST", &format!("machines/{id}/?op=override_failed_testing"), "")["status_name"], "Ready");
    lab.deployed("");
}

#[test]
fn interfaces_are_shaped_while_the_machine_is_free() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.region.system_ids()[0].clone();
    let nics = format!("nodes/{id}/interfaces");
    let eth0 = lab.ok("GET", &format!("{nics}/eth0/"), "");
    let link = eth0["links"][0]["id"].as_u64().unwrap();
    let bridge = lab.ok("POST", &format!("{nics}/?op=create_bridge"), "name=br0&parent=eth0");
    assert_eq!(bridge["links"][0]["id"].as_u64(), Some(link), "links move to the bridge");
    assert_eq!(lab.ok("GET", &format!("{nics}/eth0/"), "")["children"], serde_json::json!(["br0"]));
    let br0 = bridge["id"].as_u64().unwrap();
    let fixed =
        lab.ok("POST", &format!("{nics}/{br0}/?op=link_subnet"), "mode=STATIC&subnet=lab-net&ip_address=10.10.0.44");
    assert_eq!(fixed["links"][1]["ip_address"], "10.10.0.44");
    let refused =
        lab.admin("POST", &format!("{nics}/{br0}/?op=link_subnet"), "mode=STATIC&subnet=lab-net&ip_address=10.10.0.44");
    assert_eq!(refused.status(), 404, "taken");
    let left = lab.ok("POST", &format!("{nics}/{br0}/?op=unlink_subnet"), &format!("id={link}"));
    assert_eq!(left["links"].as_array().unwrap().len(), 1);
    lab.deployed("");
    assert_eq!(lab.machine(&id)["ip_addresses"], serde_json::json!(["10.10.0.44"]));
    assert_eq!(lab.admin("POST", &format!("{nics}/?op=create_bridge"), "name=br1&parent=br0").status(), 409);
}

#[test]
fn networks_ranges_and_records_are_made_and_taken_away() {
    let mut lab = Lab::new(Config::lab(1));
    let fabric = lab.ok("POST", "fabrics/", "name=lab2")["id"].as_u64().unwrap();
    let vlan = lab.ok("POST", &format!("fabrics/{fabric}/vlans/"), "vid=20&name=twenty")["id"].as_u64().unwrap();
    lab.ok("POST", "spaces/", "name=storage");
    assert_eq!(lab.ok("PUT", &format!("vlans/{vlan}/"), "space=storage&mtu=9000")["space"], "storage");
    let subnet = lab.ok("POST", "subnets/", &format!("cidr=10.77.0.0/24&vlan={vlan}&gateway_ip=10.77.0.1"));
    let id = subnet["id"].as_u64().unwrap();
    assert_eq!(subnet["vlan"]["mtu"], 9000);
    lab.ok("POST", "ipranges/", &format!("type=reserved&subnet={id}&start_ip=10.77.0.2&end_ip=10.77.0.253"));
    let statistics = lab.ok("GET", &format!("subnets/{id}/?op=statistics"), "");
    assert_eq!((statistics["num_available"].as_u64(), statistics["total_addresses"].as_u64()), (Some(1), Some(254)));
    assert_eq!(lab.ok("POST", "ipaddresses/?op=reserve", &format!("subnet={id}"))["ip"], "10.77.0.254");
    let full = lab.admin("POST", "ipaddresses/?op=reserve", &format!("subnet={id}"));
    assert_eq!((full.status().as_u16(), text(&full).as_str()), (503, "No more IPs available in subnet: 10.77.0.0/24."));
    let record = lab.ok("POST", "dnsresourcerecords/", "fqdn=a.maas.sc&rrtype=TXT&rrdata=x")["id"].as_u64().unwrap();
    assert_eq!(lab.ok("GET", "dnsresources/?rrtype=TXT", "")[0]["fqdn"], "a.maas.sc");
    assert_eq!(lab.admin("DELETE", &format!("dnsresourcerecords/{record}/"), "").status(), 204);
    assert_eq!(lab.ok("GET", "dnsresources/", ""), serde_json::json!([]), "nothing is left on the name");
}

#[test]
fn shelves_give_back_what_was_put_on_them() {
    let mut lab = Lab::new(Config::lab(1));
    for (collection, form, status) in [
        ("notifications", "message=hello&category=error", 200),
        ("package-repositories", "name=mine&url=http://x/", 200),
        ("dhcp-snippets", "name=a&value=b", 200),
        ("license-keys", "osystem=windows&distro_series=win2012&license_key=K", 200),
        ("boot-sources", "url=http://images/", 201),
        ("account/prefs/sshkeys", "key=ssh-ed25519+AAAA", 201),
        ("static-routes", "source=1&destination=1&gateway_ip=10.10.0.1", 200),
        ("reservedips", "ip=10.10.0.30&mac_address=52:54:00:00:00:01", 200),
        ("scripts", "name=mine&script=x", 200),
        ("devices", "mac_addresses=52:54:00:00:0a:01&hostname=printer", 200),
    ] {
        let before = lab.ok("GET", &format!("{collection}/"), "").as_array().unwrap().len();
        let missing = lab.admin("POST", &format!("{collection}/"), "");
        assert_eq!(missing.status(), 400, "{collection}");
        let made = lab.admin("POST", &format!("{collection}/"), form);
        assert_eq!(made.status(), status, "{collection}: {}", text(&made));
        let made: serde_json::Value = serde_json::from_slice(made.body()).unwrap();
        let path = made["resource_uri"].as_str().unwrap().trim_start_matches("/MAAS/api/2.0/").to_owned();
        assert_eq!(lab.ok("GET", &path, "")["resource_uri"], made["resource_uri"], "{collection}");
        assert_eq!(lab.ok("GET", &format!("{collection}/"), "").as_array().unwrap().len(), before + 1, "{collection}");
        assert_eq!(lab.admin("DELETE", &path, "").status(), 204, "{collection}");
        assert_eq!(lab.admin("GET", &path, "").status(), 404, "{collection}");
    }
}

#[test]
fn scripts_have_a_history_kinds_by_name_and_filters() {
    let mut lab = Lab::new(Config::lab(1));
    let made = lab.ok("POST", "scripts/", "name=mine&script=one&type=testing&hardware_type=cpu&timeout=90&tags=t");
    assert_eq!(
        (&made["type"], &made["hardware_type_name"], &made["timeout"]),
        (&2.into(), &"CPU".into(), &"0:01:30".into())
    );
    for text in ["two", "three"] {
        lab.ok("PUT", "scripts/mine", &format!("script={text}&comment=to+{text}"));
    }
    let history = lab.ok("GET", "scripts/mine", "")["history"].clone();
    assert_eq!(field(&history, "comment"), ["to three", "to two", ""]);
    let content = |lab: &mut Lab| text(&lab.admin("GET", "scripts/mine?op=download", ""));
    assert_eq!(content(&mut lab), "three");
    lab.ok("POST", "scripts/mine?op=revert", "to=-1");
    assert_eq!(content(&mut lab), "two");
    lab.ok("POST", "scripts/mine?op=revert", &format!("to={}", history[2]["id"]));
    assert_eq!(content(&mut lab), "one");
    for (to, status) in [("to=-1", 404), ("to=999", 404), ("to=x", 400), ("", 400)] {
        assert_eq!(lab.admin("POST", "scripts/mine?op=revert", to).status(), status, "{to}");
    }
    for (query, names) in [
        ("type=testing", &["smartctl-validate", "mine"][..]),
        ("type=testing&hardware_type=1", &["mine"]),
        ("filters=t,nothing", &["mine"]),
        ("filters=nothing", &[]),
    ] {
        assert_eq!(field(&lab.ok("GET", &format!("scripts/?{query}"), ""), "name"), names, "{query}");
    }
}

#[test]
fn keys_of_other_places_are_imported_without_asking_there() {
    let mut lab = Lab::new(Config::lab(0));
    for (given, shown) in [("gh:alice", "gh:alice"), ("bob", "lp:bob")] {
        let keys = lab.ok("POST", "account/prefs/sshkeys/?op=import", &format!("keysource={given}"));
        assert_eq!(field(&keys, "keysource"), [shown]);
        assert!(keys[0]["key"].as_str().unwrap().starts_with("ssh-ed25519 AAAA"));
    }
    assert_eq!(lab.ok("GET", "account/prefs/sshkeys/", "").as_array().unwrap().len(), 2);
    for form in ["", "keysource=ftp:alice"] {
        assert_eq!(lab.admin("POST", "account/prefs/sshkeys/?op=import", form).status(), 400, "{form}");
    }
}

#[test]
fn an_uploaded_image_is_deployed_once_all_of_it_is_there() {
    let mut lab = Lab::new(Config::lab(2));
    let made =
        lab.admin("POST", "boot-resources/", "name=mine&architecture=amd64/generic&sha256=ab&size=10&title=Mine");
    assert_eq!(made.status(), 201);
    let made: serde_json::Value = serde_json::from_slice(made.body()).unwrap();
    let file = &made["sets"]["20260801"]["files"]["root-tgz"];
    let at = file["upload_uri"].as_str().unwrap().trim_start_matches("/MAAS/api/2.0/").to_owned();
    let id = lab.allocate("");
    for (chunk, status) in [("01234", 400), ("56789", 200)] {
        assert_eq!(lab.admin("PUT", &at, chunk).status(), 200);
        let deployed = lab.admin("POST", &format!("machines/{id}/?op=deploy"), "distro_series=mine");
        assert_eq!(deployed.status(), status, "{chunk}");
    }
    assert_eq!(lab.admin("PUT", &at, "more").status(), 400);
    let uploaded = lab.ok("GET", "boot-resources/?type=uploaded", "");
    assert_eq!(field(&uploaded, "name"), ["mine", "u-1804-0-k-11912-0"]);
    assert_eq!(lab.admin("DELETE", &format!("boot-resources/{}/", made["id"]), "").status(), 204);
    assert_eq!(lab.admin("DELETE", &format!("boot-resources/{}/", made["id"]), "").status(), 500);
}

#[test]
fn the_example_inventory_is_one() {
    let config = Config::from_yaml(include_str!("../../examples/inventory.yaml")).unwrap();
    let mut lab = Lab::new(config);
    let id = lab.deployed("tags=gpu&storage=root:400(ssd),data:4000(rotary)");
    let shown = lab.machine(&id);
    assert_eq!(shown["hostname"], "big");
    assert_eq!(shown["ip_addresses"].as_array().unwrap().len(), 3);
}
