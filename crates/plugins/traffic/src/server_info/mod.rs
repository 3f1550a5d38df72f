#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use plugin::{
    BuildEnv, BuildError, ControlApi, ExportEnv, Hooks, Plugin, PluginClass, Posture, Reply, RunPolicy, Shared, Spec,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::Method;

/// Bounds of `report_ttl`.
const TTL: std::ops::RangeInclusive<i64> = 3..=86_400;

/// What is configured: nothing.
#[derive(Debug, Deserialize)]
pub struct Config {}

/// Tells which node this is.
#[derive(Debug)]
pub struct ServerInfo;

impl Plugin for ServerInfo {
    const NAME: &'static str = "server-info";
    const PRIORITY: i32 = 990;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(_config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }

    fn attach(self: Arc<Self>, _hooks: &mut Hooks) {}

    fn prepare(attr: &Value, _shared: &Arc<Shared>) -> Result<Vec<String>, BuildError> {
        match attr.get("report_ttl") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(ttl) if ttl.as_i64().is_some_and(|ttl| TTL.contains(&ttl)) => {
                Ok(vec!["plugin_attr.server-info.report_ttl: there is no etcd to report to".to_owned()])
            }
            Some(ttl) => Err(BuildError(format!("plugin_attr.server-info.report_ttl: expected 3 to 86400, got {ttl}"))),
        }
    }

    fn control_apis() -> Vec<ControlApi> {
        vec![ControlApi {
            method: Method::Get,
            uri: "/v1/server_info",
            handle: |env: &ExportEnv<'_>| Reply::json(200, &info(env.shared)).with("Content-Type", b"application/json"),
        }]
    }
}

fn info(shared: &Shared) -> Value {
    json!({
        "etcd_version": "unknown",
        "hostname": plugin::hostname(),
        "id": shared.node.id,
        "version": env!("CARGO_PKG_VERSION"),
        "boot_time": shared.node.started.as_secs(),
    })
}
