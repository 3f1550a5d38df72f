//! The Admin API under `/apisix/admin`: one set of operations for every kind of document, schemas, plugins.
#![forbid(unsafe_code)]

mod auth;
mod configuration;
mod errors;
pub mod keys;
mod kinds;
mod list;
mod patch;
mod pushed;
mod query;
mod resource;
mod schemas;
mod validate;

#[cfg(test)]
mod tests;

pub use auth::{AdminKey, Role};
pub use configuration::{Change, Configuration, Expected, WriteError};
pub use schemas::plugin_schemas;

use arc_swap::ArcSwap;
use bytes::Bytes;
use errors::{Done, Refusal};
use ipnet::IpNet;
use model::{
    declared,
    differences::DifferenceId,
    documents::Kind,
    json,
    settings::{AdminRole, Provider},
    yaml,
};
use plugin::Reply;
use pushed::Pushed;
use query::Query;
use serde_json::Value;
use std::{net::IpAddr, sync::Arc};
use wire::{Fields, Method};

/// A request to the Admin API.
#[derive(Debug, Clone)]
pub struct AdminRequest {
    /// Its method.
    pub method: Method,
    /// Its normalised path.
    pub path: String,
    /// Its query without the question mark.
    pub query: Option<Vec<u8>>,
    /// Its fields.
    pub fields: Fields,
    /// Its whole body.
    pub body: Bytes,
    /// The address of the connection.
    pub peer: IpAddr,
}

/// `deployment.admin` as far as the API itself is concerned.
#[derive(Clone)]
#[allow(missing_debug_implementations)] // it holds keys
pub struct Settings {
    /// `admin_key_required`.
    pub is_key_required: bool,
    /// `admin_key`.
    pub keys: Vec<AdminKey>,
    /// Whether the difference `admin-key-in-query` is off, so that keys in query and cookie count.
    pub is_key_in_query_allowed: bool,
    /// `allow_admin`; empty allows everybody.
    pub allow: Vec<IpNet>,
    /// `enable_admin_cors`.
    pub has_cors: bool,
    /// Whether `admin_api_version` is `v3`.
    pub is_v3: bool,
    /// Whether `apisix.proxy_mode` has streams.
    pub has_streams: bool,
    /// `deployment.etcd.prefix`: what keys are shown with.
    pub prefix: String,
    /// Whether whole configurations are sent, and nothing else is served.
    pub is_pushed: bool,
}

impl Settings {
    /// Those of `config.yaml`. `made` is the key that was made at first start, where none was written.
    pub fn read(settings: &model::settings::Settings, made: Option<String>) -> Self {
        let admin = &settings.admin;
        let written = admin.keys.iter().map(|row| AdminKey {
            key: row.key.expose().clone(),
            role: match row.role {
                AdminRole::Admin => Role::Admin,
                AdminRole::Viewer => Role::Viewer,
            },
        });
        let made = made.map(|key| AdminKey { key, role: Role::Admin });
        Self {
            is_key_required: admin.key_required,
            keys: written.chain(made).collect(),
            is_key_in_query_allowed: !settings.compat.is_safe(DifferenceId::AdminKeyInQuery),
            allow: admin.allow.clone(),
            has_cors: admin.cors,
            is_v3: admin.is_v3,
            has_streams: admin.has_streams,
            prefix: settings.deployment.etcd.prefix.clone(),
            is_pushed: settings.deployment.provider == Provider::Yaml,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            is_key_required: true,
            keys: Vec::new(),
            is_key_in_query_allowed: false,
            allow: Vec::new(),
            has_cors: true,
            is_v3: true,
            has_streams: false,
            prefix: "/apisix".to_owned(),
            is_pushed: false,
        }
    }
}

/// The Admin API.
#[allow(missing_debug_implementations)] // it holds keys
pub struct AdminApi<C> {
    configuration: Arc<C>,
    settings: ArcSwap<Settings>,
    pushed: Pushed,
}

/// The largest body: 1.5 MiB.
pub const MAX_BODY: usize = 3 << 19;

impl<C: Configuration> AdminApi<C> {
    /// Over a configuration.
    pub fn new(configuration: Arc<C>, settings: Settings) -> Self {
        Self { configuration, settings: ArcSwap::from_pointee(settings), pushed: Pushed::default() }
    }

    /// Lets in whom these settings let in, from the next request on. What is served, and in which form, stays as it is.
    pub fn admit_by(&self, new: Settings) {
        let Settings { is_v3, has_streams, is_pushed, .. } = **self.settings.load();
        let prefix = self.settings.load().prefix.clone();
        self.settings.store(Arc::new(Settings { is_v3, has_streams, is_pushed, prefix, ..new }));
    }

    /// Bytes that the body of an admitted request may have.
    pub fn max_body(&self) -> usize {
        if self.settings.load().is_pushed { pushed::MAX_CONFIGURATION } else { MAX_BODY }
    }

