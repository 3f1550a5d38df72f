//! `configs/validate`: a whole configuration, each document by itself, with all that is wrong at once.

use crate::{
    configuration::Configuration,
    errors::{Done, Refusal},
};
use model::{
    documents::{self, Key, Kind},
    schema::lua_type,
};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Checks a configuration as standalone files and `configs` have it: lists by the names of collections.
pub(crate) fn whole(body: &Value, conf: &impl Configuration) -> Result<Done, Refusal> {
    let Value::Object(body) = body else { return Err(Refusal::NotAnObject) };
    let mut errors = Vec::new();
    for (name, items) in body {
        if let Some(kind) = name.strip_suffix("_conf_version") {
            if !items.is_number() {
                let got = lua_type(items);
                errors.push(json!({ "resource_type": kind, "error": format!("{name} must be a number, got {got}") }));
            }
            continue;
        }
        let Some(items) = items.as_array().filter(|items| !items.is_empty()) else { continue };
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let id = text(item, "id").or_else(|| text(item, "username"));
            let mut told = |error: String| {
                let resource_id = id.as_deref().unwrap_or_default();
                errors.push(json!({
                    "resource_type": name, "resource_id": resource_id, "index": index, "error": error
                }));
            };
            if let Err(why) = check(name, id.as_deref(), item, conf) {
                told(why);
            }
            if let Some(id) = &id {
                let what = match (name.as_str(), item.get("id")) {
                    ("consumers", Some(_)) => "credential id",
                    ("consumers", None) => "username",
                    _ => "id",
                };
                if !seen.insert(id.clone()) {
                    told(format!("found duplicate {what} {id} in {name}"));
                }
            }
        }
    }
    if errors.is_empty() { Ok(Done::Value(json!({}))) } else { Err(Refusal::Validation(errors)) }
}

/// Checks one document of a list.
fn check(list: &str, id: Option<&str>, item: &Value, conf: &impl Configuration) -> Result<(), String> {
    // Which plugins there are is not a document.
    if list == "plugins" {
        let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
        let is_known = conf.plugins().iter().any(|plugin| plugin.name == name);
        return if is_known { Ok(()) } else { Err(format!("unknown plugin [{name}]")) };
    }
    let kind = Kind::from_collection(list).filter(|kind| !matches!(kind, Kind::Credential | Kind::CostDecoration));
    let kind = kind.ok_or_else(|| format!("Unsupported resource type: {list}"))?;
    let id = id.unwrap_or("0");
    if kind == Kind::Secret {
        let Some((manager, _)) = id.split_once('/') else { return Err(format!("invalid secret id: {id}")) };
        if documents::secret_schema(manager).is_none() {
            return Err(format!("invalid secret manager: {manager}"));
        }
    }
    let key = Key::parse(&format!("/{list}/{id}")).map_err(|error| error.to_string())?;
    if key.parent().is_none() {
        return conf.check(&key, item);
    }
    // The ids of credentials and secrets are whole paths here.
    let mut item = item.clone();
    if let Value::Object(fields) = &mut item {
        fields.insert("id".to_owned(), key.id().into());
    }
    conf.check(&key, &item)
}

fn text(item: &Value, field: &str) -> Option<String> {
    match item.get(field) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}
