use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{self, debug_by_id};
use super::upstream::{self, Upstream};
use super::{DocumentError, Kind, read};

/// What several routes share.
#[derive(Clone, PartialEq, Deserialize)]
pub struct Service {
    /// Its id; empty when only the key carries it.
    #[serde(default, deserialize_with = "fields::id")]
    pub id: String,
    /// Human name.
    #[serde(default)]
    pub name: Option<String>,
    /// Hosts of routes that name none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Plugins by name.
    #[serde(default)]
    pub plugins: Map<String, Value>,
    /// An upstream of its own.
    #[serde(default, deserialize_with = "upstream::embedded")]
    pub upstream: Option<Upstream>,
    /// The upstream, when it has none of its own.
    #[serde(default, deserialize_with = "fields::reference")]
    pub upstream_id: Option<String>,
    /// Whether WebSocket upgrades pass.
    #[serde(default)]
    pub enable_websocket: Option<bool>,
    /// Lua script of a plugin orchestration.
    #[serde(default)]
    pub script: Option<String>,
}

debug_by_id!(Service, id);

impl Service {
    /// Checks and reads a service, as strictly as the Admin API.
    pub fn parse(value: &Value) -> Result<Service, DocumentError> {
        let service: Service = read(Kind::Service, value)?;
        if let Some(upstream) = value.get("upstream") {
            upstream::refuse_bare_ipv6(upstream)?;
        }
        service.check(value)
    }

    /// Like [`Service::parse`], but takes IPv6 nodes without brackets, as APISIX does for what is already stored.
    pub fn load(value: &Value) -> Result<Service, DocumentError> {
        read::<Service>(Kind::Service, value)?.check(value)
    }

    fn check(self, written: &Value) -> Result<Service, DocumentError> {
        if let (Some(upstream), Some(written)) = (&self.upstream, written.get("upstream")) {
            upstream.check(written)?;
        }
        Ok(self)
    }
}
