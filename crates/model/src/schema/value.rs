//! Checks of one value that look neither into it nor at other schemas.

use serde_json::{Map, Value};

use super::Violation;
use super::lua;
use super::matcher::GivenUp;
use super::node::{NumberRules, StringRules, Type, Types};

/// The outcome of a check.
pub(super) type Check = Result<(), Violation>;

/// Checks the type, and gives an empty table the form that the type asks for.
pub(super) fn check_type(types: &Types, value: &mut Value) -> Check {
    if !types.any.iter().any(|kind| kind.accepts(value)) {
        return Err(violation(format!("wrong type: expected {}, got {}", types.text, lua::type_name(value))));
    }
    match (types.any.as_slice(), &*value) {
        ([Type::Object], Value::Array(_)) => *value = Value::Object(Map::new()),
        ([Type::Array], Value::Object(_)) => *value = Value::Array(Vec::new()),
        _ => {}
    }
    Ok(())
}

impl Type {
    fn accepts(self, value: &Value) -> bool {
        match self {
            Type::Object => is_object(value),
            Type::Array => value.is_array() || is_empty(value),
            Type::Table => is_table(value),
            Type::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Type::Number => value.is_number(),
            Type::String => value.is_string(),
            Type::Boolean => value.is_boolean(),
            Type::Null => value.is_null(),
            Type::Function => false,
        }
    }
}

pub(super) fn check_string(rules: &StringRules, text: &str) -> Result<Check, GivenUp> {
    if rules.min.is_some() || rules.max.is_some() {
        let length = text.chars().count() as u64;
        if let Some(min) = rules.min.filter(|min| length < *min) {
            return Ok(Err(violation(format!("string too short, expected at least {min}, got {length}"))));
        }
        if let Some(max) = rules.max.filter(|max| length > *max) {
            return Ok(Err(violation(format!("string too long, expected at most {max}, got {length}"))));
        }
    }
    match &rules.pattern {
        Some(pattern) if !pattern.is_match(text)? => Ok(Err(violation(pattern.complaint(text)))),
        _ => Ok(Ok(())),
    }
}

pub(super) fn check_number(rules: &NumberRules, found: f64) -> Check {
    let expect = |fits: bool, bound: f64, relation: &str| {
        if fits {
            return Ok(());
        }
        let (found, bound) = (lua::number(found), lua::number(bound));
        Err(violation(format!("expected {found} to be {relation} {bound}")))
    };
    if let Some(bound) = rules.minimum {
        expect(found >= bound, bound, "at least")?;
    }
    if let Some(bound) = rules.exclusive_minimum {
        expect(found > bound, bound, "greater than")?;
    }
    if let Some(bound) = rules.maximum {
        expect(found <= bound, bound, "at most")?;
    }
    if let Some(bound) = rules.exclusive_maximum {
        expect(found < bound, bound, "smaller than")?;
    }
    if let Some(bound) = rules.multiple_of {
        expect(is_multiple(found, bound), bound, "a multiple of")?;
    }
    Ok(())
}

/// Exact for integers; for fractions within the error of one division, as 1.13 is a multiple of 0.01.
fn is_multiple(value: f64, of: f64) -> bool {
    if of.fract() == 0.0 {
        return value % of == 0.0;
    }
    let quotient = value / of;
    let rounded = (quotient + 0.5).floor();
    let tolerance = 1e-12 * if rounded == 0.0 { 1.0 } else { rounded.abs() };
    (quotient - rounded).abs() <= tolerance
}

pub(super) fn is_table(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

pub(super) fn is_object(value: &Value) -> bool {
    value.is_object() || is_empty(value)
}

/// An empty object or array: the same thing in Lua.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

pub(super) fn violation(message: impl Into<String>) -> Violation {
    Violation { message: message.into(), path: String::new() }
}
