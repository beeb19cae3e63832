//! Results of scripts that ran on machines: commissioning, installation, testing (reference §2.10, A.1).
//!
//! MAAS keeps one set per run. The installation log is the output of the only result in an installation set, and the
//! one place that tells in full why a deployment failed.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;
use crate::state::Machine;

/// What a set of results is about; the number is `type` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RunKind {
    Commissioning = 0,
    Installation = 1,
    Testing = 2,
    Release = 3,
}

impl RunKind {
    const ALL: [Self; 4] = [Self::Commissioning, Self::Installation, Self::Testing, Self::Release];

    fn name(self) -> &'static str {
        match self {
            Self::Commissioning => "Commissioning",
            Self::Installation => "Installation",
            Self::Testing => "Testing",
            Self::Release => "Release",
        }
    }

    /// Names and numbers that `type=` takes.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name().eq_ignore_ascii_case(text) || (*k as u8).to_string() == text)
    }
}

/// How a script stands; the number is `status` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ScriptStatus {
    Pending = 0,
    Running = 1,
    Passed = 2,
    Failed = 3,
    TimedOut = 4,
    Aborted = 5,
}

impl ScriptStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::TimedOut => "Timed out",
            Self::Aborted => "Aborted",
        }
    }

    fn is_over(self) -> bool {
        self >= Self::Passed
    }
}

/// One script of a run.
#[derive(Debug)]
pub(crate) struct ScriptResult {
    pub(crate) id: u64,
    pub(crate) name: Cow<'static, str>,
    pub(crate) status: ScriptStatus,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    /// Standard output and errors together.
    pub(crate) output: String,
    pub(crate) suppressed: bool,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: u64,
    pub(crate) kind: RunKind,
    pub(crate) results: Vec<ScriptResult>,
}

impl Run {
    /// The worst of what is over, or what still goes on.
    pub(crate) fn status(&self) -> Option<ScriptStatus> {
        let any = |s: ScriptStatus| self.results.iter().any(|r| r.status == s).then_some(s);
        any(ScriptStatus::Running)
            .or_else(|| any(ScriptStatus::Pending))
            .or_else(|| any(ScriptStatus::Failed))
            .or_else(|| any(ScriptStatus::TimedOut))
            .or_else(|| any(ScriptStatus::Aborted))
            .or_else(|| any(ScriptStatus::Passed))
    }

    fn started(&self) -> Option<Timestamp> {
        self.results.iter().filter_map(|r| r.started).min()
    }

    fn ended(&self) -> Option<Timestamp> {
        if self.results.iter().any(|r| r.ended.is_none()) {
            None
        } else {
            self.results.iter().filter_map(|r| r.ended).max()
        }
    }
}

/// Name of the only result in an installation set.
pub(crate) const INSTALL_LOG: &str = "/tmp/install.log";

/// Scripts that every commissioning runs.
pub(crate) const COMMISSIONING: [&str; 13] = [
    "20-maas-01-install-lldpd",
    "20-maas-02-dhcp-unconfigured-ifaces",
    "20-maas-03-machine-resources",
    "30-maas-01-bmc-config",
    "40-maas-01-machine-config-hints",
    "50-maas-01-commissioning",
    "maas-capture-lldpd",
    "maas-get-fruid-api-data",
    "maas-kernel-cmdline",
    "maas-list-modaliases",
    "maas-lshw",
    "maas-serial-ports",
    "maas-support-info",
];

