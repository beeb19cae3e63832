//! The scale subresource: `autoscaling/v1 Scale` over the paths of a CRD.

use serde_json::{Value, json};

use super::{Options, State, Target};
use crate::error::{ApiError, Cause};
use crate::kinds::Scale;

impl State {
    /// GET …/scale
    pub(crate) fn get_scale(&self, t: &Target) -> Result<Value, ApiError> {
        let paths = paths(t)?;
        Ok(show(&self.get(t)?, &paths))
    }

    /// PUT and PATCH …/scale
    pub(crate) fn modify_scale(
        &mut self,
        t: &Target,
        o: &mut Options,
        change: impl FnOnce(&Value) -> Result<Value, ApiError>,
    ) -> Result<Value, ApiError> {
        let paths = paths(t)?;
        let now = show(&self.get(t)?, &paths);
        let wanted = change(&now)?;
        let replicas = match &wanted["spec"]["replicas"] {
            Value::Null => 0,
            v => v.as_i64().ok_or_else(|| ApiError::bad_request("spec.replicas is no integer"))?,
        };
        let object = self.modify(t, false, o, |old| {
            let mut new = old.clone();
            if let Some(rv) = wanted["metadata"]["resourceVersion"].as_str() {
                new["metadata"]["resourceVersion"] = json!(rv);
            }
            let mut at = &mut new;
            for step in paths.spec.split('.') {
                if !at.is_object() {
                    *at = json!({});
                }
                at = &mut at[step];
            }
            *at = json!(replicas);
            Ok(new)
        })?;
        Ok(show(&object, &paths))
    }
}

impl Scale {
    /// Every write of an object has to leave a number that can be scaled.
    pub(super) fn check(&self, object: &Value) -> Option<Cause> {
        let replicas = at(object, &self.spec);
        let text = "should be a non-negative integer";
        replicas.as_i64().is_some_and(|n| n < 0).then(|| Cause::invalid(format!(".{}", self.spec), replicas, text))
    }
}

fn paths(t: &Target) -> Result<Scale, ApiError> {
    let scale = t.kind.versions[t.version].scale.clone();
    scale.ok_or_else(|| if t.kind.custom { t.not_found() } else { ApiError::no_resource() })
}

fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |v, step| &v[step])
}

fn show(object: &Value, paths: &Scale) -> Value {
    let m = &object["metadata"];
    let mut out = json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": m["name"], "namespace": m["namespace"], "uid": m["uid"],
            "resourceVersion": m["resourceVersion"], "creationTimestamp": m["creationTimestamp"]},
        "spec": {"replicas": at(object, &paths.spec).as_i64().unwrap_or(0)},
        "status": {"replicas": at(object, &paths.status).as_i64().unwrap_or(0)}});
    if let Some(selector) = paths.selector.as_deref().and_then(|p| at(object, p).as_str()) {
        out["status"]["selector"] = json!(selector);
    }
    out
}
