//! HTTP/2 that RFC 9113 forbids, frame by frame: it ends the stream or the connection as the RFC says, and nothing of it
//! reaches an upstream.

use e2e::{
    Gateway, Upstream,
    http2::{
        ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End,
        FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GET, GOAWAY, HEADERS, NO_ERROR, PADDED, PING, POST, PREFACE, PRIORITY,
        PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, RawConnection, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, block, frame,
        headers,
    },
    wait_for,
};

type Field = (&'static [u8], &'static [u8]);

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"http");
const PATH: Field = (b":path", b"/");
const AUTHORITY: Field = (b":authority", b"a.example");

/// A stream error of type PROTOCOL_ERROR, which is what the RFC asks for with malformed messages (section 8.1.1). A server
/// may answer 400 as well, or take it for an error of the connection (section 5.4.2).
fn is_malformed(end: End) -> bool {
    matches!(end, End::Reset(PROTOCOL_ERROR) | End::GoneAway(PROTOCOL_ERROR) | End::Answered(400))
}

/// Sends one head on a connection of its own and checks how its stream ends, and that the connection goes on.
#[track_caller]
fn check_head(gateway: &Gateway, desc: &str, fields: &[Field], is_right: impl Fn(End) -> bool) {
    let mut client = RawConnection::begin(gateway.proxy);
    client.send(headers(1, fields, END_STREAM));
    let end = client.end_of(1);
    assert!(is_right(end), "{desc}: {end:?}");
    if matches!(end, End::GoneAway(_)) {
        return;
    }
    // A stream error is the stream's only. What is asked next never reaches a route.
    client.send(headers(3, &[METHOD, SCHEME, (b":path", b"/%2e%2e%2f"), AUTHORITY], END_STREAM));
    let next = client.end_of(3);
    assert_eq!(next, End::Answered(400), "{desc}: the connection does not go on");
}

