//! What callers ask of machines: filters, constraints, options.

use crate::error::{Error, Result};
use crate::form::Form;
use crate::ids::SystemId;
use crate::operation::{self, Operation};
use crate::status::{MachineStatus, PowerState};

/// Longest annotation key and longest `agent_name`, in characters.
pub(crate) const NAME_LIMIT: usize = 255;

/// Filters of `GET machines/` (fact sheet §6.1). All combine with AND; several values of one field
/// mean *any of*, except `tags` and `subnets` (*all of*). Empty fields do not filter.
///
/// ```
/// use maas_client::{MachineFilter, MachineStatus};
/// let ready = MachineFilter { status: vec![MachineStatus::Ready], tags: vec!["gpu".into()], ..Default::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachineFilter {
    /// `id`: system_ids; above 500 the list is fetched in parts.
    pub ids: Vec<SystemId>,
    /// `not_id`.
    pub not_ids: Vec<SystemId>,
    /// `hostname`.
    pub hostname: Vec<String>,
    /// `not_hostname`.
    pub not_hostname: Vec<String>,
    /// `mac_address`.
    pub mac_address: Vec<String>,
    /// `domain`, by name.
    pub domain: Vec<String>,
    /// `not_domain`.
    pub not_domain: Vec<String>,
    /// `owner`: user names.
    pub owner: Vec<String>,
    /// `not_owner`.
    pub not_owner: Vec<String>,
    /// `agent_name`: the token given to allocate or deploy.
    pub agent_name: Vec<String>,
    /// `not_agent_name`.
    pub not_agent_name: Vec<String>,
    /// `status`.
    pub status: Vec<MachineStatus>,
    /// `not_status`.
    pub not_status: Vec<MachineStatus>,
    /// `simple_status`, e.g. `failed`.
    pub simple_status: Vec<String>,
    /// `not_simple_status`.
    pub not_simple_status: Vec<String>,
    /// `power_state`.
    pub power_state: Vec<PowerState>,
    /// `not_power_state`.
    pub not_power_state: Vec<PowerState>,
    /// `deployment_target`: `disk` or `memory`.
    pub deployment_target: Vec<String>,
    /// `not_deployment_target`.
    pub not_deployment_target: Vec<String>,
    /// `zone`, by name.
    pub zone: Vec<String>,
    /// `not_in_zone`.
    pub not_in_zone: Vec<String>,
    /// `pool`, by name.
    pub pool: Vec<String>,
    /// `not_in_pool`.
    pub not_in_pool: Vec<String>,
    /// `tags`: all of.
    pub tags: Vec<String>,
    /// `not_tags`: none of.
    pub not_tags: Vec<String>,
    /// `arch`: `amd64` or `amd64/generic`.
    pub arch: Vec<String>,
    /// `not_arch`.
    pub not_arch: Vec<String>,
    /// `cpu_count`: at least so many cores.
    pub cpu_count: Option<u32>,
    /// `cpu_speed`: at least, MHz.
    pub cpu_speed: Option<u32>,
    /// `mem`: at least, MiB.
    pub mem: Option<u64>,
    /// `link_speed`: at least, Mbit/s.
    pub link_speed: Option<u32>,
    /// `storage`, e.g. `root:100(ssd)`.
    pub storage: Option<String>,
    /// `interfaces`, e.g. `eth0:fabric=f1`.
    pub interfaces: Option<String>,
    /// `devices`, e.g. `vendor_id=10de`.
    pub devices: Option<String>,
    /// `subnets`: all of.
    pub subnets: Vec<String>,
    /// `not_subnets`.
    pub not_subnets: Vec<String>,
    /// `vlans`.
    pub vlans: Vec<String>,
    /// `not_vlans`.
    pub not_vlans: Vec<String>,
    /// `fabrics`, by name.
    pub fabrics: Vec<String>,
    /// `not_fabrics`.
    pub not_fabrics: Vec<String>,
    /// `fabric_classes`.
    pub fabric_classes: Vec<String>,
    /// `not_fabric_classes`.
    pub not_fabric_classes: Vec<String>,
    /// `pod`: names of VM hosts (MAAS up to 3.8).
    pub pod: Vec<String>,
    /// `not_pod` (MAAS up to 3.8).
    pub not_pod: Vec<String>,
    /// `pod_type`: `lxd` or `virsh` (MAAS up to 3.8).
    pub pod_type: Vec<String>,
    /// `not_pod_type` (MAAS up to 3.8).
    pub not_pod_type: Vec<String>,
}

