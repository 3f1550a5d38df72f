//! Keys that clients choose.

use crate::key::{Key, KeyType};
use plugin::Finding;
use serde_json::Value;

/// The keys of a complete configuration that let a client have as many counters as it likes.
pub(crate) fn findings(config: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut look = |key: &Key, path: String| {
        if let Some(name) = key.variables().find(|name| name.is_free_choice()) {
            let message = format!(
                "clients choose ${name}, and with each new value a new count begins; count by remote_addr or consumer_name, or \
                 make sure that a proxy in front sets it"
            );
            found.push(Finding::at("limit-by-forgeable-key", path, message));
        }
    };
    if let Some(key) = config.get("key").and_then(Value::as_str) {
        let kind = config.get("key_type").and_then(|kind| serde_json::from_value::<KeyType>(kind.clone()).ok());
        look(&Key::compile(key.to_owned(), kind.unwrap_or(KeyType::Var)), "/key".to_owned());
    }
    for (index, rule) in config.get("rules").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(key) = rule.get("key").and_then(Value::as_str) {
            look(&Key::of_rule(key), format!("/rules/{index}/key"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_that_clients_choose_are_found() {
        for (config, paths) in [
            (json!({ "key": "remote_addr", "key_type": "var" }), &[][..]),
            (json!({ "key": "http_x_api_key", "key_type": "var" }), &["/key"]),
            (json!({ "key": "http_x_api_key", "key_type": "constant" }), &[]),
            (json!({ "key": "$remote_addr $arg_a", "key_type": "var_combination" }), &["/key"]),
            (json!({ "key": "$consumer_name $route_id", "key_type": "var_combination" }), &[]),
            (json!({ "rules": [{ "key": "$uri" }, { "key": "${cookie_session}" }] }), &["/rules/1/key"]),
        ] {
            let found = findings(&config);
            let found: Vec<_> = found.iter().map(|finding| &*finding.path).collect();
            assert_eq!(found, paths, "{config}");
        }
    }
}
