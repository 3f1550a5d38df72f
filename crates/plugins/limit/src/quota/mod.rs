//! Limits on what is asked for in a time, of which there are several plugins.

mod config;
mod delayed;
mod headers;
mod redis;

pub(crate) use self::{
    config::{Config, reword},
    headers::Metadata,
};

use self::{
    config::{AT_ONCE, WindowType},
    delayed::Delayed,
    headers::{HeaderNames, Quota, Quotas},
};
use crate::{
    Amount, Counters, Full, Key, Least, Rejection, Scope, Taken, Window, key,
    remote::{self, Degradation, KeyName, Names, Remote},
};
use plugin::{BuildEnv, BuildError, Ctx, Outcome, PluginError, Reply, Step, Verdict};
use serde_json::{Value, json};
use smallvec::SmallVec;
use std::{sync::Arc, time::Duration};
use wire::ResponseHead;

/// What costs more costs more than any quota has, unless the quota itself is greater: so that no sum gets too large for Redis.
const GREATEST_COST: u64 = 1 << 32;

/// A plugin's configuration as compiled.
pub(crate) struct Limiter {
    plugin: &'static str,
    store: Store,
    window: Window,
    rules: Vec<Rule>,
    rejection: Rejection,
    degradation: Degradation,
    /// Where quotas are kept that are this node's own.
    counters: Arc<Counters>,
    pub(crate) shows_quota: bool,
    /// Holds the group's configuration as long as somebody is in the group.
    _group: Option<Arc<Group>>,
}

/// Where quotas are kept.
enum Store {
    Local,
    Redis(Arc<Remote>, Names),
    /// And here first, unless the window is no longer than the interval.
    Delayed(Arc<Remote>, Names, Arc<Delayed>, f64),
}

struct Rule {
    scope: Scope,
    /// Its place among several rules.
    part: String,
    key: Key,
    count: Amount,
    time_window: Amount,
    names: HeaderNames,
}

/// The configuration that a group's first member had.
struct Group(Value);

/// Why a request could not be counted.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Rules(String),
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Redis(#[from] remote::Failure),
}

/// A rule's numbers and key for one request.
struct Resolved {
    rule: usize,
    key: key::Bytes,
    count: u64,
    time_window: u64,
}

impl Resolved {
    /// What is counted of a cost.
    fn cost(&self, cost: u64) -> u64 {
        cost.min(self.count.saturating_add(1).max(GREATEST_COST))
    }
}

impl Limiter {
    pub(crate) fn compile(plugin: &'static str, config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        config.refuse_what_the_schema_allows()?;
        let group = config.group.as_deref().map(|group| join(plugin, group, env)).transpose()?;
        let counters = env.shared.kept(Counters::default);
        let remote = Remote::of(config.policy, env)?.map(|remote| {
            let of = match &config.group {
                Some(group) => KeyName::Group(group),
                None => KeyName::Owner(env.owner, env.config),
            };
            (remote, Names::new(&format!("plugin-{plugin}:v1"), &of))
        });
        // Counters belong to a document and a configuration, so that any other change of either keeps them.
        let text = env.config.to_string();
        let scope = |part: &str| match (&remote, &config.group) {
            // Those that stand in for Redis are called as there.
            (Some((_, names)), _) => counters.scope(&[plugin, "redis", names.prefix(), part]),
            (None, Some(group)) => counters.scope(&[plugin, "group", group, &text]),
            (None, None) => counters.scope(&[plugin, env.owner, &text, part]),
        };
        let rules = match config.rules {
            Some(rules) => {
                let compiled = rules.into_iter().enumerate().map(|(index, rule)| {
                    let part = (index + 1).to_string();
                    Ok(Rule {
                        scope: scope(&part),
                        key: Key::of_rule(&rule.key),
                        count: Amount::compile(&rule.count, Least::One),
                        time_window: Amount::compile(&rule.time_window, Least::One),
                        names: HeaderNames::with_prefix(rule.header_prefix.unwrap_or_else(|| part.clone()))?,
                        part,
                    })
                });
                compiled.collect::<Result<Vec<_>, BuildError>>()?
            }
            None => vec![Rule {
                scope: scope(""),
                part: String::new(),
                key: Key::compile(config.key, config.key_type),
                count: Amount::compile(&config.count.unwrap_or_default(), Least::One),
                time_window: Amount::compile(&config.time_window.unwrap_or_default(), Least::One),
                names: HeaderNames::default(),
            }],
        };
        let window = match config.window_type {
            WindowType::Fixed => Window::Fixed,
            WindowType::Sliding => Window::Sliding,
        };
        let store = match remote {
            None => Store::Local,
            Some((remote, names)) if config.sync_interval == AT_ONCE => Store::Redis(remote, names),
            Some((remote, names)) => {
                // One for all that count under these names, also across changes of other things.
                let interval = Duration::from_secs_f64(config.sync_interval);
                let made = || Delayed::new(remote.clone(), window, interval);
                let delayed = env.shared.keyed(&format!("{}{text}", names.prefix()), made);
                Store::Delayed(remote, names, delayed, config.sync_interval)
            }
        };
        Ok(Self {
            plugin,
            store,
            window,
            rules,
            rejection: Rejection::compile(config.rejected_code, config.rejected_msg.as_deref(), env.compat),
            degradation: Degradation::new(config.allow_degradation, config.redis_fallback),
            counters,
            shows_quota: config.show_limit_quota_header,
            _group: group,
        })
    }

