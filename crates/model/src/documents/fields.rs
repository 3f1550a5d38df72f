//! Fields that several kinds share, and how they are read.

use serde::{Deserialize, Deserializer};

/// How long an upstream may take, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Timeout {
    /// To accept a connection.
    pub connect: f64,
    /// Between two successful writes.
    pub send: f64,
    /// Between two successful reads.
    pub read: f64,
}

/// An id, which may be written as a number.
pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Id::deserialize(deserializer).map(Id::into_string)
}

/// The id of another document.
pub(super) fn reference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    id(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Whole(u64),
    /// `1.0`, which JSON schema counts as an integer.
    Number(f64),
}

impl Id {
    fn into_string(self) -> String {
        match self {
            Id::Text(id) => id,
            Id::Whole(id) => id.to_string(),
            Id::Number(id) => format!("{id:.0}"),
        }
    }
}

/// An integer, which may be written as `1.0`. What does not fit is brought to the nearest value that does.
pub(super) fn integer<'de, D: Deserializer<'de>, T: Whole>(deserializer: D) -> Result<T, D::Error> {
    f64::deserialize(deserializer).map(T::nearest)
}

/// [`integer`] of a field that may be absent.
pub(super) fn optional_integer<'de, D: Deserializer<'de>, T: Whole>(deserializer: D) -> Result<Option<T>, D::Error> {
    integer(deserializer).map(Some)
}

/// A Rust integer.
pub(super) trait Whole {
    /// The value nearest to `number`.
    fn nearest(number: f64) -> Self;
}

impl Whole for u8 {
    fn nearest(number: f64) -> u8 {
        number as u8
    }
}

impl Whole for u32 {
    fn nearest(number: f64) -> u32 {
        number as u32
    }
}

impl Whole for u16 {
    fn nearest(number: f64) -> u16 {
        number as u16
    }
}

impl Whole for i64 {
    fn nearest(number: f64) -> i64 {
        number as i64
    }
}

/// `Debug` that shows only the id: plugins and TLS settings hold secrets.
macro_rules! debug_by_id {
    ($kind:ident, $id:ident) => {
        impl std::fmt::Debug for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($kind), "({})"), self.$id)
            }
        }
    };
}
pub(super) use debug_by_id;
