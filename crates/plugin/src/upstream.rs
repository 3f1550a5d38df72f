use crate::SlotId;
use std::sync::Arc;
use wire::{Fields, Method};

/// What plugins decided about the request that goes upstream.
#[derive(Debug, Default, Clone)]
pub struct UpstreamRequest {
    /// Another method.
    pub method: Option<Method>,
    /// Another target (path and query), encoded as it goes on the wire.
    pub target: Option<Vec<u8>>,
    /// Another `Host`, instead of what `pass_host` says.
    pub host: Option<String>,
    /// Whether also a short body is passed on as it comes, instead of being read before an upstream is asked.
    pub streams_body: bool,
    /// Another upstream than the route's.
    pub chosen: Option<ChosenUpstream>,
}

/// An upstream instead of the route's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChosenUpstream {
    /// By its id.
    Id(Arc<str>),
    /// One of the upstreams that the plugin in this slot has brought, by its place among them.
    Own(SlotId, usize),
}

/// The head that goes upstream in one attempt; rebuilt for each.
#[derive(Debug, Clone)]
pub struct UpstreamHead {
    /// The method.
    pub method: Method,
    /// Path and query as they go on the wire.
    pub target: Vec<u8>,
    /// The `Host` field.
    pub host: Vec<u8>,
    /// All other fields.
    pub fields: Fields,
}
