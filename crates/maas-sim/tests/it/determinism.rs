//! Same seed, same requests, same times: same answers. And how much of it there may be.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use maas_sim::{Bmc, Config, DeployFault, Fault, FaultRule, When};

use crate::clients::{Lab, text};

/// One random request: method, path and form.
fn request(rng: &mut fastrand::Rng, ids: &[String]) -> (&'static str, String, String) {
    let id = &ids[rng.usize(..ids.len())];
    let n = rng.u8(1..250);
    let post = |path: String, form: &str| ("POST", path, form.to_owned());
    let get = |path: String| ("GET", path, String::new());
    match rng.u8(..37) {
        0..=3 => post(
            "machines/?op=allocate".to_owned(),
            &format!("agent_name=a{n}&cpu_count=4&bridge_all={}", n.is_multiple_of(5)),
        ),
        4..=6 => post(format!("machines/{id}/?op=deploy"), "user_data=eA=="),
        7 => post(format!("machines/{id}/?op=deploy"), "ephemeral_deploy=true"),
        8 => post(format!("machines/{id}/?op=release"), ""),
        9 => post(format!("machines/{id}/?op=release"), "erase=true&quick_erase=true"),
        10 => post(format!("machines/{id}/?op=power_off"), ""),
        11 => post(format!("machines/{id}/?op=power_on"), ""),
        12 => post(format!("machines/{id}/?op=mark_broken"), "comment=x"),
        13 => post(format!("machines/{id}/?op=mark_fixed"), ""),
        14 => post(format!("machines/{id}/?op=abort"), ""),
        15 => post(format!("machines/{id}/?op=commission"), ""),
        16 => post(format!("machines/{id}/?op=test"), ""),
        17 => post(format!("machines/{id}/?op=rescue_mode"), ""),
        18 => post(format!("machines/{id}/?op=exit_rescue_mode"), ""),
        19 => post(format!("machines/{id}/?op=set_owner_data"), &format!("k{n}=v")),
        20 => post("dnsresources/".to_owned(), &format!("name=n{n}&domain=maas.sc&ip_addresses=10.10.0.{n}")),
        21 => ("PUT", format!("dnsresources/{n}/"), format!("ip_addresses=10.10.1.{n}+10.10.2.{n}")),
        22 => ("DELETE", format!("dnsresources/{n}/"), String::new()),
        23 => post("ipaddresses/?op=reserve".to_owned(), "subnet=1"),
        24 => post("ipaddresses/?op=release".to_owned(), &format!("ip=10.10.0.{n}&force=true")),
        25 => post(
            "machines/".to_owned(),
            &format!("architecture=amd64&mac_addresses=52:54:01:00:00:{n:02x}&power_type=manual&commission=false"),
        ),
        26 if n < 20 => ("DELETE", format!("machines/{id}/"), String::new()),
        27 => post("tags/".to_owned(), &format!("name=t{n}")),
        28 => post("account/?op=create_authorisation_token".to_owned(), "name=x"),
        29 => get(format!("nodes/{id}/results/?include_output=true")),
        30 => get("events/?op=query&level=DEBUG&limit=5".to_owned()),
        31 => get("machines/?status=deployed&power_state=on".to_owned()),
        32 => get(format!("nodes/{id}/interfaces/")),
        33 => post(format!("machines/{id}/?op=set_storage_layout"), "storage_layout=lvm"),
        34 => post(format!("machines/{id}/?op=restore_default_configuration"), ""),
        35 => {
            let source = &ids[rng.usize(..ids.len())];
            let form = format!("source={source}&destinations={id}&interfaces=true&storage=true");
            post("machines/?op=clone".to_owned(), &form)
        }
        _ => get(format!("machines/{id}/")),
    }
}

/// Lists are written from texts that are kept; they must show what single reads show.
fn lists_agree_with_reads(lab: &mut Lab) {
    let list = lab.ok("GET", "machines/", "");
    for listed in list.as_array().unwrap() {
        let single = lab.machine(listed["system_id"].as_str().unwrap());
        assert_eq!(*listed, single);
    }
}

