//! Nodes that are dead, slow, or close.

use e2e::{Gateway, Upstream, route_to};
use serde_json::json;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

fn dead_addr() -> SocketAddr {
    // Handed out once and never listened on: connections are refused.
    SocketAddr::from(([127, 0, 0, 1], e2e::free_port()))
}

#[test]
fn dead_slow_and_failing_nodes() {
    let gateway = Gateway::with_one_worker();
    gateway.put("routes/all", &route_to(dead_addr()));
    assert_eq!(gateway.get("/").status(), 502, "dead");
    // A timeout of the route.
    let silent = Upstream::start(|conn| {
        conn.request();
        conn.client.rest();
    });
    let mut route = route_to(silent.addr);
    route["timeout"] = json!({ "connect": 1, "send": 1, "read": 0.3 });
    gateway.put("routes/all", &route);
    let begun = Instant::now();
    assert_eq!(gateway.get("/").status(), 504, "silent");
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < Duration::from_secs(5));
    // The next node is tried.
    let alive = Upstream::hello();
    let route = json!({ "uri": "/*", "upstream": { "type": "roundrobin",
        "nodes": { dead_addr().to_string(): 1, alive.addr.to_string(): 1 } } });
    gateway.put("routes/all", &route);
    for i in 0..10 {
        assert_eq!(gateway.get(&format!("/{i}")).status(), 200);
    }
    // A request that is not idempotent and was not sent may be tried on another node too, with its body.
    for _ in 0..4 {
        let answer = gateway.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(answer.status(), 200);
        assert_eq!(alive.requests().pop().unwrap().text(), "abc");
    }
    // No retries wanted: one attempt.
    let route = json!({ "uri": "/*", "upstream": { "type": "roundrobin", "retries": 0,
        "nodes": { dead_addr().to_string(): 1, alive.addr.to_string(): 1 } } });
    gateway.put("routes/all", &route);
    let statuses: Vec<u16> = (0..4).map(|_| gateway.get("/").status()).collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn a_post_that_may_have_been_handled_is_not_sent_twice() {
    let upstream = Upstream::start(|conn| {
        conn.request();
    });
    let other = Upstream::start(|conn| {
        conn.request();
    });
    let gateway = Gateway::with_one_worker();
    gateway.put(
        "routes/all",
        &json!({ "uri": "/*", "upstream": { "type": "roundrobin",
            "nodes": { upstream.addr.to_string(): 1, other.addr.to_string(): 1 } } }),
    );
    let answer = gateway.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(answer.status(), 502);
    assert_eq!(upstream.requests().len() + other.requests().len(), 1);
}

#[test]
fn a_stale_pooled_connection_is_replaced() {
    // Each connection answers once, promises to stay and closes when the second request has arrived.
    let upstream = Upstream::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        conn.client.head();
    });
    let gateway = Gateway::with_one_worker();
    gateway.put("routes/all", &route_to(upstream.addr));
    for i in 0..6 {
        assert_eq!(gateway.get(&format!("/{i}")).status(), 200, "request {i}");
    }
}
