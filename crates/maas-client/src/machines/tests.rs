use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};

use super::*;
use crate::{ErrorKind, MachineStatus};

type Seen = Arc<Mutex<Vec<String>>>;

/// A MAAS that answers everything alike and remembers queries and bodies.
fn maas(answer: &'static str) -> (Client, Seen) {
    let seen = Seen::default();
    let notes = seen.clone();
    let service = tower::service_fn(move |request: http::Request<Full<Bytes>>| {
        let notes = notes.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
            let query = head.uri.query().unwrap_or_default();
            notes.lock().unwrap().push(format!("{query} {}", std::str::from_utf8(&body).unwrap()));
            http::Response::builder().body(Full::new(Bytes::from(answer)))
        }
    });
    let builder = Client::builder("http://maas:5240", "a:b:c").unwrap();
    (builder.build_with_service(service), seen)
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn id(text: &str) -> SystemId {
    text.parse().unwrap()
}

#[tokio::test]
async fn filters_repeat_their_key_and_empty_ones_are_not_sent() {
    let (client, seen) = maas("[]");
    let filter = MachineFilter {
        ids: vec![id("aaaaaa"), id("bbbbbb")],
        owner: strings(&["capmaas"]),
        agent_name: strings(&["capmaas:1/2"]),
        status: vec![MachineStatus::Ready, MachineStatus::FailedReleasing],
        power_state: vec![PowerState::Off],
        zone: strings(&["zone a"]),
        not_in_pool: strings(&["default"]),
        tags: strings(&["gpu", "ssd"]),
        arch: strings(&["amd64/generic"]),
        cpu_count: Some(4),
        mem: Some(8192),
        ..Default::default()
    };
    client.machines().list(&filter).await.unwrap();
    client.machines().list(&MachineFilter::default()).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "id=aaaaaa&id=bbbbbb&owner=capmaas&agent_name=capmaas%3A1%2F2&status=ready\
             &status=failed_releasing&power_state=off&zone=zone%20a&not_in_pool=default&tags=gpu&tags=ssd\
             &arch=amd64%2Fgeneric&cpu_count=4&mem=8192 ",
            " ",
        ]
    );
}

#[tokio::test]
async fn a_status_without_filter_word_is_refused_instead_of_listing_everything() {
    let (client, seen) = maas("[]");
    let filter = MachineFilter { status: vec![MachineStatus::Unknown(99)], ..Default::default() };
    let error = client.machines().list(&filter).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn more_ids_than_a_url_holds_are_fetched_in_parts() {
    let (client, seen) = maas(r#"[{"system_id": "aaaaaa"}]"#);
    let filter = MachineFilter::by_ids((0..1001).map(|n| id(&format!("m{n}"))));
    let machines = client.machines().list(&filter).await.unwrap();
    assert_eq!(machines.len(), 3);
    let parts: Vec<_> = seen.lock().unwrap().iter().map(|query| query.matches("id=").count()).collect();
    assert_eq!(parts, [500, 500, 1]);
}

#[tokio::test]
async fn constraints_and_options_go_into_the_form_and_booleans_only_as_true() {
    let (client, seen) = maas(r#"{"system_id": "aaaaaa"}"#);
    let machines = client.machines();
    let request = AllocateRequest {
        system_id: vec![id("aaaaaa")],
        name: Some("node01.maas".into()),
        tags: strings(&["a"]),
        not_tags: strings(&["b"]),
        zone: strings(&["z"]),
        not_in_zone: strings(&["y"]),
        pool: strings(&["p"]),
        not_in_pool: strings(&["q"]),
        arch: strings(&["amd64"]),
        cpu_count: Some(2),
        mem: Some(2048),
        storage: Some("root:10(ssd)".into()),
        interfaces: Some("eth:fabric=f".into()),
        devices: Some("vendor_id=10de".into()),
        subnets: strings(&["s"]),
        not_subnets: strings(&["t"]),
        fabrics: strings(&["f"]),
        not_fabrics: strings(&["g"]),
        power_state: vec![PowerState::Off],
        not_pod_type: strings(&["lxd", "virsh"]),
        agent_name: Some("t".into()),
        comment: Some("c".into()),
        bridge_all: true,
        dry_run: true,
    };
    machines.allocate(&request).await.unwrap();
    machines.allocate(&AllocateRequest::default()).await.unwrap();
    let wipe = ReleaseRequest { erase: true, quick_erase: true, ..Default::default() };
    machines.release(&id("aaaaaa"), &wipe).await.unwrap();
    let deploy = DeployRequest { ephemeral_deploy: true, user_data: Some(b"x".to_vec()), ..Default::default() };
    machines.deploy(&id("aaaaaa"), &deploy).await.unwrap();
    machines.power_off(&id("aaaaaa"), PowerOffMode::Hard, None).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "op=allocate system_id=aaaaaa&name=node01.maas&tags=a&not_tags=b&zone=z&not_in_zone=y&pool=p\
             &not_in_pool=q&arch=amd64&cpu_count=2&mem=2048&storage=root%3A10%28ssd%29\
             &interfaces=eth%3Afabric%3Df&devices=vendor_id%3D10de&subnets=s&not_subnets=t&fabrics=f&not_fabrics=g&power_state=off\
             &not_pod_type=lxd&not_pod_type=virsh&agent_name=t&comment=c&bridge_all=true&dry_run=true",
            "op=allocate ",
            "op=release erase=true&quick_erase=true",
            "op=deploy ephemeral_deploy=true&user_data=eA%3D%3D",
            "op=power_off ",
        ]
    );
}

#[tokio::test]
async fn a_power_call_without_power_action_answers_null() {
    let (client, _) = maas("null");
    assert_eq!(client.machines().power_on(&id("aaaaaa"), None).await.unwrap(), None);
}

#[test]
fn user_data_does_not_show_in_debug() {
    let request = DeployRequest { user_data: Some(b"join-token".to_vec()), ..Default::default() };
    assert!(!format!("{request:?}").contains("join-token"));
    assert!(format!("{request:?}").contains("10 bytes"));
}

#[tokio::test]
async fn the_mock_stands_in_for_the_client() {
    let mut mock = MockMachines::new();
    mock.expect_read().returning(|system_id| Ok(Machine { system_id: system_id.clone(), ..Default::default() }));
    let machines: Arc<dyn Machines> = Arc::new(mock);
    assert_eq!(machines.read(&id("aaaaaa")).await.unwrap().system_id, id("aaaaaa"));
}
