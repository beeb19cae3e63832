//! Every recorded exchange: the request rebuilt by the client is the recorded one, its answer is decoded or
//! classified right.
//!
//! `MAAS_RECORDINGS=folder` adds further recordings of the same format (`*.json`, one exchange each, in any
//! depth), so that the client can be held against one's own region.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use http::StatusCode;
use maas_client::operation::{self, Operation, Returns};
use maas_client::{Error, ErrorKind};
use serde_json::Value;

use crate::store::{RECORDED, Recording, Shape, replay};
use crate::typed::{self, Given, Sent};

/// Requests that the client never makes, and why; their answers are classified all the same.
const NEVER_SENT: &[(&str, &str)] = &[
    ("allocate/json", "a JSON body: MAAS loses its parameters"),
    ("deploy/json-body", "a JSON body: MAAS loses its parameters"),
    ("dnsresources/create-json", "a JSON body: MAAS loses its parameters"),
    ("dnsresources/create-json-string", "a JSON body: MAAS loses its parameters"),
    ("errors/api-1.0", "API 1.0"),
    ("errors/delete-with-body", "DELETE with a body: MAAS reads its options from the URL"),
    ("errors/double-slash", "doubled slashes: URLs are normalised"),
    ("errors/method-head", "HEAD: no operation has that verb"),
    ("errors/method-not-allowed", "DELETE machines/: no such operation"),
    ("errors/method-options", "OPTIONS: no operation has that verb"),
    ("errors/method-patch", "PATCH: no operation has that verb"),
    ("errors/no-trailing-slash-get-query", "the slash at the end is missing"),
    ("errors/no-trailing-slash-one", "the slash at the end is missing"),
    ("errors/no-trailing-slash-post", "the slash at the end is missing"),
    ("errors/op-empty", "an empty op"),
    ("errors/op-get-on-put", "PUT with op: no such operation"),
    ("errors/op-in-path", "the op as a part of the path, the other form MAAS has"),
    ("errors/op-twice", "two ops"),
    ("errors/op-wrong-method", "GET deploy: no such operation"),
    ("errors/post-bad-json", "a JSON body: MAAS loses its parameters"),
    ("errors/post-read-op", "POST details: no such operation"),
    ("errors/post-text-plain", "a text body"),
    ("errors/root", "not below the API"),
    ("errors/unknown-op-get", "an op that does not exist"),
    ("errors/unknown-path", "a path that does not exist"),
    ("events/no-op", "events/ without op: no such operation"),
    ("ownerdata/json", "a JSON body: MAAS loses its parameters"),
    ("release/json-body", "a JSON body: MAAS loses its parameters"),
    ("vm-hosts/pods-list", "pods/, another name of vm-hosts/"),
];

/// The operation a recorded request means, and the ids in its path.
pub(crate) fn route(shape: &Shape) -> Option<(&'static Operation, Vec<String>)> {
    let op = shape.query.iter().find(|(key, _)| key == "op").map(|(_, value)| value.as_str());
    operation::all().find_map(|operation| {
        if operation.method.as_str() != shape.method || operation.op != op {
            return None;
        }
        let (wanted, given) = (operation.path.split('/'), shape.path.split('/'));
        if wanted.clone().count() != given.clone().count() {
            return None;
        }
        let mut ids = Vec::new();
        for (wanted, given) in wanted.zip(given) {
            match wanted {
                "{}" if given.is_empty() => return None,
                "{}" => ids.push(percent_encoding::percent_decode_str(given).decode_utf8().ok()?.into_owned()),
                same if same == given => {}
                _ => return None,
            }
        }
        Some((operation, ids))
    })
}

