//! Interfaces of machines: bridges, bonds, VLANs, links to subnets (reference §2.4).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::Status;
use crate::form::Params;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{AllocType, Interface, InterfaceKind, IpRow};

const REQUIRED: &str = "This field is required.";

impl Region {
    pub(crate) fn answer_interfaces(&mut self, call: &Call) -> Answer {
        let id = self.find(&call.key).map(|m| m.id).ok_or_else(|| Reply::missing("Node"))?;
        self.may_see(id, call)?;
        let reading = call.method() == "GET";
        if !reading {
            call.admin_or(Reply::forbidden())?;
            self.may_edit(id, call)?;
            self.may_shape(id, call)?;
        }
        if !call.is_single() {
            if reading {
                let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Node"))?;
                return Ok(Reply::list(m.interfaces.iter().map(|i| self.interface_json(m, i)).collect()));
            }
            return self.create_interface(id, call);
        }
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Node"))?;
        let name = call.rest.strip_prefix("name:").unwrap_or(&call.rest);
        let found = m.interfaces.iter().find(|i| i.id.to_string() == call.rest || i.name == name).map(|i| i.id);
        let nic = found.ok_or_else(|| Reply::missing("Interface"))?;
        match (call.method(), call.op()) {
            ("GET", _) => {}
            ("DELETE", _) => {
                self.drop_interface(id, nic);
                return Ok(Reply::no_content());
            }
            ("PUT", _) => self.update_interface(id, nic, &call.form.data)?,
            (_, "link_subnet") => self.link_subnet(id, nic, &call.form.data)?,
            (_, "unlink_subnet") => self.unlink_subnet(id, nic, &call.form.data)?,
            (_, "disconnect") => {
                let rows = self.nic(id, nic).map(|i| i.rows.clone()).unwrap_or_default();
                for row in rows {
                    self.unlink(id, nic, row);
                }
                if let Some(i) = self.nic_mut(id, nic) {
                    i.vlan = None;
                }
            }
            (_, "set_default_gateway") => self.set_default_gateway(id, nic, &call.form.data)?,
            (_, op) => {
                let tag = call.form.data.last("tag").unwrap_or("").to_owned();
                if let Some(i) = self.nic_mut(id, nic) {
                    i.tags.retain(|t| *t != tag);
                    if op == "add_tag" {
                        i.tags.push(tag);
                    }
                }
            }
        }
        self.show_interface(id, nic)
    }

    /// Interfaces change only while nothing runs that has them.
    fn may_shape(&self, id: u64, call: &Call) -> Result<(), Reply> {
        let status = self.machines.get(&id).map_or(Status::New, |m| m.status);
        let free =
            matches!(status, Status::New | Status::Ready | Status::FailedTesting | Status::Allocated | Status::Broken);
        if free || (status == Status::Deployed && call.method() == "PUT") {
            return Ok(());
        }
        let what = if call.is_single() { "update" } else { "create" };
        Err(Reply::text(
            409,
            format!(
                "Cannot {what} interface because the machine is not New, Ready, Allocated, Broken or Failed testing."
            ),
        ))
    }

    fn nic(&self, id: u64, nic: u64) -> Option<&Interface> {
        self.machines.get(&id)?.interfaces.iter().find(|i| i.id == nic)
    }

    fn nic_mut(&mut self, id: u64, nic: u64) -> Option<&mut Interface> {
        self.machine_mut(id)?.interfaces.iter_mut().find(|i| i.id == nic)
    }

    fn show_interface(&self, id: u64, nic: u64) -> Answer {
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Node"))?;
        let shown = m.interfaces.iter().find(|i| i.id == nic).map(|i| Reply::json(&self.interface_json(m, i)));
        shown.ok_or_else(|| Reply::missing("Interface"))
    }

    /// Removes an interface with its links; its links do not move anywhere.
    pub(crate) fn drop_interface(&mut self, id: u64, nic: u64) {
        let rows = self.nic(id, nic).map(|i| i.rows.clone()).unwrap_or_default();
        for row in rows {
            self.remove_ip(row);
        }
        if let Some(m) = self.machine_mut(id) {
            m.interfaces.retain(|i| i.id != nic);
            m.interfaces.iter_mut().for_each(|i| i.parents.retain(|p| *p != nic));
        }
    }

