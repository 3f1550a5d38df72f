use super::*;
use serde_json::json;

fn compile(schema: &Value) -> UserSchema {
    UserSchema::compile("body_schema", schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn check(schema: &Value, value: &Value) -> Result<(), String> {
    compile(schema).check(&mut value.clone(), value.to_string().len())
}

fn violation(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

#[test]
fn a_schema_means_what_its_draft_says() {
    let draft = |year: &str| format!("https://json-schema.org/draft/{year}/schema");
    for (desc, schema, fits, does_not) in [
        (
            "draft 7 where nothing is said",
            json!({"items": [{"type": "string"}], "additionalItems": false}),
            json!(["a"]),
            json!(["a", 1]),
        ),
        ("formats are checked", json!({"format": "ipv4"}), json!("1.2.3.4"), json!("1.2.3.400")),
        ("dependencies", json!({"dependencies": {"a": ["b"]}}), json!({"a": 1, "b": 1}), json!({"a": 1})),
        (
            "a newer keyword says which draft it is",
            json!({"prefixItems": [{"type": "string"}], "items": false}),
            json!(["a"]),
            json!(["a", 1]),
        ),
        (
            "unevaluated properties",
            json!({"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false}),
            json!({"a": 1}),
            json!({"b": 1}),
        ),
        (
            "dependent schemas",
            json!({"dependentSchemas": {"a": {"required": ["b"]}}}),
            json!({"b": 1}),
            json!({"a": 1}),
        ),
        (
            "draft 4",
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true}),
            json!(2),
            json!(1),
        ),
        (
            "2019-09",
            json!({"$schema": draft("2019-09"), "items": [true], "unevaluatedItems": false}),
            json!([1]),
            json!([1, 2]),
        ),
        (
            "2020-12",
            json!({"$schema": draft("2020-12"), "$defs": {"a": {"const": 1}}, "$ref": "#/$defs/a", "type": "integer"}),
            json!(1),
            json!(2),
        ),
        ("an empty list and an empty object are different", json!({"type": "object"}), json!({}), json!([])),
        (
            "numbers are exact",
            json!({"maximum": 9_007_199_254_740_992_u64}),
            json!(9_007_199_254_740_992_u64),
            json!(9_007_199_254_740_993_u64),
        ),
        (
            "a text that looks like a reference is a text",
            json!({"type": "string", "maxLength": 3}),
            json!("abc"),
            json!("$env://X"),
        ),
        ("patterns", json!({"pattern": "^\\p{L}+$"}), json!("\u{e9}"), json!("1")),
        (
            "a recursive schema",
            json!({"properties": {"a": {"$ref": "#"}}, "additionalProperties": false}),
            json!({"a": {"a": {}}}),
            json!({"a": {"b": 1}}),
        ),
        ("formats that only describe", json!({"type": "string", "format": "password"}), json!("x"), json!(1)),
    ] {
        assert_eq!(check(&schema, &fits), Ok(()), "{desc}");
        assert!(check(&schema, &does_not).is_err(), "{desc}");
    }
}

#[test]
fn a_misfit_is_worded_as_by_apisix() {
    assert_eq!(check(&json!({"required": ["a"]}), &json!({})), violation("property \"a\" is required"));
    assert_eq!(check(&json!({"unevaluatedProperties": false}), &json!({"a": 1})), violation(MISFIT));
    // The two engines disagree: the library takes [] for {}.
    assert_eq!(check(&json!({"type": "object"}), &json!([])), violation(MISFIT));
}

#[test]
fn what_would_not_be_checked_is_refused_with_its_place() {
    let deep = (0..70).fold(json!({}), |inner, _| json!({ "not": inner }));
    for (schema, reason) in [
        (
            json!({"properties": {"a": {"requierd": ["b"]}}}),
            "body_schema: \"requierd\" is no keyword that is known, and would not be checked; at \"/properties/a/requierd\"",
        ),
        (json!({"nullable": true}), "\"nullable\" is no keyword"),
        (json!({"properties": {"a/b": {"format": "emial"}}}), "emial"),
        (json!({"properties": {"a": {"type": "strnig"}}}), "at \"/properties/a/type\""),
        (json!({"items": {"pattern": "(?=a)b"}}), "/items/pattern"),
        (json!({"pattern": "(a"}), "/pattern"),
        (json!({"pattern": "(a)\\1"}), "/pattern"),
        (json!({"pattern": "^(?:[a-c]{1,1000}){1,1000}$"}), "/pattern"),
        (
            json!({"$ref": "https://evil.example/schema.json"}),
            "the reference \"https://evil.example/schema.json\" leads out of the schema, and nothing is fetched",
        ),
        (json!({"$ref": "file:///etc/passwd"}), "file"),
        (json!({"properties": {"a": {"$ref": "other.json"}}}), "refer to it there; at \"/properties/a/$ref\""),
        (json!({"$ref": "#/definitions/nothing"}), "/definitions/nothing"),
        (json!({"$schema": "https://evil.example/dialect"}), "is no draft that is known at \"/$schema\""),
        (
            json!({"$ref": "#/definitions/a", "definitions": {"a": {}}, "maxLength": 1}),
            "beside \"$ref\" \"maxLength\" is not checked",
        ),
        (json!({"prefixItems": [], "dependencies": {}}), "are of different drafts"),
        (json!({"minimum": 1, "exclusiveMinimum": true}), "is of draft 4"),
        (json!({"$schema": "http://json-schema.org/draft-04/schema", "const": 1}), "\"const\" is not of the draft"),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [true]}),
            "\"prefixItems\" is not of the draft",
        ),
        (
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "dependencies": {"a": ["b"]}}),
            "\"dependencies\" is not of the draft",
        ),
        (
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "items": [true]}),
            "\"items\" is not of the draft",
        ),
        (json!({"$ref": "#"}), "refers to itself without an end"),
        (json!({"allOf": [{"anyOf": [{}, {"$ref": "#/allOf/0"}]}]}), "refers to itself without an end"),
        (
            json!({"definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"not": {"$ref": "#/definitions/a"}}}}),
            "without an end",
        ),
        (json!({"properties": {"p": {"$ref": "#"}}, "allOf": [{"$ref": "#/properties/p"}]}), "without an end"),
        (deep, "nested too deeply"),
        (json!({"properties": {"a": 1}}), "a schema is an object or a boolean"),
        (json!({"properties": []}), "/properties"),
    ] {
        let error =
            UserSchema::compile("body_schema", &schema).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("body_schema: ") && error.contains(reason), "{schema}: {error}");
    }
}

