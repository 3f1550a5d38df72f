use super::{
    convert::{Reading, Side, Version},
    members::{TooMuch, find, without},
    shapes::Drawing,
};
use crate::content::Tree;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The members that have no place, and the text without them.
fn stripped(schema: &Value, schemas: &Value, side: Side, text: &str) -> (Vec<String>, String) {
    let document = json!({ "components": { "schemas": schemas } });
    let reading = Reading { document: &document, version: Version::V31, side, is_open: false };
    let mut drawing = Drawing::new(reading);
    let shape = drawing.add(schema, "").unwrap();
    let shapes = drawing.finish().unwrap();
    let value = Tree::parse(text.as_bytes()).unwrap();
    let found = find(&shapes, shape, text.as_bytes(), &value).unwrap();
    let rest = String::from_utf8(without(text.as_bytes(), &found)).unwrap();
    (found.into_iter().map(|member| member.path).collect(), rest)
}

#[test]
fn what_is_declared_stays_byte_for_byte() {
    let a = json!({ "properties": { "a": {}, "b": {} } });
    for (desc, schema, text, paths, rest) in [
        ("nothing to do", a.clone(), " {\"a\" : 1 ,\t\"b\":2}\n", vec![], " {\"a\" : 1 ,\t\"b\":2}\n"),
        ("the first", a.clone(), "{ \"x\" : 1 , \"a\" : 2 }", vec!["/x"], "{ \"a\" : 2 }"),
        ("the last", a.clone(), "{ \"a\" : 2 , \"x\" : 1 }", vec!["/x"], "{ \"a\" : 2 }"),
        ("in the middle", a.clone(), "{\"a\":1, \"x\":[{},\"]\"], \"b\":2}", vec!["/x"], "{\"a\":1, \"b\":2}"),
        ("all", a.clone(), "{ \"x\":1, \"y\":2 }", vec!["/x", "/y"], "{  }"),
        (
            "several",
            a.clone(),
            "{\"x\":1,\"y\":2,\"a\":3,\"z\":4,\"b\":5,\"w\":6}",
            vec!["/x", "/y", "/z", "/w"],
            "{\"a\":3,\"b\":5}",
        ),
        (
            "numbers stay",
            a.clone(),
            "{\"a\":12345678901234567890123.4500e+07,\"x\":1}",
            vec!["/x"],
            "{\"a\":12345678901234567890123.4500e+07}",
        ),
        (
            "escaped names",
            a.clone(),
            "{\"\\u0061\":\"\\u00e4\\\"\",\"\\u0078~/\":1}",
            vec!["/x~0~1"],
            "{\"\\u0061\":\"\\u00e4\\\"\"}",
        ),
        ("not what is deeper and not described", a.clone(), "{\"a\":{\"x\":1}}", vec![], "{\"a\":{\"x\":1}}"),
        (
            "what is deeper",
            json!({ "properties": { "a": a } }),
            "{\"a\":{\"x\":1,\"b\":2}}",
            vec!["/a/x"],
            "{\"a\":{\"b\":2}}",
        ),
        (
            "items",
            json!({ "items": a }),
            "[{\"a\":1,\"x\":2}, {\"y\":3}, 4, []]",
            vec!["/0/x", "/1/y"],
            "[{\"a\":1}, {}, 4, []]",
        ),
        (
            "first items",
            json!({ "prefixItems": [{}, a], "items": false }),
            "[{\"x\":1},{\"x\":1}]",
            vec!["/1/x"],
            "[{\"x\":1},{}]",
        ),
        ("another type", a.clone(), "[{\"x\":1}]", vec![], "[{\"x\":1}]"),
        ("a text", a.clone(), "\"x\"", vec![], "\"x\""),
        ("nothing is said of members", json!({ "type": "object" }), "{\"x\":1}", vec![], "{\"x\":1}"),
        (
            "any are allowed",
            json!({ "properties": { "a": {} }, "additionalProperties": true }),
            "{\"x\":1}",
            vec![],
            "{\"x\":1}",
        ),
        (
            "others have a shape",
            json!({ "additionalProperties": a }),
            "{\"k\":{\"x\":1,\"a\":2}}",
            vec!["/k/x"],
            "{\"k\":{\"a\":2}}",
        ),
        ("none are allowed", json!({ "additionalProperties": false }), "{\"x\":1}", vec!["/x"], "{}"),
        (
            "patterns",
            json!({ "patternProperties": { "^x-": a } }),
            "{\"x-a\":{\"c\":1},\"y\":2}",
            vec!["/x-a/c", "/y"],
            "{\"x-a\":{}}",
        ),
        (
            "all of",
            json!({ "allOf": [{ "properties": { "a": {} } }, { "properties": { "b": {} } }, {}] }),
            "{\"a\":1,\"b\":2,\"c\":3}",
            vec!["/c"],
            "{\"a\":1,\"b\":2}",
        ),
        (
            "only what fits of any",
            json!({ "anyOf": [{ "properties": { "a": { "type": "string" } }, "required": ["a"] }, { "properties": { "b": {} }, "required": ["b"] }] }),
            "{\"a\":1,\"b\":2}",
            vec!["/a"],
            "{\"b\":2}",
        ),
        (
            "one of that is closed",
            json!({ "oneOf": [
                { "properties": { "t": { "const": 1 }, "a": {} }, "additionalProperties": false },
                { "properties": { "t": { "const": 2 }, "b": {} }, "additionalProperties": false },
            ] }),
            "{\"t\":2,\"a\":1,\"b\":2,\"c\":3}",
            vec!["/a", "/c"],
            "{\"t\":2,\"b\":2}",
        ),
        (
            "if and then",
            json!({ "properties": { "t": {} }, "if": { "properties": { "t": { "const": 1 } } }, "then": { "properties": { "a": {} } }, "else": { "properties": { "b": {} } } }),
            "{\"t\":2,\"a\":1,\"b\":2}",
            vec!["/a"],
            "{\"t\":2,\"b\":2}",
        ),
        (
            "what depends on a member",
            json!({ "properties": { "t": {} }, "dependentSchemas": { "t": { "properties": { "a": {} } }, "u": { "properties": { "b": {} } } } }),
            "{\"t\":2,\"a\":1,\"b\":2}",
            vec!["/b"],
            "{\"t\":2,\"a\":1}",
        ),
    ] {
        let expected = (paths.into_iter().map(str::to_owned).collect(), rest.to_owned());
        assert_eq!(stripped(&schema, &json!({}), Side::Answer, text), expected, "{desc}");
    }
}

