//! What administrators do with machines between two lives: enlist, commission, test, rescue, lay out
//! disks, delete (fact sheet §2.1, §2.2).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::define::{reply, request, service, words};
use crate::ids::SystemId;
use crate::machine::Machine;

service! {
    /// Care of machines: `machines/` and `machines/{system_id}/`. With feature `mock` there is
    /// `MockMaintenance`. Most of it is for administrators.
    Maintenance by MaintenanceClient;

    /// `POST machines/`: enlists a machine, and commissions it unless told not to. A known hardware
    /// address is `Validation` on `mac_addresses`; what goes wrong while commissioning begins is not told.
    fn create(&request: CreateMachine) -> Machine = MACHINES_CREATE, request.form();

    /// `DELETE machines/{system_id}/`, in any state unless locked. A machine that MAAS up to 3.8 composed
    /// is destroyed with it.
    fn delete(&system_id: SystemId, &request: DeleteMachine) -> () = MACHINE_DELETE [system_id], request.form();

    /// `POST …?op=commission`. `Validation` in states other than New, Ready, Broken, Failed commissioning.
    fn commission(&system_id: SystemId, &request: Commission) -> Machine
        = MACHINE_COMMISSION [system_id], request.form();

    /// `POST …?op=test`. Destructive tests are refused on a deployed machine.
    fn test(&system_id: SystemId, &request: TestHardware) -> Machine = MACHINE_TEST [system_id], request.form();

    /// `POST …?op=override_failed_testing`: becomes Ready, or Deployed where a system is installed.
    fn override_failed_testing(&system_id: SystemId, &note: Note) -> Machine
        = MACHINE_OVERRIDE_FAILED_TESTING [system_id], note.form();

    /// `POST …?op=rescue_mode`: boots a system in memory; the caller becomes the owner.
    fn rescue_mode(&system_id: SystemId) -> Machine = MACHINE_RESCUE_MODE [system_id];

    /// `POST …?op=exit_rescue_mode`.
    fn exit_rescue_mode(&system_id: SystemId) -> Machine = MACHINE_EXIT_RESCUE_MODE [system_id];

    /// `POST …?op=set_storage_layout`: replaces the whole layout. Ready only.
    fn set_storage_layout(&system_id: SystemId, &request: StorageLayout) -> Machine
        = MACHINE_SET_STORAGE_LAYOUT [system_id], request.form();

    /// `POST …?op=restore_storage_configuration`: the layout commissioning made. Ready or Failed testing.
    fn restore_storage(&system_id: SystemId) -> Machine = MACHINE_RESTORE_STORAGE_CONFIGURATION [system_id];

    /// `POST …?op=restore_networking_configuration`. Ready or Failed testing.
    fn restore_networking(&system_id: SystemId) -> Machine = MACHINE_RESTORE_NETWORKING_CONFIGURATION [system_id];

    /// `POST …?op=restore_default_configuration`: both. Ready or Failed testing.
    fn restore_default(&system_id: SystemId) -> Machine = MACHINE_RESTORE_DEFAULT_CONFIGURATION [system_id];

    /// `POST …?op=clear_default_gateways`.
    fn clear_default_gateways(&system_id: SystemId) -> Machine = MACHINE_CLEAR_DEFAULT_GATEWAYS [system_id];

    /// `POST …?op=mount_special`: a file system without device, such as `tmpfs`.
    fn mount_special(&system_id: SystemId, &request: MountSpecial) -> Machine
        = MACHINE_MOUNT_SPECIAL [system_id], request.form();

    /// `POST …?op=unmount_special`.
    fn unmount_special(&system_id: SystemId, &request: UnmountSpecial) -> Machine
        = MACHINE_UNMOUNT_SPECIAL [system_id], request.form();

    /// `GET …?op=power_parameters` (admin): **with passwords**.
    fn power_parameters(&system_id: SystemId) -> PowerParameters = MACHINE_POWER_PARAMETERS [system_id];

    /// `GET …?op=get_curtin_config`: the installer's configuration (YAML). Deploying, Deployed and Failed
    /// deployment only.
    fn curtin_config(&system_id: SystemId) -> String = MACHINE_GET_CURTIN_CONFIG [system_id];

    /// `GET machines/?op=list_allocated`: the caller's own machines in Allocated.
    fn list_allocated(&filter: Members) -> Vec<Machine> = MACHINES_LIST_ALLOCATED, filter.ids_form();

    /// `POST machines/?op=release`: several at once, without erasing. Answers those really released; one
    /// that can't be rolls all back.
    fn release_all(&request: ReleaseMany) -> Vec<SystemId> = MACHINES_RELEASE, request.form();

    /// `POST machines/?op=accept`: enlisted machines to commission.
    fn accept(&request: Members) -> Vec<Machine> = MACHINES_ACCEPT, request.form();

    /// `POST machines/?op=accept_all`.
    fn accept_all() -> Vec<Machine> = MACHINES_ACCEPT_ALL;

    /// `POST machines/?op=set_zone`; MAAS answers `null`.
    fn set_zone(&request: SetZone) -> Option<()> = MACHINES_SET_ZONE, request.form();

    /// `POST machines/?op=clone`: copies interfaces or storage to other machines.
    fn clone_configuration(&request: CloneMachines) -> () = MACHINES_CLONE, request.form();
}

