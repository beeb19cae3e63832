//! create, update, patch.

use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{CRDS, NAMESPACES, State, Target, deleting, finalizers, meta};
use crate::error::{ApiError, Cause};
use crate::kinds::{from_crd, prepare_crd};
use crate::schema::check;
use crate::store::Key;

/// What happens to fields the schema does not know (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Strictness {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of a write, and the warnings it leaves behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) dry_run: bool,
    pub(crate) strictness: Strictness,
    pub(crate) warnings: Vec<String>,
}

impl State {
    /// POST: returns the object as created.
    pub(crate) fn create(&mut self, t: &Target, mut body: Value, o: &mut Options) -> Result<Value, ApiError> {
        self.decode(t, &mut body, o)?;
        if t.kind.review {
            body["status"] = json!({"allowed": true, "reason": "kube-sim allows everything"});
            return Ok(body);
        }
        let mut t = t.clone();
        let version = &t.kind.versions[t.version];
        if version.status && !t.kind.status_on_create {
            remove(&mut body, "status");
        }
        let m = meta(&mut body);
        if m.get("resourceVersion").and_then(Value::as_str).is_some_and(|v| !v.is_empty()) {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        if t.kind.namespaced {
            let given = m.get("namespace").and_then(Value::as_str).unwrap_or_default();
            if !given.is_empty() && given != t.namespace {
                return Err(wrong_namespace(given, &t.namespace));
            }
            m.insert("namespace".into(), json!(t.namespace));
        } else {
            m.remove("namespace");
        }
        for own in ["selfLink", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            m.remove(own);
        }
        let mut name = m.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if name.is_empty() {
            let prefix = m.get("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
            if prefix.is_empty() {
                let text = "Required value: name or generateName is required";
                let cause = Cause::new("FieldValueRequired", "metadata.name", text);
                return Err(ApiError::invalid(&t.kind.group, &t.kind.kind, "", &[cause]));
            }
            // As the API server: the prefix is cut so that the suffix fits.
            let prefix: String = prefix.chars().take(58).collect();
            loop {
                name = format!("{prefix}{}", self.name_suffix());
                let key = Key { resource: t.kind.id.clone(), namespace: t.namespace.clone(), name: name.clone() };
                if self.store.get(&key).is_none() {
                    break;
                }
            }
        }
        t.name = name.clone();
        if t.kind.namespaced {
            self.namespace_takes(&t)?;
        }
        if self.store.get(&t.key()).is_some() {
            return Err(ApiError::already_exists(&t.kind.group, &t.kind.plural, &t.name));
        }
        let (uid, now) = (self.new_uid(), self.now_text());
        let m = meta(&mut body);
        m.insert("name".into(), json!(name));
        drop_empty(m);
        m.insert("uid".into(), json!(uid));
        m.insert("creationTimestamp".into(), json!(now));
        if t.kind.custom || &*t.kind.id == CRDS {
            m.insert("generation".into(), json!(1));
        }
        let body = self.finish(&t, body, None)?;
        if o.dry_run {
            return Ok(body);
        }
        let stored = self.put(t.key(), t.kind.store(body));
        let shown = t.show(&stored);
        self.settle();
        Ok(shown)
    }

    /// PUT and PATCH: `change` turns the current object into the wanted one.
    pub(crate) fn modify(
        &mut self,
        t: &Target,
        status: bool,
        o: &mut Options,
        change: impl FnOnce(&Value) -> Result<Value, ApiError>,
    ) -> Result<Value, ApiError> {
        let version = &t.kind.versions[t.version];
        if status && !version.status {
            return Err(ApiError::no_resource());
        }
        let stored = self.store.get(&t.key()).cloned().ok_or_else(|| t.not_found())?;
        let old = t.show(&stored);
        let mut new = change(&old)?;
        self.decode(t, &mut new, o)?;
        let uid = new["metadata"]["uid"].as_str().unwrap_or_default();
        if !uid.is_empty() && old["metadata"]["uid"] != uid {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                old["metadata"]["uid"].as_str().unwrap_or_default()
            );
            return Err(ApiError::conflict(&t.kind.group, &t.kind.plural, &t.name, &why));
        }
        let revision = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !revision.is_empty() && old["metadata"]["resourceVersion"] != revision {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(ApiError::conflict(&t.kind.group, &t.kind.plural, &t.name, why));
        }
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        if name != t.name {
            let text = format!("the name of the object ({name}) does not match the name on the URL ({})", t.name);
            return Err(ApiError::bad_request(text));
        }
        let namespace = new["metadata"]["namespace"].as_str().unwrap_or_default();
        if !namespace.is_empty() && namespace != t.namespace {
            return Err(wrong_namespace(namespace, &t.namespace));
        }
        let mut new = if status {
            let mut out = old.clone();
            move_field(&mut new, &mut out, "status");
            out
        } else {
            if version.status {
                move_field(&mut old.clone(), &mut new, "status");
            }
            new
        };
        keep_own_metadata(&old, &mut new);
        if deleting(&old) {
            let had = finalizers(&old);
            let added: Vec<String> = finalizers(&new).into_iter().filter(|f| !had.contains(f)).collect();
            if !added.is_empty() {
                let quoted: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
                let text = format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    quoted.join(", ")
                );
                let cause = Cause::forbidden("metadata.finalizers", text);
                return Err(ApiError::invalid(&t.kind.group, &t.kind.kind, &t.name, &[cause]));
            }
        }
        let mut new = self.finish(t, new, Some(&old))?;
        if (t.kind.custom || &*t.kind.id == CRDS) && spec_changed(&old, &new, version.status) {
            let next = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            meta(&mut new).insert("generation".into(), json!(next));
        }
        if o.dry_run {
            return Ok(new);
        }
        let mut new = t.kind.store(new);
        // The revision is compared above; here it must not count as a difference.
        new["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        if new == *stored {
            return Ok(old);
        }
        if deleting(&new) && finalizers(&new).is_empty() && &*t.kind.id != NAMESPACES {
            self.take(&t.key());
            new["metadata"]["resourceVersion"] = json!(self.store.revision().to_string());
            let shown = t.show(&new);
            self.settle();
            return Ok(shown);
        }
        let stored = self.put(t.key(), new);
        let shown = t.show(&stored);
        self.settle();
        Ok(shown)
    }

