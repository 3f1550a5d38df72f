//! Pairs of a form as an object.

use serde_json::{Map, Value};
use std::borrow::Cow;
use wire::path::decode_query;

/// Each name with its text, `true` where it has no `=`, or a list where it comes several times. With `is_lossy` what is no UTF-8 is
/// replaced, otherwise there is no value.
pub(crate) fn parse(text: &[u8], is_lossy: bool) -> Option<Value> {
    let mut object = Map::new();
    for pair in text.split(|&b| b == b'&') {
        let mut halves = pair.splitn(2, |&b| b == b'=');
        let name = decoded(halves.next().unwrap_or_default(), is_lossy)?;
        if name.is_empty() {
            continue;
        }
        let value = match halves.next() {
            Some(value) => Value::String(decoded(value, is_lossy)?),
            None => Value::Bool(true),
        };
        add(&mut object, name, value);
    }
    Some(Value::Object(object))
}

/// Whether what is called a form could be JSON to a server that does not look at `Content-Type`. Browsers encode these characters.
pub(crate) fn looks_like_json(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
}

/// The form without the pairs of these names.
pub(crate) fn without(text: &[u8], names: &[String]) -> Vec<u8> {
    let goes = |pair: &[u8]| {
        let name = decode_query(pair.split(|&b| b == b'=').next().unwrap_or_default());
        names.iter().any(|other| *other.as_bytes() == *name)
    };
    let rest: Vec<&[u8]> = text.split(|&b| b == b'&').filter(|pair| !goes(pair)).collect();
    rest.join(&b'&')
}

/// Adds a value to those of its name.
pub(super) fn add(object: &mut Map<String, Value>, name: String, value: Value) {
    match object.get_mut(&name) {
        None => {
            object.insert(name, value);
        }
        Some(Value::Array(list)) => list.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

fn decoded(text: &[u8], is_lossy: bool) -> Option<String> {
    match (decode_query(text), is_lossy) {
        (text, true) => Some(String::from_utf8_lossy(&text).into_owned()),
        (Cow::Borrowed(text), false) => std::str::from_utf8(text).ok().map(str::to_owned),
        (Cow::Owned(text), false) => String::from_utf8(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_no_form() {
        for (text, expected) in
            [("{\"a\":1}", true), (" \n[1]", true), ("\"a\"", true), ("a={}", false), ("%7B%7D", false), ("", false)]
        {
            assert_eq!(looks_like_json(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn pairs_are_an_object() {
        for (text, expected) in [
            ("", Some(json!({}))),
            ("a=1&b=+%2B&c", Some(json!({"a": "1", "b": " +", "c": true}))),
            ("a=1&a=2&a", Some(json!({"a": ["1", "2", true]}))),
            ("a=b=c&&=x&d=", Some(json!({"a": "b=c", "d": ""}))),
            ("%61=%C3%A9", Some(json!({"a": "\u{e9}"}))),
            ("a=%FF", None),
            ("%FF=a", None),
        ] {
            assert_eq!(parse(text.as_bytes(), false), expected, "{text}");
        }
        assert_eq!(parse(b"a=%FF", true), Some(json!({"a": "\u{fffd}"})));
    }
}