/// Whether every field we decoded is what MAAS said. What MAAS left out or said `null` to has its default.
fn same(ours: &Value, theirs: &Value, at: &str) -> Result<(), String> {
    let differs = || Err(format!("{at}: {ours} is not {theirs}"));
    match (ours, theirs) {
        (_, Value::Null) => Ok(()),
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.iter().try_for_each(|(key, value)| match theirs.get(key) {
                Some(theirs) => same(value, theirs, &format!("{at}.{key}")),
                None => Ok(()),
            })
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            let straight = ours.iter().zip(theirs).enumerate();
            straight
                .clone()
                .try_for_each(|(index, (ours, theirs))| same(ours, theirs, &format!("{at}[{index}]")))
                .or_else(
                    // sets are sorted on our side
                    |fault| {
                        let found = |ours: &Value| theirs.iter().any(|theirs| same(ours, theirs, at).is_ok());
                        if ours.iter().all(|value| value.is_string() && found(value)) { Ok(()) } else { Err(fault) }
                    },
                )
        }
        (Value::String(ours), Value::String(theirs)) => {
            let address = |text: &str| text.parse::<IpAddr>().ok();
            if ours == theirs || (address(ours).is_some() && address(ours) == address(theirs)) {
                Ok(())
            } else {
                differs()
            }
        }
        (Value::Number(ours), Value::Number(theirs)) if ours.as_f64() == theirs.as_f64() => Ok(()),
        (Value::Null, Value::String(theirs)) if theirs.is_empty() => Ok(()),
        _ if ours == theirs => Ok(()),
        _ => differs(),
    }
}

