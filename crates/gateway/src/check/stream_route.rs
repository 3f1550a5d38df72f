//! Routes of connections below HTTP.

use super::text;
use model::documents::StreamRoute;
use serde_json::Value;

/// Checks a stream route by itself.
pub(super) fn check(value: &Value) -> Result<(), String> {
    let route = StreamRoute::parse(value).map_err(text)?;
    // No plugin of this version runs below HTTP.
    if let Some(name) = route.plugins.keys().next() {
        return Err(format!("unknown plugin [{name}]"));
    }
    if let Some(protocol) = &route.protocol {
        return Err(format!("unknown protocol [{}]", protocol.name));
    }
    Ok(())
}
