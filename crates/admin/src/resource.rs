//! One set of operations for every collection.

use crate::{
    configuration::{Change, Configuration, Expected, WriteError},
    errors::{Done, Refusal, Shown},
    kinds, list, patch,
    query::Query,
};
use model::{
    documents::{self, Document, Key, Kind},
    json,
    schema::lua_type,
};
use serde_json::{Map, Value};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::Method;

/// A request for a collection.
pub(crate) struct Operation<'a> {
    /// The kind.
    pub(crate) kind: Kind,
    /// The consumer of a credential, the service of a cost decoration, the manager of a secret.
    pub(crate) parent: Option<&'a str>,
    /// The id in the path.
    pub(crate) id: Option<&'a str>,
    /// The path below the id.
    pub(crate) sub_path: &'a [&'a str],
    /// The body; `None` when there was none.
    pub(crate) body: Option<Value>,
    /// The query.
    pub(crate) query: &'a Query,
    /// What the store puts in front of every key, such as `/apisix`.
    pub(crate) prefix: &'a str,
    /// Whether lists are filtered and come in pages, as `v3` has it.
    pub(crate) is_v3: bool,
}

impl Operation<'_> {
    pub(crate) async fn run(self, method: &Method, conf: &impl Configuration) -> Result<Done, Refusal> {
        if !kinds::supports(self.kind, method) {
            return Err(Refusal::MethodNotSupported(method.clone(), self.kind));
        }
        match method {
            Method::Get => self.read(conf),
            Method::Put => self.put(conf).await,
            Method::Post => self.post(conf).await,
            Method::Patch => self.patch(conf).await,
            Method::Delete => self.delete(conf).await,
            _ => Err(Refusal::NotRouted),
        }
    }

    fn read(self, conf: &impl Configuration) -> Result<Done, Refusal> {
        if let Some(id) = self.id {
            let stored = self.key(id).and_then(|key| conf.document(&key)).ok_or(Refusal::KeyNotFound)?;
            return Ok(Done::One(self.shown(stored)));
        }
        // APISIX lists secrets of all managers, whichever is asked for.
        let parent = self.parent.filter(|_| self.kind != Kind::Secret);
        let none = Query::default();
        let query = if self.is_v3 { self.query } else { &none };
        // A page of what is not filtered is found without looking at the rest.
        if let Some(range) = list::unfiltered_page(query) {
            let (page, total) = conf.page(self.kind, parent, range);
            if total == 0 && !kinds::may_be_empty(self.kind) {
                return Err(Refusal::KeyNotFound);
            }
            let list = page.into_iter().map(|stored| self.shown(stored)).collect();
            return Ok(Done::List { key: self.prefixed(&self.directory()), list, total });
        }
        let all = conf.documents(self.kind, parent);
        if all.is_empty() && !kinds::may_be_empty(self.kind) {
            return Err(Refusal::KeyNotFound);
        }
        let all = all.into_iter().map(|stored| self.shown(stored)).collect();
        let (list, total) = list::select(self.kind, all, query)?;
        Ok(Done::List { key: self.prefixed(&self.directory()), list, total })
    }

    async fn put(mut self, conf: &impl Configuration) -> Result<Done, Refusal> {
        let mut object = self.take_object(Refusal::MissingConfiguration)?;
        self.bind_service(&mut object)?;
        let id = match self.kind {
            Kind::Consumer => {
                check_timestamps(&object)?;
                self.username(&object)?
            }
            Kind::PluginMetadata => {
                check_timestamps(&object)?;
                let name = self.id.ok_or_else(|| Refusal::Invalid("missing plugin name".to_owned()))?;
                if !conf.plugins().iter().any(|plugin| plugin.name == name) {
                    return Err(Refusal::Invalid("invalid plugin name".to_owned()));
                }
                object.insert("id".to_owned(), name.into());
                name.to_owned()
            }
            _ => {
                let id = self.agree_on_id(&mut object)?;
                check_timestamps(&object)?;
                id
            }
        };
        if self.kind == Kind::Credential {
            // What is wrong with itself is told before that it is nobody's.
            let key = self.key(&id).ok_or_else(bad_id)?;
            conf.check(&key, &Value::Object(object.clone())).map_err(Refusal::Invalid)?;
        }
        self.check_parent(conf)?;
        let key = self.key(&id).ok_or_else(bad_id)?;
        // APISIX's PUT overwrites whatever is there. Ours compares, so that `create_time` and the status are true, and
        // tries again when somebody was faster.
        for _ in 0..ATTEMPTS {
            let before = conf.document(&key);
            let mut object = object.clone();
            if self.kind != Kind::PluginMetadata {
                let created = before.as_ref().and_then(|before| before.value.get("create_time").cloned());
                object.insert("create_time".to_owned(), created.unwrap_or_else(|| now().into()));
                object.insert("update_time".to_owned(), now().into());
            }
            let value = Value::Object(object);
            let expected = before.as_ref().map_or(Expected::Absent, |before| Expected::Revision(before.modified));
            match conf.write(vec![Change::Put(key.clone(), value.clone(), expected)]).await {
                Ok(()) => {
                    let shown = self.written(&key, value);
                    return Ok(if before.is_some() { Done::Replaced(shown) } else { Done::Created(shown) });
                }
                Err(WriteError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::Changed)
    }

    async fn post(mut self, conf: &impl Configuration) -> Result<Done, Refusal> {
        let mut object = self.take_object(Refusal::MissingConfiguration)?;
        if self.id.is_some() || object.contains_key("id") {
            return Err(Refusal::UnneededId(self.kind));
        }
        self.bind_service(&mut object)?;
        check_timestamps(&object)?;
        self.check_parent(conf)?;
        object.insert("create_time".to_owned(), now().into());
        object.insert("update_time".to_owned(), now().into());
        for _ in 0..ATTEMPTS {
            let id = conf.next_id().await?;
            let key = self.key(&id).ok_or_else(bad_id)?;
            object.insert("id".to_owned(), id.into());
            let value = Value::Object(object.clone());
            match conf.write(vec![Change::Put(key.clone(), value.clone(), Expected::Absent)]).await {
                Ok(()) => return Ok(Done::Posted(self.written(&key, value))),
                Err(WriteError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::Changed)
    }

    async fn patch(mut self, conf: &impl Configuration) -> Result<Done, Refusal> {
        let missing = if self.kind == Kind::Secret { Refusal::NoSecretId } else { Refusal::MissingId(self.kind) };
        let id = self.id.ok_or(missing)?;
        let change = self.body.take().ok_or(Refusal::MissingNewConfiguration)?;
        if self.kind == Kind::CostDecoration {
            // Here APISIX knows no paths below the document.
            self.sub_path = &[];
            if change.get("service_id").is_some() {
                return Err(Refusal::ServiceIdPatched);
            }
        }
        if self.sub_path.len() + depth(&change) > json::Limits::DEEPEST {
            return Err(Refusal::SubPathTooDeep(json::Limits::DEEPEST));
        }
        if self.sub_path.is_empty() && !change.is_object() {
            return Err(Refusal::NotAnObject);
        }
        let key = self.key(id).ok_or(Refusal::KeyNotFound)?;
        let before = conf.document(&key).ok_or(Refusal::KeyNotFound)?;
        let expected = Expected::Revision(before.modified);
        let Value::Object(mut object) = before.value else { return Err(Refusal::NotAnObject) };
        let mut keeps_update_time = false;
        match change {
            Value::Object(change) if self.sub_path.is_empty() => {
                keeps_update_time = change.contains_key("update_time");
                patch::merge(&mut object, change);
            }
            change => patch::set_at(&mut object, self.sub_path, change).map_err(Refusal::SubPath)?,
        }
        if !object.contains_key("create_time") {
            object.insert("create_time".to_owned(), now().into());
        }
        if !keeps_update_time || !object.contains_key("update_time") {
            object.insert("update_time".to_owned(), now().into());
        }
        self.agree_on_id(&mut object)?;
        let value = Value::Object(object);
        conf.write(vec![Change::Put(key.clone(), value.clone(), expected)]).await?;
        Ok(Done::Patched(self.written(&key, value)))
    }

    async fn delete(self, conf: &impl Configuration) -> Result<Done, Refusal> {
        let id = self.id.ok_or(Refusal::MissingId(self.kind))?;
        let key = self.key(id).ok_or(Refusal::KeyNotFound)?;
        let is_forced = self.query.first("force") == Some("true");
        for _ in 0..ATTEMPTS {
            let Some(stored) = conf.document(&key) else {
                // APISIX looks for users first: something absent may still be referred to, after it was forced out.
                if !is_forced {
                    conf.check_delete(&key).map_err(Refusal::Invalid)?;
                }
                return Err(Refusal::KeyNotFound);
            };
            let mut all = vec![stored];
            all.extend(self.kind.owned().into_iter().flat_map(|kind| conf.documents(kind, Some(id))));
            let deletions = all.into_iter().map(|one| Change::Delete {
                key: one.key,
                expected: Expected::Revision(one.modified),
                is_forced,
            });
            match conf.write(deletions.collect()).await {
                Ok(()) => return Ok(Done::Deleted(self.prefixed(&key.path()))),
                Err(WriteError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::Changed)
    }

    fn take_object(&mut self, missing: Refusal) -> Result<Map<String, Value>, Refusal> {
        match self.body.take() {
            None => Err(missing),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(Refusal::NotAnObject),
        }
    }

    /// The id of path and body, which is then the document's.
    fn agree_on_id(&self, object: &mut Map<String, Value>) -> Result<String, Refusal> {
        let written = object.get("id").map(|id| match id {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        });
        match (self.id, written) {
            (None, None) => Err(Refusal::MissingId(self.kind)),
            (Some(id), written) => {
                // A secret's id has its manager in front.
                let whole = match self.parent.filter(|_| self.kind == Kind::Secret) {
                    Some(manager) => format!("{manager}/{id}"),
                    None => id.to_owned(),
                };
                if written.is_some_and(|written| written != whole) {
                    return Err(Refusal::WrongId(self.kind));
                }
                object.insert("id".to_owned(), whole.into());
                Ok(id.to_owned())
            }
            (None, Some(_)) if self.kind == Kind::Secret => Err(Refusal::MissingId(self.kind)),
            (None, Some(written)) => match object.get("id") {
                Some(Value::String(_)) => Ok(written),
                Some(Value::Number(number)) if number.as_u64().is_some_and(|number| number > 0) => Ok(written),
                _ => Err(bad_id()),
            },
        }
    }

    fn username(&self, object: &Map<String, Value>) -> Result<String, Refusal> {
        let refuse = |why: String| Err(Refusal::Invalid(format!("invalid configuration: property \"username\" {why}")));
        let name = match object.get("username") {
            None => return refuse("is required".to_owned()),
            Some(Value::String(name)) => name,
            Some(other) => {
                return refuse(format!("validation failed: wrong type: expected string, got {}", lua_type(other)));
            }
        };
        if name.is_empty() {
            return refuse("validation failed: string too short, expected at least 1, got 0".to_owned());
        }
        if name.len() > 256 {
            return refuse(format!("validation failed: string too long, expected at most 256, got {}", name.len()));
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return refuse(format!(
                "validation failed: failed to match pattern \"^[a-zA-Z0-9_\\-]+$\" with {}",
                Value::from(name.as_str())
            ));
        }
        match self.id {
            Some(id) if id != name => Err(Refusal::WrongUsername),
            _ => Ok(name.clone()),
        }
    }

    /// The service of a cost decoration is that of the path.
    fn bind_service(&self, object: &mut Map<String, Value>) -> Result<(), Refusal> {
        let Some(service) = self.parent.filter(|_| self.kind == Kind::CostDecoration) else { return Ok(()) };
        let written = object.get("service_id").map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        if written.is_some_and(|written| written != service) {
            return Err(Refusal::WrongServiceId);
        }
        object.insert("service_id".to_owned(), service.into());
        Ok(())
    }

    /// What a document is to be stored below must be there.
    fn check_parent(&self, conf: &impl Configuration) -> Result<(), Refusal> {
        let parent = self.parent.unwrap_or_default();
        let (kind, missing) = match self.kind {
            Kind::Credential => (Kind::Consumer, Refusal::ConsumerNotFound),
            Kind::CostDecoration => (Kind::Service, Refusal::ServiceNotFound),
            Kind::Secret if documents::secret_schema(parent).is_none() => {
                return Err(Refusal::UnknownManager(parent.to_owned()));
            }
            _ => return Ok(()),
        };
        let parent = Key::new(kind, parent).ok();
        if parent.is_some_and(|parent| conf.document(&parent).is_some()) { Ok(()) } else { Err(missing) }
    }

    fn directory(&self) -> String {
        match (self.kind, self.parent) {
            (Kind::Credential, Some(consumer)) => format!("/consumers/{consumer}/credentials"),
            (Kind::CostDecoration, Some(service)) => format!("/services/{service}/graphql_cost_decorations"),
            _ => format!("/{}", self.kind.collection()),
        }
    }

    /// `None` where the id is none.
    fn key(&self, id: &str) -> Option<Key> {
        match self.parent {
            Some(parent) => Key::below(self.kind, parent, id).ok(),
            None => Key::new(self.kind, id).ok(),
        }
    }

    fn prefixed(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn shown(&self, stored: Document) -> Shown {
        let indexes = Some((stored.created, stored.modified));
        Shown { indexes, ..self.written(&stored.key, stored.value) }
    }

    fn written(&self, key: &Key, mut value: Value) -> Shown {
        if let (Kind::Ssl, Value::Object(fields)) = (self.kind, &mut value) {
            // Private keys are shown to nobody.
            fields.retain(|name, _| !matches!(name.as_str(), "key" | "keys"));
        }
        Shown { key: self.prefixed(&key.path()), value, indexes: None }
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(why) => Self::Invalid(why),
            WriteError::Conflict => Self::Changed,
            WriteError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// How deep a value is nested; it was parsed, so not very.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn check_timestamps(object: &Map<String, Value>) -> Result<(), Refusal> {
    // Lua's `false` is as good as absent here; the schema refuses it later.
    let is_sent = |value: Option<&Value>| value.is_some_and(|value| *value != Value::Bool(false));
    let refuse = |property: String| Err(Refusal::Forbidden(property));
    if let Some(name) = TIMESTAMPS.into_iter().find(|name| is_sent(object.get(*name))) {
        return refuse(name.to_owned());
    }
    for within in ["upstream", "plugins"] {
        let inner = object.get(within);
        if let Some(name) = TIMESTAMPS.into_iter().find(|name| is_sent(inner.and_then(|inner| inner.get(name)))) {
            return refuse(format!("{within}.{name}"));
        }
    }
    Ok(())
}

fn bad_id() -> Refusal {
    Refusal::Invalid(
        "invalid configuration: property \"id\" validation failed: object matches none of the required".to_owned(),
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

const ATTEMPTS: usize = 3;
const TIMESTAMPS: [&str; 2] = ["create_time", "update_time"];
