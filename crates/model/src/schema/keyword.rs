//! Reading the keywords of one schema that do not hold other schemas.

use serde_json::{Map, Value};

use super::SchemaError;
use super::lua;
use super::matcher::Matcher;
use super::node::{NumberRules, StringRules, Type, Types};

/// A schema as written.
pub(super) type Fields = Map<String, Value>;

pub(super) fn types(fields: &Fields) -> Result<Option<Types>, SchemaError> {
    let (names, multiple) = match fields.get("type") {
        None => return Ok(None),
        Some(Value::String(name)) => (vec![name.clone()], false),
        Some(names) => (strings(names).ok_or_else(|| keyword("type", "a string or an array of strings"))?, true),
    };
    let mut any = Vec::with_capacity(names.len());
    for name in &names {
        any.push(
            Type::named(name).ok_or_else(|| SchemaError::UnknownType { path: String::new(), name: name.clone() })?,
        );
    }
    let text = names.join(", ");
    Ok(Some(Types { any, text: if multiple { format!("one of {text}") } else { text } }))
}

impl Type {
    fn named(name: &str) -> Option<Type> {
        Some(match name {
            "object" => Type::Object,
            "array" => Type::Array,
            "table" => Type::Table,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "string" => Type::String,
            "boolean" => Type::Boolean,
            "null" => Type::Null,
            "function" => Type::Function,
            _ => return None,
        })
    }
}

pub(super) fn string(fields: &Fields) -> Result<StringRules, SchemaError> {
    let pattern = match fields.get("pattern") {
        None => None,
        Some(Value::String(pattern)) => Some(matcher(pattern)?),
        Some(_) => return Err(keyword("pattern", "a string")),
    };
    Ok(StringRules { min: count(fields, "minLength")?, max: count(fields, "maxLength")?, pattern })
}

pub(super) fn numbers(fields: &Fields) -> Result<NumberRules, SchemaError> {
    Ok(NumberRules {
        minimum: number(fields, "minimum")?,
        exclusive_minimum: number(fields, "exclusiveMinimum")?,
        maximum: number(fields, "maximum")?,
        exclusive_maximum: number(fields, "exclusiveMaximum")?,
        multiple_of: number(fields, "multipleOf")?,
    })
}

pub(super) fn matcher(pattern: &str) -> Result<Matcher, SchemaError> {
    Matcher::new(pattern).map_err(|reason| SchemaError::Pattern {
        path: String::new(),
        pattern: lua::quote(pattern),
        reason,
    })
}

fn number(fields: &Fields, name: &'static str) -> Result<Option<f64>, SchemaError> {
    match fields.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| keyword(name, "a number")),
    }
}

pub(super) fn count(fields: &Fields, name: &'static str) -> Result<Option<u64>, SchemaError> {
    let counted = |number: f64| {
        if number >= 0.0 { Ok(number as u64) } else { Err(keyword(name, "0 or more")) }
    };
    number(fields, name)?.map(counted).transpose()
}

pub(super) fn members<'a>(
    fields: &'a Fields,
    name: &'static str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, SchemaError> {
    match fields.get(name) {
        None => Ok(None.into_iter().flatten()),
        Some(Value::Object(members)) => Ok(Some(members).into_iter().flatten()),
        // An empty Lua table.
        Some(Value::Array(items)) if items.is_empty() => Ok(None.into_iter().flatten()),
        Some(_) => Err(keyword(name, "an object")),
    }
}

pub(super) fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

pub(super) fn keyword(keyword: &'static str, expected: &'static str) -> SchemaError {
    SchemaError::Keyword { path: String::new(), keyword, expected: expected.into() }
}

/// A keyword that Lua would walk through, and how Lua complains when it cannot.
pub(super) fn no_table(keyword: &'static str, expected: &'static str, found: &Value) -> SchemaError {
    let complaint = match found {
        Value::Array(_) | Value::Object(_) => String::new(),
        found => format!(" (table expected, got {})", lua::type_name(found)),
    };
    SchemaError::Keyword { path: String::new(), keyword, expected: format!("{expected}{complaint}").into() }
}