words! {
    /// How disks are laid out.
    Layout {
        /// One partition with the root file system.
        Flat = "flat",
        /// One logical volume.
        Lvm = "lvm",
        /// Root behind a cache device.
        Bcache = "bcache",
        /// For VMware ESXi 6.
        Vmfs6 = "vmfs6",
        /// For VMware ESXi 7.
        Vmfs7 = "vmfs7",
        /// What a commissioning script asked for.
        Custom = "custom",
        /// Nothing at all.
        Blank = "blank",
    }
}

/// Parameters of a power driver. Debug shows their names only: passwords are among them.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PowerParameters(pub BTreeMap<String, serde_json::Value>);

impl fmt::Debug for PowerParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PowerParameters").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

/// Parameters of `POST machines/`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateMachine {
    /// e.g. `amd64`.
    pub architecture: String,
    /// Hardware addresses; may be empty for IPMI.
    pub mac_addresses: Vec<String>,
    /// Host name; made up when absent.
    pub hostname: Option<String>,
    /// Domain, by name.
    pub domain: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Power driver, e.g. `ipmi`.
    pub power_type: Option<String>,
    /// Its parameters; sent as `power_parameters_NAME`.
    pub power_parameters: PowerParameters,
    /// Kernel to deploy at least.
    pub min_hwe_kernel: Option<String>,
    /// Whether it is commissioned at once; MAAS does unless told not to.
    pub commission: Option<bool>,
    /// Adds a running host as Deployed.
    pub deployed: bool,
}

impl CreateMachine {
    pub(crate) fn form(&self) -> crate::form::Form {
        let mut form = crate::form::Form::default();
        form.push("architecture", &self.architecture);
        form.all("mac_addresses", &self.mac_addresses);
        form.opt("hostname", self.hostname.as_ref());
        form.opt("domain", self.domain.as_ref());
        form.opt("description", self.description.as_ref());
        form.opt("power_type", self.power_type.as_ref());
        for (name, value) in &self.power_parameters.0 {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            form.push(&format!("power_parameters_{name}"), text);
        }
        form.opt("min_hwe_kernel", self.min_hwe_kernel.as_ref());
        form.opt("commission", self.commission);
        form.flag("deployed", self.deployed);
        form
    }
}

