//! The kinds that are there without a CRD. Their schemas are small and ours: what the API server checks on them in
//! thousands of lines is mostly not checked here (see `GAPS.md`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Kind, Version};
use crate::schema::Schema;

struct Spec {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    status: bool,
    fields: &'static [&'static str],
    /// Properties beside apiVersion, kind and metadata.
    properties: Value,
    description: &'static str,
}

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

const NEW_EVENT_FIELDS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

/// How `events.k8s.io` shows what core/v1 stores.
const NEW_EVENT_VIEW: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
];

fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn text() -> Value {
    json!({"type": "string"})
}

/// Times of Leases and Events have six digits after the point, neither more nor less.
fn micro_time() -> Value {
    json!({"type": "string", "format": "micro-time", "nullable": true})
}

fn strings_by_name() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn open_list() -> Value {
    json!({"type": "array", "items": open()})
}

fn rbac_rules() -> Value {
    json!({"type": "array", "items": {"type": "object", "properties": {
        "apiGroups": {"type": "array", "items": text()}, "resources": {"type": "array", "items": text()},
        "resourceNames": {"type": "array", "items": text()}, "nonResourceURLs": {"type": "array", "items": text()},
        "verbs": {"type": "array", "items": text()}}}})
}

fn rbac(kind: &'static str, plural: &'static str, namespaced: bool, properties: Value) -> Spec {
    Spec {
        group: "rbac.authorization.k8s.io",
        version: "v1",
        kind,
        plural,
        short: &[],
        namespaced,
        status: false,
        fields: &[],
        properties,
        description: "Stored, but not enforced: every caller may do everything.",
    }
}

fn core(kind: &'static str, plural: &'static str, short: &'static [&'static str], properties: Value) -> Spec {
    Spec {
        group: "",
        version: "v1",
        kind,
        plural,
        short,
        namespaced: true,
        status: false,
        fields: &[],
        properties,
        description: "",
    }
}

fn event_properties(new: bool) -> Value {
    let names = |old: &'static str, fresh: &'static str| if new { fresh } else { old };
    let mut p = json!({"action": text(), "reason": text(), "type": text(), "eventTime": micro_time(),
        "reportingInstance": text(), "series": open(), "related": open()});
    for (old, fresh, schema) in [
        ("involvedObject", "regarding", open()),
        ("message", "note", text()),
        ("reportingComponent", "reportingController", text()),
        ("count", "deprecatedCount", json!({"type": "integer"})),
        (
            "firstTimestamp",
            "deprecatedFirstTimestamp",
            json!({"type": "string", "format": "date-time", "nullable": true}),
        ),
        (
            "lastTimestamp",
            "deprecatedLastTimestamp",
            json!({"type": "string", "format": "date-time", "nullable": true}),
        ),
        ("source", "deprecatedSource", open()),
    ] {
        p[names(old, fresh)] = schema;
    }
    p
}

