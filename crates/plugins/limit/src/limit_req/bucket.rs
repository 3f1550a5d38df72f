use crate::{
    Full, Scope,
    table::{Entry, Table},
};

const MICROS: f64 = 1_000_000.0;

/// Every local bucket of the process.
#[derive(Default)]
pub(super) struct Buckets(Table<Bucket>);

/// How fast a bucket leaks, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leak {
    /// Requests a second.
    pub(super) rate: f64,
    /// Requests.
    pub(super) burst: f64,
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Poured {
    /// It may go on after so many seconds.
    Within(f64),
    /// It does not fit in; it would in so many seconds.
    Over(f64),
}

/// A key's leaky bucket, as in nginx's `limit_req`.
#[derive(Default)]
struct Bucket {
    /// Requests over the rate.
    excess: f64,
    /// When that was so, in microseconds since the epoch.
    at: u64,
    /// When it will have run dry.
    dry: u64,
}

impl Entry for Bucket {
    fn is_over(&self, now: u64) -> bool {
        self.dry <= now
    }
}

impl Buckets {
    pub(super) fn scope(&self, name: &[&str]) -> Scope {
        self.0.scope(name)
    }

    /// Pours a request into a key's bucket, if it fits in.
    pub(super) fn pour(&self, (scope, key): (&Scope, &[u8]), leak: Leak, now: u64) -> Result<Poured, Full> {
        self.0.with(self.0.digest(&(scope, key)), now, |bucket| bucket.pour(leak, now))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Bucket {
    fn pour(&mut self, Leak { rate, burst }: Leak, now: u64) -> Poured {
        // The first request of a dry bucket is not over the rate.
        let excess = if self.is_over(now) {
            0.0
        } else {
            let passed = now.saturating_sub(self.at) as f64 / MICROS;
            (self.excess - rate * passed + 1.0).max(0.0)
        };
        if excess > burst {
            return Poured::Over((excess - burst) / rate);
        }
        let at = now.max(self.at);
        // It is dry once a request more would not be over the rate. A float too large for an integer becomes the largest.
        *self = Self { excess, at, dry: at.saturating_add(((excess + 1.0) / rate * MICROS) as u64) };
        Poured::Within(excess / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_fits_into_128_bytes() {
        assert!(Table::<Bucket>::bytes_of_an_entry() <= 128);
    }
}
