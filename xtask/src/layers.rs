//! Which of our rooms may use which, and which outside crates a pure room must not use.

use crate::workspace::{Package, Use};

/// One room: whom it may use in what it ships, and in its tests besides.
struct Room {
    name: &'static str,
    normal: &'static [&'static str],
    dev: &'static [&'static str],
}

/// The allowed edges. Data flows against the arrows: bins → sandbox → manager → provider-maas → reconcile, maas-dns → …
///
/// The two simulators know nobody of ours, and a client meets its simulator only in tests and in what carries the sandbox.
const ROOMS: [Room; 13] = [
    Room { name: "maas-client", normal: &[], dev: &["maas-sim"] },
    Room { name: "maas-dns", normal: &["maas-client"], dev: &["maas-sim"] },
    Room { name: "capi-types", normal: &[], dev: &[] },
    Room { name: "capmaas-reconcile", normal: &["capi-types"], dev: &[] },
    Room {
        name: "capmaas-provider-maas",
        normal: &["capmaas-reconcile", "capi-types", "maas-client", "maas-dns"],
        dev: &["maas-sim"],
    },
    Room {
        name: "capmaas-manager",
        normal: &["capmaas-provider-maas", "capmaas-reconcile", "capi-types", "maas-client"],
        dev: &["kube-sim", "maas-sim"],
    },
    Room { name: "maas-sim", normal: &[], dev: &[] },
    Room { name: "kube-sim", normal: &[], dev: &[] },
    Room {
        name: "capmaas-sandbox",
        normal: &[
            "capmaas-manager",
            "capmaas-provider-maas",
            "capmaas-reconcile",
            "capi-types",
            "maas-client",
            "kube-sim",
            "maas-sim",
        ],
        dev: &[],
    },
    Room { name: "capmaas-controller", normal: &["capmaas-manager"], dev: &["capi-types", "kube-sim", "maas-sim"] },
    Room {
        name: "capmaasctl",
        // `explain` answers with the controller's own decisions and reads.
        normal: &[
            "capmaas-sandbox",
            "capmaas-manager",
            "capmaas-provider-maas",
            "capmaas-reconcile",
            "capi-types",
            "maas-client",
            "maas-sim",
            "kube-sim",
        ],
        dev: &[],
    },
    Room { name: "xtask", normal: &["capi-types"], dev: &[] },
    Room {
        name: "capmaas-tests",
        // The whole system: everything but the bins.
        normal: &[
            "capmaas-sandbox",
            "capmaas-manager",
            "capmaas-provider-maas",
            "capmaas-reconcile",
            "capi-types",
            "maas-client",
            "maas-dns",
            "kube-sim",
            "maas-sim",
        ],
        dev: &[],
    },
];

/// Crates that bring a network stack or a runtime.
const NETWORK: [&str; 12] = [
    "tokio",
    "tokio-util",
    "tokio-rustls",
    "hyper",
    "hyper-util",
    "hyper-rustls",
    "rustls",
    "axum",
    "reqwest",
    "kube-client",
    "kube-runtime",
    "socket2",
];

/// Crates of Kubernetes clients, for rooms that are of use without Kubernetes.
const KUBERNETES: [&str; 5] = ["kube", "kube-core", "kube-client", "kube-runtime", "k8s-openapi"];

/// Rooms that ship without certain outside crates, and why. Their tests may use them.
const PURE: [(&str, &[&str], &str); 6] = [
    ("capi-types", &NETWORK, "types have no network stack"),
    ("capmaas-reconcile", &NETWORK, "decisions are pure"),
    ("maas-client", &KUBERNETES, "the MAAS client is for any program"),
    ("maas-dns", &KUBERNETES, "the DNS engine knows MAAS only"),
    ("maas-sim", &KUBERNETES, "the simulated region knows no Kubernetes"),
    (
        "kube-sim",
        &["kube", "kube-client", "kube-runtime"],
        "a server built on its client would agree with its mistakes",
    ),
];

/// `kube` features that do no I/O.
const KUBE_FEATURES_WITHOUT_NETWORK: [&str; 4] = ["derive", "cel", "jsonpatch", "admission"];

