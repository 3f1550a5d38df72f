use super::{spec::Invalid, *};
use plugin::{Request, testing};
use serde_json::{Value, json};

fn compile(document: &Value) -> Result<Spec, Invalid> {
    Spec::compile(document, Wanted { answers: true, request_members: true })
}

/// A document with one operation, `GET /a/{p}/{q}` or `POST /b`.
fn document(version: &str, parameters: &Value, body: &Value, schemas: &Value) -> Value {
    json!({
        "openapi": version,
        "paths": {
            "/a/{p}": { "get": { "parameters": parameters } },
            "/b": { "post": { "requestBody": { "content": { "application/json": { "schema": body }, "multipart/form-data": { "schema": body } } } } },
        },
        "components": { "schemas": schemas },
    })
}

const NOTHING: Skipped = Skipped { path: false, query: false, header: false, body: false };

const LOOK: Look = Look { what: "request", is_strict: true, unknown: Unknown::Pass };

fn check(spec: &Spec, request: &Request, body: &[u8]) -> Result<(), String> {
    spec.check(request, body, NOTHING, LOOK)
        .map_err(|wrong| wrong.0)
        .and_then(|judged| judged.wrong.map_or(Ok(()), |wrong| Err(wrong.0)))
}

#[test]
fn parameters_are_read_in_their_styles() {
    let list = json!({ "type": "array", "items": { "type": "integer" }, "maxItems": 2 });
    let object = json!({ "type": "object", "properties": { "a": { "type": "integer" }, "b": { "type": "boolean" } }, "required": ["a"], "additionalProperties": false });
    let query = |style: &str, explode: bool, schema: &Value| json!({ "name": "x", "in": "query", "style": style, "explode": explode, "schema": schema, "required": true });
    let path = |style: &str, explode: bool, schema: &Value| json!({ "name": "p", "in": "path", "style": style, "explode": explode, "schema": schema, "required": true });
    for (parameter, fits, does_not) in [
        (
            query("form", true, &list),
            vec!["/a/1?x=1&x=2", "/a/1?x=1"],
            vec!["/a/1?x=1,2", "/a/1?x=1&x=2&x=3", "/a/1", "/a/1?x=a", "/a/1?x="],
        ),
        (query("form", false, &list), vec!["/a/1?x=1,2"], vec!["/a/1?x=1&x=2", "/a/1?x=1,2,3", "/a/1?x=1%2C2"]),
        (query("spaceDelimited", false, &list), vec!["/a/1?x=1%202", "/a/1?x=1+2"], vec!["/a/1?x=1,2"]),
        (query("pipeDelimited", false, &list), vec!["/a/1?x=1|2", "/a/1?x=1%7C2"], vec!["/a/1?x=1,2"]),
        (
            query("deepObject", true, &object),
            vec!["/a/1?x[a]=1&x[b]=true", "/a/1?x%5Ba%5D=1"],
            vec!["/a/1?x[b]=true", "/a/1?x[a]=1&x[a]=2", "/a/1?x[c]=1&x[a]=1", "/a/1"],
        ),
        (query("form", true, &object), vec!["/a/1?a=1&b=false&c=3"], vec!["/a/1?b=false", "/a/1?a=x"]),
        (query("form", false, &object), vec!["/a/1?x=a,1,b,true"], vec!["/a/1?x=a", "/a/1?x=b,true", "/a/1?x=a,1,c,2"]),
        (
            json!({ "name": "x", "in": "query", "content": { "application/json": { "schema": object } } }),
            vec!["/a/1", "/a/1?x=%7B%22a%22:1%7D"],
            vec!["/a/1?x=%7B%22a%22:%22b%22%7D", "/a/1?x=a"],
        ),
        (
            json!({ "name": "x", "in": "query", "schema": { "type": "integer" }, "allowEmptyValue": true }),
            vec!["/a/1?x=", "/a/1?x", "/a/1?x=1"],
            vec!["/a/1?x=a"],
        ),
        (
            json!({ "name": "x", "in": "query", "schema": { "type": "string", "pattern": "^[0-9]+$" } }),
            vec!["/a/1?x=007"],
            vec!["/a/1?x=a"],
        ),
        (
            json!({ "name": "x", "in": "query", "schema": { "anyOf": [{ "type": "integer" }, { "enum": ["all"] }] } }),
            vec!["/a/1?x=7", "/a/1?x=all"],
            vec!["/a/1?x=none"],
        ),
        (
            json!({ "name": "x", "in": "query", "schema": { "type": "number" } }),
            vec!["/a/1?x=1e3", "/a/1?x=-0.5"],
            vec!["/a/1?x=0x10", "/a/1?x=NaN", "/a/1?x=+1", "/a/1?x=1e999"],
        ),
        (
            json!({ "name": "x", "in": "query", "schema": { "type": "boolean" } }),
            vec!["/a/1?x=true"],
            vec!["/a/1?x=True", "/a/1?x=1"],
        ),
        (path("simple", false, &list), vec!["/a/1,2"], vec!["/a/1,2,3", "/a/b"]),
        (path("simple", true, &object), vec!["/a/a=1,b=true"], vec!["/a/a,1"]),
        (path("simple", false, &object), vec!["/a/a,1,b,true"], vec!["/a/a=1"]),
        (path("label", false, &list), vec!["/a/.1,2"], vec!["/a/1,2"]),
        (path("label", true, &list), vec!["/a/.1.2"], vec!["/a/.1.2.3"]),
        (path("matrix", false, &list), vec!["/a/;p=1,2"], vec!["/a/;q=1", "/a/1"]),
        (path("matrix", true, &list), vec!["/a/;p=1;p=2"], vec!["/a/;p=1;p=2;p=3"]),
        (path("matrix", true, &object), vec!["/a/;a=1;b=true"], vec!["/a/;b=true"]),
        (path("simple", false, &json!({ "type": "string", "maxLength": 3 })), vec!["/a/a%20b"], vec!["/a/abcd"]),
    ] {
        let spec = compile(&document("3.0.0", &json!([parameter]), &json!({}), &json!({}))).unwrap();
        for target in fits {
            assert_eq!(check(&spec, &testing::ctx("GET", target, &[]).request, b""), Ok(()), "{parameter} {target}");
        }
        for target in does_not {
            assert!(check(&spec, &testing::ctx("GET", target, &[]).request, b"").is_err(), "{parameter} {target}");
        }
    }
}

