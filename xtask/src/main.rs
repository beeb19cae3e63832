//! Generators and checks of the workspace: `cargo xtask gen-crds`, `cargo xtask check`, `cargo xtask dist`, `cargo xtask e2e`,
//! `cargo xtask bench`.
//!
//! **What it is.** The place for what cargo itself does not do: writing the files that are made from code, and holding the
//! house rules of the design (layers, one place for versions, crate docs, a short top level, no dependency left behind).
//!
//! **What it is not.** Part of the product: nothing depends on it, and it needs no network.
//!
//! **How data flows.** [`workspace::Workspace::read`] reads the manifests, file names and Rust sources once; every rule is a plain function
//! from that to a list of violations, so that the rules are tested on made-up workspaces:
//!
//! ```text
//! $ cargo xtask check
//! layers: capmaas-reconcile may not depend on maas-client (crates/capmaas-reconcile/Cargo.toml)
//! violations: 1
//! ```

mod bench;
mod dist;
mod e2e;
mod generated;
mod house;
mod layers;
mod unused;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Generators and checks of the workspace")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write the CRDs to crates/capi-types/crds, one file per kind
    GenCrds {
        /// Write nothing; fail if a file is not current
        #[arg(long)]
        check: bool,
    },
    /// Check layers, unused dependencies, generated files, release files and house rules; name every violation
    Check,
    /// Write the files of a release: components, metadata, cluster templates
    Dist {
        /// Where to; default: target/dist
        #[arg(long)]
        out: Option<PathBuf>,
        /// Such as v0.10.0; default: the workspace's version
        #[arg(long)]
        version: Option<String>,
    },
    /// Run scenarios against the real API server, managers of Cluster API and clusterctl; builds them first (needs Go and kubectl)
    E2e(e2e::Options),
    /// Measure a crate against what others use; fails when it is not as good as it has to be (needs Go)
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    match Arguments::parse().task {
        Task::GenCrds { check: false } => {
            for path in generated::write_crds(root)? {
                println!("wrote {}", path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Task::E2e(options) => Ok(e2e::run(root, &options)),
        Task::Bench(bench) => Ok(if bench::run(root, &bench)? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Task::GenCrds { check: true } => Ok(report(&generated::stale_crds(root)?)),
        Task::Check => Ok(report(&check(root)?)),
        Task::Dist { out, version } => {
            let out = out.unwrap_or_else(|| root.join("target/dist"));
            for path in dist::write(&out, &version.unwrap_or_else(dist::workspace_version))? {
                println!("wrote {}", path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// All violations of all rules.
fn check(root: &Path) -> Result<Vec<String>> {
    let workspace = workspace::Workspace::read(root)?;
    let mut violations = layers::violations(&workspace.packages);
    violations.extend(house::violations(&workspace));
    violations.extend(unused::violations(&workspace.packages));
    violations.extend(generated::stale_crds(root)?);
    violations.extend(dist::violations());
    Ok(violations)
}

/// Prints every violation; violations are an answer, not an error of this program, so there is no back trace.
fn report(violations: &[String]) -> ExitCode {
    for violation in violations {
        eprintln!("{violation}");
    }
    match violations.len() {
        0 => ExitCode::SUCCESS,
        count => {
            eprintln!("violations: {count}");
            ExitCode::FAILURE
        }
    }
}
