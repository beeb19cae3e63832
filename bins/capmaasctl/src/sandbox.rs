//! `capmaasctl sandbox`: the one command of the README.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use capi_types::convert::Options;
use capmaas_manager::gate::Gate;
use capmaas_manager::{Clock, Manager, Settings};
use capmaas_sandbox::doors::{Doors, DoorsConfig};
use capmaas_sandbox::nodes::NodesConfig;
use capmaas_sandbox::sandbox::{Sandbox, SandboxConfig};
use capmaas_sandbox::workload::Authority;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::tree::World;

/// Flags of `sandbox`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Manifests to apply; default: the article's example of one control plane and one worker.
    files: Vec<PathBuf>,
    /// Exit when the cluster is provisioned.
    #[arg(long, conflicts_with = "keep")]
    once: bool,
    /// Stay up until Ctrl-C even when the output is not a terminal.
    #[arg(long)]
    keep: bool,
    /// How fast time runs: at 100 a deployment of seven minutes takes four seconds.
    #[arg(long, default_value_t = 100.0, value_parser = crate::speed)]
    speed: f64,
    /// Number of machines in the MAAS region.
    #[arg(long, default_value_t = 7)]
    machines: usize,
    /// Set this Kubernetes version in what is converted.
    #[arg(long)]
    kubernetes_version: Option<String>,
    /// Folder for kubeconfigs, maas.env and logs; default: a fresh temporary one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Seed of whatever is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Port of the management cluster's API; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    kube_port: u16,
    /// Port of the MAAS API; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    maas_port: u16,
    /// Give up on a cluster that did not come this far, seconds of real time.
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let stays = args.keep || (!args.once && std::io::stdout().is_terminal());
    // Before anything is set up: a manifest that can't be read is told at once.
    let manifests = manifests(&args)?;
    let clusters = manifests.iter().flat_map(|(_, documents)| documents).filter(|d| d["kind"] == "Cluster").count();
    anyhow::ensure!(
        stays || clusters > 0,
        "the manifests hold no Cluster: there is nothing to wait for (--keep stays up)"
    );
    let dir = match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("--dir {}", dir.display()))?;
            dir.clone()
        }
        None => tempfile::Builder::new().prefix("capmaas-").tempdir()?.keep(),
    };
    log_to(&dir.join("sandbox.log"))?;

    let config = SandboxConfig {
        seed: args.seed,
        speed: args.speed,
        epoch: Clock::system().now(),
        maas: maas_sim::Config { seed: args.seed, ..maas_sim::Config::lab(args.machines) },
        nodes: NodesConfig::default(),
        deadlines: Default::default(),
        // Served on loopback: its key must not be the one that everybody has.
        authority: Authority::generate()?,
    };
    let sandbox = Sandbox::new(config);
    sandbox.install().await?;
    let token = format!("sandbox-{:016x}", fastrand::Rng::new().u64(..));
    let doors = DoorsConfig { dir: dir.clone(), kube_port: args.kube_port, maas_port: args.maas_port, token };
    let doors = Doors::open(&sandbox, doors).await?;
    let (kube, maas) = (doors.kube.clone(), doors.maas.clone());
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let (world, env) = (sandbox.clone(), sandbox.env(&Gate::open(), Settings::default()));
    tasks.spawn(async move { Err(doors.serve().await.into()) });
    tasks.spawn(async move { match world.world().await {} });
    tasks.spawn(async move { Manager::run(env, std::future::pending()).await.map_err(Into::into) });
    say(&format!(
        "MAAS region with {} machines at {maas}, management cluster at {kube}\nFiles in {}",
        args.machines,
        dir.display()
    ))?;
    let mut objects = 0;
    for (name, documents) in &manifests {
        sandbox.apply_manifest(documents).await.with_context(|| name.clone())?;
        objects += documents.len();
    }
    say(&format!("Applied {objects} objects. Time runs {} times as fast as on real machines.", args.speed))?;

    let mut screen = Screen::new(sandbox.clone());
    let provisioned = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => return Ok(()),
        ended = tasks.join_next() => return ended_early(ended),
        provisioned = screen.until_settled(Duration::from_secs(args.timeout), args.speed) => provisioned,
    };
    let world = World::read(&sandbox.client(), None).await?;
    say(&format!("\n{}", world.render(None)))?;
    match provisioned {
        Ok(()) => {
            say(&names(&sandbox, &world))?;
            say("Provisioned.")?;
        }
        Err(why) if !stays => anyhow::bail!("the cluster is not provisioned:{why}\nThe log is in {}", dir.display()),
        Err(why) => say(&format!("Not provisioned yet:{why}"))?,
    }
    if !stays {
        return say(&format!("Files in {}; `--keep` leaves it up for playing.", dir.display()));
    }
    say(&next_commands(&world, &maas, &dir))?;
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Ok(()),
        ended = tasks.join_next() => ended_early(ended),
        never = screen.follow() => match never {},
    }
}

/// One piece of text and the end of its line.
fn say(text: &str) -> anyhow::Result<()> {
    crate::out(format!("{text}\n").as_bytes())
}

fn ended_early(ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>) -> anyhow::Result<()> {
    match ended {
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(Ok(()))) | None => anyhow::bail!("a part of the sandbox ended; see sandbox.log"),
    }
}

