//! Schemas of kinds and plugins.

use crate::{
    configuration::Configuration,
    errors::{Done, Refusal},
    query::Query,
};
use model::documents::{self, Kind};
use plugin::{Description, PluginClass};
use serde_json::{Map, Value, json};
use wire::Method;

/// `schema/{kind}`.
pub(crate) fn of_kind(name: Option<&str>) -> Result<Done, Refusal> {
    let name = name.unwrap_or_default();
    let kind = Kind::from_schema_name(name).ok_or_else(|| Refusal::UnknownSchema(name.to_owned()))?;
    Ok(Done::Value(documents::schema(kind).source().clone()))
}

/// `plugins/{name}` and `plugins?all=true`.
pub(crate) fn of_plugin(name: Option<&str>, query: &Query, conf: &impl Configuration) -> Result<Done, Refusal> {
    let subsystem = match query.first("subsystem") {
        None | Some("http") => "http",
        Some("stream") => "stream",
        Some(other) => return Err(Refusal::UnknownSubsystem(other.to_owned())),
    };
    if query.first("all") == Some("true") {
        let plugins = if subsystem == "http" { plugin_schemas(&conf.plugins()) } else { json!({}) };
        return Ok(Done::Value(plugins));
    }
    // No plugin of ours runs in the stream subsystem.
    let plugins = if subsystem == "http" { conf.plugins() } else { Vec::new() };
    let found = plugins.into_iter().find(|plugin| Some(plugin.name) == name);
    let plugin = found.ok_or(Refusal::UnknownPlugin(subsystem))?;
    let mut schemas = schemas(&plugin);
    let part = if query.first("schema_type") == Some("consumer") { "consumer_schema" } else { "schema" };
    schemas.remove(part).map(Done::Value).ok_or(Refusal::NoSchema)
}

/// `plugins/list`.
pub(crate) fn plugin_names(query: &Query, conf: &impl Configuration) -> Result<Done, Refusal> {
    match query.first("subsystem") {
        None | Some("http") => {}
        Some("stream") => return Ok(Done::Value(json!([]))),
        Some(_) => return Err(Refusal::UnknownSubsystemOfList),
    }
    let mut plugins = conf.plugins();
    plugins.sort_by_key(|plugin| std::cmp::Reverse(plugin.priority));
    Ok(Done::Value(plugins.into_iter().map(|plugin| plugin.name).collect()))
}

/// `schema/validate/{resource}`: the JSON schema alone.
pub(crate) fn validate(kind: Kind, body: Option<&Value>) -> Result<Done, Refusal> {
    let body = body.ok_or_else(|| Refusal::Invalid("wrong type: expected object, got nil".to_owned()))?;
    documents::schema(kind).check(body).map_err(|violation| Refusal::Invalid(violation.to_string()))?;
    Ok(Done::Nothing)
}

/// `plugins/reload`.
pub(crate) fn reload(method: &Method) -> Result<Done, Refusal> {
    // Plugins are compiled in; what changes at run time is published by the flow at once.
    if *method == Method::Put { Ok(Done::Text("done")) } else { Err(Refusal::ReloadNeedsPut(method.clone())) }
}

/// Priority, version, schemas and class of each plugin by name: what `plugins?all=true` and the control API answer.
pub fn plugin_schemas(plugins: &[Description]) -> Value {
    let entry = |plugin: &Description| {
        let files: Value = serde_json::from_str(plugin.spec.schema).unwrap_or_default();
        let mut entry = schemas(plugin);
        entry.insert("priority".to_owned(), plugin.priority.into());
        entry.insert("version".to_owned(), plugin.spec.version.into());
        if plugin.spec.class == PluginClass::Auth {
            entry.insert("type".to_owned(), "auth".into());
        }
        if let Some(scope) = files.get("scope") {
            entry.insert("scope".to_owned(), scope.clone());
        }
        (plugin.name.to_owned(), Value::Object(entry))
    };
    plugins.iter().map(entry).collect::<Map<_, _>>().into()
}

/// `schema`, `consumer_schema` and `metadata_schema` of a plugin, the first with `_meta` as APISIX injects it.
fn schemas(plugin: &Description) -> Map<String, Value> {
    let mut all = match serde_json::from_str(plugin.spec.schema) {
        Ok(Value::Object(all)) => all,
        _ => Map::new(),
    };
    all.retain(|name, value| {
        matches!(name.as_str(), "schema" | "consumer_schema" | "metadata_schema") && value.is_object()
    });
    if let Some(Value::Object(schema)) = all.get_mut("schema") {
        schema.entry("type").or_insert_with(|| "object".into());
        schema.entry("$comment").or_insert_with(|| "this is a mark for our injected plugin schema".into());
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            properties.entry("_meta").or_insert_with(meta);
        }
    }
    all
}

fn meta() -> Value {
    json!({
        "type": "object",
        "properties": {
            "disable": { "type": "boolean" },
            "error_response": { "oneOf": [{ "type": "string" }, { "type": "object" }] },
            "priority": { "description": "priority of plugins by customized order", "type": "integer" },
            "filter": {
                "description": "filter determines whether the plugin needs to be executed at runtime",
                "type": "array"
            },
            "pre_function": {
                "description": "function to be executed in each phase before execution of plugins. \
                                The pre_function will have access to two arguments: `conf` and `ctx`.",
                "type": "string"
            }
        },
        "additionalProperties": false
    })
}
