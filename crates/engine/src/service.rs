use std::rc::Rc;
use wire::{ConnectionFacts, Downstream, RequestHead};

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

    /// A connection was ended for what its client did on it; `reason` is one of a closed set of names.
    fn cut(&self, connection: ConnectionFacts, reason: &'static str);
}
