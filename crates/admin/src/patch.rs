//! What PATCH does to a document.

use serde_json::{Map, Value};

/// Merges a change into an object: objects merge, `null` deletes, everything else replaces. An empty object replaces and is
/// replaced, and so does an object over an array: to APISIX an empty table is an array, and arrays are replaced.
pub(crate) fn merge(into: &mut Map<String, Value>, change: Map<String, Value>) {
    for (name, new) in change {
        match (into.get_mut(&name), new) {
            (_, Value::Null) => {
                into.shift_remove(&name);
            }
            (Some(Value::Object(old)), Value::Object(new)) if !old.is_empty() && !new.is_empty() => merge(old, new),
            (_, new) => {
                into.insert(name, new);
            }
        }
    }
}

/// Sets the value at a path of object keys, making the objects on the way. The error is the path of what is in the way.
pub(crate) fn set_at(root: &mut Map<String, Value>, path: &[&str], new: Value) -> Result<(), String> {
    let mut object = root;
    let Some((last, parents)) = path.split_last() else { return Err(String::new()) };
    for (at, name) in parents.iter().enumerate() {
        let below = object.entry(*name).or_insert_with(|| Value::Object(Map::new()));
        match below {
            Value::Object(below) => object = below,
            _ => return Err(path.iter().take(at + 1).copied().collect::<Vec<_>>().join("/")),
        }
    }
    object.insert((*last).to_owned(), new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }

    #[test]
    fn merging() {
        for (old, change, want) in [
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null, "d": 3}}), json!({"a": {"c": 2, "d": 3}})),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": [1, 2]}), json!({"a": {"0": 3}}), json!({"a": {"0": 3}})),
            (json!({"a": {"b": 1}}), json!({"a": {}}), json!({"a": {}})),
            (json!({"a": {}}), json!({"a": {"b": null}}), json!({"a": {"b": null}})),
            (json!({"a": {"b": 1}}), json!({"a": 1}), json!({"a": 1})),
            (json!({"a": 1}), json!({"a": {"b": null}}), json!({"a": {"b": null}})),
            (json!({"a": 1}), json!({"z": null}), json!({"a": 1})),
            (json!({}), json!({"__proto__": {"x": 1}}), json!({"__proto__": {"x": 1}})),
        ] {
            let mut got = object(old.clone());
            merge(&mut got, object(change.clone()));
            assert_eq!(Value::Object(got), want, "{old} + {change}");
        }
    }

    #[test]
    fn setting_below() {
        for (old, path, want) in [
            (json!({}), &["a", "b"][..], Ok(json!({"a": {"b": 9}}))),
            (json!({"a": {"c": 1}}), &["a", "b"], Ok(json!({"a": {"c": 1, "b": 9}}))),
            (json!({"a": 1}), &["a", "b"], Err("a")),
            (json!({"a": {"b": [1]}}), &["a", "b", "0"], Err("a/b")),
            (json!({"a": 1}), &["a"], Ok(json!({"a": 9}))),
        ] {
            let mut got = object(old.clone());
            let got = set_at(&mut got, path, json!(9)).map(|()| Value::Object(got));
            assert_eq!(got, want.map_err(str::to_owned), "{old} {path:?}");
        }
    }
}
