//! Header fields as an object.

use serde_json::{Map, Value};
use std::collections::BTreeSet;
use wire::Fields;

/// The spellings of names that a schema uses. Whoever asks a table of OpenResty for `User-Agent` finds
/// `user-agent`, and so schemas have either.
#[derive(Debug, Default)]
pub(super) struct Spellings(BTreeSet<String>);

impl Spellings {
    /// Those that are in a schema.
    pub(super) fn of(schema: &Value) -> Self {
        let mut names = BTreeSet::new();
        collect(schema, &mut names);
        Self(names)
    }

    /// Each name with its text, or a list where it comes several times.
    pub(super) fn object(&self, fields: &Fields) -> Value {
        let mut object = Map::new();
        for (name, value) in fields.iter() {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            let value = Value::String(String::from_utf8_lossy(value).into_owned());
            match object.get_mut(&name) {
                None => {
                    object.insert(name, value);
                }
                Some(Value::Array(list)) => list.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        let mut spelt = Map::new();
        for name in &self.0 {
            if let Some(value) = object.get(&fold(name)) {
                spelt.insert(name.clone(), value.clone());
            }
        }
        for name in spelt.keys().map(|name| fold(name)).filter(|name| !self.0.contains(name)) {
            object.shift_remove(&name);
        }
        object.extend(spelt);
        Value::Object(object)
    }
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Names of properties, wherever they stand.
fn collect(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Array(list) => list.iter().for_each(|item| collect(item, names)),
        Value::Object(fields) => {
            for (keyword, value) in fields {
                match (keyword.as_str(), value) {
                    ("required", Value::Array(list)) => {
                        names.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("properties" | "dependencies" | "dependentRequired" | "dependentSchemas", Value::Object(map)) => {
                        names.extend(map.keys().cloned());
                        for list in map.values().filter_map(Value::as_array) {
                            names.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
                        }
                    }
                    _ => {}
                }
                collect(value, names);
            }
        }
        _ => {}
    }
}