impl Region {
    /// Starts a run of these scripts; older runs of the kind beyond a few are forgotten, as MAAS prunes them.
    pub(crate) fn begin_run(
        &mut self,
        machine: u64,
        kind: RunKind,
        names: &[&'static str],
        status: ScriptStatus,
    ) -> u64 {
        let now = self.now;
        let id = self.next_id("run");
        let results = names
            .iter()
            .map(|name| ScriptResult {
                id: self.next_id("result"),
                name: Cow::Borrowed(*name),
                status,
                created: now,
                updated: now,
                started: None,
                ended: None,
                output: String::new(),
                suppressed: false,
            })
            .collect();
        if let Some(m) = self.machine_mut(machine) {
            m.runs.push(Run { id, kind, results });
            let of_kind = m.runs.iter().filter(|r| r.kind == kind).count();
            if of_kind > 4
                && let Some(oldest) = m.runs.iter().position(|r| r.kind == kind)
            {
                m.runs.remove(oldest);
            }
        }
        id
    }

    /// Takes the newest run of a kind to a status, and adds to what its scripts wrote.
    pub(crate) fn advance_run(&mut self, machine: u64, kind: RunKind, status: ScriptStatus, output: &str) {
        let now = self.now;
        let Some(run) = self.machine_mut(machine).and_then(|m| m.runs.iter_mut().rev().find(|r| r.kind == kind)) else {
            return;
        };
        for result in run.results.iter_mut().filter(|r| !r.status.is_over()) {
            result.status = status;
            result.updated = now;
            result.started.get_or_insert(now);
            result.ended = status.is_over().then_some(now);
            result.output.push_str(output);
        }
    }

    /// What the installer wrote up to that point.
    pub(crate) fn log_installation(&mut self, machine: u64, progress: Progress<'_>) {
        let Some(m) = self.machines.get(&machine) else {
            return;
        };
        let (host, image, ephemeral) = (m.hostname.clone(), m.image(), m.ephemeral);
        let text = match progress {
            Progress::Started if ephemeral => format!("Deploying {image} on {host} into memory\n"),
            Progress::Started => format!(
                "start: cmd-install: curtin command install\nInstalling {image} on {host}\nstart: cmd-install/stage-partitioning: configuring storage\nfinish: cmd-install/stage-partitioning: SUCCESS: configuring storage\nstart: cmd-install/stage-extract: writing install sources to disk\n"
            ),
            Progress::Finished if ephemeral => "The image runs from memory\n".to_owned(),
            Progress::Finished => {
                "finish: cmd-install/stage-extract: SUCCESS: writing install sources to disk\nfinish: cmd-install/stage-curthooks: SUCCESS: configuring installed system\nfinish: cmd-install: SUCCESS: curtin command install\nInstallation finished. No error reported.\n".to_owned()
            }
            Progress::Failed(reason) => format!(
                "finish: cmd-install/stage-extract: FAIL: writing install sources to disk\nAn error occured handling '{host}': ProcessExecutionError - Unexpected error while running command.\nReason: {reason}\nfinish: cmd-install: FAIL: curtin command install\nInstallation failed with exception: {reason}\n"
            ),
            Progress::GivenUp => String::new(),
        };
        let status = match progress {
            Progress::Started => ScriptStatus::Running,
            Progress::Finished => ScriptStatus::Passed,
            Progress::Failed(_) => ScriptStatus::Failed,
            Progress::GivenUp => ScriptStatus::Aborted,
        };
        self.advance_run(machine, RunKind::Installation, status, &text);
    }

    pub(crate) fn answer_results(&mut self, id: u64, call: &Call) -> Answer {
        self.may_see(id, call)?;
        let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Node"))?;
        let query = &call.query;
        let whole = query.string_bool("include_output")?;
        let filters: Vec<&str> = query.all("filters").flat_map(|f| f.split(',')).filter(|f| !f.is_empty()).collect();
        let show = |run: &Run| run_json(m, run, whole, &filters);
        if call.rest.is_empty() {
            let kinds: Vec<RunKind> = query
                .all("type")
                .flat_map(|t| t.split(','))
                .filter(|t| !t.is_empty())
                .map(|t| {
                    RunKind::parse(t).ok_or_else(|| {
                        Reply::text(
                            400,
                            "Invalid script type, must be 'commissioning', 'installation', 'testing' or 'release'.",
                        )
                    })
                })
                .collect::<Result<_, _>>()?;
            let wanted = |run: &&Run| kinds.is_empty() || kinds.contains(&run.kind);
            return Ok(Reply::list(m.runs.iter().filter(wanted).map(show).collect()));
        }
        let run = find_run(m, &call.rest).ok_or_else(|| Reply::missing("ScriptSet"))?;
        let run_id = run.id;
        match (call.method(), call.op()) {
            ("GET", "download") => Ok(download(run, query.last("output"), &filters)),
            ("GET", _) => Ok(Reply::json(&show(run))),
            (method, _) => {
                call.admin_or(Reply::forbidden())?;
                let suppressed = call.form.data.string_bool("suppressed")?;
                let Some(m) = self.machine_mut(id) else {
                    return Err(Reply::missing("Node"));
                };
                if method == "DELETE" {
                    m.runs.retain(|r| r.id != run_id);
                    return Ok(Reply::no_content());
                }
                for result in m.runs.iter_mut().filter(|r| r.id == run_id).flat_map(|r| &mut r.results) {
                    if filters_name(&filters, &result.name) {
                        result.suppressed = suppressed;
                    }
                }
                let m = self.machines.get(&id).ok_or_else(|| Reply::missing("Node"))?;
                let run = find_run(m, &call.rest).ok_or_else(|| Reply::missing("ScriptSet"))?;
                Ok(Reply::json(&run_json(m, run, whole, &[])))
            }
        }
    }

    /// `commissioning-results/` and `installation-results/`: the older form, one row per result with its output.
    pub(crate) fn answer_old_results(&self, call: &Call, kind: RunKind) -> Answer {
        let ids: Vec<&str> = call.query.all("system_id").collect();
        let names: Vec<&str> = call.query.all("name").collect();
        let mut rows = Vec::new();
        let seen = self
            .machines
            .values()
            .filter(|m| (ids.is_empty() || ids.contains(&m.system_id.as_str())) && self.may_see(m.id, call).is_ok());
        for m in seen {
            let Some(run) = m.runs.iter().rev().find(|r| r.kind == kind) else { continue };
            for r in run.results.iter().filter(|r| names.is_empty() || names.contains(&r.name.as_ref())) {
                rows.push(json!({
                    "created": crate::view::stamp(r.created), "updated": crate::view::stamp(r.updated), "id": r.id, "name": r.name,
                    "script_result": exit_status(r.status), "result_type": kind as u8, "node": {"system_id": m.system_id, "__incomplete__": true},
                    "data": base64::engine::general_purpose::STANDARD.encode(&r.output),
                    "resource_uri": format!("/MAAS/api/2.0/{}-results/", kind.name().to_lowercase()),
                }));
            }
        }
        Ok(Reply::list(rows))
    }
}

/// How far an installation came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Progress<'a> {
    Started,
    Finished,
    Failed(&'a str),
    /// Aborted, or the watchdog lost patience.
    GivenUp,
}

fn find_run<'a>(m: &'a Machine, key: &str) -> Option<&'a Run> {
    match key.strip_prefix("current-") {
        Some(kind) => {
            let kind = RunKind::parse(kind)?;
            m.runs.iter().rev().find(|r| r.kind == kind)
        }
        None => m.runs.iter().find(|r| r.id.to_string() == key),
    }
}

