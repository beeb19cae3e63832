//! Paths and query strings.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// A resource path, taken apart.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) sub: String,
}

/// Parses `/api/v1/…` and `/apis/{group}/{version}/…` paths that name a resource.
pub(super) fn resource(path: &str) -> Option<Resource> {
    let parts: Vec<String> =
        path.trim_matches('/').split('/').map(|p| percent_decode_str(p).decode_utf8_lossy().into_owned()).collect();
    let mut parts = parts.into_iter();
    let mut out = Resource::default();
    match parts.next()?.as_str() {
        "api" => out.version = parts.next()?,
        "apis" => {
            out.group = parts.next()?;
            out.version = parts.next()?;
        }
        _ => return None,
    }
    let rest: Vec<String> = parts.collect();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let names: &[&str] = match rest.as_slice() {
        // The namespace object itself and its subresources, not something inside it.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] if out.group.is_empty() => &rest,
        ["namespaces", ns, inner @ ..] if !inner.is_empty() => {
            out.namespace = (*ns).to_owned();
            inner
        }
        all => all,
    };
    let (plural, name, sub) = match names {
        [p] => (*p, "", ""),
        [p, n] => (*p, *n, ""),
        [p, n, s] => (*p, *n, *s),
        // pods/x/proxy/… and the like: named by their first word.
        [p, n, s, ..] => (*p, *n, *s),
        [] => return None,
    };
    out.plural = plural.to_owned();
    out.name = name.to_owned();
    out.sub = sub.to_owned();
    Some(out)
}

/// Query parameters; the last of equal names wins.
pub(super) fn query(text: &str) -> BTreeMap<String, String> {
    let decode = |s: &str| percent_decode_str(&s.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|p| !p.is_empty())
        .map(|p| {
            let (k, v) = p.split_once('=').unwrap_or((p, ""));
            (decode(k), decode(v))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        for (path, want) in [
            ("/api/v1/namespaces", ("", "v1", "", "namespaces", "", "")),
            ("/api/v1/namespaces/a", ("", "v1", "", "namespaces", "a", "")),
            ("/api/v1/namespaces/a/status", ("", "v1", "", "namespaces", "a", "status")),
            ("/api/v1/namespaces/a/pods", ("", "v1", "a", "pods", "", "")),
            ("/api/v1/namespaces/a/pods/p/log", ("", "v1", "a", "pods", "p", "log")),
            ("/apis/x.io/v1/namespaces/a/things/t/scale", ("x.io", "v1", "a", "things", "t", "scale")),
            ("/apis/x.io/v1/things", ("x.io", "v1", "", "things", "", "")),
        ] {
            let r = resource(path).unwrap();
            let got = (&*r.group, &*r.version, &*r.namespace, &*r.plural, &*r.name, &*r.sub);
            assert_eq!(got, want, "{path}");
        }
        assert_eq!(resource("/healthz"), None);
        assert_eq!(query("a=b%2Cc&d&e=f+g").get("a").map(String::as_str), Some("b,c"));
    }
}
