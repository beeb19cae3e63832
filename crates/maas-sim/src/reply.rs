//! Answers as the region gives them: status, content type, body layout.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

/// What a handler answers; headers that every reply has are added by [`Reply::into_response`].
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// Outcome of a handler: refusals take the error side so that `?` leaves early.
pub(crate) type Answer = Result<Reply, Reply>;

const TEXT: &str = "text/plain; charset=utf-8";
const LACKS: &str = "Not simulated: ";
const JSON: &str = "application/json; charset=utf-8";

impl Reply {
    fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            content_type,
            headers: Vec::new(),
            body,
        }
    }

    /// 200 with JSON that is written already.
    pub(crate) fn json_text(body: Vec<u8>) -> Self {
        Self::new(200, JSON, body)
    }

    /// 200 with JSON indented by four spaces.
    pub(crate) fn json(value: &Value) -> Self {
        Self::json_status(200, value)
    }

    /// JSON with another status.
    pub(crate) fn json_status(status: u16, value: &Value) -> Self {
        Self::new(status, JSON, pretty(value))
    }

    /// JSON whose type names no character set: Django's own answers, and errors of models.
    pub(crate) fn json_plain(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string().into_bytes())
    }

    /// 200 with JSON on one line, as `json.dumps` writes it.
    pub(crate) fn json_compact(value: &Value) -> Self {
        Self::new(200, JSON, value.to_string().into_bytes())
    }

    /// 400 of a model that refused a value.
    pub(crate) fn model_error(field: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self::json_plain(400, &Value::Object(Map::from_iter([(field.to_owned(), Value::from(vec![message]))])))
    }

    /// 200 with a list of JSON values.
    pub(crate) fn list(values: Vec<Value>) -> Self {
        Self::json(&Value::Array(values))
    }

    /// A handler that returned nothing: 200 `null`.
    pub(crate) fn null() -> Self {
        Self::json(&Value::Null)
    }

    /// A status without a body or a type: an error outside of any handler.
    pub(crate) fn bare(status: u16) -> Self {
        Self::new(status, "", Vec::new())
    }

    /// 204 without a body.
    pub(crate) fn no_content() -> Self {
        Self::new(204, "text/plain", Vec::new())
    }

    /// A file to download.
    pub(crate) fn octets(body: Vec<u8>) -> Self {
        Self::new(200, "application/octet-stream", body)
    }

    /// A BSON document.
    pub(crate) fn bson(body: Vec<u8>) -> Self {
        Self::new(200, "application/bson", body)
    }

    /// A text answer of MAAS's own handlers.
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, TEXT, text.into().into_bytes())
    }

    /// A text answer of piston (no charset).
    pub(crate) fn plain(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain", text.into().into_bytes())
    }

    /// An HTML answer (piston's sign-in errors, nginx).
    pub(crate) fn html(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/html; charset=utf-8", text.into().into_bytes())
    }

    /// 403 with an empty body: what most refusals by permission look like.
    pub(crate) fn forbidden() -> Self {
        Self::text(403, "")
    }

    /// 403 of collections that are reserved for administrators.
    pub(crate) fn admins_only() -> Self {
        Self::text(403, "This method is reserved for admin users.")
    }

    /// 404 of a missing model object.
    pub(crate) fn missing(model: &str) -> Self {
        Self::plain(404, format!("No {model} matches the given query."))
    }

    /// 501 with the name of what a real region has and this one lacks.
    pub(crate) fn not_simulated(what: &str) -> Self {
        Self::text(501, format!("{LACKS}{what}"))
    }

    /// What this answer says is not simulated.
    pub(crate) fn lacks(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()?.strip_prefix(LACKS).filter(|_| self.status == 501)
    }

    /// 400 with one message on one field.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        let mut errors = FieldErrors::default();
        errors.add(field, message);
        errors.into_reply()
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The status code, for the request log.
    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The answer with the headers that the API adds to each.
    pub(crate) fn into_response(self, api_hash: Option<&str>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.content_type.is_empty() {
            return response;
        }
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(http::header::VARY, HeaderValue::from_static("Authorization, Cookie"));
        headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
        if let Some(hash) = api_hash.and_then(|h| HeaderValue::from_str(h).ok()) {
            headers.insert("x-maas-api-hash", hash);
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    // Writing a Value into a Vec fails only for non-string keys, which a Value cannot have.
    value.serialize(&mut serializer).expect("a JSON value always serialises");
    out
}

/// Validation errors by field, answered as 400 JSON.
#[derive(Debug, Default)]
pub(crate) struct FieldErrors(Map<String, Value>);

impl FieldErrors {
    /// Adds a message to a field.
    pub(crate) fn add(&mut self, field: &str, message: impl Into<String>) {
        if let Value::Array(list) = self.0.entry(field).or_insert_with(|| Value::Array(Vec::new())) {
            list.push(Value::String(message.into()));
        }
    }

    /// `Err` with the 400 answer when there is any message.
    pub(crate) fn check(self) -> Result<(), Reply> {
        if self.0.is_empty() { Ok(()) } else { Err(self.into_reply()) }
    }

    fn into_reply(self) -> Reply {
        Reply::json_status(400, &Value::Object(self.0))
    }
}
