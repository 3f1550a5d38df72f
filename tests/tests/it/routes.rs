//! Targets, paths, and what protects them.

use e2e::{Gateway, Upstream};
use serde_json::json;

#[test]
fn an_absolute_target_becomes_a_path_with_its_host() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let answer = gateway.client().ask("GET http://a.example/p?q HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(answer.status(), 200);
    let request = upstream.requests().pop().unwrap();
    assert_eq!((request.start.as_str(), request.get("host")), ("GET /p?q HTTP/1.1", Some("a.example")));
}

#[test]
fn no_spelling_of_a_path_gets_around_the_route_that_protects_it() {
    let upstream = Upstream::hello();
    let gateway = Gateway::with_one_worker();
    let node = json!({ "type": "roundrobin", "nodes": { upstream.addr.to_string(): 1 } });
    gateway.put("routes/open", &json!({ "uri": "/public/*", "upstream": node }));
    gateway.put("routes/closed", &json!({ "uri": "/admin/*", "plugins": { "key-auth": {} }, "upstream": node }));
    assert_eq!(gateway.get("/public/x").status(), 200);
    let before = upstream.requests().len();
    for path in [
        "/admin/x",
        "//admin/x",
        "/./admin/x",
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public/.%2e/admin/x",
        "/public/%2E./admin/x",
        "/public/..%2fadmin/x",
        "/public%2f..%2fadmin/x",
        "/public/..%5cadmin/x",
        "/public/..\\admin/x",
        "/public/..;/admin/x",
        "/public/..;a=b/admin/x",
        "/public/%2e%2e;/admin/x",
        "/public/.;/../admin/x",
        "/public/%252e%252e/admin/x",
        "/public/..%252fadmin/x",
        "/public/..%c0%afadmin/x",
        "/public/..%00/admin/x",
        "/%61dmin/x",
        "/%2561dmin/x",
        "/admin%2fx",
        "/admin;a=b/x",
        "/public/../../admin/x",
        "/public/x/../../admin/x",
        "/public//../admin/x",
        "http://a.example/public/../admin/x",
    ] {
        let answer =
            gateway.client().ask(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"));
        let got = upstream.requests().len() > before && upstream.requests().last().unwrap().start.contains("admin");
        // Doubly encoded ones are one name below /public: a decoder that decodes once sees no dots in them.
        let is_plain_name = path.contains("%25");
        assert!(!got || is_plain_name, "{path}: {} and the upstream got it", answer.start);
        assert!(matches!(answer.status(), 400 | 401 | 404) || is_plain_name, "{path}: {}", answer.start);
    }
}
