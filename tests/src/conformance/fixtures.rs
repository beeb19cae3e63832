//! Kinds that the cases play with.

use serde_json::{Value, json};

/// Path of CRDs.
pub(super) const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Group of the kinds that all cases of a run share.
pub(super) fn group(run: &str) -> String {
    format!("{run}.example.com")
}

/// Group of our own kinds under another name: nobody's controller acts on them, and they may be there already.
pub(super) fn maas_group(run: &str) -> String {
    format!("{run}.maas.example.com")
}

/// Our own CRDs as they are released, but for their group.
fn ours(run: &str) -> Vec<Value> {
    let group = maas_group(run);
    let all = capi_types::crds().into_iter().filter_map(|crd| serde_json::to_value(crd).ok());
    all.map(|mut crd| {
        crd["spec"]["group"] = json!(group);
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
        crd["metadata"]["name"] = json!(format!("{plural}.{group}"));
        crd
    })
    .collect()
}

/// The shared kinds. Widget has all that a kind can have; Box is cluster-scoped and has no subresources; and our own.
pub(super) fn shared(run: &str) -> Vec<Value> {
    let group = group(run);
    let mut widget = crd(&group, "Widget", "widgets", &[]);
    widget["spec"]["names"]["shortNames"] = json!(["wg"]);
    widget["spec"]["names"]["categories"] = json!(["toys"]);
    let columns = json!([
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status",
            "description": "Whether it is."},
        {"name": "Cluster", "type": "string", "jsonPath": ".metadata.labels['example\\.com/cluster']"},
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags", "priority": 1},
        {"name": "Even", "type": "boolean", "jsonPath": ".spec.even"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]);
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "additionalPrinterColumns": columns,
            "schema": {"openAPIV3Schema": widget_schema()},
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}}})
    };
    let mut old = version("v1beta1", false);
    old["deprecated"] = json!(true);
    old["deprecationWarning"] = json!("Widgets of v1beta1 are of the past");
    let mut older = version("v1alpha1", false);
    older["served"] = json!(false);
    widget["spec"]["versions"] = json!([version("v1", true), old, older]);

    let mut cardboard = crd(&group, "Box", "boxes", &[]);
    cardboard["spec"]["scope"] = json!("Cluster");
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
        "x-kubernetes-preserve-unknown-fields": true}, "status": {"type": "object", "properties": {"full": {"type": "boolean"}}}}});
    cardboard["spec"]["versions"] =
        json!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]);
    let mut all = vec![widget, cardboard];
    all.extend(ours(run));
    all
}

/// A CRD of one version, v1, with these properties of `spec`.
pub(super) fn crd(group: &str, kind: &str, plural: &str, properties: &[(&str, Value)]) -> Value {
    let properties: serde_json::Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}}}]}})
}

fn widget_schema() -> Value {
    json!({"type": "object", "description": "A thing to play with.", "properties": {
        "spec": {"type": "object", "description": "What is wanted.",
            "x-kubernetes-validations": [
                {"rule": "!has(self.size) || self.size <= 50 || self.color != 'red'", "message": "red ones have at most 50"},
                {"rule": "!has(oldSelf.id) || has(self.id) && self.id == oldSelf.id",
                    "message": "id cannot change once set", "reason": "FieldValueForbidden", "fieldPath": ".id"}],
            "properties": {
                "color": {"type": "string", "enum": ["red", "blue"], "default": "red", "description": "What it looks like."},
                "size": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 100},
                "weight": {"type": "number"},
                "even": {"type": "boolean"},
                "replicas": {"type": "integer", "minimum": 0, "default": 1,
                    "x-kubernetes-validations": [{"rule": "self < 1000", "message": "must be less than 1000"}]},
                "id": {"type": "string", "minLength": 2, "maxLength": 8, "pattern": "^[a-z]+$"},
                "host": {"type": "string", "maxLength": 64,
                    "x-kubernetes-validations": [{"rule": "self.matches('^[a-z.]+$')", "messageExpression": "'host must be a name, not ' + self"}]},
                "serial": {"type": "string", "maxLength": 64, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "serial is for ever"}]},
                "note": {"type": "string", "nullable": true},
                "port": {"x-kubernetes-int-or-string": true},
                "tags": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "parts": {"type": "array", "maxItems": 8, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string"},
                        "count": {"type": "integer", "default": 1,
                            "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "parts are never removed"}]}}}},
                "sizes": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "integer"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "either": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                    "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
                "inner": {"type": "object", "required": ["must"], "properties": {
                    "must": {"type": "string"}, "deep": {"type": "object", "default": {}, "properties": {
                        "leaf": {"type": "string", "default": "green"}}}}},
                "since": {"type": "string", "format": "date-time"},
            }},
        "status": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"},
            "conditions": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                "items": {"type": "object", "required": ["type", "status"], "properties": {
                    "type": {"type": "string"}, "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                    "reason": {"type": "string"}, "message": {"type": "string"},
                    "lastTransitionTime": {"type": "string", "format": "date-time"}}}}}},
    }})
}

/// A ConfigMap with one entry.
pub(super) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

/// The same, owned.
pub(super) fn owned(name: &str, owners: &[(&str, &str)]) -> Value {
    let mut object = config_map(name);
    let references = owners
        .iter()
        .map(|(name, uid)| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "blockOwnerDeletion": true}));
    object["metadata"]["ownerReferences"] = references.collect();
    object
}

/// The same object with labels.
pub(super) fn labelled(mut object: Value, labels: &[(&str, &str)]) -> Value {
    for (name, value) in labels {
        object["metadata"]["labels"][*name] = json!(value);
    }
    object
}
