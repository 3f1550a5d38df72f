//! What one client may use up.

use e2e::{Client, Gateway, Upstream, route_to};
use serde_json::{Value, json};
use std::time::Duration;

fn with(limits: &Value, http: &Value) -> (Gateway, Upstream) {
    let upstream = Upstream::hello();
    let gateway =
        Gateway::start(json!({ "portcullis": { "limits": limits, "workers": 1 }, "nginx_config": { "http": http } }));
    gateway.put("routes/all", &route_to(upstream.addr));
    (gateway, upstream)
}

#[test]
fn heads_that_take_too_long_get_408() {
    let (gateway, upstream) = with(&json!({ "head_timeout": "1s" }), &json!({}));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    assert_eq!(client.response().unwrap().status(), 408);
    assert!(client.is_closed_within(Duration::from_secs(5)));
    // One that says nothing is closed without a word.
    assert_eq!(gateway.client().rest(), b"");
    // Bytes that trickle do not lengthen it.
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    let mut stream = client.stream.try_clone().unwrap();
    std::thread::spawn(move || {
        use std::io::Write;
        while stream.write_all(b"X: 1\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    assert!(client.head().is_none_or(|answer| answer.status() == 408));
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn bodies_that_stall_get_408() {
    let (gateway, upstream) = with(&json!({}), &json!({ "client_body_timeout": "1s" }));
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked", "Content-Length: 1000000"] {
        let mut client = gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n5\r\nhe"));
        let answer = client.response().map(|answer| answer.status());
        assert_eq!(answer, Some(408), "{head}");
        assert!(client.is_closed_within(Duration::from_secs(5)), "{head}");
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn idle_connections_are_closed() {
    let (gateway, _upstream) = with(&json!({}), &json!({ "keepalive_timeout": "1s" }));
    let mut client = gateway.client();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 200);
    assert!(client.is_closed_within(Duration::from_secs(10)));
}

#[test]
fn bodies_that_are_too_long_get_413() {
    let (gateway, upstream) = with(&json!({ "request_body": 1000 }), &json!({}));
    let post = |lines: &str, body: &str| {
        let mut client = gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}"));
        client.response().map(|answer| answer.status())
    };
    assert_eq!(post("Content-Length: 1001", &"x".repeat(1001)), Some(413));
    let chunk = |n: usize| format!("{n:x}\r\n{}\r\n", "x".repeat(n));
    assert_eq!(post("Transfer-Encoding: chunked", &format!("{}{}0\r\n\r\n", chunk(600), chunk(401))), Some(413));
    assert!(upstream.requests().is_empty(), "a complete request went through");
    assert_eq!(post("Content-Length: 1000", &"x".repeat(1000)), Some(200));
    assert_eq!(post("Transfer-Encoding: chunked", &format!("{}{}0\r\n\r\n", chunk(600), chunk(400))), Some(200));
    // One that would be refused is not asked to send.
    assert_eq!(post("Expect: 100-continue\r\nContent-Length: 1001", ""), Some(413));
}

#[test]
fn a_connection_ends_after_its_requests() {
    let (gateway, _upstream) = with(&json!({ "requests_per_connection": 3 }), &json!({}));
    let mut client = gateway.client();
    for i in 1..=3 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.get("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")), i == 3, "request {i}");
    }
    assert!(client.is_closed_within(Duration::from_secs(5)));
}

#[test]
fn neither_one_client_nor_all_take_more_connections() {
    for limit in ["connections_per_client", "connections"] {
        let upstream = Upstream::hello();
        // The bound is that of the gateway, however the kernel spreads connections over its workers.
        let gateway = Gateway::start(json!({ "portcullis": { "limits": { limit: 5 }, "workers": 2 } }));
        gateway.put("routes/all", &route_to(upstream.addr));
        let ask = |client: &mut Client| {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client.response().map(|answer| answer.status())
        };
        let open = || {
            let mut client = gateway.client();
            (ask(&mut client) == Some(200)).then_some(client)
        };
        // The fixture's own probe of the port may still be counted at first.
        let held = e2e::wait_for("five connections", || {
            let held: Vec<Client> = (0..5).map_while(|_| open()).collect();
            (held.len() == 5).then_some(held)
        });
        for _ in 0..10 {
            let mut sixth = gateway.client();
            assert!(!matches!(ask(&mut sixth), Some(200)), "{limit}: a sixth connection is served");
        }
        drop(held);
        e2e::wait_for("room again", open);
    }
}
