//! One request against the state. No I/O, no time but the state's clock.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::json;
use super::path::{Resource, query, resource};
use crate::error::{ApiError, Cause};
use crate::patch;
use crate::present::{Include, Presenter, Shape, discovery, negotiate, openapi};
use crate::select::{Fields, Labels};
use crate::verbs::native::deletes_collections;
use crate::verbs::{Cursor, DeleteOptions, Options, Query, Start, State, Strictness, Target};

/// A request, read completely.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raw {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) accept: String,
    pub(crate) content_type: String,
    pub(crate) impersonates: bool,
    pub(crate) body: Vec<u8>,
}

/// What goes back.
#[derive(Debug)]
pub(crate) enum Answer {
    Json { code: u16, content_type: &'static str, body: Value, warnings: Vec<String> },
    Text(u16, &'static str),
    Watch { cursor: Box<Cursor>, presenter: Presenter, seconds: Option<u64> },
}

/// Verb and resource of a request, for counting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    pub(crate) verb: &'static str,
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

const JSON: &str = "application/json";

fn ok(body: Value) -> Answer {
    Answer::Json { code: 200, content_type: JSON, body, warnings: Vec::new() }
}

/// Handles a request. The label says what it was, whether it succeeded or not.
pub(crate) fn handle(state: &mut State, raw: &Raw) -> (Label, Answer) {
    let q = query(&raw.query);
    let r = resource(&raw.path);
    let label = label(raw, &q, r.as_ref());
    let answer = if raw.impersonates {
        Err(ApiError::lacking(501, "impersonation"))
    } else {
        match r {
            Some(r) => on_resource(state, raw, &q, &r),
            None => meta_path(state, raw),
        }
    };
    let answer = answer.unwrap_or_else(|e| match e.is_plain() {
        true => Answer::Text(e.code, "404 page not found\n"),
        false => Answer::Json { code: e.code, content_type: JSON, body: e.to_status(), warnings: Vec::new() },
    });
    (label, answer)
}

fn watching(q: &BTreeMap<String, String>) -> bool {
    q.get("watch").is_some_and(|w| w != "false" && w != "0")
}

fn label(raw: &Raw, q: &BTreeMap<String, String>, r: Option<&Resource>) -> Label {
    let Some(r) = r else {
        return Label { verb: "get", resource: raw.path.clone(), namespace: String::new(), name: String::new() };
    };
    let verb = match (raw.method.as_str(), r.name.is_empty()) {
        ("GET", _) if watching(q) => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "other",
    };
    let mut resource = if r.group.is_empty() { r.plural.clone() } else { format!("{}.{}", r.plural, r.group) };
    if !r.sub.is_empty() {
        resource = format!("{resource}/{}", r.sub);
    }
    Label { verb, resource, namespace: r.namespace.clone(), name: r.name.clone() }
}

/// Paths that are about the server.
fn meta_path(state: &State, raw: &Raw) -> Result<Answer, ApiError> {
    let path = raw.path.trim_end_matches('/');
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let read_only = matches!(raw.method, Method::GET | Method::HEAD);
    if !read_only {
        return Err(ApiError::method_not_allowed());
    }
    let wants_aggregated = raw.accept.split(',').any(|one| {
        let has = |p: &str| one.split(';').any(|x| x.trim() == p);
        has("as=APIGroupDiscoveryList") && has("v=v2")
    });
    let aggregated = |core| Answer::Json {
        code: 200,
        content_type: discovery::AGGREGATED,
        body: discovery::aggregated(&state.kinds, core),
        warnings: Vec::new(),
    };
    let found = |v: Option<Value>| v.map(ok).ok_or_else(ApiError::no_resource);
    match parts.as_slice() {
        ["healthz" | "readyz" | "livez", ..] => Ok(Answer::Text(200, "ok")),
        ["version"] => Ok(ok(
            json!({"major": "1", "minor": "33", "gitVersion": super::VERSION, "gitCommit": "", "gitTreeState": "clean",
                "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "kube-sim"}),
        )),
        ["api"] if wants_aggregated => Ok(aggregated(true)),
        ["apis"] if wants_aggregated => Ok(aggregated(false)),
        ["api"] => Ok(ok(discovery::api_versions())),
        ["apis"] => Ok(ok(discovery::group_list(&state.kinds))),
        ["api", version] => found(discovery::resource_list(&state.kinds, "", version)),
        ["apis", group] => match discovery::one_group(&state.kinds, group) {
            Some(v) => Ok(ok(v)),
            None => Err(lacking_group(group)),
        },
        ["apis", group, version] => match discovery::resource_list(&state.kinds, group, version) {
            Some(v) => Ok(ok(v)),
            None => Err(lacking_group(group)),
        },
        // The API server forgets to say that it is JSON.
        ["openapi", "v3"] => Ok(Answer::Json {
            code: 200,
            content_type: "text/plain; charset=utf-8",
            body: openapi::index(&state.kinds),
            warnings: Vec::new(),
        }),
        ["openapi", "v3", "api", version] => Ok(document(state, "", version)),
        ["openapi", "v3", "apis", group, version] => Ok(document(state, group, version)),
        ["openapi", "v2"] => Err(ApiError::lacking(404, "OpenAPI v2")),
        ["api", ..] => Err(ApiError::no_resource()),
        _ => Err(ApiError::no_page()),
    }
}

fn document(state: &State, group: &str, version: &str) -> Answer {
    openapi::document(&state.kinds, group, version).map_or(Answer::Text(404, ""), ok)
}

/// Groups of Kubernetes that are not here, refused by name; any other is simply not found.
fn lacking_group(group: &str) -> ApiError {
    let what = match group {
        "admissionregistration.k8s.io" => "admission (webhooks and policies)",
        "apps" | "batch" | "autoscaling" | "policy" => "workload controllers",
        "apiregistration.k8s.io" => "API aggregation",
        "authentication.k8s.io" => "token and user reviews",
        "certificates.k8s.io" => "certificate signing requests",
        "networking.k8s.io" | "discovery.k8s.io" => "networking",
        "storage.k8s.io" => "storage",
        "flowcontrol.apiserver.k8s.io" => "flow control",
        "" => return ApiError::no_resource(),
        _ => return ApiError::no_page(),
    };
    ApiError::lacking(404, what)
}

fn lacking_resource(r: &Resource) -> ApiError {
    match (r.group.as_str(), r.plural.as_str()) {
        ("", "persistentvolumes" | "persistentvolumeclaims") => ApiError::lacking(404, "storage"),
        ("", "replicationcontrollers" | "podtemplates") => ApiError::lacking(404, "workload controllers"),
        ("", "resourcequotas" | "limitranges") => ApiError::lacking(404, "quotas"),
        ("", "componentstatuses") => ApiError::lacking(404, "component statuses"),
        ("authorization.k8s.io", _) => ApiError::lacking(404, "access reviews but SelfSubjectAccessReview"),
        (group, _) => lacking_group(group),
    }
}

fn on_resource(state: &mut State, raw: &Raw, q: &BTreeMap<String, String>, r: &Resource) -> Result<Answer, ApiError> {
    let kind = state.kinds.get(&r.group, &r.plural).cloned().ok_or_else(|| lacking_resource(r))?;
    let nothing = || if kind.group.is_empty() { ApiError::no_resource() } else { ApiError::no_page() };
    let version = kind.version(&r.version).ok_or_else(nothing)?;
    if !kind.namespaced && !r.namespace.is_empty() {
        return Err(nothing());
    }
    let deprecation = kind.versions[version].deprecation.clone();
    let t = Target { kind, version, namespace: r.namespace.clone(), name: r.name.clone() };
    if t.kind.namespaced && t.namespace.is_empty() && (!t.name.is_empty() || raw.method == Method::POST) {
        // Paths of custom resources are taken apart by hand, those of built-in kinds are known one by one.
        return Err(if t.kind.custom { ApiError::no_page() } else { ApiError::method_not_allowed() });
    }
    let presenter = Presenter {
        shape: negotiate(&raw.accept)?,
        include: match q.get("includeObject").map(String::as_str) {
            Some("Object") => Include::Object,
            Some("None") => Include::Nothing,
            None | Some("" | "Metadata") => Include::Metadata,
            Some(other) => {
                return Err(ApiError::bad_request(format!("unrecognized includeObject value: {other:?}")));
            }
        },
        now: state.now(),
        described: true,
    };
    let mut answer = if r.sub.is_empty() {
        on_object(state, raw, q, t, presenter)
    } else {
        on_subresource(state, raw, q, r, &t, presenter)
    };
    if let (Ok(Answer::Json { warnings, .. }), Some(text)) = (&mut answer, deprecation) {
        warnings.push(text);
    }
    answer
}

fn on_object(
    state: &mut State,
    raw: &Raw,
    q: &BTreeMap<String, String>,
    t: Target,
    presenter: Presenter,
) -> Result<Answer, ApiError> {
    match (raw.method.as_str(), t.name.is_empty()) {
        _ if t.kind.review && !(raw.method == Method::POST && t.name.is_empty()) => Err(ApiError::method_not_allowed()),
        ("GET", _) if watching(q) => watch(state, q, t, presenter),
        ("GET", true) => {
            if q.contains_key("sendInitialEvents") {
                let cause = Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
                return Err(ApiError::options("ListOptions", cause));
            }
            let page = state.list(&t, &list_query(q, &t)?)?;
            Ok(ok(presenter.list(&t, page)))
        }
        ("GET" | "HEAD", false) => {
            state.not_future(q.get("resourceVersion").map_or("", String::as_str))?;
            let object = state.get(&t)?;
            Ok(ok(presenter.object(&t, object)))
        }
        ("POST", true) => {
            let mut o = options(q)?;
            let (body, twice) = body(raw)?;
            o.duplicates = twice;
            let created = state.create(&t, body, &mut o).map(|object| presenter.object(&t, object));
            Ok(warned(201, created, o.warnings))
        }
        ("PUT" | "PATCH", false) => change(state, raw, q, &t, presenter, false),
        ("DELETE", false) => {
            let o = delete_options(raw, q)?;
            let left = state.delete(&t, &o)?;
            let left =
                if left["kind"] == "Status" && left["apiVersion"] == "v1" { left } else { presenter.object(&t, left) };
            Ok(ok(left))
        }
        ("PUT" | "PATCH", true) if t.kind.custom => Err(ApiError::bad_request("name must be provided")),
        ("DELETE", true) if deletes_collections(&t.kind) => {
            let o = delete_options(raw, q)?;
            let items = state.delete_collection(&t, &list_query(q, &t)?, &o)?;
            Ok(ok(json!({"kind": t.kind.list_kind, "apiVersion": t.kind.api_version(t.version),
                "metadata": {"resourceVersion": state.store.revision().to_string()}, "items": items})))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn on_subresource(
    state: &mut State,
    raw: &Raw,
    q: &BTreeMap<String, String>,
    r: &Resource,
    t: &Target,
    presenter: Presenter,
) -> Result<Answer, ApiError> {
    match (r.sub.as_str(), raw.method.as_str()) {
        ("status", "GET") if t.kind.custom && !t.kind.versions[t.version].status => Err(t.not_found()),
        ("status", "GET") if t.kind.versions[t.version].status => {
            let object = state.get(t)?;
            Ok(ok(presenter.object(t, object)))
        }
        ("status", "PUT" | "PATCH") => change(state, raw, q, t, presenter, true),
        ("scale", "GET") => Ok(ok(state.get_scale(t)?)),
        ("scale", "PUT") => {
            let (mut o, (new, _)) = (options(q)?, body(raw)?);
            Ok(ok(state.modify_scale(t, &mut o, |_| Ok(new))?))
        }
        ("scale", "PATCH") => {
            let (mut o, (patch, _)) = (options(q)?, body(raw)?);
            let format = patch_format(raw, t.kind.custom)?;
            Ok(ok(state.modify_scale(t, &mut o, |old| patch::apply(format, old, &patch))?))
        }
        ("status" | "scale", _) => Err(ApiError::no_resource()),
        (
            "log"
            | "exec"
            | "attach"
            | "portforward"
            | "proxy"
            | "eviction"
            | "binding"
            | "ephemeralcontainers"
            | "resize",
            _,
        )
        | ("token" | "finalize" | "approval", _) => {
            Err(ApiError::lacking(501, &format!("the subresource {}/{}", r.plural, r.sub)))
        }
        _ => Err(ApiError::no_resource()),
    }
}

fn change(
    state: &mut State,
    raw: &Raw,
    q: &BTreeMap<String, String>,
    t: &Target,
    presenter: Presenter,
    status: bool,
) -> Result<Answer, ApiError> {
    let mut o = options(q)?;
    let changed = if raw.method == Method::PUT {
        let (new, twice) = body(raw)?;
        o.duplicates = twice;
        state.modify(t, status, &mut o, |_| Ok(new))
    } else {
        let format = patch_format(raw, t.kind.custom)?;
        let (patch, _) = body(raw)?;
        o.patching = true;
        state.modify(t, status, &mut o, |old| patch::apply(format, old, &patch))
    };
    Ok(warned(200, changed.map(|object| presenter.object(t, object)), o.warnings))
}

/// The answer to a write: what was warned of is told whether it succeeded or not.
fn warned(code: u16, written: Result<Value, ApiError>, warnings: Vec<String>) -> Answer {
    let (code, body) = written.map_or_else(|e| (e.code, e.to_status()), |object| (code, object));
    Answer::Json { code, content_type: JSON, body, warnings }
}

fn patch_format(raw: &Raw, custom: bool) -> Result<patch::Format, ApiError> {
    let kind = raw.content_type.split(';').next().unwrap_or_default().trim();
    match kind {
        "application/merge-patch+json" => Ok(patch::Format::Merge),
        "application/json-patch+json" => Ok(patch::Format::Json),
        "application/strategic-merge-patch+json" if !custom => Ok(patch::Format::Strategic),
        "application/apply-patch+yaml" | "application/apply-patch+cbor" => {
            Err(ApiError::lacking(415, "server-side apply: use application/merge-patch+json, or client-side apply"))
        }
        // Word for word what the real one says for custom resources.
        _ => Err(ApiError::unsupported_media(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
    }
}

/// The body, and the paths of fields that it has twice.
fn body(raw: &Raw) -> Result<(Value, Vec<String>), ApiError> {
    let kind = raw.content_type.split(';').next().unwrap_or_default().trim();
    match kind {
        "application/yaml" => {
            let text = String::from_utf8_lossy(&raw.body);
            let mut docs = crate::direct::parse_yaml(&text)?;
            if docs.len() == 1 {
                Ok((docs.remove(0), Vec::new()))
            } else {
                Err(ApiError::bad_request("one YAML document expected"))
            }
        }
        "application/vnd.kubernetes.protobuf" | "application/cbor" => {
            Err(ApiError::lacking(415, &format!("bodies in {kind}: only JSON and YAML")))
        }
        "" | "application/json" | "*/*" => json::parse(&raw.body)
            .map_err(|e| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {e}"))),
        _ if kind.ends_with("-patch+json") => {
            json::parse(&raw.body).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))
        }
        _ => Err(ApiError::unsupported_media(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

fn options(q: &BTreeMap<String, String>) -> Result<Options, ApiError> {
    let strictness = match q.get("fieldValidation").map(String::as_str) {
        None | Some("" | "Warn") => Strictness::Warn,
        Some("Ignore") => Strictness::Ignore,
        Some("Strict") => Strictness::Strict,
        Some(other) => {
            let text =
                format!("Unsupported value: \"{other}\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"");
            let cause = Cause::new("FieldValueNotSupported", "fieldValidation", text);
            return Err(ApiError::options("CreateOptions", cause));
        }
    };
    Ok(Options { dry_run: dry_run(q)?, strictness, ..Options::default() })
}

fn dry_run(q: &BTreeMap<String, String>) -> Result<bool, ApiError> {
    match q.get("dryRun").map(String::as_str) {
        None | Some("") => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            let text = format!("Unsupported value: [\"{other}\"]: supported values: \"All\"");
            Err(ApiError::options("CreateOptions", Cause::new("FieldValueNotSupported", "dryRun", text)))
        }
    }
}

fn delete_options(raw: &Raw, q: &BTreeMap<String, String>) -> Result<DeleteOptions, ApiError> {
    let mut o = if raw.body.iter().all(u8::is_ascii_whitespace) {
        DeleteOptions::default()
    } else {
        DeleteOptions::from_body(&body(raw)?.0)?
    };
    if let Some(p) = q.get("propagationPolicy") {
        o.propagation = crate::verbs::Propagation::parse(p)?;
    }
    o.dry_run |= dry_run(q)?;
    Ok(o)
}

fn list_query(q: &BTreeMap<String, String>, t: &Target) -> Result<Query, ApiError> {
    let text = |name: &str| q.get(name).cloned().unwrap_or_default();
    let version_match = text("resourceVersionMatch");
    let wrong = |cause| Err(ApiError::options("ListOptions", cause));
    match version_match.as_str() {
        "" => {}
        _ if text("resourceVersion").is_empty() && !watching(q) => {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            return wrong(Cause::forbidden("resourceVersionMatch", why));
        }
        "Exact" | "NotOlderThan" => {}
        other => {
            let why = format!("Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\", \"\"");
            return wrong(Cause::new("FieldValueNotSupported", "resourceVersionMatch", why));
        }
    }
    let labels = Labels::parse(&text("labelSelector"))?;
    let mut fields = Fields::parse(&text("fieldSelector"), |path| t.kind.selectable(t.version, path))?;
    if !t.name.is_empty() {
        fields = fields.and_name(&t.name);
    }
    let limit = match q.get("limit").filter(|l| !l.is_empty()) {
        Some(l) => l.parse().map_err(|_| ApiError::bad_request(format!("limit must be a number, not {l}")))?,
        None => 0,
    };
    Ok(Query {
        labels,
        fields,
        limit,
        next: text("continue"),
        resource_version: text("resourceVersion"),
        exact: version_match == "Exact",
    })
}

fn watch(state: &State, q: &BTreeMap<String, String>, t: Target, presenter: Presenter) -> Result<Answer, ApiError> {
    let yes = |name: &str| q.get(name).is_some_and(|v| v == "true" || v == "1");
    let mut query = list_query(q, &t)?;
    let at = state.not_future(&query.resource_version).map_err(|e| match e.code {
        // Nobody caught it on its way.
        400 => ApiError::internal(e.message.trim_start_matches("invalid resource version: ")),
        _ => e,
    })?;
    query.exact = false;
    let start = if yes("sendInitialEvents") {
        if q.get("resourceVersionMatch").map(String::as_str) != Some("NotOlderThan") {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return Err(ApiError::options("ListOptions", Cause::forbidden("resourceVersionMatch", why)));
        }
        Start::CurrentThenBookmark
    } else if at == 0 {
        Start::Current
    } else {
        Start::After(at)
    };
    let seconds = q.get("timeoutSeconds").and_then(|s| s.parse().ok());
    let cursor = Cursor::open(state, t, query, start, yes("allowWatchBookmarks"))?;
    Ok(Answer::Watch { cursor: Box::new(cursor), presenter, seconds })
}

/// A watch event as one line of the stream.
pub(crate) fn event_line(kind: &str, object: Value, cursor: &Cursor, presenter: &Presenter) -> Vec<u8> {
    let object = match (kind, presenter.shape) {
        ("ERROR", _) => object,
        // Bookmarks carry no rows.
        ("BOOKMARK", Shape::Table) => {
            json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"], "columnDefinitions": [], "rows": []})
        }
        _ => presenter.object(cursor.target(), object),
    };
    let mut line = json!({"type": kind, "object": object}).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The answer to a request without or with a wrong token.
pub(crate) fn unauthorized() -> Value {
    ApiError::new(401, "Unauthorized", "Unauthorized").to_status()
}