fn log_to(path: &Path) -> anyhow::Result<()> {
    let file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,capmaas_manager=debug".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::sync::Mutex::new(file)).init();
    Ok(())
}

/// Where each manifest came from, and its documents, converted where they need it.
fn manifests(args: &Args) -> anyhow::Result<Vec<(String, Vec<serde_json::Value>)>> {
    let options = Options { kubernetes_version: args.kubernetes_version.clone() };
    let all = match args.files.is_empty() {
        true => vec![("the example".to_owned(), capi_types::convert(capi_types::SEED_MANIFEST, &options)?)],
        false => crate::convert::convert(&args.files, &options)?,
    };
    for (name, converted) in all.iter().filter(|(_, c)| !c.notes.is_empty()) {
        let notes = crate::notes::render(&converted.notes);
        say(&format!(
            "Converted {name} for today's Cluster API (capmaasctl convert shows the result and why):\n{notes}"
        ))?;
    }
    Ok(all.into_iter().map(|(name, converted)| (name, converted.documents)).collect())
}

/// Prints a line whenever an object does something else than before.
struct Screen {
    sandbox: Sandbox,
    began: Instant,
    shown: BTreeMap<String, String>,
    /// What waits for a person, and since when.
    blocked: BTreeMap<String, Instant>,
}

impl Screen {
    fn new(sandbox: Sandbox) -> Self {
        Self { sandbox, began: Instant::now(), shown: BTreeMap::new(), blocked: BTreeMap::new() }
    }

    async fn look(&mut self) -> anyhow::Result<World> {
        let world = World::read(&self.sandbox.client(), None).await?;
        let mut present = BTreeSet::new();
        for (name, what, why) in world.progress() {
            let line = [what, why].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("  ");
            present.insert(name.clone());
            if !line.is_empty() && self.shown.get(&name) != Some(&line) {
                self.say(&name, &line)?;
                self.shown.insert(name, line);
            }
        }
        for gone in self.shown.keys().filter(|n| !present.contains(*n)).cloned().collect::<Vec<_>>() {
            self.say(&gone, "gone")?;
            self.shown.remove(&gone);
        }
        Ok(world)
    }

    fn say(&self, name: &str, line: &str) -> anyhow::Result<()> {
        say(&format!("{:>6.1}s  {name:<34} {line}", self.began.elapsed().as_secs_f64()))
    }

    /// What has waited for a person for some time now, unchanged.
    fn stuck(&mut self, world: &World, speed: f64) -> Vec<String> {
        let blocked = world.blocked();
        self.blocked.retain(|what, _| blocked.contains(what));
        for what in blocked {
            self.blocked.entry(what).or_insert_with(Instant::now);
        }
        // On slow clocks the cause may go a little later, such as a machine that is being released.
        let patience = Duration::from_secs(5).max(Duration::from_secs(60).div_f64(speed));
        self.blocked.iter().filter(|(_, since)| since.elapsed() > patience).map(|(what, _)| what.clone()).collect()
    }

    /// Until all clusters are complete; otherwise what stands in the way.
    async fn until_settled(&mut self, patience: Duration, speed: f64) -> Result<(), String> {
        let list = |lines: Vec<String>| lines.iter().map(|line| format!("\n  {line}")).collect::<String>();
        loop {
            let world = self.look().await.map_err(|e| format!(" {e:#}"))?;
            if world.settled() {
                return Ok(());
            }
            let stuck = self.stuck(&world, speed);
            if !stuck.is_empty() {
                return Err(list(stuck));
            }
            if self.began.elapsed() > patience {
                let lines = self.shown.iter().map(|(name, line)| format!("{name}: {line}")).collect();
                return Err(format!(" {} s are over (--timeout){}", patience.as_secs(), list(lines)));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn follow(&mut self) -> std::convert::Infallible {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "screen");
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

/// The control planes' names and what they resolve to.
fn names(sandbox: &Sandbox, world: &World) -> String {
    let line = |host: String| {
        let addresses = sandbox.maas.with(|region, now| region.resolve(now, &host));
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        format!("{host} resolves to {}", addresses.join(", "))
    };
    world.hosts().into_iter().map(line).collect::<Vec<_>>().join("\n")
}

fn next_commands(world: &World, maas: &str, dir: &Path) -> String {
    let (at, host) = (dir.display(), world.host().unwrap_or("node01"));
    let mut text = format!(
        "It stays up until Ctrl-C. In another terminal:\n\
         \n  export KUBECONFIG={at}/kubeconfig\
         \n  kubectl get clusters,machines,maasmachines,maasclusters -A -o wide"
    );
    if let Some(deployment) = world.deployment() {
        text += &format!("\n  kubectl scale machinedeployment {deployment} --replicas=3");
    }
    if let Some((_, cluster)) = world.cluster_names().first() {
        text += &format!(
            "\n  kubectl --kubeconfig {at}/{cluster}.kubeconfig get nodes -o wide\n  kubectl delete cluster {cluster}"
        );
    }
    text += &format!(
        "\n  curl -X POST {maas}/sim/machines/{host}/power-cord -d '{{\"plugged\": false}}'   # pull a cord\
         \n  env $(cat {at}/maas.env) capmaasctl machines\n"
    );
    text
}
