//! What a scenario plays in: the plane, the simulated region, our controller.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::binaries::Binaries;
use super::child::{Daemon, bound};
use super::http;
use super::patience::until;
use super::plane::Plane;
use super::simulator::{self, Simulator};
use crate::dist;

/// Kinds that Cluster API and we keep in a cluster's namespace.
pub(super) const CLUSTER_KINDS: &str = "clusters.cluster.x-k8s.io,machines.cluster.x-k8s.io,\
    machinesets.cluster.x-k8s.io,machinedeployments.cluster.x-k8s.io,kubeadmcontrolplanes,kubeadmconfigs,\
    kubeadmconfigtemplates,maasclusters,maasmachines,maasmachinetemplates";

/// A management cluster that nobody looks at now, with its controller.
struct Side {
    controller: Option<Daemon>,
    plane: Plane,
    read: usize,
}

/// Everything that runs. Fields are dropped, that is killed, from first to last.
pub(super) struct World {
    controller: Option<Daemon>,
    machines: Daemon,
    pub(super) sim: Simulator,
    /// The management cluster that scenarios look at.
    pub(super) plane: Plane,
    other: Option<Side>,
    /// The one that was added is looked at.
    turned: bool,
    /// Counts the sides that were added.
    sides: usize,
    pub(super) binaries: Binaries,
    /// The workspace.
    pub(super) root: PathBuf,
    folder: PathBuf,
    /// Lengths of the logs of controller and machines when the scenario began.
    read: (usize, usize),
}

impl World {
    /// Starts all but Cluster API and the controller, which [`init`] installs.
    pub(super) fn start(binaries: Binaries, root: &Path, folder: &Path) -> Result<Self> {
        let plane = Plane::start(&binaries, folder)?;
        let sim = Simulator::start(&binaries.ours("capmaasctl"), &simulator::FIRST, folder)?;
        let machines = Self::machines(&binaries, &plane.etcd, &sim, folder)?;
        let (root, folder) = (root.to_owned(), folder.to_owned());
        Ok(Self {
            controller: None,
            machines,
            sim,
            plane,
            other: None,
            turned: false,
            sides: 0,
            binaries,
            root,
            folder,
            read: (0, 0),
        })
    }

    /// An error when a process has ended, the controller was refused something by the API server, or it logged an error.
    pub(super) fn check(&mut self) -> Result<()> {
        self.plane.check()?;
        self.sim.check()?;
        self.machines.check()?;
        self.check_machines()?;
        check_controller(self.controller.as_mut(), self.read.0)?;
        if let Some(other) = &mut self.other {
            other.plane.check()?;
            check_controller(other.controller.as_mut(), other.read)?;
        }
        Ok(())
    }

    /// An error when a machine cannot use what it was given, or cannot join.
    pub(super) fn check_machines(&self) -> Result<()> {
        let log = fs::read_to_string(&self.machines.log).context("log of the machines")?;
        let error = log.get(self.read.1..).unwrap_or_default().lines().find(|line| line.contains(" ERROR "));
        ensure!(error.is_none(), "a machine does not join: {}", error.unwrap_or_default());
        Ok(())
    }

    /// Starts a second management cluster with everything in it and that release of ours, as the side that scenarios do not look
    /// at.
    pub(super) fn add_side(&mut self, version: &str) -> Result<()> {
        self.sides += 1;
        let folder = self.folder.join(format!("side-{}", self.sides));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let plane = Plane::start(&self.binaries, &folder)?;
        self.other = Some(Side { controller: None, plane, read: 0 });
        self.turn_over();
        let installed = install(self, version);
        self.turn_over();
        installed.map(drop)
    }

    /// Scenarios look at the other side from now on.
    pub(super) fn turn_over(&mut self) {
        if let Some(other) = &mut self.other {
            self.turned = !self.turned;
            std::mem::swap(&mut other.controller, &mut self.controller);
            std::mem::swap(&mut other.plane, &mut self.plane);
            std::mem::swap(&mut other.read, &mut self.read.0);
        }
    }

