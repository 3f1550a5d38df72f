use crate::{ChosenUpstream, Consumer, Directory, Request, Shared, UpstreamRequest, graphql::Graphql};
use std::{
    any::Any,
    borrow::Cow,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};
use wire::{ClientAddr, ConnectionFacts, Downstream, PeerAddr, Source};

/// What plugins may know of the matched route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteFacts {
    /// The route's id.
    pub id: Arc<str>,
    /// Its name; empty when it has none.
    pub name: Arc<str>,
    /// Its service's id.
    pub service_id: Option<Arc<str>>,
    /// Its service's name.
    pub service_name: Option<Arc<str>>,
    /// Its plugin config's id.
    pub plugin_config_id: Option<Arc<str>>,
}

/// Which running slot of the chain a piece of state belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotId(pub usize);

/// Times of one exchange.
#[derive(Debug, Clone)]
pub struct Timings {
    /// When the head had arrived.
    pub started: Instant,
    /// Time spent with the upstream: from connecting to the last byte.
    pub upstream: Option<Duration>,
    /// Time to the upstream's head.
    pub upstream_header: Option<Duration>,
    /// Time to connect; zero on a pooled connection.
    pub upstream_connect: Option<Duration>,
    /// The whole exchange; set when the log phase begins.
    pub total: Duration,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct ResponseFacts {
    /// The status sent; 0 before there is one, 499 when the client went away before.
    pub status: u16,
    /// The upstream's own status, the last attempt's.
    pub upstream_status: Option<u16>,
    /// Who made the response.
    pub source: Source,
    /// Bytes sent to the client.
    pub bytes_sent: u64,
    /// Bytes of the body sent to the client.
    pub body_bytes_sent: u64,
    /// Bytes received from the client.
    pub bytes_received: u64,
    /// Fields sent, kept only when something in the configuration asks for `$sent_http_*`.
    pub fields: wire::Fields,
    /// Fields of the upstream's answer, kept only when something asks for `$upstream_http_*`.
    pub upstream_fields: wire::Fields,
    /// Bytes of the upstream's body, when there was an answer of its.
    pub upstream_body_bytes: Option<u64>,
    /// Bytes sent and received in each attempt that has ended or has an answer.
    pub upstream_bytes: smallvec::SmallVec<[(u64, u64); 1]>,
}

/// The context of one request, from its head to its log phase.
#[allow(missing_debug_implementations)]
pub struct Ctx {
    /// The request.
    pub request: Request,
    /// The other end of the connection.
    pub peer: PeerAddr,
    /// Our end of the connection.
    pub local: SocketAddr,
    /// Which connection of the process it is.
    pub connection: u64,
    /// The client; written again only by real-ip.
    pub client: ClientAddr,
    /// The matched route.
    pub route: Option<Arc<RouteFacts>>,
    /// The pattern of the route that matched, and its host pattern: for metrics.
    pub matched_uri: Option<Arc<str>>,
    /// The host pattern of the route that matched.
    pub matched_host: Option<Arc<str>>,
    /// The parameters of the pattern that matched, `uri_param_*`: names and values.
    pub uri_params: Vec<(Arc<str>, Vec<u8>)>,
    /// What goes upstream instead of the request as received.
    pub upstream: UpstreamRequest,
    /// The node that was picked last: `(host as configured, address)`.
    pub node: Option<(Arc<str>, SocketAddr)>,
    /// Every upstream address that was tried.
    pub tried: smallvec::SmallVec<[SocketAddr; 2]>,
    /// Times.
    pub timings: Timings,
    /// What was answered.
    pub response: ResponseFacts,
    /// `$request_id`, and `$apisix_request_id`: made on first use.
    pub request_id: std::cell::OnceCell<String>,
    /// Captures of proxy-rewrite's `regex_uri`, published for templates (`$1`).
    pub captures: Vec<Vec<u8>>,
    /// Process-wide state.
    pub shared: Arc<Shared>,
    graphql: std::cell::OnceCell<Graphql>,
    consumer: Option<Arc<Consumer>>,
    directory: Rc<dyn Directory>,
    downstream: Rc<dyn Downstream>,
    state: smallvec::SmallVec<[(SlotId, Box<dyn Any>); 2]>,
    running: SlotId,
    skipped: smallvec::SmallVec<[&'static str; 1]>,
}

impl Ctx {
    /// The context of a request that just arrived.
    pub fn new(
        request: Request,
        connection: ConnectionFacts,
        client: ClientAddr,
        directory: Rc<dyn Directory>,
        downstream: Rc<dyn Downstream>,
        shared: Arc<Shared>,
        started: Instant,
    ) -> Self {
        let timings =
            Timings { started, upstream: None, upstream_header: None, upstream_connect: None, total: Duration::ZERO };
        let response = ResponseFacts {
            status: 0,
            upstream_status: None,
            source: Source::Gateway,
            bytes_sent: 0,
            body_bytes_sent: 0,
            bytes_received: 0,
            fields: wire::Fields::new(),
            upstream_fields: wire::Fields::new(),
            upstream_body_bytes: None,
            upstream_bytes: smallvec::SmallVec::new(),
        };
        Self {
            request,
            peer: connection.peer,
            local: connection.local,
            connection: connection.serial,
            client,
            route: None,
            matched_uri: None,
            matched_host: None,
            uri_params: Vec::new(),
            upstream: UpstreamRequest::default(),
            node: None,
            tried: smallvec::SmallVec::new(),
            timings,
            response,
            request_id: std::cell::OnceCell::new(),
            captures: Vec::new(),
            shared,
            graphql: std::cell::OnceCell::new(),
            consumer: None,
            directory,
            downstream,
            state: smallvec::SmallVec::new(),
            running: SlotId::default(),
            skipped: smallvec::SmallVec::new(),
        }
    }

