//! Block devices, partitions and file systems of machines (reference §2.3, §2.10).
//!
//! RAIDs, bcaches and VMFS datastores are listed as the empty lists they are; making one is not simulated. Volume groups are
//! there once the layout of LVM made one.

use serde_json::{Value, json};

use crate::Status;
use crate::disks::{ALIGNMENT, Disk, FileSystem, PHYSICAL_VOLUME, Partition, VolumeGroup};
use crate::form::Params;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::Machine;
use crate::view::{API, uuid};

/// What the table itself counts for, among what is used.
const TABLE: u64 = 6_291_456;
/// File systems that a deployment mounts are copies, made when the machine is acquired; in these states they are shown.
pub(crate) fn shows_copies(status: Status) -> bool {
    matches!(
        status,
        Status::Allocated
            | Status::Deploying
            | Status::Deployed
            | Status::FailedDeployment
            | Status::Releasing
            | Status::FailedReleasing
            | Status::DiskErasing
            | Status::FailedDiskErasing
            | Status::RescueMode
            | Status::EnteringRescueMode
            | Status::FailedEnteringRescueMode
            | Status::ExitingRescueMode
            | Status::FailedExitingRescueMode
            | Status::Testing
            | Status::FailedTesting
    )
}

pub(crate) fn file_system_json(m: &Machine, fs: Option<&FileSystem>, seed: u64) -> Value {
    match fs.filter(|_| m.acquired || !shows_copies(m.status)) {
        Some(fs) => json!({
            "fstype": fs.kind, "label": fs.label, "uuid": uuid(seed, 3), "mount_point": fs.mount_point, "mount_options": fs.mount_options,
        }),
        None => Value::Null,
    }
}

fn used_for(m: &Machine, fs: &Value) -> String {
    match (fs["fstype"].as_str(), fs["mount_point"].as_str()) {
        (Some(PHYSICAL_VOLUME), _) => {
            format!("LVM volume for {}", m.volume_groups.first().map_or("", |g| g.name.as_str()))
        }
        (Some(kind), Some(at)) => format!("{kind} formatted filesystem mounted at {at}"),
        (Some(kind), None) => format!("Unmounted {kind} formatted filesystem"),
        _ => "Unused".to_owned(),
    }
}

pub(crate) fn disk_json(m: &Machine, disk: &Disk) -> Value {
    let (id, system_id, name) = (disk.id, &m.system_id, &disk.name);
    let fs = file_system_json(m, disk.file_system.as_ref(), id);
    let used = disk.partitions.len();
    let (available, taken) = if used > 0 {
        (disk.room(), disk.partitions.iter().map(|p| p.size).sum::<u64>() + TABLE)
    } else if fs.is_null() {
        (disk.room(), 0)
    } else {
        (0, disk.size)
    };
    let what = match used {
        0 => used_for(m, &fs),
        1 => "GPT partitioned with 1 partition".to_owned(),
        n => format!("GPT partitioned with {n} partitions"),
    };
    let mut shown = json!({
        "id": id, "system_id": system_id, "name": name, "type": "physical", "path": format!("/dev/disk/by-dname/{name}"), "model": disk.model,
        "serial": disk.serial, "id_path": disk.id_path, "firmware_version": "1.0", "uuid": null, "size": disk.size, "block_size": 512,
        "available_size": available, "used_size": taken, "used_for": what, "tags": disk.tags, "filesystem": fs,
        "partition_table_type": if used > 0 { json!("GPT") } else { Value::Null },
        "partitions": disk.partitions.iter().enumerate().map(|(n, p)| partition_json(m, disk, n, p)).collect::<Vec<_>>(), "storage_pool": null, "numa_node": 0,
        "resource_uri": format!("{API}/nodes/{system_id}/blockdevices/{id}/"),
    });
    if m.volume_groups.iter().any(|g| g.volumes.iter().any(|v| v.id == id)) {
        shown["type"] = json!("virtual");
        shown["uuid"] = json!(uuid(id, 4));
        for field in ["model", "serial", "id_path", "firmware_version", "numa_node"] {
            shown[field] = Value::Null;
        }
    }
    shown
}

