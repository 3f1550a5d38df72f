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

/// `tls.verify: false` of an upstream, or of health checks over HTTPS.
pub(super) fn of_upstream(document: &Document, found: &mut Vec<Finding>) {
    let at = if document.key.kind() == Kind::Upstream { "" } else { "/upstream" };
    let off = |path: &str| document.value.pointer(&format!("{at}{path}")) == Some(&Value::Bool(false));
    for path in ["/tls/verify", "/checks/active/https_verify_certificate"] {
        if off(path) {
            let message =
                "the nodes' certificates are not verified: whoever is on the way can read and answer; set it to true";
            found.push(Finding::new(RULE, document.key.path(), format!("{at}{path}"), message.to_owned()));
        }
    }
}
