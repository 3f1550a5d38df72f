//! Connections of clients: order, upgrades, and those that go away.

use e2e::{Gateway, Upstream, route_to, wait_for};
use serde_json::json;
use std::time::Duration;

#[test]
fn keep_alive_and_pipelining_keep_the_order() {
    let upstream = Upstream::start(|conn| {
        while let Some(request) = conn.request() {
            let path = request.start.split(' ').nth(1).unwrap_or_default().to_owned();
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.client();
    let all: String = (0..50).map(|i| format!("GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(all);
    for i in 0..50 {
        assert_eq!(client.response().unwrap().text(), format!("/{i}"));
    }
    assert_eq!(client.ask("GET /more HTTP/1.1\r\nHost: a\r\n\r\n").text(), "/more");
    assert_eq!(upstream.connections(), 1, "the upstream connection is kept");
    let last = client.ask("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(last.get("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
    assert!(client.is_closed_within(Duration::from_secs(5)));
    // HTTP/1.0 closes unless asked.
    let mut client = gateway.client();
    assert_eq!(client.ask("GET /old HTTP/1.0\r\n\r\n").text(), "/old");
    assert!(client.is_closed_within(Duration::from_secs(5)));
}

#[test]
fn an_empty_line_before_a_request_is_tolerated_once() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    assert_eq!(gateway.client().ask("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 200);
}

#[test]
fn a_head_in_single_bytes_is_read() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.client();
    for byte in b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.response().unwrap().text(), "hello");
    assert_eq!(upstream.requests().pop().unwrap().text(), "abc");
}

#[test]
fn a_client_that_goes_away_closes_the_upstream_connection_and_is_logged() {
    let (ended, end) = std::sync::mpsc::sync_channel(1);
    let upstream = Upstream::start(move |conn| {
        conn.client.head();
        conn.client.rest();
        ended.send(()).unwrap();
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.client();
    client.send("POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
    wait_for("the upstream to see the head", || (!upstream.received().is_empty()).then_some(()));
    drop(client);
    end.recv_timeout(e2e::PATIENCE).expect("the upstream connection ends");
    wait_for("499 in the access log", || {
        gateway.file("access.log").lines().find(|l| l.contains("/gone") && l.contains(" 499 ")).map(drop)
    });
}

#[test]
fn a_client_that_goes_away_while_it_waits_is_noticed() {
    let (ended, end) = std::sync::mpsc::sync_channel(1);
    let upstream = Upstream::start(move |conn| {
        conn.request();
        conn.client.rest();
        ended.send(()).unwrap();
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.client();
    client.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_requests(1);
    drop(client);
    end.recv_timeout(e2e::PATIENCE).expect("the upstream connection ends");
    wait_for("499 in the access log", || {
        gateway.file("access.log").lines().find(|l| l.contains("/gone") && l.contains(" 499 ")).map(drop)
    });
}

#[test]
fn a_websocket_passes_where_the_route_allows_it() {
    let upstream = Upstream::start(|conn| {
        let Some(request) = conn.request() else { return };
        if request.get("upgrade").is_none() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
            return;
        }
        conn.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst",
        );
        loop {
            let bytes = conn.client.raw(4);
            if bytes.is_empty() || !conn.send(&bytes) {
                return;
            }
        }
    });
    let gateway = Gateway::with_one_worker();
    let mut route = route_to(upstream.addr);
    gateway.put("routes/all", &route);
    let ask = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert_eq!(gateway.client().ask(ask).text(), "plain", "without enable_websocket");
    route["enable_websocket"] = json!(true);
    gateway.put("routes/all", &route);
    let mut client = gateway.client();
    client.send(ask);
    let head = client.head().unwrap();
    assert_eq!(head.status(), 101, "{head:?}");
    assert_eq!(head.get("upgrade"), Some("websocket"));
    assert_eq!(head.get("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(head.get("sec-websocket-accept"), Some("x"));
    assert_eq!(client.raw(5), b"first");
    for frame in [b"ping", b"\0\xff\r\n"] {
        client.send(frame);
        assert_eq!(client.raw(4), frame);
    }
    client.end();
    assert_eq!(client.rest(), b"");
    let request = upstream.requests().pop().unwrap();
    assert_eq!((request.get("upgrade"), request.get("sec-websocket-key")), (Some("websocket"), Some("k")));
}
