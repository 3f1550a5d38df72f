//! Routing, keys, and requests that mean harm.

use super::*;

#[test]
fn routing_and_methods() {
    let (api, _) = api();
    play(
        &api,
        &[
            ("HEAD", "/apisix/admin", "", 200, ""),
            ("GET", "/apisix/admin", "", 404, "<page>"),
            ("GET", "/apisix/adminx", "", 404, "<page>"),
            ("HEAD", "routes", "", 404, "<page>"),
            ("PURGE", "routes", "", 404, "<page>"),
            ("GET", "nothing", "", 404, r#"{"error_msg":"Unsupported resource type: nothing"}"#),
            ("GET", "", "", 404, r#"{"error_msg":"Unsupported resource type: "}"#),
            ("GET", "credentials", "", 404, r#"{"error_msg":"Unsupported resource type: credentials"}"#),
            ("DELETE", "services/1/graphql_cost_decorations/2", "", 404, r#"{"message":"Key not found"}"#),
            ("GET", "graphql_cost_decorations", "", 400, r#"{"error_msg":"missing service id"}"#),
            ("GET", "stream_routes", "", 400, r#"{"error_msg":"stream mode is disabled, can not add stream routes"}"#),
            ("PATCH", "protos/1", "{}", 405, r#"{"error_msg":"not supported `PATCH` method for proto"}"#),
            ("POST", "secrets/vault", "{}", 405, r#"{"error_msg":"not supported `POST` method for secret"}"#),
            ("PUT", "schema/route", "", 404, r#"{"error_msg":"not found"}"#),
            ("DELETE", "plugins/key-auth", "", 404, r#"{"error_msg":"not found"}"#),
            ("POST", "consumers", "{}", 405, r#"{"error_msg":"not supported `POST` method for consumer"}"#),
            ("PATCH", "consumers/a", "{}", 405, r#"{"error_msg":"not supported `PATCH` method for consumer"}"#),
            (
                "POST",
                "consumers/a/credentials",
                "{}",
                405,
                r#"{"error_msg":"not supported `POST` method for credential"}"#,
            ),
            (
                "PATCH",
                "consumers/a/credentials/1",
                "{}",
                405,
                r#"{"error_msg":"not supported `PATCH` method for credential"}"#,
            ),
            ("POST", "global_rules", "{}", 405, r#"{"error_msg":"not supported `POST` method for global rule"}"#),
            ("POST", "plugin_configs", "{}", 405, r#"{"error_msg":"not supported `POST` method for plugin config"}"#),
            ("POST", "consumer_groups", "{}", 405, r#"{"error_msg":"not supported `POST` method for consumer group"}"#),
            (
                "POST",
                "plugin_metadata",
                "{}",
                405,
                r#"{"error_msg":"not supported `POST` method for plugin_metadata"}"#,
            ),
            (
                "PATCH",
                "plugin_metadata/x",
                "{}",
                405,
                r#"{"error_msg":"not supported `PATCH` method for plugin_metadata"}"#,
            ),
            ("GET", "routes", "", 200, r#"{"list":[],"total":0}"#),
            ("GET", "routes/", "", 200, r#"{"list":[],"total":0}"#),
            ("GET", "routes/1", "", 404, r#"{"message":"Key not found"}"#),
            ("DELETE", "routes/1", "", 404, r#"{"message":"Key not found"}"#),
            ("DELETE", "routes", "", 400, r#"{"error_msg":"missing route id"}"#),
            ("GET", "consumers/jack/credentials", "", 404, r#"{"message":"Key not found"}"#),
        ],
    );
}

#[test]
fn keys_and_addresses() {
    let (api, _) = api();
    for (key, method, status, want) in [
        (None, "GET", 401, r#"{"error_msg":"failed to check token","description":"missing apikey"}"#),
        (Some("x"), "GET", 401, r#"{"error_msg":"failed to check token","description":"wrong apikey"}"#),
        (
            Some("viewer-key"),
            "PUT",
            401,
            r#"{"error_msg":"failed to check token","description":"invalid method for role viewer"}"#,
        ),
        (Some("viewer-key"), "GET", 200, r#"{"list":[],"total":0}"#),
    ] {
        let mut request = request(method, "routes", b"");
        request.fields = key.map(|key| ("X-API-KEY", key)).into_iter().collect();
        let reply = wait(api.handle(request));
        assert_eq!((reply.status, text(&reply).trim_end()), (status, want));
        assert_eq!(reply.fields.get_str("content-type"), Some("application/json"));
        assert_eq!(reply.fields.contains("x-api-version"), status == 200);
        assert_eq!(reply.fields.get_str("access-control-allow-origin"), Some("*"));
    }
    let mut asked = request("OPTIONS", "routes", b"");
    asked.fields = Fields::new();
    let reply = wait(api.handle(asked));
    assert_eq!((reply.status, reply.fields.get_str("content-type")), (200, Some("text/plain")));
    let fake = Arc::new(Fake::default());
    let open = Settings { is_key_required: false, allow: vec!["127.0.0.0/24".parse().unwrap()], ..Settings::default() };
    let api = AdminApi::new(fake, open);
    let mut near = request("GET", "routes", b"");
    near.fields = Fields::new();
    let far = AdminRequest { peer: "10.0.0.1".parse().unwrap(), ..near.clone() };
    assert_eq!(wait(api.handle(near)).status, 200);
    let reply = wait(api.handle(far));
    assert_eq!((reply.status, text(&reply).as_str()), (403, "<page>"));
}

#[test]
fn without_a_key_no_body_is_worth_reading() {
    let (api, _) = api();
    for (method, target, key, status) in [
        ("PUT", "routes/1", None, 401),
        ("PUT", "routes/1", Some("x"), 401),
        ("PUT", "routes/1", Some("viewer-key"), 401),
        ("POST", "configs/validate", None, 401),
        ("PUT", "plugins/reload", None, 401),
        ("OPTIONS", "routes", None, 200),
        ("HEAD", "/apisix/admin", None, 200),
        ("PUT", "/other", Some(ADMIN), 404),
        ("PURGE", "routes/1", Some(ADMIN), 404),
    ] {
        let mut request = request(method, target, b"");
        request.fields = key.map(|key| ("X-API-KEY", key)).into_iter().collect();
        let reply = api.admit(&request).expect_err(target);
        assert_eq!(reply.status, status, "{method} {target} {key:?}");
        // Whoever asks without asking first is told the same.
        assert_eq!(wait(api.handle(request)).status, status);
    }
    assert!(api.admit(&request("PUT", "routes/1", b"")).is_ok());
}

#[test]
fn hostile_bodies() {
    let (api, _) = api();
    play(
        &api,
        &[
            ("PUT", "routes/1", r#"{"uri":"/a","uri":"/b"}"#, 400, "~duplicate key"),
            ("PUT", "routes/1", r#"{"a""#, 400, r#"~"req_body":"{\"a\"""#),
            ("PUT", "routes/1", "[]", 400, r#"{"error_msg":"invalid configuration"}"#),
            ("PUT", "routes/1", r#""x""#, 400, r#"{"error_msg":"invalid configuration"}"#),
            ("PUT", "routes/1", r#"{"__proto__":{},"uri":"/a","plugins":{}}"#, 400, "~found __proto__"),
            ("PUT", "routes/1", r#"{"upstream":"x","plugins":3,"uri":"/a"}"#, 400, "~invalid configuration"),
            ("PUT", "routes/a%2Fb", r#"{"uri":"/a","plugins":{}}"#, 400, "~property \\\"id\\\" validation failed"),
            (
                "PUT",
                "routes",
                r#"{"id":{"a":1},"uri":"/a","plugins":{}}"#,
                400,
                "~property \\\"id\\\" validation failed",
            ),
            ("PUT", "routes", r#"{"id":0,"uri":"/a","plugins":{}}"#, 400, "~property \\\"id\\\" validation failed"),
            ("PUT", "routes", r#"{"id":1.5,"uri":"/a","plugins":{}}"#, 400, "~property \\\"id\\\" validation failed"),
            (
                "PUT",
                "routes",
                r#"{"id":"../x","uri":"/a","plugins":{}}"#,
                400,
                "~property \\\"id\\\" validation failed",
            ),
            ("GET", "routes/..%2f..%2fx", "", 404, r#"{"message":"Key not found"}"#),
        ],
    );
    for id in ["a b", "ü", "\0", &"x".repeat(65)] {
        assert_eq!(call(&api, "PUT", &format!("routes/{id}"), r#"{"uri":"/a","plugins":{}}"#).0, 400, "{id:?}");
    }
    for (depth, want) in [
        (200, "invalid request body: nested deeper"),
        (10_000, "invalid request body: Found too many nested data structures (1001) at character 1001"),
    ] {
        let (status, body) = call(&api, "PUT", "routes/1", &format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(status == 400 && body.contains(want), "{body:.200}");
    }
    let large = vec![b' '; 2 << 20];
    let reply = wait(api.handle(request("PUT", "routes/1", &large)));
    let want = r#"{"error_msg":"invalid request body: request size 2097152 is greater than the maximum size 1572864 allowed"}"#;
    assert_eq!((reply.status, text(&reply).trim_end()), (400, want));
    let reply = wait(api.handle(request("PUT", "routes/1", b"\xff\xfe")));
    assert_eq!(reply.status, 400);
}

#[test]
fn any_request_is_answered() {
    let (api, _) = api();
    let methods = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PURGE"];
    let parts = [
        "routes",
        "consumers",
        "credentials",
        "plugin_metadata",
        "schema",
        "plugins",
        "validate",
        "configs",
        "list",
        "reload",
        "1",
        "jack",
        "..",
        "%",
        "ü",
        "__proto__",
        "limit-count",
        "upstreams",
        "services",
        "secrets",
        "vault",
        "graphql_cost_decorations",
        "ssls",
        "protos",
        "labels",
        "",
    ];
    let queries = [
        "",
        "?force=true",
        "?ttl=1",
        "?page=1&page_size=10",
        "?name=(a+)+$&label=%00",
        "?all=true",
        "?subsystem=stream",
        "?filter=%",
    ];
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        "1",
        "\"s\"",
        "{\"id\":null}",
        "{\"id\":[]}",
        "{\"username\":\"jack\"}",
        "{\"uri\":\"/a\",\"plugins\":{},\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"}",
        "{\"plugins\":{\"key-auth\":null}}",
        "{\"nodes\":{},\"type\":\"roundrobin\"}",
        "{\"routes\":[null,1,{}],\"x\":{}}",
        "{\"labels\":{\"a\":null}}",
        "{",
    ];
    // A small generator with a fixed seed: the same requests in every run.
    let mut state = 0x9e37_79b9_u64;
    let mut pick = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..20_000 {
        let path: Vec<&str> = (0..1 + pick(4)).map(|_| parts[pick(parts.len())]).collect();
        let target = format!("/apisix/admin/{}{}", path.join("/"), queries[pick(queries.len())]);
        let (method, body) = (methods[pick(methods.len())], bodies[pick(bodies.len())]);
        let (status, text) = call(&api, method, &target, body);
        assert!(matches!(status, 200 | 201 | 400 | 404 | 405), "{method} {target} {body}: {status} {text}");
        let is_json = serde_json::from_str::<Value>(&text).is_ok();
        let is_text = ["<page>", "", "done", "invalid subsystem passed", "page_size must be between 10 and 500"];
        assert!(is_json || is_text.contains(&text.as_str()), "{method} {target} {body}: {text}");
    }
}
