//! What the Admin API lets each kind of document do.

use model::documents::Kind;
use wire::Method;

/// The kinds that it serves.
const SERVED: [Kind; 9] = [
    Kind::Route,
    Kind::Service,
    Kind::Upstream,
    Kind::Consumer,
    Kind::Credential,
    Kind::ConsumerGroup,
    Kind::GlobalRule,
    Kind::PluginConfig,
    Kind::PluginMetadata,
];

/// The kind of a path segment.
pub(crate) fn named(name: &str) -> Option<Kind> {
    Kind::from_collection(name).filter(|kind| SERVED.contains(kind))
}

/// Whether a kind has the method, of those that the API routes at all.
pub(crate) fn supports(kind: Kind, method: &Method) -> bool {
    match method {
        Method::Post => matches!(kind, Kind::Route | Kind::Service | Kind::Upstream),
        Method::Patch => !matches!(kind, Kind::Consumer | Kind::Credential | Kind::PluginMetadata),
        _ => true,
    }
}

/// Whether APISIX answers an empty list; where not, an empty list is "Key not found".
pub(crate) fn may_be_empty(kind: Kind) -> bool {
    kind != Kind::Credential
}

/// The fields that `filter=` accepts.
pub(crate) fn filters(kind: Kind) -> &'static [&'static str] {
    if kind == Kind::Route { &["service_id", "upstream_id"] } else { &[] }
}
