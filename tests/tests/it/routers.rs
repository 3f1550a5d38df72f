//! The three routers, and what of the path they see.

use e2e::{Gateway, Upstream, route_to, wait_for};
use serde_json::{Value, json};

fn start(router: &str, apisix: Value, profile: &str) -> (Gateway, Upstream) {
    let upstream = Upstream::hello();
    let mut apisix = apisix;
    apisix["router"] = json!({ "http": router });
    let log = "$route_id $uri_param_id $uri_param_rest";
    let gateway = Gateway::start(json!({
        "apisix": apisix,
        "nginx_config": { "http": { "access_log_format": log } },
        "portcullis": { "profile": profile },
    }));
    (gateway, upstream)
}

fn put(gateway: &Gateway, upstream: &Upstream, id: &str, route: &Value) {
    let mut whole = route_to(upstream.addr);
    for (name, value) in route.as_object().unwrap() {
        whole[name] = value.clone();
    }
    gateway.put(&format!("routes/{id}"), &whole);
}

/// The lines of the access log, once there are so many.
fn log(gateway: &Gateway, lines: usize) -> Vec<String> {
    wait_for("the access log", || {
        let all: Vec<String> = gateway.file("access.log").lines().map(str::to_owned).collect();
        (all.len() >= lines).then_some(all)
    })
}

#[test]
fn each_router_chooses_by_its_own_rules() {
    let routes = [
        ("host", json!({ "uri": "/*", "host": "a.example" })),
        ("long", json!({ "uri": "/a/b" })),
        ("port", json!({ "uri": "/p", "hosts": ["other.example", "a.example:81"] })),
        ("open", json!({ "uri": "/user/*" })),
        ("user", json!({ "uri": "/user/:id", "methods": ["GET"] })),
        ("rest", json!({ "uri": "/f/*rest" })),
    ];
    let rows = [
        // A host decides first, or is a condition of a path like any other.
        ("radixtree_host_uri", "a.example", "/a/b", "host - -"),
        ("radixtree_uri", "a.example", "/a/b", "long - -"),
        ("radixtree_uri_with_parameter", "a.example", "/a/b", "long - -"),
        ("radixtree_uri", "a.example:81", "/p", "port - -"),
        ("radixtree_uri", "a.example:82", "/p", "host - -"),
        ("radixtree_uri", "b.example", "/user/7", "open - -"),
        ("radixtree_uri_with_parameter", "b.example", "/user/7", "user 7 -"),
        ("radixtree_uri_with_parameter", "b.example", "/user/7/x", "open - -"),
        ("radixtree_host_uri", "b.example", "/f/x/y", "rest - x/y"),
        ("radixtree_uri_with_parameter", "b.example", "/f/x/y", "rest - x/y"),
        ("radixtree_uri_with_parameter", "b.example", "/none", "- - -"),
    ];
    for router in ["radixtree_host_uri", "radixtree_uri", "radixtree_uri_with_parameter"] {
        let (gateway, upstream) = start(router, json!({}), "secure");
        for (id, route) in &routes {
            put(&gateway, &upstream, id, route);
        }
        let own: Vec<_> = rows.iter().filter(|row| row.0 == router).collect();
        for (_, host, path, _) in &own {
            gateway.client().ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        }
        let mut want: Vec<_> = own.iter().map(|row| row.3).collect();
        let mut got = log(&gateway, own.len());
        // Workers write their own lines.
        want.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, want, "{router}");
    }
}

