//! From method, host, path, address and variables to a route, as APISIX's three routers decide.

mod condition;
mod host;
mod paths;
mod pattern;
#[cfg(test)]
mod tests;

pub use condition::Conditions;
pub(crate) use condition::network;
pub(crate) use host::HostPattern;
pub use pattern::UriPattern;

use crate::{shards::Shards, snapshot::CompiledRoute};
use model::{
    settings::Router,
    vars::{BodyNeed, ExprFault, Lookup},
};
use paths::{Host, Paths, Place};
use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// What of a request decides about its route, besides variables.
#[derive(Debug, Clone, Copy)]
pub struct RouteQuery<'a> {
    /// The method.
    pub method: &'a str,
    /// The host in lower case, without port.
    pub host: &'a str,
    /// The host as received, with its port if it had one.
    pub authority: &'a [u8],
    /// The normalised path.
    pub path: &'a [u8],
    /// The client's address.
    pub client: IpAddr,
}

/// The route that won.
#[allow(missing_debug_implementations)]
pub struct Match {
    /// The route.
    pub route: Arc<CompiledRoute>,
    /// The pattern of its that matched.
    pub uri: Arc<str>,
    /// The host pattern of its that matched.
    pub host: Option<Arc<str>>,
    /// The parameters in the path.
    pub parameters: Vec<(Arc<str>, Vec<u8>)>,
}

/// All routes.
///
/// For `radixtree_host_uri`: exact hosts first, then wildcards from the longest to the shortest, then the routes without a host; inside each,
/// exact paths, then prefixes from the longest to the shortest. A table in which no route's conditions hold gives way to the next.
/// For the other two routers all routes are in one table, and the host is a condition.
#[derive(Clone, Default)]
#[allow(missing_debug_implementations)]
pub struct RouteTable {
    router: Router,
    exact_hosts: Shards<Arc<Paths>>,
    wildcards: Shards<Arc<Paths>>,
    /// Lengths of the wildcards' suffixes and how many have each.
    suffix_lengths: BTreeMap<usize, usize>,
    hostless: Arc<Paths>,
    /// Routes whose conditions look into arguments in the body.
    argument_readers: usize,
    /// Routes whose conditions look into GraphQL.
    graphql_readers: usize,
}

impl RouteTable {
    /// An empty table.
    pub fn new(router: Router) -> Self {
        Self { router, ..Self::default() }
    }

    /// Which router it is.
    pub fn router(&self) -> Router {
        self.router
    }

    /// Puts a route in all its places.
    pub fn insert(&mut self, route: &Arc<CompiledRoute>) {
        let need = route.conditions.body_need();
        self.argument_readers += usize::from(need.arguments);
        self.graphql_readers += usize::from(need.graphql);
        if self.router != Router::HostUri {
            let hosts: Arc<[HostPattern]> = route.hosts.iter().map(HostPattern::new).collect();
            for uri in &route.uris {
                Arc::make_mut(&mut self.hostless).insert(Place::new(route, uri, Host::OneOf(hosts.clone())));
            }
            return;
        }
        for uri in &route.uris {
            if route.hosts.is_empty() {
                Arc::make_mut(&mut self.hostless).insert(Place::new(route, uri, Host::Found(None)));
            }
            for host in &route.hosts {
                let place = Place::new(route, uri, Host::Found(Some(host.clone())));
                let folded = host.to_ascii_lowercase();
                let table = match folded.strip_prefix('*') {
                    Some(suffix) => {
                        if self.wildcards.get(suffix.as_bytes()).is_none() {
                            *self.suffix_lengths.entry(suffix.len()).or_default() += 1;
                        }
                        self.wildcards.entry(suffix.as_bytes(), Arc::default)
                    }
                    None => self.exact_hosts.entry(folded.as_bytes(), Arc::default),
                };
                if let Some(table) = table {
                    Arc::make_mut(table).insert(place);
                }
            }
        }
    }

    /// Takes a route out of all its places.
    pub fn remove(&mut self, route: &CompiledRoute) {
        let need = route.conditions.body_need();
        self.argument_readers -= usize::from(need.arguments);
        self.graphql_readers -= usize::from(need.graphql);
        for uri in &route.uris {
            if self.router != Router::HostUri || route.hosts.is_empty() {
                Arc::make_mut(&mut self.hostless).remove(&route.facts.id, uri);
                continue;
            }
            for host in &route.hosts {
                let folded = host.to_ascii_lowercase();
                let (tables, key) = match folded.strip_prefix('*') {
                    Some(suffix) => (&mut self.wildcards, suffix),
                    None => (&mut self.exact_hosts, &*folded),
                };
                if tables.get(key.as_bytes()).is_none() {
                    continue;
                }
                let is_empty = tables.entry(key.as_bytes(), Arc::default).is_some_and(|table| {
                    let table = Arc::make_mut(table);
                    table.remove(&route.facts.id, uri);
                    table.is_empty()
                });
                if is_empty {
                    tables.remove(key.as_bytes());
                    if folded.starts_with('*')
                        && let Some(count) = self.suffix_lengths.get_mut(&key.len())
                    {
                        *count -= 1;
                        if *count == 0 {
                            self.suffix_lengths.remove(&key.len());
                        }
                    }
                }
            }
        }
    }

    /// Every route, each once. Costs as much as there are places of routes.
    pub(crate) fn all(&self) -> Vec<Arc<CompiledRoute>> {
        let tables = self.exact_hosts.iter().chain(self.wildcards.iter()).map(|(_, table)| table);
        let places = tables.chain([&self.hostless]).flat_map(|table| table.routes());
        let mut seen = HashSet::new();
        places.filter(|route| seen.insert(Arc::as_ptr(route))).cloned().collect()
    }

    /// What any route looks into before it is chosen.
    pub fn body_need(&self) -> BodyNeed {
        BodyNeed { arguments: self.argument_readers > 0, graphql: self.graphql_readers > 0 }
    }

    /// The route for a request.
    ///
    /// # Errors
    /// A condition could not be evaluated within its bounds: the request is refused, not sent to a less protected route.
    pub fn find(&self, query: &RouteQuery<'_>, vars: &dyn Lookup) -> Result<Option<Match>, ExprFault> {
        if self.router != Router::HostUri {
            return self.hostless.find(query, vars);
        }
        let host = query.host.as_bytes();
        if !host.is_empty()
            && let Some(table) = self.exact_hosts.get(host)
            && let Some(found) = table.find(query, vars)?
        {
            return Ok(Some(found));
        }
        for &length in self.suffix_lengths.keys().rev() {
            if let Some(suffix) = host.len().checked_sub(length).and_then(|at| host.get(at..))
                && let Some(table) = self.wildcards.get(suffix)
                && let Some(found) = table.find(query, vars)?
            {
                return Ok(Some(found));
            }
        }
        self.hostless.find(query, vars)
    }
}
