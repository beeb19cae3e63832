//! The rows of the region's database.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::Status;
use crate::disks::{Disk, FileSystem, VolumeGroup};
use crate::machine_table::Shown;
use crate::results::Run;

/// What a machine's BMC does when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bmc {
    /// Obeys and answers.
    #[default]
    Works,
    /// Cannot be reached or refuses: power actions answer 500 with the driver's text, as recorded from MAAS 3.7.3.
    Fails,
    /// No rack controller is connected for it: 503 with `Retry-After: 10`.
    NoRack,
    /// Its rack controller lacks the tools that it takes: 500.
    NoTools,
    /// Never answers: requests are held for a minute and answered 504.
    Silent,
    /// Obeys, but each answer is held for that long.
    Late {
        /// How long.
        seconds: u32,
    },
    /// Says that it obeyed and does nothing; asked later, it still says so.
    Lies,
}

impl Bmc {
    /// Does what it is told.
    pub(crate) fn obeys(self) -> bool {
        matches!(self, Self::Works | Self::Late { .. })
    }

    /// Answers, truly or not.
    pub(crate) fn answers(self) -> bool {
        self.obeys() || self == Self::Lies
    }
}

/// How a deployment goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployFault {
    /// The installer reports this reason: it is the `error_description`, in ERROR events, and at the end of the log.
    Installer(String),
    /// The system is installed and boots, but never asks MAAS for its user data: the watchdog gives up after its time.
    NeverReports,
    /// The machine cannot be switched on for its deployment.
    Power,
    /// The workflow cannot be started: the request is answered 500 without a body, and the machine is Allocated again.
    NotStarted,
}

/// What goes wrong with a machine by a person's wish, and how often.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) deployment: Option<(DeployFault, Times)>,
    pub(crate) commissioning: Times,
    pub(crate) testing: Times,
    pub(crate) erase: Times,
    pub(crate) release: Times,
    /// What was deployed starts, but nothing on it does anything.
    pub(crate) mute: bool,
    /// What runs stands still, until the power has been off.
    pub(crate) hung: bool,
}

/// A number of times, or always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Left(u32),
    Always,
}

impl Default for Times {
    fn default() -> Self {
        Self::Left(0)
    }
}

impl From<Option<u32>> for Times {
    fn from(times: Option<u32>) -> Self {
        times.map_or(Self::Always, Self::Left)
    }
}

impl Times {
    /// True if it is to happen now; one time less is left then.
    pub(crate) fn take(&mut self) -> bool {
        match self {
            Self::Left(0) => false,
            Self::Left(n) => {
                *n -= 1;
                true
            }
            Self::Always => true,
        }
    }
}

/// `power_state` as the region knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PowerState {
    On,
    Off,
    Unknown,
    Error,
}

impl PowerState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
            Self::Error => "error",
        }
    }
}

#[derive(Debug)]
pub(crate) struct User {
    pub(crate) admin: bool,
    pub(crate) email: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) consumer: String,
    pub(crate) secret: String,
    pub(crate) user: String,
    pub(crate) name: String,
    /// Order of creation.
    pub(crate) number: u64,
}

#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) comment: String,
    pub(crate) definition: String,
    pub(crate) kernel_opts: String,
}

/// A zone, a pool or a space.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) name: String,
    pub(crate) authoritative: bool,
    pub(crate) ttl: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Fabric {
    pub(crate) name: String,
    pub(crate) class: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Vlan {
    pub(crate) fabric: u64,
    pub(crate) vid: u16,
    pub(crate) name: String,
    pub(crate) mtu: u32,
    pub(crate) dhcp: bool,
    pub(crate) space: Option<u64>,
    pub(crate) primary_rack: Option<String>,
    pub(crate) relay: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Subnet {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) vlan: u64,
    pub(crate) cidr: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) dns_servers: Vec<String>,
    pub(crate) rdns_mode: u8,
    pub(crate) allow_dns: bool,
    pub(crate) allow_proxy: bool,
    pub(crate) active_discovery: bool,
    pub(crate) managed: bool,
}

/// A range of addresses that AUTO addresses stay out of.
#[derive(Debug, Clone)]
pub(crate) struct IpRange {
    pub(crate) subnet: u64,
    pub(crate) dynamic: bool,
    pub(crate) start: IpAddr,
    pub(crate) end: IpAddr,
    pub(crate) comment: String,
    pub(crate) user: Option<String>,
}

