use super::delay::Delay;
use crate::{Amount, Key, Scope, key};
use plugin::Ctx;
use smallvec::SmallVec;

/// A limit as compiled.
pub(super) struct Rule {
    pub(super) scope: Scope,
    /// Its place among several rules.
    pub(super) part: String,
    pub(super) key: Key,
    pub(super) conn: Amount,
    pub(super) burst: Amount,
    pub(super) delay: Delay,
}

/// A rule's numbers and key for one request.
pub(super) struct Resolved {
    pub(super) rule: usize,
    pub(super) key: key::Bytes,
    pub(super) conn: u64,
    burst: u64,
}

impl Resolved {
    /// How many may run at a time.
    pub(super) fn most(&self) -> u64 {
        self.conn.saturating_add(self.burst)
    }
}

/// The rules that apply to a request. None is entered before all of them are known, as in APISIX.
///
/// # Errors
/// Why nobody knows: none applies, or a number is none and such rules are not left out.
pub(super) fn resolve(rules: &[Rule], cx: &Ctx, refuses_unreadable: bool) -> Result<SmallVec<[Resolved; 1]>, String> {
    let mut applicable = SmallVec::new();
    for (index, rule) in rules.iter().enumerate() {
        let Some(key) = rule.key.resolve(cx) else { continue };
        match (rule.conn.resolve(cx), rule.burst.resolve(cx)) {
            (Ok(conn), Ok(burst)) => applicable.push(Resolved { rule: index, key, conn, burst }),
            (Err(reason), _) | (_, Err(reason)) if refuses_unreadable => return Err(reason),
            _ => {}
        }
    }
    if applicable.is_empty() { Err("no rule applies".to_owned()) } else { Ok(applicable) }
}
