//! The names of MAAS that manifests use: images, zones, pools, tags, domains.

use std::collections::{BTreeMap, BTreeSet};

use capi_types::{MaasMachineSpec, Swap};
use maas_client::{BootResources as _, Client, Domains as _, Pools as _, Tags as _, Zones as _};
use serde_json::Value;

use super::Finding;
use crate::tree::text;

/// What manifests want of MAAS: each name with who uses it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    images: BTreeMap<String, String>,
    zones: BTreeMap<String, String>,
    pools: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    domains: BTreeMap<String, String>,
    /// Why an administrator's key is needed.
    pub(super) needs_administrator: Vec<String>,
    /// Who is deployed into memory.
    pub(super) in_memory: Vec<String>,
    /// What could not be read.
    odd: Vec<Finding>,
}

impl Wanted {
    pub(super) fn of(documents: &[Value]) -> Self {
        let mut wanted = Self::default();
        for document in documents {
            let kind = text(document, "/kind");
            let who = format!("{kind} {}", text(document, "/metadata/name"));
            match kind {
                "MaasCluster" => wanted.cluster(&who, &document["spec"]),
                "MaasClusterTemplate" => wanted.cluster(&who, &document["spec"]["template"]["spec"]),
                "MaasMachine" => wanted.machine(&who, "spec", &document["spec"]),
                "MaasMachineTemplate" => {
                    wanted.machine(&who, "spec.template.spec", &document["spec"]["template"]["spec"]);
                }
                _ => {}
            }
        }
        wanted
    }

    fn cluster(&mut self, who: &str, spec: &Value) {
        let mode = text(spec, "/controlPlaneEndpointMode");
        if mode.is_empty() || mode == "MaasDNS" {
            self.domains.insert(text(spec, "/dnsDomain").to_owned(), format!("{who} spec.dnsDomain"));
            self.needs_administrator.push(format!("{who}: spec.controlPlaneEndpointMode MaasDNS writes DNS"));
        }
        for zone in spec["failureDomains"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.zones.insert(zone.to_owned(), format!("{who} spec.failureDomains"));
        }
    }

    fn machine(&mut self, who: &str, at: &str, spec: &Value) {
        let spec: MaasMachineSpec = match serde_json::from_value(spec.clone()) {
            Ok(spec) => spec,
            Err(error) => {
                self.odd.push(Finding::wrong(format!("{who}: {at}: {error}"), "write it as kubectl explain says"));
                return;
            }
        };
        self.images.insert(spec.image.clone(), format!("{who} {at}.image"));
        if spec.swap == Some(Swap::Off) {
            self.needs_administrator.push(format!("{who}: {at}.swap Off changes machines"));
        }
        if spec.deploy_in_memory {
            self.in_memory.push(who.to_owned());
        }
        let place = spec.placement.clone().unwrap_or_default();
        let zones = [
            ("failureDomain", spec.failure_domain.into_iter().collect()),
            ("placement.zones", place.zones),
            ("placement.notZones", place.not_zones),
        ];
        let pools = [
            ("resourcePool", spec.resource_pool.into_iter().collect()),
            ("placement.pools", place.pools),
            ("placement.notPools", place.not_pools),
        ];
        let add = |into: &mut BTreeMap<String, String>, all: [(&str, Vec<String>); 3]| {
            for (field, names) in all {
                into.extend(names.into_iter().filter(|n| !n.is_empty()).map(|n| (n, format!("{who} {at}.{field}"))));
            }
        };
        add(&mut self.zones, zones);
        add(&mut self.pools, pools);
        self.tags.extend(spec.tags.into_iter().filter(|t| !t.is_empty()).map(|t| (t, format!("{who} {at}.tags"))));
    }
}

/// Whether MAAS would know an image under this name, given what it has (fact sheet §2.9). `None`: by an alias of a release number, which
/// only MAAS can tell.
fn knows(images: &BTreeSet<String>, wanted: &str) -> Option<bool> {
    let (os, series) = wanted.split_once('/').unwrap_or(("", wanted));
    let has = |name: &str| images.contains(name);
    let found = match os {
        "custom" => has(series) || has(wanted),
        // A series of some system, or a custom image's bare name.
        "" => has(series) || images.iter().any(|name| name.split_once('/').is_some_and(|(_, s)| s == series)),
        _ => has(wanted),
    };
    if !found && series.starts_with(|c: char| c.is_ascii_digit()) && matches!(os, "" | "ubuntu") {
        None
    } else {
        Some(found)
    }
}

