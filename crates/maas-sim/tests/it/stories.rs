//! Machine life through the API.

use maas_sim::{Bmc, Config, Durations, Happening, MachineSpec, Status};

use crate::clients::{Lab, field, json, text};

#[test]
fn a_deployment_goes_through_its_events_to_deployed() {
    let mut lab = Lab::new(Config::lab(2));
    let id = lab.allocate("agent_name=token-1&comment=for+a+test");
    let reply = lab.ok(
        "POST",
        &format!("machines/{id}/?op=deploy"),
        "user_data=I2Nsb3VkLWNvbmZpZwo=&distro_series=u-1804-0-k-11912-0",
    );
    assert_eq!(reply["status_name"], "Deploying");
    assert_eq!(reply["osystem"], "custom");
    assert!(reply["interface_set"][0]["links"][0]["ip_address"].is_null(), "an address being probed is hidden");
    lab.wait(3);
    let deploying = lab.machine(&id);
    let address = deploying["ip_addresses"][0].as_str().unwrap().to_owned();
    assert_eq!(deploying["interface_set"][0]["links"][0]["ip_address"], address);
    assert_eq!(deploying["netboot"], true);
    lab.wait(100);
    assert_eq!(lab.machine(&id)["status_message"], "Installing OS");
    assert_eq!(lab.machine(&id)["power_state"], "on");
    lab.wait(1000);
    let deployed = lab.machine(&id);
    assert_eq!((deployed["status_name"].as_str(), deployed["netboot"].as_bool()), (Some("Deployed"), Some(false)));
    assert!(deployed.get("agent_name").is_none());

    let events = lab.ok("GET", &format!("events/?op=query&id={id}&limit=50"), "");
    let mut kinds = field(&events["events"], "type");
    kinds.reverse();
    let wanted = [
        "Deploying",
        "Performing PXE boot",
        "Loading ephemeral",
        "Configuring storage",
        "Installing OS",
        "Configuring OS",
        "Rebooting",
        "Deployed",
        "Image Deployed",
    ];
    assert_eq!(kinds, wanted);
    match lab.booted().as_slice() {
        [Happening::Booted { user_data, addresses, image, fqdn, deployment: 1, .. }] => {
            assert_eq!(user_data.as_deref(), Some(&b"#cloud-config\n"[..]));
            assert_eq!(addresses[0].to_string(), address);
            assert_eq!((image.as_str(), fqdn.as_str()), ("custom/u-1804-0-k-11912-0", "node01.maas"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn deploy_takes_a_ready_machine_and_its_agent_name() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.region.system_ids()[0].clone();
    lab.ok("POST", &format!("machines/{id}/?op=deploy"), "agent_name=direct");
    assert_eq!(field(&lab.ok("GET", "machines/?agent_name=direct", ""), "system_id"), [id]);
}

#[test]
fn a_release_wipes_the_agent_name_first_and_the_annotations_last() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("agent_name=t");
    lab.ok("POST", &format!("machines/{id}/?op=set_owner_data"), "capmaas.cluster=c1");
    let reply = lab.ok("POST", &format!("machines/{id}/?op=release"), "comment=done");
    assert_eq!((reply["status_name"].as_str(), reply["owner"].as_str()), (Some("Releasing"), Some("admin")));
    assert_eq!(reply["owner_data"]["capmaas.cluster"], "c1");
    assert_eq!(lab.ok("GET", "machines/?agent_name=t", ""), serde_json::json!([]));
    // Again is fine.
    assert_eq!(lab.ok("POST", &format!("machines/{id}/?op=release"), "")["status_name"], "Releasing");
    lab.wait(60);
    let ready = lab.machine(&id);
    assert_eq!(ready["status_name"], "Ready");
    assert!(ready["owner"].is_null());
    assert_eq!(ready["owner_data"], serde_json::json!({}));
    assert_eq!(ready["power_state"], "off");
    let seen = lab.region.take_happenings();
    assert!(matches!(seen.as_slice(), [.., Happening::Wiped { .. }, Happening::PoweredOff { .. }]), "{seen:?}");
}

#[test]
fn a_machine_without_marks_looks_like_another_programs_deployment() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("agent_name=t");
    lab.ok("POST", &format!("machines/{id}/?op=set_owner_data"), "capmaas.cluster=c1");
    lab.region.clear_marks(lab.now, &id).unwrap();
    assert_eq!(lab.ok("GET", "machines/?agent_name=t", ""), serde_json::json!([]));
    let machine = lab.machine(&id);
    assert_eq!((machine["status_name"].as_str(), machine["owner"].as_str()), (Some("Deployed"), Some("admin")));
    assert_eq!(machine["owner_data"], serde_json::json!({}));
}

#[test]
fn release_ends_within_the_request_when_power_is_off_or_manual() {
    let mut config = Config::lab(1);
    config.machines.push(MachineSpec { power_type: "manual".to_owned(), ..MachineSpec::named("hand") });
    let mut lab = Lab::new(config);
    for name in ["node01", "hand"] {
        let id = lab.allocate(&format!("name={name}"));
        assert_eq!(lab.ok("POST", &format!("machines/{id}/?op=release"), "")["status_name"], "Ready", "{name}");
    }
}

#[test]
fn erasing_takes_its_time_and_reads_zero_as_true() {
    for (form, seconds) in [("quick_erase=true&erase=true", 300), ("erase=0", 7200)] {
        let mut lab = Lab::new(Config::lab(1));
        let id = lab.deployed("");
        assert_eq!(
            lab.ok("POST", &format!("machines/{id}/?op=release"), form)["status_name"],
            "Disk erasing",
            "{form}"
        );
        lab.wait(seconds - 1);
        assert_eq!(lab.machine(&id)["status_name"], "Disk erasing");
        lab.wait(30);
        assert_eq!(lab.machine(&id)["status_name"], "Ready", "{form}");
    }
}

#[test]
fn a_told_failure_ends_in_failed_deployment_and_happens_once() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.allocate("");
    lab.region.fail_next_deployment(lab.now, &id, "disk sda is gone").unwrap();
    lab.ok("POST", &format!("machines/{id}/?op=deploy"), "");
    lab.wait(1000);
    let failed = lab.machine(&id);
    assert_eq!(
        (failed["status_name"].as_str(), failed["error_description"].as_str()),
        (Some("Failed deployment"), Some("disk sda is gone"))
    );
    assert_eq!((failed["owner"].as_str(), failed["power_state"].as_str()), (Some("admin"), Some("on")));
    assert!(lab.booted().is_empty());
    assert_eq!(lab.admin("POST", &format!("machines/{id}/?op=deploy"), "").status(), 409);
    lab.ok("POST", &format!("machines/{id}/?op=release"), "");
    lab.wait(60);
    lab.deployed("");
}

#[test]
fn a_machine_without_power_runs_into_the_deployment_watchdog() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.allocate("");
    lab.region.set_power_cord(lab.now, &id, false).unwrap();
    lab.ok("POST", &format!("machines/{id}/?op=deploy"), "");
    lab.wait(3599);
    assert_eq!(lab.machine(&id)["status_name"], "Deploying");
    lab.wait(1);
    assert_eq!(lab.machine(&id)["error_description"], "time-out during deployment");
}

