//! What the Admin API lets each kind of document do.

use model::documents::Kind;
use wire::Method;

/// Whether a kind has the method, of those that the API routes at all.
pub(crate) fn supports(kind: Kind, method: &Method) -> bool {
    match method {
        Method::Post => matches!(
            kind,
            Kind::Route
                | Kind::Service
                | Kind::Upstream
                | Kind::Ssl
                | Kind::Proto
                | Kind::StreamRoute
                | Kind::CostDecoration
        ),
        Method::Patch => {
            !matches!(kind, Kind::Consumer | Kind::Credential | Kind::PluginMetadata | Kind::Proto | Kind::StreamRoute)
        }
        _ => true,
    }
}

/// Whether APISIX answers an empty list; where not, an empty list is "Key not found".
pub(crate) fn may_be_empty(kind: Kind) -> bool {
    !matches!(kind, Kind::Credential | Kind::CostDecoration)
}

/// The fields that `filter=` accepts.
pub(crate) fn filters(kind: Kind) -> &'static [&'static str] {
    if matches!(kind, Kind::Route | Kind::StreamRoute) { &["service_id", "upstream_id"] } else { &[] }
}
