//! `meta.k8s.io/v1 Table`: what `kubectl get` prints.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::builtin_tables;
use super::jsonpath::{Path, text};
use super::{Include, Presenter, metadata_only};
use crate::verbs::Target;

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

/// Header and cell maker of one column.
pub(super) struct Col {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) format: String,
    pub(super) description: String,
    pub(super) priority: i64,
}

impl Col {
    pub(super) fn new(name: &str, kind: &str, priority: i64) -> Self {
        let (format, description) = if name == "Name" { ("name", NAME) } else { ("", "") };
        Self { name: name.into(), kind: kind.into(), format: format.into(), description: description.into(), priority }
    }
}

pub(super) fn table(t: &Target, items: &[Value], meta: Value, p: &Presenter) -> Value {
    let version = &t.kind.versions[t.version];
    let (cols, rows): (Vec<Col>, Vec<Vec<Value>>) = if t.kind.custom {
        let paths: Vec<Option<Path>> = version.columns.iter().map(|c| Path::parse(&c.path)).collect();
        let mut cols = vec![Col::new("Name", "string", 0)];
        cols.extend(version.columns.iter().map(|c| Col {
            name: c.name.clone(),
            kind: c.kind.clone(),
            format: c.format.clone(),
            description: c.description.clone(),
            priority: c.priority,
        }));
        let rows = items
            .iter()
            .map(|item| {
                let mut cells = vec![item["metadata"]["name"].clone()];
                for (c, path) in version.columns.iter().zip(&paths) {
                    let found = path.as_ref().and_then(|p| p.find(item).first().copied().cloned());
                    cells.push(cell(&c.kind, found, p.now));
                }
                cells
            })
            .collect();
        (cols, rows)
    } else {
        builtin_tables::columns(&t.kind.kind, items, p.now)
    };
    let rows: Vec<Value> = rows
        .into_iter()
        .zip(items)
        .map(|(cells, item)| {
            let mut row = json!({"cells": cells});
            match p.include {
                Include::Metadata => row["object"] = metadata_only(item),
                Include::Object => row["object"] = item.clone(),
                Include::Nothing => row["object"] = Value::Null,
            }
            row
        })
        .collect();
    let column = |c: &Col| json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority});
    let columns: Option<Vec<Value>> = p.described.then(|| cols.iter().map(column).collect());
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": columns, "rows": rows})
}

fn cell(kind: &str, value: Option<Value>, now: Timestamp) -> Value {
    match (kind, value) {
        (_, None) => Value::Null,
        ("date", Some(v)) => json!(age(v.as_str(), now)),
        ("integer", Some(v)) => v.as_i64().map_or(Value::Null, Value::from),
        ("number", Some(v)) => {
            if v.is_number() {
                v
            } else {
                Value::Null
            }
        }
        ("boolean", Some(v)) => {
            if v.is_boolean() {
                v
            } else {
                Value::Null
            }
        }
        (_, Some(Value::Null)) => Value::Null,
        (_, Some(v)) => json!(text(&v)),
    }
}

/// Time since, as kubectl shows ages.
pub(super) fn age(since: Option<&str>, now: Timestamp) -> String {
    match since {
        None => "<unknown>".to_owned(),
        Some(t) => match t.parse::<Timestamp>() {
            Ok(t) => human(now.as_second() - t.as_second()),
            Err(_) => "<invalid>".to_owned(),
        },
    }
}

fn human(seconds: i64) -> String {
    let two = |a: i64, unit: &str, b: i64, small: &str| {
        if b == 0 { format!("{a}{unit}") } else { format!("{a}{unit}{b}{small}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        for (seconds, want) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (600, "10m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 300, "3h5m"),
            (47 * 3600, "47h"),
            (49 * 3600, "2d1h"),
            (20 * 86400, "20d"),
            (800 * 86400, "2y70d"),
            (-5, "<invalid>"),
        ] {
            assert_eq!(human(seconds), want, "{seconds}");
        }
    }
}
