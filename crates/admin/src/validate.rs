//! What is wrong with a whole configuration.

use crate::{
    configuration::Configuration,
    errors::{Done, Refusal},
    pushed,
};
use model::{
    declared,
    documents::{self, Key, Kind},
    schema::lua_type,
};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Something that is wrong.
pub(crate) struct Finding {
    /// As one of many.
    shown: Value,
    /// As the only one.
    pub(crate) short: String,
}

/// `configs/validate`: each document by itself, all errors at once.
pub(crate) fn all(body: &Value, is_pushed: bool, conf: &impl Configuration) -> Result<Done, Refusal> {
    let Value::Object(body) = body else { return Err(Refusal::NotAnObject) };
    let found = findings(body, is_pushed, conf);
    if found.is_empty() {
        return Ok(Done::Value(json!({})));
    }
    Err(Refusal::Validation(found.into_iter().map(|finding| finding.shown).collect()))
}

/// What is wrong, in the order of the body. Documents of a configuration that is pushed may have a `modifiedIndex`, and credentials
/// are among the consumers.
pub(crate) fn findings(body: &Map<String, Value>, is_pushed: bool, conf: &impl Configuration) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, items) in body {
        if let Some(kind) = name.strip_suffix("_conf_version") {
            if !items.is_number() && !items.is_null() {
                let (short, got) = (format!("{name} must be a number"), lua_type(items));
                let shown = json!({ "resource_type": kind, "error": format!("{short}, got {got}") });
                found.push(Finding { shown, short });
            }
            continue;
        }
        let Some(items) = items.as_array().filter(|items| !items.is_empty()) else { continue };
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let id = text(item, "id").or_else(|| text(item, "username"));
            let mut told = |error: String| {
                let resource_id = id.as_deref().unwrap_or_default();
                let shown = json!({
                    "resource_type": name, "resource_id": resource_id, "index": index, "error": error
                });
                found.push(Finding { shown, short: error });
            };
            let checked = match declared::section(name) {
                Some(kind) if is_pushed => check_pushed(kind, index, item, conf),
                _ => check(name, id.as_deref(), item, conf),
            };
            if let Err(why) = checked {
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
    found
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

fn check_pushed(kind: Kind, index: usize, item: &Value, conf: &impl Configuration) -> Result<(), String> {
    let (key, mut value, _) = pushed::document(kind, index + 1, item)?;
    // Where an id is needed, its place is none.
    if item.get("id").is_none()
        && let Some(fields) = value.as_object_mut()
    {
        fields.shift_remove("id");
    }
    conf.check(&key, &value)
}
