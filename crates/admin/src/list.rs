//! Filters and pages of a list.

use crate::{
    errors::{Refusal, Shown},
    kinds,
    query::Query,
};
use model::documents::Kind;
use model::pattern::{Case, Pattern};
use serde_json::Value;
use std::ops::Range;

/// The part of `all` that the query asks for, and how many passed its filters.
pub(crate) fn select(kind: Kind, mut all: Vec<Shown>, query: &Query) -> Result<(Vec<Shown>, usize), Refusal> {
    let name = query.first("name").map(pattern);
    let uri = query.first("uri").map(pattern);
    let label = query.first("label");
    let filter = query.first("filter").map(|filter| Query::parse(filter.as_bytes()));
    all.retain(|shown| {
        let value = &shown.value;
        let is_named = name.as_ref().is_none_or(|pattern| is_found(pattern, value.get("name")));
        let has_uri = uri.as_ref().is_none_or(|pattern| {
            let uris = value.get("uris").and_then(Value::as_array).into_iter().flatten();
            value.get("uri").into_iter().chain(uris).any(|uri| is_found(pattern, Some(uri)))
        });
        let has_label = label.is_none_or(|label| value.get("labels").is_some_and(|all| all.get(label).is_some()));
        let passes = filter.as_ref().is_none_or(|filter| {
            let asked = kinds::filters(kind).iter().filter_map(|&name| Some((name, filter.last(name)?)));
            asked.into_iter().all(|(name, wanted)| value.get(name).and_then(Value::as_str) == Some(wanted))
        });
        is_named && has_uri && has_label && passes
    });
    all.sort_by_key(|shown| shown.indexes);
    let total = all.len();
    match page(query)? {
        Some(range) => Ok((all.into_iter().skip(range.start).take(range.len()).collect(), total)),
        None => Ok((all, total)),
    }
}

/// The page that is asked for, if it is one of the whole list.
pub(crate) fn unfiltered_page(query: &Query) -> Option<Range<usize>> {
    let is_filtered = ["name", "uri", "label", "filter"].iter().any(|name| query.first(name).is_some());
    page(query).ok().flatten().filter(|_| !is_filtered)
}

fn page(query: &Query) -> Result<Option<Range<usize>>, Refusal> {
    let (Some(page), Some(size)) = (number(query, "page"), number(query, "page_size")) else { return Ok(None) };
    if !(10.0..=500.0).contains(&size) {
        return Err(Refusal::PageSize);
    }
    // Both are bounded below and casts saturate, so that a huge page is an empty one.
    let (page, size) = (page.max(1.0) as usize, size as usize);
    let start = (page - 1).saturating_mul(size);
    Ok(Some(start..start.saturating_add(size)))
}

fn number(query: &Query, name: &str) -> Option<f64> {
    query.first(name).and_then(|text| text.trim().parse::<f64>().ok()).filter(|number| !number.is_nan())
}

/// `None` when it is no pattern: nothing matches then.
fn pattern(text: &str) -> Option<Pattern> {
    Pattern::compile(text, Case::Sensitive).ok()
}

fn is_found(pattern: &Option<Pattern>, text: Option<&Value>) -> bool {
    match (pattern, text.and_then(Value::as_str)) {
        (Some(pattern), Some(text)) => pattern.is_match(text.as_bytes()).unwrap_or(false),
        _ => false,
    }
}
