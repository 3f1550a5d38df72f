//! HTTP/1.0 and 1.1 on both sides (RFC 9112), strict by construction.

mod chunked;
pub mod client;
mod encode;
mod framing;
mod incoming;
pub mod parse;
mod queue;
pub(crate) mod server;

pub(crate) use chunked::is_forbidden_trailer;
pub use chunked::{Chunk, Chunked};
pub use framing::Framing;
#[cfg(test)]
pub(crate) use queue::Queue;
