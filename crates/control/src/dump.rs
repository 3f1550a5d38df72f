//! Documents as the control API shows them.

use model::documents::Document;
use serde_json::{Value, json};
use std::net::IpAddr;

/// One item of `/v1/routes` and its like.
pub(crate) fn item(document: &Document, prefix: &str) -> Value {
    json!({
        "key": format!("{prefix}{}", document.key),
        "has_domain": has_domain(&document.value),
        "value": document.value,
        "createdIndex": document.created,
        "modifiedIndex": document.modified,
    })
}

/// Whether a node is named rather than numbered.
fn has_domain(value: &Value) -> bool {
    let nodes = value.get("nodes").or_else(|| value.pointer("/upstream/nodes"));
    match nodes {
        Some(Value::Object(nodes)) => nodes.keys().any(|node| is_domain(node)),
        Some(Value::Array(nodes)) => nodes.iter().filter_map(|node| node.get("host")?.as_str()).any(is_domain),
        _ => false,
    }
}

fn is_domain(node: &str) -> bool {
    let host = match node.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None if node.matches(':').count() > 1 => node,
        None => node.split(':').next().unwrap_or_default(),
    };
    host.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_told_from_addresses() {
        for (value, want) in [
            (json!({}), false),
            (json!({"nodes": {"127.0.0.1:80": 1}}), false),
            (json!({"nodes": {"127.0.0.1": 1, "a.test:80": 1}}), true),
            (json!({"upstream": {"nodes": [{"host": "::1"}, {"host": "[::1]"}]}}), false),
            (json!({"upstream": {"nodes": [{"host": "a.test"}]}}), true),
            (json!({"nodes": 7}), false),
        ] {
            assert_eq!(has_domain(&value), want, "{value}");
        }
    }
}
