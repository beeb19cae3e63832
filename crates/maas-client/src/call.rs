//! One call: an operation of the table with its parameters, sent until it is answered or given up.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde::de::DeserializeOwned;
use tower::{Service as _, ServiceExt as _};
use tracing::Instrument as _;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::form::Form;
use crate::oauth;
use crate::operation::Operation;
use crate::transport::{NotSent, ResponseBody};

/// A call, ready to be sent any number of times.
pub(crate) struct Call {
    operation: &'static Operation,
    path: String,
    query: Form,
    form: Form,
}

impl Call {
    pub(crate) fn new(operation: &'static Operation) -> Self {
        let mut query = Form::default();
        query.opt("op", operation.op);
        Self { operation, path: operation.path.to_owned(), query, form: Form::default() }
    }

    /// Puts the id into the path.
    pub(crate) fn id(self, id: impl ToString) -> Self {
        self.ids(&[id.to_string()])
    }

    /// Puts several ids into the path, in order.
    pub(crate) fn ids(mut self, ids: &[String]) -> Self {
        self.path = self.operation.path_for(ids);
        self
    }

    /// Adds parameters where MAAS reads them: the URL for GET and DELETE, else the body.
    pub(crate) fn parameters(self, form: Form) -> Self {
        if matches!(self.operation.method, Method::GET | Method::DELETE) { self.query(form) } else { self.form(form) }
    }

    /// Adds parameters to the URL.
    pub(crate) fn query(mut self, query: Form) -> Self {
        self.query.append(query);
        self
    }

    /// Sets the parameters of the body.
    pub(crate) fn form(mut self, form: Form) -> Self {
        self.form = form;
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
    }
    Ok(bytes.freeze())
}

/// A successful answer, whole.
struct Reply {
    status: StatusCode,
    body: Bytes,
}

impl Client {
    /// Sends and decodes.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let reply = self.answer(&call).await?;
        serde_json::from_slice(&reply.body)
            .map_err(|fault| Error::decode(call.operation, reply.status, &reply.body, fault))
    }

    /// Sends and decodes; an empty answer reads as `null`, which `()` and options accept.
    pub(crate) async fn typed<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let reply = self.answer(&call).await?;
        let body: &[u8] = if reply.body.trim_ascii().is_empty() { b"null" } else { &reply.body };
        serde_json::from_slice(body).map_err(|fault| Error::decode(call.operation, reply.status, body, fault))
    }

    /// Sends; the answer has nothing to say beyond success.
    pub(crate) async fn done(&self, call: Call) -> Result<()> {
        self.answer(&call).await.map(drop)
    }

    /// One span per call: operation, status, size, attempts. Nothing that came from a key, a form or
    /// an answer goes in.
    async fn answer(&self, call: &Call) -> Result<Reply> {
        use tracing::field::Empty;
        let span = tracing::debug_span!(
            "maas",
            operation = call.operation.name,
            status = Empty,
            bytes = Empty,
            attempts = Empty,
            failure = Empty,
        );
        let (result, attempts) = self.attempts(call).instrument(span.clone()).await;
        span.record("attempts", attempts);
        match &result {
            Ok(reply) => {
                span.record("status", reply.status.as_u16());
                span.record("bytes", reply.body.len());
            }
            Err(error) => {
                if let Some(status) = error.status() {
                    span.record("status", status.as_u16());
                }
                span.record("failure", tracing::field::debug(error.kind()));
            }
        }
        result
    }

    async fn attempts(&self, call: &Call) -> (Result<Reply>, u32) {
        let mut attempts = 0;
        let mut signed_anew = false;
        let mut ambiguous = false;
        loop {
            attempts += 1;
            let error = match self.attempt(call).await {
                Ok(reply) => return (Ok(reply), attempts),
                Err(error) => error,
            };
            // a replayed nonce is refused before MAAS looks at the request
            if error.kind() == ErrorKind::NonceReplayed && !signed_anew {
                signed_anew = true;
                continue;
            }
            let Some(wait) = self.retry_wait(&error, attempts) else {
                return (Err(error.after(attempts, ambiguous)), attempts);
            };
            ambiguous |= error.is_ambiguous();
            tracing::debug!(kind = ?error.kind(), ?wait, "sending again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, call: &Call) -> Result<Reply> {
        let deadline = self.deadline(call.operation.class);
        // around send and body: a server that stalls in the body would hang past a deadline that
        // ends with the head
        tokio::time::timeout(deadline, self.exchange(call))
            .await
            .unwrap_or_else(|_| Err(Error::timed_out(call.operation, deadline)))
    }

    async fn exchange(&self, call: &Call) -> Result<Reply> {
        let operation = call.operation;
        let request = self.request(call)?;
        let mut transport = self.transport();
        let ready = transport.ready().await;
        let service = ready.map_err(|error| Error::transport(operation, NotSent(error).into()))?;
        let response = service.call(request).await.map_err(|error| Error::transport(operation, error))?;
        let (head, body) = response.into_parts();
        let body = whole(body, self.reply_limit(), operation).await?;
        if head.status.is_success() {
            Ok(Reply { status: head.status, body })
        } else {
            Err(Error::from_reply(operation, head.status, &head.headers, &body))
        }
    }

    /// A fresh request with a fresh signature.
    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>> {
        let operation = call.operation;
        let invalid = |fault: &str| Error::invalid_request(operation, fault);
        let url = self.base_url().join(&call.path, &call.query.urlencoded());
        let authorization = oauth::authorization(self.key(), &self.stamp())
            .ok_or_else(|| invalid("the nonce contains characters a header can't hold"))?;
        let request = Request::builder()
            .method(operation.method.clone())
            .uri(url)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .header(header::USER_AGENT, HeaderValue::from_static(concat!("maas-client/", env!("CARGO_PKG_VERSION"))))
            .header(header::AUTHORIZATION, authorization);
        let request = if operation.method == Method::POST || operation.method == Method::PUT {
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
