//! Looks into the provider's world, and runs a whole one on this machine.

mod adopt;
mod convert;
mod doctor;
mod explain;
mod machines;
mod notes;
mod orphans;
mod sandbox;
mod simulator;
mod tree;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Debug and sandbox CLI of the Cluster API provider for Canonical MAAS.
#[derive(Parser, Debug)]
#[command(name = "capmaasctl", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a management cluster, a MAAS region, Cluster API's stand-in and the provider in one process, and apply a manifest.
    Sandbox(sandbox::Args),
    /// Serve a simulated MAAS region: its API, knobs, and DNS on request.
    MaasSim(simulator::Args),
    /// List the machines of a MAAS region and which MaasMachine holds each.
    Machines(machines::Args),
    /// Show clusters as a tree: Cluster, control plane, workers, machines, and the MAAS side of each.
    Tree(tree::Args),
    /// Report what MAAS holds for us and nobody needs any more: machines and DNS records. Changes nothing.
    Orphans(orphans::Args),
    /// Say which machine a MaasMachine gets and why, or what manifests would get before they are applied.
    Explain(explain::Args),
    /// Give a running machine to the MaasMachine that names it (AdoptionRequired), after showing the evidence.
    Adopt(adopt::Args),
    /// Look for what is wrong between manifests, management cluster and MAAS, and say how to mend it. Changes nothing.
    Doctor(doctor::Args),
    /// Rewrite manifests of 2021 (v1alpha3, v1alpha4) for today's Cluster API, and say what was changed and why.
    Convert(convert::Args),
    /// Print a shell completion script.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        // Not the Debug form that `main` would print: what is wrong is the user's to read, a back trace is not.
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = match args.command {
        Command::Sandbox(args) => runtime.block_on(sandbox::run(args)),
        Command::MaasSim(args) => runtime.block_on(simulator::run(args)),
        Command::Machines(args) => runtime.block_on(machines::run(args)),
        Command::Tree(args) => runtime.block_on(tree::run(args)),
        Command::Orphans(args) => return runtime.block_on(orphans::run(args)),
        Command::Adopt(args) => return runtime.block_on(adopt::run(args)),
        Command::Doctor(args) => return runtime.block_on(doctor::run(args)),
        Command::Explain(args) => return runtime.block_on(explain::run(args)),
        Command::Convert(args) => convert::run(&args),
        Command::Completion { shell } => {
            // Into memory first: writing to a closed pipe would panic in clap_complete.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "capmaasctl", &mut script);
            out(&script)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// How fast time runs.
fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 => Ok(speed),
        _ => Err("give a number above 0, such as 100".to_owned()),
    }
}

/// Writes to standard output; a reader that left early (`| head`) is no error.
fn out(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
