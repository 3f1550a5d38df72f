//! Upstreams as compiled, and the choice of a node.

mod chash;
mod discovery;
pub mod dns;
mod ewma;
pub mod health;
mod least_conn;
mod node;
mod priority;
mod registry;
mod roundrobin;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

pub use node::{Node, Pick};
pub use priority::Picks;
pub use registry::{DiscoveryOptions, Registry, RegistryOptions};
pub use tls::{Identity, Shown};

use arc_swap::ArcSwap;
use chash::HashKey;
use discovery::Service;
use engine::{PoolLimits, tls::TlsSettings};
use ewma::Pace;
use health::{Checker, Place, Report, Rules};
use least_conn::LeastConn;
use model::documents::{self, PassHost, Scheme};
use parking_lot::Mutex;
use priority::{Algorithm, Memory, Nodes};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tls::Secured;

/// Attempts at the very most, whatever `retries` says.
const MAX_RETRIES: u32 = 32;
/// Behind it, in the owner of an upstream that a plugin has brought, is the instance of the plugin.
const OWN: char = '\0';

/// How long an upstream may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// Between two writes of the request.
    pub send: Duration,
    /// Between two reads of the answer.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { connect: minute, send: minute, read: minute }
    }
}

impl From<&documents::Timeout> for Timeouts {
    fn from(written: &documents::Timeout) -> Self {
        let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or(Duration::from_secs(60));
        Self { connect: seconds(written.connect), send: seconds(written.send), read: seconds(written.read) }
    }
}

/// An upstream as compiled.
pub struct CompiledUpstream {
    owner: Box<str>,
    registry: Arc<Registry>,
    algorithm: Algorithm,
    nodes: ArcSwap<Nodes>,
    /// Held by who changes the nodes.
    changing: Mutex<()>,
    checker: Option<Arc<Checker>>,
    service: OnceLock<Arc<Service>>,
    default_port: u16,
    pass_host: PassHost,
    upstream_host: Option<Box<str>>,
    secured: Option<Secured>,
    /// Timeouts.
    pub timeouts: Timeouts,
    retries: Option<u32>,
    /// Time after which no further attempt begins.
    pub retry_timeout: Option<Duration>,
    /// How its connections are kept.
    pub pool: Option<PoolLimits>,
}

impl CompiledUpstream {
    /// Whether this version can do all of it.
    ///
    /// # Errors
    /// What it cannot.
    pub fn check(written: &documents::Upstream, registry: &Registry) -> Result<(), String> {
        Self::read(written, registry).map(drop)
    }

    fn read(written: &documents::Upstream, registry: &Registry) -> Result<(Algorithm, Option<Rules>), String> {
        if !matches!(written.scheme, Scheme::Http | Scheme::Https) {
            return Err("only upstreams of the schemes http and https can be reached by this version".to_owned());
        }
        let algorithm = match written.algorithm.as_str() {
            "roundrobin" => Algorithm::RoundRobin,
            "chash" => Algorithm::Chash(HashKey::compile(written)),
            "least_conn" => Algorithm::LeastConn,
            "ewma" => Algorithm::Ewma,
            other => {
                return Err(format!(
                    "the balancer \"{other}\" does not exist, only roundrobin, chash, least_conn and ewma do"
                ));
            }
        };
        match (written.service_name.as_deref(), written.discovery_type.as_deref()) {
            (None, _) => {}
            (Some(_), Some("dns")) if registry.options().discovery.is_some() => {}
            (Some(_), Some("dns")) => {
                return Err("discovery_type dns needs discovery.dns in config.yaml".to_owned());
            }
            (Some(_), other) => {
                let other = other.unwrap_or_default();
                return Err(format!("discovery_type \"{other}\" is not available in this version, only dns is"));
            }
        }
        Ok((algorithm, written.checks.as_ref().map(Rules::compile).transpose()?))
    }

