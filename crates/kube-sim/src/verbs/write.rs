//! create, update, patch.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::metadata::{check_metadata, warnings};
use super::{CRDS, NAMESPACES, State, Target, deleting, finalizers, meta, native};
use crate::error::{ApiError, Cause};
use crate::kinds::{from_crd, prepare_crd};
use crate::schema::{blocks_rules, check_rules, check_shape};
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
    /// The change is a patch, whose mistakes are told otherwise.
    pub(crate) patching: bool,
    /// Fields that the body has twice.
    pub(crate) duplicates: Vec<String>,
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
            return Err(ApiError::internal("resourceVersion should not be set on objects to be created"));
        }
        if t.kind.namespaced {
            let given = m.get("namespace").and_then(Value::as_str).unwrap_or_default();
            if !given.is_empty() && given != t.namespace {
                return Err(wrong_namespace());
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
                let mut causes = vec![Cause::new("FieldValueRequired", "metadata.name", text)];
                if version.schema.has_rules() {
                    causes.push(rules_not_asked());
                }
                return Err(ApiError::invalid(&t.kind.group, &t.kind.kind, "", &causes));
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
        o.warnings.extend(warnings(&body, &t.kind));
        // What exists is looked at last: a bad object is told that it is bad.
        if self.store.get(&t.key()).is_some() {
            return Err(ApiError::already_exists(&t.kind.group, &t.kind.plural, &t.name));
        }
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
            return Err(if t.kind.custom { t.not_found() } else { ApiError::no_resource() });
        }
        let stored = self.store.get(&t.key()).cloned().ok_or_else(|| t.not_found())?;
        let old = t.show(&stored);
        let mut new = change(&old)?;
        self.decode(t, &mut new, o)?;
        let uid = new["metadata"]["uid"].as_str().unwrap_or_default();
        if !uid.is_empty() && old["metadata"]["uid"] != uid {
            if o.patching {
                let cause = Cause::immutable("metadata.uid", &new["metadata"]["uid"]);
                return Err(ApiError::invalid(&t.kind.group, &t.kind.kind, &t.name, &[cause]));
            }
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                t.registry_path(),
                old["metadata"]["uid"].as_str().unwrap_or_default()
            );
            return Err(ApiError::conflict(&t.kind.group, &t.kind.plural, &t.name, &why));
        }
        let revision = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if t.kind.custom && revision.is_empty() {
            let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            return Err(ApiError::invalid(&t.kind.group, &t.kind.plural, &t.name, &[cause]));
        }
        if !revision.is_empty() && old["metadata"]["resourceVersion"] != revision {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(ApiError::conflict(&t.kind.group, &t.kind.plural, &t.name, why));
        }
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            let text =
                format!("the name of the object ({} based on URL) was undeterminable: name must be provided", t.name);
            return Err(ApiError::bad_request(text));
        }
        if name != t.name {
            let text = format!("the name of the object ({name}) does not match the name on the URL ({})", t.name);
            return Err(ApiError::bad_request(text));
        }
        let namespace = new["metadata"]["namespace"].as_str().unwrap_or_default();
        if !namespace.is_empty() && namespace != t.namespace {
            return Err(wrong_namespace());
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
        let kind = &t.kind.kind;
        match body["kind"].as_str() {
            None | Some("") if t.kind.custom => {
                return Err(ApiError::bad_request(format!(
                    "the object provided is unrecognized (must be of type {kind}): Object 'Kind' is missing"
                )));
            }
            None | Some("") => body["kind"] = json!(kind),
            Some(have) if have != kind && t.kind.custom => {
                let cause = Cause::invalid("kind", &body["kind"], format!("must be {kind}"));
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                return Err(ApiError::invalid(&t.kind.group, have, name, &[cause]));
            }
            Some(have) if have != kind => {
                let version = &t.kind.versions[t.version].name;
                return Err(ApiError::bad_request(format!(
                    "{have} in version \"{version}\" cannot be handled as a {kind}: converting ({version}.{have}) to (core.{kind}): unknown conversion"
                )));
            }
            Some(_) => {}
        }
        match body["apiVersion"].as_str() {
            None | Some("") if t.kind.custom => {
                return Err(ApiError::bad_request(format!(
                    "{kind} in version \"\" cannot be handled as a {kind}: .apiVersion is missing"
                )));
            }
            None | Some("") => body["apiVersion"] = json!(wanted),
            Some(have) if have != wanted => {
                return Err(ApiError::bad_request(format!(
                    "the API version in the data ({have}) does not match the expected API version ({wanted})"
                )));
            }
            Some(_) => {}
        }
        let maps = [&body["metadata"], &body["metadata"]["labels"], &body["metadata"]["annotations"]];
        if maps.iter().any(|m| !m.is_null() && !m.is_object()) {
            return Err(ApiError::bad_request("metadata, its labels and its annotations must be objects"));
        }
        let version = &t.kind.versions[t.version];
        let unknown = version.schema.prune(body);
        let twice = o.duplicates.drain(..).map(|f| format!("duplicate field \"{f}\""));
        let words: Vec<String> = twice.chain(unknown.iter().map(|f| format!("unknown field \"{f}\""))).collect();
        if !words.is_empty() && o.strictness != Strictness::Ignore {
            if o.strictness == Strictness::Strict {
                let words = format!("strict decoding error: {}", words.join(", "));
                if o.patching {
                    let cause = Cause::invalid("patch", &json!(body.to_string()), words);
                    return Err(ApiError::invalid("", "", "", &[cause]));
                }
                return Err(ApiError::bad_request(format!(
                    "{kind} in version \"{}\" cannot be handled as a {kind}: {words}",
                    version.name,
                )));
            }
            o.warnings.extend(words);
        }
        Ok(())
    }

    /// Defaults, the per-kind touches, and validation.
    fn finish(&self, t: &Target, mut new: Value, old: Option<&Value>) -> Result<Value, ApiError> {
        let version = &t.kind.versions[t.version];
        version.schema.fill(&mut new);
        let invalid = |causes: &[Cause]| ApiError::invalid(&t.kind.group, &t.kind.kind, &t.name, causes);
        let mut causes = Vec::new();
        if !t.kind.custom {
            // The touches below index into the object: its shape has to be right before. The API server does not even
            // get to validation: the object does not fit its types.
            if let Some(cause) = check_shape(&version.schema, &new, None).into_iter().next() {
                let kind = &t.kind.kind;
                return Err(ApiError::bad_request(format!(
                    "{kind} in version \"{}\" cannot be handled as a {kind}: {}: {}",
                    version.name, cause.field, cause.message
                )));
            }
            native::settle(&t.kind, &mut new);
            causes.extend(native::check(&t.kind, &new, old));
            if &*t.kind.id == CRDS && causes.is_empty() {
                prepare_crd(&mut new, &self.now_text()).map_err(|c| invalid(&c))?;
            }
        }
        causes.extend(check_metadata(&new, &t.kind));
        if t.kind.custom {
            causes.extend(check_shape(&version.schema, &new, old));
            if let Some(scale) = &version.scale {
                causes.extend(scale.check(&new));
            }
            if version.schema.has_rules() {
                if blocks_rules(&causes) {
                    causes.push(rules_not_asked());
                } else {
                    causes.extend(check_rules(&version.schema, &new, old));
                }
            }
        }
        if causes.is_empty() { Ok(new) } else { Err(invalid(&causes)) }
    }

    fn namespace_takes(&self, t: &Target) -> Result<(), ApiError> {
        let key = Key { resource: NAMESPACES.into(), namespace: String::new(), name: t.namespace.clone() };
        let ns = self.store.get(&key).ok_or_else(|| ApiError::not_found("", "namespaces", &t.namespace))?;
        if deleting(ns) {
            let why =
                format!("unable to create new content in namespace {} because it is being terminated", t.namespace);
            let mut e = ApiError::forbidden(&t.kind.group, &t.kind.plural, &t.name, &why);
            let text = format!("namespace {} is being terminated", t.namespace);
            e.details["causes"] =
                json!([{"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}]);
            return Err(e);
        }
        Ok(())
    }
}

fn wrong_namespace() -> ApiError {
    ApiError::bad_request("the namespace of the provided object does not match the namespace sent on the request")
}

fn rules_not_asked() -> Cause {
    let text = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
    Cause::invalid("<nil>", &Value::Null, text)
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
