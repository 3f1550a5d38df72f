//! Bodies as a sequence of frames.

use crate::Fields;
use bytes::Bytes;

/// A piece of a body. A body is any number of `Data`, then at most one `Trailers`, then `End`.
#[derive(Debug, Clone)]
pub enum Frame {
    /// Content.
    Data(Bytes),
    /// Trailer fields (RFC 9110, section 6.5).
    Trailers(Fields),
    /// The body is complete.
    End,
}

/// Why a body could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The framing is broken; the reason is one of a closed set of names.
    #[error("malformed body: {0}")]
    Malformed(&'static str),
    /// The peer went away in the middle.
    #[error("the peer closed the connection in the middle of the body")]
    Gone,
    /// It took longer than the deadline, or came slower than the minimum rate.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// More bytes than may be buffered or received.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// The process-wide budget of buffered bytes is used up.
    #[error("no memory is left to buffer the body")]
    NoBudget,
}