    /// Compiles the upstream of the document `owner`. What was known of the nodes of the one that it replaces stays known.
    /// `shown` is what its servers see over TLS.
    ///
    /// # Errors
    /// What of it this version cannot do; nothing was changed then.
    pub fn compile(
        written: &documents::Upstream,
        owner: &str,
        shown: Shown,
        registry: &Arc<Registry>,
    ) -> Result<Arc<Self>, String> {
        let (algorithm, rules) = Self::read(written, registry)?;
        let this = Arc::new(Self {
            owner: owner.into(),
            registry: registry.clone(),
            algorithm,
            nodes: ArcSwap::from_pointee(Nodes::none()),
            changing: Mutex::default(),
            checker: registry.checker(owner, rules),
            service: OnceLock::new(),
            default_port: written.scheme.default_port().unwrap_or(80),
            pass_host: written.pass_host,
            upstream_host: written.upstream_host.as_deref().map(Into::into),
            secured: (written.scheme == Scheme::Https).then(|| Secured {
                shown,
                verifies: (written.tls.as_ref().and_then(|tls| tls.verify))
                    .unwrap_or_else(|| registry.options().verifies_upstreams),
            }),
            timeouts: written.timeout.as_ref().map(Into::into).unwrap_or_default(),
            retries: written.retries,
            retry_timeout: written.retry_timeout.filter(|t| *t > 0.0).and_then(|t| Duration::try_from_secs_f64(t).ok()),
            pool: written.keepalive_pool.map(|pool| PoolLimits {
                size: usize::try_from(pool.size).unwrap_or(usize::MAX),
                idle_timeout: Duration::try_from_secs_f64(pool.idle_timeout).unwrap_or(Duration::from_secs(60)),
                requests: u64::from(pool.requests),
                ..PoolLimits::default()
            }),
        });
        match &written.service_name {
            Some(name) => {
                let _ = this.service.set(registry.service(name, &this));
            }
            None => this.renew(written.nodes.as_deref().unwrap_or_default()),
        }
        Ok(this)
    }

    /// Compiles an upstream that a plugin has brought. It is a new one with each instance of the plugin, which `instance` tells
    /// apart, and ends with it.
    ///
    /// # Errors
    /// See [`CompiledUpstream::compile`].
    pub fn compile_own(
        written: &documents::Upstream,
        owner: &str,
        instance: usize,
        shown: Shown,
        registry: &Arc<Registry>,
    ) -> Result<Arc<Self>, String> {
        Self::compile(written, &format!("{owner}{OWN}{instance}"), shown, registry)
    }

    /// Follows a change of the nodes. Requests that have begun go on with those that they know.
    fn renew(&self, written: &[documents::Node]) {
        let mut nodes: Vec<Node> = Vec::with_capacity(written.len());
        let mut places = HashMap::new();
        for node in written.iter().map(|node| Node::compile(node, self.default_port)) {
            // Of those that are written twice the last one counts.
            let place = *places.entry((node.address.clone(), node.priority)).or_insert(nodes.len());
            match nodes.get_mut(place) {
                Some(same) => *same = node,
                None => nodes.push(node),
            }
        }
        let _changing = self.changing.lock();
        if let Some(checker) = &self.checker {
            let rewritten_host = self.upstream_host.as_deref().filter(|_| self.pass_host == PassHost::Rewrite);
            checker.assign(&mut nodes, Place { rewritten_host });
        }
        let all: Arc<[Pick]> = nodes.into_iter().map(Arc::new).collect();
        self.nodes.store(Arc::new(Nodes::new(all, &self.algorithm, self.checker.as_deref(), self, None)));
    }

    /// The nodes, grouped by what is known of their health now.
    fn nodes(&self) -> Arc<Nodes> {
        let nodes = self.nodes.load_full();
        let Some(checker) = self.checker.as_deref().filter(|checker| checker.version() != nodes.version) else {
            return nodes;
        };
        let _changing = self.changing.lock();
        let nodes = self.nodes.load_full();
        if checker.version() == nodes.version {
            return nodes;
        }
        let nodes = Arc::new(Nodes::new(nodes.all.clone(), &self.algorithm, Some(checker), self, Some(&nodes)));
        self.nodes.store(nodes.clone());
        nodes
    }

