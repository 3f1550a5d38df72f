use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;

/// The sum modulo 2^256 of SHA-256 over every document's key and value: one change costs one hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    pub(super) fn add(&mut self, key: &str, text: &str) {
        let mut carry = 0u16;
        for (sum, byte) in self.0.iter_mut().rev().zip(term(key, text).iter().rev()) {
            let total = u16::from(*sum) + u16::from(*byte) + carry;
            (*sum, carry) = (total as u8, total >> 8);
        }
    }

    pub(super) fn subtract(&mut self, key: &str, text: &str) {
        let mut borrow = 0i16;
        for (sum, byte) in self.0.iter_mut().rev().zip(term(key, text).iter().rev()) {
            let total = i16::from(*sum) - i16::from(*byte) - borrow;
            (*sum, borrow) = (total as u8, i16::from(total < 0));
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn term(key: &str, text: &str) -> [u8; 32] {
    let text = format!("{key}\n{text}");
    let hash = digest(&SHA256, text.as_bytes());
    <[u8; 32]>::try_from(hash.as_ref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_does_not_matter_and_a_removal_undoes_an_addition() {
        let (mut a, mut b) = (Digest::default(), Digest::default());
        for i in 0..50 {
            a.add(&format!("/routes/{i}"), &json!({ "i": i }).to_string());
            b.add(&format!("/routes/{}", 49 - i), &json!({ "i": 49 - i }).to_string());
        }
        assert_eq!(a, b);
        b.add("/x/1", "1");
        assert_ne!(a, b);
        b.subtract("/x/1", "1");
        assert_eq!(a, b);
    }
}
