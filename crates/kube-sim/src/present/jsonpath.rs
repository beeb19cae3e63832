//! The JSONPath of printer columns: `.a.b`, `.a['x\.y/z']`, `.a[0]`, `.a[*]`, `.a[?(@.type=="Ready")].status`.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Items whose field (by steps) equals, or with `false` differs from, the text.
    Where(Vec<String>, bool, String),
}

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path(Vec<Step>);

impl Path {
    /// `None` if it is outside the subset.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut rest = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        rest = rest.strip_prefix('$').unwrap_or(rest);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(r) = rest.strip_prefix('[') {
                let end = closing(r)?;
                steps.push(bracket(&r[..end])?);
                rest = &r[end + 1..];
            } else {
                let r = rest.strip_prefix('.')?;
                let (name, left) = take_name(r);
                if name.is_empty() {
                    // A lone "." is the object itself.
                    if left.is_empty() && steps.is_empty() {
                        break;
                    } else if left.starts_with('[') {
                        rest = left;
                        continue;
                    }
                    return None;
                }
                steps.push(if name == "*" { Step::All } else { Step::Field(name) });
                rest = left;
            }
        }
        if text.is_empty() { None } else { Some(Self(steps)) }
    }

    /// Everything the path leads to.
    pub(crate) fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![object], |at, step| at.into_iter().flat_map(|v| follow(v, step)).collect())
    }
}

fn follow<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Index(i) => {
            let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
            let at = if *i < 0 { list.len().checked_sub(i.unsigned_abs() as usize) } else { usize::try_from(*i).ok() };
            at.and_then(|i| list.get(i)).into_iter().collect()
        }
        Step::All => match value {
            Value::Array(a) => a.iter().collect(),
            Value::Object(o) => o.values().collect(),
            _ => Vec::new(),
        },
        Step::Where(path, equal, want) => value
            .as_array()
            .into_iter()
            .flatten()
            .filter(|item| {
                let found = path.iter().try_fold(*item, |v, name| v.get(name));
                found.is_some_and(|v| (text(v) == *want) == *equal)
            })
            .collect(),
    }
}

/// A value as a cell shows it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// Reads a name up to an unescaped `.` or `[`.
fn take_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, &text[i..]),
            c => name.push(c),
        }
    }
    (name, "")
}

/// Index of the `]` that closes a bracket, quotes respected.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, ']') => return Some(i),
            _ => {}
        }
    }
    None
}

fn unquote(text: &str) -> Option<String> {
    let text = text.trim();
    let q = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inner = text.strip_prefix(q)?.strip_suffix(q)?;
    Some(inner.replace('\\', ""))
}

fn bracket(inner: &str) -> Option<Step> {
    if inner == "*" {
        return Some(Step::All);
    }
    if let Some(condition) = inner.strip_prefix("?(").and_then(|c| c.strip_suffix(')')) {
        let (left, equal, right) = condition
            .split_once("==")
            .map(|(l, r)| (l, true, r))
            .or_else(|| condition.split_once("!=").map(|(l, r)| (l, false, r)))?;
        let path = left.trim().strip_prefix("@.")?.split('.').map(str::to_owned).collect();
        let want = unquote(right).unwrap_or_else(|| right.trim().to_owned());
        return Some(Step::Where(path, equal, want));
    }
    unquote(inner).map(Step::Field).or_else(|| inner.trim().parse().ok().map(Step::Index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_paths_of_printer_columns_find_their_values() {
        let o = json!({"metadata": {"labels": {"a.b/c": "x"}}, "l": [{"n": 1}, {"n": 2}],
            "status": {"conditions": [{"type": "Disk", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        for (path, want) in [
            (r".metadata.labels['a\.b/c']", "x"),
            (r".metadata.labels.a\.b/c", "x"),
            (r#".status.conditions[?(@.type=="Ready")].status"#, "True"),
            (".status.conditions[?(@.type=='Disk')].status", "False"),
            (r#".status.conditions[?(@.status!="True")].type"#, "Disk"),
            (".l[1].n", "2"),
            (".l[-1].n", "2"),
            ("{.l[0].n}", "1"),
        ] {
            let p = Path::parse(path).unwrap();
            assert_eq!(p.find(&o).first().map(|v| text(v)), Some(want.to_owned()), "{path}");
        }
        assert_eq!(Path::parse(".l[*].n").unwrap().find(&o).len(), 2);
        assert!(Path::parse(".absent.x").unwrap().find(&o).is_empty());
        for bad in ["", "spec.x", ".a[", ".a..b", ".a[?(b)]"] {
            assert_eq!(Path::parse(bad), None, "{bad}");
        }
    }
}
