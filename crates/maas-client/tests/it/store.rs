//! Recorded exchanges with a real MAAS, and a MAAS in process that answers with one of them.
//!
//! `tests/recordings.jsonl.gz` holds all 504 of a MAAS 3.7.3, one per line, in the order they were taken in, which the
//! simulator's tests need: `sed 's/$/.json/' order.txt | xargs jq -c . | gzip -9n` in the folder of recordings. All keys,
//! users and addresses in it are made up.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use maas_client::{Client, RetryPolicy};
use serde::Deserialize;

#[derive(Clone, Deserialize)]
pub(crate) struct Recording {
    pub(crate) case: String,
    pub(crate) request: Sent,
    pub(crate) response: Got,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
}

impl Got {
    pub(crate) fn bytes(&self) -> Bytes {
        let body = self.body.clone().unwrap_or_default();
        match body.strip_prefix("base64:") {
            Some(packed) => base64::engine::general_purpose::STANDARD.decode(packed).unwrap().into(),
            None => body.into(),
        }
    }

    pub(crate) fn header_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }
}

pub(crate) static RECORDED: LazyLock<BTreeMap<String, Recording>> = LazyLock::new(|| {
    let packed = include_bytes!("../recordings.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    let recordings = text.lines().map(|line| serde_json::from_str::<Recording>(line).unwrap());
    recordings.map(|recording| (recording.case.clone(), recording)).collect()
});

pub(crate) fn recording(case: &str) -> Recording {
    RECORDED.get(case).unwrap_or_else(|| panic!("no recording {case}")).clone()
}

pub(crate) type Pairs = Vec<(String, String)>;

/// What a request means: verb, path below the API, query and form. Order of parameters means nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Pairs,
    pub(crate) form: Pairs,
}

pub(crate) fn pairs(text: &str) -> Pairs {
    let mut pairs: Pairs = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    pairs.sort();
    pairs
}

/// Fields of `multipart/form-data`; files give their content.
fn multipart(kind: &str, body: &str) -> Option<Pairs> {
    let boundary = kind.strip_prefix("multipart/form-data; boundary=")?;
    let mut pairs = Vec::new();
    for part in body.split(&format!("--{boundary}")).filter_map(|part| part.trim_start().split_once("\r\n\r\n")) {
        let name = part.0.split("name=\"").nth(1)?.split('"').next()?;
        pairs.push((name.to_owned(), part.1.strip_suffix("\r\n")?.to_owned()));
    }
    pairs.sort();
    Some(pairs)
}

impl Shape {
    /// None where the body is no form.
    pub(crate) fn of(method: &str, url: &str, kind: Option<&str>, body: &str) -> Option<Self> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let path = path.split_once("/MAAS/api/2.0/").map_or(path, |(_, below)| below);
        let form = match kind {
            Some(kind) if kind.starts_with("multipart/") => multipart(kind, body)?,
            Some(kind) if !kind.starts_with("application/x-www-form-urlencoded") => return None,
            _ => pairs(body),
        };
        let (path, query) = (path.to_owned(), pairs(query));
        Some(Self { method: method.to_owned(), path, query, form })
    }

    pub(crate) fn recorded(sent: &Sent) -> Option<Self> {
        let kind = sent.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        Self::of(&sent.method, &sent.url, kind.map(|kind| kind.1.as_str()), sent.body.as_deref().unwrap_or_default())
    }
}

pub(crate) type Seen = Arc<Mutex<Option<Shape>>>;

/// A client that gets one recorded answer, and the request it made.
pub(crate) fn replay(recording: &Recording) -> (Client, Seen) {
    let got = Arc::new(recording.response.clone());
    let about_version = recording.request.url.contains("/version/");
    let seen = Seen::default();
    let slot = seen.clone();
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (got, slot) = (got.clone(), slot.clone());
        async move {
            let (head, body) = request.into_parts();
            let url = head.uri.path_and_query().unwrap().as_str().to_owned();
            // asked by the client itself, for operations that not every version has
            if url.ends_with("/version/") && !about_version {
                return Response::builder().body(Full::new(Bytes::from_static(b"{\"version\": \"3.7.3\"}")));
            }
            let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
            let kind = head.headers.get("content-type").map(|kind| kind.to_str().unwrap());
            let body = std::str::from_utf8(&body).unwrap();
            *slot.lock().unwrap() = Some(Shape::of(head.method.as_str(), &url, kind, body).unwrap());
            let mut response = Response::builder().status(got.status);
            response.headers_mut().unwrap().extend(got.header_map());
            response.body(Full::new(got.bytes()))
        }
    });
    let key = "LabConsumerA000000:LabTokenKeyA000000:LabTokenSecretA00000000000000000";
    let client = Client::builder("http://127.0.0.1:5240/MAAS", key).unwrap().retry(RetryPolicy::none());
    (client.build_with_service(service), seen)
}