#[test]
fn schemas_mean_what_their_version_says() {
    let cat = json!({ "type": "object", "properties": { "kind": { "type": "string" }, "lives": { "type": "integer" } }, "required": ["lives"] });
    let dog = json!({ "type": "object", "properties": { "kind": { "type": "string" }, "bark": { "type": "string" } } });
    let pets = json!({ "Cat": cat, "Dog": dog });
    let choice = json!({ "oneOf": [{ "$ref": "#/components/schemas/Cat" }, { "$ref": "#/components/schemas/Dog" }], "discriminator": { "propertyName": "kind", "mapping": { "cat": "#/components/schemas/Cat" } } });
    for (desc, version, schema, schemas, fits, does_not) in [
        (
            "nullable",
            "3.0.3",
            json!({ "type": "string", "nullable": true, "maxLength": 2 }),
            json!({}),
            json!(null),
            json!("abc"),
        ),
        (
            "not nullable in 3.1",
            "3.1.0",
            json!({ "type": "string", "nullable": true }),
            json!({}),
            json!("a"),
            json!(null),
        ),
        ("a list of types", "3.1.0", json!({ "type": ["string", "null"] }), json!({}), json!(null), json!(1)),
        (
            "an exclusive bound of 3.0",
            "3.0.3",
            json!({ "type": "number", "minimum": 1, "exclusiveMinimum": true }),
            json!({}),
            json!(2),
            json!(1),
        ),
        (
            "an exclusive bound of 3.1",
            "3.1.0",
            json!({ "type": "number", "exclusiveMinimum": 1 }),
            json!({}),
            json!(2),
            json!(1),
        ),
        (
            "int32",
            "3.0.3",
            json!({ "type": "integer", "format": "int32" }),
            json!({}),
            json!(2_147_483_647),
            json!(2_147_483_648_u64),
        ),
        (
            "what is beside a reference does not count in 3.0",
            "3.0.3",
            json!({ "$ref": "#/components/schemas/A", "maxLength": 1 }),
            json!({ "A": { "type": "string" } }),
            json!("ab"),
            json!(1),
        ),
        (
            "what is beside a reference counts in 3.1",
            "3.1.0",
            json!({ "$ref": "#/components/schemas/A", "maxLength": 1 }),
            json!({ "A": { "type": "string" } }),
            json!("a"),
            json!("ab"),
        ),
        (
            "a discriminator chooses",
            "3.0.3",
            choice.clone(),
            pets.clone(),
            json!({ "kind": "cat", "lives": 9 }),
            json!({ "kind": "cat", "bark": "loud" }),
        ),
        (
            "a discriminator chooses by name",
            "3.1.0",
            choice.clone(),
            pets.clone(),
            json!({ "kind": "Dog" }),
            json!({ "kind": "cat" }),
        ),
        (
            "a discriminator is required",
            "3.0.3",
            choice.clone(),
            pets.clone(),
            json!({ "kind": "Dog", "bark": "b" }),
            json!({ "bark": "b" }),
        ),
        (
            "a discriminator with a value that is none",
            "3.0.3",
            choice,
            pets,
            json!({ "kind": "Dog" }),
            json!({ "kind": "Fish" }),
        ),
        (
            "read-only is not required",
            "3.0.3",
            json!({ "type": "object", "required": ["id", "a"], "properties": { "id": { "readOnly": true } } }),
            json!({}),
            json!({ "a": 1 }),
            json!({ "id": 1 }),
        ),
        (
            "a recursive schema",
            "3.0.3",
            json!({ "$ref": "#/components/schemas/N" }),
            json!({ "N": { "type": "object", "properties": { "n": { "$ref": "#/components/schemas/N" } }, "additionalProperties": false } }),
            json!({ "n": { "n": {} } }),
            json!({ "n": { "m": 1 } }),
        ),
        (
            "a format",
            "3.0.3",
            json!({ "type": "string", "format": "date" }),
            json!({}),
            json!("2024-02-29"),
            json!("2023-02-29"),
        ),
        (
            "a format that nobody knows",
            "3.0.3",
            json!({ "type": "string", "format": "colour" }),
            json!({}),
            json!("red"),
            json!(1),
        ),
        (
            "newer keywords",
            "3.1.0",
            json!({ "prefixItems": [{ "type": "string" }], "items": false }),
            json!({}),
            json!(["a"]),
            json!(["a", 1]),
        ),
        (
            "properties that are called like keywords",
            "3.0.3",
            json!({ "properties": { "nullable": { "type": "string" }, "example": { "type": "string" } } }),
            json!({}),
            json!({ "nullable": "a" }),
            json!({ "example": 1 }),
        ),
    ] {
        let spec = compile(&document(version, &json!([]), &schema, &schemas))
            .unwrap_or_else(|error| panic!("{desc}: {error}"));
        let request = testing::ctx("POST", "/b", &[("Content-Type", "application/json")]).request;
        assert_eq!(check(&spec, &request, fits.to_string().as_bytes()), Ok(()), "{desc}");
        assert!(check(&spec, &request, does_not.to_string().as_bytes()).is_err(), "{desc}");
    }
}

