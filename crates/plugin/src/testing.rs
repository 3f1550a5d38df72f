//! A context for the tests of plugins: a request without a connection, and a directory to put consumers into.

use crate::{Clock, Consumer, CredentialIndex, Ctx, Directory, Outcome, PublicApi, Request, RequestBody, Shared, Step};
use parking_lot::Mutex;
use std::{
    any::Any,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use wire::{
    BodyError, BodyLength, BodySource, ClientAddr, ConnectionFacts, Downstream, Fields, Frame, Method, PeerAddr,
    ResponseHead, SendError, Version, downstream::Tunnel, path,
};

/// The context of a request from 127.0.0.1 that nobody knows.
pub fn ctx(method: &str, target: &str, fields: &[(&str, &str)]) -> Ctx {
    World::default().ctx(method, target, fields)
}

/// The outcome of a step that does not wait.
pub fn ready(step: Step<'_>) -> Outcome {
    match step {
        Step::Ready(outcome) => outcome,
        Step::Wait(mut future) => match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("the step waits for something"),
        },
    }
}

/// A consumer with nothing but a name.
pub fn consumer(name: &str) -> Arc<Consumer> {
    Arc::new(Consumer { name: name.into(), group_id: None, custom_id: None, credential_id: None, labels: Vec::new() })
}

type AnyArc = Arc<dyn Any + Send + Sync>;

/// What requests of a test have in common.
#[derive(Clone)]
#[allow(missing_debug_implementations)]
pub struct World {
    /// Process-wide state.
    pub shared: Arc<Shared>,
    /// The client's address.
    pub client: SocketAddr,
    /// What clients were sent, all requests together.
    pub sent: Arc<Mutex<Sent>>,
    micros: Arc<AtomicU64>,
    known: Known,
}

/// What a client was sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Heads, also interim ones.
    pub heads: Vec<ResponseHead>,
    /// Frames of bodies.
    pub frames: Vec<Frame>,
    /// How many exchanges were reset.
    pub aborted: usize,
}

#[derive(Clone, Default)]
struct Known {
    consumers: Vec<Arc<Consumer>>,
    credentials: Vec<(String, Vec<u8>, Arc<Consumer>, AnyArc)>,
    metadata: Vec<(String, AnyArc)>,
}

impl Default for World {
    /// On 2023-11-14, 22:13:20.
    fn default() -> Self {
        let micros = Arc::new(AtomicU64::new(1_700_000_000_000_000));
        Self {
            shared: Arc::new(Shared::with_clock(Clock::Fake(micros.clone()))),
            client: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)),
            sent: Arc::default(),
            micros,
            known: Known::default(),
        }
    }
}

impl World {
    /// With a consumer.
    #[must_use]
    pub fn with_consumer(mut self, consumer: Arc<Consumer>) -> Self {
        self.known.consumers.push(consumer);
        self
    }

    /// With a credential of a consumer.
    #[must_use]
    pub fn with_credential(mut self, plugin: &str, key: &[u8], consumer: Arc<Consumer>, compiled: AnyArc) -> Self {
        self.known.credentials.push((plugin.to_owned(), key.to_vec(), consumer, compiled));
        self
    }

    /// With a plugin's metadata.
    #[must_use]
    pub fn with_metadata(mut self, plugin: &str, metadata: AnyArc) -> Self {
        self.known.metadata.push((plugin.to_owned(), metadata));
        self
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        self.micros.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// The context of a request.
    ///
    /// # Panics
    /// When the method is no token, or the target no path.
    pub fn ctx(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Ctx {
        let fields: Fields = fields.iter().copied().collect();
        let (raw_path, query) = path::split_query(target.as_bytes());
        let client = Rc::new(Client(self.sent.clone()));
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).expect("a method"),
            target: target.as_bytes().to_vec(),
            version: Version::Http11,
            authority: fields.get("host").unwrap_or(b"localhost").to_vec(),
            host: String::from_utf8_lossy(fields.get("host").unwrap_or(b"localhost")).to_ascii_lowercase(),
            path: path::MatchPath::normalise(raw_path).expect("a path").path,
            query: query.map(<[u8]>::to_vec),
            fields,
            scheme: "http",
            body: RequestBody::new(client.clone(), Rc::new(self.shared.bodies.clone())),
        };
        let connection = ConnectionFacts {
            peer: PeerAddr::new(self.client),
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 9080)),
            serial: 1,
        };
        let directory = Rc::new(self.known.clone());
        Ctx::new(
            request,
            connection,
            ClientAddr(self.client),
            directory,
            client,
            self.shared.clone(),
            std::time::Instant::now(),
        )
    }
}

impl CredentialIndex for Known {
    fn find(&self, plugin: &str, key: &[u8]) -> Option<(Arc<Consumer>, AnyArc)> {
        let found = self.credentials.iter().find(|(of, known, ..)| of == plugin && known == key)?;
        Some((found.2.clone(), found.3.clone()))
    }
}

impl Directory for Known {
    fn consumer(&self, name: &str) -> Option<Arc<Consumer>> {
        self.consumers.iter().find(|consumer| &*consumer.name == name).cloned()
    }

    fn has_credentials(&self, plugin: &str) -> bool {
        self.credentials.iter().any(|(of, ..)| of == plugin)
    }

    fn metadata(&self, plugin: &str) -> Option<AnyArc> {
        self.metadata.iter().find(|(of, _)| of == plugin).map(|(_, metadata)| metadata.clone())
    }

    fn has_upstream(&self, _id: &str) -> bool {
        false
    }

    fn public_api(&self, _method: &Method, _path: &str) -> Option<PublicApi> {
        None
    }
}

/// A client that sends no body and keeps what it is sent.
struct Client(Arc<Mutex<Sent>>);

impl BodySource for Client {
    fn poll_frame(&self, _cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        Poll::Ready(Ok(Frame::End))
    }

    fn length(&self) -> BodyLength {
        BodyLength::None
    }

    fn limit(&self, _max: u64) {}
}

impl Downstream for Client {
    fn send_interim(&self, head: &ResponseHead) {
        self.0.lock().heads.push(head.clone());
    }

    fn send_head(&self, head: &ResponseHead, _body: BodyLength) {
        self.0.lock().heads.push(head.clone());
    }

    fn send_frame(&self, frame: Frame) {
        self.0.lock().frames.push(frame);
    }

    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&self, _cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn poll_deadline(&self, _cx: &mut Context<'_>, deadline: std::time::Instant) -> Poll<()> {
        if std::time::Instant::now() < deadline { Poll::Pending } else { Poll::Ready(()) }
    }

    fn close_after(&self) {}

    fn abort(&self) {
        self.0.lock().aborted += 1;
    }

    fn bytes_sent(&self) -> (u64, u64) {
        (0, 0)
    }

    fn bytes_received(&self) -> u64 {
        0
    }

    fn connection_requests(&self) -> u64 {
        1
    }

    fn tunnel(&self) -> Option<Box<dyn Tunnel>> {
        None
    }
}
