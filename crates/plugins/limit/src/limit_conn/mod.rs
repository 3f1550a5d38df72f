#![doc = include_str!("doc.md")]

mod connections;
mod delay;
mod redis;
mod rules;
#[cfg(test)]
mod tests;

use self::{
    connections::{Connections, Entered, Place},
    delay::Delay,
    redis::RemotePlace,
    rules::{Resolved, Rule},
};
use crate::{
    Amount, Full, Key, KeyType, Least, Rejection, forgeable,
    remote::{self, Degradation, Fallback, KeyName, Names, Policy, Remote},
};
use model::differences::DifferenceId;
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Finding, Hooks, Log, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step,
    Verdict,
};
use serde::Deserialize;
use serde_json::Value;
use smallvec::SmallVec;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

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
    /// Only with a policy that has it, like the next.
    redis_fallback: Option<Fallback>,
    key_ttl: Option<i64>,
    rules: Option<Vec<RuleConfig>>,
}

#[derive(Debug, Deserialize)]
struct RuleConfig {
    conn: Value,
    burst: Value,
    key: String,
}

/// Limits the number of requests at a time.
#[allow(missing_debug_implementations)]
pub struct LimitConn {
    store: Store,
    rules: Vec<Rule>,
    rejection: Rejection,
    degradation: Degradation,
    /// Places that are this node's own.
    connections: Arc<Connections>,
    /// Whether a rule that cannot be resolved refuses.
    refuses_unreadable: bool,
}

/// Where places are kept.
enum Store {
    Local,
    /// For so many seconds.
    Redis(Arc<Remote>, Names, u64),
}

