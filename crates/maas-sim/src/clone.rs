//! `machines/?op=clone`: one machine's interfaces or disks on others (reference §2.1).

use std::collections::BTreeMap;

use crate::Status;
use crate::disks::{Disk, VolumeGroup};
use crate::layouts::not_a_choice;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{AllocType, Interface, InterfaceKind, Machine};

/// What an interface of the source has, in words that hold on any machine.
struct Pattern {
    /// As on the source; ids, MACs, parents and links are not.
    interface: Interface,
    parents: Vec<String>,
    /// Where addresses come from, whether there is one, and the subnet.
    links: Vec<(AllocType, bool, Option<u64>)>,
}

impl Region {
    pub(crate) fn clone_machines(&mut self, call: &Call) -> Answer {
        call.admin_or(Reply::admins_only())?;
        let data = &call.form.data;
        let (networks, storage) = (data.checkbox("interfaces"), data.checkbox("storage"));
        let mut errors = FieldErrors::default();
        let named = data.last("source").unwrap_or("");
        let source = self.find(named);
        if source.is_none() {
            let text = if named.is_empty() { "This field is required.".to_owned() } else { not_a_choice(named) };
            errors.add("source", text);
        }
        if !networks && !storage {
            errors.add("__all__", "Either storage or interfaces must be true.");
        }
        let mut destinations = Vec::new();
        for text in data.all("destinations").flat_map(|d| d.split(',')).filter(|d| !d.is_empty()) {
            let fits = |m: &&Machine| matches!(m.status, Status::Ready | Status::FailedTesting);
            match (self.find(text).filter(fits), source) {
                (None, _) => errors.add("destinations", not_a_choice(text)),
                (Some(m), Some(source)) if m.id == source.id => {
                    let text = format!("Source machine {text} cannot be a destination machine.");
                    errors.add("destinations", text);
                }
                (Some(m), Some(source)) => match unlike(source, m, networks, storage) {
                    Some(why) => errors.add("destinations", format!("{text} is invalid: {why}")),
                    None => destinations.push(m.id),
                },
                (Some(_), None) => {}
            }
        }
        if data.all("destinations").next().is_none() {
            errors.add("destinations", "This field is required.");
        }
        let from = source.map(|m| m.id);
        errors.check()?;
        let from = from.ok_or_else(|| Reply::missing("Machine"))?;
        for to in destinations {
            if networks {
                self.clone_interfaces(from, to)?;
            }
            if storage {
                self.clone_storage(from, to);
            }
        }
        Ok(Reply::no_content())
    }

    fn patterns(&self, id: u64) -> Vec<Pattern> {
        let Some(m) = self.machines.get(&id) else {
            return Vec::new();
        };
        let link = |row: &u64| {
            let row = self.ips.get(row).filter(|r| r.alloc != AllocType::Discovered)?;
            Some((row.alloc, row.ip.is_some(), row.subnet))
        };
        let name = |id: &u64| m.interfaces.iter().find(|i| i.id == *id).map(|i| i.name.clone());
        let pattern = |i: &Interface| Pattern {
            interface: Interface {
                id: 0,
                name: i.name.clone(),
                kind: i.kind,
                mac: None,
                vlan: i.vlan,
                tags: i.tags.clone(),
                parents: Vec::new(),
                rows: Vec::new(),
                mtu: i.mtu,
                params: i.params.clone(),
                gateways: (None, None),
                acquired: false,
            },
            parents: i.parents.iter().filter_map(name).collect(),
            links: i.rows.iter().filter_map(link).collect(),
        };
        m.interfaces.iter().map(pattern).collect()
    }

    fn clone_interfaces(&mut self, from: u64, to: u64) -> Result<(), Reply> {
        self.clear_networking(to);
        let own = self.machines.get(&to).into_iter().flat_map(|m| &m.interfaces);
        let mut known: BTreeMap<String, (u64, Option<String>)> =
            own.map(|i| (i.name.clone(), (i.id, i.mac.clone()))).collect();
        for pattern in self.patterns(from) {
            let Pattern { mut interface, parents, links } = pattern;
            let name = interface.name.clone();
            let nic = if interface.kind == InterfaceKind::Physical {
                let Some((nic, _)) = known.get(&name) else { continue };
                let nic = *nic;
                if let Some(own) = self.machine_mut(to).and_then(|m| m.interfaces.iter_mut().find(|i| i.id == nic)) {
                    (own.vlan, own.mtu, own.tags) = (interface.vlan, interface.mtu, interface.tags);
                }
                nic
            } else {
                let parents: Vec<&(u64, Option<String>)> = parents.iter().filter_map(|p| known.get(p)).collect();
                // What is made of others has the address of the first.
                interface.mac = parents.first().and_then(|(_, mac)| mac.clone());
                interface.parents = parents.iter().map(|(id, _)| *id).collect();
                let mac = interface.mac.clone();
                let nic = self.insert_interface(to, interface);
                known.insert(name, (nic, mac));
                nic
            };
            for (alloc, fixed, subnet) in links {
                let ip = match subnet.filter(|_| fixed && alloc == AllocType::Sticky) {
                    Some(subnet) => Some(self.pick_ip(subnet)?),
                    None => None,
                };
                self.add_link(to, nic, alloc, ip, subnet);
            }
        }
        self.touch_machine_names(to);
        Ok(())
    }

    fn clone_storage(&mut self, from: u64, to: u64) {
        let Some((disks, groups)) = self.machines.get(&from).map(|m| (m.disks.clone(), m.volume_groups.clone())) else {
            return;
        };
        let mut laid_out: Vec<Disk> = disks;
        for partition in laid_out.iter_mut().flat_map(|d| &mut d.partitions) {
            partition.id = self.next_id("partition");
        }
        let mut groups: Vec<VolumeGroup> = groups;
        for group in &mut groups {
            group.id = self.next_id("volume-group");
            for volume in &mut group.volumes {
                volume.id = self.next_id("disk");
            }
        }
        let Some(m) = self.machine_mut(to) else {
            return;
        };
        m.clear_disks();
        for (own, other) in m.disks.iter_mut().zip(laid_out) {
            (own.partitions, own.file_system) = (other.partitions, other.file_system);
        }
        m.volume_groups = groups;
    }
}

/// Why one machine cannot have what the other has.
fn unlike(source: &Machine, to: &Machine, networks: bool, storage: bool) -> Option<String> {
    let physical = |m: &Machine| -> Vec<String> {
        m.interfaces.iter().filter(|i| i.kind == InterfaceKind::Physical).map(|i| i.name.clone()).collect()
    };
    let own = physical(to);
    let missing: Vec<String> = physical(source).into_iter().filter(|name| !own.contains(name)).collect();
    if networks && !missing.is_empty() {
        return Some(format!(
            "destination node physical interfaces do not match the source nodes physical interfaces: {}",
            missing.join(", ")
        ));
    }
    if storage && source.disks.len() > to.disks.len() {
        return Some("source node has more physical block devices than the destination node".to_owned());
    }
    let small = source.disks.iter().zip(&to.disks).find(|(theirs, own)| own.size < theirs.size);
    let (theirs, own) = small.filter(|_| storage)?;
    Some(format!("destination disk({}) is smaller than source disk({})", own.name, theirs.name))
}
