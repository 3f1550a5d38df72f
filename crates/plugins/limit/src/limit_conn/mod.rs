#![doc = include_str!("doc.md")]

mod connections;
mod delay;
mod redis;
#[cfg(test)]
mod tests;

use self::{
    connections::{Connections, Entered, Place},
    delay::Delay,
    redis::RemotePlace,
};
use crate::{
    Amount, Full, Key, KeyType, Least, Rejection, Scope, forgeable, key,
    remote::{self, KeyName, Names, Policy, Remote},
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
    /// Only with a policy that has it.
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
    allows_degradation: bool,
    /// Whether a rule that cannot be resolved refuses.
    refuses_unreadable: bool,
}

/// Where places are kept.
enum Store {
    Local(Arc<Connections>),
    /// For so many seconds.
    Redis(Arc<Remote>, Names, u64),
}

struct Rule {
    scope: Scope,
    /// Its place among several rules.
    part: String,
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
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: true },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let connections = env.shared.kept(Connections::default);
        // Places belong to a document and a configuration, so that any other change of either keeps them.
        let text = env.config.to_string();
        let rule = |index: &str, key: Key, conn: &Value, burst: &Value| Rule {
            scope: connections.scope(&[Self::NAME, env.owner, &text, index]),
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
        let store = match Remote::of(config.policy, env)? {
            None => Store::Local(connections),
            Some(remote) => {
                let names = Names::new("limit_conn", &KeyName::Owner(env.owner, env.config));
                // A place that is forgotten at once would be no place.
                Store::Redis(remote, names, u64::try_from(config.key_ttl.unwrap_or(3600)).unwrap_or(1).max(1))
            }
        };
        Ok(Self {
            store,
            rules,
            rejection: Rejection::compile(config.rejected_code, config.rejected_msg.as_deref(), env.compat),
            allows_degradation: config.allow_degradation,
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
        let resolved = match self.resolve(cx) {
            Ok(resolved) => resolved,
            Err(failure) => return Step::Ready(Ok(self.degrade(&failure))),
        };
        match &self.store {
            Store::Local(connections) => match self.enter_here(cx, connections, &resolved) {
                (verdict, Duration::ZERO, _) => Step::Ready(Ok(verdict)),
                (_, mut delay, mut entered) => Step::Wait(Box::pin(async move {
                    loop {
                        cx.sleep(delay).await;
                        let rest = resolved.get(entered..).unwrap_or_default();
                        let (verdict, next, more) = self.enter_here(cx, connections, rest);
                        if next.is_zero() {
                            return Ok(verdict);
                        }
                        (delay, entered) = (next, entered + more);
                    }
                })),
            },
            Store::Redis(remote, names, ttl) => Step::Wait(Box::pin(async move {
                match self.enter_there(cx, remote, names, *ttl, &resolved).await {
                    Ok((Verdict::Next, delay)) => {
                        cx.sleep(delay).await;
                        Ok(Verdict::Next)
                    }
                    Ok((refusal, _)) => Ok(refusal),
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
    #[error("failed to limit conn: {0}")]
    Redis(#[from] remote::Failure),
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
    fn enter_here(
        &self,
        cx: &mut Ctx,
        connections: &Arc<Connections>,
        rules: &[Resolved],
    ) -> (Verdict, Duration, usize) {
        for (at, resolved) in rules.iter().enumerate() {
            let Some(rule) = self.rules.get(resolved.rule) else { continue };
            match connections.enter((&rule.scope, &resolved.key), resolved.most()) {
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
        if self.allows_degradation {
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

impl Resolved {
    /// How many may run at a time.
    fn most(&self) -> u64 {
        self.conn.saturating_add(self.burst)
    }
}
