use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{self, debug_by_id};
use super::{DocumentError, Kind, read};

/// A document that is there for its plugins alone: a plugin config, a consumer group, a global rule or a credential.
#[derive(Clone, PartialEq, Deserialize)]
pub struct PluginHolder {
    /// Its id; empty when only the key carries it.
    #[serde(default, deserialize_with = "fields::id")]
    pub id: String,
    /// Plugins by name.
    #[serde(default)]
    pub plugins: Map<String, Value>,
}

debug_by_id!(PluginHolder, id);

impl PluginHolder {
    /// Checks and reads a document of such a kind.
    pub fn parse(kind: Kind, value: &Value) -> Result<PluginHolder, DocumentError> {
        read(kind, value)
    }
}
