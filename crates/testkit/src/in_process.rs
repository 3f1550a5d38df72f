//! A gateway without a network: the real configuration flow and the real request path between a client that is no
//! connection and an upstream that is no server.

use crate::{
    case::{Request, Upstream},
    client::Client,
    compare::{Answer, Seen},
    play::{ENVIRONMENT, Gateway},
    upstream::FakeUpstream,
};
use engine::{PoolLimits, Service, h1};
use gateway::{
    exchange::Edge,
    flow::{Flow, Write},
    options,
    plugins::PluginSet,
    upstream::dns::{DnsOptions, Resolver},
};
use model::{differences::Profile, documents::Key, settings::Settings};
use plugin::Shared;
use serde_json::Value;
use std::{net::SocketAddr, rc::Rc, sync::Arc};
use store::{Expect, Memory};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use wire::{ConnectionFacts, Downstream, PeerAddr, RequestHead};

/// Where the upstream is said to be. Nobody connects to it: connections come from [`FakeUpstream::connect`].
const NODE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// A gateway inside the process, with all plugins.
#[allow(missing_debug_implementations)]
pub struct InProcess {
    runtime: LocalRuntime,
    flow: Arc<Flow>,
    edge: Rc<Edge>,
    upstream: FakeUpstream,
}

impl InProcess {
    /// With the settings of a profile.
    ///
    /// # Panics
    /// When the gateway cannot be made.
    pub fn start(profile: Profile) -> Self {
        let name = match profile {
            Profile::Secure => "secure",
            Profile::Apisix => "apisix",
        };
        let (settings, _) = Settings::parse(Some(&format!("portcullis: {{ profile: {name} }}")), &|_| None).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        let shared = Arc::new(Shared::default());
        let plugins = PluginSet::new(catalog::all(), None, &settings.plugin_attr, settings.compat).unwrap();
        let variable = |name: &str| ENVIRONMENT.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let plugins = plugins.with_environment(Arc::new(variable));
        let flow = runtime.block_on(Flow::open(Arc::new(Memory::new()), Arc::new(plugins), shared.clone())).unwrap();
        let dns = DnsOptions { servers: Vec::new(), resolv_conf: None, valid: None, timeout: settings.dns.timeout };
        let (options, resolver) = (Rc::new(options::options(&settings)), Rc::new(Resolver::new(dns)));
        let edge = Edge::new(flow.clone(), options, resolver, None, shared);
        Self { runtime, flow, edge, upstream: FakeUpstream::default() }
    }

    fn write(&self, write: Write) -> Result<(), String> {
        self.runtime.block_on(self.flow.write(vec![write])).map(drop).map_err(|error| error.to_string())
    }
}

fn key(path: &str) -> Key {
    Key::parse(&format!("/{path}")).unwrap_or_else(|error| panic!("{error}"))
}

impl Gateway for InProcess {
    fn put(&mut self, path: &str, document: &Value) -> Result<(), String> {
        let key = key(path);
        let mut value = document.clone();
        // As the Admin API completes it.
        if !path.starts_with("consumers/") {
            value["id"] = key.id().into();
        }
        self.write(Write::Put { key, value, expect: Expect::Any })
    }

    fn delete(&mut self, path: &str) {
        // One that is not there is gone already.
        let _ = self.write(Write::Delete { key: key(path), expect: Expect::Any, is_forced: true });
    }

    fn has(&mut self, path: &str) -> bool {
        self.flow.documents().get(&key(path)).is_some()
    }

    fn upstream(&mut self, answer: &Upstream) -> SocketAddr {
        self.upstream.answer.replace(answer.clone());
        NODE
    }

    fn ask(&mut self, request: &Request) -> (Answer, Vec<Seen>) {
        let (edge, upstream) = (self.edge.clone(), self.upstream.clone());
        upstream.seen.borrow_mut().clear();
        let head = head(request);
        let client = Rc::new(Client::sending(request.request_body.as_deref(), request.method != "HEAD"));
        let downstream: Rc<dyn Downstream> = client.clone();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let connection = ConnectionFacts { peer: PeerAddr::new(local(50_000)), local: local(9080), serial: 1 };
        self.runtime.block_on(async {
            // The request path takes idle connections before it makes new ones.
            let idle = Box::new(h1::client::Client::over(upstream.connect().unwrap()));
            edge.pool.put(NODE, idle, &PoolLimits::default());
            edge.serve(head, downstream, connection).await;
        });
        (client.answer(), upstream.seen.take())
    }
}

/// The head, through the parser that every client's goes through.
fn head(request: &Request) -> RequestHead {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.uri);
    for (name, value) in request.lines() {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut head = RequestHead::default();
    if let Err(refused) = h1::parse::request(text.as_bytes(), &engine::Limits::default(), &mut head) {
        panic!("{} {}: a case sends what the codec refuses: {refused:?}", request.method, request.uri);
    }
    head
}
