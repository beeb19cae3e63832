//! What a region consists of at the start, and labs that are ready for use.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use serde::Deserialize;

use crate::durations::Durations;
use crate::specs::{
    ImageSpec, MachineSpec, PlaceSpec, SubnetSpec, TagSpec, UserSpec, amd64, fabric_0, lab_space, parsed,
};

/// Why an inventory was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The YAML text does not fit the shape.
    #[error("inventory: {0}")]
    Syntax(String),
    /// Two parts of the inventory contradict each other.
    #[error("inventory: {0}")]
    Inconsistent(String),
}

/// Kind of a [`ConfigError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigErrorKind {
    /// Text that is not YAML of the expected shape.
    Syntax,
    /// References to things that the inventory does not have.
    Inconsistent,
}

impl ConfigError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        match self {
            ConfigError::Syntax(_) => ConfigErrorKind::Syntax,
            ConfigError::Inconsistent(_) => ConfigErrorKind::Inconsistent,
        }
    }
}

/// The whole inventory of a region. Every field has a default, so a small YAML is enough.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seed of everything that is random (system ids, generated names).
    pub seed: u64,
    /// Version that `version/` shows; 3.7.3 is what the simulator models. What clients notice of others goes with it:
    /// fields that came later are missing, `reservedips/` is there from 3.6 on, as are version numbers for `distro_series`;
    /// DNS addresses go with their resource as that version did it; up to 3.8 allocate composes on VM hosts, and testing and
    /// rescue mode forget user data; from 3.8 on answers carry a trace id; from 4.0 on all of VM hosts answers 410.
    pub version: String,
    /// Creation time of the initial inventory.
    #[serde(deserialize_with = "parsed")]
    pub epoch: Timestamp,
    /// Users with their API keys.
    pub users: Vec<UserSpec>,
    /// Machines, in order of their internal ids.
    pub machines: Vec<MachineSpec>,
    /// Availability zones; `default` is added when missing.
    pub zones: Vec<PlaceSpec>,
    /// Resource pools; `default` is added when missing.
    pub pools: Vec<PlaceSpec>,
    /// Tags by name; tags named by machines are added when missing.
    pub tags: Vec<TagSpec>,
    /// DNS domains; the first is the default domain. `maas` when empty.
    pub domains: Vec<String>,
    /// Hosts that allocate composes machines on, in regions up to 3.8, when no machine fits.
    pub vm_hosts: Vec<crate::VmHostSpec>,
    /// Subnets; machines take AUTO addresses from the first.
    pub subnets: Vec<SubnetSpec>,
    /// Boot images.
    pub images: Vec<ImageSpec>,
    /// How long things take.
    pub durations: Durations,
    /// What requests cost: nothing, unless they are to be as slow as a real region's.
    pub costs: crate::Costs,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            version: "3.7.3".to_owned(),
            // Any fixed instant will do; `jiff` cannot fail on it.
            epoch: Timestamp::constant(1_767_225_600, 0),
            users: vec![
                UserSpec { username: "admin".to_owned(), admin: true, api_keys: vec![ADMIN_KEY.to_owned()] },
                UserSpec { username: "alice".to_owned(), admin: false, api_keys: vec![USER_KEY.to_owned()] },
            ],
            machines: Vec::new(),
            zones: Vec::new(),
            pools: Vec::new(),
            tags: Vec::new(),
            domains: vec!["maas".to_owned()],
            vm_hosts: Vec::new(),
            subnets: vec![Block::LAB.subnet()],
            images: default_images(),
            durations: Durations::default(),
            costs: crate::Costs::default(),
        }
    }
}

/// API key of user `admin` in [`Config::default`] and [`Config::lab`].
pub const ADMIN_KEY: &str = "LabConsumerA000000:LabTokenKeyA000000:LabTokenSecretA00000000000000000";
/// API key of user `alice`, who is no administrator, in [`Config::default`] and [`Config::lab`].
pub const USER_KEY: &str = "LabConsumerB000000:LabTokenKeyB000000:LabTokenSecretB00000000000000000";

/// How the lab's subnet uses its addresses: gateway, eight reserved ones, those for deployed machines; the last quarter
/// is the dynamic range, where machines were seen while commissioning.
#[derive(Clone, Copy)]
struct Block(Ipv4Net);

impl Block {
    const LAB: Self = Self(Ipv4Net::new_assert(Ipv4Addr::new(10, 10, 0, 0), 16));

    /// The number of the broadcast address.
    fn broadcast(self) -> u32 {
        u32::MAX >> self.0.prefix_len()
    }

