use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{self, debug_by_id};
use super::{DocumentError, Kind, read};

/// Conditions of a connection below HTTP, and where it is sent.
#[derive(Clone, PartialEq, Deserialize)]
pub struct StreamRoute {
    /// Its id; empty when only the key carries it.
    #[serde(default, deserialize_with = "fields::id")]
    pub id: String,
    /// Plugins by name.
    #[serde(default)]
    pub plugins: Map<String, Value>,
    /// The protocol that is spoken, when it is looked into.
    #[serde(default)]
    pub protocol: Option<StreamProtocol>,
}

/// The protocol of a stream.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct StreamProtocol {
    /// Its name.
    pub name: String,
}

debug_by_id!(StreamRoute, id);

impl StreamRoute {
    /// Checks and reads a stream route.
    pub fn parse(value: &Value) -> Result<StreamRoute, DocumentError> {
        read(Kind::StreamRoute, value)
    }
}
