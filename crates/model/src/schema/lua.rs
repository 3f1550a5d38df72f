//! How Lua sees JSON values: type names, number texts, quoting and equality.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

/// What `type()` answers for a decoded value.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    }
}

/// A number as `tostring` prints it (`%.14g`).
pub fn number(value: f64) -> String {
    const DIGITS: i32 = 14;
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let scientific = format!("{value:.13e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific; // infinite or not a number
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..DIGITS).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim_fraction(mantissa), exponent.abs());
    }
    let precision = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
    trim_fraction(&format!("{value:.precision$}")).to_owned()
}

fn trim_fraction(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A string as LuaJIT's `%q` writes it.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\\' | '\n' => quoted.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let wide = chars.peek().is_some_and(char::is_ascii_digit);
                // Writing to a String cannot fail.
                let _ = if wide { write!(quoted, "\\{:03}", c as u32) } else { write!(quoted, "\\{}", c as u32) };
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Deep equality of Lua values: `1` equals `1.0`, and empty arrays equal empty objects.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (Value::Array(a), Value::Object(o)) | (Value::Object(o), Value::Array(a)) => a.is_empty() && o.is_empty(),
        (a, b) => a == b,
    }
}

/// The 1-based numbers of two equal items: scalars before tables, as the library looks for them.
pub(super) fn equal_items(items: &[Value]) -> Option<(usize, usize)> {
    let mut scalars: HashMap<String, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate().filter(|(_, item)| !is_table(item)) {
        if let Some(first) = scalars.insert(canonical(item), index) {
            return Some((first + 1, index + 1));
        }
    }
    let mut tables: HashMap<String, usize> = HashMap::new();
    let mut found: Option<(usize, usize)> = None;
    for (index, item) in items.iter().enumerate().filter(|(_, item)| is_table(item)) {
        let first = *tables.entry(canonical(item)).or_insert(index);
        if first != index && found.is_none_or(|(earliest, _)| first < earliest) {
            found = Some((first, index));
        }
    }
    found.map(|(first, second)| (first + 1, second + 1))
}

fn is_table(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

/// A text that is the same exactly for values that are [`equal`].
fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push('n'),
        Value::Bool(true) => text.push('t'),
        Value::Bool(false) => text.push('f'),
        Value::Number(number) => {
            let _ = write!(text, "{:?},", number.as_f64().unwrap_or(f64::NAN) + 0.0);
        }
        Value::String(string) => {
            let _ = write!(text, "{}:{string}", string.len());
        }
        Value::Array(items) if items.is_empty() => text.push('e'),
        Value::Object(fields) if fields.is_empty() => text.push('e'),
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (key, item) in fields {
                let _ = write!(text, "{}:{key}", key.len());
                write_canonical(item, text);
            }
            text.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_lua() {
        let rows = [
            (5.0, "5"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e14, "1e+14"),
            (99_999_999_999_999.0, "99999999999999"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (1e100, "1e+100"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.0 / 3.0, "0.33333333333333"),
            (0.0, "0"),
        ];
        for (value, text) in rows {
            assert_eq!(number(value), text);
        }
    }
}
