//! Moving and dropping fields of a document, each with its note.

use serde_json::{Map, Value};

use super::duration::whole_seconds;
use super::{ConvertError, Document, dotted};

/// Maps whose keys are the user's: what stands in them is no field.
const OPEN_MAPS: [&str; 6] = ["labels", "annotations", "matchLabels", "matchExpressions", "featureGates", "config"];
/// Fields whose empty value means something else than no value: no taints at all, everything or nothing selected, an
/// argument without text; or that v1beta2 demands.
const MEANT_EMPTY: [&str; 6] = ["taints", "selector", "clusterSelector", "bootstrap", "value", "dataSecretName"];
/// Places that every template has; what must stand in an empty one is its kind's matter.
const TEMPLATE: [&str; 2] = ["/spec/template", "/spec/template/spec"];
/// Numbers that were 0 when not set, where v1beta2 starts at 1.
const PORTS: [&str; 3] = ["port", "bindPort", "apiServerPort"];

/// Something that [`Document::drop_empty`] took out.
struct Gone {
    path: String,
    is_scalar: bool,
}

impl Document<'_> {
    /// Takes a value out, without a note. Null counts as absent.
    pub(super) fn take(&mut self, path: &str) -> Option<Value> {
        let (parent, name) = path.rsplit_once('/')?;
        let fields = self.value.pointer_mut(parent)?.as_object_mut()?;
        fields.remove(name).filter(|value| !value.is_null())
    }

    /// The place of a field, made with all objects above it when absent.
    pub(super) fn slot(&mut self, path: &str) -> Result<&mut Value, ConvertError> {
        let mut at = String::new();
        for name in path.trim_start_matches('/').split('/') {
            let parent = match at.as_str() {
                "" => Some(&mut *self.value),
                at => self.value.pointer_mut(at),
            };
            let is_there = match parent {
                Some(Value::Array(list)) => name.parse::<usize>().is_ok_and(|index| index < list.len()),
                Some(slot @ Value::Null) => {
                    *slot = Value::Object(Map::from_iter([(name.to_owned(), Value::Null)]));
                    true
                }
                Some(Value::Object(fields)) => {
                    fields.entry(name).or_insert(Value::Null);
                    true
                }
                _ => false,
            };
            if !is_there {
                return Err(self.error(&at, "is no mapping", "look at its indentation"));
            }
            at = format!("{at}/{name}");
        }
        let error = self.error(path, "is no mapping", "look at its indentation");
        self.value.pointer_mut(path).ok_or(error)
    }

    /// Puts a value that was at `from` where it belongs now.
    fn put(&mut self, from: &str, to: &str, value: Value) -> Result<(), ConvertError> {
        let slot = self.slot(to)?;
        if slot.is_null() {
            *slot = value;
            return Ok(());
        }
        let problem = format!("is given, and so is {}", dotted(to));
        Err(self.error(from, &problem, "keep one of the two"))
    }

    /// Moves a field, whichever of its old names it has.
    pub(super) fn rename(&mut self, from: &[&str], to: &str, why: &str) -> Result<(), ConvertError> {
        let mut given = Vec::new();
        for path in from {
            given.extend(self.take(path).map(|value| (*path, value)));
        }
        if let [(first, _), (second, _), ..] = &given[..] {
            let problem = format!("is given, and so is {}", dotted(second));
            return Err(self.error(first, &problem, "keep one of the two"));
        }
        let Some((path, value)) = given.pop() else {
            return Ok(());
        };
        self.put(path, to, value)?;
        self.changed(path, format!("moved to {}", dotted(to)), why);
        Ok(())
    }

    /// Moves a duration, which becomes a number of seconds, whichever of its old names it has.
    pub(super) fn seconds(&mut self, from: &[&str], to: &str) -> Result<(), ConvertError> {
        for path in from {
            let Some(value) = self.take(path) else {
                continue;
            };
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let Some(seconds) = value.as_str().and_then(whole_seconds) else {
                let problem = format!("{text} is no duration");
                return Err(self.error(path, &problem, "write one such as 5m, 90s or 1h30m"));
            };
            self.put(path, to, Value::from(seconds))?;
            self.changed(
                path,
                format!("{text} moved to {} as {seconds}", dotted(to)),
                "v1beta2 writes durations as a number of seconds",
            );
        }
        Ok(())
    }

    /// How many entries the list at `path` has; 0 when there is none.
    pub(super) fn entries(&self, path: &str) -> usize {
        let list = self.value.pointer(path).and_then(Value::as_array);
        list.map_or(0, Vec::len)
    }

    /// Takes a field out without a note if nothing is left in it, after its parts were moved.
    pub(super) fn drop_if_moved_out(&mut self, path: &str) {
        if self.value.pointer(path).is_some_and(|value| value.as_object().is_some_and(Map::is_empty)) {
            self.take(path);
        }
    }

    /// Drops what is empty in the spec, from the inside out: v1beta2 refuses empty objects, lists and texts.
    pub(super) fn drop_empty(&mut self) {
        let mut gone = Vec::new();
        if let Some(spec) = self.value.get_mut("spec") {
            sweep(spec, "/spec", &mut gone);
        }
        for Gone { path, is_scalar } in gone {
            match is_scalar {
                true => self.changed(&path, "removed, it is not set", "v1beta2 leaves out what is not set"),
                false => self.changed(
                    &path,
                    "removed, it is empty",
                    "it says nothing (the defaults hold), and v1beta2 refuses empty objects and lists",
                ),
            }
        }
    }
}

/// Empties `value` of what is empty, and records it. Entries of lists stay: their place counts.
fn sweep(value: &mut Value, at: &str, gone: &mut Vec<Gone>) {
    match value {
        Value::Array(list) => {
            for (index, entry) in list.iter_mut().enumerate() {
                sweep(entry, &format!("{at}/{index}"), gone);
            }
        }
        Value::Object(fields) => {
            let in_join = at.ends_with("/joinConfiguration");
            fields.retain(|name, value| {
                let path = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                // The value of a variable is the user's own document.
                let is_open = OPEN_MAPS.contains(&name.as_str()) || name == "value";
                if !is_open {
                    sweep(value, &path, gone);
                }
                // Its presence alone makes a joining machine a control plane.
                let is_role = in_join && name == "controlPlane";
                let is_template = TEMPLATE.contains(&path.as_str());
                let is_meant = is_role || is_template || MEANT_EMPTY.contains(&name.as_str());
                let (is_empty, is_scalar) = match value {
                    Value::Null => (true, false),
                    Value::Object(fields) => (fields.is_empty() && !is_meant, false),
                    Value::Array(list) => (list.is_empty() && !is_meant, false),
                    Value::String(text) => (text.is_empty() && !is_meant, true),
                    Value::Number(number) => (number.as_i64() == Some(0) && PORTS.contains(&name.as_str()), true),
                    Value::Bool(_) => (false, true),
                };
                if is_empty {
                    let inside = format!("{path}/");
                    gone.retain(|other| !(other.is_scalar && other.path.starts_with(&inside)));
                    gone.push(Gone { path, is_scalar });
                }
                !is_empty
            });
        }
        _ => {}
    }
}
