#![doc = include_str!("doc.md")]

mod names;
mod scanner;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use crate::{
    content::{self, Content, Media, Unreadable},
    refusal::Rejection,
};
use plugin::{
    BuildEnv, BuildError, Ctx, Hooks, Outcome, Plugin, PluginClass, Posture, Rewrite, RunPolicy, Spec, Step, Verdict,
};
use scanner::{Limits, Scanner, Wrong};
use serde::Deserialize;
use std::sync::Arc;
use wire::{BodyError, Fields};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    max_depth: usize,
    max_members: usize,
    max_items: usize,
    max_string_length: usize,
    max_name_length: usize,
    max_number_length: usize,
    allow_duplicate_names: bool,
    skip_content_types: Vec<String>,
    max_req_body_size: usize,
    rejected_code: u16,
    rejected_msg: Option<String>,
}

/// Refuses JSON that costs its readers much, or that they could read differently.
#[derive(Debug)]
pub struct JsonLimits {
    limits: Limits,
    skipped: Vec<String>,
    max: usize,
    rejection: Rejection,
}

/// Why a body is refused.
enum Fault {
    Unreadable(Unreadable),
    Wrong(Wrong),
}

impl From<Unreadable> for Fault {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl Plugin for JsonLimits {
    const NAME: &'static str = "json-limits";
    const PRIORITY: i32 = 2810;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: true, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            limits: Limits {
                depth: config.max_depth,
                members: config.max_members,
                items: config.max_items,
                string: config.max_string_length,
                name: config.max_name_length,
                number: config.max_number_length,
                allows_duplicates: config.allow_duplicate_names,
            },
            skipped: config.skip_content_types,
            max: config.max_req_body_size,
            rejection: Rejection { status: config.rejected_code, message: config.rejected_msg },
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for JsonLimits {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        if self.is_skipped(&cx.request.fields) { Step::NEXT } else { Step::Wait(Box::pin(self.check(cx))) }
    }
}

impl JsonLimits {
    /// Whether the one content type is among those that are not looked at.
    fn is_skipped(&self, fields: &Fields) -> bool {
        let mut lines = fields.get_all("content-type");
        let (Some(line), None) = (lines.next(), lines.next()) else { return false };
        let name = line.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
        self.skipped.iter().any(|skipped| skipped.as_bytes().eq_ignore_ascii_case(name))
    }

    async fn check(&self, cx: &mut Ctx) -> Outcome {
        let checked = match content::is_coded(&cx.request.fields) {
            true => self.check_coded(cx).await,
            false => self.check_as_it_comes(cx).await,
        };
        Ok(match checked {
            Ok(()) => Verdict::Next,
            Err(Fault::Unreadable(unreadable)) => self.rejection.unreadable(&unreadable).into(),
            Err(Fault::Wrong(wrong)) => self.rejection.because(&wrong.to_string()).into(),
        })
    }

    /// Ends with the first byte that is wrong, whatever is still to come.
    async fn check_as_it_comes(&self, cx: &mut Ctx) -> Result<(), Fault> {
        let media = Media::of(&cx.request.fields).map(drop);
        let mut scanner = Scanner::new(self.limits);
        let mut fault = None;
        let is_whole = cx.request.body.gather_with(self.max as u64, |text| {
            let looked = match &media {
                // A request without a body may announce what it likes.
                Err(unreadable) if !text.is_empty() => Err(Fault::Unreadable(unreadable.clone())),
                _ => scanner.advance(text).map_err(Fault::Wrong),
            };
            fault = looked.err();
            fault.is_none()
        });
        let is_whole = is_whole.await.map_err(Unreadable::from)?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let body = cx.request.body.buffered().filter(|body| is_whole && body.len() <= self.max);
        match body.ok_or_else(|| Unreadable::from(BodyError::TooLarge(self.max as u64)))? {
            body if body.is_empty() => Ok(()),
            body => scanner.end(body).map_err(Fault::Wrong),
        }
    }

    /// What its coding hides is looked at once it is whole.
    async fn check_coded(&self, cx: &mut Ctx) -> Result<(), Fault> {
        let media = Media::of(&cx.request.fields);
        let content = Content::read(cx, self.max).await?;
        if cx.request.body.buffered().is_none_or(|body| body.is_empty()) {
            return Ok(());
        }
        media?;
        Scanner::new(self.limits).end(content.bytes()).map_err(Fault::Wrong)
    }
}
