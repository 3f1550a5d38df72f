//! What `apisix.yaml` and `apisix.json` declare: documents in lists, under the plural names of their kinds.

mod json_items;
mod pieces;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

pub use pieces::Known;

use crate::documents::{Key, KeyError, Kind};
use crate::yaml::{self, Item, MissingVariable, YamlError, substitute, substitute_values};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `apisix.yaml`, which has to end with `#END`.
    Yaml,
    /// `apisix.json`.
    Json,
}

/// What a file says.
#[derive(Default)]
#[allow(missing_debug_implementations)] // it may hold secrets
pub struct Contents {
    /// Its documents, in their order.
    pub documents: Vec<Declared>,
    /// The names under `plugins`: these plugins are enabled then, whatever `config.yaml` says.
    pub plugins: Option<Vec<String>>,
}

/// What a version of a file says.
#[allow(missing_debug_implementations)] // it may hold secrets
pub enum Version {
    /// All of it.
    Whole(Contents),
    /// What of it says something else than in the version that was read before. Nothing else changed: no document came, went,
    /// or stands in another place.
    Changed(Vec<Declared>),
}

/// A document that a file declares.
#[derive(Clone, PartialEq)]
#[allow(missing_debug_implementations)] // it may hold secrets
pub struct Declared {
    /// Its key; one without an id has its place in the list instead.
    pub key: Key,
    /// What was written, with its id, as JSON.
    pub text: Arc<str>,
    /// The line where it begins, from 1.
    pub line: usize,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// Why a file as a whole was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What is wrong on a line.
    #[error("line {line}: {reason}")]
    At {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It is not YAML.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// The mark of its end is missing, so it may have been written in part only.
    #[error("missing valid end flag: the last line must be #END")]
    NoEnd,
    /// It needs a variable of the environment that is not set.
    #[error(transparent)]
    MissingVariable(#[from] MissingVariable),
}

impl Declared {
    /// What was written, with its id.
    pub fn value(&self) -> Value {
        // It was written from a value.
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// Reads a file. A document that cannot be used is declared with its problem; a file that could be understood in two ways is
/// refused as a whole. With `is_lenient`, as in APISIX, sections of an unknown name are passed over and the last of
/// several documents with the same id counts.
pub fn read(
    text: &str,
    format: Format,
    is_lenient: bool,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Contents, Refused> {
    match read_again(text, format, is_lenient, env, &mut Known::default())? {
        Version::Whole(contents) => Ok(contents),
        Version::Changed(documents) => Ok(Contents { documents, plugins: None }),
    }
}

/// Like [`read`], of a file that was read before: what is as it was is not parsed again. `known` is of its last version.
pub fn read_again(
    text: &str,
    format: Format,
    is_lenient: bool,
    env: &dyn Fn(&str) -> Option<String>,
    known: &mut Known,
) -> Result<Version, Refused> {
    match format {
        Format::Yaml => {
            if !text.trim_end().ends_with("#END") {
                return Err(Refused::NoEnd);
            }
            let text = substitute(text, env)?;
            known.read(&text, is_lenient).unwrap_or_else(|| read_yaml(&text, is_lenient).map(Version::Whole))
        }
        Format::Json => read_json(text, is_lenient, env).map(Version::Whole),
    }
}

fn read_yaml(text: &str, is_lenient: bool) -> Result<Contents, Refused> {
    let mut reader = Reader { is_lenient, ..Reader::default() };
    let rest = yaml::parse_items(text, &mut |mut item| {
        fill_plugins(&mut item.value);
        reader.item(item);
    })?;
    reader.rest(rest);
    reader.finish()
}

fn read_json(text: &str, is_lenient: bool, env: &dyn Fn(&str) -> Option<String>) -> Result<Contents, Refused> {
    let mut reader = Reader { is_lenient, ..Reader::default() };
    let mut missing = None;
    let mut rest = json_items::parse(text, &mut |mut item| {
        missing = missing.take().or(substitute_values(&mut item.value, env).err());
        reader.item(item);
    })?;
    if let Some(missing) = missing {
        return Err(missing.into());
    }
    substitute_values(&mut rest, env)?;
    // In YAML nothing is a list of none, here it is nothing.
    if let Some(sections) = rest.as_object_mut().filter(|sections| sections.get(PLUGINS) == Some(&Value::Null)) {
        sections.shift_remove(PLUGINS);
    }
    reader.rest(rest);
    reader.finish()
}

/// In YAML a plugin without settings is a name with nothing behind it, which APISIX reads as an empty object.
pub fn fill_plugins(item: &mut Value) {
    let plugins = item.get_mut("plugins").and_then(Value::as_object_mut);
    for conf in plugins.into_iter().flat_map(Map::values_mut).filter(|conf| conf.is_null()) {
        *conf = Value::Object(Map::new());
    }
}

/// The document that an item of a section is: its key, and its value with the id in it. `index` is its place, from 1. `Err` is what
/// is wrong with an item that must not be used; it has a key nevertheless, unless it could have none.
pub fn declare(section: Kind, index: usize, value: &mut Value) -> (Option<Key>, Result<(), String>) {
    let positional = |reason: String| (Key::positional(section, index).ok(), Err(reason));
    let Value::Object(fields) = value else {
        return positional("invalid item, it should be an object".to_owned());
    };
    let text = |field: &str| match fields.get(field) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let id = match section {
        Kind::Consumer => match text("id") {
            Some(id) if id.contains("/credentials/") => Some(id),
            id => text("username").or(id),
        },
        _ => text("id"),
    };
    let Some(id) = id else {
        let Ok(key) = Key::positional(section, index) else { return (None, Err(format!("missing {section} id"))) };
        if takes_id(&key) {
            fields.insert("id".to_owned(), key.id().into());
        }
        return (Some(key), Ok(()));
    };
    let path = format!("/{}/{id}", section.collection());
    let is_below = matches!(section, Kind::Consumer | Kind::Secret);
    let key = match Key::parse(&path) {
        Ok(key) if is_below || key.id() == id => key,
        Ok(_) => return positional(KeyError::Id { kind: section, id }.to_string()),
        Err(error @ KeyError::Id { .. }) => return positional(error.to_string()),
        Err(_) => return positional(KeyError::Id { kind: section, id }.to_string()),
    };
    if takes_id(&key) {
        fields.insert("id".to_owned(), key.id().into());
    }
    (Some(key), Ok(()))
}

/// Consumers have a name instead, metadata the name of their plugin, and the ids of secrets name their manager, too.
fn takes_id(key: &Key) -> bool {
    !matches!(key.kind(), Kind::Consumer | Kind::PluginMetadata | Kind::Secret)
}

#[derive(Default)]
struct Reader {
    is_lenient: bool,
    contents: Contents,
    /// The place in `contents.documents` of each key.
    places: HashMap<Key, usize>,
    /// The section that is being read, and how many items it had.
    section: String,
    kind: Option<Kind>,
    items: usize,
    refused: Option<Refused>,
}

impl Reader {
    fn item(&mut self, item: Item) {
        if self.refused.is_some() {
            return;
        }
        let Item { section: name, line, mut value } = item;
        self.begin(&name);
        if self.section == PLUGINS {
            return self.plugin(line, &value);
        }
        let Some(kind) = self.kind else { return };
        let (key, checked) = declare(kind, self.items, &mut value);
        let Some(key) = key else {
            return self.refuse(line, checked.err().unwrap_or_default());
        };
        self.declare(Declared { key, text: value.to_string().into(), line, problem: checked.err() });
    }

    /// The next item is one of this section.
    fn begin(&mut self, name: &str) {
        if self.items == 0 || self.section != name {
            self.kind = section(name);
            name.clone_into(&mut self.section);
            self.items = 0;
        }
        self.items += 1;
    }

    fn declare(&mut self, declared: Declared) {
        let Some(&place) = self.places.get(&declared.key) else {
            self.places.insert(declared.key.clone(), self.contents.documents.len());
            return self.contents.documents.push(declared);
        };
        let Some(first) = self.contents.documents.get_mut(place) else { return };
        if self.is_lenient {
            *first = declared;
        } else {
            let (what, id, first) = (id_name(&declared.key), first_id(&declared.key), first.line);
            let reason = format!("found duplicate {what} {id} in {}, it is also on line {first}", self.section);
            self.refuse(declared.line, reason);
        }
    }

    /// An item of the list of enabled plugins. Those below HTTP are none of ours.
    fn plugin(&mut self, line: usize, item: &Value) {
        let name = item.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let is_stream = match item.get("stream") {
            None | Some(Value::Bool(false)) => Some(false),
            Some(Value::Bool(true)) => Some(true),
            Some(_) => None,
        };
        match (name, is_stream) {
            (Some(name), Some(is_stream)) => {
                let names = self.contents.plugins.get_or_insert_default();
                if !is_stream {
                    names.push(name.to_owned());
                }
            }
            _ => self.refuse(line, format!("{PLUGINS}: an item needs a name, and stream is true or false")),
        }
    }

    /// What was not handed out: empty lists, lists with anchors, and what is none.
    fn rest(&mut self, rest: Value) {
        let sections = match rest {
            Value::Null => return,
            Value::Object(sections) => sections,
            _ => return self.refuse(1, "the file must be a mapping of lists such as routes".to_owned()),
        };
        for (name, value) in sections {
            let is_version = name.strip_suffix("_conf_version").and_then(section).is_some();
            if is_version || name.starts_with("x-") {
                continue;
            }
            if name == PLUGINS {
                // Even a list of none is one.
                self.contents.plugins.get_or_insert_default();
            } else if section(&name).is_none() {
                if self.is_lenient {
                    continue;
                }
                return self.refuse(1, unknown(&name));
            }
            match value {
                Value::Null => {}
                Value::Array(items) => {
                    for value in items {
                        self.item(Item { section: name.clone(), line: 1, value });
                    }
                }
                _ => return self.refuse(1, format!("{name} must be a list")),
            }
        }
    }

    fn finish(self) -> Result<Contents, Refused> {
        match self.refused {
            Some(refused) => Err(refused),
            None => Ok(self.contents),
        }
    }

    fn refuse(&mut self, line: usize, reason: String) {
        self.refused.get_or_insert(Refused::At { line, reason });
    }
}

/// The section of the plugins that are enabled.
const PLUGINS: &str = "plugins";

/// The kind that a section declares.
pub fn section(name: &str) -> Option<Kind> {
    Kind::from_collection(name).filter(|kind| has_section(*kind))
}

/// Credentials are among the consumers, and what graph fields cost is known to the Admin API only.
fn has_section(kind: Kind) -> bool {
    !matches!(kind, Kind::Credential | Kind::CostDecoration)
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = Kind::ALL.into_iter().filter(|kind| has_section(*kind)).map(Kind::collection).collect();
    format!("unknown section \"{name}\": there are {}, {PLUGINS}, and what begins with x-", known.join(", "))
}

fn id_name(key: &Key) -> &'static str {
    match key.kind() {
        Kind::Consumer => "username",
        Kind::Credential => "credential id",
        _ => "id",
    }
}

fn first_id(key: &Key) -> String {
    match key.kind() {
        Kind::Credential => format!("{}/credentials/{}", key.parent().unwrap_or_default(), key.id()),
        Kind::Secret => format!("{}/{}", key.parent().unwrap_or_default(), key.id()),
        _ => key.id().to_owned(),
    }
}
