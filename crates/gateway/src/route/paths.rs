use super::{Match, RouteQuery};
use crate::{shards::Shards, snapshot::CompiledRoute};
use model::{
    pattern::{Case, Pattern},
    vars::{ExprFault, Lookup},
};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

/// A `uri` as compiled.
#[derive(Debug, Clone)]
pub struct UriPattern {
    /// As written.
    pub text: Arc<str>,
    /// What the path equals or begins with.
    literal: Box<[u8]>,
    is_prefix: bool,
    /// For `*` as a whole segment before the end: what the whole path matches.
    pattern: Option<Arc<Pattern>>,
}

impl UriPattern {
    /// Compiles a pattern: exact, or a prefix up to its first `*`.
    pub fn new(text: &str) -> Self {
        let (literal, rest) = match text.split_once('*') {
            Some((literal, rest)) => (literal, Some(rest)),
            None => (text, None),
        };
        let has_inner = rest.is_some_and(|rest| !rest.is_empty()) && text.split('/').any(|s| s.starts_with('*'));
        let pattern = has_inner.then(|| whole_path(text)).flatten().map(Arc::new);
        Self { text: text.into(), literal: literal.as_bytes().into(), is_prefix: rest.is_some(), pattern }
    }
}

/// `*` at a segment's start stands for anything, line ends included; everything else for itself.
fn whole_path(text: &str) -> Option<Pattern> {
    let segments: Vec<String> = text
        .split('/')
        .map(|segment| if segment.starts_with('*') { "(?:.|\\n)*".to_owned() } else { escape(segment) })
        .collect();
    Pattern::compile(&format!("\\A{}\\z", segments.join("/")), Case::Sensitive).ok()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() && c.is_ascii() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A route under one of its patterns.
#[derive(Clone)]
pub(super) struct Place {
    route: Arc<CompiledRoute>,
    uri: UriPattern,
    host: Option<Arc<str>>,
}

impl Place {
    pub(super) fn new(route: &Arc<CompiledRoute>, uri: &UriPattern, host: Option<Arc<str>>) -> Self {
        Self { route: route.clone(), uri: uri.clone(), host }
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
        if let Some(pattern) = &place.uri.pattern
            && !pattern.is_match(query.path).unwrap_or(false)
        {
            continue;
        }
        if place.route.conditions.hold(query, vars)? {
            return Ok(Some(Match {
                route: place.route.clone(),
                uri: place.uri.text.clone(),
                host: place.host.clone(),
            }));
        }
    }
    Ok(None)
}
