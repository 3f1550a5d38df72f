#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use plugin::{BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Rewrite, RunPolicy, Spec, Step};
use serde::Deserialize;
use std::sync::Arc;

/// What is configured; it has no meaning here.
#[derive(Debug, Deserialize)]
pub struct Config {}

/// Leaves responses unbuffered, as they always are.
#[derive(Debug)]
pub struct ProxyBuffering;

impl Plugin for ProxyBuffering {
    const NAME: &'static str = "proxy-buffering";
    const PRIORITY: i32 = 21_991;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(_config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for ProxyBuffering {
    fn rewrite<'a>(&'a self, _cx: &'a mut Ctx) -> Step<'a> {
        Step::NEXT
    }
}
