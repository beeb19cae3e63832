//! API conformance: what our controllers, kubectl and clusterctl rely on, as cases that run on kube-sim and on the real API server.
//!
//! **What it is.** A [`Case`] is a sentence of behaviour and a script of raw requests over `kube::Client`, played in a namespace of its
//! own. What was asked and answered is its transcript. Those of the real server are tracked in `tests/conformance/<area>.json`; everyday
//! `cargo test` plays every case on kube-sim in process and compares. `tests/conformance/GAPS.md` lists the cases in which kube-sim differs,
//! each with its reason; the list is tested both ways.
//!
//! **What it is not.** No test of the API server: a case is here because somebody relies on it, and what the server says is right.
//!
//! **How to add a case.** Write an `async fn(&mut Session) -> Outcome` in a file of `areas/`, name its behaviour in that file's list, and
//! record it: `cargo xtask e2e --only conformance --keep` fails for the new case, leaves the plane up, and prints how to get into its network
//! (`nsenter … --`, and its kubeconfig); so run `$PWD/target/debug/conformance --kubeconfig … --write`. Look at the difference git shows:
//! every line of it is a promise. Then make kube-sim keep it, or add a line to `GAPS.md`. The same refreshes the transcripts for another
//! version of Kubernetes; `cargo xtask e2e --all` checks that they are current.
//!
//! **What is normalised**, and why; all else is compared word for word:
//! * the case's own name, in namespaces, groups and names of cluster-scoped objects → `<case>`, the run's → `<run>`: so that a server can be
//!   used twice, by cases at the same time;
//! * uids → `<uid-1>`, `<uid-2>`… and versions of objects → `<rv-1>`… in order of first appearance in the case: which are equal stays visible;
//! * versions of collections, in bookmarks, in query strings and in messages → `<revision>`: others write to the real server, too;
//! * names completed by the server → `<generated-1>`…; tokens of paged lists → `<continue>`;
//! * times → `<time>`, except those of the year 2020, which the cases write themselves; ages in table cells → `<age>`;
//! * causes of a refusal that are told twice → once: the server looks at metadata up to three times;
//! * `metadata.managedFields` and `selfLink` are left out: kube-sim has no server-side apply, and nobody here reads them;
//! * bookmarks are left out but the one that ends the initial events: the others come when the server likes.
//!
//! Some cases record parts of an answer only (`pick`, `only`): discovery and OpenAPI tell of kinds that kube-sim does not have.

mod areas;
mod fixtures;
mod gaps;
mod names;
mod session;
mod transcript;
mod watching;

use std::future::Future;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use serde_json::Value;

pub use areas::AREAS;
pub use gaps::{Gaps, gaps};
pub use session::{Outcome, Session};
pub use transcript::{Transcript, difference};

/// One behaviour.
pub struct Case {
    /// What is so, as a sentence.
    pub name: &'static str,
    /// The script that shows it.
    script: for<'s> fn(&'s mut Session) -> LocalBoxFuture<'s, Outcome>,
}

/// Cases about one thing; their transcripts share a file.
pub struct Area {
    /// Name of the file.
    pub name: &'static str,
    /// In the order of the file.
    pub cases: &'static [Case],
}

/// Why a case could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request got no answer.
    #[error("{0}")]
    Client(#[from] Box<kube::Error>),
    /// The answer is none that the script can go on with.
    #[error("{0}")]
    Unexpected(String),
    /// It did not come about in time.
    #[error("waited in vain: {0}")]
    Waited(String),
    /// A tracked file is not there or not readable.
    #[error("{0}")]
    File(String),
}

impl Failure {
    /// What kind of failure it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Unexpected(_) => "unexpected",
            Self::Waited(_) => "waited",
            Self::File(_) => "file",
        }
    }
}

/// A server to play on, prepared for it.
pub struct Run {
    client: kube::Client,
    /// Unique among the runs on a server; part of every name a case makes.
    id: String,
    /// Version that the server gives itself, such as `v1.36.3`.
    pub server: String,
}

/// What became of a case.
pub struct Played {
    /// The area of the case.
    pub area: &'static Area,
    /// The case.
    pub case: &'static Case,
    /// Its transcript.
    pub outcome: Result<Vec<Value>, Failure>,
    /// How long it took.
    pub took: Duration,
}

impl Run {
    /// Makes what the cases share: a few kinds, in a group named after `id`, which has to be a DNS label that the server has not seen.
    ///
    /// # Errors
    /// When the server does not take them.
    pub async fn prepare(client: kube::Client, id: &str) -> Result<Self, Failure> {
        let mut run = Self { client, id: id.to_owned(), server: String::new() };
        let mut session = Session::new(&run, "shared");
        let version = session.get("/version").quiet().await?;
        let server = version.body["gitVersion"].as_str().unwrap_or_default().to_owned();
        for crd in fixtures::shared(&run.id) {
            session.install(&crd).await?;
        }
        run.server = server;
        Ok(run)
    }

    /// Plays all cases whose area or name contains `only`, `parallel` of them at a time; the order of the result is that of the lists.
    pub async fn play(&self, only: &str, parallel: usize) -> Vec<Played> {
        let all = AREAS.iter().flat_map(|area| area.cases.iter().map(move |case| (area, case)));
        let chosen = all.filter(|(area, case)| area.name == only || case.name.contains(only));
        let played = chosen.enumerate().map(|(number, (area, case))| async move {
            let start = tokio::time::Instant::now();
            let outcome = self.one(number, case).await;
            Played { area, case, outcome, took: start.elapsed() }
        });
        futures::stream::iter(played).buffered(parallel.max(1)).collect().await
    }

    async fn one(&self, number: usize, case: &Case) -> Result<Vec<Value>, Failure> {
        let mut session = Session::new(self, &format!("c{number:03}"));
        session.open().await?;
        let patience = Duration::from_secs(240);
        let outcome = within(patience, "the end of the case", (case.script)(&mut session)).await.and_then(|done| done);
        session.sweep().await;
        outcome.map(|()| session.into_transcript())
    }

    /// Removes the shared kinds; what is left of a case's namespace goes by itself.
    ///
    /// # Errors
    /// When the server does not let them go.
    pub async fn clean(&self) -> Result<(), Failure> {
        let mut session = Session::new(self, "shared");
        for crd in fixtures::shared(&self.id) {
            let path = format!("{}/{}", fixtures::CRDS, crd["metadata"]["name"].as_str().unwrap_or_default());
            session.delete(&path).quiet().await?;
        }
        Ok(())
    }
}

/// Waits no longer than this.
async fn within<T>(patience: Duration, what: &str, future: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(patience, future).await.map_err(|_| Failure::Waited(what.to_owned()))
}
