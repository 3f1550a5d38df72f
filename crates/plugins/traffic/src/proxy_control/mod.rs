#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use plugin::{BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Rewrite, RunPolicy, Spec, Step};
use serde::Deserialize;
use std::sync::Arc;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    request_buffering: bool,
}

/// Says when a request's body is read.
#[derive(Debug)]
pub struct ProxyControl {
    streams: bool,
}

impl Plugin for ProxyControl {
    const NAME: &'static str = "proxy-control";
    const PRIORITY: i32 = 21_990;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self { streams: !config.request_buffering })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for ProxyControl {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        cx.upstream.streams_body = self.streams;
        Step::NEXT
    }
}
