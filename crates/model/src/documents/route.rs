use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{self, Timeout, debug_by_id};
use super::upstream::{self, Upstream};
use super::{DocumentError, Kind, read};

/// Conditions of a request, and what is done with those that meet them.
#[derive(Clone, PartialEq, Deserialize)]
pub struct Route {
    /// Its id; empty when only the key carries it.
    #[serde(default, deserialize_with = "fields::id")]
    pub id: String,
    /// Human name.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    uris: Vec<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    remote_addr: Option<String>,
    #[serde(default)]
    remote_addrs: Vec<String>,
    /// Methods it takes; all when empty.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Which of several matching routes wins: the highest.
    #[serde(deserialize_with = "fields::integer")]
    pub priority: i64,
    /// Expression over variables of the request.
    #[serde(default)]
    pub vars: Option<Value>,
    /// Lua function that decides whether it matches.
    #[serde(default)]
    pub filter_func: Option<String>,
    /// Plugins by name.
    #[serde(default)]
    pub plugins: Map<String, Value>,
    /// Plugins it shares with other routes.
    #[serde(default, deserialize_with = "fields::reference")]
    pub plugin_config_id: Option<String>,
    /// Lua script of a plugin orchestration.
    #[serde(default)]
    pub script: Option<String>,
    /// Id of that script.
    #[serde(default, deserialize_with = "fields::reference")]
    pub script_id: Option<String>,
    /// An upstream of its own.
    #[serde(default, deserialize_with = "upstream::embedded")]
    pub upstream: Option<Upstream>,
    /// The upstream, when it has none of its own.
    #[serde(default, deserialize_with = "fields::reference")]
    pub upstream_id: Option<String>,
    /// The service it belongs to.
    #[serde(default, deserialize_with = "fields::reference")]
    pub service_id: Option<String>,
    /// Wins over the timeout of the upstream.
    #[serde(default)]
    pub timeout: Option<Timeout>,
    /// Whether WebSocket upgrades pass.
    #[serde(default)]
    pub enable_websocket: Option<bool>,
    #[serde(deserialize_with = "fields::integer")]
    status: u8,
}

debug_by_id!(Route, id);

impl Route {
    /// Checks and reads a route, as strictly as the Admin API.
    pub fn parse(value: &Value) -> Result<Route, DocumentError> {
        refuse_both(value, "host", "hosts")?;
        refuse_both(value, "remote_addr", "remote_addrs")?;
        let route: Route = read(Kind::Route, value)?;
        if let Some(upstream) = value.get("upstream") {
            upstream::refuse_bare_ipv6(upstream)?;
        }
        route.check(value)
    }

    /// Like [`Route::parse`], but takes IPv6 nodes without brackets, as APISIX does for what is already stored.
    pub fn load(value: &Value) -> Result<Route, DocumentError> {
        read::<Route>(Kind::Route, value)?.check(value)
    }

    fn check(self, written: &Value) -> Result<Route, DocumentError> {
        if let (Some(upstream), Some(written)) = (&self.upstream, written.get("upstream")) {
            upstream.check(written)?;
        }
        Ok(self)
    }

    /// The paths it takes, of which there is at least one.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        one_or_many(self.uri.as_ref(), &self.uris)
    }

    /// The hosts it takes; those of the service, or any, when there are none.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        one_or_many(self.host.as_ref(), &self.hosts)
    }

    /// The client addresses and networks it takes; any when there are none.
    pub fn remote_addrs(&self) -> impl Iterator<Item = &str> {
        one_or_many(self.remote_addr.as_ref(), &self.remote_addrs)
    }

    /// Whether it takes part in routing.
    pub fn is_enabled(&self) -> bool {
        self.status == 1
    }
}

fn one_or_many<'a>(one: Option<&'a String>, many: &'a [String]) -> impl Iterator<Item = &'a str> {
    one.into_iter().chain(many).map(String::as_str)
}

fn refuse_both(value: &Value, one: &str, many: &str) -> Result<(), DocumentError> {
    let given = |name: &str| !matches!(value.get(name), None | Some(Value::Bool(false)));
    if given(one) && given(many) {
        return Err(DocumentError::refused(format!("only one of {one} or {many} is allowed")));
    }
    Ok(())
}
