//! What failed, and where MAAS says so: events and results of scripts.

use base64::Engine as _;
use maas_sim::Config;
use serde_json::Value;

use crate::clients::{Lab, field};

/// Level, type and description of every event of a machine, oldest first.
fn told(lab: &mut Lab, id: &str) -> Vec<String> {
    let page = lab.ok("GET", &format!("events/?op=query&level=DEBUG&id={id}&limit=1000"), "");
    let mut lines: Vec<String> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let text = |key: &str| e[key].as_str().unwrap().to_owned();
            format!("{} {}: {}", text("level"), text("type"), text("description"))
        })
        .collect();
    lines.reverse();
    lines
}

fn decoded(value: &Value) -> String {
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn a_failed_deployment_says_why_in_events_record_and_log() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.allocate("");
    lab.region.fail_next_deployment(lab.now, &id, "disk sda is gone").unwrap();
    lab.ok("POST", &format!("machines/{id}/?op=deploy"), "comment=try");
    lab.wait(1000);
    let told = told(&mut lab, &id);
    let wanted = [
        "DEBUG Node changed status: From 'New' to 'Ready'",
        "DEBUG User acquiring node: (admin)",
        "DEBUG Node changed status: From 'Ready' to 'Allocated' (to admin)",
        "DEBUG User starting deployment: (admin) - try",
        "DEBUG Node changed status: From 'Allocated' to 'Deploying'",
        "INFO Deploying: ",
        "INFO Performing PXE boot: ",
        "INFO Loading ephemeral: ",
        "INFO Configuring storage: ",
        "INFO Installing OS: ",
        "INFO Configuring OS: ",
        "ERROR Node installation failure: disk sda is gone",
        "ERROR Marking node failed: disk sda is gone",
        "DEBUG Node changed status: From 'Deploying' to 'Failed deployment'",
    ];
    assert_eq!(told, wanted);
    let failed = lab.machine(&id);
    assert_eq!(failed["status_message"], "Marking node failed - disk sda is gone");
    assert_eq!(failed["status_action"], "mark_failed");

    let run = lab.ok("GET", &format!("nodes/{id}/results/current-installation/?include_output=true"), "");
    assert_eq!(run["id"], failed["current_installation_result_id"]);
    assert_eq!((run["type_name"].as_str(), run["status_name"].as_str()), (Some("Installation"), Some("Failed")));
    let result = &run["results"][0];
    assert_eq!((result["name"].as_str(), result["exit_status"].as_u64()), (Some("/tmp/install.log"), Some(1)));
    assert_eq!(result["runtime"], "0:03:00");
    let log = decoded(&result["output"]);
    assert!(log.ends_with("Installation failed with exception: disk sda is gone\n"), "{log}");
    let old = lab.ok("GET", &format!("installation-results/?system_id={id}"), "");
    assert_eq!(decoded(&old[0]["data"]), log);
    let file = lab.admin("GET", &format!("nodes/{id}/results/current-installation/?op=download"), "");
    assert_eq!(file.headers()["content-type"], "application/octet-stream");
    assert_eq!(file.body(), log.as_bytes());
}

#[test]
fn output_is_shown_only_when_asked_for_and_sets_are_selected_by_type() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.deployed("");
    let all = lab.ok("GET", &format!("nodes/{id}/results/"), "");
    assert_eq!(field(&all, "type_name"), ["Commissioning", "Installation"]);
    assert_eq!(all[0]["results"].as_array().unwrap().len(), 13);
    assert!(all[1]["results"][0].get("output").is_none());
    for (query, kinds) in [
        ("type=installation", &["Installation"][..]),
        ("type=0&type=testing", &["Commissioning"]),
        ("type=commissioning,installation", &["Commissioning", "Installation"]),
    ] {
        let some = lab.ok("GET", &format!("nodes/{id}/results/?{query}"), "");
        assert_eq!(field(&some, "type_name"), kinds, "{query}");
    }
    let number = all[1]["id"].as_u64().unwrap();
    assert_eq!(lab.ok("GET", &format!("nodes/{id}/results/{number}/"), "")["status_name"], "Passed");
    let one = lab.ok("GET", &format!("nodes/{id}/results/current-commissioning/?filters=maas-lshw"), "");
    assert_eq!(field(&one["results"], "name"), ["maas-lshw"]);
    assert_eq!(lab.admin("GET", &format!("nodes/{id}/results/current-testing/"), "").status(), 404);
    assert_eq!(lab.admin("GET", &format!("nodes/{id}/results/?type=nope"), "").status(), 400);
    assert_eq!(lab.admin("DELETE", &format!("nodes/{id}/results/{number}/"), "").status(), 204);
    assert_eq!(lab.admin("GET", &format!("nodes/{id}/results/{number}/"), "").status(), 404);
}

#[test]
fn a_mark_by_a_person_is_a_debug_event_and_one_by_maas_an_error() {
    let mut lab = Lab::new(Config::lab(2));
    let by_hand = lab.allocate("");
    lab.ok("POST", &format!("machines/{by_hand}/?op=mark_broken"), "comment=smells");
    let wanted = [
        "DEBUG User marking node broken: (admin) - smells",
        "DEBUG Node changed status: From 'Allocated' to 'Releasing'",
        "INFO Releasing: ",
        "INFO Released: ",
        "DEBUG Node changed status: From 'Releasing' to 'Broken'",
    ];
    assert_eq!(told(&mut lab, &by_hand)[3..], wanted);
    assert_eq!(lab.machine(&by_hand)["status_message"], "Released");

    let by_maas = lab.deployed("");
    lab.region.mark_broken_by_system(lab.now, &by_maas, "fan 3 stands still").unwrap();
    let events = told(&mut lab, &by_maas);
    assert!(events.contains(&"ERROR Marking node broken: fan 3 stands still".to_owned()), "{events:?}");
    let broken = lab.machine(&by_maas);
    assert_eq!(
        (broken["owner"].as_str(), broken["error_description"].as_str()),
        (Some("admin"), Some("fan 3 stands still"))
    );
    assert_eq!(lab.ok("POST", &format!("machines/{by_maas}/?op=mark_fixed"), "")["status_name"], "Deployed");
}
