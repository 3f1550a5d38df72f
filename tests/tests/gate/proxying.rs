use crate::fixture::{Gateway, Upstream, read_all};
use serde_json::json;
use std::{io::Write, net::TcpStream};

#[test]
fn a_protected_route_lets_only_its_consumers_through() {
    let gateway = Gateway::start();
    let upstream = Upstream::ok();
    gateway.put("/consumers", &json!({"username": "alice", "plugins": {"key-auth": {"key": "alices-key"}}}));
    let nodes = json!({ upstream.addr.to_string(): 1 });
    gateway.put(
        "/routes/1",
        &json!({"uri": "/*", "plugins": {"key-auth": {"hide_credentials": true},
            "limit-count": {"count": 2, "time_window": 60, "rejected_code": 429, "key": "consumer_name"}},
            "upstream": {"nodes": nodes}}),
    );
    let missing = gateway.get("/", "");
    assert_eq!((missing.status(), missing.body()), (401, "{\"message\":\"Missing API key in request\"}\n".to_owned()));
    assert_eq!(gateway.get("/", "apikey: wrong\r\n").status(), 401);
    assert!(upstream.requests().is_empty());
    for expected in [200, 200, 429] {
        assert_eq!(gateway.get("/", "apikey: alices-key\r\n").status(), expected);
    }
    let got = upstream.requests();
    assert_eq!(got.len(), 2);
    assert!(got[0].contains("X-Consumer-Username: alice") && !got[0].contains("alices-key"), "{}", got[0]);
}

