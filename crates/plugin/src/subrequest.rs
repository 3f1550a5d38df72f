use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use std::{net::SocketAddr, rc::Rc};
use wire::{ClientAddr, Fields};

/// A request that a plugin makes to the gateway itself.
#[derive(Debug)]
pub struct Subrequest {
    /// Request line and fields, as they would come on the wire; they are judged as any client's.
    pub head: Vec<u8>,
    /// The body.
    pub body: Bytes,
    /// The client for whom it is made.
    pub client: ClientAddr,
    /// Our end of that client's connection.
    pub local: SocketAddr,
    /// Which connection that is.
    pub serial: u64,
    /// Bytes that the answer's body may have.
    pub max_answer: usize,
}

/// What it was answered.
#[derive(Debug, Default)]
pub struct Subanswer {
    /// The status; 502 for an answer that broke off.
    pub status: u16,
    /// A reason phrase that differs from the registered one.
    pub reason: Option<Box<[u8]>>,
    /// Header fields.
    pub fields: Fields,
    /// The body.
    pub body: Bytes,
    /// Whether the body was longer than it may be.
    pub is_too_long: bool,
}

/// Takes requests into the request path of the worker: routes, plugins and upstreams, and nothing else of the gateway.
pub trait Dispatcher {
    /// Answers one. Dropped before its end it is logged as a request whose client went away.
    fn dispatch(self: Rc<Self>, request: Subrequest) -> LocalBoxFuture<'static, Subanswer>;
}
