//! The tracked files, and how two transcripts differ.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Failure;

/// Longest line that is not broken up.
const WIDTH: usize = 110;

/// Order of the parts of an exchange.
const ORDER: [&str; 9] = ["request", "accept", "content-type", "body", "status", "headers", "answer", "events", "type"];

/// What a server said in the cases of one area.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// Version of the server that said it.
    pub server: String,
    /// Exchanges by name of the case.
    pub cases: Map<String, Value>,
}

impl Transcript {
    /// Reads the file of an area; `None` when there is none.
    ///
    /// # Errors
    /// When the file is no transcript.
    pub fn read(folder: &Path, area: &str) -> Result<Option<Self>, Failure> {
        let path = folder.join(format!("{area}.json"));
        let fail = |what: String| Failure::File(format!("{}: {what}", path.display()));
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|e| fail(e.to_string()))?;
        let value: Value = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
        let server = value["server"].as_str().unwrap_or_default().to_owned();
        let mut cases = Map::new();
        for case in value["cases"].as_array().into_iter().flatten() {
            let name = case["behaviour"].as_str().ok_or_else(|| fail("a case without a name".to_owned()))?;
            cases.insert(name.to_owned(), case["exchanges"].clone());
        }
        Ok(Some(Self { server, cases }))
    }

    /// Writes the file of an area, its cases in this order.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, folder: &Path, area: &str, order: &[&str]) -> Result<(), Failure> {
        let path = folder.join(format!("{area}.json"));
        let mut text = format!("{{\n\"server\": {},\n\"cases\": [", json!(self.server));
        let written = order.iter().filter_map(|name| Some((name, self.cases.get(*name)?)));
        for (number, (name, exchanges)) in written.enumerate() {
            text += if number == 0 { "\n" } else { ",\n" };
            text += &format!("{{\"behaviour\": {},\n \"exchanges\": {}}}", json!(name), render(exchanges, 1));
        }
        text += "\n]\n}\n";
        fs::write(&path, text).map_err(|e| Failure::File(format!("{}: {e}", path.display())))
    }
}

/// JSON with what fits on a line on one line.
fn render(value: &Value, depth: usize) -> String {
    let short = inline(value);
    if short.len() + depth <= WIDTH {
        return short;
    }
    let pad = " ".repeat(depth + 1);
    let parts: Vec<String> = match value {
        Value::Array(items) => items.iter().map(|item| render(item, depth + 1)).collect(),
        Value::Object(fields) => sorted(fields)
            .into_iter()
            .map(|(name, inner)| format!("{}: {}", json!(name), render(inner, depth + 1)))
            .collect(),
        _ => return short,
    };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    format!("{open}\n{pad}{}\n{}{close}", parts.join(&format!(",\n{pad}")), " ".repeat(depth))
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let parts: Vec<String> =
                sorted(fields).into_iter().map(|(name, inner)| format!("{}: {}", json!(name), inline(inner))).collect();
            format!("{{{}}}", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// Fields of an exchange in the order of events, others by name.
fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let exchange = fields.contains_key("request") && fields.contains_key("status");
    let mut all: Vec<(&String, &Value)> = fields.iter().collect();
    let place = |name: &str| ORDER.iter().position(|have| *have == name).unwrap_or(ORDER.len());
    all.sort_by_key(|(name, _)| (if exchange { place(name) } else { 0 }, *name));
    all
}

/// Lines that were expected (-) and that came (+), with a few around them; empty when nothing differs.
pub fn difference(expected: &Value, found: &Value) -> String {
    let (old, new) = (render(expected, 0), render(found, 0));
    if old == new {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = aligned(&old, &new);
    let changed: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].0 != ' ').collect();
    let near = |at: usize| changed.iter().any(|c| c.abs_diff(at) <= 2);
    let mut out = String::new();
    for (at, (mark, line)) in lines.iter().enumerate() {
        // The request that an answer belongs to is always of interest.
        let request = line.trim_start().starts_with("{\"request\"") || line.trim_start().starts_with("\"request\"");
        let belongs = request && changed.iter().any(|c| (at..at + 30).contains(c));
        if near(at) || belongs {
            out += &format!("{mark} {line}\n");
        }
    }
    out
}

/// Longest common subsequence of lines, as (mark, line).
fn aligned<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut length = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            length[i][j] =
                if old[i] == new[j] { length[i + 1][j + 1] + 1 } else { length[i + 1][j].max(length[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && length[i + 1][j] >= length[i][j + 1]) {
            out.push(('-', old[i]));
            i += 1;
        } else {
            out.push(('+', new[j]));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_the_request_and_the_lines_that_changed() {
        let long = "x".repeat(60);
        let said =
            |n: u64| json!([{"request": "GET /a", "status": 200, "answer": {"a": n, "b": long, "c": long, "d": 1}}]);
        assert_eq!(difference(&said(1), &said(1)), "");
        let text = difference(&said(1), &said(2));
        assert!(text.contains("GET /a") && text.contains("\"a\": 1,") && text.contains("\n+    \"a\": 2,"), "{text}");
    }

    #[test]
    fn a_written_transcript_reads_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let exchanges = json!([{"request": "GET /a", "status": 200, "answer": {"text": "y".repeat(200)}}]);
        let cases = Map::from_iter([("b".to_owned(), exchanges), ("a".to_owned(), json!([]))]);
        let transcript = Transcript { server: "v1".into(), cases };
        transcript.write(folder.path(), "area", &["b", "a"]).unwrap();
        assert_eq!(Transcript::read(folder.path(), "area").unwrap(), Some(transcript));
        assert_eq!(Transcript::read(folder.path(), "none").unwrap(), None);
    }
}
