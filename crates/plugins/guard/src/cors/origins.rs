//! Which origins are allowed, and what is said of them.

use crate::patterns::Patterns;
use serde::Deserialize;
use std::collections::HashSet;

/// Origins as written in one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(super) enum Origins {
    /// `*`
    Any,
    /// `**`: the one that asks.
    Asking,
    /// The same for everybody; browsers compare.
    One(String),
    /// Several.
    List(HashSet<String>),
}

impl From<String> for Origins {
    fn from(text: String) -> Self {
        match &*text {
            "*" => Self::Any,
            "**" => Self::Asking,
            list if list.contains(',') => Self::List(list.split(',').map(str::to_owned).collect()),
            _ => Self::One(text),
        }
    }
}

impl Origins {
    /// What is said to a request with this `Origin`, before it is compared with it.
    pub(super) fn said<'a>(&'a self, origin: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match self {
            Self::Any => Some(b"*"),
            Self::Asking => Some(origin.unwrap_or(b"*")),
            Self::One(one) => Some(one.as_bytes()),
            Self::List(list) => {
                origin.filter(|origin| std::str::from_utf8(origin).is_ok_and(|text| list.contains(text)))
            }
        }
    }
}

/// Whether what is said is for the one who asks.
pub(super) fn fits(origin: Option<&[u8]>, said: Option<&[u8]>) -> bool {
    said == origin || said == Some(b"*")
}

/// The origin, if one of the patterns occurs in it.
pub(super) fn by_patterns<'a>(patterns: &Patterns, origin: Option<&'a [u8]>) -> Option<&'a [u8]> {
    origin.filter(|origin| {
        patterns.is_match(origin).unwrap_or_else(|limit| {
            tracing::warn!(%limit, "an origin is not allowed");
            false
        })
    })
}
