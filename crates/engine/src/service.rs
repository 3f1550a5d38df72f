use std::{net::SocketAddr, rc::Rc};
use wire::{Downstream, PeerAddr, RequestHead};

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionFacts {
    /// The client's end.
    pub peer: PeerAddr,
    /// Our end.
    pub local: SocketAddr,
}

/// What serves requests. It must queue a response head on `downstream`, or abort it, before its future ends.
pub trait Service: 'static {
    /// Serves one request. The future may be dropped at any point when the client goes away.
    fn serve(
        &self,
        head: RequestHead,
        downstream: Rc<dyn Downstream>,
        connection: ConnectionFacts,
    ) -> impl Future<Output = ()>;

    /// A request was refused before it could be served; `reason` is one of a closed set of names.
    fn refused(&self, connection: ConnectionFacts, status: u16, reason: &'static str);
}
