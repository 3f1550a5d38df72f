//! The configuration as compiled: immutable, swapped with one pointer.

mod compiler;
mod digest;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use compiler::Compiler;
pub use digest::Digest;

use crate::{
    chain::Chain,
    plugins::PluginSet,
    route::{Conditions, RouteTable, UriPattern},
    shards::Shards,
    upstream::{CompiledUpstream, Identity, Timeouts},
};
use engine::tls::TlsSettings;
use model::settings::Router;
use plugin::{Consumer, CredentialIndex, Directory, PublicApi, RouteFacts, ServiceNode, Unreadable, UpstreamTls};
use serde_json::Value;
use std::{any::Any, hash::BuildHasher, sync::Arc};
use wire::Method;

/// A document as written: its value, and the text that stands for it between its uses.
#[derive(Clone)]
pub(crate) struct Written<'a> {
    pub(crate) value: &'a Value,
    pub(crate) text: Arc<str>,
    /// Where it stands among its equals, in a source with an order of its own.
    pub(crate) order: Option<u64>,
    /// Where an operator finds it, such as a file and a line.
    pub(crate) place: Option<String>,
}

impl<'a> Written<'a> {
    pub(crate) fn new(value: &'a Value) -> Self {
        Self { value, text: value.to_string().into(), order: None, place: None }
    }
}

/// Something that is wrong with a stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The document's key, such as `/routes/1`.
    pub key: String,
    /// Where in it, as a JSON pointer.
    pub json_path: String,
    /// What.
    pub message: String,
    /// Where an operator finds the document, such as a file and a line, if it is not in a database.
    pub place: Option<String>,
}

/// Where a route's requests go.
#[derive(Debug, Clone)]
pub enum UpstreamRef {
    /// To an upstream of its own (or its service's).
    Inline(Arc<CompiledUpstream>),
    /// To the upstream with this id.
    Id(Arc<str>),
    /// Nowhere.
    None,
}

/// A route as compiled, merged with its service and plugin config.
#[allow(missing_debug_implementations)]
pub struct CompiledRoute {
    /// What plugins may know of it.
    pub facts: Arc<RouteFacts>,
    /// Its paths.
    pub uris: Vec<UriPattern>,
    /// Its hosts; its service's when it has none.
    pub hosts: Vec<Arc<str>>,
    /// Its other conditions.
    pub conditions: Conditions,
    /// Decides among routes of the same path.
    pub priority: i64,
    /// When it arrived: decides among routes of the same path and priority.
    pub arrival: u64,
    /// Its plugins.
    pub chain: Arc<Chain>,
    /// Its upstream.
    pub upstream: UpstreamRef,
    /// Its own timeouts.
    pub timeouts: Option<Timeouts>,
    /// Whether upgrades pass.
    pub enable_websocket: bool,
    /// Why it answers 503 instead of doing what was configured.
    pub quarantined: Option<String>,
    /// The status that a missing object gives: 404 for a service, 503 for a plugin config.
    pub missing: Option<u16>,
}

/// A consumer with its plugins.
#[derive(Clone)]
struct CompiledConsumer {
    identity: Arc<Consumer>,
    chain: Arc<Chain>,
}

/// A credential under its key.
#[derive(Clone)]
struct Credential {
    key: Box<[u8]>,
    /// Key of the document that holds it.
    owner: Arc<str>,
    consumer: Arc<Consumer>,
    compiled: Arc<dyn Any + Send + Sync>,
}

/// All configuration in force at one moment.
#[derive(Clone)]
#[allow(missing_debug_implementations)]
pub struct Snapshot {
    revision: u64,
    digest: Digest,
    routes: RouteTable,
    upstreams: Shards<Option<Arc<CompiledUpstream>>>,
    /// What upstreams are shown, by the ids of ssl objects. `None` is one that cannot be used.
    certificates: Shards<Option<Arc<Identity>>>,
    consumers: Shards<CompiledConsumer>,
    groups: Shards<Arc<Chain>>,
    /// Credentials by plugin, under a keyed hash of their key.
    credentials: Shards<Shards<Arc<[Credential]>>>,
    hasher: std::hash::RandomState,
    global: Arc<Chain>,
    metadata: Shards<Arc<dyn Any + Send + Sync>>,
    /// Cost decorations by service.
    decorations: Shards<Result<Arc<dyn Any + Send + Sync>, Unreadable>>,
    /// Upstreams of services, and of routes whose service has none, by their paths.
    homes: Shards<UpstreamRef>,
    apis: Arc<[PublicApi]>,
    closed: Option<Arc<str>>,
    problems: Arc<[Problem]>,
}

impl Snapshot {
    fn empty(plugins: &PluginSet, router: Router) -> Self {
        let apis = plugins.iter().flat_map(|plugin| (plugin.description.public_apis)(&plugin.attr)).collect();
        Self {
            revision: 0,
            digest: Digest::default(),
            routes: RouteTable::new(router),
            upstreams: Shards::default(),
            certificates: Shards::default(),
            consumers: Shards::default(),
            groups: Shards::default(),
            credentials: Shards::default(),
            hasher: std::hash::RandomState::new(),
            global: Arc::default(),
            metadata: Shards::default(),
            decorations: Shards::default(),
            homes: Shards::default(),
            apis,
            closed: None,
            problems: Arc::from([]),
        }
    }

