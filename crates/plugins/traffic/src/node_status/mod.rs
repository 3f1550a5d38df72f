#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use plugin::{
    BuildEnv, BuildError, Hooks, Plugin, PluginClass, Posture, PublicApi, Reply, RunPolicy, Shared, Spec, Step,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use wire::Method;

/// What is configured: nothing.
#[derive(Debug, Deserialize)]
pub struct Config {}

/// Tells how many connections and requests there are.
#[derive(Debug)]
pub struct NodeStatus;

impl Plugin for NodeStatus {
    const NAME: &'static str = "node-status";
    const PRIORITY: i32 = 1000;
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

    fn public_apis(_attr: &Value) -> Vec<PublicApi> {
        vec![PublicApi {
            methods: &[Method::Get],
            uri: "/apisix/status".to_owned(),
            handle: |cx| Step::respond(Reply::text(200, status(&cx.shared).to_string())),
        }]
    }
}

/// Numbers are texts, as APISIX reads them from a page of nginx's.
fn status(shared: &Shared) -> Value {
    let stats = &shared.stats;
    let text = |count: &AtomicU64| count.load(Ordering::Relaxed).to_string();
    json!({
        "id": shared.node.id,
        "status": {
            "active": text(&stats.active),
            "accepted": text(&stats.accepted),
            "handled": text(&stats.handled),
            "total": text(&stats.requests),
            "reading": text(&stats.reading),
            "writing": text(&stats.writing),
            "waiting": text(&stats.waiting),
        },
    })
}