#[test]
fn references_and_discriminators_lead_to_what_is_declared() {
    let schemas = json!({
        "Node": { "properties": { "v": {}, "n": { "$ref": "#/components/schemas/Node" } } },
        "Pet": {
            "properties": { "kind": { "type": "string" } },
            "discriminator": { "propertyName": "kind", "mapping": { "kitten": "#/components/schemas/Cat" } },
        },
        "Cat": { "allOf": [{ "$ref": "#/components/schemas/Pet" }, { "properties": { "lives": {} } }] },
        "Dog": { "allOf": [{ "$ref": "#/components/schemas/Pet" }, { "properties": { "bark": {} } }] },
        "Car": { "properties": { "doors": {}, "kind": {} } },
        "Loop": { "allOf": [{ "$ref": "#/components/schemas/Loop" }], "properties": { "a": {} } },
    });
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let choice = json!({ "oneOf": [reference("Cat"), reference("Car")], "discriminator": { "propertyName": "kind" } });
    for (desc, schema, text, rest) in [
        (
            "recursion",
            reference("Node"),
            "{\"v\":1,\"x\":2,\"n\":{\"n\":{\"v\":1,\"x\":2}}}",
            "{\"v\":1,\"n\":{\"n\":{\"v\":1}}}",
        ),
        ("a schema of itself", reference("Loop"), "{\"a\":1,\"x\":2}", "{\"a\":1}"),
        (
            "an heir, by its name",
            reference("Pet"),
            "{\"kind\":\"Dog\",\"bark\":1,\"lives\":2}",
            "{\"kind\":\"Dog\",\"bark\":1}",
        ),
        (
            "an heir, by the mapping",
            reference("Pet"),
            "{\"kind\":\"kitten\",\"bark\":1,\"lives\":2}",
            "{\"kind\":\"kitten\",\"lives\":2}",
        ),
        ("nobody's heir", reference("Pet"), "{\"kind\":\"Fish\",\"bark\":1}", "{\"kind\":\"Fish\"}"),
        ("a choice", choice.clone(), "{\"kind\":\"Car\",\"doors\":1,\"lives\":2}", "{\"kind\":\"Car\",\"doors\":1}"),
        ("the other choice", choice, "{\"kind\":\"Cat\",\"doors\":1,\"lives\":2}", "{\"kind\":\"Cat\",\"lives\":2}"),
        (
            "beside a reference",
            json!({ "$ref": "#/components/schemas/Car", "properties": { "w": {} } }),
            "{\"doors\":1,\"w\":2,\"x\":3}",
            "{\"doors\":1,\"w\":2}",
        ),
    ] {
        assert_eq!(stripped(&schema, &schemas, Side::Answer, text).1, rest, "{desc}");
    }
}

