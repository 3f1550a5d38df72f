//! PATCH comes to the same as PUT of what it makes of the document, for any document and any change.

use super::*;
use proptest::{prelude::*, sample::select};
use serde_json::{Map, json};

/// A value with what a change could trip over: containers of both kinds, empty ones, `null`, and the same names on every level.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        2 => select(vec![json!("x"), json!("/a"), json!("y z")]),
        1 => (0..3).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            fields(inner).prop_map(Value::Object),
        ]
    })
}

fn fields(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((name(), inner), 0..4).prop_map(|fields| fields.into_iter().collect())
}

/// Fields of a route, and such as it has none of.
fn name() -> impl Strategy<Value = String> {
    let names =
        ["uri", "desc", "labels", "plugins", "priority", "hosts", "vars", "upstream", "nodes", "a", "b", "__proto__"];
    select(names.to_vec()).prop_map(str::to_owned)
}

/// A route, more often than not one that is accepted.
fn route() -> impl Strategy<Value = Value> {
    let likely = (
        select(vec!["/a", "/b/*"]),
        prop::option::of(prop::collection::hash_map(select(vec!["a", "b"]), select(vec!["x", "y"]), 0..3)),
        prop::option::of(prop::collection::hash_map(select(vec!["a", "b"]), value(), 0..3)),
        prop::option::of(0..9i32),
        prop::option::of(prop::collection::vec(select(vec!["a.test", "b.test"]), 1..2)),
    );
    likely.prop_map(|(uri, labels, plugins, priority, hosts)| {
        let mut route = json!({ "uri": uri, "plugins": plugins.unwrap_or_default() });
        for (name, value) in [("labels", json!(labels)), ("priority", json!(priority)), ("hosts", json!(hosts))] {
            if !value.is_null() {
                route[name] = value;
            }
        }
        route
    })
}

/// What `apisix/core/table.lua` makes of a table and a change: tables that are both no arrays are merged, and to Lua an empty
/// table is an array.
fn merged(old: &Value, change: &Map<String, Value>) -> Value {
    let is_map = |value: &Value| value.as_object().is_some_and(|fields| !fields.is_empty());
    let mut fields = old.as_object().cloned().unwrap_or_default();
    for (name, new) in change {
        let below = fields.get(name).filter(|old| is_map(old) && is_map(new)).cloned();
        match (below, new) {
            (_, Value::Null) => drop(fields.shift_remove(name)),
            (Some(old), Value::Object(new)) => drop(fields.insert(name.clone(), merged(&old, new))),
            (_, new) => drop(fields.insert(name.clone(), new.clone())),
        }
    }
    Value::Object(fields)
}

/// The same with a path: `None` when something on it is no table. Fields of an array have numbers, and no path of ours leads there.
fn set(old: &Value, path: &[String], new: &Value) -> Option<Value> {
    let Some((first, rest)) = path.split_first() else { return Some(new.clone()) };
    let mut fields = old.as_object()?.clone();
    let below = fields.get(first).cloned().unwrap_or_else(|| json!({}));
    fields.insert(first.clone(), if rest.is_empty() { new.clone() } else { set(&below, rest, new)? });
    Some(Value::Object(fields))
}

/// Status and value or error of a write, without its times.
fn outcome((status, text): (u16, String)) -> (bool, Value) {
    let mut body: Value = serde_json::from_str(&text).unwrap();
    if let Some(value) = body.get_mut("value").and_then(Value::as_object_mut) {
        value.shift_remove("create_time");
        value.shift_remove("update_time");
    }
    (status < 300, body)
}

/// What stands in the store after a PATCH, and after a PUT of what it should come to.
fn check(route: &Value, target: &str, change: &Value, expected: Option<Value>) -> Result<bool, TestCaseError> {
    let (patched, _) = api();
    if call(&patched, "PUT", "routes/1", &route.to_string()).0 >= 300 {
        return Ok(false);
    }
    let got = outcome(call(&patched, "PATCH", target, &change.to_string()));
    let Some(expected) = expected else {
        prop_assert!(!got.0 && got.1["error_msg"].as_str().unwrap().starts_with("invalid sub-path: /"), "{:?}", got);
        return Ok(true);
    };
    let (put, _) = api();
    let want = outcome(call(&put, "PUT", "routes/1", &expected.to_string()));
    prop_assert_eq!(&got, &want, "{} + {}", route, change);
    let shown = |api: &AdminApi<Fake>| outcome(call(api, "GET", "routes/1", ""));
    if got.0 {
        let (mut got, mut want) = (shown(&patched), shown(&put));
        for shown in [&mut got, &mut want] {
            shown.1["modifiedIndex"].take();
            shown.1["createdIndex"].take();
        }
        prop_assert_eq!(got, want);
    } else {
        prop_assert_eq!(&shown(&patched).1["value"]["uri"], &route["uri"]);
    }
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patch_is_put_of_the_merge(route in route(), change in fields(value())) {
        let expected = merged(&route, &change);
        // An id of its own, or one that differs, is another matter.
        check(&route, "routes/1", &Value::Object(change), Some(expected))?;
    }

    #[test]
    fn patch_below_is_put_of_what_is_set(
        route in route(),
        path in prop::collection::vec(name(), 1..4),
        change in value(),
    ) {
        let expected = set(&route, &path, &change);
        check(&route, &format!("routes/1/{}", path.join("/")), &change, expected)?;
    }
}

#[test]
fn what_is_compared_is_not_only_refusals() {
    let route = json!({ "uri": "/a", "plugins": { "a": { "b": 1, "c": [1] } }, "labels": {} });
    for (change, want) in [
        (json!({ "plugins": { "a": { "b": null, "c": [] } } }), json!({ "a": { "c": [] } })),
        (json!({ "plugins": { "a": {} } }), json!({ "a": {} })),
        (json!({ "plugins": { "a": [1] } }), json!({ "a": [1] })),
    ] {
        let expected = merged(&route, change.as_object().unwrap());
        assert_eq!(expected["plugins"], want);
        assert!(check(&route, "routes/1", &change, Some(expected)).unwrap());
    }
    let expected = set(&route, &["plugins".to_owned(), "a".to_owned(), "b".to_owned()], &json!(2)).unwrap();
    assert!(check(&route, "routes/1/plugins/a/b", &json!(2), Some(expected)).unwrap());
    assert_eq!(set(&route, &["uri".to_owned(), "a".to_owned()], &json!(2)), None);
}