#[test]
fn fields_are_passed_on_in_order_and_case_without_those_of_the_connection() {
    let gateway = Gateway::start();
    let upstream = Upstream::start(|_| {
        b"HTTP/1.1 201 Made\r\nX-First: 1\r\nx-second: 2\r\nConnection: X-Drop\r\nX-Drop: 1\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    gateway.route_to(upstream.addr);
    let answer = gateway.get(
        "/p?q=1",
        "X-One: 1\r\nx-two: 2\r\nX-Hop: 3\r\nConnection: X-Hop\r\nX_Consumer_Username: root\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 9.9.9.9\r\n",
    );
    let text = answer.text();
    assert!(text.starts_with("HTTP/1.1 201 Made\r\nX-First: 1\r\nx-second: 2\r\n"), "{text}");
    assert!(!text.contains("X-Drop"), "{text}");
    let got = upstream.requests().remove(0);
    assert!(got.starts_with("GET /p?q=1 HTTP/1.1\r\nHost: test\r\nX-One: 1\r\nx-two: 2\r\n"), "{got}");
    assert!(!got.contains("6.6.6.6") && !got.contains("X-Hop") && !got.to_lowercase().contains("consumer"), "{got}");
    assert!(
        got.contains("X-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n") && got.contains("X-Real-IP: 127.0.0.1\r\n"),
        "{got}"
    );
    assert!(got.contains("X-Forwarded-Proto: http\r\n") && got.contains("X-Forwarded-Host: test\r\n"), "{got}");
}

#[test]
fn connections_are_kept_and_pipelined_requests_answered_in_order() {
    let gateway = Gateway::start();
    let upstream = Upstream::start(|request| {
        let path = String::from_utf8_lossy(request).split(' ').nth(1).unwrap_or_default().to_owned();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).into_bytes()
    });
    gateway.route_to(upstream.addr);
    let answer = gateway.raw(
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let bodies: Vec<_> = ["/1", "/2", "/3"].iter().map(|p| answer.text().find(&format!("\r\n\r\n{p}"))).collect();
    assert!(bodies.iter().all(Option::is_some) && bodies.is_sorted(), "{}", answer.text());
}

#[test]
fn bodies_interim_answers_and_trailers_pass_both_ways() {
    let gateway = Gateway::start();
    let upstream = Upstream::start(|_| {
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n".to_vec()
    });
    gateway.route_to(upstream.addr);
    let answer = gateway.raw(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\nX_Consumer_Username: root\r\n\r\n",
    );
    let text = answer.text();
    assert!(text.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"), "{text}");
    assert!(upstream.requests()[0].ends_with("5\r\nhello\r\n0\r\n\r\n"), "{:?}", upstream.requests());
}

#[test]
fn a_client_that_waits_for_100_gets_it() {
    let gateway = Gateway::start();
    let upstream = Upstream::ok();
    gateway.route_to(upstream.addr);
    let mut stream = TcpStream::connect(gateway.proxy).unwrap();
    stream
        .write_all(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    let interim = read_all(&mut stream);
    assert_eq!(interim.text(), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    assert_eq!(read_all(&mut stream).status(), 200);
}

#[test]
fn head_204_and_304_have_no_body() {
    let gateway = Gateway::start();
    let upstream = Upstream::start(|request| match String::from_utf8_lossy(request).split(' ').nth(1) {
        Some("/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        Some("/304") => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec(),
    });
    gateway.route_to(upstream.addr);
    let head = gateway.raw(b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((head.field("content-length"), head.body()), (Some("5".to_owned()), String::new()));
    for (path, status) in [("/204", 204), ("/304", 304)] {
        let answer = gateway.get(path, "");
        assert_eq!((answer.status(), answer.body()), (status, String::new()), "{}", answer.text());
        assert!(answer.field("transfer-encoding").is_none());
    }
}

#[test]
fn dead_and_silent_upstreams_give_502_and_504_and_another_node_is_tried() {
    let gateway = Gateway::start();
    let dead = crate::fixture::free_port();
    gateway.put("/routes/1", &json!({"uri": "/*", "upstream": {"nodes": {format!("127.0.0.1:{dead}"): 1}}}));
    assert_eq!(gateway.get("/", "").status(), 502);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nodes = json!({ silent.local_addr().unwrap().to_string(): 1 });
    gateway.put(
        "/routes/1",
        &json!({"uri": "/*", "upstream": {"nodes": nodes}, "timeout": {"connect": 0.2, "send": 0.2, "read": 0.2}}),
    );
    assert_eq!(gateway.get("/", "").status(), 504);
    let good = Upstream::ok();
    let nodes = json!({ format!("127.0.0.1:{dead}"): 1, good.addr.to_string(): 1 });
    gateway.put("/routes/1", &json!({"uri": "/*", "upstream": {"nodes": nodes}}));
    for _ in 0..6 {
        assert_eq!(gateway.get("/", "").status(), 200);
    }
}

#[test]
fn upgrades_pass_only_where_the_route_allows_them() {
    let gateway = Gateway::start();
    let upstream = Upstream::start(|request| {
        if String::from_utf8_lossy(request).contains("Upgrade: websocket") {
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello".to_vec()
        } else {
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
        }
    });
    let nodes = json!({ upstream.addr.to_string(): 1 });
    for (allowed, status) in [(false, 200), (true, 101)] {
        gateway.put("/routes/1", &json!({"uri": "/*", "enable_websocket": allowed, "upstream": {"nodes": nodes}}));
        let answer = gateway.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(answer.status(), status, "{}", answer.text());
        assert_eq!(answer.text().ends_with("hello"), allowed);
    }
}

#[test]
fn a_large_body_reaches_a_client_that_reads_late() {
    let gateway = Gateway::start();
    let upstream = Upstream::start(|_| {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n".to_vec();
        answer.resize(answer.len() + 20_000_000, b'x');
        answer
    });
    gateway.route_to(upstream.addr);
    let mut stream = TcpStream::connect(gateway.proxy).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    crate::fixture::wait_for("the upstream's request", || (!upstream.requests().is_empty()).then_some(()));
    let rss = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert!(rss() < 100_000, "the body is buffered: {} KiB", rss());
    let answer = read_all(&mut stream);
    assert!(answer.body().len() == 20_000_000, "{}", answer.body().len());
}