    /// Whether a request is worth reading its body, which is not looked at here.
    ///
    /// # Errors
    /// The answer to one that is not, above all without a key.
    pub fn admit(&self, request: &AdminRequest) -> Result<(), Reply> {
        let AdminRequest { method, path, query, fields, peer, .. } = request;
        auth::check_address(&self.settings.load(), *peer).map_err(|refusal| refusal.reply())?;
        if self.settings.load().has_cors && *method == Method::Options {
            return Err(preflight());
        }
        if path == ROOT && *method == Method::Head {
            return Err(self.finish(Done::Nothing.reply(self.settings.load().is_v3), false));
        }
        let is_routed = if self.settings.load().is_pushed {
            pushed::is_routed(method, path)
        } else {
            let is_known = matches!(method, Method::Get | Method::Put | Method::Post | Method::Delete | Method::Patch);
            is_known && below_root(path).is_some()
        };
        let checked = if is_routed {
            let query = Query::parse(query.as_deref().unwrap_or_default());
            auth::check_key(&self.settings.load(), method, fields, &query)
        } else {
            Err(Refusal::NotRouted)
        };
        checked.map_err(|refusal| self.refuse(path, &refusal, false))
    }

    /// Answers a request: status, body and every field but `Server`.
    pub async fn handle(&self, request: AdminRequest) -> Reply {
        if let Err(reply) = self.admit(&request) {
            return reply;
        }
        let AdminRequest { method, path, query, fields, body, .. } = request;
        let query = Query::parse(&query.unwrap_or_default());
        let call = Call { method, path: &path, query, fields, body, max_body: self.max_body() };
        if self.settings.load().is_pushed {
            return match self.route_pushed(call).await {
                Ok(reply) => self.finish(reply, false),
                Err(refusal) => self.refuse(&path, &refusal, false),
            };
        }
        let mut is_versioned = false;
        match self.route(call, &mut is_versioned).await {
            Ok(done) => self.finish(done.reply(self.settings.load().is_v3), is_versioned),
            Err(refusal) => self.refuse(&path, &refusal, is_versioned),
        }
    }

    fn refuse(&self, path: &str, refusal: &Refusal, is_versioned: bool) -> Reply {
        let reply = refusal.reply();
        tracing::info!(path, status = reply.status, "admin request refused");
        self.finish(reply, is_versioned)
    }

    /// What there is where whole configurations are sent.
    async fn route_pushed(&self, call: Call<'_>) -> Result<Reply, Refusal> {
        let conf = &*self.configuration;
        match call.method {
            Method::Post => pushed::validated(&call.json_or_yaml()?, conf).map(|done| done.reply(true)),
            Method::Put => self.pushed.accept(&call.fields, || call.json_or_yaml(), conf).await,
            Method::Head => Ok(self.pushed.head().await),
            _ => Ok(self.pushed.show(&call.fields).await),
        }
    }

    /// `is_versioned` becomes true where APISIX sends `X-API-VERSION`: once a kind was asked.
    async fn route(&self, call: Call<'_>, is_versioned: &mut bool) -> Result<Done, Refusal> {
        let conf = &*self.configuration;
        let rest = below_root(call.path).ok_or(Refusal::NotRouted)?;
        let mut segments: Vec<&str> = rest.split('/').collect();
        while segments.last().is_some_and(|last| last.is_empty()) {
            segments.pop();
        }
        match (&call.method, segments.as_slice()) {
            (Method::Post, ["configs", "validate"]) => {
                return validate::all(&call.json_or_yaml()?, false, conf);
            }
            (Method::Get, ["plugins", "list"]) => return schemas::plugin_names(&call.query, conf),
            (Method::Post, ["schema", "validate", name, ..]) => {
                let kind = Kind::from_collection(name).ok_or_else(|| Refusal::UnknownResource((*name).to_owned()))?;
                return schemas::validate(kind, call.json()?.as_ref());
            }
            (method, ["plugins", "reload"]) => return schemas::reload(method),
            _ => {}
        }
        let segments = match segments.as_slice() {
            ["schema", rest @ ..] if rest.first() == Some(&"plugins") => rest,
            all => all,
        };
        let (name, after) = segments.split_first().map_or(("", &[][..]), |(name, after)| (*name, after));
        if matches!(name, "schema" | "plugins") {
            if call.method != Method::Get {
                return Err(Refusal::NoOperation);
            }
            call.json()?;
            call.check_ttl()?;
            *is_versioned = true;
            let name_of = after.first().copied();
            return if name == "schema" {
                schemas::of_kind(name_of)
            } else {
                schemas::of_plugin(name_of, &call.query, conf)
            };
        }
        if name == "stream_routes" && !self.settings.load().has_streams {
            return Err(Refusal::StreamDisabled);
        }
        let (kind, parent, after) = match (name, after) {
            ("consumers", [consumer, "credentials", after @ ..]) => (Kind::Credential, Some(*consumer), after),
            ("services", [service, "graphql_cost_decorations", after @ ..]) => {
                (Kind::CostDecoration, Some(*service), after)
            }
            ("secrets", [manager, after @ ..]) => (Kind::Secret, Some(*manager), after),
            ("graphql_cost_decorations", _) => return Err(Refusal::MissingServiceId),
            _ => match Kind::from_collection(name).filter(|&kind| kind != Kind::Credential) {
                Some(kind) => (kind, None, after),
                None => return Err(Refusal::UnknownResource(name.to_owned())),
            },
        };
        let body = call.json()?;
        call.check_ttl()?;
        *is_versioned = true;
        let (id, sub_path) = after.split_first().map_or((None, &[][..]), |(id, below)| (Some(*id), below));
        let Settings { prefix, is_v3, .. } = &**self.settings.load();
        let (query, is_v3) = (&call.query, *is_v3);
        resource::Operation { kind, parent, id, sub_path, body, query, prefix, is_v3 }.run(&call.method, conf).await
    }

