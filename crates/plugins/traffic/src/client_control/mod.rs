#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use plugin::{BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, Rewrite, RunPolicy, Spec, Step};
use serde::Deserialize;
use std::sync::Arc;
use wire::BodyLength;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    max_body_size: Option<u64>,
}

/// Bounds request bodies of a route.
#[derive(Debug)]
pub struct ClientControl {
    /// Longest body; none when it is 0.
    max: Option<u64>,
}

impl Plugin for ClientControl {
    const NAME: &'static str = "client-control";
    const PRIORITY: i32 = 22_000;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self { max: config.max_body_size })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for ClientControl {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let Some(max) = self.max else { return Step::NEXT };
        let max = if max == 0 { u64::MAX } else { max };
        match cx.request.body.length() {
            BodyLength::Exact(length) if length > max => Step::respond(Reply::status(413)),
            _ => {
                cx.downstream().limit(max);
                Step::NEXT
            }
        }
    }
}