/// A network interface of a machine.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) kind: InterfaceKind,
    pub(crate) mac: Option<String>,
    pub(crate) vlan: Option<u64>,
    /// In the order they were given.
    pub(crate) tags: Vec<String>,
    /// Interfaces of the same machine that this one is made of.
    pub(crate) parents: Vec<u64>,
    /// Address rows in order; the id of a row is also the id of its link.
    pub(crate) rows: Vec<u64>,
    pub(crate) mtu: Option<u32>,
    /// Options of bonds and bridges.
    pub(crate) params: BTreeMap<String, serde_json::Value>,
    /// Link with the default gateway, by family: IPv4, IPv6.
    pub(crate) gateways: (Option<u64>, Option<u64>),
    /// Made by an acquisition, and gone with it.
    pub(crate) acquired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InterfaceKind {
    Physical,
    Bond,
    Bridge,
    Vlan,
}

impl InterfaceKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Physical => "physical",
            Self::Bond => "bond",
            Self::Bridge => "bridge",
            Self::Vlan => "vlan",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) id: u64,
    pub(crate) uploaded: bool,
    /// `os/series`, also for uploaded images (`custom/<name>`).
    pub(crate) release: String,
    pub(crate) alias: Option<String>,
    pub(crate) architecture: String,
    pub(crate) kernel: Option<String>,
    pub(crate) title: String,
    /// Of an image that came through the API: how far it is.
    pub(crate) upload: Option<Upload>,
}

#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) size: u64,
    pub(crate) received: u64,
    pub(crate) sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllocType {
    Auto,
    Sticky,
    UserReserved,
    Dhcp,
    Discovered,
}

impl AllocType {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Auto => 0,
            Self::Sticky => 1,
            Self::UserReserved => 4,
            Self::Dhcp => 5,
            Self::Discovered => 6,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "Automatic",
            Self::Sticky => "Static",
            Self::UserReserved => "User reserved",
            Self::Dhcp => "DHCP",
            Self::Discovered => "Observed",
        }
    }
}

/// A row of `StaticIPAddress`.
#[derive(Debug)]
pub(crate) struct IpRow {
    pub(crate) alloc: AllocType,
    /// Null for AUTO rows outside of a deployment.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) subnet: Option<u64>,
    /// Internal id of the machine whose interface has the row.
    pub(crate) machine: Option<u64>,
    pub(crate) interface: Option<u64>,
    /// An interface of nobody's that it was reserved for: its id and MAC.
    pub(crate) unknown: Option<(u64, String)>,
    pub(crate) user: Option<String>,
    pub(crate) created: Timestamp,
    /// Claimed and still being checked: hidden from machine JSON and name servers.
    pub(crate) probing: bool,
}

impl IpRow {
    /// A row that belongs to no machine.
    pub(crate) fn reserved(ip: IpAddr, subnet: Option<u64>, user: Option<String>, created: Timestamp) -> Self {
        Self {
            alloc: AllocType::UserReserved,
            ip: Some(ip),
            subnet,
            machine: None,
            interface: None,
            unknown: None,
            user,
            created,
            probing: false,
        }
    }