#[test]
fn heads_that_are_malformed() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let rows: &[(&str, &[Field])] = &[
        ("no method", &[SCHEME, PATH, AUTHORITY]),
        ("no scheme", &[METHOD, PATH, AUTHORITY]),
        ("no path", &[METHOD, SCHEME, AUTHORITY]),
        ("no authority and no host", &[METHOD, SCHEME, PATH]),
        ("nothing at all", &[]),
        ("two methods", &[METHOD, METHOD, SCHEME, PATH, AUTHORITY]),
        ("two schemes", &[METHOD, SCHEME, SCHEME, PATH, AUTHORITY]),
        ("two paths", &[METHOD, SCHEME, PATH, (b":path", b"/other"), AUTHORITY]),
        ("two authorities", &[METHOD, SCHEME, PATH, AUTHORITY, (b":authority", b"b.example")]),
        ("an unknown pseudo field", &[METHOD, SCHEME, PATH, AUTHORITY, (b":unknown", b"x")]),
        ("a response's pseudo field", &[METHOD, SCHEME, PATH, AUTHORITY, (b":status", b"200")]),
        (":protocol without CONNECT", &[METHOD, SCHEME, PATH, AUTHORITY, (b":protocol", b"websocket")]),
        ("a late pseudo field", &[METHOD, SCHEME, (b"x", b"1"), PATH, AUTHORITY]),
        ("a pseudo field at the very end", &[METHOD, SCHEME, PATH, (b"x", b"1"), AUTHORITY]),
        ("an empty path", &[METHOD, SCHEME, (b":path", b""), AUTHORITY]),
        ("a path without its slash", &[METHOD, SCHEME, (b":path", b"admin"), AUTHORITY]),
        ("a path of another form", &[METHOD, SCHEME, (b":path", b"http://b.example/"), AUTHORITY]),
        ("a path with a blank", &[METHOD, SCHEME, (b":path", b"/a b"), AUTHORITY]),
        ("a path with a line end", &[METHOD, SCHEME, (b":path", b"/a HTTP/1.1\r\nX: y\r\n\r\n"), AUTHORITY]),
        ("a path with NUL", &[METHOD, SCHEME, (b":path", b"/a\0"), AUTHORITY]),
        ("a path with DEL", &[METHOD, SCHEME, (b":path", b"/a\x7f"), AUTHORITY]),
        ("a path with bytes above ASCII", &[METHOD, SCHEME, (b":path", b"/\xc3\xa9"), AUTHORITY]),
        ("a path that two parsers read differently", &[METHOD, SCHEME, (b":path", b"/a%2f..%2fb"), AUTHORITY]),
        ("an asterisk with GET", &[METHOD, SCHEME, (b":path", b"*"), AUTHORITY]),
        ("an asterisk with OPTIONS", &[(b":method", b"OPTIONS"), SCHEME, (b":path", b"*"), AUTHORITY]),
        ("an empty method", &[(b":method", b""), SCHEME, PATH, AUTHORITY]),
        ("a method with a blank", &[(b":method", b"GET /"), SCHEME, PATH, AUTHORITY]),
        ("a method with a line end", &[(b":method", b"GET\r\n"), SCHEME, PATH, AUTHORITY]),
        ("a scheme with a line end", &[METHOD, (b":scheme", b"http\r\n"), PATH, AUTHORITY]),
        ("an empty scheme", &[METHOD, (b":scheme", b""), PATH, AUTHORITY]),
        ("an empty authority", &[METHOD, SCHEME, PATH, (b":authority", b"")]),
        ("an empty host", &[METHOD, SCHEME, PATH, (b"host", b"")]),
        ("an authority with a user", &[METHOD, SCHEME, PATH, (b":authority", b"u@a.example")]),
        ("an authority with a path", &[METHOD, SCHEME, PATH, (b":authority", b"a.example/x")]),
        ("an authority with a line end", &[METHOD, SCHEME, PATH, (b":authority", b"a\r\nX: y")]),
        ("an authority with a port that is none", &[METHOD, SCHEME, PATH, (b":authority", b"a:x")]),
        ("another host", &[METHOD, SCHEME, PATH, AUTHORITY, (b"host", b"b.example")]),
        ("two hosts", &[METHOD, SCHEME, PATH, (b"host", b"a.example"), (b"host", b"a.example")]),
        ("a host that is none", &[METHOD, SCHEME, PATH, (b"host", b"a b")]),
        ("an upper-case name", &[METHOD, SCHEME, PATH, AUTHORITY, (b"X-Upper", b"1")]),
        ("an upper-case pseudo field", &[METHOD, SCHEME, (b":Path", b"/"), AUTHORITY]),
        ("an empty name", &[METHOD, SCHEME, PATH, AUTHORITY, (b"", b"1")]),
        ("a name with a colon", &[METHOD, SCHEME, PATH, AUTHORITY, (b"x:y", b"1")]),
        ("a name with a blank", &[METHOD, SCHEME, PATH, AUTHORITY, (b"x y", b"1")]),
        ("a name with a line end", &[METHOD, SCHEME, PATH, AUTHORITY, (b"x\r\ny", b"1")]),
        ("a name with NUL", &[METHOD, SCHEME, PATH, AUTHORITY, (b"x\0", b"1")]),
        ("a name above ASCII", &[METHOD, SCHEME, PATH, AUTHORITY, (b"x\xe9", b"1")]),
        ("a value with CR", &[METHOD, SCHEME, PATH, AUTHORITY, (b"x", b"a\rb")]),
        ("a value with LF", &[METHOD, SCHEME, PATH, AUTHORITY, (b"x", b"a\nb")]),
        ("a value with a line of its own", &[METHOD, SCHEME, PATH, AUTHORITY, (b"x", b"a\r\nx-injected: 1")]),
        ("a value with NUL", &[METHOD, SCHEME, PATH, AUTHORITY, (b"x", b"a\0b")]),
        ("connection", &[METHOD, SCHEME, PATH, AUTHORITY, (b"connection", b"close")]),
        ("keep-alive", &[METHOD, SCHEME, PATH, AUTHORITY, (b"keep-alive", b"3")]),
        ("proxy-connection", &[METHOD, SCHEME, PATH, AUTHORITY, (b"proxy-connection", b"close")]),
        ("transfer-encoding", &[METHOD, SCHEME, PATH, AUTHORITY, (b"transfer-encoding", b"chunked")]),
        ("upgrade", &[METHOD, SCHEME, PATH, AUTHORITY, (b"upgrade", b"websocket")]),
        ("te with more than trailers", &[METHOD, SCHEME, PATH, AUTHORITY, (b"te", b"trailers, gzip")]),
        ("te with something else", &[METHOD, SCHEME, PATH, AUTHORITY, (b"te", b"gzip")]),
        ("a length without a body", &[METHOD, SCHEME, PATH, AUTHORITY, (b"content-length", b"5")]),
        ("a length that is none", &[METHOD, SCHEME, PATH, AUTHORITY, (b"content-length", b"x")]),
        ("a signed length", &[METHOD, SCHEME, PATH, AUTHORITY, (b"content-length", b"+0")]),
        ("a list of lengths", &[METHOD, SCHEME, PATH, AUTHORITY, (b"content-length", b"0, 0")]),
        ("two lengths", &[METHOD, SCHEME, PATH, AUTHORITY, (b"content-length", b"0"), (b"content-length", b"0")]),
    ];
    for (desc, fields) in rows {
        check_head(&gateway, desc, fields, is_malformed);
    }
    check_head(&gateway, "a tunnel", &[(b":method", b"CONNECT"), (b":authority", b"a.example:80")], |end| {
        matches!(end, End::Answered(501) | End::Reset(PROTOCOL_ERROR))
    });
    let extended = [(&b":method"[..], &b"CONNECT"[..]), (b":protocol", b"websocket"), SCHEME, PATH, AUTHORITY];
    check_head(&gateway, "a tunnel for WebSocket, which was not offered", &extended, |end| {
        matches!(end, End::Answered(501) | End::Reset(PROTOCOL_ERROR))
    });
    let expects = [GET, &[(b"expect", b"100-continue"), (b"expect", b"magic")]].concat();
    check_head(&gateway, "an expectation that cannot be met", &expects, |end| end == End::Answered(417));
    assert_eq!(upstream.connections(), 0, "{:?}", String::from_utf8_lossy(&upstream.received()));
}

