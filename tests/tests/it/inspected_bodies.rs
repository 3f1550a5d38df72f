//! Bodies that plugins look into before the upstream sees a byte of them.

use e2e::{Gateway, Message, Upstream, route_to, wait_for};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn route(upstream: &Upstream, plugins: Value) -> Value {
    let mut route = route_to(upstream.addr);
    route["plugins"] = plugins;
    route
}

fn post(gateway: &Gateway, fields: &str, body: &[u8]) -> Message {
    let head = format!("POST /a HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    gateway.client().ask([head.as_bytes(), body].concat())
}

#[test]
fn a_compressed_body_is_looked_into_within_bounds_and_stays_as_it_came() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({}));
    for plugins in [
        json!({ "request-validation": { "body_schema": { "required": ["a"], "maxProperties": 1 } } }),
        json!({ "json-limits": { "max_members": 1, "max_req_body_size": 67_108_864 } }),
    ] {
        gateway.put("routes/inspected", &route(&upstream, plugins));
        let before = upstream.requests().len();
        let fits = gzip(b"{\"a\": 1}");
        assert_eq!(post(&gateway, "Content-Encoding: gzip\r\n", &fits).status(), 200);
        assert_eq!(upstream.wait_requests(before + 1)[before].body, fits);
        assert_eq!(post(&gateway, "Content-Encoding: gzip\r\n", &gzip(b"{\"a\":1,\"b\":2}")).status(), 400);
        assert_eq!(post(&gateway, "Content-Encoding: gzip\r\n", b"{\"a\":1}").status(), 400);
        assert_eq!(post(&gateway, "Content-Encoding: gzip, gzip\r\n", &gzip(&fits)).status(), 415);
        let memory = gateway.rss();
        let bomb = gzip(&vec![b' '; 4 << 20]);
        for _ in 0..2 {
            assert_eq!(post(&gateway, "Content-Encoding: gzip\r\n", &bomb).status(), 413);
        }
        let grown = gateway.rss().saturating_sub(memory);
        assert!(grown < 16 << 20, "{grown} bytes for a bomb");
        assert_eq!(upstream.requests().len(), before + 1);
    }
}

#[test]
fn what_is_too_large_never_begins_to_go_upstream() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({}));
    for plugins in [
        json!({ "request-validation": { "body_schema": {}, "max_req_body_size": 100 } }),
        json!({ "json-limits": { "max_req_body_size": 100 } }),
        json!({ "graphql-limits": { "max_req_body_size": 100 } }),
    ] {
        gateway.put("routes/inspected", &route(&upstream, plugins.clone()));
        let head =
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = gateway.client();
        client.send(format!("{head}64\r\n{}\r\n1\r\n", " ".repeat(100)));
        client.send(" \r\n");
        assert_eq!(client.response().expect("an answer").status(), 413, "{plugins}");
        assert_eq!(post(&gateway, "Content-Type: application/json\r\n", &[b' '; 101]).status(), 413, "{plugins}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn deep_documents_end_no_worker() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({}));
    let node = json!({ "anyOf": [{ "items": { "$ref": "#/definitions/n" } }, { "items": { "$ref": "#/definitions/n" } }], "not": { "const": 1 } });
    let schema = json!({ "definitions": { "n": node }, "allOf": [{ "$ref": "#/definitions/n" }] });
    for plugins in [
        json!({ "request-validation": { "body_schema": schema } }),
        json!({ "json-limits": {} }),
        json!({ "graphql-limits": {} }),
    ] {
        gateway.put("routes/inspected", &route(&upstream, plugins.clone()));
        let closed = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        for body in [closed(120), closed(100_000), "[".repeat(100_000), "{\"a\":".repeat(40_000), "{a".repeat(100_000)]
        {
            for kind in ["application/json", "application/graphql"] {
                let answer = post(&gateway, &format!("Content-Type: {kind}\r\n"), body.as_bytes());
                assert_eq!(answer.status(), 400, "{plugins} {kind} {}", &body[..20]);
            }
        }
    }
    assert_eq!(gateway.get("/a").status(), 400, "it still answers");
    assert!(upstream.requests().is_empty());
}

#[test]
fn the_access_log_shows_what_is_masked() {
    let upstream = Upstream::hello();
    let format = "$request|$http_x_key|$request_body";
    let gateway = Gateway::start(json!({ "nginx_config": { "http": { "access_log_format": format } } }));
    let masks = json!([
        { "type": "query", "name": "token", "action": "replace", "value": "***" },
        { "type": "header", "name": "X-Key", "action": "regex", "regex": "^(..).*", "value": "$1***" },
        { "type": "body", "body_format": "json", "name": "$..password", "action": "remove" },
    ]);
    gateway.put("routes/masked", &route(&upstream, json!({ "data-mask": { "request": masks } })));
    let body = "{\"user\":\"jack\",\"password\":\"secret\"}";
    let request = format!(
        "POST /a?token=secret HTTP/1.1\r\nHost: a\r\nX-Key: secret\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(gateway.client().ask(request).status(), 200);
    let line = wait_for("the access log", || gateway.file("access.log").lines().next().map(str::to_owned));
    assert!(line.starts_with("POST /a?token=*** HTTP/1.1|se***|"), "{line}");
    assert!(!line.contains("secret") && line.contains("jack"), "{line}");
    let seen = &upstream.wait_requests(1)[0];
    assert!(seen.start.contains("token=secret") && seen.get("x-key") == Some("secret"), "{seen:?}");
    assert_eq!(seen.text(), body);
}

#[test]
fn json_is_refused_at_the_first_byte_that_is_wrong() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({}));
    gateway.put("routes/inspected", &route(&upstream, json!({ "json-limits": { "max_items": 10 } })));
    for (piece, reason) in [
        ("[".repeat(1000), "nested too deeply"),
        ("[1,1,1,1,1,1,1,1,1,1,1".to_owned(), "too many items"),
        ("{\"a\":1,\"a\"".to_owned(), "comes twice"),
        ("{\"a\":1}}".to_owned(), "not JSON"),
    ] {
        for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
            let mut client = gateway.client();
            client.send(format!("POST /a HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
            let is_chunked = framing.starts_with('T');
            client.send(if is_chunked { format!("{:x}\r\n{piece}\r\n", piece.len()) } else { piece.clone() });
            // The rest of the body never comes.
            let answer = client.response().expect("an answer");
            assert_eq!(answer.status(), 400, "{framing} {piece}");
            assert!(answer.text().contains(reason), "{framing}: {}", answer.text());
        }
    }
    // What is right so far is waited for, however small the pieces are.
    let mut client = gateway.client();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for byte in b"{\"a\": [\"\\ud83d\\ude00\xe2\x82\xac\", -1.5e3, true, null]}" {
        client.send([b"1\r\n", &[*byte][..], b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().expect("an answer").status(), 200);
    assert_eq!(upstream.requests().len(), 1);
}
