//! What can go wrong with a call, and what a caller may conclude from it.
//!
//! One type, [`Error`], for every operation. It carries the operation's name, the HTTP status, MAAS's
//! own words (by field where MAAS gives fields, HTML pages reduced to their text) and answers four
//! questions:
//!
//! | question | method |
//! |---|---|
//! | what is it? | [`Error::kind`] |
//! | may the very same call be sent again now? | [`Error::is_retryable`] |
//! | may it have taken effect although it failed? | [`Error::is_ambiguous`] |
//! | will time, another state, or only a person help? | [`Error::disposition`] |
//!
//! How kinds come about:
//!
//! | answer | kind |
//! |---|---|
//! | 401 | `Auth`; `ClockSkew` for an old timestamp; `NonceReplayed` |
//! | 403 | `Permission`; `Locked` where MAAS says so (3.7 answers a locked machine with an empty 403: read `locked`) |
//! | 404 "No X matches", "Not Found" | `NotFound`; other 404s are `WrongEndpoint`, so that a wrong URL never reads as "the machine is gone" |
//! | 404 "address already in use" | `StateConflict` |
//! | 400 | `Validation`; "Unrecognised signature" is `Unsupported` (this MAAS lacks the operation), or `Auth` where it shows that the Authorization header got lost |
//! | 409 with Retry-After | `TransientConflict`: MAAS rolled back, resend as is |
//! | 409 without | `NoMatch` (nothing to allocate) or `StateConflict` |
//! | 410 / 405 | `Gone` / `Unsupported` |
//! | 413, or an answer above our own cap | `TooLarge` |
//! | 429, 502, 503, 504 | `Unavailable` |
//! | other 5xx | `Server` |
//! | 3xx | `Redirect`, never followed |
//!
//! **Secrets.** The text of a 401 contains the token secret that MAAS expects. Such bodies are dropped
//! when they arrive: an [`Error`] holds one of a few fixed sentences instead, and has no source.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::capabilities::Capabilities;
use crate::operation::{Effect, Operation};
use crate::transport::{BoxError, NotSent};

/// Result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Longest text of MAAS an error keeps, in characters.
const TEXT_LIMIT: usize = 2000;

/// How much of a refusal's body is read; the rest can only be noise.
pub(crate) const BODY_LIMIT: usize = 64 * 1024;

/// What went wrong; see the table at the top of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The key is not accepted.
    Auth,
    /// The clocks of this host and MAAS differ by more than five minutes.
    ClockSkew,
    /// The same nonce was seen before; re-signing helps, and was tried once already.
    NonceReplayed,
    /// The user of the key may not do this, or the machine is locked.
    Permission,
    /// MAAS names a lock as the reason.
    Locked,
    /// The object does not exist, in MAAS's own words.
    NotFound,
    /// The URL does not lead to the MAAS API, or this MAAS has no such path.
    WrongEndpoint,
    /// A parameter is refused: [`Error::fields`].
    Validation,
    /// No machine satisfies the constraints now.
    NoMatch,
    /// The object is in a state that does not allow this.
    StateConflict,
    /// MAAS gave up after its own retries and rolled back; resend as is.
    TransientConflict,
    /// MAAS, a rack controller, a BMC or a resource (addresses) is not available now.
    Unavailable,
    /// Removed from this MAAS.
    Gone,
    /// This MAAS does not know the operation or verb.
    Unsupported,
    /// Request or reply exceed a size limit.
    TooLarge,
    /// MAAS failed inside; the text often names the cause.
    Server,
    /// A redirect, which is never followed: [`Error::redirect_target`].
    Redirect,
    /// The connection failed.
    Transport,
    /// No complete answer within the deadline.
    Timeout,
    /// An answer that is not what the API promises.
    Decode,
    /// Refused on our side before anything was sent.
    InvalidRequest,
    /// Any other HTTP status.
    Other,
}

