//! MAAS's machine JSON in reconcile's terms.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use capi_types::IdError;
use capmaas_reconcile::host::{Attachment, Hardware, Holder, HostPhase, HostView, Power};
use capmaas_reconcile::names::Token;
use maas_client::{Interface, Machine, MachineStatus, PowerState};

/// Key of the claim token in `owner_data`.
pub const TOKEN_KEY: &str = "capmaas-token";
/// Key of the MaasMachine's namespace/name in `owner_data`.
pub const MACHINE_KEY: &str = "capmaas-machine";
/// Key of the Cluster's name in `owner_data`.
pub const CLUSTER_KEY: &str = "capmaas-cluster";

/// What else of the machine counts for its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Somebody owns it. MAAS clears the owner before it says Ready.
    pub owned: bool,
}

/// The phase of a machine in this status; the table in the crate's documentation.
pub fn host_phase(status: MachineStatus, evidence: Evidence) -> HostPhase {
    use MachineStatus as S;
    match status {
        // A Ready machine with an owner contradicts itself: hands off until it is read again.
        S::Ready if evidence.owned => HostPhase::Unknown,
        S::Ready => HostPhase::Free,
        S::Reserved | S::Allocated => HostPhase::Claimed,
        S::Deploying => HostPhase::Deploying,
        S::Deployed => HostPhase::Deployed,
        S::FailedDeployment => HostPhase::DeployFailed,
        S::Releasing | S::DiskErasing => HostPhase::Releasing,
        S::FailedReleasing | S::FailedDiskErasing => HostPhase::ReleaseFailed,
        S::Broken => HostPhase::Broken,
        S::New
        | S::Commissioning
        | S::FailedCommissioning
        | S::Missing
        | S::Retired
        | S::RescueMode
        | S::EnteringRescueMode
        | S::FailedEnteringRescueMode
        | S::ExitingRescueMode
        | S::FailedExitingRescueMode
        | S::Testing
        | S::FailedTesting => HostPhase::Operator,
        S::Unknown(_) => HostPhase::Unknown,
    }
}

/// A machine that can't be named in our terms.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("MAAS answered with a machine that has no usable system_id: {source}")]
pub struct ViewError {
    source: IdError,
}

impl ViewError {
    /// There is one kind only: the id.
    pub fn kind(&self) -> capi_types::IdErrorKind {
        self.source.kind()
    }
}

/// Machine JSON as a [`HostView`]; `user` is the MAAS user of our key.
///
/// # Errors
/// When the `system_id` is not one.
pub fn host_view(machine: &Machine, user: &str) -> Result<HostView, ViewError> {
    let id = machine.system_id.as_str().parse().map_err(|source| ViewError { source })?;
    let owner = machine.owner.as_deref().filter(|owner| !owner.is_empty());
    let mark = || machine.owner_data.get(TOKEN_KEY).and_then(|text| text.parse::<Token>().ok());
    let status_name =
        if machine.status_name.is_empty() { machine.status.to_string() } else { machine.status_name.clone() };
    Ok(HostView {
        id,
        hostname: machine.hostname.clone(),
        fqdn: machine.fqdn.clone(),
        zone: machine.zone_name().to_owned(),
        pool: machine.pool_name().to_owned(),
        phase: host_phase(machine.status, Evidence { owned: owner.is_some() }),
        status_name,
        error: machine.error_description.clone(),
        power: power(&machine.power_state),
        holder: match owner {
            None => Holder::Nobody,
            Some(owner) if owner == user => Holder::Us(mark()),
            Some(owner) => Holder::Other(owner.to_owned()),
        },
        locked: machine.locked,
        architecture: machine.architecture.clone(),
        cpu: machine.cpu_count,
        memory_mib: machine.memory,
        addresses: addresses(machine),
        attachments: attachments(machine),
        tags: machine.tag_names.clone(),
        in_memory: machine.ephemeral_deploy,
        swap_off: machine.swap_size == Some(0),
    })
}

/// What a machine is made of; `None` before it was commissioned, when MAAS knows of no cores and no memory.
pub(crate) fn hardware(machine: &Machine) -> Option<Hardware> {
    // `amd64/generic`: Debian's name, which is Go's but for one.
    let architecture = match machine.architecture.split('/').next().unwrap_or_default() {
        "ppc64el" => "ppc64le",
        known @ ("amd64" | "arm64" | "s390x") => known,
        _ => "",
    };
    (machine.cpu_count > 0 && machine.memory > 0).then(|| Hardware {
        architecture: architecture.to_owned(),
        cpu: machine.cpu_count,
        memory_mib: machine.memory,
    })
}

fn power(state: &PowerState) -> Power {
    match state {
        PowerState::On => Power::On,
        PowerState::Off => Power::Off,
        PowerState::Error => Power::Error,
        PowerState::Unknown | PowerState::Other(_) => Power::Unknown,
    }
}