#[test]
fn bodies_that_are_malformed() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let with_length = |length: &'static [u8]| headers(1, &[POST, &[(b"content-length", length)]].concat(), 0);
    let with_trailers =
        |fields: &[Field]| [headers(1, POST, 0), frame(DATA, 0, 1, b"hello"), headers(1, fields, END_STREAM)].concat();
    for (desc, bytes) in [
        ("less than its length", [with_length(b"10"), frame(DATA, END_STREAM, 1, b"hello")].concat()),
        ("more than its length", [with_length(b"3"), frame(DATA, END_STREAM, 1, b"hello")].concat()),
        ("more than its length, and not the end", [with_length(b"3"), frame(DATA, 0, 1, b"hello")].concat()),
        ("content against a length of 0", [with_length(b"0"), frame(DATA, END_STREAM, 1, b"x")].concat()),
        (
            "trailers before its length",
            [with_length(b"10"), frame(DATA, 0, 1, b"hello"), headers(1, &[(b"x", b"1")], END_STREAM)].concat(),
        ),
        ("trailers that do not end the stream", [headers(1, POST, 0), headers(1, &[(b"x", b"1")], 0)].concat()),
        ("an upper-case name in trailers", with_trailers(&[(b"X", b"1")])),
        ("a line end in trailers", with_trailers(&[(b"x", b"1\r\ny: 2")])),
        ("transfer-encoding in trailers", with_trailers(&[(b"transfer-encoding", b"chunked")])),
        ("an update of nothing", [headers(1, POST, 0), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat()),
    ] {
        let mut client = RawConnection::begin(gateway.proxy);
        client.send(bytes);
        let end = client.end_of(1);
        assert!(is_malformed(end), "{desc}: {end:?}");
        if matches!(end, End::GoneAway(_)) {
            continue;
        }
        client.send(headers(3, &[METHOD, SCHEME, (b":path", b"/%2e%2e%2f"), AUTHORITY], END_STREAM));
        assert_eq!(client.end_of(3), End::Answered(400), "{desc}: the connection does not go on");
    }
    let mut client = RawConnection::begin(gateway.proxy);
    let updates = frame(WINDOW_UPDATE, 0, 1, &0x7fff_ffffu32.to_be_bytes());
    client.send([headers(1, POST, 0), updates].concat());
    assert_eq!(client.end_of(1), End::Reset(FLOW_CONTROL_ERROR), "a stream's window above its maximum");
    // An upload may have begun before it turned out to be malformed; it must never look whole.
    assert!(upstream.requests().is_empty(), "a whole request reached the upstream: {:?}", upstream.requests());
}

