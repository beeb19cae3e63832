//! Hardware that fails by a person's wish.

use maas_sim::{Bmc, Config, DeployFault, Happening, Held, LinkMode, MachineSpec, Status};

use crate::clients::{Lab, field, text};

/// Deploys and waits; the status and error that it ends in.
fn attempt(lab: &mut Lab, id: &str, form: &str) -> (String, String) {
    lab.ok("POST", &format!("machines/{id}/?op=deploy"), form);
    lab.wait(3700);
    let machine = lab.machine(id);
    let text = |key: &str| machine[key].as_str().unwrap().to_owned();
    (text("status_name"), text("error_description"))
}

#[test]
fn deployments_fail_as_often_as_told_and_each_in_its_way() {
    let cases = [
        (DeployFault::Installer("sda: I/O error".to_owned()), "sda: I/O error"),
        (DeployFault::NeverReports, "time-out during deployment"),
        (DeployFault::Power, "PowerActionError: Failed to power node01. BMC never transitioned from off to on."),
    ];
    for (fault, error) in cases {
        for form in ["", "ephemeral_deploy=true"] {
            let mut lab = Lab::new(Config::lab(1));
            let id = lab.allocate("");
            lab.region.fail_deployments(lab.now, &id, fault.clone(), Some(2)).unwrap();
            for round in 1..=2 {
                let ended = attempt(&mut lab, &id, form);
                assert_eq!(ended, ("Failed deployment".to_owned(), error.to_owned()), "{fault:?} {form:?} {round}");
                lab.ok("POST", &format!("machines/{id}/?op=release"), "");
                lab.wait(60);
            }
            assert_eq!(attempt(&mut lab, &id, form).0, "Deployed", "{fault:?} {form:?}");
        }
    }
}

#[test]
fn a_disk_that_always_fails_fails_until_it_is_told_otherwise() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.allocate("");
    let fault = || DeployFault::Installer("bad disk".to_owned());
    lab.region.fail_deployments(lab.now, &id, fault(), None).unwrap();
    for _ in 0..5 {
        assert_eq!(attempt(&mut lab, &id, "").0, "Failed deployment");
        lab.ok("POST", &format!("machines/{id}/?op=release"), "");
        lab.wait(60);
    }
    lab.region.fail_deployments(lab.now, &id, fault(), Some(0)).unwrap();
    assert_eq!(attempt(&mut lab, &id, "").0, "Deployed");
}

#[test]
fn a_workflow_that_cannot_start_answers_500_and_leaves_the_machine_allocated() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.allocate("");
    lab.region.fail_deployments(lab.now, &id, DeployFault::NotStarted, Some(1)).unwrap();
    let refused = lab.admin("POST", &format!("machines/{id}/?op=deploy"), "");
    assert_eq!((refused.status().as_u16(), text(&refused).as_str()), (500, ""));
    let machine = lab.machine(&id);
    assert_eq!((machine["status_name"].as_str(), machine["owner"].as_str()), (Some("Allocated"), Some("admin")));
    assert_eq!(attempt(&mut lab, &id, "").0, "Deployed");
}

#[test]
fn a_mute_machine_is_deployed_but_nothing_boots_on_it() {
    let mut lab = Lab::new(Config::lab(1));
    lab.region.set_mute(lab.now, "node01", true).unwrap();
    lab.deployed("");
    assert!(lab.booted().is_empty());
}

#[test]
fn erases_fail_as_often_as_told_and_can_be_tried_again() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("");
    lab.region.fail_erases(lab.now, &id, Some(2)).unwrap();
    for _ in 0..2 {
        let begun = lab.ok("POST", &format!("machines/{id}/?op=release"), "erase=true&quick_erase=true");
        assert_eq!(begun["status_name"], "Disk erasing");
        lab.wait(300);
        let failed = lab.machine(&id);
        assert_eq!(
            (failed["status_name"].as_str(), failed["error_description"].as_str(), failed["owner"].as_str()),
            (Some("Failed disk erasing"), Some("Failed to erase disks."), Some("admin"))
        );
        lab.wait(30);
    }
    lab.ok("POST", &format!("machines/{id}/?op=release"), "erase=true&secure_erase=true");
    lab.wait(330);
    assert_eq!(lab.machine(&id)["status_name"], "Ready");
}

