use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{self, debug_by_id};
use super::{DocumentError, Kind, read};

/// Plugins that run for every request.
#[derive(Clone, PartialEq, Deserialize)]
pub struct GlobalRule {
    /// Its id; empty when only the key carries it.
    #[serde(default, deserialize_with = "fields::id")]
    pub id: String,
    /// Plugins by name.
    #[serde(default)]
    pub plugins: Map<String, Value>,
    /// Unix time of creation.
    #[serde(default, deserialize_with = "fields::optional_integer")]
    pub create_time: Option<i64>,
    /// Unix time of the last write.
    #[serde(default, deserialize_with = "fields::optional_integer")]
    pub update_time: Option<i64>,
}

debug_by_id!(GlobalRule, id);

impl GlobalRule {
    /// Checks and reads a global rule.
    pub fn parse(value: &Value) -> Result<GlobalRule, DocumentError> {
        read(Kind::GlobalRule, value)
    }
}
