//! Shapes an answer takes: plain object, metadata only, Table; discovery and OpenAPI documents.

mod builtin_tables;
pub(crate) mod discovery;
pub(crate) mod jsonpath;
pub(crate) mod openapi;
mod table;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::verbs::{Page, Target};

/// How the client wants objects (`Accept`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    Metadata,
    Table,
}

/// What a Table row carries beside its cells (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Include {
    #[default]
    Metadata,
    Object,
    Nothing,
}

/// Answer format of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presenter {
    pub(crate) shape: Shape,
    pub(crate) include: Include,
    pub(crate) now: Timestamp,
    /// Whether a Table says what its columns are.
    pub(crate) described: bool,
}

impl Presenter {
    /// One object, or one watch event's object.
    pub(crate) fn object(&self, t: &Target, object: Value) -> Value {
        match self.shape {
            Shape::Plain => object,
            Shape::Metadata => metadata_only(&object),
            Shape::Table => {
                let rv = object["metadata"]["resourceVersion"].clone();
                table::table(t, &[object], json!({"resourceVersion": rv}), self)
            }
        }
    }

    /// A list.
    pub(crate) fn list(&self, t: &Target, page: Page) -> Value {
        let mut meta = json!({"resourceVersion": page.resource_version});
        if !page.next.is_empty() {
            meta["continue"] = json!(page.next);
        }
        if let Some(n) = page.remaining {
            meta["remainingItemCount"] = json!(n);
        }
        match self.shape {
            Shape::Table => table::table(t, &page.items, meta, self),
            Shape::Metadata => {
                let items: Vec<Value> = page.items.iter().map(metadata_only).collect();
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items})
            }
            Shape::Plain => {
                let mut items = page.items;
                if t.kind.custom {
                    // Always there, because these lists are no types of their own.
                    meta["continue"] = json!(page.next);
                } else {
                    // The list says of what kind they are.
                    for fields in items.iter_mut().filter_map(Value::as_object_mut) {
                        fields.remove("kind");
                        fields.remove("apiVersion");
                    }
                }
                json!({"kind": t.kind.list_kind, "apiVersion": t.kind.api_version(t.version), "metadata": meta, "items": items})
            }
        }
    }
}

fn metadata_only(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// Picks the first acceptable of what the client accepts.
pub(crate) fn negotiate(accept: &str) -> Result<Shape, ApiError> {
    let mut offered = false;
    for one in accept.split(',').map(str::trim).filter(|s| !s.is_empty()) {
        offered = true;
        let mut parts = one.split(';').map(str::trim);
        if !matches!(parts.next(), Some("application/json" | "*/*" | "application/*")) {
            continue;
        }
        let mut shape = Some(Shape::Plain);
        let mut version_known = true;
        for p in parts {
            match p.split_once('=') {
                Some(("as", "Table")) => shape = Some(Shape::Table),
                Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => shape = Some(Shape::Metadata),
                Some(("as", _)) => shape = None,
                Some(("v", v)) => version_known = v == "v1",
                _ => {}
            }
        }
        if shape != Some(Shape::Plain) && !version_known {
            continue;
        }
        if let Some(s) = shape {
            return Ok(s);
        }
    }
    if offered {
        Err(ApiError::lacking(406, &format!("answers in {accept}: only application/json")))
    } else {
        Ok(Shape::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_acceptable_media_type_wins() {
        for (accept, want) in [
            ("", Ok(Shape::Plain)),
            ("*/*", Ok(Shape::Plain)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Ok(Shape::Table)),
            ("application/vnd.kubernetes.protobuf,application/json", Ok(Shape::Plain)),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Ok(Shape::Metadata)),
            ("application/vnd.kubernetes.protobuf", Err(406)),
        ] {
            assert_eq!(negotiate(accept).map_err(|e| e.code), want, "{accept}");
        }
    }
}
