//! `configs`: whole configurations that are sent, in APISIX's API-driven standalone mode. They are in memory only.

use crate::{
    Configuration, WriteError,
    errors::{Done, Refusal},
    validate,
};
use model::{
    declared::{self, declare},
    documents::{Key, Kind},
    yaml,
};
use plugin::Reply;
use serde_json::{Map, Number, Value};
use std::{
    collections::{BTreeMap, HashSet},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::Mutex;
use wire::{Fields, Method};

/// The largest configuration that is accepted.
pub(crate) const MAX_CONFIGURATION: usize = 128 << 20;

/// The sections that have versions, as in APISIX.
const SECTIONS: [&str; 13] = [
    "consumer_groups",
    "consumers",
    "global_rules",
    "plugin_configs",
    "plugin_metadata",
    "plugins",
    "protos",
    "routes",
    "secrets",
    "services",
    "ssls",
    "stream_routes",
    "upstreams",
];

const DIGEST: &str = "X-Digest";
const LAST_MODIFIED: &str = "X-Last-Modified";
const INDEX: &str = "modifiedIndex";

/// The configuration that was accepted last.
#[derive(Default)]
pub(crate) struct Pushed(Mutex<Option<Accepted>>);

#[derive(Clone)]
struct Accepted {
    /// As it is shown, with versions, digest and time.
    shown: Map<String, Value>,
    digest: Vec<u8>,
    modified: u64,
    sections: BTreeMap<&'static str, Section>,
}

/// A list of the configuration.
#[derive(Clone)]
struct Section {
    version: Number,
    /// As sent.
    items: Option<Value>,
    /// What is in force.
    documents: Vec<Document>,
}

#[derive(Clone)]
struct Document {
    key: Key,
    value: Value,
    /// One that comes with the same takes no effect.
    index: Value,
}

/// Whether there is such an operation.
pub(crate) fn is_routed(method: &Method, path: &str) -> bool {
    match path.strip_prefix("/apisix/admin/configs") {
        Some("") => matches!(method, Method::Get | Method::Put | Method::Head),
        Some("/validate") => *method == Method::Post,
        _ => false,
    }
}

impl Pushed {
    /// `GET`.
    pub(crate) async fn show(&self, fields: &Fields) -> Reply {
        let accepted = self.0.lock().await;
        let shown = match &*accepted {
            Some(accepted) => Value::Object(accepted.shown.clone()),
            None => Value::Object(SECTIONS.map(|name| (version_key(name), 0.into())).into_iter().collect()),
        };
        let wants_yaml = fields.get("accept").is_some_and(|accept| accept.starts_with(b"application/yaml"));
        let reply = if wants_yaml {
            Reply::text(200, yaml::dump(&shown).trim_end().to_owned()).with("Content-Type", b"application/yaml")
        } else {
            Reply::json(200, &shown).with("Content-Type", b"application/json")
        };
        tell(reply, accepted.as_ref())
    }

    /// `HEAD`.
    pub(crate) async fn head(&self) -> Reply {
        tell(Reply::text(200, ""), self.0.lock().await.as_ref())
    }

    /// `PUT`.
    pub(crate) async fn accept(
        &self,
        fields: &Fields,
        body: impl FnOnce() -> Result<Value, Refusal>,
        conf: &impl Configuration,
    ) -> Result<Reply, Refusal> {
        let digest = fields.get("x-digest").ok_or(Refusal::NoDigest)?;
        let Value::Object(body) = body()? else { return Err(Refusal::NotAnObject) };
        // One at a time: the versions of one are compared with those of the one before.
        let mut accepted = self.0.lock().await;
        if accepted.as_ref().is_some_and(|accepted| accepted.digest == digest) {
            return Ok(tell(Reply::text(204, ""), None));
        }
        check(&body, conf)?;
        let mut sections = BTreeMap::new();
        for name in SECTIONS {
            let before = accepted.as_ref().and_then(|accepted| accepted.sections.get(name));
            sections.insert(name, Section::read(name, &body, before)?);
        }
        let documents = sections.values().flat_map(|section| &section.documents);
        let documents = documents.map(|document| (document.key.clone(), document.value.clone())).collect();
        conf.replace(documents).await.map_err(|error| match error {
            WriteError::Refused(why) => Refusal::Invalid(why),
            WriteError::Conflict => Refusal::Changed,
            WriteError::Unavailable(why) => Refusal::Unavailable(why),
        })?;
        let modified = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let new = accepted.insert(Accepted::new(sections, digest, modified));
        Ok(tell(Reply::text(202, ""), Some(new)))
    }
}

impl Accepted {
    fn new(sections: BTreeMap<&'static str, Section>, digest: &[u8], modified: u64) -> Self {
        let mut shown = Map::new();
        for (name, section) in &sections {
            shown.insert(version_key(name), Value::Number(section.version.clone()));
            if let Some(items) = &section.items {
                shown.insert((*name).to_owned(), items.clone());
            }
        }
        shown.insert(DIGEST.to_owned(), String::from_utf8_lossy(digest).into());
        shown.insert(LAST_MODIFIED.to_owned(), modified.into());
        Self { shown, digest: digest.to_owned(), modified, sections }
    }
}

impl Section {
    /// The section of a new configuration. A version that is not higher leaves it as it was.
    fn read(name: &'static str, body: &Map<String, Value>, before: Option<&Self>) -> Result<Self, Refusal> {
        let known = before.map_or_else(|| Number::from(0), |before| before.version.clone());
        let version = match body.get(&version_key(name)) {
            None | Some(Value::Null) => next(&known),
            Some(Value::Number(version)) => version.clone(),
            Some(_) => return Err(Refusal::Invalid(format!("{} must be a number", version_key(name)))),
        };
        match version.as_f64().partial_cmp(&known.as_f64()) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => {
                let nothing = Self { version, items: None, documents: Vec::new() };
                return Ok(before.cloned().unwrap_or(nothing));
            }
            _ => {
                let why = format!("{} must be greater than or equal to ({known})", version_key(name));
                return Err(Refusal::Invalid(why));
            }
        }
        let items = body.get(name).filter(|items| items.as_array().is_some_and(|items| !items.is_empty())).cloned();
        let mut documents = Vec::new();
        let known: BTreeMap<&Key, &Document> =
            before.into_iter().flat_map(|before| &before.documents).map(|document| (&document.key, document)).collect();
        let mut seen = HashSet::new();
        let kind = declared::section(name);
        for (at, item) in items.iter().filter_map(Value::as_array).flatten().enumerate() {
            let Some(kind) = kind else { break };
            let (key, value, index) = document(kind, at + 1, item).map_err(Refusal::Invalid)?;
            if !seen.insert(key.clone()) {
                return Err(Refusal::Invalid(format!("found duplicate id {} in {name}", key.id())));
            }
            let index = index.unwrap_or_else(|| Value::Number(version.clone()));
            let is_kept = item.get(INDEX).is_some();
            documents.push(match known.get(&key) {
                Some(old) if is_kept && old.index == index => (*old).clone(),
                _ => Document { key, value, index },
            });
        }
        Ok(Self { version, items, documents })
    }
}

