//! The client's table against the list of operations taken from MAAS's sources.

use std::collections::{BTreeMap, BTreeSet};

use maas_client::operation::{self, Operation};

/// Verb, path with `{}` for ids, and `op`.
type Key = (String, String, Option<String>);

struct Row {
    parameters: BTreeSet<String>,
    since: Option<(u32, u32)>,
    until: Option<(u32, u32)>,
}

fn template(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// One line: `` - `path`, `path` [versions]: GET · POST op(parameters) · … ``
fn line(text: &str, rows: &mut BTreeMap<Key, Row>) {
    let (head, operations) = text.split_once(": ").unwrap_or_else(|| panic!("no colon in {text}"));
    let paths: Vec<_> = head.split('`').skip(1).step_by(2).map(template).collect();
    let since = head.contains("[3.8+]").then_some((3, 8));
    let until = head.contains("[410 on main]").then_some((3, 8));
    // what follows a semicolon is prose
    for word in operations.split(';').next().unwrap().split(" · ") {
        let (word, parameters) = match word.split_once('(') {
            Some((word, rest)) => (word, rest.trim_end_matches(')')),
            None => (word, ""),
        };
        let plain = word.replace('ª', "");
        let (verb, op) = match plain.trim().split_once(' ') {
            Some((verb, op)) => (verb.to_owned(), Some(op.to_owned()).filter(|op| !op.is_empty())),
            None => (plain.trim().to_owned(), None),
        };
        let parameters: BTreeSet<_> = match parameters {
            "" | "raw bytes" => BTreeSet::new(),
            "§6.1" => BTreeSet::from(["*".to_owned()]),
            list => list.split(", ").map(str::to_owned).collect(),
        };
        for path in &paths {
            // "`networks/`, `networks/{name}/`": the operation is one of a single network
            if path == "networks/" && op.is_some() {
                continue;
            }
            // the fact sheet, §2.8: reserved addresses came with 3.6
            let since = if path.starts_with("reservedips/") { Some((3, 6)) } else { since };
            let row = Row { parameters: parameters.clone(), since, until };
            assert!(rows.insert((verb.clone(), path.clone(), op.clone()), row).is_none(), "{verb} {path} {op:?} twice");
        }
    }
}

fn known() -> BTreeMap<Key, Row> {
    let mut rows = BTreeMap::new();
    for text in include_str!("../operations.md").lines().filter(|text| text.starts_with("- ")) {
        line(text, &mut rows);
    }
    rows
}

fn key(operation: &Operation) -> Key {
    (operation.method.to_string(), operation.path.to_owned(), operation.op.map(str::to_owned))
}

#[test]
fn every_operation_of_maas_is_in_the_table_with_its_parameters_and_versions() {
    let known = known();
    assert_eq!(known.len(), 375, "the list was read whole");
    let ours: BTreeMap<Key, &Operation> = operation::all().map(|operation| (key(operation), operation)).collect();
    assert_eq!(ours.len(), operation::all().count(), "no operation is there twice");
    assert_eq!(known.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    for (key, row) in &known {
        let operation = ours[key];
        let parameters: BTreeSet<_> = operation.parameters.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(parameters, row.parameters, "{key:?}");
        assert_eq!((operation.since, operation.until), (row.since, row.until), "{key:?}");
        assert_eq!(operation.ids(), operation.path.matches('{').count());
    }
    let names: BTreeSet<_> = operation::all().map(|operation| operation.name).collect();
    assert_eq!(names.len(), known.len(), "names are unique");
    for name in names {
        assert_eq!(Operation::by_name(name).unwrap().name, name);
    }
}

/// Constants named in the sources outside the table: those a typed method is made of.
pub(crate) fn typed() -> BTreeSet<&'static str> {
    let mut sources = String::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut folders = vec![std::path::PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name != "operation" => folders.push(path),
                false if !name.starts_with("operation") && name != "tests.rs" && name != "capabilities.rs" => {
                    let text = std::fs::read_to_string(path).unwrap();
                    // neither the unit tests at the end of a file nor documentation
                    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                    sources.extend(
                        text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|l| [l, "\n"]),
                    );
                }
                _ => {}
            }
        }
    }
    let words: BTreeSet<&str> = sources.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let table = [
        include_str!("../../src/operation/nodes.rs"),
        include_str!("../../src/operation/network.rs"),
        include_str!("../../src/operation/region.rs"),
    ];
    let mut typed = BTreeSet::new();
    for text in table {
        for (constant, rest) in text.lines().filter_map(|line| line.trim().split_once(" = \"")) {
            if words.contains(constant) {
                typed.insert(rest.split('"').next().unwrap());
            }
        }
    }
    typed
}

#[test]
fn the_typed_share_is_stated_and_does_not_fall() {
    let typed = typed();
    let all = operation::all().count();
    println!("{} of {all} operations have a typed method: {} %", typed.len(), 100 * typed.len() / all);
    let untyped: Vec<_> =
        operation::all().map(|operation| operation.name).filter(|name| !typed.contains(name)).collect();
    println!("through Client::call only: {}", untyped.join(" "));
    assert!(typed.len() >= TYPED, "{} typed, {TYPED} before", typed.len());
}

/// Raise it with every typed method; the README and crate documentation state it.
const TYPED: usize = 192;