    /// How connections to its nodes are made, if they are over TLS. `object` knows what the ssl objects of clients show.
    ///
    /// # Errors
    /// Those of `object`.
    pub fn tls<E>(&self, object: impl FnOnce(&str) -> Result<Arc<Identity>, E>) -> Result<Option<Arc<TlsSettings>>, E> {
        let Some(Secured { shown, verifies }) = &self.secured else { return Ok(None) };
        let identity = match shown {
            Shown::This(identity) => identity.clone(),
            Shown::Object(id) => object(id)?,
        };
        Ok(Some(self.registry.tls(&identity, *verifies)))
    }

    /// The nodes for one request; from the first one on they are checked.
    pub fn picks(self: &Arc<Self>) -> Picks {
        if let Some(checker) = &self.checker {
            checker.begin();
        }
        Picks::new(self.clone(), self.nodes())
    }

    /// Waits until its nodes are known, or known not to be, where they have to be found first.
    pub async fn settled(&self) {
        if let Some(service) = self.service.get().filter(|_| self.nodes.load().all.is_empty()) {
            service.settled().await;
        }
    }

    /// Whether its nodes have to be found before a request can go there.
    pub fn is_unsettled(&self) -> bool {
        self.service.get().is_some() && self.nodes.load().all.is_empty()
    }

    /// Further attempts after a failed one: one for each other of the `count` nodes, unless it says how many.
    pub fn retries(&self, count: usize) -> u32 {
        let others = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        self.retries.unwrap_or(others).min(MAX_RETRIES)
    }

    /// Whether the health of its nodes depends on their answers to requests.
    pub fn counts_answers(&self) -> bool {
        self.checker.as_ref().is_some_and(|checker| checker.counts_answers())
    }

    /// A request was answered with this status, by this node or in its stead.
    pub fn answered(&self, node: &Node, status: u16) {
        self.report(node, Report::Status(status));
    }

    fn report(&self, node: &Node, report: Report) {
        if let (Some(checker), Some(target)) = (&self.checker, &node.target) {
            checker.report(target, report);
        }
    }

    /// Key of the document that describes it, followed by the plugin if one has brought it.
    pub fn owner(&self) -> &str {
        self.owner.split(OWN).next().unwrap_or_default()
    }

    /// The balancer, as APISIX writes it.
    pub fn balancer(&self) -> &'static str {
        match self.algorithm {
            Algorithm::RoundRobin => "roundrobin",
            Algorithm::Chash(_) => "chash",
            Algorithm::LeastConn => "least_conn",
            Algorithm::Ewma => "ewma",
        }
    }

    /// All its nodes, healthy or not.
    pub fn all_nodes(&self) -> Arc<[Pick]> {
        self.nodes.load().all.clone()
    }

    /// The `Host` that a node sees.
    pub fn host_for(&self, pick: &Node, authority: &[u8]) -> Vec<u8> {
        match (self.pass_host, &self.upstream_host) {
            (PassHost::Pass, _) if !authority.is_empty() => authority.to_vec(),
            (PassHost::Rewrite, Some(host)) => host.as_bytes().to_vec(),
            _ => pick.own_host.to_vec(),
        }
    }
}

impl fmt::Debug for CompiledUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.nodes.load();
        f.debug_struct("CompiledUpstream").field("owner", &self.owner).field("nodes", &nodes).finish_non_exhaustive()
    }
}

impl Drop for CompiledUpstream {
    fn drop(&mut self) {
        // Nobody else ends the checks of an upstream that is no document's.
        if self.owner.contains(OWN) {
            self.registry.forget(&self.owner);
        }
    }
}

impl Memory for CompiledUpstream {
    fn least_conn(&self, priority: i64) -> Arc<LeastConn> {
        self.registry.least_conn(&self.owner, priority)
    }

    fn pace(&self, address: &str) -> Arc<Pace> {
        self.registry.pace(address)
    }
}
