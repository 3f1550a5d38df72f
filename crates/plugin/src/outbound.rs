use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use std::{rc::Rc, time::Duration};
use wire::{Fields, Method};

/// A request that a plugin makes to another server, over plain HTTP/1.1.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// The server: a name or an address, without brackets.
    pub server: String,
    /// Its port.
    pub port: u16,
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
