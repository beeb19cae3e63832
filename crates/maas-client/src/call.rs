//! One call: an operation of the table with its parameters, sent until it is answered or given up.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tower::{Service as _, ServiceExt as _};
use tracing::Instrument as _;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::form::Form;
use crate::oauth;
use crate::observe::CallReport;
use crate::operation::{Operation, Returns};
use crate::transport::{NotSent, ResponseBody};

/// A call, ready to be sent any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    operation: &'static Operation,
    ids: Vec<String>,
    query: Form,
    form: Form,
    /// Sent as it is instead of a form.
    raw: Option<Bytes>,
}

impl Call {
    pub(crate) fn new(operation: &'static Operation) -> Self {
        let mut query = Form::default();
        query.opt("op", operation.op);
        Self { operation, ids: Vec::new(), query, form: Form::default(), raw: None }
    }

    pub(crate) fn operation(&self) -> &'static Operation {
        self.operation
    }

    /// Puts the next id into the path.
    pub(crate) fn id(mut self, id: impl ToString) -> Self {
        self.ids.push(id.to_string());
        self
    }

    /// Puts several ids into the path, in order.
    pub(crate) fn ids(mut self, ids: &[String]) -> Self {
        self.ids.extend_from_slice(ids);
        self
    }

    /// Adds parameters to the URL.
    pub(crate) fn query(mut self, query: Form) -> Self {
        self.query.append(query);
        self
    }

    /// Adds parameters to the body.
    pub(crate) fn form(mut self, form: Form) -> Self {
        self.form.append(form);
        self
    }

    /// Adds parameters where MAAS reads them: the URL for GET and DELETE, else the body.
    pub(crate) fn parameters(self, form: Form) -> Self {
        if matches!(self.operation.method, Method::GET | Method::DELETE) { self.query(form) } else { self.form(form) }
    }

    /// The body is these bytes, `application/octet-stream`.
    pub(crate) fn raw(mut self, bytes: Bytes) -> Self {
        self.raw = Some(bytes);
        self
    }
}

/// Reads a body to its end, but no further than `limit` bytes.
async fn whole(mut body: ResponseBody, limit: usize, operation: &Operation) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| Error::transport(operation, error))?.into_data() else {
            continue; // trailers
        };
        if bytes.len() + data.len() > limit {
            return Err(Error::too_large(operation, limit));
        }
        bytes.extend_from_slice(&data);
        // a body that never makes us wait must not keep the deadline from being looked at
        tokio::task::consume_budget().await;
    }
    Ok(bytes.freeze())
}

/// A successful answer, as far as a [`Take`] read it.
pub(crate) struct Taken<T> {
    pub(crate) status: StatusCode,
    /// Bytes read so far.
    pub(crate) bytes: u64,
    pub(crate) value: T,
}

/// What is done with the body of a success, inside the deadline of its attempt.
pub(crate) trait Take: Send + Sync {
    type Out: Send;

    fn take(
        &self,
        operation: &'static Operation,
        status: StatusCode,
        body: ResponseBody,
        limit: usize,
    ) -> impl Future<Output = Result<Taken<Self::Out>>> + Send;
}

/// The whole body.
struct Whole;

impl Take for Whole {
    type Out = Bytes;

    async fn take(
        &self,
        operation: &'static Operation,
        status: StatusCode,
        body: ResponseBody,
        limit: usize,
    ) -> Result<Taken<Bytes>> {
        let value = whole(body, limit, operation).await?;
        Ok(Taken { status, bytes: value.len() as u64, value })
    }
}

