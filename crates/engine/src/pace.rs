use crate::Limits;
use std::time::{Duration, Instant};

/// Time after which the minimum rate is asked for.
const GRACE: Duration = Duration::from_secs(5);

/// How fast a request body comes. Only the time that is spent waiting for the client counts: an upstream that takes its
/// time does not make the client slow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    begun: Instant,
    waits_since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { begun: now, waits_since: None, waited: Duration::ZERO, bytes: 0 }
    }

    /// Something came.
    pub(crate) fn came(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        if let Some(since) = self.waits_since.take() {
            self.waited += now.duration_since(since);
        }
    }

    /// Nothing is there: until when something must come.
    pub(crate) fn deadline(&mut self, now: Instant, limits: &Limits) -> Instant {
        let since = *self.waits_since.get_or_insert(now);
        let deadline = (since + limits.body_read_timeout).min(self.begun + limits.body_timeout);
        match allowance(self.bytes, limits.min_rate) {
            Some(allowed) => deadline.min(since + allowed.saturating_sub(self.waited)),
            None => deadline,
        }
    }
}

/// How long so many bytes may have taken at the minimum rate; `None` when none is asked for.
pub(crate) fn allowance(bytes: u64, min_rate: u64) -> Option<Duration> {
    let earned = bytes.saturating_mul(1000).checked_div(min_rate)?;
    Some(GRACE + Duration::from_millis(earned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(min_rate: u64) -> Limits {
        let seconds = Duration::from_secs;
        Limits { min_rate, body_read_timeout: seconds(60), body_timeout: seconds(300), ..Limits::default() }
    }

    /// Bytes that come at the given seconds; after how many seconds from the last of them the client is too slow.
    #[track_caller]
    fn check(desc: &str, min_rate: u64, came: &[(u64, usize)], expected: u64) {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        let (mut now, limits) = (begun, limits(min_rate));
        for (at, bytes) in came {
            pace.deadline(now, &limits);
            now = begun + Duration::from_secs(*at);
            pace.came(*bytes, now);
        }
        assert_eq!(pace.deadline(now, &limits) - now, Duration::from_secs(expected), "{desc}");
    }

    #[test]
    fn deadlines_follow_what_came() {
        check("nothing came", 100, &[], 5);
        check("without a rate, the time between two reads", 0, &[], 60);
        check("without a rate, the time in all", 0, &[(290, 1)], 10);
        check("the first seconds are free", 100, &[(4, 100)], 2);
        check("what came early counts later", 100, &[(1, 1000)], 14);
        check("but no longer than between two reads", 100, &[(1, 1_000_000)], 60);
        check("too slow", 100, &[(10, 100)], 0);
        check("at the rate", 100, &[(10, 1000), (20, 1000)], 5);
    }

    #[test]
    fn waiting_for_the_upstream_does_not_count() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let limits = limits(100);
        let mut pace = Pace::new(begun);
        pace.deadline(begun, &limits);
        pace.came(100, at(2));
        // The upstream takes two minutes for it.
        assert_eq!(pace.deadline(at(122), &limits), at(122 + 4));
    }
}
