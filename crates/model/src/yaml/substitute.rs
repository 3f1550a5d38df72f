//! `${{VAR}}` and `${{VAR:=default}}`.

use serde_json::{Map, Number, Value};

use crate::vars::number::parse_number;

/// A variable of the environment that is not set and has no default.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to handle configuration: can't find environment variable {0}")]
pub struct MissingVariable(pub String);

/// Replaces variables in text before it is parsed, as in `apisix.yaml`; quoting decides types.
pub fn substitute(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, MissingVariable> {
    Ok(replace(text, env)?.unwrap_or_else(|| text.to_owned()))
}

/// Replaces variables in the keys and texts of a parsed document, as in `config.yaml`.
///
/// A text that used a variable becomes a number or boolean if it now spells one.
pub fn substitute_values(value: &mut Value, env: &dyn Fn(&str) -> Option<String>) -> Result<(), MissingVariable> {
    match value {
        Value::String(text) => {
            if let Some(replaced) = replace(text, env)? {
                *value = retyped(replaced);
            }
        }
        Value::Array(items) => {
            for item in items {
                substitute_values(item, env)?;
            }
        }
        Value::Object(map) => {
            let mut replaced = Map::with_capacity(map.len());
            for (key, mut item) in std::mem::take(map) {
                substitute_values(&mut item, env)?;
                replaced.insert(substitute(&key, env)?, item);
            }
            *map = replaced;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

fn retyped(text: String) -> Value {
    match text.as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>() {
        return Value::Number(number.into());
    }
    match parse_number(text.as_bytes()).and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(text),
    }
}

/// The text with its variables replaced, if it has any.
fn replace(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, MissingVariable> {
    let mut out = String::new();
    let mut rest = text;
    let mut is_replaced = false;
    while let Some(position) = rest.find("${{") {
        let (before, reference) = rest.split_at(position);
        out.push_str(before);
        let inside = reference.get(3..).unwrap_or_default();
        match inside.split_once("}}") {
            Some((inside, after)) if starts_with_name(inside) => {
                out.push_str(&variable(inside.trim(), env)?);
                is_replaced = true;
                rest = after;
            }
            _ => {
                out.push_str("${{");
                rest = inside;
            }
        }
    }
    out.push_str(rest);
    Ok(is_replaced.then_some(out))
}

fn starts_with_name(inside: &str) -> bool {
    inside.trim_start().starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

fn variable(reference: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, MissingVariable> {
    let (name, default) = match reference.split_once(":=") {
        Some((name, default)) => (name.trim_end(), Some(default.trim())),
        None => (reference, None),
    };
    env(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| MissingVariable(name.to_owned()))
}
