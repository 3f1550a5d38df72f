//! What one HTTP/2 connection may cost.

use e2e::{
    Gateway, Upstream,
    http2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, FLOW_CONTROL_ERROR, GET, GOAWAY, HEADERS,
        NO_ERROR, PING, POST, PRIORITY, RST_STREAM, RawConnection, SETTINGS, WINDOW_UPDATE, block, frame, headers,
    },
    route_to, wait_for,
};
use serde_json::{Value, json};
use std::time::Duration;

fn start(h2: &Value, upstream: &Upstream) -> Gateway {
    let gateway = Gateway::start(json!({ "portcullis": { "limits": { "h2": h2 }, "workers": 1 } }));
    gateway.put("routes/all", &route_to(upstream.addr));
    gateway
}

/// A request on a connection of its own, or on one that there is.
#[track_caller]
fn is_served(client: &mut RawConnection, stream: u32) {
    client.send(headers(stream, GET, END_STREAM));
    assert_eq!(client.end_of(stream), End::Answered(200));
}

/// What comes before the frames, one of the frames, and the reason in the log. Streams count on from 3.
type Flood = (&'static str, &'static str, fn() -> Vec<u8>, fn(u32) -> Vec<u8>);

const FLOODS: &[Flood] = &[
    // HTTP/2 Rapid Reset, CVE-2023-44487.
    ("max_resets", "h2-reset-flood", Vec::new, |i| {
        let stream = 3 + 2 * i;
        [headers(stream, GET, END_STREAM), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    }),
    // CVE-2024-27316
    (
        "max_continuations",
        "h2-continuation-flood",
        || frame(HEADERS, END_STREAM, 3, &block(GET)),
        |_| frame(CONTINUATION, 0, 3, &block(&[(b"x", b"1")])),
    ),
    // CVE-2019-9515
    ("max_settings", "h2-settings-flood", Vec::new, |_| frame(SETTINGS, 0, 0, &[])),
    // CVE-2019-9512
    ("max_pings", "h2-ping-flood", Vec::new, |_| frame(PING, 0, 0, &[0; 8])),
    // CVE-2019-9518
    ("max_empty_data", "h2-empty-data-flood", || headers(3, POST, 0), |_| frame(DATA, 0, 3, &[])),
    (
        "max_window_updates",
        "h2-window-update-flood",
        || headers(3, POST, 0),
        |_| frame(WINDOW_UPDATE, 0, 3, &1u32.to_be_bytes()),
    ),
    // CVE-2019-9513
    ("max_priorities", "h2-priority-flood", Vec::new, |_| frame(PRIORITY, 0, 9, &[0, 0, 0, 1, 7])),
    ("max_priorities", "h2-priority-flood", Vec::new, |_| frame(99, 0, 0, b"x")),
];

/// Floods one connection: it is told to go away and why is logged once, and whoever else is there is served on.
#[track_caller]
fn check_flood(gateway: &Gateway, flood: &Flood, frames: u32) {
    let (setting, reason, before, one) = flood;
    let logged = || gateway.file("error.log").matches(reason).count();
    let logged_before = logged();
    let mut other = RawConnection::begin(gateway.proxy);
    is_served(&mut other, 1);
    let mut client = RawConnection::begin(gateway.proxy);
    client.is_polite = false;
    is_served(&mut client, 1);
    client.send(before());
    let flood: Vec<u8> = (0..frames).flat_map(one).collect();
    client.send(flood);
    assert_eq!(client.farewell(), Some(ENHANCE_YOUR_CALM), "{setting}");
    is_served(&mut other, 3);
    is_served(&mut RawConnection::begin(gateway.proxy), 1);
    assert_eq!(logged() - logged_before, 1, "{setting}: {}", gateway.file("error.log"));
}

#[test]
fn floods_end_their_connection_without_any_settings() {
    let upstream = Upstream::hello();
    let gateway = start(&json!({}), &upstream);
    for flood in FLOODS {
        check_flood(&gateway, flood, 2000);
    }
}

#[test]
fn each_bound_is_a_setting() {
    let upstream = Upstream::hello();
    for flood in FLOODS {
        let (setting, _, before, one) = flood;
        // h2 itself takes six at most of one head.
        let bound = if *setting == "max_continuations" { 5 } else { 12 };
        let gateway = start(&json!({ *setting: bound }), &upstream);
        check_flood(&gateway, flood, 40);
        // As many as are allowed are no flood; SETTINGS counts the first one and the acknowledgement, too.
        let mut client = RawConnection::begin(gateway.proxy);
        client.is_polite = false;
        client.send(before());
        for i in 0..bound - 2 {
            client.send(one(i));
        }
        match *setting {
            "max_continuations" => {
                client.send(frame(CONTINUATION, END_HEADERS, 3, &[]));
                assert_eq!(client.end_of(3), End::Answered(200), "{setting}");
            }
            _ => is_served(&mut client, 101),
        }
    }
}

#[test]
fn resets_do_not_multiply_what_the_upstream_gets() {
    let upstream = Upstream::start(|conn| {
        conn.request();
        conn.client.rest();
    });
    let gateway = start(&json!({ "max_resets": 20 }), &upstream);
    for _ in 0..5 {
        let mut client = RawConnection::begin(gateway.proxy);
        let (_, _, _, one) = FLOODS[0];
        let flood: Vec<u8> = (0..1000).flat_map(one).collect();
        client.send(flood);
        assert_eq!(client.farewell(), Some(ENHANCE_YOUR_CALM));
    }
    assert!(upstream.connections() <= 5 * 20, "{} requests reached the upstream", upstream.connections());
}

#[test]
fn resets_that_are_provoked_count_too() {
    let upstream = Upstream::start(|conn| {
        conn.request();
        conn.client.rest();
    });
    let gateway = start(&json!({ "max_resets": 20 }), &upstream);
    // MadeYouReset, CVE-2025-8671: a whole request, and then a frame that makes the gateway reset its stream.
    let mut client = RawConnection::begin(gateway.proxy);
    let mut provoked = 0;
    for stream in (1..2000).step_by(2) {
        client.send(headers(stream, GET, END_STREAM));
        client.send(frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffffu32.to_be_bytes()));
        match client.end_of(stream) {
            End::Reset(FLOW_CONTROL_ERROR) => provoked += 1,
            end => {
                assert!(matches!(end, End::GoneAway(ENHANCE_YOUR_CALM)), "{end:?}");
                break;
            }
        }
    }
    assert!((20..=21).contains(&provoked), "{provoked}");
    assert_eq!(client.farewell(), Some(ENHANCE_YOUR_CALM));
    assert!(gateway.file("error.log").contains("h2-provoked-resets"));
    assert!(upstream.connections() <= 22, "{} requests reached the upstream", upstream.connections());
}