#[test]
fn allocate_takes_the_cheapest_and_the_first_of_equals() {
    let mut config = Config::lab(3);
    config.machines[1].cpu_count = 2;
    config.machines[1].memory = 2048;
    let mut lab = Lab::new(config);
    let names: Vec<String> =
        (0..3).map(|_| lab.ok("POST", "machines/?op=allocate", "")["hostname"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["node02", "node01", "node03"]);
    let none = lab.admin("POST", "machines/?op=allocate", "");
    assert_eq!((none.status().as_u16(), text(&none).as_str()), (409, "No machine available."));
}

#[test]
fn a_dry_run_takes_nothing_and_locked_machines_are_not_taken() {
    let mut lab = Lab::new(Config::lab(1));
    assert_eq!(lab.ok("POST", "machines/?op=allocate", "dry_run=true")["status_name"], "Ready");
    lab.region.set_locked(lab.now, "node01", true).unwrap();
    assert_eq!(lab.admin("POST", "machines/?op=allocate", "").status(), 409);
}

#[test]
fn without_addresses_a_deployment_answers_503_and_stays_allocated() {
    let mut config = Config::lab(2);
    config.subnets[0].cidr = "10.10.0.0/28".parse().unwrap();
    config.subnets[0].dynamic = Some(("10.10.0.11".parse().unwrap(), "10.10.0.14".parse().unwrap()));
    let mut lab = Lab::new(config);
    let first = lab.deployed("");
    let second = lab.allocate("");
    let refused = lab.admin("POST", &format!("machines/{second}/?op=deploy"), "");
    assert_eq!(
        (refused.status().as_u16(), text(&refused).as_str()),
        (503, "No more IPs available in subnet: 10.10.0.0/28.")
    );
    assert!(refused.headers().get("retry-after").is_none());
    assert_eq!(lab.machine(&second)["status_name"], "Allocated");
    lab.ok("POST", &format!("machines/{first}/?op=release"), "");
    lab.wait(60);
    lab.ok("POST", &format!("machines/{second}/?op=deploy"), "");
}

#[test]
fn only_owners_and_administrators_act_on_a_machine() {
    let mut lab = Lab::new(Config::lab(2));
    let id = lab.allocate("name=node01");
    for op in ["deploy", "release", "power_on", "power_off", "lock", "set_owner_data", "mark_broken", "abort"] {
        let refused = lab.alice("POST", &format!("machines/{id}/?op={op}"), "k=v");
        assert_eq!((refused.status().as_u16(), text(&refused).as_str()), (403, ""), "{op}");
    }
    assert_eq!(lab.alice("GET", &format!("machines/{id}/"), "").status(), 403);
    assert_eq!(field(&json(&lab.alice("GET", "machines/", "")), "hostname"), ["node02"]);
    let own = json(&lab.alice("POST", "machines/?op=allocate", ""))["system_id"].as_str().unwrap().to_owned();
    assert_eq!(lab.alice("POST", &format!("machines/{own}/?op=deploy"), "").status(), 200);
    assert_eq!(lab.alice("PUT", &format!("machines/{own}/"), "zone=zone-a").status(), 403);
    // Administrators may act on it but not mark it.
    assert_eq!(lab.admin("POST", &format!("machines/{own}/?op=set_owner_data"), "k=v").status(), 409);
    assert_eq!(lab.admin("POST", &format!("machines/{own}/?op=mark_broken"), "").status(), 403);
}

#[test]
fn a_failing_bmc_puts_the_release_back_but_what_was_cleared_stays_cleared() {
    for (bmc, status, retry) in [(Bmc::Fails, 500, None), (Bmc::NoRack, 503, Some("10"))] {
        let mut lab = Lab::new(Config::lab(1));
        let id = lab.deployed("agent_name=t");
        lab.region.set_bmc(lab.now, &id, bmc).unwrap();
        let refused = lab.admin("POST", &format!("machines/{id}/?op=release"), "");
        assert_eq!(refused.status(), status);
        assert_eq!(refused.headers().get("retry-after").map(|v| v.to_str().unwrap()), retry);
        let machine = lab.machine(&id);
        assert_eq!((machine["status_name"].as_str(), machine["osystem"].as_str()), (Some("Deployed"), Some("")));
        assert_eq!(lab.ok("GET", "machines/?agent_name=t", ""), serde_json::json!([]));
        lab.region.set_bmc(lab.now, &id, Bmc::Works).unwrap();
        lab.ok("POST", &format!("machines/{id}/?op=release"), "");
        lab.wait(60);
        assert_eq!(lab.machine(&id)["status_name"], "Ready");
    }
}

#[test]
fn broken_machines_keep_their_owner_only_while_they_run() {
    let mut lab = Lab::new(Config::lab(2));
    let running = lab.deployed("");
    let stopped = lab.allocate("");
    for (id, owner) in [(running, serde_json::json!("admin")), (stopped, serde_json::Value::Null)] {
        let broken = lab.ok("POST", &format!("machines/{id}/?op=mark_broken"), "comment=smells");
        assert_eq!(
            (broken["status_name"].as_str(), broken["error_description"].as_str()),
            (Some("Broken"), Some("smells"))
        );
        assert_eq!(broken["owner"], owner);
        assert_eq!(lab.ok("POST", &format!("machines/{id}/?op=mark_fixed"), "")["status_name"], "Ready");
    }
}

#[test]
fn power_on_without_user_data_forgets_it_and_redeploys_what_runs_from_memory() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.allocate("");
    lab.ok("POST", &format!("machines/{id}/?op=deploy"), "ephemeral_deploy=true&user_data=aGVsbG8=");
    lab.wait(1000);
    assert_eq!(lab.machine(&id)["ephemeral_deploy"], true);
    assert!(matches!(lab.booted().as_slice(), [Happening::Booted { user_data: Some(_), ephemeral: true, .. }]));
    lab.ok("POST", &format!("machines/{id}/?op=power_off"), "");
    lab.wait(60);
    let seen = lab.region.take_happenings();
    assert!(matches!(seen.as_slice(), [Happening::PoweredOff { .. }, Happening::Wiped { .. }]), "{seen:?}");
    lab.ok("POST", &format!("machines/{id}/?op=power_on"), "");
    lab.wait(1000);
    assert!(matches!(lab.booted().as_slice(), [Happening::Booted { user_data: None, deployment: 2, .. }]));
}

