//! What the Admin API needs of the gateway: a handful of calls that its flow answers.

use model::documents::{Document, Key, Kind};
use plugin::Description;
use serde_json::Value;
use std::future::Future;
use std::ops::Range;

/// What must be true of a key for a change to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is no such document.
    Absent,
    /// The document was last changed by this revision.
    Revision(u64),
}

/// A change of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Writes a document.
    Put(Key, Value, Expected),
    /// Deletes a document; one that others refer to only by force.
    Delete {
        /// Which.
        key: Key,
        /// What must be true of it.
        expected: Expected,
        /// Also when others refer to it.
        is_forced: bool,
    },
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The document is wrong, in APISIX's words.
    #[error("{0}")]
    Refused(String),
    /// What was expected is not true any more.
    #[error("the document was changed by somebody else")]
    Conflict,
    /// The store cannot be reached.
    #[error("{0}")]
    Unavailable(String),
}

/// The gateway's configuration as the Admin API uses it.
pub trait Configuration: Send + Sync + 'static {
    /// One document.
    fn document(&self, key: &Key) -> Option<Document>;
    /// The documents of a kind, below a parent or all.
    fn documents(&self, kind: Kind, parent: Option<&str>) -> Vec<Document>;
    /// A part of [`Configuration::documents`] in the order of a list, and how many there are in all.
    fn page(&self, kind: Kind, parent: Option<&str>, range: Range<usize>) -> (Vec<Document>, usize);
    /// An id that no document has: 20 digits.
    fn next_id(&self) -> impl Future<Output = Result<String, WriteError>> + Send;
    /// Checks a document by itself, without what it refers to.
    ///
    /// # Errors
    /// What is wrong with it, in APISIX's words.
    fn check(&self, key: &Key, value: &Value) -> Result<(), String>;
    /// Says who still uses a document, whether or not it is there.
    ///
    /// # Errors
    /// The user, in APISIX's words.
    fn check_delete(&self, key: &Key) -> Result<(), String>;
    /// Checks, stores and publishes changes, all or none.
    fn write(&self, changes: Vec<Change>) -> impl Future<Output = Result<(), WriteError>> + Send;
    /// Puts these documents, already checked, in the place of all there are, and publishes them.
    fn replace(&self, documents: Vec<(Key, Value)>) -> impl Future<Output = Result<(), WriteError>> + Send;
    /// The enabled plugins.
    fn plugins(&self) -> Vec<Description>;
}
