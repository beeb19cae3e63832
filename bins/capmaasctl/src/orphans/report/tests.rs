use super::*;

fn machine(id: &str, status: Status, mark: Option<&str>) -> Machine {
    let data = mark.map_or(
        json!({}),
        |name| json!({ "capmaas-token": "capmaas:1", "capmaas-machine": name, "capmaas-cluster": "c1" }),
    );
    serde_json::from_value(json!({
        "system_id": id, "hostname": format!("host-{id}"), "status": status.number(), "owner": "us", "owner_data": data,
    }))
    .unwrap()
}

fn object(name: &str, spec: Value, claim: Option<&str>) -> Value {
    json!({ "metadata": { "namespace": "default", "name": name, "annotations": { CLAIM_ANNOTATION: claim } }, "spec": spec })
}

fn report(objects: &[Value], claimed: &[&str], machines: Vec<Machine>) -> Report {
    let objects = Objects { maas_machines: objects.to_vec(), clusters: Vec::new() };
    let claimed = claimed.iter().map(|id| (*id).to_owned()).collect();
    Report::new("us".to_owned(), &objects, &claimed, machines, Vec::new())
}

#[test]
fn a_machine_that_a_maas_machine_names_or_is_claiming_is_no_orphan() {
    let held = |mark| vec![machine("aaa111", Status::Deployed, mark)];
    let claiming = object("m0", json!({}), Some("capmaas:1 default/m0"));
    let objects = Objects { maas_machines: vec![claiming.clone()], clusters: Vec::new() };
    assert_eq!(objects.open_claims().into_iter().collect::<Vec<_>>(), ["capmaas:1"]);
    let table = [
        ("by system id", object("m0", json!({ "systemID": "aaa111" }), None), &[][..], true),
        ("by provider id alone", object("m0", json!({ "providerID": "maas:///z/aaa111" }), None), &[], true),
        ("by its token, which MAAS found", claiming.clone(), &["aaa111"], true),
        ("another machine", object("m0", json!({ "systemID": "bbb222" }), None), &[], false),
        ("claiming, but not this one", claiming, &["bbb222"], false),
    ];
    for (case, object, claimed, named) in table {
        for mark in [None, Some("default/m0")] {
            let told = report(std::slice::from_ref(&object), claimed, held(mark));
            assert_eq!(told.machines.is_empty(), named, "{case}, marked: {mark:?}");
            assert_eq!(told.is_clean(), named || mark.is_none(), "{case}, marked: {mark:?}");
        }
    }
}

#[test]
fn each_is_told_with_why_and_the_command_that_would_free_it() {
    let there = object("there", json!({ "systemID": "zzz999" }), None);
    let table = [
        (
            machine("aaa111", Status::Deployed, Some("default/gone")),
            "default/gone, which does not exist",
            "machine release aaa111",
        ),
        (
            machine("aaa111", Status::Allocated, Some("default/there")),
            "default/there, which has machine zzz999",
            "machine release aaa111",
        ),
        (
            machine("aaa111", Status::RescueMode, Some("default/gone")),
            "does not exist",
            "exit-rescue-mode aaa111; when that is over, look again",
        ),
        (machine("aaa111", Status::Testing, Some("default/gone")), "does not exist", "abort aaa111; when"),
        (machine("aaa111", Status::FailedCommissioning, Some("x/y")), "does not exist", "end what an operator does"),
        (
            Machine { locked: true, ..machine("aaa111", Status::Deployed, Some("x/y")) },
            "x/y",
            "unlock aaa111 && maas $PROFILE machine release",
        ),
        (machine("aaa111", Status::Deployed, None), "no marks of ours", "machine release aaa111"),
    ];
    for (held, why, command) in table {
        let told = report(std::slice::from_ref(&there), &[], vec![held.clone()]);
        let (text, json) = (told.render(), told.json());
        assert!(text.contains(why) && text.contains(command), "{held:?}\n{text}");
        let one = &json["machines"][0];
        assert!(one["why"].as_str().unwrap().contains(why) && one["suggestion"].as_str().unwrap().contains(command));
        assert_eq!(one["marked"], held.owner_data.contains_key("capmaas-token"));
    }
}

#[test]
fn what_goes_back_by_itself_and_what_an_operator_does_without_marks_is_not_listed() {
    for status in [Status::Releasing, Status::DiskErasing, Status::Ready] {
        assert!(report(&[], &[], vec![machine("aaa111", status, Some("x/y"))]).machines.is_empty(), "{status}");
    }
    for status in [Status::Commissioning, Status::RescueMode, Status::Broken] {
        assert!(report(&[], &[], vec![machine("aaa111", status, None)]).machines.is_empty(), "{status}");
    }
    assert!(report(&[], &[], Vec::new()).render().ends_with("Nothing is left over.\n"));
}

#[test]
fn marked_ones_come_first_and_the_last_act_of_a_user_is_told() {
    let held = [("bbb222", Some("x/y")), ("aaa111", None)].map(|(id, mark)| machine(id, Status::Deployed, mark));
    let mut told = report(&[], &[], held.to_vec());
    let event = |user: &str, kind: &str| Event {
        node: "aaa111".parse().unwrap(),
        username: user.to_owned(),
        kind: kind.to_owned(),
        created: "Thu, 01 Jan. 2026 00:00:00".to_owned(),
        ..Event::default()
    };
    told.remember(&[event("unknown", "Deployed"), event("us", "User starting deployment"), event("us", "older")]);
    let text = told.render();
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}\n{text}"));
    assert!(at("with our marks") < at("host-bbb222") && at("host-bbb222") < at("without our marks"));
    assert!(at("last: User starting deployment by us, Thu, 01 Jan. 2026 00:00:00") > at("host-aaa111"), "{text}");
}

/// W-23
#[test]
fn a_record_counts_by_its_name_unless_it_is_the_endpoint_of_a_cluster() {
    let table = [
        ("my-cluster-b431e5.maas.sc", true),
        ("my-cluster-b431e5.maas.sc.", true),
        ("My-Cluster-b431e5.maas.sc", true),
        ("ours-abc123.maas", false),
        ("stated-abc123.maas", false),
        ("theirs-abc123.maas", false),
        ("my-cluster.maas.sc", false),
        ("my-cluster-b431e.maas.sc", false),
        ("my-cluster-b431eg.maas.sc", false),
        ("-b431e5.maas.sc", false),
        ("www.my-cluster-b431e5.maas", false),
    ];
    let objects = Objects {
        maas_machines: Vec::new(),
        clusters: vec![
            json!({ "spec": { "controlPlaneEndpoint": { "host": "Ours-ABC123.maas" } } }),
            json!({ "status": { "network": { "dnsName": "stated-abc123.maas" } } }),
            json!({ "kind": "Cluster", "spec": { "controlPlaneEndpoint": { "host": "theirs-abc123.maas" } } }),
        ],
    };
    for (fqdn, listed) in table {
        let record = DnsResource { id: "7".parse().unwrap(), fqdn: fqdn.to_owned(), ..DnsResource::default() };
        let told = Report::new("us".to_owned(), &objects, &BTreeSet::new(), Vec::new(), vec![record]);
        assert_eq!(told.is_clean(), !listed, "{fqdn}");
        assert_eq!(told.render().contains("maas $PROFILE dnsresource delete 7"), listed, "{fqdn}");
    }
}