/// What makes a failed call succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// Only a change of request, key or configuration.
    Terminal,
    /// Time: nothing is known to be wrong with the request.
    Transient,
    /// Another state of the object or the pool: free machines, a finished operation, an unlock.
    Waiting,
}

/// Why a call met a conflict: [`Error::conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conflict {
    /// No machine satisfies the constraints now.
    NoMatch,
    /// The object is in a state that does not allow it.
    WrongState,
    /// It is locked.
    Locked,
    /// It belongs to somebody else, or the user of the key may not do this.
    NotYours,
    /// Nobody holds the machine, and only its holder could do this.
    NotHeld,
    /// An address or a name is taken.
    Taken,
}

/// How far the clocks are apart, as a 401 told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    /// Our timestamp, Unix seconds.
    pub ours: i64,
    /// MAAS's clock, Unix seconds.
    pub theirs: i64,
}

/// A failed call. See the [module documentation](self).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    effect: Effect,
    status: Option<StatusCode>,
    /// MAAS's words (redacted, reduced) or ours.
    text: Cow<'static, str>,
    fields: BTreeMap<String, Vec<String>>,
    retry_after: Option<Duration>,
    redirect: Option<String>,
    request_id: Option<String>,
    skew: Option<ClockSkew>,
    sent: bool,
    attempts: u32,
    /// An earlier attempt of the same call ended ambiguously.
    earlier_ambiguous: bool,
    source: Option<BoxError>,
}