#[test]
fn filters_of_the_list_select_as_documented() {
    let mut config = Config::lab(8);
    config.machines[0].tags = vec!["gpu".to_owned(), "ssd".to_owned()];
    config.machines[1].tags = vec!["gpu".to_owned()];
    config.machines[2].memory = 65_536;
    let mut lab = Lab::new(config);
    let taken = lab.allocate("name=node05&agent_name=a1");
    let first = lab.region.machine("node01").unwrap().system_id;
    let cases: Vec<(String, &[&str])> = vec![
        ("tags=gpu&tags=ssd".to_owned(), &["node01"]),
        ("tags=gpu".to_owned(), &["node01", "node02"]),
        ("not_tags=gpu&status=ready&zone=default".to_owned(), &["node03", "node06", "node07"]),
        ("zone=zone-a&zone=zone-b".to_owned(), &["node04", "node08"]),
        ("not_in_zone=default&hostname=node08".to_owned(), &["node08"]),
        ("owner=admin".to_owned(), &["node05"]),
        ("agent_name=a1".to_owned(), &["node05"]),
        ("status=allocated".to_owned(), &["node05"]),
        ("simple_status=allocated".to_owned(), &["node05"]),
        (format!("id={taken}&id={first}"), &["node01", "node05"]),
        (format!("id={taken}&agent_name=other"), &[]),
        ("mem=65536".to_owned(), &["node03"]),
        ("hostname=node01&hostname=node02&hostname=nope".to_owned(), &["node01", "node02"]),
        ("power_state=on".to_owned(), &[]),
        ("domain=maas&cpu_count=8&pool=default&arch=amd64&mac_address=52:54:00:00:00:07".to_owned(), &["node07"]),
    ];
    for (query, wanted) in cases {
        assert_eq!(field(&lab.ok("GET", &format!("machines/?{query}"), ""), "hostname"), wanted, "{query}");
    }
}

