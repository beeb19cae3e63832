//! Whether the tracked transcripts, to which kube-sim is held every day, are what the API server of this plane says.

use std::time::Duration;

use anyhow::Result;

use super::child::{bound, run};
use super::world::World;

/// How long the cases may take: those about namespaces wait for a controller that is in no hurry.
const PATIENCE: Duration = Duration::from_secs(300);

/// Plays all cases of `capmaas-tests` on the API server and compares.
pub(super) fn conformance(world: &mut World) -> Result<()> {
    let mut play = bound(&world.binaries.ours("conformance"));
    play.arg("--check").arg("--kubeconfig").arg(&world.plane.kubeconfig);
    play.arg("--folder").arg(world.root.join("tests/conformance"));
    let said = run(&mut play, &world.root.join("target/e2e"), PATIENCE)?.success("conformance")?;
    print!("{said}");
    Ok(())
}
