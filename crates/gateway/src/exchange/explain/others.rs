//! Why other routes are not chosen.

use super::Other;
use crate::{
    route::{HostPattern, Match, RouteQuery, RouteTable, UriPattern},
    snapshot::CompiledRoute,
};
use model::{settings::Router, vars::Lookup};
use std::cmp::Reverse;

/// Others that are shown.
const SHOWN: usize = 20;

/// How near a route comes to being chosen: greater is nearer. Host, exact path, length of what the path begins with, priority, length of
/// the pattern, and who came first.
type Rank = (usize, bool, usize, i64, usize, Reverse<u64>);

/// The routes whose path fits and that are not chosen, nearest first, and how many more there are.
pub(super) fn explain(
    table: &RouteTable,
    query: &RouteQuery<'_>,
    vars: &dyn Lookup,
    winner: Option<&Match>,
) -> (Vec<Other>, usize) {
    let won = winner.and_then(|found| {
        let uri = found.route.uris.iter().find(|uri| uri.text == found.uri)?;
        rank(&found.route, uri, table.router(), query).map(|rank| (rank, found))
    });
    let mut others: Vec<(Rank, Other)> = Vec::new();
    for route in table.all() {
        if winner.is_some_and(|found| found.route.facts.id == route.facts.id) {
            continue;
        }
        let Some(uri) = route.uris.iter().filter(|uri| uri.matches(query.path)).max_by_key(|uri| uri.reach()) else {
            continue;
        };
        let key = format!("/routes/{}", route.facts.id);
        let (rank, reason) = match rank(&route, uri, table.router(), query) {
            None => {
                let hosts: Vec<&str> = route.hosts.iter().map(|host| &**host).collect();
                let none = (0, false, uri.reach().1, route.priority, uri.text.len(), Reverse(route.arrival));
                (none, format!("its hosts are {}", hosts.join(", ")))
            }
            Some(rank) => {
                let broken = match route.conditions.broken(query, vars) {
                    Ok(broken) => broken,
                    Err(fault) => Some(format!("its condition cannot be evaluated: {fault}")),
                };
                let reason = broken.unwrap_or_else(|| match &won {
                    Some((first, found)) => behind(first, &rank, found),
                    None => "another route's condition could not be evaluated before".to_owned(),
                });
                (rank, reason)
            }
        };
        others.push((rank, Other { key, reason }));
    }
    others.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.key.cmp(&other.key)));
    let left_out = others.len().saturating_sub(SHOWN);
    (others.into_iter().take(SHOWN).map(|(_, other)| other).collect(), left_out)
}

/// `None` when its host does not fit.
fn rank(route: &CompiledRoute, uri: &UriPattern, router: Router, query: &RouteQuery<'_>) -> Option<Rank> {
    let host = match &route.hosts[..] {
        [] => 0,
        hosts => {
            let fitting = hosts.iter().filter(|host| HostPattern::new(host).fits(query));
            fitting.map(|host| if host.starts_with('*') { host.len() } else { usize::MAX }).max()?
        }
    };
    // Only the default router prefers a route for its host.
    let host = if router == Router::HostUri { host } else { 0 };
    let (is_exact, length) = uri.reach();
    Some((host, is_exact, length, route.priority, uri.text.len(), Reverse(route.arrival)))
}

/// Why a route whose conditions hold comes behind the one that is chosen.
fn behind(first: &Rank, rank: &Rank, winner: &Match) -> String {
    let by = if first.0 != rank.0 {
        "has the nearer host"
    } else if first.1 != rank.1 {
        "has exactly this path"
    } else if first.2 != rank.2 {
        "has the longer prefix of this path"
    } else if first.3 != rank.3 {
        "has the higher priority"
    } else if first.4 != rank.4 {
        "has the longer uri"
    } else {
        "was there first"
    };
    format!("it fits too, but /routes/{} {by}", winner.route.facts.id)
}
