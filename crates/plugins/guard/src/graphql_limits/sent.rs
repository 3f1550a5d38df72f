//! Where the documents of a request are.

use model::json::{self, Limits};
use serde_json::Value;
use wire::{Fields, path::decode_query};

/// Deeper than variables and extensions are.
const DEEPEST: usize = 64;

/// How a body carries its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In JSON, as one request or as an array of them.
    Json,
    /// It is the document.
    Document,
}

impl Kind {
    /// By the one content type; nothing else is executed by servers that follow the specification.
    pub(super) fn of(fields: &Fields) -> Option<Self> {
        let line = fields.get_str("content-type")?;
        let name = line.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "application/json" | "application/graphql+json" | "application/graphql-request+json" => Some(Self::Json),
            "application/graphql" => Some(Self::Document),
            _ => None,
        }
    }
}

/// The document in a query.
pub(super) fn in_query(query: Option<&[u8]>) -> Result<String, String> {
    let mut documents = arguments(query).filter(|(name, _)| *name == *b"query").map(|(_, value)| value);
    match (documents.next(), documents.next()) {
        (Some(text), None) => String::from_utf8(text).map_err(|_| "the GraphQL document is no UTF-8".to_owned()),
        (Some(_), Some(_)) => Err("there are two GraphQL documents in the URI".to_owned()),
        (None, _) => Err("there is no GraphQL document".to_owned()),
    }
}

/// Whether a query has an argument.
pub(super) fn has_argument(query: Option<&[u8]>, wanted: &[u8]) -> bool {
    arguments(query).any(|(name, _)| name == wanted)
}

fn arguments(query: Option<&[u8]>) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    query.into_iter().flat_map(|query| query.split(|&b| b == b'&')).map(|pair| {
        let mut halves = pair.splitn(2, |&b| b == b'=').map(|half| decode_query(half).into_owned());
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    })
}

/// The documents in a body, which may have so many in an array.
pub(super) fn in_body(kind: Kind, body: &[u8], batch: usize) -> Result<Vec<String>, String> {
    if kind == Kind::Document {
        let text = std::str::from_utf8(body).map_err(|_| "the GraphQL document is no UTF-8")?;
        return Ok(vec![text.to_owned()]);
    }
    let limits = Limits { bytes: usize::MAX, depth: DEEPEST };
    let value = json::parse(body, limits).map_err(|error| format!("the body is not JSON: {error}"))?;
    let requests = match value {
        Value::Array(_) if batch == 0 => return Err("several GraphQL requests in one are not allowed".to_owned()),
        Value::Array(list) if list.len() > batch => return Err("too many GraphQL requests in one".to_owned()),
        Value::Array(list) if list.is_empty() => return Err("there is no GraphQL document".to_owned()),
        Value::Array(list) => list,
        one => vec![one],
    };
    requests
        .into_iter()
        .map(|mut request| match request.get_mut("query").map(Value::take) {
            Some(Value::String(text)) => Ok(text),
            // Also a request that only names a document that the server has kept.
            _ => Err("there is no GraphQL document".to_owned()),
        })
        .collect()
}
