//! What happens to a region from outside.

use bytes::Bytes;
use http::Request;
use maas_sim::{ADMIN_KEY, Bmc, Config, FAKE_SECRET, Happening, KnobErrorKind, MachineSpec, Outage, Status};

use crate::clients::{Lab, field, sign, text};

#[test]
fn a_pulled_cord_is_seen_at_the_next_poll_and_not_before() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("");
    lab.region.take_happenings();
    lab.region.set_power_cord(lab.now, "node01", false).unwrap();
    assert_eq!(lab.region.take_happenings(), [Happening::PoweredOff { system_id: id.clone() }]);
    assert_eq!(lab.machine(&id)["power_state"], "on");
    lab.wait(300);
    let dark = lab.machine(&id);
    assert_eq!((dark["power_state"].as_str(), dark["status_name"].as_str()), (Some("off"), Some("Deployed")));
    lab.region.set_power_cord(lab.now, &id, true).unwrap();
    assert_eq!(lab.region.take_happenings(), [Happening::PoweredOn { system_id: id.clone() }]);
    lab.wait(300);
    assert_eq!(lab.machine(&id)["power_state"], "on");
}

#[test]
fn asking_for_power_gets_the_truth_or_the_bmcs_failure() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("");
    let ask = format!("machines/{id}/?op=query_power_state");
    assert_eq!(lab.ok("GET", &ask, "")["state"], "on");
    lab.region.set_power_cord(lab.now, &id, false).unwrap();
    assert_eq!(lab.ok("GET", &ask, "")["state"], "off");
    lab.region.set_bmc(lab.now, &id, Bmc::Fails).unwrap();
    assert_eq!(lab.admin("GET", &ask, "").status(), 500);
    assert_eq!(lab.machine(&id)["power_state"], "error");
    lab.region.set_bmc(lab.now, &id, Bmc::NoRack).unwrap();
    assert_eq!(lab.admin("GET", &ask, "").status(), 503);
}

#[test]
fn operators_put_machines_into_any_state() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("");
    for status in Status::ALL.iter().filter(|s| !matches!(s, Status::Ready | Status::New)) {
        lab.region.set_status(lab.now, &id, *status).unwrap();
        let shown = lab.machine(&id);
        assert_eq!(
            (shown["status"].as_u64(), shown["status_name"].as_str()),
            (Some(u64::from(status.code())), Some(status.name()))
        );
        assert_eq!(
            field(&lab.ok("GET", &format!("machines/?status={}", status.filter_value()), ""), "system_id"),
            std::slice::from_ref(&id)
        );
    }
    lab.region.set_status(lab.now, &id, Status::Ready).unwrap();
    assert!(lab.machine(&id)["owner"].is_null());
}

#[test]
fn machines_come_and_go() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab
        .region
        .add_machine(lab.now, MachineSpec { cpu_count: 2, memory: 1024, ..MachineSpec::named("late") })
        .unwrap();
    assert_eq!(lab.region.add_machine(lab.now, MachineSpec::named("late")).unwrap_err().kind(), KnobErrorKind::Invalid);
    assert_eq!(lab.deployed(""), id);
    lab.region.take_happenings();
    lab.region.remove_machine(lab.now, "late").unwrap();
    assert_eq!(
        lab.region.take_happenings(),
        [Happening::Wiped { system_id: id.clone() }, Happening::PoweredOff { system_id: id.clone() }]
    );
    assert_eq!(text(&lab.admin("GET", &format!("machines/{id}/"), "")), "No Machine matches the given query.");
    assert_eq!(lab.region.remove_machine(lab.now, "late").unwrap_err().kind(), KnobErrorKind::NotFound);
}

#[test]
fn keys_are_revoked_and_replaced_and_rights_taken() {
    let mut lab = Lab::new(Config::lab(1));
    lab.region.add_api_key("admin", "new:fresh:secret").unwrap();
    lab.region.revoke_api_keys("admin", Some(ADMIN_KEY)).unwrap();
    let refused = lab.admin("GET", "users/?op=whoami", "");
    assert_eq!((refused.status().as_u16(), text(&refused).as_str()), (401, "Authorization Error: Invalid API key."));
    assert_eq!(lab.with_key("new:fresh:secret", "GET", "users/?op=whoami", "").status(), 200);
    lab.region.set_admin("admin", false);
    assert_eq!(lab.with_key("new:fresh:secret", "POST", "dnsresources/", "fqdn=a.maas").status(), 403);
}

#[test]
fn a_wrong_secret_is_answered_with_a_secret_that_is_none() {
    let mut lab = Lab::new(Config::lab(1));
    let wrong = ADMIN_KEY.replace("Secret", "Sacred");
    let refused = lab.with_key(&wrong, "GET", "machines/", "");
    assert_eq!(refused.status(), 401);
    assert!(text(&refused).contains(FAKE_SECRET));
    assert!(!text(&refused).contains("LabTokenSecretA"));
}

#[test]
fn an_outage_stops_requests_but_not_machines() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.allocate("");
    lab.ok("POST", &format!("machines/{id}/?op=deploy"), "");
    lab.region.set_outage(lab.now, Some(Outage::Unavailable));
    assert_eq!(lab.admin("GET", "machines/", "").status(), 503);
    lab.wait(1000);
    lab.region.set_outage(lab.now, None);
    assert_eq!(lab.machine(&id)["status_name"], "Deployed");
}

#[test]
fn a_clock_that_runs_behind_is_told_how_far() {
    let mut lab = Lab::new(Config::lab(1));
    lab.wait(1000);
    let late = lab.now - jiff::SignedDuration::from_secs(301);
    let request = Request::get("/MAAS/api/2.0/zones/")
        .header("authorization", sign(ADMIN_KEY, late, 1))
        .body(Bytes::new())
        .unwrap();
    let refused = lab.region.handle(lab.now, request);
    let wanted = format!(
        "Authorization Error: 'Expired timestamp: given {} and now {} has a greater difference than threshold 300'",
        late.as_second(),
        lab.now.as_second()
    );
    assert_eq!(text(&refused), wanted);
}

#[test]
fn what_a_deleted_user_had_goes_to_another_when_one_is_named() {
    let mut lab = Lab::new(Config::lab(1));
    let taken = lab.alice("POST", "machines/?op=allocate", "");
    let id = crate::clients::json(&taken)["system_id"].as_str().unwrap().to_owned();
    assert_eq!(lab.admin("DELETE", "users/alice/", "").status(), 400, "there is a machine of hers");
    assert_eq!(lab.admin("DELETE", "users/alice/?transfer_resources_to=nobody", "").status(), 404);
    assert_eq!(lab.admin("DELETE", "users/alice/?transfer_resources_to=admin", "").status(), 204);
    assert_eq!(lab.machine(&id)["owner"], "admin");
}
