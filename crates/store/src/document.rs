//! Documents and what names them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The path a document is stored under, such as `/routes/1` or `/consumers/jack/credentials/c1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocKey(String);

/// A text that cannot be the path of a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("document path {0:?} does not have the form /kind/id")]
pub struct InvalidKey(pub String);

/// A point in the history of a store. Every write gets a higher one than all writes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// A stored document.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it is stored.
    pub key: DocKey,
    /// The document as it was written, as JSON: between its uses it takes a fraction of what its values would.
    pub text: Arc<str>,
    /// The write that first stored it. A document that was deleted and stored again counts from then.
    pub created: Revision,
    /// The write that last changed it.
    pub modified: Revision,
    /// Where it stands among the others, in a source with an order of its own.
    pub order: Option<u64>,
    /// Why this document must not be used, though it is stored: a secret in it that could not be opened.
    /// Such a secret is `null` in the document.
    pub problem: Option<String>,
}

impl Entry {
    /// The document. `null` when the text is no JSON, which no store accepts.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// Everything a store holds at one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    /// The documents in the order they were created; those created by the same batch in the order of their keys.
    pub entries: Vec<Entry>,
    /// The plugins that are enabled, where the source says so.
    pub plugins: Option<Arc<[String]>>,
    /// The revision at which this was read; watch from here to see what follows.
    pub revision: Revision,
}

// === impl DocKey ===

impl DocKey {
    /// Longest path that is accepted, in bytes.
    pub const MAX_LEN: usize = 2048;

    /// Takes a path that starts with `/` and has no empty segment and no control character.
    pub fn parse(path: impl Into<String>) -> Result<Self, InvalidKey> {
        let path = path.into();
        let Some(segments) = path.strip_prefix('/') else {
            return Err(InvalidKey(path));
        };
        let malformed = path.len() > Self::MAX_LEN
            || segments.split('/').any(str::is_empty)
            || segments.chars().any(char::is_control);
        if malformed {
            return Err(InvalidKey(path));
        }
        Ok(Self(path))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DocKey {
    type Error = InvalidKey;

    fn try_from(path: String) -> Result<Self, InvalidKey> {
        Self::parse(path)
    }
}

impl From<DocKey> for String {
    fn from(key: DocKey) -> String {
        key.0
    }
}

impl std::str::FromStr for DocKey {
    type Err = InvalidKey;

    fn from_str(path: &str) -> Result<Self, InvalidKey> {
        Self::parse(path)
    }
}

impl fmt::Display for DocKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Revision ===

impl Revision {
    /// The revision of the write after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The id a document created by this write gets: 20 digits, so that ids sort like revisions.
    pub fn as_id(self) -> String {
        format!("{:020}", self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Documents ===

impl Documents {
    /// The document stored under `key`.
    pub fn find(&self, key: &DocKey) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == *key)
    }
}
