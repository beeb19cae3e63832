//! Parts of a machine: network interfaces, block devices, partitions (fact sheet §2.4, §2.10).
//!
//! Writes are for administrators and only in states New, Ready, Failed testing, Allocated or Broken;
//! otherwise they are [`crate::Conflict::WrongState`].

use std::net::IpAddr;

use crate::define::{reply, request, service, words};
use crate::ids::{BlockDeviceId, InterfaceId, LinkId, PartitionId, SubnetKey, SystemId, VlanId};
use crate::machine::Interface;

service! {
    /// Network interfaces: `nodes/{system_id}/interfaces/`. With feature `mock` there is `MockInterfaces`.
    Interfaces by InterfacesClient;

    /// `GET nodes/{system_id}/interfaces/`.
    fn list(&system_id: SystemId) -> Vec<Interface> = INTERFACES_LIST [system_id];

    /// `GET nodes/{system_id}/interfaces/{id}/`.
    fn read(&system_id: SystemId, id: InterfaceId) -> Interface = INTERFACE_READ [system_id, id];

    /// `POST …/interfaces/?op=create_physical`.
    fn create_physical(&system_id: SystemId, &request: CreatePhysical) -> Interface
        = INTERFACES_CREATE_PHYSICAL [system_id], request.form();

    /// `POST …/interfaces/?op=create_bond`.
    fn create_bond(&system_id: SystemId, &request: CreateBond) -> Interface
        = INTERFACES_CREATE_BOND [system_id], request.form();

    /// `POST …/interfaces/?op=create_bridge`: the links of the parent move to the bridge, which stays when
    /// the machine is released.
    fn create_bridge(&system_id: SystemId, &request: CreateBridge) -> Interface
        = INTERFACES_CREATE_BRIDGE [system_id], request.form();

    /// `POST …/interfaces/?op=create_vlan`.
    fn create_vlan(&system_id: SystemId, &request: CreateVlanInterface) -> Interface
        = INTERFACES_CREATE_VLAN [system_id], request.form();

    /// `PUT …/interfaces/{id}/`: what is left out stays. On a deployed machine name and hardware address only.
    fn update(&system_id: SystemId, id: InterfaceId, &request: UpdateInterface) -> Interface
        = INTERFACE_UPDATE [system_id, id], request.form();

    /// `DELETE …/interfaces/{id}/`.
    fn delete(&system_id: SystemId, id: InterfaceId) -> () = INTERFACE_DELETE [system_id, id];

    /// `POST …/interfaces/{id}/?op=link_subnet`. A taken address is [`crate::Conflict::Taken`].
    fn link_subnet(&system_id: SystemId, id: InterfaceId, &request: LinkSubnet) -> Interface
        = INTERFACE_LINK_SUBNET [system_id, id], request.form();

    /// `POST …/interfaces/{id}/?op=unlink_subnet`.
    fn unlink_subnet(&system_id: SystemId, id: InterfaceId, &request: Unlink) -> Interface
        = INTERFACE_UNLINK_SUBNET [system_id, id], request.form();

    /// `POST …/interfaces/{id}/?op=disconnect`: drops links and VLAN.
    fn disconnect(&system_id: SystemId, id: InterfaceId) -> Interface = INTERFACE_DISCONNECT [system_id, id];

    /// `POST …/interfaces/{id}/?op=set_default_gateway`.
    fn set_default_gateway(&system_id: SystemId, id: InterfaceId, &request: DefaultGateway) -> Interface
        = INTERFACE_SET_DEFAULT_GATEWAY [system_id, id], request.form();

    /// `POST …/interfaces/{id}/?op=add_tag`.
    fn add_tag(&system_id: SystemId, id: InterfaceId, &tag: TagName) -> Interface
        = INTERFACE_ADD_TAG [system_id, id], tag.form();

    /// `POST …/interfaces/{id}/?op=remove_tag`.
    fn remove_tag(&system_id: SystemId, id: InterfaceId, &tag: TagName) -> Interface
        = INTERFACE_REMOVE_TAG [system_id, id], tag.form();
}

