//! Addresses and a resolver of a run's own: a network namespace with nothing but loopback, and a mount namespace in which
//! `/etc/resolv.conf` names the region's name servers.
//!
//! Machines of the region have addresses in 127/8, and all of them listen on the same ports; nothing of it can meet what else runs on
//! this machine, and names of clusters lead to machines as they do for MAAS's clients.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::child::bound;

/// Set in the process that is inside.
const INSIDE: &str = "CAPMAAS_E2E_INSIDE";

/// This process is inside.
pub(super) fn entered() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Replaces this process by one inside; returns only if that fails.
pub(super) fn enter() -> Result<()> {
    let mut command = unshare(Command::new("unshare"))?;
    command.args(std::env::args_os().skip(1));
    Err(command.exec()).context("unshare")
}

/// `cargo xtask e2e` with these flags, inside; it dies with this process.
pub(super) fn inside<'f>(flags: impl IntoIterator<Item = &'f str>) -> Result<Command> {
    let mut command = unshare(bound(Path::new("unshare")))?;
    command.arg("e2e").args(flags);
    Ok(command)
}

/// Completes a call of unshare with what makes this program run inside.
fn unshare(mut command: Command) -> Result<Command> {
    let own = std::env::current_exe().context("this program")?;
    command.args(["--mount", "--net"]);
    if fs::metadata("/proc/self").context("/proc/self")?.uid() != 0 {
        // Only root may make namespaces, or who is root in a user namespace of his own.
        command.arg("--map-root-user");
    }
    command.arg("--").arg(own).env(INSIDE, "1");
    Ok(command)
}

/// Makes the inside fit to live in: loopback is up, names are asked of `name_servers`.
pub(super) fn furnish(folder: &Path, name_servers: &[&str]) -> Result<()> {
    run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let file = folder.join("resolv.conf");
    let lines: String = name_servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    fs::write(&file, lines + "options timeout:1 attempts:3\n").with_context(|| file.display().to_string())?;
    run(Command::new("mount").arg("--bind").arg(&file).arg("/etc/resolv.conf"))
}

/// How to run a command inside from outside.
pub(super) fn way_in() -> String {
    let user =
        if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) { "" } else { "--user --preserve-credentials " };
    format!("nsenter --target {} {user}--mount --net --", std::process::id())
}

fn run(command: &mut Command) -> Result<()> {
    let said = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}