#[test]
fn what_is_not_simulated_says_so_and_is_counted() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.region.system_ids()[0].clone();
    let refused = lab.admin("POST", &format!("nodes/{id}/raids/"), "");
    assert_eq!((refused.status().as_u16(), text(&refused).as_str()), (501, "Not simulated: POST raids"));
    let form = "storage_layout=bcache";
    assert_eq!(lab.admin("POST", &format!("machines/{id}/?op=set_storage_layout"), form).status(), 501);
    lab.admin("GET", "vm-hosts/", "");
    lab.admin("GET", "pods/", "");
    let list: Vec<String> = lab.region.unsimulated().into_keys().collect();
    assert_eq!(list, ["GET vm-hosts", "POST machine set_storage_layout bcache", "POST raids"]);
}

#[test]
fn counters_tell_reads_from_writes() {
    let mut lab = Lab::new(Config { durations: Durations::instant(), ..Config::lab(1) });
    let id = lab.allocate("");
    lab.ok("POST", &format!("machines/{id}/?op=deploy"), "");
    lab.machine(&id);
    lab.ok("GET", "machines/?status=deployed", "");
    assert_eq!((lab.region.reads(), lab.region.writes()), (2, 2));
    let counters: Vec<(String, u64)> = lab.region.counters().into_iter().collect();
    let wanted = [("GET machine", 1), ("GET machines", 1), ("POST machine deploy", 1), ("POST machines allocate", 1)];
    assert_eq!(counters, wanted.map(|(k, n)| (k.to_owned(), n)));
    let log = lab.region.requests();
    assert_eq!((log[0].status, log[0].path.as_str()), (200, "/MAAS/api/2.0/machines/?op=allocate"));
    assert_eq!(lab.region.machine(&id).unwrap().status, Status::Deployed);
}

#[test]
fn event_pages_go_forward_from_after_and_backward_from_before() {
    let mut lab = Lab::new(Config::lab(1));
    lab.deployed("");
    let ids = |page: serde_json::Value| {
        page["events"].as_array().unwrap().iter().map(|e| e["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let all = ids(lab.ok("GET", "events/?op=query&level=DEBUG", ""));
    assert!(all.windows(2).all(|w| w[0] > w[1]), "newest first");
    assert_eq!(ids(lab.ok("GET", "events/?op=query&level=DEBUG&after=2&limit=3", "")), [5, 4, 3]);
    assert_eq!(ids(lab.ok("GET", "events/?op=query&level=DEBUG&before=5&limit=2", "")), [4, 3]);
}
