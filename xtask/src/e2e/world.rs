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
use super::simulator::Simulator;

/// Kinds that Cluster API and we keep in a cluster's namespace.
pub(super) const CLUSTER_KINDS: &str = "clusters.cluster.x-k8s.io,machines.cluster.x-k8s.io,\
    machinesets.cluster.x-k8s.io,machinedeployments.cluster.x-k8s.io,kubeadmcontrolplanes,kubeadmconfigs,\
    kubeadmconfigtemplates,maasclusters,maasmachines,maasmachinetemplates";

/// Everything that runs. Fields are dropped, that is killed, from first to last.
pub(super) struct World {
    controller: Option<Daemon>,
    pub(super) sim: Simulator,
    pub(super) plane: Plane,
    pub(super) binaries: Binaries,
    /// The workspace.
    pub(super) root: PathBuf,
    folder: PathBuf,
    /// Length of the controller's log when the scenario began.
    read: usize,
}

impl World {
    /// Starts all but Cluster API and the controller, which [`init`] installs.
    pub(super) fn start(binaries: Binaries, root: &Path, folder: &Path) -> Result<Self> {
        let plane = Plane::start(&binaries, folder)?;
        let sim = Simulator::start(&binaries.ours("capmaasctl"), folder)?;
        Ok(Self { controller: None, sim, plane, binaries, root: root.to_owned(), folder: folder.to_owned(), read: 0 })
    }

    /// An error when a process has ended, the controller was refused something by the API server, or it logged an error.
    pub(super) fn check(&mut self) -> Result<()> {
        self.plane.check()?;
        self.sim.check()?;
        if let Some(controller) = &mut self.controller {
            controller.check()?;
            let log = fs::read_to_string(&controller.log).context("log of the controller")?;
            let log = log.get(self.read..).unwrap_or_default();
            let refused = log.lines().find(|line| line.to_ascii_lowercase().contains("forbidden"));
            ensure!(refused.is_none(), "the released RBAC lacks something: {}", refused.unwrap_or_default());
            let error = log.lines().find(|line| line.contains(" ERROR "));
            ensure!(error.is_none(), "the controller logs an error: {}", error.unwrap_or_default());
        }
        Ok(())
    }

    /// A new scenario begins: what was counted and logged so far is another's.
    pub(super) fn turn_page(&mut self) -> Result<()> {
        self.sim.post("reset-counters", &serde_json::json!({}))?;
        if let Some(controller) = &self.controller {
            self.read = fs::read_to_string(&controller.log).context("log of the controller")?.len();
        }
        Ok(())
    }

    /// Asks for the deletion of what a failed scenario left, so that it costs the next ones no machines.
    pub(super) fn sweep(&self) {
        // Best effort: before Cluster API is installed there is nothing to delete.
        let _ = self.plane.kubectl.say(&["delete", "clusters.cluster.x-k8s.io", "-A", "--all", "--wait=false"]);
    }

    /// Starts the controller with the rights of the release, and waits until it is ready.
    pub(super) fn start_controller(&mut self) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("a free port")?;
        let health = listener.local_addr().context("a free port")?;
        drop(listener);
        let mut command = bound(&self.binaries.ours("capmaas-controller"));
        command.arg("--kubeconfig").arg(self.plane.controller_kubeconfig()?).arg(format!("--health-addr={health}"));
        // A shorter lease than by default: one scenario waits until a dead leader's has run out.
        command.args(["--leader-elect", "--leader-elect-lease-duration=6s", "--leader-elect-renew-deadline=4s"]);
        command.args(["--leader-elect-retry-period=1s", "--diagnostics-address=0", "-v4"]);
        for variable in ["MAAS_ENDPOINT", "MAAS_API_KEY", "POD_NAMESPACE", "KUBECONFIG", "RUST_LOG"] {
            command.env_remove(variable);
        }
        let mut controller = Daemon::start("capmaas-controller", &self.folder, &mut command)?;
        until("capmaas-controller", Duration::from_secs(30), || {
            controller.check()?;
            Ok(match http::call(health, "GET", "/readyz", "") {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("{status}: {body}")),
                Err(error) => Err(format!("{error:#}")),
            })
        })?;
        self.controller = Some(controller);
        Ok(())
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

/// `clusterctl init` from our release: it takes the files, the CRDs are served, the contract is found, and everything starts.
pub(super) fn init(world: &mut World) -> Result<()> {
    let said = world.plane.init(&world.binaries, &world.sim.endpoint, &world.sim.api_key)?;
    for word in ["infrastructure-maas", "initialized successfully"] {
        ensure!(said.contains(word), "clusterctl init does not say {word:?}: {said}");
    }
    let kubectl = &world.plane.kubectl;
    for kind in ["maasclusters", "maasclustertemplates", "maasmachines", "maasmachinetemplates"] {
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
    world.plane.start_managers(&world.binaries)?;
    world.start_controller()
}
