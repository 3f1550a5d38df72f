//! Our own responses, and what every response carries. The one place where failures of proxying become statuses.

use super::{Options, relay::AttemptError};
use bytes::Bytes;
use engine::h1::client::UpstreamError;
use plugin::{Ctx, Reply, ReplyBody};
use wire::{BodyError, ResponseHead, Source, Text, status};

/// The head and body of a reply.
pub(super) fn of_reply(reply: Reply, source: Source, options: &Options) -> (ResponseHead, Bytes) {
    let Reply { status, fields, body } = reply;
    let mut head = ResponseHead::new(status, source);
    head.fields = fields;
    let (body, content_type) = match body {
        ReplyBody::Bytes(body) => (body, &options.default_type),
        ReplyBody::Default => match status::page(status) {
            Some(page) => (Bytes::from(page), &options.html_type),
            None => (Bytes::new(), &options.default_type),
        },
    };
    if !body.is_empty() && !head.fields.contains("content-type") {
        head.fields.push(b"Content-Type", content_type.as_bytes());
    }
    (head, body)
}

/// `Date`, `Server` and the upstream's status.
pub(super) fn common_fields(head: &mut ResponseHead, cx: &Ctx, options: &Options) {
    if !head.fields.contains("date") {
        head.fields.push(b"Date", &engine::http_date());
    }
    head.fields.set("Server", options.server.as_bytes());
    if let Some(upstream_status) = cx.response.upstream_status
        && (options.shows_upstream_status || (500..=599).contains(&upstream_status))
    {
        head.fields.set("X-APISIX-Upstream-Status", &Text::decimal(u64::from(upstream_status)));
    }
}

/// The status that a failed attempt comes to.
pub(super) fn status_of(error: &AttemptError) -> u16 {
    match error {
        AttemptError::Upstream(UpstreamError::Io(_) | UpstreamError::Closed | UpstreamError::Truncated) => 502,
        AttemptError::Upstream(UpstreamError::Malformed(_)) => 502,
        AttemptError::TimedOut(_) => 504,
        AttemptError::Unresolved(_) => 503,
        AttemptError::RequestBody(error) => status_of_body(error),
        AttemptError::ClientGone => 499,
    }
}

/// The status that an unreadable request body comes to.
pub(super) fn status_of_body(error: &BodyError) -> u16 {
    match error {
        BodyError::Malformed(_) => 400,
        BodyError::Gone => 499,
        BodyError::TimedOut => 408,
        BodyError::TooLarge(_) => 413,
        BodyError::NoBudget => 503,
    }
}
