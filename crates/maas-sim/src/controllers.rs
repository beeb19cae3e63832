//! The region controller and its one rack controller, as far as lists show them.

use serde_json::{Value, json};

use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;

const SERVICES: [&str; 9] =
    ["agent", "dhcpd", "dhcpd6", "http", "ntp_rack", "proxy_rack", "rackd", "syslog_rack", "tftp"];
const REGION_SERVICES: [&str; 6] = ["bind9", "ntp_region", "proxy", "regiond", "reverse_proxy", "syslog_region"];

impl Region {
    fn controller_json(&self, rack: bool) -> Value {
        let (id, name, kind, number) = if rack {
            ("labrck", "lab-rack", "Rack controller", 2)
        } else {
            ("labrgn", "maas-region", "Region controller", 3)
        };
        let status = if rack { "unknown" } else { "running" };
        let services = if rack { &SERVICES[..] } else { &REGION_SERVICES };
        let services: Vec<Value> =
            services.iter().map(|s| json!({"name": s, "status": status, "status_info": ""})).collect();
        let domain = self.domains.get(&self.default_domain).map(|d| self.domain_json(self.default_domain, d));
        let zone = self.zones.iter().next().map(|(id, z)| crate::view::zone(*id, z));
        let fqdn = domain.as_ref().map(|d| format!("{name}.{}", d["name"].as_str().unwrap_or("")));
        let collection = if rack { "rackcontrollers" } else { "regioncontrollers" };
        let mut shown = json!({
            "system_id": id, "hostname": name, "fqdn": fqdn, "domain": domain, "description": "", "hardware_uuid": null, "node_type": number, "node_type_name": kind,
            "architecture": "amd64/generic", "cpu_count": 4, "cpu_speed": 2400, "memory": 8192, "swap_size": null, "osystem": "", "distro_series": "",
            "power_type": "", "power_state": "off", "zone": zone, "tag_names": [], "ip_addresses": [], "interface_set": [], "service_set": services,
            "version": self.version, "hardware_info": {}, "status_action": null, "current_commissioning_result_id": null, "current_testing_result_id": null,
            "current_installation_result_id": null, "commissioning_status": -1, "commissioning_status_name": "Unknown",
            "resource_uri": format!("/MAAS/api/2.0/{collection}/{id}/"),
        });
        for test in
            ["testing", "cpu_test", "memory_test", "network_test", "storage_test", "interface_test", "other_test"]
        {
            shown[format!("{test}_status")] = json!(-1);
            shown[format!("{test}_status_name")] = json!("Unknown");
        }
        shown
    }

    pub(crate) fn answer_controllers(&self, call: &Call) -> Answer {
        let rack = call.resource().starts_with("rack");
        let shown = self.controller_json(rack);
        if !call.is_single() {
            return Ok(Reply::list(vec![shown]));
        }
        if shown["system_id"] == call.key {
            Ok(Reply::json(&shown))
        } else {
            Err(Reply::missing(if rack { "RackController" } else { "RegionController" }))
        }
    }

    /// `nodes/`: machines, devices are none of theirs, and both controllers at the end.
    pub(crate) fn list_nodes(&self, call: &Call) -> Answer {
        let mut all: Vec<Value> =
            self.machines.values().filter(|m| self.may_see(m.id, call).is_ok()).map(|m| self.machine_json(m)).collect();
        all.push(self.controller_json(true));
        all.push(self.controller_json(false));
        Ok(Reply::list(all))
    }
}