impl MachineFilter {
    /// Exactly these machines: `?id=…`, the read whose emptiness is evidence of absence.
    pub fn by_ids(ids: impl IntoIterator<Item = SystemId>) -> Self {
        Self { ids: ids.into_iter().collect(), ..Self::default() }
    }

    /// Machines allocated with this token.
    pub fn by_agent_name(token: impl Into<String>) -> Self {
        Self { agent_name: vec![token.into()], ..Self::default() }
    }

    pub(crate) fn query(&self, ids: &[SystemId]) -> Result<Form> {
        let statuses = |list: &[MachineStatus]| {
            list.iter()
                .map(|status| {
                    status.filter_value().ok_or_else(|| {
                        Error::invalid_request(
                            &operation::MACHINES_LIST,
                            format!("{status} has no filter word known to this client"),
                        )
                    })
                })
                .collect::<Result<Vec<_>>>()
        };
        let mut form = Form::default();
        form.all("id", ids);
        form.all("not_id", &self.not_ids);
        form.all("hostname", &self.hostname);
        form.all("not_hostname", &self.not_hostname);
        form.all("mac_address", &self.mac_address);
        form.all("domain", &self.domain);
        form.all("not_domain", &self.not_domain);
        form.all("owner", &self.owner);
        form.all("not_owner", &self.not_owner);
        form.all("agent_name", &self.agent_name);
        form.all("not_agent_name", &self.not_agent_name);
        form.all("status", statuses(&self.status)?);
        form.all("not_status", statuses(&self.not_status)?);
        form.all("simple_status", &self.simple_status);
        form.all("not_simple_status", &self.not_simple_status);
        form.all("power_state", self.power_state.iter().map(PowerState::as_str));
        form.all("not_power_state", self.not_power_state.iter().map(PowerState::as_str));
        form.all("deployment_target", &self.deployment_target);
        form.all("not_deployment_target", &self.not_deployment_target);
        form.all("zone", &self.zone);
        form.all("not_in_zone", &self.not_in_zone);
        form.all("pool", &self.pool);
        form.all("not_in_pool", &self.not_in_pool);
        form.all("tags", &self.tags);
        form.all("not_tags", &self.not_tags);
        form.all("arch", &self.arch);
        form.all("not_arch", &self.not_arch);
        form.opt("cpu_count", self.cpu_count);
        form.opt("cpu_speed", self.cpu_speed);
        form.opt("mem", self.mem);
        form.opt("link_speed", self.link_speed);
        form.opt("storage", self.storage.as_ref());
        form.opt("interfaces", self.interfaces.as_ref());
        form.opt("devices", self.devices.as_ref());
        form.all("subnets", &self.subnets);
        form.all("not_subnets", &self.not_subnets);
        form.all("vlans", &self.vlans);
        form.all("not_vlans", &self.not_vlans);
        form.all("fabrics", &self.fabrics);
        form.all("not_fabrics", &self.not_fabrics);
        form.all("fabric_classes", &self.fabric_classes);
        form.all("not_fabric_classes", &self.not_fabric_classes);
        form.all("pod", &self.pod);
        form.all("not_pod", &self.not_pod);
        form.all("pod_type", &self.pod_type);
        form.all("not_pod_type", &self.not_pod_type);
        Ok(form)
    }
}