fn volume_group_json(m: &Machine, group: &VolumeGroup) -> Value {
    let (id, system_id) = (group.id, &m.system_id);
    let belongs = |p: &Partition| p.file_system.as_ref().is_some_and(|fs| fs.kind == PHYSICAL_VOLUME);
    let devices = m.disks.iter().flat_map(|d| {
        d.partitions.iter().enumerate().filter(|(_, p)| belongs(p)).map(|(n, p)| partition_json(m, d, n, p))
    });
    let (size, used) = (group.size, group.used());
    let left = size.saturating_sub(used);
    json!({
        "id": id, "system_id": system_id, "uuid": uuid(id, 5), "name": group.name, "devices": devices.collect::<Vec<_>>(), "size": size,
        "human_size": human(size), "available_size": left, "human_available_size": human(left), "used_size": used, "human_used_size": human(used),
        "logical_volumes": group.volumes.iter().map(|v| bare(disk_json(m, v))).collect::<Vec<_>>(),
        "resource_uri": format!("{API}/nodes/{system_id}/volume-group/{id}/"),
    })
}

/// A size with one decimal and a decimal unit, as people are told it.
fn human(bytes: u64) -> String {
    let (unit, divisor) = match bytes {
        0..1_000_000 => ("kB", 1e3),
        1_000_000..1_000_000_000 => ("MB", 1e6),
        1_000_000_000..1_000_000_000_000 => ("GB", 1e9),
        _ => ("TB", 1e12),
    };
    // One decimal is far less than a float has.
    #[allow(clippy::cast_precision_loss)]
    let shown = bytes as f64 / divisor;
    format!("{shown:.1} {unit}")
}

/// The handler of block devices itself does not show what machines show of them besides.
fn bare(mut disk: Value) -> Value {
    if let Value::Object(map) = &mut disk {
        map.remove("firmware_version");
    }
    disk
}

fn partition_json(m: &Machine, disk: &Disk, at: usize, p: &Partition) -> Value {
    let (system_id, device) = (&m.system_id, disk.id);
    let fs = file_system_json(m, p.file_system.as_ref(), p.id);
    json!({
        "id": p.id, "device_id": device, "system_id": system_id, "uuid": uuid(p.id, 2), "size": p.size, "bootable": p.bootable, "tags": p.tags, "type": "partition",
        "path": format!("/dev/disk/by-dname/{}-part{}", disk.name, at + 2), "used_for": used_for(m, &fs), "filesystem": fs,
        "resource_uri": format!("{API}/nodes/{system_id}/blockdevices/{device}/partition/{}", p.id),
    })
}

/// Where an operation acts.
enum Place {
    Disk,
    Partition(u64),
}

impl Region {
    pub(crate) fn answer_storage(&mut self, call: &Call) -> Answer {
        let id = self.find(&call.key).map(|m| m.id).ok_or_else(|| Reply::missing("Machine"))?;
        self.may_see(id, call)?;
        let reading = call.method() == "GET";
        if !reading {
            call.admin_or(Reply::forbidden())?;
            self.may_edit(id, call)?;
        }
        let kind = call.resource();
        if matches!(kind, "raids" | "bcaches" | "bcache-cache-sets" | "vmfs-datastores") {
            return Ok(Reply::list(Vec::new()));
        }
        if matches!(kind, "volume-groups" | "volume-group") {
            let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
            let mut groups = m.volume_groups.iter();
            if kind == "volume-groups" {
                return Ok(Reply::list(groups.map(|g| volume_group_json(m, g)).collect()));
            }
            let found = groups.find(|g| g.id.to_string() == call.rest || g.name == call.rest);
            return found.map(|g| Reply::json(&volume_group_json(m, g))).ok_or_else(|| Reply::missing("VolumeGroup"));
        }
        if kind == "blockdevices" {
            if reading {
                let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
                return Ok(Reply::list(m.block_devices().map(|d| bare(disk_json(m, d))).collect()));
            }
            return self.create_disk(id, &call.form.data);
        }
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
        let fits = |d: &&Disk| d.id.to_string() == call.rest || d.name == call.rest;
        let disk = m.block_devices().find(fits).ok_or_else(|| Reply::missing("BlockDevice"))?;
        let disk_id = disk.id;
        let place = match kind {
            "blockdevice" => Place::Disk,
            "partitions" if reading => {
                let shown = disk.partitions.iter().enumerate().map(|(n, p)| partition_json(m, disk, n, p)).collect();
                return Ok(Reply::list(shown));
            }
            "partitions" => return self.create_partition(id, disk_id, &call.form.data),
            _ => {
                let found = disk.partitions.iter().find(|p| p.id.to_string() == call.third);
                Place::Partition(found.ok_or_else(|| Reply::missing("Partition"))?.id)
            }
        };
        if !reading {
            let free = matches!(m.status, Status::Ready | Status::Allocated);
            let fixed = !free && !matches!(call.op(), "add_tag" | "remove_tag");
            if fixed {
                return Err(Reply::text(
                    409,
                    format!("Cannot modify block device because the machine is not Ready ({}).", m.status),
                ));
            }
            self.change_storage(id, disk_id, &place, call)?;
            if call.method() == "DELETE" {
                return Ok(Reply::no_content());
            }
            if call.op() == "set_boot_disk" {
                return Ok(Reply::text(200, "OK"));
            }
        }
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
        let disk = m.block_devices().find(|d| d.id == disk_id).ok_or_else(|| Reply::missing("BlockDevice"))?;
        Ok(Reply::json(&match place {
            Place::Disk => bare(disk_json(m, disk)),
            Place::Partition(p) => disk
                .partitions
                .iter()
                .enumerate()
                .find(|(_, x)| x.id == p)
                .map_or(Value::Null, |(n, x)| partition_json(m, disk, n, x)),
        }))
    }

