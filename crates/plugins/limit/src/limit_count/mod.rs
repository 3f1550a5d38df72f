#![doc = include_str!("doc.md")]

mod headers;
#[cfg(test)]
mod tests;

use self::headers::{HeaderNames, Quota, Quotas};
use crate::{Amount, Counters, Full, Key, KeyType, Least, Rejection, Scope, Taken, Window, forgeable, key};
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Finding, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture, Reply,
    RunPolicy, Spec, Step, Verdict,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc};
use wire::ResponseHead;

const BOTH: &str = "count/time_window and rules cannot be specified at the same time";

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    count: Option<Value>,
    time_window: Option<Value>,
    window_type: WindowType,
    rules: Option<Vec<RuleConfig>>,
    group: Option<String>,
    key: String,
    key_type: KeyType,
    rejected_code: u16,
    rejected_msg: Option<String>,
    policy: Policy,
    allow_degradation: bool,
    show_limit_quota_header: bool,
}

#[derive(Debug, Deserialize)]
struct RuleConfig {
    count: Value,
    time_window: Value,
    key: String,
    header_prefix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WindowType {
    Fixed,
    Sliding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    Local,
    Redis,
    RedisCluster,
    RedisSentinel,
}

/// Limits the number of requests in a time.
#[allow(missing_debug_implementations)]
pub struct LimitCount {
    counters: Arc<Counters>,
    window: Window,
    rules: Vec<Rule>,
    rejection: Rejection,
    allows_degradation: bool,
    shows_quota: bool,
    /// Holds the group's configuration as long as somebody is in the group.
    _group: Option<Arc<Group>>,
}

struct Rule {
    scope: Scope,
    key: Key,
    count: Amount,
    time_window: Amount,
    names: HeaderNames,
}

/// The configuration that a group's first member had.
struct Group(Value);

impl Plugin for LimitCount {
    const NAME: &'static str = "limit-count";
    const PRIORITY: i32 = 1002;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.5,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = headers::Metadata;

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        config.refuse_what_the_schema_allows()?;
        let group = config.group.as_deref().map(|group| join(group, env)).transpose()?;
        let counters = env.shared.kept(Counters::default);
        // Counters belong to a document and a configuration, so that any other change of either keeps them.
        let text = env.config.to_string();
        let scope = |index: &str| match &config.group {
            Some(group) => counters.scope(&[Self::NAME, "group", group, &text]),
            None => counters.scope(&[Self::NAME, env.owner, &text, index]),
        };
        let rules = match config.rules {
            Some(rules) => {
                let compiled = rules.into_iter().enumerate().map(|(index, rule)| {
                    let index = (index + 1).to_string();
                    Ok(Rule {
                        scope: scope(&index),
                        key: Key::of_rule(&rule.key),
                        count: Amount::compile(&rule.count, Least::One),
                        time_window: Amount::compile(&rule.time_window, Least::One),
                        names: HeaderNames::with_prefix(rule.header_prefix.unwrap_or(index))?,
                    })
                });
                compiled.collect::<Result<Vec<_>, BuildError>>()?
            }
            None => vec![Rule {
                scope: scope(""),
                key: Key::compile(config.key, config.key_type),
                count: Amount::compile(&config.count.unwrap_or_default(), Least::One),
                time_window: Amount::compile(&config.time_window.unwrap_or_default(), Least::One),
                names: HeaderNames::default(),
            }],
        };
        Ok(Self {
            counters,
            window: match config.window_type {
                WindowType::Fixed => Window::Fixed,
                WindowType::Sliding => Window::Sliding,
            },
            rules,
            rejection: Rejection::compile(config.rejected_code, config.rejected_msg.as_deref(), env.compat),
            allows_degradation: config.allow_degradation,
            shows_quota: config.show_limit_quota_header,
            _group: group,
        })
    }

    fn reword(config: &Value, violation: &str) -> Option<&'static str> {
        let has = |name: &str| config.get(name).is_some();
        let is_twice = has("rules") && (has("count") || has("time_window"));
        (is_twice && violation.contains("value should match only one schema")).then_some(BOTH)
    }

    fn lint(config: &serde_json::Value) -> Vec<Finding> {
        forgeable::findings(config)
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self.clone());
        if self.shows_quota {
            hooks.header_filter = Some(self);
        }
    }
}