#[test]
fn an_ended_connection_frees_its_upstreams() {
    let (freed, is_freed) = std::sync::mpsc::sync_channel::<()>(8);
    let upstream = Upstream::start(move |conn| {
        conn.request();
        conn.client.rest();
        let _ = freed.send(());
    });
    let gateway = start(&json!({}), &upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    for stream in [1, 3, 5] {
        client.send(headers(stream, GET, END_STREAM));
    }
    wait_for("three requests at the upstream", || (upstream.requests().len() == 3).then_some(()));
    client.send(frame(PING, 0, 0, &[0; 8]).repeat(500));
    for _ in 0..3 {
        is_freed.recv_timeout(e2e::PATIENCE).expect("an upstream connection stays");
    }
    assert_eq!(client.farewell(), Some(ENHANCE_YOUR_CALM));
    wait_for("three lines in the access log", || {
        (gateway.file("access.log").matches("HTTP/2.0\" 499").count() == 3).then_some(())
    });
}

#[test]
fn small_data_frames_do_not_pile_up() {
    let upstream = Upstream::start(|conn| {
        conn.client.head();
        // Nothing more is read, so that it has to wait in the gateway.
        wait_for("the end of the connection", || conn.client.stream.take_error().unwrap().map(drop));
    });
    let gateway = start(&json!({}), &upstream);
    let before = gateway.rss();
    let mut client = RawConnection::begin(gateway.proxy);
    client.is_polite = false;
    for stream in (1..128).step_by(2) {
        client.send(headers(stream, POST, 0));
        if !client.send(frame(DATA, 0, stream, b"x").repeat(60_000)) {
            break;
        }
    }
    let code = client.farewell();
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    let grown = gateway.rss().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB for small frames");
}

/// A field that goes into the dynamic table: one byte names it from then on.
fn indexed(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = block(&[(name, value)]);
    field[0] = 0x40;
    field
}

#[test]
fn heads_that_expand_are_not_built() {
    let upstream = Upstream::hello();
    let gateway = start(&json!({}), &upstream);
    is_served(&mut RawConnection::begin(gateway.proxy), 1);
    let before = gateway.rss();
    for (desc, value, references) in [
        ("few that are long", vec![b'v'; 3900], 16_000 - 3950),
        ("many that are short", b"v".to_vec(), 16_000),
        ("cookies, which are joined", vec![b'c'; 3900], 12_000),
    ] {
        let name = if desc.starts_with("cookies") { &b"cookie"[..] } else { b"x" };
        let bomb = [block(GET), indexed(name, &value), vec![0xbe; references]].concat();
        for _ in 0..20 {
            let mut client = RawConnection::begin(gateway.proxy);
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb.get(..16_384).unwrap_or(&bomb)));
            assert_eq!(client.farewell(), Some(ENHANCE_YOUR_CALM), "{desc}");
        }
    }
    let grown = gateway.rss().saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} KiB for heads that were refused");
    assert!(gateway.file("error.log").contains("h2-excess"));
    assert_eq!(upstream.requests().len(), 1);
    is_served(&mut RawConnection::begin(gateway.proxy), 1);
}

