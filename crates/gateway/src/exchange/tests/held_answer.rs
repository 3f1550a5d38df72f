//! Answers that a plugin has to see before anything of them is sent.

use super::*;
use bytes::Bytes;
use plugin::Reply;
use std::time::Instant;

/// Does with answers what its configuration says.
pub(super) struct Holder(Holding);

#[derive(Deserialize)]
pub(super) struct Holding {
    max: u64,
    does: String,
}

impl Plugin for Holder {
    const NAME: &'static str = "holder";
    const PRIORITY: i32 = 2;
    const SPEC: Spec = Spec {
        schema: r#"{"schema": {"type": "object", "properties": {
            "max": {"type": "integer"}, "does": {"type": "string", "default": "mark"}}}}"#,
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: true, calls_out: false },
    };
    type Config = Holding;
    type Metadata = ();

    fn build(config: Holding, _: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self(config))
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.whole_response = Some(self.clone());
        if self.0.does == "filter" {
            hooks.header_filter = Some(self.clone());
            hooks.body_filter = Some(self);
        }
    }
}

impl WholeResponse for Holder {
    fn wants(&self, _: &mut Ctx, _: &ResponseHead) -> u64 {
        self.0.max
    }

    fn response<'a>(&'a self, _: &'a mut Ctx, response: &'a mut Response) -> Step<'a> {
        let seen = match response.body(self.0.max) {
            Ok(body) => body.len().to_string(),
            Err(error) => format!("{error:?}"),
        };
        response.head.fields.push(b"X-Seen", seen.as_bytes());
        match &*self.0.does {
            "replace" => response.replace(Bytes::from_static(b"other")),
            "refuse" => return Step::respond(Reply::text(502, "refused")),
            "wait" => return Step::Wait(Box::pin(async { Ok(Reply::text(404, seen).into()) })),
            _ => {}
        }
        Step::NEXT
    }
}

impl HeaderFilter for Holder {
    fn header_filter(&self, _: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        head.fields.remove("content-length");
        Ok(())
    }
}

impl BodyFilter for Holder {
    fn body_filter(&self, _: &mut Ctx, frame: Frame, out: &mut Frames) -> Result<(), PluginError> {
        out.push(match frame {
            Frame::Data(data) => Frame::Data(data.to_ascii_uppercase().into()),
            frame => frame,
        });
        Ok(())
    }
}

/// Answers each request with these bytes, after which the connection ends.
fn answering(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                read_head(&mut stream);
                let _ = stream.write_all(bytes);
            });
        }
    });
    addr
}