    /// Stores and marks for [`State::settle`]; the only way objects change.
    pub(super) fn put(&mut self, key: Key, object: Value) -> Arc<Value> {
        if &*key.resource == CRDS
            && let Ok(kind) = from_crd(&object)
        {
            self.kinds.add(kind);
        }
        self.dirty.insert(key.clone());
        self.store.put(key, object)
    }

    /// Kind and apiVersion must fit the path; unknown fields are dropped, named or refused.
    fn decode(&self, t: &Target, body: &mut Value, o: &mut Options) -> Result<(), ApiError> {
        if !body.is_object() {
            return Err(ApiError::bad_request("the object provided is unrecognized (must be of type Object)"));
        }
        let wanted = t.kind.api_version(t.version);
        for (field, want) in [("apiVersion", wanted.as_str()), ("kind", t.kind.kind.as_str())] {
            match body[field].as_str() {
                None | Some("") if t.kind.custom => {
                    return Err(ApiError::bad_request(format!("Object '{field}' is missing in the body")));
                }
                None | Some("") => body[field] = json!(want),
                Some(have) if have != want => {
                    return Err(ApiError::bad_request(format!(
                        "the {field} in the data ({have}) does not match the expected {field} ({want})"
                    )));
                }
                Some(_) => {}
            }
        }
        let maps = [&body["metadata"], &body["metadata"]["labels"], &body["metadata"]["annotations"]];
        if maps.iter().any(|m| !m.is_null() && !m.is_object()) {
            return Err(ApiError::bad_request("metadata, its labels and its annotations must be objects"));
        }
        let version = &t.kind.versions[t.version];
        let unknown = version.schema.prune(body);
        if !unknown.is_empty() && o.strictness != Strictness::Ignore {
            let words: Vec<String> = unknown.iter().map(|f| format!("unknown field \"{f}\"")).collect();
            if o.strictness == Strictness::Strict {
                let kind = &t.kind.kind;
                return Err(ApiError::bad_request(format!(
                    "{kind} in version \"{}\" cannot be handled as a {kind}: strict decoding error: {}",
                    version.name,
                    words.join(", ")
                )));
            }
            o.warnings.extend(words);
        }
        if let Some(text) = &version.deprecation {
            o.warnings.push(format!("{wanted} {} {text}", t.kind.kind));
        }
        Ok(())
    }

    /// Defaults, the per-kind touches, and validation.
    fn finish(&self, t: &Target, mut new: Value, old: Option<&Value>) -> Result<Value, ApiError> {
        let version = &t.kind.versions[t.version];
        version.schema.fill(&mut new);
        let invalid = |causes: &[Cause]| ApiError::invalid(&t.kind.group, &t.kind.kind, &t.name, causes);
        if !t.kind.custom {
            // The touches below index into the object: its shape has to be right before.
            let causes = check(&version.schema, &new, None);
            if !causes.is_empty() {
                return Err(invalid(&causes));
            }
            match t.kind.kind.as_str() {
                "Secret" => settle_secret(&mut new),
                "Namespace" => settle_namespace(&mut new),
                "CustomResourceDefinition" => prepare_crd(&mut new, &self.now_text()).map_err(|c| invalid(&c))?,
                "Pod" if new["status"]["phase"].is_null() => new["status"]["phase"] = json!("Pending"),
                _ => {}
            }
        }
        let mut causes = check_metadata(&new, &t.kind.group);
        causes.extend(check(&version.schema, &new, old));
        if causes.is_empty() { Ok(new) } else { Err(invalid(&causes)) }
    }

