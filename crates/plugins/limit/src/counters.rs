//! Counters of requests by key, exact across all workers.

#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use parking_lot::Mutex;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

/// Keys that are counted at most at one time. A counter takes at most 128 bytes, so this is half a GiB.
const MAX_KEYS: usize = 4 << 20;

/// Locks that the counters are spread over.
const SHARDS: usize = 256;

/// Counters that each request looks at to find expired ones.
const SWEEP: usize = 1;

/// Counters that each new one looks at: more than one, so that expired ones cannot pile up.
const SWEEP_FOR_NEW: usize = 4;

const MICROS: f64 = 1_000_000.0;

/// Every local counter of the process.
///
/// A counter never gives way to another: when there are too many, new keys are refused. A client that could push
/// counters out would be forgiven what it had spent.
pub(crate) struct Counters {
    shards: Box<[Mutex<Shard>]>,
    max_keys_per_shard: usize,
    /// Two secret keys of SipHash, because a key may be chosen by a client: nobody can aim at a shard or collide.
    secrets: [RandomState; 2],
}

/// Whose counters: a plugin's configuration on a document, or a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope(Digest);

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

/// There are as many keys as may be counted at one time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_KEYS} keys are counted, which is as many as there may be")]
pub(crate) struct Full;

/// 128 bits that stand for a key of any length.
type Digest = [u64; 2];

#[repr(align(128))] // a lock of its own cache lines
#[derive(Default)]
struct Shard {
    counters: IndexMap<Digest, Counter, BuildHasherDefault<Hashed>>,
    swept: usize,
}

#[derive(Clone, Copy)]
struct Counter {
    /// Microseconds since the epoch, from which on the counter says nothing any more.
    until: u64,
    used: u64,
    /// What was used in the window before.
    before: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self::with_capacity(MAX_KEYS)
    }
}

impl Counters {
    fn with_capacity(max_keys: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_keys_per_shard: max_keys.div_ceil(SHARDS),
            secrets: [RandomState::new(), RandomState::new()],
        }
    }

    /// A scope by its name.
    pub(crate) fn scope(&self, name: &[&str]) -> Scope {
        Scope(self.digest(name))
    }

    /// Takes one request from a key's quota of `limit` in `seconds`. A request over the quota of a fixed window counts,
    /// one over that of a sliding window does not.
    pub(crate) fn take(
        &self,
        (scope, key): (&Scope, &[u8]),
        window: Window,
        limit: u64,
        seconds: u64,
        now: u64,
    ) -> Result<Taken, Full> {
        let length = seconds.saturating_mul(MICROS as u64);
        match window {
            Window::Fixed => {
                let digest = self.digest(&(scope.0, key));
                self.with(digest, now, |counter| counter.take_fixed(limit, length, now))
            }
            // Where the length is a variable, each length has windows of its own.
            Window::Sliding => {
                let digest = self.digest(&(scope.0, seconds, key));
                self.with(digest, now, |counter| counter.take_sliding(limit, length, now))
            }
        }
    }

    fn digest(&self, of: &(impl Hash + ?Sized)) -> Digest {
        self.secrets.each_ref().map(|secret| secret.hash_one(of))
    }

    fn with<R>(&self, digest: Digest, now: u64, take: impl FnOnce(&mut Counter) -> R) -> Result<R, Full> {
        let [_, high] = digest;
        let Some(shard) = self.shards.get(high as usize % SHARDS) else { return Err(Full) };
        let mut shard = shard.lock();
        shard.sweep(SWEEP, now);
        if let Some(counter) = shard.counters.get_mut(&digest) {
            return Ok(take(counter));
        }
        shard.sweep(SWEEP_FOR_NEW, now);
        if shard.counters.len() >= self.max_keys_per_shard {
            return Err(Full);
        }
        let counter = shard.counters.entry(digest).or_insert(Counter { until: 0, used: 0, before: 0 });
        Ok(take(counter))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().counters.len()).sum()
    }
}

impl Shard {
    /// Looks at a few counters, and forgets those that say nothing any more.
    fn sweep(&mut self, steps: usize, now: u64) {
        for _ in 0..steps {
            match self.counters.get_index(self.swept) {
                None => self.swept = 0,
                Some((_, counter)) if counter.until <= now => {
                    self.counters.swap_remove_index(self.swept);
                }
                Some(_) => self.swept += 1,
            }
        }
        if self.counters.capacity() > 64 && self.counters.len() < self.counters.capacity() / 4 {
            self.counters.shrink_to(self.counters.len() * 2);
        }
    }
}

impl Counter {
    fn take_fixed(&mut self, limit: u64, length: u64, now: u64) -> Taken {
        if self.until <= now {
            *self = Self { until: now.saturating_add(length), used: 0, before: 0 };
        }
        self.used = self.used.saturating_add(1);
        Taken {
            remaining: limit.checked_sub(self.used),
            reset: hundredths((self.until - now) as f64 / MICROS, f64::floor),
        }
    }

    fn take_sliding(&mut self, limit: u64, length: u64, now: u64) -> Taken {
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
        self.used += 1;
        let remaining = ((limit - self.used) as f64 - rate * left).floor();
        // Below zero where the old window leaves room for a part of a request.
        Taken { remaining: Some(remaining.max(0.0) as u64), reset: hundredths(left, f64::ceil) }
    }
}

/// Two decimals, as APISIX shows them.
fn hundredths(seconds: f64, round: fn(f64) -> f64) -> f64 {
    round(seconds * 100.0) / 100.0
}

/// Takes a digest, which is a hash already, for its hash.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &b| hash.rotate_left(8) ^ u64::from(b));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 ^= n;
    }

    fn write_usize(&mut self, _length: usize) {}
}
