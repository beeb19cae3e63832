//! What a run needs on disk: the real components, built from `tests/controlplane`, and our own programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// The Go module of the real components.
const MODULE: &str = "tests/controlplane";

/// Name under which a binary is kept, and its package.
const COMPONENTS: [(&str, &str); 7] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("clusterctl", "sigs.k8s.io/cluster-api/cmd/clusterctl"),
    ("capi-core", "sigs.k8s.io/cluster-api/core"),
    ("capi-bootstrap", "sigs.k8s.io/cluster-api/bootstrap/kubeadm"),
    ("capi-control-plane", "sigs.k8s.io/cluster-api/controlplane/kubeadm"),
];

/// Programs of ours in the Go module, for what a library there speaks already; see `simulated-machines` in `tests`.
const GO_OF_OURS: [&str; 2] = ["kubelet", "etcdjoin"];

/// Where everything lies, and which versions it has.
pub(super) struct Binaries {
    /// Folder of the real components.
    components: PathBuf,
    /// Folder of our own programs.
    ours: PathBuf,
    /// The `kubectl` of this machine.
    pub(super) kubectl: PathBuf,
    /// Version of Kubernetes, such as `v1.36.3`.
    pub(super) kubernetes: String,
    /// Version of Cluster API, such as `v1.14.2`.
    pub(super) cluster_api: String,
    /// Sources of Cluster API, with its kustomize trees.
    pub(super) cluster_api_sources: PathBuf,
}

impl Binaries {
    /// Builds what is not built, after naming everything that this machine lacks.
    pub(super) fn build(root: &Path) -> Result<()> {
        let found = Self::find(root)?;
        build_components(&root.join(MODULE), &found.components, &found.kubernetes, &found.cluster_api)?;
        build_ours(root)
    }

    /// Where everything lies that was built.
    pub(super) fn find(root: &Path) -> Result<Self> {
        let kubectl = tools()?;
        let module = root.join(MODULE);
        let read = |name: &str| {
            let path = module.join(name);
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let (manifest, sums) = (read("go.mod")?, read("go.sum")?);
        let kubernetes = version(&manifest, "k8s.io/kubernetes")?;
        let cluster_api = version(&manifest, "sigs.k8s.io/cluster-api")?;
        let components = root.join("target/controlplane").join(digest(&[&manifest, &sums])).join("bin");
        let sources = output(go(&module).args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/cluster-api"]))?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Ok(Self {
            components,
            ours: target.join("debug"),
            kubectl,
            kubernetes,
            cluster_api,
            cluster_api_sources: PathBuf::from(sources.trim()),
        })
    }

    /// The folder of the real components.
    pub(super) fn components(&self) -> &Path {
        &self.components
    }

    /// One of the real components.
    pub(super) fn component(&self, name: &str) -> PathBuf {
        self.components.join(name)
    }

    /// One of our programs.
    pub(super) fn ours(&self, name: &str) -> PathBuf {
        self.ours.join(name)
    }
}

/// Finds `kubectl`; names every missing tool at once.
fn tools() -> Result<PathBuf> {
    let missing: Vec<&str> = [
        ("go", "Go 1.26 or newer (https://go.dev/dl), which builds the real components"),
        ("kubectl", "kubectl (Debian: kubernetes-client)"),
        ("setpriv", "setpriv of util-linux 2.33 or newer, which ties processes to this one"),
        ("unshare", "unshare of util-linux, which gives a run addresses and a resolver of its own"),
        ("ip", "ip (Debian: iproute2)"),
    ]
    .into_iter()
    .filter_map(|(tool, what)| on_path(tool).is_none().then_some(what))
    .collect();
    ensure!(missing.is_empty(), "cargo xtask e2e needs on PATH: {}", missing.join("; "));
    on_path("kubectl").context("kubectl")
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The version that go.mod requires.
fn version(manifest: &str, module: &str) -> Result<String> {
    let found = manifest.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        (words.next() == Some(module)).then(|| words.next()).flatten().filter(|word| word.starts_with('v'))
    });
    Ok(found.with_context(|| format!("tests/controlplane/go.mod does not require {module}"))?.to_owned())
}

/// Names a build by what it is made from.
fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text);
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The linker's settings without which kubectl and clusterctl choke on versions.
fn linked_versions(kubernetes: &str, cluster_api: &str) -> String {
    let mut flags = "-s -w".to_owned();
    for (package, version) in [("k8s.io/component-base", kubernetes), ("sigs.k8s.io/cluster-api", cluster_api)] {
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        for (name, value) in [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor)] {
            flags += &format!(" -X {package}/version.{name}={value}");
        }
    }
    flags
}

fn go(module: &Path) -> Command {
    let mut command = Command::new("go");
    // Without C: the binaries need nothing of the machine.
    command.current_dir(module).env("CGO_ENABLED", "0").stdin(Stdio::null());
    command
}

fn build_components(module: &Path, folder: &Path, kubernetes: &str, cluster_api: &str) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, package) in COMPONENTS {
        let binary = folder.join(name);
        if binary.exists() {
            continue;
        }
        println!("building {name} ({package}); all seven take about 7 minutes once");
        // A build that was cut off must not look like one that is done.
        let unfinished = folder.join(format!("{name}.unfinished"));
        let mut build = go(module);
        build.args(["build", "-trimpath", "-ldflags", &linked_versions(kubernetes, cluster_api), "-o"]);
        let status = build.arg(&unfinished).arg(package).status().with_context(|| format!("building {name}"))?;
        ensure!(status.success(), "go build {package}: {status}");
        fs::rename(&unfinished, &binary).with_context(|| format!("keeping {}", binary.display()))?;
    }
    for name in GO_OF_OURS {
        // Their sources change without go.mod: Go itself knows whether there is anything to do.
        let mut build = go(module);
        build.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(folder.join(name)).arg(format!("./{name}"));
        let status = build.status().with_context(|| format!("building {name}"))?;
        ensure!(status.success(), "go build ./{name}: {status}");
    }
    Ok(())
}

/// The controller, the CLI and what runs on machines, in the profile and with the features of the everyday loop.
fn build_ours(root: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(root).args(["build", "--quiet", "--locked", "--workspace", "--exclude", "xtask", "--bins"]);
    let status = build.status().context("running cargo")?;
    ensure!(status.success(), "cargo build: {status}");
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().context("running go")?;
    if !output.status.success() {
        bail!("go: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_manifest_and_not_of_its_replacements() {
        let manifest = "require k8s.io/a v1.2.3\nrequire (\n\tk8s.io/b v0.0.0 // indirect\n)\ntool (\n\tk8s.io/c\n)\n\
                        replace k8s.io/c => k8s.io/c v9.9.9\n";
        assert_eq!(version(manifest, "k8s.io/a").unwrap(), "v1.2.3");
        assert_eq!(version(manifest, "k8s.io/b").unwrap(), "v0.0.0");
        assert!(version(manifest, "k8s.io/c").is_err());
    }

    #[test]
    fn versions_are_linked_in() {
        let flags = linked_versions("v1.36.3", "v1.14.2");
        for part in ["component-base/version.gitVersion=v1.36.3", "cluster-api/version.gitMinor=14"] {
            assert!(flags.contains(part), "{flags}");
        }
    }
}
