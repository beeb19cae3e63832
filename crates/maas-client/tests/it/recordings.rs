//! Recorded answers of a real MAAS 3.7.3 looked at closely: what the typed replies hold. That every recording is
//! sent and read right is in `reality.rs`.

use std::collections::{BTreeMap, BTreeSet};

use maas_client::*;

use crate::store::{Shape, recording, replay};

/// Runs one call on a recorded answer; the request must be the recorded one.
macro_rules! same {
    ($case:literal, |$client:ident| $call:expr) => {{
        let ($client, seen) = replay(&recording($case));
        let value = $call.await.unwrap_or_else(|error| panic!("{}: {error:?}", $case));
        assert_eq!(seen.lock().unwrap().take(), Shape::recorded(&recording($case).request), $case);
        value
    }};
}

/// The same where the client asks for the same thing in other words.
macro_rules! alike {
    ($case:literal, |$client:ident| $call:expr) => {{
        let ($client, _seen) = replay(&recording($case));
        $call.await.unwrap_or_else(|error| panic!("{}: {error:?}", $case))
    }};
}

fn id(text: &str) -> SystemId {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> BTreeSet<std::net::IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn the_region_tells_about_itself() {
    let version = same!("meta/version", |client| client.version().read());
    assert_eq!(version.major_minor(), Some((3, 7)));
    assert_eq!((version.version.as_str(), version.capabilities.len()), ("3.7.3", 9));
    let user = same!("meta/users-whoami", |client| client.users().whoami());
    assert!(user.username == "admin" && user.is_superuser);
    let names: Vec<_> = same!("zones/list", |client| client.zones().list()).into_iter().map(|zone| zone.name).collect();
    assert_eq!(names, ["default", "zone-a", "zone-b"]);
    let pools = same!("pools/list", |client| client.pools().list());
    assert_eq!((pools[0].id, pools[0].name.as_str()), (PoolId(1), "ci"));
    let tags = same!("tags/list", |client| client.tags().list());
    assert!(tags.iter().any(|tag| tag.name == "gpu"));
    let domains = same!("domains/list", |client| client.domains().list());
    assert_eq!(DnsName::find("api.lab.example", &domains).unwrap().domain, "lab.example");
    let images = same!("boot-resources/list", |client| client.boot_resources().list());
    let series: BTreeSet<_> = images.iter().map(BootResource::distro_series).collect();
    assert!(series.contains("ubuntu/jammy") && series.contains("custom/lab-image"), "{series:?}");
    let filter =
        EventFilter { ids: vec![id("wt67ch")], level: Some(EventLevel::Debug), limit: Some(3), ..Default::default() };
    let events = same!("events/query-node", |client| client.events().query(&filter));
    assert!(events.iter().all(|event| event.node == id("wt67ch")));
    let filter = EventFilter { hostname: vec!["node01".into()], limit: Some(3), ..Default::default() };
    let events = same!("events/query-hostname", |client| client.events().query(&filter));
    assert!(events.iter().all(|event| event.hostname == "node01"));
}

#[tokio::test]
async fn machines_are_listed_and_read() {
    let none =
        same!("machines-list/id-unknown", |client| client.machines().list(&MachineFilter::by_ids([id("zzzzzz")])));
    assert!(none.is_empty());
    let filter = MachineFilter { hostname: vec!["node01".into()], ..Default::default() };
    let one = same!("machines-list/hostname", |client| client.machines().list(&filter));
    assert_eq!(one[0].hostname, "node01");

    let machine = same!("machine/read-deployed", |client| client.machines().read(&id("wt67ch")));
    assert_eq!(machine.system_id, id("wt67ch"));
    assert_eq!(machine.fqdn, "node01.maas");
    assert_eq!(machine.status, MachineStatus::Deployed);
    assert_eq!((machine.power_state.clone(), machine.power_type.as_str()), (PowerState::On, "ipmi"));
    assert_eq!((machine.owner.as_deref(), machine.locked, machine.netboot), (Some("admin"), false, false));
    assert_eq!((machine.osystem.as_str(), machine.distro_series.as_str()), ("ubuntu", "noble"));
    assert_eq!((machine.cpu_count, machine.memory, machine.storage), (2, 2048, 200_000.0));
    assert_eq!((machine.zone_name(), machine.pool_name()), ("default", "default"));
    assert_eq!(machine.tag_names, BTreeSet::from(["virtual".to_owned()]));
    assert_eq!(BTreeSet::from_iter(machine.ip_addresses.clone()), ips(&["10.10.0.251"]));
    assert_eq!(BTreeSet::from_iter(machine.boot_addresses()), ips(&["10.10.0.251"]));
    let boot = machine.boot_interface.as_ref().unwrap();
    assert_eq!(boot, &machine.interface_set[0]);
    assert_eq!((boot.name.as_str(), boot.links[0].mode.as_str()), ("eth0", "auto"));
    assert_eq!(boot.links[0].subnet.as_ref().unwrap().cidr, "10.10.0.0/24");
    assert_eq!(BTreeSet::from_iter(boot.discovered[0].ip_address), ips(&["10.10.0.201"]));
    let places: Vec<_> = machine
        .addresses()
        .map(|at| {
            let subnet = at.subnet.unwrap();
            let text =
                (at.interface.name.as_str(), subnet.name.as_str(), at.vlan().unwrap().fabric.as_str(), at.space());
            (at.address.to_string(), text, subnet.id, at.discovered)
        })
        .collect();
    let at = ("eth0", "lab-net", "fabric-0", "lab-space");
    let expected = [("10.10.0.251", false), ("10.10.0.201", true)];
    assert_eq!(places, expected.map(|(ip, seen)| (ip.to_owned(), at, SubnetId(1), seen)));
    assert_eq!((boot.tags.len(), boot.enabled, boot.vlan.as_ref().unwrap().id), (3, true, VlanId(5001)));

    let failed = same!("machine-status/releasing-failed", |client| client.machines().read(&id("f6mqx4")));
    assert_eq!((failed.status, failed.status_name.as_str()), (MachineStatus::FailedReleasing, "Releasing failed"));
}

#[tokio::test]
async fn the_life_of_a_machine_is_sent_as_recorded() {
    let request = AllocateRequest { system_id: vec![id("a8ay8w")], ..Default::default() };
    let machine = same!("allocate/system-id", |client| client.machines().allocate(&request));
    assert_eq!((machine.hostname.as_str(), machine.status), ("node04", MachineStatus::Allocated));
    let request = AllocateRequest { tags: vec!["gpu".into(), "ssd".into()], ..Default::default() };
    same!("allocate/tags-repeat", |client| client.machines().allocate(&request));

    let request = DeployRequest {
        distro_series: Some("jammy".into()),
        user_data: Some(b"#cloud-config\nhostname: x\n".to_vec()),
        hwe_kernel: Some("ga-22.04".into()),
        comment: Some("lab deploy".into()),
        agent_name: Some("lab-agent".into()),
        ..Default::default()
    };
    let machine = same!("deploy/user-data", |client| client.machines().deploy(&id("q7ykkc"), &request));
    assert_eq!(machine.status, MachineStatus::Deploying);

    let data = BTreeMap::from([("k3".to_owned(), "v3".to_owned()), ("k2".to_owned(), String::new())]);
    let machine = same!("ownerdata/set-merge", |client| client.machines().set_owner_data(&id("qdrp74"), &data));
    assert_eq!(
        machine.owner_data.into_iter().collect::<Vec<_>>(),
        [("k1".into(), "v1".into()), ("k3".into(), "v3".into())]
    );

    let machine = same!("power/off-soft", |client| client.machines().power_off(
        &id("wt67ch"),
        PowerOffMode::Soft,
        Some("bye".into())
    ));
    assert_eq!(machine.unwrap().system_id, id("wt67ch"));
    let state = same!("power/query-on", |client| client.machines().query_power_state(&id("wt67ch")));
    assert_eq!(state, PowerState::Off);
    let update = UpdateMachine { hostname: Some("renamed11".into()), ..Default::default() };
    let machine = same!("put/hostname", |client| client.machines().update(&id("bdwcka"), &update));
    assert_eq!(machine.hostname, "renamed11");
    let machine = same!("lock/unlock", |client| client.machines().unlock(&id("h6er4p"), Some("free".into())));
    assert!(!machine.locked);
    let release = ReleaseRequest { comment: Some("done".into()), ..Default::default() };
    let machine = same!("release/deployed", |client| client.machines().release(&id("wt67ch"), &release));
    assert_eq!(machine.status, MachineStatus::Releasing);
}

#[tokio::test]
async fn names_are_sent_as_recorded() {
    let first = DnsResourceId(1);
    let resource = same!("dnsresources/read", |client| client.dns_resources().read(first));
    assert_eq!(resource.id, first);
    let wanted = ips(&["10.10.0.80", "10.10.0.81"]);
    let resource =
        same!("dnsresources/update-ips", |client| client.dns_resources().update_addresses(first, &wanted, None));
    assert_eq!(resource.addresses(), wanted);
    assert_eq!(resource.ip_addresses[0].alloc_type, Some(4));
    let none = ips(&[]);
    let resource =
        same!("dnsresources/update-ips-empty", |client| client.dns_resources().update_addresses(first, &none, None));
    assert_eq!((resource.addresses(), resource.has_dormant_rows()), (none, false));
    same!("dnsresources/delete", |client| client.dns_resources().delete(first));

    // recorded with fqdn, which MAAS splits at the first dot; the client sends name and domain
    let filter = DnsFilter::by_name(DnsName::new("www", "lab.example").unwrap());
    let found = alike!("dnsresources/list-fqdn", |client| client.dns_resources().list(&filter));
    assert_eq!((found[0].fqdn.as_str(), found[0].addresses()), ("www.lab.example", ips(&["10.10.0.50"])));
    alike!("dnsresources/list-name", |client| client.dns_resources().list(&filter));
    let new = CreateDnsResource { name: DnsName::new("noip", "lab.example").unwrap(), addresses: ips(&[]), ttl: None };
    let made = alike!("dnsresources/create-no-ip", |client| client.dns_resources().create(&new));
    assert_eq!((made.id, made.addresses()), (DnsResourceId(6), ips(&[])));
}

#[tokio::test]
async fn tags_are_made_and_given_to_machines() {
    let request = CreateTag { name: "newtag".into(), comment: Some("c".into()), ..Default::default() };
    let tag = same!("tags/create", |client| client.tags().create(&request));
    assert_eq!((tag.name.as_str(), tag.comment.as_str()), ("newtag", "c"));
    let give = TagMembers { add: vec![id("wt67ch"), id("q7ykkc")], ..Default::default() };
    let change = same!("tags/update-nodes-add", |client| client.tags().update_machines("newtag", &give));
    assert_eq!(change, TagChange { added: 2, removed: 0 });
    let take = TagMembers { add: vec![id("q7ykkc")], remove: vec![id("wt67ch")] };
    let change = same!("tags/update-nodes-remove", |client| client.tags().update_machines("newtag", &take));
    assert_eq!(change, TagChange { added: 1, removed: 1 });
}

#[tokio::test]
async fn results_of_scripts_are_read_by_set() {
    let all = same!("others/results", |client| client.results().list(&id("wt67ch"), &ResultFilter::default()));
    assert_eq!((all.len(), all[0].id, all[0].type_name.as_str()), (1, ScriptSetNumber(53), "Commissioning"));
    let set = same!("others/results-current", |client| client.results().read(
        &id("wt67ch"),
        &ScriptSetId::CurrentCommissioning,
        &ResultFilter::default()
    ));
    assert_eq!((set.results.len(), set.status, set.system_id), (13, ScriptStatus::Passed, id("wt67ch")));
    assert!(set.results.iter().all(|result| result.exit_status == Some(0) && result.output.is_empty()));
}