    /// Revision of the store that it shows.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Digest of all documents: equal on nodes with the same documents.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The routes.
    pub fn routes(&self) -> &RouteTable {
        &self.routes
    }

    /// The global rules' plugins.
    pub fn global(&self) -> &Chain {
        &self.global
    }

    /// Why every request is refused: a global rule that cannot be built.
    pub fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// What is wrong with stored documents.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The plugins of a consumer, and of its group. `None` when the consumer is gone; the group is `None` when it has none or
    /// the group is gone.
    pub fn consumer_chains(&self, consumer: &Consumer) -> Option<(&Chain, Option<&Chain>)> {
        let own = self.consumers.get(consumer.name.as_bytes())?;
        let group = consumer.group_id.as_ref().and_then(|id| self.groups.get(id.as_bytes()));
        Some((&own.chain, group.map(|chain| &**chain)))
    }

    /// The upstream of a route, or the one that a plugin chose instead. `Err` is the status for one that is missing or broken.
    pub fn upstream_of(&self, route: &CompiledRoute, chosen: Option<&str>) -> Result<Arc<CompiledUpstream>, u16> {
        let id = match (&route.upstream, chosen) {
            (_, Some(id)) => id,
            (UpstreamRef::Inline(upstream), None) => return Ok(upstream.clone()),
            (UpstreamRef::Id(id), None) => id,
            (UpstreamRef::None, None) => return Err(503),
        };
        match self.upstreams.get(id.as_bytes()) {
            Some(Some(upstream)) => Ok(upstream.clone()),
            // It is there and cannot be used.
            Some(None) => Err(503),
            None => Err(502),
        }
    }

    /// Where a route's requests go, whatever the route itself says when its service says something.
    fn home_of(&self, route: &RouteFacts) -> Option<Arc<CompiledUpstream>> {
        let of_service = route.service_id.as_ref().and_then(|id| self.homes.get(format!("/services/{id}").as_bytes()));
        match of_service.or_else(|| self.homes.get(format!("/routes/{}", route.id).as_bytes()))? {
            UpstreamRef::Inline(upstream) => Some(upstream.clone()),
            UpstreamRef::Id(id) => self.upstreams.get(id.as_bytes())?.clone(),
            UpstreamRef::None => None,
        }
    }

    /// How connections to the nodes of an upstream are made, if they are over TLS. `Err` is the status for a certificate that is
    /// missing or broken.
    pub fn tls_of(&self, upstream: &CompiledUpstream) -> Result<Option<Arc<TlsSettings>>, u16> {
        upstream.tls(|id| match self.certificates.get(id.as_bytes()) {
            Some(Some(identity)) => Ok(identity.clone()),
            Some(None) => Err(503),
            None => Err(502),
        })
    }

    fn credential_hash(&self, key: &[u8]) -> [u8; 8] {
        self.hasher.hash_one(key).to_ne_bytes()
    }
}

impl CredentialIndex for Snapshot {
    fn find(&self, plugin: &str, key: &[u8]) -> Option<(Arc<Consumer>, Arc<dyn Any + Send + Sync>)> {
        let index = self.credentials.get(plugin.as_bytes())?;
        let bucket = index.get(&self.credential_hash(key))?;
        // The hash is keyed, so its time tells nothing; the keys themselves are compared in constant time.
        bucket
            .iter()
            .find(|have| have.key.len() == key.len() && bool::from(subtle::ConstantTimeEq::ct_eq(&*have.key, key)))
            .map(|have| (have.consumer.clone(), have.compiled.clone()))
    }
}

impl Directory for Snapshot {
    fn consumer(&self, name: &str) -> Option<Arc<Consumer>> {
        self.consumers.get(name.as_bytes()).map(|consumer| consumer.identity.clone())
    }

    fn has_credentials(&self, plugin: &str) -> bool {
        self.credentials.get(plugin.as_bytes()).is_some_and(|index| index.len() > 0)
    }

    fn metadata(&self, plugin: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        self.metadata.get(plugin.as_bytes()).cloned()
    }

    fn decorations(&self, service: &str) -> Result<Option<Arc<dyn Any + Send + Sync>>, Unreadable> {
        self.decorations.get(service.as_bytes()).cloned().transpose()
    }

    fn service_node(&self, route: &RouteFacts, authority: &[u8]) -> Option<ServiceNode> {
        let upstream = self.home_of(route)?;
        let nodes = upstream.all_nodes();
        let first = nodes.iter().min_by(|a, b| a.address().cmp(b.address()))?;
        let host = upstream.host_for(first, authority);
        let tls = self.tls_of(&upstream).ok()?.map(|settings| UpstreamTls(settings as Arc<dyn Any + Send + Sync>));
        Some(ServiceNode { server: first.host.to_string(), port: first.port, host, tls })
    }

    fn has_upstream(&self, id: &str) -> bool {
        self.upstreams.get(id.as_bytes()).is_some()
    }

    fn public_api(&self, method: &Method, path: &str) -> Option<PublicApi> {
        self.apis.iter().find(|api| api.uri == path && api.methods.contains(method)).cloned()
    }
}
