//! Sends what a case asks for, and writes down what came back.

use std::future::IntoFuture;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use http::{Method, Request};
use kube::client::Body;
use serde_json::{Map, Value, json};

use super::fixtures::{self, CRDS};
use super::names::Names;
use super::watching::Watch;
use super::{Failure, Run};

/// How a case ends.
pub type Outcome = Result<(), Failure>;

/// Longest wait for what a server does in its own time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Headers of an answer that clients look at.
const TOLD: [&str; 4] = ["allow", "content-type", "retry-after", "warning"];

/// A case at work: its namespace, its names, its transcript.
pub struct Session {
    client: kube::Client,
    /// Name of its namespace, and start of every other name that is not in it.
    pub(super) token: String,
    run: String,
    names: Names,
    exchanges: Vec<Value>,
    /// What to delete at the end, last first.
    leftovers: Vec<String>,
}

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// JSON, or the text.
    pub body: Value,
    headers: Map<String, Value>,
}

impl Answer {
    /// Text at a JSON pointer of the body; empty when there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// `metadata.resourceVersion`.
    pub(super) fn version(&self) -> String {
        self.text("/metadata/resourceVersion").to_owned()
    }

    /// `metadata.uid`.
    pub(super) fn uid(&self) -> String {
        self.text("/metadata/uid").to_owned()
    }
}

/// Names of the items of a list, for [`Call::only`].
pub(super) fn names(list: &Value) -> Value {
    let items = list["items"].as_array().into_iter().flatten();
    items.map(|item| item["metadata"]["name"].clone()).collect()
}

/// A failure that says what does not hold.
pub(super) fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(Failure::Unexpected(what.into())) }
}

type View = Box<dyn Fn(&Value) -> Value>;

/// How much of an exchange is written down.
enum Shown {
    All,
    Answer(View),
    Nothing { must_succeed: bool },
}

/// A request that is sent when awaited.
pub(super) struct Call<'s> {
    session: &'s mut Session,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    shown: Shown,
}

impl<'s> Call<'s> {
    /// Sets a header, which becomes part of the transcript.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(have, _)| *have != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Sets what is accepted.
    pub(super) fn accept(self, value: &str) -> Self {
        self.header("accept", value)
    }

    /// Asks for a Table, as `kubectl get` does.
    pub(super) fn table(self) -> Self {
        self.accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    }

    /// Asks for metadata only.
    pub(super) fn metadata(self, kind: &str) -> Self {
        self.accept(&format!("application/json;as={kind};v=v1;g=meta.k8s.io"))
    }

    /// Writes down a part of the answer's body.
    pub(super) fn only(mut self, view: impl Fn(&Value) -> Value + 'static) -> Self {
        self.shown = Shown::Answer(Box::new(view));
        self
    }

    /// Writes down what is at these JSON pointers.
    pub(super) fn pick(self, pointers: &'static [&'static str]) -> Self {
        self.only(move |body| {
            let found = pointers.iter().map(|at| ((*at).to_owned(), body.pointer(at).cloned().unwrap_or(Value::Null)));
            Value::Object(found.collect())
        })
    }

    /// Preparation: nothing is written down, and it has to succeed.
    pub(super) fn quiet(mut self) -> Self {
        self.shown = Shown::Nothing { must_succeed: true };
        self
    }

    /// Nothing is written down, whatever comes back.
    pub(super) fn unseen(mut self) -> Self {
        self.shown = Shown::Nothing { must_succeed: false };
        self
    }

    async fn send(self) -> Result<Answer, Failure> {
        let answer = self.session.send(&self.method, &self.path, &self.headers, self.body.as_deref()).await?;
        match &self.shown {
            Shown::Nothing { must_succeed } => {
                let failed = *must_succeed && answer.status >= 300;
                let what = || format!("{} {}: {} {}", self.method, self.path, answer.status, answer.body);
                if failed {
                    return Err(Failure::Unexpected(what()));
                }
            }
            Shown::All => {
                let body = answer.body.clone();
                self.session.note(&self.method, &self.path, &self.headers, self.body.as_deref(), &answer, body);
            }
            Shown::Answer(view) => {
                let body = view(&answer.body);
                self.session.note(&self.method, &self.path, &self.headers, self.body.as_deref(), &answer, body);
            }
        }
        Ok(answer)
    }
}

