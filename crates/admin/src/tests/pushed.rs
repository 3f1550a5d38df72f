//! Whole configurations.

use super::*;
use serde_json::json;

fn pushed() -> (AdminApi<Fake>, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let keys = vec![
        AdminKey { key: ADMIN.to_owned(), role: Role::Admin },
        AdminKey { key: "viewer-key".to_owned(), role: Role::Viewer },
    ];
    (AdminApi::new(fake.clone(), Settings { keys, is_pushed: true, ..Settings::default() }), fake)
}

fn put(api: &AdminApi<Fake>, digest: &str, kind: &str, body: &str) -> Reply {
    let mut request = request("PUT", "configs", body.as_bytes());
    request.fields.push(b"X-Digest", digest.as_bytes());
    request.fields.push(b"Content-Type", kind.as_bytes());
    wait(api.handle(request))
}

fn send(api: &AdminApi<Fake>, digest: &str, body: &Value) -> (u16, String) {
    let reply = put(api, digest, "application/json", &body.to_string());
    (reply.status, text(&reply).trim_end().to_owned())
}

fn shown(api: &AdminApi<Fake>) -> Value {
    serde_json::from_str(&call(api, "GET", "configs", "").1).unwrap()
}

fn uris(fake: &Fake) -> Vec<String> {
    let documents = fake.documents(Kind::Route, None).into_iter();
    documents.map(|document| format!("{} {}", document.key, document.value["uri"].as_str().unwrap())).collect()
}

#[test]
fn a_round_trip() {
    let (api, fake) = pushed();
    let empty = shown(&api);
    assert_eq!(empty.as_object().unwrap().len(), 13);
    assert!(empty.as_object().unwrap().values().all(|version| version == 0));
    let reply = wait(api.handle(request("HEAD", "configs", b"")));
    assert_eq!((reply.status, reply.fields.get("x-digest")), (200, None));

    let config = json!({ "routes": [{ "id": "r1", "uri": "/r1", "plugins": {} }] });
    let reply = put(&api, "d1", "application/json", &config.to_string());
    assert_eq!((reply.status, text(&reply).as_str()), (202, ""));
    assert_eq!(reply.fields.get_str("x-digest"), Some("d1"));
    let modified = reply.fields.get_str("x-last-modified").unwrap().to_owned();
    assert!(modified.parse::<u64>().unwrap() > 0);
    assert_eq!(uris(&fake), ["/routes/r1 /r1"]);
    let again = put(&api, "d1", "application/json", "{}");
    assert_eq!((again.status, again.fields.get("x-digest")), (204, None));
    for method in ["HEAD", "GET"] {
        let reply = wait(api.handle(request(method, "configs", b"")));
        assert_eq!((reply.status, reply.fields.get_str("x-digest")), (200, Some("d1")));
        assert_eq!(reply.fields.get_str("x-last-modified"), Some(modified.as_str()));
    }
    let now = shown(&api);
    assert_eq!(
        (&now["routes"], &now["routes_conf_version"], &now["ssls_conf_version"]),
        (&config["routes"], &json!(1), &json!(1))
    );
    assert_eq!((&now["X-Digest"], &now["X-Last-Modified"]), (&json!("d1"), &json!(modified.parse::<u64>().unwrap())));

    let mut asked = request("GET", "configs", b"");
    asked.fields.push(b"Accept", b"application/yaml");
    let reply = wait(api.handle(asked));
    assert_eq!(reply.fields.get_str("content-type"), Some("application/yaml"));
    let dumped = text(&reply);
    assert!(dumped.contains("routes:\n") && dumped.contains("id: r1") && !dumped.starts_with("---"), "{dumped}");
    // What was shown can be sent.
    assert_eq!(yaml::parse(&dumped).unwrap(), now);
    assert_eq!(put(&api, "d2", "application/yaml", &dumped).status, 202);
    assert_eq!(uris(&fake), ["/routes/r1 /r1"]);
    assert_eq!(send(&api, "d3", &json!({})).0, 202);
    assert_eq!((uris(&fake), shown(&api).get("routes")), (Vec::new(), None));
}