#[test]
fn multipart_forms_are_taken_apart() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" }, "o": { "type": "object", "required": ["a"] }, "l": { "type": "array", "items": { "type": "integer" } } }, "required": ["n"] });
    let spec = compile(&document("3.0.3", &json!([]), &schema, &json!({}))).unwrap();
    let request = testing::ctx("POST", "/b", &[("Content-Type", "multipart/form-data; boundary=B")]).request;
    let part =
        |name: &str, text: &str| format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
    let body = |parts: &[String]| format!("{}--B--\r\n", parts.concat()).into_bytes();
    for (parts, fits) in [
        (vec![part("n", "1"), part("o", "{\"a\":1}"), part("l", "1")], true),
        (vec![part("n", "1"), part("l", "1"), part("l", "2")], true),
        (vec![part("n", "one")], false),
        (vec![part("n", "1"), part("o", "{}")], false),
        (vec![part("n", "1"), part("l", "x")], false),
        (vec![part("o", "{\"a\":1}")], false),
    ] {
        assert_eq!(check(&spec, &request, &body(&parts)).is_ok(), fits, "{parts:?}");
    }
    let request = testing::ctx("POST", "/b", &[("Content-Type", "multipart/form-data")]).request;
    assert!(check(&spec, &request, &body(&[part("n", "1")])).is_err());
}

#[test]
fn documents_that_would_not_be_checked_are_refused() {
    let with = |parameter: Value| document("3.0.3", &json!([parameter]), &json!({}), &json!({}));
    let body = |schema: Value| document("3.1.0", &json!([]), &schema, &json!({}));
    for (document, reason) in [
        (json!({}), "at \"/openapi\""),
        (json!({ "openapi": "3.2.0", "paths": {} }), "neither 3.0 nor 3.1"),
        (json!({ "openapi": "3.0.0" }), "there are no paths"),
        (json!({ "openapi": "3.1.0", "jsonSchemaDialect": "https://evil.example/d", "paths": {} }), "is no dialect"),
        (json!({ "openapi": "3.0.0", "paths": { "a": {} } }), "does not begin with a slash at \"/paths/a\""),
        (json!({ "openapi": "3.0.0", "paths": { "/{a}": {}, "/{b}": {} } }), "is there twice"),
        (with(json!({ "in": "query" })), "without a name"),
        (with(json!({ "name": "x", "in": "body" })), "a parameter cannot be in"),
        (with(json!({ "name": "x", "in": "query", "style": "matrix" })), "style \"matrix\""),
        (
            with(json!({ "name": "x", "in": "query", "schema": { "pattern": "(?=a)" } })),
            "/paths/~1a~1{p}/get/parameters/0/schema",
        ),
        (with(json!({ "name": "x", "in": "query", "content": { "text/xml": {} } })), "can only be JSON"),
        (with(json!({ "$ref": "#/components/parameters/X" })), "is nothing in this document"),
        (
            body(json!({ "$ref": "https://evil.example/s" })),
            "the reference \"https://evil.example/s\" leads out of this document, and nothing is fetched",
        ),
        (with(json!({ "$ref": "other.json#/X" })), "leads out of this document"),
        (body(json!({ "$ref": "#/paths" })), "is no schema of this document's components"),
        (body(json!({ "$ref": "#/components/schemas/Nothing" })), "Nothing"),
        (body(json!({ "type": "strnig" })), "/paths/~1b/post/requestBody/content/application~1json/schema"),
        (
            body(json!({ "oneOf": [{ "type": "object" }], "discriminator": { "propertyName": "a" } })),
            "schemas without a name",
        ),
        (body(json!({ "properties": { "a": 1 } })), "is no schema"),
        (body((0..70).fold(json!({}), |inner, _| json!({ "not": inner }))), "nested too deeply"),
    ] {
        let error = compile(&document).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(reason), "{document}: {error}");
    }
}
