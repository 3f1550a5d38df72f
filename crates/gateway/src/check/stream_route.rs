//! Routes of connections below HTTP.

use model::documents::StreamRoute;

/// Checks what of a stream route is served below HTTP.
pub(super) fn check(route: &StreamRoute) -> Result<(), String> {
    // No plugin of this version runs there.
    if let Some(name) = route.plugins.keys().next() {
        return Err(format!("unknown plugin [{name}]"));
    }
    if let Some(protocol) = &route.protocol {
        return Err(format!("unknown protocol [{}]", protocol.name));
    }
    Ok(())
}
