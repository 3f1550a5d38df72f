#![doc = include_str!("doc.md")]

mod document;
mod sent;
#[cfg(test)]
mod tests;

use crate::{
    content::{Content, Media, Unreadable},
    refusal::Rejection,
};
use document::Limits;
use plugin::{
    BuildEnv, BuildError, Ctx, Hooks, Outcome, Plugin, PluginClass, Posture, Reply, Rewrite, RunPolicy, Spec, Step,
    Verdict,
};
use sent::Kind;
use serde::Deserialize;
use std::sync::Arc;
use wire::Method;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    max_depth: usize,
    max_fields: usize,
    max_aliases: usize,
    max_directives: usize,
    max_tokens: usize,
    max_batch: usize,
    allow_introspection: bool,
    max_req_body_size: usize,
    rejected_code: u16,
    rejected_msg: Option<String>,
}

/// Refuses GraphQL that costs a server much.
#[derive(Debug)]
pub struct GraphqlLimits {
    limits: Limits,
    /// How many requests may be in an array; 0 for no array.
    batch: usize,
    max: usize,
    rejection: Rejection,
}

/// Why a request is refused.
enum Refused {
    /// It asks for too much, or for nothing that is GraphQL.
    Wrong(String),
    /// Its body cannot be looked into.
    Unreadable(Unreadable),
    /// Its body is of another kind.
    Foreign,
}

impl From<Unreadable> for Refused {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl Plugin for GraphqlLimits {
    const NAME: &'static str = "graphql-limits";
    const PRIORITY: i32 = 2790;
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
                fields: config.max_fields,
                aliases: config.max_aliases,
                directives: config.max_directives,
                tokens: config.max_tokens,
                allows_introspection: config.allow_introspection,
            },
            batch: config.max_batch,
            max: config.max_req_body_size,
            rejection: Rejection { status: config.rejected_code, message: config.rejected_msg },
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for GraphqlLimits {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        match cx.request.method {
            // A preflight executes nothing.
            Method::Options => Step::NEXT,
            Method::Get | Method::Head => {
                let checked = sent::in_query(cx.request.query.as_deref())
                    .and_then(|text| self.check(&text, true))
                    .map_err(Refused::Wrong);
                Step::Ready(Ok(self.settle(checked)))
            }
            Method::Post => Step::Wait(Box::pin(self.check_body(cx))),
            _ => Step::respond(Reply::status(405).with("Allow", b"GET, HEAD, POST, OPTIONS")),
        }
    }
}

impl GraphqlLimits {
    async fn check_body(&self, cx: &mut Ctx) -> Outcome {
        let checked = self.documents(cx).await.and_then(|documents| {
            documents.iter().try_for_each(|text| self.check(text, false)).map_err(Refused::Wrong)
        });
        Ok(self.settle(checked))
    }

    /// The documents in the body, each of which will be executed.
    async fn documents(&self, cx: &mut Ctx) -> Result<Vec<String>, Refused> {
        if sent::has_argument(cx.request.query.as_deref(), b"query") {
            return Err(Refused::Wrong("the GraphQL document is both in the URI and in the body".to_owned()));
        }
        // Its charset and how often it comes.
        Media::of(&cx.request.fields)?;
        let kind = Kind::of(&cx.request.fields).ok_or(Refused::Foreign)?;
        let content = Content::read(cx, self.max).await?;
        sent::in_body(kind, content.bytes(), self.batch).map_err(Refused::Wrong)
    }

    fn check(&self, text: &str, only_queries: bool) -> Result<(), String> {
        document::check(text, only_queries, &self.limits).map_err(|wrong| wrong.to_string())
    }

    fn settle(&self, checked: Result<(), Refused>) -> Verdict {
        match checked {
            Ok(()) => Verdict::Next,
            Err(Refused::Wrong(reason)) => self.rejection.because(&reason).into(),
            Err(Refused::Unreadable(unreadable)) => self.rejection.unreadable(&unreadable).into(),
            Err(Refused::Foreign) => self.rejection.reply(415, "the body is not of GraphQL").into(),
        }
    }
}
