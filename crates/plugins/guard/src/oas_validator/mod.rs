#![doc = include_str!("doc.md")]

mod address;
mod answers;
mod body;
mod convert;
mod fetched;
mod members;
#[cfg(test)]
mod members_tests;
mod parameter;
mod paths;
mod response;
mod schemas;
mod shapes;
mod spec;
mod target;
#[cfg(test)]
mod tests;

use crate::{
    content::{Content, Media, Unreadable},
    refusal,
};
use address::Address;
use body::{Judged, Look, Unknown};
use bytes::Bytes;
use fetched::{Found, Source};
use model::differences::DifferenceId;
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Hooks, Outcome, Plugin, PluginClass, Posture, Refusal, RunPolicy,
    Spec as PluginSpec, Step, Verdict, refuse,
};
use response::{Guard, Mode, Used};
use serde::Deserialize;
use spec::{Skipped, Spec, Wanted};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    spec: Option<String>,
    spec_url: Option<String>,
    spec_url_request_headers: Option<BTreeMap<String, String>>,
    ssl_verify: bool,
    timeout: u64,
    verbose_errors: bool,
    skip_request_body_validation: bool,
    skip_request_header_validation: bool,
    skip_query_param_validation: bool,
    skip_path_params_validation: bool,
    reject_if_not_match: bool,
    rejection_status_code: u16,
    max_req_body_size: usize,
    unknown_request_fields: Option<UnknownFields>,
    validate_response: Option<Mode>,
    response_rejection_status_code: u16,
    max_resp_body_size: u64,
    allow_unchecked_response: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnknownFields {
    Reject,
    Strip,
    Report,
}

/// How long fetched documents are kept.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    spec_url_ttl: u64,
}

/// Checks requests against a document of OpenAPI.
pub struct OasValidator {
    document: Document,
    skipped: Skipped,
    max: usize,
    look: Look,
    /// How answers are looked at, where they are.
    guard: Option<Guard>,
    is_verbose: bool,
    rejects: bool,
    status: u16,
}

/// Where the document is.
enum Document {
    Written(Spec),
    Fetched(Source),
}

impl fmt::Debug for OasValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OasValidator").finish_non_exhaustive()
    }
}

/// What is answered while a document that has to be fetched cannot be had.
const UNKNOWN_DOCUMENT: Refusal = refuse(500, "failed to parse openapi spec");

/// What of a request does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong(String);

impl Wrong {
    fn new(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl Plugin for OasValidator {
    const NAME: &'static str = "oas-validator";
    const PRIORITY: i32 = 512;
    const SPEC: PluginSpec = PluginSpec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: true, calls_out: true },
    };
    type Config = Config;
    type Metadata = Metadata;

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let wanted = Wanted {
            answers: config.validate_response.is_some(),
            request_members: config.unknown_request_fields.is_some(),
        };
        let document = match (&config.spec, &config.spec_url) {
            (Some(text), _) => Document::Written(Spec::read(text.as_bytes(), wanted)?),
            (None, Some(url)) => {
                let fields = address::fields(&config.spec_url_request_headers.unwrap_or_default())?;
                let timeout = Duration::from_millis(config.timeout);
                Document::Fetched(Source::new(
                    &Address::parse(url)?,
                    fields,
                    timeout,
                    config.ssl_verify,
                    wanted,
                    env.shared,
                ))
            }
            (None, None) => return Err(BuildError("neither spec nor spec_url is there".to_owned())),
        };
        Ok(Self {
            document,
            skipped: Skipped {
                path: config.skip_path_params_validation,
                query: config.skip_query_param_validation,
                header: config.skip_request_header_validation,
                body: config.skip_request_body_validation,
            },
            max: config.max_req_body_size,
            look: Look {
                what: "request",
                // What is cut out of has to be understood in one way.
                is_strict: env.compat.is_safe(DifferenceId::OpenapiBody) || config.unknown_request_fields.is_some(),
                unknown: match config.unknown_request_fields {
                    None => Unknown::Pass,
                    Some(UnknownFields::Reject) => Unknown::Refuse,
                    Some(UnknownFields::Strip) => Unknown::Strip,
                    Some(UnknownFields::Report) => Unknown::Report,
                },
            },
            guard: config.validate_response.map(|mode| Guard {
                mode,
                status: config.response_rejection_status_code,
                max: config.max_resp_body_size,
                passes_unchecked: config.allow_unchecked_response,
            }),
            is_verbose: config.verbose_errors,
            rejects: config.reject_if_not_match,
            status: config.rejection_status_code,
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        if self.guard.is_some() {
            hooks.whole_response = Some(self.clone());
        }
        hooks.access = Some(self);
    }
}

impl Access for OasValidator {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let source = match &self.document {
            Document::Written(spec) if self.skipped.body => return Step::Ready(Ok(self.settle(spec, cx, b""))),
            Document::Written(spec) => return Step::Wait(Box::pin(self.check(spec, cx))),
            Document::Fetched(source) => source,
        };
        Step::Wait(Box::pin(async move {
            let spec = match source.find(cx) {
                Found::Spec(spec) => Some(spec),
                Found::Soon => source.wait(cx).await,
                Found::Nothing => None,
            };
            match spec {
                Some(spec) => {
                    if self.guard.is_some() {
                        cx.state::<Used>().0 = Some(spec.clone());
                    }
                    if self.skipped.body { Ok(self.settle(&spec, cx, b"")) } else { self.check(&spec, cx).await }
                }
                None => Ok(UNKNOWN_DOCUMENT.reply().into()),
            }
        }))
    }
}

