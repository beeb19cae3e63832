//! `capmaasctl sandbox`: the one command of the README.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use capi_types::convert::Options;
use capmaas_manager::gate::Gate;
use capmaas_manager::{Clock, Manager, Settings};
use capmaas_sandbox::nodes::NodesConfig;
use capmaas_sandbox::sandbox::{Sandbox, SandboxConfig};
use capmaas_sandbox::workload::{Authority, ClusterKey};
use kube_sim::ServerIdentity;
use maas_sim::ADMIN_KEY;
use tokio::net::TcpListener;
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
    #[arg(long, default_value_t = 100.0)]
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
    let dir = match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("--dir {}", dir.display()))?;
            dir.clone()
        }
        None => tempfile::Builder::new().prefix("capmaas-").tempdir()?.keep(),
    };
    log_to(&dir.join("sandbox.log"))?;
    let documents = documents(&args)?;

    let config = SandboxConfig {
        seed: args.seed,
        speed: args.speed,
        epoch: Clock::system().now(),
        maas: maas_sim::Config { seed: args.seed, ..maas_sim::Config::lab(args.machines) },
        nodes: NodesConfig::default(),
        // Served on loopback: its key must not be the one that everybody has.
        authority: Authority::generate()?,
    };
    let sandbox = Sandbox::new(config);
    sandbox.install().await?;
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let doors = serve(&mut tasks, &sandbox, &args, &dir).await?;
    let (world, env) = (sandbox.clone(), sandbox.env(&Gate::open(), Settings::default()));
    tasks.spawn(async move {
        world.world().await;
        Ok(())
    });
    tasks.spawn(async move { Manager::run(env, std::future::pending()).await.map_err(Into::into) });
    println!(
        "MAAS region with {} machines at {}, management cluster at {}; files in {}",
        args.machines,
        doors.maas,
        doors.kube,
        dir.display()
    );
    sandbox.apply(&documents).await?;
    println!("Applied {} objects. Time runs {} times as fast as on real machines.", documents.len(), args.speed);

    let mut screen = Screen::new(sandbox.clone());
    let provisioned = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => return Ok(()),
        ended = tasks.join_next() => return ended_early(ended),
        provisioned = screen.until_settled(Duration::from_secs(args.timeout)) => provisioned,
    };
    match provisioned {
        Ok(()) => summary(&sandbox, &doors, &dir, stays).await?,
        Err(reasons) if !stays => anyhow::bail!("the cluster was not provisioned within {} s:\n{reasons}", args.timeout),
        Err(reasons) => println!("Not provisioned yet:\n{reasons}"),
    }
    if !stays {
        return Ok(());
    }
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Ok(()),
        ended = tasks.join_next() => ended_early(ended),
        never = screen.follow() => match never {},
    }
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
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,capmaas_manager=debug".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::sync::Mutex::new(file)).init();
    Ok(())
}

/// The manifests, converted where they need it.
fn documents(args: &Args) -> anyhow::Result<Vec<serde_json::Value>> {
    let text = if args.files.is_empty() { capi_types::SEED_MANIFEST.to_owned() } else { crate::convert::read(&args.files)? };
    let converted = capi_types::convert(&text, &Options { kubernetes_version: args.kubernetes_version.clone() })?;
    if !converted.notes.is_empty() {
        println!("Converted for today's Cluster API (capmaasctl convert prints the result):");
        for note in &converted.notes {
            println!("  {note}");
        }
    }
    Ok(converted.documents)
}

struct Doors {
    kube: String,
    maas: String,
}