#[test]
fn a_recursive_schema_takes_bounded_time() {
    // Without memory each level would take twice the time of the one below it.
    let node = |leaf: Value| {
        let branch = json!({"items": {"$ref": "#/definitions/n"}});
        json!({"definitions": {"n": {"anyOf": [branch, branch], "not": leaf}}, "allOf": [{"$ref": "#/definitions/n"}]})
    };
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(check(&node(json!({"const": 1})), &deep), violation("value is too complex for its schema"));
    assert_eq!(check(&node(json!({"const": 2})), &deep), Ok(()));
    let like_apisix = UserSchema::compile_like_apisix(&node(json!({"const": 1}))).unwrap();
    assert_eq!(like_apisix.check(&mut deep.clone(), 200), violation("value is too complex for its schema"));
}

#[test]
fn like_apisix_the_library_decides() {
    let schema = json!({"properties": {"a": {"default": 7}}, "type": "object", "unheardOf": 1});
    let compiled = UserSchema::compile_like_apisix(&schema).unwrap();
    let mut value = json!({"b": 1});
    assert_eq!(compiled.check(&mut value, 10), Ok(()));
    assert_eq!(value, json!({"b": 1, "a": 7}));
    assert_eq!(compiled.check(&mut json!(1), 10), violation("wrong type: expected object, got number"));
}
