//! Answers of upstreams, before anything of them is sent.

use super::{
    Document, OasValidator, Wrong,
    answers::Answer,
    body::{Look, Unknown},
    spec::{Checked, Spec},
};
use crate::{content, refusal};
use bytes::Bytes;
use plugin::{Ctx, Response, Step, WholeResponse};
use serde::Deserialize;
use std::sync::Arc;
use wire::{BodyError, Fields, Method, ResponseHead};

/// What is done with an answer that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Block,
    Report,
    Strip,
}

/// How answers are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    pub(super) mode: Mode,
    pub(super) status: u16,
    /// Longest body.
    pub(super) max: u64,
    /// Whether what cannot be looked into passes.
    pub(super) passes_unchecked: bool,
}

/// The document that the request was checked with, where documents are fetched.
#[derive(Default)]
pub(super) struct Used(pub(super) Option<Arc<Spec>>);

/// Why an answer is not passed on as it is.
enum Fault {
    /// It does not fit.
    Wrong(Wrong),
    /// It cannot be looked into.
    Unchecked(&'static str),
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

/// What was found of an answer that is passed on.
#[derive(Default)]
struct Passed {
    /// Members that have no place.
    unknown: Vec<String>,
    stripped: Option<Bytes>,
}

impl WholeResponse for OasValidator {
    fn wants(&self, cx: &mut Ctx, head: &ResponseHead) -> u64 {
        let Some(guard) = self.guard else { return 0 };
        let used = self.used(cx);
        let Some(spec) = self.spec(&used) else { return 0 };
        match found(spec, cx, head) {
            Ok((_, answer)) if has_body(cx, head.status) && answer.is_read(&head.fields) == Some(true) => guard.max,
            _ => 0,
        }
    }

    fn response<'a>(&'a self, cx: &'a mut Ctx, response: &'a mut Response) -> Step<'a> {
        let Some(guard) = self.guard else { return Step::NEXT };
        let used = self.used(cx);
        let checked = match self.spec(&used) {
            Some(spec) => check(spec, cx, response, guard),
            None => Err(Fault::Unchecked("its document is not known")),
        };
        let status = response.head.status;
        match checked {
            Ok(Passed { unknown, stripped }) => {
                if !unknown.is_empty() {
                    let (fields, count) = (shown(&unknown), unknown.len());
                    tracing::warn!(
                        method = cx.request.method.as_str(),
                        status,
                        fields,
                        count,
                        is_stripped = stripped.is_some(),
                        "a response has fields that it may not have"
                    );
                }
                if let Some(body) = stripped {
                    response.replace(body);
                }
                Step::NEXT
            }
            Err(fault) => {
                let (reason, passes) = match fault {
                    Fault::Wrong(Wrong(reason)) => (reason, guard.mode == Mode::Report),
                    Fault::Unchecked(reason) => (
                        format!("it cannot be checked: {reason}"),
                        guard.mode == Mode::Report || guard.passes_unchecked,
                    ),
                };
                tracing::error!(method = cx.request.method.as_str(), status, %reason, passes, "a response does not fit its OpenAPI document");
                if passes {
                    return Step::NEXT;
                }
                let reason = if self.is_verbose { &*reason } else { "" };
                Step::respond(refusal::message(guard.status, &format!("failed to validate response. {reason}")))
            }
        }
    }
}

impl OasValidator {
    fn used(&self, cx: &mut Ctx) -> Option<Arc<Spec>> {
        match &self.document {
            Document::Written(_) => None,
            Document::Fetched(_) => cx.state::<Used>().0.clone(),
        }
    }

    fn spec<'a>(&'a self, used: &'a Option<Arc<Spec>>) -> Option<&'a Spec> {
        match &self.document {
            Document::Written(spec) => Some(spec),
            Document::Fetched(_) => used.as_deref(),
        }
    }
}

/// What the answer has to be.
fn found<'s>(spec: &'s Spec, cx: &Ctx, head: &ResponseHead) -> Result<(&'s Checked, &'s Answer), Wrong> {
    let (checked, answers) = spec.answers(&cx.request).ok_or_else(|| Wrong::new("no such operation"))?;
    let answer = answers.find(head.status);
    Ok((checked, answer.ok_or_else(|| Wrong(format!("the operation does not answer with status {}", head.status)))?))
}

fn check(spec: &Spec, cx: &Ctx, response: &Response, guard: Guard) -> Result<Passed, Fault> {
    let head = &response.head;
    // It says that what the client has is still what there is, and that was an answer itself.
    if head.status == 304 {
        return Ok(Passed::default());
    }
    let (checked, answer) = found(spec, cx, head)?;
    answer.check_headers(checked, &head.fields)?;
    if !has_body(cx, head.status) {
        return Ok(Passed::default());
    }
    match answer.is_read(&head.fields) {
        Some(true) => {}
        Some(false) => return Ok(Passed::default()),
        // One that is empty needs no kind.
        None if response.body(guard.max) == Ok(&[]) && !answer.has_body() => return Ok(Passed::default()),
        None => return Err(Wrong::new("the operation does not answer with this content type").into()),
    }
    if head.fields.get_all("content-type").count() > 1 {
        return Err(Fault::Unchecked("its content type is ambiguous"));
    }
    let raw = response.body(guard.max).map_err(|error| match error {
        BodyError::TooLarge(_) => Fault::Unchecked("its body is too large"),
        _ => Fault::Unchecked("no memory is left for its body"),
    })?;
    if raw.is_empty() {
        return Err(Wrong::new("response body is missing").into());
    }
    let decoded = decoded(&head.fields, raw, cx, guard.max)?;
    let bytes = decoded.as_ref().map_or(raw, |held| held.bytes());
    let unknown = match guard.mode {
        Mode::Block => Unknown::Refuse,
        Mode::Report => Unknown::Report,
        Mode::Strip => Unknown::Strip,
    };
    let look = Look { what: "response", is_strict: true, unknown };
    let judged = answer.judge(checked, &head.fields, bytes, look);
    match judged.wrong {
        Some(wrong) => Err(wrong.into()),
        None => Ok(Passed { unknown: judged.unknown, stripped: judged.stripped }),
    }
}

fn decoded(fields: &Fields, raw: &[u8], cx: &Ctx, max: u64) -> Result<Option<plugin::HeldBody>, Fault> {
    content::decode(fields, raw, cx.request.body.limits(), max).map_err(|unreadable| {
        Fault::Unchecked(match unreadable.status {
            413 => "its body is too large without its content encoding",
            415 => "its content encoding is not supported",
            503 => "no memory is left for its body",
            _ => "its body is not what its content encoding says",
        })
    })
}

/// Whether an answer has a body at all (RFC 9110, section 6.4.1).
fn has_body(cx: &Ctx, status: u16) -> bool {
    cx.request.method != Method::Head && status >= 200 && !matches!(status, 204 | 205 | 304)
}

/// Some of the members that were found, for the log.
pub(super) fn shown(paths: &[String]) -> String {
    let all = paths.iter().take(8).map(|path| path.chars().take(100).collect::<String>());
    all.collect::<Vec<_>>().join(" ")
}
