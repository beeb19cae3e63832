//! Stable names for what differs between two servers; `mod.rs` lists them.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

fn regex(text: &str) -> Regex {
    Regex::new(text).expect("a constant, which the tests read")
}

static UID: LazyLock<Regex> = LazyLock::new(|| regex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
static TIME: LazyLock<Regex> = LazyLock::new(|| regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"));
static AGE: LazyLock<Regex> = LazyLock::new(|| regex(r"^(\d+[smhdy])+$"));
/// Places in messages where a version stands.
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(resource version: |current: |resource version: <revision> \(|ResourceVersion in [a-z ]+[(:] ?)(\d+)")
});

/// What the names of one case stand for.
#[derive(Debug, Default)]
pub(super) struct Names {
    literal: Vec<(String, String)>,
    uids: Vec<String>,
    versions: Vec<String>,
    generated: usize,
}

/// Place of `item` in `known`, from 1; added if it is new.
fn number(known: &mut Vec<String>, item: &str) -> usize {
    known.iter().position(|have| have == item).unwrap_or_else(|| {
        known.push(item.to_owned());
        known.len() - 1
    }) + 1
}

impl Names {
    /// Names of a case in a run.
    pub(super) fn new(case: &str, run: &str) -> Self {
        // The case's name begins with the run's.
        let literal = vec![(case.to_owned(), "<case>".to_owned()), (run.to_owned(), "<run>".to_owned())];
        Self { literal, ..Self::default() }
    }

    /// Learns the name that the server made of `generateName`.
    pub(super) fn learn_generated(&mut self, sent: &Value, answer: &Value) {
        let (Some(prefix), None) = (sent["metadata"]["generateName"].as_str(), sent["metadata"]["name"].as_str())
        else {
            return;
        };
        if let Some(name) = answer["metadata"]["name"].as_str().filter(|name| name.len() > prefix.len()) {
            self.generated += 1;
            let length = name.len() - prefix.len();
            self.literal.insert(0, (name.to_owned(), format!("{prefix}<generated-{}:{length}>", self.generated)));
        }
    }

    /// A path with its query.
    pub(super) fn path(&mut self, path: &str) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = self.text(path);
        if query.is_empty() {
            return path;
        }
        let parts: Vec<String> = query
            .split('&')
            .map(|part| match part.split_once('=') {
                Some(("continue", token)) if token.len() > 20 => "continue=<continue>".to_owned(),
                Some(("resourceVersion", version))
                    if version.len() < 10 && version.parse::<u64>().is_ok_and(|v| v > 1) =>
                {
                    "resourceVersion=<revision>".to_owned()
                }
                _ => self.text(part),
            })
            .collect();
        format!("{path}?{}", parts.join("&"))
    }

    /// A watch event.
    pub(super) fn event(&mut self, event: &Value) -> Value {
        let Some(kind) = event["type"].as_str() else { return self.value(event) };
        let mut out = Map::new();
        out.insert("type".into(), Value::from(kind));
        out.insert("object".into(), self.at("", &event["object"], kind == "BOOKMARK"));
        Value::Object(out)
    }

    /// Any JSON.
    pub(super) fn value(&mut self, value: &Value) -> Value {
        self.at("", value, false)
    }

    /// `collection`: its version is that of a collection, not of one object.
    fn at(&mut self, name: &str, value: &Value, collection: bool) -> Value {
        match value {
            Value::Object(fields) => {
                let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
                let collection =
                    collection || (kind.ends_with("List") && fields.contains_key("items")) || kind == "Table";
                // In the order of their names, whatever order the map keeps: numbers are given in this order.
                let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
                sorted.sort_by_key(|(name, _)| *name);
                let mut out = Map::new();
                for (field, inner) in sorted {
                    if matches!(field.as_str(), "managedFields" | "selfLink") {
                        continue;
                    }
                    // Of what is picked, the last step of the pointer says what it is.
                    let what = field.rsplit('/').next().unwrap_or(field);
                    let inner = self.at(what, inner, collection && (field == "metadata" || name == "metadata"));
                    out.insert(self.text(field), inner);
                }
                Value::Object(out)
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|item| self.at(name, item, false)).collect();
                if name == "causes" {
                    let all = std::mem::take(&mut items);
                    for cause in all {
                        if !items.contains(&cause) {
                            items.push(cause);
                        }
                    }
                }
                Value::Array(items)
            }
            Value::String(text) => Value::from(match name {
                "resourceVersion" if collection => "<revision>".to_owned(),
                "resourceVersion" if text.parse::<u64>().is_ok_and(|version| version > 1) => {
                    format!("<rv-{}>", number(&mut self.versions, text))
                }
                "continue" if !text.is_empty() => "<continue>".to_owned(),
                "cells" if AGE.is_match(text) => "<age>".to_owned(),
                _ => self.text(text),
            }),
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str) -> String {
        let mut out = text.to_owned();
        for (from, to) in &self.literal {
            out = out.replace(from, to);
        }
        let out = UID.replace_all(&out, |found: &Captures<'_>| format!("<uid-{}>", number(&mut self.uids, &found[0])));
        let out = TIME.replace_all(&out, |found: &Captures<'_>| match &found[0] {
            ours if ours.starts_with("2020-") => ours.to_owned(),
            _ => "<time>".to_owned(),
        });
        let mut out = out.into_owned();
        // Twice: the second version in a message stands behind the first.
        for _ in 0..2 {
            out = VERSION.replace_all(&out, "$1<revision>").into_owned();
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_between_servers_is_numbered_and_what_relates_stays_visible() {
        let mut names = Names::new("run7-c001", "run7");
        let uid = "12345678-1234-1234-1234-123456789abc";
        let object = json!({"metadata": {"namespace": "run7-c001", "uid": uid, "resourceVersion": "17",
            "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [], "labels": {"run7.io/a": "2020-01-01T00:00:00Z"}}});
        assert_eq!(
            names.value(
                &json!([object, {"metadata": {"resourceVersion": "18"}}, {"metadata": {"resourceVersion": "17"}}])
            ),
            json!([{"metadata": {"namespace": "<case>", "uid": "<uid-1>", "resourceVersion": "<rv-1>",
                "creationTimestamp": "<time>", "labels": {"<run>.io/a": "2020-01-01T00:00:00Z"}}},
                {"metadata": {"resourceVersion": "<rv-2>"}}, {"metadata": {"resourceVersion": "<rv-1>"}}])
        );
        let list = json!({"kind": "WidgetList", "metadata": {"resourceVersion": "99", "continue": "abc"}, "items": []});
        assert_eq!(names.value(&list)["metadata"], json!({"resourceVersion": "<revision>", "continue": "<continue>"}));
        assert_eq!(
            names.path("/api/run7-c001?watch=1&resourceVersion=17"),
            "/api/<case>?watch=1&resourceVersion=<revision>"
        );
        assert_eq!(
            names.value(&json!("too old resource version: 1 (42)")),
            "too old resource version: <revision> (<revision>)"
        );
        assert_eq!(names.value(&json!({"cells": ["a", "5m3s"]})), json!({"cells": ["a", "<age>"]}));
        names.learn_generated(&json!({"metadata": {"generateName": "a-"}}), &json!({"metadata": {"name": "a-x7k2p"}}));
        assert_eq!(names.value(&json!("a-x7k2p")), "a-<generated-1:5>");
    }
}
