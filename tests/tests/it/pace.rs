//! Clients that take their time: as long as they may, and no longer.

use e2e::{
    Gateway, PATIENCE, Upstream,
    http2::{DATA, End, POST, RawConnection, frame, headers},
    route_to,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::TcpStream,
    thread::{JoinHandle, sleep, spawn},
    time::{Duration, Instant},
};

/// The minimum rate is asked for after so long.
const GRACE: Duration = Duration::from_secs(5);

fn start(limits: &Value, upstream: &Upstream) -> Gateway {
    let gateway = Gateway::start(json!({ "portcullis": { "limits": limits } }));
    gateway.put("routes/all", &route_to(upstream.addr));
    gateway
}

/// Sends pieces, ten a second, until the peer takes no more or all are sent; says how many went out.
fn trickle(mut stream: TcpStream, piece: Vec<u8>, pieces: usize) -> JoinHandle<usize> {
    spawn(move || {
        for sent in 0..pieces {
            sleep(Duration::from_millis(100));
            if stream.write_all(&piece).is_err() {
                return sent;
            }
        }
        pieces
    })
}

/// A client, what it sends first, and what it sends then, ten times a second.
struct Row {
    desc: &'static str,
    begin: String,
    piece: &'static str,
    pieces: usize,
    end: &'static str,
    /// Whether it is fast enough.
    is_served: bool,
}

/// All rows at once; each takes as long as the grace, and a little.
fn check(gateway: &Gateway, rows: Vec<Row>) {
    let running: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let mut client = gateway.client();
            spawn(move || {
                let Row { desc, begin, piece, pieces, end, is_served } = row;
                client.send(begin);
                let begun = Instant::now();
                let writer = trickle(client.stream.try_clone().unwrap(), piece.into(), pieces);
                if is_served {
                    assert_eq!(writer.join().unwrap(), pieces, "{desc}: cut");
                    client.send(end);
                    assert_eq!(client.response().map(|answer| answer.status()), Some(200), "{desc}");
                    assert!(begun.elapsed() > GRACE, "{desc}: too short to say anything");
                } else {
                    // The answer may be lost if bytes crossed it.
                    let status = client.response().map(|answer| answer.status());
                    assert!(matches!(status, Some(408) | None), "{desc}: {status:?}");
                    assert!(begun.elapsed() >= GRACE, "{desc}: cut after {:?}", begun.elapsed());
                    assert!(client.is_closed_within(PATIENCE), "{desc}");
                    assert!(writer.join().unwrap() < pieces, "{desc}: never cut");
                }
            })
        })
        .collect();
    for row in running {
        row.join().unwrap();
    }
}

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

