use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How long requests over `conn` wait: for as long as a request takes, where that is learned.
pub(super) struct Delay {
    /// Microseconds.
    unit: AtomicU64,
    learns: bool,
}

impl Delay {
    pub(super) fn new(seconds: f64, learns: bool) -> Self {
        // A float too large for an integer becomes the largest.
        Self { unit: AtomicU64::new((seconds * 1_000_000.0) as u64), learns }
    }

    pub(super) fn unit(&self) -> Duration {
        Duration::from_micros(self.unit.load(Ordering::Relaxed))
    }

    /// The delay of the `nth` request at a time, of which `conn` need not wait.
    pub(super) fn of(&self, nth: u64, conn: u64) -> Duration {
        if nth <= conn {
            return Duration::ZERO;
        }
        let units = nth.saturating_sub(1).checked_div(conn).unwrap_or(1);
        self.unit().saturating_mul(units.try_into().unwrap_or(u32::MAX))
    }

    /// Takes in how long a request took.
    pub(super) fn learn(&self, latency: Duration) {
        if !self.learns {
            return;
        }
        let latency = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let middle = |unit: u64| Some(unit / 2 + latency / 2 + (unit & latency & 1));
        // It always succeeds, for there is always a middle.
        let _ = self.unit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_over_conn_wait_by_the_number_of_those_before() {
        let delay = Delay::new(0.1, false);
        for (nth, conn, tenths) in [(1, 1, 0), (2, 1, 1), (3, 1, 2), (5, 5, 0), (6, 5, 1), (8, 5, 1), (11, 5, 2)] {
            assert_eq!(delay.of(nth, conn), Duration::from_millis(tenths * 100), "{nth} of {conn}");
        }
    }

    #[test]
    fn what_requests_take_is_learned_unless_the_delay_is_fixed() {
        for (learns, millis) in [(true, 150), (false, 100)] {
            let delay = Delay::new(0.1, learns);
            delay.learn(Duration::from_millis(200));
            assert_eq!(delay.unit(), Duration::from_millis(millis));
        }
        let delay = Delay::new(1e300, true);
        delay.learn(Duration::MAX);
        assert_eq!(delay.of(u64::MAX, 1), Duration::from_micros(u64::MAX).saturating_mul(u32::MAX));
    }
}
