//! One request's way through the gateway, as one function that reads from top to bottom.

pub mod access_log;
mod connection;
mod courier;
pub mod explain;
mod forward;
mod forwarded;
mod held_answer;
mod relay;
mod request;
mod response;
mod subrequest;
#[cfg(test)]
mod tests;
mod tunnel;
mod upstream_head;

use crate::{
    chain::{EffectiveChain, run},
    flow::Flow,
    route::RouteQuery,
    snapshot::{CompiledRoute, Snapshot},
    upstream::{CompiledUpstream, Pick, Registry, dns::Resolver},
};
use access_log::AccessLog;
use bytes::Bytes;
use engine::{Limits, Pool, PoolLimits, Service};
use ipnet::IpNet;
use model::vars::ExprFault;
use plugin::{
    BodyLimits, Consumer, Courier, CredentialIndex, Ctx, Directory, Dispatcher, PluginError, PublicApi, Reply,
    RouteFacts, ServiceNode, Shared, Unreadable,
};
use request::Received;
use std::{
    any::Any,
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use wire::{BodyLength, ConnectionFacts, Downstream, Frame, Method, RequestHead, ResponseHead};

/// Settings of the request path, the same for all workers.
#[derive(Debug, Clone)]
pub struct Options {
    /// `Server` of every response; APISIX overwrites the upstream's.
    pub server: String,
    /// Whether fields that carry identity are removed on the way in.
    pub strips_identity: bool,
    /// Whether paths that two parsers could read differently are refused.
    pub refuses_ambiguous_paths: bool,
    /// Whether bytes above 0x7F in a target are refused, which RFC 3986 does not allow.
    pub refuses_raw_bytes: bool,
    /// Peers whose word on the client's address counts.
    pub real_ip_from: Vec<IpNet>,
    /// The field in which they say it.
    pub real_ip_header: String,
    /// Whether an address in the field that is one of these peers is passed over for the one before it.
    pub real_ip_recursive: bool,
    /// Whether fields with `_` in their name are dropped.
    pub drops_underscores: bool,
    /// Whether paths are matched without a slash at their end.
    pub drops_tail_slash: bool,
    /// Whether an encoded slash stays encoded where routes are matched.
    pub keeps_encoded_slash: bool,
    /// Whether paths are matched without the parameters of their segments, as servlets do.
    pub matches_like_servlet: bool,
    /// Peers whose `X-Forwarded-*` are kept; `None` keeps everybody's `X-Forwarded-For`, as APISIX does.
    pub trusted_addresses: Option<Vec<IpNet>>,
    /// Whether `X-APISIX-Upstream-Status` is on every response, and not only on an upstream's 5xx.
    pub shows_upstream_status: bool,
    /// `Content-Type` of replies that name none.
    pub default_type: String,
    /// `Content-Type` of the built-in pages.
    pub html_type: String,
    /// Bytes of a body that is read before an upstream is asked, so that it can be sent again.
    pub replay_max: u64,
    /// Whether `$upstream_http_*` is asked for by a log format or a plugin's settings.
    pub keeps_upstream_fields: bool,
    /// Whether `$sent_http_*` is asked for by a log format or a plugin's settings.
    pub keeps_sent_fields: bool,
    /// How upstream connections are kept where the upstream itself does not say.
    pub pool: PoolLimits,
    /// Time that an upgraded connection may be silent.
    pub tunnel_idle: Duration,
    /// Limits on messages.
    pub limits: Limits,
}

/// One worker's request path.
#[allow(missing_debug_implementations)]
pub struct Edge {
    this: Weak<Edge>,
    flow: Arc<Flow>,
    held: RefCell<(u64, Rc<Held>)>,
    options: Rc<Options>,
    /// Idle upstream connections.
    pub pool: Rc<Pool>,
    resolver: Rc<Resolver>,
    upstreams: Arc<Registry>,
    access_log: Option<Arc<AccessLog>>,
    shared: Arc<Shared>,
    bodies: Rc<BodyLimits>,
    /// What goes on beside requests.
    detached: Rc<Cell<usize>>,
}

/// The snapshot that a request runs on.
pub(crate) struct Held(pub(crate) Arc<Snapshot>, Weak<Edge>);

impl CredentialIndex for Held {
    fn find(&self, plugin: &str, key: &[u8]) -> Option<(Arc<Consumer>, Arc<dyn Any + Send + Sync>)> {
        self.0.find(plugin, key)
    }
}

impl Directory for Held {
    fn consumer(&self, name: &str) -> Option<Arc<Consumer>> {
        self.0.consumer(name)
    }
    fn has_credentials(&self, plugin: &str) -> bool {
        self.0.has_credentials(plugin)
    }
    fn metadata(&self, plugin: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0.metadata(plugin)
    }
    fn decorations(&self, service: &str) -> Result<Option<Arc<dyn Any + Send + Sync>>, Unreadable> {
        self.0.decorations(service)
    }
    fn service_node(&self, route: &RouteFacts, authority: &[u8]) -> Option<ServiceNode> {
        self.0.service_node(route, authority)
    }
    fn has_upstream(&self, id: &str) -> bool {
        self.0.has_upstream(id)
    }
    fn dispatcher(&self) -> Option<Rc<dyn Dispatcher>> {
        self.1.upgrade().map(|edge| edge as Rc<dyn Dispatcher>)
    }
    fn courier(&self) -> Option<Rc<dyn Courier>> {
        self.1.upgrade().map(|edge| edge as Rc<dyn Courier>)
    }
    fn public_api(&self, method: &Method, path: &str) -> Option<PublicApi> {
        self.0.public_api(method, path)
    }
}

impl Edge {
    /// The request path of the calling worker.
    pub fn new(
        flow: Arc<Flow>,
        options: Rc<Options>,
        resolver: Rc<Resolver>,
        access_log: Option<Arc<AccessLog>>,
        shared: Arc<Shared>,
    ) -> Rc<Self> {
        Rc::new_cyclic(|this| {
            let generation = flow.generation().load(Ordering::Acquire);
            let held = RefCell::new((generation, Rc::new(Held(flow.snapshot(), this.clone()))));
            let bodies = Rc::new(shared.bodies.clone());
            let this = this.clone();
            Self {
                this,
                flow,
                held,
                options,
                pool: Rc::default(),
                resolver,
                upstreams: shared.kept(Registry::default),
                access_log,
                shared,
                bodies,
                detached: Rc::default(),
            }
        })
    }

    /// The newest snapshot: one load of a number unless it changed.
    fn snapshot(&self) -> Rc<Held> {
        let generation = self.flow.generation().load(Ordering::Acquire);
        let (held_generation, held) = &mut *self.held.borrow_mut();
        if *held_generation != generation {
            *held = Rc::new(Held(self.flow.snapshot(), self.this.clone()));
            *held_generation = generation;
        }
        held.clone()
    }

    async fn run(&self, head: RequestHead, downstream: Rc<dyn Downstream>, connection: ConnectionFacts) {
        self.shared.stats.requests.fetch_add(1, Ordering::Relaxed);
        let held = self.snapshot();
        let options = &*self.options;
        let (Received { mut request, match_path, upgrade, takes_trailers }, bad_target) =
            request::receive(head, &downstream, &self.bodies, options);
        let client = request::client_addr(connection.peer, &request.fields, options);
        forwarded::arrive(&mut request, &connection, options);
        let directory: Rc<dyn Directory> = held.clone();
        let cx =
            Ctx::new(request, connection, client, directory, downstream.clone(), self.shared.clone(), engine::now());
        let snapshot = &held.0;
        let mut exchange = Exchange {
            edge: self,
            cx,
            held: &held,
            route: None,
            chain: EffectiveChain::none(),
            downstream: &downstream,
            is_logged: false,
            counted: None,
            upgrade,
            takes_trailers,
        };
        if let Some(bad) = bad_target {
            tracing::warn!(reason = bad.reason(), client = %exchange.cx.client, "request refused");
            self.shared.stats.refused.fetch_add(1, Ordering::Relaxed);
            downstream.close_after();
            return exchange.reply(Reply::status(400), wire::Source::Gateway).await;
        }
        if let Err(error) = exchange.cx.request.gather(snapshot.routes().body_need()).await {
            return exchange.refuse_body(&error).await;
        }
        let matched = snapshot.routes().find(&query(&exchange.cx, match_path.as_deref()), &exchange.cx);
        match matched {
            Ok(Some(found)) => {
                exchange.cx.route = Some(found.route.facts.clone());
                exchange.cx.matched_uri = Some(found.uri);
                exchange.cx.matched_host = found.host;
                exchange.cx.uri_params = found.parameters;
                exchange.chain = EffectiveChain::of(&found.route);
                exchange.route = Some(found.route);
            }
            Ok(None) => {}
            Err(fault @ ExprFault::Unread { .. }) => {
                tracing::warn!(%fault, client = %exchange.cx.client, "request refused");
                return exchange.reply(Reply::status(413), wire::Source::Gateway).await;
            }
            Err(fault) => {
                tracing::error!(%fault, "a route's condition could not be evaluated");
                return exchange.reply(Reply::status(500), wire::Source::Gateway).await;
            }
        }
        exchange.run().await;
    }
}

/// What of a request decides about its route; `match_path` is the path for it when that is another.
fn query<'a>(cx: &'a Ctx, match_path: Option<&'a [u8]>) -> RouteQuery<'a> {
    RouteQuery {
        method: cx.request.method.as_str(),
        host: &cx.request.host,
        authority: &cx.request.authority,
        path: match_path.unwrap_or(&cx.request.path),
        client: cx.client.ip(),
    }
}

impl Service for Edge {
    fn serve(
        &self,
        head: RequestHead,
        downstream: Rc<dyn Downstream>,
        connection: ConnectionFacts,
    ) -> impl Future<Output = ()> {
        self.run(head, downstream, connection)
    }

    fn refused(&self, connection: ConnectionFacts, status: u16, reason: &'static str) {
        self.shared.stats.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(reason, status, client = %connection.peer.0.ip(), "request refused");
    }

    fn cut(&self, connection: ConnectionFacts, reason: &'static str) {
        self.shared.stats.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(reason, client = %connection.peer.0.ip(), "connection ended");
    }
}

/// One request. Its end, however it comes, runs the log phase once.
struct Exchange<'a> {
    edge: &'a Edge,
    cx: Ctx,
    held: &'a Held,
    route: Option<Arc<CompiledRoute>>,
    chain: EffectiveChain,
    downstream: &'a Rc<dyn Downstream>,
    is_logged: bool,
    /// The upstream and the node whose health depends on what is answered.
    counted: Option<(Arc<CompiledUpstream>, Pick)>,
    upgrade: Option<Vec<u8>>,
    takes_trailers: bool,
}

