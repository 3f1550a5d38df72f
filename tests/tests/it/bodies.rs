//! Bodies and what belongs to them: interim answers, trailers, framing, backpressure.

use e2e::{Gateway, Upstream, route_to, wait_for};
use serde_json::json;
use std::time::Duration;

#[test]
fn trailers_pass_both_ways() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: down\r\n\r\n",
    );
    let gateway = Gateway::before(&upstream);
    let answer = gateway.client().ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: up\r\nHost: evil\r\nX-Consumer-Username: root\r\nX_Consumer_Username: root\r\n\r\n",
    );
    assert_eq!((answer.text().as_str(), &answer.trailers[..]), ("abc", &[("X-Sum".into(), "down".into())][..]));
    let request = upstream.requests().pop().unwrap();
    assert_eq!((request.text().as_str(), &request.trailers[..]), ("abc", &[("X-Sum".into(), "up".into())][..]));
}

#[test]
fn early_hints_are_passed_on() {
    let upstream = Upstream::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = client.head().unwrap();
    assert_eq!((hints.status(), hints.get("link")), (103, Some("</a>; rel=preload")));
    assert_eq!(client.response().unwrap().text(), "ok");
    // HTTP/1.0 does not know them.
    let mut old = gateway.client();
    assert_eq!(old.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").status(), 200);
}

#[test]
fn a_client_that_expects_100_gets_it_before_its_body() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 100);
    client.send("abc");
    assert_eq!(client.response().unwrap().status(), 200);
    let request = upstream.requests().pop().unwrap();
    assert_eq!((request.text().as_str(), request.get("expect")), ("abc", None));
    // A refused one is never asked for its body.
    let bare = Gateway::start(json!({}));
    let mut client = bare.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 404);
}

#[test]
fn uploads_pass_whole() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let mut chunked = b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(7001) {
        chunked.extend_from_slice(format!("{:x};e=1\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(gateway.client().ask(&chunked).status(), 200);
    let mut plain = format!("PUT /l HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    plain.extend_from_slice(&body);
    assert_eq!(gateway.client().ask(&plain).status(), 200);
    for request in upstream.requests() {
        assert!(request.body == body, "{} differs: {} bytes", request.start, request.body.len());
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn an_answer_before_the_request_is_finished_is_passed_on() {
    let upstream = Upstream::start(|conn| {
        if conn.client.head().is_some() {
            conn.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
            conn.client.rest();
        }
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let answer = client.response().unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (401, "no"));
}

#[test]
fn head_204_and_304_have_no_body_and_keep_the_connection() {
    let upstream = Upstream::start(|conn| {
        while let Some(request) = conn.request() {
            let answer = match request.start.split(' ').nth(1).unwrap_or_default() {
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n",
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            };
            conn.send(answer);
        }
    });
    let gateway = Gateway::with_one_worker();
    gateway.put("routes/all", &route_to(upstream.addr));
    let mut client = gateway.client();
    client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status(), head.get("content-length")), (200, Some("5")));
    client.send("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status(), head.get("content-length"), head.get("transfer-encoding")), (204, None, None));
    client.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status(), head.get("etag"), head.get("transfer-encoding")), (304, Some("\"x\""), None));
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "hello");
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn answers_that_have_no_body_are_passed_on_without_framing() {
    for (desc, bytes) in [
        ("204 with a coding", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
        ("304 with a coding", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ] {
        let upstream = Upstream::answering(bytes);
        let gateway = Gateway::with_one_worker();
        gateway.put("routes/all", &route_to(upstream.addr));
        let mut client = gateway.client();
        for _ in 0..3 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = client.head().unwrap();
            assert_eq!(head.get("transfer-encoding"), None, "{desc}");
        }
    }
}

#[test]
fn an_answer_without_a_length_is_passed_on_until_the_end() {
    let upstream = Upstream::start(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\n\r\nhello");
        conn.send("world");
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((answer.is_complete, answer.text().as_str()), (true, "helloworld"));
    }
}

#[test]
fn an_old_client_gets_an_answer_of_unknown_length_until_the_end() {
    let upstream =
        Upstream::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n");
    let gateway = Gateway::before(&upstream);
    let answer = gateway.client().ask("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((answer.get("transfer-encoding"), answer.text().as_str()), (None, "hello"));
    assert_ne!(answer.get("connection").map(str::to_ascii_lowercase).as_deref(), Some("keep-alive"));
}

#[test]
fn a_slow_reader_does_not_fill_the_gateways_memory() {
    const SIZE: usize = 50 << 20;
    let upstream = Upstream::start(|conn| {
        while conn.request().is_some() {
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..SIZE >> 20 {
                if !conn.send(&piece) {
                    return;
                }
            }
        }
    });
    let gateway = Gateway::before(&upstream);
    let before = gateway.rss();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!(head.get("content-length"), Some(SIZE.to_string().as_str()));
    let (mut read, mut most) = (0, 0);
    while read < SIZE {
        let n = client.raw(1 << 20).len();
        assert!(n > 0, "broke off after {read} bytes");
        read += n;
        most = most.max(gateway.rss());
    }
    assert!(most < before + 16 * 1024, "{before} KiB before, {most} KiB at most");
}

#[test]
fn an_upload_waits_for_a_slow_upstream() {
    const SIZE: usize = 50 << 20;
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |conn| {
        conn.client.log = None;
        conn.client.head();
        let _ = wait.lock().unwrap().recv();
        let mut left = SIZE;
        while left > 0 {
            left -= conn.client.raw(left.min(1 << 20)).len();
        }
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    });
    let gateway = Gateway::before(&upstream);
    let before = gateway.rss();
    let mut client = gateway.client();
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"));
    let mut writer = e2e::Client::of(client.stream.try_clone().unwrap());
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = sent.clone();
    let thread = std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..SIZE >> 20 {
            if !writer.send(&piece) {
                return;
            }
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    wait_for("the client to be held back", || {
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(300));
        (now > 0 && now == sent.load(std::sync::atomic::Ordering::Relaxed)).then_some(())
    });
    let most = gateway.rss();
    go.send(()).unwrap();
    assert_eq!(client.response().unwrap().status(), 200);
    thread.join().unwrap();
    assert!(most < before + 16 * 1024, "{before} KiB before, {most} KiB at most");
}