    fn create_interface(&mut self, id: u64, call: &Call) -> Answer {
        let data = &call.form.data;
        let kind = match call.op() {
            "create_physical" => InterfaceKind::Physical,
            "create_bond" => InterfaceKind::Bond,
            "create_bridge" => InterfaceKind::Bridge,
            _ => InterfaceKind::Vlan,
        };
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Node"))?;
        let mut errors = FieldErrors::default();
        let named: Vec<&str> = data.all("parents").chain(data.all("parent")).collect();
        let parents: Vec<u64> = named
            .iter()
            .filter_map(|p| m.interfaces.iter().find(|i| i.id.to_string() == **p || i.name == **p))
            .map(|i| i.id)
            .collect();
        let first = m.interfaces.iter().find(|i| Some(&i.id) == parents.first());
        if kind != InterfaceKind::Physical && (parents.is_empty() || parents.len() != named.len()) {
            errors.add(if kind == InterfaceKind::Vlan { "parent" } else { "parents" }, REQUIRED);
        }
        let vlan = match data.last("vlan") {
            Some(text) => self.vlans.keys().copied().find(|v| self.is_vlan(*v, text)),
            None => first.and_then(|i| i.vlan),
        };
        let name = match kind {
            InterfaceKind::Vlan => {
                let vid = vlan.and_then(|v| self.vlans.get(&v)).map_or(0, |v| v.vid);
                first.map(|i| format!("{}.{vid}", i.name)).unwrap_or_default()
            }
            _ => data.last("name").map_or_else(
                || match (kind, first) {
                    (InterfaceKind::Bridge, Some(i)) => format!("br-{}", i.name),
                    (InterfaceKind::Physical, _) => format!("eth{}", m.interfaces.len()),
                    _ => String::new(),
                },
                str::to_owned,
            ),
        };
        if name.is_empty() {
            errors.add("name", REQUIRED);
        } else if m.interfaces.iter().any(|i| i.name == name) {
            errors.add("name", format!("Node {} already has an interface named '{name}'.", m.hostname));
        }
        let mac = data.last("mac_address").map(str::to_ascii_lowercase).or_else(|| first.and_then(|i| i.mac.clone()));
        if kind == InterfaceKind::Physical && !data.has("mac_address") {
            errors.add("mac_address", REQUIRED);
        }
        errors.check()?;
        let params: BTreeMap<String, Value> = match kind {
            InterfaceKind::Bridge => bridge_params(data),
            InterfaceKind::Bond => data
                .pairs()
                .filter(|(k, _)| k.starts_with("bond_"))
                .map(|(k, v)| (k.to_owned(), v.parse::<u64>().map_or_else(|_| Value::from(v), Value::from)))
                .collect(),
            _ => BTreeMap::new(),
        };
        let mtu = data.last("mtu").and_then(|t| t.parse().ok());
        let tags: Vec<String> =
            data.all("tags").flat_map(|t| t.split(',')).filter(|t| !t.is_empty()).map(str::to_owned).collect();
        let moves = matches!(kind, InterfaceKind::Bridge | InterfaceKind::Bond);
        let nic = self.insert_interface(
            id,
            Interface {
                id: 0,
                name,
                kind,
                mac,
                vlan,
                tags,
                parents: parents.clone(),
                rows: Vec::new(),
                mtu,
                params,
                gateways: (None, None),
                acquired: false,
            },
        );
        if moves {
            for parent in parents {
                self.move_links(id, parent, nic);
            }
        }
        self.show_interface(id, nic)
    }

    pub(crate) fn insert_interface(&mut self, id: u64, mut interface: Interface) -> u64 {
        let nic = self.next_id("interface");
        interface.id = nic;
        if let Some(m) = self.machine_mut(id) {
            m.interfaces.push(interface);
        }
        nic
    }

