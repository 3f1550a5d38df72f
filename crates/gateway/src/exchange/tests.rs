//! Whole requests over sockets, with plugins that fail.

mod held_answer;

use super::{Edge, Options};
use crate::{
    flow::{Flow, Write},
    plugins::PluginSet,
    upstream::dns::{DnsOptions, Resolver},
};
use engine::{Census, Drain, Limits, PoolLimits};
use model::{differences::Compat, documents::Key};
use plugin::{
    Access, BeforeProxy, BodyFilter, BuildEnv, BuildError, Ctx, Frames, HeaderFilter, Hooks, Log, Outcome, Plugin,
    PluginClass, PluginError, Posture, Response, Rewrite, RunPolicy, Shared, Spec, Step, UpstreamHead, Verdict,
    WholeResponse, describe,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    io::{Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};
use store::{Expect, Memory};
use tokio::runtime::{Builder, LocalOptions};
use wire::{Frame, ResponseHead};

/// Fails or panics in one of its phases.
struct Faulty(Config);

#[derive(Deserialize)]
struct Config {
    phase: String,
    panics: bool,
}

impl Plugin for Faulty {
    const NAME: &'static str = "faulty";
    const PRIORITY: i32 = 1;
    const SPEC: Spec = Spec {
        schema: r#"{"schema": {"type": "object", "properties": {
            "phase": {"type": "string"}, "panics": {"type": "boolean"}}}}"#,
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, _: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self(config))
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        match &*self.0.phase {
            "rewrite" => hooks.rewrite = Some(self),
            "access" => hooks.access = Some(self),
            "before_proxy" => hooks.before_proxy = Some(self),
            "whole_response" => hooks.whole_response = Some(self),
            "header_filter" => hooks.header_filter = Some(self),
            "body_filter" => hooks.body_filter = Some(self),
            _ => hooks.log = Some(self),
        }
    }
}

impl Faulty {
    fn fail<T>(&self) -> Result<T, PluginError> {
        assert!(!self.0.panics, "told to");
        Err(PluginError("told to".to_owned()))
    }

    fn outcome(&self) -> Outcome {
        self.fail::<Verdict>()
    }
}

impl Rewrite for Faulty {
    fn rewrite<'a>(&'a self, _: &'a mut Ctx) -> Step<'a> {
        Step::Ready(self.outcome())
    }
}

impl Access for Faulty {
    fn access<'a>(&'a self, _: &'a mut Ctx) -> Step<'a> {
        Step::Wait(Box::pin(async { self.outcome() }))
    }
}

impl BeforeProxy for Faulty {
    fn before_proxy<'a>(&'a self, _: &'a mut Ctx, _: &'a mut UpstreamHead) -> Step<'a> {
        Step::Ready(self.outcome())
    }
}

impl WholeResponse for Faulty {
    fn wants(&self, _: &mut Ctx, head: &ResponseHead) -> u64 {
        assert!(!self.0.panics || head.status != 200, "told to");
        10
    }

    fn response<'a>(&'a self, _: &'a mut Ctx, _: &'a mut Response) -> Step<'a> {
        Step::Wait(Box::pin(async { self.outcome() }))
    }
}

impl HeaderFilter for Faulty {
    fn header_filter(&self, _: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        head.fields.push(b"X-Half-Done", b"1");
        self.fail()
    }
}

impl BodyFilter for Faulty {
    fn body_filter(&self, _: &mut Ctx, _: Frame, _: &mut Frames) -> Result<(), PluginError> {
        self.fail()
    }
}

impl Log for Faulty {
    fn log(&self, _: &mut Ctx) {
        assert!(!self.0.panics, "told to");
    }
}

fn options() -> Options {
    Options {
        server: "test".to_owned(),
        strips_identity: true,
        refuses_ambiguous_paths: true,
        refuses_raw_bytes: true,
        real_ip_from: Vec::new(),
        real_ip_header: "x-real-ip".to_owned(),
        real_ip_recursive: false,
        drops_underscores: false,
        drops_tail_slash: false,
        keeps_encoded_slash: false,
        matches_like_servlet: false,
        trusted_addresses: None,
        shows_upstream_status: false,
        default_type: "text/plain".to_owned(),
        html_type: "text/html".to_owned(),
        replay_max: 64 << 10,
        keeps_upstream_fields: false,
        keeps_sent_fields: false,
        pool: PoolLimits::default(),
        tunnel_idle: Duration::from_secs(60),
        limits: Limits::default(),
    }
}

