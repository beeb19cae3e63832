//! The machines, and what lists show of them.
//!
//! To write a machine in JSON costs more than all else in a list, so its text is kept until it may be another: with any
//! mutable access to the machine, and with any change of what machines refer to ([`Region::refer_anew`]).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use crate::region::Region;
use crate::reply::Reply;
use crate::state::Machine;

/// The text of a machine, and of which state of all that it refers to.
#[derive(Debug, Default)]
pub(crate) struct Shown(RefCell<Option<(u64, Arc<[u8]>)>>);

/// Machines by internal id.
#[derive(Debug, Default)]
pub(crate) struct Machines(BTreeMap<u64, Machine>);

impl Deref for Machines {
    type Target = BTreeMap<u64, Machine>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Machines {
    pub(crate) fn get_mut(&mut self, id: &u64) -> Option<&mut Machine> {
        let machine = self.0.get_mut(id)?;
        machine.shown.0.replace(None);
        Some(machine)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Machine> {
        self.0.values_mut().inspect(|machine| {
            machine.shown.0.replace(None);
        })
    }

    pub(crate) fn insert(&mut self, id: u64, machine: Machine) {
        self.0.insert(id, machine);
    }

    pub(crate) fn remove(&mut self, id: &u64) -> Option<Machine> {
        self.0.remove(id)
    }
}

impl Region {
    /// Something that machines show without having it changed: a place, a name, a network.
    pub(crate) fn refer_anew(&mut self) {
        self.references += 1;
    }

    /// A list of machines.
    pub(crate) fn machine_list<'a>(&'a self, machines: impl Iterator<Item = &'a Machine>) -> Reply {
        let mut body = Vec::new();
        let mut count = 0;
        for machine in machines {
            body.extend_from_slice(if count == 0 { b"[\n    " } else { b",\n    " });
            body.extend_from_slice(&self.machine_text(machine));
            count += 1;
        }
        body.extend_from_slice(if count == 0 { b"[]" } else { b"\n]" });
        self.shown_machines.set(count);
        Reply::json_text(body)
    }

    /// The machine as it stands in a list: indented once more.
    fn machine_text(&self, machine: &Machine) -> Arc<[u8]> {
        if let Some((references, text)) = machine.shown.0.borrow().as_ref()
            && *references == self.references
        {
            return Arc::clone(text);
        }
        let alone = crate::reply::pretty(&self.machine_json(machine));
        let mut text = Vec::with_capacity(alone.len() + alone.len() / 4);
        for byte in alone {
            text.push(byte);
            // Texts have no line ends of their own in JSON.
            if byte == b'\n' {
                text.extend_from_slice(b"    ");
            }
        }
        let text: Arc<[u8]> = text.into();
        machine.shown.0.replace(Some((self.references, Arc::clone(&text))));
        text
    }
}
