//! Writing YAML that YAML 1.1 and 1.2 read alike.

use saphyr_parser::ScalarStyle;
use serde_json::Value;

use super::scalar;

/// A document in block style, without the marks of its begin and end.
pub fn dump(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut out),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut out),
        _ => {
            flat(value, &mut out);
            out.push('\n');
        }
    }
    out
}

fn block(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 {
                    indent(depth, out);
                }
                text(key, out);
                out.push(':');
                below(value, depth, out);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    indent(depth, out);
                }
                out.push('-');
                if is_block(item) {
                    out.push(' ');
                    block(item, depth + 1, out);
                } else {
                    below(item, depth, out);
                }
            }
        }
        _ => {}
    }
}

fn below(value: &Value, depth: usize, out: &mut String) {
    if is_block(value) {
        out.push('\n');
        indent(depth + 1, out);
        block(value, depth + 1, out);
    } else {
        out.push(' ');
        flat(value, out);
        out.push('\n');
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn flat(value: &Value, out: &mut String) {
    match value {
        Value::String(value) => text(value, out),
        other => out.push_str(&other.to_string()),
    }
}

/// Plain only where no reader of YAML could see something else than this text; else as JSON writes it, which is YAML, too.
fn text(value: &str, out: &mut String) {
    let is_word = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'));
    // `y` and `n` are booleans for some readers of YAML 1.1.
    let is_plain =
        is_word && value.len() > 1 && scalar::resolve(value, ScalarStyle::Plain, None).is_ok_and(|v| v == value);
    if is_plain {
        out.push_str(value);
    } else {
        out.push_str(&Value::from(value).to_string());
    }
}

fn indent(depth: usize, out: &mut String) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}
