use crate::Taken;
use plugin::BuildError;
use serde::Deserialize;
use smallvec::SmallVec;
use std::{borrow::Cow, fmt::Write as _};
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
    ietf_fields: bool,
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
    pub(super) seconds: u64,
    pub(super) taken: Taken,
}

/// Shows quotas as draft-ietf-httpapi-ratelimit-headers does: what is allowed in which time, and what is left for how long.
pub(super) fn write_ietf<'a>(quotas: impl Iterator<Item = (&'a str, &'a Quota)>, fields: &mut Fields) {
    let (mut policies, mut states) = (String::new(), String::new());
    for (name, quota) in quotas {
        let between = if policies.is_empty() { "" } else { ", " };
        let (remaining, reset) = (quota.taken.remaining.unwrap_or(0), quota.taken.reset.ceil() as u64);
        // Writing to a text cannot fail. A prefix is a header's name, and so without quotes.
        let _ = write!(policies, "{between}\"{name}\";q={};w={}", quota.limit, quota.seconds);
        let _ = write!(states, "{between}\"{name}\";r={remaining};t={reset}");
    }
    if !policies.is_empty() {
        fields.set("RateLimit-Policy", policies.as_bytes());
        fields.set("RateLimit", states.as_bytes());
    }
}

impl Metadata {
    /// Whether the IETF's fields are shown, too.
    pub(super) fn shows_ietf(&self) -> bool {
        self.ietf_fields
    }
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

    /// What the rule is called.
    pub(super) fn rule(&self) -> &str {
        self.prefix.as_deref().unwrap_or("default")
    }

    fn name<'a>(&self, base: &'a str) -> Cow<'a, str> {
        match &self.prefix {
            None => base.into(),
            Some(prefix) => base.replacen("RateLimit-", &format!("{prefix}-RateLimit-"), 1).into(),
        }
    }
}
