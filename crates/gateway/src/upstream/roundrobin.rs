//! Weighted round robin in the order of lua-resty-balancer: in each turn a threshold falls from the largest weight to the greatest
//! common divisor in steps of the latter, and at each step every node of at least that weight is taken once.
//!
//! That order is not stored: sorted by weight, the nodes of one step are the first ones, so a position in the cycle can be computed.
//! However large weights are, their shares are exact.

use super::priority::Tried;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct RoundRobin {
    /// Members by falling weight; those without weight last.
    order: Box<[u32]>,
    /// Steps that take the same members.
    bands: Box<[Band]>,
    /// Picks in a whole turn.
    turn: u64,
    cursor: AtomicU64,
}

#[derive(Debug)]
struct Band {
    /// Picks of the turn before it.
    start: u64,
    /// So many of the order are taken in each of its steps.
    members: u32,
}

impl RoundRobin {
    /// Begins somewhere, so that several gateways do not all begin with the same node.
    pub(super) fn new(weights: &[u32]) -> Self {
        let mut this = Self::at(weights, 0);
        if this.turn > 0 {
            this.cursor = AtomicU64::new(rand::random_range(0..this.turn));
        }
        this
    }

    fn at(weights: &[u32], cursor: u64) -> Self {
        let weight = |member: &u32| weights.get(*member as usize).copied().unwrap_or(0);
        let mut order: Vec<u32> = (0..weights.len() as u32).collect();
        order.sort_by_key(|member| std::cmp::Reverse(weight(member)));
        let divisor = weights.iter().fold(0, |a, b| gcd(a, *b));
        let mut bands = Vec::new();
        let mut turn = 0;
        if divisor == 0 {
            // All are without weight: they are taken as if they had the same.
            turn = weights.len() as u64;
            bands.push(Band { start: 0, members: weights.len() as u32 });
        }
        let mut at = 0;
        while let Some(level) = order.get(at).map(weight).filter(|level| *level > 0) {
            at += order.iter().skip(at).take_while(|member| weight(member) == level).count();
            let below = order.get(at).map_or(0, weight);
            bands.push(Band { start: turn, members: at as u32 });
            turn += u64::from((level - below) / divisor) * at as u64;
        }
        Self { order: order.into(), bands: bands.into(), turn, cursor: AtomicU64::new(cursor) }
    }

    /// The next member that was not tried. Where only members without weight are left it is one that was tried, as in APISIX.
    pub(super) fn pick(&self, tried: &Tried) -> Option<u32> {
        let position = self.cursor.fetch_add(1, Ordering::Relaxed).checked_rem(self.turn)?;
        let band = self.bands.partition_point(|band| band.start <= position).checked_sub(1)?;
        let Band { start, members } = *self.bands.get(band)?;
        let first = ((position - start) % u64::from(members)) as usize;
        let next = *self.order.get(first)?;
        if tried.is_empty() {
            return Some(next);
        }
        // What is behind in this step, then the next steps, each of which begins with those of the one before.
        let weighty = self.bands.last().map_or(0, |band| band.members as usize);
        let (ahead, all) = (self.order.get(first..members as usize)?, self.order.get(..weighty)?);
        ahead.iter().chain(all).copied().find(|member| !tried.contains(*member)).or(Some(next))
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// lua-resty-balancer's loop, over members in the order of their weight.
    fn model(weights: &[u32], picks: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..weights.len() as u32).collect();
        order.sort_by_key(|member| std::cmp::Reverse(weights[*member as usize]));
        let divisor = weights.iter().fold(0, |a, b| gcd(a, *b));
        let most = *weights.iter().max().unwrap();
        let (mut threshold, mut at) = (most, 0);
        let mut picked = Vec::new();
        while picked.len() < picks {
            let Some(member) = order.get(at) else {
                at = 0;
                threshold = if threshold <= divisor { most } else { threshold - divisor };
                continue;
            };
            at += 1;
            if weights[*member as usize] >= threshold {
                picked.push(*member);
            }
        }
        picked
    }

    #[test]
    fn weights_are_exact_however_large() {
        let heavy = RoundRobin::at(&[4_000_000_000, 1, 3], 0);
        assert_eq!(heavy.turn, 4_000_000_004);
        let tail = RoundRobin::at(&[4_000_000_000, 1, 3], 4_000_000_004 - 7);
        let picked: Vec<_> = (0..7).map(|_| tail.pick(&Tried::default()).unwrap()).collect();
        assert_eq!(picked, [0, 2, 0, 2, 0, 2, 1]);
    }

    #[test]
    fn without_any_weight_all_are_taken_and_with_some_only_those() {
        let even = RoundRobin::at(&[0, 0], 0);
        assert_eq!((0..4).map(|_| even.pick(&Tried::default()).unwrap()).collect::<Vec<_>>(), [0, 1, 0, 1]);
        assert_eq!(RoundRobin::new(&[]).pick(&Tried::default()), None);
        let some = RoundRobin::new(&[0, 2, 0]);
        assert!((0..9).all(|_| some.pick(&Tried::default()) == Some(1)));
    }

    #[test]
    fn a_retry_takes_what_was_not_tried() {
        let robin = RoundRobin::at(&[100, 1, 0], 5);
        let mut tried = Tried::default();
        tried.add(0);
        assert_eq!(robin.pick(&tried), Some(1));
        tried.add(1);
        assert_eq!(robin.pick(&tried), Some(0), "what has no weight is not taken for being the last");
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_lua_resty_balancer(weights in proptest::collection::vec(0u32..12, 1..8)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let robin = RoundRobin::at(&weights, 0);
            let picked: Vec<_> = (0..60).map(|_| robin.pick(&Tried::default()).unwrap()).collect();
            prop_assert_eq!(picked, model(&weights, 60));
        }
    }
}
