//! Shares of a route's requests, over all workers and to real nodes.

use e2e::{Gateway, Upstream, route_to};
use serde_json::{Value, json};

#[test]
fn shares_are_exact_over_all_workers_and_kept_through_a_change_of_another_route() {
    let (own, named, inline) = (Upstream::hello(), Upstream::hello(), Upstream::hello());
    let gateway = Gateway::start(json!({}));
    gateway.put("upstreams/named", &json!({ "nodes": { named.addr.to_string(): 1 } }));
    let mut route = route_to(own.addr);
    let written = json!({
        "nodes": { inline.addr.to_string(): 1 }, "pass_host": "rewrite", "upstream_host": "inline.example",
    });
    route["plugins"] = json!({ "traffic-split": { "rules": [{ "weighted_upstreams": [
        { "upstream_id": "named", "weight": 1 },
        { "upstream": written, "weight": 2 },
        { "weight": 3 },
    ] }] } });
    gateway.put("routes/split", &route);
    for n in 0..60 {
        // A connection each, so that both workers take part.
        assert_eq!(gateway.get("/").status(), 200);
        if n == 30 {
            gateway.put("routes/other", &json!({ "uri": "/other", "plugins": {} }));
        }
    }
    let seen = [named.requests(), inline.requests(), own.requests()];
    assert_eq!(seen.each_ref().map(Vec::len), [10, 20, 30]);
    assert_eq!(seen[1][0].get("host"), Some("inline.example"));
}

#[test]
fn an_upstream_is_not_deleted_while_a_plugin_refers_to_it() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({}));
    gateway.put("upstreams/7", &json!({ "nodes": { upstream.addr.to_string(): 1 } }));
    let split = json!({ "traffic-split": { "rules": [{ "weighted_upstreams": [{ "upstream_id": 7 }] }] } });
    for (path, document, name) in [
        ("routes/r", json!({ "uri": "/*", "plugins": split }), "route [r]"),
        ("plugin_configs/p", json!({ "plugins": split }), "plugin_config [p]"),
        ("global_rules/g", json!({ "plugins": split }), "global_rules [g]"),
    ] {
        gateway.put(path, &document);
        let (status, said) = gateway.admin("DELETE", "upstreams/7", &Value::Null);
        let want = format!("can not delete this upstream, plugin in {name} is still using it now");
        assert_eq!((status, said["error_msg"].as_str()), (400, Some(&*want)));
        assert_eq!(gateway.admin("DELETE", path, &Value::Null).0, 200);
    }
    assert_eq!(gateway.admin("DELETE", "upstreams/7", &Value::Null).0, 200);
    // A written upstream is checked like any other.
    let bad = json!({ "nodes": { "127.0.0.1:1": 1 }, "scheme": "https", "tls": { "verify": "yes" } });
    let rules = json!([{ "weighted_upstreams": [{ "upstream": bad }] }]);
    let route = json!({ "uri": "/*", "plugins": { "traffic-split": { "rules": rules } } });
    let (status, said) = gateway.admin("PUT", "routes/bad", &route);
    assert_eq!(status, 400, "{said}");
}