impl OasValidator {
    async fn check(&self, spec: &Spec, cx: &mut Ctx) -> Outcome {
        let content = match self.look.is_strict {
            true => match Media::of(&cx.request.fields) {
                Ok(_) => Content::read(cx, self.max).await,
                Err(unreadable) => Err(unreadable),
            },
            false => Content::read_raw(cx, self.max).await,
        };
        Ok(match content {
            Ok(content) => self.settle(spec, cx, content.bytes()),
            Err(unreadable) => self.unreadable(&unreadable),
        })
    }

    fn settle(&self, spec: &Spec, cx: &mut Ctx, body: &[u8]) -> Verdict {
        let judged = spec.check(&cx.request, body, self.skipped, self.look);
        let Judged { wrong, unknown, stripped } =
            judged.unwrap_or_else(|wrong| Judged { wrong: Some(wrong), ..Judged::default() });
        if !unknown.is_empty() && wrong.is_none() {
            let (fields, count) = (response::shown(&unknown), unknown.len());
            tracing::warn!(
                method = cx.request.method.as_str(),
                fields,
                count,
                is_stripped = stripped.is_some(),
                "a request has fields that it may not have"
            );
        }
        if let Some(body) = stripped {
            replace_body(cx, body);
        }
        let Some(Wrong(reason)) = wrong else { return Verdict::Next };
        tracing::error!(method = cx.request.method.as_str(), %reason, "a request does not fit its OpenAPI document");
        if !self.rejects {
            return Verdict::Next;
        }
        let reason = if self.is_verbose { &*reason } else { "" };
        refusal::message(self.status, &format!("failed to validate request. {reason}")).into()
    }

    fn unreadable(&self, unreadable: &Unreadable) -> Verdict {
        // What is too long or coded in an unknown way can still be passed on where requests are only looked at.
        if !self.rejects && matches!(unreadable.status, 413 | 415) {
            tracing::error!(reason = unreadable.reason, "a request body cannot be checked");
            return Verdict::Next;
        }
        let status = unreadable.status_or(self.status);
        refusal::message(status, &format!("error reading the request body. err: {}", unreadable.reason)).into()
    }
}

/// Fields that say something of a body's bytes.
const OF_THE_BYTES: [&str; 5] = ["Content-Encoding", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"];

/// Sends another body, which has no coding.
fn replace_body(cx: &mut Ctx, body: Bytes) {
    for name in OF_THE_BYTES {
        cx.request.fields.remove(name);
    }
    cx.request.body.replace(body);
}
