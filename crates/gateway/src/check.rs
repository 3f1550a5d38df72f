//! What a document must satisfy before it is stored, in APISIX's words.

mod certificate;
mod proto;
mod references;
mod stream_route;
#[cfg(test)]
mod tests;

pub use references::check_delete;
pub(crate) use references::{credential_keys, id_text};

use crate::{
    flow::DocumentsView,
    plugins::{Checked, PluginSet, Purpose, describe},
    route::network,
    upstream::{CompiledUpstream, Registry},
};
use model::{
    documents::{self, DocumentError, Key, Kind, PluginHolder},
    schema::Schema,
    vars::Expr,
};
use plugin::Shared;
use references::Field;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Checks a document against its schema, its plugins' schemas and rules, and what it refers to.
///
/// # Errors
/// The text of `error_msg`.
pub fn check_document(
    view: &DocumentsView,
    plugins: &PluginSet,
    shared: &Arc<Shared>,
    key: &Key,
    value: &Value,
) -> Result<(), String> {
    Check { plugins, shared, view: Some(view) }.document(key, value)
}

/// Checks a document by itself, without what it refers to.
///
/// # Errors
/// The text of `error_msg`.
pub fn check_alone(plugins: &PluginSet, shared: &Arc<Shared>, key: &Key, value: &Value) -> Result<(), String> {
    Check { plugins, shared, view: None }.document(key, value)
}

/// What a document is checked against.
struct Check<'a> {
    plugins: &'a PluginSet,
    shared: &'a Arc<Shared>,
    /// The other documents; without them nobody looks at what it refers to.
    view: Option<&'a DocumentsView>,
}

