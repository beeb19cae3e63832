//! What scripts said on a machine: commissioning, tests and installation (fact sheet §2.10).
//!
//! The log of a failed deployment is the output of the installation set:
//! ```no_run
//! # use maas_client::*;
//! # async fn why(client: &Client, id: &SystemId) -> Result<()> {
//! let with_output = ResultFilter { include_output: true, ..Default::default() };
//! let set = client.results().read(id, &ScriptSetId::CurrentInstallation, &with_output).await?;
//! for result in set.results.iter().filter(|result| result.status.failed()) {
//!     eprintln!("{}: {}", result.name, result.output);
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::define::{reply, request, service, words};
use crate::ids::{ScriptResultId, ScriptSetNumber, SystemId};

service! {
    /// Script results of machines and controllers: `nodes/{system_id}/results/`.
    ///
    /// With feature `mock` there is `MockResults`.
    Results by ResultsClient;

    /// `GET nodes/{system_id}/results/`: the sets of results MAAS keeps, newest of each type included.
    fn list(&system_id: SystemId, &filter: ResultFilter) -> Vec<ScriptSet> = RESULTS_LIST [system_id], filter.form();

    /// `GET nodes/{system_id}/results/{id}/`: one set. `NotFound` when the machine has none of that type.
    fn read(&system_id: SystemId, &set: ScriptSetId, &filter: ResultFilter) -> ScriptSet
        = RESULTS_READ [system_id, set], filter.form();

    /// `DELETE nodes/{system_id}/results/{id}/` (admin). The current sets can't be deleted.
    fn delete(&system_id: SystemId, &set: ScriptSetId) -> () = RESULTS_DELETE [system_id, set];
}

words! {
    /// What a set of scripts was run for.
    ScriptType {
        /// Hardware inventory.
        Commissioning = "commissioning",
        /// Hardware tests.
        Testing = "testing",
        /// Deployment (curtin).
        Installation = "installation",
        /// Scripts run while releasing (3.5+).
        Release = "release",
    }
}

request! {
    /// Parameters of `GET nodes/{system_id}/results/` and `…/results/{id}/`.
    ResultFilter {
        /// Only sets of this type.
        script_type: Option<ScriptType> as "type",
        /// Only scripts for this hardware: `node`, `cpu`, `memory`, `storage`, `network` or `gpu`.
        hardware_type: Option<String>,
        /// Sends outputs too; without it they are empty. May be megabytes.
        include_output: bool,
        /// Only these: names, tags, or names of devices.
        filters: Vec<String>,
    }
}

/// Which set of results: by number, or the newest of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScriptSetId {
    /// This very set.
    Number(ScriptSetNumber),
    /// The last commissioning.
    CurrentCommissioning,
    /// The last tests.
    CurrentTesting,
    /// The last deployment.
    CurrentInstallation,
}

impl fmt::Display for ScriptSetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::CurrentCommissioning => f.pad("current-commissioning"),
            Self::CurrentTesting => f.pad("current-testing"),
            Self::CurrentInstallation => f.pad("current-installation"),
        }
    }
}

/// State of a script or a set of scripts, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScriptStatus {
    /// 0
    Pending,
    /// 1
    Running,
    /// 2
    Passed,
    /// 3
    Failed,
    /// 4
    TimedOut,
    /// 5
    Aborted,
    /// 6
    Degraded,
    /// 7: packages the script needs.
    InstallingDependencies,
    /// 8
    FailedInstallingDependencies,
    /// 9
    Skipped,
    /// 10: the network configuration the script asked for.
    ApplyingNetworkConfiguration,
    /// 11
    FailedApplyingNetworkConfiguration,
    /// A number newer than this crate; -1 for none.
    Unknown(i64),
}

impl ScriptStatus {
    const KNOWN: [Self; 12] = [
        Self::Pending,
        Self::Running,
        Self::Passed,
        Self::Failed,
        Self::TimedOut,
        Self::Aborted,
        Self::Degraded,
        Self::InstallingDependencies,
        Self::FailedInstallingDependencies,
        Self::Skipped,
        Self::ApplyingNetworkConfiguration,
        Self::FailedApplyingNetworkConfiguration,
    ];

    /// The number on the wire.
    pub fn number(self) -> i64 {
        match self {
            Self::Unknown(number) => number,
            known => (0..).zip(Self::KNOWN).find(|(_, status)| *status == known).map_or(-1, |(number, _)| number),
        }
    }

    /// It ended, and not well.
    pub fn failed(self) -> bool {
        matches!(
            self,
            Self::Failed
                | Self::TimedOut
                | Self::Aborted
                | Self::Degraded
                | Self::FailedInstallingDependencies
                | Self::FailedApplyingNetworkConfiguration
        )
    }
}

impl From<i64> for ScriptStatus {
    fn from(number: i64) -> Self {
        usize::try_from(number).ok().and_then(|index| Self::KNOWN.get(index).copied()).unwrap_or(Self::Unknown(number))
    }
}

