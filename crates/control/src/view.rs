//! What the control API reads of the gateway.

use plugin::{Description, Shared};
use serde_json::Value;
use std::sync::Arc;

/// A document in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its key without the store's prefix, such as `/routes/1`.
    pub key: String,
    /// What was submitted.
    pub value: Value,
    /// The revision that made it.
    pub created: u64,
    /// The revision that changed it last.
    pub modified: u64,
}

/// Something wrong with a stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The document's key.
    pub key: String,
    /// Where in it.
    pub json_path: String,
    /// What.
    pub message: String,
}

/// The gateway's configuration as the control API shows it.
pub trait View: Send + Sync + 'static {
    /// One document.
    fn document(&self, key: &str) -> Option<Document>;
    /// The documents directly under a directory such as `routes`.
    fn documents(&self, directory: &str) -> Vec<Document>;
    /// The enabled plugins.
    fn plugins(&self) -> Vec<Description>;
    /// The JSON schema of a kind.
    fn schema(&self, name: &str) -> Option<Value>;
    /// The revision in force; `None` until the first configuration is.
    fn revision(&self) -> Option<u64>;
    /// The digest of the documents in force, in hexadecimal.
    fn digest(&self) -> String;
    /// What is wrong with stored documents.
    fn problems(&self) -> Vec<Problem>;
    /// Process-wide state, where metrics live.
    fn shared(&self) -> Arc<Shared>;
}
