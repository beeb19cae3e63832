//! Fabrics, VLANs and spaces (reference §2.8).

use serde_json::{Value, json};

use crate::form::Params;
use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;
use crate::state::{Fabric, Place, Vlan};
use crate::view::API;

const REQUIRED: &str = "This field is required.";

impl Region {
    pub(crate) fn answer_network(&mut self, call: &Call) -> Answer {
        if call.method() != "GET" && call.resource() != "ipranges" && call.resource() != "iprange" {
            call.admin_or(if call.is_single() { Reply::forbidden() } else { Reply::admins_only() })?;
        }
        match call.resource() {
            "fabrics" | "fabric" => self.answer_fabrics(call),
            "fabric-vlans" | "fabric-vlan" | "vlan" => self.answer_vlans(call),
            "spaces" | "space" => self.answer_spaces(call),
            "ipranges" | "iprange" => self.answer_ranges(call),
            _ => self.answer_subnets(call),
        }
    }

    fn fabric_json(&self, id: u64) -> Value {
        let Some(fabric) = self.fabrics.get(&id) else {
            return Value::Null;
        };
        let vlans: Vec<Value> =
            self.vlans.iter().filter(|(_, v)| v.fabric == id).map(|(id, _)| self.vlan_json(*id)).collect();
        json!({"id": id, "name": fabric.name, "class_type": fabric.class, "vlans": vlans, "resource_uri": format!("{API}/fabrics/{id}/")})
    }

    pub(crate) fn fabric_spec(&self, text: &str) -> Option<u64> {
        let name = text.strip_prefix("name:").unwrap_or(text);
        self.fabrics.iter().find(|(id, f)| id.to_string() == text || f.name == name).map(|(id, _)| *id)
    }

