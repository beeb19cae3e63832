//! Kubernetes as a user has it: the real kubectl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::child::{Said, bound, run};

/// No single kubectl call takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// kubectl with a kubeconfig.
pub(super) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// For files between us and kubectl.
    folder: PathBuf,
}

impl Kubectl {
    pub(super) fn new(program: &Path, kubeconfig: &Path, folder: &Path) -> Self {
        Self { program: program.to_owned(), kubeconfig: kubeconfig.to_owned(), folder: folder.to_owned() }
    }

    /// The same kubectl for another cluster.
    pub(super) fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self::new(&self.program, kubeconfig, &self.folder)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bound(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(self.folder.join("kubectl-cache"));
        command.args(arguments);
        command
    }

    /// Runs it, whatever comes of it.
    pub(super) fn say(&self, arguments: &[&str]) -> Result<Said> {
        run(&mut self.command(arguments), &self.folder, PATIENCE)
    }

    /// Runs it; an error unless it succeeds.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        self.say(arguments)?.success(&format!("kubectl {}", arguments.join(" ")))
    }

    /// Runs it; an error if it succeeds, else what it complained about.
    pub(super) fn refused(&self, arguments: &[&str]) -> Result<String> {
        let said = self.say(arguments)?;
        ensure!(!said.status.success(), "kubectl {} should be refused: {}", arguments.join(" "), said.out);
        Ok(said.err)
    }

    /// Writes `text` to a file that `apply -f` can read.
    pub(super) fn manifest(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }

    /// One object, or none.
    pub(super) fn get(&self, namespace: &str, kind: &str, name: &str) -> Result<Option<Value>> {
        let text = self.run(&["get", "-n", namespace, kind, name, "-o", "json", "--ignore-not-found"])?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&text).map(Some).with_context(|| format!("{kind} {name}"))
    }

    /// Objects of a kind, or of several separated by commas; `selector` narrows them by label when it is not empty.
    pub(super) fn list(&self, namespace: &str, kinds: &str, selector: &str) -> Result<Vec<Value>> {
        let text = self.run(&["get", "-n", namespace, kinds, "-l", selector, "-o", "json"])?;
        let list: Value = serde_json::from_str(&text).with_context(|| kinds.to_owned())?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }
}

/// A kubeconfig for one user with a token.
pub(super) fn kubeconfig(server: &str, ca: &Path, token: &str) -> String {
    // JSON is YAML.
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
        "clusters": [{"name": "e2e", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": "e2e", "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e", "namespace": "default"}}],
    })
    .to_string()
}

/// The condition of a type in an object: status, reason and message, empty when it is not there.
pub(super) fn condition(object: &Value, type_: &str) -> (String, String, String) {
    let all = object["status"]["conditions"].as_array();
    let found = all.into_iter().flatten().find(|condition| condition["type"] == type_);
    let text = |key: &str| found.and_then(|condition| condition[key].as_str()).unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

/// All conditions in one line, for messages.
pub(super) fn conditions(object: &Value) -> String {
    let all = object["status"]["conditions"].as_array();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = all.into_iter().flatten().map(|c| {
        format!("{}={} {} {:?}", text(&c["type"]), text(&c["status"]), text(&c["reason"]), text(&c["message"]))
    });
    let all = each.collect::<Vec<_>>().join("; ");
    if all.is_empty() { "no conditions".to_owned() } else { all }
}
