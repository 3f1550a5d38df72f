#![doc = include_str!("doc.md")]

mod bucket;
mod redis;
#[cfg(test)]
mod tests;

use self::bucket::{Buckets, Leak, Poured};
use crate::{
    Full, Key, KeyType, Rejection, Scope, forgeable,
    remote::{self, Degradation, Fallback, KeyName, Names, Policy, Remote},
};
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
    /// Only with a policy that has it.
    redis_fallback: Option<Fallback>,
}

/// Lets requests through at a rate.
#[allow(missing_debug_implementations)]
pub struct LimitReq {
    store: Store,
    key: Key,
    leak: Leak,
    delays: bool,
    rejection: Rejection,
    degradation: Degradation,
    /// Buckets that are this node's own, and whose they are.
    buckets: Arc<Buckets>,
    scope: Scope,
}

/// Where buckets are kept.
enum Store {
    Local,
    Redis(Arc<Remote>, Names),
}

impl Plugin for LimitReq {
    const NAME: &'static str = "limit-req";
    const PRIORITY: i32 = 1001;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: true },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let buckets = env.shared.kept(Buckets::default);
        // Buckets belong to a document and a configuration, so that any other change of either keeps them.
        let (store, scope) = match Remote::of(config.policy, env)? {
            Some(remote) => {
                let names = Names::new("limit_req", &KeyName::Owner(env.owner, env.config));
                // Those that stand in for Redis are called as there.
                let scope = buckets.scope(&[Self::NAME, "redis", names.prefix()]);
                (Store::Redis(remote, names), scope)
            }
            None => (Store::Local, buckets.scope(&[Self::NAME, env.owner, &env.config.to_string()])),
        };
        Ok(Self {
            store,
            key: Key::compile(config.key, config.key_type),
            leak: Leak { rate: config.rate, burst: config.burst },
            delays: !config.nodelay,
            rejection: Rejection::compile(config.rejected_code, config.rejected_msg.as_deref(), env.compat),
            degradation: Degradation::new(config.allow_degradation, config.redis_fallback),
            buckets,
            scope,
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
        let key = self.key.resolve_or_address(cx);
        match &self.store {
            Store::Local => match self.judge(self.pour_here(cx, &key)) {
                Ok(Duration::ZERO) => Step::NEXT,
                Ok(delay) => Step::Wait(Box::pin(async move {
                    cx.sleep(delay).await;
                    Ok(Verdict::Next)
                })),
                Err(reply) => Step::respond(reply),
            },
            Store::Redis(remote, names) => Step::Wait(Box::pin(async move {
                let poured = match self.pour_there(remote, names, &key).await {
                    Err(Failure::Redis(failure)) if self.degradation.counts_here() => {
                        tracing::debug!(%failure, "limit-req counts on this node");
                        self.pour_here(cx, &key)
                    }
                    poured => poured,
                };
                match self.judge(poured) {
                    Ok(delay) => cx.sleep(delay).await,
                    Err(reply) => return Ok(reply.into()),
                }
                Ok(Verdict::Next)
            })),
        }
    }
}

/// Why a request could not be limited.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Full(Full),
    #[error(transparent)]
    Redis(remote::Failure),
    #[error("Redis answered nothing")]
    Silence,
}

impl LimitReq {
    fn pour_here(&self, cx: &Ctx, key: &[u8]) -> Result<Poured, Failure> {
        let now = cx.shared.clock.steady().as_micros() as u64;
        self.buckets.pour((&self.scope, key), self.leak, now).map_err(Failure::Full)
    }

    async fn pour_there(&self, remote: &Arc<Remote>, names: &Names, key: &[u8]) -> Result<Poured, Failure> {
        let answers = remote.run(&redis::POUR, vec![redis::call(names, key, self.leak)]).await;
        let answer = answers.map_err(Failure::Redis)?.first().copied().ok_or(Failure::Silence)?;
        Ok(redis::poured(answer, self.leak))
    }

    /// How long a request waits, or its refusal.
    fn judge(&self, poured: Result<Poured, Failure>) -> Result<Duration, Reply> {
        match poured {
            Ok(Poured::Within(delay)) if self.delays && delay >= AT_ONCE => {
                Ok(Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX))
            }
            Ok(Poured::Within(_)) => Ok(Duration::ZERO),
            Ok(Poured::Over(wait)) => Err(self.rejection.reply(wait)),
            Err(failure) if self.degradation.allows(matches!(failure, Failure::Redis(_))) => {
                tracing::debug!(%failure, "limit-req lets a request pass unlimited");
                Ok(Duration::ZERO)
            }
            Err(failure) => {
                // What is known to be away was said when it went away.
                match failure {
                    Failure::Redis(remote::Failure::Away(_)) => tracing::debug!(%failure, "failed to limit req"),
                    _ => tracing::error!(%failure, "failed to limit req"),
                }
                Err(Reply::status(500))
            }
        }
    }
}