    /// The number of the dynamic range's first address.
    fn dynamic(self) -> u32 {
        self.broadcast() / 4 * 3 + 3
    }

    fn at(self, number: u32) -> IpAddr {
        // Numbers are below the size of the block, so they touch none of its bits.
        IpAddr::from(Ipv4Addr::from(u32::from(self.0.network()) | number))
    }

    fn subnet(self) -> SubnetSpec {
        SubnetSpec {
            name: "lab-net".to_owned(),
            cidr: IpNet::V4(self.0.trunc()),
            gateway: Some(self.at(1)),
            fabric: fabric_0(),
            vid: 0,
            space: lab_space(),
            dynamic: Some((self.at(self.dynamic()), self.at(self.broadcast() - 1))),
            reserved: Some((self.at(2), self.at(9))),
            ranges: Vec::new(),
        }
    }

    /// Where the n-th machine was seen. Beyond the last they are seen twice, as under DHCP.
    fn observed(self, n: usize) -> IpAddr {
        let room = (self.broadcast() - self.dynamic()).min(16_000);
        self.at(self.dynamic() + u32::try_from(n).unwrap_or(u32::MAX) % room)
    }
}

fn default_images() -> Vec<ImageSpec> {
    let synced = |series: &str, version: &str| ImageSpec {
        name: format!("ubuntu/{series}"),
        architecture: amd64(),
        uploaded: false,
        alias: Some(version.to_owned()),
        kernels: vec![format!("ga-{version}"), format!("hwe-{version}")],
        title: format!("{series} LTS"),
    };
    let uploaded = ImageSpec {
        name: "u-1804-0-k-11912-0".to_owned(),
        architecture: amd64(),
        uploaded: true,
        alias: None,
        kernels: Vec::new(),
        title: "Ubuntu 18.04 with Kubernetes 1.19.12".to_owned(),
    };
    vec![synced("noble", "24.04"), synced("jammy", "22.04"), uploaded]
}

impl Config {
    /// A ready lab: `node01` … of 8 cores and 16 GiB, domains `maas` (default) and `maas.sc`, three zones. Every
    /// fourth machine is in `zone-a`, every eighth in `zone-b`, the rest in `default`.
    #[must_use]
    pub fn lab(machines: usize) -> Self {
        Self::laid_out(machines, Block::LAB)
    }

    /// The same lab with its subnet, ranges and observed addresses in another block than `10.10.0.0/16`, e.g.
    /// `127.10.0.0/16`: there every machine's address is one of this computer's own, that programs can listen on.
    ///
    /// The first address is the gateway's; the next eight are reserved, so that nothing of MAAS takes them; the last
    /// quarter is the dynamic range.
    ///
    /// ```
    /// let config = maas_sim::Config::lab_in(3, "127.10.0.0/16".parse()?)?;
    /// let subnet = &config.subnets[0];
    /// assert_eq!(subnet.reserved, Some(("127.10.0.2".parse()?, "127.10.0.9".parse()?)));
    /// assert_eq!(config.machines[0].observed_ip, Some("127.10.192.1".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A block that is not IPv4, or has other than 8 to 24 bits of prefix.
    pub fn lab_in(machines: usize, block: IpNet) -> Result<Self, ConfigError> {
        match block {
            IpNet::V4(block) if (8..=24).contains(&block.prefix_len()) => Ok(Self::laid_out(machines, Block(block))),
            other => Err(ConfigError::Inconsistent(format!("subnet {other}: the lab takes IPv4 from /8 to /24"))),
        }
    }

    fn laid_out(machines: usize, block: Block) -> Self {
        let place = |name: &str| PlaceSpec { name: name.to_owned(), description: String::new() };
        let width = machines.to_string().len().max(2);
        let machines = (1..=machines)
            .map(|n| {
                let zone = match n % 8 {
                    0 => "zone-b",
                    4 => "zone-a",
                    _ => "default",
                };
                MachineSpec {
                    zone: zone.to_owned(),
                    observed_ip: Some(block.observed(n)),
                    ..MachineSpec::named(format!("node{n:0width$}"))
                }
            })
            .collect();
        Self {
            machines,
            zones: vec![place("default"), place("zone-a"), place("zone-b")],
            domains: vec!["maas".to_owned(), "maas.sc".to_owned()],
            subnets: vec![block.subnet()],
            ..Self::default()
        }
    }

