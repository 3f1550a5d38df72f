use crate::{
    KeyType,
    remote::{Fallback, Policy},
};
use plugin::BuildError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;

const BOTH: &str = "count/time_window and rules cannot be specified at the same time";

/// The interval that is none: Redis is told of each request.
pub(super) const AT_ONCE: f64 = -1.0;

/// Seconds between two times that Redis is told.
const LONGEST_INTERVAL: f64 = 86_400.0;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    pub(super) count: Option<Value>,
    pub(super) time_window: Option<Value>,
    pub(super) window_type: WindowType,
    pub(super) rules: Option<Vec<RuleConfig>>,
    pub(super) group: Option<String>,
    pub(super) key: String,
    pub(super) key_type: KeyType,
    pub(super) rejected_code: u16,
    pub(super) rejected_msg: Option<String>,
    pub(super) policy: Policy,
    pub(super) allow_degradation: bool,
    /// Only with a policy that has it.
    pub(super) redis_fallback: Option<Fallback>,
    pub(super) show_limit_quota_header: bool,
    pub(super) sync_interval: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RuleConfig {
    pub(super) count: Value,
    pub(super) time_window: Value,
    pub(super) key: String,
    pub(super) header_prefix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WindowType {
    Fixed,
    Sliding,
}

impl Config {
    pub(crate) fn rejected_code(&self) -> u16 {
        self.rejected_code
    }

    pub(super) fn refuse_what_the_schema_allows(&self) -> Result<(), BuildError> {
        let refuse = |reason: &str| Err(BuildError(reason.to_owned()));
        let rules = self.rules.as_deref().unwrap_or_default();
        if self.rules.is_some() && (self.count.is_some() || self.time_window.is_some()) {
            return refuse(BOTH);
        }
        if self.rules.is_some() && self.group.is_some() {
            return refuse("group and rules cannot be specified at the same time");
        }
        if self.policy != Policy::Local && self.sync_interval != AT_ONCE {
            if self.sync_interval < 0.1 {
                return refuse("sync_interval should not be smaller than 0.1");
            }
            let window = self.time_window.as_ref().and_then(Value::as_f64);
            if window.is_some_and(|window| self.sync_interval >= window) {
                return refuse("sync_interval should be smaller than time_window");
            }
            if self.sync_interval > LONGEST_INTERVAL {
                return refuse("sync_interval should not be greater than a day");
            }
            if self.redis_fallback.is_some() {
                return refuse(
                    "redis_fallback and sync_interval cannot be specified at the same time: with sync_interval each \
                     node counts for itself while Redis is away",
                );
            }
        }
        let mut keys = HashSet::new();
        if let Some(twice) = rules.iter().find(|rule| !keys.insert(&*rule.key)) {
            return refuse(&format!("duplicate key '{}' in rules", twice.key));
        }
        Ok(())
    }
}

/// What APISIX says when a limit is configured twice.
pub(crate) fn reword(config: &Value, violation: &str) -> Option<&'static str> {
    let has = |name: &str| config.get(name).is_some();
    let is_twice = has("rules") && (has("count") || has("time_window"));
    (is_twice && violation.contains("value should match only one schema")).then_some(BOTH)
}
