#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use crate::{patterns::Patterns, refusal};
use model::{
    differences::DifferenceId,
    pattern::{Case, StepLimit},
};
use plugin::{
    BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, Request, Rewrite, RunPolicy, Spec, Step,
};
use serde::Deserialize;
use std::sync::Arc;
use wire::path::decode_query;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    block_rules: Vec<String>,
    rejected_code: u64,
    rejected_msg: Option<String>,
    case_insensitive: bool,
}

/// Refuses requests by their path and query.
#[derive(Debug)]
pub struct UriBlocker {
    /// None: every request is refused, as the alternation of no patterns matches everywhere.
    rules: Option<Patterns>,
    /// Whether also the decoded target is looked at.
    sees_decoded: bool,
    refusal: Reply,
}

impl Plugin for UriBlocker {
    const NAME: &'static str = "uri-blocker";
    const PRIORITY: i32 = 2900;
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
        let case = if config.case_insensitive { Case::Insensitive } else { Case::Sensitive };
        let rules = Patterns::compile(&config.block_rules, case).map_err(|error| BuildError(error.to_string()))?;
        let status = refusal::status(config.rejected_code)?;
        Ok(Self {
            rules: (!config.block_rules.is_empty()).then_some(rules),
            sees_decoded: env.compat.is_safe(DifferenceId::DecodedUri),
            refusal: match config.rejected_msg {
                Some(message) => refusal::error_msg(status, &message),
                None => Reply::status(status),
            },
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for UriBlocker {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        match self.blocks(&cx.request) {
            Ok(false) => Step::NEXT,
            Ok(true) => Step::respond(self.refusal.clone()),
            Err(limit) => {
                tracing::warn!(%limit, "a URI was refused");
                Step::respond(self.refusal.clone())
            }
        }
    }
}

impl UriBlocker {
    fn blocks(&self, request: &Request) -> Result<bool, StepLimit> {
        let Some(rules) = &self.rules else { return Ok(true) };
        if rules.is_match(&request.target)? {
            return Ok(true);
        }
        if !self.sees_decoded {
            return Ok(false);
        }
        decoded(request).map_or(Ok(false), |decoded| rules.is_match(&decoded))
    }
}

/// The path that every decision sees, and the query as upstreams read it, where they are not the target itself.
fn decoded(request: &Request) -> Option<Vec<u8>> {
    let mut decoded = request.path.clone();
    if let Some(query) = &request.query {
        decoded.push(b'?');
        decoded.extend_from_slice(&decode_query(query));
    }
    (decoded != request.target).then_some(decoded)
}
