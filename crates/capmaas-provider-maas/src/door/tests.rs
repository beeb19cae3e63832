use std::sync::Arc;

use capi_types::MaasMachine;
use capi_types::names::{CLAIM_ANNOTATION, MACHINE_FINALIZER};
use capmaas_reconcile::host::HostPhase;
use capmaas_reconcile::names::ObjectName;
use capmaas_reconcile::placement::{Constraints, Rule};
use maas_client::{
    DnsAddress, DnsResource, DnsResourceId, MachineStatus, MockDnsResources, MockMachines, operation as op,
};

use super::*;
use crate::region::Services;
use crate::region::tests::{answer, machine, region, services, with_machines};

fn token() -> Token {
    Token::mint("1")
}

fn recorded() -> Recorded {
    let object: MaasMachine = serde_json::from_value(serde_json::json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasMachine",
        "metadata": {
            "namespace": "ns", "name": "m1", "resourceVersion": "5", "finalizers": [MACHINE_FINALIZER],
            "annotations": {CLAIM_ANNOTATION: "capmaas:1 ns/m1"},
        },
        "spec": {"image": "ubuntu/noble", "minCPU": 1, "minMemory": 1024},
    }))
    .unwrap();
    Recorded::read_back(&object).unwrap()
}

fn order() -> ClaimOrder {
    let constraints = Constraints::from_iter([Rule::FailureDomain("az1".into()), Rule::Cpu(2), Rule::Memory(2048)]);
    ClaimOrder { token: token(), host: "abc".parse().unwrap(), constraints }
}

fn held(status: MachineStatus) -> Machine {
    let mut machine = machine("abc", status, Some("us"));
    machine.owner_data.insert(TOKEN_KEY.into(), token().to_string());
    machine
}

fn proof() -> Proof {
    Proof::from_marks(&crate::host_view(&held(MachineStatus::Allocated), "us").unwrap(), &token()).unwrap()
}

fn why(fault: &Fault) -> (Option<Refusal>, String) {
    let why = match fault {
        Fault::Rejected { why, .. } => Some(*why),
        Fault::Ambiguous { .. } | Fault::Unavailable { .. } => None,
    };
    (why, fault.to_string())
}

/// W-13
#[tokio::test]
async fn a_claim_names_the_host_the_token_and_all_constraints() {
    let mut machines = MockMachines::new();
    machines.expect_allocate().times(1).returning(|request| {
        let expected = AllocateRequest {
            system_id: vec!["abc".parse().unwrap()],
            zone: vec!["az1".into()],
            cpu_count: Some(2),
            mem: Some(2048),
            agent_name: Some("capmaas:1".into()),
            comment: Some("capmaas: claimed for ns/m1".into()),
            ..Default::default()
        };
        assert_eq!(*request, expected);
        Ok(machine("abc", MachineStatus::Allocated, Some("us")))
    });
    let (proof, view) = with_machines(machines).claim(&recorded(), &order()).await.unwrap();
    assert_eq!((proof.host().as_str(), proof.token(), view.phase), ("abc", &token(), HostPhase::Claimed));
}

#[tokio::test]
async fn a_claim_answered_with_another_host_or_owner_is_ambiguous() {
    for answered in
        [machine("def", MachineStatus::Allocated, Some("us")), machine("abc", MachineStatus::Allocated, None)]
    {
        let mut machines = MockMachines::new();
        machines.expect_allocate().return_once(|_| Ok(answered));
        let fault = with_machines(machines).claim(&recorded(), &order()).await.unwrap_err();
        assert!(matches!(fault, Fault::Ambiguous { .. }), "{fault}");
    }
}

#[tokio::test]
async fn a_machine_that_was_taken_is_no_match_in_few_words() {
    let mut machines = MockMachines::new();
    let body = "No available machine matches constraints: [('agent_name', ['capmaas:1'])]";
    machines.expect_allocate().returning(move |_| Err(answer(&op::MACHINES_ALLOCATE, 409, body)));
    let fault = with_machines(machines).claim(&recorded(), &order()).await.unwrap_err();
    assert_eq!(why(&fault), (Some(Refusal::NoMatch), "machine abc was taken or does not match any more".into()));
}

