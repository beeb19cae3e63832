//! From an inventory to the tables of a region.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::Status;
use crate::compose::VmHost;
use crate::config::Config;
use crate::disks::Disk;
use crate::machine_table::{Machines, Shown};
use crate::region::Region;
use crate::results::{COMMISSIONING, RunKind, ScriptStatus};
use crate::specs::{DiskSpec, ImageSpec, InterfaceSpec, LinkMode, LinkSpec, MachineSpec, RangeSpec, SubnetSpec};
use crate::state::{
    AllocType, Bmc, Domain, Due, Fabric, Faults, Image, Interface, InterfaceKind, IpRange, IpRow, Level, Machine,
    Place, PowerState, Subnet, Tag, Token, User, Vlan,
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
            fabrics: BTreeMap::new(),
            spaces: BTreeMap::new(),
            vlans: BTreeMap::new(),
            subnets: BTreeMap::new(),
            ranges: BTreeMap::new(),
            images: Vec::new(),
            machines: Machines::default(),
            references: 0,
            by_system_id: BTreeMap::new(),
            by_hostname: BTreeMap::new(),
            by_status: BTreeMap::new(),
            ips: BTreeMap::new(),
            by_ip: BTreeMap::new(),
            dns: BTreeMap::new(),
            vm_hosts: Vec::new(),
            records: BTreeMap::new(),
            shelves: BTreeMap::new(),
            dns_dirty: BTreeSet::new(),
            published: Zones::default(),
            events: VecDeque::new(),
            agenda: BTreeMap::new(),
            happenings: Vec::new(),
            // Ids that start elsewhere than at 1 do so in a real region too.
            next_ids: BTreeMap::from([("pool", 0), ("domain", 0), ("interface", 2), ("fabric", 0), ("vlan", 5001)]),
            outage: None,
            rules: Vec::new(),
            // Not the generator of the rest: faults must not change names and ids.
            fault_rng: fastrand::Rng::with_seed(config.seed ^ 0x00fa_0175),
            skew: jiff::SignedDuration::ZERO,
            costs: config.costs,
            allocating_until: config.epoch,
            shown_machines: std::cell::Cell::new(0),
            hold: Duration::ZERO,
            settings: BTreeMap::new(),
            signed_now: None,
            counters: BTreeMap::new(),
            unsimulated: BTreeMap::new(),
            log: VecDeque::new(),
        };
        for user in config.users {
            region.users.insert(user.username.clone(), User { admin: user.admin, email: None });
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
            let id = region.ensure_tag(&tag.name);
            if let Some(row) = region.tags.get_mut(&id) {
                row.comment.clone_from(&tag.comment);
                row.kernel_opts.clone_from(&tag.kernel_opts);
            }
        }
        for domain in &config.domains {
            region.ensure_domain(domain);
        }
        if region.domains.is_empty() {
            region.ensure_domain("maas");
        }
        for subnet in config.subnets {
            region.insert_subnet(subnet);
        }
        for image in config.images {
            region.insert_image(image);
        }
        for spec in config.machines {
            region.insert_machine(spec);
        }
        for spec in config.vm_hosts {
            let id = region.next_id("vm-host");
            region.vm_hosts.push(VmHost { id, spec });
        }
        region.stock_shelves();
        // The first zone files are there before anybody asks.
        region.agenda.retain(|_, due| *due != Due::Publish);
        region.publish();
        region
    }

    fn ensure_place(&mut self, table: &'static str, name: &str, text: &str) -> u64 {
        let places = match table {
            "zone" => &self.zones,
            "pool" => &self.pools,
            _ => &self.spaces,
        };
        if let Some((id, _)) = places.iter().find(|(_, p)| p.name == name) {
            return *id;
        }
        let id = self.next_id(table);
        let place = Place { name: name.to_owned(), text: text.to_owned() };
        match table {
            "zone" => self.zones.insert(id, place),
            "pool" => self.pools.insert(id, place),
            _ => self.spaces.insert(id, place),
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
        if let Some((id, _)) = self.tags.iter().find(|(_, t)| t.name == name) {
            return *id;
        }
        let id = self.next_id("tag");
        let (name, none) = (name.to_owned(), String::new());
        self.tags.insert(id, Tag { name, comment: none.clone(), definition: none.clone(), kernel_opts: none });
        id
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
                upload: None,
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
        let number = self.next_id("token");
        self.tokens.insert(
            token.to_owned(),
            Token {
                consumer: consumer.to_owned(),
                secret: secret.to_owned(),
                user: user.to_owned(),
                name: "MAAS consumer".to_owned(),
                number,
            },
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
        let system_id = spec.system_id.clone().unwrap_or_else(|| self.new_system_id());
        let zone = self.ensure_zone(&spec.zone);
        let pool = self.ensure_pool(&spec.pool);
        let domain = spec.domain.as_deref().map_or(self.default_domain, |d| self.ensure_domain(d));
        for tag in &spec.tags {
            self.ensure_tag(tag);
        }
        if let Some(ip) = spec.bmc_address.filter(|ip| !self.by_ip.contains_key(ip)) {
            let subnet = self.subnet_of(ip);
            self.insert_ip(IpRow { alloc: AllocType::Sticky, ..IpRow::reserved(ip, subnet, None, self.now) });
        }
        let interfaces = self.insert_interfaces(id, &spec);
        // File systems are copied when a machine is acquired; what it had before is there all the same.
        let status = Status::from_filter(&spec.status).unwrap_or(Status::Ready);
        let acquired = crate::storage::shows_copies(status) && spec.disks.first().is_none_or(|d| d.formatted);
        let disks = ('a'..='z').zip(spec.disks).enumerate().map(|(at, (letter, d))| self.make_disk(at == 0, letter, d));
        let disks = disks.collect();
        let manual = spec.power_type == "manual" || spec.power_type.is_empty();
        let machine = Machine {
            id,
            system_id: system_id.clone(),
            hostname: spec.hostname,
            domain,
            description: spec.description,
            architecture: if spec.architecture.contains('/') {
                spec.architecture
            } else {
                format!("{}/generic", spec.architecture)
            },
            cpu_count: spec.cpu_count,
            memory: spec.memory,
            disks,
            devices: spec.devices,
            volume_groups: Vec::new(),
            special: Vec::new(),
            zone,
            pool,
            tags: spec.tags.into_iter().collect(),
            power_type: spec.power_type,
            power_parameters: BTreeMap::new(),
            bmc_address: spec.bmc_address,
            interfaces,
            status,
            previous: Status::Ready,
            before: Status::New,
            acquired,
            pod: None,
            virtual_id: None,
            dynamic: false,
            known: true,
            numa: (spec.cpu_count, spec.memory),
            owner: spec.owner,
            agent_name: String::new(),
            owner_data: BTreeMap::new(),
            locked: false,
            error_description: String::new(),
            status_message: None,
            status_action: None,
            power_state: match (spec.power_state.as_deref(), manual, spec.powered) {
                (Some("on"), ..) | (None, false, true) => PowerState::On,
                (Some("off"), ..) | (None, false, false) => PowerState::Off,
                (Some("error"), ..) => PowerState::Error,
                _ => PowerState::Unknown,
            },
            running: spec.powered,
            plugged: true,
            bmc: Bmc::Works,
            faults: Faults::default(),
            claimed: None,
            os: None,
            hwe_kernel: None,
            min_hwe_kernel: None,
            netboot: true,
            ephemeral: false,
            user_data: None,
            swap_size: None,
            deployment: 0,
            runs: Vec::new(),
            shown: Shown::default(),
            epoch: 0,
        };
        self.by_system_id.insert(system_id.clone(), id);
        self.by_hostname.insert(machine.hostname.to_ascii_lowercase(), id);
        self.by_status.entry(status).or_default().insert(id);
        self.machines.insert(id, machine);
        if !matches!(status, Status::New | Status::Commissioning | Status::FailedCommissioning) {
            self.begin_run(id, RunKind::Commissioning, &COMMISSIONING, ScriptStatus::Passed);
        }
        if status != Status::New {
            self.event(id, Level::Debug, "Node changed status", format!("From 'New' to '{status}'"), None);
        }
        self.give_os(id);
        self.touch_machine_names(id);
        system_id
    }

    fn make_disk(&mut self, root: bool, letter: char, spec: DiskSpec) -> Disk {
        let id = self.next_id("disk");
        let mut disk = Disk {
            id,
            name: format!("sd{letter}"),
            size: spec.size_gb.saturating_mul(1_000_000_000),
            tags: spec.tags,
            model: String::new(),
            serial: String::new(),
            id_path: format!("/dev/disk/by-id/sim{id:06}"),
            partitions: Vec::new(),
            file_system: None,
        };
        if root {
            let number = self.next_id("partition");
            disk.lay_out_flat(number);
        }
        disk
    }

    /// A subnet with its fabric, VLAN, space and ranges.
    fn insert_subnet(&mut self, spec: SubnetSpec) {
        let fabric = self.fabrics.iter().find(|(_, f)| f.name == spec.fabric).map(|(id, _)| *id).unwrap_or_else(|| {
            let id = self.next_id("fabric");
            self.fabrics.insert(id, Fabric { name: spec.fabric.clone(), class: None });
            id
        });
        let space = self.ensure_place("space", &spec.space, "");
        let same = |v: &Vlan| v.fabric == fabric && v.vid == spec.vid;
        let vlan = self.vlans.iter().find(|(_, v)| same(v)).map(|(id, _)| *id).unwrap_or_else(|| {
            let id = self.next_id("vlan");
            let name = if spec.vid == 0 { "untagged".to_owned() } else { spec.vid.to_string() };
            let (primary_rack, relay) = (Some("labrck".to_owned()), None);
            let vlan =
                Vlan { fabric, vid: spec.vid, name, mtu: 1500, dhcp: true, space: Some(space), primary_rack, relay };
            self.vlans.insert(id, vlan);
            id
        });
        let id = self.next_id("subnet");
        let short = |ends: Option<(IpAddr, IpAddr)>, dynamic: bool, comment: &str| {
            ends.map(|(start, end)| RangeSpec { dynamic, start, end, comment: comment.to_owned() })
        };
        let ranges = short(spec.dynamic, true, "dhcp").into_iter().chain(short(spec.reserved, false, ""));
        for range in ranges.chain(spec.ranges) {
            let number = self.next_id("range");
            let RangeSpec { dynamic, start, end, comment } = range;
            self.ranges.insert(number, IpRange { subnet: id, dynamic, start, end, comment, user: None });
        }
        self.subnets.insert(
            id,
            Subnet {
                name: spec.name,
                description: String::new(),
                vlan,
                cidr: spec.cidr,
                gateway: spec.gateway,
                dns_servers: spec.gateway.iter().map(ToString::to_string).collect(),
                rdns_mode: 2,
                allow_dns: true,
                allow_proxy: true,
                active_discovery: false,
                managed: true,
            },
        );
    }

    fn insert_interfaces(&mut self, machine: u64, spec: &MachineSpec) -> Vec<Interface> {
        let one;
        let specs = if spec.interfaces.is_empty() {
            let fixed = |ip: &IpAddr| LinkSpec { mode: LinkMode::Static, subnet: None, ip: Some(*ip) };
            let links = if spec.ips.is_empty() {
                vec![LinkSpec { mode: LinkMode::Auto, subnet: None, ip: None }]
            } else {
                spec.ips.iter().map(fixed).collect()
            };
            let (mac, observed_ip) = (spec.mac.clone(), spec.observed_ip);
            one = [InterfaceSpec { name: "eth0".to_owned(), mac, observed_ip, links, tags: Vec::new() }];
            &one[..]
        } else {
            &spec.interfaces
        };
        let mut made = Vec::new();
        for (at, spec) in specs.iter().enumerate() {
            let id = self.next_id("interface");
            let observed = spec.observed_ip.map(|ip| (AllocType::Discovered, Some(ip), self.subnet_of(ip)));
            let links: Vec<_> = spec.links.iter().map(|link| self.link_row(link)).collect();
            let vlan = links.first().or(observed.as_ref()).and_then(|(_, _, subnet)| self.subnets.get(&(*subnet)?));
            let vlan = vlan.map(|s| s.vlan).or_else(|| self.vlans.keys().next().copied());
            let mut rows = Vec::new();
            for (alloc, ip, subnet) in observed.into_iter().chain(links) {
                let row = IpRow::linked((machine, id), alloc, ip, subnet, self.now);
                rows.push(self.insert_ip(row));
            }
            let mac = spec.mac.clone().unwrap_or_else(|| {
                let [_, _, _, _, _, b, c, d] = machine.to_be_bytes();
                format!("52:54:{at:02x}:{b:02x}:{c:02x}:{d:02x}")
            });
            made.push(Interface {
                id,
                name: spec.name.clone(),
                kind: InterfaceKind::Physical,
                mac: Some(mac),
                vlan,
                tags: spec.tags.clone(),
                parents: Vec::new(),
                rows,
                mtu: None,
                params: BTreeMap::new(),
                gateways: (None, None),
                acquired: false,
            });
        }
        made
    }

    /// Kind, address and subnet of the row that makes a link.
    fn link_row(&self, link: &LinkSpec) -> (AllocType, Option<IpAddr>, Option<u64>) {
        let named = link.subnet.as_deref().and_then(|text| self.subnet_spec(text));
        let subnet = named
            .or_else(|| link.ip.and_then(|ip| self.subnet_of(ip)))
            .or_else(|| self.subnets.keys().next().copied().filter(|_| link.ip.is_none()));
        let alloc = match link.mode {
            LinkMode::Auto => AllocType::Auto,
            LinkMode::Static | LinkMode::LinkUp => AllocType::Sticky,
            LinkMode::Dhcp => AllocType::Dhcp,
        };
        (alloc, link.ip.filter(|_| link.mode == LinkMode::Static), subnet)
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
            m.os.is_none()
                && matches!(
                    m.status,
                    Status::Deploying
                        | Status::Deployed
                        | Status::FailedDeployment
                        | Status::Releasing
                        | Status::FailedReleasing
                )
        }) {
            m.os = os;
            m.hwe_kernel = kernel;
        }
    }
}
