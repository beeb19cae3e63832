//! Our rules of placement as MAAS's constraints: one language for `allocate` and for lists of machines (fact sheet §4.1, §6.1).

use capmaas_reconcile::placement::{Constraints, Rule};
use maas_client::{AllocateRequest, Error, MachineFilter};

use crate::fault::words_under;

/// What MAAS is asked for, in its own keys.
#[derive(Debug, Default)]
struct Asked {
    system_id: Vec<maas_client::SystemId>,
    hostname: Option<String>,
    arch: Vec<String>,
    zone: Vec<String>,
    not_in_zone: Vec<String>,
    pool: Vec<String>,
    not_in_pool: Vec<String>,
    tags: Vec<String>,
    not_tags: Vec<String>,
    cpu_count: Option<u32>,
    mem: Option<u64>,
    storage: Option<String>,
    subnets: Vec<String>,
    not_subnets: Vec<String>,
    fabrics: Vec<String>,
    not_fabrics: Vec<String>,
    interfaces: Option<String>,
    devices: Option<String>,
}

impl Asked {
    fn of(constraints: &Constraints) -> Self {
        let mut asked = Self::default();
        for rule in constraints.rules() {
            match rule {
                // One that MAAS can't have finds nothing, as it should: plan has told what is wrong with it.
                Rule::SystemId(id) => asked.system_id.extend(id.parse().ok()),
                Rule::Hostname(name) => asked.hostname = Some(name.clone()),
                Rule::Architecture(architecture) => asked.arch = vec![architecture.in_maas().to_owned()],
                // Repeated keys mean any of; what all rules about zones have in common is asked for once, below.
                Rule::FailureDomain(_) | Rule::Zones(_) | Rule::ResourcePool(_) | Rule::Pools(_) => {}
                Rule::NotZones(zones) => asked.not_in_zone.extend(zones.iter().cloned()),
                Rule::NotPools(pools) => asked.not_in_pool.extend(pools.iter().cloned()),
                Rule::Tag(tag) => asked.tags.push(tag.clone()),
                Rule::NotTags(tags) => asked.not_tags.extend(tags.iter().cloned()),
                Rule::Cpu(cores) => asked.cpu_count = asked.cpu_count.max(Some(*cores)),
                Rule::Memory(mib) | Rule::MemoryForSystem(mib) => asked.mem = asked.mem.max(Some(*mib)),
                Rule::RootDisk(gb) => asked.storage = Some(format!("root:{gb}")),
                Rule::Storage(storage) => asked.storage = Some(storage.clone()),
                Rule::Subnets(subnets) => asked.subnets.extend(subnets.iter().cloned()),
                Rule::NotSubnets(subnets) => asked.not_subnets.extend(subnets.iter().cloned()),
                Rule::Fabrics(fabrics) => asked.fabrics.extend(fabrics.iter().cloned()),
                Rule::NotFabrics(fabrics) => asked.not_fabrics.extend(fabrics.iter().cloned()),
                Rule::Interfaces(interfaces) => asked.interfaces = Some(interfaces.clone()),
                Rule::Devices(devices) => asked.devices = Some(devices.clone()),
            }
        }
        asked.zone = constraints.zones().into_iter().flatten().collect();
        asked.pool = constraints.pools().into_iter().flatten().collect();
        asked
    }
}

/// The key of MAAS that a rule becomes.
fn parameter(rule: &Rule) -> &'static str {
    match rule {
        Rule::SystemId(_) => "system_id",
        Rule::Hostname(_) => "hostname",
        Rule::Architecture(_) => "arch",
        Rule::FailureDomain(_) | Rule::Zones(_) => "zone",
        Rule::NotZones(_) => "not_in_zone",
        Rule::ResourcePool(_) | Rule::Pools(_) => "pool",
        Rule::NotPools(_) => "not_in_pool",
        Rule::Tag(_) => "tags",
        Rule::NotTags(_) => "not_tags",
        Rule::Cpu(_) => "cpu_count",
        Rule::Memory(_) | Rule::MemoryForSystem(_) => "mem",
        Rule::RootDisk(_) | Rule::Storage(_) => "storage",
        Rule::Subnets(_) => "subnets",
        Rule::NotSubnets(_) => "not_subnets",
        Rule::Fabrics(_) => "fabrics",
        Rule::NotFabrics(_) => "not_fabrics",
        Rule::Interfaces(_) => "interfaces",
        Rule::Devices(_) => "devices",
    }
}

/// The filter of a machine list, whatever the status.
pub(crate) fn matching(constraints: &Constraints) -> MachineFilter {
    let asked = Asked::of(constraints);
    MachineFilter {
        ids: asked.system_id,
        hostname: asked.hostname.into_iter().collect(),
        arch: asked.arch,
        zone: asked.zone,
        not_in_zone: asked.not_in_zone,
        pool: asked.pool,
        not_in_pool: asked.not_in_pool,
        tags: asked.tags,
        not_tags: asked.not_tags,
        cpu_count: asked.cpu_count,
        mem: asked.mem,
        storage: asked.storage,
        subnets: asked.subnets,
        not_subnets: asked.not_subnets,
        fabrics: asked.fabrics,
        not_fabrics: asked.not_fabrics,
        interfaces: asked.interfaces,
        devices: asked.devices,
        ..Default::default()
    }
}

