//! A digest over all documents that costs one hash per change.

use aws_lc_rs::digest::{Context, SHA256};

/// The number of records and the sum modulo 2^256 of their SHA-256. It detects what page checksums cannot: a document
/// that is missing, or one from another time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    count: u64,
    sum: [u64; 4],
}

// === impl Tally ===

impl Tally {
    pub(super) fn add(&mut self, key: &str, record: &[u8]) {
        self.count = self.count.wrapping_add(1);
        let mut carry = false;
        for (limb, term) in self.sum.iter_mut().zip(hash(key, record)) {
            let (sum, first) = limb.overflowing_add(term);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, first || second);
        }
    }

    pub(super) fn remove(&mut self, key: &str, record: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        let mut borrow = false;
        for (limb, term) in self.sum.iter_mut().zip(hash(key, record)) {
            let (rest, first) = limb.overflowing_sub(term);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, first || second);
        }
    }

    /// The form it is stored in.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        std::iter::once(self.count).chain(self.sum).flat_map(u64::to_be_bytes).collect()
    }
}

/// The least significant limb first.
fn hash(key: &str, record: &[u8]) -> [u64; 4] {
    let mut context = Context::new(&SHA256);
    context.update(&(key.len() as u64).to_be_bytes());
    context.update(key.as_bytes());
    context.update(record);
    let digest = context.finish();
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(digest.as_ref().rchunks(8)) {
        *limb = bytes.iter().fold(0, |limb, byte| limb << 8 | u64::from(*byte));
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_what_was_added_leaves_nothing() {
        let mut tally = Tally::default();
        for n in 0..100 {
            tally.add(&format!("/routes/{n}"), b"record");
        }
        for n in (0..100).rev() {
            tally.remove(&format!("/routes/{n}"), b"record");
        }
        assert_eq!(tally, Tally::default());
    }
}
