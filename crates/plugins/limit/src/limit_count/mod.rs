#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use crate::{
    forgeable,
    quota::{self, Config, Limiter},
};
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Finding, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture,
    RunPolicy, Spec, Step,
};
use serde_json::Value;
use std::sync::Arc;
use wire::ResponseHead;

/// Limits the number of requests in a time.
#[allow(missing_debug_implementations)]
pub struct LimitCount(Limiter);

impl Plugin for LimitCount {
    const NAME: &'static str = "limit-count";
    const PRIORITY: i32 = 1002;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.5,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: true },
    };
    type Config = Config;
    type Metadata = quota::Metadata;

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Limiter::compile(Self::NAME, config, env).map(Self)
    }

    fn reword(config: &Value, violation: &str) -> Option<&'static str> {
        quota::reword(config, violation)
    }

    fn lint(config: &serde_json::Value) -> Vec<Finding> {
        forgeable::findings(config)
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self.clone());
        if self.0.shows_quota {
            hooks.header_filter = Some(self);
        }
    }
}

impl Access for LimitCount {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        self.0.take(cx, 1)
    }
}

impl HeaderFilter for LimitCount {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        let metadata = cx.metadata::<Self>();
        self.0.show(cx, metadata.as_deref(), head);
        Ok(())
    }
}
