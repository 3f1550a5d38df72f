//! The better of two nodes that are drawn by lot, by a moving average of their time to answer that halves in about seven seconds.

use super::priority::Tried;
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Time in which a value falls to 1/e.
const DECAY: f64 = 10.0;
/// A node that nobody used for so long is as good as new.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// How fast a node has answered lately.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<(f64, Instant)>>);

impl Pace {
    /// Counts one answer.
    pub(super) fn observe(&self, took: Duration, now: Instant) {
        let mut pace = self.0.lock();
        // The first one counts for all that was before.
        let (old, weight) = decayed(*pace, now).unwrap_or((0.0, 0.0));
        *pace = Some((old * weight + took.as_secs_f64() * (1.0 - weight), now));
    }

    fn score(&self, now: Instant) -> f64 {
        decayed(*self.0.lock(), now).map_or(0.0, |(value, weight)| value * weight)
    }
}

/// The value, and what of it is left.
fn decayed(pace: Option<(f64, Instant)>, now: Instant) -> Option<(f64, f64)> {
    let (value, touched) = pace?;
    let age = now.saturating_duration_since(touched);
    (age < FORGOTTEN).then(|| (value, (-age.as_secs_f64() / DECAY).exp()))
}

/// Picks a member that was not tried. Weights do not count, as in APISIX.
pub(super) fn pick(paces: &[Arc<Pace>], tried: &Tried, now: Instant) -> Option<u32> {
    let count = paces.len() - tried.len().min(paces.len());
    // The nth of those that are left.
    let left = |n: usize| match tried.is_empty() {
        true => Some(n as u32),
        false => (0..paces.len() as u32).filter(|member| !tried.contains(*member)).nth(n),
    };
    if count < 2 {
        return if count == 0 { None } else { left(0) };
    }
    let one = rand::random_range(0..count);
    let other = (one + rand::random_range(1..count)) % count;
    let (one, other) = (left(one)?, left(other)?);
    let score = |member: u32| paces.get(member as usize).map_or(0.0, |pace| pace.score(now));
    Some(if score(one) > score(other) { other } else { one })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_decay_and_are_forgotten() {
        let pace = Pace::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(pace.score(start).abs() < 1e-9);
        pace.observe(Duration::from_secs(1), start);
        assert!((pace.score(start) - 1.0).abs() < 1e-9, "the first counts in full");
        assert!((pace.score(at(10)) - (-1f64).exp()).abs() < 1e-9);
        pace.observe(Duration::from_secs(3), at(10));
        let expected = (-1f64).exp() + 3.0 * (1.0 - (-1f64).exp());
        assert!((pace.score(at(10)) - expected).abs() < 1e-9);
        assert!(pace.score(at(70)).abs() < 1e-9);
    }

    #[test]
    fn the_faster_of_two_is_taken_and_what_was_tried_is_not() {
        let now = Instant::now();
        let paces: Vec<Arc<Pace>> = (0..3).map(|_| Arc::default()).collect();
        for (pace, millis) in paces.iter().zip([300, 100, 200]) {
            pace.observe(Duration::from_millis(millis), now);
        }
        let mut counts = [0; 3];
        for _ in 0..600 {
            counts[pick(&paces, &Tried::default(), now).unwrap() as usize] += 1;
        }
        // The slowest loses against whomever it is drawn with; the fastest is drawn in two of three pairs.
        assert_eq!(counts[0], 0);
        assert!((340..460).contains(&counts[1]), "{counts:?}");
        let mut tried = Tried::default();
        tried.add(1);
        assert!((0..50).all(|_| pick(&paces, &tried, now) == Some(2)));
        tried.add(2);
        assert_eq!(pick(&paces, &tried, now), Some(0));
        tried.add(0);
        assert_eq!(pick(&paces, &tried, now), None);
    }
}
