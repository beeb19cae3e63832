//! What names, keys and label values may look like, in the words of the API server.

/// What a name has to be.
pub(crate) const NAME: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const KEY_PART: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Whether it can be the name of most objects.
pub(crate) fn is_subdomain(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= 253
        && name.split('.').all(|part| {
            edge(part.chars().next())
                && edge(part.chars().last())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
}

fn is_name_part(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// What is wrong with a key such as `example.com/name`.
pub(crate) fn wrong_key(key: &str, what: &str) -> Option<String> {
    let (prefix, name) = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => (None, *name),
        [prefix, name] => (Some(*prefix), *name),
        _ => {
            return Some(format!(
                "{what} {KEY_PART} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
        }
    };
    if prefix == Some("") {
        return Some("prefix part must be non-empty".to_owned());
    }
    if prefix.is_some_and(|p| !is_subdomain(p)) {
        return Some(format!("prefix part {NAME}"));
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes".to_owned());
    }
    (!is_name_part(name)).then(|| format!("name part {KEY_PART}"))
}

/// What is wrong with the value of a label.
pub(crate) fn wrong_label_value(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    (!text.is_empty() && !is_name_part(text)).then(|| LABEL_VALUE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_told_what_is_wrong_with_them() {
        for good in ["a", "example.com/a", "A_b.c-1", "x.io/B"] {
            assert_eq!(wrong_key(good, "a key"), None, "{good}");
        }
        for (bad, words) in [
            ("a b", "name part must consist"),
            ("a/b/c", "a key must consist"),
            ("/b", "prefix part must be non-empty"),
            ("Example.com/a", "prefix part a lowercase"),
            ("", "name part must consist"),
        ] {
            assert!(wrong_key(bad, "a key").unwrap().starts_with(words), "{bad}");
        }
        assert_eq!(wrong_label_value(""), None);
        assert!(wrong_label_value("a b").is_some() && wrong_label_value(&"x".repeat(64)).is_some());
    }
}
