//! The rows of the region's database.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::Status;
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
}

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) consumer: String,
    pub(crate) secret: String,
    pub(crate) user: String,
}

/// A zone, a pool or a tag.
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
pub(crate) struct Subnet {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) cidr: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) dynamic: Option<(IpAddr, IpAddr)>,
    pub(crate) reserved: Option<(IpAddr, IpAddr)>,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllocType {
    Auto,
    Sticky,
    UserReserved,
    Discovered,
}

impl AllocType {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Auto => 0,
            Self::Sticky => 1,
            Self::UserReserved => 4,
            Self::Discovered => 6,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "Automatic",
            Self::Sticky => "Static",
            Self::UserReserved => "User reserved",
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
    pub(crate) user: Option<String>,
    pub(crate) created: Timestamp,
    /// Claimed and still being checked: hidden from machine JSON and name servers.
    pub(crate) probing: bool,
}

#[derive(Debug)]
pub(crate) struct DnsResource {
    pub(crate) name: String,
    pub(crate) domain: u64,
    pub(crate) address_ttl: Option<u32>,
    pub(crate) ips: BTreeSet<u64>,
}

#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) id: u64,
    pub(crate) size: u64,
    pub(crate) tags: Vec<String>,
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
    pub(crate) zone: u64,
    pub(crate) pool: u64,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) power_type: String,
    pub(crate) mac: String,
    pub(crate) interface: u64,
    /// Address rows of the boot interface, in order; the id of a row is also the id of its link.
    pub(crate) rows: Vec<u64>,

    pub(crate) status: Status,
    /// Status before a by-hand change, where rescue mode and testing return to.
    pub(crate) previous: Status,
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
    pub(crate) fail_next: Option<String>,

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
    /// Cancels what the agenda still holds for this machine when it changes.
    pub(crate) epoch: u64,
}

impl Machine {
    /// Power that reaches the mainboard.
    pub(crate) fn is_on(&self) -> bool {
        self.running && self.plugged
    }

    /// Power can be queried and switched.
    pub(crate) fn has_bmc(&self) -> bool {
        self.power_type != "manual" && !self.power_type.is_empty()
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
    Erased,
    ReleaseWatchdog,
}