    fn finish(&self, mut reply: Reply, is_versioned: bool) -> Reply {
        if reply.body != plugin::ReplyBody::Default && !reply.fields.contains("content-type") {
            reply.fields.set("Content-Type", b"application/json");
        }
        if is_versioned {
            reply.fields.set("X-API-VERSION", if self.settings.load().is_v3 { b"v3" } else { b"v2" });
        }
        if self.settings.load().has_cors {
            reply.fields.set("Access-Control-Allow-Origin", b"*");
            reply.fields.set("Access-Control-Allow-Credentials", b"true");
            reply.fields.set("Access-Control-Expose-Headers", b"*");
            reply.fields.set("Access-Control-Max-Age", b"3600");
        }
        reply
    }
}

struct Call<'a> {
    method: Method,
    path: &'a str,
    query: Query,
    fields: Fields,
    body: Bytes,
    max_body: usize,
}

impl Call<'_> {
    /// The body as JSON; `None` when it is empty.
    fn json(&self) -> Result<Option<Value>, Refusal> {
        self.check_size()?;
        if self.body.is_empty() {
            return Ok(None);
        }
        let text = json::escape_controls(&self.body);
        let limits = json::Limits { bytes: text.len(), ..json::Limits::default() };
        json::parse(&text, limits).map(Some).map_err(|error| {
            let raw = String::from_utf8_lossy(&self.body).into_owned();
            let error = json::complaint(&self.body).unwrap_or_else(|| error.to_string());
            Refusal::BodyNotJson { error, raw }
        })
    }

    /// The body in the format that `Content-Type` names, for `configs` and `configs/validate`.
    fn json_or_yaml(&self) -> Result<Value, Refusal> {
        self.check_size()?;
        let is_yaml = self.fields.get("content-type").is_some_and(|kind| kind.starts_with(b"application/yaml"));
        if is_yaml && !self.body.is_empty() {
            let text = std::str::from_utf8(&self.body).map_err(|_| Refusal::BodyNotYaml)?;
            let mut value = yaml::parse(text).ok().filter(Value::is_object).ok_or(Refusal::BodyNotYaml)?;
            let sections = value.as_object_mut().into_iter().flat_map(|sections| sections.values_mut());
            for item in sections.filter_map(Value::as_array_mut).flatten() {
                declared::fill_plugins(item);
            }
            return Ok(value);
        }
        if self.body.is_empty() {
            return Err(Refusal::BodyEmpty);
        }
        let limits = json::Limits { bytes: self.max_body, ..json::Limits::default() };
        json::parse(&self.body, limits).map_err(|error| {
            Refusal::ConfigurationNotJson(json::complaint(&self.body).unwrap_or_else(|| error.to_string()))
        })
    }

    fn check_size(&self) -> Result<(), Refusal> {
        let size = self.body.len();
        let limit = self.max_body;
        if size > limit { Err(Refusal::BodyTooLarge { size, limit }) } else { Ok(()) }
    }

    fn check_ttl(&self) -> Result<(), Refusal> {
        match self.query.first("ttl").map(|ttl| ttl.trim().parse::<f64>()) {
            None => Ok(()),
            Some(Err(_)) => Err(Refusal::TtlNotNumber),
            // APISIX reads and deletes without looking at it.
            Some(Ok(_)) if matches!(self.method, Method::Get | Method::Delete) => Ok(()),
            Some(Ok(_)) => Err(Refusal::TtlUnsupported),
        }
    }
}

fn below_root(path: &str) -> Option<&str> {
    path.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/'))
}

fn preflight() -> Reply {
    Reply::text(200, "")
        .with("Access-Control-Allow-Origin", b"*")
        .with("Access-Control-Allow-Methods", b"POST, GET, PUT, OPTIONS, DELETE, PATCH")
        .with("Access-Control-Max-Age", b"3600")
        .with("Access-Control-Allow-Headers", b"*")
        .with("Access-Control-Allow-Credentials", b"true")
        .with("Content-Type", b"text/plain")
}

const ROOT: &str = "/apisix/admin";
