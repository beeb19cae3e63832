//! Every resource and operation of the REST API 2.0, and which of them are simulated.
//!
//! The rest is answered 501 with its name and counted, so that no test passes on air.

use std::collections::BTreeMap;

/// Method and operation; the operation is empty for plain REST.
pub(crate) type Op = (&'static str, &'static str);

/// One kind of address.
#[derive(Debug)]
pub(crate) struct Resource {
    /// What operations are counted under. Resources with an id at the end of their path have names in singular.
    pub(crate) name: &'static str,
    /// Segments after `/MAAS/api/2.0/`; `{}` is a key.
    pub(crate) path: &'static str,
    pub(crate) does: &'static [Op],
    /// What a real region has besides.
    pub(crate) lacks: &'static [Op],
}

const fn on(name: &'static str, path: &'static str, does: &'static [Op], lacks: &'static [Op]) -> Resource {
    Resource { name, path, does, lacks }
}

impl Resource {
    /// True for the resource with an id at the end of its path.
    pub(crate) fn is_single(&self) -> bool {
        self.path.ends_with("{}")
    }

    /// The keys in a path of this form.
    fn keys(&self, segments: &[String]) -> Option<Vec<String>> {
        let mut keys = Vec::new();
        let mut pattern = self.path.split('/');
        for segment in segments {
            match pattern.next()? {
                "{}" if segment.is_empty() => return None,
                "{}" => keys.push(segment.clone()),
                fixed if fixed == segment => {}
                _ => return None,
            }
        }
        pattern.next().is_none().then_some(keys)
    }
}

/// These paths have no slash at their end; with one, most of them work as well.
pub(crate) const SLASHLESS: &[&str] =
    &["script", "commissioning-script", "license-key", "virtual-machine", "vm-cluster", "partition"];

/// The resource at that path, with the keys in it.
pub(crate) fn find(segments: &[String]) -> Option<(&'static Resource, Vec<String>)> {
    RESOURCES.iter().find_map(|r| r.keys(segments).map(|keys| (r, keys)))
}

/// What is answered 501, with the reason: operations as [`crate::Region::counters`] names them, and some with one of their
/// parameters.
///
/// ```
/// assert!(maas_sim::not_simulated()["POST raids"].contains("RAIDs"));
/// assert!(!maas_sim::not_simulated().contains_key("POST machine deploy"));
/// ```
#[must_use]
pub fn not_simulated() -> BTreeMap<&'static str, &'static str> {
    let mut all = BTreeMap::new();
    for line in include_str!("unsimulated.md").lines() {
        if let Some((reason, operations)) = line.trim_start_matches("* ").split_once(": `") {
            all.extend(operations.split('`').step_by(2).map(|operation| (operation, reason)));
        }
    }
    all
}

const READ: Op = ("GET", "");
const CREATE: Op = ("POST", "");
const UPDATE: Op = ("PUT", "");
const DELETE: Op = ("DELETE", "");

