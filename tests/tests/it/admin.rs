//! The Admin API: what it refuses, and what it keeps to itself.

use e2e::{Client, Gateway, KEY, Upstream, route_to, wait_for};
use serde_json::{Value, json};
use std::path::Path;

fn files(dir: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() { files(&entry.path(), into) } else { into.push(entry.path()) }
    }
}

#[test]
fn secrets_are_in_no_file() {
    const SECRET: &str = "s3cr3t-of-alice-0123456789";
    const OTHER: &str = "s3cr3t-of-bob-9876543210";
    let upstream = Upstream::hello();
    let mut gateway = Gateway::start(json!({ "nginx_config": { "error_log_level": "debug" } }));
    gateway.put("consumers", &json!({ "username": "alice", "plugins": { "key-auth": { "key": SECRET } } }));
    gateway.put("consumers", &json!({ "username": "bob" }));
    gateway.put("consumers/bob/credentials/one", &json!({ "plugins": { "key-auth": { "key": OTHER } } }));
    let mut route = route_to(upstream.addr);
    route["plugins"] = json!({ "key-auth": {} });
    gateway.put("routes/all", &route);
    let ask = |key: &str| {
        gateway
            .client()
            .ask(format!("GET /k HTTP/1.1\r\nHost: a\r\napikey: {key}\r\nConnection: close\r\n\r\n"))
            .status()
    };
    assert_eq!((ask(SECRET), ask(OTHER), ask("wrong")), (200, 200, 401));
    let who: Vec<_> = upstream.requests().iter().map(|r| r.get("x-consumer-username").map(str::to_owned)).collect();
    assert_eq!(who, [Some("alice".to_owned()), Some("bob".to_owned())]);
    // Refused documents are not logged with their secrets either.
    let bad = json!({ "username": "eve", "plugins": { "key-auth": { "key": SECRET, "nonsense": 1 } } });
    assert_eq!(gateway.admin("PUT", "consumers", &bad).0, 400);
    assert_eq!(gateway.admin_raw("PUT", "consumers", format!("{{\"username\": \"{SECRET}").as_bytes()).0, 400);
    wait_for("the access log", || gateway.file("access.log").contains("/k").then_some(()));
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    let mut all = Vec::new();
    files(gateway.dir.path(), &mut all);
    assert!(all.iter().any(|f| f.ends_with("store.redb")), "{all:?}");
    for file in all {
        let bytes = std::fs::read(&file).unwrap();
        for secret in [SECRET, OTHER].iter().copied().chain((!file.ends_with("config.yaml")).then_some(KEY)) {
            let is_there = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!is_there, "{secret} is in {}", file.display());
        }
    }
    gateway.run();
    let ask = |key: &str| {
        gateway
            .client()
            .ask(format!("GET /k HTTP/1.1\r\nHost: a\r\napikey: {key}\r\nConnection: close\r\n\r\n"))
            .status()
    };
    assert_eq!((ask(SECRET), ask(OTHER), ask("wrong")), (200, 200, 401), "after a restart");
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let gateway = Gateway::start(json!({}));
    let good = json!({ "uri": "/good", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:1": 1 } } });
    gateway.put("routes/kept", &good);
    let with = |name: &str, value: Value| {
        let mut route = good.clone();
        route[name] = value;
        route.to_string()
    };
    let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let rows: Vec<(&str, String, &str)> = vec![
        ("unknown plugin", with("plugins", json!({ "no-such": {} })), "unknown plugin [no-such]"),
        ("misspelt plugin", with("plugins", json!({ "key-aut": {} })), "key-aut"),
        (
            "misspelt field of a plugin",
            with("plugins", json!({ "limit-count": { "count": 1, "time_window": 1, "rejected_cod": 503 } })),
            "did you mean",
        ),
        (
            "misspelt field of a plugin, with all that is needed",
            with("plugins", json!({ "key-auth": { "hide_credential": true } })),
            "did you mean",
        ),
        (
            "out of range in a plugin",
            with("plugins", json!({ "limit-count": { "count": -1, "time_window": 1 } })),
            "count",
        ),
        ("bad regex", with("plugins", json!({ "proxy-rewrite": { "regex_uri": ["(", "/"] } })), "regex"),
        ("bad regex in vars", with("vars", json!([["arg_a", "~~", "("]])), ""),
        ("bad operator in vars", with("vars", json!([["arg_a", "=~=", "x"]])), ""),
        (
            "upstream that is not there",
            json!({ "uri": "/x", "upstream_id": "none" }).to_string(),
            "failed to fetch upstream info by upstream id [none], response code: 404",
        ),
        ("service that is not there", json!({ "uri": "/x", "service_id": "none" }).to_string(), "none"),
        ("plugin_config that is not there", with("plugin_config_id", json!("none")), "none"),
        ("a script", with("filter_func", json!("function(vars) return true end")), "Lua"),
        (
            "gRPC to a node",
            with("upstream", json!({ "scheme": "grpc", "nodes": { "127.0.0.1:1": 1 } })),
            "schemes http and https",
        ),
        ("uri of a wrong type", with("uri", json!(5)), "uri"),
        ("empty uris", with("uris", json!([])), ""),
        ("unknown method", with("methods", json!(["FETCH"])), ""),
        ("unknown field of a route", with("upstrem_id", json!("1")), "upstrem_id"),
        ("bad port", with("upstream", json!({ "nodes": { "127.0.0.1:99999": 1 } })), ""),
        ("negative weight", with("upstream", json!({ "nodes": { "127.0.0.1:1": -1 } })), ""),
        ("bad remote_addr", with("remote_addr", json!("1.2.3")), ""),
        ("bad status", with("status", json!(7)), "status"),
        ("not JSON", "uri: /x".into(), "invalid request body"),
        ("cut JSON", "{\"uri\":\"/x\"".into(), ""),
        ("bytes after JSON", format!("{good}x"), ""),
        ("two documents", format!("{good}{good}"), ""),
        ("a list", "[]".into(), ""),
        ("a string", "\"x\"".into(), ""),
        ("null", "null".into(), ""),
        ("empty", String::new(), ""),
        ("2 MB", with("desc", json!("d".repeat(2 << 20))), ""),
        ("10,000 deep", deep, ""),
        ("10,000 lists deep", format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), "invalid request body"),
        ("key twice", "{\"uri\":\"/a\",\"uri\":\"/b\",\"upstream\":{\"nodes\":{\"127.0.0.1:1\":1}}}".into(), ""),
        (
            "key twice, deep",
            "{\"uri\":\"/a\",\"upstream\":{\"nodes\":{\"127.0.0.1:1\":1,\"127.0.0.1:1\":2}}}".into(),
            "",
        ),
        (
            "key twice, one escaped",
            "{\"uri\":\"/a\",\"ur\\u0069\":\"/b\",\"upstream\":{\"nodes\":{\"127.0.0.1:1\":1}}}".into(),
            "",
        ),
        (
            "number out of range",
            "{\"uri\":\"/a\",\"priority\":1e400,\"upstream\":{\"nodes\":{\"127.0.0.1:1\":1}}}".into(),
            "",
        ),
        ("NaN", "{\"uri\":\"/a\",\"priority\":NaN}".into(), ""),
        ("bad UTF-8 escape", "{\"uri\":\"/\\ud800\"}".into(), ""),
    ];
    let before = gateway.admin("GET", "routes", &Value::Null);
    let mut wrong = Vec::new();
    for (desc, body, hint) in &rows {
        for path in ["routes/bad", "routes/kept"] {
            let (status, said) = gateway.admin_raw("PUT", path, body.as_bytes());
            if status != 400 {
                wrong.push(format!("{desc}, PUT {path}: {status} {said:.200}"));
            } else if !said.contains(hint) || !said.contains("error_msg") {
                wrong.push(format!("{desc}: no {hint:?} in {said:.300}"));
            }
        }
    }
    let after = gateway.admin("GET", "routes", &Value::Null);
    if before != after {
        wrong.push(format!("something was stored: {}", after.1));
    }
    let bad_utf8 = gateway.admin_raw("PUT", "routes/bad", b"{\"uri\":\"/\xff\"}");
    assert_eq!(bad_utf8.0, 400);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_used_cannot_be_deleted() {
    let gateway = Gateway::start(json!({}));
    gateway.put("upstreams/u", &json!({ "nodes": { "127.0.0.1:1": 1 } }));
    gateway.put("services/s", &json!({ "upstream_id": "u" }));
    gateway.put("routes/r", &json!({ "uri": "/x", "service_id": "s" }));
    assert_eq!(gateway.admin("DELETE", "upstreams/u", &Value::Null).0, 400);
    assert_eq!(gateway.admin("DELETE", "services/s", &Value::Null).0, 400);
    for path in ["routes/r", "services/s", "upstreams/u"] {
        assert_eq!(gateway.admin("DELETE", path, &Value::Null).0, 200, "{path}");
    }
}

#[test]
fn only_a_key_opens_it() {
    let gateway = Gateway::start(json!({ "deployment": { "admin": { "admin_key": [
        { "name": "admin", "key": KEY, "role": "admin" },
        { "name": "viewer", "key": "viewer-key-0123456789", "role": "viewer" },
    ] } } }));
    let body = json!({ "uri": "/x", "upstream": { "nodes": { "127.0.0.1:1": 1 } } }).to_string();
    let ask = |method: &str, path: &str, fields: &str| {
        Client::connect(gateway.admin)
            .ask(format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ))
            .status()
    };
    let path = "/apisix/admin/routes/1";
    for fields in [
        "",
        "X-API-KEY: \r\n",
        "X-API-KEY: wrong\r\n",
        "X-API-KEY: viewer-key\r\n",
        "X-API-KEY: null\r\n",
        "Authorization: Bearer x\r\n",
        "X_API_KEY: e2e-admin-key-0123456789abcdef\r\n",
    ] {
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            assert_eq!(ask(method, path, fields), 401, "{method} with {fields:?}");
        }
    }
    for path in [
        "/apisix/admin/routes/1/",
        "//apisix/admin/routes/1",
        "/apisix/admin/./routes/1",
        "/apisix/admin/x/../routes/1",
        "/apisix//admin/routes/1",
        "/apisix/%61dmin/routes/1",
    ] {
        let status = ask("PUT", path, "");
        assert!(matches!(status, 400 | 401 | 404), "{path}: {status}");
    }
    assert_eq!(ask("GET", "/apisix/admin/routes", "X-API-KEY: viewer-key-0123456789\r\n"), 200);
    assert!(matches!(ask("PUT", path, "X-API-KEY: viewer-key-0123456789\r\n"), 401 | 403));
    assert_eq!(gateway.admin("GET", "routes/1", &Value::Null).0, 404, "nothing was stored");
    assert_eq!(ask("PUT", path, &format!("X-API-KEY: {KEY}\r\n")), 201);
    // It isn't served by the proxy.
    let answer =
        gateway.client().ask(format!("GET /apisix/admin/routes HTTP/1.1\r\nHost: a\r\nX-API-KEY: {KEY}\r\n\r\n"));
    assert_eq!(answer.status(), 404);
}

