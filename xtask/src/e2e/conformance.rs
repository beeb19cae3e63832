//! Whether the tracked transcripts, to which kube-sim is held every day, are what the API server of this plane says.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::child::{bound, run};
use super::world::World;

/// How long the cases may take: those about namespaces wait for a controller that is in no hurry.
const PATIENCE: Duration = Duration::from_secs(300);

/// Plays all cases of `capmaas-tests` on the API server and compares.
pub(super) fn conformance(world: &mut World) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // Not with our other programs: nothing else of a run needs it.
    build.current_dir(&world.root).args([
        "build",
        "--quiet",
        "--locked",
        "-p",
        "capmaas-tests",
        "--bin",
        "conformance",
    ]);
    let status = build.status().context("running cargo")?;
    ensure!(status.success(), "cargo build: {status}");
    let mut play = bound(&world.binaries.ours("conformance"));
    play.arg("--check").arg("--kubeconfig").arg(&world.plane.kubeconfig);
    play.arg("--folder").arg(world.root.join("tests/conformance"));
    let folder = world.root.join("target/e2e");
    let said = run(&mut play, &folder, PATIENCE)?.success("conformance")?;
    print!("{said}");
    Ok(())
}
