//! What is particular about scripts among the things on shelves: kinds by name or number, filters of their list
//! (reference §2.10, A.1).

use serde_json::{Map, Value, json};

use crate::form::Params;

const TYPES: &[(u64, &str, &str)] =
    &[(0, "commissioning", "Commissioning script"), (2, "testing", "Testing script"), (3, "release", "Release script")];
const HARDWARE: &[(u64, &str, &str)] = &[
    (0, "node", "Node"),
    (1, "cpu", "CPU"),
    (2, "memory", "Memory"),
    (3, "storage", "Storage"),
    (4, "network", "Network"),
    (5, "gpu", "GPU"),
];
const PARALLEL: &[(u64, &str, &str)] = &[
    (0, "disabled", "Disabled"),
    (1, "instance", "Run along other instances of this script"),
    (2, "any", "Run along any other script"),
];

/// Number and shown name of a kind that is given by number or by word.
fn kind_of(table: &[(u64, &'static str, &'static str)], given: &Value) -> Option<(u64, &'static str)> {
    let text = given.as_str().map_or_else(|| given.to_string(), str::to_ascii_lowercase);
    table.iter().find(|(number, word, _)| text == *word || text == number.to_string()).map(|(n, _, shown)| (*n, *shown))
}

/// Brings kinds and timeout of a script into the form they are shown in.
pub(crate) fn settle(fields: &mut Map<String, Value>) {
    for (field, table) in [("type", TYPES), ("hardware_type", HARDWARE), ("parallel", PARALLEL)] {
        if let Some((number, name)) = kind_of(table, &fields[field]) {
            fields.insert(field.to_owned(), json!(number));
            fields.insert(format!("{field}_name"), json!(name));
        }
    }
    // Seconds, as Python shows a duration.
    if let Some(seconds) = fields["timeout"].as_str().and_then(|t| t.parse::<u64>().ok()) {
        let shown = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        fields.insert("timeout".to_owned(), json!(shown));
    }
}

/// True for a script that the list is asked for; `filters` names scripts or tags.
pub(crate) fn wanted(fields: &Map<String, Value>, query: &Params) -> bool {
    let is = |field: &str, table| {
        query.last(field).is_none_or(|text| kind_of(table, &json!(text)).is_some_and(|(n, _)| fields[field] == n))
    };
    let mut names = query.all("filters").flat_map(|f| f.split(',')).filter(|f| !f.is_empty()).peekable();
    let tagged = |name: &str| fields["tags"].as_array().is_some_and(|tags| tags.iter().any(|t| t == name));
    is("type", TYPES)
        && is("hardware_type", HARDWARE)
        && (names.peek().is_none() || names.any(|n| fields["name"] == n || tagged(n)))
}