    fn change_storage(&mut self, id: u64, disk: u64, place: &Place, call: &Call) -> Result<(), Reply> {
        let data = &call.form.data;
        let Some(m) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        if let Place::Disk = place {
            let at = m.disks.iter().position(|d| d.id == disk);
            match (call.method(), call.op(), at) {
                ("DELETE", _, Some(at)) => {
                    m.disks.remove(at);
                    return Ok(());
                }
                ("DELETE", _, None) => {
                    m.volume_groups.iter_mut().for_each(|g| g.volumes.retain(|v| v.id != disk));
                    return Ok(());
                }
                (_, "set_boot_disk", Some(at)) => {
                    let disk = m.disks.remove(at);
                    m.disks.insert(0, disk);
                    return Ok(());
                }
                (_, "set_boot_disk", None) => {
                    return Err(Reply::text(400, "Cannot set a virtual block device as the boot disk."));
                }
                _ => {}
            }
        }
        let disk = m.block_device_mut(disk).ok_or_else(|| Reply::missing("BlockDevice"))?;
        match (call.method(), place) {
            ("DELETE", Place::Partition(p)) => {
                disk.partitions.retain(|x| x.id != *p);
                return Ok(());
            }
            ("PUT", Place::Disk) => {
                for (key, slot) in [
                    ("name", &mut disk.name),
                    ("model", &mut disk.model),
                    ("serial", &mut disk.serial),
                    ("id_path", &mut disk.id_path),
                ] {
                    if let Some(text) = data.last(key) {
                        text.clone_into(slot);
                    }
                }
                if let Some(size) = data.last("size").and_then(size_of) {
                    disk.size = size;
                }
                return Ok(());
            }
            _ => {}
        }
        let (tags, fs) = match place {
            Place::Disk => (&mut disk.tags, &mut disk.file_system),
            Place::Partition(p) => match disk.partitions.iter_mut().find(|x| x.id == *p) {
                Some(p) => (&mut p.tags, &mut p.file_system),
                None => return Err(Reply::missing("Partition")),
            },
        };
        change_file_system(call.op(), data, tags, fs)
    }

    fn create_disk(&mut self, id: u64, data: &Params) -> Answer {
        let mut errors = FieldErrors::default();
        let name = data.last("name").unwrap_or("");
        let size = data.last("size").and_then(size_of);
        if name.is_empty() {
            errors.add("name", "This field is required.");
        }
        if size.is_none() {
            errors.add("size", "This field is required.");
        }
        if data.last("id_path").is_none() && (data.last("model").is_none() || data.last("serial").is_none()) {
            errors.add("__all__", "serial/model are required if id_path is not provided.");
        }
        errors.check()?;
        let disk = self.next_id("disk");
        let text = |key: &str| data.last(key).unwrap_or("").to_owned();
        let row = Disk {
            id: disk,
            name: name.to_owned(),
            size: size.unwrap_or(0),
            tags: Vec::new(),
            model: text("model"),
            serial: text("serial"),
            id_path: text("id_path"),
            partitions: Vec::new(),
            file_system: None,
        };
        if let Some(m) = self.machine_mut(id) {
            m.disks.push(row);
        }
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
        Ok(m.disks.last().map_or_else(Reply::null, |d| Reply::json(&disk_json(m, d))))
    }