const RESOURCES: &[Resource] = &[
    on("version", "version", &[READ], &[]),
    on("describe", "describe", &[], &[READ]),
    on("maas", "maas", &[("GET", "get_config"), ("POST", "set_config")], &[]),
    // Users and what belongs to them.
    on("users", "users", &[("GET", "whoami"), READ, CREATE], &[]),
    on("user", "users/{}", &[READ, DELETE], &[]),
    on(
        "account",
        "account",
        &[
            ("GET", "list_authorisation_tokens"),
            ("POST", "create_authorisation_token"),
            ("POST", "delete_authorisation_token"),
            ("POST", "update_token_name"),
        ],
        &[],
    ),
    on("sshkeys", "account/prefs/sshkeys", &[READ, CREATE, ("POST", "import")], &[]),
    on("sshkey", "account/prefs/sshkeys/{}", &[READ, DELETE], &[]),
    on("sslkeys", "account/prefs/sslkeys", &[READ, CREATE], &[]),
    on("sslkey", "account/prefs/sslkeys/{}", &[READ, DELETE], &[]),
    on("files", "files", &[], &[READ, CREATE, DELETE, ("GET", "get_by_key"), ("GET", "get_by_name"), ("GET", "get")]),
    on("file", "files/{}", &[], &[READ, DELETE]),
    on("notifications", "notifications", &[READ, CREATE], &[]),
    on("notification", "notifications/{}", &[READ, UPDATE, DELETE, ("POST", "dismiss")], &[]),
    on("groups", "groups", &[], &[READ, CREATE]),
    on(
        "group",
        "groups/{}",
        &[],
        &[
            READ,
            UPDATE,
            DELETE,
            ("GET", "list_entitlements"),
            ("GET", "list_members"),
            ("POST", "add_entitlement"),
            ("POST", "add_member"),
            ("POST", "remove_entitlement"),
            ("POST", "remove_member"),
        ],
    ),
    on("oidc-providers", "oidc-providers", &[], &[READ, CREATE, ("GET", "get_active")]),
    on("oidc-provider", "oidc-providers/{}", &[], &[READ, UPDATE, DELETE]),
    // Machines and their parts.
    on(
        "machines",
        "machines",
        &[
            READ,
            CREATE,
            ("POST", "allocate"),
            ("POST", "release"),
            ("GET", "list_allocated"),
            ("POST", "accept"),
            ("POST", "accept_all"),
            ("GET", "power_parameters"),
            ("POST", "set_zone"),
            ("GET", "is_registered"),
            ("GET", "is_action_in_progress"),
            ("POST", "clone"),
        ],
        &[("POST", "add_chassis")],
    ),
    on("machine", "machines/{}", MACHINE, &[]),
    on("machine", "nodes/{}", MACHINE, &[]),
    on("nodes", "nodes", &[READ, ("POST", "set_zone"), ("GET", "is_registered")], &[]),
    on("results", "nodes/{}/results", &[READ], &[]),
    on("result", "nodes/{}/results/{}", &[READ, UPDATE, DELETE, ("GET", "download")], &[]),
    on("installation-results", "installation-results", &[READ], &[]),
    on("commissioning-results", "commissioning-results", &[READ], &[]),
    on(
        "interfaces",
        "nodes/{}/interfaces",
        &[
            READ,
            ("POST", "create_physical"),
            ("POST", "create_bond"),
            ("POST", "create_bridge"),
            ("POST", "create_vlan"),
        ],
        &[],
    ),
    on(
        "interface",
        "nodes/{}/interfaces/{}",
        &[
            READ,
            UPDATE,
            DELETE,
            ("POST", "add_tag"),
            ("POST", "remove_tag"),
            ("POST", "disconnect"),
            ("POST", "link_subnet"),
            ("POST", "unlink_subnet"),
            ("POST", "set_default_gateway"),
        ],
        &[],
    ),
    on("blockdevices", "nodes/{}/blockdevices", &[READ, CREATE], &[]),
    on(
        "blockdevice",
        "nodes/{}/blockdevices/{}",
        &[
            READ,
            UPDATE,
            DELETE,
            ("POST", "add_tag"),
            ("POST", "remove_tag"),
            ("POST", "format"),
            ("POST", "unformat"),
            ("POST", "mount"),
            ("POST", "unmount"),
            ("POST", "set_boot_disk"),
        ],
        &[],
    ),
    on("partitions", "nodes/{}/blockdevices/{}/partitions", &[READ, CREATE], &[]),
    on("partition", "nodes/{}/blockdevices/{}/partition/{}", PARTITION, &[]),
    on("partition", "nodes/{}/blockdevices/{}/partitions/{}", PARTITION, &[]),
    on("volume-groups", "nodes/{}/volume-groups", &[READ], &[CREATE]),
    on(
        "volume-group",
        "nodes/{}/volume-group/{}",
        &[READ],
        &[UPDATE, DELETE, ("POST", "create_logical_volume"), ("POST", "delete_logical_volume")],
    ),
    on("raids", "nodes/{}/raids", &[READ], &[CREATE]),
    on("raid", "nodes/{}/raid/{}", &[], &[READ, UPDATE, DELETE]),
    on("bcaches", "nodes/{}/bcaches", &[READ], &[CREATE]),
    on("bcache", "nodes/{}/bcache/{}", &[], &[READ, UPDATE, DELETE]),
    on("bcache-cache-sets", "nodes/{}/bcache-cache-sets", &[READ], &[CREATE]),
    on("bcache-cache-set", "nodes/{}/bcache-cache-set/{}", &[], &[READ, UPDATE, DELETE]),
    on("vmfs-datastores", "nodes/{}/vmfs-datastores", &[READ], &[CREATE]),
    on("vmfs-datastore", "nodes/{}/vmfs-datastore/{}", &[], &[READ, UPDATE, DELETE]),
    on("node-devices", "nodes/{}/devices", &[], &[READ]),
    on("node-device", "nodes/{}/devices/{}", &[], &[READ, DELETE]),
    on("devices", "devices", &[READ, CREATE], &[("GET", "is_registered"), ("POST", "set_zone")]),
    on(
        "device",
        "devices/{}",
        &[READ, UPDATE, DELETE, ("POST", "set_owner_data"), ("POST", "set_workload_annotations")],
        &[
            ("GET", "details"),
            ("GET", "power_parameters"),
            ("POST", "restore_default_configuration"),
            ("POST", "restore_networking_configuration"),
        ],
    ),
    on(
        "rackcontrollers",
        "rackcontrollers",
        &[READ],
        &[
            ("GET", "describe_power_types"),
            ("GET", "is_registered"),
            ("GET", "power_parameters"),
            ("POST", "import_boot_images"),
            ("POST", "set_zone"),
        ],
    ),
    on(
        "rackcontroller",
        "rackcontrollers/{}",
        &[READ],
        &[
            UPDATE,
            DELETE,
            ("GET", "details"),
            ("GET", "list_boot_images"),
            ("GET", "power_parameters"),
            ("GET", "query_power_state"),
            ("POST", "abort"),
            ("POST", "import_boot_images"),
            ("POST", "override_failed_testing"),
            ("POST", "power_off"),
            ("POST", "power_on"),
            ("POST", "test"),
        ],
    ),
    on("regioncontrollers", "regioncontrollers", &[READ], &[("GET", "is_registered"), ("POST", "set_zone")]),
    on(
        "regioncontroller",
        "regioncontrollers/{}",
        &[READ],
        &[UPDATE, DELETE, ("GET", "details"), ("GET", "power_parameters")],
    ),
    on("scripts", "scripts", &[READ, CREATE], &[]),
    on(
        "script",
        "scripts/{}",
        &[READ, UPDATE, DELETE, ("GET", "download"), ("POST", "add_tag"), ("POST", "remove_tag"), ("POST", "revert")],
        &[],
    ),
    on("commissioning-scripts", "commissioning-scripts", &[], &[READ, CREATE]),
    on("commissioning-script", "commissioning-scripts/{}", &[], &[READ, UPDATE, DELETE]),
    on("events", "events", &[("GET", "query")], &[]),
    // Places.
    on("zones", "zones", &[READ, CREATE], &[]),
    on("zone", "zones/{}", &[READ, UPDATE, DELETE], &[]),
    on("resourcepools", "resourcepools", &[READ, CREATE], &[]),
    on("resourcepool", "resourcepool/{}", &[READ, UPDATE, DELETE], &[]),
    on("tags", "tags", &[READ, CREATE], &[]),
    on(
        "tag",
        "tags/{}",
        &[
            READ,
            UPDATE,
            DELETE,
            ("GET", "machines"),
            ("GET", "nodes"),
            ("GET", "devices"),
            ("GET", "rack_controllers"),
            ("GET", "region_controllers"),
            ("POST", "update_nodes"),
            ("POST", "rebuild"),
        ],
        &[],
    ),
    // Names.
    on("domains", "domains", &[READ, CREATE, ("POST", "set_serial")], &[]),
    on("domain", "domains/{}", &[READ, UPDATE, DELETE, ("POST", "set_default")], &[]),
    on("dnsresources", "dnsresources", &[READ, CREATE], &[]),
    on("dnsresource", "dnsresources/{}", &[READ, UPDATE, DELETE], &[]),
    on("dnsresourcerecords", "dnsresourcerecords", &[READ, CREATE], &[]),
    on("dnsresourcerecord", "dnsresourcerecords/{}", &[READ, UPDATE, DELETE], &[]),
    // Networks.
    on("ipaddresses", "ipaddresses", &[READ, ("POST", "reserve"), ("POST", "release")], &[]),
    on("ipranges", "ipranges", &[READ, CREATE], &[]),
    on("iprange", "ipranges/{}", &[READ, UPDATE, DELETE], &[]),
    on("reservedips", "reservedips", &[READ, CREATE], &[]),
    on("reservedip", "reservedips/{}", &[READ, UPDATE, DELETE], &[]),
    on("subnets", "subnets", &[READ, CREATE], &[]),
    on(
        "subnet",
        "subnets/{}",
        &[
            READ,
            UPDATE,
            DELETE,
            ("GET", "statistics"),
            ("GET", "reserved_ip_ranges"),
            ("GET", "unreserved_ip_ranges"),
            ("GET", "ip_addresses"),
        ],
        &[],
    ),
    on("fabrics", "fabrics", &[READ, CREATE], &[]),
    on("fabric", "fabrics/{}", &[READ, UPDATE, DELETE], &[]),
    on("fabric-vlans", "fabrics/{}/vlans", &[READ, CREATE], &[]),
    on("fabric-vlan", "fabrics/{}/vlans/{}", &[READ, UPDATE, DELETE], &[]),
    on("vlan", "vlans/{}", &[READ, UPDATE, DELETE], &[]),
    on("spaces", "spaces", &[READ, CREATE], &[]),
    on("space", "spaces/{}", &[READ, UPDATE, DELETE], &[]),
    on("static-routes", "static-routes", &[READ, CREATE], &[]),
    on("static-route", "static-routes/{}", &[READ, UPDATE, DELETE], &[]),
    on("dhcp-snippets", "dhcp-snippets", &[READ, CREATE], &[]),
    on("dhcp-snippet", "dhcp-snippets/{}", &[READ, UPDATE, DELETE, ("POST", "revert")], &[]),
    on(
        "discoveries",
        "discovery",
        &[READ, ("GET", "by_unknown_ip"), ("GET", "by_unknown_ip_and_mac"), ("GET", "by_unknown_mac")],
        &[("POST", "clear"), ("POST", "clear_by_mac_and_ip"), ("POST", "scan")],
    ),
    on("discovery", "discovery/{}", &[], &[READ]),
    on("networks", "networks", &[], &[READ]),
    on("network", "networks/{}", &[], &[READ, ("GET", "list_connected_macs")]),
    // Images.
    on(
        "boot-resources",
        "boot-resources",
        &[READ, ("GET", "is_importing"), CREATE, ("POST", "import"), ("POST", "stop_import")],
        &[],
    ),
    on("boot-resource", "boot-resources/{}", &[READ, DELETE], &[]),
    on("boot-resource-upload", "boot-resources/{}/upload/{}", &[UPDATE], &[]),
    on("boot-sources", "boot-sources", &[READ, CREATE], &[]),
    on("boot-source", "boot-sources/{}", &[READ, UPDATE, DELETE], &[]),
    on("boot-source-selections", "boot-sources/{}/selections", &[READ, CREATE], &[]),
    on("boot-source-selection", "boot-sources/{}/selections/{}", &[READ, UPDATE, DELETE], &[]),
    on("package-repositories", "package-repositories", &[READ, CREATE], &[]),
    on("package-repository", "package-repositories/{}", &[READ, UPDATE, DELETE], &[]),
    on("license-keys", "license-keys", &[READ, CREATE], &[]),
    on("license-key", "license-key/{}/{}", &[READ, UPDATE, DELETE], &[]),
    // Removed in MAAS 4: never simulated.
    on("vm-hosts", "vm-hosts", &[], &[READ, CREATE]),
    on("vm-host", "vm-hosts/{}", &[], VM_HOST),
    on("vm-hosts", "pods", &[], &[READ, CREATE]),
    on("vm-host", "pods/{}", &[], VM_HOST),
    on("virtual-machines", "virtual-machines", &[], &[READ, CREATE]),
    on("virtual-machine", "virtual-machines/{}", &[], &[READ]),
    on("vm-clusters", "vm-clusters", &[], &[READ]),
    on("vm-cluster", "vm-clusters/{}", &[], &[READ, UPDATE, DELETE]),
];

