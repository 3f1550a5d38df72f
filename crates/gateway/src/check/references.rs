//! What documents refer to, and what must be unique among them.

use crate::{
    flow::DocumentsView,
    plugins::{PluginSet, Purpose},
};
use model::documents::{Key, Kind};
use serde_json::Value;

/// A field that holds the id of another document.
#[derive(Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    kind: Kind,
    /// As APISIX calls it then.
    what: &'static str,
}

impl Field {
    pub(super) const UPSTREAM: Self = Self { name: "upstream_id", kind: Kind::Upstream, what: "upstream" };
    pub(super) const SERVICE: Self = Self { name: "service_id", kind: Kind::Service, what: "service" };
    pub(super) const PLUGIN_CONFIG: Self =
        Self { name: "plugin_config_id", kind: Kind::PluginConfig, what: "plugin config" };
    pub(super) const CONSUMER_GROUP: Self =
        Self { name: "group_id", kind: Kind::ConsumerGroup, what: "consumer group" };

    /// What it refers to must exist.
    pub(super) fn check(&self, view: &DocumentsView, value: &Value) -> Result<(), String> {
        let Some(id) = value.get(self.name).and_then(id_text) else { return Ok(()) };
        if Key::new(self.kind, id.clone()).is_ok_and(|target| view.contains(&target)) {
            return Ok(());
        }
        let what = self.what;
        Err(format!("failed to fetch {what} info by {what} id [{id}], response code: 404"))
    }
}

/// A credential is somebody's.
pub(super) fn check_consumer(view: &DocumentsView, key: &Key) -> Result<(), String> {
    if has_parent(view, key, Kind::Consumer) { Ok(()) } else { Err("consumer not found".to_owned()) }
}

/// A cost decoration belongs to a service, and is the only one for its field.
pub(super) fn check_decoration(view: &DocumentsView, key: &Key, value: &Value) -> Result<(), String> {
    if !has_parent(view, key, Kind::Service) {
        return Err("service not found".to_owned());
    }
    check_unique_decoration(view, key, value)
}

fn has_parent(view: &DocumentsView, key: &Key, kind: Kind) -> bool {
    key.parent().and_then(|parent| Key::new(kind, parent).ok()).is_some_and(|parent| view.contains(&parent))
}

/// The certificate that an upstream is shown must be one for that.
pub(super) fn check_client_cert(view: &DocumentsView, upstream: Option<&Value>) -> Result<(), String> {
    let id = upstream.and_then(|upstream| upstream.pointer("/tls/client_cert_id")).and_then(id_text);
    let Some(id) = id else { return Ok(()) };
    let stored = Key::new(Kind::Ssl, id.clone()).ok().and_then(|key| view.get(&key));
    let why = match stored {
        None => "response code: 404",
        Some(ssl) if ssl.value.get("type") != Some(&Value::from("client")) => "wrong ssl type",
        Some(_) => return Ok(()),
    };
    Err(format!("failed to fetch ssl info by ssl id [{id}], {why}"))
}

/// A plugin is in one global rule only.
pub(super) fn check_unique_rules(view: &DocumentsView, key: &Key, value: &Value) -> Result<(), String> {
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

/// A field of a service has one cost.
fn check_unique_decoration(view: &DocumentsView, key: &Key, value: &Value) -> Result<(), String> {
    let field_path = value.get("field_path");
    let others = view.list(Kind::CostDecoration, key.parent());
    match others.iter().find(|other| other.key != *key && other.value.get("field_path") == field_path) {
        Some(other) => {
            let (path, id) = (field_path.and_then(Value::as_str).unwrap_or_default(), other.key.id());
            Err(format!("field_path {path} is already decorated on this service by [{id}]"))
        }
        None => Ok(()),
    }
}

/// No two consumers or credentials may have the same key of the same plugin. A consumer may have what its own credentials have.
pub(super) fn check_unique_credentials(
    view: &DocumentsView,
    plugins: &PluginSet,
    key: &Key,
    value: &Value,
) -> Result<(), String> {
    for (name, index) in credential_keys(plugins, value) {
        let owners = view.credential_owners(&name, &index);
        let is_own = |owner: &Key| {
            owner == key || (key.kind() == Kind::Consumer && owner.parent().unwrap_or_else(|| owner.id()) == key.id())
        };
        let Some(owner) = owners.iter().find(|owner| !is_own(owner)) else { continue };
        let attribute = plugins.get(&name).map_or("key", |plugin| plugin.description.index_attribute);
        let whose = match owner.parent() {
            Some(consumer) => format!("credential: {} of consumer: {consumer}", owner.id()),
            None => format!("consumer: {}", owner.id()),
        };
        return Err(format!("duplicate {attribute} of plugin {name} found with {whose}"));
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

/// Says who still uses a document, whether or not it is there.
///
/// # Errors
/// The text of `error_msg`.
pub fn check_delete(view: &DocumentsView, plugins: &PluginSet, key: &Key) -> Result<(), String> {
    let id = key.id();
    let (what, field, users): (&str, &str, &[(Kind, &str)]) = match key.kind() {
        Kind::Upstream => (
            "upstream",
            "upstream_id",
            &[(Kind::Route, "route"), (Kind::Service, "service"), (Kind::StreamRoute, "stream_route")],
        ),
        Kind::Service => {
            ("service directly", "service_id", &[(Kind::Route, "route"), (Kind::StreamRoute, "stream_route")])
        }
        Kind::PluginConfig => ("plugin config", "plugin_config_id", &[(Kind::Route, "route")]),
        Kind::ConsumerGroup => ("consumer group", "group_id", &[(Kind::Consumer, "consumer")]),
        Kind::Proto => ("proto", "", &[]),
        _ => return Ok(()),
    };
    for (kind, name) in users {
        let user = view.first_with(*kind, id, |value| value.get(field).and_then(id_text).as_deref() == Some(id));
        if let Some(user) = user {
            return Err(format!("can not delete this {what}, {name} [{}] is still using it now", user.id()));
        }
    }
    for (kind, name) in WITH_PLUGINS {
        let user = view.first_with(kind, id, |value| {
            let mut written = value.get("plugins").and_then(Value::as_object).into_iter().flatten();
            written.any(|(plugin, conf)| plugins.refers(plugin, conf, key.kind(), id))
        });
        if let Some(user) = user {
            let place = if key.kind() == Kind::Proto { "" } else { "plugin in " };
            return Err(format!("can not delete this {what}, {place}{name} [{}] is still using it now", user.id()));
        }
    }
    Ok(())
}

/// Kinds whose plugins may refer to something, as APISIX calls them then.
const WITH_PLUGINS: [(Kind, &str); 6] = [
    (Kind::Route, "route"),
    (Kind::Service, "service"),
    (Kind::PluginConfig, "plugin_config"),
    (Kind::Consumer, "consumer"),
    (Kind::ConsumerGroup, "consumer_group"),
    (Kind::GlobalRule, "global_rules"),
];

pub(crate) fn id_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|id| id.to_string()))
}
