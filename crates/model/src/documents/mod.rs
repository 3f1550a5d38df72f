//! Documents: what the Admin API stores and files declare, one file per kind, as written after defaults. A field that the
//! gateway does nothing with (description, timestamps) is in the schema only.
//!
//! `parse` of each kind runs APISIX's checks in APISIX's order and wording: those that need nothing but the document.
//! References to other documents, plugin schemas, expressions, scripts and certificates are checked where they are known.

mod checks;
mod consumer;
mod cost_decoration;
mod fields;
mod key;
mod kind;
mod plugin_holder;
mod route;
mod service;
mod ssl;
mod stream_route;
mod upstream;

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::checks::{Active, CheckType, Checks, Healthy, Passive, PassiveHealthy, PassiveUnhealthy, Unhealthy};
pub use self::consumer::Consumer;
pub use self::cost_decoration::CostDecoration;
pub use self::fields::Timeout;
pub use self::key::{Key, KeyError};
pub use self::kind::{Kind, schema, secret_schema};
pub use self::plugin_holder::PluginHolder;
pub use self::route::Route;
pub use self::service::Service;
pub use self::ssl::{ClientVerification, Ssl, SslType};
pub use self::stream_route::{StreamProtocol, StreamRoute};
pub use self::upstream::{HashOn, KeepalivePool, Node, PassHost, Scheme, Tls, Upstream, split_address};
use crate::schema::Violation;

/// A stored document.
#[derive(Clone, PartialEq)]
pub struct Document {
    /// Where it lives.
    pub key: Key,
    /// What was written, without defaults.
    pub value: Value,
    /// Revision of the store at which it was created.
    pub created: u64,
    /// Revision of the store at which it was last written.
    pub modified: u64,
}

impl fmt::Debug for Document {
    /// Leaves the value out: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Document { key, created, modified, .. } = self;
        write!(f, "Document({key}, created {created}, modified {modified})")
    }
}

/// Why a value is not a document of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It violates a schema: the Admin API says `invalid configuration: ` first.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// It breaks a rule that schemas cannot express: the Admin API sends the text as it is.
    #[error("{0}")]
    Refused(String),
}

impl DocumentError {
    /// JSON pointer of the offending value; empty for the whole document.
    pub fn path(&self) -> &str {
        match self {
            DocumentError::Invalid(violation) => &violation.path,
            DocumentError::Refused(_) => "",
        }
    }

    fn refused(message: impl Into<String>) -> DocumentError {
        DocumentError::Refused(message.into())
    }
}

/// Checks `value` against the schema of `kind` and reads it with its defaults.
fn read<T: DeserializeOwned>(kind: Kind, value: &Value) -> Result<T, DocumentError> {
    let mut filled = value.clone();
    schema(kind).check_and_fill(&mut filled)?;
    if matches!(kind, Kind::Upstream | Kind::Route | Kind::Service) {
        upstream::forget_default_of_verify(value, &mut filled);
    }
    serde_path_to_error::deserialize(filled).map_err(|error| DocumentError::refused(error.to_string()))
}

#[cfg(test)]
mod tests;
