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
    upstream::{CompiledUpstream, Registry},
};
use model::{
    documents::{self, DocumentError, Key, Kind, PluginHolder},
    schema::Schema,
    vars::Expr,
};
use plugin::Shared;
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
    check_alone(plugins, shared, key, value)?;
    references::check(view, plugins, key, value)
}

/// Checks a document by itself, without what it refers to.
///
/// # Errors
/// The text of `error_msg`.
pub fn check_alone(plugins: &PluginSet, shared: &Arc<Shared>, key: &Key, value: &Value) -> Result<(), String> {
    match key.kind() {
        Kind::Route => {
            let route = documents::Route::parse(value).map_err(text)?;
            if route.filter_func.is_some() {
                return Err("failed to load 'filter_func' string: this version has no Lua".to_owned());
            }
            if route.script.is_some() || route.script_id.is_some() {
                return Err("failed to load 'script' string: this version has no Lua".to_owned());
            }
            check_upstream(route.upstream.as_ref(), shared)?;
            check_plugins(plugins, shared, key, &route.plugins, false)?;
            if let Some(rule) = &route.vars {
                Expr::compile(rule).map_err(|e| format!("failed to validate the 'vars' expression: {e}"))?;
            }
            Ok(())
        }
        Kind::Service => {
            let service = documents::Service::parse(value).map_err(text)?;
            if service.script.is_some() {
                return Err("failed to load 'script' string: this version has no Lua".to_owned());
            }
            check_upstream(service.upstream.as_ref(), shared)?;
            check_plugins(plugins, shared, key, &service.plugins, false)
        }
        Kind::Upstream => check_upstream(Some(&documents::Upstream::parse(value).map_err(text)?), shared),
        Kind::Consumer => {
            let consumer = documents::Consumer::parse(value).map_err(text)?;
            check_plugins(plugins, shared, key, &consumer.plugins, true)
                .map_err(|e| format!("invalid plugins configuration: {e}"))
        }
        Kind::Credential => {
            let credential = PluginHolder::parse(Kind::Credential, value).map_err(text)?;
            for name in credential.plugins.keys() {
                if plugins.get(name).is_some_and(|p| p.description.credential.is_none()) {
                    return Err("only supports auth type plugins in consumer credential".to_owned());
                }
            }
            check_plugins(plugins, shared, key, &credential.plugins, true)
                .map_err(|e| format!("invalid plugins configuration: {e}"))
        }
        kind @ (Kind::ConsumerGroup | Kind::GlobalRule | Kind::PluginConfig) => {
            check_plugins(plugins, shared, key, &PluginHolder::parse(kind, value).map_err(text)?.plugins, false)
        }
        Kind::PluginMetadata => {
            let Some(plugin) = plugins.get(key.id()) else { return Err("invalid plugin name".to_owned()) };
            let mut value = value.clone();
            if let Value::Object(fields) = &mut value {
                fields.shift_remove("id");
            }
            let checked = plugins.check(key.id(), &value, Purpose::Metadata);
            checked.and_then(|checked| plugin.metadata(&checked.config)).map(drop).map_err(|e| {
                let prefix = format!("failed to check the configuration of plugin {} err: ", key.id());
                format!("invalid configuration: {}", e.strip_prefix(&prefix).unwrap_or(&e))
            })
        }
        Kind::Ssl => certificate::check(plugins, &documents::Ssl::parse(value).map_err(text)?),
        Kind::StreamRoute => stream_route::check(value),
        Kind::Proto => {
            check_schema(documents::schema(Kind::Proto), value)?;
            proto::check(value.get("content").and_then(Value::as_str).unwrap_or_default())
        }
        Kind::Secret => check_secret(plugins, key, value),
        Kind::CostDecoration => check_schema(documents::schema(Kind::CostDecoration), value),
    }
}

#[allow(clippy::needless_pass_by_value)] // used as map_err(text)
fn text(error: DocumentError) -> String {
    match error {
        DocumentError::Invalid(violation) => format!("invalid configuration: {}", violation.message),
        DocumentError::Refused(message) => message,
    }
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

fn check_upstream(upstream: Option<&documents::Upstream>, shared: &Shared) -> Result<(), String> {
    upstream.map_or(Ok(()), |upstream| CompiledUpstream::check(upstream, &shared.kept(Registry::default)))
}

/// Every plugin must be known, fit its schema, and build.
fn check_plugins(
    plugins: &PluginSet,
    shared: &Arc<Shared>,
    key: &Key,
    written: &Map<String, Value>,
    is_consumer: bool,
) -> Result<(), String> {
    for (name, conf) in written {
        let plugin = plugins.get(name);
        let is_credential = is_consumer && plugin.is_some_and(|p| p.description.credential.is_some());
        let purpose = if is_credential { Purpose::Credential } else { Purpose::Plugin };
        let Checked { config, meta, unresolved } = plugins.check(name, conf, purpose)?;
        let Some(plugin) = plugin.filter(|_| !meta.is_disabled && unresolved.is_none()) else { continue };
        if is_credential {
            plugin.credential(&config)?;
        } else {
            for upstream in plugin.build(&config, shared, &key.path())?.upstreams {
                check_upstream(Some(&upstream), shared)
                    .map_err(|e| format!("failed to check the configuration of plugin {name} err: {e}"))?;
            }
        }
    }
    Ok(())
}
