//! Machines: their life, their care, what scripts say of them.

use std::collections::BTreeMap;

use maas_client::*;

use super::Lab;

pub(super) async fn life(lab: &Lab) -> Result<()> {
    let machines = lab.client.machines();
    let id = lab.machine("node01");
    let wanted = AllocateRequest { system_id: vec![id.clone()], agent_name: Some("me".into()), ..Default::default() };
    assert_eq!(machines.allocate(&wanted).await?.status, MachineStatus::Allocated);
    let mine = machines.list(&MachineFilter::by_agent_name("me")).await?;
    assert_eq!(mine.iter().map(|machine| &machine.system_id).collect::<Vec<_>>(), [&id]);
    let marked = machines.set_owner_data(&id, &BTreeMap::from([("k".into(), "v".into())])).await?;
    assert_eq!(marked.owner_data.get("k").map(String::as_str), Some("v"));
    let described = UpdateMachine { description: Some("mine".into()), ..Default::default() };
    assert_eq!(machines.update(&id, &described).await?.description, "mine");
    machines.deploy(&id, &DeployRequest::default()).await?;
    machines.abort(&id, None).await?;
    lab.later();
    assert_eq!(machines.read(&id).await?.status, MachineStatus::Allocated);
    let deploy = DeployRequest { user_data: Some(b"#cloud-config\n".to_vec()), ..Default::default() };
    assert_eq!(machines.deploy(&id, &deploy).await?.status, MachineStatus::Deploying);
    assert!(lab.client.maintenance().curtin_config(&id).await?.contains("sources"));
    lab.later();
    assert_eq!(machines.read(&id).await?.status, MachineStatus::Deployed);
    assert!(machines.lock(&id, None).await?.locked);
    assert!(!machines.unlock(&id, None).await?.locked);
    machines.power_off(&id, PowerOffMode::Soft, None).await?;
    lab.later();
    assert_eq!(machines.query_power_state(&id).await?, PowerState::Off);
    machines.power_on(&id, None).await?;
    lab.later();
    assert_eq!(machines.query_power_state(&id).await?, PowerState::On);
    machines.mark_broken(&id, Some("smells".into())).await?;
    assert_eq!(machines.read(&id).await?.status, MachineStatus::Broken);
    machines.mark_fixed(&id, None).await?;

    let next = machines.allocate(&AllocateRequest::default()).await?.system_id;
    machines.release(&next, &ReleaseRequest::default()).await?;
    lab.later();
    assert_eq!(machines.read(&next).await?.status, MachineStatus::Ready);
    Ok(())
}

