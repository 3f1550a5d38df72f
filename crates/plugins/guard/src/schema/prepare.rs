//! What is refused of a schema before it is compiled, and which draft it is of.

use super::keywords::{self, Era, Known, Shape};
use jsonschema::Draft;
use serde_json::Value;
use std::collections::HashSet;

/// Schemas nested deeper than this are refused.
const DEEPEST: usize = 64;

/// Longest chain of schemas that look at the same value.
const LONGEST: usize = 200;

/// What is wrong with a schema, at a JSON pointer into it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at \"{path}\"")]
pub(super) struct Refused {
    reason: String,
    path: String,
}

/// The draft that a schema is of.
///
/// # Errors
/// What would be ignored, or would never end.
pub(super) fn draft(source: &Value) -> Result<Draft, Refused> {
    let mut walk = Walk {
        named: named(source)?,
        new: None,
        old: None,
        depth: 0,
        places: Vec::new(),
        outside: None,
        has_ids: false,
    };
    walk.schema(source, "")?;
    if let Some(refused) = walk.outside.take().filter(|_| !walk.has_ids) {
        return Err(refused);
    }
    let era = match (walk.named, walk.new, walk.old) {
        (Some(era), ..) => era,
        (None, Some((new, path)), Some((old, _))) => {
            let reason = format!("\"{new}\" and \"{old}\" are of different drafts, say which with \"$schema\";");
            return Err(Refused { reason, path });
        }
        (None, Some(_), None) => Era::Y2020,
        // What schemas that were written for APISIX mean.
        (None, None, _) => Era::Seven,
    };
    let mut search = Search { root: source, above: Vec::new(), done: HashSet::new() };
    for path in &walk.places {
        search.visit(path)?;
    }
    Ok(match era {
        Era::Four => Draft::Draft4,
        Era::Six => Draft::Draft6,
        Era::Seven => Draft::Draft7,
        Era::Y2019 => Draft::Draft201909,
        Era::Y2020 => Draft::Draft202012,
    })
}

/// The draft that `$schema` names.
fn named(source: &Value) -> Result<Option<Era>, Refused> {
    let Some(name) = source.get("$schema") else { return Ok(None) };
    let text = name.as_str().unwrap_or_default().trim_end_matches('#');
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    Ok(Some(match bare {
        Some("json-schema.org/draft-04/schema") => Era::Four,
        Some("json-schema.org/draft-06/schema") => Era::Six,
        Some("json-schema.org/draft-07/schema") => Era::Seven,
        Some("json-schema.org/draft/2019-09/schema") => Era::Y2019,
        Some("json-schema.org/draft/2020-12/schema") => Era::Y2020,
        _ => return Err(Refused { reason: format!("{name} is no draft that is known"), path: "/$schema".to_owned() }),
    }))
}

struct Walk {
    /// What `$schema` says.
    named: Option<Era>,
    /// The first keyword that only newer drafts have, and where it is.
    new: Option<(String, String)>,
    /// The first that only older ones have.
    old: Option<(String, String)>,
    depth: usize,
    /// Where schemas are.
    places: Vec<String>,
    /// A reference that leads out, unless a part of the schema has that name.
    outside: Option<Refused>,
    /// Whether parts have names of their own.
    has_ids: bool,
}

impl Walk {
    fn schema(&mut self, source: &Value, path: &str) -> Result<(), Refused> {
        let refused = |reason: &str| Refused { reason: reason.to_owned(), path: path.to_owned() };
        let fields = match source {
            Value::Bool(_) => return Ok(()),
            Value::Object(fields) => fields,
            _ => return Err(refused("a schema is an object or a boolean, which is not what there is")),
        };
        if self.depth >= DEEPEST {
            return Err(refused("the schema is nested too deeply"));
        }
        self.depth += 1;
        self.places.push(path.to_owned());
        let mut checking = None;
        for (name, value) in fields {
            let at = format!("{path}/{}", escape(name));
            let Some(known) = keywords::find(name) else {
                if name.starts_with("x-") {
                    continue;
                }
                let reason = format!("\"{name}\" is no keyword that is known, and would not be checked;");
                return Err(Refused { reason, path: at });
            };
            if !known.describes && name != "$ref" {
                checking = Some(name);
            }
            self.references(name, value, &at);
            self.date(known, value, &at)?;
            self.parts(known, value, &at)?;
        }
        let is_old = self.named.is_none_or(|era| era <= Era::Seven);
        if let Some(name) = checking.filter(|_| is_old && fields.contains_key("$ref")) {
            return Err(refused(&format!(
                "beside \"$ref\" \"{name}\" is not checked before draft 2019-09; put both into an \"allOf\";"
            )));
        }
        self.depth -= 1;
        Ok(())
    }