/// How a recording was sent.
#[derive(Debug, PartialEq)]
enum Way {
    Typed,
    /// By `Client::call`: the operation has no typed method.
    Untyped,
    /// By `Client::call`: the recorded parameters have no typed form, mostly because they are wrong on purpose.
    OddParameters,
    Never(&'static str),
}

struct Seen {
    way: Way,
    /// None for success.
    kind: Option<ErrorKind>,
}

/// Sends a recorded request again and judges request and answer.
async fn judge(recording: &Recording) -> Result<Seen, String> {
    let never = NEVER_SENT.iter().find(|(case, _)| *case == recording.case).map(|(_, reason)| *reason);
    let shape = Shape::recorded(&recording.request);
    let routed = shape.as_ref().and_then(|shape| route(shape));
    let (Some(shape), Some((operation, ids)), None) = (&shape, routed, never) else {
        let reason = never.ok_or("the client can't make this request and no reason is written down")?;
        return Ok(Seen { way: Way::Never(reason), kind: classified(recording) });
    };
    let given = Given::new(&ids, &shape.query, &shape.form);
    let (client, seen) = replay(recording);
    // typed methods never put parameters of a POST into the URL
    let in_url = operation.is_write() && shape.query.iter().any(|(key, _)| key != "op") && shape.method == "POST";
    let outcome = if in_url { Sent::Odd } else { typed::send(&client, operation, given).await };
    let (way, outcome) = match outcome {
        Sent::Done(outcome) => (Way::Typed, outcome),
        not_typed => {
            let way = if matches!(not_typed, Sent::Odd) { Way::OddParameters } else { Way::Untyped };
            let mut call = client.call(operation);
            for id in &ids {
                call = call.id(id);
            }
            for (key, value) in shape.query.iter().filter(|(key, _)| key != "op") {
                call = call.query(key, value);
            }
            for (key, value) in &shape.form {
                call = call.parameter(key, value);
            }
            let outcome = match operation.returns {
                Returns::Bytes => call.bytes().await.map(|_| Value::Null),
                _ => call.json::<Value>().await,
            };
            (way, outcome)
        }
    };
    let sent = seen.lock().unwrap().take();
    if sent.as_ref() != Some(shape) {
        return Err(format!("{way:?} sent {sent:?} instead of {shape:?}"));
    }
    let status = recording.response.status;
    match (outcome, (200..300).contains(&status)) {
        (Ok(ours), true) => {
            let theirs = recording.response.bytes();
            let theirs = match operation.returns {
                Returns::Nothing | Returns::Bytes => Value::Null,
                Returns::Text => String::from_utf8_lossy(&theirs).into_owned().into(),
                Returns::Json | Returns::Maybe => serde_json::from_slice(&theirs).map_err(|fault| fault.to_string())?,
            };
            let theirs =
                if operation.name == "events.query" && way == Way::Typed { &theirs["events"] } else { &theirs };
            same(&ours, theirs, "reply").map(|()| Seen { way, kind: None })
        }
        (Err(error), false) if error.status().is_some_and(|ours| ours.as_u16() == status) => {
            Ok(Seen { way, kind: Some(error.kind()) })
        }
        (outcome, _) => Err(format!("{way:?}: {status} became {outcome:?}")),
    }
}

/// What the client would take an answer for whose request it never makes.
fn classified(recording: &Recording) -> Option<ErrorKind> {
    let response = &recording.response;
    let status = StatusCode::from_u16(response.status).unwrap();
    let error = || Error::from_reply(&operation::ZONES_LIST, status, &response.header_map(), &response.bytes());
    (!status.is_success()).then(|| error().kind())
}

/// Kinds of all recorded refusals, as people judged them.
fn kinds() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("../kinds.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).collect()
}

#[tokio::test]
async fn every_recording_is_sent_as_recorded_and_its_answer_read_right() {
    assert_eq!(RECORDED.len(), 504);
    let kinds = kinds();
    let (mut faults, mut ways, mut refused) = (Vec::new(), BTreeMap::<String, usize>::new(), 0);
    for (case, recording) in RECORDED.iter() {
        match judge(recording).await {
            Err(fault) => faults.push(format!("{case}: {fault}")),
            Ok(seen) => {
                let way = match seen.way {
                    Way::Typed => "typed".to_owned(),
                    Way::Untyped => "generic, no typed method".to_owned(),
                    Way::OddParameters => "generic, parameters without typed form".to_owned(),
                    Way::Never(reason) => format!("never sent ({reason})"),
                };
                *ways.entry(way).or_default() += 1;
                let kind = seen.kind.map(|kind| format!("{kind:?}"));
                refused += usize::from(kind.is_some());
                if kind.as_deref() != kinds.get(case.as_str()).copied() {
                    faults.push(format!("{case}: kind {kind:?}: {}", recording.response.body.as_deref().unwrap_or("")));
                }
            }
        }
    }
    println!("{ways:#?}, {refused} refusals");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert_eq!(refused, kinds.len(), "every kind is of a recording");
    assert!(NEVER_SENT.iter().all(|(case, _)| RECORDED.contains_key(*case)));
}

fn collect(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            into.push(path);
        }
    }
}

#[tokio::test]
async fn recordings_of_another_region_are_read_too() {
    let Some(folder) = std::env::var_os("MAAS_RECORDINGS") else { return };
    let mut files = Vec::new();
    collect(Path::new(&folder), &mut files);
    files.sort();
    let (mut faults, mut read, mut other) = (Vec::new(), 0, Vec::new());
    for file in &files {
        let Ok(recording) = serde_json::from_slice::<Recording>(&std::fs::read(file).unwrap()) else {
            other.push(file.display().to_string());
            continue;
        };
        let ours = Shape::recorded(&recording.request).is_some_and(|shape| route(&shape).is_some());
        if !ours && !NEVER_SENT.iter().any(|(case, _)| *case == recording.case) {
            other.push(format!("{}: not a request of this client", file.display()));
            continue;
        }
        match judge(&recording).await {
            Ok(Seen { kind: Some(ErrorKind::Other | ErrorKind::Decode), .. }) => {
                faults.push(format!("{}: not classified", file.display()));
            }
            Ok(_) => read += 1,
            Err(fault) => faults.push(format!("{}: {fault}", file.display())),
        }
    }
    println!("{read} of {} files read; left out:\n{}", files.len(), other.join("\n"));
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert!(read > 0, "no recording in {}", folder.display());
}