impl Exchange<'_> {
    async fn run(&mut self) {
        let (held, shared) = (self.held, &*self.edge.shared);
        let snapshot = &held.0;
        if let Some(reason) = snapshot.closed() {
            tracing::error!(reason, "a global rule is broken: every request is refused");
            return self.reply(Reply::status(503), wire::Source::Gateway).await;
        }
        let global = snapshot.global();
        if let Some(reason) = self.route.as_ref().and_then(|route| route.quarantined.as_deref()) {
            tracing::error!(reason, route = %self.route_id(), "the route is quarantined");
            return self.reply(Reply::status(503), wire::Source::Gateway).await;
        }
        if let Some(status) = self.route.as_ref().and_then(|route| route.missing) {
            tracing::error!(route = %self.route_id(), status, "the route refers to an object that does not exist");
            return self.reply(Reply::status(status), wire::Source::Gateway).await;
        }
        match run::rewrite(global, &mut self.chain, snapshot, &mut self.cx, shared).await {
            Ok(None) => {}
            Ok(Some(reply)) => return self.reply(reply, wire::Source::Plugin).await,
            Err(error) => return self.refuse_body(&error).await,
        }
        if let Some(reply) = run::access(global, &self.chain, &mut self.cx, shared).await {
            return self.reply(reply, wire::Source::Plugin).await;
        }
        let Some(route) = self.route.clone() else {
            let body = serde_json::json!({ "error_msg": "404 Route Not Found" });
            return self.reply(Reply::json(404, &body), wire::Source::Gateway).await;
        };
        self.forward(&route, snapshot).await;
    }

    fn route_id(&self) -> Arc<str> {
        self.cx.route.as_deref().map_or_else(|| "".into(), |RouteFacts { id, .. }| id.clone())
    }

    fn log(&mut self) {
        if std::mem::replace(&mut self.is_logged, true) {
            return;
        }
        let cx = &mut self.cx;
        cx.timings.total = cx.timings.started.elapsed();
        (cx.response.bytes_sent, cx.response.body_bytes_sent) = self.downstream.bytes_sent();
        cx.response.bytes_received = self.downstream.bytes_received();
        run::log(self.held.0.global(), &self.chain, cx);
        if let Some((upstream, node)) = self.counted.take() {
            upstream.answered(&node, cx.response.status);
        }
        if let Some(log) = &self.edge.access_log {
            log.write(cx);
        }
    }

    /// Sends a reply of our own: default page, header filters, body filters.
    async fn reply(&mut self, reply: Reply, source: wire::Source) {
        let (mut head, body) = response::of_reply(reply, source, &self.edge.options);
        if self.header_filter(&mut head).is_err() {
            return self.break_down().await;
        }
        let body = if run::has_body_filter(self.held.0.global(), &self.chain) {
            let mut frames = plugin::Frames::new();
            for frame in [Frame::Data(body), Frame::End] {
                let global = self.held.0.global();
                if run::body_filter(global, &self.chain, &mut self.cx, frame, &mut frames).is_err() {
                    return self.break_down().await;
                }
            }
            let mut whole = bytes::BytesMut::new();
            for frame in frames {
                if let Frame::Data(data) = frame {
                    whole.extend_from_slice(&data);
                }
            }
            whole.freeze()
        } else {
            body
        };
        // A filter may have given the reply a status that has no body.
        let body = if matches!(head.status, 204 | 304) { Bytes::new() } else { body };
        self.send_reply(&head, body).await;
    }

    /// The reply after a filter has failed: 500, which no plugin sees, for the same one would fail again.
    async fn break_down(&mut self) {
        let (mut head, body) = response::of_reply(Reply::status(500), wire::Source::Gateway, &self.edge.options);
        response::common_fields(&mut head, &self.cx, &self.edge.options);
        self.settle(&head);
        self.send_reply(&head, body).await;
    }

    async fn send_reply(&mut self, head: &ResponseHead, body: Bytes) {
        self.downstream
            .send_head(head, if body.is_empty() { BodyLength::None } else { BodyLength::Exact(body.len() as u64) });
        if !body.is_empty() {
            self.downstream.send_frame(Frame::Data(body));
        }
        self.downstream.send_frame(Frame::End);
        if std::future::poll_fn(|cx| self.downstream.poll_flush(cx)).await.is_err() {
            tracing::debug!("the client went away before its reply was written");
        }
    }

    /// # Errors
    /// A filter failed; the head must not be sent.
    fn header_filter(&mut self, head: &mut ResponseHead) -> Result<(), PluginError> {
        response::common_fields(head, &self.cx, &self.edge.options);
        run::header_filter(self.held.0.global(), &self.chain, &mut self.cx, head)?;
        self.settle(head);
        Ok(())
    }

    /// Notes the head that is sent.
    fn settle(&mut self, head: &ResponseHead) {
        self.cx.response.source = head.source;
        self.cx.response.status = head.status;
        if self.edge.options.keeps_sent_fields {
            self.cx.response.fields = head.fields.clone();
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        // Dropped in the middle: the client went away, or a panic unwinds.
        if !self.is_logged && self.cx.response.status == 0 {
            self.cx.response.status = if std::thread::panicking() { 500 } else { 499 };
        }
        self.log();
    }
}
