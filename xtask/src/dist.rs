//! The files of a release: what `clusterctl init` and `clusterctl generate cluster` download.
//!
//! Sources lie in `xtask/release`. The CRDs come from `capi_types`, the cluster templates are put together from the parts in
//! `flavours/` and get a header that explains their variables (`variables.toml`). What was made is checked ([`checks`]) before it is
//! written, and by `cargo xtask check`.

mod checks;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use checks::{Variable, variables};

/// Stands for the version in sources.
const VERSION_PLACEHOLDER: &str = "@VERSION@";

const NAMESPACE: &str = include_str!("../release/namespace.yaml");
const MANAGER: &str = include_str!("../release/manager.yaml");
const METADATA: &str = include_str!("../release/metadata.yaml");
const CLUSTER_CLASS: &str = include_str!("../release/clusterclass-maas.yaml");
const VARIABLES: &str = include_str!("../release/variables.toml");

const MAAS_CLUSTER: &str = include_str!("../release/flavours/maascluster.yaml");
const MAAS_CLUSTER_VIP: &str = include_str!("../release/flavours/maascluster-vip.yaml");
const CLUSTER: &str = include_str!("../release/flavours/cluster.yaml");
const CONTROL_PLANE_MACHINES: &str = include_str!("../release/flavours/control-plane-machines.yaml");
const CONTROL_PLANE: &str = include_str!("../release/flavours/control-plane.yaml");
const CONTROL_PLANE_VIP: &str = include_str!("../release/flavours/control-plane-vip.yaml");
const WORKERS: &str = include_str!("../release/flavours/workers.yaml");
const HEALTH_CHECKS: &str = include_str!("../release/flavours/health-checks.yaml");
const TOPOLOGY: &str = include_str!("../release/flavours/topology.yaml");

/// One cluster template.
struct Flavour {
    /// Its name for `clusterctl generate cluster --flavor`; `None` is the default.
    name: Option<&'static str>,
    /// What it makes: the first lines of the header.
    about: &'static [&'static str],
    parts: &'static [&'static str],
}

const FLAVOURS: [Flavour; 4] = [
    Flavour {
        name: None,
        about: &[
            "A cluster on MAAS machines. MAAS DNS keeps the control plane's name; nothing replaces unhealthy machines.",
        ],
        parts: &[MAAS_CLUSTER, CLUSTER, CONTROL_PLANE_MACHINES, CONTROL_PLANE, WORKERS],
    },
    Flavour {
        name: Some("vip"),
        about: &[
            "A cluster on MAAS machines whose API server has a virtual address, which kube-vip moves between control-plane machines.",
            "It needs no right to write DNS in MAAS, one layer-2 network for the control plane, and Kubernetes 1.29 or later.",
        ],
        parts: &[MAAS_CLUSTER_VIP, CLUSTER, CONTROL_PLANE_MACHINES, CONTROL_PLANE_VIP, WORKERS],
    },
    Flavour {
        name: Some("mhc"),
        about: &[
            "A cluster on MAAS machines whose unhealthy machines are replaced (MachineHealthCheck).",
            "Install a CNI soon after the control plane is up: a Node without one is not ready, which counts as unhealthy after an hour.",
        ],
        parts: &[MAAS_CLUSTER, CLUSTER, CONTROL_PLANE_MACHINES, CONTROL_PLANE, WORKERS, HEALTH_CHECKS],
    },
    Flavour {
        name: Some("topology"),
        about: &[
            "A cluster on MAAS machines made from the ClusterClass maas (clusterclass-maas.yaml, which clusterctl adds by itself).",
            "Cluster API needs the feature gate ClusterTopology: CLUSTER_TOPOLOGY=true at `clusterctl init`.",
        ],
        parts: &[TOPOLOGY],
    },
];