    /// The kubeconfig of the side that scenarios do not look at.
    pub(super) fn other_kubeconfig(&self) -> Result<&Path> {
        Ok(&self.other.as_ref().context("there is one side only")?.plane.kubeconfig)
    }

    /// Ends the side that scenarios do not look at.
    pub(super) fn drop_side(&mut self) {
        self.other = None;
        self.turned = false;
    }

    /// A new scenario begins: what was counted and logged so far is another's.
    pub(super) fn turn_page(&mut self) -> Result<()> {
        self.sim.post("reset-counters", &serde_json::json!({}))?;
        self.read.1 = fs::read_to_string(&self.machines.log).context("log of the machines")?.len();
        let length = |controller: &Option<Daemon>| {
            let log = controller.as_ref().map(|controller| fs::read_to_string(&controller.log));
            log.transpose().context("log of the controller").map(|log| log.unwrap_or_default().len())
        };
        self.read.0 = length(&self.controller)?;
        if let Some(other) = &mut self.other {
            other.read = length(&other.controller)?;
        }
        Ok(())
    }

    /// Puts right what a failed scenario left, so that it costs the next ones nothing: one side, a controller, MAAS in order, and
    /// clusters on their way out.
    pub(super) fn sweep(&mut self) {
        if self.turned {
            self.turn_over();
        }
        self.drop_side();
        if self.controller.is_none() && self.read.0 > 0 {
            // The next scenario says what is wrong if it does not start.
            let _ = self.start_controller();
        }
        let _ = self.sim.post("region", &serde_json::json!({"outage": "none"}));
        // Best effort: before Cluster API is installed there is nothing to delete.
        let _ = self.plane.kubectl.say(&["delete", "clusters.cluster.x-k8s.io", "-A", "--all", "--wait=false"]);
    }

    /// Starts the controller with the rights of the release, and waits until it is ready.
    pub(super) fn start_controller(&mut self) -> Result<()> {
        self.controller = Some(self.controller("capmaas-controller", &[], &[])?);
        Ok(())
    }

    /// Starts a controller with these flags and variables besides, and waits until it is ready.
    pub(super) fn controller(&self, name: &str, flags: &[&str], variables: &[(&str, &str)]) -> Result<Daemon> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("a free port")?;
        let health = listener.local_addr().context("a free port")?;
        drop(listener);
        let mut command = bound(&self.binaries.ours("capmaas-controller"));
        command.arg("--kubeconfig").arg(self.plane.controller_kubeconfig()?).arg(format!("--health-addr={health}"));
        // A shorter lease than by default: one scenario waits until a dead leader's has run out.
        command.args(["--leader-elect", "--leader-elect-lease-duration=6s", "--leader-elect-renew-deadline=4s"]);
        command.args(["--leader-elect-retry-period=1s", "--diagnostics-address=0", "-v4"]).args(flags);
        for variable in ["MAAS_ENDPOINT", "MAAS_API_KEY", "POD_NAMESPACE", "KUBECONFIG", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied());
        let mut controller = Daemon::start(name, &self.plane.folder, &mut command)?;
        until(name, Duration::from_secs(30), || {
            controller.check()?;
            Ok(match http::call(health, "GET", "/readyz", "") {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("{status}: {body}")),
                Err(error) => Err(format!("{error:#}")),
            })
        })?;
        Ok(controller)
    }

    /// Starts what runs on a region's machines.
    pub(super) fn machines(binaries: &Binaries, etcd: &str, sim: &Simulator, folder: &Path) -> Result<Daemon> {
        let mut command = bound(&binaries.ours("simulated-machines"));
        command.arg("--region").arg(sim.address.to_string()).arg("--etcd").arg(etcd);
        command.arg("--components").arg(binaries.components()).arg("--folder").arg(folder.join("machines"));
        Daemon::start("simulated-machines", folder, &mut command)
    }

    /// SIGKILL for the controller.
    pub(super) fn kill_controller(&mut self) {
        self.controller = None;
    }

    /// Puts what is left of a failed scenario into a folder of its own: objects, the region's machines and requests, all logs.
    pub(super) fn collect(&self, scenario: &str) -> PathBuf {
        let folder = self.folder.join(format!("failed-{scenario}"));
        // Evidence is best effort: the failure itself is what counts.
        let _ = fs::create_dir_all(&folder);
        let put = |name: &str, text: String| {
            let _ = fs::write(folder.join(name), text);
        };
        let objects = self.plane.kubectl.run(&["get", "-A", CLUSTER_KINDS, "-o", "yaml"]);
        put("objects.yaml", objects.unwrap_or_else(|error| format!("{error:#}")));
        let events = self.plane.kubectl.run(&["get", "-A", "events"]);
        put("events.txt", events.unwrap_or_else(|error| format!("{error:#}")));
        for path in ["machines", "requests"] {
            let answer = self.sim.get(path).map(|value: Value| format!("{value:#}"));
            put(&format!("maas-{path}.json"), answer.unwrap_or_else(|error| format!("{error:#}")));
        }
        for file in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = file.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let _ = fs::copy(&path, folder.join(file.file_name()));
            }
        }
        folder
    }
}