const MACHINE: &[Op] = &[
    READ,
    UPDATE,
    DELETE,
    ("POST", "deploy"),
    ("POST", "release"),
    ("POST", "set_workload_annotations"),
    ("POST", "set_owner_data"),
    ("POST", "power_on"),
    ("POST", "power_off"),
    ("GET", "query_power_state"),
    ("POST", "abort"),
    ("POST", "mark_broken"),
    ("POST", "mark_fixed"),
    ("POST", "lock"),
    ("POST", "commission"),
    ("POST", "test"),
    ("POST", "override_failed_testing"),
    ("POST", "rescue_mode"),
    ("POST", "exit_rescue_mode"),
    ("POST", "set_storage_layout"),
    ("GET", "get_curtin_config"),
    ("GET", "get_token"),
    ("GET", "power_parameters"),
    ("GET", "details"),
    ("POST", "unlock"),
    ("POST", "mount_special"),
    ("POST", "unmount_special"),
    ("POST", "clear_default_gateways"),
    ("POST", "restore_networking_configuration"),
    ("POST", "restore_storage_configuration"),
    ("POST", "restore_default_configuration"),
];
const PARTITION: &[Op] = &[
    READ,
    DELETE,
    ("POST", "add_tag"),
    ("POST", "remove_tag"),
    ("POST", "format"),
    ("POST", "unformat"),
    ("POST", "mount"),
    ("POST", "unmount"),
];
const VM_HOST: &[Op] = &[
    READ,
    UPDATE,
    DELETE,
    ("GET", "parameters"),
    ("POST", "add_tag"),
    ("POST", "remove_tag"),
    ("POST", "compose"),
    ("POST", "refresh"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::*;
    use crate::{ADMIN_KEY, Config, Region};

    /// The answer of a fresh region, of a version that has everything, and what it counted as not simulated. `{}` in the
    /// path stands for a machine.
    fn ask((method, op): Op, path: &str, form: &str) -> (u16, Vec<String>) {
        let mut region = Region::new(Config { version: "3.8.0".to_owned(), ..Config::lab(1) });
        let path = path.replacen("{}", &region.system_ids()[0], 1).replace("{}", "1");
        let key: Vec<&str> = ADMIN_KEY.split(':').collect();
        let now = region.now();
        let sign = format!(
            "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{}\", oauth_token=\"{}\", oauth_signature=\"%26{}\", oauth_nonce=\"n\", oauth_timestamp=\"{}\"",
            key[0],
            key[1],
            key[2],
            now.as_second()
        );
        let op = if op.is_empty() { String::new() } else { format!("?op={op}") };
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/MAAS/api/2.0/{path}/{op}"))
            .header("authorization", sign)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::copy_from_slice(form.as_bytes()))
            .unwrap();
        let status = region.handle(now, request).status().as_u16();
        (status, region.unsimulated().into_keys().collect())
    }

    #[test]
    fn what_is_answered_501_is_what_the_documentation_says() {
        let mut counted = BTreeSet::new();
        for resource in RESOURCES {
            for op in resource.does.iter().chain(resource.lacks) {
                let (status, lacking) = ask(*op, resource.path, "");
                assert_eq!(status == 501, resource.lacks.contains(op), "{op:?} {}: {status}", resource.path);
                counted.extend(lacking);
            }
        }
        // What is lacking of operations that are there.
        for (op, form) in [
            ("deploy", "install_kvm=true"),
            ("set_storage_layout", "storage_layout=bcache"),
            ("set_storage_layout", "storage_layout=vmfs6"),
            ("set_storage_layout", "storage_layout=vmfs7"),
            ("set_storage_layout", "storage_layout=custom"),
        ] {
            let (status, lacking) = ask(("POST", op), "machines/{}", form);
            assert_eq!(status, 501, "{op} {form}");
            counted.extend(lacking);
        }
        assert_eq!(counted, not_simulated().into_keys().map(str::to_owned).collect());
    }
}