/// Constraints and options of `POST machines/?op=allocate` (fact sheet §4.1). All constraints combine
/// with AND; empty ones are not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocateRequest {
    /// One of these machines; also keeps MAAS up to 3.8 from composing a VM.
    pub system_id: Vec<SystemId>,
    /// Host name, or `host.domain`.
    pub name: Option<String>,
    /// All of these tags.
    pub tags: Vec<String>,
    /// None of these tags.
    pub not_tags: Vec<String>,
    /// One of these zones.
    pub zone: Vec<String>,
    /// None of these zones.
    pub not_in_zone: Vec<String>,
    /// One of these pools.
    pub pool: Vec<String>,
    /// None of these pools.
    pub not_in_pool: Vec<String>,
    /// One of these architectures: `amd64` or `amd64/generic`.
    pub arch: Vec<String>,
    /// At least so many cores.
    pub cpu_count: Option<u32>,
    /// At least so many MiB of memory.
    pub mem: Option<u64>,
    /// `[label:]sizeGB[(tag,tag)],…`; the first item carries `/`, GB are decimal.
    pub storage: Option<String>,
    /// `label:key=value[,key=value];…`.
    pub interfaces: Option<String>,
    /// `key=value,…`.
    pub devices: Option<String>,
    /// All of these subnets.
    pub subnets: Vec<String>,
    /// None of these subnets.
    pub not_subnets: Vec<String>,
    /// One of these fabrics.
    pub fabrics: Vec<String>,
    /// None of these fabrics.
    pub not_fabrics: Vec<String>,
    /// Power as MAAS last learnt it; `off` is the useful one.
    pub power_state: Vec<PowerState>,
    /// Not VMs of these kinds, e.g. `lxd`, `virsh` (MAAS up to 3.8 only: later ones refuse the key).
    pub not_pod_type: Vec<String>,
    /// Token stored together with the allocation; at most 255 characters. Never shown again, but
    /// [`MachineFilter::agent_name`] finds it until a release starts.
    pub agent_name: Option<String>,
    /// Text for MAAS's event log.
    pub comment: Option<String>,
    /// Puts a bridge on every interface.
    pub bridge_all: bool,
    /// Chooses and answers a machine, but changes nothing.
    pub dry_run: bool,
}

impl AllocateRequest {
    pub(crate) fn form(&self) -> Result<Form> {
        agent_name_fits(&operation::MACHINES_ALLOCATE, self.agent_name.as_deref())?;
        let mut form = Form::default();
        form.all("system_id", &self.system_id);
        form.opt("name", self.name.as_ref());
        form.all("tags", &self.tags);
        form.all("not_tags", &self.not_tags);
        form.all("zone", &self.zone);
        form.all("not_in_zone", &self.not_in_zone);
        form.all("pool", &self.pool);
        form.all("not_in_pool", &self.not_in_pool);
        form.all("arch", &self.arch);
        form.opt("cpu_count", self.cpu_count);
        form.opt("mem", self.mem);
        form.opt("storage", self.storage.as_ref());
        form.opt("interfaces", self.interfaces.as_ref());
        form.opt("devices", self.devices.as_ref());
        form.all("subnets", &self.subnets);
        form.all("not_subnets", &self.not_subnets);
        form.all("fabrics", &self.fabrics);
        form.all("not_fabrics", &self.not_fabrics);
        form.all("power_state", self.power_state.iter().map(PowerState::as_str));
        form.all("not_pod_type", &self.not_pod_type);
        form.opt("agent_name", self.agent_name.as_ref());
        form.opt("comment", self.comment.as_ref());
        form.flag("bridge_all", self.bridge_all);
        form.flag("dry_run", self.dry_run);
        Ok(form)
    }
}