impl Access for LimitCount {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let outcome = match self.limit(cx) {
            Err(failure) if self.allows_degradation => {
                tracing::warn!(%failure, "limit-count lets a request pass uncounted");
                Ok(Verdict::Next)
            }
            Err(Failure::Full(error)) => {
                tracing::error!(%error, "failed to limit count");
                Ok(Reply::json(500, &json!({ "error_msg": "failed to limit count" })).into())
            }
            Err(Failure::Rules(reason)) => Err(PluginError(format!("failed to get rate limit rules: {reason}"))),
            Ok(verdict) => Ok(verdict),
        };
        Step::Ready(outcome)
    }
}

impl HeaderFilter for LimitCount {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        let metadata = cx.metadata::<Self>();
        for quota in &cx.state::<Quotas>().0 {
            if let Some(rule) = self.rules.get(quota.rule) {
                rule.names.write(quota, metadata.as_deref(), &mut head.fields);
            }
        }
        Ok(())
    }
}

/// Why a request could not be counted.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Rules(String),
    #[error(transparent)]
    Full(#[from] Full),
}

impl LimitCount {
    fn limit(&self, cx: &mut Ctx) -> Result<Verdict, Failure> {
        let now = cx.shared.clock.steady().as_micros() as u64;
        let mut applicable = Vec::new();
        // One rule alone needs no list. Of several, none counts before all are known to be countable, as in APISIX.
        if let [rule] = self.rules.as_slice() {
            let Some(resolved) = rule.resolve(cx)? else { return Err(none_applies()) };
            return self.take(cx, 0, rule, &resolved, now);
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if let Some(resolved) = rule.resolve(cx)? {
                applicable.push((index, rule, resolved));
            }
        }
        if applicable.is_empty() {
            return Err(none_applies());
        }
        for (index, rule, resolved) in &applicable {
            if let respond @ Verdict::Respond(_) = self.take(cx, *index, rule, resolved, now)? {
                return Ok(respond);
            }
        }
        Ok(Verdict::Next)
    }

    fn take(&self, cx: &mut Ctx, index: usize, rule: &Rule, resolved: &Resolved, now: u64) -> Result<Verdict, Failure> {
        let Resolved { key, count, time_window } = resolved;
        let taken @ Taken { remaining, .. } =
            self.counters.take((&rule.scope, key), self.window, (1, *count, *time_window), now)?;
        if self.shows_quota {
            cx.state::<Quotas>().0.push(Quota { rule: index, limit: *count, taken });
        }
        Ok(match remaining {
            Some(_) => Verdict::Next,
            None => self.rejection.reply(taken.reset).into(),
        })
    }
}

/// A rule's numbers and key for one request.
struct Resolved {
    key: key::Bytes,
    count: u64,
    time_window: u64,
}

impl Rule {
    /// `None` when the rule does not apply, because no variable of its key has a value.
    fn resolve(&self, cx: &Ctx) -> Result<Option<Resolved>, Failure> {
        let Some(key) = self.key.resolve(cx) else { return Ok(None) };
        let resolve = |amount: &Amount| amount.resolve(cx).map_err(Failure::Rules);
        Ok(Some(Resolved { key, count: resolve(&self.count)?, time_window: resolve(&self.time_window)? }))
    }
}

fn none_applies() -> Failure {
    Failure::Rules("no variable of any rule's key has a value".to_owned())
}

/// Enters a group, whose members have all the same configuration.
fn join(group: &str, env: &BuildEnv<'_>) -> Result<Arc<Group>, BuildError> {
    let entered = env.shared.keyed(group, || Group(env.config.clone()));
    if entered.0 == *env.config { Ok(entered) } else { Err("group conf mismatched".to_owned().into()) }
}

impl Config {
    fn refuse_what_the_schema_allows(&self) -> Result<(), BuildError> {
        let refuse = |reason: &str| Err(BuildError(reason.to_owned()));
        let rules = self.rules.as_deref().unwrap_or_default();
        if self.rules.is_some() && (self.count.is_some() || self.time_window.is_some()) {
            return refuse(BOTH);
        }
        if self.rules.is_some() && self.group.is_some() {
            return refuse("group and rules cannot be specified at the same time");
        }
        let mut keys = HashSet::new();
        if let Some(twice) = rules.iter().find(|rule| !keys.insert(&*rule.key)) {
            return refuse(&format!("duplicate key '{}' in rules", twice.key));
        }
        match self.policy {
            Policy::Local => Ok(()),
            Policy::Redis => refuse(&no_policy("redis")),
            Policy::RedisCluster => refuse(&no_policy("redis-cluster")),
            Policy::RedisSentinel => refuse(&no_policy("redis-sentinel")),
        }
    }
}

fn no_policy(policy: &str) -> String {
    format!("policy \"{policy}\" is not available yet: counters are local to this process")
}