    fn answer_fabrics(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        if !call.is_single() {
            if call.method() == "GET" {
                return Ok(Reply::list(self.fabrics.keys().map(|id| self.fabric_json(*id)).collect()));
            }
            let id = self.next_id("fabric");
            let name =
                data.last("name").filter(|n| !n.is_empty()).map_or_else(|| format!("fabric-{id}"), str::to_owned);
            if self.fabrics.values().any(|f| f.name == name) {
                return Err(Reply::invalid("name", "Fabric with this Name already exists."));
            }
            self.fabrics.insert(id, Fabric { name, class: data.last("class_type").map(str::to_owned) });
            // A fabric comes with its untagged VLAN.
            self.insert_vlan(id, 0, "untagged");
            return Ok(Reply::json(&self.fabric_json(id)));
        }
        let id = self.fabric_spec(&call.key).ok_or_else(|| Reply::missing("Fabric"))?;
        match call.method() {
            "DELETE" => {
                if id == 0 {
                    return Err(Reply::text(400, "This fabric is the default fabric, it cannot be deleted."));
                }
                let vlans: Vec<u64> = self.vlans.iter().filter(|(_, v)| v.fabric == id).map(|(id, _)| *id).collect();
                if self.subnets.values().any(|s| vlans.contains(&s.vlan)) {
                    return Err(Reply::text(400, "Can't delete fabric; the following subnets are still present."));
                }
                self.vlans.retain(|_, v| v.fabric != id);
                self.fabrics.remove(&id);
                return Ok(Reply::no_content());
            }
            "PUT" => {
                if let Some(fabric) = self.fabrics.get_mut(&id) {
                    if let Some(name) = data.last("name").filter(|n| !n.is_empty()) {
                        name.clone_into(&mut fabric.name);
                    }
                    if let Some(class) = data.last("class_type") {
                        fabric.class = Some(class.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(Reply::json(&self.fabric_json(id)))
    }

    pub(crate) fn insert_vlan(&mut self, fabric: u64, vid: u16, name: &str) -> u64 {
        let id = self.next_id("vlan");
        let name = name.to_owned();
        let vlan = Vlan { fabric, vid, name, mtu: 1500, dhcp: false, space: None, primary_rack: None, relay: None };
        self.vlans.insert(id, vlan);
        id
    }

    fn answer_vlans(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        if call.resource() == "fabric-vlans" {
            let fabric = self.fabric_spec(&call.key).ok_or_else(|| Reply::missing("Fabric"))?;
            if call.method() == "GET" {
                let vlans = self.vlans.iter().filter(|(_, v)| v.fabric == fabric).map(|(id, _)| self.vlan_json(*id));
                return Ok(Reply::list(vlans.collect()));
            }
            let Some(vid) = data.last("vid").and_then(|v| v.parse::<u16>().ok()).filter(|v| *v < 4095) else {
                return Err(Reply::invalid(
                    "vid",
                    if data.has("vid") { "Vid must be between 0 and 4094." } else { REQUIRED },
                ));
            };
            if self.vlans.values().any(|v| v.fabric == fabric && v.vid == vid) {
                return Err(Reply::invalid("__all__", "VLAN with this Fabric and Vid already exists."));
            }
            let id = self.insert_vlan(fabric, vid, data.last("name").unwrap_or(&vid.to_string()));
            self.change_vlan(id, data)?;
            return Ok(Reply::json(&self.vlan_json(id)));
        }
        let found = if call.resource() == "vlan" {
            call.key.parse::<u64>().ok().filter(|id| self.vlans.contains_key(id))
        } else {
            let fabric = self.fabric_spec(&call.key).ok_or_else(|| Reply::missing("Fabric"))?;
            self.vlans.iter().find(|(_, v)| v.fabric == fabric && v.vid.to_string() == call.rest).map(|(id, _)| *id)
        };
        let id = found.ok_or_else(|| Reply::missing("VLAN"))?;
        match call.method() {
            "DELETE" => {
                if self.vlans.get(&id).is_some_and(|v| v.vid == 0) {
                    return Err(Reply::text(400, "This VLAN is the default VLAN in the fabric, it cannot be deleted."));
                }
                self.vlans.remove(&id);
                return Ok(Reply::no_content());
            }
            "PUT" => self.change_vlan(id, data)?,
            _ => {}
        }
        Ok(Reply::json(&self.vlan_json(id)))
    }

    fn change_vlan(&mut self, id: u64, data: &Params) -> Result<(), Reply> {
        let space = match data.last("space") {
            None => None,
            Some("") => Some(None),
            Some(text) => Some(Some(self.space_spec(text).ok_or_else(|| Reply::missing("Space"))?)),
        };
        let Some(vlan) = self.vlans.get_mut(&id) else {
            return Err(Reply::missing("VLAN"));
        };
        if let Some(name) = data.last("name") {
            name.clone_into(&mut vlan.name);
        }
        if let Some(mtu) = data.last("mtu") {
            vlan.mtu = mtu.parse().map_err(|_| Reply::invalid("mtu", "Enter a whole number."))?;
        }
        if data.has("dhcp_on") {
            vlan.dhcp = data.checkbox("dhcp_on");
        }
        if let Some(rack) = data.last("primary_rack") {
            vlan.primary_rack = Some(rack.to_owned()).filter(|r| !r.is_empty());
        }
        if let Some(relay) = data.last("relay_vlan") {
            vlan.relay = relay.parse().ok();
        }
        vlan.space = space.unwrap_or(vlan.space);
        Ok(())
    }

    fn space_json(&self, id: Option<u64>) -> Value {
        let in_it = |v: &Vlan| v.space == id;
        let vlans: Vec<u64> = self.vlans.iter().filter(|(_, v)| in_it(v)).map(|(id, _)| *id).collect();
        let subnets = self.subnets.iter().filter(|(_, s)| vlans.contains(&s.vlan)).map(|(id, _)| self.subnet_json(*id));
        let subnets: Vec<Value> = subnets.collect();
        let vlans: Vec<Value> = vlans.iter().map(|id| self.vlan_json(*id)).collect();
        let number = id.map_or(-1, |id| i64::try_from(id).unwrap_or(i64::MAX));
        let place = id.and_then(|id| self.spaces.get(&id));
        json!({
            "id": number, "name": place.map_or("undefined", |p| &p.name), "description": place.map_or("", |p| &p.text), "vlans": vlans, "subnets": subnets,
            "resource_uri": match id { Some(id) => format!("{API}/spaces/{id}/"), None => format!("{API}/spaces/undefined/") },
        })
    }

    fn space_spec(&self, text: &str) -> Option<u64> {
        let name = text.strip_prefix("name:").unwrap_or(text);
        self.spaces.iter().find(|(id, s)| id.to_string() == text || s.name == name).map(|(id, _)| *id)
    }

    fn answer_spaces(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        if !call.is_single() {
            if call.method() == "GET" {
                let mut shown: Vec<Value> = self.spaces.keys().map(|id| self.space_json(Some(*id))).collect();
                if self.vlans.values().any(|v| v.space.is_none()) {
                    shown.push(self.space_json(None));
                }
                return Ok(Reply::list(shown));
            }
            let Some(name) = data.last("name").filter(|n| !n.is_empty()) else {
                return Err(Reply::invalid("name", REQUIRED));
            };
            if self.spaces.values().any(|s| s.name == name) {
                return Err(Reply::invalid("name", "Space with this Name already exists."));
            }
            let id = self.next_id("space");
            let text = data.last("description").unwrap_or("").to_owned();
            self.spaces.insert(id, Place { name: name.to_owned(), text });
            return Ok(Reply::json(&self.space_json(Some(id))));
        }
        if matches!(call.key.as_str(), "-1" | "undefined") && call.method() == "GET" {
            return Ok(Reply::json(&self.space_json(None)));
        }
        let id = self.space_spec(&call.key).ok_or_else(|| Reply::missing("Space"))?;
        match call.method() {
            "DELETE" => {
                self.spaces.remove(&id);
                self.vlans.values_mut().filter(|v| v.space == Some(id)).for_each(|v| v.space = None);
                return Ok(Reply::no_content());
            }
            "PUT" => {
                if let Some(space) = self.spaces.get_mut(&id) {
                    for (field, slot) in [("name", &mut space.name), ("description", &mut space.text)] {
                        if let Some(text) = data.last(field) {
                            text.clone_into(slot);
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(Reply::json(&self.space_json(Some(id))))
    }
}
