//! What the API answers when it refuses: a Kubernetes `Status`.

use serde_json::{Value, json};

/// One field that was refused, as in `Status.details.causes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// Kubernetes reason of the cause, e.g. `FieldValueRequired`.
    pub reason: &'static str,
    /// Dotted path of the field, e.g. `spec.list[0].name`.
    pub field: String,
    /// What is wrong, without the path, e.g. `Required value`.
    pub message: String,
}

impl Cause {
    pub(crate) fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, field: field.into(), message: message.into() }
    }

    pub(crate) fn required(field: impl Into<String>) -> Self {
        Self::new("FieldValueRequired", field, "Required value")
    }

    pub(crate) fn invalid(field: impl Into<String>, shown: &Value, detail: impl AsRef<str>) -> Self {
        Self::new("FieldValueInvalid", field, format!("Invalid value: {}: {}", show(shown), detail.as_ref()))
    }

    /// An invalid value that is not shown.
    pub(crate) fn hidden(field: impl Into<String>, detail: impl AsRef<str>) -> Self {
        Self::new("FieldValueInvalid", field, format!("Invalid value: {}", detail.as_ref()))
    }

    pub(crate) fn immutable(field: impl Into<String>, shown: &Value) -> Self {
        Self::invalid(field, shown, "field is immutable")
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: impl AsRef<str>) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {}", detail.as_ref()))
    }
}

/// A value as a message of the API server shows it.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// A refusal: HTTP code plus the parts of a Kubernetes `Status`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// Kubernetes reason: `NotFound`, `Conflict`, `Invalid`, ...
    pub reason: &'static str,
    /// The sentence a person reads.
    pub message: String,
    /// `Status.details`, an object or null.
    pub details: Value,
}

impl ApiError {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    /// The Kubernetes reason, to match on.
    pub fn kind(&self) -> &'static str {
        self.reason
    }

    /// The `Status` object a client receives.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let mut e = Self::new(404, "NotFound", format!("{} \"{name}\" not found", qualified(plural, group)));
        e.details = details(name, group, plural);
        e
    }

    /// Nothing is served there, which is said in plain text.
    pub(crate) fn no_page() -> Self {
        Self::new(404, "NotFound", NO_PAGE)
    }

    /// Whether it is said in plain text.
    pub(crate) fn is_plain(&self) -> bool {
        self.message == NO_PAGE
    }

    /// The server gives up without a reason.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// Options in a query string or in the body of a DELETE.
    pub(crate) fn options(kind: &str, cause: Cause) -> Self {
        Self::invalid("meta.k8s.io", kind, "", &[cause])
    }

    /// No such resource or subresource of a built-in group.
    pub(crate) fn no_resource() -> Self {
        let mut e = Self::new(404, "NotFound", "the server could not find the requested resource");
        e.details = json!({});
        e
    }

    pub(crate) fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let mut e = Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", qualified(plural, group)));
        e.details = details(name, group, plural);
        e
    }

    pub(crate) fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let text = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(plural, group));
        let mut e = Self::new(409, "Conflict", text);
        e.details = details(name, group, plural);
        e
    }

    pub(crate) fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let text = format!("{} \"{name}\" is forbidden: {why}", qualified(plural, group));
        let mut e = Self::new(403, "Forbidden", text);
        e.details = details(name, group, plural);
        e
    }

    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut lines: Vec<String> = Vec::new();
        for line in causes.iter().map(|c| format!("{}: {}", c.field, c.message)) {
            // Told once, however often it was found.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let list = if let [one] = lines.as_slice() { one.clone() } else { format!("[{}]", lines.join(", ")) };
        let mut e = Self::new(422, "Invalid", format!("{} \"{name}\" is invalid: {list}", qualified(kind, group)));
        e.details = details(name, group, kind);
        e.details["causes"] =
            causes.iter().map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field})).collect();
        e
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn unsupported_media(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let text = "the server does not allow this method on the requested resource";
        let mut e = Self::new(405, "MethodNotAllowed", text);
        e.details = json!({});
        e
    }

    /// Something Kubernetes has and this simulator has not; `GAPS.md` lists every caller.
    pub(crate) fn lacking(code: u16, what: &str) -> Self {
        let reason = match code {
            404 => "NotFound",
            406 => "NotAcceptable",
            410 => "Expired",
            415 => "UnsupportedMediaType",
            _ => "NotImplemented",
        };
        Self::new(code, reason, format!("kube-sim lacks {what} (see GAPS.md)"))
    }
}

const NO_PAGE: &str = "404 page not found";

fn qualified(plural: &str, group: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

fn details(name: &str, group: &str, kind: &str) -> Value {
    let mut d = json!({"kind": kind});
    if !name.is_empty() {
        d["name"] = json!(name);
    }
    if !group.is_empty() {
        d["group"] = json!(group);
    }
    d
}