/// Edges that are not in the table.
pub(crate) fn violations(packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages {
        let file = package.folder.join("Cargo.toml");
        let file = file.display();
        let Some(room) = ROOMS.iter().find(|room| room.name == package.name) else {
            found.push(format!("layers: {} ({file}) is not in the table of xtask/src/layers.rs", package.name));
            continue;
        };
        for dependency in package.dependencies() {
            let (to, dev) = (dependency.package, dependency.used == Use::Dev);
            let ours = ROOMS.iter().any(|room| room.name == to) || packages.iter().any(|package| package.name == to);
            if ours && !room.normal.contains(&to) && !(dev && room.dev.contains(&to)) {
                let what = if dev { "depend, even in tests," } else { "depend" };
                found.push(format!("layers: {} may not {what} on {to} ({file})", package.name));
            }
            if dev {
                continue;
            }
            for (_, banned, why) in PURE.iter().filter(|(name, ..)| *name == package.name) {
                if banned.contains(&to) {
                    found.push(format!("layers: {} may not depend on {to}: {why} ({file})", package.name));
                } else if to == "kube" {
                    for feature in dependency.features() {
                        if !KUBE_FEATURES_WITHOUT_NETWORK.contains(&feature) {
                            found.push(format!(
                                "layers: {} may not use feature {feature} of kube: {why} ({file})",
                                package.name
                            ));
                        }
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn package(name: &str, rest: &str) -> Package {
        let text = format!("[package]\nname = \"{name}\"\n{rest}");
        Package::parse(&Path::new("crates").join(name), &text, Vec::new()).unwrap()
    }

    #[test]
    fn allowed_edges_pass() {
        let packages = [
            package("maas-client", "[dev-dependencies]\nmaas-sim.workspace = true\n"),
            package(
                "maas-dns",
                "[dependencies]\nmaas-client.workspace = true\n[dev-dependencies]\nmaas-client.workspace = true",
            ),
            package("capi-types", "[dependencies]\nkube = { workspace = true, features = [\"derive\"] }"),
            package(
                "capmaas-reconcile",
                "[dependencies]\ncapi-types.workspace = true\n[dev-dependencies]\ntokio.workspace = true",
            ),
            package(
                "kube-sim",
                "[dependencies]\ntokio.workspace = true\n[dev-dependencies]\nkube = { workspace = true, features = [\"client\"] }",
            ),
        ];
        assert_eq!(violations(&packages), Vec::<String>::new());
    }

    #[test]
    fn every_other_edge_is_named() {
        let cases = [
            ("maas-client", "[dependencies]\nmaas-sim.workspace = true", "maas-client may not depend on maas-sim"),
            (
                "maas-sim",
                "[dev-dependencies]\nmaas-client.workspace = true",
                "maas-sim may not depend, even in tests, on maas-client",
            ),
            (
                "capmaas-reconcile",
                "[dependencies]\nmaas-client.workspace = true",
                "capmaas-reconcile may not depend on maas-client",
            ),
            (
                "capmaas-reconcile",
                "[dependencies]\ntokio.workspace = true",
                "may not depend on tokio: decisions are pure",
            ),
            ("capmaas-reconcile", "[build-dependencies]\nhyper.workspace = true", "may not depend on hyper"),
            (
                "capmaas-reconcile",
                "[target.'cfg(unix)'.dependencies]\nmaas-dns.workspace = true",
                "may not depend on maas-dns",
            ),
            (
                "capmaas-reconcile",
                "[dependencies]\nclient = { package = \"maas-client\", workspace = true }",
                "may not depend on maas-client",
            ),
            (
                "capi-types",
                "[dependencies]\nkube = { workspace = true, features = [\"derive\", \"client\"] }",
                "may not use feature client of kube",
            ),
            ("maas-client", "[dependencies]\nk8s-openapi.workspace = true", "may not depend on k8s-openapi"),
            (
                "capmaas-controller",
                "[dependencies]\ncapmaas-sandbox.workspace = true",
                "capmaas-controller may not depend on capmaas-sandbox",
            ),
            ("capi-types", "[dependencies]\nxtask.workspace = true", "capi-types may not depend on xtask"),
        ];
        for (name, rest, expected) in cases {
            let found = violations(&[package(name, rest)]);
            assert_eq!(found.len(), 1, "{name} {rest}: {found:?}");
            assert!(found[0].contains(expected), "{}", found[0]);
        }
    }

    #[test]
    fn a_room_that_nobody_listed_is_named_and_so_is_its_use() {
        let packages =
            [package("capmaas-extra", ""), package("capi-types", "[dependencies]\ncapmaas-extra.workspace = true")];
        let found = violations(&packages);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("capmaas-extra (crates/capmaas-extra/Cargo.toml) is not in the table"));
        assert!(found[1].contains("capi-types may not depend on capmaas-extra"));
    }

    #[test]
    fn the_table_has_no_cycle() {
        let mut placed: Vec<&str> = Vec::new();
        while placed.len() < ROOMS.len() {
            let next = ROOMS
                .iter()
                .find(|room| !placed.contains(&room.name) && room.normal.iter().all(|to| placed.contains(to)));
            placed.push(next.expect("edges point one way").name);
        }
    }
}
