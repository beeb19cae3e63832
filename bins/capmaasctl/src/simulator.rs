//! `capmaasctl maas-sim`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use capmaas_manager::Clock;
use maas_sim::{ADMIN_KEY, Config, Region, SharedRegion};

/// Flags of `maas-sim`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Address to serve on.
    #[arg(long, default_value = "127.0.0.1:5240")]
    listen: SocketAddr,
    /// Number of machines.
    #[arg(long, default_value_t = 7, conflicts_with = "inventory")]
    machines: usize,
    /// Inventory in YAML: machines, zones, pools, images, durations.
    #[arg(long)]
    inventory: Option<PathBuf>,
    /// Seed of whatever is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How fast its time runs.
    #[arg(long, default_value_t = 1.0, value_parser = crate::speed)]
    speed: f64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = match &args.inventory {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            Config::from_yaml(&text).with_context(|| path.display().to_string())?
        }
        None => Config { seed: args.seed, ..Config::lab(args.machines) },
    };
    let key = config.users.first().and_then(|u| u.api_keys.first().cloned()).unwrap_or_else(|| ADMIN_KEY.to_owned());
    let epoch = Clock::system().now();
    let clock = Clock::new(epoch, args.speed);
    let wall = Clock::system();
    let region =
        SharedRegion::new(Region::new(config), Arc::new(move || clock.now())).signed_by(Arc::new(move || wall.now()));
    let listener =
        tokio::net::TcpListener::bind(args.listen).await.with_context(|| format!("--listen {}", args.listen))?;
    let address = listener.local_addr()?;
    let lines = format!(
        "MAAS_ENDPOINT=http://{address}/MAAS\nMAAS_API_KEY={key}\n# knobs: http://{address}/MAAS/sim/ (machines, counters, region …); Ctrl-C ends\n"
    );
    crate::out(lines.as_bytes())?;
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Ok(()),
        served = maas_sim::serve(listener, region) => served.map(|never| match never {}).map_err(Into::into),
    }
}
