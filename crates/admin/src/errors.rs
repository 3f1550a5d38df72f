//! Status codes and bodies of the Admin API: nothing else in this crate knows any.

use model::documents::Kind;
use plugin::Reply;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use wire::Method;

/// Why a request to the Admin API is refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// The address is not in `allow_admin`.
    AddressNotAllowed,
    /// The key is missing, wrong or may not do this.
    Token(&'static str),
    /// No such path.
    NotRouted,
    /// The path names no kind.
    UnknownResource(String),
    /// The kind has no such operation at all.
    NoOperation,
    /// The kind does not support the method.
    MethodNotSupported(Method, Kind),
    /// `plugins/reload` with another method than PUT.
    ReloadNeedsPut(Method),
    /// The body is larger than allowed.
    BodyTooLarge { size: usize, limit: usize },
    /// The body is missing where one is needed (`configs/validate`).
    BodyEmpty,
    /// The body is not JSON.
    BodyNotJson { error: String, raw: String },
    /// A whole configuration is not JSON.
    ConfigurationNotJson(String),
    /// A whole configuration without `X-Digest`.
    NoDigest,
    /// The body says that it is YAML and is not.
    BodyNotYaml,
    /// `ttl` is not a number.
    TtlNotNumber,
    /// `ttl` is a number, but no backend of ours has leases.
    TtlUnsupported,
    /// A list of `page_size` outside 10 to 500.
    PageSize,
    /// No body for PUT or POST.
    MissingConfiguration,
    /// No body for PATCH.
    MissingNewConfiguration,
    /// The body is not an object.
    NotAnObject,
    /// A configuration that the kind does not allow, in APISIX's words.
    Invalid(String),
    /// The id is missing.
    MissingId(Kind),
    /// The ids in path and body differ.
    WrongId(Kind),
    /// POST with an id.
    UnneededId(Kind),
    /// The names in path and body differ.
    WrongUsername,
    /// A timestamp was sent.
    Forbidden(String),
    /// A PATCH below something that is not an object.
    SubPath(String),
    /// A PATCH that would nest the document deeper than any document may be.
    SubPathTooDeep(usize),
    /// No stream is proxied.
    StreamDisabled,
    /// No such secret manager.
    UnknownManager(String),
    /// A PATCH of a secret without its id.
    NoSecretId,
    /// Cost decorations without their service.
    MissingServiceId,
    /// The service of a cost decoration differs from that of the path.
    WrongServiceId,
    /// A cost decoration cannot move to another service.
    ServiceIdPatched,
    /// The cost decoration's service does not exist.
    ServiceNotFound,
    /// Nothing is stored under the key.
    KeyNotFound,
    /// The credential's consumer does not exist.
    ConsumerNotFound,
    /// Another writer was faster.
    Changed,
    /// The store cannot be reached.
    Unavailable(String),
    /// No schema of this name.
    UnknownSchema(String),
    /// Neither `http` nor `stream`.
    UnknownSubsystem(String),
    /// Neither `http` nor `stream`, asked of the list of plugins.
    UnknownSubsystemOfList,
    /// No such plugin.
    UnknownPlugin(&'static str),
    /// The plugin has no schema of that type.
    NoSchema,
    /// What `configs/validate` found.
    Validation(Vec<Value>),
}

impl Refusal {
    /// The answer.
    pub(crate) fn reply(&self) -> Reply {
        match self {
            Self::AddressNotAllowed => Reply::status(403),
            Self::Token(why) => Reply::json(401, &json!({ "error_msg": "failed to check token", "description": why })),
            Self::NotRouted => Reply::status(404),
            Self::UnknownResource(name) => told(404, format!("Unsupported resource type: {name}")),
            Self::NoOperation => told(404, "not found"),
            Self::MethodNotSupported(method, kind) => {
                told(405, format!("not supported `{method}` method for {}", kind))
            }
            Self::ReloadNeedsPut(method) => {
                told(405, format!("please use PUT method to reload the plugins, {method} method is not allowed."))
            }
            Self::BodyTooLarge { size, limit } => told(
                400,
                format!("invalid request body: request size {size} is greater than the maximum size {limit} allowed"),
            ),
            Self::BodyEmpty => told(400, "invalid request body: empty request body"),
            Self::BodyNotJson { error, raw } => {
                Reply::json(400, &json!({ "error_msg": format!("invalid request body: {error}"), "req_body": raw }))
            }
            Self::ConfigurationNotJson(error) => told(400, format!("invalid request body: {error}")),
            Self::NoDigest => told(400, "missing digest header"),
            Self::BodyNotYaml => told(400, "invalid request body: invalid yaml request body"),
            Self::TtlNotNumber => told(400, "invalid argument ttl: should be a number"),
            Self::TtlUnsupported => {
                told(400, "invalid argument ttl: the configuration store has no leases, ttl needs etcd")
            }
            Self::PageSize => Reply::text(400, "page_size must be between 10 and 500"),
            Self::MissingConfiguration => told(400, "missing configurations"),
            Self::MissingNewConfiguration => told(400, "missing new configuration"),
            Self::NotAnObject => told(400, "invalid configuration"),
            Self::Invalid(why) => told(400, why),
            Self::MissingId(kind) => told(400, format!("missing {} id", kind)),
            Self::WrongId(kind) => told(400, format!("wrong {} id", kind)),
            Self::UnneededId(kind) => told(400, format!("wrong {} id, do not need it", kind)),
            Self::WrongUsername => told(400, "wrong username"),
            Self::Forbidden(property) => told(400, format!("the property is forbidden:  {property}")),
            Self::SubPath(path) => told(400, format!("invalid sub-path: /{path}")),
            Self::SubPathTooDeep(limit) => told(400, format!("invalid sub-path: nested deeper than {limit} levels")),
            Self::StreamDisabled => told(400, "stream mode is disabled, can not add stream routes"),
            Self::UnknownManager(name) => told(400, format!("invalid secret manager: {name}")),
            Self::NoSecretId => told(400, "no secret id"),
            Self::MissingServiceId => told(400, "missing service id"),
            Self::WrongServiceId => told(400, "wrong service_id, it is taken from the path"),
            Self::ServiceIdPatched => told(400, "service_id can not be patched"),
            Self::ServiceNotFound => told(404, "service not found"),
            Self::KeyNotFound => Reply::json(404, &json!({ "message": "Key not found" })),
            Self::ConsumerNotFound => told(404, "consumer not found"),
            Self::Changed => told(503, "value changed before overwritten"),
            Self::Unavailable(why) => told(503, why),
            Self::UnknownSchema(name) => told(400, format!("not found schema: {name}")),
            Self::UnknownSubsystem(name) => told(400, format!("unsupported subsystem: {name}")),
            Self::UnknownSubsystemOfList => Reply::text(400, "invalid subsystem passed"),
            Self::UnknownPlugin(subsystem) => told(404, format!("plugin not found in subsystem {subsystem}")),
            Self::NoSchema => told(400, "not found schema"),
            Self::Validation(errors) => {
                Reply::json(400, &json!({ "error_msg": "Configuration validation failed", "errors": errors }))
            }
        }
    }
}

/// A stored document as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// The key with the store's prefix.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: Value,
    /// Revisions of creation and last change; shown by reads only.
    pub(crate) indexes: Option<(u64, u64)>,
}