#[test]
fn versions_decide() {
    let (api, fake) = pushed();
    let routes = |version: Value, uri: &str| json!({ "routes_conf_version": version, "routes": [{ "id": "1", "uri": uri, "plugins": {} }] });
    let lower = r#"{"error_msg":"routes_conf_version must be greater than or equal to (15)"}"#;
    let rows = [
        (routes(json!(15), "/a"), 202, "", "/routes/1 /a"),
        // Equal: what is there stays.
        (routes(json!(15), "/b"), 202, "", "/routes/1 /a"),
        (routes(json!(14), "/b"), 400, lower, "/routes/1 /a"),
        (routes(json!(-1), "/b"), 400, lower, "/routes/1 /a"),
        (routes(json!("x"), "/b"), 400, r#"{"error_msg":"routes_conf_version must be a number"}"#, "/routes/1 /a"),
        (routes(json!(17), "/c"), 202, "", "/routes/1 /c"),
        (routes(json!(null), "/d"), 202, "", "/routes/1 /d"),
    ];
    for (n, (body, status, want, route)) in rows.into_iter().enumerate() {
        assert_eq!(send(&api, &n.to_string(), &body), (status, want.to_owned()), "{body}");
        assert_eq!(uris(&fake), [route], "{body}");
    }
    let now = shown(&api);
    assert_eq!((&now["routes_conf_version"], &now["upstreams_conf_version"]), (&json!(18), &json!(4)));
}

#[test]
fn an_index_that_stays_keeps_the_document() {
    let (api, fake) = pushed();
    let route = |index: Value, uri: &str| json!({ "routes": [{ "id": "1", "uri": uri, "plugins": {}, "modifiedIndex": index }] });
    for (n, (index, uri, want)) in [(1, "/a", "/a"), (1, "/b", "/a"), (2, "/b", "/b")].into_iter().enumerate() {
        assert_eq!(send(&api, &n.to_string(), &route(json!(index), uri)).0, 202);
        assert_eq!(uris(&fake), [format!("/routes/1 {want}")]);
    }
    let (status, why) = send(&api, "x", &route(json!("1"), "/c"));
    assert_eq!(status, 400);
    assert!(why.contains("property \\\"modifiedIndex\\\" validation failed: wrong type: expected integer"), "{why}");
}

#[test]
fn credentials_are_among_the_consumers() {
    let (api, fake) = pushed();
    let body = json!({ "consumers": [
        { "username": "john" }, { "id": "john/credentials/a", "plugins": { "key-auth": { "key": "k" } } }, { "id": "jack", "username": "jack" },
    ] });
    assert_eq!(send(&api, "1", &body), (202, String::new()));
    let credentials = fake.documents(Kind::Credential, Some("john"));
    assert_eq!((credentials.len(), &credentials[0].value["id"]), (1, &json!("a")));
    assert_eq!(fake.documents(Kind::Consumer, None).len(), 2);
}

#[test]
fn in_yaml_a_plugin_may_have_nothing_behind_its_name() {
    let (api, fake) = pushed();
    let mut request = request("PUT", "configs", b"routes:\n- id: 1\n  uri: /a\n  plugins:\n    key-auth:\n");
    request.fields.push(b"X-Digest", b"1");
    request.fields.push(b"Content-Type", b"application/yaml");
    assert_eq!(wait(api.handle(request)).status, 202);
    assert_eq!(fake.documents(Kind::Route, None)[0].value["plugins"], json!({ "key-auth": {} }));
}

#[test]
fn what_is_refused_changes_nothing() {
    let (api, fake) = pushed();
    assert_eq!(send(&api, "0", &json!({ "routes": [{ "id": "1", "uri": "/a", "plugins": {} }] })).0, 202);
    let before = shown(&api);
    let reply = wait(api.handle(request("PUT", "configs", b"{}")));
    assert_eq!((reply.status, text(&reply).trim_end()), (400, r#"{"error_msg":"missing digest header"}"#));
    for (kind, body, want) in [
        ("application/json", "", r#"{"error_msg":"invalid request body: empty request body"}"#),
        (
            "application/json",
            "{abcd",
            r#"{"error_msg":"invalid request body: Expected object key string but found invalid token at character 2"}"#,
        ),
        ("application/yaml", "a: [", r#"{"error_msg":"invalid request body: invalid yaml request body"}"#),
        ("application/json", "[]", r#"{"error_msg":"invalid configuration"}"#),
        ("application/json", r#"{"global_rule":[]}"#, r#"{"error_msg":"unknown section global_rule"}"#),
        ("application/json", r#"{"routes":{"id":"2"}}"#, r#"{"error_msg":"routes must be a list"}"#),
        ("application/json", r#"{"routes":[7]}"#, r#"{"error_msg":"invalid item, it should be an object"}"#),
        (
            "application/json",
            r#"{"routes":[{"id":"2","uri":123,"plugins":{}}]}"#,
            r#"~property \"uri\" validation failed: wrong type: expected string, got number"#,
        ),
        (
            "application/json",
            r#"{"routes":[{"id":"2","uri":"/b","plugins":{}},{"id":"2","uri":"/c","plugins":{}}]}"#,
            r#"{"error_msg":"found duplicate id 2 in routes"}"#,
        ),
        (
            "application/json",
            r#"{"routes":[{"id":2,"uri":"/b","plugins":{}},{"uri":"/b","plugins":{}},{"id":"arr_2","uri":"/c","plugins":{}}]}"#,
            r#"{"error_msg":"found duplicate id arr_2 in routes"}"#,
        ),
        (
            "application/json",
            r#"{"plugins":[{"name":"cors"}]}"#,
            r#"{"error_msg":"plugins: the list of plugins is read from config.yaml only, set it there"}"#,
        ),
    ] {
        let reply = put(&api, "1", kind, body);
        let got = text(&reply);
        assert_eq!(reply.status, 400, "{body}");
        match want.strip_prefix('~') {
            Some(part) => assert!(got.contains(&part.replace('"', "\\\"").replace("\\\\", "\\")), "{body}: {got}"),
            None => assert_eq!(got.trim_end(), want, "{body}"),
        }
    }
    fake.state.lock().is_down = true;
    assert_eq!(send(&api, "1", &json!({})), (503, r#"{"error_msg":"connection refused"}"#.to_owned()));
    assert_eq!((shown(&api), uris(&fake)), (before, vec!["/routes/1 /a".to_owned()]));
}

#[test]
fn nothing_else_is_served_and_keys_are_asked_for() {
    let (api, _) = pushed();
    for (method, target) in [
        ("GET", "routes"),
        ("PUT", "routes/1"),
        ("GET", "plugins/list"),
        ("POST", "configs"),
        ("DELETE", "configs"),
        ("GET", "configs/validate"),
        ("GET", "configs/x"),
        ("GET", "schema/route"),
        ("GET", ""),
    ] {
        assert_eq!(call(&api, method, target, "{}"), (404, "<page>".to_owned()), "{method} {target}");
    }
    assert_eq!(call(&api, "HEAD", "/apisix/admin", "").0, 200);
    for (key, method, status) in [("", "GET", 401), ("viewer-key", "GET", 200), ("viewer-key", "PUT", 401)] {
        let mut request = request(method, "configs", b"{}");
        request.fields = [("x-api-key", key), ("x-digest", "1")].into_iter().collect();
        // Before its body is read, which may be large.
        assert_eq!(api.admit(&request).map_err(|reply| reply.status).err().unwrap_or(200), status, "{key} {method}");
    }
}

#[test]
fn validation_says_all_and_changes_nothing() {
    let (api, fake) = pushed();
    let good = json!({ "routes": [{ "id": "1", "uri": "/a", "plugins": {}, "modifiedIndex": 3 }], "consumers": [{ "id": "a/credentials/b" }] });
    assert_eq!(call(&api, "POST", "configs/validate", &good.to_string()), (200, "{}\n".to_owned()));
    let bad = json!({ "routes": [{ "id": "1", "uri": 1, "plugins": {} }, { "id": "1", "uri": "/a", "plugins": {} }], "routes_conf_version": "x" });
    let (status, body) = call(&api, "POST", "configs/validate", &bad.to_string());
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["error_msg"].as_str()), (400, Some("Configuration validation failed")));
    let errors = body["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 3);
    assert_eq!(errors[1]["error"], "found duplicate id 1 in routes");
    assert_eq!(
        errors[2],
        json!({ "resource_type": "routes", "error": "routes_conf_version must be a number, got string" })
    );
    assert_eq!(fake.state.lock().revision, 0);
}
