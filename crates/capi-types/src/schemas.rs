//! Hand-written schemas for fields whose Rust type says less, or more, than the API server should ask for.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Schema of `status.conditions`: metav1.Condition, but only `type` and `status` required, because conditions stored by the
/// Go provider ≤ v0.8 (Cluster API's own type) may lack reason and message and must not block other writes.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "Name of the condition, in CamelCase."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False or Unknown."},
                "reason": {"type": "string", "maxLength": 1024, "description": "One CamelCase word for programs: why the condition has this status."},
                "message": {"type": "string", "maxLength": 32768, "description": "For people: what is so, which field or machine, what to do."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When the status last changed."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "description": "metadata.generation that was looked at."},
                "severity": {"type": "string", "description": "Only in conditions stored by the Go provider up to v0.8; never written."}
            }
        }
    })
}

/// Schema of `status.capacity`: quantities by resource name, as the cluster autoscaler reads them.
pub(crate) fn capacity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
        }
    })
}

/// Schema of a short list of times.
pub(crate) fn times(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 16, "items": { "type": "string", "format": "date-time" } })
}