/// What a request to the Admin API achieved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Done {
    /// An empty 200.
    Nothing,
    /// A text.
    Text(&'static str),
    /// Any value.
    Value(Value),
    /// One document.
    One(Shown),
    /// Documents; `total` counts those of every page.
    List { key: String, list: Vec<Shown>, total: usize },
    /// A new document by PUT.
    Created(Shown),
    /// A document put over another.
    Replaced(Shown),
    /// A new document by POST.
    Posted(Shown),
    /// A patched document.
    Patched(Shown),
    /// A deleted document.
    Deleted(String),
}

impl Done {
    /// The answer in the shape of `admin_api_version: v3`, or of older versions.
    pub(crate) fn reply(self, is_v3: bool) -> Reply {
        let node = |status, action: &str, shown: Shown| {
            let node = if is_v3 { shown.into_value(true) } else { wrapped(action, &shown.into_value(false)) };
            Reply::json(status, &node)
        };
        match self {
            Self::Nothing => Reply::text(200, ""),
            Self::Text(text) => Reply::text(200, text),
            Self::Value(value) => Reply::json(200, &value),
            Self::One(shown) => node(200, "get", shown),
            Self::Created(shown) => node(201, "set", shown),
            Self::Replaced(shown) => node(200, "set", shown),
            Self::Posted(shown) => node(201, "create", shown),
            Self::Patched(shown) => node(200, "compareAndSwap", shown),
            Self::List { key, list, total } => {
                // Moved into its place: `json!` would copy all of it.
                let list = Value::Array(list.into_iter().map(|shown| shown.into_value(true)).collect());
                let body: Map<String, Value> = if is_v3 {
                    [("list".to_owned(), list), ("total".to_owned(), total.into())].into_iter().collect()
                } else {
                    let node = [("key", key.into()), ("dir", true.into()), ("nodes", list)];
                    let node: Map<_, _> = node.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    [("action".to_owned(), "get".into()), ("node".to_owned(), Value::Object(node))]
                        .into_iter()
                        .collect()
                };
                Reply::json(200, &Value::Object(body))
            }
            Self::Deleted(key) if is_v3 => Reply::json(200, &json!({ "deleted": "1", "key": key })),
            Self::Deleted(key) => {
                Reply::json(200, &json!({ "action": "delete", "deleted": "1", "key": key, "node": {} }))
            }
        }
    }
}

impl Shown {
    fn into_value(self, with_indexes: bool) -> Value {
        let mut object = Map::new();
        object.insert("key".to_owned(), Value::String(self.key));
        object.insert("value".to_owned(), self.value);
        if let Some((created, modified)) = self.indexes.filter(|_| with_indexes) {
            object.insert("createdIndex".to_owned(), created.into());
            object.insert("modifiedIndex".to_owned(), modified.into());
        }
        Value::Object(object)
    }
}

fn told(status: u16, message: impl Display) -> Reply {
    Reply::json(status, &json!({ "error_msg": message.to_string() }))
}

fn wrapped(action: &str, node: &Value) -> Value {
    json!({ "action": action, "node": node })
}
