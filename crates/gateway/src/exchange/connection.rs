//! Connections to servers: those that are kept, and new ones.

use super::{
    Edge,
    relay::{AttemptError, within},
};
use engine::{
    h1::client::{Client, UpstreamError},
    tls::Secure,
};
use std::{net::SocketAddr, time::Duration};
use wire::Method;

/// A connection for one attempt.
pub(super) struct Connected {
    pub(super) client: Box<Client>,
    /// How long it took to get it, with the handshake where there is one.
    pub(super) took: Duration,
    pub(super) is_kept: bool,
}

impl Edge {
    /// A connection to a server: one that is kept if there is one and it `may_be_kept`, else a new one within `limit`.
    pub(super) async fn connect(
        &self,
        addr: SocketAddr,
        secure: Option<Secure<'_>>,
        limit: Duration,
        may_be_kept: bool,
    ) -> Result<Connected, AttemptError> {
        if may_be_kept && let Some(client) = self.pool.take(addr, secure) {
            return Ok(Connected { client, took: Duration::ZERO, is_kept: true });
        }
        let begun = engine::now();
        match within(limit, Client::connect(addr, secure)).await {
            Some(Ok(client)) => Ok(Connected { client: Box::new(client), took: engine::now() - begun, is_kept: false }),
            Some(Err(error)) => Err(UpstreamError::Io(error).into()),
            None => Err(AttemptError::TimedOut("accept the connection")),
        }
    }
}

/// Whether a connection that was kept for the next request had ended before it came: then nobody has failed, and a new one is tried.
pub(super) fn was_dead(is_kept: bool, error: &AttemptError) -> bool {
    is_kept && matches!(error, AttemptError::Upstream(UpstreamError::Closed))
}

/// Whether a request can be made again without being done twice. `has_sent`: something of it has left.
pub(super) fn may_repeat(method: &Method, has_sent: bool) -> bool {
    method.is_idempotent() || !has_sent
}
