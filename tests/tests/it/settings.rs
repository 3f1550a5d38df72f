//! Settings of APISIX have APISIX's effect.

use e2e::{Gateway, Upstream, route_to};
use serde_json::{Value, json};

/// A gateway with `http` as its `nginx_config.http` and `apisix` as its `apisix`, before an upstream that says hello.
fn with(http: &Value, apisix: &Value) -> (Gateway, Upstream) {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({ "nginx_config": { "http": http }, "apisix": apisix }));
    gateway.put("routes/all", &route_to(upstream.addr));
    (gateway, upstream)
}

#[test]
fn fields_with_underscores_are_dropped_when_they_are_off() {
    for (setting, passes) in [("on", true), ("off", false)] {
        let (gateway, upstream) = with(&json!({ "underscores_in_headers": setting }), &json!({}));
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX_One: 1\r\nX-Two: 2\r\n_: 3\r\n\r\n";
        assert_eq!(gateway.client().ask(request).status(), 200);
        let seen = upstream.wait_requests(1).remove(0);
        let want = (passes.then_some("1"), Some("2"), passes.then_some("3"));
        assert_eq!((seen.get("X_One"), seen.get("X-Two"), seen.get("_")), want, "{setting}");
    }
}

#[test]
fn a_trusted_address_in_the_field_is_passed_over_only_when_recursion_is_on() {
    let rows = [
        // (what X-Forwarded-For says, the client without recursion, and with)
        ("9.9.9.9", "9.9.9.9", "9.9.9.9"),
        ("9.9.9.9, 10.0.0.1", "10.0.0.1", "9.9.9.9"),
        ("6.6.6.6, 9.9.9.9, 10.0.0.1, 10.0.0.2", "10.0.0.2", "9.9.9.9"),
        ("9.9.9.9\r\nX-Forwarded-For: 10.0.0.1", "10.0.0.1", "9.9.9.9"),
        ("10.0.0.3, 10.0.0.1", "10.0.0.1", "10.0.0.3"),
        ("9.9.9.9, nonsense, 10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("9.9.9.9:80,10.0.0.1:7 ,", "10.0.0.1", "9.9.9.9"),
        ("[2001:db8::9], 10.0.0.1", "10.0.0.1", "2001:db8::9"),
        ("nonsense", "127.0.0.1", "127.0.0.1"),
        ("", "127.0.0.1", "127.0.0.1"),
    ];
    for is_recursive in [false, true] {
        let http = json!({
            "real_ip_header": "X-Forwarded-For",
            "real_ip_recursive": if is_recursive { "on" } else { "off" },
            "real_ip_from": ["127.0.0.1", "10.0.0.0/8"],
        });
        let (gateway, upstream) = with(&http, &json!({}));
        for (n, (said, plain, recursive)) in rows.iter().enumerate() {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {said}\r\n\r\n");
            assert_eq!(gateway.client().ask(request).status(), 200, "{said}");
            let seen = upstream.wait_requests(n + 1).remove(n);
            let want = if is_recursive { recursive } else { plain };
            assert_eq!(seen.get("X-Real-IP"), Some(*want), "{said}, recursive: {is_recursive}");
        }
    }
}

#[test]
fn paths_are_matched_like_a_servlet_and_sent_as_they_came() {
    let (gateway, upstream) = with(&json!({}), &json!({ "normalize_uri_like_servlet": true }));
    let mut admin = route_to(upstream.addr);
    admin["uri"] = json!("/admin/*");
    admin["plugins"] = json!({ "key-auth": {} });
    gateway.put("routes/admin", &admin);
    let rows = [
        ("/admin/x", 401),
        ("/admin;x/y", 401),
        ("/admin;x=1/y;z", 401),
        ("/;/admin/x", 400),
        ("/a/..;/admin/x", 400),
        ("/%2e;/x", 400),
        ("/%252e;/x", 400),
        ("/open;x=1/y;z", 200),
    ];
    for (path, status) in rows {
        assert_eq!(gateway.get(path).status(), status, "{path}");
    }
    let seen: Vec<_> = upstream.wait_requests(1).into_iter().map(|request| request.start).collect();
    assert_eq!(seen, ["GET /open;x=1/y;z HTTP/1.1"]);
    // Without the setting a parameter is a part of the path.
    let (gateway, _upstream) = with(&json!({}), &json!({}));
    gateway.put("routes/admin", &admin);
    assert_eq!(gateway.get("/admin;x/y").status(), 200);
}

#[test]
fn a_slash_at_the_end_does_not_count_when_it_is_deleted() {
    for (setting, status) in [(true, 401), (false, 200)] {
        let (gateway, upstream) = with(&json!({}), &json!({ "delete_uri_tail_slash": setting }));
        let mut exact = route_to(upstream.addr);
        exact["uri"] = json!("/exact");
        exact["plugins"] = json!({ "key-auth": {} });
        gateway.put("routes/exact", &exact);
        assert_eq!(gateway.get("/exact").status(), 401);
        assert_eq!(gateway.get("/exact/").status(), status, "deleted: {setting}");
        assert_eq!(gateway.get("/").status(), 200);
    }
}

#[test]
fn a_misspelt_field_is_named_also_where_a_field_is_missing() {
    // APISIX's words for "count is required" in this schema.
    let required = "value should match only one schema, but matches none";
    for (profile, hint) in [("secure", "unknown field \"cuont\""), ("apisix", "")] {
        let gateway = Gateway::start(json!({ "portcullis": { "profile": profile } }));
        let mut route = route_to(([127, 0, 0, 1], 1).into());
        route["plugins"] = json!({ "limit-count": { "cuont": 2, "time_window": 60 } });
        let (status, said) = gateway.admin("PUT", "routes/1", &route);
        let said = said["error_msg"].as_str().unwrap();
        assert_eq!(status, 400, "{profile}: {said}");
        assert!(said.contains(required) && said.contains(hint), "{profile}: {said}");
        assert_eq!(said.contains("did you mean \"count\"?"), profile == "secure", "{said}");
        assert_eq!(said.ends_with(required), profile == "apisix", "{said}");
    }
}
