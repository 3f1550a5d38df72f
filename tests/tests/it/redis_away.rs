//! What limits do while their Redis is away, where their configuration says it, with a real one that goes and comes.

use crate::redis_limits::{count, gateways, limit_count, merged, server};
use e2e::{Gateway, Upstream, redis::Redis, route_to, wait_for};
use serde_json::{Value, json};

/// Asks until Redis is known to be there again, by requests that nobody else counts.
fn wait_until_back(gateway: &Gateway) {
    wait_for("Redis to be used again", || (gateway.get("/probe").status() == 200).then_some(()));
}

/// A gateway with a limit at `/hello`, and at `/probe` one that is closed while Redis is away.
fn limited(upstream: &Upstream, redis: &Redis, plugins: &Value) -> Gateway {
    let gateway = gateways(1, upstream, plugins).remove(0);
    let mut probe = route_to(upstream.addr);
    probe["uri"] = json!("/probe");
    probe["plugins"] = limit_count(1_000_000, &server(redis));
    gateway.put("routes/probe", &probe);
    wait_until_back(&gateway);
    gateway
}

#[test]
fn a_node_limits_by_itself_while_redis_is_away() {
    let upstream = Upstream::hello();
    let mut redis = Redis::start();
    let local = |config: Value| merged(config, &merged(server(&redis), &json!({ "redis_fallback": "local" })));
    let rule = |count: u64, key: &str| json!({ "count": count, "time_window": 600, "key": key });
    let rows = [
        ("fixed", json!({ "limit-count": local(json!({ "count": 20, "time_window": 600, "key": "server_addr" })) })),
        (
            "sliding",
            json!({ "limit-count": local(json!({ "count": 20, "time_window": 600, "key": "server_addr", "window_type": "sliding" })) }),
        ),
        (
            "rules",
            json!({ "limit-count": local(json!({ "rules": [rule(50, "$server_addr"), rule(20, "$request_method")] })) }),
        ),
        (
            "limit-req",
            json!({ "limit-req": local(json!({ "rate": 0.001, "burst": 19, "nodelay": true, "key": "server_addr" })) }),
        ),
    ];
    for (desc, plugins) in rows {
        let gateway = limited(&upstream, &redis, &plugins);
        assert_eq!(count(&[&gateway], 1, 200), 8, "{desc}: by Redis");
        redis.kill();
        assert_eq!(count(&[&gateway], 5, 200), 20, "{desc}: here, and all workers together");
        assert_eq!(gateway.get("/probe").status(), 500, "{desc}: others are closed as ever");
        redis.run();
        wait_until_back(&gateway);
        // It forgot everything itself, and is not told what was counted elsewhere.
        assert_eq!(count(&[&gateway], 5, 200), 20, "{desc}: by Redis again");
        redis.kill();
        assert_eq!(count(&[&gateway], 2, 503), 16, "{desc}: here nothing was forgotten");
        redis.run();
    }
}

#[test]
fn redis_that_is_away_is_a_matter_of_its_own() {
    let upstream = Upstream::hello();
    let mut redis = Redis::start();
    let count = |more: &Value| limit_count(1000, more);
    let req = |more: &Value| json!({ "limit-req": merged(json!({ "rate": 1000, "burst": 1000, "key": "server_addr" }), more) });
    let conn = |more: &Value| json!({ "limit-conn": merged(json!({ "conn": 1000, "burst": 0, "default_conn_delay": 0.1, "key": "server_addr" }), more) });
    let rows = [
        (json!({}), 500),
        (json!({ "allow_degradation": true }), 200),
        (json!({ "redis_fallback": "deny", "allow_degradation": true }), 500),
        (json!({ "redis_fallback": "allow" }), 200),
        (json!({ "redis_fallback": "local" }), 200),
    ];
    let gateway = Gateway::start(json!({}));
    let mut expected = Vec::new();
    for (n, (more, status)) in rows.iter().enumerate() {
        for (kind, plugins) in [("count", &count as &dyn Fn(&Value) -> Value), ("req", &req), ("conn", &conn)] {
            let path = format!("/{kind}/{n}");
            let mut route = route_to(upstream.addr);
            (route["uri"], route["plugins"]) = (json!(path), plugins(&merged(server(&redis), more)));
            gateway.put(&format!("routes/{kind}-{n}"), &route);
            expected.push((path, *status, more));
        }
    }
    for (path, ..) in &expected {
        assert_eq!(gateway.get(path).status(), 200, "{path}: it is there");
    }
    redis.kill();
    for (path, status, more) in &expected {
        assert_eq!(gateway.get(path).status(), *status, "{path}: {more}");
    }
    redis.run();
    for (path, ..) in &expected {
        wait_for("it is used again", || (gateway.get(path).status() == 200).then_some(()));
    }
    let log = gateway.file("error.log") + &gateway.file("stderr");
    assert_eq!(log.matches("Redis is away").count(), 1, "once for all limits: {log}");
}
