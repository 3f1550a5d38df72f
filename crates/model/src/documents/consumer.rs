use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{self, debug_by_id};
use super::{DocumentError, Kind, read};

/// Somebody who is known to the gateway.
#[derive(Clone, PartialEq, Deserialize)]
pub struct Consumer {
    /// Its name, which is also its id.
    pub username: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The consumer group it belongs to.
    #[serde(default, deserialize_with = "fields::reference")]
    pub group_id: Option<String>,
    /// Plugins by name.
    #[serde(default)]
    pub plugins: Map<String, Value>,
}

debug_by_id!(Consumer, username);

impl Consumer {
    /// Checks and reads a consumer.
    pub fn parse(value: &Value) -> Result<Consumer, DocumentError> {
        read(Kind::Consumer, value)
    }
}
