//! What the control API reads of the gateway.

use model::documents::{Document, Key, Kind};
use plugin::{Description, Shared};
use serde_json::Value;
use std::sync::Arc;

/// Something wrong with a stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The document's key.
    pub key: String,
    /// Where in it.
    pub json_path: String,
    /// What.
    pub message: String,
    /// Where an operator finds the document, such as a file and a line, if it is not in a database.
    pub place: Option<String>,
}

/// A node as health checks see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // named as APISIX names them
pub struct NodeHealth {
    pub ip: String,
    pub port: u16,
    pub hostname: String,
    pub hostheader: Option<String>,
    pub status: &'static str,
    pub success: u8,
    pub http_failure: u8,
    pub tcp_failure: u8,
    pub timeout_failure: u8,
}

/// The gateway's configuration as the control API shows it.
pub trait View: Send + Sync + 'static {
    /// One document.
    fn document(&self, key: &Key) -> Option<Document>;
    /// The documents of a kind.
    fn documents(&self, kind: Kind) -> Vec<Document>;
    /// A document with the defaults of all that it leaves out, as it is in force.
    fn completed(&self, document: &Document) -> Value;
    /// The enabled plugins.
    fn plugins(&self) -> Vec<Description>;
    /// The revision in force; `None` until the first configuration is.
    fn revision(&self) -> Option<u64>;
    /// The digest of the documents in force, in hexadecimal.
    fn digest(&self) -> String;
    /// What is wrong with stored documents.
    fn problems(&self) -> Vec<Problem>;
    /// The nodes of a document's upstream that are checked.
    fn health(&self, key: &Key) -> Vec<NodeHealth>;
    /// What the configuration allows and probably does not mean, as JSON.
    fn findings(&self) -> Value;
    /// What would happen to a request that is described as JSON.
    ///
    /// # Errors
    /// What is wrong with the description.
    fn explain(&self, question: &[u8]) -> Result<Value, String>;
    /// Process-wide state, where metrics live.
    fn shared(&self) -> Arc<Shared>;
}