impl Client {
    /// Sends and decodes the JSON of the answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let reply = self.answer(&call, &Whole).await?;
        serde_json::from_slice(&reply.value)
            .map_err(|fault| Error::decode(call.operation, reply.status, &reply.value, fault))
    }

    /// Sends and decodes as the table says: what has no body reads as `null`, which `()` and options
    /// accept, plain text as a string.
    pub(crate) async fn typed<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let reply = self.answer(&call, &Whole).await?;
        let body = &reply.value;
        let decoded = match call.operation.returns {
            Returns::Nothing => serde_json::from_slice(b"null"),
            Returns::Text => serde_json::from_value(String::from_utf8_lossy(body).into()),
            Returns::Json | Returns::Maybe | Returns::Bytes => serde_json::from_slice(body),
        };
        decoded.map_err(|fault| Error::decode(call.operation, reply.status, body, fault))
    }

    /// Sends; the body as it came.
    pub(crate) async fn bytes(&self, call: &Call) -> Result<Bytes> {
        self.answer(call, &Whole).await.map(|reply| reply.value)
    }

    /// Sends; the answer has nothing to say beyond success.
    pub(crate) async fn done(&self, call: Call) -> Result<()> {
        self.answer(&call, &Whole).await.map(drop)
    }

    /// One span per call: operation, status, size, attempts, MAAS's trace id. Nothing that came from a
    /// key, a form or an answer goes in.
    pub(crate) async fn answer<T: Take>(&self, call: &Call, take: &T) -> Result<Taken<T::Out>> {
        use tracing::field::Empty;
        let span = tracing::debug_span!(
            "maas",
            operation = call.operation.name,
            status = Empty,
            bytes = Empty,
            attempts = Empty,
            failure = Empty,
            request_id = Empty,
        );
        let started = Instant::now();
        let (result, attempts) = self.attempts(call, take, started).instrument(span.clone()).await;
        span.record("attempts", attempts);
        let mut report = CallReport::new(call.operation, attempts, started.elapsed());
        match &result {
            Ok(reply) => {
                span.record("status", reply.status.as_u16());
                span.record("bytes", reply.bytes);
                report.status = Some(reply.status.as_u16());
                report.bytes = reply.bytes;
            }
            Err(error) => {
                if let Some(status) = error.status() {
                    span.record("status", status.as_u16());
                    report.status = Some(status.as_u16());
                }
                if let Some(id) = error.request_id() {
                    span.record("request_id", id);
                }
                span.record("failure", tracing::field::debug(error.kind()));
                report.failure = Some(error.kind());
            }
        }
        self.observe(&report);
        result
    }

    async fn attempts<T: Take>(&self, call: &Call, take: &T, started: Instant) -> (Result<Taken<T::Out>>, u32) {
        if let Err(error) = self.may_send(call).await {
            return (Err(error), 0);
        }
        let _turn = self.turn(call.operation.class).await;
        let mut attempts = 0;
        let mut signed_anew = false;
        let mut ambiguous = false;
        loop {
            attempts += 1;
            let left = self.total_deadline().map(|total| total.saturating_sub(started.elapsed()));
            let error = match self.attempt(call, take, left).await {
                Ok(reply) => return (Ok(reply), attempts),
                Err(error) => error,
            };
            // a replayed nonce is refused before MAAS looks at the request
            if error.kind() == ErrorKind::NonceReplayed && !signed_anew {
                signed_anew = true;
                continue;
            }
            let left = self.total_deadline().map(|total| total.saturating_sub(started.elapsed()));
            let Some(wait) = self.retry_wait(&error, attempts).filter(|wait| left.is_none_or(|left| *wait < left))
            else {
                return (Err(error.after(attempts, ambiguous)), attempts);
            };
            ambiguous |= error.is_ambiguous();
            tracing::debug!(kind = ?error.kind(), ?wait, "sending again");
            tokio::time::sleep(wait).await;
        }
    }

    /// What can be known before anything is sent: enough ids, and an operation that this MAAS has.
    async fn may_send(&self, call: &Call) -> Result<()> {
        let operation = call.operation;
        let (given, needed) = (call.ids.len(), operation.ids());
        if given != needed {
            let text = format!("{} takes {needed} ids, {given} were given", operation.path);
            return Err(Error::invalid_request(operation, text));
        }
        if call.ids.iter().any(|id| matches!(id.as_str(), "" | "." | "..")) {
            return Err(Error::invalid_request(operation, "an id of the path is empty or a dot"));
        }
        if operation.since.is_none() && operation.until.is_none() {
            return Ok(());
        }
        // boxed: asking for the version is itself a call
        let abilities = Box::pin(self.capabilities()).await?;
        if abilities.supports(operation) { Ok(()) } else { Err(Error::unsupported(operation, abilities)) }
    }

    async fn attempt<T: Take>(&self, call: &Call, take: &T, left: Option<Duration>) -> Result<Taken<T::Out>> {
        let deadline = self.deadline(call.operation.class);
        let deadline = left.map_or(deadline, |left| left.min(deadline));
        // around send and body: a server that stalls in the body would hang past a deadline that
        // ends with the head
        tokio::time::timeout(deadline, self.exchange(call, take))
            .await
            .unwrap_or_else(|_| Err(Error::timed_out(call.operation, deadline)))
    }

    async fn exchange<T: Take>(&self, call: &Call, take: &T) -> Result<Taken<T::Out>> {
        let operation = call.operation;
        let request = self.request(call)?;
        let mut transport = self.transport();
        let ready = transport.ready().await;
        let service = ready.map_err(|error| Error::transport(operation, NotSent(error).into()))?;
        let response = service.call(request).await.map_err(|error| Error::transport(operation, error))?;
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            return take.take(operation, head.status, body, self.reply_limit()).await;
        }
        Err(self.refusal(operation, head.status, &head.headers, body).await)
    }

    /// A failure's body is only read as far as its words go: a proxy may send a page of any length.
    async fn refusal(
        &self,
        operation: &'static Operation,
        status: StatusCode,
        headers: &HeaderMap,
        mut body: ResponseBody,
    ) -> Error {
        let mut words = BytesMut::new();
        while words.len() < crate::error::BODY_LIMIT {
            match body.frame().await {
                Some(Ok(frame)) => words.extend(frame.into_data().ok()),
                // the status says more than the connection that broke after it
                Some(Err(_)) | None => break,
            }
        }
        Error::from_reply(operation, status, headers, &words)
    }

    /// A fresh request with a fresh signature.
    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>> {
        let operation = call.operation;
        let invalid = |fault: &str| Error::invalid_request(operation, fault);
        let url = self.base_url().join(&operation.path_for(&call.ids), &call.query.urlencoded());
        let authorization = oauth::authorization(self.key(), &self.stamp())
            .ok_or_else(|| invalid("the nonce contains characters a header can't hold"))?;
        let request = Request::builder()
            .method(operation.method.clone())
            .uri(url)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .header(header::USER_AGENT, HeaderValue::from_static(concat!("maas-client/", env!("CARGO_PKG_VERSION"))))
            .header(header::AUTHORIZATION, authorization);
        let request = if let Some(raw) = &call.raw {
            request.header(header::CONTENT_TYPE, "application/octet-stream").body(Full::new(raw.clone()))
        } else if operation.method == Method::POST || operation.method == Method::PUT {
            let (body, kind) = call.form.body();
            request.header(header::CONTENT_TYPE, kind).body(Full::new(body))
        } else {
            request.body(Full::default())
        };
        request.map_err(|_| invalid("the parameters don't make a valid URL"))
    }
}

#[cfg(test)]
mod tests;