impl Plugin for LimitConn {
    const NAME: &'static str = "limit-conn";
    const PRIORITY: i32 = 1003;
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
        let connections = env.shared.kept(Connections::default);
        let remote = Remote::of(config.policy, env)?
            .map(|remote| (remote, Names::new("limit_conn", &KeyName::Owner(env.owner, env.config))));
        // Places belong to a document and a configuration, so that any other change of either keeps them.
        let text = env.config.to_string();
        let rule = |index: &str, key: Key, conn: &Value, burst: &Value| Rule {
            scope: match &remote {
                // Those that stand in for Redis are called as there.
                Some((_, names)) => connections.scope(&[Self::NAME, "redis", names.prefix(), index]),
                None => connections.scope(&[Self::NAME, env.owner, &text, index]),
            },
            part: index.to_owned(),
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
        let store = match remote {
            None => Store::Local,
            // A place that is forgotten at once would be no place.
            Some((remote, names)) => {
                Store::Redis(remote, names, u64::try_from(config.key_ttl.unwrap_or(3600)).unwrap_or(1).max(1))
            }
        };
        Ok(Self {
            store,
            rules,
            rejection: Rejection::compile(config.rejected_code, config.rejected_msg.as_deref(), env.compat),
            degradation: Degradation::new(config.allow_degradation, config.redis_fallback),
            connections,
            refuses_unreadable: config.rules.is_none() || env.compat.is_safe(DifferenceId::UnreadableLimits),
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
        let resolved = match rules::resolve(&self.rules, cx, self.refuses_unreadable) {
            Ok(resolved) => resolved,
            Err(reason) => return Step::Ready(Ok(self.degrade(&Failure::Rules(reason)))),
        };
        match &self.store {
            Store::Local => match self.enter_here(cx, &resolved) {
                (verdict, Duration::ZERO, _) => Step::Ready(Ok(verdict)),
                (_, delay, entered) => Step::Wait(Box::pin(async move {
                    cx.sleep(delay).await;
                    Ok(self.enter_and_wait(cx, resolved.get(entered..).unwrap_or_default()).await)
                })),
            },
            Store::Redis(remote, names, ttl) => Step::Wait(Box::pin(async move {
                match self.enter_there(cx, remote, names, *ttl, &resolved).await {
                    Ok((Verdict::Next, delay)) => {
                        cx.sleep(delay).await;
                        Ok(Verdict::Next)
                    }
                    Ok((refusal, _)) => Ok(refusal),
                    Err(Failure::Redis(failure)) if self.degradation.counts_here() => {
                        tracing::debug!(%failure, "limit-conn counts on this node");
                        Ok(self.enter_and_wait(cx, &resolved).await)
                    }
                    Err(failure) => Ok(self.degrade(&failure)),
                }
            })),
        }
    }
}

impl Log for LimitConn {
    fn log(&self, cx: &mut Ctx) {
        let (total, upstream) = (cx.timings.total, cx.timings.upstream);
        for held in std::mem::take(&mut cx.state::<Held>().0) {
            if let (Some(delay), Some(rule)) = (held.delay, self.rules.get(held.rule)) {
                rule.delay.learn(upstream.unwrap_or_else(|| total.saturating_sub(delay)));
            }
        }
    }
}

/// The places that a request has. Whoever drops them, the request or the log phase, gives them back.
#[derive(Default)]
struct Held(SmallVec<[HeldPlace; 1]>);

struct HeldPlace {
    rule: usize,
    /// How long it waited for it; `None` when it is not known to have it.
    delay: Option<Duration>,
    place: AnyPlace,
}

enum AnyPlace {
    Local(#[expect(dead_code, reason = "dropping it is its use")] Place),
    Redis(RemotePlace),
}

/// Why requests cannot be limited.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed to get limit conn rules: {0}")]
    Rules(String),
    #[error("failed to limit conn: {0}")]
    Full(#[from] Full),
    #[error("failed to limit conn: {0}")]
    Redis(#[from] remote::Failure),
}

impl LimitConn {
    /// Enters by one rule after the other, until one refuses or delays. Gives the delay, and how many were entered.
    fn enter_here(&self, cx: &mut Ctx, rules: &[Resolved]) -> (Verdict, Duration, usize) {
        for (at, resolved) in rules.iter().enumerate() {
            let Some(rule) = self.rules.get(resolved.rule) else { continue };
            match self.connections.enter((&rule.scope, &resolved.key), resolved.most()) {
                Ok(Entered::As(nth, place)) => {
                    let delay = rule.delay.of(nth, resolved.conn);
                    let place = AnyPlace::Local(place);
                    cx.state::<Held>().0.push(HeldPlace { rule: resolved.rule, delay: Some(delay), place });
                    if delay >= AT_ONCE {
                        return (Verdict::Next, delay, at + 1);
                    }
                }
                Ok(Entered::Refused) => return (self.refuse(rule), Duration::ZERO, at),
                Err(full) => match self.degrade(&full.into()) {
                    Verdict::Next => {}
                    refusal @ Verdict::Respond(_) => return (refusal, Duration::ZERO, at),
                },
            }
        }
        (Verdict::Next, Duration::ZERO, rules.len())
    }

    /// The same for all of them, waiting as long as they say.
    async fn enter_and_wait(&self, cx: &mut Ctx, rules: &[Resolved]) -> Verdict {
        let mut entered = 0;
        loop {
            let (verdict, delay, more) = self.enter_here(cx, rules.get(entered..).unwrap_or_default());
            if delay.is_zero() {
                return verdict;
            }
            cx.sleep(delay).await;
            entered += more;
        }
    }

    /// Enters by all rules in one step, up to the first that refuses. Gives the delays of all.
    async fn enter_there(
        &self,
        cx: &mut Ctx,
        remote: &Arc<Remote>,
        names: &Names,
        ttl: u64,
        rules: &[Resolved],
    ) -> Result<(Verdict, Duration), Failure> {
        let request = cx.request_id().into_owned();
        let (entering, entered) = watch::channel(());
        let mut calls = Vec::with_capacity(rules.len());
        // The places are the request's from now on: nobody knows what Redis has done when its answer does not come.
        for resolved in rules {
            let part = self.rules.get(resolved.rule).map_or("", |rule| &rule.part);
            let place = RemotePlace::new(remote, names.key(part, &resolved.key), &request, entered.clone());
            calls.push(place.call(resolved.most(), ttl));
            let place = AnyPlace::Redis(place);
            cx.state::<Held>().0.push(HeldPlace { rule: resolved.rule, delay: None, place });
        }
        let answers = remote.run_until(&redis::ENTER, calls, entering).await?;
        let mut total = Duration::ZERO;
        let mut verdict = Verdict::Next;
        for (at, (held, resolved)) in cx.state::<Held>().0.iter_mut().zip(rules).enumerate() {
            let Some(rule) = self.rules.get(resolved.rule) else { continue };
            match answers.get(at) {
                Some(answer) if answer.is_allowed => {
                    let delay = rule.delay.of(answer.first as u64, resolved.conn);
                    total = total.saturating_add(delay);
                    held.delay = Some(delay);
                }
                refused => {
                    if let AnyPlace::Redis(place) = &mut held.place {
                        place.forget();
                    }
                    if refused.is_some() {
                        verdict = self.refuse(rule);
                    }
                }
            }
        }
        Ok((verdict, if total >= AT_ONCE { total } else { Duration::ZERO }))
    }

    fn refuse(&self, rule: &Rule) -> Verdict {
        self.rejection.reply(rule.delay.unit().as_secs_f64()).into()
    }

    fn degrade(&self, failure: &Failure) -> Verdict {
        if self.degradation.allows(matches!(failure, Failure::Redis(_))) {
            tracing::debug!(%failure, "limit-conn lets a request pass unlimited");
            return Verdict::Next;
        }
        // What is known to be away was said when it went away.
        match failure {
            Failure::Redis(remote::Failure::Away(_)) => tracing::debug!("{failure}"),
            _ => tracing::error!("{failure}"),
        }
        Reply::status(500).into()
    }
}
