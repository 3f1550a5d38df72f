//! Values that are kept elsewhere: `$env://NAME`, `$env://NAME/key` and `$secret://MANAGER/ID/KEY`.

use crate::json::{self, Limits};
use serde_json::Value;

const ENV: &str = "$env://";
const SECRET: &str = "$secret://";

/// A reference that leads to no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reference} cannot be resolved: {reason}")]
pub struct Unresolved {
    /// The reference as written; it is no secret itself.
    pub reference: String,
    /// Why.
    pub reason: &'static str,
}

/// Whether a text is a reference. APISIX ignores the case of `$env://` only.
pub fn is_reference(text: &str) -> bool {
    text.starts_with(SECRET) || env(text).is_some()
}

fn env(text: &str) -> Option<&str> {
    let (scheme, name) = text.split_at_checked(ENV.len())?;
    scheme.eq_ignore_ascii_case(ENV).then_some(name)
}

/// Puts the values in the place of all references in `value`, and says whether there were any. `variable` knows the environment.
///
/// # Errors
/// The first that leads nowhere; nothing is to be used of `value` then.
pub fn resolve(value: &mut Value, variable: &dyn Fn(&str) -> Option<String>) -> Result<bool, Unresolved> {
    let mut is_changed = false;
    match value {
        Value::String(text) if is_reference(text) => {
            *text = resolve_text(text, variable)?;
            is_changed = true;
        }
        Value::Array(items) => {
            for item in items {
                is_changed |= resolve(item, variable)?;
            }
        }
        Value::Object(fields) => {
            for (_, field) in fields {
                is_changed |= resolve(field, variable)?;
            }
        }
        _ => {}
    }
    Ok(is_changed)
}

/// A text, or what it leads to when it is a reference.
///
/// # Errors
/// It leads nowhere.
pub fn resolve_text(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Unresolved> {
    if !is_reference(text) {
        return Ok(text.to_owned());
    }
    find(text, variable).map_err(|reason| Unresolved { reference: text.to_owned(), reason })
}

fn find(reference: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, &'static str> {
    let name = env(reference).ok_or("secret managers are not available in this version")?;
    let (name, key) = name.split_once('/').map_or((name, None), |(name, key)| (name, Some(key)));
    let value = variable(name).ok_or("there is no such environment variable")?;
    let Some(key) = key.filter(|key| !key.is_empty()) else { return Ok(value) };
    let fields =
        json::parse(value.as_bytes(), Limits::default()).map_err(|_| "the environment variable is not JSON")?;
    match fields.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => Err("the environment variable has no such text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn variable(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("the key".to_owned()),
            "JSON" => Some(r#"{"a":"one","b":2,"c":{}}"#.to_owned()),
            "LOOP" => Some("$env://LOOP".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn references_become_what_they_lead_to() {
        for (written, expected) in [
            (json!("plain"), Ok((json!("plain"), false))),
            (json!("x$env://KEY"), Ok((json!("x$env://KEY"), false))),
            (json!("$env://KEY"), Ok((json!("the key"), true))),
            (json!("$ENV://KEY"), Ok((json!("the key"), true))),
            (json!("$env://KEY/"), Ok((json!("the key"), true))),
            (
                json!({ "a": ["$env://JSON/a", 1], "b": "$env://JSON/b" }),
                Ok((json!({ "a": ["one", 1], "b": "2" }), true)),
            ),
            // What a variable holds is never a reference again.
            (json!("$env://LOOP"), Ok((json!("$env://LOOP"), true))),
            (json!("$env://key"), Err("there is no such environment variable")),
            (json!("$env://"), Err("there is no such environment variable")),
            (json!(["$env://KEY/a"]), Err("the environment variable is not JSON")),
            (json!("$env://JSON/c"), Err("the environment variable has no such text")),
            (json!("$env://JSON/d"), Err("the environment variable has no such text")),
            (json!({ "a": "$secret://vault/1/a" }), Err("secret managers are not available in this version")),
        ] {
            let mut value = written.clone();
            let resolved = resolve(&mut value, &variable).map(|is_changed| (value, is_changed));
            assert_eq!(resolved.map_err(|error| error.reason), expected, "{written}");
        }
    }
}
