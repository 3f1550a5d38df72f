use crate::RequestBody;
use model::vars::BodyNeed;
use wire::{BodyError, Fields, Method, Version};

/// The request as the chain sees it. Plugins change `fields`; method, target and host of the upstream request are
/// changed in [`crate::UpstreamRequest`].
#[allow(missing_debug_implementations)]
pub struct Request {
    /// The method as received.
    pub method: Method,
    /// The target as received: path and query.
    pub target: Vec<u8>,
    /// The version in which it was received.
    pub version: Version,
    /// Header fields, as later plugins and the upstream will see them.
    pub fields: Fields,
    /// The authority as received (`Host`), with its port if it had one.
    pub authority: Vec<u8>,
    /// The host in lower case without port and trailing dot; what routing sees.
    pub host: String,
    /// The canonical path, see [`wire::path::MatchPath`].
    pub path: Vec<u8>,
    /// The raw query, without `?`.
    pub query: Option<Vec<u8>>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The body.
    pub body: RequestBody,
}

impl Request {
    /// The first value of a query argument, decoded.
    pub fn arg(&self, name: &[u8]) -> Option<Vec<u8>> {
        let query = self.query.as_deref()?;
        query.split(|&b| b == b'&').find_map(|pair| {
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let key = halves.next()?;
            if key.is_empty() || *wire::path::decode_query(key) != *name {
                return None;
            }
            Some(wire::path::decode_query(halves.next().unwrap_or_default()).into_owned())
        })
    }

    /// A cookie's value.
    pub fn cookie(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.get_all("cookie").flat_map(|line| line.split(|&b| b == b';')).find_map(|pair| {
            let pair = pair.trim_ascii();
            let (key, value) = pair.split_at_checked(pair.iter().position(|&b| b == b'=')?)?;
            (key == name).then(|| value.get(1..).unwrap_or_default())
        })
    }

    /// Reads the body into memory as far as variables need it. One that is longer than they may look into stays with the client,
    /// and variables of it are hidden then.
    ///
    /// # Errors
    /// What reading it ended with.
    pub async fn gather(&mut self, need: BodyNeed) -> Result<(), BodyError> {
        let offered = self.offered();
        let limits = self.body.limits();
        let arguments = if need.arguments && offered.arguments { limits.arguments } else { 0 };
        let graphql = if need.graphql && offered.graphql { limits.graphql } else { 0 };
        let max = arguments.max(graphql);
        if max == 0 { Ok(()) } else { self.body.gather(max).await.map(drop) }
    }

    /// What variables could look into, if it were in memory.
    pub(crate) fn unread(&self) -> BodyNeed {
        if self.body.is_known() { BodyNeed::NONE } else { self.offered() }
    }

    /// What variables could find in a body of this kind.
    fn offered(&self) -> BodyNeed {
        let is_readable = self.fields.get_str("content-type").is_some_and(|kind| {
            ["application/x-www-form-urlencoded", "application/json", "multipart/form-data", "application/graphql"]
                .iter()
                .any(|known| kind.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known)))
        });
        BodyNeed { arguments: is_readable, graphql: self.method == Method::Post }
    }
}
