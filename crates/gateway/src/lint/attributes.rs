//! Attributes that mean the same wherever they are.

use super::Finding;
use model::documents::{Document, Kind};
use serde_json::Value;

const RULE: &str = "unverified-tls";

/// `ssl_verify: false` and its relatives, unless the TLS that they are about is off.
pub(super) fn of_plugin(config: &Value, path: &str, found: &mut Vec<plugin::Finding>) {
    match config {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}/{name}");
                let switch = name.strip_suffix("_verify").map(|switch| fields.get(switch));
                let is_off = matches!(switch, Some(Some(Value::Bool(false))));
                if switch.is_some() && *value == Value::Bool(false) && !is_off {
                    let message = "the server's certificate is not verified: whoever is on the way can read and answer; set it to true";
                    found.push(plugin::Finding::at(RULE, path, message));
                    continue;
                }
                of_plugin(value, &path, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                of_plugin(item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Nodes over TLS whose certificates are not verified, by requests or by health checks. `verifies`: they are where nobody wrote
/// anything about it.
pub(super) fn of_upstream(document: &Document, verifies: bool, found: &mut Vec<Finding>) {
    let at = if document.key.kind() == Kind::Upstream { "" } else { "/upstream" };
    let written = |path: &str| document.value.pointer(&format!("{at}{path}"));
    let is_https = written("/scheme").and_then(Value::as_str) == Some("https");
    let is_checked_so = written("/checks/active/type").and_then(Value::as_str) == Some("https");
    let is_verified = |path: &str, default: bool| written(path).and_then(Value::as_bool).unwrap_or(default);
    for (path, is_on_the_way, default) in
        [("/tls/verify", is_https, verifies), ("/checks/active/https_verify_certificate", is_checked_so, true)]
    {
        if is_on_the_way && !is_verified(path, default) {
            let message =
                "the nodes' certificates are not verified: whoever is on the way can read and answer; set it to true";
            found.push(Finding::new(RULE, document.key.path(), format!("{at}{path}"), message.to_owned()));
        }
    }
}
