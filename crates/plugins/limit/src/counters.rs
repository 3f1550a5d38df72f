//! Counters of requests by key, exact across all workers.

#[cfg(test)]
mod tests;

use crate::{
    Full, Scope,
    table::{Entry, Table},
};

const MICROS: f64 = 1_000_000.0;

/// Every local counter of the process.
#[derive(Default)]
pub(crate) struct Counters(Table<Counter>);

/// How requests are counted over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// Begins with the first request.
    Fixed,
    /// Aligned windows; the one before counts for the share of it that is not over.
    Sliding,
}

/// What taking from a quota came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Taken {
    /// How many are left, if it was allowed.
    pub(crate) remaining: Option<u64>,
    /// Seconds until there is room again, with two decimals.
    pub(crate) reset: f64,
}

/// What a key has used of its quota.
#[derive(Default)]
struct Counter {
    /// Microseconds since the epoch, from which on the counter says nothing any more.
    until: u64,
    used: u64,
    /// What was used in the window before.
    before: u64,
}

impl Entry for Counter {
    fn is_over(&self, now: u64) -> bool {
        self.until <= now
    }
}

impl Counters {
    /// A scope by its name.
    pub(crate) fn scope(&self, name: &[&str]) -> Scope {
        self.0.scope(name)
    }

    /// Takes `cost` from a key's quota of `limit` in `seconds`. What is over the quota of a fixed window counts, what is over
    /// that of a sliding window does not.
    pub(crate) fn take(
        &self,
        (scope, key): (&Scope, &[u8]),
        window: Window,
        (cost, limit, seconds): (u64, u64, u64),
        now: u64,
    ) -> Result<Taken, Full> {
        let length = seconds.saturating_mul(MICROS as u64);
        match window {
            Window::Fixed => {
                let digest = self.0.digest(&(scope, key));
                self.0.with(digest, now, |counter| counter.take_fixed(cost, limit, length, now))
            }
            // Where the length is a variable, each length has windows of its own.
            Window::Sliding => {
                let digest = self.0.digest(&(scope, seconds, key));
                self.0.with(digest, now, |counter| counter.take_sliding(cost, limit, length, now))
            }
        }
    }
}

impl Counter {
    fn take_fixed(&mut self, cost: u64, limit: u64, length: u64, now: u64) -> Taken {
        if self.until <= now {
            *self = Self { until: now.saturating_add(length), used: 0, before: 0 };
        }
        self.used = self.used.saturating_add(cost);
        Taken {
            remaining: limit.checked_sub(self.used),
            reset: hundredths((self.until - now) as f64 / MICROS, f64::floor),
        }
    }

    fn take_sliding(&mut self, cost: u64, limit: u64, length: u64, now: u64) -> Taken {
        // `until` is the end of the window after the one that `used` counts in. A clock that went back changes nothing.
        let end = (now - now % length).saturating_add(length.saturating_mul(2));
        if end > self.until {
            let is_next = self.until.checked_add(length) == Some(end);
            *self = Self { until: end, used: 0, before: if is_next { self.used } else { 0 } };
        }
        let left = (length - now % length) as f64 / MICROS;
        let rate = self.before.min(limit) as f64 / (length as f64 / MICROS);
        if self.used >= limit {
            return Taken { remaining: None, reset: hundredths(left, f64::ceil) };
        }
        if rate * left + self.used as f64 >= limit as f64 {
            let wait = left - (limit - self.used) as f64 / rate;
            return Taken { remaining: None, reset: hundredths(wait.max(0.0), f64::ceil) };
        }
        self.used = self.used.saturating_add(cost);
        let remaining = (limit as f64 - self.used as f64 - rate * left).floor();
        // Below zero where the old window leaves room for a part of a request.
        Taken { remaining: Some(remaining.max(0.0) as u64), reset: hundredths(left, f64::ceil) }
    }
}

/// Two decimals, as APISIX shows them.
fn hundredths(seconds: f64, round: fn(f64) -> f64) -> f64 {
    round(seconds * 100.0) / 100.0
}
