//! What operators and probes ask of a running gateway: APISIX's control API, its status endpoint, metrics, and our own
//! `/v1/portcullis/status`.
#![forbid(unsafe_code)]

mod dump;
mod health;
mod view;

#[cfg(test)]
mod tests;

pub use view::{NodeHealth, Problem, View};

use model::documents::{self, Document, Key, Kind};
use plugin::{Description, ExportEnv, Reply};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use wire::Method;

/// The control API.
#[allow(missing_debug_implementations)]
pub struct ControlApi<V> {
    view: Arc<V>,
    plugin_schemas: fn(&[Description]) -> Value,
    export_uri: String,
    prefix: String,
}

/// A request to the control listener.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its normalised path.
    pub path: &'a str,
    /// Its `Accept`.
    pub accept: Option<&'a [u8]>,
    /// Its body.
    pub body: &'a [u8],
}

impl<V: View> ControlApi<V> {
    /// Over a view. `plugin_schemas` gives what the Admin API answers to `plugins?all=true`; `export_uri` is
    /// `plugin_attr.prometheus.export_uri`; `prefix` is the store's.
    pub fn new(
        view: Arc<V>,
        plugin_schemas: fn(&[Description]) -> Value,
        export_uri: Option<&str>,
        prefix: &str,
    ) -> Self {
        let export_uri = export_uri.unwrap_or("/apisix/prometheus/metrics").to_owned();
        Self { view, plugin_schemas, export_uri, prefix: prefix.to_owned() }
    }

    /// Answers a request to the control listener.
    pub fn handle(&self, Request { method, path, accept, body }: Request<'_>) -> Reply {
        let Some(rest) = path.strip_prefix("/v1/") else { return Reply::status(404) };
        let mut segments: Vec<&str> = rest.split('/').collect();
        if segments.len() > 2 {
            // Like APISIX's `/route/*`: what follows the id does not matter.
            segments.truncate(if segments.first() == Some(&"healthcheck") { 3 } else { 2 });
        }
        match (method, segments.as_slice()) {
            (Method::Get, ["schema"]) => found(&self.schemas()),
            (Method::Get, ["healthcheck"]) => self.all_health(accept),
            (Method::Get, ["healthcheck", kind, id @ ..]) => {
                self.health(kind, id.first().copied().unwrap_or_default(), accept)
            }
            (Method::Post, ["gc"]) => Reply::text(200, ""),
            (Method::Get, [directory @ ("routes" | "services" | "upstreams")]) => {
                let all = Kind::from_collection(directory).map(|kind| self.view.documents(kind)).unwrap_or_default();
                found(&list(all.iter().map(|document| self.item(document)).collect()))
            }
            (Method::Get, [kind @ ("route" | "service" | "upstream"), id]) => {
                match self.document(&format!("/{kind}s/{id}")) {
                    Some(document) => found(&self.item(&document)),
                    None => refused(404, &format!("{kind}[{id}] not found")),
                }
            }
            (Method::Get, ["plugin_metadatas"]) => {
                let named = |name| self.document(&format!("/plugin_metadata/{name}"));
                let plugins = self.view.plugins();
                found(&list(plugins.iter().filter_map(|plugin| Some(named(plugin.name)?.value)).collect()))
            }
            (Method::Get, ["plugin_metadata", name]) => match self.document(&format!("/plugin_metadata/{name}")) {
                Some(document) => found(&document.value),
                None => refused(404, &format!("plugin metadata[{name}] not found")),
            },
            (Method::Put, ["plugins", "reload"]) => Reply::text(200, "done"),
            (Method::Get, ["portcullis", "status"]) => found(&self.configuration()),
            (Method::Get, ["portcullis", "check"]) => {
                found(&json!({ "problems": self.problems(), "findings": self.view.findings() }))
            }
            (Method::Post, ["portcullis", "explain"]) => match self.view.explain(body) {
                Ok(explanation) => found(&explanation),
                Err(reason) => refused(400, &reason),
            },
            _ => self.of_plugin(method, path),
        }
    }

