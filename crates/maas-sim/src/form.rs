//! Parameters of a request: query string, urlencoded, multipart and JSON bodies, and MAAS's two boolean parsers.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;
use serde_json::Value;

use crate::reply::Reply;

/// An ordered multi-map of text parameters, as Django's `QueryDict`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `a=1&b=2` with percent- and plus-encoding.
    pub(crate) fn urlencoded(text: &[u8]) -> Self {
        let mut pairs = Vec::new();
        for part in text.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
            let (key, value) = match part.iter().position(|b| *b == b'=') {
                Some(at) => (&part[..at], &part[at + 1..]),
                None => (part, &b""[..]),
            };
            pairs.push((decode(key), decode(value)));
        }
        Self(pairs)
    }

    /// The last value of `key`: single-valued fields in Django take the last one.
    pub(crate) fn last(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Every value of `key` in order.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Every pair in order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Distinct keys in order of first appearance, each with all of its values.
    pub(crate) fn lists(&self) -> Vec<(&str, Vec<&str>)> {
        let mut lists: Vec<(&str, Vec<&str>)> = Vec::new();
        for (key, value) in self.pairs() {
            match lists.iter_mut().find(|(k, _)| *k == key) {
                Some((_, values)) => values.push(value),
                None => lists.push((key, vec![value])),
            }
        }
        lists
    }

    /// True if `key` was sent at all.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    /// How many pairs there are (Django refuses more than 1000).
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// MAAS's `StringBool`: other words than its own are refused with 400.
    pub(crate) fn string_bool(&self, key: &str) -> Result<bool, Reply> {
        let Some(text) = self.last(key) else {
            return Ok(false);
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
            "false" | "f" | "no" | "n" | "off" | "0" | "" => Ok(false),
            _ => Err(Reply::text(400, format!("Invalid {key}: Value should be 'true' or 'false'"))),
        }
    }

    /// Django's checkbox: everything that is not empty or `false` is true, `0` and `no` included.
    pub(crate) fn checkbox(&self, key: &str) -> bool {
        match self.last(key) {
            None | Some("" | "false" | "False") => false,
            Some(_) => true,
        }
    }
}

/// What a request's body carried.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    /// Fields of a form body (urlencoded or multipart); empty for JSON bodies.
    pub(crate) post: Params,
    /// Form fields, or else the top-level fields of a JSON object: what handlers see that read `request.data`.
    pub(crate) data: Params,
    /// The body was JSON.
    pub(crate) is_json: bool,
    /// The body was of a type that no parser knows: handlers see no data at all.
    pub(crate) is_foreign: bool,
}

impl Form {
    /// Reads the body by its content type; other types carry no fields.
    pub(crate) fn read(headers: &http::HeaderMap, body: &Bytes) -> Result<Self, Reply> {
        let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let lower = kind.to_ascii_lowercase();
        let form = if lower.starts_with("application/x-www-form-urlencoded") {
            let post = Params::urlencoded(body);
            Self { data: post.clone(), post, is_json: false, is_foreign: false }
        } else if lower.starts_with("multipart/form-data") {
            let boundary = kind
                .split(';')
                .filter_map(|p| p.trim().strip_prefix("boundary="))
                .map(|b| b.trim_matches('"'))
                .next()
                .ok_or_else(|| Reply::plain(400, "Bad Request"))?;
            let post = multipart(body, boundary);
            Self { data: post.clone(), post, is_json: false, is_foreign: false }
        } else if lower.starts_with("application/json") && !body.is_empty() {
            let value: Value = serde_json::from_slice(body).map_err(|_| Reply::plain(400, "Bad Request"))?;
            Self { post: Params::default(), data: json_fields(&value), is_json: true, is_foreign: false }
        } else {
            Self { is_foreign: !body.is_empty() && !lower.is_empty(), ..Self::default() }
        };
        if form.post.len() > 1000 {
            return Err(Reply::plain(400, "Bad Request"));
        }
        Ok(form)
    }
}

fn json_fields(value: &Value) -> Params {
    let mut pairs = Vec::new();
    if let Value::Object(map) = value {
        for (key, value) in map {
            match value {
                Value::Array(items) => pairs.extend(items.iter().map(|v| (key.clone(), scalar(v)))),
                other => pairs.push((key.clone(), scalar(other))),
            }
        }
    }
    Params(pairs)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn decode(part: &[u8]) -> String {
    let spaced: Vec<u8> = part.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_decode(&spaced).decode_utf8_lossy().into_owned()
}

fn multipart(body: &[u8], boundary: &str) -> Params {
    let marker = format!("--{boundary}").into_bytes();
    let mut pairs = Vec::new();
    let mut rest = body;
    while let Some(at) = find(rest, &marker) {
        rest = &rest[at + marker.len()..];
        if rest.starts_with(b"--") {
            break;
        }
        let end = find(rest, &marker).unwrap_or(rest.len());
        let part = rest[..end].strip_prefix(b"\r\n").unwrap_or(&rest[..end]);
        let part = part.strip_suffix(b"\r\n").unwrap_or(part);
        let Some(split) = find(part, b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&part[..split]);
        let name = head.split("name=\"").nth(1).and_then(|n| n.split('"').next());
        if let Some(name) = name {
            let value = String::from_utf8_lossy(&part[split + 4..]).into_owned();
            pairs.push((name.to_owned(), value));
        }
    }
    Params(pairs)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    // Skip to candidates of the first byte: bodies with megabytes of user data must not cost a window compare per byte.
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(step) = haystack.get(from..)?.iter().position(|b| *b == first) {
        let at = from + step;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_follow_the_parser_of_the_field() {
        let cases = [
            ("true", Some(true), true),
            ("0", Some(false), true),
            ("no", Some(false), true),
            ("false", Some(false), false),
            ("maybe", None, true),
            ("", Some(false), false),
        ];
        for (text, string_bool, checkbox) in cases {
            let params = Params::urlencoded(format!("x={text}").as_bytes());
            assert_eq!(params.string_bool("x").ok(), string_bool, "StringBool {text:?}");
            assert_eq!(params.checkbox("x"), checkbox, "checkbox {text:?}");
        }
    }

    #[test]
    fn multipart_and_urlencoded_bodies_carry_the_same_fields() {
        let mut headers = http::HeaderMap::new();
        headers.insert(CONTENT_TYPE, "multipart/form-data; boundary=bb".parse().unwrap());
        let body = Bytes::from_static(b"--bb\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nnode 1\r\n--bb\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\na=b&c\r\n--bb--\r\n");
        let multi = Form::read(&headers, &body).unwrap();
        headers.insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        let url = Form::read(&headers, &Bytes::from_static(b"name=node+1&x=a%3Db%26c")).unwrap();
        assert_eq!(multi.post, url.post);
    }

    #[test]
    fn json_bodies_reach_only_handlers_that_read_data() {
        let mut headers = http::HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        let form = Form::read(&headers, &Bytes::from_static(b"{\"a\": [\"1\", \"2\"]}")).unwrap();
        assert_eq!(form.post.len(), 0);
        assert_eq!(form.data.last("a"), Some("2"));
    }
}
