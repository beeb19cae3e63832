//! Processes: long-running ones that never outlive this one, and short ones with a deadline.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::patience::{Deadline, pause};

/// Settings of the machine that would send loopback traffic through a proxy.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// A command whose process the kernel kills when this one ends, however it ends (Ctrl-C and SIGKILL included).
///
/// It holds for commands started by the main thread: the kernel looks at the thread that started the process.
pub(super) fn bound(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    for proxy in PROXIES {
        command.env_remove(proxy);
    }
    command
}

/// A long-running process, killed when dropped.
pub(super) struct Daemon {
    name: String,
    child: Child,
    /// Where its output goes.
    pub(super) log: PathBuf,
}

impl Daemon {
    /// Starts `program` with its output appended to `<folder>/<name>.log`.
    pub(super) fn start(name: &str, folder: &Path, command: &mut Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let errors = file.try_clone().with_context(|| format!("opening {}", log.display()))?;
        let child = command.stdout(file).stderr(errors).spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// An error when the process has ended; it never should.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| self.name.clone())? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}): {}", self.name, self.tail()),
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        // An error says that it has gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The last lines of its log.
    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a short command said.
pub(super) struct Said {
    /// How it ended.
    pub(super) status: ExitStatus,
    /// Its standard output.
    pub(super) out: String,
    /// Its standard error.
    pub(super) err: String,
}

impl Said {
    /// Standard output of a command that succeeded.
    pub(super) fn success(self, what: &str) -> Result<String> {
        match self.status.success() {
            true => Ok(self.out),
            false => bail!("{what}: {}: {}{}", self.status, self.out, self.err),
        }
    }
}

/// Runs a command to its end; its output passes through files in `folder`, so that no pipe can fill up.
pub(super) fn run(command: &mut Command, folder: &Path, patience: Duration) -> Result<Said> {
    let what = || command_line(command);
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    let create = |path: &Path| File::create(path).with_context(|| format!("creating {}", path.display()));
    let what = what();
    let mut child =
        command.stdout(create(&out)?).stderr(create(&err)?).spawn().with_context(|| format!("starting {what}"))?;
    let deadline = Deadline::after(patience);
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| what.clone())? {
            break status;
        }
        if deadline.passed() {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{what} did not end within {} s", patience.as_secs());
        }
        pause(Duration::from_millis(10));
    };
    let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Said { status, out: read(&out).context("its standard output")?, err: read(&err).context("its standard error")? })
}

/// The command as one would type it, for messages.
fn command_line(command: &Command) -> String {
    let parts = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = parts.map(OsStr::to_string_lossy).collect();
    words.join(" ").replace("setpriv --pdeathsig KILL -- ", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_daemon_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start("sleep", folder.path(), bound(Path::new("sleep")).arg("600")).unwrap();
        let process = PathBuf::from(format!("/proc/{}", daemon.child.id()));
        assert!(process.exists());
        drop(daemon);
        assert!(!process.exists());
    }

    #[test]
    fn a_command_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let said = run(bound(Path::new("sleep")).arg("600"), folder.path(), Duration::from_millis(50));
        assert_eq!(said.err().unwrap().to_string(), "sleep 600 did not end within 0 s");
    }
}