    /// The links of a parent go to what is made of it; what was observed stays.
    fn move_links(&mut self, id: u64, from: u64, to: u64) {
        let all = self.nic(id, from).map(|i| i.rows.clone()).unwrap_or_default();
        let moved: Vec<u64> =
            all.into_iter().filter(|r| self.ips.get(r).is_some_and(|r| r.alloc != AllocType::Discovered)).collect();
        for row in &moved {
            if let Some(row) = self.ips.get_mut(row) {
                row.interface = Some(to);
            }
        }
        if let Some(parent) = self.nic_mut(id, from) {
            parent.rows.retain(|r| !moved.contains(r));
        }
        if let Some(new) = self.nic_mut(id, to) {
            new.rows.extend(moved);
        }
    }

    /// `bridge_all`: a bridge over each configured interface, for as long as the machine is acquired.
    pub(crate) fn bridge_all(&mut self, id: u64, data: &Params) {
        let Some(m) = self.machines.get(&id) else {
            return;
        };
        let made: Vec<Interface> = m
            .interfaces
            .iter()
            .filter(|i| i.kind != InterfaceKind::Bridge && !m.interfaces.iter().any(|c| c.parents.contains(&i.id)))
            .map(|i| Interface {
                id: 0,
                name: format!("br-{}", i.name),
                kind: InterfaceKind::Bridge,
                mac: i.mac.clone(),
                vlan: i.vlan,
                tags: Vec::new(),
                parents: vec![i.id],
                rows: Vec::new(),
                mtu: i.mtu,
                params: bridge_params(data),
                gateways: i.gateways,
                acquired: true,
            })
            .collect();
        for bridge in made {
            let parent = bridge.parents.first().copied().unwrap_or(0);
            let nic = self.insert_interface(id, bridge);
            self.move_links(id, parent, nic);
        }
    }

    /// Bridges that came with the acquisition go, and their links go back.
    pub(crate) fn drop_acquired_bridges(&mut self, id: u64) {
        let bridges: Vec<(u64, u64)> = self
            .machines
            .get(&id)
            .map(|m| {
                m.interfaces.iter().filter(|i| i.acquired).filter_map(|i| Some((i.id, *i.parents.first()?))).collect()
            })
            .unwrap_or_default();
        for (bridge, parent) in bridges {
            self.move_links(id, bridge, parent);
            self.drop_interface(id, bridge);
        }
    }

    fn update_interface(&mut self, id: u64, nic: u64, data: &Params) -> Result<(), Reply> {
        let vlan = match data.last("vlan") {
            None => None,
            Some("") => Some(None),
            Some(text) => Some(Some(self.vlans.keys().copied().find(|v| self.is_vlan(*v, text)).ok_or_else(|| {
                Reply::invalid("vlan", "Select a valid choice. That choice is not one of the available choices.")
            })?)),
        };
        let taken = data.last("name").is_some_and(|name| {
            self.machines.get(&id).is_some_and(|m| m.interfaces.iter().any(|i| i.id != nic && i.name == name))
        });
        if taken {
            return Err(Reply::invalid("name", "Node already has an interface of that name."));
        }
        let Some(i) = self.nic_mut(id, nic) else {
            return Err(Reply::missing("Interface"));
        };
        if let Some(name) = data.last("name").filter(|n| !n.is_empty()) {
            name.clone_into(&mut i.name);
        }
        if let Some(mac) = data.last("mac_address") {
            i.mac = Some(mac.to_ascii_lowercase());
        }
        if let Some(mtu) = data.last("mtu") {
            i.mtu = mtu.parse().ok();
        }
        if data.has("tags") {
            i.tags = data.all("tags").flat_map(|t| t.split(',')).filter(|t| !t.is_empty()).map(str::to_owned).collect();
        }
        i.vlan = vlan.unwrap_or(i.vlan);
        Ok(())
    }

