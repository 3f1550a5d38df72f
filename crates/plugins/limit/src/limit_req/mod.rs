#![doc = include_str!("doc.md")]

mod bucket;
#[cfg(test)]
mod tests;

use self::bucket::{Buckets, Leak, Poured};
use crate::{Full, Key, KeyType, Rejection, Scope, forgeable};
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Finding, Hooks, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step,
    Verdict,
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// Seconds that are not worth waiting for.
const AT_ONCE: f64 = 0.001;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    rate: f64,
    burst: f64,
    key: String,
    key_type: KeyType,
    rejected_code: u16,
    rejected_msg: Option<String>,
    nodelay: bool,
    allow_degradation: bool,
    policy: Policy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    Local,
    Redis,
    RedisCluster,
}

/// Lets requests through at a rate.
#[allow(missing_debug_implementations)]
pub struct LimitReq {
    buckets: Arc<Buckets>,
    scope: Scope,
    key: Key,
    leak: Leak,
    delays: bool,
    rejection: Rejection,
    allows_degradation: bool,
}

impl Plugin for LimitReq {
    const NAME: &'static str = "limit-req";
    const PRIORITY: i32 = 1001;
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
        if config.policy != Policy::Local {
            return Err("counters in Redis are not available yet: use the policy \"local\"".to_owned().into());
        }
        let buckets = env.shared.kept(Buckets::default);
        // Buckets belong to a document and a configuration, so that any other change of either keeps them.
        let scope = buckets.scope(&[Self::NAME, env.owner, &env.config.to_string()]);
        Ok(Self {
            buckets,
            scope,
            key: Key::compile(config.key, config.key_type),
            leak: Leak { rate: config.rate, burst: config.burst },
            delays: !config.nodelay,
            rejection: Rejection::compile(config.rejected_code, config.rejected_msg.as_deref(), env.compat),
            allows_degradation: config.allow_degradation,
        })
    }

    fn lint(config: &serde_json::Value) -> Vec<Finding> {
        forgeable::findings(config)
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self);
    }
}

impl Access for LimitReq {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let now = cx.shared.clock.steady().as_micros() as u64;
        match self.buckets.pour((&self.scope, &self.key.resolve_or_address(cx)), self.leak, now) {
            Ok(Poured::Within(delay)) if self.delays && delay >= AT_ONCE => Step::Wait(Box::pin(async move {
                cx.sleep(Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX)).await;
                Ok(Verdict::Next)
            })),
            Ok(Poured::Within(_)) => Step::NEXT,
            Ok(Poured::Over(wait)) => Step::respond(self.rejection.reply(wait)),
            Err(error) => self.degrade(&error),
        }
    }
}

impl LimitReq {
    fn degrade(&self, error: &Full) -> Step<'static> {
        if self.allows_degradation {
            tracing::warn!(%error, "limit-req lets a request pass unlimited");
            return Step::NEXT;
        }
        tracing::error!(%error, "failed to limit req");
        Step::respond(Reply::status(500))
    }
}
