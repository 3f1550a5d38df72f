use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use std::{any::Any, fmt, rc::Rc, sync::Arc, time::Duration};
use wire::{Fields, Method};

/// A request that a plugin makes to another server, over HTTP/1.1.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// The server: a name or an address, without brackets.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How it is asked over TLS, if it is.
    pub tls: Option<OutboundTls>,
    /// The method.
    pub method: Method,
    /// Path and query as they go on the wire.
    pub target: Vec<u8>,
    /// The `Host` field.
    pub host: Vec<u8>,
    /// All other fields but those that concern the connection.
    pub fields: Fields,
    /// The body.
    pub body: Bytes,
    /// Time to connect.
    pub connect: Duration,
    /// Time between two writes.
    pub send: Duration,
    /// Time between two reads.
    pub read: Duration,
    /// Bytes that the answer's body may have.
    pub max_answer: usize,
}

/// How a server is asked over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundTls {
    /// The name that it is asked for and that its certificate has to be for; a port behind it does not count.
    pub name: Vec<u8>,
    /// Whether its certificate has to be good.
    pub trust: Trust,
}

/// Whether a server has to show a certificate that is good for its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// It has to.
    Verified,
    /// Any certificate will do.
    Unverified,
    /// As upstreams have to that say nothing about it.
    AsUpstreams,
    /// As this upstream, which is shown what it asks for, too.
    AsUpstream(UpstreamTls),
}

/// What an upstream's connections over TLS are made with, for who makes them.
#[derive(Clone)]
pub struct UpstreamTls(pub Arc<dyn Any + Send + Sync>);

impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for UpstreamTls {}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamTls")
    }
}

/// What a server answered.
#[derive(Debug, Default)]
pub struct OutboundAnswer {
    /// The status.
    pub status: u16,
    /// Header fields.
    pub fields: Fields,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The server could not be reached, broke off, or took too long.
    #[error("{0}")]
    Failed(String),
    /// The answer is longer than it may be.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// Sends requests of plugins to other servers, over the connections of the worker that asks.
pub trait Courier {
    /// Sends one and waits for the whole answer. A connection that died unnoticed is replaced once.
    fn send(self: Rc<Self>, request: Outbound) -> LocalBoxFuture<'static, Result<OutboundAnswer, OutboundError>>;

    /// Goes on with `work` beside the request that asks. `false`: so much goes on already that this does not.
    fn detach(self: Rc<Self>, work: LocalBoxFuture<'static, ()>) -> bool;
}