    fn namespace_takes(&self, t: &Target) -> Result<(), ApiError> {
        let key = Key { resource: NAMESPACES.into(), namespace: String::new(), name: t.namespace.clone() };
        let ns = self.store.get(&key).ok_or_else(|| ApiError::not_found("", "namespaces", &t.namespace))?;
        if deleting(ns) {
            let why =
                format!("unable to create new content in namespace {} because it is being terminated", t.namespace);
            return Err(ApiError::forbidden(&t.kind.group, &t.kind.plural, &t.name, &why));
        }
        Ok(())
    }
}

fn wrong_namespace(given: &str, wanted: &str) -> ApiError {
    ApiError::bad_request(format!(
        "the namespace of the provided object does not match the namespace sent on the request ({given} != {wanted})"
    ))
}

fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

/// Replaces `field` of `to` by that of `from`, absent included.
fn move_field(from: &mut Value, to: &mut Value, field: &str) {
    match from.as_object_mut().and_then(|f| f.remove(field)) {
        Some(v) => to[field] = v,
        None => remove(to, field),
    }
}

/// What only the server writes stays as it was.
fn keep_own_metadata(old: &Value, new: &mut Value) {
    let before = old["metadata"].as_object().cloned().unwrap_or_default();
    let m = meta(new);
    for own in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "namespace",
        "generateName",
    ] {
        match before.get(own) {
            Some(v) => m.insert(own.to_owned(), v.clone()),
            None => m.remove(own),
        };
    }
    m.remove("selfLink");
    m.remove("managedFields");
    drop_empty(m);
}

/// Empty labels, annotations and lists are not stored, so that removing the last entry and never having had one are equal.
fn drop_empty(m: &mut Map<String, Value>) {
    m.retain(|_, v| match v {
        Value::Object(o) => !o.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Null => false,
        _ => true,
    });
}

fn spec_changed(old: &Value, new: &Value, split: bool) -> bool {
    let rest = |o: &Value| {
        let mut f = o.as_object().cloned().unwrap_or_default();
        f.remove("metadata");
        if split {
            f.remove("status");
        }
        f
    };
    rest(old) != rest(new)
}

fn settle_secret(secret: &mut Value) {
    let Some(text) = secret.as_object_mut().and_then(|s| s.remove("stringData")) else {
        return;
    };
    for (name, v) in text.as_object().into_iter().flatten() {
        let bytes = v.as_str().unwrap_or_default();
        secret["data"][name] = json!(base64::engine::general_purpose::STANDARD.encode(bytes));
    }
}

pub(super) fn settle_namespace(ns: &mut Value) {
    if ns["spec"]["finalizers"].is_null() && !deleting(ns) {
        ns["spec"]["finalizers"] = json!(["kubernetes"]);
    }
    ns["metadata"]["labels"]["kubernetes.io/metadata.name"] = ns["metadata"]["name"].clone();
    ns["status"]["phase"] = json!(if deleting(ns) { "Terminating" } else { "Active" });
}

fn check_metadata(object: &Value, group: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    let m = &object["metadata"];
    let name = m["name"].as_str().unwrap_or_default();
    // Names of RBAC objects are path segments: they may hold colons and capitals.
    let good = if group == "rbac.authorization.k8s.io" {
        !matches!(name, "" | "." | "..") && !name.contains(['/', '%'])
    } else {
        is_subdomain(name)
    };
    if !good {
        let text = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        causes.push(Cause::invalid("metadata.name", &m["name"], text));
    }
    for (key, value) in m["labels"].as_object().into_iter().flatten() {
        if !is_qualified(key) {
            causes.push(Cause::invalid("metadata.labels", &json!(key), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
        let text = value.as_str();
        if !text.is_some_and(is_label_value) {
            causes.push(Cause::invalid("metadata.labels", value, "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, at most 63 characters"));
        }
    }
    for (key, value) in m["annotations"].as_object().into_iter().flatten() {
        if !is_qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
        if !value.is_string() {
            causes.push(Cause::invalid("metadata.annotations", value, "must be a string"));
        }
    }
    let owners: Vec<&Value> = m["ownerReferences"].as_array().into_iter().flatten().collect();
    for (i, owner) in owners.iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let text = format!("{field} must not be empty");
                causes.push(Cause::invalid(format!("metadata.ownerReferences[{i}].{field}"), &json!(""), text));
            }
        }
    }
    if owners.iter().filter(|o| o["controller"] == true).count() > 1 {
        causes.push(Cause::invalid(
            "metadata.ownerReferences",
            &json!("ownerReferences"),
            "Only one reference can have Controller set to true",
        ));
    }
    for (i, f) in finalizers(object).iter().enumerate() {
        if !is_qualified(f) {
            causes.push(Cause::invalid(
                format!("metadata.finalizers[{i}]"),
                &json!(f),
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    causes
}

fn is_subdomain(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= 253
        && name.split('.').all(|part| {
            edge(part.chars().next())
                && edge(part.chars().last())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
}

fn is_label_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.is_empty()
        || (text.len() <= 63
            && edge(text.chars().next())
            && edge(text.chars().last())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
}

fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !key.is_empty() && is_label_value(key),
    }
}