    /// Takes `cost` from a request's quotas.
    pub(crate) fn take<'a>(&'a self, cx: &'a mut Ctx, cost: u64) -> Step<'a> {
        let resolved = match self.resolve(cx) {
            Ok(resolved) => resolved,
            Err(failure) => return Step::Ready(self.settle(Err(failure))),
        };
        match &self.store {
            Store::Local => {
                let taken = self.take_here(cx, &resolved, cost);
                Step::Ready(self.settle(taken))
            }
            Store::Redis(remote, names) => Step::Wait(Box::pin(async move {
                let taken = match self.take_there(cx, remote, names, &resolved, cost).await {
                    Err(Failure::Redis(failure)) if self.degradation.counts_here() => {
                        tracing::debug!(plugin = self.plugin, %failure, "this node counts for itself");
                        self.take_here(cx, &resolved, cost)
                    }
                    taken => taken,
                };
                self.settle(taken)
            })),
            Store::Delayed(remote, names, delayed, interval) => Step::Wait(Box::pin(async move {
                let is_delayed = |resolved: &Resolved| resolved.time_window as f64 > *interval;
                let taken = if resolved.iter().all(is_delayed) {
                    self.take_and_tell_later(cx, delayed, names, &resolved, cost).await
                } else {
                    self.take_there(cx, remote, names, &resolved, cost).await
                };
                self.settle(taken)
            })),
        }
    }

    /// Shows what is left, in the response's head.
    pub(crate) fn show(&self, cx: &mut Ctx, metadata: Option<&Metadata>, head: &mut ResponseHead) {
        let quotas = &cx.state::<Quotas>().0;
        for quota in quotas {
            if let Some(rule) = self.rules.get(quota.rule) {
                rule.names.write(quota, metadata, &mut head.fields);
            }
        }
        if metadata.is_some_and(Metadata::shows_ietf) {
            let named = quotas.iter().filter_map(|quota| Some((self.rules.get(quota.rule)?.names.rule(), quota)));
            headers::write_ietf(named, &mut head.fields);
        }
    }

