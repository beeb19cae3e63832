//! Disks of machines, and the layouts that MAAS puts on them (reference §2.2, §2.3).

use crate::state::Machine;

/// What the partition table takes at both ends.
const OVERHEAD: u64 = 7_196_672;
/// Partitions end on multiples of this; volume groups consist of pieces of this size, one of which is LVM's own.
pub(crate) const ALIGNMENT: u64 = 4_194_304;
/// The file system of what belongs to a volume group.
pub(crate) const PHYSICAL_VOLUME: &str = "lvm-pv";

#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) tags: Vec<String>,
    pub(crate) model: String,
    pub(crate) serial: String,
    pub(crate) id_path: String,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) file_system: Option<FileSystem>,
}

/// Disks or partitions joined by LVM, and the volumes that were cut from them.
#[derive(Debug, Clone)]
pub(crate) struct VolumeGroup {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) volumes: Vec<Disk>,
}

#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) id: u64,
    pub(crate) size: u64,
    pub(crate) bootable: bool,
    pub(crate) tags: Vec<String>,
    pub(crate) file_system: Option<FileSystem>,
}

#[derive(Debug, Clone)]
pub(crate) struct FileSystem {
    pub(crate) kind: String,
    pub(crate) label: Option<String>,
    pub(crate) mount_point: Option<String>,
    pub(crate) mount_options: Option<String>,
}

impl FileSystem {
    pub(crate) fn new(kind: &str, label: Option<&str>, mount_point: Option<&str>) -> Self {
        let text = |t: Option<&str>| t.map(str::to_owned);
        Self { kind: kind.to_owned(), label: text(label), mount_point: text(mount_point), mount_options: None }
    }
}

impl Disk {
    /// Bytes that a partition may have yet.
    pub(crate) fn room(&self) -> u64 {
        let used: u64 = self.partitions.iter().map(|p| p.size).sum();
        (self.size.saturating_sub(OVERHEAD) / ALIGNMENT * ALIGNMENT).saturating_sub(used)
    }

    /// Takes everything off.
    pub(crate) fn clear(&mut self) {
        self.partitions.clear();
        self.file_system = None;
    }

    /// One partition over the whole disk, with that file system.
    fn lay_out(&mut self, partition: u64, file_system: FileSystem) {
        self.clear();
        let (size, file_system) = (self.room(), Some(file_system));
        self.partitions.push(Partition { id: partition, size, bootable: false, tags: Vec::new(), file_system });
    }

    /// One partition over the whole disk, with the root file system.
    pub(crate) fn lay_out_flat(&mut self, partition: u64) {
        self.lay_out(partition, FileSystem::new("ext4", Some("root"), Some("/")));
    }

    /// Bytes that its partitions give to a volume group.
    fn room_of_group(&self) -> u64 {
        self.partitions.iter().map(|p| p.size.saturating_sub(ALIGNMENT)).sum()
    }
}

/// Names and size that a layout of LVM may be given.
#[derive(Debug)]
pub(crate) struct LvmNames<'a> {
    pub(crate) group: &'a str,
    pub(crate) volume: &'a str,
    pub(crate) size: Option<u64>,
}

impl Machine {
    /// Disks, then logical volumes.
    pub(crate) fn block_devices(&self) -> impl Iterator<Item = &Disk> {
        self.disks.iter().chain(self.volume_groups.iter().flat_map(|g| &g.volumes))
    }

    /// A disk or a logical volume.
    pub(crate) fn block_device_mut(&mut self, id: u64) -> Option<&mut Disk> {
        let volumes = self.volume_groups.iter_mut().flat_map(|g| &mut g.volumes);
        self.disks.iter_mut().chain(volumes).find(|d| d.id == id)
    }

    /// Takes everything off every disk.
    pub(crate) fn clear_disks(&mut self) {
        self.volume_groups.clear();
        self.disks.iter_mut().for_each(Disk::clear);
    }

    /// The first disk as one volume group, and the root file system on a volume in it.
    pub(crate) fn lay_out_lvm(&mut self, [partition, group, volume]: [u64; 3], names: &LvmNames<'_>) {
        self.clear_disks();
        let Some(disk) = self.disks.first_mut() else {
            return;
        };
        disk.lay_out(partition, FileSystem::new(PHYSICAL_VOLUME, None, None));
        let size = disk.room_of_group();
        let volume = Disk {
            id: volume,
            name: format!("{}-{}", names.group, names.volume),
            size: names.size.unwrap_or(size).min(size) / ALIGNMENT * ALIGNMENT,
            tags: Vec::new(),
            model: String::new(),
            serial: String::new(),
            id_path: String::new(),
            partitions: Vec::new(),
            file_system: Some(FileSystem::new("ext4", Some("root"), Some("/"))),
        };
        self.volume_groups.push(VolumeGroup { id: group, name: names.group.to_owned(), size, volumes: vec![volume] });
    }
}

impl VolumeGroup {
    /// Bytes that its volumes take.
    pub(crate) fn used(&self) -> u64 {
        self.volumes.iter().map(|v| v.size).sum()
    }
}