#[test]
fn only_erase_itself_lets_the_faster_ways_through() {
    let left = |version: &str, form: &str| {
        let mut lab = Lab::new(Config { version: version.to_owned(), ..Config::lab(1) });
        let id = lab.allocate("");
        lab.ok("POST", &format!("machines/{id}/?op=release"), form);
        lab.wait(400);
        lab.machine(&id)["status_name"].as_str().unwrap().to_owned()
    };
    assert_eq!(left("3.7.3", "quick_erase=true"), "Disk erasing");
    assert_eq!(left("3.7.3", "quick_erase=true&erase=true"), "Ready");
    assert_eq!(left("3.4.10", "quick_erase=true"), "Ready");
}

#[test]
fn a_hanging_release_ends_in_releasing_failed_and_can_be_repeated() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("agent_name=t");
    lab.region.fail_releases(lab.now, &id, Some(1)).unwrap();
    assert_eq!(lab.ok("POST", &format!("machines/{id}/?op=release"), "")["status_name"], "Releasing");
    lab.wait(299);
    assert_eq!(lab.machine(&id)["status_name"], "Releasing");
    lab.wait(1);
    let failed = lab.machine(&id);
    assert_eq!((failed["status_name"].as_str(), failed["owner"].as_str()), (Some("Releasing failed"), Some("admin")));
    lab.ok("POST", &format!("machines/{id}/?op=release"), "");
    lab.wait(30);
    assert_eq!(lab.machine(&id)["status_name"], "Ready");
}

#[test]
fn bmcs_answer_late_not_at_all_or_lie() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("");
    let query = format!("machines/{id}/?op=query_power_state");
    lab.region.set_bmc(lab.now, &id, Bmc::Late { seconds: 45 }).unwrap();
    let late = lab.admin("GET", &query, "");
    assert_eq!(late.extensions().get::<Held>().unwrap().0.as_secs(), 45);
    assert_eq!(late.status(), 200);

    lab.region.set_bmc(lab.now, &id, Bmc::Silent).unwrap();
    for (method, op) in [("GET", "query_power_state"), ("POST", "power_off"), ("POST", "release")] {
        let silent = lab.admin(method, &format!("machines/{id}/?op={op}"), "");
        assert_eq!(silent.status(), 504, "{op}");
        assert_eq!(silent.extensions().get::<Held>().unwrap().0.as_secs(), 60, "{op}");
        assert_eq!(lab.machine(&id)["status_name"], "Deployed");
    }

    lab.region.set_bmc(lab.now, &id, Bmc::Lies).unwrap();
    lab.ok("POST", &format!("machines/{id}/?op=power_off"), "");
    lab.wait(400);
    assert_eq!(lab.ok("GET", &query, "")["state"], "off");
    assert_eq!(lab.machine(&id)["power_state"], "off");
    assert!(lab.region.machine(&id).unwrap().powered, "it still runs");
}

#[test]
fn manual_machines_have_no_power_to_ask_for() {
    let config = Config {
        machines: vec![MachineSpec { power_type: "manual".to_owned(), ..MachineSpec::named("hand") }],
        ..Config::lab(0)
    };
    let mut lab = Lab::new(config);
    let id = lab.deployed("");
    assert_eq!(lab.machine(&id)["power_state"], "unknown");
    assert_eq!(lab.ok("GET", &format!("machines/{id}/?op=query_power_state"), "")["state"], "unknown");
    for op in ["power_on", "power_off"] {
        assert_eq!(lab.ok("POST", &format!("machines/{id}/?op={op}"), ""), serde_json::Value::Null, "{op}");
    }
    assert_eq!(lab.ok("POST", &format!("machines/{id}/?op=release"), "")["status_name"], "Ready");
}