/// A digest of each step of a run of random operations, and what was seen on the way.
fn trace(seed: u64, operations: u32) -> (Vec<u64>, String) {
    let mut lab = Lab::new(Config { seed, ..Config::lab(20) });
    let mut rng = fastrand::Rng::with_seed(42);
    let mut digests = Vec::new();
    let mut statuses = std::collections::BTreeMap::new();
    let mut booted = 0;
    lab.region.add_fault(FaultRule::on("POST machines allocate", Fault::Gateway(502), When::Chance(0.1)));
    for step in 0..operations {
        let ids = lab.region.system_ids();
        let (method, path, form) = request(&mut rng, &ids);
        let id = &ids[rng.usize(..ids.len())];
        match step % 50 {
            10 => lab.region.set_bmc(lab.now, id, [Bmc::Works, Bmc::Fails, Bmc::Lies][rng.usize(..3)]).unwrap(),
            20 => lab.region.set_power_cord(lab.now, id, rng.bool()).unwrap(),
            30 => lab.region.fail_deployments(lab.now, id, DeployFault::Installer("x".to_owned()), Some(1)).unwrap(),
            _ => {}
        }
        let answer = lab.admin(method, &path, &form);
        if step.is_multiple_of(200) {
            lists_agree_with_reads(&mut lab);
        }
        *statuses.entry(answer.status().as_u16()).or_insert(0_u32) += 1;
        lab.wait(i64::from(rng.u8(..120)));
        let happened = lab.region.take_happenings();
        booted += happened.iter().filter(|h| matches!(h, maas_sim::Happening::Booted { .. })).count();
        let mut hasher = DefaultHasher::new();
        (answer.status().as_u16(), text(&answer), format!("{happened:?}")).hash(&mut hasher);
        digests.push(hasher.finish());
    }
    (digests, format!("{booted} boots, statuses {statuses:?}"))
}

#[test]
fn ten_thousand_operations_of_one_seed_give_one_trace_and_another_seed_another() {
    let (first, seen) = trace(7, 10_000);
    println!("{seen}");
    let (second, _) = trace(7, 10_000);
    let differ = first.iter().zip(&second).position(|(a, b)| a != b);
    assert_eq!((first.len(), differ), (10_000, None), "same seed, different from that step on");
    let (other, _) = trace(8, 1_000);
    assert!(first[..1_000] != other, "the seed has no effect");
}

#[test]
fn a_hundred_machines_deploy_through_ten_minutes_of_virtual_time_in_less_than_a_second() {
    let started = tokio::time::Instant::now();
    let mut lab = Lab::new(Config::lab(100));
    for id in lab.region.system_ids() {
        lab.ok("POST", &format!("machines/{id}/?op=deploy"), "");
    }
    for _ in 0..600 {
        lab.wait(1);
    }
    assert_eq!(lab.booted().len(), 100);
    let took = started.elapsed();
    println!("100 machines through 600 s in {took:?}");
    assert!(took.as_secs_f64() < 1.0, "{took:?}");
}

#[test]
fn a_year_passes_in_seconds() {
    let started = tokio::time::Instant::now();
    let mut lab = Lab::new(Config::lab(10));
    for day in 0..365 {
        let id = lab.region.system_ids()[day % 10].clone();
        lab.ok("POST", &format!("machines/{id}/?op=deploy"), "");
        lab.wait(43_200);
        lab.ok("POST", &format!("machines/{id}/?op=release"), "");
        lab.wait(43_200);
    }
    assert_eq!(lab.booted().len(), 365);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn a_filtered_list_of_ten_thousand_machines_answers_from_an_index() {
    let mut lab = Lab::new(Config::lab(10_000));
    for _ in 0..50 {
        lab.allocate("");
    }
    let hits = lab.ok("GET", "machines/?owner=admin&status=allocated&status=deploying", "");
    assert_eq!(hits.as_array().unwrap().len(), 50);
}
