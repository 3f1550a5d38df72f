#![doc = include_str!("doc.md")]

mod body;
mod coding;
mod headers;
#[cfg(test)]
mod tests;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use body::{Filter, FilterConfig, Filters, Progress};
use bytes::Bytes;
use coding::Coding;
use headers::Headers;
use model::{differences::DifferenceId, vars::Expr};
use plugin::{
    BodyFilter, BuildEnv, BuildError, Ctx, Frames, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture,
    ResponseView, RunPolicy, Spec,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use wire::{Frame, ResponseHead};

/// Base64 as `ngx.decode_base64` reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    status_code: Option<u16>,
    headers: Option<Map<String, Value>>,
    body: Option<String>,
    body_base64: bool,
    vars: Option<Value>,
    filters: Option<Vec<FilterConfig>>,
    max_resp_body_size: u64,
}

/// Changes what the client gets.
#[derive(Debug)]
pub struct ResponseRewrite {
    status: Option<u16>,
    headers: Headers,
    condition: Option<Expr>,
    body: NewBody,
}

#[derive(Debug)]
enum NewBody {
    /// The response's own.
    Same,
    /// This one.
    Fixed(Bytes),
    /// The response's own after filters.
    Filtered(Filters),
}

impl Plugin for ResponseRewrite {
    const NAME: &'static str = "response-rewrite";
    const PRIORITY: i32 = 899;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let headers = Headers::compile(&config.headers.unwrap_or_default())?;
        if config.body_base64 && config.body.as_deref().unwrap_or_default().is_empty() {
            return Err("invalid base64 content".to_owned().into());
        }
        let condition = config.vars.as_ref().map(Expr::compile).transpose();
        let condition =
            condition.map_err(|error| BuildError(format!("failed to validate the 'vars' expression: {error}")))?;
        let body = match (config.body, config.filters) {
            (Some(text), _) if config.body_base64 => {
                let decoded = BASE64.decode(text).map_err(|_| BuildError("invalid base64 content".to_owned()))?;
                NewBody::Fixed(decoded.into())
            }
            (Some(text), _) => NewBody::Fixed(text.into()),
            (None, Some(filters)) => NewBody::Filtered(Filters {
                filters: filters.iter().map(Filter::compile).collect::<Result<_, _>>()?,
                max: config.max_resp_body_size,
                is_strict: env.compat.is_safe(DifferenceId::UnfilteredBodies),
            }),
            (None, None) => NewBody::Same,
        };
        Ok(Self { status: config.status_code, headers, condition, body })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.header_filter = Some(self.clone());
        if !matches!(self.body, NewBody::Same) {
            hooks.body_filter = Some(self);
        }
    }
}

impl HeaderFilter for ResponseRewrite {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        if let Some(condition) = &self.condition {
            let holds = condition.eval(&ResponseView { cx, head }).map_err(|fault| PluginError(fault.to_string()))?;
            if !holds {
                return Ok(());
            }
        }
        if let Some(status) = self.status.filter(|status| *status != head.status) {
            head.status = status;
            head.reason = None;
        }
        if let Some(progress) = self.begin(cx, head)? {
            *cx.state() = progress;
            // They describe a body that is not sent.
            for name in ["Content-Length", "Content-Encoding", "Last-Modified", "ETag"] {
                head.fields.remove(name);
            }
        }
        let lines = self.headers.render(&ResponseView { cx, head });
        lines.apply(&mut head.fields);
        Ok(())
    }
}

impl BodyFilter for ResponseRewrite {
    fn body_filter(&self, cx: &mut Ctx, frame: Frame, out: &mut Frames) -> Result<(), PluginError> {
        let progress = cx.state::<Progress>();
        match &self.body {
            NewBody::Same => out.push(frame),
            NewBody::Fixed(body) => progress.replace(body, frame, out),
            NewBody::Filtered(filters) => progress.filter(filters, frame, out)?,
        }
        Ok(())
    }
}

impl ResponseRewrite {
    /// What is to be done with the body, if something is.
    fn begin(&self, cx: &Ctx, head: &ResponseHead) -> Result<Option<Progress>, PluginError> {
        match &self.body {
            NewBody::Same => Ok(None),
            NewBody::Fixed(_) => Ok(Some(Progress::Replacing { is_sent: false })),
            NewBody::Filtered(filters) => {
                let coding = Coding::of(&head.fields);
                filters.begin(&cx.shared.bodies, coding, &head.fields).map(Some)
            }
        }
    }
}
