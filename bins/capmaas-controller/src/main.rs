//! The controller manager of the MAAS infrastructure provider: flags, telemetry, [`capmaas_manager::Manager::run`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use capmaas_manager::{Clock, Credentials, Election, Env, Manager, NetworkRegions, NetworkWorkloads, Settings};
use clap::{ArgAction, Parser, ValueEnum};

/// Cluster API infrastructure provider for Canonical MAAS.
#[derive(Parser, Debug)]
#[command(version, about)]
struct Args {
    /// Kubeconfig of the management cluster; default: in-cluster, $KUBECONFIG, ~/.kube/config.
    #[arg(long)]
    kubeconfig: Option<std::path::PathBuf>,
    /// Watch only this namespace; default: all.
    #[arg(long)]
    namespace: Option<String>,
    /// Reconcile only objects with label cluster.x-k8s.io/watch-filter of this value.
    #[arg(long)]
    watch_filter: Option<String>,
    /// Namespace of the Secret capmaas-manager-bootstrap-credentials and of the leader election Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = capmaas_manager::DEFAULT_NAMESPACE)]
    own_namespace: String,
    /// Elect a leader before reconciling.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    leader_elect: bool,
    /// A lease not renewed for so long is free.
    #[arg(long, default_value = "15s", value_parser = duration)]
    leader_elect_lease_duration: Duration,
    /// The leader stops when it could not renew for so long.
    #[arg(long, default_value = "10s", value_parser = duration)]
    leader_elect_renew_deadline: Duration,
    /// How often the leader renews and the others try.
    #[arg(long, default_value = "2s", value_parser = duration)]
    leader_elect_retry_period: Duration,
    /// Identity in the Lease; the default is made of host name and process id.
    #[arg(long, env = "POD_NAME")]
    leader_elect_identity: Option<String>,
    /// Objects that are reconciled at once, all kinds together.
    #[arg(long, alias = "machine-concurrency", default_value_t = 64)]
    concurrency: usize,
    /// Address of /healthz and /readyz; `0` switches it off.
    #[arg(long, default_value = ":9440", value_parser = address)]
    health_addr: Address,
    /// Address of /metrics, without authentication; `0` switches it off.
    #[arg(long, alias = "metrics-bind-addr", default_value = "127.0.0.1:8080", value_parser = address)]
    diagnostics_address: Address,
    /// Format of the log.
    #[arg(long, value_enum, default_value_t = Logging::Text)]
    logging_format: Logging,
    /// Log level: 0 warnings, 2 what happens, 4 how, 6 everything.
    #[arg(short, long = "v", default_value_t = 2)]
    v: u8,
    /// MAAS URL, used when there is no credentials Secret.
    #[arg(long, env = "MAAS_ENDPOINT", hide_env_values = true)]
    maas_endpoint: Option<String>,
    /// MAAS API key, used when there is no credentials Secret. Environment only.
    #[arg(long, env = "MAAS_API_KEY", hide = true, hide_env_values = true)]
    maas_api_key: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Logging {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug)]
struct Address(Option<SocketAddr>);

/// `:9440`, `127.0.0.1:8080`, or `0` for off.
fn address(text: &str) -> Result<Address, String> {
    match text {
        "" | "0" => Ok(Address(None)),
        _ => {
            let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
            full.parse().map(|a| Address(Some(a))).map_err(|e| format!("{e}; expected host:port, :port or 0"))
        }
    }
}

/// Go's simple durations: `500ms`, `15s`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration such as 500ms, 15s or 2m");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| bad())?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| bad())
}

fn telemetry(args: &Args) {
    let level = match args.v {
        0 | 1 => "warn",
        2 | 3 => "info,kube=warn",
        4 | 5 => "debug,hyper=info,kube=info,tower=info",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.logging_format {
        Logging::Text => builder.init(),
        Logging::Json => builder.json().init(),
    }
}

async fn client(args: &Args) -> anyhow::Result<kube::Client> {
    let config = match &args.kubeconfig {
        Some(path) => {
            let kubeconfig = kube::config::Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?
        }
        None => kube::Config::infer().await.context("no management cluster: give --kubeconfig, or run in a cluster")?,
    };
    Ok(kube::Client::try_from(config)?)
}

fn settings(args: &Args) -> Settings {
    let credentials = match (&args.maas_endpoint, &args.maas_api_key) {
        (Some(endpoint), Some(key)) if !endpoint.is_empty() && !key.is_empty() => Some(Credentials {
            endpoint: endpoint.clone(),
            api_key: key.clone().into(),
            source: "environment (MAAS_ENDPOINT, MAAS_API_KEY)".to_owned(),
        }),
        _ => None,
    };
    let identity = args.leader_elect_identity.clone().unwrap_or_else(|| {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "capmaas-controller".to_owned());
        format!("{host}_{}", std::process::id())
    });
    let election = Election {
        duration: args.leader_elect_lease_duration,
        renew_deadline: args.leader_elect_renew_deadline,
        retry: args.leader_elect_retry_period,
        ..Election::new(identity)
    };
    Settings {
        own_namespace: args.own_namespace.clone(),
        namespace: args.namespace.clone(),
        watch_filter: args.watch_filter.clone(),
        concurrency: args.concurrency,
        credentials,
        election: args.leader_elect.then_some(election),
        health: args.health_addr.0,
        metrics: args.diagnostics_address.0,
        ..Settings::default()
    }
}

/// Resolves on SIGTERM or Ctrl-C.
async fn stop() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("Stopping");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    telemetry(&args);
    rustls::crypto::ring::default_provider().install_default().map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let env = Env {
        clock: Clock::system(),
        seed: u64::from(std::process::id()),
        kube: client(&args).await?,
        regions: Arc::new(NetworkRegions),
        workloads: Arc::new(NetworkWorkloads),
        settings: settings(&args),
    };
    Manager::run(env, stop()).await.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_addresses_read_as_in_other_managers() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("15").is_err() && duration("1d").is_err());
        assert_eq!(address(":9440").unwrap().0, Some("0.0.0.0:9440".parse().unwrap()));
        assert_eq!(address("0").unwrap().0, None);
        assert!(address("nonsense").is_err());
    }
}
