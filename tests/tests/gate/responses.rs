//! What an upstream sends wrong gives 502, its connection is not used again, and nothing of it reaches another client.

use crate::fixture::{Gateway, Upstream};

#[test]
fn malformed_answers_become_502() {
    let gateway = Gateway::start();
    let rows: &[(&str, &str)] = &[
        ("length and coding", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
        ("bad length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc"),
        ("other coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc"),
        ("folded line", "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"),
        ("bare lf", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        ("space before the colon", "HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 0\r\n\r\n"),
        ("nul", "HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 0\r\n\r\n"),
        ("garbage", "SSH-2.0-OpenSSH\r\n\r\n"),
        ("bad status", "HTTP/1.1 99 No\r\nContent-Length: 0\r\n\r\n"),
        ("unasked upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    ];
    for (desc, bytes) in rows {
        let bytes = bytes.as_bytes().to_vec();
        let upstream = Upstream::start(move |_| bytes.clone());
        gateway.route_to(upstream.addr);
        let answer = gateway.get("/", "");
        assert_eq!(answer.status(), 502, "{desc}: {}", answer.text());
        assert!(!answer.text().contains("Content-Length: 2\r\nTransfer"), "{desc}");
    }
    let flood = Upstream::start(|_| b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50));
    gateway.route_to(flood.addr);
    assert!(gateway.get("/", "").text().contains("HTTP/1.1 502"));
}

#[test]
fn a_broken_off_answer_does_not_look_complete() {
    let gateway = Gateway::start();
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n",
    ] {
        let upstream = Upstream::start(move |_| bytes.as_bytes().to_vec());
        gateway.route_to(upstream.addr);
        let answer = gateway.get("/", "");
        assert!(answer.is_closed && !answer.text().ends_with("0\r\n\r\n"), "{}", answer.text());
    }
}

#[test]
fn bytes_behind_an_answer_never_reach_the_next_client() {
    let gateway = Gateway::start();
    let stray = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil\n";
    let upstream = Upstream::start(move |_| stray.as_bytes().to_vec());
    gateway.route_to(upstream.addr);
    for _ in 0..30 {
        let answer = gateway.get("/", "");
        assert!(answer.text().ends_with("ok\n") && !answer.text().contains("evil"), "{}", answer.text());
    }
}
