//! Fields that no part of a schema declares: most often a typing mistake in a field that would protect something.

use serde_json::Value;

use super::node::{Additional, Items, Node, NodeId};
use crate::json::prepend;

/// Values nested deeper than this are not looked at.
const DEEPEST: usize = 128;

/// A field that is written but means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// JSON pointer of the field.
    pub path: String,
    /// Its name.
    pub name: String,
    /// A declared name that is nearly the same.
    pub suggestion: Option<String>,
}

pub(super) fn find(nodes: &[Node], value: &Value) -> Vec<UnknownField> {
    fields(&Search { nodes }, &[0], value, 0)
}

struct Search<'a> {
    nodes: &'a [Node],
}

impl<'a> Search<'a> {
    /// `ids` and every subschema that applies to the same value.
    fn expand(&self, ids: &[NodeId]) -> Vec<&'a Node> {
        let mut pending = ids.to_vec();
        let mut seen = Vec::new();
        let mut found = Vec::new();
        while let Some(id) = pending.pop() {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            if let Some(node) = self.nodes.get(id) {
                pending.extend(node.same_value());
                found.push(node);
            }
        }
        found
    }
}

fn fields(search: &Search<'_>, ids: &[NodeId], value: &Value, depth: usize) -> Vec<UnknownField> {
    if ids.is_empty() || depth >= DEEPEST {
        return Vec::new();
    }
    let nodes = search.expand(ids);
    let mut unknown = Vec::new();
    match value {
        Value::Object(object) => {
            let declared: Vec<&str> = declared(&nodes);
            let is_declared = nodes.iter().any(|node| node.object.as_deref().is_some_and(|object| object.is_declared));
            let open = !is_declared || nodes.iter().any(|node| is_open(node));
            for (name, field) in object {
                let inner = field_schemas(&nodes, name);
                if !open && !declared.contains(&name.as_str()) {
                    let suggestion = nearest(name, &declared);
                    unknown.push(UnknownField { path: prepend("", name), name: name.clone(), suggestion });
                }
                unknown.extend(within(fields(search, &inner, field, depth + 1), name));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let inner = item_schemas(&nodes, index);
                unknown.extend(within(fields(search, &inner, item, depth + 1), &index.to_string()));
            }
        }
        _ => {}
    }
    unknown
}

fn within(found: Vec<UnknownField>, segment: &str) -> impl Iterator<Item = UnknownField> {
    found.into_iter().map(move |field| UnknownField { path: prepend(&field.path, segment), ..field })
}

fn declared<'a>(nodes: &[&'a Node]) -> Vec<&'a str> {
    let objects = nodes.iter().filter_map(|node| node.object.as_deref());
    objects.flat_map(|object| object.properties.iter().map(|property| property.name.as_str())).collect()
}

fn is_open(node: &Node) -> bool {
    node.object.as_deref().is_some_and(|object| {
        !object.patterns.is_empty() || matches!(object.additional, Additional::Any | Additional::Schema(_))
    })
}

fn field_schemas(nodes: &[&Node], name: &str) -> Vec<NodeId> {
    let mut ids = Vec::new();
    for object in nodes.iter().filter_map(|node| node.object.as_deref()) {
        let before = ids.len();
        ids.extend(object.properties.iter().filter(|property| property.name == name).map(|property| property.node));
        ids.extend(object.patterns.iter().filter(|(pattern, _)| pattern.is_match(name) == Ok(true)).map(|(_, id)| *id));
        if ids.len() == before {
            ids.extend(object.additional.schema());
        }
    }
    ids
}

fn item_schemas(nodes: &[&Node], index: usize) -> Vec<NodeId> {
    let arrays = nodes.iter().filter_map(|node| node.array.as_deref());
    arrays
        .filter_map(|array| match &array.items {
            Items::Each(id) => Some(*id),
            Items::Tuple { items, additional } => items.get(index).copied().or(additional.schema()),
            Items::Any | Items::Forbidden => None,
        })
        .collect()
}

/// The declared name closest to `name`, when only a slip apart.
fn nearest(name: &str, declared: &[&str]) -> Option<String> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let slips = |known: &str| if known.chars().count() <= 4 { 1 } else { 2 };
    let close = declared.iter().filter(|known| known.len() <= LONGEST);
    close
        .map(|known| (distance(name, known), *known))
        .filter(|(distance, known)| *distance <= slips(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.to_owned())
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`; letters match in any case.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = at(&above, j) + usize::from(x != y);
            let mut best = replaced.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}
