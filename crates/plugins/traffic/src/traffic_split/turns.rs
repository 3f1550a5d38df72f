use parking_lot::Mutex;

/// A smooth weighted round robin: exact over every cycle, and spread within it, over all workers.
#[derive(Debug)]
pub(super) struct Turns {
    weights: Box<[i128]>,
    total: i128,
    current: Mutex<Box<[i128]>>,
}

impl Turns {
    /// Where nobody has a weight all have the same.
    pub(super) fn new(weights: &[u64]) -> Self {
        let has_weight = weights.iter().any(|weight| *weight > 0);
        let weights: Box<[i128]> = weights.iter().map(|w| if has_weight { i128::from(*w) } else { 1 }).collect();
        Self { total: weights.iter().sum(), current: Mutex::new(vec![0; weights.len()].into()), weights }
    }

    /// Whose turn it is.
    pub(super) fn next(&self) -> usize {
        let mut current = self.current.lock();
        let mut best: Option<(usize, i128)> = None;
        for (at, (value, weight)) in current.iter_mut().zip(&self.weights).enumerate() {
            *value += weight;
            if *weight > 0 && best.is_none_or(|(_, most)| *value > most) {
                best = Some((at, *value));
            }
        }
        let at = best.map_or(0, |(at, _)| at);
        if let Some(value) = current.get_mut(at) {
            *value -= self.total;
        }
        at
    }
}
