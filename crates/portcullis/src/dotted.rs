//! Settings by their dotted paths, in what is written.

use serde_json::{Map, Value};

/// A setting.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |at, name| at.get(name))
}

/// Puts a setting in its place; `None` takes it away.
pub(crate) fn put(root: &mut Value, path: &str, value: Option<Value>) {
    let (sections, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = root;
    for section in sections.split('.') {
        if value.is_none() && at.get(section).is_none() {
            return;
        }
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(map) = at else { return };
        at = map.entry(section).or_insert(Value::Null);
    }
    if !at.is_object() {
        if value.is_none() {
            return;
        }
        *at = Value::Object(Map::new());
    }
    if let Value::Object(map) = at {
        match value {
            Some(value) => map.insert(name.to_owned(), value),
            None => map.shift_remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_setting_is_put_and_taken_away() {
        let mut root = json!({ "a": null });
        put(&mut root, "a.b.c", Some(json!(1)));
        assert_eq!(root, json!({ "a": { "b": { "c": 1 } } }));
        put(&mut root, "a.b.c", None);
        put(&mut root, "x.y", None);
        assert_eq!(root, json!({ "a": { "b": {} } }));
    }
}
