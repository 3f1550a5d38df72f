//! Which fields of a document are secret, and walking to them.

use std::fmt;

use serde_json::Value;

/// The names on the way to a field, from the top of the document. Arrays on the way are traversed, so one path names
/// the field in every element; an object or array at its end stands for all texts within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<String>);

// === impl JsonPath ===

impl JsonPath {
    /// A path of these names.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// Whether every field this path names is also named by `other`.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Calls `visit` with the place (as a JSON pointer) and the value of each text the path names.
    pub(super) fn visit<E>(
        &self,
        document: &mut Value,
        visit: &mut dyn FnMut(&str, &mut Value) -> Result<(), E>,
    ) -> Result<(), E> {
        walk(document, &self.0, &mut String::new(), visit)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

fn walk<E>(
    value: &mut Value,
    names: &[String],
    place: &mut String,
    visit: &mut dyn FnMut(&str, &mut Value) -> Result<(), E>,
) -> Result<(), E> {
    match value {
        Value::Array(elements) => {
            for (n, element) in elements.iter_mut().enumerate() {
                step(element, names, place, &n.to_string(), visit)?;
            }
            Ok(())
        }
        Value::Object(fields) => match names.split_first() {
            Some((name, rest)) => match fields.get_mut(name) {
                Some(field) => step(field, rest, place, name, visit),
                None => Ok(()),
            },
            None => {
                for (name, field) in fields.iter_mut() {
                    step(field, names, place, name, visit)?;
                }
                Ok(())
            }
        },
        Value::String(_) if names.is_empty() => visit(place, value),
        _ => Ok(()),
    }
}

fn step<E>(
    value: &mut Value,
    names: &[String],
    place: &mut String,
    name: &str,
    visit: &mut dyn FnMut(&str, &mut Value) -> Result<(), E>,
) -> Result<(), E> {
    let length = place.len();
    place.push('/');
    place.push_str(&name.replace('~', "~0").replace('/', "~1"));
    let walked = walk(value, names, place, visit);
    place.truncate(length);
    walked
}
