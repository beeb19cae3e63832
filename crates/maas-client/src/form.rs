//! Parameters of a call: query pairs and form fields. Never JSON, which MAAS accepts and then ignores
//! in part (fact sheet §1.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but letters, digits and `-._~` is encoded (RFC 3986).
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Above this many bytes of values a form goes as multipart: URL encoding grows base64 by up to a
/// third more, and the body limit of MAAS's nginx is 10 MiB.
const MULTIPART_ABOVE: usize = 64 * 1024;

/// Ordered `key=value` pairs; a list repeats its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn push(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), value.into()));
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
            text.extend(utf8_percent_encode(value, UNRESERVED));
        }
        text
    }

    /// Body and its content type. MAAS wants a form content type even for an empty body.
    pub(crate) fn body(&self) -> (Bytes, String) {
        if self.0.iter().map(|(_, value)| value.len()).sum::<usize>() > MULTIPART_ABOVE {
            let boundary = self.boundary();
            (self.multipart(&boundary), format!("multipart/form-data; boundary={boundary}"))
        } else {
            (self.urlencoded().into(), "application/x-www-form-urlencoded".to_owned())
        }
    }

    /// The same form always gets the same boundary, so that a run can be repeated byte for byte.
    fn boundary(&self) -> String {
        (0_u64..)
            .map(|n| format!("maas-client-form-{n}"))
            .find(|boundary| self.0.iter().all(|(_, value)| !value.contains(boundary.as_str())))
            .unwrap_or_default()
    }

    fn multipart(&self, boundary: &str) -> Bytes {
        let mut body = String::new();
        for (key, value) in &self.0 {
            let key = key.replace(['"', '\r', '\n'], "_");
            body.push_str(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n"
            ));
        }
        body.push_str(&format!("--{boundary}--\r\n"));
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
}
