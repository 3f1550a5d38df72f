use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{self, debug_by_id};
use super::{DocumentError, Kind, read};

/// Plugins that several routes share.
#[derive(Clone, PartialEq, Deserialize)]
pub struct PluginConfig {
    /// Its id; empty when only the key carries it.
    #[serde(default, deserialize_with = "fields::id")]
    pub id: String,
    /// Human name.
    #[serde(default)]
    pub name: Option<String>,
    /// Description.
    #[serde(default)]
    pub desc: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
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

debug_by_id!(PluginConfig, id);

impl PluginConfig {
    /// Checks and reads a plugin config.
    pub fn parse(value: &Value) -> Result<PluginConfig, DocumentError> {
        read(Kind::PluginConfig, value)
    }
}