    /// A link of an interface of a machine.
    pub(crate) fn linked(
        (machine, interface): (u64, u64),
        alloc: AllocType,
        ip: Option<IpAddr>,
        subnet: Option<u64>,
        created: Timestamp,
    ) -> Self {
        Self {
            alloc,
            ip,
            subnet,
            machine: Some(machine),
            interface: Some(interface),
            unknown: None,
            user: None,
            created,
            probing: false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct DnsResource {
    pub(crate) name: String,
    pub(crate) domain: u64,
    pub(crate) address_ttl: Option<u32>,
    pub(crate) ips: BTreeSet<u64>,
}

/// A DNS record other than an address.
#[derive(Debug)]
pub(crate) struct DnsRecord {
    pub(crate) resource: u64,
    pub(crate) kind: String,
    pub(crate) data: String,
    pub(crate) ttl: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) id: u64,
    pub(crate) system_id: String,
    pub(crate) hostname: String,
    pub(crate) domain: u64,
    pub(crate) description: String,
    pub(crate) architecture: String,
    pub(crate) cpu_count: u32,
    pub(crate) memory: u64,
    pub(crate) disks: Vec<Disk>,
    pub(crate) devices: Vec<crate::specs::DeviceSpec>,
    pub(crate) volume_groups: Vec<VolumeGroup>,
    /// File systems without a disk: tmpfs, ramfs.
    pub(crate) special: Vec<FileSystem>,
    pub(crate) zone: u64,
    pub(crate) pool: u64,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) power_type: String,
    /// Parameters that were set besides the usual ones.
    pub(crate) power_parameters: BTreeMap<String, String>,
    pub(crate) bmc_address: Option<IpAddr>,
    /// The first is the one it boots from.
    pub(crate) interfaces: Vec<Interface>,

    pub(crate) status: Status,
    /// Status before the last change.
    pub(crate) previous: Status,
    /// Where rescue mode and testing return to.
    pub(crate) before: Status,
    /// File systems were copied for what is deployed.
    pub(crate) acquired: bool,
    /// The VM host that it was composed on, its number there; released, it is gone.
    pub(crate) pod: Option<u64>,
    pub(crate) virtual_id: Option<u64>,
    pub(crate) dynamic: bool,
    /// Its hardware was looked at.
    pub(crate) known: bool,
    /// Cores and memory as they were found.
    pub(crate) numa: (u32, u64),
    pub(crate) owner: Option<String>,
    pub(crate) agent_name: String,
    pub(crate) owner_data: BTreeMap<String, String>,
    pub(crate) locked: bool,
    pub(crate) error_description: String,
    pub(crate) status_message: Option<String>,
    pub(crate) status_action: Option<&'static str>,

    pub(crate) power_state: PowerState,
    /// Switched on by its BMC.
    pub(crate) running: bool,
    /// Its power cord is in.
    pub(crate) plugged: bool,
    pub(crate) bmc: Bmc,
    pub(crate) faults: Faults,
    /// What a lying BMC was told last.
    pub(crate) claimed: Option<bool>,

    /// Operating system and series.
    pub(crate) os: Option<(String, String)>,
    pub(crate) hwe_kernel: Option<String>,
    pub(crate) min_hwe_kernel: Option<String>,
    pub(crate) netboot: bool,
    pub(crate) ephemeral: bool,
    pub(crate) user_data: Option<String>,
    pub(crate) swap_size: Option<u64>,
    pub(crate) deployment: u64,
    /// What scripts said, run by run, oldest first.
    pub(crate) runs: Vec<Run>,
    /// Its text in lists.
    pub(crate) shown: Shown,
    /// Cancels what the agenda still holds for this machine when it changes.
    pub(crate) epoch: u64,
}

impl Machine {
    /// Power that reaches the mainboard.
    pub(crate) fn is_on(&self) -> bool {
        self.running && self.plugged
    }

    /// Ids of the address rows of all interfaces, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u64> {
        self.interfaces.iter().flat_map(|i| i.rows.iter().copied())
    }

    /// Power can be queried and switched.
    pub(crate) fn has_bmc(&self) -> bool {
        self.power_type != "manual" && !self.power_type.is_empty()
    }

    /// What its BMC says when asked.
    pub(crate) fn reported_power(&self) -> PowerState {
        let said = self.claimed.filter(|_| self.bmc == Bmc::Lies).unwrap_or(self.is_on());
        if said { PowerState::On } else { PowerState::Off }
    }

    /// What allocate orders by.
    pub(crate) fn cost(&self) -> f64 {
        // Memory of machines is far below 2^52 MiB.
        #[allow(clippy::cast_precision_loss)]
        let memory = self.memory as f64;
        f64::from(self.cpu_count) + memory / 1024.0
    }

    /// `image` of a deployment as `os/series`.
    pub(crate) fn image(&self) -> String {
        self.os.as_ref().map(|(os, series)| format!("{os}/{series}")).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) machine: u64,
    pub(crate) username: Option<String>,
    pub(crate) level: Level,
    pub(crate) created: Timestamp,
    pub(crate) kind: &'static str,
    pub(crate) description: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Audit,
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl Level {
    pub(crate) const ALL: [Level; 6] =
        [Self::Audit, Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Audit => "AUDIT",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

/// What the agenda holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A step of a machine's life; stale when the machine's epoch moved on.
    Step { machine: u64, epoch: u64, step: Step },
    /// The periodic question to a BMC whose answer will be news.
    PowerPoll { machine: u64 },
    /// Name servers take over the changed names.
    Publish,
    /// The region goes down or comes up.
    Outage(Option<crate::Outage>),
}

/// Steps of machine timelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    AddressesAccepted,
    PowerOn,
    Ephemeral,
    Installed,
    Rebooted,
    FirstUserData,
    DeployWatchdog,
    AbortDone,
    SwitchedOn,
    SwitchedOff,
    EphemeralAgain,
    ReleasedOff,
    Commissioned,
    Tested,
    RescueEntered,
    RescueLeft,
    EraseBoot,
    Erased,
    ReleaseWatchdog,
}

impl Step {
    /// Watchdogs are in the database, and BMCs and machines know nothing of the region; what it drives itself is lost.
    pub(crate) fn survives_restart(self) -> bool {
        matches!(
            self,
            Self::DeployWatchdog
                | Self::ReleaseWatchdog
                | Self::SwitchedOn
                | Self::SwitchedOff
                | Self::AddressesAccepted
        )
    }
}
