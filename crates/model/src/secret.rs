//! Values that must not be shown.

use std::fmt;

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that is never printed and is wiped from memory when it is dropped.
///
/// There is no `Display`, no `Serialize` and no `PartialEq`: a secret leaves this type only where
/// [`Secret::expose`] is written.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Whether `offered` equals the secret, in time that depends on its length only.
    pub fn is_equal_to(&self, offered: &[u8]) -> bool {
        self.0.as_ref().ct_eq(offered).into()
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Zeroize + Default> Default for Secret<T> {
    fn default() -> Self {
        Self(T::default())
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret Some(Secret)");
    }

    #[test]
    fn comparison_is_exact() {
        let secret = Secret::new("hunter2".to_owned());
        assert!(secret.is_equal_to(b"hunter2"));
        assert!(!secret.is_equal_to(b"hunter"));
        assert!(!secret.is_equal_to(b"hunter22"));
        assert!(!secret.is_equal_to(b""));
    }

    #[test]
    fn reads_like_its_value() {
        let secret: Secret<String> = serde_json::from_str("\"k\"").expect("a string");
        assert_eq!(secret.expose(), "k");
        assert!(serde_json::from_str::<Secret<String>>("1").is_err());
    }
}