/// A file of the release.
#[derive(Clone, Debug)]
pub(crate) struct Asset {
    /// Its name, which clusterctl prescribes.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Writes the files of release `version` (such as `v0.10.0`) into `folder`; returns their paths.
pub(crate) fn write(folder: &Path, version: &str) -> Result<Vec<PathBuf>> {
    let assets = assets(version)?;
    let violations = checks::violations(&assets);
    ensure!(violations.is_empty(), "the release files are not fit to be released:\n{}", violations.join("\n"));
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut written = Vec::new();
    for asset in assets {
        let path = folder.join(asset.name);
        fs::write(&path, asset.text).with_context(|| format!("writing {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

/// What is wrong with the release files as they would be made now.
pub(crate) fn violations() -> Vec<String> {
    match assets(&workspace_version()) {
        Ok(assets) => checks::violations(&assets),
        Err(error) => vec![format!("dist: {error:#}")],
    }
}

/// The version in the root Cargo.toml, as releases are tagged.
pub(crate) fn workspace_version() -> String {
    format!("v{}", env!("CARGO_PKG_VERSION"))
}

/// Makes all files of a release in memory.
pub(crate) fn assets(version: &str) -> Result<Vec<Asset>> {
    let (major, minor) = series(version)?;
    ensure!(
        has_series(METADATA, major, minor)?,
        "xtask/release/metadata.yaml has no series {major}.{minor}: add it with its contract before {version} is released"
    );
    let asset = |name: &str, text: String| Asset { name: name.to_owned(), text };
    let mut assets = vec![
        asset("infrastructure-components.yaml", components(version)?),
        asset("metadata.yaml", METADATA.to_owned()),
        asset("clusterclass-maas.yaml", CLUSTER_CLASS.to_owned()),
    ];
    for flavour in &FLAVOURS {
        let suffix = flavour.name.map(|name| format!("-{name}")).unwrap_or_default();
        assets.push(asset(&format!("cluster-template{suffix}.yaml"), template(flavour)?));
    }
    Ok(assets)
}

/// Major and minor number of `vX.Y.Z`, with or without a pre-release suffix.
fn series(version: &str) -> Result<(u64, u64)> {
    let numbers = version.strip_prefix('v').and_then(|rest| {
        let core = rest.split_once('-').map_or(rest, |(core, _)| core);
        let numbers: Vec<u64> = core.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        <[u64; 3]>::try_from(numbers).ok()
    });
    let [major, minor, _] = numbers.with_context(|| format!("{version:?} is not a version such as v0.10.0"))?;
    Ok((major, minor))
}

fn has_series(metadata: &str, major: u64, minor: u64) -> Result<bool> {
    let documents = capi_types::parse_manifests(metadata).context("metadata.yaml")?;
    let series = documents.iter().filter_map(|document| document["releaseSeries"].as_array()).flatten();
    Ok(series.into_iter().any(|entry| entry["major"] == major && entry["minor"] == minor))
}

/// Namespace, CRDs, and what runs the controller.
fn components(version: &str) -> Result<String> {
    let mut documents = vec![NAMESPACE.to_owned()];
    for crd in capi_types::crds() {
        documents.push(capi_types::crd_yaml(&crd)?);
    }
    documents.push(MANAGER.to_owned());
    Ok(joined(&documents).replace(VERSION_PLACEHOLDER, version))
}

fn template(flavour: &Flavour) -> Result<String> {
    let body = joined(flavour.parts);
    Ok(header(flavour, &variables(&body))? + &body)
}

/// The comment block that says what a template makes and which variables it has.
///
/// It writes variables without `${}`: clusterctl looks for them in comments too.
fn header(flavour: &Flavour, used: &[Variable]) -> Result<String> {
    let mut lines: Vec<String> = flavour.about.iter().map(|line| (*line).to_owned()).collect();
    let option = flavour.name.map(|name| format!(" --flavor {name}")).unwrap_or_default();
    lines.push(String::new());
    lines.push(format!("clusterctl generate cluster my-cluster --infrastructure maas{option}"));
    lines.push(String::new());
    lines.push(
        "Variables, from the environment or clusterctl.yaml; name, version and counts also from clusterctl's arguments:".to_owned(),
    );
    for (name, sentence) in sentences()? {
        let Some(variable) = used.iter().find(|variable| variable.name == name) else { continue };
        let default = match variable.default.as_deref() {
            None => String::new(),
            Some(" " | "\"\"") => " (optional)".to_owned(),
            Some(default) => format!(" (default {default})"),
        };
        lines.push(format!("  {name}{default}: {sentence}"));
    }
    Ok(lines.iter().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect())
}

/// The sentences about variables, in the order of their file.
fn sentences() -> Result<Vec<(String, String)>> {
    let table: toml::Table = VARIABLES.parse().context("xtask/release/variables.toml")?;
    let sentence = |(name, value): (String, toml::Value)| {
        let text = value.as_str().with_context(|| format!("variables.toml: {name} is not text"))?.to_owned();
        Ok((name, text))
    };
    let mut sentences = table.into_iter().map(sentence).collect::<Result<Vec<_>>>()?;
    // A table is sorted by name; the file's order is the one for readers.
    sentences.sort_by_key(|(name, _)| VARIABLES.find(&format!("\n{name} =")));
    Ok(sentences)
}

/// One file of several documents.
fn joined(documents: &[impl AsRef<str>]) -> String {
    let texts: Vec<&str> = documents.iter().map(AsRef::as_ref).collect();
    texts.join("---\n")
}