service! {
    /// Block devices: `nodes/{system_id}/blockdevices/`. With feature `mock` there is `MockBlockDevices`.
    BlockDevices by BlockDevicesClient;

    /// `GET nodes/{system_id}/blockdevices/`.
    fn list(&system_id: SystemId) -> Vec<BlockDevice> = BLOCK_DEVICES_LIST [system_id];

    /// `GET …/blockdevices/{id}/`.
    fn read(&system_id: SystemId, id: BlockDeviceId) -> BlockDevice = BLOCK_DEVICE_READ [system_id, id];

    /// `POST …/blockdevices/`: a physical device MAAS did not find.
    fn create(&system_id: SystemId, &request: CreateBlockDevice) -> BlockDevice
        = BLOCK_DEVICES_CREATE [system_id], request.form();

    /// `PUT …/blockdevices/{id}/`: what is left out stays.
    fn update(&system_id: SystemId, id: BlockDeviceId, &request: UpdateBlockDevice) -> BlockDevice
        = BLOCK_DEVICE_UPDATE [system_id, id], request.form();

    /// `DELETE …/blockdevices/{id}/`.
    fn delete(&system_id: SystemId, id: BlockDeviceId) -> () = BLOCK_DEVICE_DELETE [system_id, id];

    /// `POST …/blockdevices/{id}/?op=set_boot_disk`; answers nothing of interest.
    fn set_boot_disk(&system_id: SystemId, id: BlockDeviceId) -> () = BLOCK_DEVICE_SET_BOOT_DISK [system_id, id];

    /// `POST …/blockdevices/{id}/?op=format`.
    fn format(&system_id: SystemId, id: BlockDeviceId, &request: Format) -> BlockDevice
        = BLOCK_DEVICE_FORMAT [system_id, id], request.form();

    /// `POST …/blockdevices/{id}/?op=unformat`.
    fn unformat(&system_id: SystemId, id: BlockDeviceId) -> BlockDevice = BLOCK_DEVICE_UNFORMAT [system_id, id];

    /// `POST …/blockdevices/{id}/?op=mount`.
    fn mount(&system_id: SystemId, id: BlockDeviceId, &request: Mount) -> BlockDevice
        = BLOCK_DEVICE_MOUNT [system_id, id], request.form();

    /// `POST …/blockdevices/{id}/?op=unmount`.
    fn unmount(&system_id: SystemId, id: BlockDeviceId) -> BlockDevice = BLOCK_DEVICE_UNMOUNT [system_id, id];

    /// `POST …/blockdevices/{id}/?op=add_tag`.
    fn add_tag(&system_id: SystemId, id: BlockDeviceId, &tag: TagName) -> BlockDevice
        = BLOCK_DEVICE_ADD_TAG [system_id, id], tag.form();

    /// `POST …/blockdevices/{id}/?op=remove_tag`.
    fn remove_tag(&system_id: SystemId, id: BlockDeviceId, &tag: TagName) -> BlockDevice
        = BLOCK_DEVICE_REMOVE_TAG [system_id, id], tag.form();
}

service! {
    /// Partitions: `nodes/{system_id}/blockdevices/{device}/partitions/`. With feature `mock` there is
    /// `MockPartitions`.
    Partitions by PartitionsClient;

    /// `GET …/partitions/`.
    fn list(&system_id: SystemId, device: BlockDeviceId) -> Vec<Partition> = PARTITIONS_LIST [system_id, device];

    /// `GET …/partition/{id}`.
    fn read(&system_id: SystemId, device: BlockDeviceId, id: PartitionId) -> Partition
        = PARTITION_READ [system_id, device, id];

    /// `POST …/partitions/`.
    fn create(&system_id: SystemId, device: BlockDeviceId, &request: CreatePartition) -> Partition
        = PARTITIONS_CREATE [system_id, device], request.form();

    /// `DELETE …/partition/{id}`.
    fn delete(&system_id: SystemId, device: BlockDeviceId, id: PartitionId) -> ()
        = PARTITION_DELETE [system_id, device, id];

    /// `POST …/partition/{id}?op=format`.
    fn format(&system_id: SystemId, device: BlockDeviceId, id: PartitionId, &request: Format) -> Partition
        = PARTITION_FORMAT [system_id, device, id], request.form();

    /// `POST …/partition/{id}?op=unformat`.
    fn unformat(&system_id: SystemId, device: BlockDeviceId, id: PartitionId) -> Partition
        = PARTITION_UNFORMAT [system_id, device, id];

    /// `POST …/partition/{id}?op=mount`.
    fn mount(&system_id: SystemId, device: BlockDeviceId, id: PartitionId, &request: Mount) -> Partition
        = PARTITION_MOUNT [system_id, device, id], request.form();

    /// `POST …/partition/{id}?op=unmount`.
    fn unmount(&system_id: SystemId, device: BlockDeviceId, id: PartitionId) -> Partition
        = PARTITION_UNMOUNT [system_id, device, id];
}