#[test]
fn each_side_has_members_of_its_own() {
    let schemas = json!({
        "Secret": { "type": "string", "writeOnly": true },
        "Id": { "type": "string", "readOnly": true },
    });
    let schema = json!({ "properties": {
        "id": { "$ref": "#/components/schemas/Id" },
        "name": {},
        "password": { "allOf": [{ "$ref": "#/components/schemas/Secret" }] },
        "token": { "writeOnly": true },
        "inner": { "properties": { "created": { "readOnly": true }, "pin": { "writeOnly": true } } },
    } });
    let text = "{\"id\":\"1\",\"name\":\"a\",\"password\":\"p\",\"token\":\"t\",\"inner\":{\"created\":1,\"pin\":2}}";
    assert_eq!(
        stripped(&schema, &schemas, Side::Answer, text).1,
        "{\"id\":\"1\",\"name\":\"a\",\"inner\":{\"created\":1}}"
    );
    assert_eq!(
        stripped(&schema, &schemas, Side::Request, text).1,
        "{\"name\":\"a\",\"password\":\"p\",\"token\":\"t\",\"inner\":{\"pin\":2}}"
    );
}

#[test]
fn trying_schemas_over_and_over_has_an_end() {
    let node = json!({ "anyOf": [
        { "properties": { "n": { "$ref": "#/components/schemas/N" } } },
        { "properties": { "n": { "$ref": "#/components/schemas/N" }, "m": {} } },
    ] });
    let document = json!({ "components": { "schemas": { "N": node } } });
    let reading = Reading { document: &document, version: Version::V31, side: Side::Request, is_open: false };
    let mut drawing = Drawing::new(reading);
    let shape = drawing.add(&json!({ "$ref": "#/components/schemas/N" }), "").unwrap();
    let shapes = drawing.finish().unwrap();
    let deep = |depth: usize, fill: usize| {
        format!("{}{{\"m\":\"{}\"}}{}", "{\"n\":".repeat(depth), "x".repeat(fill), "}".repeat(depth))
    };
    for (text, expected) in [(deep(20, 100_000), Ok(Vec::new())), (deep(120, 100_000), Err(TooMuch))] {
        let value = Tree::parse(text.as_bytes()).unwrap();
        assert_eq!(find(&shapes, shape, text.as_bytes(), &value), expected, "{}", text.len());
    }
}

/// Texts with any space in them.
fn texts() -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", " ", "\n\t"]);
    let leaf = prop::sample::select(vec![
        "1",
        "-1.50e3",
        "\"\"",
        "\"}\\\",{\"",
        "\"\\u00e4\\\\\"",
        "true",
        "null",
        "[]",
        "{}",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 40, 5, move |inner| {
        let member = (prop::sample::select(vec!["a", "b", "c", "d", "\\u0065"]), inner.clone(), space(), space());
        let object = prop::collection::vec(member, 0..5).prop_map(|members| {
            let mut names = std::collections::HashSet::new();
            let members = members.into_iter().filter(|(name, ..)| names.insert(*name));
            let members = members.map(|(name, value, s, t)| format!("{s}\"{name}\"{t}:{s}{value}{t}"));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        });
        let list = (prop::collection::vec(inner, 0..4), space())
            .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},{s}"))));
        prop_oneof![object, list]
    })
}

/// The value without members that are not `a` or `b`, whose members are of the same kind.
fn expected(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(name, _)| ["a", "b"].contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name.clone(), expected(value))).collect())
        }
        Value::Array(list) => list.iter().map(expected).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn what_is_left_is_json_and_means_what_it_should(text in texts()) {
        let schema = json!({ "properties": { "a": { "$ref": "#/components/schemas/N" }, "b": { "$ref": "#/components/schemas/N" } }, "items": { "$ref": "#/components/schemas/N" } });
        let (paths, rest) = stripped(&schema, &json!({ "N": schema }), Side::Answer, &text);
        let value: Value = serde_json::from_str(&text).unwrap();
        let left: Value = serde_json::from_str(&rest).unwrap_or_else(|error| panic!("{rest:?}: {error}"));
        prop_assert_eq!(&left, &expected(&value));
        prop_assert_eq!(paths.is_empty(), rest == text);
    }
}