/// One worker on a thread of its own.
struct Gate {
    addr: SocketAddr,
    shared: Arc<Shared>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    fn start(documents: Vec<(&'static str, Value)>) -> Self {
        let (ready, is_ready) = mpsc::sync_channel(1);
        let (end, is_over) = tokio::sync::oneshot::channel();
        let shared = Arc::new(Shared::default());
        let worker_shared = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
            runtime.block_on(async {
                let all = vec![describe::<Faulty>(), describe::<held_answer::Holder>()];
                let plugins = PluginSet::new(all, None, &Map::new(), Compat::default()).unwrap();
                let store = Arc::new(Memory::new());
                let flow = Flow::open(store, Arc::new(plugins), worker_shared.clone()).await.unwrap();
                let writes = documents.into_iter().map(|(path, mut value)| {
                    let key = Key::parse(path).unwrap();
                    value["id"] = json!(key.id());
                    Write::Put { key, value, expect: Expect::Any }
                });
                flow.write(writes.collect()).await.unwrap();
                let dns =
                    DnsOptions { servers: Vec::new(), resolv_conf: None, valid: None, timeout: Duration::from_secs(1) };
                let resolver = Rc::new(Resolver::new(dns));
                let edge = Edge::new(flow, Rc::new(options()), resolver, None, worker_shared);
                let listener = engine::bind(([127, 0, 0, 1], 0).into(), false).unwrap();
                let addr = listener.local_addr().unwrap();
                let (limits, drain) = (Rc::new(Limits::default()), Rc::<Drain>::default());
                engine::serve(vec![listener], edge, limits, drain, Arc::<Census>::default()).unwrap();
                ready.send(addr).unwrap();
                let _ = is_over.await;
            });
        });
        let addr = is_ready.recv().expect("the worker ended before it listened");
        Self { addr, shared, end: Some(end), thread: Some(thread) }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.addr).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the worker panicked");
    }
}

/// Answers every request with "hello" until the test ends.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                while read_head(&mut stream).is_some() {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Secret: 1\r\nContent-Length: 5\r\n\r\nhello");
                }
            });
        }
    });
    addr
}

/// Up to the next empty line; `None` at the end of the connection.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.extend_from_slice(&byte);
    }
    Some(String::from_utf8(head).unwrap())
}

/// A request and the head of its answer, whose body is left unread.
fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    read_head(stream).unwrap_or_default()
}

fn skip_body(stream: &mut TcpStream, head: &str) {
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
}

fn route(uri: &str, node: SocketAddr, plugins: &Value) -> Value {
    json!({ "uri": uri, "plugins": plugins, "upstream": { "nodes": { node.to_string(): 1 } } })
}

fn faulty(phase: &str, panics: bool) -> Value {
    json!({ "faulty": { "phase": phase, "panics": panics } })
}

#[test]
fn a_plugin_that_fails_is_500_for_its_request_and_nobody_elses() {
    let upstream = upstream();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for panics in [false, true] {
        for phase in ["rewrite", "access", "before_proxy", "header_filter"] {
            let gate = Gate::start(vec![
                ("/routes/bad", route("/bad", upstream, &faulty(phase, panics))),
                // What fails on the upstream's answer fails on our own as well.
                ("/routes/dead", route("/dead", dead, &faulty(phase, panics))),
                ("/routes/good", route("/good", upstream, &json!({}))),
            ]);
            let desc = format!("{phase}, panics: {panics}");
            let mut client = gate.client();
            for path in ["/bad", "/dead"] {
                let head = ask(&mut client, path);
                assert!(head.starts_with("HTTP/1.1 500 "), "{desc}: {path}: {head:?}");
                assert!(!head.contains("X-Secret") && !head.contains("X-Half-Done"), "{desc}: {head:?}");
                skip_body(&mut client, &head);
                // The same connection goes on.
                let head = ask(&mut client, "/good");
                assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("X-Secret"), "{desc}: {head:?}");
                skip_body(&mut client, &head);
            }
            let counted = gate.shared.stats.panics.by_plugin().get("faulty").copied().unwrap_or_default();
            assert_eq!(counted, if panics { 2 } else { 0 }, "{desc}");
        }
    }
}

#[test]
fn a_body_filter_that_fails_never_ends_a_body_as_if_it_were_whole() {
    let upstream = upstream();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for panics in [false, true] {
        let gate = Gate::start(vec![
            ("/routes/bad", route("/bad", upstream, &faulty("body_filter", panics))),
            ("/routes/dead", route("/dead", dead, &faulty("body_filter", panics))),
            ("/routes/good", route("/good", upstream, &json!({}))),
        ]);
        let mut client = gate.client();
        client.write_all(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut all = Vec::new();
        // A reset is as good as an end.
        let _ = client.read_to_end(&mut all);
        let all = String::from_utf8_lossy(&all);
        assert!(!all.contains("hello") && !all.ends_with("0\r\n\r\n"), "panics: {panics}: {all:?}");
        // Where no head was sent yet there is an answer.
        let mut client = gate.client();
        let head = ask(&mut client, "/dead");
        assert!(head.starts_with("HTTP/1.1 500 "), "panics: {panics}: {head:?}");
        skip_body(&mut client, &head);
        assert!(ask(&mut client, "/good").starts_with("HTTP/1.1 200 "), "panics: {panics}");
        let counted = gate.shared.stats.panics.by_plugin().get("faulty").copied().unwrap_or_default();
        assert_eq!(counted, if panics { 2 } else { 0 });
    }
}

#[test]
fn a_panic_in_the_log_phase_spoils_nothing() {
    let gate = Gate::start(vec![("/routes/1", route("/", upstream(), &faulty("log", true)))]);
    let mut client = gate.client();
    for n in 1..=3 {
        let head = ask(&mut client, "/");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head:?}");
        skip_body(&mut client, &head);
        // The phase comes after the answer: the next request of the connection comes after it.
        let counted = gate.shared.stats.panics.by_plugin().get("faulty").copied().unwrap_or_default();
        assert!(counted == n || counted == n - 1, "{counted} after {n}");
    }
}
