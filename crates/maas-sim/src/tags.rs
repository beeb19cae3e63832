//! Tags, and which machines have them (reference §2.6).

use serde_json::json;

use crate::form::Params;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{Machine, Tag};
use crate::view;

const REQUIRED: &str = "This field is required.";

impl Region {
    pub(crate) fn answer_tags(&mut self, call: &Call) -> Answer {
        if !call.is_single() {
            if call.method() == "GET" {
                return Ok(Reply::list(self.tags.values().map(view::tag).collect()));
            }
            call.admin_or(Reply::forbidden())?;
            return self.create_tag(&call.form.data);
        }
        let found = self.tags.iter().find(|(_, t)| t.name == call.key).map(|(id, _)| *id);
        let id = found.ok_or_else(|| Reply::missing("Tag"))?;
        match (call.method(), call.op()) {
            ("GET", "") => self.show_tag(id),
            ("GET", "machines" | "nodes") => {
                let visible = |m: &&Machine| m.tags.contains(&call.key) && self.may_see(m.id, call).is_ok();
                Ok(self.machine_list(self.machines.values().filter(visible)))
            }
            // Devices and controllers have no tags here.
            ("GET", _) => Ok(Reply::list(Vec::new())),
            ("POST", "rebuild") => {
                call.admin_or(Reply::forbidden())?;
                Ok(Reply::json(&json!({"rebuilding": call.key})))
            }
            ("POST", _) => {
                call.admin_or(Reply::forbidden())?;
                self.update_nodes(id, call)
            }
            (method, _) => {
                call.admin_or(Reply::forbidden())?;
                if method == "DELETE" {
                    self.tags.remove(&id);
                    self.machines.values_mut().for_each(|m| {
                        m.tags.remove(&call.key);
                    });
                    return Ok(Reply::no_content());
                }
                self.update_tag(id, call)
            }
        }
    }

    fn show_tag(&self, id: u64) -> Answer {
        self.tags.get(&id).map(|t| Reply::json(&view::tag(t))).ok_or_else(|| Reply::missing("Tag"))
    }

    fn create_tag(&mut self, data: &Params) -> Answer {
        let text = |key: &str| data.last(key).unwrap_or("").to_owned();
        let name = text("name");
        let mut errors = FieldErrors::default();
        if name.is_empty() {
            errors.add("name", REQUIRED);
        } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            errors.add("name", "Enter a valid value.");
        } else if self.tags.values().any(|t| t.name == name) {
            errors.add("name", "Tag with this Name already exists.");
        }
        errors.check()?;
        let id = self.next_id("tag");
        let tag =
            Tag { name, comment: text("comment"), definition: text("definition"), kernel_opts: text("kernel_opts") };
        self.tags.insert(id, tag);
        self.show_tag(id)
    }

    fn update_tag(&mut self, id: u64, call: &Call) -> Answer {
        let data = &call.form.data;
        let Some(tag) = self.tags.get_mut(&id) else {
            return Err(Reply::missing("Tag"));
        };
        for (field, slot) in
            [("comment", &mut tag.comment), ("definition", &mut tag.definition), ("kernel_opts", &mut tag.kernel_opts)]
        {
            if let Some(text) = data.last(field) {
                text.clone_into(slot);
            }
        }
        if let Some(name) = data.last("name").filter(|n| !n.is_empty() && *n != call.key) {
            name.clone_into(&mut tag.name);
            for machine in self.machines.values_mut() {
                if machine.tags.remove(&call.key) {
                    machine.tags.insert(name.to_owned());
                }
            }
        }
        self.show_tag(id)
    }

    /// The batch call: unknown ids are ignored, and what was so already counts too.
    fn update_nodes(&mut self, id: u64, call: &Call) -> Answer {
        let data = &call.form.data;
        let definition = self.tags.get(&id).map_or("", |t| t.definition.as_str());
        if let Some(given) = data.last("definition").filter(|d| *d != definition) {
            return Err(Reply::text(
                409,
                format!("Definition supplied '{given}' doesn't match current definition '{definition}'"),
            ));
        }
        let known = |key: &str| -> std::collections::BTreeSet<u64> {
            data.all(key).filter_map(|id| self.by_system_id.get(id)).copied().collect()
        };
        let (add, remove) = (known("add"), known("remove"));
        let (added, removed) = (add.len(), remove.len());
        for id in add {
            if let Some(machine) = self.machines.get_mut(&id) {
                machine.tags.insert(call.key.clone());
            }
        }
        for id in remove {
            if let Some(machine) = self.machines.get_mut(&id) {
                machine.tags.remove(&call.key);
            }
        }
        Ok(Reply::json(&json!({"added": added, "removed": removed})))
    }
}