    fn references(&mut self, name: &str, value: &Value, at: &str) {
        let text = value.as_str().unwrap_or_default();
        self.has_ids |= matches!(name, "$id" | "id") && !text.starts_with('#');
        let is_reference = matches!(name, "$ref" | "$dynamicRef" | "$recursiveRef") && value.is_string();
        let is_known = text.starts_with('#')
            || text.split_once("://").is_some_and(|(_, rest)| rest.starts_with("json-schema.org/"));
        if is_reference && !is_known && self.outside.is_none() {
            let reason = format!(
                "the reference {value} leads out of the schema, and nothing is fetched: put what it leads to under \"definitions\", and refer to it there;"
            );
            self.outside = Some(Refused { reason, path: at.to_owned() });
        }
    }

    /// The schemas in a keyword. What has a wrong form is refused by the draft's own schema.
    fn parts(&mut self, known: &Known, value: &Value, at: &str) -> Result<(), Refused> {
        match (known.shape, value) {
            (Shape::Schema, schema) => self.schema(schema, at),
            (Shape::SchemaOrList, Value::Object(_) | Value::Bool(_)) => self.schema(value, at),
            (Shape::List | Shape::SchemaOrList, Value::Array(list)) => {
                list.iter().enumerate().try_for_each(|(index, item)| self.schema(item, &format!("{at}/{index}")))
            }
            (Shape::Map, Value::Object(fields)) => {
                let is_names = |field: &Value| known.name == "dependencies" && field.is_array();
                let mut schemas = fields.iter().filter(|(_, field)| !is_names(field));
                schemas.try_for_each(|(name, field)| self.schema(field, &format!("{at}/{}", escape(name))))
            }
            _ => Ok(()),
        }
    }

    /// Notes of which drafts a keyword is, and refuses one that the named draft does not have and would ignore.
    fn date(&mut self, known: &Known, value: &Value, at: &str) -> Result<(), Refused> {
        if known.describes {
            return Ok(());
        }
        let is_old_list = known.name == "items" && value.is_array();
        let is_old_flag = matches!(known.name, "exclusiveMinimum" | "exclusiveMaximum") && value.is_boolean();
        let (first, last) = match known.eras {
            (first, _) if is_old_flag => (first, Era::Four),
            (first, _) if is_old_list => (first, Era::Y2019),
            eras => eras,
        };
        let place = || Some((known.name.to_owned(), at.to_owned()));
        match self.named {
            Some(era) if era < first || last < era => {
                let reason =
                    format!("\"{}\" is not of the draft that \"$schema\" names, and would not be checked;", known.name);
                return Err(Refused { reason, path: at.to_owned() });
            }
            Some(_) => {}
            None if is_old_flag => {
                let reason = format!("a boolean \"{}\" is of draft 4, say so with \"$schema\";", known.name);
                return Err(Refused { reason, path: at.to_owned() });
            }
            None => {
                if first >= Era::Y2019 {
                    self.new = self.new.take().or_else(place);
                }
                if last <= Era::Y2019 {
                    self.old = self.old.take().or_else(place);
                }
            }
        }
        Ok(())
    }
}

/// Looks for a schema that comes back to itself without having looked at a part of the value.
struct Search<'a> {
    root: &'a Value,
    above: Vec<String>,
    done: HashSet<String>,
}

impl Search<'_> {
    fn visit(&mut self, path: &str) -> Result<(), Refused> {
        let refused = |reason: &str| Err(Refused { reason: reason.to_owned(), path: path.to_owned() });
        if self.above.iter().any(|one| one == path) {
            return refused("the schema refers to itself without an end");
        }
        let Some(Value::Object(fields)) = self.root.pointer(path) else { return Ok(()) };
        if self.done.contains(path) {
            return Ok(());
        }
        if self.above.len() >= LONGEST {
            return refused("too many schemas lead to each other");
        }
        self.above.push(path.to_owned());
        if let Some(pointer) =
            fields.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'))
        {
            let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
            self.visit(&pointer)?;
        }
        for (name, value) in fields {
            let Some(known) = keywords::find(name).filter(|known| known.is_in_place) else { continue };
            let at = format!("{path}/{}", escape(name));
            match value {
                Value::Array(list) => {
                    for index in 0..list.len() {
                        self.visit(&format!("{at}/{index}"))?;
                    }
                }
                Value::Object(fields) if known.shape == Shape::Map => {
                    for name in fields.keys() {
                        self.visit(&format!("{at}/{}", escape(name)))?;
                    }
                }
                _ => self.visit(&at)?,
            }
        }
        self.above.pop();
        self.done.insert(path.to_owned());
        Ok(())
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