/// All that comes for one request.
fn whole(gate: &Gate, method: &str) -> String {
    let mut client = gate.client();
    client.write_all(format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut all = Vec::new();
    // A reset is an end, too.
    let _ = client.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn an_answer_is_held_until_plugins_have_seen_it() {
    const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    const TRAILERS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n";
    const CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nhello";
    const CUT: &[u8] = b"HTTP/1.1 200 OK\r\nX-Secret: 1\r\nContent-Length: 5\r\n\r\nhell";
    const CUT_CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n";
    const NOTHING: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    const NOT_MODIFIED: &[u8] = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    for (desc, answer, max, does, method, has, has_not) in [
        (
            "a length",
            LENGTH,
            5,
            "mark",
            "GET",
            vec!["200 OK", "X-Seen: 5\r\n", "Content-Length: 5\r\n", "\r\n\r\nhello"],
            "W/",
        ),
        (
            "chunks become one",
            CHUNKED,
            5,
            "mark",
            "GET",
            vec!["X-Seen: 5\r\n", "Content-Length: 5\r\n", "\r\n\r\nhello"],
            "chunked",
        ),
        (
            "trailers",
            TRAILERS,
            5,
            "mark",
            "GET",
            vec!["X-Seen: 5\r\n", "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"],
            "Content-Length",
        ),
        ("until the end", CLOSE, 9, "mark", "GET", vec!["X-Seen: 5\r\n", "\r\n\r\nhello"], "chunked"),
        (
            "too long, announced",
            LENGTH,
            4,
            "mark",
            "GET",
            vec!["X-Seen: TooLarge(4)", "Content-Length: 5\r\n", "\r\n\r\nhello"],
            "502",
        ),
        (
            "too long, found later",
            CHUNKED,
            4,
            "mark",
            "GET",
            vec!["X-Seen: TooLarge(4)", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"],
            "502",
        ),
        ("too long, until the end", CLOSE, 4, "mark", "GET", vec!["X-Seen: TooLarge(4)", "hello"], "502"),
        ("only the head", CHUNKED, 0, "mark", "GET", vec!["X-Seen: TooLarge(0)", "llo"], "502"),
        (
            "replaced",
            LENGTH,
            9,
            "replace",
            "GET",
            vec!["ETag: W/\"a\"", "Content-Length: 5\r\n", "\r\n\r\nother"],
            "hello",
        ),
        (
            "replaced, and was too long",
            LENGTH,
            4,
            "replace",
            "GET",
            vec!["Content-Length: 5\r\n", "\r\n\r\nother"],
            "hello",
        ),
        ("replaced chunks", CHUNKED, 9, "replace", "GET", vec!["Content-Length: 5\r\n", "\r\n\r\nother"], "hello"),
        ("refused", LENGTH, 9, "refuse", "GET", vec!["HTTP/1.1 502", "Content-Length: 7", "\r\n\r\nrefused"], "hello"),
        ("refused after a wait", LENGTH, 9, "wait", "GET", vec!["HTTP/1.1 404", "\r\n\r\n5"], "hello"),
        (
            "filtered afterwards",
            LENGTH,
            9,
            "filter",
            "GET",
            vec!["X-Seen: 5", "5\r\nHELLO\r\n0\r\n\r\n"],
            "Content-Length",
        ),
        ("broken off", CUT, 9, "mark", "GET", vec!["HTTP/1.1 502"], "X-Secret"),
        ("broken off between chunks", CUT_CHUNKED, 9, "mark", "GET", vec!["HTTP/1.1 502"], "hell"),
        ("no content", NOTHING, 9, "mark", "GET", vec!["HTTP/1.1 204", "X-Seen: 0"], "Length"),
        ("not modified", NOT_MODIFIED, 9, "mark", "GET", vec!["HTTP/1.1 304", "X-Seen: 0", "Content-Length: 5"], "502"),
        ("to HEAD", HEAD, 9, "mark", "HEAD", vec!["HTTP/1.1 200", "X-Seen: 0", "Content-Length: 5"], "502"),
    ] {
        let plugins = json!({ "holder": { "max": max, "does": does } });
        let gate = Gate::start(vec![("/routes/1", route("/", answering(answer), &plugins))]);
        let all = whole(&gate, method);
        for part in has {
            assert!(all.contains(part), "{desc}: {part:?} in {all:?}");
        }
        assert!(!all.contains(has_not), "{desc}: {has_not:?} in {all:?}");
        // The memory is given back when the exchange ends, which its client may see first.
        let begun = Instant::now();
        while gate.shared.bodies.held() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{desc}: {}", gate.shared.bodies.held());
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_plugin_that_fails_on_an_answer_sends_nothing_of_it() {
    let upstream = upstream();
    for panics in [false, true] {
        let gate = Gate::start(vec![
            ("/routes/bad", route("/bad", upstream, &faulty("whole_response", panics))),
            ("/routes/good", route("/good", upstream, &json!({}))),
        ]);
        let mut client = gate.client();
        let head = ask(&mut client, "/bad");
        assert!(head.starts_with("HTTP/1.1 500 ") && !head.contains("X-Secret"), "panics: {panics}: {head:?}");
        skip_body(&mut client, &head);
        let head = ask(&mut client, "/good");
        assert!(head.starts_with("HTTP/1.1 200 "), "panics: {panics}: {head:?}");
        let counted = gate.shared.stats.panics.by_plugin().get("faulty").copied().unwrap_or_default();
        assert_eq!(counted, if panics { 1 } else { 0 });
    }
}
