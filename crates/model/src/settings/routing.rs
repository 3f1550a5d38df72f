//! How a request is matched.

use super::SettingsError;
use super::reader::Reader;

/// How routes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// The kind of table.
    pub router: Router,
    /// Whether one `/` at the end is ignored.
    pub delete_uri_tail_slash: bool,
    /// Whether paths are normalised as servlets do.
    pub normalize_uri_like_servlet: bool,
    /// Whether `%2F` stays encoded for matching.
    pub match_uri_encoded_slash: bool,
}

/// `apisix.router.http`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Router {
    /// First the host, then the path.
    #[default]
    HostUri,
    /// The path; the host is a condition.
    Uri,
    /// The path with `:parameters`.
    UriWithParameter,
}

impl Routing {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            router: read_router(reader)?,
            delete_uri_tail_slash: reader.take("apisix.delete_uri_tail_slash")?.unwrap_or(false),
            normalize_uri_like_servlet: reader.take("apisix.normalize_uri_like_servlet")?.unwrap_or(false),
            match_uri_encoded_slash: reader.take("apisix.match_uri_encoded_slash")?.unwrap_or(false),
        })
    }
}

fn read_router(reader: &Reader<'_>) -> Result<Router, SettingsError> {
    const PATH: &str = "apisix.router.http";
    let Some(value) = reader.raw(PATH)? else {
        return Ok(Router::default());
    };
    match value.as_str() {
        Some("radixtree_host_uri") => Ok(Router::HostUri),
        Some("radixtree_uri") => Ok(Router::Uri),
        Some("radixtree_uri_with_parameter") => Ok(Router::UriWithParameter),
        _ => {
            Err(SettingsError::wrong(PATH, "radixtree_host_uri, radixtree_uri or radixtree_uri_with_parameter", value))
        }
    }
}
