//! `capmaasctl maas-sim`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use capmaas_manager::Clock;
use ipnet::IpNet;
use maas_sim::{ADMIN_KEY, Config, Costs, Region, SharedRegion};
use tokio::net::{TcpListener, UdpSocket};

/// Flags of `maas-sim`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Address to serve on.
    #[arg(long, default_value = "127.0.0.1:5240")]
    listen: SocketAddr,
    /// Address to answer DNS on, over UDP and TCP; port 0 takes one that is free for both.
    #[arg(long, value_name = "ADDR:PORT")]
    dns_listen: Option<SocketAddr>,
    /// Number of machines.
    #[arg(long, default_value_t = 7, conflicts_with = "inventory")]
    machines: usize,
    /// Block that the machines' addresses lie in, instead of 10.10.0.0/16. In 127.10.0.0/16 each is one that programs on
    /// this computer can listen on; MAAS itself leaves the first nine alone.
    #[arg(long, value_name = "CIDR", conflicts_with = "inventory")]
    subnet: Option<IpNet>,
    /// Inventory in YAML: machines, zones, pools, subnets, images, durations; or what a region's list calls answered, in JSON,
    /// where the name ends in .json.
    #[arg(long)]
    inventory: Option<PathBuf>,
    /// Seed of whatever is random; default: the inventory's, else 1.
    #[arg(long)]
    seed: Option<u64>,
    /// Version of MAAS to be, such as 3.4.10 or 4.0.0; default: the inventory's, else 3.7.3.
    #[arg(long)]
    maas_version: Option<String>,
    /// Takes as long to answer as a region of one host does, per request and per machine in an answer.
    #[arg(long)]
    slow: bool,
    /// How fast its time runs.
    #[arg(long, default_value_t = 1.0, value_parser = crate::speed)]
    speed: f64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut config = match &args.inventory {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let read =
                if path.extension().is_some_and(|e| e == "json") { Config::from_dump } else { Config::from_yaml };
            read(&text).with_context(|| path.display().to_string())?
        }
        None => match args.subnet {
            Some(block) => Config::lab_in(args.machines, block).context("--subnet")?,
            None => Config::lab(args.machines),
        },
    };
    config.seed = args.seed.unwrap_or(config.seed);
    config.version = args.maas_version.unwrap_or(config.version);
    if args.slow {
        config.costs = Costs::real();
    }
    let key = config.users.first().and_then(|u| u.api_keys.first().cloned()).unwrap_or_else(|| ADMIN_KEY.to_owned());
    let epoch = Clock::system().now();
    let clock = Clock::new(epoch, args.speed);
    let wall = Clock::system();
    let region =
        SharedRegion::new(Region::new(config), Arc::new(move || clock.now())).signed_by(Arc::new(move || wall.now()));
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("--listen {}", args.listen))?;
    let address = listener.local_addr()?;
    let dns = match args.dns_listen {
        Some(address) => Some(dns_sockets(address).await.with_context(|| format!("--dns-listen {address}"))?),
        None => None,
    };
    let dns_line = match &dns {
        Some((udp, _)) => format!("MAAS_DNS={}\n", udp.local_addr()?),
        None => String::new(),
    };
    let lines = format!(
        "MAAS_ENDPOINT=http://{address}/MAAS\nMAAS_API_KEY={key}\n{dns_line}# knobs: http://{address}/MAAS/sim/ (machines, faults, advance, counters, region …); Ctrl-C ends\n"
    );
    crate::out(lines.as_bytes())?;
    let names = async {
        match dns {
            Some((udp, tcp)) => maas_sim::serve_dns(udp, tcp, region.clone()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Ok(()),
        served = maas_sim::serve(listener, region.clone()) => served.map(|never| match never {}).map_err(Into::into),
        served = names => served.map(|never| match never {}).context("DNS"),
    }
}

/// Sockets of one address for both transports. A free port of one may be taken for the other, so port 0 is tried again.
async fn dns_sockets(address: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { 32 } else { 1 };
    loop {
        tries -= 1;
        let tcp = TcpListener::bind(address).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && tries > 0 => {}
            udp => return Ok((udp?, tcp)),
        }
    }
}