fn filters_name(filters: &[&str], name: &str) -> bool {
    filters.is_empty() || filters.contains(&name)
}

fn exit_status(status: ScriptStatus) -> Option<u8> {
    match status {
        ScriptStatus::Passed => Some(0),
        ScriptStatus::Failed => Some(1),
        ScriptStatus::TimedOut => Some(124),
        ScriptStatus::Pending | ScriptStatus::Running | ScriptStatus::Aborted => None,
    }
}

fn download(run: &Run, output: Option<&str>, filters: &[&str]) -> Reply {
    let mut text = String::new();
    // Only the combined output is kept; the separate streams are empty files, as they are for a script that wrote none.
    if !matches!(output, Some("stdout" | "stderr" | "result")) {
        for r in run.results.iter().filter(|r| filters_name(filters, &r.name)) {
            if run.results.len() > 1 {
                text.push_str(&format!("{0}\n{1}\n{0}\n", "-".repeat(80), r.name));
            }
            text.push_str(&r.output);
        }
    }
    Reply::octets(text.into_bytes())
}

fn run_json(m: &Machine, run: &Run, whole: bool, filters: &[&str]) -> Value {
    let engine = base64::engine::general_purpose::STANDARD;
    let results: Vec<Value> = run
        .results
        .iter()
        .filter(|r| filters_name(filters, &r.name))
        .map(|r| {
            let mut shown = json!({
                "id": r.id, "created": mail_date(Some(r.created)), "updated": mail_date(Some(r.updated)), "name": r.name, "status": r.status as u8,
                "status_name": r.status.name(), "exit_status": exit_status(r.status), "started": mail_date(r.started), "ended": mail_date(r.ended),
                "runtime": runtime(r.started, r.ended), "starttime": seconds(r.started), "endtime": seconds(r.ended), "estimated_runtime": "0:00:00", "parameters": parameters(&r.name),
                "script_id": script_id(run.kind, &r.name), "script_revision_id": null, "suppressed": r.suppressed,
            });
            if whole {
                shown["output"] = json!(engine.encode(&r.output));
                shown["stdout"] = json!("");
                shown["stderr"] = json!("");
                shown["result"] = json!("");
            }
            shown
        })
        .collect();
    let status = run.status();
    json!({
        "id": run.id, "system_id": m.system_id, "type": run.kind as u8, "type_name": run.kind.name(), "last_ping": null,
        "status": status.map_or(-1, |s| i64::from(s as u8)), "status_name": status.map_or("Unknown", ScriptStatus::name), "started": mail_date(run.started()),
        "ended": mail_date(run.ended()), "runtime": runtime(run.started(), run.ended()), "results": results,
        "resource_uri": format!("/MAAS/api/2.0/nodes/{}/results/{}/", m.system_id, run.id),
    })
}

