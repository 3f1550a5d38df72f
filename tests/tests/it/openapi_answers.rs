//! Answers of upstreams that are checked against a document of OpenAPI before a client sees a byte of them.

use e2e::{
    Gateway, Message, Upstream,
    http2::{H2Client, request},
    wait_for,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write;

fn document() -> String {
    let user = json!({ "type": "object", "required": ["name"], "properties": {
        "name": { "type": "string" }, "password": { "type": "string", "writeOnly": true },
    } });
    let answers = json!({ "200": { "description": "", "content": {
        "application/json": { "schema": { "$ref": "#/components/schemas/User" } },
        "text/event-stream": { "schema": { "type": "string" } },
    } } });
    let operation = json!({ "responses": answers });
    json!({
        "openapi": "3.0.3",
        "info": { "title": "a", "version": "1" },
        "paths": { "/a": { "get": operation, "head": operation } },
        "components": { "schemas": { "User": user } },
    })
    .to_string()
}

fn guarded(upstream: &Upstream, mut config: Value) -> Gateway {
    let gateway = Gateway::start(json!({ "portcullis": { "workers": 1 } }));
    config["spec"] = document().into();
    let nodes = json!({ upstream.addr.to_string(): 1 });
    gateway.put(
        "routes/1",
        &json!({ "uri": "/*", "plugins": { "oas-validator": config }, "upstream": { "nodes": nodes } }),
    );
    gateway
}

/// An answer of this kind, in one piece.
fn answer(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

const JSON: &str = "Content-Type: application/json\r\n";
const GZIP: &str = "Content-Type: application/json\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\n";
const LEAK: &[u8] = b"{ \"name\": \"a\", \"password\": \"confidential\", \"n\": 1 }";

fn get(gateway: &Gateway, method: &str) -> Message {
    let mut client = gateway.client();
    client.send(format!("{method} /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let mut head = client.head().expect("an answer");
    if method != "HEAD" {
        client.body(&mut head, true);
    }
    head
}

#[test]
fn nothing_of_an_answer_that_does_not_fit_reaches_a_client() {
    let chunked = |body: &[u8]| {
        let mut all =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for byte in body {
            all.extend_from_slice(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']);
        }
        [&all[..], b"0\r\n\r\n"].concat()
    };
    let bomb = gzip(&vec![b' '; 8 << 20]);
    for (desc, bytes, mode, status, body) in [
        ("fits", answer(JSON, b"{\"name\":\"a\"}"), "block", 200, &b"{\"name\":\"a\"}"[..]),
        ("a leak", answer(JSON, LEAK), "block", 502, b""),
        ("a leak, reported", answer(JSON, LEAK), "report", 200, LEAK),
        ("a leak, taken out", answer(JSON, LEAK), "strip", 200, b"{ \"name\": \"a\" }"),
        ("a leak in chunks", chunked(LEAK), "block", 502, b""),
        ("a leak in chunks, taken out", chunked(LEAK), "strip", 200, b"{ \"name\": \"a\" }"),
        ("gzip that fits", answer(GZIP, &gzip(b"{\"name\":\"a\"}")), "block", 200, &gzip(b"{\"name\":\"a\"}")),
        ("gzip that fits stays", answer(GZIP, &gzip(b"{\"name\":\"a\"}")), "strip", 200, &gzip(b"{\"name\":\"a\"}")),
        ("a leak in gzip", answer(GZIP, &gzip(LEAK)), "block", 502, b""),
        ("a leak in gzip, taken out", answer(GZIP, &gzip(LEAK)), "strip", 200, b"{ \"name\": \"a\" }"),
        ("a bomb", answer(GZIP, &bomb), "block", 502, b""),
        ("a bomb, reported", answer(GZIP, &bomb), "report", 200, &bomb),
        ("an unknown coding", answer(&GZIP.replace("gzip", "zstd"), LEAK), "strip", 502, b""),
        ("broken off", answer(JSON, LEAK)[..100].to_vec(), "block", 502, b""),
        ("broken off, reported", answer(JSON, LEAK)[..100].to_vec(), "report", 502, b""),
        ("broken off between chunks", chunked(LEAK)[..100].to_vec(), "strip", 502, b""),
        ("nothing", answer(JSON, b""), "block", 502, b""),
    ] {
        let upstream = Upstream::start(move |conn| {
            if conn.request().is_some() {
                conn.send(&bytes);
            }
        });
        let gateway = guarded(&upstream, json!({ "validate_response": mode, "max_resp_body_size": 16 << 20 }));
        let answer = get(&gateway, "GET");
        assert_eq!(answer.status(), status, "{desc}");
        if status == 200 {
            assert_eq!(answer.body, body, "{desc}");
            let length = body.len().to_string();
            assert_eq!(answer.get("content-length"), Some(length.as_str()), "{desc}");
            let is_coded = body.starts_with(&[0x1f, 0x8b]);
            assert_eq!(answer.get("content-encoding"), is_coded.then_some("gzip"), "{desc}");
        } else {
            assert!(!answer.text().contains("confidential"), "{desc}");
        }
        assert!(answer.is_complete, "{desc}");
    }
}

#[test]
fn an_answer_without_a_body_is_judged_by_its_head() {
    let upstream = Upstream::start(|conn| {
        while let Some(request) = conn.request() {
            match request.get("if-none-match") {
                Some(_) => conn.send("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
                None => conn.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"),
            };
        }
    });
    let gateway = guarded(&upstream, json!({ "validate_response": "block" }));
    let head = get(&gateway, "HEAD");
    assert_eq!((head.status(), head.get("content-length")), (200, Some("12")));
    let mut client = gateway.client();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"a\"\r\n\r\n");
    assert_eq!(client.head().expect("an answer").status(), 304);
}

#[test]
fn a_stream_of_events_is_not_held() {
    let upstream = Upstream::start(|conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
            // It ends when the gateway goes away.
            let _ = conn.request();
        }
    });
    let gateway = guarded(&upstream, json!({ "validate_response": "block" }));
    let mut client = gateway.client();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().expect("a head").status(), 200);
    assert_eq!(client.raw(14), b"9\r\ndata: 1\n\n\r\n");
}

#[test]
fn what_is_too_long_passes_only_where_that_is_configured() {
    let body = format!("{{\"name\":\"{}\",\"password\":\"confidential\"}}", "x".repeat(300_000));
    let upstream = Upstream::answering(answer(JSON, body.as_bytes()));
    for (config, status) in [
        (json!({ "validate_response": "block", "max_resp_body_size": 200_000 }), 502),
        (json!({ "validate_response": "strip", "max_resp_body_size": 200_000 }), 502),
        (json!({ "validate_response": "strip", "max_resp_body_size": 200_000, "allow_unchecked_response": true }), 200),
        (json!({ "validate_response": "report", "max_resp_body_size": 200_000 }), 200),
    ] {
        let gateway = guarded(&upstream, config.clone());
        let answer = get(&gateway, "GET");
        assert_eq!(answer.status(), status, "{config}");
        assert_eq!(answer.text() == body, status == 200, "{config}");
        wait_for("the log's line", || gateway.file("error.log").contains("body is too large").then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_http_2_get_the_same() {
    let upstream = Upstream::answering(answer(JSON, LEAK));
    for (mode, status, body) in [("block", 502, None), ("strip", 200, Some("{ \"name\": \"a\" }"))] {
        let gateway = guarded(&upstream, json!({ "validate_response": mode }));
        let client = H2Client::to(gateway.proxy).await;
        let answer = client.ask(request("GET", "/a")).await.unwrap();
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(answer.status, status, "{mode}");
        assert!(!text.contains("confidential"), "{mode}");
        if let Some(body) = body {
            let length = body.len().to_string();
            assert_eq!((&*text, answer.get("content-length")), (body, Some(length.as_str())), "{mode}");
        }
    }
}

#[test]
fn answers_are_checked_with_the_document_that_was_fetched() {
    let upstream = Upstream::answering(answer(JSON, LEAK));
    let text = document();
    let server = Upstream::answering(answer("", text.as_bytes()));
    let gateway = Gateway::start(json!({}));
    let config = json!({ "spec_url": format!("http://{}/openapi.json", server.addr), "validate_response": "strip" });
    let nodes = json!({ upstream.addr.to_string(): 1 });
    gateway.put(
        "routes/1",
        &json!({ "uri": "/*", "plugins": { "oas-validator": config }, "upstream": { "nodes": nodes } }),
    );
    assert_eq!(get(&gateway, "GET").text(), "{ \"name\": \"a\" }");
    assert_eq!(server.requests().len(), 1);
}