/// The document that an item is, and its `modifiedIndex`.
pub(crate) fn document(kind: Kind, index: usize, item: &Value) -> Result<(Key, Value, Option<Value>), String> {
    let mut value = item.clone();
    let modified = value.as_object_mut().and_then(|fields| fields.shift_remove(INDEX));
    if let Some(modified) = modified.as_ref().filter(|modified| !modified.is_i64() && !modified.is_u64()) {
        let got = model::schema::lua_type(modified);
        let why = format!("property \"{INDEX}\" validation failed: wrong type: expected integer, got {got}");
        return Err(format!("invalid configuration: {why}"));
    }
    let (key, usable) = declare(kind, index, &mut value);
    usable?;
    key.map(|key| (key, value, modified)).ok_or_else(|| format!("invalid {kind} id"))
}

/// Nothing of a configuration is passed over.
fn check(body: &Map<String, Value>, conf: &impl Configuration) -> Result<(), Refusal> {
    for (name, value) in body {
        let section = name.strip_suffix("_conf_version").unwrap_or(name);
        // A configuration as it was shown is one.
        let is_known = SECTIONS.contains(&section) || [DIGEST, LAST_MODIFIED].contains(&section);
        if !is_known {
            return Err(Refusal::Invalid(format!("unknown section {name}")));
        }
        if name == "plugins" && value.as_array().is_some_and(|items| !items.is_empty()) {
            let why = "plugins: the list of plugins is read from config.yaml only, set it there";
            return Err(Refusal::Invalid(why.to_owned()));
        }
        let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if SECTIONS.contains(&name.as_str()) && !value.is_array() && !is_empty {
            return Err(Refusal::Invalid(format!("{name} must be a list")));
        }
    }
    let mut wrong = validate::findings(body, true, conf).into_iter();
    wrong.next().map_or(Ok(()), |finding| Err(Refusal::Invalid(finding.short)))
}

/// `configs/validate`.
pub(crate) fn validated(body: &Value, conf: &impl Configuration) -> Result<Done, Refusal> {
    validate::all(body, true, conf)
}

fn version_key(name: &str) -> String {
    format!("{name}_conf_version")
}

fn next(version: &Number) -> Number {
    match version.as_i64() {
        Some(version) => version.saturating_add(1).into(),
        None => version.as_f64().and_then(|version| Number::from_f64(version + 1.0)).unwrap_or_else(|| 1.into()),
    }
}

fn tell(reply: Reply, accepted: Option<&Accepted>) -> Reply {
    let Some(accepted) = accepted else { return reply };
    reply.with(LAST_MODIFIED, accepted.modified.to_string().as_bytes()).with(DIGEST, &accepted.digest)
}