/// What a script was given.
fn parameters(name: &str) -> Value {
    if name != "30-maas-01-bmc-config" {
        return json!({});
    }
    json!({
        "maas_auto_ipmi_user": {"type": "string", "max": 20, "argument_format": "--username={input}", "value": "maas"},
        "maas_auto_ipmi_user_privilege_level": {
            "type": "choice", "choices": [["USER", "User"], ["OPERATOR", "Operator"], ["ADMIN", "Administrator"]],
            "argument_format": "--ipmi-privilege-level={input}", "value": "ADMIN",
        },
        "maas_auto_ipmi_cipher_suite_id": {"type": "string", "max": 2, "argument_format": "--ipmi-cipher-suite-id={input}", "value": "3"},
    })
}

/// Built-in commissioning scripts are rows of their own; the installation log is no script.
fn script_id(kind: RunKind, name: &str) -> Option<usize> {
    if kind == RunKind::Installation {
        return None;
    }
    COMMISSIONING.iter().position(|n| *n == name).map(|at| at + 1)
}

/// `Sun, 22 Nov 2026 18:38:19 +0000`.
fn mail_date(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| json!(at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()))
}

/// Seconds since 1970, or the empty text.
fn seconds(at: Option<Timestamp>) -> Value {
    // Milliseconds of this era are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    at.map_or(json!(""), |at| json!(at.as_millisecond() as f64 / 1000.0))
}

/// `0:07:31`, or the empty text while it is not over.
fn runtime(started: Option<Timestamp>, ended: Option<Timestamp>) -> String {
    let (Some(started), Some(ended)) = (started, ended) else {
        return String::new();
    };
    let took = Duration::try_from(ended.duration_since(started)).unwrap_or_default().as_secs();
    format!("{}:{:02}:{:02}", took / 3600, took / 60 % 60, took % 60)
}
