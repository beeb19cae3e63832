//! Block devices, partitions and file systems of machines (reference §2.3, §2.10).
//!
//! Volume groups, RAIDs, bcaches and VMFS datastores are listed as the empty lists they are; making one is not simulated.

use serde_json::{Value, json};

use crate::Status;
use crate::form::Params;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{Disk, FileSystem, Machine, Partition};
use crate::view::{API, uuid};

/// What the partition table takes at both ends.
const OVERHEAD: u64 = 7_196_672;
/// What the table itself counts for, among what is used.
const TABLE: u64 = 6_291_456;
/// Partitions end on multiples of this.
const ALIGNMENT: u64 = 4_194_304;

/// Takes everything off a disk.
pub(crate) fn clear(disk: &mut Disk) {
    disk.partitions.clear();
    disk.file_system = None;
}

/// One partition over the whole disk, with the root file system.
pub(crate) fn lay_out_flat(disk: &mut Disk, id: u64) {
    clear(disk);
    let id = if id == 0 { disk.id } else { id };
    let size = room(disk);
    let root = FileSystem::new("ext4", Some("root"), Some("/"));
    disk.partitions.push(Partition { id, size, bootable: false, tags: Vec::new(), file_system: Some(root) });
}

/// Bytes that a partition may have yet.
fn room(disk: &Disk) -> u64 {
    let used: u64 = disk.partitions.iter().map(|p| p.size).sum();
    (disk.size.saturating_sub(OVERHEAD) / ALIGNMENT * ALIGNMENT).saturating_sub(used)
}

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

fn file_system_json(m: &Machine, fs: Option<&FileSystem>, seed: u64) -> Value {
    match fs.filter(|_| m.acquired || !shows_copies(m.status)) {
        Some(fs) => json!({
            "fstype": fs.kind, "label": fs.label, "uuid": uuid(seed, 3), "mount_point": fs.mount_point, "mount_options": fs.mount_options,
        }),
        None => Value::Null,
    }
}

fn used_for(fs: &Value) -> String {
    match (fs["fstype"].as_str(), fs["mount_point"].as_str()) {
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
        (room(disk), disk.partitions.iter().map(|p| p.size).sum::<u64>() + TABLE)
    } else if fs.is_null() {
        (room(disk), 0)
    } else {
        (0, disk.size)
    };
    let what = match used {
        0 => used_for(&fs),
        1 => "GPT partitioned with 1 partition".to_owned(),
        n => format!("GPT partitioned with {n} partitions"),
    };
    json!({
        "id": id, "system_id": system_id, "name": name, "type": "physical", "path": format!("/dev/disk/by-dname/{name}"), "model": disk.model,
        "serial": disk.serial, "id_path": disk.id_path, "firmware_version": "1.0", "uuid": null, "size": disk.size, "block_size": 512,
        "available_size": available, "used_size": taken, "used_for": what, "tags": disk.tags, "filesystem": fs,
        "partition_table_type": if used > 0 { json!("GPT") } else { Value::Null },
        "partitions": disk.partitions.iter().enumerate().map(|(n, p)| partition_json(m, disk, n, p)).collect::<Vec<_>>(), "storage_pool": null, "numa_node": 0,
        "resource_uri": format!("{API}/nodes/{system_id}/blockdevices/{id}/"),
    })
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
        "path": format!("/dev/disk/by-dname/{}-part{}", disk.name, at + 2), "used_for": used_for(&fs), "filesystem": fs,
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
        if matches!(kind, "volume-groups" | "raids" | "bcaches" | "bcache-cache-sets" | "vmfs-datastores") {
            return Ok(Reply::list(Vec::new()));
        }
        if kind == "blockdevices" {
            if reading {
                let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
                return Ok(Reply::list(m.disks.iter().map(|d| bare(disk_json(m, d))).collect()));
            }
            return self.create_disk(id, &call.form.data);
        }
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
        let fits = |d: &&Disk| d.id.to_string() == call.rest || d.name == call.rest;
        let disk = m.disks.iter().find(fits).ok_or_else(|| Reply::missing("BlockDevice"))?;
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
        }
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
        let disk = m.disks.iter().find(|d| d.id == disk_id).ok_or_else(|| Reply::missing("BlockDevice"))?;
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
        let Some(at) = m.disks.iter().position(|d| d.id == disk) else {
            return Err(Reply::missing("BlockDevice"));
        };
        match (call.method(), call.op(), place) {
            ("DELETE", _, Place::Disk) => {
                m.disks.remove(at);
                return Ok(());
            }
            ("DELETE", _, Place::Partition(p)) => {
                m.disks[at].partitions.retain(|x| x.id != *p);
                return Ok(());
            }
            (_, "set_boot_disk", Place::Disk) => {
                let disk = m.disks.remove(at);
                m.disks.insert(0, disk);
                return Ok(());
            }
            ("PUT", _, Place::Disk) => {
                let disk = &mut m.disks[at];
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
        let disk = &mut m.disks[at];
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
        let Some(row) = m.disks.iter_mut().find(|d| d.id == disk) else {
            return Err(Reply::missing("BlockDevice"));
        };
        if row.file_system.is_some() {
            return Err(Reply::invalid("__all__", "Cannot create a partition on a formatted block device."));
        }
        let left = room(row);
        let size = data.last("size").and_then(size_of).unwrap_or(left) / ALIGNMENT * ALIGNMENT;
        if size == 0 || size > left {
            return Err(Reply::invalid("size", format!("Ensure this value is less than or equal to {left}.")));
        }
        let bootable = data.checkbox("bootable");
        row.partitions.push(Partition { id: number, size, bootable, tags: Vec::new(), file_system: None });
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Machine"))?;
        let disk = m.disks.iter().find(|d| d.id == disk).ok_or_else(|| Reply::missing("BlockDevice"))?;
        let at = disk.partitions.len() - 1;
        Ok(Reply::json(&partition_json(m, disk, at, &disk.partitions[at])))
    }

    /// `set_storage_layout`: Ready machines only. Layouts of volume groups and caches are not simulated.
    pub(crate) fn set_storage_layout(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let layout = call.form.data.last("storage_layout").unwrap_or("").to_owned();
        let status = self.machines.get(&id).map_or(Status::New, |m| m.status);
        if status != Status::Ready {
            return Err(Reply::text(409, "Cannot change the storage layout on a machine that is not Ready."));
        }
        if !matches!(layout.as_str(), "flat" | "blank" | "lvm" | "bcache" | "vmfs6" | "vmfs7" | "custom") {
            let text = format!("'{layout}' is not a valid storage layout.");
            return Err(Reply::invalid("storage_layout", text));
        }
        if !matches!(layout.as_str(), "flat" | "blank") {
            return Err(Reply::text(501, format!("Not simulated: POST machine set_storage_layout {layout}")));
        }
        let number = self.next_id("partition");
        if let Some(m) = self.machine_mut(id) {
            m.disks.iter_mut().for_each(clear);
            if layout == "flat"
                && let Some(disk) = m.disks.first_mut()
            {
                lay_out_flat(disk, number);
            }
        }
        self.shown(id)
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
fn size_of(text: &str) -> Option<u64> {
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

/// All disks in JSON.
pub(crate) fn disks_json(m: &Machine) -> Vec<Value> {
    m.disks.iter().map(|d| disk_json(m, d)).collect()
}
