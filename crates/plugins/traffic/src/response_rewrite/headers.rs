//! Changes to the response's header.

use crate::header::Header;
use model::vars::Lookup;
use plugin::BuildError;
use serde_json::{Map, Value};
use wire::Fields;

/// What is added, set and removed, in this order.
#[derive(Debug, Default)]
pub(super) struct Headers {
    add: Vec<Header>,
    set: Vec<Header>,
    remove: Vec<String>,
}

/// Rendered changes.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    add: Vec<(&'a str, Vec<u8>)>,
    set: Vec<(&'a str, Vec<u8>)>,
    remove: &'a [String],
}

impl Headers {
    /// Compiles `{ add, set, remove }`, or the older `{ name: value }`, which sets.
    pub(super) fn compile(written: &Map<String, Value>) -> Result<Self, BuildError> {
        let (add, set, remove) =
            (list(written.get("add")), written.get("set").and_then(Value::as_object), list(written.get("remove")));
        let set_all = |fields: &Map<String, Value>| {
            fields.iter().map(|(name, value)| Header::of_response(name, value)).collect::<Result<Vec<_>, _>>()
        };
        if add.is_none() && set.is_none() && remove.is_none() {
            return Ok(Self { set: set_all(written)?, ..Self::default() });
        }
        Ok(Self {
            add: add.unwrap_or_default().into_iter().map(line).collect::<Result<_, _>>()?,
            set: set.map(set_all).transpose()?.unwrap_or_default(),
            remove: remove.unwrap_or_default().into_iter().map(|name| name.replace('_', "-")).collect(),
        })
    }

    pub(super) fn render(&self, lookup: &dyn Lookup) -> Changes<'_> {
        Changes { add: lines(&self.add, lookup), set: lines(&self.set, lookup), remove: &self.remove }
    }
}

fn lines<'a>(headers: &'a [Header], lookup: &dyn Lookup) -> Vec<(&'a str, Vec<u8>)> {
    headers.iter().map(|header| (header.name.as_str(), header.render(lookup))).collect()
}

impl Changes<'_> {
    /// Makes the changes. nginx sends no field without a value, and one that is set to none is removed.
    pub(super) fn apply(self, fields: &mut Fields) {
        for (name, value) in self.add {
            if !value.is_empty() {
                fields.push(name.as_bytes(), &value);
            }
        }
        for (name, value) in self.set {
            if value.is_empty() {
                fields.remove(name);
            } else {
                fields.set(name, &value);
            }
        }
        for name in self.remove {
            fields.remove(name);
        }
    }
}

fn list(value: Option<&Value>) -> Option<Vec<&str>> {
    value?.as_array().map(|items| items.iter().filter_map(Value::as_str).collect())
}

/// `name: value`, with neither white space in the name nor a colon in the value.
fn line(text: &str) -> Result<Header, BuildError> {
    let malformed = || BuildError(format!("invalid header line \"{}\"", text.escape_debug()));
    let (name, value) = text.split_once(':').ok_or_else(malformed)?;
    let value = value.trim_ascii_start();
    if value.is_empty() || value.contains(':') {
        return Err(malformed());
    }
    Header::of_response(name.trim_ascii_end(), &Value::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::vars::{Value as Var, VarName};
    use serde_json::json;

    struct Vars;

    impl Lookup for Vars {
        fn var(&self, name: &VarName) -> Var<'_> {
            match name {
                VarName::Host => Var::text("h"),
                _ => Var::Absent,
            }
        }
    }

    fn run(written: &Value) -> String {
        let mut fields: Fields = [("A", "1"), ("B", "2"), ("a", "3")].into_iter().collect();
        Headers::compile(written.as_object().unwrap()).unwrap().render(&Vars).apply(&mut fields);
        let lines: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .collect();
        lines.join(" ")
    }

    #[test]
    fn fields_are_added_set_and_removed() {
        for (desc, written, expected) in [
            ("add", json!({"add": ["A : x", "C:$host"]}), "A=1 B=2 a=3 A=x C=h"),
            ("set", json!({"set": {"a": "x", "C_D": 1.5}}), "a=x B=2 C-D=1.5"),
            ("remove", json!({"remove": ["a", "none"]}), "B=2"),
            ("add, set, remove", json!({"remove": ["C"], "set": {"B": "x"}, "add": ["C: y"]}), "A=1 B=x a=3"),
            ("the old form sets", json!({"A": "x", "C": 1}), "A=x B=2 C=1"),
            ("an old header named add", json!({"add": "x"}), "A=1 B=2 a=3 add=x"),
            ("no value removes", json!({"set": {"A": "$arg_x", "B": ""}}), ""),
            ("nothing is added", json!({"add": ["C: $arg_x"]}), "A=1 B=2 a=3"),
        ] {
            assert_eq!(run(&written), expected, "{desc}");
        }
    }

    #[test]
    fn lines_that_are_none_are_refused() {
        for (text, error) in [
            ("a b: c", "invalid field character in header"),
            ("a: ", "invalid header line \"a: \""),
            ("a: b:c", "invalid header line \"a: b:c\""),
            ("a: b\nc", "invalid value character in header"),
        ] {
            assert_eq!(line(text).unwrap_err().to_string(), error, "{text}");
        }
    }
}