impl<'s> IntoFuture for Call<'s> {
    type Output = Result<Answer, Failure>;
    type IntoFuture = LocalBoxFuture<'s, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Session {
    pub(super) fn new(run: &Run, suffix: &str) -> Self {
        let token = format!("{}-{suffix}", run.id);
        let names = Names::new(&token, &run.id);
        Self {
            client: run.client.clone(),
            run: run.id.clone(),
            names,
            token,
            exchanges: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    /// Makes the namespace.
    pub(super) async fn open(&mut self) -> Outcome {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.token}});
        self.post("/api/v1/namespaces", &namespace).quiet().await?;
        self.sweep_later(&format!("/api/v1/namespaces/{}", self.token));
        Ok(())
    }

    /// Deletes a path when the case is over.
    pub(super) fn sweep_later(&mut self, path: &str) {
        self.leftovers.push(path.to_owned());
    }

    /// Deletes what was put down for it. What has gone already is fine, and what stays is in nobody's way: its name is not used again.
    pub(super) async fn sweep(&mut self) {
        while let Some(path) = self.leftovers.pop() {
            let _ = self.delete(&path).unseen().await;
        }
    }

    pub(super) fn into_transcript(self) -> Vec<Value> {
        self.exchanges
    }

    /// Path of a core kind in the case's namespace.
    pub(super) fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.token)
    }

    /// Path of the shared kind Widget in the case's namespace.
    pub(super) fn widgets(&self) -> String {
        self.custom("v1", "widgets")
    }

    /// Path of a shared kind in the case's namespace.
    pub(super) fn custom(&self, version: &str, plural: &str) -> String {
        format!("/apis/{}/{version}/namespaces/{}/{plural}", fixtures::group(&self.run), self.token)
    }

    /// Name of the run.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// Group of the shared kinds.
    pub(super) fn group(&self) -> String {
        fixtures::group(&self.run)
    }

    /// A Widget with this spec.
    pub(super) fn widget(&self, name: &str, spec: Value) -> Value {
        json!({"apiVersion": format!("{}/v1", self.group()), "kind": "Widget", "metadata": {"name": name}, "spec": spec})
    }

    pub(super) fn call(&mut self, method: Method, path: &str) -> Call<'_> {
        let path = path.to_owned();
        Call { session: self, method, path, headers: Vec::new(), body: None, shown: Shown::All }
    }

    fn with_body(&mut self, method: Method, path: &str, content_type: &str, body: &Value) -> Call<'_> {
        let mut call = self.call(method, path).header("content-type", content_type);
        call.body = Some(body.to_string().into_bytes());
        call
    }

    /// A request with a body as it stands.
    pub(super) fn raw(&mut self, method: Method, path: &str, content_type: &str, body: &str) -> Call<'_> {
        let mut call = self.call(method, path).header("content-type", content_type);
        call.body = Some(body.as_bytes().to_vec());
        call
    }

    pub(super) fn get(&mut self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(super) fn post(&mut self, path: &str, body: &Value) -> Call<'_> {
        self.with_body(Method::POST, path, "application/json", body)
    }

    pub(super) fn put(&mut self, path: &str, body: &Value) -> Call<'_> {
        self.with_body(Method::PUT, path, "application/json", body)
    }

    /// A merge patch.
    pub(super) fn merge(&mut self, path: &str, body: &Value) -> Call<'_> {
        self.with_body(Method::PATCH, path, "application/merge-patch+json", body)
    }

    /// A JSON patch.
    pub(super) fn json_patch(&mut self, path: &str, body: &Value) -> Call<'_> {
        self.with_body(Method::PATCH, path, "application/json-patch+json", body)
    }

    /// A strategic merge patch.
    pub(super) fn strategic(&mut self, path: &str, body: &Value) -> Call<'_> {
        self.with_body(Method::PATCH, path, "application/strategic-merge-patch+json", body)
    }

    pub(super) fn delete(&mut self, path: &str) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    /// A delete with options in its body.
    pub(super) fn delete_with(&mut self, path: &str, body: &Value) -> Call<'_> {
        self.with_body(Method::DELETE, path, "application/json", body)
    }

    /// Opens a watch.
    pub(super) async fn watch(&mut self, path: &str) -> Result<Watch, Failure> {
        self.watch_as(path, "").await
    }

    /// Opens a watch whose objects come in another shape.
    pub(super) async fn watch_as(&mut self, path: &str, accept: &str) -> Result<Watch, Failure> {
        let headers = if accept.is_empty() { vec![] } else { vec![("accept", accept.to_owned())] };
        let request = request(&Method::GET, path, &headers, None)?;
        let answer = self.client.send(request).await.map_err(Box::new)?;
        Ok(Watch::new(path, headers, answer))
    }

    /// Asks until the answer is as wanted, and writes down that answer.
    pub(super) async fn until(
        &mut self,
        path: &str,
        view: fn(&Value) -> Value,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, Failure> {
        self.wait(path, wanted).await?;
        self.get(path).only(view).await
    }

    /// Asks until the answer is as wanted; writes down nothing.
    pub(super) async fn wait(&mut self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Result<Answer, Failure> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).unseen().await?;
            if wanted(&answer) {
                return Ok(answer);
            }
            if tokio::time::Instant::now() > end {
                return Err(Failure::Waited(format!("GET {path}: {} {}", answer.status, answer.body)));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Creates a CRD and waits until all its versions are served, without a word in the transcript.
    pub(super) async fn install(&mut self, crd: &Value) -> Outcome {
        self.post(CRDS, crd).quiet().await?;
        let name = crd["metadata"]["name"].as_str().unwrap_or_default();
        if !self.token.ends_with("-shared") {
            self.sweep_later(&format!("{CRDS}/{name}"));
        }
        self.served(crd).await
    }

    /// Waits until the served versions of a CRD answer.
    pub(super) async fn served(&mut self, crd: &Value) -> Outcome {
        let (group, plural) = (&crd["spec"]["group"], &crd["spec"]["names"]["plural"]);
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        for version in crd["spec"]["versions"].as_array().into_iter().flatten() {
            if version["served"] == true {
                let path = format!("/apis/{}/{}/{}", text(group), text(&version["name"]), text(plural));
                self.wait(&path, |answer| answer.status == 200).await?;
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Option<&[u8]>,
    ) -> Result<Answer, Failure> {
        let answer = self.client.send(request(method, path, headers, body)?).await.map_err(Box::new)?;
        let (head, body) = answer.into_parts();
        let bytes = body.collect_bytes().await.map_err(Box::new)?;
        let text = String::from_utf8_lossy(&bytes);
        let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.trim_end()));
        Ok(Answer { status: head.status.as_u16(), body, headers: told(&head.headers) })
    }

    fn note(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&'static str, String)],
        sent: Option<&[u8]>,
        answer: &Answer,
        shown: Value,
    ) {
        let sent = sent.map(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_ref()))
        });
        if let Some(sent) = &sent {
            self.names.learn_generated(sent, &answer.body);
        }
        let mut exchange = self.asked(method.as_str(), path, headers);
        if let Some(sent) = &sent {
            exchange.insert("body".into(), self.names.value(sent));
        }
        exchange.insert("status".into(), json!(answer.status));
        exchange.insert("headers".into(), self.names.value(&Value::Object(answer.headers.clone())));
        exchange.insert("answer".into(), self.names.value(&shown));
        self.exchanges.push(Value::Object(exchange));
    }

    /// The first part of an exchange.
    fn asked(&mut self, method: &str, path: &str, headers: &[(&'static str, String)]) -> Map<String, Value> {
        let mut exchange = Map::new();
        exchange.insert("request".into(), json!(format!("{method} {}", self.names.path(path))));
        for (name, value) in headers.iter().filter(|(_, value)| value != "application/json") {
            exchange.insert((*name).into(), json!(value));
        }
        exchange
    }

    /// Writes down a watch and the events that were taken from it.
    pub(super) fn note_watch(&mut self, watch: Watch) {
        let mut exchange = self.asked("WATCH", &watch.path, &watch.headers);
        exchange.insert("status".into(), json!(watch.status));
        exchange.insert("headers".into(), Value::Object(told(&watch.answered)));
        let events = watch.events.iter().map(|event| self.names.event(event)).collect();
        exchange.insert("events".into(), events);
        self.exchanges.push(Value::Object(exchange));
    }
}

fn request(
    method: &Method,
    path: &str,
    headers: &[(&'static str, String)],
    body: Option<&[u8]>,
) -> Result<Request<Body>, Failure> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let body = Body::from(body.map(<[u8]>::to_vec).unwrap_or_default());
    request.body(body).map_err(|error| Failure::Unexpected(format!("{path}: {error}")))
}

fn told(headers: &http::HeaderMap) -> Map<String, Value> {
    let mut out = Map::new();
    for name in TOLD {
        let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        match values.as_slice() {
            [] => {}
            ["application/json"] => {}
            [one] => _ = out.insert(name.into(), json!(one)),
            many => _ = out.insert(name.into(), json!(many)),
        }
    }
    out
}
