//! Documents as the control API shows them.

use model::documents::Document;
use serde_json::{Value, json};
use std::net::IpAddr;

/// One item of `/v1/routes` and its like.
pub(crate) fn item(document: &Document, mut value: Value, prefix: &str) -> Value {
    let has_domain = has_domain(&value);
    spread(&mut value);
    json!({
        "key": format!("{prefix}{}", document.key),
        "has_domain": has_domain,
        "value": value,
        "createdIndex": document.created,
        "modifiedIndex": document.modified,
    })
}

/// Nodes that are written as an object, as the list that they mean.
fn spread(value: &mut Value) {
    let nodes = match value.get("nodes") {
        Some(_) => value.get_mut("nodes"),
        None => value.pointer_mut("/upstream/nodes"),
    };
    let Some(nodes) = nodes else { return };
    let Value::Object(weights) = nodes else { return };
    let list = weights.iter().map(|(address, weight)| {
        let (host, port) = model::documents::split_address(address);
        let mut node = json!({ "host": host, "weight": weight });
        if let (Some(port), Value::Object(node)) = (port.filter(|port| port.fract() == 0.0), &mut node) {
            node.insert("port".to_owned(), json!(port as u64));
        }
        node
    });
    *nodes = list.collect();
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
    fn nodes_are_a_list() {
        for (value, want) in [
            (
                json!({"nodes": {"127.0.0.1:80": 1, "a.test": 0, "[::1]:8080": 3}}),
                json!({"nodes": [
                    {"host": "127.0.0.1", "weight": 1, "port": 80},
                    {"host": "a.test", "weight": 0},
                    {"host": "[::1]", "weight": 3, "port": 8080},
                ]}),
            ),
            (json!({"upstream": {"nodes": {}}}), json!({"upstream": {"nodes": []}})),
            (json!({"upstream": {"nodes": [{"host": "a"}]}}), json!({"upstream": {"nodes": [{"host": "a"}]}})),
            (json!({"uri": "/"}), json!({"uri": "/"})),
        ] {
            let mut got = value;
            spread(&mut got);
            assert_eq!(got, want);
        }
    }

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