/// Serves the management cluster, MAAS and every workload cluster on loopback, and writes the files that lead there.
async fn serve(tasks: &mut JoinSet<anyhow::Result<()>>, sandbox: &Sandbox, args: &Args, dir: &Path) -> anyhow::Result<Doors> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(loopback(args.kube_port)).await.context("--kube-port")?;
    let kube = format!("https://{}", listener.local_addr()?);
    let certificates = kube_sim::Certificates::generate(&["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let token = format!("sandbox-{:016x}", fastrand::Rng::new().u64(..));
    let kubeconfig = kube_sim::kubeconfig(&kube, &certificates.ca_pem, &token);
    std::fs::write(dir.join("kubeconfig"), kubeconfig)?;
    let sim = sandbox.kube.clone();
    let identity = certificates.identity()?.with_token(&token);
    tasks.spawn(async move { kube_sim::serve_tls(listener, sim, identity).await.map_err(Into::into) });

    let listener = TcpListener::bind(loopback(args.maas_port)).await.context("--maas-port")?;
    let maas = format!("http://{}/MAAS", listener.local_addr()?);
    std::fs::write(dir.join("maas.env"), format!("MAAS_ENDPOINT={maas}\nMAAS_API_KEY={ADMIN_KEY}\n"))?;
    let region = sandbox.maas.clone();
    tasks.spawn(async move { maas_sim::serve(listener, region).await.map(|never| match never {}).map_err(Into::into) });

    let (workloads, dir) = (sandbox.workloads.clone(), dir.to_owned());
    tasks.spawn(async move {
        let mut changes = workloads.changes();
        let mut served: BTreeSet<ClusterKey> = BTreeSet::new();
        let mut servers: JoinSet<anyhow::Result<()>> = JoinSet::new();
        loop {
            for key in workloads.keys().into_iter().filter(|key| workloads.api_anywhere(key)) {
                if served.contains(&key) {
                    continue;
                }
                let (Some(sim), Some(token)) = (workloads.sim(&key), workloads.admin_token(&key)) else { continue };
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let server = format!("https://{}", listener.local_addr()?);
                let (certificate, private) = workloads.authority().issue(&["127.0.0.1".to_owned(), "localhost".to_owned()])?;
                let identity = ServerIdentity::from_pem(&certificate, &private)?.with_token(&token);
                if let Some(kubeconfig) = workloads.kubeconfig_for(&key, &server) {
                    std::fs::write(dir.join(format!("{}.kubeconfig", key.name)), kubeconfig)?;
                }
                servers.spawn(async move { kube_sim::serve_tls(listener, sim, identity).await.map_err(Into::into) });
                served.insert(key);
            }
            changes.changed().await;
        }
    });
    Ok(Doors { kube, maas })
}

/// Prints a line whenever an object does something else than before.
struct Screen {
    sandbox: Sandbox,
    began: Instant,
    shown: BTreeMap<String, String>,
}

impl Screen {
    fn new(sandbox: Sandbox) -> Self {
        Self { sandbox, began: Instant::now(), shown: BTreeMap::new() }
    }

    async fn look(&mut self) -> anyhow::Result<World> {
        let world = World::read(&self.sandbox.client(), None).await?;
        let mut present = BTreeSet::new();
        for (name, what, why) in world.progress() {
            let line = [what, why].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("  ");
            present.insert(name.clone());
            if !line.is_empty() && self.shown.get(&name) != Some(&line) {
                self.say(&name, &line);
                self.shown.insert(name, line);
            }
        }
        for gone in self.shown.keys().filter(|n| !present.contains(*n)).cloned().collect::<Vec<_>>() {
            self.say(&gone, "gone");
            self.shown.remove(&gone);
        }
        Ok(world)
    }

    fn say(&self, name: &str, line: &str) {
        println!("{:>6.1}s  {name:<28} {line}", self.began.elapsed().as_secs_f64());
    }

    /// Until all clusters are complete; otherwise what stands in the way.
    async fn until_settled(&mut self, patience: Duration) -> Result<(), String> {
        loop {
            let world = self.look().await.map_err(|e| e.to_string())?;
            if world.settled() {
                return Ok(());
            }
            if self.began.elapsed() > patience {
                return Err(self.shown.iter().map(|(name, line)| format!("  {name}: {line}\n")).collect());
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

async fn summary(sandbox: &Sandbox, doors: &Doors, dir: &Path, stays: bool) -> anyhow::Result<()> {
    let world = World::read(&sandbox.client(), None).await?;
    println!("\n{}", world.render(None));
    for host in world.hosts() {
        let addresses = sandbox.maas.with(|region, now| region.resolve(now, &host));
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        println!("{host} resolves to {}", addresses.join(", "));
    }
    let at = dir.display();
    if !stays {
        println!("Provisioned. Files in {at}; `--keep` leaves it up for playing.");
        return Ok(());
    }
    let cluster = world.cluster_names().first().map(|(_, name)| name.clone()).unwrap_or_default();
    println!(
        "Provisioned. It stays up until Ctrl-C. In another terminal:\n\
         \n  export KUBECONFIG={at}/kubeconfig\
         \n  kubectl get clusters,machines,maasmachines,maasclusters -A -o wide\
         \n  kubectl scale machinedeployment {cluster}-worker --replicas=3\
         \n  kubectl --kubeconfig {at}/{cluster}.kubeconfig get nodes -o wide\
         \n  curl -X POST {}/sim/machines/node01/power-cord -d '{{\"plugged\": false}}'   # pull a cord; then kubectl get maasmachines\
         \n  env $(cat {at}/maas.env) capmaasctl machines\
         \n  kubectl delete cluster {cluster}\n",
        doors.maas
    );
    Ok(())
}
