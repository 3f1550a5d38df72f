use crate::{Fields, Method};

/// The protocol version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // each variant is the version it is named after
pub enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    /// As it stands in a request line or in `$server_protocol`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// A request's head.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The request target in origin form (`/path?query`) or `*`, as received. Absolute targets are split by the codec.
    pub target: Vec<u8>,
    /// The authority that the request is for: `Host`, the absolute target's, or `:authority`; empty when there is none (HTTP/1.0).
    pub authority: Vec<u8>,
    /// The version in which it was received.
    pub version: Version,
    /// Header fields; HTTP/2 pseudo-fields are not among them.
    pub fields: Fields,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::Get,
            target: Vec::new(),
            authority: Vec::new(),
            version: Version::Http11,
            fields: Fields::new(),
        }
    }
}

/// Who made a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The upstream.
    Upstream,
    /// A plugin's own reply.
    Plugin,
    /// The gateway itself.
    Gateway,
}

/// A response's head.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// The status code, 100 to 999.
    pub status: u16,
    /// A reason phrase that differs from the registered one.
    pub reason: Option<Box<[u8]>>,
    /// Header fields without those that frame the message.
    pub fields: Fields,
    /// Who made it.
    pub source: Source,
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: u16, source: Source) -> Self {
        Self { status, reason: None, fields: Fields::new(), source }
    }
}

/// What is known of a body's length before it is sent. The codec turns it into framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body, and none can be (a request without one; 204, 304, the answer to HEAD keep their fields).
    None,
    /// Exactly so many bytes.
    Exact(u64),
    /// Unknown until its end.
    Unknown,
}