words! {
    /// How an interface gets its address on a subnet.
    LinkMode {
        /// MAAS chooses one at each deployment.
        Auto = "auto",
        /// From DHCP.
        Dhcp = "dhcp",
        /// A fixed one.
        Static = "static",
        /// None; the link is only up.
        LinkUp = "link_up",
    }
}

reply! {
    /// A disk, or what stands for one.
    BlockDevice {
        /// Number.
        id: BlockDeviceId,
        /// Machine it is in.
        system_id: SystemId,
        /// Name, e.g. `sda`.
        name: String,
        /// Path on the machine.
        path: String,
        /// `physical` or `virtual`; `type` on the wire.
        #[serde(rename = "type")]
        kind: String,
        /// Maker's name.
        model: Option<String>,
        /// Serial number.
        serial: Option<String>,
        /// Path that stays the same.
        id_path: Option<String>,
        /// Bytes.
        size: u64,
        /// Bytes.
        block_size: u64,
        /// Bytes in no partition.
        available_size: u64,
        /// Bytes in partitions.
        used_size: u64,
        /// What it is used for, in words.
        used_for: String,
        /// Tags, e.g. `ssd`.
        tags: Vec<String>,
        /// `MBR` or `GPT`.
        partition_table_type: Option<String>,
        /// File system on the whole device.
        filesystem: Option<Filesystem>,
        /// Partitions.
        partitions: Vec<Partition>,
        /// NUMA node it is at.
        numa_node: Option<i64>,
    }

    /// A partition.
    Partition {
        /// Number.
        id: PartitionId,
        /// Machine it is in.
        system_id: SystemId,
        /// Block device it is on.
        device_id: BlockDeviceId,
        /// Unique name.
        uuid: Option<String>,
        /// Path on the machine.
        path: String,
        /// Bytes.
        size: u64,
        /// Marked as bootable.
        bootable: bool,
        /// What it is used for, in words.
        used_for: String,
        /// Tags.
        tags: Vec<String>,
        /// File system on it.
        filesystem: Option<Filesystem>,
    }

    /// A file system and where it is mounted.
    Filesystem {
        /// e.g. `ext4`.
        fstype: String,
        /// Label.
        label: Option<String>,
        /// Unique name.
        uuid: Option<String>,
        /// Where it is mounted.
        mount_point: Option<String>,
        /// How.
        mount_options: Option<String>,
    }
}

