//! The controller manager of the MAAS infrastructure provider: flags, telemetry, [`capmaas_manager::Manager::run`].

mod flags;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use capmaas_manager::{Clock, Env, Manager, NetworkRegions, NetworkWorkloads};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches};
use tokio::signal::unix::{Signal, SignalKind, signal};

use flags::{Flags, Idle, Logging};

/// Longest silence of the API server in an answer. Longer than a watch lasts (290 s), so that none is cut.
const SILENCE: Duration = Duration::from_secs(300);

fn telemetry(flags: &Flags) {
    // kube logs every failed connection as an error of its own; who made the call says what it means: that a workload cluster's
    // API server does not answer yet is no error.
    let level = match flags.v {
        0 | 1 => "warn,kube_client::client::builder=off",
        2 | 3 => "info,kube=warn,kube_client::client::builder=off",
        4 | 5 => "debug,hyper=info,rustls=info,tower=info,kube=info,kube_client::client::builder=off",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match flags.logging_format {
        Logging::Text => builder.init(),
        Logging::Json => builder.json().init(),
    }
}

/// Says which of the given flags do nothing.
fn tell_idle(matches: &ArgMatches) {
    let idle = Idle::augment_args(clap::Command::new("idle"));
    for flag in idle.get_arguments() {
        if let Some(name) = flag.get_long()
            && matches.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine)
        {
            tracing::info!(flag = format!("--{name}"), "Taking a flag that has no effect here");
        }
    }
}

async fn client(flags: &Flags) -> anyhow::Result<kube::Client> {
    let mut config = match &flags.kubeconfig {
        Some(path) => {
            let what = || format!("--kubeconfig {}", path.display());
            let kubeconfig = kube::config::Kubeconfig::read_from(path).with_context(what)?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.with_context(what)?
        }
        None => kube::Config::infer().await.context("no management cluster: give --kubeconfig, or run in a cluster")?,
    };
    config.read_timeout.get_or_insert(SILENCE);
    config.reset_reader_on_write = true;
    Ok(kube::Client::try_from(config)?)
}

/// Something that no other process has, on this host or another.
fn random() -> String {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid");
    uuid.map_or_else(|_| std::process::id().to_string(), |uuid| uuid.trim().to_owned())
}

/// Resolves on SIGTERM or Ctrl-C.
async fn stop(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("Stopping");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let matches = Flags::command().get_matches();
    let flags = Flags::from_arg_matches(&matches)?;
    telemetry(&flags);
    tell_idle(&matches);
    let settings = flags.settings(&random()).context("leader election")?;
    // From here on a signal is a clean stop, however early it comes.
    let stop = stop(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let env = Env {
        clock: Clock::system(),
        seed: u64::from(std::process::id()),
        kube: client(&flags).await?,
        regions: Arc::new(NetworkRegions),
        workloads: Arc::new(NetworkWorkloads),
        settings,
    };
    Manager::run(env, stop).await.map_err(Into::into)
}