    fn create_partition(&mut self, id: u64, disk: u64, data: &Params) -> Answer {
        let number = self.next_id("partition");
        let Some(m) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        let row = m.block_device_mut(disk).ok_or_else(|| Reply::missing("BlockDevice"))?;
        if row.file_system.is_some() {
            return Err(Reply::invalid("__all__", "Cannot create a partition on a formatted block device."));
        }
        let left = row.room();
        let size = data.last("size").and_then(size_of).unwrap_or(left) / ALIGNMENT * ALIGNMENT;
        if size == 0 || size > left {
            return Err(Reply::invalid("size", format!("Ensure this value is less than or equal to {left}.")));
        }
        let bootable = data.checkbox("bootable");
        row.partitions.push(Partition { id: number, size, bootable, tags: Vec::new(), file_system: None });
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
        let disk = m.block_devices().find(|d| d.id == disk).ok_or_else(|| Reply::missing("BlockDevice"))?;
        let at = disk.partitions.len() - 1;
        Ok(Reply::json(&partition_json(m, disk, at, &disk.partitions[at])))
    }
}

fn change_file_system(
    op: &str,
    data: &Params,
    tags: &mut Vec<String>,
    fs: &mut Option<FileSystem>,
) -> Result<(), Reply> {
    let text = |key: &str| data.last(key).filter(|t| !t.is_empty());
    match op {
        "add_tag" => {
            if let Some(tag) = text("tag").filter(|t| !tags.iter().any(|x| x == t)) {
                tags.push(tag.to_owned());
            }
        }
        "remove_tag" => tags.retain(|t| Some(t.as_str()) != text("tag")),
        "format" => {
            let kind = text("fstype").ok_or_else(|| Reply::invalid("fstype", "This field is required."))?;
            if !matches!(kind, "ext2" | "ext4" | "fat32" | "swap" | "xfs" | "btrfs" | "vfat" | "zfsroot") {
                let text = format!("'{kind}' is not a valid fstype.");
                return Err(Reply::invalid("fstype", text));
            }
            *fs = Some(FileSystem::new(kind, text("label"), None));
        }
        "unformat" => match fs {
            None => return Err(Reply::text(400, "Block device is not formatted.")),
            Some(fs) if fs.mount_point.is_some() => {
                return Err(Reply::text(
                    400,
                    "Filesystem is mounted and cannot be unformatted. Unmount the filesystem before unformatting.",
                ));
            }
            Some(_) => *fs = None,
        },
        "mount" => {
            let at = text("mount_point").ok_or_else(|| Reply::invalid("mount_point", "This field is required."))?;
            let Some(fs) = fs else {
                return Err(Reply::text(400, "Cannot mount an unformatted block device."));
            };
            fs.mount_point = Some(at.to_owned());
            fs.mount_options = text("mount_options").map(str::to_owned);
        }
        _ => match fs {
            Some(fs) if fs.mount_point.is_some() => {
                fs.mount_point = None;
                fs.mount_options = None;
            }
            _ => return Err(Reply::text(400, "Filesystem is already unmounted.")),
        },
    }
    Ok(())
}

/// Bytes, or a number with a decimal suffix.
pub(crate) fn size_of(text: &str) -> Option<u64> {
    let (digits, factor) = match text.chars().last()? {
        'K' | 'k' => (&text[..text.len() - 1], 1_000_u64),
        'M' | 'm' => (&text[..text.len() - 1], 1_000_000),
        'G' | 'g' => (&text[..text.len() - 1], 1_000_000_000),
        'T' | 't' => (&text[..text.len() - 1], 1_000_000_000_000),
        _ => (text, 1),
    };
    let number: f64 = digits.parse().ok().filter(|n| *n >= 0.0)?;
    // Sizes of disks are exact in 52 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    Some((number * factor as f64) as u64)
}