#[test]
fn a_service_gives_its_hosts_to_its_routes() {
    for router in ["radixtree_host_uri", "radixtree_uri", "radixtree_uri_with_parameter"] {
        let (gateway, upstream) = start(router, json!({}), "secure");
        let nodes = json!({ "type": "roundrobin", "nodes": { upstream.addr.to_string(): 1 } });
        gateway.put("services/1", &json!({ "hosts": ["*.a.example"], "upstream": nodes }));
        gateway.put("routes/inherits", &json!({ "uri": "/*", "service_id": "1" }));
        gateway.put("routes/own", &json!({ "uri": "/*", "service_id": "1", "host": "own.example" }));
        let status = |host: &str| {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            gateway.client().ask(request).status()
        };
        let row = [("x.a.example", 200), ("a.example", 404), ("own.example", 200), ("b.example", 404)];
        for (host, want) in row {
            assert_eq!(status(host), want, "{router} {host}");
        }
        gateway.put("services/1", &json!({ "hosts": ["b.example"], "upstream": nodes }));
        assert_eq!((status("x.a.example"), status("b.example")), (404, 200), "{router}");
        // One that is gone takes its hosts with it, and its routes answer 404 wherever they match.
        assert_eq!(gateway.admin("DELETE", "services/1?force=true", &Value::Null).0, 200);
        for host in ["x.a.example", "b.example", "own.example"] {
            assert_eq!(status(host), 404, "{router} {host}");
        }
    }
}

#[test]
fn a_missing_upstream_or_plugin_config_refuses() {
    let (gateway, upstream) = start("radixtree_uri", json!({}), "secure");
    let nodes = json!({ "type": "roundrobin", "nodes": { upstream.addr.to_string(): 1 } });
    gateway.put("upstreams/1", &nodes);
    gateway.put("plugin_configs/1", &json!({ "plugins": {} }));
    gateway.put("routes/up", &json!({ "uri": "/up", "upstream_id": "1" }));
    gateway.put("routes/conf", &json!({ "uri": "/conf", "plugin_config_id": "1", "upstream": nodes }));
    gateway.put("routes/none", &json!({ "uri": "/none", "plugins": {} }));
    assert_eq!([gateway.get("/up").status(), gateway.get("/conf").status()], [200, 200]);
    for path in ["upstreams/1", "plugin_configs/1"] {
        assert_eq!(gateway.admin("DELETE", &format!("{path}?force=true"), &Value::Null).0, 200);
    }
    for (path, status) in [("/up", 502), ("/conf", 503), ("/none", 503)] {
        assert_eq!(gateway.get(path).status(), status, "{path}");
    }
}

#[test]
fn an_encoded_slash_is_a_part_of_its_segment_where_that_is_asked_for() {
    for (setting, profile, statuses) in [
        // The way to the protected route through a second reading stays closed.
        (true, "secure", [200, 200, 401, 400, 400, 400]),
        (true, "apisix", [200, 200, 401, 401, 401, 200]),
        (false, "secure", [400, 400, 400, 400, 400, 400]),
        (false, "apisix", [404, 404, 401, 401, 401, 200]),
    ] {
        let (gateway, upstream) =
            start("radixtree_uri_with_parameter", json!({ "match_uri_encoded_slash": setting }), profile);
        put(&gateway, &upstream, "item", &json!({ "uri": "/item/:id/list" }));
        put(&gateway, &upstream, "exact", &json!({ "uri": "/exact%2Fone" }));
        put(&gateway, &upstream, "admin", &json!({ "uri": "/admin/*", "plugins": { "key-auth": {} } }));
        put(&gateway, &upstream, "open", &json!({ "uri": "/open/*" }));
        let paths = [
            "/item/a%2fb/list",
            "/exact%2fone",
            "/admin/x%2Fy",
            "/open/..%2Fadmin/x",
            "/open/%2e%2e/admin/a%2Fb",
            "/open/a%2Fb/../c",
        ];
        let got = paths.map(|path| gateway.get(path).status());
        assert_eq!(got, statuses, "{setting} {profile}");
        if setting {
            let seen = upstream.wait_requests(2);
            assert_eq!(seen[0].start, "GET /item/a%2fb/list HTTP/1.1");
            assert!(log(&gateway, 6).iter().any(|line| line == "item a%2Fb -"), "{:?}", log(&gateway, 6));
        }
    }
}