#[test]
fn frames_that_end_the_connection() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let opened = headers(1, POST, 0);
    let whole = headers(1, &[METHOD, SCHEME, (b":path", b"/%2e%2e%2f"), AUTHORITY], END_STREAM);
    let begun = frame(HEADERS, END_STREAM, 1, &block(&[METHOD]));
    let setting = |id: u16, value: u32| frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    let window = |stream: u32, n: u32| frame(WINDOW_UPDATE, 0, stream, &n.to_be_bytes());
    for (desc, bytes, codes) in [
        ("DATA on an idle stream", frame(DATA, 0, 1, b"x"), &[PROTOCOL_ERROR][..]),
        ("DATA on the connection", frame(DATA, 0, 0, b"x"), &[PROTOCOL_ERROR]),
        ("HEADERS on the connection", headers(0, GET, END_STREAM), &[PROTOCOL_ERROR]),
        ("a stream of the server's", headers(2, GET, END_STREAM), &[PROTOCOL_ERROR]),
        (
            "a stream below the last",
            [headers(5, &[SCHEME], END_STREAM), headers(3, GET, END_STREAM)].concat(),
            &[PROTOCOL_ERROR, STREAM_CLOSED],
        ),
        ("RST_STREAM of an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), &[PROTOCOL_ERROR]),
        ("RST_STREAM of the connection", frame(RST_STREAM, 0, 0, &[0; 4]), &[PROTOCOL_ERROR]),
        (
            "RST_STREAM of another size",
            [opened.clone(), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            &[FRAME_SIZE_ERROR],
        ),
        ("WINDOW_UPDATE of an idle stream", window(1, 1), &[PROTOCOL_ERROR]),
        ("WINDOW_UPDATE of nothing", window(0, 0), &[PROTOCOL_ERROR]),
        ("WINDOW_UPDATE of another size", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), &[FRAME_SIZE_ERROR]),
        ("a window above its maximum", window(0, 0x7fff_ffff), &[FLOW_CONTROL_ERROR]),
        ("SETTINGS of a stream", frame(SETTINGS, 0, 1, &[]), &[PROTOCOL_ERROR]),
        ("SETTINGS of another size", frame(SETTINGS, 0, 0, &[0; 5]), &[FRAME_SIZE_ERROR]),
        ("an acknowledgement with settings", frame(SETTINGS, ACK, 0, &[0; 6]), &[FRAME_SIZE_ERROR]),
        // h2 has one code for all settings that are wrong.
        ("a window size above its maximum", setting(4, 0x8000_0000), &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR]),
        ("a frame size below its minimum", setting(5, 100), &[PROTOCOL_ERROR]),
        ("a frame size above its maximum", setting(5, 1 << 24), &[PROTOCOL_ERROR]),
        ("a switch that is neither on nor off", setting(2, 2), &[PROTOCOL_ERROR]),
        ("PING of a stream", frame(PING, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("PING of another size", frame(PING, 0, 0, &[0; 7]), &[FRAME_SIZE_ERROR]),
        ("GOAWAY of a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("GOAWAY of another size", frame(GOAWAY, 0, 0, &[0; 7]), &[FRAME_SIZE_ERROR]),
        ("PRIORITY of the connection", frame(PRIORITY, 0, 0, &[0; 5]), &[PROTOCOL_ERROR]),
        ("a pushed promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), &[PROTOCOL_ERROR]),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &block(GET)), &[PROTOCOL_ERROR]),
        (
            "a continuation of another head",
            [begun.clone(), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
            &[PROTOCOL_ERROR],
        ),
        ("a frame within a head", [begun.clone(), frame(PING, 0, 0, &[0; 8])].concat(), &[PROTOCOL_ERROR]),
        ("an unknown frame within a head", [begun, frame(99, 0, 0, b"x")].concat(), &[PROTOCOL_ERROR]),
        ("more padding than payload", [opened.clone(), frame(DATA, PADDED, 1, &[9, 0])].concat(), &[PROTOCOL_ERROR]),
        (
            "padding without its length",
            [opened, frame(DATA, PADDED, 1, &[])].concat(),
            &[PROTOCOL_ERROR, FRAME_SIZE_ERROR],
        ),
        ("a head of padding only", frame(HEADERS, END_HEADERS | PADDED, 1, &[5, 0]), &[PROTOCOL_ERROR]),
        ("a frame above the maximum", frame(DATA, 0, 1, &[0; 16_385]), &[FRAME_SIZE_ERROR]),
        ("DATA after the end", [whole.clone(), frame(DATA, 0, 1, b"x")].concat(), &[STREAM_CLOSED, PROTOCOL_ERROR]),
        ("HEADERS after the end", [whole, headers(1, GET, END_STREAM)].concat(), &[STREAM_CLOSED, PROTOCOL_ERROR]),
        ("an index beyond the table", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0x7f]), &[COMPRESSION_ERROR]),
        ("an index of 0", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]), &[COMPRESSION_ERROR]),
        ("a literal that breaks off", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 5, b'x']), &[COMPRESSION_ERROR]),
        (
            "Huffman code that is none",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 0x84, 255, 255, 255, 255, 0]),
            &[COMPRESSION_ERROR],
        ),
        (
            "a table above what was offered",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x3f, 0xe2, 0x1f]),
            &[COMPRESSION_ERROR],
        ),
    ] {
        let mut client = RawConnection::begin(gateway.proxy);
        client.send(bytes);
        let code = client.farewell();
        // h2 says PROTOCOL_ERROR where the RFC has a word of its own for broken compression.
        let is_right = code.is_some_and(|code| {
            codes.contains(&code) || (codes.contains(&COMPRESSION_ERROR) && code == PROTOCOL_ERROR)
        });
        assert!(is_right, "{desc}: {code:?}");
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
}

