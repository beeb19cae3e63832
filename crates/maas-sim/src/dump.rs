//! An inventory out of a region's own answers.

use std::net::IpAddr;

use serde_json::Value;

use crate::config::{Config, ConfigError};
use crate::specs::{
    DiskSpec, ImageSpec, InterfaceSpec, LinkMode, LinkSpec, MachineSpec, PlaceSpec, RangeSpec, SubnetSpec, TagSpec,
    UserSpec,
};

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect()
}

fn ip(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

fn rows<'a>(dump: &'a Value, table: &str) -> impl Iterator<Item = &'a Value> {
    dump[table].as_array().into_iter().flatten()
}

impl Config {
    /// Reads the answers of a region's list calls, as `{"machines": […], "subnets": […], …}`: what
    /// `GET machines/` answers under `machines`, and so `zones`, `resourcepools`, `tags`, `domains`, `users`, `fabrics`,
    /// `subnets`, `ipranges`, `boot_resources`, `version`. Absent parts take the defaults. Keys of users are not in such
    /// answers: `admin` and `alice` have those of the lab.
    ///
    /// # Errors
    /// Text that is not JSON, or subnets without a CIDR.
    pub fn from_dump(text_of_it: &str) -> Result<Self, ConfigError> {
        let dump: Value = serde_json::from_str(text_of_it).map_err(|e| ConfigError::Syntax(e.to_string()))?;
        let mut config = Config::default();
        let place = |p: &Value| PlaceSpec { name: text(p, "name"), description: text(p, "description") };
        let by_id = |table: &str| {
            let mut all: Vec<&Value> = rows(&dump, table).collect();
            all.sort_by_key(|row| row["id"].as_u64());
            all
        };
        config.zones = by_id("zones").into_iter().map(place).collect();
        config.pools = by_id("resourcepools").into_iter().map(place).collect();
        config.tags = rows(&dump, "tags")
            .map(|t| TagSpec {
                name: text(t, "name"),
                comment: text(t, "comment"),
                kernel_opts: text(t, "kernel_opts"),
            })
            .collect();
        config.domains = by_id("domains").into_iter().map(|d| text(d, "name")).collect();
        if let Some(version) = dump["version"]["version"].as_str() {
            version.clone_into(&mut config.version);
        }
        for user in rows(&dump, "users") {
            let username = text(user, "username");
            if !config.users.iter().any(|u| u.username == username) {
                let admin = user["is_superuser"] == true;
                config.users.push(UserSpec { username, admin, api_keys: Vec::new() });
            }
        }
        config.subnets = by_id("subnets").into_iter().map(|s| subnet(&dump, s)).collect::<Result<_, _>>()?;
        config.images = images(&by_id("boot_resources"));
        config.machines = rows(&dump, "machines").map(|m| machine(&dump, m)).collect();
        Ok(config)
    }
}

fn subnet(dump: &Value, s: &Value) -> Result<SubnetSpec, ConfigError> {
    let name = text(s, "name");
    let cidr = text(s, "cidr");
    let range = |r: &Value| {
        let (start, end) = (ip(&r["start_ip"])?, ip(&r["end_ip"])?);
        Some(RangeSpec { dynamic: r["type"] == "dynamic", start, end, comment: text(r, "comment") })
    };
    let ranges = rows(dump, "ipranges").filter(|r| r["subnet"]["id"] == s["id"]).filter_map(range).collect();
    Ok(SubnetSpec {
        cidr: cidr.parse().map_err(|_| ConfigError::Inconsistent(format!("subnet {name}: CIDR {cidr:?}")))?,
        gateway: ip(&s["gateway_ip"]),
        fabric: text(&s["vlan"], "fabric"),
        vid: s["vlan"]["vid"].as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
        space: text(s, "space"),
        dynamic: None,
        reserved: None,
        ranges,
        name,
    })
}

/// Rows of one name and architecture are the kernels of one image.
fn images(rows: &[&Value]) -> Vec<ImageSpec> {
    let mut images: Vec<ImageSpec> = Vec::new();
    for row in rows {
        let (name, full) = (text(row, "name"), text(row, "architecture"));
        let (architecture, kernel) = full.split_once('/').unwrap_or((&full, "generic"));
        let uploaded = row["type"] == "Uploaded";
        let kernel = Some(kernel.to_owned()).filter(|k| k != "generic");
        if let Some(known) = images.iter_mut().find(|i| i.name == name && i.architecture == architecture) {
            known.kernels.extend(kernel);
            continue;
        }
        let alias = kernel.as_ref().and_then(|k| k.split_once('-')).map(|(_, version)| version.to_owned());
        images.push(ImageSpec {
            name,
            architecture: architecture.to_owned(),
            uploaded,
            alias,
            kernels: kernel.into_iter().collect(),
            title: text(row, "title"),
        });
    }
    images
}

fn machine(dump: &Value, m: &Value) -> MachineSpec {
    let boot = &m["boot_interface"]["id"];
    let mut interfaces: Vec<&Value> = rows(m, "interface_set").collect();
    interfaces.sort_by_key(|i| (i["id"] != *boot, i["id"].as_u64()));
    let disk = |d: &Value| DiskSpec {
        size_gb: d["size"].as_u64().unwrap_or(0) / 1_000_000_000,
        tags: texts(&d["tags"]),
        formatted: rows(d, "partitions").all(|p| !p["filesystem"].is_null()),
    };
    let status = m["status"].as_u64().and_then(|n| crate::Status::ALL.iter().find(|s| u64::from(s.code()) == n));
    let system_id = text(m, "system_id");
    MachineSpec {
        // A dump has none.
        devices: Vec::new(),
        domain: m["domain"]["name"].as_str().map(str::to_owned),
        hostname: text(m, "hostname"),
        description: text(m, "description"),
        architecture: text(m, "architecture"),
        cpu_count: m["cpu_count"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        memory: m["memory"].as_u64().unwrap_or(0),
        disks: rows(m, "physicalblockdevice_set").map(disk).collect(),
        zone: text(&m["zone"], "name"),
        pool: text(&m["pool"], "name"),
        tags: texts(&m["tag_names"]),
        power_type: text(m, "power_type"),
        bmc_address: ip(&dump["bmc_addresses"][&system_id]),
        mac: None,
        ips: Vec::new(),
        observed_ip: None,
        interfaces: interfaces.into_iter().map(interface).collect(),
        status: status.map_or("ready", |s| s.filter_value()).to_owned(),
        owner: m["owner"].as_str().map(str::to_owned),
        powered: m["power_state"] == "on",
        power_state: m["power_state"].as_str().map(str::to_owned),
        system_id: Some(system_id),
    }
}

fn interface(i: &Value) -> InterfaceSpec {
    let link = |l: &Value| LinkSpec {
        mode: match l["mode"].as_str() {
            Some("static") => LinkMode::Static,
            Some("dhcp") => LinkMode::Dhcp,
            Some("link_up") => LinkMode::LinkUp,
            _ => LinkMode::Auto,
        },
        subnet: l["subnet"]["cidr"].as_str().map(str::to_owned),
        ip: ip(&l["ip_address"]),
    };
    InterfaceSpec {
        name: text(i, "name"),
        tags: texts(&i["tags"]),
        mac: i["mac_address"].as_str().map(str::to_owned),
        observed_ip: rows(i, "discovered").find_map(|d| ip(&d["ip_address"])),
        links: rows(i, "links").map(link).collect(),
    }
}
