//! What the Admin API needs of the gateway: a handful of calls that its flow answers.

use crate::collection::Collection;
use plugin::Description;
use serde_json::Value;
use std::future::Future;

/// A document as it is stored. Its key is the store's without prefix, such as `/routes/1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The key.
    pub key: String,
    /// What was submitted.
    pub value: Value,
    /// The revision that made it.
    pub created: u64,
    /// The revision that changed it last.
    pub modified: u64,
}

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
    Put(String, Value, Expected),
    /// Deletes a document.
    Delete(String, Expected),
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
    fn document(&self, key: &str) -> Option<Stored>;
    /// The documents of a collection; of credentials, those of a consumer.
    fn documents(&self, collection: Collection, consumer: Option<&str>) -> Vec<Stored>;
    /// An id that no document has: 20 digits.
    fn next_id(&self) -> String;
    /// Checks a document by itself, without what it refers to.
    ///
    /// # Errors
    /// What is wrong with it, in APISIX's words.
    fn check(&self, key: &str, value: &Value) -> Result<(), String>;
    /// Says who still uses a document.
    ///
    /// # Errors
    /// Why it may not be deleted, in APISIX's words.
    fn check_delete(&self, key: &str) -> Result<(), String>;
    /// Checks, stores and publishes changes, all or none.
    fn write(&self, changes: Vec<Change>) -> impl Future<Output = Result<(), WriteError>> + Send;
    /// The enabled plugins.
    fn plugins(&self) -> Vec<Description>;
    /// The JSON schema of a kind.
    fn schema(&self, name: &str) -> Option<Value>;
}