impl Check<'_> {
    /// In APISIX's order: who sends more than one mistake is told the same one.
    fn document(&self, key: &Key, value: &Value) -> Result<(), String> {
        match key.kind() {
            Kind::Route => self.route(key, value),
            Kind::Service => self.service(key, value),
            Kind::Upstream => self.upstream(Some(&documents::Upstream::parse(value).map_err(text)?), Some(value)),
            Kind::Consumer => self.consumer(key, value),
            Kind::Credential => self.credential(key, value),
            kind @ (Kind::ConsumerGroup | Kind::PluginConfig) => {
                self.plugins(key, &PluginHolder::parse(kind, value).map_err(text)?.plugins, false)
            }
            Kind::GlobalRule => {
                self.plugins(key, &PluginHolder::parse(Kind::GlobalRule, value).map_err(text)?.plugins, false)?;
                self.among(|view| references::check_unique_rules(view, key, value))
            }
            Kind::PluginMetadata => self.metadata(key, value),
            Kind::Ssl => certificate::check(self.plugins, &documents::Ssl::parse(value).map_err(text)?),
            Kind::StreamRoute => {
                let route = documents::StreamRoute::parse(value).map_err(text)?;
                self.refers(value, &[Field::UPSTREAM, Field::SERVICE])?;
                stream_route::check(&route)
            }
            Kind::Proto => {
                check_schema(documents::schema(Kind::Proto), value)?;
                proto::check(value.get("content").and_then(Value::as_str).unwrap_or_default())
            }
            Kind::Secret => check_secret(self.plugins, key, value),
            Kind::CostDecoration => {
                self.among(|view| references::check_decoration(view, key, value))?;
                check_schema(documents::schema(Kind::CostDecoration), value)
            }
        }
    }

    fn route(&self, key: &Key, value: &Value) -> Result<(), String> {
        let route = documents::Route::parse(value).map_err(text)?;
        // A reference passes the schema, but nothing resolves it there.
        if let Some(addr) = route.remote_addrs().find(|addr| network(addr).is_none()) {
            return Err(format!("invalid configuration: invalid ip address: {addr}"));
        }
        self.upstream(route.upstream.as_ref(), value.get("upstream"))?;
        self.refers(value, &[Field::UPSTREAM, Field::SERVICE, Field::PLUGIN_CONFIG])?;
        self.plugins(key, &route.plugins, false)?;
        if let Some(rule) = &route.vars {
            Expr::compile(rule).map_err(|e| format!("failed to validate the 'vars' expression: {e}"))?;
        }
        if route.filter_func.is_some() {
            return Err("failed to load 'filter_func' string: this version has no Lua".to_owned());
        }
        check_script(route.script.is_some() || route.script_id.is_some())
    }

    fn service(&self, key: &Key, value: &Value) -> Result<(), String> {
        let service = documents::Service::parse(value).map_err(text)?;
        self.upstream(service.upstream.as_ref(), value.get("upstream"))?;
        self.refers(value, &[Field::UPSTREAM])?;
        self.plugins(key, &service.plugins, false)?;
        check_script(service.script.is_some())
    }

    fn consumer(&self, key: &Key, value: &Value) -> Result<(), String> {
        let consumer = documents::Consumer::parse(value).map_err(text)?;
        self.plugins(key, &consumer.plugins, true).map_err(|e| format!("invalid plugins configuration: {e}"))?;
        self.among(|view| references::check_unique_credentials(view, self.plugins, key, value))?;
        self.refers(value, &[Field::CONSUMER_GROUP])
    }

    fn credential(&self, key: &Key, value: &Value) -> Result<(), String> {
        let credential = PluginHolder::parse(Kind::Credential, value).map_err(text)?;
        for name in credential.plugins.keys() {
            if self.plugins.get(name).is_some_and(|p| p.description.credential.is_none()) {
                return Err("only supports auth type plugins in consumer credential".to_owned());
            }
        }
        self.plugins(key, &credential.plugins, true).map_err(|e| format!("invalid plugins configuration: {e}"))?;
        self.among(|view| {
            references::check_unique_credentials(view, self.plugins, key, value)?;
            references::check_consumer(view, key)
        })
    }

    fn metadata(&self, key: &Key, value: &Value) -> Result<(), String> {
        let Some(plugin) = self.plugins.get(key.id()) else { return Err("invalid plugin name".to_owned()) };
        let mut value = value.clone();
        if let Value::Object(fields) = &mut value {
            fields.shift_remove("id");
        }
        let checked = self.plugins.check(key.id(), &value, Purpose::Metadata);
        checked.and_then(|checked| plugin.metadata(&checked.config)).map(drop).map_err(|e| {
            let prefix = format!("failed to check the configuration of plugin {} err: ", key.id());
            format!("invalid configuration: {}", e.strip_prefix(&prefix).unwrap_or(&e))
        })
    }

    /// `written` is what the upstream was read from, where that is known.
    fn upstream(&self, upstream: Option<&documents::Upstream>, written: Option<&Value>) -> Result<(), String> {
        let Some(upstream) = upstream else { return Ok(()) };
        self.among(|view| references::check_client_cert(view, written))?;
        if let Some(documents::Tls { client_cert: Some(cert), client_key: Some(key), .. }) = &upstream.tls {
            certificate::check_pair(self.plugins, cert, key)?;
        }
        CompiledUpstream::check(upstream, &self.shared.kept(Registry::default))
    }

    /// Every plugin must be known, fit its schema, and build.
    fn plugins(&self, key: &Key, written: &Map<String, Value>, is_consumer: bool) -> Result<(), String> {
        for (name, conf) in written {
            let plugin = self.plugins.get(name);
            let is_credential = is_consumer && plugin.is_some_and(|p| p.description.credential.is_some());
            let purpose = if is_credential { Purpose::Credential } else { Purpose::Plugin };
            let Checked { config, meta, unresolved } = self.plugins.check(name, conf, purpose)?;
            let Some(plugin) = plugin.filter(|_| !meta.is_disabled && unresolved.is_none()) else { continue };
            if is_credential {
                plugin.credential(&config)?;
            } else {
                for upstream in plugin.build(&config, self.shared, &key.path())?.upstreams {
                    self.upstream(Some(&upstream), None)
                        .map_err(|e| format!("failed to check the configuration of plugin {name} err: {e}"))?;
                }
            }
        }
        Ok(())
    }

    fn refers(&self, value: &Value, fields: &[Field]) -> Result<(), String> {
        self.among(|view| fields.iter().try_for_each(|field| field.check(view, value)))
    }

    fn among(&self, check: impl FnOnce(&DocumentsView) -> Result<(), String>) -> Result<(), String> {
        self.view.map_or(Ok(()), check)
    }
}

#[allow(clippy::needless_pass_by_value)] // used as map_err(text)
fn text(error: DocumentError) -> String {
    match error {
        DocumentError::Invalid(violation) => format!("invalid configuration: {}", violation.message),
        DocumentError::Refused(message) => message,
    }
}

fn check_script(is_written: bool) -> Result<(), String> {
    if is_written { Err("failed to load 'script' string: this version has no Lua".to_owned()) } else { Ok(()) }
}

fn check_schema(schema: &Schema, value: &Value) -> Result<(), String> {
    schema.check(value).map_err(|violation| format!("invalid configuration: {}", violation.message))
}

/// Access to a secret manager. Its schema lets every field pass, and a misspelt one would be a setting that is not there.
fn check_secret(plugins: &PluginSet, key: &Key, value: &Value) -> Result<(), String> {
    let manager = key.parent().unwrap_or_default();
    let schema = documents::secret_schema(manager).ok_or_else(|| format!("invalid secret manager: {manager}"))?;
    check_schema(schema, value)?;
    let unknown = schema.unknown_fields(value).into_iter();
    let mut unknown = unknown.filter(|field| !matches!(field.name.as_str(), "id" | "create_time" | "update_time"));
    match unknown.next().filter(|_| plugins.refuses_unknown_fields()) {
        Some(field) => Err(format!("invalid configuration: {}", describe(&field))),
        None => Ok(()),
    }
}