    /// The rules that apply. None counts before all are known to be countable, as in APISIX.
    fn resolve(&self, cx: &Ctx) -> Result<SmallVec<[Resolved; 1]>, Failure> {
        let mut applicable = SmallVec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let Some(key) = rule.key.resolve(cx) else { continue };
            let amount = |amount: &Amount| amount.resolve(cx).map_err(Failure::Rules);
            let (count, time_window) = (amount(&rule.count)?, amount(&rule.time_window)?);
            applicable.push(Resolved { rule: index, key, count, time_window });
        }
        if applicable.is_empty() {
            return Err(Failure::Rules("no variable of any rule's key has a value".to_owned()));
        }
        Ok(applicable)
    }

    fn take_here(&self, cx: &mut Ctx, applicable: &[Resolved], cost: u64) -> Result<Verdict, Failure> {
        let now = cx.shared.clock.steady().as_micros() as u64;
        for resolved in applicable {
            let Some(rule) = self.rules.get(resolved.rule) else { continue };
            let numbers = (resolved.cost(cost), resolved.count, resolved.time_window);
            let taken = self.counters.take((&rule.scope, &resolved.key), self.window, numbers, now)?;
            if let refusal @ Verdict::Respond(_) = self.note(cx, resolved, taken) {
                return Ok(refusal);
            }
        }
        Ok(Verdict::Next)
    }

    async fn take_there(
        &self,
        cx: &mut Ctx,
        remote: &Arc<Remote>,
        names: &Names,
        applicable: &[Resolved],
        cost: u64,
    ) -> Result<Verdict, Failure> {
        let part = |resolved: &Resolved| self.rules.get(resolved.rule).map_or("", |rule| &rule.part);
        let call = |resolved: &Resolved| redis::call(names, part(resolved), self.window, resolved, resolved.cost(cost));
        let answers = remote.run(redis::script(self.window), applicable.iter().map(call).collect()).await?;
        for (resolved, answer) in applicable.iter().zip(answers) {
            let taken = redis::taken(self.window, answer);
            if let refusal @ Verdict::Respond(_) = self.note(cx, resolved, taken) {
                return Ok(refusal);
            }
        }
        Ok(Verdict::Next)
    }

    async fn take_and_tell_later(
        &self,
        cx: &mut Ctx,
        delayed: &Arc<Delayed>,
        names: &Names,
        applicable: &[Resolved],
        cost: u64,
    ) -> Result<Verdict, Failure> {
        for resolved in applicable {
            let Some(rule) = self.rules.get(resolved.rule) else { continue };
            let quota = delayed::Quota {
                key: redis::key(names, &rule.part, self.window, resolved),
                limit: resolved.count,
                seconds: resolved.time_window,
            };
            let cost = resolved.cost(cost);
            let taken = delayed.take(quota, cost, plugin::Clock::System.steady().as_micros() as u64).await?;
            if let refusal @ Verdict::Respond(_) = self.note(cx, resolved, taken) {
                return Ok(refusal);
            }
        }
        Ok(Verdict::Next)
    }

    /// Remembers what is to be shown, and refuses what is over the quota.
    fn note(&self, cx: &mut Ctx, resolved: &Resolved, taken: Taken) -> Verdict {
        if self.shows_quota {
            cx.state::<Quotas>().0.push(Quota {
                rule: resolved.rule,
                limit: resolved.count,
                seconds: resolved.time_window,
                taken,
            });
        }
        match taken.remaining {
            Some(_) => Verdict::Next,
            None => self.rejection.reply(taken.reset).into(),
        }
    }

    fn settle(&self, taken: Result<Verdict, Failure>) -> Outcome {
        match taken {
            Ok(verdict) => Ok(verdict),
            Err(failure) if self.degradation.allows(matches!(failure, Failure::Redis(_))) => {
                tracing::debug!(plugin = self.plugin, %failure, "a request passes uncounted");
                Ok(Verdict::Next)
            }
            Err(Failure::Rules(reason)) => Err(PluginError(format!("failed to get rate limit rules: {reason}"))),
            Err(failure) => {
                // What is known to be away was said when it went away.
                match failure {
                    Failure::Redis(remote::Failure::Away(_)) => tracing::debug!(%failure, "failed to limit count"),
                    _ => tracing::error!(plugin = self.plugin, %failure, "failed to limit count"),
                }
                Ok(Reply::json(500, &json!({ "error_msg": "failed to limit count" })).into())
            }
        }
    }
}

/// Enters a group, whose members have all the same configuration.
fn join(plugin: &str, group: &str, env: &BuildEnv<'_>) -> Result<Arc<Group>, BuildError> {
    let entered = env.shared.keyed(&format!("{plugin}:{group}"), || Group(env.config.clone()));
    if entered.0 == *env.config { Ok(entered) } else { Err("group conf mismatched".to_owned().into()) }
}
