//! Dependencies that a package declares and never mentions.

use crate::workspace::Package;

/// Dependencies that no source mentions, and why they stay: package, dependency, reason.
type Kept<'a> = &'a [(&'a str, &'a str, &'a str)];

/// What may stay unmentioned, such as a crate that is there for a feature it switches on in others. Nothing at present.
const KEPT: Kept<'static> = &[];

/// Dependencies that no `.rs` file of their package mentions.
pub(crate) fn violations(packages: &[Package]) -> Vec<String> {
    violations_except(packages, KEPT)
}

/// The check is textual, so a mention in a comment counts: it finds what was left behind, it proves nothing.
fn violations_except(packages: &[Package], kept: Kept<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut idle: Vec<_> = kept.iter().collect();
    for package in packages {
        for dependency in package.dependencies() {
            let word = dependency.name.replace('-', "_");
            if package.code.iter().any(|text| mentions(text, &word)) {
                continue;
            }
            let is_kept = |(of, what, _): &&(&str, &str, &str)| *of == package.name && *what == dependency.name;
            if kept.iter().any(|entry| is_kept(&entry)) {
                idle.retain(|entry| !is_kept(entry));
                continue;
            }
            found.push(format!(
                "unused: {}/Cargo.toml declares {}, which no source there mentions: remove it, or list it with its reason in xtask/src/unused.rs",
                package.folder.display(),
                dependency.name
            ));
        }
    }
    for (of, what, _) in idle {
        found.push(format!("unused: xtask/src/unused.rs keeps {what} of {of}, which needs no exception"));
    }
    found
}

/// Whether `word` stands in the text as a whole identifier.
fn mentions(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn package(dependencies: &str, code: &str) -> [Package; 1] {
        let manifest = format!("[package]\nname = \"x\"\n{dependencies}");
        let roots = vec![(PathBuf::from("crates/x/src/lib.rs"), code.to_owned())];
        [Package::parse(Path::new("crates/x"), &manifest, roots).unwrap()]
    }

    #[test]
    fn a_dependency_counts_as_used_when_its_identifier_stands_in_a_source() {
        let cases = [
            ("serde-saphyr", "use serde_saphyr::Options;", true),
            ("serde", "#[derive(serde::Serialize)]", true),
            ("serde", "use serde_json::Value;", false),
            ("http", "let my_http = 1;", false),
            ("http", "https", false),
            ("jiff", "", false),
        ];
        for (dependency, code, is_used) in cases {
            for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
                let declared = format!("[{section}]\n{dependency}.workspace = true\n");
                let found = violations_except(&package(&declared, code), &[]);
                assert_eq!(found.is_empty(), is_used, "{section} {dependency}: {found:?}");
                if let [text] = &found[..] {
                    assert!(text.contains("crates/x/Cargo.toml") && text.contains(dependency), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_renamed_dependency_goes_by_the_name_that_code_uses() {
        let declared = "[dependencies]\nold = { package = \"new\", workspace = true }\n";
        assert!(violations_except(&package(declared, "old::f()"), &[]).is_empty());
        assert_eq!(violations_except(&package(declared, "new::f()"), &[]).len(), 1);
    }

    #[test]
    fn an_exception_holds_for_one_package_and_must_be_needed() {
        let declared = "[dependencies]\na.workspace = true\n";
        let kept: Kept<'_> = &[("x", "a", "switches a feature on")];
        assert!(violations_except(&package(declared, ""), kept).is_empty());
        let idle = violations_except(&package(declared, "a::b"), kept);
        assert!(idle[0].contains("needs no exception"), "{idle:?}");
        let other: Kept<'_> = &[("y", "a", "of another package")];
        assert_eq!(violations_except(&package(declared, ""), other).len(), 2);
    }
}
