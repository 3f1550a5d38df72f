//! YAML 1.1 as lyaml reads it, into JSON, within bounds.
//!
//! `yes`, `on`, `010` and `1:30` mean there what they meant in YAML 1.1; a configuration that was
//! written for APISIX must not change its meaning. Duplicate keys, several documents and numbers
//! without end are refused instead of being resolved in silence.

mod dump;
mod scalar;
mod substitute;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Value};

pub use dump::dump;
pub use substitute::{MissingVariable, substitute, substitute_values};

/// Deepest nesting of lists and mappings.
const DEPTH_LIMIT: usize = 64;

/// Most values of a document, those repeated by aliases included.
pub(crate) const NODE_LIMIT: usize = 4_000_000;

/// Most aliases of a document.
const ALIAS_LIMIT: usize = 10_000;

/// A document that was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct YamlError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

/// An item of a list that is the value of a key of the outermost mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The key.
    pub section: String,
    /// Where the item begins: the line, from 1.
    pub line: usize,
    /// The item.
    pub value: Value,
}

/// Reads one document; an empty text is `null`.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    build(text, None)
}

/// Reads one document and hands the items of its lists out one by one, so that they never exist all at once. What is left is the
/// outermost mapping with these lists empty. A list that has an anchor, or is an alias, stays in it.
pub fn parse_items(text: &str, take: &mut dyn FnMut(Item)) -> Result<Value, YamlError> {
    build(text, Some(take))
}

/// Reads one item of a section, and says how many values it has. Its line counts from 0. `None` when it is not one, or has
/// to do with others.
pub(crate) fn parse_piece(section: &str, piece: &str) -> Option<(Item, usize)> {
    let text = format!("{section}:\n{piece}");
    let mut items = Vec::new();
    let mut take = |item| items.push(item);
    let mut builder = Builder { take: Some(&mut take), ..Builder::default() };
    let mut parser = Parser::new_from_str(&text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.ok()?;
        builder.accept(event, span).ok()?;
    }
    let (nodes, has_anchors) = (builder.nodes, builder.aliases > 0 || !builder.anchors.is_empty());
    let root = builder.root?;
    let is_list = root.as_object()?.values().all(|list| list.as_array().is_some_and(Vec::is_empty));
    let item = items.pop().filter(|_| items.is_empty() && is_list && !has_anchors)?;
    Some((Item { line: item.line.checked_sub(2)?, ..item }, nodes))
}

fn build(text: &str, take: Option<&mut dyn FnMut(Item)>) -> Result<Value, YamlError> {
    let mut builder = Builder { take, ..Builder::default() };
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| refusal_of(&error))?;
        builder.accept(event, span)?;
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

#[derive(Default)]
struct Builder<'a> {
    take: Option<&'a mut dyn FnMut(Item)>,
    root: Option<Value>,
    documents: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    aliases: usize,
}

struct Anchored {
    value: Value,
    nodes: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    container: Container,
    anchor: usize,
    line: usize,
    /// The count of nodes when it was opened.
    nodes_before: usize,
}

enum Container {
    List(Vec<Value>),
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    entries: Map<String, Value>,
    merged: Vec<Map<String, Value>>,
    key: Option<Key>,
}

enum Key {
    Name(String),
    /// `<<`
    Merge,
}