#[test]
fn hostile_requests_are_refused_here_too() {
    let gateway = Gateway::start(json!({}));
    for (lines, status) in [
        (format!("X-API-KEY: {KEY}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked"), 400),
        (format!("X-API-KEY: {KEY}\r\nContent-Length: 2\r\nContent-Length: 3"), 400),
        (format!("X-API-KEY: {KEY}\r\nHost: b"), 400),
        (format!("X-API-KEY: {KEY}\r\nX: 1\r\n 2"), 400),
        (format!("X-API-KEY: {KEY}\r\nTransfer-Encoding: gzip"), 501),
    ] {
        let mut client = Client::connect(gateway.admin);
        client.send(format!("PUT /apisix/admin/upstreams/1 HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{{}}"));
        assert_eq!(client.response().unwrap().status(), status, "{lines}");
        assert!(client.is_closed_within(std::time::Duration::from_secs(5)), "{lines}");
    }
}

#[test]
fn a_body_is_not_read_without_a_key() {
    let gateway = Gateway::start(json!({}));
    for (fields, status) in [("", 401), ("X-API-KEY: wrong\r\n", 401)] {
        let mut client = Client::connect(gateway.admin);
        // Nothing of the body is ever sent: whoever waits for it does not answer.
        client
            .send(format!("PUT /apisix/admin/routes/1 HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 1000000\r\n\r\n"));
        assert_eq!(client.response().unwrap().status(), status, "{fields:?}");
    }
}

