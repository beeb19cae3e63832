//! Same seed, same requests, same times: same answers.

use maas_sim::Config;

use crate::clients::{Lab, text};

/// A trace of random operations as one text.
fn trace(seed: u64, operations: u32) -> String {
    let mut lab = Lab::new(Config { seed, ..Config::lab(20) });
    let mut rng = fastrand::Rng::with_seed(42);
    let mut out = String::new();
    for _ in 0..operations {
        let ids = lab.region.system_ids();
        let id = &ids[rng.usize(..ids.len())];
        let number = rng.u8(1..250);
        let (method, path, form) = match rng.u8(..12) {
            0 | 1 => ("POST", "machines/?op=allocate".to_owned(), format!("agent_name=a{number}&cpu_count=4")),
            2 | 3 => ("POST", format!("machines/{id}/?op=deploy"), "user_data=eA==".to_owned()),
            4 => ("POST", format!("machines/{id}/?op=release"), String::new()),
            5 => ("POST", format!("machines/{id}/?op=power_off"), String::new()),
            6 => ("POST", format!("machines/{id}/?op=power_on"), String::new()),
            7 => ("POST", format!("machines/{id}/?op=mark_broken"), "comment=x".to_owned()),
            8 => ("POST", format!("machines/{id}/?op=mark_fixed"), String::new()),
            9 => (
                "POST",
                "dnsresources/".to_owned(),
                format!("name=n{number}&domain=maas.sc&ip_addresses=10.10.0.{number}"),
            ),
            10 => ("GET", format!("machines/?id={id}"), String::new()),
            _ => ("GET", "events/?op=query&level=DEBUG&limit=5".to_owned(), String::new()),
        };
        let answer = lab.admin(method, &path, &form);
        out.push_str(&format!("{method} {path} {} {}\n", answer.status(), text(&answer)));
        lab.wait(i64::from(rng.u8(..120)));
        out.push_str(&format!("{:?}\n", lab.region.take_happenings()));
    }
    out
}

#[test]
fn two_regions_with_one_seed_give_one_trace_and_another_seed_another() {
    let first = trace(7, 600);
    assert!(first == trace(7, 600), "same seed, different traces");
    assert!(first != trace(8, 600), "the seed has no effect");
    assert!(first.contains("Booted"));
}

#[test]
fn a_hundred_machines_deploy_through_ten_minutes_of_virtual_time() {
    let mut lab = Lab::new(Config::lab(100));
    for id in lab.region.system_ids() {
        lab.ok("POST", &format!("machines/{id}/?op=deploy"), "");
    }
    for _ in 0..600 {
        lab.wait(1);
    }
    assert_eq!(lab.booted().len(), 100);
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
