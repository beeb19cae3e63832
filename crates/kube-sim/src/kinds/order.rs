//! Priority of version names: v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > anything else.

use std::cmp::{Ordering, Reverse};

/// Orders the version a client should prefer first.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (Some(x), Some(y)) => Reverse(x).cmp(&Reverse(y)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// (stability, major, minor)
fn parse(name: &str) -> Option<(u8, u32, u32)> {
    let rest = name.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..digits].parse().ok()?;
    let tail = &rest[digits..];
    if tail.is_empty() {
        return Some((2, major, 0));
    }
    let (stability, minor) =
        tail.strip_prefix("beta").map(|m| (1, m)).or_else(|| tail.strip_prefix("alpha").map(|m| (0, m)))?;
    Some((stability, major, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_before_beta_and_alpha() {
        let mut names = vec!["foo", "v1alpha3", "v1beta1", "v2", "v1beta2", "v1", "v1alpha4", "v10"];
        names.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(names, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha4", "v1alpha3", "foo"]);
    }
}
