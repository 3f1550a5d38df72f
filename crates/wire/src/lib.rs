//! HTTP messages as plain values: heads, fields, frames, addresses.
//!
//! Nothing here does I/O or knows a codec. HTTP/1, HTTP/2 and later HTTP/3 meet the rest of the gateway in
//! the two pull traits of [`downstream`].
#![forbid(unsafe_code)]

mod addr;
pub mod body;
pub mod downstream;
mod fields;
mod head;
mod method;
pub mod path;
pub mod status;
mod text;

pub use addr::{ClientAddr, ConnectionFacts, PeerAddr};
pub use body::{BodyError, Frame};
pub use downstream::{BodySource, Downstream, SendError};
pub use fields::{Fields, Line, Names};
pub use head::{BodyLength, RequestHead, ResponseHead, Source, Version};
pub use method::Method;
pub use text::Text;