fn specs() -> Vec<Spec> {
    let mut out = vec![
        Spec {
            namespaced: false,
            status: true,
            fields: &["status.phase"],
            description: "A scope for names.",
            ..core(
                "Namespace",
                "namespaces",
                &["ns"],
                json!({
                "spec": {"type": "object", "default": {}, "properties": {"finalizers": {"type": "array", "items": text()}}},
                "status": open()}),
            )
        },
        Spec {
            namespaced: false,
            status: true,
            fields: &["spec.unschedulable"],
            description: "A machine that runs Pods.",
            ..core(
                "Node",
                "nodes",
                &["no"],
                json!({
                "spec": {"type": "object", "default": {}, "x-kubernetes-preserve-unknown-fields": true, "properties": {
                    "podCIDR": text(), "podCIDRs": {"type": "array", "items": text()},
                    "providerID": {"type": "string", "description": "ID of the node given by the cloud provider."},
                    "unschedulable": {"type": "boolean"}, "taints": open_list()}},
                "status": open()}),
            )
        },
        Spec {
            status: true,
            fields: &["spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase", "status.podIP"],
            description: "Stored only: nothing schedules or runs it.",
            ..core("Pod", "pods", &["po"], json!({"spec": open(), "status": open()}))
        },
        Spec {
            fields: &["type"],
            description: "Data that should not be shown.",
            ..core(
                "Secret",
                "secrets",
                &[],
                json!({
                "data": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
                "stringData": strings_by_name(), "type": {"type": "string", "default": "Opaque"},
                "immutable": {"type": "boolean"}}),
            )
        },
        Spec {
            description: "Plain data.",
            ..core(
                "ConfigMap",
                "configmaps",
                &["cm"],
                json!({
                "data": strings_by_name(), "binaryData": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
                "immutable": {"type": "boolean"}}),
            )
        },
        Spec {
            fields: EVENT_FIELDS,
            description: "Something that happened to an object.",
            ..core("Event", "events", &["ev"], event_properties(false))
        },
        core(
            "ServiceAccount",
            "serviceaccounts",
            &["sa"],
            json!({
            "secrets": open_list(), "imagePullSecrets": open_list(), "automountServiceAccountToken": {"type": "boolean"}}),
        ),
        Spec {
            status: true,
            fields: &["spec.clusterIP", "spec.type"],
            description: "Stored only: no address is assigned.",
            ..core(
                "Service",
                "services",
                &["svc"],
                json!({
                "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"type": {"type": "string", "default": "ClusterIP"}}},
                "status": open()}),
            )
        },
        core("Endpoints", "endpoints", &["ep"], json!({"subsets": open_list()})),
        Spec {
            group: "events.k8s.io",
            fields: NEW_EVENT_FIELDS,
            description: "Something that happened to an object; the same objects as core/v1 Events.",
            ..core("Event", "events", &["ev"], event_properties(true))
        },
        Spec {
            group: "coordination.k8s.io",
            description: "A claim on a role, renewed by its holder.",
            ..core(
                "Lease",
                "leases",
                &[],
                json!({"spec": {"type": "object", "properties": {
                "holderIdentity": text(), "leaseDurationSeconds": {"type": "integer"},
                "acquireTime": micro_time(), "renewTime": micro_time(), "leaseTransitions": {"type": "integer"},
                "preferredHolder": text(), "strategy": text()}}}),
            )
        },
        Spec {
            group: "apiextensions.k8s.io",
            namespaced: false,
            status: true,
            description: "Makes a kind.",
            ..core(
                "CustomResourceDefinition",
                "customresourcedefinitions",
                &["crd", "crds"],
                json!({"spec": open(), "status": open()}),
            )
        },
        Spec {
            group: "authorization.k8s.io",
            namespaced: false,
            description: "Answers that the caller may do it.",
            ..core(
                "SelfSubjectAccessReview",
                "selfsubjectaccessreviews",
                &[],
                json!({"spec": open(), "status": open()}),
            )
        },
    ];
    out.push(rbac("Role", "roles", true, json!({"rules": rbac_rules()})));
    out.push(rbac("ClusterRole", "clusterroles", false, json!({"rules": rbac_rules(), "aggregationRule": open()})));
    let binding = || json!({"subjects": open_list(), "roleRef": open()});
    out.push(rbac("RoleBinding", "rolebindings", true, binding()));
    out.push(rbac("ClusterRoleBinding", "clusterrolebindings", false, binding()));
    out
}

pub(super) fn all() -> Vec<Kind> {
    specs().into_iter().map(build).collect()
}

fn build(s: Spec) -> Kind {
    let published = json!({"type": "object", "description": s.description, "properties": s.properties});
    // Our own constants: a mistake shows in `every_built_in_schema_is_well_formed`.
    let schema = Schema::parse(&published, "schema").unwrap_or_default();
    let view = s.group == "events.k8s.io";
    let home = if view { "" } else { s.group };
    Kind {
        id: Arc::from(format!("{}.{home}", s.plural)),
        group: s.group.to_owned(),
        kind: s.kind.to_owned(),
        list_kind: format!("{}List", s.kind),
        plural: s.plural.to_owned(),
        singular: s.kind.to_lowercase(),
        short_names: s.short.iter().map(|x| (*x).to_owned()).collect(),
        categories: if s.kind == "CustomResourceDefinition" { vec!["api-extensions".to_owned()] } else { Vec::new() },
        namespaced: s.namespaced,
        stored_api_version: if home.is_empty() { s.version.to_owned() } else { format!("{home}/{}", s.version) },
        versions: vec![Version {
            name: s.version.to_owned(),
            served: true,
            deprecation: None,
            schema,
            published,
            status: s.status,
            scale: None,
            columns: Vec::new(),
            selectable: Vec::new(),
        }],
        custom: false,
        status_on_create: matches!(s.kind, "Node" | "Pod" | "Namespace" | "CustomResourceDefinition"),
        fields: s.fields.to_vec(),
        view: if view { NEW_EVENT_VIEW } else { &[] },
        review: s.kind == "SelfSubjectAccessReview",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_schema_is_well_formed() {
        for s in specs() {
            let json = json!({"type": "object", "properties": s.properties});
            assert_eq!(Schema::parse(&json, s.kind).err(), None, "{}", s.kind);
        }
    }
}
