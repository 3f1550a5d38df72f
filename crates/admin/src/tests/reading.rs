//! Lists, schemas and plugins.

use super::*;
use serde_json::json;

#[test]
fn lists() {
    let (api, _) = api();
    for at in 0..25 {
        let body = json!({
            "uri": format!("/p{at}"), "name": format!("n{at}"), "plugins": {},
            "labels": if at % 2 == 0 { json!({"even": "y"}) } else { json!({"odd": "y"}) },
            "service_id": if at < 5 { "a" } else { "b" },
        });
        assert_eq!(call(&api, "PUT", &format!("routes/r{}", 99 - at), &body.to_string()).0, 201);
    }
    let count = |query: &str| {
        let (status, body) = call(&api, "GET", &format!("routes?{query}"), "");
        assert_eq!(status, 200, "{query}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let list = body["list"].as_array().unwrap();
        let first = list.first().map(|one| one["value"]["name"].as_str().unwrap().to_owned());
        (body["total"].as_u64().unwrap(), list.len(), first)
    };
    let n = |name: &str| Some(name.to_owned());
    for (query, want) in [
        ("", (25, 25, n("n0"))),
        ("page=1&page_size=10", (25, 10, n("n0"))),
        ("page=3&page_size=10", (25, 5, n("n20"))),
        ("page=4&page_size=10", (25, 0, None)),
        ("page=-3&page_size=10", (25, 10, n("n0"))),
        ("page=1e300&page_size=10", (25, 0, None)),
        ("page=1", (25, 25, n("n0"))),
        ("page=x&page_size=1", (25, 25, n("n0"))),
        ("name=%5En1%24", (1, 1, n("n1"))),
        ("name=(", (0, 0, None)),
        ("uri=p2", (6, 6, n("n2"))),
        ("label=even", (13, 13, n("n0"))),
        ("label=none", (0, 0, None)),
        ("filter=service_id%3Da", (5, 5, n("n0"))),
        ("filter=service_id%3Db%26service_id%3Da", (5, 5, n("n0"))),
        ("filter=name%3Dzzz", (25, 25, n("n0"))),
        ("filter=upstream_id%3Da", (0, 0, None)),
    ] {
        assert_eq!(count(query), want, "{query}");
    }
    play(
        &api,
        &[
            ("GET", "routes?page=1&page_size=1000000000", "", 400, "page_size must be between 10 and 500"),
            ("GET", "routes?page=1&page_size=9", "", 400, "page_size must be between 10 and 500"),
        ],
    );
}

#[test]
fn schemas_and_plugins() {
    let (api, _) = api();
    play(
        &api,
        &[
            ("GET", "schema/route", "", 200, r#"~"properties""#),
            ("GET", "schema/nope", "", 400, r#"{"error_msg":"not found schema: nope"}"#),
            ("GET", "schema/plugins/limit-count", "", 200, r#"~"_meta""#),
            ("GET", "plugins/limit-count", "", 200, r#"~"count":{"type":"integer"}"#),
            ("GET", "plugins/key-auth?schema_type=consumer", "", 200, r#"{"type":"object","required":["key"]}"#),
            ("GET", "plugins/limit-count?schema_type=consumer", "", 400, r#"{"error_msg":"not found schema"}"#),
            ("GET", "plugins/nope", "", 404, r#"{"error_msg":"plugin not found in subsystem http"}"#),
            (
                "GET",
                "plugins/key-auth?subsystem=stream",
                "",
                404,
                r#"{"error_msg":"plugin not found in subsystem stream"}"#,
            ),
            ("GET", "plugins/key-auth?subsystem=x", "", 400, r#"{"error_msg":"unsupported subsystem: x"}"#),
            ("GET", "plugins/list", "", 200, r#"["key-auth","limit-count"]"#),
            ("GET", "plugins/list?subsystem=x", "", 400, "invalid subsystem passed"),
            ("GET", "plugins?all=true", "", 200, r#"~"type":"auth","scope":"global""#),
            ("PUT", "plugins/reload", "", 200, "done"),
            (
                "GET",
                "plugins/reload",
                "",
                405,
                r#"{"error_msg":"please use PUT method to reload the plugins, GET method is not allowed."}"#,
            ),
            ("POST", "schema/validate/routes", r#"{"uri":"/a","plugins":{"unknown":{}}}"#, 200, ""),
            (
                "POST",
                "schema/validate/routes",
                r#"{"uri":1}"#,
                400,
                r#"~property \"uri\" validation failed: wrong type: expected string, got number"#,
            ),
            ("POST", "schema/validate/none", "{}", 404, r#"{"error_msg":"Unsupported resource type: none"}"#),
            ("POST", "configs/validate", "", 400, r#"{"error_msg":"invalid request body: empty request body"}"#),
            (
                "POST",
                "configs/validate",
                r#"{"routes":[{"id":"1","uri":"/a","plugins":{}}],"consumers":[{"username":"a"}]}"#,
                200,
                "{}",
            ),
            (
                "POST",
                "configs/validate",
                r#"{"routes":[{"id":"1","uri":"/a","plugins":{}},{"id":"1","uri":"/a","plugins":{}}]}"#,
                400,
                r#"{"error_msg":"Configuration validation failed","errors":[{"resource_type":"routes","resource_id":"1","index":1,"error":"found duplicate id 1 in routes"}]}"#,
            ),
        ],
    );
}