    /// What a plugin's own endpoint answers.
    fn of_plugin(&self, method: &Method, path: &str) -> Reply {
        let apis = self.view.plugins().into_iter().flat_map(|plugin| (plugin.control_apis)());
        let Some(api) = apis.into_iter().find(|api| api.uri == path && api.method == *method) else {
            return Reply::status(404);
        };
        (api.handle)(&ExportEnv { shared: &self.view.shared() })
    }

    /// Answers a request to the status listener: `/status` says that the process lives, `/status/ready` whether it has
    /// a configuration.
    pub fn status(&self, path: &str) -> Reply {
        let ready = path.starts_with("/status/ready");
        if !path.starts_with("/status") {
            return Reply::status(404);
        }
        if ready && self.view.revision().is_none() {
            let why = "worker id: 0 has not received configuration";
            return Reply::text(503, json!({ "status": "error", "error": why }).to_string());
        }
        Reply::text(200, json!({ "status": "ok" }).to_string())
    }

    /// Answers a request to the export listener.
    pub fn export(&self, method: &Method, path: &str) -> Reply {
        let has_exporter = self.view.plugins().iter().any(|plugin| plugin.export.is_some());
        if has_exporter && (*method != Method::Get || path != self.export_uri) {
            return Reply::status(404);
        }
        self.metrics()
    }

    /// What the plugin that exports metrics writes; `{}` when none is enabled, as APISIX answers.
    pub fn metrics(&self) -> Reply {
        let Some(export) = self.view.plugins().iter().find_map(|plugin| plugin.export) else {
            return Reply::text(200, "{}");
        };
        let shared = self.view.shared();
        Reply::text(200, export(&ExportEnv { shared: &shared })).with("Content-Type", b"text/plain")
    }

    fn schemas(&self) -> Value {
        let source = |kind: Kind| (kind.schema_name().to_owned(), documents::schema(kind).source().clone());
        let main: Map<_, _> = MAIN_SCHEMAS.into_iter().map(source).collect();
        json!({ "main": main, "plugins": (self.plugin_schemas)(&self.view.plugins()), "stream_plugins": {} })
    }

    fn document(&self, path: &str) -> Option<Document> {
        self.view.document(&Key::parse(path).ok()?)
    }

    fn item(&self, document: &Document) -> Value {
        dump::item(document, self.view.completed(document), &self.prefix)
    }

    fn problems(&self) -> Vec<Value> {
        let problems = self.view.problems().into_iter().map(|problem| {
            let mut shown = json!({
                "key": problem.key, "json_path": problem.json_path, "message": problem.message
            });
            if let (Some(place), Value::Object(shown)) = (problem.place, &mut shown) {
                shown.insert("place".to_owned(), place.into());
            }
            shown
        });
        problems.collect()
    }

    fn configuration(&self) -> Value {
        let reloads = &self.view.shared().stats.reloads;
        json!({
            "revision": self.view.revision(),
            "digest": self.view.digest(),
            "problems": self.problems(),
            "reload_failures": reloads.failures(),
            "reload_problem": reloads.problem(),
            "plugin_panics": self.view.shared().stats.panics.by_plugin(),
        })
    }
}

/// An empty list is `{}`, as APISIX's programs and their clients have it.
fn list(items: Vec<Value>) -> Value {
    if items.is_empty() { json!({}) } else { Value::Array(items) }
}

fn found(value: &Value) -> Reply {
    Reply::json(200, value).with("Content-Type", b"application/json")
}

fn refused(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "error_msg": message })).with("Content-Type", b"application/json")
}

/// APISIX has four more here that belong to no kind of ours.
const MAIN_SCHEMAS: [Kind; 10] = [
    Kind::Consumer,
    Kind::ConsumerGroup,
    Kind::GlobalRule,
    Kind::PluginConfig,
    Kind::Proto,
    Kind::Route,
    Kind::Service,
    Kind::Ssl,
    Kind::StreamRoute,
    Kind::Upstream,
];