    /// Reads an inventory; absent parts take the defaults of [`Config::default`].
    ///
    /// ```
    /// let config = maas_sim::Config::from_yaml("
    /// seed: 7
    /// domains: [maas, lab.example]
    /// machines:
    /// - {hostname: big, cpu_count: 64, memory: 262144, tags: [gpu]}
    /// - {hostname: small}
    /// durations: {installing: 5, reboot: 0.5}
    /// ")?;
    /// assert_eq!(config.machines.len(), 2);
    /// # Ok::<(), maas_sim::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// Text of another shape, machines that name zones, pools or domains that are not in the inventory.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_saphyr::from_str(text).map_err(|e| ConfigError::Syntax(e.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Checks that references within the inventory resolve.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::Inconsistent(text));
        let known = |places: &[PlaceSpec], name: &str| name == "default" || places.iter().any(|p| p.name == name);
        for user in &self.users {
            if let Some(key) = user.api_keys.iter().find(|k| k.split(':').count() != 3) {
                return wrong(format!(
                    "user {}: API key of {} characters is not consumer:token:secret",
                    user.username,
                    key.len()
                ));
            }
        }
        let mut names = std::collections::BTreeSet::new();
        for m in &self.machines {
            if m.hostname.is_empty() || !names.insert(m.hostname.to_ascii_lowercase()) {
                return wrong(format!("machine {:?}: hostname is empty or given twice", m.hostname));
            }
            if !known(&self.zones, &m.zone) {
                return wrong(format!("machine {}: no zone {}", m.hostname, m.zone));
            }
            if !known(&self.pools, &m.pool) {
                return wrong(format!("machine {}: no pool {}", m.hostname, m.pool));
            }
            if let Some(domain) = m.domain.as_ref().filter(|d| !self.domains.contains(d)) {
                return wrong(format!("machine {}: no domain {domain}", m.hostname));
            }
            let has_subnet = |text: &str| self.subnets.iter().any(|s| s.name == text || s.cidr.to_string() == text);
            let mut links = m.interfaces.iter().flat_map(|i| &i.links);
            if let Some(name) = links.find_map(|l| l.subnet.as_deref().filter(|name| !has_subnet(name))) {
                return wrong(format!("machine {}: no subnet {name}", m.hostname));
            }
            if !m.interfaces.is_empty() && (m.mac.is_some() || m.observed_ip.is_some() || !m.ips.is_empty()) {
                return wrong(format!("machine {}: mac, ips and observed_ip stand in its interfaces", m.hostname));
            }
            if crate::Status::from_filter(&m.status).is_none() {
                return wrong(format!("machine {}: no status {}", m.hostname, m.status));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_lies_in_the_block_it_is_given() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (block, gateway, reserved, dynamic, last, seen) in [
            ("10.10.0.0/16", "10.10.0.1", "10.10.0.2", "10.10.192.0", "10.10.255.254", "10.10.192.7"),
            ("127.10.0.0/16", "127.10.0.1", "127.10.0.2", "127.10.192.0", "127.10.255.254", "127.10.192.7"),
            ("127.10.3.9/16", "127.10.0.1", "127.10.0.2", "127.10.192.0", "127.10.255.254", "127.10.192.7"),
            ("192.0.2.0/24", "192.0.2.1", "192.0.2.2", "192.0.2.192", "192.0.2.254", "192.0.2.199"),
            ("127.0.0.0/8", "127.0.0.1", "127.0.0.2", "127.192.0.0", "127.255.255.254", "127.192.0.7"),
        ] {
            let config = Config::lab_in(300, block.parse().unwrap()).unwrap();
            let subnet = &config.subnets[0];
            assert_eq!(subnet.gateway, Some(ip(gateway)), "{block}");
            assert_eq!(subnet.reserved.unwrap().0, ip(reserved), "{block}");
            assert_eq!(subnet.dynamic, Some((ip(dynamic), ip(last))), "{block}");
            let observed = |n: usize| config.machines[n].observed_ip.unwrap();
            assert_eq!(observed(6), ip(seen), "{block}");
            for n in 0..config.machines.len() {
                assert!(ip(dynamic) <= observed(n) && observed(n) <= ip(last), "{block}: {}", observed(n));
            }
        }
        let (lab, same) = (Config::lab(9), Config::lab_in(9, "10.10.0.0/16".parse().unwrap()).unwrap());
        assert_eq!(format!("{lab:?}"), format!("{same:?}"));
        for block in ["2001:db8::/64", "10.0.0.0/25", "0.0.0.0/0"] {
            let error = Config::lab_in(1, block.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Inconsistent, "{block}");
        }
    }
}