impl Builder<'_> {
    fn accept(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let at = span.start;
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(refuse(at, "more than one document"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, at)?;
                if self.expects_key() {
                    return self.key(&text, style, anchor, tag.as_deref(), at);
                }
                let value = scalar::resolve(&text, style, tag.as_deref()).map_err(|reason| refuse(at, reason))?;
                self.complete(value, anchor, 1, at)?;
            }
            Event::SequenceStart(anchor, tag) => {
                scalar::check_collection_tag(tag.as_deref(), "seq").map_err(|reason| refuse(at, reason))?;
                self.begin(Container::List(Vec::new()), anchor, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                scalar::check_collection_tag(tag.as_deref(), "map").map_err(|reason| refuse(at, reason))?;
                self.begin(Container::Mapping(Mapping::default()), anchor, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let nodes = self.nodes - open.nodes_before;
                    self.complete_from(open.container.finish(), open.anchor, nodes, at, open.line)?;
                }
            }
            Event::Alias(anchor) => self.alias(anchor, at)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open { container: Container::Mapping(mapping), .. }) if mapping.key.is_none()
        )
    }

    fn count(&mut self, nodes: usize, at: Marker) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODE_LIMIT {
            return Err(refuse(at, "too many values"));
        }
        Ok(())
    }

    fn begin(&mut self, container: Container, anchor: usize, at: Marker) -> Result<(), YamlError> {
        if self.expects_key() {
            return Err(refuse(at, "a key must be a scalar"));
        }
        if self.open.len() >= DEPTH_LIMIT {
            return Err(refuse(at, "nested too deeply"));
        }
        let nodes_before = self.nodes;
        self.count(1, at)?;
        self.open.push(Open { container, anchor, line: at.line(), nodes_before });
        Ok(())
    }

    /// Keys are kept as written: `8080:` and `on:` are the names `8080` and `on`.
    fn key(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: Marker,
    ) -> Result<(), YamlError> {
        if anchor != 0 {
            let value = Value::String(text.to_owned());
            self.anchors.insert(anchor, Anchored { value, nodes: 1 });
        }
        let Some(Open { container: Container::Mapping(mapping), .. }) = self.open.last_mut() else {
            return Ok(());
        };
        if style == ScalarStyle::Plain && tag.is_none() && text == "<<" {
            mapping.key = Some(Key::Merge);
            return Ok(());
        }
        if mapping.entries.contains_key(text) {
            return Err(refuse(at, format!("duplicate key \"{text}\"")));
        }
        mapping.key = Some(Key::Name(text.to_owned()));
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Marker) -> Result<(), YamlError> {
        self.aliases += 1;
        if self.aliases > ALIAS_LIMIT {
            return Err(refuse(at, "too many aliases"));
        }
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(refuse(at, "alias of a value that is not complete"));
        };
        let nodes = anchored.nodes;
        if self.nodes.saturating_add(nodes) > NODE_LIMIT {
            return Err(refuse(at, "too many values"));
        }
        let value = anchored.value.clone();
        self.count(nodes, at)?;
        if self.expects_key() {
            return match value {
                Value::String(text) => self.key(&text, ScalarStyle::DoubleQuoted, 0, None, at),
                _ => Err(refuse(at, "a key must be a scalar")),
            };
        }
        if self.open.len() + depth(&value) > DEPTH_LIMIT {
            return Err(refuse(at, "nested too deeply"));
        }
        self.complete(value, 0, nodes, at)
    }

    fn complete(&mut self, value: Value, anchor: usize, nodes: usize, at: Marker) -> Result<(), YamlError> {
        self.complete_from(value, anchor, nodes, at, at.line())
    }

    /// Puts a finished value where it belongs; it began on `line`.
    fn complete_from(
        &mut self,
        value: Value,
        anchor: usize,
        nodes: usize,
        at: Marker,
        line: usize,
    ) -> Result<(), YamlError> {
        if anchor != 0 {
            // A copy for each anchor counts, so that nested anchors stay within the limit.
            self.count(nodes, at)?;
            let value = value.clone();
            self.anchors.insert(anchor, Anchored { value, nodes });
        }
        if let (Some(take), [outermost, list]) = (&mut self.take, self.open.as_slice())
            && let Container::Mapping(Mapping { key: Some(Key::Name(section)), .. }) = &outermost.container
            && let Container::List(_) = &list.container
            && list.anchor == 0
        {
            take(Item { section: section.clone(), line, value });
            return Ok(());
        }
        match self.open.last_mut().map(|open| &mut open.container) {
            None => self.root = Some(value),
            Some(Container::List(items)) => items.push(value),
            Some(Container::Mapping(mapping)) => match mapping.key.take() {
                Some(Key::Name(name)) => {
                    mapping.entries.insert(name, value);
                }
                Some(Key::Merge) => mapping.merge(value, at)?,
                None => return Err(refuse(at, "a key must be a scalar")),
            },
        }
        Ok(())
    }
}

impl Container {
    fn finish(self) -> Value {
        match self {
            Self::List(items) => Value::Array(items),
            Self::Mapping(mapping) => {
                let mut entries = mapping.entries;
                for (key, value) in mapping.merged.into_iter().flatten() {
                    entries.entry(key).or_insert(value);
                }
                Value::Object(entries)
            }
        }
    }
}

impl Mapping {
    /// `<<: *one` or `<<: [*one, *two]`; own keys win, then the earlier of the merged ones.
    fn merge(&mut self, value: Value, at: Marker) -> Result<(), YamlError> {
        let sources = match value {
            Value::Array(sources) => sources,
            source => vec![source],
        };
        for source in sources {
            match source {
                Value::Object(map) => self.merged.push(map),
                _ => return Err(refuse(at, "only mappings can be merged with \"<<\"")),
            }
        }
        Ok(())
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn refuse(at: Marker, reason: impl Into<String>) -> YamlError {
    YamlError { line: at.line(), column: at.col() + 1, reason: reason.into() }
}

fn refusal_of(error: &ScanError) -> YamlError {
    refuse(*error.marker(), error.info())
}
