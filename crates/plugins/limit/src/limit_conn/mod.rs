#![doc = include_str!("doc.md")]

mod connections;
mod delay;
#[cfg(test)]
mod tests;

use self::{
    connections::{Connections, Entered, Place},
    delay::Delay,
};
use crate::{Amount, Full, Key, KeyType, Least, Rejection, Scope, forgeable, key};
use model::differences::DifferenceId;
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Finding, Hooks, Log, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step,
    Verdict,
};
use serde::Deserialize;
use serde_json::Value;
use smallvec::SmallVec;
use std::{sync::Arc, time::Duration};

/// A delay that is not worth waiting for.
const AT_ONCE: Duration = Duration::from_millis(1);

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    conn: Option<Value>,
    burst: Option<Value>,
    default_conn_delay: f64,
    only_use_default_delay: bool,
    key: Option<String>,
    key_type: KeyType,
    rejected_code: u16,
    rejected_msg: Option<String>,
    allow_degradation: bool,
    policy: Policy,
    rules: Option<Vec<RuleConfig>>,
}

#[derive(Debug, Deserialize)]
struct RuleConfig {
    conn: Value,
    burst: Value,
    key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    Local,
    Redis,
    RedisCluster,
}

/// Limits the number of requests at a time.
#[allow(missing_debug_implementations)]
pub struct LimitConn {
    connections: Arc<Connections>,
    rules: Vec<Rule>,
    rejection: Rejection,
    allows_degradation: bool,
    /// Whether a rule that cannot be resolved refuses.
    refuses_unreadable: bool,
}

struct Rule {
    scope: Scope,
    key: Key,
    conn: Amount,
    burst: Amount,
    delay: Delay,
}

impl Plugin for LimitConn {
    const NAME: &'static str = "limit-conn";
    const PRIORITY: i32 = 1003;
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
        let connections = env.shared.kept(Connections::default);
        // Places belong to a document and a configuration, so that any other change of either keeps them.
        let text = env.config.to_string();
        let rule = |index: &str, key: Key, conn: &Value, burst: &Value| Rule {
            scope: connections.scope(&[Self::NAME, env.owner, &text, index]),
            key,
            conn: Amount::compile(conn, Least::One),
            burst: Amount::compile(burst, Least::Zero),
            delay: Delay::new(config.default_conn_delay, !config.only_use_default_delay),
        };
        let rules = match &config.rules {
            Some(rules) => {
                let compiled = rules.iter().enumerate().map(|(index, written)| {
                    rule(&(index + 1).to_string(), Key::of_rule(&written.key), &written.conn, &written.burst)
                });
                compiled.collect()
            }
            None => {
                let key = Key::compile(config.key.unwrap_or_default(), config.key_type);
                vec![rule("", key, &config.conn.unwrap_or_default(), &config.burst.unwrap_or_default())]
            }
        };
        Ok(Self {
            rules,
            rejection: Rejection::compile(config.rejected_code, config.rejected_msg.as_deref(), env.compat),
            allows_degradation: config.allow_degradation,
            refuses_unreadable: config.rules.is_none() || env.compat.is_safe(DifferenceId::UnreadableLimits),
            connections,
        })
    }

    fn lint(config: &serde_json::Value) -> Vec<Finding> {
        forgeable::findings(config)
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self.clone());
        hooks.log = Some(self);
    }
}

impl Access for LimitConn {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let resolved = match self.resolve(cx) {
            Ok(resolved) => resolved,
            Err(failure) => return Step::Ready(Ok(self.degrade(&failure))),
        };
        match self.enter(cx, &resolved) {
            (verdict, Duration::ZERO, _) => Step::Ready(Ok(verdict)),
            (_, mut delay, mut entered) => Step::Wait(Box::pin(async move {
                loop {
                    cx.sleep(delay).await;
                    let rest = resolved.get(entered..).unwrap_or_default();
                    let (verdict, next, more) = self.enter(cx, rest);
                    if next.is_zero() {
                        return Ok(verdict);
                    }
                    (delay, entered) = (next, entered + more);
                }
            })),
        }
    }
}

impl Log for LimitConn {
    fn log(&self, cx: &mut Ctx) {
        let (total, upstream) = (cx.timings.total, cx.timings.upstream);
        for held in std::mem::take(&mut cx.state::<Held>().0) {
            if let Some(rule) = self.rules.get(held.rule) {
                rule.delay.learn(upstream.unwrap_or_else(|| total.saturating_sub(held.delay)));
            }
        }
    }
}

/// The places that a request has. Whoever drops them, the request or the log phase, gives them back.
#[derive(Default)]
struct Held(SmallVec<[HeldPlace; 1]>);

struct HeldPlace {
    rule: usize,
    delay: Duration,
    _place: Place,
}

/// A rule's numbers and key for one request.
struct Resolved {
    rule: usize,
    key: key::Bytes,
    conn: u64,
    burst: u64,
}

/// Why requests cannot be limited.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed to get limit conn rules: {0}")]
    Rules(String),
    #[error("failed to limit conn: {0}")]
    Full(#[from] Full),
}

impl LimitConn {
    /// The rules that apply. None is entered before all of them are known, as in APISIX.
    fn resolve(&self, cx: &Ctx) -> Result<SmallVec<[Resolved; 1]>, Failure> {
        let mut applicable = SmallVec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let Some(key) = rule.key.resolve(cx) else { continue };
            match (rule.conn.resolve(cx), rule.burst.resolve(cx)) {
                (Ok(conn), Ok(burst)) => applicable.push(Resolved { rule: index, key, conn, burst }),
                (Err(reason), _) | (_, Err(reason)) if self.refuses_unreadable => return Err(Failure::Rules(reason)),
                _ => {}
            }
        }
        if applicable.is_empty() {
            return Err(Failure::Rules("no rule applies".to_owned()));
        }
        Ok(applicable)
    }

    /// Enters by one rule after the other, until one refuses or delays. Gives the delay, and how many were entered.
    fn enter(&self, cx: &mut Ctx, rules: &[Resolved]) -> (Verdict, Duration, usize) {
        for (at, resolved) in rules.iter().enumerate() {
            let Some(rule) = self.rules.get(resolved.rule) else { continue };
            let most = resolved.conn.saturating_add(resolved.burst);
            match self.connections.enter((&rule.scope, &resolved.key), most) {
                Ok(Entered::As(nth, place)) => {
                    let delay = rule.delay.of(nth, resolved.conn);
                    cx.state::<Held>().0.push(HeldPlace { rule: resolved.rule, delay, _place: place });
                    if delay >= AT_ONCE {
                        return (Verdict::Next, delay, at + 1);
                    }
                }
                Ok(Entered::Refused) => {
                    let wait = rule.delay.unit().as_secs_f64();
                    return (self.rejection.reply(wait).into(), Duration::ZERO, at);
                }
                Err(full) => match self.degrade(&full.into()) {
                    Verdict::Next => {}
                    refusal @ Verdict::Respond(_) => return (refusal, Duration::ZERO, at),
                },
            }
        }
        (Verdict::Next, Duration::ZERO, rules.len())
    }

    fn degrade(&self, failure: &Failure) -> Verdict {
        if self.allows_degradation {
            tracing::warn!(%failure, "limit-conn lets a request pass unlimited");
            return Verdict::Next;
        }
        tracing::error!("{failure}");
        Reply::status(500).into()
    }
}
