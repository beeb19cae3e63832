//! What runs on the machines of a simulated MAAS region when the management plane is a real one: cloud-init, kubeadm, a real etcd
//! and a forwarding kubelet on each control-plane machine, and one real kube-apiserver per workload cluster.
//!
//! Everything comes from the user data that a machine was *delivered*: the authorities that sign its certificates, the endpoint,
//! the token, the Node's name. A damaged file of it is an `ERROR` in the log and a machine that never joins. Machines have
//! addresses of their own; what listens there dies with the machine's power. Nodes have no providerID unless user data sets one.
//!
//! `cargo xtask e2e` starts it; see there for the world around it.

mod cluster;
mod host;
mod join;
mod node;
mod pki;
mod process;
mod region;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Runs what is on the machines of a simulated MAAS region.
#[derive(Parser, Debug)]
struct Args {
    /// Address of `capmaasctl maas-sim`
    #[arg(long)]
    region: SocketAddr,
    /// Folder with etcd, kube-apiserver, kubelet and etcdjoin
    #[arg(long)]
    components: PathBuf,
    /// Client URL of the etcd in which workload clusters are kept, each under a prefix of its own
    #[arg(long)]
    etcd: String,
    /// Folder for state and logs
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> ExitCode {
    // Our own words only: an `ERROR` in this log fails a scenario, and clients of servers that start up see many.
    tracing_subscriber::fmt().with_ansi(false).with_target(false).with_env_filter("simulated_machines=info").init();
    let args = Args::parse();
    let run = || -> anyhow::Result<()> {
        rustls::crypto::ring::default_provider()
            .install_default()
            .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
        // One thread: the kernel ties a child to the thread that started it (see `process`).
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match runtime.block_on(world::run(args.into()))? {}
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl From<Args> for world::Settings {
    fn from(args: Args) -> Self {
        Self { region: args.region, components: args.components, etcd: args.etcd, folder: args.folder }
    }
}
