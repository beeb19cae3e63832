//! JSON as a 3.7.3 shows it (reference §2.3).

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::region::Region;
use crate::results::{RunKind, ScriptStatus};
use crate::state::{AllocType, Domain, Interface, InterfaceKind, IpRow, Machine, Place, Tag};

pub(crate) const API: &str = "/MAAS/api/2.0";

pub(crate) fn zone(id: u64, place: &Place) -> Value {
    let uri = percent_encoding::utf8_percent_encode(&place.name, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%2D", "-")
        .replace("%5F", "_")
        .replace("%2E", ".");
    json!({"id": id, "name": place.name, "description": place.text, "resource_uri": format!("{API}/zones/{uri}/")})
}

pub(crate) fn pool(id: u64, place: &Place) -> Value {
    json!({"id": id, "name": place.name, "description": place.text, "resource_uri": format!("{API}/resourcepool/{id}/")})
}

pub(crate) fn tag(tag: &Tag) -> Value {
    json!({
        "name": tag.name, "definition": tag.definition, "comment": tag.comment, "kernel_opts": tag.kernel_opts,
        "resource_uri": format!("{API}/tags/{}/", tag.name),
    })
}

impl Region {
    pub(crate) fn vlan_json(&self, id: u64) -> Value {
        let Some(vlan) = self.vlans.get(&id) else {
            return Value::Null;
        };
        let fabric = self.fabrics.get(&vlan.fabric).map(|f| &f.name);
        let space = vlan.space.and_then(|s| self.spaces.get(&s)).map_or("undefined", |s| &s.name);
        json!({
            "id": id, "vid": vlan.vid, "name": vlan.name, "mtu": vlan.mtu, "dhcp_on": vlan.dhcp, "external_dhcp": null,
            "relay_vlan": vlan.relay.map(|id| json!({"id": id, "__incomplete__": true})), "fabric": fabric, "fabric_id": vlan.fabric, "space": space,
            "primary_rack": vlan.primary_rack, "secondary_rack": null, "resource_uri": format!("{API}/vlans/{id}/"),
        })
    }

    pub(crate) fn subnet_json(&self, id: u64) -> Value {
        let Some(subnet) = self.subnets.get(&id) else {
            return Value::Null;
        };
        let vlan = self.vlan_json(subnet.vlan);
        json!({
            "id": id, "name": subnet.name, "description": subnet.description, "space": vlan["space"], "vlan": vlan, "cidr": subnet.cidr.to_string(),
            "rdns_mode": subnet.rdns_mode, "gateway_ip": subnet.gateway, "dns_servers": subnet.dns_servers, "allow_dns": subnet.allow_dns,
            "allow_proxy": subnet.allow_proxy, "active_discovery": subnet.active_discovery, "managed": subnet.managed, "disabled_boot_architectures": [],
            "resource_uri": format!("{API}/subnets/{id}/"),
        })
    }

    pub(crate) fn domain_json(&self, id: u64, domain: &Domain) -> Value {
        // Names that were made, with what machines of that name add.
        let named = self.dns.iter().filter(|(_, r)| r.domain == id);
        let count: usize = named
            .map(|(key, r)| {
                let own = self.by_hostname.get(&r.name.to_ascii_lowercase()).and_then(|m| self.machines.get(m));
                let own = own.filter(|m| m.domain == id).map(|m| self.machine_addresses(m)).unwrap_or_default();
                let given = r.ips.iter().filter_map(|ip| self.ips.get(ip)?.ip);
                let addresses: std::collections::BTreeSet<IpAddr> = given.chain(own).collect();
                addresses.len() + self.records.values().filter(|x| x.resource == *key).count()
            })
            .sum();
        json!({
            "id": id, "name": domain.name, "authoritative": domain.authoritative, "ttl": domain.ttl, "is_default": id == self.default_domain, "resource_record_count": count,
            "resource_uri": format!("{API}/domains/{id}/"),
        })
    }

    pub(crate) fn user_json(&self, name: &str) -> Value {
        let user = self.users.get(name);
        let admin = user.is_some_and(|u| u.admin);
        let email = user.and_then(|u| u.email.clone()).unwrap_or_else(|| format!("{name}@lab.example"));
        json!({"username": name, "email": email, "is_superuser": admin, "is_local": true, "resource_uri": format!("{API}/users/{name}/")})
    }

    pub(crate) fn ip_json(&self, row: &IpRow) -> Value {
        let machine = row.machine.and_then(|id| self.machines.get(&id));
        let own = machine
            .and_then(|m| Some(self.interface_json(m, m.interfaces.iter().find(|i| Some(i.id) == row.interface)?)));
        let vlan = row.subnet.and_then(|id| self.subnets.get(&id)).map(|s| self.vlan_json(s.vlan));
        let unknown = row.unknown.as_ref().map(|(id, mac)| {
            json!({
                "id": id, "name": "eth0", "type": "unknown", "mac_address": mac, "vlan": vlan, "parents": [], "children": [], "tags": [], "enabled": true,
                "params": {}, "vendor": null, "product": null, "firmware_version": null, "link_connected": true, "interface_speed": 0, "link_speed": 0,
                "numa_node": null, "sriov_max_vf": 0,
            })
        });
        let interfaces: Vec<Value> = own.into_iter().chain(unknown).collect();
        json!({
            "alloc_type": row.alloc.code(), "alloc_type_name": row.alloc.name(), "ip": row.ip, "created": stamp(row.created),
            "owner": row.user.as_deref().map(|u| self.user_json(u)),
            "subnet": row.subnet.map(|id| self.subnet_json(id)),
            "interface_set": interfaces,
            "resource_uri": format!("{API}/ipaddresses/"),
        })
    }

    pub(crate) fn dns_json(&self, id: u64) -> Value {
        let Some(resource) = self.dns.get(&id) else {
            return Value::Null;
        };
        let ips: Vec<Value> =
            resource.ips.iter().filter_map(|id| self.ips.get(id)).map(|row| self.ip_json(row)).collect();
        json!({
            "id": id, "fqdn": self.resource_fqdn(resource), "address_ttl": resource.address_ttl, "ip_addresses": ips,
            "resource_records": self.records.iter().filter(|(_, r)| r.resource == id).map(|(id, _)| self.record_json(*id)).collect::<Vec<_>>(),
            "resource_uri": format!("{API}/dnsresources/{id}/"),
        })
    }

    /// Addresses as machine JSON lists them: observed ones only when there is no other.
    pub(crate) fn machine_addresses(&self, machine: &Machine) -> Vec<IpAddr> {
        let rows = || machine.rows().filter_map(|id| self.ips.get(&id)).filter(|r| !r.probing);
        let own: Vec<IpAddr> = rows().filter(|r| r.alloc != AllocType::Discovered).filter_map(|r| r.ip).collect();
        if own.is_empty() { rows().filter_map(|r| r.ip).collect() } else { own }
    }

    pub(crate) fn interface_json(&self, machine: &Machine, interface: &Interface) -> Value {
        let mut links = Vec::new();
        let mut discovered = Vec::new();
        for (id, row) in interface.rows.iter().filter_map(|id| self.ips.get(id).map(|r| (*id, r))) {
            let subnet = row.subnet.map(|id| self.subnet_json(id));
            let mode = match (row.alloc, row.ip) {
                (AllocType::Discovered, _) => {
                    discovered.push(json!({"subnet": subnet, "ip_address": row.ip}));
                    continue;
                }
                (AllocType::Auto, _) => "auto",
                (AllocType::Dhcp, _) => "dhcp",
                (_, Some(_)) => "static",
                (_, None) => "link_up",
            };
            let mut link = Map::new();
            link.insert("id".to_owned(), json!(id));
            link.insert("mode".to_owned(), json!(mode));
            if let Some(ip) = row.ip.filter(|_| !row.probing) {
                link.insert("ip_address".to_owned(), json!(ip));
            }
            if let Some(subnet) = subnet {
                link.insert("subnet".to_owned(), subnet);
            }
            links.push(Value::Object(link));
        }
        let name_of = |id: &u64| machine.interfaces.iter().find(|i| i.id == *id).map(|i| i.name.as_str());
        let children = machine.interfaces.iter().filter(|i| i.parents.contains(&interface.id));
        let physical = interface.kind == InterfaceKind::Physical && machine.known;
        let (id, system_id) = (interface.id, &machine.system_id);
        json!({
            "id": id, "system_id": system_id, "name": interface.name, "type": interface.kind.name(), "mac_address": interface.mac,
            "vlan": interface.vlan.map(|id| self.vlan_json(id)), "parents": interface.parents.iter().filter_map(name_of).collect::<Vec<_>>(),
            "children": children.map(|i| i.name.as_str()).collect::<Vec<_>>(), "tags": interface.tags, "enabled": true, "links": links,
            "discovered": if discovered.is_empty() { Value::Null } else { Value::Array(discovered) },
            "params": if interface.params.is_empty() && machine.known { json!("") } else { json!(interface.params) }, "effective_mtu": interface.mtu.unwrap_or(1500),
            "vendor": physical.then_some("SimNet"), "product": physical.then_some("SimNIC"), "firmware_version": null, "link_connected": true,
            "interface_speed": if physical { 1000 } else { 0 }, "link_speed": if physical { 1000 } else { 0 }, "numa_node": (interface.kind == InterfaceKind::Physical).then_some(0),
            "sriov_max_vf": 0, "resource_uri": format!("{API}/nodes/{system_id}/interfaces/{id}/"),
        })
    }

    /// A machine with every field of 3.7.3. `agent_name` is never among them.
    pub(crate) fn machine_json(&self, m: &Machine) -> Value {
        self.shown_machines.set(self.shown_machines.get() + 1);
        let mut out = Map::new();
        let mut add = |part: Value| {
            if let Value::Object(part) = part {
                out.extend(part);
            }
        };
        let host = self.vm_hosts.iter().find(|h| Some(h.id) == m.pod);
        let pod =
            host.map(|h| json!({"id": h.id, "name": h.spec.name, "resource_uri": format!("{API}/pods/{}/", h.id)}));
        let run = |kind: RunKind| m.runs.iter().rev().find(|r| r.kind == kind);
        let commissioning = run(RunKind::Commissioning).and_then(|r| r.status());
        let zone = self.zones.get(&m.zone).map(|z| zone(m.zone, z));
        let pool = self.pools.get(&m.pool).map(|p| pool(m.pool, p));
        let domain = self.domains.get(&m.domain).map(|d| self.domain_json(m.domain, d));
        // Chosen by hand, else the first subnet that has one.
        let gateway = |four: bool| {
            let chosen = m.interfaces.iter().find_map(|i| if four { i.gateways.0 } else { i.gateways.1 });
            let of = |row: u64| self.subnets.get(&self.ips.get(&row)?.subnet?)?.gateway.filter(|g| g.is_ipv4() == four);
            let linked = |row: &u64| self.ips.get(row).is_some_and(|r| r.alloc != AllocType::Discovered);
            let ip = chosen.and_then(of).or_else(|| m.rows().filter(linked).find_map(of));
            json!({"gateway_ip": ip, "link_id": chosen})
        };
        add(json!({
            "system_id": m.system_id, "hostname": m.hostname, "fqdn": self.fqdn(m), "domain": domain, "description": m.description, "hardware_uuid": m.known.then(|| uuid(m.id, 0)),
            "resource_uri": format!("{API}/machines/{}/", m.system_id), "node_type": 0, "node_type_name": "Machine", "parent": null, "pod": pod, "virtualmachine_id": m.virtual_id,
            "is_dpu": false, "owner": m.owner, "owner_data": m.owner_data, "workload_annotations": m.owner_data, "locked": m.locked, "status": m.status.code(),
            "status_name": m.status.name(), "status_message": m.status_message, "status_action": m.status_action, "error_description": m.error_description,
            "netboot": m.netboot,
        }));
        add(json!({
            "power_type": m.power_type, "power_state": m.power_state.name(), "osystem": m.os.as_ref().map_or("", |o| o.0.as_str()),
            "distro_series": m.os.as_ref().map_or("", |o| o.1.as_str()), "hwe_kernel": m.hwe_kernel, "min_hwe_kernel": m.min_hwe_kernel, "ephemeral_deploy": m.ephemeral,
            "enable_kernel_crash_dump": false, "swap_size": m.swap_size, "architecture": m.architecture, "cpu_count": m.cpu_count, "cpu_speed": if m.known { 2400 } else { 0 }, "memory": m.memory,
            "storage": decimal_megabytes(m), "bios_boot_method": null, "hardware_info": hardware_info(),
            "numanode_set": [{"index": 0, "memory": m.numa.1, "cores": (0..m.numa.0).collect::<Vec<_>>(), "hugepages_set": []}],
            "zone": zone, "pool": pool, "tag_names": self.tags.values().filter(|t| m.tags.contains(&t.name)).map(|t| t.name.as_str()).collect::<Vec<_>>(),
        }));
        let interfaces: Vec<Value> = m.interfaces.iter().map(|i| self.interface_json(m, i)).collect();
        let all: Vec<Value> = m.block_devices().map(|d| crate::storage::disk_json(m, d)).collect();
        let (disks, volumes) = all.split_at(m.disks.len());
        add(json!({
            "ip_addresses": self.machine_addresses(m), "boot_interface": interfaces.first(), "interface_set": interfaces,
            "default_gateways": {"ipv4": gateway(true), "ipv6": gateway(false)}, "address_ttl": null,
            "disable_ipv4": false, "boot_disk": disks.first(), "blockdevice_set": all, "physicalblockdevice_set": disks, "virtualblockdevice_set": volumes,
            "volume_groups": m.volume_groups.iter().map(|g| json!({"system_id": m.system_id, "id": g.id, "__incomplete__": true})).collect::<Vec<_>>(),
            "raids": [], "bcaches": [], "cache_sets": [], "special_filesystems": crate::layouts::special_json(m), "enable_hw_sync": false, "sync_interval": null, "last_sync": null, "next_sync": null,
            "current_commissioning_result_id": run(RunKind::Commissioning).map(|r| r.id), "current_testing_result_id": run(RunKind::Testing).map(|r| r.id),
            "current_installation_result_id": run(RunKind::Installation).map(|r| r.id), "commissioning_status": commissioning.map_or(-1, |s| i64::from(s as u8)),
            "commissioning_status_name": commissioning.map_or("Unknown", ScriptStatus::name),
        }));
        let testing = run(RunKind::Testing).and_then(|r| r.status());
        // The one test there is looks at disks.
        let kinds = [
            ("testing", testing),
            ("storage_test", testing),
            ("cpu_test", None),
            ("memory_test", None),
            ("network_test", None),
            ("interface_test", None),
            ("other_test", None),
        ];
        for (test, status) in kinds {
            out.insert(format!("{test}_status"), json!(status.map_or(-1, |s| i64::from(s as u8))));
            out.insert(format!("{test}_status_name"), json!(status.map_or("Unknown", ScriptStatus::name)));
        }
        // Fields that came or went with a version.
        for (field, from, until) in [
            ("error_description", (3, 5), (99, 0)),
            ("enable_kernel_crash_dump", (3, 6), (99, 0)),
            ("is_dpu", (3, 7), (99, 0)),
            ("pod", (0, 0), (4, 0)),
            ("virtualmachine_id", (0, 0), (4, 0)),
        ] {
            if !self.is_at_least(from.0, from.1) || self.is_at_least(until.0, until.1) {
                out.remove(field);
            }
        }
        Value::Object(out)
    }
}

/// `storage` is a float of decimal megabytes in MAAS.
fn decimal_megabytes(machine: &Machine) -> f64 {
    let bytes: u64 = machine.disks.iter().map(|d| d.size).sum();
    // Disks are far below 2^52 kilobytes.
    #[allow(clippy::cast_precision_loss)]
    let kilobytes = (bytes / 1000) as f64;
    kilobytes / 1000.0
}

fn hardware_info() -> Value {
    let names = [
        "system_vendor",
        "system_product",
        "system_family",
        "system_version",
        "system_sku",
        "system_serial",
        "cpu_model",
        "mainboard_vendor",
        "mainboard_product",
        "mainboard_serial",
        "mainboard_version",
        "mainboard_firmware_vendor",
        "mainboard_firmware_date",
        "mainboard_firmware_version",
        "chassis_vendor",
        "chassis_type",
        "chassis_serial",
        "chassis_version",
    ];
    Value::Object(names.into_iter().map(|n| (n.to_owned(), json!("Unknown"))).collect())
}

pub(crate) fn uuid(id: u64, kind: u64) -> String {
    format!("{kind:08x}-0000-4000-8000-{id:012x}")
}

/// Model date fields: milliseconds and `Z`.
pub(crate) fn stamp(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
