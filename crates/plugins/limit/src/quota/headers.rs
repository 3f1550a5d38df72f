use crate::Taken;
use plugin::BuildError;
use serde::Deserialize;
use smallvec::SmallVec;
use std::borrow::Cow;
use wire::{Fields, Text};

const LIMIT: &str = "X-RateLimit-Limit";
const REMAINING: &str = "X-RateLimit-Remaining";
const RESET: &str = "X-RateLimit-Reset";

/// Where the names of the headers are configured.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    limit_header: HeaderName,
    remaining_header: HeaderName,
    reset_header: HeaderName,
}

/// A header's name that can be sent.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct HeaderName(String);

impl TryFrom<String> for HeaderName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if Fields::is_name(name.as_bytes()) {
            Ok(Self(name))
        } else {
            Err(format!("\"{}\" is not a header's name", name.escape_debug()))
        }
    }
}

/// The quotas that a request took from, kept until the response's head.
#[derive(Default)]
pub(super) struct Quotas(pub(super) SmallVec<[Quota; 1]>);

pub(super) struct Quota {
    pub(super) rule: usize,
    pub(super) limit: u64,
    pub(super) taken: Taken,
}

/// Names of the headers that show a rule's quota.
#[derive(Debug, Default)]
pub(super) struct HeaderNames {
    prefix: Option<String>,
}

impl HeaderNames {
    pub(super) fn with_prefix(prefix: String) -> Result<Self, BuildError> {
        if Fields::is_name(prefix.as_bytes()) {
            Ok(Self { prefix: Some(prefix) })
        } else {
            Err(format!("header_prefix \"{}\" cannot stand in a header's name", prefix.escape_debug()).into())
        }
    }

    /// Shows a quota, in APISIX's order.
    pub(super) fn write(&self, quota: &Quota, metadata: Option<&Metadata>, fields: &mut Fields) {
        let (limit, remaining, reset) = match metadata {
            Some(names) => (&*names.limit_header.0, &*names.remaining_header.0, &*names.reset_header.0),
            None => (LIMIT, REMAINING, RESET),
        };
        fields.set(&self.name(limit), &Text::decimal(quota.limit));
        fields.set(&self.name(remaining), &Text::decimal(quota.taken.remaining.unwrap_or(0)));
        fields.set(&self.name(reset), &Text::hundredths((quota.taken.reset * 100.0).round() as u64));
    }

    fn name<'a>(&self, base: &'a str) -> Cow<'a, str> {
        match &self.prefix {
            None => base.into(),
            Some(prefix) => base.replacen("RateLimit-", &format!("{prefix}-RateLimit-"), 1).into(),
        }
    }
}