/// An error when the controller has ended, was refused something, or logged an error behind the first `read` bytes of its log.
fn check_controller(controller: Option<&mut Daemon>, read: usize) -> Result<()> {
    let Some(controller) = controller else { return Ok(()) };
    controller.check()?;
    let log = fs::read_to_string(&controller.log).context("log of the controller")?;
    let log = log.get(read..).unwrap_or_default();
    let refused = log.lines().find(|line| line.to_ascii_lowercase().contains("forbidden"));
    ensure!(refused.is_none(), "the released RBAC lacks something: {}", refused.unwrap_or_default());
    let error = log.lines().find(|line| line.contains(" ERROR "));
    ensure!(error.is_none(), "the controller logs an error: {}", error.unwrap_or_default());
    Ok(())
}

/// `clusterctl init` from our release: it takes the files, the CRDs are served, the contract is found, and everything starts.
pub(super) fn init(world: &mut World) -> Result<()> {
    let said = install(world, &dist::workspace_version())?;
    for word in ["infrastructure-maas", "initialized successfully"] {
        ensure!(said.contains(word), "clusterctl init does not say {word:?}: {said}");
    }
    let kubectl = &world.plane.kubectl;
    let ours = ["maasclusters", "maasclustertemplates", "maasmachines", "maasmachinetemplates"];
    for kind in ours.into_iter().chain(["maasremediations", "maasremediationtemplates"]) {
        let name = format!("{kind}.{}", capi_types::names::GROUP);
        kubectl.run(&["wait", "--for=condition=Established", "--timeout=30s", "crd", &name])?;
        let crd = kubectl.get("default", "crd", &name)?.context("no CRD")?;
        let conditions = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let structural = conditions.iter().find(|condition| condition["type"] == "NonStructuralSchema");
        ensure!(structural.is_none(), "{name}: {structural:?}");
        let contract = &crd["metadata"]["labels"][capi_types::names::CONTRACT_V1BETA2_LABEL];
        ensure!(contract == "v1beta1", "{name} has no label of contract v1beta2: {contract}");
    }
    let secret = kubectl.get("capmaas-system", "secret", capi_types::names::CREDENTIALS_SECRET)?;
    let secret = secret.context("clusterctl made no credentials")?;
    ensure!(secret["data"]["MAAS_ENDPOINT"].is_string(), "the Secret holds no MAAS_ENDPOINT");
    let providers = kubectl.run(&["get", "-A", "providers.clusterctl.cluster.x-k8s.io"])?;
    ensure!(providers.contains("infrastructure-maas"), "clusterctl's inventory lacks us: {providers}");
    Ok(())
}

/// `clusterctl init`, and everything that it would start in Pods; returns what clusterctl said.
fn install(world: &mut World, version: &str) -> Result<String> {
    let said = world.plane.init(&world.binaries, version, &world.sim.endpoint, &world.sim.api_key)?;
    world.plane.start_managers(&world.binaries)?;
    world.start_controller()?;
    Ok(said)
}
