//! The items of the lists of a JSON text, one by one and with their lines.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::Refused;
use crate::json::{self, JsonError, Limits};
use crate::yaml::Item;

/// Like [`crate::yaml::parse_items`].
pub(super) fn parse(text: &str, take: &mut dyn FnMut(Item)) -> Result<Value, Refused> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Lines { text, offset: 0, line: 1 };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let sections = deserializer
        .deserialize_map(Sections)
        .and_then(|sections| deserializer.end().map(|()| sections))
        .map_err(|error| refuse(error.line(), &error.to_string()))?;
    let mut rest = Map::new();
    for (name, raw) in sections {
        let line = lines.of(raw.get());
        if rest.contains_key(name.as_str()) {
            return Err(refuse(line, &format!("duplicate key \"{name}\"")));
        }
        if !raw.get().starts_with('[') {
            rest.insert(name, value(raw.get(), line)?);
            continue;
        }
        let items: Vec<&RawValue> =
            serde_json::from_str(raw.get()).map_err(|error| refuse(line, &error.to_string()))?;
        for item in items {
            let line = lines.of(item.get());
            take(Item { section: name.clone(), line, value: value(item.get(), line)? });
        }
        rest.insert(name, Value::Array(Vec::new()));
    }
    Ok(Value::Object(rest))
}

fn value(text: &str, first_line: usize) -> Result<Value, Refused> {
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    json::parse(text.as_bytes(), limits).map_err(|error| match &error {
        JsonError::TooLarge { .. } => refuse(first_line, &error.to_string()),
        JsonError::TooDeep { line, limit, .. } => {
            refuse(first_line + line - 1, &format!("nested deeper than {limit} levels"))
        }
        JsonError::DuplicateKey { key, line, .. } => refuse(first_line + line - 1, &format!("duplicate key \"{key}\"")),
        JsonError::Syntax { message, line, .. } => refuse(first_line + line.saturating_sub(1), message),
    })
}

/// Without the place at the end of the reason: it counts from the start of an item.
fn refuse(line: usize, reason: &str) -> Refused {
    let reason = reason.rsplit_once(" at line ").map_or(reason, |(reason, _)| reason);
    Refused::At { line: line.max(1), reason: reason.to_owned() }
}

/// Counts lines while it goes on through the text.
struct Lines<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line on which a part of the text begins. Parts are asked for in their order.
    fn of(&mut self, part: &str) -> usize {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let between = self.text.as_bytes().get(self.offset..offset).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', between).count();
        self.offset = self.offset.max(offset);
        self.line
    }
}

/// The keys and values of an object, the values as text.
struct Sections;

impl<'de> Visitor<'de> for Sections {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of lists such as routes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut sections = Vec::new();
        while let Some(key) = fields.next_key::<String>()? {
            sections.push((key, fields.next_value()?));
        }
        Ok(sections)
    }
}
