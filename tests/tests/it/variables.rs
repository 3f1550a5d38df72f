//! Variables in conditions and logs.

use e2e::{Gateway, Upstream, route_to, wait_for};
use serde_json::json;

#[test]
fn a_graphql_document_decides_about_route_and_plugin() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({ "graphql": { "max_size": 1000 } }));
    gateway.put("routes/all", &route_to(upstream.addr));
    let mut route = route_to(upstream.addr);
    route["plugins"] = json!({ "key-auth": {} });
    route["vars"] = json!([["graphql_operation", "==", "mutation"]]);
    route["uri"] = json!("/graphql");
    route["priority"] = json!(1);
    gateway.put("routes/mutations", &route);
    let mut route = route_to(upstream.addr);
    route["uri"] = json!("/fields");
    let filter = json!([["graphql_root_fields", "has", "secret"]]);
    route["plugins"] = json!({ "key-auth": { "_meta": { "filter": filter } } });
    gateway.put("routes/fields", &route);
    let padding = "#".repeat(2000);
    let deep = format!("{}x{}", "{ a".repeat(300), "}".repeat(300));
    for (path, body, status) in [
        ("/graphql", "mutation M { do }", 401),
        ("/graphql", "query Q { a }", 200),
        ("/graphql", "not graphql", 200),
        ("/other", "mutation M { do }", 200),
        ("/fields", "{ open }", 200),
        ("/fields", "{ open secret }", 401),
        ("/fields", "{ ...F } fragment F on Query { secret }", 401),
        // What cannot be looked into gets around nothing.
        ("/graphql", &format!("mutation M {{ do }} {padding}"), 413),
        ("/fields", &format!("{{ open }} {padding}"), 401),
        ("/fields", &deep, 401),
        ("/other", &padding, 200),
    ] {
        for (kind, body) in
            [("application/graphql", body.to_owned()), ("application/json", json!({ "query": body }).to_string())]
        {
            let answer = gateway.client().ask(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
            assert_eq!(answer.status(), status, "{path} {kind} {body:.100}");
            if status == 200 {
                assert_eq!(upstream.requests().pop().unwrap().text(), body, "{path}");
            }
        }
    }
    assert_eq!(gateway.get("/graphql?query=mutation+%7Bx%7D").status(), 401);
    assert_eq!(gateway.get("/graphql?query=query+%7Bx%7D").status(), 200);
}

#[test]
fn the_access_log_knows_the_upstreams_answer() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nX-Version: 7\r\nContent-Length: 5\r\n\r\nhello");
    let format = "$document_uri|$upstream_http_x_version|$upstream_http_none|$upstream_response_length|$request_type";
    let gateway = Gateway::start(json!({ "nginx_config": { "http": { "access_log_format": format } } }));
    gateway.put("routes/all", &route_to(upstream.addr));
    assert_eq!(gateway.get("/a/../b").status(), 200);
    let line = wait_for("the access log", || gateway.file("access.log").lines().next().map(str::to_owned));
    assert_eq!(line, "/b|7|-|5|traditional_http");
}
