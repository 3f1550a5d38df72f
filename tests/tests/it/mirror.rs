//! Copies of requests, sent beside them.

use e2e::{Gateway, Upstream, free_port};
use serde_json::{Value, json};

fn mirrored(upstream: &Upstream, config: &Value) -> Gateway {
    let gateway = Gateway::start(json!({ "portcullis": { "workers": 1 } }));
    let nodes = json!({ upstream.addr.to_string(): 1 });
    gateway.put(
        "routes/1",
        &json!({ "uri": "/*", "plugins": { "proxy-mirror": config }, "upstream": { "nodes": nodes } }),
    );
    gateway
}

#[test]
fn a_copy_has_all_that_the_request_has() {
    let (upstream, mirror) = (Upstream::hello(), Upstream::hello());
    let config = json!({ "host": format!("http://{}", mirror.addr), "path": "/copies", "path_concat_mode": "prefix" });
    let gateway = mirrored(&upstream, &config);
    let big = "x".repeat(100_000);
    let rows = [
        (
            "POST /a%20b?c=d HTTP/1.1\r\nHost: h.example\r\nX-One: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
            "abc",
        ),
        (
            &*format!(
                "POST /a%20b?c=d HTTP/1.1\r\nHost: h.example\r\nX-One: 1\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n{big}"
            ),
            &*big,
        ),
        (
            "POST /a%20b?c=d HTTP/1.1\r\nHost: h.example\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
    ];
    for (n, (request, body)) in rows.into_iter().enumerate() {
        assert_eq!(gateway.client().ask(request).status(), 200);
        let copy = mirror.wait_requests(n + 1).pop().unwrap();
        assert_eq!(copy.start, "POST /copies/a%20b?c=d HTTP/1.1");
        assert_eq!((copy.get("host"), copy.get("x-one")), (Some("h.example"), Some("1")));
        assert_eq!(copy.text(), body);
        let original = upstream.requests().pop().unwrap();
        assert_eq!(original.start, "POST /a%20b?c=d HTTP/1.1");
        assert_eq!(original.text(), body);
    }
}

#[test]
fn nobody_waits_for_copies() {
    let upstream = Upstream::hello();
    // It accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = free_port();
    for host in [silent.local_addr().unwrap().to_string(), format!("127.0.0.1:{dead}")] {
        let gateway = mirrored(&upstream, &json!({ "host": format!("http://{host}") }));
        let mut client = gateway.client();
        for _ in 0..50 {
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 200);
        }
    }
}

#[test]
fn what_is_refused_is_not_copied() {
    let (upstream, mirror) = (Upstream::hello(), Upstream::hello());
    let gateway = Gateway::start(json!({ "portcullis": { "workers": 1 } }));
    let plugins = json!({ "proxy-mirror": { "host": format!("http://{}", mirror.addr) }, "key-auth": {} });
    let nodes = json!({ upstream.addr.to_string(): 1 });
    gateway.put("consumers", &json!({ "username": "a", "plugins": { "key-auth": { "key": "k" } } }));
    gateway.put("routes/1", &json!({ "uri": "/*", "plugins": plugins, "upstream": { "nodes": nodes } }));
    assert_eq!(gateway.get("/refused").status(), 401);
    let request = "GET /let-in HTTP/1.1\r\nHost: a\r\napikey: k\r\nConnection: close\r\n\r\n";
    assert_eq!(gateway.client().ask(request).status(), 200);
    let copies: Vec<_> = mirror.wait_requests(1).into_iter().map(|copy| copy.start).collect();
    assert_eq!(copies, ["GET /let-in HTTP/1.1"]);
}
