//! What the tables of proofs ([`crate::contract`], [`crate::defects`]) are held to: the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One row of a table of proofs.
pub(crate) struct Row {
    pub(crate) point: String,
    pub(crate) demand: String,
    pub(crate) plane: String,
    pub(crate) proof: String,
}

/// The table in the documentation of a module; its heading left out.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1) {
        let cells: Vec<&str> = line.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let [point, demand, plane, proof] = cells[..] else { panic!("not a row: {line}") };
        // A blank cell goes on with what stands above.
        let above = |cell: &str, before: fn(&Row) -> &String| match (cell, rows.last()) {
            ("", Some(row)) => before(row).clone(),
            _ => cell.to_owned(),
        };
        let (point, demand) = (above(point, |row| &row.point), above(demand, |row| &row.demand));
        rows.push(Row { point, demand, plane: plane.to_owned(), proof: proof.to_owned() });
    }
    rows
}

/// A source of the workspace; empty when there is none.
pub(crate) fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap_or_default()
}

/// The parts of `path::name`.
pub(crate) fn path_and_name(proof: &str) -> Option<(&str, &str)> {
    proof.split_once("::")
}

/// The plane of the tests in a source.
pub(crate) fn plane_of(path: &str) -> &'static str {
    match path.split('/').next() {
        Some("tests") => "embedded",
        Some("bins") if path.contains("/tests/") => "process",
        _ => "unit",
    }
}

/// What stands before the test function of that name: its documentation and attributes. `None`: there is no such test.
pub(crate) fn find_test<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let signature = format!("fn {name}(");
    text.match_indices(&signature).find_map(|(at, _)| {
        // Between the end of the item before and the name stand documentation and attributes only.
        let before = &text[..at];
        let item = before.rfind(['}', ';']).map_or(before, |end| &before[end..]);
        let is_test = ["#[test]", "#[tokio::test", "proptest!"].iter().any(|mark| item.contains(mark));
        (is_test && !item.contains("#[ignore")).then_some(item)
    })
}

/// The names of the scenarios that `cargo xtask e2e` plays.
pub(crate) fn scenarios() -> BTreeSet<String> {
    let text = source("xtask/src/e2e.rs");
    let rows = text.lines().map(str::trim).filter(|line| line.starts_with("smoke(\"") || line.starts_with("more(\""));
    rows.filter_map(|row| row.split('"').nth(1)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_only_as_a_test_of_its_own() {
        let text = "/// W-99\n#[test]\nfn one() {}\nfn two() { one(); }\n#[tokio::test(start_paused = true)]\nasync fn three() {}";
        for (name, expected) in [("one", true), ("two", false), ("three", true), ("thre", false), ("four", false)] {
            assert_eq!(find_test(text, name).is_some(), expected, "{name}");
        }
        assert!(find_test(text, "one").is_some_and(|item| item.contains("W-99")));
        assert!(find_test(text, "three").is_some_and(|item| !item.contains("W-99")));
    }
}
