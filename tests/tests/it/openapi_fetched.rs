//! Documents of OpenAPI that the gateway fetches.

use e2e::{Gateway, Upstream, free_port, wait_for};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// A document whose only path is this.
fn document(path: &str) -> String {
    json!({ "openapi": "3.1.0", "info": { "title": "a", "version": "1" }, "paths": { path: { "get": {} } } })
        .to_string()
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn guarded(gateway: &Gateway, upstream: &Upstream, mut config: Value, url: &str) {
    config["spec_url"] = url.into();
    let nodes = json!({ upstream.addr.to_string(): 1 });
    gateway.put(
        "routes/1",
        &json!({ "uri": "/*", "plugins": { "oas-validator": config }, "upstream": { "nodes": nodes } }),
    );
}

fn url(server: &Upstream) -> String {
    format!("http://{}/openapi.json?token=confidential", server.addr)
}

#[test]
fn a_document_is_fetched_once_for_all_that_wait_for_it() {
    let upstream = Upstream::hello();
    let may_answer = Arc::new(AtomicBool::new(false));
    let may = may_answer.clone();
    let server = Upstream::start(move |conn| {
        while conn.request().is_some() {
            wait_for("leave to answer", || may.load(Ordering::Acquire).then_some(()));
            conn.send(answer("200 OK", &document("/a")));
        }
    });
    let gateway = Gateway::start(json!({}));
    let headers = json!({ "Authorization": "Bearer confidential", "X-One": "1" });
    guarded(&gateway, &upstream, json!({ "spec_url_request_headers": headers }), &url(&server));
    let clients: Vec<_> = (0..20)
        .map(|n| {
            let mut client = gateway.client();
            let path = if n % 2 == 0 { "/a" } else { "/b" };
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            (client, path)
        })
        .collect();
    let asked = server.wait_requests(1).remove(0);
    assert_eq!(asked.start, "GET /openapi.json?token=confidential HTTP/1.1");
    assert_eq!((asked.get("authorization"), asked.get("x-one")), (Some("Bearer confidential"), Some("1")));
    assert_eq!(asked.get("host"), Some(server.addr.to_string().as_str()));
    may_answer.store(true, Ordering::Release);
    for (mut client, path) in clients {
        assert_eq!(client.response().expect("an answer").status(), if path == "/a" { 200 } else { 400 }, "{path}");
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn without_its_document_a_route_is_closed() {
    let upstream = Upstream::hello();
    let long = format!("{}{}", document("/a"), " ".repeat(8 << 20));
    let pattern = document("/a").replace(
        "{\"get\":{}}",
        "{\"get\":{\"parameters\":[{\"name\":\"x\",\"in\":\"query\",\"schema\":{\"pattern\":\"(?=a)\"}}]}}",
    );
    assert!(pattern.contains("(?=a)"));
    let servers = [
        Upstream::answering(answer("404 Not Found", &document("/a"))),
        Upstream::answering(answer("301 Moved Permanently", &document("/a"))),
        Upstream::answering(answer("200 OK", "openapi: 3.1.0")),
        Upstream::answering(answer("200 OK", "")),
        Upstream::answering(answer("200 OK", &long)),
        Upstream::answering(answer("200 OK", &pattern)),
        Upstream::answering(answer("200 OK", &document("/a").replace("3.1.0", "2.0.0"))),
        Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}"),
    ];
    let dead = format!("http://127.0.0.1:{}/x", free_port());
    let gateway = Gateway::start(json!({}));
    let urls = servers[..7].iter().map(url).chain([dead, "http://name.invalid/x".to_owned()]);
    for url in urls {
        guarded(&gateway, &upstream, json!({}), &url);
        // Also where nothing is refused that does not fit.
        for config in [json!({}), json!({ "reject_if_not_match": false })] {
            guarded(&gateway, &upstream, config, &url);
            let answer = gateway.get("/a");
            assert_eq!(answer.status(), 500, "{url}");
            assert_eq!(answer.text(), "{\"message\":\"failed to parse openapi spec\"}\n", "{url}");
        }
    }
    let log = gateway.file("error.log");
    assert!(log.contains("cannot be had") && !log.contains("confidential"), "{log}");
    // One that never ends is given up.
    let begun = Instant::now();
    guarded(&gateway, &upstream, json!({ "timeout": 1000 }), &url(&servers[7]));
    assert_eq!(gateway.get("/a").status(), 500);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_slow_server_is_given_up_even_if_it_never_stops_sending() {
    let upstream = Upstream::hello();
    let server = Upstream::start(|conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while conn.send("1\r\n \r\n") {
                std::thread::yield_now();
            }
        }
    });
    let gateway = Gateway::start(json!({}));
    guarded(&gateway, &upstream, json!({ "timeout": 1000 }), &url(&server));
    assert_eq!(gateway.get("/a").status(), 500);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn an_old_copy_is_good_until_there_is_a_new_one() {
    let upstream = Upstream::hello();
    let answers = Arc::new(Mutex::new(answer("200 OK", &document("/a"))));
    let count = Arc::new(AtomicUsize::new(0));
    let (now, counted) = (answers.clone(), count.clone());
    let server = Upstream::start(move |conn| {
        while conn.request().is_some() {
            counted.fetch_add(1, Ordering::AcqRel);
            let bytes = now.lock().unwrap().clone();
            conn.send(bytes);
        }
    });
    let gateway = Gateway::start(json!({}));
    gateway.put("plugin_metadata/oas-validator", &json!({ "spec_url_ttl": 1 }));
    guarded(&gateway, &upstream, json!({}), &url(&server));
    let status = |path: &str| gateway.get(path).status();
    assert_eq!((status("/a"), status("/b")), (200, 400));
    // Nothing but failures from now on.
    *answers.lock().unwrap() = answer("503 Service Unavailable", "");
    wait_for("a refresh", || {
        assert_eq!((status("/a"), status("/b")), (200, 400));
        (count.load(Ordering::Acquire) >= 2).then_some(())
    });
    assert_eq!((status("/a"), status("/b")), (200, 400));
    *answers.lock().unwrap() = answer("200 OK", &document("/b"));
    wait_for("the new document", || (status("/a") == 400).then_some(()));
    assert_eq!(status("/b"), 200);
}

#[test]
fn what_cannot_be_fetched_is_refused_when_it_is_written() {
    let gateway = Gateway::start(json!({}));
    for (config, reason) in [
        (json!({ "spec_url": "http://u:p@a/x" }), "spec_url_request_headers"),
        (json!({ "spec_url": "http://a:0/x" }), "port"),
        (json!({ "spec_url": "http://a/x", "spec_url_request_headers": { "Host": "b" } }), "connection"),
        (json!({ "spec_url": "ftp://a/x" }), "spec_url"),
        (json!({ "spec_url": "http://a/x", "spec": "{}" }), "oas-validator"),
        (json!({ "spec_url": "http://a/x", "timeout": 999 }), "timeout"),
    ] {
        let route = json!({ "uri": "/*", "plugins": { "oas-validator": config }, "upstream": { "nodes": { "127.0.0.1:1": 1 } } });
        let (status, answer) = gateway.admin("PUT", "routes/1", &route);
        assert_eq!(status, 400, "{config}");
        assert!(answer.to_string().contains(reason), "{config}: {answer}");
    }
}
