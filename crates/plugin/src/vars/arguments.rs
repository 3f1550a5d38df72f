//! Arguments in a request's body: of forms and of JSON.

use model::vars::Value;
use serde_json_path::JsonPath;
use wire::Fields;

fn media_type_starts(fields: &Fields, with: &[u8]) -> bool {
    fields
        .get("content-type")
        .and_then(|value| value.get(..with.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(with))
}

pub(super) fn is_json(fields: &Fields) -> bool {
    media_type_starts(fields, b"application/json")
}

pub(super) fn is_form(fields: &Fields) -> bool {
    media_type_starts(fields, b"application/x-www-form-urlencoded")
}

pub(super) fn form_arg(form: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    form.split(|&b| b == b'&').find_map(|pair| {
        let mut halves = pair.splitn(2, |&b| b == b'=');
        let key = halves.next()?;
        let is_it = !key.is_empty() && *wire::path::decode_query(key) == *name;
        is_it.then(|| wire::path::decode_query(halves.next().unwrap_or_default()).into_owned())
    })
}

/// A value of a JSON body by the names of its members, separated by dots; or all values that a JSON path finds.
pub(super) fn json_path<'a>(body: &[u8], path: &str) -> Value<'a> {
    let Ok(whole) = serde_json::from_slice::<serde_json::Value>(body) else { return Value::Absent };
    if path.contains(['[', '*']) || path.contains("..") {
        let dot = if path.starts_with('[') { "" } else { "." };
        let Ok(path) = JsonPath::parse(&format!("${dot}{path}")) else { return Value::Absent };
        let found: Vec<_> = path.query(&whole).iter().map(|value| json_value(value)).collect();
        return if found.is_empty() { Value::Absent } else { Value::List(found) };
    }
    let mut found = &whole;
    for name in path.split('.') {
        let Some(member) = found.get(name) else { return Value::Absent };
        found = member;
    }
    json_value(found)
}

fn json_value<'a>(value: &serde_json::Value) -> Value<'a> {
    match value {
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => number.as_f64().map_or(Value::Absent, Value::Num),
        serde_json::Value::String(text) => text.clone().into(),
        serde_json::Value::Array(items) => Value::List(items.iter().map(json_value).collect()),
        serde_json::Value::Null | serde_json::Value::Object(_) => Value::Absent,
    }
}
