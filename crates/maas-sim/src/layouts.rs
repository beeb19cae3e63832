//! How disks and networks of a machine are laid out as a whole, and file systems that need no disk (reference §2.2).

use serde_json::Value;

use crate::Status;
use crate::disks::{FileSystem, LvmNames};
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{InterfaceKind, Machine};
use crate::storage::{file_system_json, size_of};

const REQUIRED: &str = "This field is required.";

/// File systems without a disk.
pub(crate) fn special_json(m: &Machine) -> Vec<Value> {
    (0..)
        .zip(&m.special)
        .map(|(at, fs)| file_system_json(m, Some(fs), m.id * 100 + at))
        .filter(|v| !v.is_null())
        .collect()
}

impl Region {
    /// `set_storage_layout`: Ready machines only. Layouts of caches and of VMware are not simulated, nor is the one that a
    /// commissioning script prepares.
    pub(crate) fn set_storage_layout(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let data = &call.form.data;
        let layout = data.last("storage_layout").unwrap_or("");
        let status = self.machines.get(&id).map_or(Status::New, |m| m.status);
        if status != Status::Ready {
            return Err(Reply::text(409, "Cannot change the storage layout on a machine that is not Ready."));
        }
        let text = |key: &str| data.last(key).filter(|t| !t.is_empty());
        let names = LvmNames {
            group: text("vg_name").unwrap_or("vgroot"),
            volume: text("lv_name").unwrap_or("lvroot"),
            size: text("lv_size").and_then(size_of),
        };
        self.lay_out(id, layout, &names)?;
        self.shown(id)
    }

    fn lay_out(&mut self, id: u64, layout: &str, names: &LvmNames<'_>) -> Result<(), Reply> {
        match layout {
            "flat" | "blank" | "lvm" => {}
            "bcache" | "vmfs6" | "vmfs7" | "custom" => {
                return Err(Reply::not_simulated(&format!("POST machine set_storage_layout {layout}")));
            }
            _ => {
                let text = format!("'{layout}' is not a valid storage layout.");
                return Err(Reply::invalid("storage_layout", text));
            }
        }
        if layout != "blank" && self.machines.get(&id).is_some_and(|m| m.disks.is_empty()) {
            return Err(Reply::text(400, "Machine is missing a boot disk; no storage layout can be applied."));
        }
        let partition = self.next_id("partition");
        let lvm = (layout == "lvm").then(|| [partition, self.next_id("volume-group"), self.next_id("disk")]);
        let Some(m) = self.machine_mut(id) else {
            return Err(Reply::missing("Machine"));
        };
        m.clear_disks();
        match (lvm, m.disks.first_mut()) {
            (Some(numbers), _) => m.lay_out_lvm(numbers, names),
            (None, Some(disk)) if layout == "flat" => disk.lay_out_flat(partition),
            _ => {}
        }
        Ok(())
    }

    /// `restore_…_configuration`: disks, networks or both as commissioning leaves them.
    pub(crate) fn restore(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        let what = call.op().trim_start_matches("restore_").trim_end_matches("_configuration");
        let status = self.machines.get(&id).map_or(Status::New, |m| m.status);
        if !matches!(status, Status::Ready | Status::FailedTesting) {
            let text = format!("Machine must be in a ready or failed testing state to restore {what} configuration.");
            return Err(Reply::text(409, text));
        }
        if what != "networking" {
            let layout = self.settings.get("default_storage_layout").map_or("flat", String::as_str).to_owned();
            self.lay_out(id, &layout, &LvmNames { group: "vgroot", volume: "lvroot", size: None })?;
        }
        if what != "storage" {
            self.clear_networking(id);
            self.configure_boot_interface(id);
        }
        self.shown(id)
    }

    /// Takes links, and interfaces that are made of others, off a machine.
    pub(crate) fn clear_networking(&mut self, id: u64) {
        let made = self.machines.get(&id).into_iter().flat_map(|m| &m.interfaces);
        let made: Vec<u64> = made.filter(|i| i.kind != InterfaceKind::Physical).map(|i| i.id).collect();
        for nic in made {
            self.drop_interface(id, nic);
        }
        self.clear_links(id);
        self.forget_gateways(id);
    }

    pub(crate) fn clear_default_gateways(&mut self, id: u64, call: &Call) -> Answer {
        call.admin_or(Reply::forbidden())?;
        self.may_edit(id, call)?;
        self.forget_gateways(id);
        self.shown(id)
    }

    fn forget_gateways(&mut self, id: u64) {
        if let Some(m) = self.machine_mut(id) {
            m.interfaces.iter_mut().for_each(|i| i.gateways = (None, None));
        }
    }

    /// `mount_special`, `unmount_special`: they stay with the machine, other than in a real region, where those of an
    /// allocated machine go when it is released.
    pub(crate) fn change_special(&mut self, id: u64, call: &Call) -> Answer {
        self.may_edit(id, call)?;
        let mounts = call.op() == "mount_special";
        let Some(m) = self.machines.get(&id) else {
            return Err(Reply::missing("Machine"));
        };
        if !matches!(m.status, Status::Ready | Status::Allocated) {
            let what = if mounts { "mount" } else { "unmount" };
            return Err(Reply::text(
                409,
                format!("Cannot {what} the filesystem because the machine is not Ready or Allocated ({}).", m.status),
            ));
        }
        let data = &call.form.data;
        let at = data.last("mount_point").unwrap_or("");
        let known = m.special.iter().position(|fs| fs.mount_point.as_deref() == Some(at));
        let kind = data.last("fstype").unwrap_or("");
        let mut errors = FieldErrors::default();
        if at.is_empty() {
            errors.add("mount_point", REQUIRED);
        } else if mounts && !at.starts_with('/') {
            errors.add("mount_point", "Enter a valid value.");
        } else if mounts && known.is_some() {
            errors.add("mount_point", "Another filesystem is already mounted here.");
        } else if !mounts && known.is_none() {
            errors.add("mount_point", "No special filesystem is mounted here.");
        }
        if mounts && !matches!(kind, "tmpfs" | "ramfs") {
            errors.add("fstype", if kind.is_empty() { REQUIRED.to_owned() } else { not_a_choice(kind) });
        }
        errors.check()?;
        let made = FileSystem {
            mount_options: data.last("mount_options").filter(|o| !o.is_empty()).map(str::to_owned),
            ..FileSystem::new(kind, None, Some(at))
        };
        if let Some(m) = self.machine_mut(id) {
            match known {
                Some(at) => drop(m.special.remove(at)),
                None => m.special.push(made),
            }
        }
        self.shown(id)
    }
}

/// What Django says of a choice that is none.
pub(crate) fn not_a_choice(text: &str) -> String {
    format!("Select a valid choice. {text} is not one of the available choices.")
}
