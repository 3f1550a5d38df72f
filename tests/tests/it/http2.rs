//! HTTP/2 by prior knowledge, with an honest client.

use bytes::Bytes;
use e2e::{
    Gateway, Upstream,
    http2::{self, Answer, H2Client, HEADERS, RST_STREAM, RawConnection, SETTINGS, answer, request},
    route_to, wait_for,
};
use http::{HeaderMap, HeaderValue, Request};
use serde_json::json;
use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    time::Duration,
};

async fn ask(client: &H2Client, method: &str, path: &str) -> Answer {
    client.ask(request(method, path)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_becomes_http_1_and_its_answer_http_2() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 3\r\nX-Kept: 1\r\n\r\nhello",
    );
    let gateway = Gateway::before(&upstream);
    let client = H2Client::to(gateway.proxy).await;
    let mut request = request("GET", "/p/a?q=1");
    request.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
    request.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
    request.headers_mut().append("x-consumer-username", HeaderValue::from_static("root"));
    let answer = client.ask(request).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]));
    assert_eq!((answer.get("content-length"), answer.get("x-kept")), (Some("5"), Some("1")));
    for hop in ["connection", "keep-alive", "x-hop", "transfer-encoding"] {
        assert_eq!(answer.get(hop), None, "{hop}");
    }
    assert!(answer.get("date").is_some() && answer.get("server").is_some());
    let seen = upstream.requests().pop().unwrap();
    assert_eq!(seen.start, "GET /p/a?q=1 HTTP/1.1");
    // What HTTP/2 says in pseudo fields and crumbs is said in HTTP/1's words (RFC 9113, sections 8.2.3 and 8.3.1).
    assert_eq!((seen.all("host"), seen.all("cookie")), (vec!["a.example"], vec!["a=1; b=2"]));
    assert_eq!(seen.get("x-consumer-username"), None);
    assert!(seen.fields.iter().all(|(name, _)| !name.starts_with(':')));
    wait_for("the access log's line", || gateway.file("access.log").contains("HTTP/2.0\" 200").then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_and_trailers_pass_both_ways() {
    let upstream = Upstream::start(|conn| {
        while let Some(request) = conn.request() {
            let sum: usize = request.body.iter().map(|byte| usize::from(*byte)).sum();
            let trailer = request.trailers.first().map(|(_, value)| value.clone()).unwrap_or_default();
            let part = "x".repeat(1000);
            let body = format!("{:x}\r\n{part}\r\n", part.len()).repeat(200);
            conn.send(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\nX-Sum: {sum}\r\nX-Length: {}\r\n\
                 X-Got: {trailer}\r\n\r\n{body}0\r\nX-End: over\r\nTransfer-Encoding: x\r\n\r\n",
                request.body.len()
            ));
        }
    });
    let gateway = Gateway::before(&upstream);
    let client = H2Client::to(gateway.proxy).await;
    for (desc, length) in [("framed by its end", None), ("of a declared length", Some("300000"))] {
        let mut request = request("POST", "/upload");
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        if let Some(length) = length {
            request.headers_mut().insert("content-length", HeaderValue::from_static(length));
        }
        let (response, mut body) = client.begin(request).await.unwrap();
        let answer = tokio::spawn(answer(response));
        for _ in 0..30 {
            send(&mut body, &[7; 10_000]).await;
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("abc"));
        body.send_trailers(trailers).unwrap();
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status, 200, "{desc}");
        assert_eq!((answer.get("x-length"), answer.get("x-sum")), (Some("300000"), Some("2100000")), "{desc}");
        assert_eq!(answer.body, vec![b'x'; 200_000], "{desc}");
        let trailers = answer.trailers.as_ref().expect(desc);
        assert_eq!(trailers.get("x-end").unwrap(), "over", "{desc}");
        assert_eq!(trailers.len(), 1, "{desc}: {trailers:?}");
        if length.is_none() {
            // Only a chunked body has a place for them.
            assert_eq!(answer.get("x-got"), Some("abc"));
        }
    }
}