impl Error {
    fn new(operation: &Operation, kind: ErrorKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation: operation.name,
            effect: operation.effect,
            status: None,
            text: text.into(),
            fields: BTreeMap::new(),
            retry_after: None,
            redirect: None,
            request_id: None,
            skew: None,
            sent: true,
            attempts: 1,
            earlier_ambiguous: false,
            source: None,
        }))
    }

    /// Classifies an answer that is not a success. `body` is what MAAS sent, whole or its beginning.
    ///
    /// Public so that tests of callers can make the error a given answer would give.
    pub fn from_reply(operation: &Operation, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after = header(headers, http::header::RETRY_AFTER)
            .and_then(|value| value.trim().parse().ok())
            .map(Duration::from_secs);
        let mut error = if status == StatusCode::UNAUTHORIZED {
            sign_in_refused(operation, body)
        } else {
            let is_html = header(headers, http::header::CONTENT_TYPE).is_some_and(|t| t.contains("html"));
            let (text, fields) = words(body);
            let kind = classify(status, retry_after, is_html, &text, !fields.is_empty());
            let mut error = Self::new(operation, kind, text);
            error.0.fields = fields;
            error
        };
        if status.is_redirection() {
            let target = header(headers, http::header::LOCATION).unwrap_or("(no Location header)").to_owned();
            error.0.text =
                format!("MAAS redirects to {target}; redirects are not followed, set the URL to where MAAS really is")
                    .into();
            error.0.redirect = Some(target);
        }
        error.0.status = Some(status);
        error.0.retry_after = retry_after;
        error.0.request_id = request_id(headers);
        error
    }

    /// No complete answer within `deadline`; the request may have been processed.
    pub fn timed_out(operation: &Operation, deadline: Duration) -> Self {
        Self::new(operation, ErrorKind::Timeout, format!("no complete answer within {} s", deadline.as_secs_f64()))
    }

    /// The transport failed. If `source` is (or wraps) [`NotSent`], the request never left.
    pub fn transport(operation: &Operation, source: BoxError) -> Self {
        let sent = !was_not_sent(source.as_ref());
        let text = if sent { "the connection failed" } else { "can't connect to MAAS" };
        let mut error = Self::new(operation, ErrorKind::Transport, text);
        error.0.sent = sent;
        error.0.source = Some(source);
        error
    }

    /// Refused before sending.
    pub fn invalid_request(operation: &Operation, text: impl Into<String>) -> Self {
        let mut error = Self::new(operation, ErrorKind::InvalidRequest, text.into());
        error.0.sent = false;
        error
    }

    /// This MAAS lacks the operation; nothing was sent.
    pub(crate) fn unsupported(operation: &Operation, here: &Capabilities) -> Self {
        let exists = match (operation.since, operation.until) {
            (Some((major, minor)), _) => format!("since {major}.{minor}"),
            (None, Some((major, minor))) => format!("up to {major}.{minor}"),
            (None, None) => "in every version".to_owned(),
        };
        let text = format!("{here} does not have this operation, which exists {exists}");
        let mut error = Self::new(operation, ErrorKind::Unsupported, text);
        error.0.sent = false;
        error
    }

    pub(crate) fn decode(operation: &Operation, status: StatusCode, body: &[u8], source: serde_json::Error) -> Self {
        let head = String::from_utf8_lossy(&body[..body.len().min(TEXT_LIMIT)]);
        let text = if head.trim_start().starts_with('<') {
            format!("a page instead of JSON, is this the MAAS API? it says: {}", html_text(&head))
        } else {
            "the answer is not what the API promises".to_owned()
        };
        let mut error = Self::new(operation, ErrorKind::Decode, text);
        error.0.status = Some(status);
        error.0.source = Some(source.into());
        error
    }

    pub(crate) fn too_large(operation: &Operation, limit: usize) -> Self {
        Self::new(operation, ErrorKind::TooLarge, format!("the answer is longer than {limit} bytes"))
    }

    /// What the client knows beyond the last attempt.
    pub(crate) fn after(mut self, attempts: u32, earlier_ambiguous: bool) -> Self {
        self.0.attempts = attempts;
        self.0.earlier_ambiguous = earlier_ambiguous;
        self
    }

    /// What it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Name of the operation, e.g. `machines.allocate`.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// HTTP status, if an answer came.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// MAAS's words in one line, or ours where MAAS has none or must not be quoted.
    pub fn message(&self) -> &str {
        &self.0.text
    }

    /// Words by parameter (400 with JSON); `__all__` stands for the whole object, the empty name for
    /// messages without one.
    pub fn fields(&self) -> &BTreeMap<String, Vec<String>> {
        &self.0.fields
    }

    /// How long MAAS asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Where MAAS, or something before it, wanted to send us.
    pub fn redirect_target(&self) -> Option<&str> {
        self.0.redirect.as_deref()
    }

    /// MAAS's id of the request (`MAAS-trace-id`, 3.8+), to find it in the region's log.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// What stood in the way, for calls that met a conflict; none for other failures.
    ///
    /// MAAS says some of it in words only, and a locked machine gets an empty 403 from 3.7, which reads as
    /// [`Conflict::NotYours`] here: look at `locked`.
    pub fn conflict(&self) -> Option<Conflict> {
        match self.kind() {
            ErrorKind::NoMatch => Some(Conflict::NoMatch),
            ErrorKind::Locked => Some(Conflict::Locked),
            ErrorKind::Permission => Some(Conflict::NotYours),
            ErrorKind::StateConflict if self.message().contains("already in use") => Some(Conflict::Taken),
            ErrorKind::StateConflict if self.message().contains("hasn't been acquired") => Some(Conflict::NotHeld),
            ErrorKind::StateConflict => Some(Conflict::WrongState),
            _ => None,
        }
    }

    /// The two clocks, for [`ErrorKind::ClockSkew`].
    pub fn clock_skew(&self) -> Option<ClockSkew> {
        self.0.skew
    }

    /// How often it was sent before this error was given up to the caller.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// Whether the very same call may be sent again without harm: reads after any transient failure,
    /// writes only when nothing was sent, MAAS rolled back, or (for calls that set a state) 503 with
    /// Retry-After.
    pub fn is_retryable(&self) -> bool {
        let read = self.0.effect == Effect::Read;
        match self.kind() {
            ErrorKind::TransientConflict | ErrorKind::NonceReplayed => true,
            ErrorKind::Unavailable => {
                read || (self.0.effect == Effect::Converging
                    && self.status() == Some(StatusCode::SERVICE_UNAVAILABLE)
                    && self.retry_after().is_some())
            }
            ErrorKind::Transport => read || !self.0.sent,
            ErrorKind::Server | ErrorKind::Timeout => read,
            _ => false,
        }
    }

    /// Whether a write may have taken effect although it failed: 5xx (MAAS calls BMCs and starts
    /// workflows after its commit, inside the request), a timeout, a connection lost after sending,
    /// an unreadable success, in this attempt or an earlier one of the same call. Re-read before deciding anything. Never true for reads.
    pub fn is_ambiguous(&self) -> bool {
        if self.0.earlier_ambiguous {
            return true;
        }
        self.0.effect != Effect::Read
            && self.0.sent
            && match self.kind() {
                ErrorKind::Timeout | ErrorKind::Transport | ErrorKind::Decode => true,
                ErrorKind::TooLarge => self.status().is_none(),
                _ => self.status().is_some_and(|status| status.is_server_error()),
            }
    }

    /// What helps: see [`Disposition`].
    pub fn disposition(&self) -> Disposition {
        use ErrorKind as K;
        match self.kind() {
            K::NoMatch | K::StateConflict | K::Locked => Disposition::Waiting,
            K::TransientConflict | K::Unavailable | K::Server | K::Transport | K::Timeout | K::NonceReplayed => {
                Disposition::Transient
            }
            K::Auth
            | K::ClockSkew
            | K::Permission
            | K::NotFound
            | K::WrongEndpoint
            | K::Validation
            | K::Gone
            | K::Unsupported
            | K::TooLarge
            | K::Redirect
            | K::Decode
            | K::InvalidRequest
            | K::Other => Disposition::Terminal,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.0.operation)?;
        match (self.0.status, self.0.text.is_empty()) {
            (Some(status), true) => write!(f, "{status}"),
            (Some(status), false) => write!(f, "{} ({})", self.0.text, status.as_u16()),
            (None, _) => f.write_str(&self.0.text),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("status", &self.0.status.map(|status| status.as_u16()))
            .field("message", &self.0.text)
            .field("retry_after", &self.0.retry_after)
            .field("attempts", &self.0.attempts)
            .field("request_id", &self.0.request_id)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

fn header(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// An id is short and plain; anything else in that header is not kept.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("maas-trace-id")?.to_str().ok()?;
    let plain = value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    plain.then(|| value.to_owned())
}

fn was_not_sent(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<NotSent>())
}

/// 401: the body is looked at, never kept (it may hold the token secret that MAAS expects).
fn sign_in_refused(operation: &Operation, body: &[u8]) -> Error {
    let body = String::from_utf8_lossy(body);
    let known = [
        ("Invalid API key", "MAAS does not know the consumer part of the API key"),
        ("Invalid access token", "MAAS does not know the token of the API key (deleted?)"),
        ("Invalid signature", "the secret part of the API key is wrong"),
        ("Invalid consumer", "MAAS does not know the consumer part of the API key"),
    ];
    if let Some(skew) = clock_skew(&body) {
        let mut error = Error::new(
            operation,
            ErrorKind::ClockSkew,
            format!("our clock is {} s behind MAAS's; it accepts 300 s", skew.theirs - skew.ours),
        );
        error.0.skew = Some(skew);
        return error;
    }
    if body.contains("Nonce already used") {
        return Error::new(operation, ErrorKind::NonceReplayed, "MAAS has seen this nonce before");
    }
    let text =
        known.iter().find(|(theirs, _)| body.contains(theirs)).map_or("MAAS refuses the sign-in", |(_, ours)| ours);
    Error::new(operation, ErrorKind::Auth, text)
}

/// Reads `Expired timestamp: given A and now B has a greater difference …`.
fn clock_skew(body: &str) -> Option<ClockSkew> {
    let (_, rest) = body.split_once("Expired timestamp: given ")?;
    let (ours, rest) = rest.split_once(" and now ")?;
    let theirs = rest.split(' ').next()?;
    Some(ClockSkew { ours: ours.parse().ok()?, theirs: theirs.parse().ok()? })
}

fn classify(status: StatusCode, retry_after: Option<Duration>, is_html: bool, text: &str, fields: bool) -> ErrorKind {
    match status.as_u16() {
        300..=399 => ErrorKind::Redirect,
        400 if text.starts_with("Unrecognised signature") && text.ends_with("op=None") => ErrorKind::Auth,
        400 if text.starts_with("Unrecognised signature") => ErrorKind::Unsupported,
        400 if is_html && !fields => ErrorKind::WrongEndpoint,
        400 | 422 => ErrorKind::Validation,
        403 if text.to_ascii_lowercase().contains("locked") => ErrorKind::Locked,
        403 => ErrorKind::Permission,
        404 if text.contains("already in use") => ErrorKind::StateConflict,
        404 if !is_html && (text == "Not Found" || text.contains(" matches the given query")) => ErrorKind::NotFound,
        404 => ErrorKind::WrongEndpoint,
        405 => ErrorKind::Unsupported,
        409 if retry_after.is_some() => ErrorKind::TransientConflict,
        409 if text.starts_with("No machine ") || text.starts_with("No available machine") => ErrorKind::NoMatch,
        409 => ErrorKind::StateConflict,
        410 => ErrorKind::Gone,
        413 => ErrorKind::TooLarge,
        429 | 502 | 503 | 504 => ErrorKind::Unavailable,
        500..=599 => ErrorKind::Server,
        _ => ErrorKind::Other,
    }
}

/// MAAS's words as one line, and by field where the body is a JSON object or array of messages.
fn words(body: &[u8]) -> (String, BTreeMap<String, Vec<String>>) {
    let text = String::from_utf8_lossy(&body[..body.len().min(BODY_LIMIT)]);
    let text = text.trim();
    let mut fields = BTreeMap::new();
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(map)) => {
            for (name, value) in map {
                fields.insert(name, messages(value));
            }
        }
        Ok(value @ serde_json::Value::Array(_)) => {
            fields.insert(String::new(), messages(value));
        }
        _ => {}
    }
    if fields.is_empty() {
        let line = if text.starts_with('<') { html_text(text) } else { one_line(text) };
        return (line, fields);
    }
    let line = fields
        .iter()
        .map(|(name, messages)| match name.as_str() {
            "" | "__all__" => messages.join(" "),
            name => format!("{name}: {}", messages.join(" ")),
        })
        .collect::<Vec<_>>()
        .join("; ");
    (one_line(&line), fields)
}

fn messages(value: serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Array(items) => items.into_iter().flat_map(messages).collect(),
        serde_json::Value::String(text) => vec![text],
        other => vec![other.to_string()],
    }
}

/// Blanks collapsed, length capped, and nothing after the words that introduce a secret.
fn one_line(text: &str) -> String {
    let text = match text.find("signature base string") {
        Some(at) => &text[..at],
        None => text,
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TEXT_LIMIT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The text of a page: tags, head styles and scripts dropped.
fn html_text(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some(open) = rest.find('<') {
        text.push_str(&rest[..open]);
        text.push(' ');
        let tag = &rest[open + 1..];
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let after = tag.find('>').map_or("", |close| &tag[close + 1..]);
        rest = if name == "style" || name == "script" {
            after.find(&format!("</{name}")).map_or("", |end| &after[end..])
        } else {
            after
        };
    }
    text.push_str(rest);
    let line = one_line(&text);
    line.chars().take(500).collect()
}

#[cfg(test)]
mod tests;
