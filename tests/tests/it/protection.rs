//! Several plugins on one route, and what reaches the upstream then.

use e2e::{Gateway, Upstream, route_to};
use serde_json::json;

#[test]
fn a_protected_route_lets_only_its_consumers_through() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({}));
    gateway.put("consumers", &json!({ "username": "alice", "plugins": { "key-auth": { "key": "alices-key" } } }));
    let mut route = route_to(upstream.addr);
    route["plugins"] = json!({
        "key-auth": { "hide_credentials": true },
        "limit-count": { "count": 2, "time_window": 60, "rejected_code": 429, "key": "consumer_name" },
    });
    gateway.put("routes/all", &route);
    let ask = |field: &str| gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n"));
    let missing = ask("");
    assert_eq!((missing.status(), missing.text().as_str()), (401, "{\"message\":\"Missing API key in request\"}\n"));
    assert_eq!(ask("apikey: wrong\r\n").status(), 401);
    assert!(upstream.requests().is_empty());
    for expected in [200, 200, 429] {
        assert_eq!(ask("apikey: alices-key\r\n").status(), expected);
    }
    let got = upstream.requests();
    assert_eq!(got.len(), 2);
    assert_eq!((got[0].get("x-consumer-username"), got[0].get("apikey")), (Some("alice"), None));
}
