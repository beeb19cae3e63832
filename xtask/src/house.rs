//! House rules: one place for versions and lints, crate docs, honest names, a short top level.

use toml::Value;

use crate::workspace::{Package, Workspace};

/// What may lie at the top level. `target` is build output, which git ignores.
const TOP_LEVEL: [&str; 15] = [
    "Cargo.toml",
    "Cargo.lock",
    "crates",
    "bins",
    "xtask",
    "tests",
    "README.md",
    "LICENSE",
    "clippy.toml",
    "rustfmt.toml",
    ".ci",
    ".cargo",
    ".gitignore",
    ".git",
    "target",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["util", "utils", "helper", "helpers", "common"];

/// Keys of a dependency that belong into the root Cargo.toml.
const ROOT_ONLY: [&str; 6] = ["version", "path", "git", "registry", "branch", "rev"];

/// Violations of the house rules.
pub(crate) fn violations(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        inherits(package, &mut found);
        documented(package, &mut found);
    }
    for path in &workspace.sources {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if EMPTY_NAMES.contains(&stem) {
            found.push(format!("names: {} says nothing; name it after what it does", path.display()));
        }
    }
    for name in &workspace.top_level {
        if !TOP_LEVEL.contains(&name.as_str()) {
            found.push(format!("top level: {name} is not expected there"));
        }
    }
    found
}

/// Versions and lints come from the root.
fn inherits(package: &Package, found: &mut Vec<String>) {
    let file = package.folder.join("Cargo.toml");
    let file = file.display();
    let from_root =
        |value: Option<&Value>| value.and_then(|v| v.get("workspace")).and_then(Value::as_bool) == Some(true);
    if !from_root(package.manifest.get("lints")) {
        found.push(format!("lints: {file} lacks `[lints] workspace = true`"));
    }
    let package_table = package.manifest.get("package");
    for key in ["version", "edition", "rust-version"] {
        if !from_root(package_table.and_then(|table| table.get(key))) {
            found.push(format!("versions: {file}: package.{key} is not `{key}.workspace = true`"));
        }
    }
    for dependency in package.dependencies() {
        let own = ROOT_ONLY.iter().any(|key| dependency.spec.get(*key).is_some());
        if own || !from_root(Some(dependency.spec)) {
            found.push(format!(
                "versions: {file}: {} is not `workspace = true`; its version belongs into the root Cargo.toml",
                dependency.package
            ));
        }
    }
}

/// The crate says what it is before anything else.
fn documented(package: &Package, found: &mut Vec<String>) {
    if package.roots.is_empty() {
        found.push(format!("docs: {} has neither src/lib.rs nor src/main.rs", package.folder.display()));
    }
    for (path, text) in &package.roots {
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if first.trim_start().strip_prefix("//!").is_none_or(|doc| doc.trim().is_empty()) {
            found.push(format!("docs: {} does not start with a crate doc (//! what it is)", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
        [lints]\nworkspace = true\n[dependencies]\nserde = { workspace = true, features = [\"rc\"] }\njiff.workspace = true\n";

    fn workspace(manifest: &str, lib: &str, sources: &[&str], top_level: &[&str]) -> Workspace {
        let roots = vec![(PathBuf::from("crates/x/src/lib.rs"), lib.to_owned())];
        Workspace {
            packages: vec![Package::parse(Path::new("crates/x"), manifest, roots).unwrap()],
            top_level: top_level.iter().map(|name| (*name).to_owned()).collect(),
            sources: sources.iter().map(PathBuf::from).collect(),
        }
    }

    #[test]
    fn a_tidy_workspace_passes() {
        let tidy = workspace(
            GOOD,
            "\n//! X does x.\nmod a;",
            &["crates/x/src/commonality.rs"],
            &[".git", "crates", "Cargo.lock"],
        );
        assert_eq!(violations(&tidy), Vec::<String>::new());
    }

    #[test]
    fn every_broken_rule_is_named_once() {
        let doc = "//! X does x.";
        let cases = [
            (GOOD.replace("[lints]\nworkspace = true\n", ""), doc, "", "", "lints: crates/x/Cargo.toml lacks"),
            (
                GOOD.replace("version.workspace = true\ned", "version = \"1.0.0\"\ned"),
                doc,
                "",
                "",
                "package.version is not",
            ),
            (GOOD.replace("jiff.workspace = true", "jiff = \"0.2\""), doc, "", "", "jiff is not `workspace = true`"),
            (
                GOOD.replace("{ workspace = true, f", "{ version = \"1\", f"),
                doc,
                "",
                "",
                "serde is not `workspace = true`",
            ),
            (
                format!("{GOOD}[dev-dependencies]\na = {{ path = \"../a\" }}\n"),
                doc,
                "",
                "",
                "a is not `workspace = true`",
            ),
            (GOOD.to_owned(), "mod a;\n//! late", "", "", "docs: crates/x/src/lib.rs does not start"),
            (GOOD.to_owned(), "//!\nmod a;", "", "", "docs: crates/x/src/lib.rs does not start"),
            (GOOD.to_owned(), doc, "crates/x/src/utils.rs", "", "names: crates/x/src/utils.rs"),
            (GOOD.to_owned(), doc, "crates/x/tests/it/common", "", "names: crates/x/tests/it/common"),
            (GOOD.to_owned(), doc, "", "notes.txt", "top level: notes.txt"),
        ];
        for (manifest, lib, source, top, expected) in cases {
            let some = |name: &'static str| if name.is_empty() { vec![] } else { vec![name] };
            let found = violations(&workspace(&manifest, lib, &some(source), &some(top)));
            assert_eq!(found.len(), 1, "{expected}: {found:?}");
            assert!(found[0].contains(expected), "{}", found[0]);
        }
    }

    #[test]
    fn a_package_without_sources_is_named() {
        let mut empty = workspace(GOOD, "", &[], &[]);
        empty.packages[0].roots.clear();
        assert!(violations(&empty)[0].contains("neither src/lib.rs nor src/main.rs"));
    }
}