#[test]
fn who_is_below_the_minimum_rate_is_cut() {
    let upstream = Upstream::hello();
    let gateway = start(&json!({ "min_rate": 200, "head_timeout": "30s" }), &upstream);
    let row = |desc, begin: &str, piece, pieces, end, is_served| Row {
        desc,
        begin: begin.to_owned(),
        piece,
        pieces,
        end,
        is_served,
    };
    let ten_thousand = format!("{HEAD}Content-Length: 10000\r\n\r\n");
    let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    let of_65 = format!("{HEAD}Content-Length: 3900\r\n\r\n");
    let sixty = "x: 3456789012345678901234567890123456789012345678901234567\r\n";
    check(
        &gateway,
        vec![
            row("a head, too slow", "GET / HTTP/1.1\r\nHost: a\r\nx: ", "x", 200, "", false),
            row("a head, fast enough", "GET / HTTP/1.1\r\nHost: a\r\n", sixty, 65, "\r\n", true),
            row("a body, too slow", &ten_thousand, "x", 200, "", false),
            row("a body, fast enough", &of_65, sixty, 65, "", true),
            row("chunks, too slow", &chunked, "1\r\nx\r\n", 200, "", false),
            row(
                "chunks, fast enough",
                &chunked,
                "32\r\n01234567890123456789012345678901234567890123456789\r\n",
                65,
                "0\r\n\r\n",
                true,
            ),
        ],
    );
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn without_a_minimum_rate_a_client_may_trickle() {
    let upstream = Upstream::hello();
    let gateway = start(&json!({ "min_rate": 0, "head_timeout": "30s" }), &upstream);
    let row =
        |desc, begin: &str, end| Row { desc, begin: begin.to_owned(), piece: "x", pieces: 65, end, is_served: true };
    check(
        &gateway,
        vec![
            row("a head", "GET / HTTP/1.1\r\nHost: a\r\nx: ", "\r\n\r\n"),
            row("a body", &format!("{HEAD}Content-Length: 65\r\n\r\n"), ""),
        ],
    );
}

#[test]
fn on_http_2_only_the_stream_is_cut() {
    let upstream = Upstream::hello();
    let gateway = start(&json!({ "min_rate": 200 }), &upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    client.send(headers(1, POST, 0));
    let begun = Instant::now();
    let writer = trickle(client.stream.try_clone().unwrap(), frame(DATA, 0, 1, b"x"), 60);
    assert_eq!(client.end_of(1), End::Answered(408));
    assert!(begun.elapsed() >= GRACE);
    writer.join().unwrap();
    client.send([headers(3, POST, 0), frame(DATA, 1, 3, b"x")].concat());
    assert_eq!(client.end_of(3), End::Answered(200));
}

#[test]
fn a_body_has_a_time_in_all() {
    let upstream = Upstream::hello();
    let gateway = start(&json!({ "body_timeout": "2s", "min_rate": 0 }), &upstream);
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut client = gateway.client();
        client.send(format!("{HEAD}{framing}\r\n\r\n"));
        let begun = Instant::now();
        let writer = trickle(client.stream.try_clone().unwrap(), b"5\r\nhello\r\n".to_vec(), 200);
        let status = client.response().map(|answer| answer.status());
        assert!(matches!(status, Some(408) | None), "{framing}: {status:?}");
        assert!(begun.elapsed() >= Duration::from_secs(2), "{framing}: after {:?}", begun.elapsed());
        assert!(client.is_closed_within(PATIENCE), "{framing}");
        assert!(writer.join().unwrap() < 200, "{framing}: never cut");
    }
    let mut client = RawConnection::begin(gateway.proxy);
    client.send(headers(1, POST, 0));
    let writer = trickle(client.stream.try_clone().unwrap(), frame(DATA, 0, 1, b"x"), 30);
    assert_eq!(client.end_of(1), End::Answered(408));
    writer.join().unwrap();
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_head_has_a_time_in_all() {
    let upstream = Upstream::hello();
    let gateway = start(&json!({ "head_timeout": "2s" }), &upstream);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    let begun = Instant::now();
    let fields = "x: 3456789012345678901234567890123456789012345678901234567\r\n".repeat(2);
    let writer = trickle(client.stream.try_clone().unwrap(), fields.into_bytes(), 45);
    let status = client.response().map(|answer| answer.status());
    assert!(matches!(status, Some(408) | None), "{status:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2), "after {:?}", begun.elapsed());
    assert!(client.is_closed_within(PATIENCE));
    assert!(writer.join().unwrap() < 45, "never cut");
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn an_upstream_that_takes_its_time_is_not_the_clients_fault() {
    // More than all buffers on the way hold, so that the client has to wait while the upstream does.
    const BODY: usize = 24 << 20;
    let upstream = Upstream::start(|conn| {
        let mut head = conn.client.head().unwrap();
        sleep(GRACE + Duration::from_secs(5));
        conn.client.body(&mut head, false);
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Got: {}\r\n\r\n", head.body.len()));
    });
    // At this rate, what fits into the buffers would be too little for the time that the upstream takes.
    let gateway = start(&json!({ "min_rate": 4 << 20, "body_timeout": "60s" }), &upstream);
    let mut client = gateway.client();
    client.send(format!("{HEAD}Content-Length: {BODY}\r\n\r\n"));
    client.send(vec![b'x'; BODY]);
    let answer = client.response().expect("an answer");
    assert_eq!((answer.status(), answer.get("x-got")), (200, Some(BODY.to_string().as_str())));
}
