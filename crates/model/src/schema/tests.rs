use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Schema, SchemaError, UnknownField};

fn compile(source: &Value) -> Schema {
    Schema::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// `rows.json` holds `[schema, value, failure or null]`; the failures were produced by the Lua library itself.
#[test]
fn failures_are_worded_as_by_the_lua_library() {
    let rows: Vec<(Value, Value, Option<String>)> = serde_json::from_str(include_str!("rows.json")).expect("rows");
    for (source, value, expected) in rows {
        let failure = compile(&source).check(&value).err().map(|violation| violation.message);
        assert_eq!(failure, expected, "{source} {value}");
    }
}

#[test]
fn violations_carry_the_place() {
    let schema = compile(&json!({
        "properties": {"a/b": {"items": {"additionalProperties": false}}},
        "patternProperties": {"^x": {"type": "string"}},
    }));
    let rows = [(json!({"a/b": [{}, {"k": 1}]}), "/a~1b/1/k"), (json!({"xy": 1}), "/xy")];
    for (value, path) in rows {
        assert_eq!(schema.check(&value).map_err(|violation| violation.path), Err(path.to_owned()));
    }
}

#[test]
fn references_to_secrets_stand_for_strings_only() {
    let string = json!({"type": "string", "maxLength": 3, "pattern": "^a", "enum": ["a"]});
    let untyped = json!({"enum": ["a"]});
    let rows = [
        (&string, "$secret://vault/1/x", true),
        (&string, "$ENV://X", true),
        (&string, "$env://X", true),
        (&string, "$SECRET://vault/1/x", false),
        (&string, "secret://", false),
        (&untyped, "$env://X", true),
        (&json!({"type": "integer"}), "$env://X", false),
        (&json!({"type": ["string", "integer"], "maxLength": 3}), "$env://X", false),
    ];
    for (source, text, accepted) in rows {
        assert_eq!(compile(source).check(&json!(text)).is_ok(), accepted, "{source} {text}");
    }
}

#[test]
fn defaults_are_filled_where_the_value_matches() {
    let redis = json!({"properties": {"port": {"default": 6379}, "host": {}}, "required": ["host"]});
    let rows = [
        (
            json!({"properties": {"a": {"default": 1}, "b": {"properties": {"c": {"default": [1]}}}}}),
            json!({"b": {}}),
            json!({"b": {"c": [1]}, "a": 1}),
        ),
        (json!({"properties": {"a": {"default": null}, "b": {"default": false}}}), json!({}), json!({"b": false})),
        (json!({"items": {"properties": {"a": {"default": 1}}}}), json!([{}, {"a": 2}]), json!([{"a": 1}, {"a": 2}])),
        (json!({"anyOf": [redis, {"properties": {"x": {"default": 1}}}]}), json!({}), json!({"x": 1})),
        (json!({"oneOf": [redis, {"required": ["y"]}]}), json!({"host": "h"}), json!({"host": "h", "port": 6379})),
        (
            json!({"properties": {"policy": {"default": "redis"}},
                "if": {"properties": {"policy": {"const": "redis"}}}, "then": redis}),
            json!({"host": "h"}),
            json!({"host": "h", "policy": "redis", "port": 6379}),
        ),
        (json!({"dependencies": {"host": redis}}), json!({"host": "h"}), json!({"host": "h", "port": 6379})),
        (
            json!({"patternProperties": {".*": redis}}),
            json!({"r": {"host": 1}}),
            json!({"r": {"host": 1, "port": 6379}}),
        ),
        (json!({"not": {"properties": {"a": {"default": 1}}, "required": ["b"]}}), json!({}), json!({})),
        (
            json!({"properties": {"o": {"type": "object"}, "a": {"type": "array"}}}),
            json!({"o": [], "a": {}}),
            json!({"o": {}, "a": []}),
        ),
    ];
    for (source, mut value, expected) in rows {
        let schema = compile(&source);
        schema.check(&value).unwrap_or_else(|violation| panic!("{source}: {violation}"));
        schema.fill_defaults(&mut value);
        assert_eq!(value, expected, "{source}");
    }
}

#[test]
fn unknown_fields_are_found_with_a_suggestion() {
    let schema = compile(&json!({
        "properties": {
            "timeout": {}, "count": {},
            "free": {"type": "object"}, "labels": {"patternProperties": {".*": {}}},
            "list": {"type": "array", "items": {"properties": {"name": {}}}},
            "open": {"properties": {"a": {}}, "additionalProperties": true},
        },
        "oneOf": [{"properties": {"redis_host": {}}}, {"not": {"properties": {"never": {}}}}],
        "if": {}, "then": {"properties": {"later": {}}},
        "dependencies": {"count": {"properties": {"window": {}}}},
    }));
    let value = json!({
        "tiemout": 1, "redis_host": 1, "later": 1, "window": 1, "never": 1,
        "free": {"x": 1}, "labels": {"x": 1}, "open": {"x": 1}, "list": [{"nane": 1}],
    });
    let field = |path: &str, name: &str, suggestion: Option<&str>| UnknownField {
        path: path.to_owned(),
        name: name.to_owned(),
        suggestion: suggestion.map(str::to_owned),
    };
    assert_eq!(
        schema.unknown_fields(&value),
        [
            field("/tiemout", "tiemout", Some("timeout")),
            field("/never", "never", None),
            field("/list/0/nane", "nane", Some("name")),
        ]
    );
}

#[test]
fn schemas_that_mean_nothing_are_refused() {
    let rows = [
        (json!(1), "schema at \"\" is neither an object nor a boolean"),
        (json!({"properties": {"a": {"type": "text"}}}), "invalid JSON type: text at \"/properties/a\""),
        (json!({"enum": "a"}), "\"enum\" at \"\" should be an array (table expected, got string)"),
        (json!({"required": [1]}), "\"required\" at \"\" should be an array of strings"),
        (json!({"anyOf": []}), "\"anyOf\" at \"\" should be an array that is not empty"),
        (json!({"items": {"minLength": "1"}}), "\"minLength\" at \"/items\" should be a number"),
        (json!({"$ref": "#/nowhere"}), "unknown reference \"#/nowhere\" at \"\""),
        (json!({"properties": {"a": {"$ref": "http://x/"}}}), "unknown reference \"http://x/\" at \"/properties/a\""),
    ];
    for (source, expected) in rows {
        assert_eq!(Schema::compile(&source).map(|_| ()).map_err(|error| error.to_string()), Err(expected.to_owned()));
    }
    assert!(matches!(Schema::compile(&json!({"pattern": "("})), Err(SchemaError::Pattern { .. })));
}

#[test]
fn recursion_is_bounded_in_depth_and_in_time() {
    let mut deep = json!({});
    for _ in 0..200 {
        deep = json!({"items": deep});
    }
    assert_eq!(Schema::compile(&deep).map(|_| ()), Err(SchemaError::TooDeep));

    let list = compile(&json!({"properties": {"next": {"$ref": "#"}, "n": {"type": "integer", "default": 0}}}));
    let mut value = json!({"n": "x"});
    for _ in 0..5 {
        value = json!({"next": value});
    }
    assert!(list.check(&value).is_err());
    for _ in 0..1_000 {
        value = json!({"next": value});
    }
    assert!(list.check(&value).is_err());
    assert!(list.unknown_fields(&value).is_empty());
    let nothing = Schema::compile(&json!({ "type": "object", "properties": {} })).expect("compiles");
    assert_eq!(nothing.unknown_fields(&json!({ "a": 1 })).len(), 1);
    let anything = Schema::compile(&json!({ "type": "object" })).expect("compiles");
    assert!(anything.unknown_fields(&json!({ "a": 1 })).is_empty());

    assert!(compile(&json!({"allOf": [{"$ref": "#"}]})).check(&json!(1)).is_err());
    assert!(Schema::compile(&json!({"a": {"$ref": "#/a"}, "not": {"$ref": "#/a"}})).is_ok());
}

fn any_value() -> impl Strategy<Value = Value> {
    let words =
        || prop::sample::select(vec!["a", "b", "type", "object", "array", "string", "integer", "^a", "(", "$env://x"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..5).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words().prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "a",
        "b",
        "type",
        "properties",
        "items",
        "required",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "enum",
        "const",
        "default",
        "minimum",
        "maxLength",
        "pattern",
        "patternProperties",
        "additionalProperties",
        "dependencies",
        "uniqueItems",
        "minItems",
        "contains",
        "$ref",
        "format",
        "multipleOf",
        "maxProperties",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..5).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn any_schema_and_any_value_are_handled(source in any_value(), value in any_value()) {
        let Ok(schema) = Schema::compile(&source) else { return Ok(()) };
        let _ = schema.unknown_fields(&value);
        if schema.check(&value).is_ok() {
            let mut filled = value.clone();
            schema.fill_defaults(&mut filled);
        }
    }
}

#[test]
fn what_is_given_up_does_not_fit() {
    let slow = json!({"pattern": "^(?:(?=a)(?:a|aa))+$"});
    let text = json!(format!("{}b", "a".repeat(60)));
    let recursive = json!({
        "definitions": {"n": {"anyOf": [{"items": {"$ref": "#/definitions/n"}}, {"items": {"$ref": "#/definitions/n"}}], "not": {}}},
        "$ref": "#/definitions/n",
    });
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    for (desc, schema, value) in [
        ("a pattern", slow.clone(), text.clone()),
        ("a pattern that must not match", json!({"not": slow}), text.clone()),
        ("a pattern beside another branch", json!({"anyOf": [slow, {}]}), text.clone()),
        (
            "a pattern of names",
            json!({"not": {"patternProperties": {"^(?:(?=a)(?:a|aa))+$": false}}}),
            json!({text.as_str().unwrap(): 1}),
        ),
        ("too many steps", recursive.clone(), deep.clone()),
        (
            "too many steps of what must not match",
            json!({"definitions": recursive["definitions"], "not": {"$ref": "#/definitions/n"}}),
            deep,
        ),
    ] {
        let failure = compile(&schema).check_and_fill_within(&mut value.clone(), 100_000).err().map(|v| v.message);
        assert_eq!(failure.as_deref(), Some("value is too complex for its schema"), "{desc}");
    }
}