/// W-04
#[tokio::test]
async fn proving_takes_marks_then_the_token_query_then_takeover() {
    use MachineStatus::{Allocated, Deployed, Ready, Releasing};
    let bare = |status| machine("abc", status, Some("us"));
    // (what is read, does the token query hit, takeover, verdict)
    for (seen, hit, takeover, ours) in [
        (held(Deployed), None, None, true),
        (bare(Allocated), Some(true), None, true),
        (bare(Allocated), Some(false), None, false),
        (bare(Deployed), Some(false), Some("node-abc"), true),
        (bare(Deployed), Some(false), Some("other"), false),
        (bare(Releasing), Some(false), Some("node-abc"), false),
        (machine("abc", Ready, None), None, Some("node-abc"), false),
        (machine("abc", Deployed, Some("them")), None, Some("node-abc"), false),
    ] {
        let mut machines = MockMachines::new();
        let told = format!("{seen:?} {hit:?} {takeover:?}");
        let again = seen.clone();
        machines.expect_read().times(1).return_once(move |_| Ok(seen));
        machines.expect_list().times(usize::from(hit.is_some())).returning(move |filter| {
            assert_eq!((filter.ids.len(), filter.agent_name.clone()), (1, vec!["capmaas:1".to_owned()]));
            Ok(if hit == Some(true) { vec![again.clone()] } else { vec![] })
        });
        let region = with_machines(machines);
        let verdict = region.prove(&"abc".parse().unwrap(), &token(), takeover.map(str::to_owned)).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Ours(..)), ours, "{told}: {verdict:?}");
    }
}

/// W-36
#[tokio::test]
async fn only_the_own_words_of_maas_make_a_machine_gone() {
    for (status, body, gone) in [
        (404, "No Machine matches the given query.", true),
        (404, "<html>wrong path</html>", false),
        (401, "", false),
        (502, "", false),
    ] {
        let mut machines = MockMachines::new();
        machines.expect_read().return_once(move |_| Err(answer(&op::MACHINE_READ, status, body)));
        let verdict = with_machines(machines).prove(&"abc".parse().unwrap(), &token(), None).await;
        assert_eq!(matches!(verdict, Ok(Verdict::Gone)), gone, "{status} {body}");
        assert_eq!(verdict.is_err(), !gone);
    }
}

#[tokio::test]
async fn marks_are_written_with_plain_keys_and_prove_anew() {
    let mut machines = MockMachines::new();
    machines.expect_set_owner_data().returning(|_, data| {
        let data: Vec<_> = data.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(data, ["capmaas-cluster=c1", "capmaas-machine=ns/m1", "capmaas-token=capmaas:1"]);
        Ok(held(MachineStatus::Allocated))
    });
    let marks = Marks { machine: ObjectName::new("ns", "m1"), cluster: "c1".into() };
    let (proof, view) = with_machines(machines).mark(proof(), &marks).await.unwrap();
    assert_eq!((proof.token(), view.is_marked(&token())), (&token(), true));
}

fn deploy_order(image: &str) -> DeployOrder {
    DeployOrder { image: image.into(), in_memory: true, comment: "hello".into() }
}

#[tokio::test]
async fn a_deployment_carries_image_data_and_token() {
    for image in ["ubuntu/noble", "custom/k8s", "lab-image"] {
        let mut machines = MockMachines::new();
        machines.expect_deploy().returning(move |_, request| {
            let expected = DeployRequest {
                distro_series: Some(image.into()),
                user_data: Some(b"#cloud-config".to_vec()),
                ephemeral_deploy: true,
                agent_name: Some("capmaas:1".into()),
                comment: Some("hello".into()),
                ..Default::default()
            };
            assert_eq!(*request, expected);
            Ok(held(MachineStatus::Deploying))
        });
        let view = with_machines(machines).deploy(proof(), &deploy_order(image), b"#cloud-config").await.unwrap();
        assert_eq!(view.phase, HostPhase::Deploying);
    }
}

#[tokio::test]
async fn an_unknown_image_is_named_with_what_there_is() {
    let mut machines = MockMachines::new();
    let body = r#"{"distro_series": ["'nope' is not a valid distro_series.  It should be one of: '', 'custom/lab-image', 'ubuntu/noble'."]}"#;
    machines.expect_deploy().returning(move |_, _| Err(answer(&op::MACHINE_DEPLOY, 400, body)));
    machines
        .expect_read()
        .returning(|_| Ok(Machine { architecture: "amd64/generic".into(), ..held(MachineStatus::Allocated) }));
    let fault = with_machines(machines).deploy(proof(), &deploy_order("nope"), b"").await.unwrap_err();
    let text = "spec.image nope: MAAS has no such image for amd64; import or upload it in MAAS, or name another one. \
                It has: custom/lab-image, ubuntu/noble";
    assert_eq!(why(&fault), (Some(Refusal::Invalid), text.into()));
}

