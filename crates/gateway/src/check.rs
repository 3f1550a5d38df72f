//! What a document must satisfy before it is stored, in APISIX's words.

use crate::{
    flow::DocumentsView,
    plugins::{Checked, PluginSet, Purpose},
    upstream::CompiledUpstream,
};
use model::{
    documents::{self, DocumentError, Key, Kind},
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
    check_references(view, plugins, key, value)
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
            check_upstream(route.upstream.as_ref())?;
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
            check_upstream(service.upstream.as_ref())?;
            check_plugins(plugins, shared, key, &service.plugins, false)
        }
        Kind::Upstream => check_upstream(Some(&documents::Upstream::parse(value).map_err(text)?)),
        Kind::Consumer => {
            let consumer = documents::Consumer::parse(value).map_err(text)?;
            check_plugins(plugins, shared, key, &consumer.plugins, true)
                .map_err(|e| format!("invalid plugins configuration: {e}"))
        }
        Kind::Credential => {
            let credential = documents::Credential::parse(value).map_err(text)?;
            for name in credential.plugins.keys() {
                if plugins.get(name).is_some_and(|p| p.description.credential.is_none()) {
                    return Err("only supports auth type plugins in consumer credential".to_owned());
                }
            }
            check_plugins(plugins, shared, key, &credential.plugins, true)
                .map_err(|e| format!("invalid plugins configuration: {e}"))
        }
        Kind::ConsumerGroup => {
            check_plugins(plugins, shared, key, &documents::ConsumerGroup::parse(value).map_err(text)?.plugins, false)
        }
        Kind::GlobalRule => {
            check_plugins(plugins, shared, key, &documents::GlobalRule::parse(value).map_err(text)?.plugins, false)
        }
        Kind::PluginConfig => {
            check_plugins(plugins, shared, key, &documents::PluginConfig::parse(value).map_err(text)?.plugins, false)
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
        Kind::Ssl | Kind::StreamRoute | Kind::Proto | Kind::Secret => {
            documents::schema(key.kind()).check(value).map_err(|v| format!("invalid configuration: {}", v.message))
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // used as map_err(text)
fn text(error: DocumentError) -> String {
    match error {
        DocumentError::Invalid(violation) => format!("invalid configuration: {}", violation.message),
        DocumentError::Refused(message) => message,
    }
}

fn check_upstream(upstream: Option<&documents::Upstream>) -> Result<(), String> {
    upstream.map_or(Ok(()), |upstream| CompiledUpstream::compile(upstream).map(drop))
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
            plugin.build(&config, shared, &key.path())?;
        }
    }
    Ok(())
}

/// What a document refers to must exist, and what must be unique must be.
fn check_references(view: &DocumentsView, plugins: &PluginSet, key: &Key, value: &Value) -> Result<(), String> {
    let refers = |field: &str, kind: Kind, what: &str| -> Result<(), String> {
        let Some(id) = value.get(field).and_then(id_text) else { return Ok(()) };
        let exists = Key::new(kind, id.clone()).is_ok_and(|target| view.contains(&target));
        if exists {
            return Ok(());
        }
        Err(format!("failed to fetch {what} info by {what} id [{id}], response code: 404"))
    };
    match key.kind() {
        Kind::Route => {
            refers("upstream_id", Kind::Upstream, "upstream")?;
            refers("service_id", Kind::Service, "service")?;
            refers("plugin_config_id", Kind::PluginConfig, "plugin config")
        }
        Kind::Service => refers("upstream_id", Kind::Upstream, "upstream"),
        Kind::Consumer => {
            refers("group_id", Kind::ConsumerGroup, "consumer group")?;
            check_unique_credentials(view, plugins, key, value)
        }
        Kind::Credential => {
            let consumer = key.parent().and_then(|name| Key::new(Kind::Consumer, name).ok());
            if consumer.is_none_or(|consumer| !view.contains(&consumer)) {
                return Err("consumer not found".to_owned());
            }
            check_unique_credentials(view, plugins, key, value)
        }
        Kind::GlobalRule => {
            let Some(written) = value.get("plugins").and_then(Value::as_object) else { return Ok(()) };
            for other in view.list(Kind::GlobalRule, None) {
                let Some(theirs) = other.value.get("plugins").and_then(Value::as_object) else { continue };
                if other.key != *key
                    && let Some(name) = written.keys().find(|name| theirs.contains_key(*name))
                {
                    let id = other.key.id();
                    return Err(format!("plugin '{name}' already exists in global rule with id '{id}'"));
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// No two consumers or credentials may have the same key of the same plugin.
fn check_unique_credentials(view: &DocumentsView, plugins: &PluginSet, key: &Key, value: &Value) -> Result<(), String> {
    for (name, index) in credential_keys(plugins, value) {
        if let Some(owner) = view.credential_owner(&name, &index)
            && *owner != *key.path()
        {
            return Err(format!("duplicate key found with consumer: {}", consumer_of(&owner)));
        }
    }
    Ok(())
}

/// The index keys of a consumer's or credential's authentication plugins.
pub(crate) fn credential_keys(plugins: &PluginSet, value: &Value) -> Vec<(String, Vec<u8>)> {
    let written = value.get("plugins").and_then(Value::as_object).into_iter().flatten();
    written
        .filter_map(|(name, conf)| {
            let plugin = plugins.get(name).filter(|plugin| plugin.description.credential.is_some())?;
            let checked = plugins.load(name, conf, Purpose::Credential).ok()?;
            if checked.unresolved.is_some() {
                return None;
            }
            let (key, _) = plugin.credential(&checked.config).ok()??;
            Some((name.clone(), key.0))
        })
        .collect()
}

fn consumer_of(path: &str) -> &str {
    path.split('/').nth(2).unwrap_or_default()
}

/// Says who still uses a document.
///
/// # Errors
/// The text of `error_msg`.
pub fn check_delete(view: &DocumentsView, key: &Key) -> Result<(), String> {
    let id = key.id();
    let (what, field, kinds): (&str, &str, &[(Kind, &str)]) = match key.kind() {
        Kind::Upstream => ("upstream", "upstream_id", &[(Kind::Route, "route"), (Kind::Service, "service")]),
        Kind::Service => ("service directly", "service_id", &[(Kind::Route, "route")]),
        Kind::PluginConfig => ("plugin config", "plugin_config_id", &[(Kind::Route, "route")]),
        Kind::ConsumerGroup => ("consumer group", "group_id", &[(Kind::Consumer, "consumer")]),
        _ => return Ok(()),
    };
    for (kind, name) in kinds {
        if let Some(user) = view.first_that_refers(*kind, field, id) {
            return Err(format!("can not delete this {what}, {name} [{}] is still using it now", user.id()));
        }
    }
    Ok(())
}

pub(crate) fn id_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|id| id.to_string()))
}