impl Default for ScriptStatus {
    fn default() -> Self {
        Self::Unknown(-1)
    }
}

impl Serialize for ScriptStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.number())
    }
}

impl<'de> Deserialize<'de> for ScriptStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self::from)
    }
}

/// What a script wrote: base64 on the wire, bytes here, text (undecodable parts replaced) in Display.
///
/// Text that is no base64 is kept as it came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ScriptOutput(pub Vec<u8>);

impl ScriptOutput {
    /// Nothing was written, or output was not asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last `count` lines.
    pub fn tail(&self, count: usize) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

impl fmt::Display for ScriptOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// The size only: logs are long and may hold what a script should not have printed.
impl fmt::Debug for ScriptOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScriptOutput({} bytes)", self.0.len())
    }
}

impl Serialize for ScriptOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for ScriptOutput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        let packed: String = text.split_ascii_whitespace().collect();
        Ok(Self(STANDARD.decode(packed).unwrap_or_else(|_| text.into_bytes())))
    }
}

reply! {
    /// The results of one run: a commissioning, a test or a deployment.
    ScriptSet {
        /// Number.
        id: ScriptSetNumber,
        /// Machine it ran on.
        system_id: SystemId,
        /// What it was run for, as MAAS prints it: `Commissioning`, `Testing`, `Installation`.
        type_name: String,
        /// State of the whole set.
        status: ScriptStatus,
        /// The same in MAAS's words.
        status_name: String,
        /// When it began, as MAAS prints it (`Sun, 22 Nov 2026 19:02:54 +0000`).
        started: Option<String>,
        /// When it ended.
        ended: Option<String>,
        /// Duration, `h:mm:ss`; empty before the end.
        runtime: String,
        /// Last sign of life.
        last_ping: Option<String>,
        /// One entry per script.
        results: Vec<ScriptResult>,
    }

    /// The result of one script.
    ScriptResult {
        /// Number.
        id: ScriptResultId,
        /// Script, e.g. `/tmp/install.log` for a deployment or `smartctl-validate` for a test.
        name: String,
        /// State.
        status: ScriptStatus,
        /// The same in MAAS's words.
        status_name: String,
        /// Exit code, once there is one.
        exit_status: Option<i64>,
        /// When it was queued.
        created: Option<String>,
        /// When it changed last.
        updated: Option<String>,
        /// When it began.
        started: Option<String>,
        /// When it ended.
        ended: Option<String>,
        /// Duration, `h:mm:ss`.
        runtime: String,
        /// How long it usually takes, `h:mm:ss`.
        estimated_runtime: String,
        /// Not counted as a failure: an administrator switched it off for this machine.
        suppressed: bool,
        /// Standard output and error in the order written; empty unless asked for.
        output: ScriptOutput,
        /// Standard output; empty unless asked for.
        stdout: ScriptOutput,
        /// Standard error; empty unless asked for.
        stderr: ScriptOutput,
        /// The file of results (YAML) that the script wrote; empty unless asked for.
        result: ScriptOutput,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_decoded_and_shown_as_text_but_never_in_debug() {
        let entry = r#"{"name": "/tmp/install.log", "status": 3, "exit_status": 1,
            "output": "c3RhcnQKY3VydGluOiBubyBkaXNrIP8K", "stdout": null, "result": "not base64!"}"#;
        let result: ScriptResult = serde_json::from_str(entry).unwrap();
        assert_eq!(result.output.to_string(), "start\ncurtin: no disk \u{fffd}\n");
        assert_eq!(result.output.tail(1), "curtin: no disk \u{fffd}");
        assert_eq!(result.output.tail(9), "start\ncurtin: no disk \u{fffd}");
        assert_eq!(format!("{:?}", result.output), "ScriptOutput(24 bytes)");
        assert!(result.stdout.is_empty() && result.status.failed());
        assert_eq!(result.result.to_string(), "not base64!");
        let again: ScriptResult = serde_json::from_str(&serde_json::to_string(&result).unwrap()).unwrap();
        assert_eq!(again.output, result.output);
    }

    #[test]
    fn script_states_keep_their_numbers_and_unknown_ones_survive() {
        for (number, status) in (0..).zip(ScriptStatus::KNOWN) {
            assert_eq!((ScriptStatus::from(number), status.number()), (status, number));
        }
        for number in [-1, 12, i64::MAX] {
            assert_eq!(ScriptStatus::from(number).number(), number);
            assert!(!ScriptStatus::from(number).failed());
        }
    }

    #[test]
    fn filters_go_into_the_query_and_the_default_sends_nothing() {
        assert_eq!(ResultFilter::default().form().urlencoded(), "");
        let filter = ResultFilter {
            script_type: Some(ScriptType::Installation),
            include_output: true,
            filters: vec!["a".into(), "b".into()],
            ..Default::default()
        };
        assert_eq!(filter.form().urlencoded(), "type=installation&include_output=true&filters=a&filters=b");
    }
}