/// The boot interface's addresses, then the others; in each part v4 before v6, otherwise in MAAS's order.
///
/// Before it is deployed, MAAS shows a machine without configured addresses with the one it was *seen* with when it was commissioned
/// (fact sheet 5.6). That one may be somebody else's by now: until Deployed only configured addresses count.
fn addresses(machine: &Machine) -> Vec<IpAddr> {
    let configured =
        |interface: &Interface| interface.links.iter().filter_map(|link| link.ip_address).collect::<Vec<_>>();
    let parts = if machine.status == MachineStatus::Deployed {
        [machine.boot_addresses(), machine.ip_addresses.clone()]
    } else {
        let boot = machine.boot_interface.as_ref().map(configured).unwrap_or_default();
        [boot, machine.interface_set.iter().flat_map(configured).collect()]
    };
    let mut all: Vec<IpAddr> = Vec::new();
    for mut part in parts {
        part.sort_by_key(IpAddr::is_ipv6);
        for address in part {
            if !all.contains(&address) {
                all.push(address);
            }
        }
    }
    all
}

/// Where each configured address sits.
fn attachments(machine: &Machine) -> BTreeMap<IpAddr, Attachment> {
    let interfaces = machine.boot_interface.iter().chain(&machine.interface_set);
    let links = interfaces.flat_map(|interface| interface.links.iter().map(move |link| (interface, link)));
    let placed = links.filter_map(|(interface, link)| {
        let attachment = Attachment {
            interface: interface.name.clone(),
            tags: interface.tags.iter().cloned().collect::<BTreeSet<_>>(),
            subnet: link.subnet.as_ref().map(|subnet| subnet.name.clone()).unwrap_or_default(),
        };
        Some((link.ip_address?, attachment))
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(json: serde_json::Value) -> Machine {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_documented_table_has_all_23_statuses_and_is_what_the_code_does() {
        let rows: Vec<Vec<&str>> = include_str!("lib.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"))
            .map(|row| row.split(" | ").collect())
            .filter(|cells: &Vec<&str>| cells[0].parse::<i64>().is_ok())
            .collect();
        assert_eq!(rows.len(), MachineStatus::ALL.len());
        for (row, status) in rows.iter().zip(MachineStatus::ALL) {
            let phase = host_phase(*status, Evidence { owned: *status != MachineStatus::Ready });
            assert_eq!(*row, [status.number().to_string(), status.to_string(), format!("{phase:?}")]);
        }
    }

    #[test]
    fn only_a_ready_machine_without_owner_is_free_and_an_unknown_number_stays_unknown() {
        for status in MachineStatus::ALL {
            for owned in [false, true] {
                let free = host_phase(*status, Evidence { owned }) == HostPhase::Free;
                assert_eq!(free, *status == MachineStatus::Ready && !owned, "{status} owned={owned}");
            }
        }
        let unknown = host_view(&machine(serde_json::json!({"system_id": "abc123", "status": 99})), "us").unwrap();
        assert_eq!((unknown.phase, unknown.status_name.as_str()), (HostPhase::Unknown, "status 99"));
    }

    #[test]
    fn the_holder_is_ours_only_under_our_user_and_marked_only_by_a_token() {
        let token = Token::mint("1");
        for (owner, data, holder) in [
            (serde_json::Value::Null, "capmaas:1", Holder::Nobody),
            ("us".into(), "capmaas:1", Holder::Us(Some(token))),
            ("us".into(), "nonsense", Holder::Us(None)),
            ("them".into(), "capmaas:1", Holder::Other("them".into())),
        ] {
            let json = serde_json::json!({"system_id": "abc123", "status": 6, "owner": owner, "owner_data": {TOKEN_KEY: data}});
            assert_eq!(host_view(&machine(json), "us").unwrap().holder, holder);
        }
    }

    /// W-15
    #[test]
    fn addresses_begin_with_the_boot_interface_v4_first_and_none_comes_twice() {
        let view = host_view(
            &machine(serde_json::json!({
                "system_id": "abc123", "status": 6, "status_name": "Deployed", "hostname": "n1", "fqdn": "n1.maas",
                "zone": {"id": 1, "name": "az1"}, "pool": {"id": 0, "name": "big"}, "power_state": "error", "locked": true,
                "cpu_count": 4, "memory": 8192, "error_description": "bad disk",
                "ip_addresses": ["fd00::9", "10.0.1.1", "10.0.0.5", "", "not an address"],
                "boot_interface": {"links": [{"ip_address": "fd00::5"}, {"ip_address": "10.0.0.5"}, {"mode": "auto"}]},
            })),
            "us",
        )
        .unwrap();
        let addresses: Vec<_> = view.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.5", "fd00::5", "10.0.1.1", "fd00::9"]);
        assert_eq!((view.zone.as_str(), view.pool.as_str(), view.error.as_str()), ("az1", "big", "bad disk"));
        assert_eq!((view.power, view.locked, view.cpu, view.memory_mib), (Power::Error, true, 4, 8192));
    }

    #[test]
    fn a_machine_without_usable_id_is_an_error() {
        assert!(host_view(&machine(serde_json::json!({"system_id": "ABC", "status": 4})), "us").is_err());
    }
}
