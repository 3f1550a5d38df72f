use super::{HostPattern, Match, RouteQuery, UriPattern};
use crate::{shards::Shards, snapshot::CompiledRoute};
use model::vars::{ExprFault, Lookup};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

/// A route under one of its patterns.
#[derive(Clone)]
pub(super) struct Place {
    route: Arc<CompiledRoute>,
    uri: UriPattern,
    host: Host,
}

/// How a place came by its host.
#[derive(Clone)]
pub(super) enum Host {
    /// The table that it is in is of this host, or of all.
    Found(Option<Arc<str>>),
    /// It is a condition: one of these, any when there are none.
    OneOf(Arc<[HostPattern]>),
}

impl Place {
    pub(super) fn new(route: &Arc<CompiledRoute>, uri: &UriPattern, host: Host) -> Self {
        Self { route: route.clone(), uri: uri.clone(), host }
    }

    /// The host pattern that fits, `Some(None)` when any does.
    fn host(&self, query: &RouteQuery<'_>) -> Option<Option<Arc<str>>> {
        match &self.host {
            Host::Found(host) => Some(host.clone()),
            Host::OneOf(hosts) if hosts.is_empty() => Some(None),
            Host::OneOf(hosts) => hosts.iter().find(|host| host.fits(query)).map(|host| Some(host.text.clone())),
        }
    }
}

type Bucket = Arc<[Place]>;

/// Routes by path.
#[derive(Clone, Default)]
pub(super) struct Paths {
    exact: Shards<Bucket>,
    prefix: Shards<Bucket>,
    /// Lengths of the prefixes and how many have each.
    lengths: BTreeMap<usize, usize>,
}

impl Paths {
    pub(super) fn is_empty(&self) -> bool {
        self.exact.len() == 0 && self.prefix.len() == 0
    }

    /// The route of each place.
    pub(super) fn routes(&self) -> impl Iterator<Item = &Arc<CompiledRoute>> {
        let buckets = self.exact.iter().chain(self.prefix.iter());
        buckets.flat_map(|(_, bucket)| bucket.iter().map(|place| &place.route))
    }

    pub(super) fn insert(&mut self, place: Place) {
        let literal = place.uri.literal.clone();
        let table = if place.uri.is_prefix {
            if self.prefix.get(&literal).is_none() {
                *self.lengths.entry(literal.len()).or_default() += 1;
            }
            &mut self.prefix
        } else {
            &mut self.exact
        };
        let Some(bucket) = table.entry(&literal, || Arc::from([])) else { return };
        let mut places = bucket.to_vec();
        // Higher priority first, then the longer pattern, then who came first.
        let rank = |place: &Place| (Reverse(place.route.priority), Reverse(place.uri.text.len()), place.route.arrival);
        let at = places.partition_point(|have| rank(have) <= rank(&place));
        places.insert(at, place);
        *bucket = places.into();
    }

    pub(super) fn remove(&mut self, id: &str, uri: &UriPattern) {
        let table = if uri.is_prefix { &mut self.prefix } else { &mut self.exact };
        let Some(bucket) = table.get(&uri.literal) else { return };
        let left: Vec<Place> =
            bucket.iter().filter(|p| &*p.route.facts.id != id || p.uri.text != uri.text).cloned().collect();
        if !left.is_empty() {
            return table.insert(&uri.literal, left.into());
        }
        table.remove(&uri.literal);
        if uri.is_prefix
            && let Some(count) = self.lengths.get_mut(&uri.literal.len())
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&uri.literal.len());
            }
        }
    }

    pub(super) fn find(&self, query: &RouteQuery<'_>, vars: &dyn Lookup) -> Result<Option<Match>, ExprFault> {
        if let Some(bucket) = self.exact.get(query.path)
            && let Some(found) = first(bucket, query, vars)?
        {
            return Ok(Some(found));
        }
        for &length in self.lengths.range(..=query.path.len()).rev().map(|(length, _)| length) {
            if let Some(bucket) = query.path.get(..length).and_then(|prefix| self.prefix.get(prefix))
                && let Some(found) = first(bucket, query, vars)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn first(bucket: &Bucket, query: &RouteQuery<'_>, vars: &dyn Lookup) -> Result<Option<Match>, ExprFault> {
    for place in bucket.iter() {
        if !place.uri.fits(query.path) {
            continue;
        }
        let Some(host) = place.host(query) else { continue };
        if place.route.conditions.hold(query, vars)? {
            return Ok(Some(Match {
                route: place.route.clone(),
                uri: place.uri.text.clone(),
                parameters: place.uri.parameters(query.path),
                host,
            }));
        }
    }
    Ok(None)
}