#[test]
fn a_fragment_is_cut_off_before_anything_decides() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    client.send(headers(1, &[METHOD, SCHEME, (b":path", b"/a#/../b?c"), AUTHORITY], END_STREAM));
    match client.end_of(1) {
        End::Answered(200) => assert_eq!(upstream.requests()[0].start, "GET /a HTTP/1.1"),
        end => assert!(is_malformed(end), "{end:?}"),
    }
}

#[test]
fn what_may_not_be_in_trailers_goes_nowhere() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    let trailers: &[Field] = &[(b":path", b"/other"), (b"content-length", b"9"), (b"host", b"b"), (b"x", b"1")];
    client.send([headers(1, POST, 0), frame(DATA, 0, 1, b"hello"), headers(1, trailers, END_STREAM)].concat());
    assert!(matches!(client.end_of(1), End::Answered(200) | End::Reset(PROTOCOL_ERROR)));
    for request in upstream.requests() {
        assert_eq!(request.trailers, [("x".to_owned(), "1".to_owned())]);
    }
}

#[test]
fn streams_that_are_closed_stay_closed() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    client.send(headers(1, GET, END_STREAM));
    while !client.next_of_streams().expect("the connection ended").ends_stream() {}
    client.send(headers(1, GET, END_STREAM));
    let code = client.farewell();
    assert!(matches!(code, Some(STREAM_CLOSED | PROTOCOL_ERROR)), "{code:?}");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_window_that_is_overrun_ends_the_stream_or_the_connection() {
    let upstream = Upstream::start(|conn| {
        conn.client.head();
        // Nothing more is read: the gateway cannot give the window back.
        wait_for("the end of the connection", || conn.client.stream.take_error().unwrap().map(drop));
    });
    let gateway = Gateway::before(&upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    client.send(headers(1, POST, 0));
    client.is_polite = false;
    let piece = frame(DATA, 0, 1, &[0; 16_384]);
    let mut sent = 0;
    while sent < 64 << 20 && client.send(&piece) {
        sent += 16_384;
    }
    let end = client.end_of(1);
    assert!(matches!(end, End::Reset(FLOW_CONTROL_ERROR) | End::GoneAway(FLOW_CONTROL_ERROR)), "{end:?} after {sent}");
}

#[test]
fn prefaces_that_are_none() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let mut almost = PREFACE.to_vec();
    almost[20] = b'X';
    for (desc, bytes) in [
        ("one letter is another", almost),
        ("in lower case", PREFACE.to_ascii_lowercase()),
        ("with the head of HTTP/1", b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n".to_vec()),
        ("another version", b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("a second one on a connection", [&b"GET /%2e%2e%2f HTTP/1.1\r\nHost: a\r\n\r\n"[..], PREFACE].concat()),
    ] {
        let mut client = gateway.client();
        client.send(bytes);
        let answer = client.response().map(|answer| answer.status());
        assert!(matches!(answer, Some(400 | 505)), "{desc}: {answer:?}");
        assert!(client.is_closed_within(e2e::PATIENCE), "{desc}");
    }
    // The first frame must be SETTINGS (section 3.4).
    for (desc, bytes) in [
        ("HEADERS first", headers(1, GET, END_STREAM)),
        ("HTTP/1 first", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("an acknowledgement first", frame(SETTINGS, ACK, 0, &[])),
    ] {
        let mut client = RawConnection::connect(gateway.proxy);
        client.is_polite = false;
        client.send([PREFACE, &bytes].concat());
        let code = client.farewell();
        assert!(matches!(code, Some(PROTOCOL_ERROR | FRAME_SIZE_ERROR | ENHANCE_YOUR_CALM)), "{desc}: {code:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn what_is_unknown_is_read_over() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    let mut client = RawConnection::begin(gateway.proxy);
    client.send(frame(99, 0xff, 0, b"what"));
    client.send(frame(99, 0xff, 7, b"what"));
    client.send(frame(SETTINGS, 0, 0, &[0xff, 0xff, 0, 0, 0, 1]));
    client.send(headers(1, GET, END_STREAM));
    assert_eq!(client.end_of(1), End::Answered(200));
    client.send(frame(GOAWAY, 0, 0, &[0; 8]));
    assert!(matches!(client.farewell(), None | Some(NO_ERROR)));
}