    fn link_subnet(&mut self, id: u64, nic: u64, data: &Params) -> Result<(), Reply> {
        let mode = data.last("mode").unwrap_or("").to_ascii_uppercase();
        let subnet = match data.last("subnet").filter(|s| !s.is_empty()) {
            Some(text) => Some(self.subnet_spec(text).ok_or_else(|| {
                Reply::invalid("subnet", "Select a valid choice. That choice is not one of the available choices.")
            })?),
            None => None,
        };
        let force = data.checkbox("force");
        let alloc = match mode.as_str() {
            "AUTO" => AllocType::Auto,
            "DHCP" => AllocType::Dhcp,
            "STATIC" | "LINK_UP" => AllocType::Sticky,
            "" => return Err(Reply::invalid("mode", REQUIRED)),
            other => {
                let choices = "Select a valid choice.";
                return Err(Reply::invalid("mode", format!("{choices} {other} is not one of the available choices.")));
            }
        };
        if subnet.is_none() && matches!(mode.as_str(), "AUTO" | "STATIC") {
            return Err(Reply::invalid("subnet", REQUIRED));
        }
        let vlan = self.nic(id, nic).and_then(|i| i.vlan);
        if let Some(s) = subnet.and_then(|s| self.subnets.get(&s)).filter(|_| !force)
            && vlan.is_some_and(|v| v != s.vlan)
        {
            return Err(Reply::invalid(
                "subnet",
                "Select a valid choice. That choice is not one of the available choices.",
            ));
        }
        let rows = self.nic(id, nic).map(|i| i.rows.clone()).unwrap_or_default();
        let is_dhcp = |row: &u64| self.ips.get(row).is_some_and(|r| r.alloc == AllocType::Dhcp);
        if alloc == AllocType::Dhcp && !force && rows.iter().any(is_dhcp) {
            return Err(Reply::invalid("mode", "Interface is already set to DHCP."));
        }
        let ip = match (mode.as_str(), data.last("ip_address").filter(|t| !t.is_empty()), subnet) {
            ("STATIC", Some(text), Some(s)) => Some(self.check_static(text, s)?),
            ("STATIC", None, Some(s)) => Some(self.pick_ip(s)?),
            _ => None,
        };
        if force {
            for row in rows {
                self.unlink(id, nic, row);
            }
        }
        // A link that only says "up" ends with the first real one.
        let idle: Vec<u64> = self.nic(id, nic).map(|i| i.rows.clone()).unwrap_or_default();
        for row in idle {
            if self.ips.get(&row).is_some_and(|r| r.alloc == AllocType::Sticky && r.ip.is_none()) {
                self.unlink(id, nic, row);
            }
        }
        let row = self.add_link(id, nic, alloc, ip, subnet);
        if data.checkbox("default_gateway") {
            self.make_gateway(id, nic, row);
        }
        self.touch_machine_names(id);
        Ok(())
    }

    fn check_static(&self, text: &str, subnet: u64) -> Result<IpAddr, Reply> {
        let ip: IpAddr =
            text.parse().map_err(|_| Reply::invalid("ip_address", "Enter a valid IPv4 or IPv6 address."))?;
        let Some(row) = self.subnets.get(&subnet) else {
            return Err(Reply::missing("Subnet"));
        };
        if !row.cidr.contains(&ip) {
            let text = format!("IP address is not in the given subnet '{}'.", row.name);
            return Err(Reply::invalid("ip_address", text));
        }
        if self.in_dynamic_range(subnet, ip) {
            return Err(Reply::invalid("ip_address", "IP address is inside a dynamic range."));
        }
        if self.by_ip.contains_key(&ip) {
            return Err(Reply::text(404, format!("IP address is already in use: {ip}.")));
        }
        Ok(ip)
    }

    fn unlink(&mut self, id: u64, nic: u64, row: u64) {
        if self.ips.get(&row).is_some_and(|r| r.alloc == AllocType::Discovered) {
            return;
        }
        self.remove_ip(row);
        if let Some(i) = self.nic_mut(id, nic) {
            i.rows.retain(|r| *r != row);
        }
        self.touch_machine_names(id);
    }

    /// Takes every link off a machine; what was observed stays.
    pub(crate) fn clear_links(&mut self, id: u64) {
        let all: Vec<(u64, u64)> = self
            .machines
            .get(&id)
            .map(|m| m.interfaces.iter().flat_map(|i| i.rows.iter().map(|r| (i.id, *r))).collect())
            .unwrap_or_default();
        for (nic, row) in all {
            self.unlink(id, nic, row);
        }
    }

