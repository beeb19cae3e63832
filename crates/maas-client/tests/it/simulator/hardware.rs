//! Interfaces, block devices and partitions of machines.

use maas_client::*;

use super::Lab;

pub(super) async fn interfaces(lab: &Lab) -> Result<()> {
    let (id, nics) = (lab.machine("node04"), lab.client.interfaces());
    let boot = nics.list(&id).await?[0].id;
    let physical = |mac: &str, name: &str| CreatePhysical {
        mac_address: mac.into(),
        name: Some(name.into()),
        ..Default::default()
    };
    let second = nics.create_physical(&id, &physical("52:54:00:cc:00:01", "eth1")).await?;
    let third = nics.create_physical(&id, &physical("52:54:00:cc:00:02", "eth2")).await?;
    assert_eq!(nics.read(&id, second.id).await?.name, "eth1");
    let renamed = UpdateInterface { name: Some("ens9".into()), ..Default::default() };
    assert_eq!(nics.update(&id, second.id, &renamed).await?.name, "ens9");
    let tag = TagName { tag: "fast".into() };
    assert_eq!(nics.add_tag(&id, second.id, &tag).await?.tags, ["fast"]);
    assert_eq!(nics.remove_tag(&id, second.id, &tag).await?.tags, [""; 0]);
    let lead = DefaultGateway::default();
    nics.set_default_gateway(&id, boot, &lead).await?;

    let request = CreateBond {
        name: "bond0".into(),
        parents: vec![second.id, third.id],
        bond_mode: Some("802.3ad".into()),
        ..Default::default()
    };
    let bond = nics.create_bond(&id, &request).await?;
    assert_eq!(bond.parents, ["ens9", "eth2"]);
    let link = LinkSubnet { mode: LinkMode::Static, subnet: Some("lab-net".into()), ..Default::default() };
    let linked = nics.link_subnet(&id, bond.id, &link).await?;
    let own = linked.links[0].id;
    assert!(nics.unlink_subnet(&id, bond.id, &Unlink { link: Some(maas_client::LinkId(own)) }).await?.links.is_empty());
    let bridge = CreateBridge { name: Some("br0".into()), parent: Some(bond.id), ..Default::default() };
    let bridge = nics.create_bridge(&id, &bridge).await?;
    let fabric = lab.client.fabrics().list().await?[0].id;
    let vlan = lab.client.vlans().create(fabric, &CreateVlan { vid: 30, ..Default::default() }).await?;
    let tagged = CreateVlanInterface { vlan: Some(vlan.id), parent: Some(boot), ..Default::default() };
    assert_eq!(nics.create_vlan(&id, &tagged).await?.kind, "vlan");
    assert!(nics.disconnect(&id, bridge.id).await?.vlan.is_none());
    nics.delete(&id, bridge.id).await?;
    assert_eq!(nics.list(&id).await?.len(), 5);
    Ok(())
}

/// A further disk of 100 GB.
async fn disk(lab: &Lab, id: &SystemId, name: &str) -> Result<BlockDevice> {
    let request = CreateBlockDevice {
        name: name.into(),
        size: 100_000_000_000,
        block_size: 512,
        id_path: Some(format!("/dev/disk/by-id/{name}")),
        ..Default::default()
    };
    lab.client.block_devices().create(id, &request).await
}

pub(super) async fn block_devices(lab: &Lab) -> Result<()> {
    let (id, disks) = (lab.machine("node05"), lab.client.block_devices());
    let made = disk(lab, &id, "sdb").await?.id;
    assert_eq!(disks.list(&id).await?.len(), 2);
    let renamed = UpdateBlockDevice { name: Some("data".into()), ..Default::default() };
    assert_eq!(disks.update(&id, made, &renamed).await?.name, "data");
    let tag = TagName { tag: "ssd".into() };
    assert_eq!(disks.add_tag(&id, made, &tag).await?.tags, ["ssd"]);
    assert_eq!(disks.remove_tag(&id, made, &tag).await?.tags, [""; 0]);
    disks.format(&id, made, &Format { fstype: "xfs".into(), ..Default::default() }).await?;
    let mounted = disks.mount(&id, made, &Mount { mount_point: "/data".into(), mount_options: None }).await?;
    assert_eq!(mounted.filesystem.and_then(|fs| fs.mount_point).as_deref(), Some("/data"));
    disks.unmount(&id, made).await?;
    assert_eq!(disks.unformat(&id, made).await?.filesystem, None);
    disks.set_boot_disk(&id, made).await?;
    assert_eq!(disks.read(&id, made).await?.size, 100_000_000_000);
    disks.delete(&id, made).await
}

pub(super) async fn partitions(lab: &Lab) -> Result<()> {
    let (id, partitions) = (lab.machine("node06"), lab.client.partitions());
    let device = disk(lab, &id, "sdb").await?.id;
    let half = CreatePartition { size: Some(50_000_000_000), ..Default::default() };
    let made = partitions.create(&id, device, &half).await?.id;
    assert_eq!(partitions.list(&id, device).await?.len(), 1);
    partitions.format(&id, device, made, &Format { fstype: "ext4".into(), ..Default::default() }).await?;
    let mount = Mount { mount_point: "/srv".into(), mount_options: Some("noatime".into()) };
    partitions.mount(&id, device, made, &mount).await?;
    let read = partitions.read(&id, device, made).await?;
    assert_eq!(read.filesystem.and_then(|fs| fs.mount_options).as_deref(), Some("noatime"));
    partitions.unmount(&id, device, made).await?;
    assert_eq!(partitions.unformat(&id, device, made).await?.used_for, "Unused");
    partitions.delete(&id, device, made).await
}
