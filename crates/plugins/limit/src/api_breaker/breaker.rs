use crate::table::{Entry, Scope, Table};
use std::hash::Hash;

const MICROS: u64 = 1_000_000;

/// Seconds after which failures are forgotten, unless requests are kept away for longer.
const MEMORY: u64 = 300;

/// Every breaker of the process.
#[derive(Default)]
pub(super) struct Breakers(Table<Breaker>);

/// When a breaker opens, and when it closes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) failures: u64,
    pub(super) successes: u64,
    /// Seconds.
    pub(super) longest: u64,
}

/// What is known of the upstream of a path.
#[derive(Default)]
struct Breaker {
    failures: u32,
    successes: u32,
    /// The second in which there were enough failures, once more; 0 before.
    opened: u64,
    /// When this is forgotten, in microseconds since the epoch.
    until: u64,
}

impl Entry for Breaker {
    fn is_over(&self, now: u64) -> bool {
        self.until <= now
    }
}

impl Breakers {
    pub(super) fn scope(&self, name: &[&str]) -> Scope {
        self.0.scope(name)
    }

    /// Seconds for which requests are still kept away; `None` when they are not.
    pub(super) fn is_open(&self, of: &(impl Hash + ?Sized), rule: Rule, now: u64) -> Option<u64> {
        self.0.with_known(self.0.digest(of), now, |breaker| breaker.is_open(rule, now))?
    }

    /// Takes note of a failure. Where there is no room for another breaker there is none.
    pub(super) fn fail(&self, of: &(impl Hash + ?Sized), rule: Rule, now: u64) {
        let noted = self.0.with(self.0.digest(of), now, |breaker| breaker.fail(rule, now));
        if let Err(full) = noted {
            tracing::warn!(error = %full, "api-breaker takes no note of a failure");
        }
    }

    /// Takes note of a success, where there were failures.
    pub(super) fn succeed(&self, of: &(impl Hash + ?Sized), rule: Rule, now: u64) {
        self.0.with_known(self.0.digest(of), now, |breaker| breaker.succeed(rule));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Breaker {
    fn is_open(&self, rule: Rule, now: u64) -> Option<u64> {
        if self.is_over(now) || self.opened == 0 {
            return None;
        }
        // Each time that there were enough failures doubles the seconds. It is open to the end of the last one, as in APISIX.
        let doublings = (u64::from(self.failures) / rule.failures.max(1)).clamp(1, 63);
        let end = self.opened.saturating_add(rule.longest.min(1 << doublings));
        (now / MICROS <= end).then(|| end.saturating_add(1).saturating_sub(now / MICROS))
    }

    fn fail(&mut self, rule: Rule, now: u64) {
        if self.is_over(now) {
            *self = Self::default();
        }
        self.failures = self.failures.saturating_add(1);
        self.successes = 0;
        if u64::from(self.failures).is_multiple_of(rule.failures.max(1)) {
            self.opened = now / MICROS;
        }
        self.until = now.saturating_add(rule.longest.max(MEMORY).saturating_mul(2 * MICROS));
    }

    fn succeed(&mut self, rule: Rule) {
        self.successes = self.successes.saturating_add(1);
        if u64::from(self.successes) >= rule.successes {
            // Over at once.
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_fits_into_128_bytes() {
        assert!(Table::<Breaker>::bytes_of_an_entry() <= 128);
    }
}
