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
fn a_field_of_a_multipart_form_decides_about_the_route() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({}));
    let mut route = route_to(upstream.addr);
    route["vars"] = json!([["post_arg.model", "==", "gpt-4"]]);
    gateway.put("routes/form", &route);
    let part =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    for (body, status) in [
        (part("model", "gpt-4") + "--b--\r\n", 200),
        (part("x", "y") + &part("model", "gpt-4") + "--b--", 200),
        (part("model", "gpt-5") + "--b--\r\n", 404),
        (part("model", "gpt-4"), 404),
    ] {
        let length = body.len();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b";
        let answer = gateway.client().ask(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}"));
        assert_eq!(answer.status(), status, "{body}");
    }
}

#[test]
fn the_access_log_counts_connections_and_the_upstreams_bytes() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let format = "$connection|$connection_requests|$upstream_bytes_sent|$upstream_bytes_received|$upstream_addr";
    let gateway = Gateway::start(json!({
        "portcullis": { "workers": 1 },
        "nginx_config": { "http": { "access_log_format": format } },
    }));
    let nodes = json!([
        { "host": "127.0.0.1", "port": closed.port(), "weight": 1, "priority": 1 },
        { "host": "127.0.0.1", "port": upstream.addr.port(), "weight": 1 },
    ]);
    gateway.put("routes/all", &json!({ "uri": "/*", "upstream": { "type": "roundrobin", "nodes": nodes } }));
    let mut first = gateway.client();
    for _ in 0..2 {
        assert_eq!(first.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 200);
    }
    assert_eq!(gateway.get("/").status(), 200);
    let lines = wait_for("the access log", || {
        let lines: Vec<_> = gateway.file("access.log").lines().map(str::to_owned).collect();
        (lines.len() == 3).then_some(lines)
    });
    let fields: Vec<Vec<&str>> = lines.iter().map(|line| line.split('|').collect()).collect();
    assert_eq!(fields[0][0], fields[1][0]);
    assert_ne!(fields[0][0], fields[2][0]);
    assert_eq!([fields[0][1], fields[1][1], fields[2][1]], ["1", "2", "1"]);
    for (line, seen) in fields.iter().zip(upstream.requests()) {
        let (refused, sent) = line[2].split_once(", ").unwrap();
        assert_eq!(refused, "0");
        assert!(sent.parse::<usize>().unwrap() > seen.start.len(), "{line:?}");
        assert_eq!(line[3], "0, 43", "{line:?}");
        assert_eq!(line[4], format!("{closed}, {}", upstream.addr));
    }
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
