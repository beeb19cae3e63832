//! Manifest files: several YAML documents of any kind.

use std::borrow::Cow;

use serde_json::Value;
use serde_saphyr::{Options, options};

/// Why a manifest file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not YAML.
    #[error("the manifest is not valid YAML: {why}")]
    Yaml {
        /// What the parser says, with line and column.
        why: String,
    },
    /// A document is something else than a mapping.
    #[error("document {document} of the manifest is not a mapping with apiVersion and kind, but {what}")]
    NotAnObject {
        /// Which document, counted from 1.
        document: usize,
        /// What it is.
        what: &'static str,
    },
}

/// Kinds of [`ManifestError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestErrorKind {
    /// See [`ManifestError::Yaml`].
    Yaml,
    /// See [`ManifestError::NotAnObject`].
    NotAnObject,
}

impl ManifestError {
    /// The kind, to match on.
    pub fn kind(&self) -> ManifestErrorKind {
        match self {
            ManifestError::Yaml { .. } => ManifestErrorKind::Yaml,
            ManifestError::NotAnObject { .. } => ManifestErrorKind::NotAnObject,
        }
    }
}

/// Reads all documents of a manifest file; empty ones are left out.
///
/// Plain scalars mean what they mean to kubectl, whose reader follows YAML 1.1: `yes`, `on` and `off` are booleans, `0644` is
/// octal. What is quoted stays text. A key given twice is an error. Unlike kubectl, indentation by no-break spaces is
/// understood, see [`plain_spaces`].
///
/// ```
/// let documents = capi_types::parse_manifests("---\nkind: A\nmode: 0644\nversion: 1.19.12\n---\n---\nkind: B\nyes: \"no\"\n")?;
/// assert_eq!(documents.len(), 2);
/// assert_eq!(documents[0]["mode"], 420);
/// assert_eq!(documents[0]["version"], "1.19.12");
/// assert_eq!(documents[1]["yes"], "no");
/// # Ok::<(), capi_types::manifests::ManifestError>(())
/// ```
pub fn parse_manifests(text: &str) -> Result<Vec<Value>, ManifestError> {
    let text = plain_spaces(text);
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(&text, as_kubectl())
        .map_err(|error| ManifestError::Yaml { why: error.to_string() })?;
    let mut objects = Vec::with_capacity(documents.len());
    for (index, value) in documents.into_iter().enumerate() {
        let what = match &value {
            Value::Object(_) => {
                objects.push(value);
                continue;
            }
            Value::Null => continue,
            Value::Array(_) => "a list",
            Value::String(_) => "text",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
        };
        return Err(ManifestError::NotAnObject { document: index + 1, what });
    }
    Ok(objects)
}

/// Turns no-break spaces (U+00A0) that stand where YAML wants spaces into plain ones: in indentation, after `:` and `-`, and
/// at the end of a line.
///
/// A manifest copied from a web page is full of them (the seed's is), YAML takes them for letters of the key, and no editor
/// shows them. Inside of text and quotes they are kept; in the lines of a block text (`|`) those in the indentation are not.
pub fn plain_spaces(text: &str) -> Cow<'_, str> {
    if !text.contains(NO_BREAK_SPACE) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split_inclusive('\n').map(plain_spaces_in_line).collect())
}

const NO_BREAK_SPACE: char = '\u{a0}';

fn plain_spaces_in_line(line: &str) -> String {
    let is_space = |c: char| c == ' ' || c == NO_BREAK_SPACE;
    let end = line.trim_end_matches(|c| is_space(c) || c == '\n' || c == '\r').len();
    let mut fixed = String::with_capacity(line.len());
    // What the run of spaces we are in follows: structure, or text.
    let (mut after_structure, mut quoted) = (true, false);
    for (at, c) in line.char_indices() {
        if c == NO_BREAK_SPACE && (at >= end || (after_structure && !quoted)) {
            fixed.push(' ');
            continue;
        }
        fixed.push(c);
        if !is_space(c) {
            after_structure = matches!(c, ':' | '-' | ',' | '[' | '{');
            quoted |= matches!(c, '"' | '\'');
        }
    }
    fixed
}

/// Writes documents as one manifest file, separated by `---`.
pub fn to_yaml(documents: &[Value]) -> Result<String, serde_saphyr::SerializeError> {
    let texts: Result<Vec<String>, _> = documents.iter().map(serde_saphyr::to_string).collect();
    Ok(texts?.join("---\n"))
}

fn as_kubectl() -> Options {
    options! { legacy_octal_numbers: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_break_spaces_of_a_web_page_are_read_as_spaces() {
        let text = "a:\n\u{a0} \u{a0} b:\u{a0}c d\u{a0}e\u{a0}\n\u{a0} \u{a0} f: \"g:\u{a0}h\"\n\u{a0} \u{a0} i:\n\u{a0} \u{a0} -\u{a0}j\n";
        let read = parse_manifests(text).unwrap();
        assert_eq!(read, [serde_json::json!({"a": {"b": "c d\u{a0}e", "f": "g:\u{a0}h", "i": ["j"]}})]);
        assert!(matches!(plain_spaces("a: b\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_no_object_is_named_with_its_place() {
        let error = parse_manifests("a: 1\n---\ntext\n").unwrap_err();
        assert_eq!(error.kind(), ManifestErrorKind::NotAnObject);
        assert!(error.to_string().contains("document 2") && error.to_string().contains("text"), "{error}");
        assert_eq!(parse_manifests("a: [").unwrap_err().kind(), ManifestErrorKind::Yaml);
        assert_eq!(parse_manifests("# nothing\n---\n").unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn awkward_text_survives_writing_and_reading() {
        let words = [
            "yes",
            "on",
            "010",
            "1e3",
            "~",
            "null",
            "0x1F",
            "1_000",
            "12:30:45",
            "=",
            " a ",
            "a: b",
            "# c",
            "",
            "v1.30",
            "1.20",
            "é\n\tx\n",
        ];
        let document = serde_json::json!({"words": words});
        let text = to_yaml(&[document.clone(), document.clone()]).unwrap();
        assert_eq!(parse_manifests(&text).unwrap(), [document.clone(), document], "{text}");
    }
}
