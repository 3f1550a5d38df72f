//! Places in which clients send credentials, read and hidden alike.

use plugin::{Ctx, Request};
use std::borrow::Cow;
use wire::path::{decode_query, split_query};

/// A header that carries a credential.
#[derive(Debug)]
pub(crate) struct CredentialHeader {
    name: String,
    /// The name with `-` for `_`: a name written with `_` also means that header, as in OpenResty's table of headers.
    dashed: String,
}

impl CredentialHeader {
    pub(crate) fn new(name: String) -> Self {
        Self { dashed: name.replace('_', "-"), name }
    }

    /// The first line's value.
    pub(crate) fn find<'a>(&self, request: &'a Request) -> Option<&'a [u8]> {
        request.fields.get(&self.name).or_else(|| request.fields.get(&self.dashed))
    }

    /// Removes every line, so that neither later plugins nor the upstream see the credential.
    pub(crate) fn hide(&self, cx: &mut Ctx) {
        cx.request.fields.remove(&self.name);
        cx.request.fields.remove(&self.dashed);
    }
}

/// A query argument that carries a credential.
#[derive(Debug)]
pub(crate) struct CredentialArg {
    name: String,
    /// Whether hiding it also changes the target as it was received, which variables and logs show.
    is_hidden_from_logs: bool,
}

/// What a query says of one argument.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    /// It is not there.
    Absent,
    /// It is there once, with a value.
    Value(Cow<'a, [u8]>),
    /// It is there without a value or more than once, which is nobody's credential.
    Unusable,
}

impl CredentialArg {
    pub(crate) fn new(name: String, is_hidden_from_logs: bool) -> Self {
        Self { name, is_hidden_from_logs }
    }

    /// The argument's value, decoded.
    pub(crate) fn find<'a>(&self, request: &'a Request) -> Argument<'a> {
        let query = request.query.as_deref().unwrap_or_default();
        let mut pairs = query.split(|&b| b == b'&').filter(|pair| self.is_in(pair));
        match (pairs.next(), pairs.next()) {
            (None, _) => Argument::Absent,
            (Some(pair), None) => match pair.iter().position(|&b| b == b'=') {
                Some(at) => Argument::Value(decode_query(pair.get(at + 1..).unwrap_or_default())),
                None => Argument::Unusable,
            },
            (Some(_), Some(_)) => Argument::Unusable,
        }
    }

    /// Removes the argument wherever later plugins, the upstream and logs would read it; the other arguments stay as
    /// they were, byte by byte.
    pub(crate) fn hide(&self, cx: &mut Ctx) {
        let Some(query) = &cx.request.query else { return };
        if !query.split(|&b| b == b'&').any(|pair| self.is_in(pair)) {
            return;
        }
        cx.request.query = self.strip(query);
        let target = cx.upstream.target.as_ref().unwrap_or(&cx.request.target);
        cx.upstream.target = Some(self.strip_target(target));
        if self.is_hidden_from_logs {
            cx.request.target = self.strip_target(&cx.request.target);
        }
    }

    fn strip_target(&self, target: &[u8]) -> Vec<u8> {
        let (path, query) = split_query(target);
        match query.and_then(|query| self.strip(query)) {
            Some(query) => [path, b"?", &query].concat(),
            None => path.to_vec(),
        }
    }

    /// The query without the argument; `None` when nothing is left.
    fn strip(&self, query: &[u8]) -> Option<Vec<u8>> {
        let kept: Vec<&[u8]> = query.split(|&b| b == b'&').filter(|pair| !self.is_in(pair)).collect();
        Some(kept.join(&b'&')).filter(|query| !query.is_empty())
    }

    fn is_in(&self, pair: &[u8]) -> bool {
        let name = pair.split(|&b| b == b'=').next().unwrap_or_default();
        !name.is_empty() && *decode_query(name) == *self.name.as_bytes()
    }
}
