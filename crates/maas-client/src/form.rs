//! Parameters of a call: query pairs and form fields. Never JSON, which MAAS accepts and then ignores
//! in part (fact sheet §1.5).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

/// Everything but letters, digits and `-._~` is encoded (RFC 3986).
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Above this many bytes of values a form goes as multipart: URL encoding grows base64 by up to a
/// third more, and the body limit of MAAS's nginx is 10 MiB.
const MULTIPART_ABOVE: usize = 64 * 1024;

/// A value of a form.
#[derive(Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    File { name: String, content: Bytes },
}

impl Value {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::File { content, .. } => content,
        }
    }
}

/// Ordered `key=value` pairs; a list repeats its key.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, Value)>);

/// Keys only: values may hold passwords or user data.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

impl Form {
    pub(crate) fn push(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), Value::Text(value.into())));
    }

    pub(crate) fn file(&mut self, key: &str, name: &str, content: Bytes) {
        self.0.push((key.to_owned(), Value::File { name: name.to_owned(), content }));
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn opt(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.push(key, value.to_string());
        }
    }

    pub(crate) fn all<T: AsRef<str>>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        for value in values {
            self.push(key, value.as_ref());
        }
    }

    /// The default is left out; otherwise `true`, the one spelling both of MAAS's parsers read alike.
    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.push(key, "true");
        }
    }

    pub(crate) fn base64(&mut self, key: &str, value: &[u8]) {
        self.push(key, STANDARD.encode(value));
    }

    pub(crate) fn urlencoded(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            if !text.is_empty() {
                text.push('&');
            }
            text.extend(utf8_percent_encode(key, UNRESERVED));
            text.push('=');
            text.extend(percent_encode(value.bytes(), UNRESERVED));
        }
        text
    }

    /// Body and its content type. MAAS wants a form content type even for an empty body.
    pub(crate) fn body(&self) -> (Bytes, String) {
        let has_file = self.0.iter().any(|(_, value)| matches!(value, Value::File { .. }));
        if has_file || self.0.iter().map(|(_, value)| value.bytes().len()).sum::<usize>() > MULTIPART_ABOVE {
            let boundary = self.boundary();
            (self.multipart(&boundary), format!("multipart/form-data; boundary={boundary}"))
        } else {
            (self.urlencoded().into(), "application/x-www-form-urlencoded".to_owned())
        }
    }

    /// The same form always gets the same boundary, so that a run can be repeated byte for byte.
    fn boundary(&self) -> String {
        let within =
            |value: &[u8], boundary: &str| value.windows(boundary.len()).any(|part| part == boundary.as_bytes());
        (0_u64..)
            .map(|n| format!("maas-client-form-{n}"))
            .find(|boundary| self.0.iter().all(|(_, value)| !within(value.bytes(), boundary)))
            .unwrap_or_default()
    }

    fn multipart(&self, boundary: &str) -> Bytes {
        let quoted = |text: &str| text.replace(['"', '\r', '\n'], "_");
        let mut body = Vec::new();
        for (key, value) in &self.0 {
            let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quoted(key));
            if let Value::File { name, .. } = value {
                head.push_str(&format!("; filename=\"{}\"\r\nContent-Type: application/octet-stream", quoted(name)));
            }
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(value.bytes());
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        body.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_forms_are_urlencoded_and_large_ones_multipart() {
        let mut form = Form::default();
        form.push("comment", "a b&c=é");
        form.all("tags", ["x", "y"]);
        form.flag("erase", true);
        form.flag("quick_erase", false);
        let (body, kind) = form.body();
        assert_eq!(kind, "application/x-www-form-urlencoded");
        assert_eq!(body, "comment=a%20b%26c%3D%C3%A9&tags=x&tags=y&erase=true");

        form.base64("user_data", &vec![0xff; 100_000]);
        let (body, kind) = form.body();
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("multipart");
        let text = std::str::from_utf8(&body).expect("text");
        assert_eq!(text.matches(&format!("--{boundary}\r\n")).count(), 5);
        assert!(text.ends_with(&format!("--{boundary}--\r\n")));
        assert!(text.contains("name=\"user_data\"\r\n\r\n////"));
    }
    #[test]
    fn files_go_as_multipart_whatever_their_size_and_bytes() {
        let mut form = Form::default();
        form.push("filename", "a\"b");
        form.file("file", "x\r\ny", Bytes::from_static(b"\xff maas-client-form-0 \0"));
        let (body, kind) = form.body();
        assert_eq!(kind, "multipart/form-data; boundary=maas-client-form-1");
        let expected = b"--maas-client-form-1\r\nContent-Disposition: form-data; name=\"filename\"\r\n\r\na\"b\r\n\
            --maas-client-form-1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x__y\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\xff maas-client-form-0 \0\r\n--maas-client-form-1--\r\n";
        assert_eq!(&body[..], &expected[..]);
    }

    #[test]
    fn debug_shows_the_names_of_parameters_only() {
        let mut form = Form::default();
        form.push("power_pass", "hunter2");
        assert_eq!(format!("{form:?}"), "[\"power_pass\"]");
    }
}
