//! Recorded requests and answers of a real MAAS: those tracked for the client, whose crate is published with them, or a folder.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde::Deserialize;

/// One case, as recorded.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Case {
    #[serde(rename = "case")]
    pub(crate) name: String,
    pub(crate) request: Sent,
    pub(crate) response: Got,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
}

impl Case {
    /// The first part of the name.
    pub(crate) fn family(&self) -> &str {
        self.name.split('/').next().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The recording's clock.
    pub(crate) fn date(&self) -> Timestamp {
        jiff::fmt::rfc2822::parse(self.header("date").unwrap()).unwrap().timestamp()
    }

    /// The answer's text; bytes that are no text stay in their base64 form.
    pub(crate) fn answer(&self) -> &str {
        self.response.body.as_deref().unwrap_or("")
    }

    /// The request, with texts that this run knows by other names replaced.
    pub(crate) fn request(&self, renamed: &BTreeMap<String, String>) -> Request<Bytes> {
        let rename = |text: &str| {
            renamed.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs.as_str(), ours))
        };
        let mut builder = Request::builder().method(self.request.method.as_str()).uri(rename(&self.request.url));
        for (name, value) in &self.request.headers {
            builder = builder.header(name, value);
        }
        builder.body(Bytes::from(rename(self.request.body.as_deref().unwrap_or("")))).unwrap()
    }
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

/// The 504 tracked cases, in the order of recording.
pub(crate) fn tracked() -> Vec<Case> {
    let text = unpacked(include_bytes!("../../../maas-client/tests/recordings.jsonl.gz"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The state before the first case.
pub(crate) fn lab_state() -> String {
    unpacked(include_bytes!("../recordings/lab-state.json.gz"))
}

/// Cases of a folder in the order of its `order.txt`, and its `lab-state.json` if it has one. Cases that the order names
/// and the folder lacks are taken from the tracked ones, as they bring about what later ones find; the flag says so.
pub(crate) fn folder(path: &Path) -> (Vec<(Case, bool)>, Option<String>) {
    let known: BTreeMap<String, Case> = tracked().into_iter().map(|c| (c.name.clone(), c)).collect();
    let read = |path: PathBuf| std::fs::read_to_string(&path).ok();
    let order = read(path.join("order.txt")).unwrap_or_else(|| panic!("{}: no order.txt", path.display()));
    let cases = order.lines().map(str::trim).filter(|l| !l.is_empty()).filter_map(|name| {
        match read(path.join(format!("{name}.json"))) {
            Some(text) => Some((serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}")), true)),
            None => known.get(name).map(|case| (case.clone(), false)),
        }
    });
    (cases.collect(), read(path.join("lab-state.json")))
}
