#![doc = include_str!("doc.md")]

mod metrics;
mod settings;
#[cfg(test)]
mod tests;
mod text;

use metrics::{Exchange, Metrics};
use model::vars::Lookup;
use plugin::{
    BuildEnv, BuildError, Ctx, ExportEnv, Hooks, Log, Plugin, PluginClass, Posture, PublicApi, Reply, RunPolicy,
    Shared, Spec, Step,
};
use serde::Deserialize;
use serde_json::Value;
use settings::{Disabled, Settings};
use std::{borrow::Cow, sync::Arc};
use wire::{Method, Source};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    prefer_name: bool,
}

/// Counts requests, their latency and their bytes.
#[allow(missing_debug_implementations)]
pub struct Prometheus {
    prefer_name: bool,
    metrics: Arc<Metrics>,
}

impl Plugin for Prometheus {
    const NAME: &'static str = "prometheus";
    const PRIORITY: i32 = 500;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.2,
        class: PluginClass::Other,
        run_policy: RunPolicy::PreferRoute,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = Disabled;

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let settings = Settings::read(env.attr)?;
        let metrics = env.shared.kept(Metrics::default);
        metrics.configure(&settings);
        Ok(Self { prefer_name: config.prefer_name, metrics })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.log = Some(self);
    }

    fn prepare(attr: &Value, shared: &Arc<Shared>) -> Result<Vec<String>, BuildError> {
        let settings = Settings::read(attr)?;
        // Also what is exported before the first instance has the right names.
        shared.kept(Metrics::default).configure(&settings);
        Ok(settings::without_effect(attr))
    }

    fn public_apis(attr: &Value) -> Vec<PublicApi> {
        let uri = attr.get("export_uri").and_then(Value::as_str).unwrap_or("/apisix/prometheus/metrics");
        vec![PublicApi { methods: &[Method::Get], uri: uri.to_owned(), handle: |cx| Step::respond(reply(cx)) }]
    }

    const EXPORT: Option<fn(&ExportEnv<'_>) -> Vec<u8>> = Some(export);
}

impl Log for Prometheus {
    fn log(&self, cx: &mut Ctx) {
        let disabled = cx.metadata::<Self>();
        let route = cx.route.as_deref();
        let service = route.and_then(|route| route.service_id.as_deref()).unwrap_or_default();
        let (route_label, service_label) = match route {
            Some(route) if self.prefer_name => (
                if route.name.is_empty() { &*route.id } else { &*route.name },
                route.service_name.as_deref().filter(|_| !service.is_empty()).unwrap_or(service),
            ),
            Some(route) => (&*route.id, service),
            None => ("", ""),
        };
        let upstream = cx.timings.upstream;
        let exchange = Exchange {
            code: cx.response.status,
            route: route_label,
            matched_uri: cx.matched_uri.as_deref().unwrap_or_default(),
            matched_host: cx.matched_host.as_deref().unwrap_or_default(),
            service: service_label,
            consumer: cx.consumer().map_or("", |consumer| &*consumer.name),
            node: cx.node.as_ref().map(|(_, addr)| addr.ip()),
            source: match cx.response.source {
                Source::Upstream => "upstream",
                Source::Plugin => "apisix",
                // nginx's own error pages: a node was picked, and it did not answer.
                Source::Gateway if cx.node.is_some() => "nginx",
                Source::Gateway => "apisix",
            },
            total: cx.timings.total,
            upstream,
            received: cx.response.bytes_received,
            sent: cx.response.bytes_sent,
            now: cx.shared.clock.now(),
        };
        self.metrics.record(&exchange, disabled.as_deref().unwrap_or(&Disabled::NONE), &*cx as &dyn Lookup);
    }
}

fn reply(cx: &mut Ctx) -> Reply {
    let shared = cx.shared.clone();
    Reply::text(200, export(&ExportEnv { shared: &shared })).with("Content-Type", b"text/plain")
}

fn export(env: &ExportEnv<'_>) -> Vec<u8> {
    let metrics = env.shared.kept(Metrics::default);
    text::write(&metrics, &env.shared.stats, &hostname(), env.shared.clock.now())
}

fn hostname() -> Cow<'static, str> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or(Cow::Borrowed("unknown"), |name| Cow::Owned(name.trim_end().to_owned()))
}