#[test]
fn a_moment_without_power_reboots_a_disk_and_loses_memory() {
    for (form, lost) in [("", false), ("ephemeral_deploy=true", true)] {
        let mut lab = Lab::new(Config::lab(1));
        let id = lab.allocate("");
        attempt(&mut lab, &id, form);
        lab.region.take_happenings();
        lab.region.glitch_power(lab.now, &id).unwrap();
        let seen = lab.region.take_happenings();
        assert_eq!(seen.iter().any(|h| matches!(h, Happening::Wiped { .. })), lost, "{form:?}");
        assert!(matches!(seen.last(), Some(Happening::PoweredOn { .. })), "{seen:?}");
        let machine = lab.machine(&id);
        assert_eq!((machine["status_name"].as_str(), machine["power_state"].as_str()), (Some("Deployed"), Some("on")));
    }
}

#[test]
fn power_on_cycles_an_ipmi_machine_that_is_on() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("");
    lab.region.take_happenings();
    lab.ok("POST", &format!("machines/{id}/?op=power_on"), "");
    lab.wait(60);
    let seen = lab.region.take_happenings();
    assert!(matches!(seen.as_slice(), [Happening::PoweredOff { .. }, Happening::PoweredOn { .. }]), "{seen:?}");
}

#[test]
fn a_machine_has_addresses_on_several_interfaces_subnets_and_families() {
    let config = Config::from_yaml(
        "
subnets:
- {name: front, cidr: 10.1.0.0/24, gateway: 10.1.0.1}
- {name: front6, cidr: 2001:db8:1::/64, gateway: 2001:db8:1::1}
- {name: store, cidr: 10.2.0.0/24, vid: 20, space: storage}
machines:
- hostname: many
  interfaces:
  - {name: eno1, observed_ip: 10.1.0.200, links: [{subnet: front}, {subnet: front6}, {mode: static, ip: 10.1.0.77}]}
  - {name: eno2, links: [{subnet: store}]}
  - {name: eno3, links: [{mode: link_up, subnet: store}]}
",
    )
    .unwrap();
    assert_eq!(config.machines[0].interfaces[0].links[0].mode, LinkMode::Auto);
    let mut lab = Lab::new(config);
    let id = lab.region.system_ids()[0].clone();
    assert_eq!(lab.machine(&id)["ip_addresses"], serde_json::json!(["10.1.0.77"]), "the observed one is hidden by it");
    lab.deployed("interfaces=a:subnet=front;b:space=storage,name=eno2&subnets=front6");
    let machine = lab.machine(&id);
    let addresses = serde_json::json!(["10.1.0.201", "2001:db8:1::2", "10.1.0.77", "10.2.0.1"]);
    assert_eq!(machine["ip_addresses"], addresses);
    assert_eq!(field(&machine["interface_set"], "name"), ["eno1", "eno2", "eno3"]);
    assert_eq!(machine["boot_interface"]["name"], "eno1");
    assert_eq!(field(&machine["interface_set"][0]["links"], "mode"), ["auto", "auto", "static"]);
    assert_eq!(machine["interface_set"][2]["links"][0]["mode"], "link_up");
    assert_eq!(machine["interface_set"][1]["vlan"]["vid"], 20);
    assert_eq!(machine["default_gateways"]["ipv6"]["gateway_ip"], "2001:db8:1::1");
    let names = |lab: &mut Lab, name: &str| {
        lab.region.resolve(lab.now, name).into_iter().map(|ip| ip.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut lab, "many.maas"), ["10.1.0.77", "2001:db8:1::2"], "fixed before given");
    assert_eq!(names(&mut lab, "eno1.many.maas"), ["10.1.0.201"]);
    assert_eq!(names(&mut lab, "eno2.many.maas"), ["10.2.0.1"]);
    let hits = lab.ok("GET", "machines/?fabrics=fabric-0&vlans=vid:20&not_fabrics=other", "");
    assert_eq!(field(&hits, "hostname"), ["many"]);
    assert_eq!(lab.region.machine(&id).unwrap().status, Status::Deployed);
}
