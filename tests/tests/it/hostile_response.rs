//! Answers that are malformed or ambiguous become 502, and nothing of them reaches anybody else.

use e2e::{Gateway, Upstream, wait_for};

/// A gateway whose upstream answers `/bad` with `bytes` and everything else with "fine". A connection that served
/// `/bad` goes on listening, so that a reuse would be seen.
fn behind(bytes: Vec<u8>, ends: bool) -> (Gateway, Upstream) {
    let upstream = Upstream::start(move |conn| {
        while let Some(request) = conn.request() {
            if request.start.contains("/bad") {
                conn.send(&bytes);
                if ends {
                    return;
                }
            } else {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Conn: {}\r\n\r\nfine", conn.index);
                conn.send(answer);
            }
        }
    });
    let gateway = Gateway::with_one_worker();
    gateway.put("routes/all", &e2e::route_to(upstream.addr));
    (gateway, upstream)
}

fn rows() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let ok = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}").into_bytes();
    vec![
        ("CL+TE", ok("Content-Length: 5\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")),
        ("two CL", ok("Content-Length: 5\r\nContent-Length: 6", "hello!")),
        ("two CL alike", ok("Content-Length: 5\r\nContent-Length: 5", "hello")),
        ("CL list", ok("Content-Length: 5, 5", "hello")),
        ("signed CL", ok("Content-Length: +5", "hello")),
        ("negative CL", ok("Content-Length: -5", "hello")),
        ("CL in words", ok("Content-Length: five", "hello")),
        ("overflowing CL", ok("Content-Length: 18446744073709551621", "hello")),
        ("gzip TE", ok("Transfer-Encoding: gzip", "hello")),
        ("gzip, chunked TE", ok("Transfer-Encoding: gzip, chunked", "0\r\n\r\n")),
        ("TE twice", ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
        ("TE in HTTP/1.0", text("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("obs-fold", ok("X: 1\r\n 2\r\nContent-Length: 5", "hello")),
        ("bare LF", text("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello")),
        ("bare LF in the fields", text("HTTP/1.1 200 OK\r\nX: 1\nContent-Length: 5\r\n\r\nhello")),
        ("bare CR", ok("X: 1\rY: 2\r\nContent-Length: 5", "hello")),
        ("garbage", text("what is this\r\n\r\n")),
        ("SSH", text("SSH-2.0-OpenSSH_9.9\r\n\r\n")),
        ("HTTP/0.9", text("<html>hello</html>\r\n\r\n")),
        ("HTTP/2.0", text("HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")),
        ("status of two digits", text("HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello")),
        ("status of four digits", text("HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello")),
        ("status 000", text("HTTP/1.1 000 OK\r\nContent-Length: 5\r\n\r\nhello")),
        ("status in words", text("HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nhello")),
        ("flood of 1xx", text(&"HTTP/1.1 102 Processing\r\n\r\n".repeat(100))),
        ("unasked 101", text("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")),
        ("space before the colon", ok("Content-Length : 5", "hello")),
        ("empty name", ok(": x\r\nContent-Length: 5", "hello")),
        ("NUL in a value", ok("X: a\0b\r\nContent-Length: 5", "hello")),
        ("control byte in a value", ok("X: a\x01b\r\nContent-Length: 5", "hello")),
        ("control byte in a name", ok("X\x01: a\r\nContent-Length: 5", "hello")),
        ("header too large", ok(&format!("X: {}", "a".repeat(80 << 10)), "")),
        ("endless header", format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(80 << 10)).into_bytes()),
        ("too many headers", ok(&(0..300).map(|i| format!("X-{i}: 1\r\n")).collect::<String>(), "")),
    ]
}

#[test]
fn malformed_heads_become_502_and_the_connection_is_not_used_again() {
    let mut wrong = Vec::new();
    let rows = rows();
    // A gateway for each row would be slow; a gateway for all serves rows one after the other through its own route.
    let gateway = Gateway::with_one_worker();
    for (desc, bytes) in rows {
        let upstream = Upstream::start(move |conn| {
            while let Some(request) = conn.request() {
                if request.start.contains("/bad") {
                    conn.send(&bytes);
                } else {
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
                }
            }
        });
        gateway.put("routes/all", &e2e::route_to(upstream.addr));
        let mut client = gateway.client();
        client.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut answer = client.response();
        while answer.as_ref().is_some_and(|a| a.status() < 200) {
            answer = client.response();
        }
        match answer {
            Some(answer) if answer.status() == 502 && !answer.text().contains("hello") => {}
            Some(answer) => wrong.push(format!("{desc}: {} {:?}", answer.start, answer.text())),
            None => wrong.push(format!("{desc}: closed without an answer")),
        }
        let other = gateway.get("/other");
        if (other.status(), other.text().as_str()) != (200, "fine") {
            wrong.push(format!("{desc}: another client got {} {:?}", other.start, other.text()));
        }
        if upstream.connections() != 2 {
            wrong.push(format!("{desc}: {} connections, the bad one was used again", upstream.connections()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_body_that_breaks_off_ends_the_clients_connection() {
    for (desc, bytes, ends) in [
        ("short by its length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", true),
        ("chunked without its end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true),
        ("cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello", true),
        ("bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", false),
        ("bad chunk end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n", false),
        ("bad trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX : 1\r\n\r\n", false),
    ] {
        let (gateway, _upstream) = behind(bytes.into(), ends);
        let mut client = gateway.client();
        client.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.response();
        assert!(
            answer.as_ref().is_none_or(|a| !a.is_complete || a.status() == 502),
            "{desc}: looks complete: {answer:?}"
        );
        client.rest();
        let other = gateway.get("/other");
        assert_eq!(other.text(), "fine", "{desc}");
        assert_eq!(other.get("x-conn"), Some("1"), "{desc}: the connection was used again");
    }
}

#[test]
fn stray_bytes_reach_nobody() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (desc, head) in [
        ("after a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        ("after chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("after 204", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("after 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let (gateway, _upstream) = behind(format!("{head}{evil}").into(), false);
        let answer = gateway.get("/bad");
        assert!(!answer.text().contains("evil"), "{desc}: {answer:?}");
        for _ in 0..3 {
            let other = gateway.get("/other");
            assert_eq!(other.text(), "fine", "{desc}");
            assert_ne!(other.get("x-conn"), Some("0"), "{desc}: the connection was used again");
        }
    }
}

#[test]
fn bytes_that_come_while_a_connection_is_idle_reach_nobody() {
    let (tell, told) = std::sync::mpsc::sync_channel::<()>(1);
    let told = std::sync::Mutex::new(told);
    let upstream = Upstream::start(move |conn| {
        while conn.request().is_some() {
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Conn: {}\r\n\r\nfine", conn.index));
            if conn.index == 0 {
                let _ = told.lock().unwrap().recv();
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            }
        }
    });
    let gateway = Gateway::with_one_worker();
    gateway.put("routes/all", &e2e::route_to(upstream.addr));
    assert_eq!(gateway.get("/").text(), "fine");
    tell.send(()).unwrap();
    // A request sent while they are under way could not tell them from its answer: they have to have arrived.
    wait_for("the stray bytes to arrive, or the connection to be given up", || {
        is_spoilt(upstream.addr.port()).then_some(())
    });
    for _ in 0..5 {
        let answer = gateway.get("/");
        assert_eq!(answer.text(), "fine");
        assert_ne!(answer.get("x-conn"), Some("0"), "the spoilt connection was used");
    }
}

/// Whether no established connection to `port` has an empty receive queue (`/proc/net/tcp`).
fn is_spoilt(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    !table.lines().skip(1).any(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns[2].ends_with(&format!(":{port:04X}")) && columns[3] == "01" && columns[4].ends_with(":00000000")
    })
}

#[test]
fn head_answers_with_a_body_do_not_spoil_the_next() {
    let (gateway, _upstream) = behind(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_vec(), false);
    let mut client = gateway.client();
    client.send("HEAD /bad HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status(), head.get("content-length")), (200, Some("4")));
    let answer = client.ask("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.text(), "fine");
}