#[test]
fn heads_that_are_too_large_get_431() {
    let upstream = Upstream::hello();
    let gateway = start(&json!({ "header_list_bytes": 8192 }), &upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    let told = loop {
        let settings = client.receive().expect("SETTINGS");
        if settings.kind == SETTINGS {
            break settings.payload;
        }
    };
    assert!(told.chunks(6).any(|entry| entry == [0, 6, 0, 0, 0x20, 0]), "SETTINGS_MAX_HEADER_LIST_SIZE: {told:?}");
    let with = |length: usize| {
        let value = vec![b'v'; length];
        block(&[GET, &[(b"x", &value)]].concat())
    };
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &with(7000)));
    assert_eq!(client.end_of(1), End::Answered(200));
    for stream in [3, 5, 7] {
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &with(9000)));
        assert_eq!(client.end_of(stream), End::Answered(431));
    }
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 9, &block(GET)));
    assert_eq!(client.end_of(9), End::Answered(200));
    assert_eq!(upstream.requests().len(), 2);
    // Many fields within the size are bounded by their number: `accept-encoding: gzip, deflate` is one byte of HPACK.
    let gateway = start(&json!({}), &upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &[block(GET), vec![0x90; 101]].concat()));
    assert_eq!(client.end_of(1), End::Answered(431));
    is_served(&mut client, 3);
}

#[test]
fn a_connection_ends_after_its_requests() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({ "portcullis": { "limits": { "requests_per_connection": 3 } } }));
    gateway.put("routes/all", &route_to(upstream.addr));
    let mut client = RawConnection::begin(gateway.proxy);
    for stream in [1, 3, 5] {
        is_served(&mut client, stream);
    }
    assert_eq!(client.farewell(), Some(NO_ERROR));
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn idle_connections_are_told_to_go() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({ "nginx_config": { "http": { "keepalive_timeout": "1s" } } }));
    gateway.put("routes/all", &route_to(upstream.addr));
    let mut client = RawConnection::begin(gateway.proxy);
    is_served(&mut client, 1);
    // Pings keep nothing alive.
    let mut pings = client.stream.try_clone().unwrap();
    let pinging = std::thread::spawn(move || {
        use std::io::Write;
        while pings.write_all(&frame(PING, 0, 0, &[0; 8])).is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let code = loop {
        match client.receive() {
            Some(frame) if frame.kind == GOAWAY => break frame.code(),
            Some(_) => {}
            None => panic!("no GOAWAY"),
        }
    };
    assert_eq!(code, NO_ERROR);
    client.farewell();
    drop(client);
    pinging.join().unwrap();
}

#[test]
fn uploads_that_stall_get_408_and_long_ones_413() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({
        "portcullis": { "limits": { "request_body": 1000 } },
        "nginx_config": { "http": { "client_body_timeout": "1s" } },
    }));
    gateway.put("routes/all", &route_to(upstream.addr));
    let mut client = RawConnection::begin(gateway.proxy);
    client.send([headers(1, POST, 0), frame(DATA, 0, 1, b"some")].concat());
    assert_eq!(client.end_of(1), End::Answered(408));
    client.send([headers(3, POST, 0), frame(DATA, 0, 3, &[0; 1001])].concat());
    assert_eq!(client.end_of(3), End::Answered(413));
    client.send(headers(5, &[POST, &[(b"content-length", b"1001")]].concat(), 0));
    assert_eq!(client.end_of(5), End::Answered(413));
    client.send([headers(7, POST, 0), frame(DATA, END_STREAM, 7, &[0; 1000])].concat());
    assert_eq!(client.end_of(7), End::Answered(200));
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_head_that_never_ends_is_not_waited_for() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({
        "portcullis": { "limits": { "head_timeout": "1s" } },
        "nginx_config": { "http": { "keepalive_timeout": "2s" } },
    }));
    gateway.put("routes/all", &route_to(upstream.addr));
    // In the preface, and in the first request.
    let mut client = RawConnection::connect(gateway.proxy);
    client.send(b"PRI * HTTP/2.0\r\n");
    while client.receive().is_some() {}
    let mut client = RawConnection::begin(gateway.proxy);
    client.is_polite = false;
    client.send(frame(HEADERS, END_STREAM, 1, &block(GET)));
    assert_eq!(client.farewell(), Some(NO_ERROR));
    assert_eq!(upstream.connections(), 0);
}