/// Compares with what MAAS has.
pub(super) async fn look(client: &Client, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = wanted.odd.clone();
    let zones = client.zones().list().await.map(|all| all.into_iter().map(|zone| zone.name).collect::<BTreeSet<_>>());
    let pools = client.pools().list().await.map(|all| all.into_iter().map(|pool| pool.name).collect());
    let tags = client.tags().list().await.map(|all| all.into_iter().map(|tag| tag.name).collect());
    let domains = client.domains().list().await.map(|all| all.into_iter().map(|domain| domain.name).collect());
    for (what, used, there) in [
        ("zone", &wanted.zones, zones),
        ("resource pool", &wanted.pools, pools),
        ("tag", &wanted.tags, tags),
        ("DNS domain", &wanted.domains, domains),
    ] {
        match there {
            Ok(there) => findings.extend(missing(what, used, &there)),
            Err(error) => findings.push(Finding::warning(format!("{what}s can't be listed: {error}"), "look again")),
        }
    }
    match client.boot_resources().list().await {
        Ok(all) => {
            let there: BTreeSet<_> = all.into_iter().map(|image| image.name).collect();
            findings.extend(images(&wanted.images, &there));
        }
        Err(error) => findings.push(Finding::warning(format!("images can't be listed: {error}"), "look again")),
    }
    findings
}

fn missing(what: &str, used: &BTreeMap<String, String>, there: &BTreeSet<String>) -> Vec<Finding> {
    let gone: Vec<_> = used.iter().filter(|(name, _)| !there.contains(*name)).collect();
    if gone.is_empty() {
        let names: Vec<_> = used.keys().map(String::as_str).collect();
        return if names.is_empty() {
            Vec::new()
        } else {
            vec![Finding::good(format!("MAAS has {what} {}", names.join(", ")))]
        };
    }
    let all: Vec<_> = there.iter().map(String::as_str).collect();
    let has = if all.len() > 12 { String::new() } else { format!("; it has {}", all.join(", ")) };
    let wrong = |(name, who): (&String, &String)| {
        Finding::wrong(
            format!("{who} {name}: MAAS has no such {what}"),
            format!("make it in MAAS, or name another one{has}"),
        )
    };
    gone.into_iter().map(wrong).collect()
}

fn images(used: &BTreeMap<String, String>, there: &BTreeSet<String>) -> Vec<Finding> {
    let one = |(name, who): (&String, &String)| match knows(there, name) {
        Some(true) => Finding::good(format!("MAAS has image {name}")),
        None => Finding::warning(
            format!("{who} {name}: MAAS from 3.6 on may know it by its release number"),
            "name it os/series, such as ubuntu/noble",
        ),
        Some(false) => {
            let all: Vec<_> = there.iter().filter(|name| !name.starts_with("grub-efi")).map(String::as_str).collect();
            Finding::wrong(
                format!("{who} {name}: MAAS has no such image"),
                format!("import or upload it in MAAS, or name one of {}", all.join(", ")),
            )
        }
    };
    used.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_every_name_that_maas_takes() {
        let there = ["ubuntu/noble", "ubuntu/jammy", "centos/9-stream", "k8s-1.34"].map(str::to_owned).into();
        let cases = [
            ("ubuntu/noble", Some(true)),
            ("noble", Some(true)),
            ("k8s-1.34", Some(true)),
            ("custom/k8s-1.34", Some(true)),
            ("centos/9-stream", Some(true)),
            ("ubuntu/24.04", None),
            ("24.04", None),
            ("focal", Some(false)),
            ("custom/noble2", Some(false)),
            ("centos/noble", Some(false)),
        ];
        for (name, expected) in cases {
            assert_eq!(knows(&there, name), expected, "{name}");
        }
    }
}
