//! Everything malformed or ambiguous is refused with its status, the connection is closed, and nothing reaches the upstream.

use crate::fixture::{Gateway, Upstream};

fn with(head: &str) -> Vec<u8> {
    head.replace('\n', "\r\n").into_bytes()
}

#[test]
fn malformed_requests_are_refused_and_go_nowhere() {
    let gateway = Gateway::start();
    let upstream = Upstream::ok();
    gateway.route_to(upstream.addr);
    let long_line = format!("GET /{} HTTP/1.1\nHost: a\n\n", "a".repeat(9000));
    let many = format!("GET / HTTP/1.1\nHost: a\n{}\n", (0..101).map(|i| format!("X-{i}: 1\n")).collect::<String>());
    let large = format!("GET / HTTP/1.1\nHost: a\nX: {}\n\n", "a".repeat(34_000));
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("two hosts", with("GET / HTTP/1.1\nHost: a\nHost: b\n\n"), 400),
        ("two equal hosts", with("GET / HTTP/1.1\nHost: a\nHost: a\n\n"), 400),
        ("no host", with("GET / HTTP/1.1\n\n"), 400),
        ("host with userinfo", with("GET / HTTP/1.1\nHost: u@a\n\n"), 400),
        ("host with a space", with("GET / HTTP/1.1\nHost: a b\n\n"), 400),
        ("host against target", with("GET http://b/ HTTP/1.1\nHost: a\n\n"), 400),
        (
            "length and coding",
            with("POST / HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n"),
            400,
        ),
        (
            "coding and length",
            with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nContent-Length: 5\n\n0\n\n"),
            400,
        ),
        ("two lengths", with("POST / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 2\n\na"), 400),
        ("two equal lengths", with("POST / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 1\n\na"), 400),
        ("length list", with("POST / HTTP/1.1\nHost: a\nContent-Length: 1, 1\n\na"), 400),
        ("signed length", with("POST / HTTP/1.1\nHost: a\nContent-Length: +1\n\na"), 400),
        ("negative length", with("POST / HTTP/1.1\nHost: a\nContent-Length: -1\n\na"), 400),
        ("padded length", with("POST / HTTP/1.1\nHost: a\nContent-Length: 01\n\na"), 400),
        ("hexadecimal length", with("POST / HTTP/1.1\nHost: a\nContent-Length: 0x1\n\na"), 400),
        ("empty length", with("POST / HTTP/1.1\nHost: a\nContent-Length: \n\na"), 400),
        ("overflowing length", with("POST / HTTP/1.1\nHost: a\nContent-Length: 18446744073709551617\n\na"), 400),
        ("other coding", with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip\n\n0\n\n"), 501),
        ("coding list", with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n0\n\n"), 501),
        ("almost chunked", with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: xchunked\n\n0\n\n"), 501),
        (
            "chunked twice",
            with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n"),
            400,
        ),
        ("coding in 1.0", with("POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n"), 400),
        ("folded line", with("GET / HTTP/1.1\nHost: a\nX: 1\n 2\n\n"), 400),
        ("bare lf", b"GET / HTTP/1.1\nHost: a\n\n".to_vec(), 400),
        ("bare lf in a field", b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n".to_vec(), 400),
        ("bare cr", b"GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n".to_vec(), 400),
        ("nul in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".to_vec(), 400),
        ("control byte in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n".to_vec(), 400),
        ("control byte in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\x01: a\r\n\r\n".to_vec(), 400),
        ("space before the colon", with("GET / HTTP/1.1\nHost: a\nX : 1\n\n"), 400),
        ("tab before the colon", with("GET / HTTP/1.1\nHost: a\nX\t: 1\n\n"), 400),
        ("no name", with("GET / HTTP/1.1\nHost: a\n: 1\n\n"), 400),
        ("no colon", with("GET / HTTP/1.1\nHost: a\nX\n\n"), 400),
        ("space first", with("GET / HTTP/1.1\n Host: a\n\n"), 400),
        ("connect", with("CONNECT a:80 HTTP/1.1\nHost: a\n\n"), 501),
        ("fragment", with("GET /#x HTTP/1.1\nHost: a\n\n"), 400),
        ("no path", with("GET a HTTP/1.1\nHost: a\n\n"), 400),
        ("star without options", with("GET * HTTP/1.1\nHost: a\n\n"), 400),
        ("two spaces", with("GET  / HTTP/1.1\nHost: a\n\n"), 400),
        ("tab in the line", with("GET\t/ HTTP/1.1\nHost: a\n\n"), 400),
        ("no version", with("GET /\nHost: a\n\n"), 400),
        ("version 2.0", with("GET / HTTP/2.0\nHost: a\n\n"), 505),
        ("version 1.2", with("GET / HTTP/1.2\nHost: a\n\n"), 505),
        ("lower-case version", with("GET / http/1.1\nHost: a\n\n"), 400),
        ("bad method", with("G@T / HTTP/1.1\nHost: a\n\n"), 400),
        ("trace with a body", with("TRACE / HTTP/1.1\nHost: a\nContent-Length: 1\n\na"), 400),
        ("expectation", with("POST / HTTP/1.1\nHost: a\nExpect: something\nContent-Length: 1\n\na"), 417),
        ("long line", with(&long_line), 414),
        ("many fields", with(&many), 431),
        ("large fields", with(&large), 431),
        ("encoded nul", with("GET /%00 HTTP/1.1\nHost: a\nConnection: close\n\n"), 400),
        ("broken escape", with("GET /%zz HTTP/1.1\nHost: a\nConnection: close\n\n"), 400),
        ("above the root", with("GET /../x HTTP/1.1\nHost: a\nConnection: close\n\n"), 400),
        ("raw bytes in the target", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(), 400),
        ("host with a broken escape", with("GET / HTTP/1.1\nHost: a%zz\n\n"), 400),
        ("encoded slash", with("GET /a%2fb HTTP/1.1\nHost: a\nConnection: close\n\n"), 400),
        ("encoded dots", with("GET /a/%2e%2e/b HTTP/1.1\nHost: a\nConnection: close\n\n"), 400),
        ("parameters before dots", with("GET /a/..;/b HTTP/1.1\nHost: a\nConnection: close\n\n"), 400),
        (
            "chunk size in hexadecimal notation",
            with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n0x1\na\n0\n\n"),
            400,
        ),
        ("signed chunk size", with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n+1\na\n0\n\n"), 400),
        (
            "space behind the chunk size",
            with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1 \na\n0\n\n"),
            400,
        ),
        (
            "overflowing chunk size",
            with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\nffffffffffffffff1\na\n0\n\n"),
            400,
        ),
        (
            "chunk longer than its size",
            with("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\nabc\n0\n\n"),
            400,
        ),
    ];
    for (desc, request, status) in rows {
        let answer = gateway.raw(&request);
        assert_eq!(answer.status(), status, "{desc}: {}", answer.text());
        assert!(answer.is_closed, "{desc}: the connection stays open");
    }
    let got = upstream.requests();
    assert!(got.iter().all(|request| !request.contains("\r\n0\r\n\r\n")), "something went through: {got:?}");
    assert!(got.len() <= 1, "something went through: {got:?}");
}

#[test]
fn a_request_behind_a_refused_one_is_not_read() {
    let gateway = Gateway::start();
    let upstream = Upstream::ok();
    gateway.route_to(upstream.addr);
    let smuggled = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = gateway.raw(smuggled.as_bytes());
    assert_eq!(answer.text().matches("HTTP/1.1 ").count(), 1, "{}", answer.text());
    assert!(upstream.requests().is_empty());
}