request! {
    /// Text for MAAS's event log.
    Note {
        /// Free text.
        comment: Option<String>,
    }

    /// Parameters of `DELETE machines/{system_id}/`.
    DeleteMachine {
        /// Also a VM host (MAAS up to 3.8).
        force: bool,
    }

    /// Parameters of `?op=commission`.
    Commission {
        /// Leaves the machine on with ssh.
        enable_ssh: bool,
        /// Leaves the BMC as it is.
        skip_bmc_config: bool,
        /// Keeps the network configuration.
        skip_networking: bool,
        /// Keeps the storage configuration.
        skip_storage: bool,
        /// Scripts, separated by commas.
        commissioning_scripts: Option<String>,
        /// Tests, separated by commas; `none` for none.
        testing_scripts: Option<String>,
    }

    /// Parameters of `?op=test`.
    TestHardware {
        /// Leaves the machine on with ssh.
        enable_ssh: bool,
        /// Tests, separated by commas.
        testing_scripts: Option<String>,
    }

    /// Parameters of `?op=set_storage_layout`; sizes in bytes or with a suffix (`20G`, decimal).
    StorageLayout {
        /// Which.
        layout: Layout as "storage_layout",
        /// Size of the boot partition.
        boot_size: Option<String>,
        /// Size of the root file system.
        root_size: Option<String>,
        /// Block device of the root file system.
        root_device: Option<String>,
        /// Name of the volume group, for [`Layout::Lvm`].
        vg_name: Option<String>,
        /// Name of the logical volume.
        lv_name: Option<String>,
        /// Size of the logical volume.
        lv_size: Option<String>,
        /// Block device of the cache, for [`Layout::Bcache`].
        cache_device: Option<String>,
        /// e.g. `writethrough`.
        cache_mode: Option<String>,
        /// Size of the cache.
        cache_size: Option<String>,
    }

    /// Parameters of `?op=mount_special`.
    MountSpecial {
        /// e.g. `tmpfs`.
        fstype: String,
        /// Where.
        mount_point: String,
        /// How.
        mount_options: Option<String>,
    }

    /// Parameters of `?op=unmount_special`.
    UnmountSpecial {
        /// Where it is mounted.
        mount_point: String,
    }

    /// Some machines.
    Members {
        /// Which.
        machines: Vec<SystemId>,
    }

    /// Parameters of `POST machines/?op=release`.
    ReleaseMany {
        /// Which.
        machines: Vec<SystemId>,
        /// Text for MAAS's event log.
        comment: Option<String>,
    }

    /// Parameters of `?op=set_zone`.
    SetZone {
        /// Zone, by name.
        zone: String,
        /// Machines that move there.
        nodes: Vec<SystemId>,
    }

    /// Parameters of `POST machines/?op=clone`.
    CloneMachines {
        /// Machine copied from.
        source: SystemId,
        /// Machines copied to.
        destinations: Vec<SystemId>,
        /// Copies the network configuration.
        interfaces: bool,
        /// Copies the storage configuration.
        storage: bool,
    }
}

impl Members {
    fn ids_form(&self) -> crate::form::Form {
        let mut form = crate::form::Form::default();
        form.all("id", &self.machines);
        form
    }
}

reply! {
    /// A device: something on the network that MAAS names but does not deploy.
    Device {
        /// Key in calls.
        system_id: SystemId,
        /// Host part of the name.
        hostname: String,
        /// `hostname.domain`.
        fqdn: String,
        /// Free text.
        description: String,
        /// Name of the user who made it.
        owner: Option<String>,
        /// Machine it belongs to and is deleted with.
        parent: Option<String>,
        /// Addresses.
        ip_addresses: Vec<std::net::IpAddr>,
        /// Names of the tags it has.
        tag_names: Vec<String>,
        /// Interfaces.
        interface_set: Vec<crate::machine::Interface>,
    }
}

service! {
    /// Devices: `devices/`. With feature `mock` there is `MockDevices`.
    Devices by DevicesClient;

    /// `GET devices/`.
    fn list() -> Vec<Device> = DEVICES_LIST;

    /// `GET devices/{system_id}/`.
    fn read(&system_id: SystemId) -> Device = DEVICE_READ [system_id];

    /// `POST devices/`.
    fn create(&request: CreateDevice) -> Device = DEVICES_CREATE, request.form();

    /// `DELETE devices/{system_id}/`.
    fn delete(&system_id: SystemId) -> () = DEVICE_DELETE [system_id];
}

request! {
    /// Parameters of `POST devices/`.
    CreateDevice {
        /// Hardware addresses; at least one.
        mac_addresses: Vec<String>,
        /// Host name.
        hostname: Option<String>,
        /// Domain, by name.
        domain: Option<String>,
        /// Machine it belongs to and is deleted with.
        parent: Option<SystemId>,
        /// Free text.
        description: Option<String>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_parameters_are_sent_one_by_one_and_never_shown() {
        let parameters = BTreeMap::from([("power_pass".into(), "hunter2".into()), ("power_port".into(), 623.into())]);
        let request = CreateMachine {
            architecture: "amd64".into(),
            power_type: Some("ipmi".into()),
            power_parameters: PowerParameters(parameters),
            commission: Some(false),
            ..Default::default()
        };
        let sent = "architecture=amd64&power_type=ipmi&power_parameters_power_pass=hunter2\
            &power_parameters_power_port=623&commission=false";
        assert_eq!(request.form().urlencoded(), sent);
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
