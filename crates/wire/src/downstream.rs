//! The seam between a codec and the request path: what a request's exchange may ask of its client.

use crate::{BodyError, BodyLength, Frame, ResponseHead};
use std::{
    task::{Context, Poll},
    time::Instant,
};

/// Why nothing more can be sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The client went away.
    #[error("the client closed the connection")]
    Gone,
    /// The client took too long to read.
    #[error("the client did not read in time")]
    TimedOut,
}

/// Where a request body comes from.
pub trait BodySource {
    /// Pulls the next frame. After `End` it stays `End`. The first call sends `100 Continue` when the client waits for it.
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>>;

    /// What the head says of the length.
    fn length(&self) -> BodyLength;

    /// Refuses bodies above so many bytes from now on, and no shorter ones.
    fn limit(&self, max: u64);
}

/// One request's client: the body that it sends, and the response that it takes.
///
/// Handles are shared (`Rc`) and methods take `&self`: both directions run at once in one task.
pub trait Downstream: BodySource {
    /// Sends an interim response (1xx but 101) at once. Clients of HTTP/1.0 get none.
    fn send_interim(&self, head: &ResponseHead);

    /// Queues the response head. Fields that frame the message are the codec's business and are not in `head`.
    fn send_head(&self, head: &ResponseHead, body: BodyLength);

    /// Queues a frame of the body. Call [`Downstream::poll_ready`] first to keep the queue bounded.
    fn send_frame(&self, frame: Frame);

    /// Ready when the queue has room for another frame; writes what is queued while waiting.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>>;

    /// Ready when all that was queued has been handed to the operating system.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>>;

    /// Ready when the client has gone away; pending otherwise.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ready when the deadline has passed. One timer serves all waits of an exchange, so it has to be asked again after each wake-up.
    fn poll_deadline(&self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()>;

    /// Closes the connection after this response. Where several streams share one, only the stream ends.
    fn close_after(&self);

    /// Ends the exchange without completing the response: the connection (or stream) is reset.
    fn abort(&self);

    /// Bytes sent to the client for this request so far: `(head and body, body)`.
    fn bytes_sent(&self) -> (u64, u64);

    /// Bytes received from the client for this request so far, head and body.
    fn bytes_received(&self) -> u64;

    /// Requests served on this connection so far, this one included.
    fn connection_requests(&self) -> u64;

    /// Whether it is a plugin of the gateway that asks, for a client of its own, and not a client itself.
    fn is_subrequest(&self) -> bool {
        false
    }

    /// After a 101 was sent: takes over the raw connection. `None` where the protocol has no such thing.
    fn tunnel(&self) -> Option<Box<dyn Tunnel>>;
}

/// A raw connection after an upgrade.
pub trait Tunnel {
    /// Reads some bytes; 0 at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<std::io::Result<usize>>;
    /// Writes some bytes.
    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>>;
    /// Ends the sending direction.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>>;
}