pub(super) async fn maintenance(lab: &Lab) -> Result<()> {
    let (care, machines) = (lab.client.maintenance(), lab.client.machines());
    let status = async |id: &SystemId| machines.read(id).await.map(|machine| machine.status);
    let entered = CreateMachine {
        architecture: "amd64".into(),
        mac_addresses: vec!["52:54:00:aa:00:01".into()],
        power_type: Some("manual".into()),
        commission: Some(false),
        ..Default::default()
    };
    let new = care.create(&entered).await?.system_id;
    assert_eq!(care.accept(&Members { machines: vec![new.clone()] }).await?.len(), 1);
    lab.later();
    assert_eq!(status(&new).await?, MachineStatus::Ready);
    assert!(care.accept_all().await?.is_empty(), "none is new");
    care.delete(&new, &DeleteMachine::default()).await?;

    let id = lab.machine("node02");
    assert_eq!(care.commission(&id, &Commission::default()).await?.status, MachineStatus::Commissioning);
    lab.later();
    lab.region.with(|region, now| region.fail_tests(now, "node02", Some(1))).unwrap();
    care.test(&id, &TestHardware::default()).await?;
    lab.later();
    assert_eq!(status(&id).await?, MachineStatus::FailedTesting);
    let overridden = care.override_failed_testing(&id, &Note { comment: Some("it is fine".into()) }).await?;
    assert_eq!(overridden.status, MachineStatus::Ready);
    care.rescue_mode(&id).await?;
    lab.later();
    assert_eq!(status(&id).await?, MachineStatus::RescueMode);
    care.exit_rescue_mode(&id).await?;
    lab.later();
    assert_eq!(status(&id).await?, MachineStatus::Ready);

    care.set_storage_layout(&id, &StorageLayout { layout: Layout::Lvm, ..Default::default() }).await?;
    let disks = lab.client.block_devices().list(&id).await?;
    assert_eq!(disks.iter().map(|disk| disk.kind.as_str()).collect::<Vec<_>>(), ["physical", "virtual"]);
    let tmpfs = MountSpecial { fstype: "tmpfs".into(), mount_point: "/fast".into(), mount_options: None };
    care.mount_special(&id, &tmpfs).await?;
    care.unmount_special(&id, &UnmountSpecial { mount_point: "/fast".into() }).await?;
    let other = lab.machine("node03");
    let clone =
        CloneMachines { source: id.clone(), destinations: vec![other.clone()], interfaces: true, storage: true };
    care.clone_configuration(&clone).await?;
    assert_eq!(lab.client.block_devices().list(&other).await?.len(), 2);
    care.clear_default_gateways(&id).await?;
    care.restore_storage(&id).await?;
    care.restore_networking(&id).await?;
    care.restore_default(&other).await?;
    assert_eq!(lab.client.block_devices().list(&other).await?.len(), 1);
    assert!(care.power_parameters(&id).await?.0.contains_key("power_address"));

    lab.client.zones().create(&CreatePlace { name: "far".into(), description: None }).await?;
    care.set_zone(&SetZone { zone: "far".into(), nodes: vec![id.clone()] }).await?;
    assert_eq!(machines.read(&id).await?.zone.map(|zone| zone.name).as_deref(), Some("far"));
    machines.allocate(&AllocateRequest { system_id: vec![id.clone()], ..Default::default() }).await?;
    assert_eq!(care.list_allocated(&Members { machines: vec![id.clone()] }).await?.len(), 1);
    let released = care.release_all(&ReleaseMany { machines: vec![id.clone()], comment: None }).await?;
    assert_eq!(released, [id]);
    Ok(())
}

pub(super) async fn results(lab: &Lab) -> Result<()> {
    let (id, results) = (lab.machine("node01"), lab.client.results());
    let sets = results.list(&id, &ResultFilter::default()).await?;
    let log = ResultFilter { include_output: true, ..Default::default() };
    let installed = results.read(&id, &ScriptSetId::CurrentInstallation, &log).await?;
    assert!(installed.results.iter().any(|result| !result.output.is_empty()));
    results.delete(&id, &ScriptSetId::Number(installed.id)).await?;
    assert_eq!(results.list(&id, &ResultFilter::default()).await?.len(), sets.len() - 1);
    Ok(())
}

pub(super) async fn scripts(lab: &Lab) -> Result<()> {
    let scripts = lab.client.scripts();
    let request = CreateScript { name: "mine".into(), script_type: Some("testing".into()), ..Default::default() };
    assert_eq!(scripts.create(&request, "#!/bin/sh\n").await?.type_name, "Testing script");
    assert_eq!(scripts.add_tag("mine", "quick").await?.tags, ["quick"]);
    let quick = ScriptFilter { filters: Some("quick".into()), ..Default::default() };
    assert_eq!(scripts.list(&quick).await?.len(), 1);
    assert_eq!(scripts.remove_tag("mine", "quick").await?.tags, [""; 0]);
    assert_eq!(scripts.read("mine").await?.name, "mine");
    assert_eq!(scripts.download("mine").await?, "#!/bin/sh\n");
    scripts.delete("mine").await
}

pub(super) async fn devices(lab: &Lab) -> Result<()> {
    let devices = lab.client.devices();
    let request = CreateDevice { mac_addresses: vec!["52:54:00:bb:00:01".into()], ..Default::default() };
    let id = devices.create(&request).await?.system_id;
    assert_eq!(devices.list().await?.len(), 1);
    assert_eq!(devices.read(&id).await?.interface_set.len(), 1);
    devices.delete(&id).await
}
