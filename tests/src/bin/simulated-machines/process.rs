//! Child processes and what they listen on.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// A command that dies with this process, however that ends, and when its handle is dropped.
fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Starts a daemon with its output appended to `log`.
pub(crate) fn daemon<S: AsRef<OsStr>>(
    program: &Path,
    log: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Result<Child> {
    let file = File::options().create(true).append(true).open(log).with_context(|| log.display().to_string())?;
    let errors = file.try_clone().context("its log")?;
    let mut command = command(program);
    command.args(arguments).stdout(file).stderr(errors);
    command.spawn().with_context(|| format!("starting {}", program.display()))
}

/// Runs a short command; its standard output.
pub(crate) async fn output<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>) -> Result<String> {
    let said = command(program).args(arguments).output().await.with_context(|| program.display().to_string())?;
    ensure!(said.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&said.stderr));
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}

/// Forwards connections to another address for as long as it is kept.
pub(crate) struct Forward(#[expect(dead_code, reason = "dropping it ends the forwarding")] JoinSet<()>);

impl Forward {
    /// Listens on `from`.
    pub(crate) async fn start(from: SocketAddr, to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(from).await.with_context(|| from.to_string())?;
        let mut tasks = JoinSet::new();
        tasks.spawn(pass_on(listener, to));
        Ok(Self(tasks))
    }

    /// Takes `from` as soon as nobody else has it, as the next holder of a virtual address does.
    pub(crate) fn when_free(from: SocketAddr, to: SocketAddr) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                if let Ok(listener) = TcpListener::bind(from).await {
                    pass_on(listener, to).await;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self(tasks)
    }
}

/// Forwards what comes in, until dropped.
async fn pass_on(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! { biased;
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                let Ok((mut near, _)) = accepted else { continue };
                connections.spawn(async move {
                    // How a connection ends is its two ends' business.
                    if let Ok(mut far) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        }
    }
}