/// The constraints of an allocation of one machine. With a system id MAAS up to 3.8 composes no virtual machine, so that `not_pod` and
/// `not_pod_type`, which later ones refuse, are never needed.
pub(crate) fn allocating(host: maas_client::SystemId, constraints: &Constraints) -> AllocateRequest {
    let asked = Asked::of(constraints);
    AllocateRequest {
        system_id: vec![host],
        name: asked.hostname,
        arch: asked.arch,
        zone: asked.zone,
        not_in_zone: asked.not_in_zone,
        pool: asked.pool,
        not_in_pool: asked.not_in_pool,
        tags: asked.tags,
        not_tags: asked.not_tags,
        cpu_count: asked.cpu_count,
        mem: asked.mem,
        storage: asked.storage,
        subnets: asked.subnets,
        not_subnets: asked.not_subnets,
        fabrics: asked.fabrics,
        not_fabrics: asked.not_fabrics,
        interfaces: asked.interfaces,
        devices: asked.devices,
        ..Default::default()
    }
}

/// MAAS's refusal of constraints, under the fields that asked for them.
pub(crate) fn refusal(error: &Error, constraints: &Constraints) -> String {
    words_under(error, |key| {
        let mut fields: Vec<_> = constraints.rules().filter(|rule| parameter(rule) == key).map(Rule::field).collect();
        fields.dedup();
        (!fields.is_empty()).then(|| fields.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use capi_types::{Architecture, MaasMachineSpec};
    use http::{HeaderMap, StatusCode};
    use maas_client::operation as op;
    use serde_json::json;

    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn all() -> Constraints {
        let spec: MaasMachineSpec = serde_json::from_value(json!({
            "image": "ubuntu/noble", "minCPU": 4, "minMemory": 8192, "tags": ["ssd", "rack1"], "failureDomain": "az1",
            "placement": {
                "hostname": "node07", "architecture": "ppc64le", "zones": ["az1", "az2"], "notZones": ["az3"], "pools": ["big", "gpu"],
                "notPools": ["gpu"], "notTags": ["old"], "storage": "root:100(ssd)", "interfaces": "a:space=public", "subnets": ["s1", "s2"],
                "notSubnets": ["s3"], "fabrics": ["f1"], "notFabrics": ["f2"], "devices": "vendor_id=10de",
            },
        }))
        .unwrap();
        Constraints::of(&spec, None)
    }

    /// W-13
    #[test]
    fn lists_and_allocations_ask_for_the_same_in_the_words_of_maas() {
        let filter = matching(&all());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected = MachineFilter {
            hostname: names(&["node07"]),
            arch: names(&["ppc64el"]),
            zone: names(&["az1"]),
            not_in_zone: names(&["az3"]),
            pool: names(&["big"]),
            not_in_pool: names(&["gpu"]),
            tags: names(&["rack1", "ssd"]),
            not_tags: names(&["old"]),
            cpu_count: Some(4),
            mem: Some(8192),
            storage: Some("root:100(ssd)".to_owned()),
            subnets: names(&["s1", "s2"]),
            not_subnets: names(&["s3"]),
            fabrics: names(&["f1"]),
            not_fabrics: names(&["f2"]),
            interfaces: Some("a:space=public".to_owned()),
            devices: Some("vendor_id=10de".to_owned()),
            ..Default::default()
        };
        assert_eq!(filter, expected);
        let request = allocating("abc123".parse().unwrap(), &all());
        assert_eq!(request.system_id, ["abc123".parse().unwrap()]);
        assert_eq!((request.name.as_deref(), request.zone, request.pool), (Some("node07"), filter.zone, filter.pool));
        assert_eq!((request.storage, request.devices), (filter.storage, filter.devices));
        assert_eq!((request.not_subnets, request.not_fabrics), (filter.not_subnets, filter.not_fabrics));
        assert!(request.not_pod_type.is_empty(), "MAAS from 4.0 on refuses it");
    }

    #[test]
    fn of_several_minimums_the_largest_is_asked_for() {
        // MAAS would take the smallest of repeated values.
        let wanted = Constraints::from_iter([Rule::Memory(1024), Rule::MemoryForSystem(15360), Rule::RootDisk(80)]);
        let filter = matching(&wanted);
        assert_eq!((filter.mem, filter.storage.as_deref()), (Some(15360), Some("root:80")));
    }

    #[test]
    fn a_refusal_names_the_field_that_asked() {
        let refused = |body: &str| {
            Error::from_reply(&op::MACHINES_LIST, StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes())
        };
        let pools = Constraints::from_iter([Rule::Pools(set(&["a", "b"])), Rule::Architecture(Architecture::Arm64)]);
        let single = Constraints::from_iter([Rule::ResourcePool("a".to_owned()), Rule::RootDisk(1)]);
        for (wanted, body, expected) in [
            (&pools, r#"{"pool": ["No such pool(s): b."]}"#, "spec.placement.pools: No such pool(s): b."),
            (&single, r#"{"pool": ["No such pool(s): a."]}"#, "spec.resourcePool: No such pool(s): a."),
            (
                &pools,
                r#"{"arch": ["Architecture not recognised."]}"#,
                "spec.placement.architecture: Architecture not recognised.",
            ),
            (&single, r#"{"storage": ["Malformed"]}"#, "spec.minDiskSize: Malformed"),
            (&single, r#"{"zone": ["No such zone(s): x."]}"#, "spec.failureDomain: No such zone(s): x."),
        ] {
            assert_eq!(refusal(&refused(body), wanted), expected);
        }
    }
}