    /// The authenticated consumer.
    pub fn consumer(&self) -> Option<&Arc<Consumer>> {
        self.consumer.as_ref()
    }

    /// Sets who makes the request: the only writer of identity variables and of the identity fields that go upstream
    /// (`X-Consumer-Username`, `X-Credential-Identifier`, `X-Consumer-Custom-ID`).
    pub fn set_consumer(&mut self, consumer: Arc<Consumer>) {
        let fields = &mut self.request.fields;
        fields.set("X-Consumer-Username", consumer.name.as_bytes());
        for (name, value) in
            [("X-Credential-Identifier", &consumer.credential_id), ("X-Consumer-Custom-ID", &consumer.custom_id)]
        {
            match value {
                Some(value) => fields.set(name, value.as_bytes()),
                None => {
                    fields.remove(name);
                }
            }
        }
        self.consumer = Some(consumer);
    }

    /// What may be looked up in the snapshot.
    pub fn directory(&self) -> &Rc<dyn Directory> {
        &self.directory
    }

    /// The client's side of the exchange.
    pub fn downstream(&self) -> &Rc<dyn Downstream> {
        &self.downstream
    }

    /// A plugin's metadata.
    pub fn metadata<P: crate::Plugin>(&self) -> Option<Arc<P::Metadata>> {
        self.directory.metadata(P::NAME)?.downcast().ok()
    }

    /// The state of the running slot, made on first use.
    pub fn state<S: Default + 'static>(&mut self) -> &mut S {
        let running = self.running;
        let at = match self.state.iter().position(|(id, any)| *id == running && any.is::<S>()) {
            Some(at) => at,
            None => {
                self.state.push((running, Box::<S>::default()));
                self.state.len() - 1
            }
        };
        match self.state.get_mut(at).and_then(|(_, any)| any.downcast_mut()) {
            Some(state) => state,
            None => unreachable!("the position was found by this type"),
        }
    }

    /// Sends the request to the upstream with this id instead of the route's.
    pub fn choose_upstream_id(&mut self, id: Arc<str>) {
        self.upstream.chosen = Some(ChosenUpstream::Id(id));
    }

    /// Sends the request to one of the running plugin's own upstreams ([`crate::Hooks::upstreams`]).
    pub fn choose_own_upstream(&mut self, index: usize) {
        self.upstream.chosen = Some(ChosenUpstream::Own(self.running, index));
    }

    /// Sends the request to the route's upstream, whatever was chosen before.
    pub fn choose_route_upstream(&mut self) {
        self.upstream.chosen = None;
    }

    /// Keeps the other instances of a plugin from running from now on, because the running one has done what they would.
    pub fn skip_plugin(&mut self, name: &'static str) {
        if !self.skips(name) {
            self.skipped.push(name);
        }
    }

    /// Whether instances of a plugin do not run any more.
    pub fn skips(&self, name: &str) -> bool {
        self.skipped.contains(&name)
    }

    /// Says which slot runs next; the chain's runner calls it before each hook.
    pub fn enter(&mut self, slot: SlotId) {
        self.running = slot;
    }

    /// Waits; no longer than the client does.
    pub async fn sleep(&self, time: Duration) {
        let deadline = Instant::now().checked_add(time);
        std::future::poll_fn(|task| {
            if self.downstream.poll_gone(task).is_ready() {
                return Poll::Ready(());
            }
            // A deadline that no clock reaches never comes.
            deadline.map_or(Poll::Pending, |deadline| self.downstream.poll_deadline(task, deadline))
        })
        .await;
    }

    /// What the request says in GraphQL; read once, when its body is known.
    pub(crate) fn graphql(&self) -> &Graphql {
        if self.request.method == wire::Method::Post && !self.request.body.is_known() {
            return &Graphql::Absent;
        }
        self.graphql.get_or_init(|| Graphql::of(&self.request))
    }

    /// The request's own id, 32 hexadecimal digits.
    pub fn request_id(&self) -> Cow<'_, str> {
        // Not `new_v4`, which asks the kernel each time.
        let made = || uuid::Builder::from_random_bytes(rand::random()).into_uuid().simple().to_string();
        Cow::Borrowed(self.request_id.get_or_init(made))
    }
}