    /// After commissioning the boot interface has an AUTO link where it was seen, if it has none.
    pub(crate) fn configure_boot_interface(&mut self, id: u64) {
        let Some(boot) = self.machines.get(&id).and_then(|m| m.interfaces.first()) else {
            return;
        };
        let rows: Vec<&IpRow> = boot.rows.iter().filter_map(|r| self.ips.get(r)).collect();
        if rows.iter().any(|r| r.alloc != AllocType::Discovered) {
            return;
        }
        let nic = boot.id;
        let subnet = rows.iter().find_map(|r| r.subnet).or_else(|| self.subnets.keys().next().copied());
        self.add_link(id, nic, AllocType::Auto, None, subnet);
    }

    /// Links an interface; one that is in no VLAN yet is then in that of the subnet.
    pub(crate) fn add_link(
        &mut self,
        id: u64,
        nic: u64,
        alloc: AllocType,
        ip: Option<IpAddr>,
        subnet: Option<u64>,
    ) -> u64 {
        let row = self.insert_ip(IpRow::linked((id, nic), alloc, ip, subnet, self.now));
        let vlan = subnet.and_then(|s| self.subnets.get(&s)).map(|s| s.vlan);
        if let Some(i) = self.nic_mut(id, nic) {
            i.rows.push(row);
            i.vlan = i.vlan.or(vlan);
        }
        row
    }

    fn unlink_subnet(&mut self, id: u64, nic: u64, data: &Params) -> Result<(), Reply> {
        let rows = self.nic(id, nic).map(|i| i.rows.clone()).unwrap_or_default();
        let wanted = data.last("id").unwrap_or("");
        let Some(row) = rows.iter().find(|r| r.to_string() == wanted) else {
            let text = format!("'{wanted}' is not a valid id.  It should be one of: {}.", list(&rows));
            return Err(Reply::invalid("id", if wanted.is_empty() { REQUIRED.to_owned() } else { text }));
        };
        self.unlink(id, nic, *row);
        Ok(())
    }

    fn set_default_gateway(&mut self, id: u64, nic: u64, data: &Params) -> Result<(), Reply> {
        let rows = self.nic(id, nic).map(|i| i.rows.clone()).unwrap_or_default();
        let has_gateway = |row: &u64| {
            // What was only seen is no link.
            let row = self.ips.get(row).filter(|r| r.alloc != AllocType::Discovered);
            row.and_then(|r| self.subnets.get(&r.subnet?)).is_some_and(|s| s.gateway.is_some())
        };
        let fitting: Vec<u64> = rows.into_iter().filter(has_gateway).collect();
        let row = match data.last("link_id") {
            Some(text) => fitting.iter().find(|r| r.to_string() == text),
            None => fitting.first().filter(|_| fitting.len() == 1),
        };
        let Some(row) = row.copied() else {
            let text = "This field is required; Interface has more than one link with a gateway, or none.";
            return Err(Reply::invalid("link_id", text));
        };
        self.make_gateway(id, nic, row);
        Ok(())
    }

    fn make_gateway(&mut self, id: u64, nic: u64, row: u64) {
        let gateway = self.ips.get(&row).and_then(|r| self.subnets.get(&r.subnet?)?.gateway);
        let Some(four) = gateway.map(|g| g.is_ipv4()) else {
            return;
        };
        let Some(m) = self.machine_mut(id) else {
            return;
        };
        for i in &mut m.interfaces {
            let chosen = (i.id == nic).then_some(row);
            if four {
                i.gateways.0 = chosen;
            } else {
                i.gateways.1 = chosen;
            }
        }
    }
}

fn list(rows: &[u64]) -> String {
    rows.iter().map(|r| format!("'{r}'")).collect::<Vec<_>>().join(", ")
}

fn bridge_params(data: &Params) -> BTreeMap<String, Value> {
    let kind = data.last("bridge_type").unwrap_or("standard");
    let stp = data.checkbox("bridge_stp");
    let delay = data.last("bridge_fd").and_then(|t| t.parse::<u64>().ok()).unwrap_or(0);
    BTreeMap::from([
        ("bridge_type".to_owned(), Value::from(kind)),
        ("bridge_stp".to_owned(), Value::from(stp)),
        ("bridge_fd".to_owned(), Value::from(delay)),
    ])
}
