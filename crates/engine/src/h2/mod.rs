//! HTTP/2 with clients, by prior knowledge (RFC 9113).

use crate::{ConnectionFacts, Limits, Service, worker::Drain};
use bytes::Bytes;
use std::rc::Rc;
use tokio::net::TcpStream;

/// Serves an HTTP/2 connection whose first bytes, the preface included, have been read.
pub(crate) async fn run<S: Service>(
    _io: TcpStream,
    _read: Bytes,
    _facts: ConnectionFacts,
    _service: Rc<S>,
    _limits: Rc<Limits>,
    _drain: Rc<Drain>,
    _id: u64,
) {
}