request! {
    /// A tag of an interface or a block device.
    TagName {
        /// Letters, digits, `_`, `-`.
        tag: String,
    }

    /// Parameters of `…/interfaces/?op=create_physical`.
    CreatePhysical {
        /// Hardware address.
        mac_address: String,
        /// Name.
        name: Option<String>,
        /// Tags, separated by commas.
        tags: Option<String>,
        /// VLAN.
        vlan: Option<VlanId>,
        /// Largest frame in bytes.
        mtu: Option<u64>,
    }

    /// Parameters of `…/interfaces/?op=create_bond`.
    CreateBond {
        /// Name.
        name: String,
        /// Interfaces to bond.
        parents: Vec<InterfaceId>,
        /// e.g. `active-backup`, `802.3ad`.
        bond_mode: Option<String>,
        /// Hardware address; that of a parent when absent.
        mac_address: Option<String>,
        /// Milliseconds between checks of the links.
        bond_miimon: Option<u64>,
        /// `slow` or `fast`.
        bond_lacp_rate: Option<String>,
        /// e.g. `layer3+4`.
        bond_xmit_hash_policy: Option<String>,
        /// VLAN.
        vlan: Option<VlanId>,
        /// Largest frame in bytes.
        mtu: Option<u64>,
    }

    /// Parameters of `…/interfaces/?op=create_bridge`.
    CreateBridge {
        /// Name.
        name: Option<String>,
        /// Interface below it.
        parent: Option<InterfaceId>,
        /// `standard` or `ovs`.
        bridge_type: Option<String>,
        /// Spanning tree protocol.
        bridge_stp: Option<bool>,
        /// Forwarding delay in seconds.
        bridge_fd: Option<u64>,
        /// VLAN.
        vlan: Option<VlanId>,
        /// Largest frame in bytes.
        mtu: Option<u64>,
    }

    /// Parameters of `…/interfaces/?op=create_vlan`.
    CreateVlanInterface {
        /// VLAN, by number in the database.
        vlan: Option<VlanId>,
        /// Interface below it.
        parent: Option<InterfaceId>,
        /// Tags, separated by commas.
        tags: Option<String>,
        /// Largest frame in bytes.
        mtu: Option<u64>,
    }

    /// Parameters of `PUT …/interfaces/{id}/`; an empty text unsets.
    UpdateInterface {
        /// Name.
        name: Option<String>,
        /// Hardware address.
        mac_address: Option<String>,
        /// Tags, separated by commas.
        tags: Option<String>,
        /// VLAN, by number in the database.
        vlan: Option<String>,
        /// Largest frame in bytes.
        mtu: Option<u64>,
        /// Whether a cable is in it.
        link_connected: Option<bool>,
    }

    /// Parameters of `…/interfaces/{id}/?op=link_subnet`.
    LinkSubnet {
        /// How.
        mode: LinkMode,
        /// Subnet; needed for [`LinkMode::Auto`] and [`LinkMode::Static`].
        subnet: Option<SubnetKey>,
        /// Address for [`LinkMode::Static`]; chosen by MAAS when absent.
        ip_address: Option<IpAddr>,
        /// Also on another VLAN; deletes the other links.
        force: bool,
        /// Makes the subnet's gateway the machine's.
        default_gateway: bool,
    }

    /// Parameters of `…/interfaces/{id}/?op=unlink_subnet`.
    Unlink {
        /// Link to drop.
        link: Option<LinkId> as "id",
    }

    /// Parameters of `…/interfaces/{id}/?op=set_default_gateway`.
    DefaultGateway {
        /// Link whose gateway it is; needed where there are several.
        link_id: Option<LinkId>,
    }

    /// Parameters of `POST …/blockdevices/`.
    CreateBlockDevice {
        /// Name.
        name: String,
        /// Bytes.
        size: u64,
        /// Bytes.
        block_size: u64,
        /// Maker's name, together with `serial`; else `id_path`.
        model: Option<String>,
        /// Serial number.
        serial: Option<String>,
        /// Path that stays the same.
        id_path: Option<String>,
    }

    /// Parameters of `PUT …/blockdevices/{id}/`.
    UpdateBlockDevice {
        /// Name.
        name: Option<String>,
        /// Maker's name.
        model: Option<String>,
        /// Serial number.
        serial: Option<String>,
        /// Path that stays the same.
        id_path: Option<String>,
        /// Bytes.
        size: Option<u64>,
        /// Bytes.
        block_size: Option<u64>,
    }

    /// Parameters of `…/partitions/`.
    CreatePartition {
        /// Bytes; all that is left when absent.
        size: Option<u64>,
        /// Unique name.
        uuid: Option<String>,
        /// Marked as bootable.
        bootable: bool,
    }

    /// Parameters of `?op=format`.
    Format {
        /// e.g. `ext4`.
        fstype: String,
        /// Label.
        label: Option<String>,
        /// Unique name.
        uuid: Option<String>,
    }

    /// Parameters of `?op=mount`.
    Mount {
        /// Where, e.g. `/srv`.
        mount_point: String,
        /// How, e.g. `noatime`.
        mount_options: Option<String>,
    }
}
