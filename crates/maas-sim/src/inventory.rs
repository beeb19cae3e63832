//! From an inventory to the tables of a region.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::Status;
use crate::config::{Config, ImageSpec, MachineSpec};
use crate::region::Region;
use crate::results::{COMMISSIONING, RunKind, ScriptStatus};
use crate::state::{
    AllocType, Bmc, Disk, Domain, Due, Image, IpRow, Level, Machine, Place, PowerState, Subnet, Token, User,
};
use crate::zones::Zones;

impl Region {
    /// A region with that inventory. Zones, pools, tags and domains that only machines name are added.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut region = Self {
            version: config.version,
            durations: config.durations,
            rng: fastrand::Rng::with_seed(config.seed),
            now: config.epoch,
            users: BTreeMap::new(),
            consumers: BTreeSet::new(),
            tokens: BTreeMap::new(),
            nonces: BTreeMap::new(),
            zones: BTreeMap::new(),
            pools: BTreeMap::new(),
            tags: BTreeMap::new(),
            domains: BTreeMap::new(),
            default_domain: 0,
            subnets: Vec::new(),
            images: Vec::new(),
            machines: BTreeMap::new(),
            by_system_id: BTreeMap::new(),
            by_hostname: BTreeMap::new(),
            by_status: BTreeMap::new(),
            ips: BTreeMap::new(),
            by_ip: BTreeMap::new(),
            dns: BTreeMap::new(),
            dns_dirty: BTreeSet::new(),
            published: Zones::default(),
            events: VecDeque::new(),
            agenda: BTreeMap::new(),
            happenings: Vec::new(),
            // Ids that start elsewhere than at 1 do so in a real region too.
            next_ids: BTreeMap::from([("pool", 0), ("domain", 0), ("interface", 2)]),
            outage: None,
            signed_now: None,
            counters: BTreeMap::new(),
            unsimulated: BTreeMap::new(),
            log: VecDeque::new(),
        };
        for user in config.users {
            region.users.insert(user.username.clone(), User { admin: user.admin });
            for key in user.api_keys {
                region.insert_key(&user.username, &key);
            }
        }
        region.ensure_zone("default");
        region.ensure_pool("default");
        for (spec, is_zone) in config.zones.iter().map(|z| (z, true)).chain(config.pools.iter().map(|p| (p, false))) {
            let id = if is_zone { region.ensure_zone(&spec.name) } else { region.ensure_pool(&spec.name) };
            let table = if is_zone { &mut region.zones } else { &mut region.pools };
            if let Some(place) = table.get_mut(&id).filter(|_| !spec.description.is_empty()) {
                place.text.clone_from(&spec.description);
            }
        }
        for tag in &config.tags {
            region.ensure_tag(tag);
        }
        for domain in &config.domains {
            region.ensure_domain(domain);
        }
        if region.domains.is_empty() {
            region.ensure_domain("maas");
        }
        for subnet in config.subnets {
            let id = region.next_id("subnet");
            region.subnets.push(Subnet {
                id,
                name: subnet.name,
                cidr: subnet.cidr,
                gateway: subnet.gateway,
                dynamic: subnet.dynamic,
                reserved: subnet.reserved,
            });
        }
        for image in config.images {
            region.insert_image(image);
        }
        for spec in config.machines {
            region.insert_machine(spec);
        }
        // The first zone files are there before anybody asks.
        region.agenda.retain(|_, due| *due != Due::Publish);
        region.publish();
        region
    }

    fn ensure_place(&mut self, table: &'static str, name: &str, text: &str) -> u64 {
        let places = match table {
            "zone" => &self.zones,
            "pool" => &self.pools,
            _ => &self.tags,
        };
        if let Some((id, _)) = places.iter().find(|(_, p)| p.name == name) {
            return *id;
        }
        let id = self.next_id(table);
        let place = Place { name: name.to_owned(), text: text.to_owned() };
        match table {
            "zone" => self.zones.insert(id, place),
            "pool" => self.pools.insert(id, place),
            _ => self.tags.insert(id, place),
        };
        id
    }

    pub(crate) fn ensure_zone(&mut self, name: &str) -> u64 {
        self.ensure_place("zone", name, "")
    }

    pub(crate) fn ensure_pool(&mut self, name: &str) -> u64 {
        let text = if name == "default" { "Default pool" } else { "" };
        self.ensure_place("pool", name, text)
    }

    pub(crate) fn ensure_tag(&mut self, name: &str) -> u64 {
        self.ensure_place("tag", name, "")
    }

    /// One row per kernel, as MAAS shows them.
    pub(crate) fn insert_image(&mut self, image: ImageSpec) {
        let custom = image.uploaded && !image.name.contains('/');
        let release = if custom { format!("custom/{}", image.name) } else { image.name };
        let kernels = if image.kernels.is_empty() { vec![None] } else { image.kernels.into_iter().map(Some).collect() };
        for kernel in kernels {
            let id = self.next_id("image");
            self.images.push(Image {
                id,
                uploaded: image.uploaded,
                release: release.clone(),
                alias: image.alias.clone(),
                architecture: image.architecture.clone(),
                kernel,
                title: image.title.clone(),
            });
        }
    }

    pub(crate) fn ensure_domain(&mut self, name: &str) -> u64 {
        if let Some((id, _)) = self.domains.iter().find(|(_, d)| d.name == name) {
            return *id;
        }
        let id = self.next_id("domain");
        self.domains.insert(id, Domain { name: name.to_owned(), authoritative: true, ttl: None });
        self.touch_domain(id);
        id
    }

    pub(crate) fn insert_key(&mut self, user: &str, key: &str) -> bool {
        let mut parts = key.split(':');
        let (Some(consumer), Some(token), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        self.consumers.insert(consumer.to_owned());
        self.tokens.insert(
            token.to_owned(),
            Token { consumer: consumer.to_owned(), secret: secret.to_owned(), user: user.to_owned() },
        );
        true
    }

    pub(crate) fn new_system_id(&mut self) -> String {
        const ALPHABET: &[u8] = b"34678abcdefghkmnpqrstwxy";
        loop {
            let id: String = (0..6).map(|_| char::from(ALPHABET[self.rng.usize(..ALPHABET.len())])).collect();
            if !self.by_system_id.contains_key(&id) {
                return id;
            }
        }
    }

    pub(crate) fn insert_machine(&mut self, spec: MachineSpec) -> String {
        let id = self.next_id("machine");
        let system_id = spec.system_id.unwrap_or_else(|| self.new_system_id());
        let zone = self.ensure_zone(&spec.zone);
        let pool = self.ensure_pool(&spec.pool);
        let domain = spec.domain.as_deref().map_or(self.default_domain, |d| self.ensure_domain(d));
        for tag in &spec.tags {
            self.ensure_tag(tag);
        }
        let interface = self.next_id("interface");
        let mut rows = Vec::new();
        let observed = spec.observed_ip.map(|ip| (AllocType::Discovered, Some(ip)));
        let links: Vec<_> = if spec.ips.is_empty() {
            vec![(AllocType::Auto, None)]
        } else {
            spec.ips.iter().map(|ip| (AllocType::Sticky, Some(*ip))).collect()
        };
        for (alloc, ip) in observed.into_iter().chain(links) {
            let subnet = ip.map_or_else(|| self.subnets.first().map(|s| s.id), |ip| self.subnet_of(ip));
            let row = self.insert_ip(IpRow {
                alloc,
                ip,
                subnet,
                machine: Some(id),
                user: None,
                created: self.now,
                probing: false,
            });
            rows.push(row);
        }
        let disks = spec
            .disks
            .into_iter()
            .map(|d| Disk { id: self.next_id("disk"), size: d.size_gb.saturating_mul(1_000_000_000), tags: d.tags })
            .collect();
        let status = Status::from_filter(&spec.status).unwrap_or(Status::Ready);
        let manual = spec.power_type == "manual" || spec.power_type.is_empty();
        let machine = Machine {
            id,
            system_id: system_id.clone(),
            hostname: spec.hostname,
            domain,
            description: String::new(),
            architecture: if spec.architecture.contains('/') {
                spec.architecture
            } else {
                format!("{}/generic", spec.architecture)
            },
            cpu_count: spec.cpu_count,
            memory: spec.memory,
            disks,
            zone,
            pool,
            tags: spec.tags.into_iter().collect(),
            power_type: spec.power_type,
            mac: spec.mac.unwrap_or_else(|| {
                format!("52:54:00:{:02x}:{:02x}:{:02x}", (id >> 16) & 0xff, (id >> 8) & 0xff, id & 0xff)
            }),
            interface,
            rows,
            status,
            previous: Status::Ready,
            owner: None,
            agent_name: String::new(),
            owner_data: BTreeMap::new(),
            locked: false,
            error_description: String::new(),
            status_message: None,
            status_action: None,
            power_state: if manual { PowerState::Unknown } else { PowerState::Off },
            running: false,
            plugged: true,
            bmc: Bmc::Works,
            fail_next: None,
            os: None,
            hwe_kernel: None,
            min_hwe_kernel: None,
            netboot: true,
            ephemeral: false,
            user_data: None,
            swap_size: None,
            deployment: 0,
            runs: Vec::new(),
            epoch: 0,
        };
        self.by_system_id.insert(system_id.clone(), id);
        self.by_hostname.insert(machine.hostname.to_ascii_lowercase(), id);
        self.by_status.entry(status).or_default().insert(id);
        self.machines.insert(id, machine);
        if status != Status::New {
            self.begin_run(id, RunKind::Commissioning, &COMMISSIONING, ScriptStatus::Passed);
            self.event(id, Level::Debug, "Node changed status", format!("From 'New' to '{status}'"), None);
        }
        self.give_os(id);
        self.touch_machine_names(id);
        system_id
    }

    /// A machine that was put into a status of deployment by hand has what it would have got: the default image.
    pub(crate) fn give_os(&mut self, id: u64) {
        let Some(image) = self.images.iter().find(|i| !i.uploaded) else {
            return;
        };
        let (os, kernel) = (
            image.release.split_once('/').map(|(os, series)| (os.to_owned(), series.to_owned())),
            image.kernel.clone(),
        );
        if let Some(m) = self.machines.get_mut(&id).filter(|m| {
            m.os.is_none() && matches!(m.status, Status::Deploying | Status::Deployed | Status::FailedDeployment)
        }) {
            m.os = os;
            m.hwe_kernel = kernel;
        }
    }
}