#[tokio::test]
async fn of_many_images_the_nearest_are_named_also_where_maas_names_none() {
    let names =
        ["jammy", "noble", "focal", "bionic", "xenial", "custom/k8s-1.33", "custom/k8s-1.34", "centos/9-stream"];
    let listed = names.map(|name| format!("'{name}'")).join(", ");
    let told =
        format!(r#"{{"distro_series": ["'k8s-1.35' is not a valid distro_series.  It should be one of: {listed}."]}}"#);
    for (body, wanted) in
        [(told, "k8s-1.35"), ("Unable to find an image for this architecture".to_owned(), "custom/k8s-1.35")]
    {
        let mut machines = MockMachines::new();
        machines.expect_deploy().returning(move |_, _| Err(answer(&op::MACHINE_DEPLOY, 400, &body)));
        machines
            .expect_read()
            .returning(|_| Ok(Machine { architecture: "amd64/generic".into(), ..held(MachineStatus::Allocated) }));
        let mut images = maas_client::MockBootResources::new();
        images.expect_list().returning(move || {
            let image = |name: &str, architecture: &str| maas_client::BootResource {
                name: name.to_owned(),
                architecture: architecture.to_owned(),
                ..Default::default()
            };
            let mut all: Vec<_> = names.iter().map(|name| image(name, "amd64")).collect();
            all.extend([image("custom/k8s-1.35", "arm64"), image("grub-efi/uefi", "amd64")]);
            Ok(all)
        });
        let region = region(Services { machines: Arc::new(machines), boot_resources: Arc::new(images), ..services() });
        let (refusal, text) = why(&region.deploy(proof(), &deploy_order(wanted), b"").await.unwrap_err());
        assert_eq!(refusal, Some(Refusal::Invalid));
        assert!(text.contains("Nearest of its 8: custom/k8s-1.33, custom/k8s-1.34,"), "{text}");
        assert!(text.starts_with(&format!("spec.image {wanted}: ")), "{text}");
    }
}

#[tokio::test]
async fn swap_is_set_off_and_without_the_right_the_field_and_the_other_way_are_named() {
    let mut machines = MockMachines::new();
    machines.expect_update().times(1).returning(|_, request| {
        assert_eq!(request.swap_size, Some(0));
        Ok(Machine { swap_size: Some(0), ..held(MachineStatus::Allocated) })
    });
    machines.expect_update().returning(|_, _| Err(answer(&op::MACHINE_UPDATE, 403, "")));
    machines.expect_read().returning(|_| Ok(held(MachineStatus::Allocated)));
    let region = with_machines(machines);
    assert!(region.swap_off(proof()).await.unwrap().1.swap_off);
    let (refusal, text) = why(&region.swap_off(proof()).await.unwrap_err());
    assert_eq!(refusal, Some(Refusal::Permission));
    for words in ["spec.swap Off", "administrator rights", "swapoff -a"] {
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn an_empty_403_is_told_apart_by_a_look_at_the_machine() {
    let locked = Machine { locked: true, ..held(MachineStatus::Deployed) };
    for (seen, expected) in [
        (locked, Refusal::Locked),
        (machine("abc", MachineStatus::Deployed, Some("them")), Refusal::NotOurs),
        (held(MachineStatus::Deployed), Refusal::Permission),
    ] {
        let mut machines = MockMachines::new();
        machines.expect_release().returning(|_, _| Err(answer(&op::MACHINE_RELEASE, 403, "")));
        machines.expect_read().return_once(|_| Ok(seen));
        let fault = with_machines(machines)
            .release(proof(), &ReleaseOrder { erase: Erase::MaasDefault, comment: "bye".into() })
            .await
            .unwrap_err();
        assert_eq!(why(&fault).0, Some(expected), "{fault}");
    }
}

#[tokio::test]
async fn a_release_may_still_be_on_its_way_and_a_5xx_leaves_it_open() {
    let mut machines = MockMachines::new();
    machines.expect_release().times(1).returning(|_, request| {
        assert_eq!(request.comment.as_deref(), Some("bye"));
        Ok(held(MachineStatus::Releasing))
    });
    machines.expect_release().returning(|_, _| Err(answer(&op::MACHINE_RELEASE, 503, "BMC is silent")));
    let (region, order) = (with_machines(machines), ReleaseOrder { erase: Erase::MaasDefault, comment: "bye".into() });
    assert_eq!(region.release(proof(), &order).await.unwrap().phase, HostPhase::Releasing);
    assert!(matches!(region.release(proof(), &order).await, Err(Fault::Ambiguous { .. })));
}

fn with_dns(dns: MockDnsResources) -> MaasRegion {
    region(Services { dns_resources: Arc::new(dns), ..services() })
}

fn name() -> DnsName {
    DnsName { label: "api".into(), domain: "maas".into() }
}

#[tokio::test]
async fn a_name_is_published_and_unpublished() {
    let resource = |ip: &str| DnsResource {
        id: DnsResourceId(3),
        fqdn: "api.maas".into(),
        address_ttl: Some(30),
        ip_addresses: vec![DnsAddress { ip: ip.parse().ok(), ..Default::default() }],
        ..Default::default()
    };
    let mut dns = MockDnsResources::new();
    dns.expect_list().times(1).returning(|_| Ok(vec![]));
    dns.expect_create().times(1).returning(move |_| Ok(resource("10.0.0.1")));
    dns.expect_list().times(1).returning(move |_| Ok(vec![resource("10.0.0.1")]));
    dns.expect_update_addresses().times(1).returning(|_, _, _| Ok(DnsResource::default()));
    dns.expect_delete().times(1).returning(|_| Ok(()));
    let region = with_dns(dns);
    let addresses = BTreeSet::from(["10.0.0.1".parse().unwrap()]);
    let order = PublishOrder { name: name(), addresses: addresses.clone(), ttl: 30 };
    assert_eq!(region.publish(&order).await.unwrap(), addresses);
    region.unpublish(&name()).await.unwrap();
}

#[tokio::test]
async fn dns_refusals_name_the_field_or_the_right_that_is_missing() {
    for (list, create, expected, said) in [
        (Some("No Domain matches the given query."), 200, Some(Refusal::Invalid), "spec.dnsDomain maas"),
        (None, 403, Some(Refusal::Permission), "administrator rights"),
        (None, 500, None, "api.maas"),
    ] {
        let mut dns = MockDnsResources::new();
        dns.expect_list().returning(move |_| match list {
            Some(body) => Err(answer(&op::DNS_LIST, 404, body)),
            None => Ok(vec![]),
        });
        dns.expect_create().returning(move |_| Err(answer(&op::DNS_CREATE, create, "")));
        let order = PublishOrder { name: name(), addresses: BTreeSet::new(), ttl: 30 };
        let fault = with_dns(dns).publish(&order).await.unwrap_err();
        assert_eq!(why(&fault).0, expected, "{fault}");
        assert!(fault.to_string().contains(said), "{fault}");
    }
}

#[tokio::test]
async fn how_disks_are_erased_is_said_with_the_flags_that_maas_takes() {
    for (erase, flags) in [
        (Erase::MaasDefault, (false, false, false)),
        (Erase::Full, (true, false, false)),
        (Erase::Quick, (true, false, true)),
        (Erase::Secure, (true, true, false)),
        (Erase::SecureOrQuick, (true, true, true)),
    ] {
        let mut machines = MockMachines::new();
        machines.expect_release().returning(move |_, request| {
            assert_eq!((request.erase, request.secure_erase, request.quick_erase), flags, "{erase:?}");
            Ok(machine("abc123", MachineStatus::Releasing, Some("us")))
        });
        let order = ReleaseOrder { erase, comment: "bye".into() };
        with_machines(machines).release(proof(), &order).await.unwrap();
    }
}

#[tokio::test]
async fn a_tag_that_maas_does_not_have_is_made_and_without_the_right_that_is_said() {
    let order = QuarantineOrder::Tag { tag: "sick".into(), comment: "why".into() };
    let made = |may: bool| {
        let mut tags = maas_client::MockTags::new();
        let missing = || answer(&op::TAG_UPDATE_NODES, 404, "Not Found");
        let mut first = true;
        tags.expect_update_machines().returning(move |name, change| {
            assert_eq!((name, change.add.len()), ("sick", 1));
            if std::mem::take(&mut first) { Err(missing()) } else { Ok(Default::default()) }
        });
        tags.expect_create().returning(move |request| {
            assert_eq!((request.name.as_str(), request.comment.as_deref()), ("sick", Some("why")));
            if may { Ok(Default::default()) } else { Err(answer(&op::TAGS_CREATE, 403, "")) }
        });
        let mut machines = MockMachines::new();
        machines.expect_read().returning(|_| Ok(machine("abc123", MachineStatus::FailedDeployment, Some("us"))));
        region(Services { tags: Arc::new(tags), machines: Arc::new(machines), ..services() })
    };
    assert!(made(true).quarantine(proof(), &order).await.is_ok());
    let refused = made(false).quarantine(proof(), &order).await.unwrap_err();
    assert!(
        matches!(&refused, Fault::Rejected { why: Refusal::Permission, message } if message.contains("administrator rights")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn power_that_maas_cannot_switch_is_a_refusal_and_no_success() {
    let mut machines = MockMachines::new();
    machines.expect_power_on().returning(|_, _| Ok(None));
    machines.expect_power_off().returning(|_, mode, _| {
        assert_eq!(mode, maas_client::PowerOffMode::Hard, "a hung system hears no request to shut down");
        Ok(None)
    });
    let region = with_machines(machines);
    for (refused, what) in
        [(region.power_on(proof(), "why").await, "machine on"), (region.power_off(proof(), "why").await, "machine off")]
    {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Fault::Rejected { why: Refusal::WrongState, .. }), "{refused:?}");
        assert!(refused.to_string().contains(what), "{refused}");
    }
}