/// Options of `POST machines/{system_id}/?op=deploy`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DeployRequest {
    /// Image: always write `os/series` (`ubuntu/noble`, `custom/k8s-1.34`); MAAS's default if absent.
    pub distro_series: Option<String>,
    /// Raw user data for cloud-init; this crate encodes it. May hold secrets: not shown in Debug.
    pub user_data: Option<Vec<u8>>,
    /// Kernel, e.g. `ga-24.04`.
    pub hwe_kernel: Option<String>,
    /// Deploys into memory.
    pub ephemeral_deploy: bool,
    /// Lets the deployed machine report its hardware to MAAS.
    pub enable_hw_sync: bool,
    /// Token stored if this call is what allocates the machine.
    pub agent_name: Option<String>,
    /// Text for MAAS's event log.
    pub comment: Option<String>,
}

impl std::fmt::Debug for DeployRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeployRequest")
            .field("distro_series", &self.distro_series)
            .field("user_data", &self.user_data.as_ref().map(|data| format!("{} bytes", data.len())))
            .field("hwe_kernel", &self.hwe_kernel)
            .field("ephemeral_deploy", &self.ephemeral_deploy)
            .field("enable_hw_sync", &self.enable_hw_sync)
            .field("agent_name", &self.agent_name)
            .field("comment", &self.comment)
            .finish()
    }
}

impl DeployRequest {
    pub(crate) fn form(&self) -> Result<Form> {
        agent_name_fits(&operation::MACHINE_DEPLOY, self.agent_name.as_deref())?;
        let mut form = Form::default();
        form.opt("distro_series", self.distro_series.as_ref());
        form.opt("hwe_kernel", self.hwe_kernel.as_ref());
        form.flag("ephemeral_deploy", self.ephemeral_deploy);
        form.flag("enable_hw_sync", self.enable_hw_sync);
        form.opt("agent_name", self.agent_name.as_ref());
        form.opt("comment", self.comment.as_ref());
        if let Some(data) = &self.user_data {
            form.base64("user_data", data);
        }
        Ok(form)
    }
}

/// Options of `POST machines/{system_id}/?op=release`. Any of the three erase flags wipes the disks;
/// `erase` should accompany the other two (3.5+ reads them as its options).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// Text for MAAS's event log.
    pub comment: Option<String>,
    /// Wipes the disks; zeroes them whole unless one of the next two is set. May take hours.
    pub erase: bool,
    /// Uses the drive's own secure erase.
    pub secure_erase: bool,
    /// Wipes only beginning and end of each disk.
    pub quick_erase: bool,
}

impl ReleaseRequest {
    pub(crate) fn form(&self) -> Form {
        let mut form = Form::default();
        form.opt("comment", self.comment.as_ref());
        form.flag("erase", self.erase);
        form.flag("secure_erase", self.secure_erase);
        form.flag("quick_erase", self.quick_erase);
        form
    }
}

/// How a machine is powered off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PowerOffMode {
    /// Cuts the power.
    #[default]
    Hard,
    /// Asks the system to shut down, where the power driver can.
    Soft,
}

/// Fields of `PUT machines/{system_id}/`; absent ones stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateMachine {
    /// Host name, unique in the whole MAAS.
    pub hostname: Option<String>,
    /// Domain, by name.
    pub domain: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Swap file in bytes.
    pub swap_size: Option<u64>,
    /// Zone, by name.
    pub zone: Option<String>,
    /// Pool, by name.
    pub pool: Option<String>,
}

impl UpdateMachine {
    pub(crate) fn form(&self) -> Form {
        let mut form = Form::default();
        form.opt("hostname", self.hostname.as_ref());
        form.opt("domain", self.domain.as_ref());
        form.opt("description", self.description.as_ref());
        form.opt("swap_size", self.swap_size);
        form.opt("zone", self.zone.as_ref());
        form.opt("pool", self.pool.as_ref());
        form
    }
}

fn agent_name_fits(operation: &Operation, agent_name: Option<&str>) -> Result<()> {
    match agent_name {
        Some(name) if name.chars().count() > NAME_LIMIT => {
            Err(Error::invalid_request(operation, format!("agent_name is longer than {NAME_LIMIT} characters")))
        }
        _ => Ok(()),
    }
}