/// Sends all of it, as far as the window lets.
async fn send(body: &mut h2::SendStream<Bytes>, bytes: &[u8]) {
    let mut left = bytes;
    while !left.is_empty() {
        body.reserve_capacity(left.len());
        let n = std::future::poll_fn(|cx| body.poll_capacity(cx)).await.expect("an open stream").unwrap();
        let (now, later) = left.split_at(n.min(left.len()));
        body.send_data(Bytes::copy_from_slice(now), false).unwrap();
        left = later;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_a_body_have_none() {
    let upstream = Upstream::start(|conn| {
        while let Some(request) = conn.request() {
            let answer = match request.start.split(' ').nth(1).unwrap() {
                "/204" => "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n",
                "/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n",
            };
            conn.send(answer);
        }
    });
    let gateway = Gateway::before(&upstream);
    let client = H2Client::to(gateway.proxy).await;
    for (method, path, status, length) in [
        ("HEAD", "/head", 200, Some("42")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("77")),
        ("GET", "/empty", 200, Some("0")),
    ] {
        let answer = ask(&client, method, path).await;
        assert_eq!((answer.status, answer.get("content-length")), (status, length), "{path}");
        assert!(answer.body.is_empty(), "{path}");
    }
    assert_eq!(upstream.connections(), 1, "an upstream connection was not used again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_run_side_by_side() {
    // Nobody is answered before everybody has asked.
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let upstream = Upstream::start(move |conn| {
        while let Some(request) = conn.request() {
            count.fetch_add(1, Ordering::AcqRel);
            wait_for("the other requests", || (count.load(Ordering::Acquire) >= 100).then_some(()));
            let path = request.start.split(' ').nth(1).unwrap().to_owned();
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let gateway = Gateway::before(&upstream);
    let client = H2Client::to(gateway.proxy).await;
    let asking: Vec<_> = (0..100)
        .map(|i| {
            let client = client.clone();
            tokio::spawn(async move { (i, ask(&client, "GET", &format!("/{i}")).await) })
        })
        .collect();
    for asked in asking {
        let (i, answer) = asked.await.unwrap();
        assert_eq!((answer.status, answer.body), (200, format!("/{i}").into_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_the_upstream_and_nobody_else() {
    const BIG: usize = 64 << 20;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let upstream = Upstream::start(move |conn| {
        while let Some(request) = conn.request() {
            if request.start.contains("/small") {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
                continue;
            }
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n"));
            let piece = vec![b'x'; 64 << 10];
            for _ in 0..BIG / piece.len() {
                conn.client.stream.set_write_timeout(None).unwrap();
                if conn.client.stream.write_all(&piece).is_err() {
                    return;
                }
                count.fetch_add(piece.len(), Ordering::AcqRel);
            }
        }
    });
    let gateway = Gateway::before(&upstream);
    // Room for others on the connection.
    let (client, _) =
        H2Client::connect(gateway.proxy, h2::client::Builder::new().initial_connection_window_size(1 << 20)).await;
    for _ in 0..200 {
        assert_eq!(ask(&client, "GET", "/small").await.status, 200);
    }
    let before = gateway.rss();
    let (response, _) =
        client.requests.clone().ready().await.unwrap().send_request(request("GET", "/big"), true).unwrap();
    let (_, mut body) = response.await.unwrap().into_parts();
    let mut got = body.data().await.unwrap().unwrap().len();
    // The upstream comes to a halt: what was sent stays the same over many other requests.
    let halted = loop {
        let now = sent.load(Ordering::Acquire);
        for _ in 0..50 {
            assert_eq!(ask(&client, "GET", "/small").await.status, 200);
        }
        if now > 0 && sent.load(Ordering::Acquire) == now {
            break now;
        }
    };
    assert!(halted < BIG / 2, "{halted} bytes were taken from the upstream for a client that does not read");
    let grown = gateway.rss().saturating_sub(before);
    assert!(grown < 4 << 10, "the gateway holds {grown} KiB more");
    body.flow_control().release_capacity(got).unwrap();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        assert!(data.iter().all(|byte| *byte == b'x'));
        got += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(got, BIG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_resets_frees_the_upstream() {
    let (freed, is_freed) = sync_channel::<&'static str>(4);
    let upstream = Upstream::start(move |conn| {
        let head = conn.client.head().unwrap();
        if head.start.contains("/after") {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        } else if head.start.contains("/down") {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun");
        }
        conn.client.rest();
        let _ = freed.send(if head.start.contains("/down") { "down" } else { "up" });
    });
    let gateway = Gateway::before(&upstream);
    let client = H2Client::to(gateway.proxy).await;

    let (response, mut body) = client.begin(request("POST", "/up")).await.unwrap();
    send(&mut body, b"some of it").await;
    wait_for("the upload to begin", || upstream.received().ends_with(b"some of it\r\n").then_some(()));
    body.send_reset(h2::Reason::CANCEL);
    assert!(response.await.is_err());
    assert_eq!(is_freed.recv_timeout(e2e::PATIENCE), Ok("up"));

    let response =
        client.requests.clone().ready().await.unwrap().send_request(request("GET", "/down"), true).unwrap().0;
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "begun");
    // Dropping the body resets the stream.
    drop(body);
    assert_eq!(is_freed.recv_timeout(e2e::PATIENCE), Ok("down"));
    wait_for("both in the access log", || {
        let log = gateway.file("access.log");
        (log.contains("/up") && log.contains("/down")).then_some(())
    });
    assert!(gateway.file("access.log").contains("POST /up HTTP/2.0\" 499"), "{}", gateway.file("access.log"));
    assert_eq!(ask(&client, "GET", "/after").await.status, 200, "the connection goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_resets_the_stream() {
    let upstream = Upstream::start(|conn| {
        let head = conn.client.head().unwrap();
        let framing = if head.start.contains("/chunked") { "Transfer-Encoding: chunked" } else { "Content-Length: 9" };
        conn.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n3\r\nabc\r\n"));
    });
    let gateway = Gateway::before(&upstream);
    let client = H2Client::to(gateway.proxy).await;
    for path in ["/chunked", "/length"] {
        let error = client.ask(request("GET", path)).await.expect_err(path);
        assert!(error.is_reset(), "{path}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_says_goaway_and_lets_requests_finish() {
    let (go, wait) = sync_channel::<()>(1);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        let _ = wait.lock().unwrap().recv();
        conn.send("world");
        conn.client.rest();
    });
    let mut gateway = Gateway::before(&upstream);
    let (idle, idle_ends) = H2Client::connect(gateway.proxy, &h2::client::Builder::new()).await;
    let (client, ends) = H2Client::connect(gateway.proxy, &h2::client::Builder::new()).await;
    let response =
        client.requests.clone().ready().await.unwrap().send_request(request("GET", "/slow"), true).unwrap().0;
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    gateway.signal("TERM");
    assert!(idle_ends.await.unwrap().is_ok(), "an idle connection does not end in order");
    drop(idle);
    // The connection takes no more requests as soon as GOAWAY has come.
    let until = std::time::Instant::now() + e2e::PATIENCE;
    while client.requests.clone().ready().await.is_ok() {
        assert!(std::time::Instant::now() < until, "no GOAWAY");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    go.send(()).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "world");
    assert!(body.data().await.is_none());
    drop((body, client));
    assert!(ends.await.unwrap().is_ok(), "the connection does not end in order");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn interim_answers_pass() {
    let upstream = Upstream::start(|conn| {
        while conn.request().is_some() {
            conn.send(
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            );
        }
    });
    let gateway = Gateway::before(&upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    client.send(http2::headers(1, http2::GET, http2::END_STREAM));
    let mut statuses = Vec::new();
    loop {
        let frame = client.next_of_streams().expect("the connection ended");
        if frame.kind == HEADERS {
            statuses.push(frame.status());
        }
        if frame.ends_stream() {
            break;
        }
    }
    assert_eq!(statuses, [103, 103, 200]);
}

#[test]
fn who_waits_for_100_gets_it_once() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    let fields = [http2::POST, &[(b"expect", b"100-continue")]].concat();
    client.send(http2::headers(1, &fields, 0));
    let interim = client.next_of_streams().expect("the connection ended");
    assert_eq!((interim.kind, interim.status(), interim.ends_stream()), (HEADERS, 100, false));
    client.send(http2::frame(http2::DATA, http2::END_STREAM, 1, b"body"));
    assert_eq!(client.next_of_streams().map(|frame| (frame.kind, frame.status())), Some((HEADERS, 200)));
    assert_eq!(upstream.requests()[0].text(), "body");
    assert_eq!(upstream.requests()[0].get("expect"), None);
}

#[test]
fn too_many_streams_are_refused_and_the_connection_goes_on() {
    let (go, wait) = sync_channel::<()>(64);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |conn| {
        while conn.request().is_some() {
            let _ = wait.lock().unwrap().recv();
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let gateway = Gateway::start(json!({ "portcullis": { "limits": { "h2": { "max_concurrent_streams": 10 } } } }));
    gateway.put("routes/all", &route_to(upstream.addr));
    let mut client = RawConnection::begin(gateway.proxy);
    let settings = client.receive().unwrap();
    assert_eq!(settings.kind, SETTINGS);
    let told = settings.payload.chunks(6).find(|entry| entry[..2] == [0, 3]).expect("SETTINGS_MAX_CONCURRENT_STREAMS");
    assert_eq!(told[2..], [0, 0, 0, 10]);
    for i in 0..15 {
        client.send(http2::headers(1 + 2 * i, http2::GET, http2::END_STREAM));
    }
    for i in 10..15 {
        let frame = client.next_of_streams().unwrap();
        assert_eq!((frame.kind, frame.stream, frame.code()), (RST_STREAM, 1 + 2 * i, http2::REFUSED_STREAM));
    }
    for _ in 0..11 {
        go.send(()).unwrap();
    }
    let mut ended = 0;
    while ended < 10 {
        ended += usize::from(client.next_of_streams().expect("the connection ended").ends_stream());
    }
    client.send(http2::headers(101, http2::GET, http2::END_STREAM));
    assert_eq!(client.end_of(101), http2::End::Answered(200));
    assert_eq!(upstream.requests().len(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_protect_here_too() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({}));
    let mut route = route_to(upstream.addr);
    route["plugins"] = json!({ "key-auth": {} });
    gateway.put("routes/all", &route);
    gateway.put("consumers", &json!({ "username": "jack", "plugins": { "key-auth": { "key": "jacks-key" } } }));
    let client = H2Client::to(gateway.proxy).await;
    let with = |key: Option<&'static str>| {
        let mut request = request("GET", "/");
        if let Some(key) = key {
            request.headers_mut().insert("apikey", HeaderValue::from_static(key));
        }
        client.ask(request)
    };
    assert_eq!(with(None).await.unwrap().status, 401);
    assert_eq!(with(Some("wrong")).await.unwrap().status, 401);
    assert_eq!(upstream.connections(), 0);
    assert_eq!(with(Some("jacks-key")).await.unwrap().status, 200);
    assert_eq!(upstream.requests().pop().unwrap().get("x-consumer-username"), Some("jack"));
    // A refused upload is answered before it was sent.
    let (response, mut body) = client.begin(request("POST", "/")).await.unwrap();
    body.send_data(Bytes::from_static(b"some"), false).unwrap();
    assert_eq!(answer(response).await.unwrap().status, 401);
    assert_eq!(with(Some("jacks-key")).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_it_is_a_malformed_request() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({ "apisix": { "enable_http2": false } }));
    gateway.put("routes/all", &route_to(upstream.addr));
    let mut client = gateway.client();
    client.send(http2::PREFACE);
    let answer = client.response().expect("an answer in HTTP/1");
    assert!(matches!(answer.status(), 400 | 505), "{}", answer.start);
    assert!(client.is_closed_within(Duration::from_secs(5)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_field_may_repeat_the_authority() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let client = H2Client::to(gateway.proxy).await;
    let with_host =
        |host: &'static str| Request::builder().uri("http://a.example/").header("host", host).body(()).unwrap();
    assert_eq!(client.ask(with_host("a.example")).await.unwrap().status, 200);
    assert_eq!(upstream.requests()[0].all("host"), ["a.example"]);
    assert_eq!(client.ask(with_host("b.example")).await.unwrap().status, 400);
    assert_eq!(upstream.requests().len(), 1);
}
