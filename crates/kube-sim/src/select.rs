//! Label and field selectors.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::ApiError;
use crate::names::{wrong_key, wrong_label_value};

#[derive(Debug, Clone, PartialEq)]
enum Op {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// A parsed `labelSelector`; the empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Labels(Vec<(String, Op)>);

impl Labels {
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let bad = || ApiError::bad_request(format!("unable to parse requirement: {text:?} is not a label selector"));
        let mut out = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            let term = if let Some(key) = part.strip_prefix('!') {
                (key.trim().to_owned(), Op::Absent)
            } else if let Some((key, v)) = part.split_once("!=") {
                (key.trim().to_owned(), Op::NotIn(vec![v.trim().to_owned()]))
            } else if let Some((key, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (key.trim().to_owned(), Op::In(vec![v.trim().to_owned()]))
            } else if let Some((head, list)) = part.split_once('(') {
                let list = list.strip_suffix(')').ok_or_else(bad)?;
                let values = list.split(',').map(|v| v.trim().to_owned()).collect();
                let mut words = head.split_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (Some(key), Some("in"), None) => (key.to_owned(), Op::In(values)),
                    (Some(key), Some("notin"), None) => (key.to_owned(), Op::NotIn(values)),
                    _ => return Err(bad()),
                }
            } else {
                (part.to_owned(), Op::Exists)
            };
            let values: &[String] = if let Op::In(v) | Op::NotIn(v) = &term.1 { v } else { &[] };
            if wrong_key(&term.0, "a label key").is_some() || values.iter().any(|v| wrong_label_value(v).is_some()) {
                return Err(bad());
            }
            out.push(term);
        }
        Ok(Self(out))
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|(key, op)| {
            let have = labels.get(key).and_then(Value::as_str);
            match op {
                Op::In(set) => have.is_some_and(|h| set.iter().any(|s| s == h)),
                // As in Kubernetes, an object without the label satisfies "not in".
                Op::NotIn(set) => have.is_none_or(|h| set.iter().all(|s| s != h)),
                Op::Exists => have.is_some(),
                Op::Absent => have.is_none(),
            }
        })
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut out) = (0usize, 0usize, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                out.push(&text[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[from..]);
    out
}

/// A parsed `fieldSelector`: path, wanted value, and whether they must be equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields(Vec<(String, String, bool)>);

impl Fields {
    /// Parses and refuses paths that are not `supported`, as the API server does (400).
    pub(crate) fn parse(text: &str, supported: impl Fn(&str) -> Result<(), String>) -> Result<Self, ApiError> {
        let mut out = Vec::new();
        for part in text.split(',').filter(|p| !p.trim().is_empty()) {
            let (path, value, equal) = if let Some((p, v)) = part.split_once("!=") {
                (p, v, false)
            } else if let Some((p, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (p, v, true)
            } else {
                return Err(ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            let path = path.trim();
            supported(path).map_err(ApiError::bad_request)?;
            out.push((path.to_owned(), value.trim().replace('\\', ""), equal));
        }
        Ok(Self(out))
    }

    /// `metadata.name=x` alone selects one object: worth knowing for `watch` on a name.
    pub(crate) fn and_name(mut self, name: &str) -> Self {
        self.0.push(("metadata.name".to_owned(), name.to_owned(), true));
        self
    }

    pub(crate) fn matches(&self, object: &Value, aliases: &BTreeMap<&str, &str>) -> bool {
        self.0.iter().all(|(path, want, equal)| {
            let path = aliases.get(path.as_str()).copied().unwrap_or(path);
            (field(object, path) == *want) == *equal
        })
    }
}

/// The value at a dotted path as text; absent and null are the empty string.
fn field(object: &Value, path: &str) -> String {
    let mut at = object;
    for step in path.split('.') {
        at = &at[step];
    }
    match at {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors_match_as_in_kubernetes() {
        let o = json!({"metadata": {"labels": {"a": "1", "x.io/b": ""}}});
        for (text, want) in [
            ("", true),
            ("a=1", true),
            ("a==1", true),
            ("a!=1", false),
            ("c!=1", true),
            ("a in (1,2)", true),
            ("a in (2),x.io/b", false),
            ("a notin (2,3), x.io/b", true),
            ("!a", false),
            ("!c,a", true),
            ("x.io/b=", true),
        ] {
            assert_eq!(Labels::parse(text).map(|l| l.matches(&o)), Ok(want), "{text}");
        }
        for bad in ["a in 1", "a b", "a in (1", "=x"] {
            assert_eq!(Labels::parse(bad).map_err(|e| e.code), Err(400), "{bad}");
        }
    }

    #[test]
    fn field_selectors_match_and_refuse_unknown_paths() {
        let o = json!({"metadata": {"name": "n"}, "spec": {"n": 3}, "involvedObject": {"name": "m"}});
        let known = |p: &str| if p == "spec.unknown" { Err(format!("no {p}")) } else { Ok(()) };
        let none = BTreeMap::new();
        for (text, want) in [
            ("metadata.name=n", true),
            ("metadata.name!=n", false),
            ("spec.n=3,involvedObject.name=m", true),
            ("spec.absent=", true),
        ] {
            assert_eq!(Fields::parse(text, known).map(|f| f.matches(&o, &none)), Ok(want), "{text}");
        }
        let refused = Fields::parse("spec.unknown=1", known).map_err(|e| e.message);
        assert_eq!(refused, Err("no spec.unknown".to_owned()));
    }
}
