use serde::Deserialize;

/// What is done while Redis gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fallback {
    /// Requests are refused.
    Deny,
    /// They pass unlimited.
    Allow,
    /// This node limits them by itself.
    Local,
}

/// What becomes of requests that cannot be limited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Degradation {
    allows: bool,
    fallback: Option<Fallback>,
}

impl Degradation {
    /// `allow_degradation`, and `redis_fallback` where that says something else of Redis.
    pub(crate) fn new(allows: bool, fallback: Option<Fallback>) -> Self {
        Self { allows, fallback }
    }

    /// Whether they pass; `is_redis` is that Redis is the reason.
    pub(crate) fn allows(self, is_redis: bool) -> bool {
        match self.fallback {
            Some(fallback) if is_redis => fallback == Fallback::Allow,
            _ => self.allows,
        }
    }

    /// Whether this node limits by itself where Redis does not.
    pub(crate) fn counts_here(self) -> bool {
        self.fallback == Some(Fallback::Local)
    }
}