#[test]
fn of_two_who_patch_at_once_nobody_is_lost() {
    const WRITERS: usize = 4;
    const CHANGES: usize = 50;
    let gateway = Gateway::start(json!({}));
    gateway.put("routes/1", &json!({ "uri": "/x", "upstream": { "nodes": { "127.0.0.1:1": 1 } } }));
    let barrier = std::sync::Barrier::new(WRITERS);
    let accepted: Vec<String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (gateway, barrier) = (&gateway, &barrier);
                scope.spawn(move || {
                    let mut accepted = Vec::new();
                    for change in 0..CHANGES {
                        barrier.wait();
                        let label = format!("w{writer}c{change}");
                        match gateway.admin("PATCH", "routes/1", &json!({ "labels": { &label: "1" } })) {
                            (200, _) => accepted.push(label),
                            (503, said) => assert_eq!(said["error_msg"], "value changed before overwritten"),
                            (status, said) => panic!("{status} {said}"),
                        }
                    }
                    accepted
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    // Each time somebody is first.
    assert!(accepted.len() >= CHANGES, "{} of {}", accepted.len(), WRITERS * CHANGES);
    let stored = gateway.admin("GET", "routes/1", &Value::Null).1;
    let labels = stored["value"]["labels"].as_object().unwrap();
    assert_eq!(labels.len(), accepted.len());
    assert!(accepted.iter().all(|label| labels.contains_key(label)));
}
