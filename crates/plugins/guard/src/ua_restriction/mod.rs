#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use crate::{patterns::Patterns, refusal};
use model::{
    differences::DifferenceId,
    pattern::{Case, StepLimit},
};
use plugin::{Access, BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step};
use serde::Deserialize;
use std::sync::Arc;
use wire::Fields;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    bypass_missing: bool,
    allowlist: Option<Vec<String>>,
    denylist: Option<Vec<String>>,
    message: String,
}

/// Lets clients in by their `User-Agent`.
#[derive(Debug)]
pub struct UaRestriction {
    patterns: Patterns,
    kind: Kind,
    bypasses_missing: bool,
    refusal: Reply,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Each field has to match.
    AllowsAll,
    /// One field that matches is enough.
    AllowsAny,
    Denies,
}

impl Plugin for UaRestriction {
    const NAME: &'static str = "ua-restriction";
    const PRIORITY: i32 = 2999;
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
        let kind = match (&config.allowlist, env.compat.is_safe(DifferenceId::RepeatedUserAgent)) {
            (Some(_), true) => Kind::AllowsAll,
            (Some(_), false) => Kind::AllowsAny,
            (None, _) => Kind::Denies,
        };
        let sources = config.allowlist.or(config.denylist).unwrap_or_default();
        let patterns = Patterns::compile(&sources, Case::Sensitive).map_err(|error| BuildError(error.to_string()))?;
        Ok(Self {
            patterns,
            kind,
            bypasses_missing: config.bypass_missing,
            refusal: refusal::message(403, &config.message),
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self);
    }
}

impl Access for UaRestriction {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        match self.passes(&cx.request.fields) {
            Ok(true) => Step::NEXT,
            Ok(false) => Step::respond(self.refusal.clone()),
            Err(limit) => {
                tracing::warn!(%limit, "a User-Agent was refused");
                Step::respond(self.refusal.clone())
            }
        }
    }
}

impl UaRestriction {
    fn passes(&self, fields: &Fields) -> Result<bool, StepLimit> {
        let mut agents = fields.get_all("user-agent").map(<[u8]>::trim_ascii).peekable();
        if agents.peek().is_none() {
            return Ok(self.bypasses_missing);
        }
        for agent in agents {
            match (self.kind, self.patterns.is_match(agent)?) {
                (Kind::AllowsAny, true) => return Ok(true),
                (Kind::AllowsAll, false) | (Kind::Denies, true) => return Ok(false),
                _ => {}
            }
        }
        Ok(!matches!(self.kind, Kind::AllowsAny))
    }
}
