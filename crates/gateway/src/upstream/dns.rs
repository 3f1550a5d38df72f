//! Names of nodes, resolved by each worker for itself and kept for their TTL.

#[cfg(test)]
mod tests;

use super::Pick;
use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    system_conf::parse_resolv_conf,
};
use std::{
    cell::{OnceCell, RefCell},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

/// Names kept per worker.
const CACHE: usize = 4096;
/// Answers that a worker's resolver keeps itself; they are kept here by name, and would only be kept twice.
const OWN_CACHE: u64 = 16;
/// How long a name without an address is not asked for again.
const NEGATIVE: Duration = Duration::from_secs(1);

/// A name has no address now.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve \"{name}\": {reason}")]
pub struct Unresolved {
    name: String,
    reason: String,
}

/// Where names are resolved.
#[derive(Debug, Clone)]
pub struct DnsOptions {
    /// Name servers; those of `resolv_conf` when empty.
    pub servers: Vec<SocketAddr>,
    /// A file with name servers and search domains; `None` is `/etc/resolv.conf`.
    pub resolv_conf: Option<PathBuf>,
    /// How long an answer counts, instead of its TTL.
    pub valid: Option<Duration>,
    /// Time for one lookup.
    pub timeout: Duration,
}

/// One worker's resolver.
#[allow(missing_debug_implementations)]
pub struct Resolver {
    options: DnsOptions,
    resolver: OnceCell<Result<TokioResolver, String>>,
    names: RefCell<foldhash::HashMap<Box<str>, Name>>,
}

/// What is known of a name.
#[derive(Clone)]
enum Name {
    Known {
        answer: Answer,
        until: Instant,
    },
    /// Somebody asks already; whoever else wants it waits with him.
    Asked {
        lookup: Lookup,
        since: Instant,
    },
}

type Lookup = Shared<LocalBoxFuture<'static, (Answer, Instant)>>;

/// Addresses, of which there is at least one, or why there are none.
type Answer = Result<Rc<[IpAddr]>, Rc<str>>;

impl Resolver {
    /// Does nothing before the first name.
    pub fn new(options: DnsOptions) -> Self {
        Self { options, resolver: OnceCell::new(), names: RefCell::default() }
    }

    /// The address of a node; one of several, chosen anew each time.
    ///
    /// # Errors
    /// When the name has none, or the name servers do not answer in time.
    pub async fn resolve(&self, node: &Pick) -> Result<SocketAddr, Unresolved> {
        if let Some(ip) = node.ip {
            return Ok(SocketAddr::new(ip, node.port));
        }
        let unresolved = |reason: &str| Unresolved { name: node.host.to_string(), reason: reason.to_owned() };
        let known = self.names.borrow().get(&node.host).cloned();
        let answer = match known {
            Some(Name::Known { answer, until }) if until > Instant::now() => answer,
            // One that everybody has left stands still; after its time it is not worth joining.
            Some(Name::Asked { lookup, since }) if since.elapsed() < self.options.timeout => {
                self.wait(&node.host, lookup).await
            }
            _ => {
                let resolver = self
                    .resolver
                    .get_or_init(|| resolver(&self.options, OWN_CACHE))
                    .as_ref()
                    .map_err(|e| unresolved(e))?;
                let lookup = ask(resolver.clone(), node.host.clone(), self.options.clone()).boxed_local().shared();
                self.remember(&node.host, Name::Asked { lookup: lookup.clone(), since: Instant::now() });
                self.wait(&node.host, lookup).await
            }
        };
        let addrs = answer.map_err(|reason| unresolved(&reason))?;
        let at = if addrs.len() > 1 { rand::random_range(0..addrs.len()) } else { 0 };
        let ip = addrs.get(at).ok_or_else(|| unresolved("no address"))?;
        Ok(SocketAddr::new(*ip, node.port))
    }

    async fn wait(&self, name: &str, lookup: Lookup) -> Answer {
        let (answer, until) = lookup.await;
        self.remember(name, Name::Known { answer: answer.clone(), until });
        answer
    }

    fn remember(&self, name: &str, known: Name) {
        let mut names = self.names.borrow_mut();
        if names.len() >= CACHE && !names.contains_key(name) {
            let now = Instant::now();
            names.retain(|_, name| matches!(name, Name::Known { until, .. } if *until > now));
            if names.len() >= CACHE {
                names.clear();
            }
        }
        names.insert(name.into(), known);
    }
}

/// Asks for the addresses of a name; says until when the answer counts.
async fn ask(resolver: TokioResolver, name: Box<str>, options: DnsOptions) -> (Answer, Instant) {
    let outcome = tokio::time::timeout(options.timeout, resolver.lookup_ip(&*name)).await;
    let now = Instant::now();
    let lookup = match outcome {
        Err(_) => return (Err("no answer in time".into()), now + NEGATIVE),
        Ok(Err(error)) => return (Err(error.to_string().into()), now + NEGATIVE),
        Ok(Ok(lookup)) => lookup,
    };
    let addrs: Vec<IpAddr> = lookup.iter().collect();
    // IPv4 first, as nginx's resolver without ipv6=on would give.
    let v4: Rc<[IpAddr]> = addrs.iter().copied().filter(IpAddr::is_ipv4).collect();
    match (v4.is_empty(), addrs.is_empty()) {
        (_, true) => (Err("no address".into()), now + NEGATIVE),
        (true, false) => (Ok(addrs.into()), options.valid.map_or(lookup.valid_until(), |valid| now + valid)),
        (false, false) => (Ok(v4), options.valid.map_or(lookup.valid_until(), |valid| now + valid)),
    }
}

/// The name servers and search domains that a file says.
///
/// # Errors
/// It cannot be read, or names no server.
pub fn read_resolv_conf(path: &Path) -> Result<(ResolverConfig, ResolverOpts), String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let text = std::fs::read(path).map_err(|error| wrong(&error))?;
    parse_resolv_conf(text).map_err(|error| wrong(&error))
}

/// A resolver that keeps so many answers itself.
///
/// # Errors
/// Why there is none: the system's configuration cannot be read.
pub(super) fn resolver(options: &DnsOptions, cache: u64) -> Result<TokioResolver, String> {
    let mut builder = if options.servers.is_empty() {
        let path = options.resolv_conf.as_deref().unwrap_or(Path::new("/etc/resolv.conf"));
        let (config, options) = read_resolv_conf(path)?;
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options)
    } else {
        let servers = options.servers.iter().map(|server| {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            for connection in &mut config.connections {
                connection.port = server.port();
            }
            config
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let opts = builder.options_mut();
    opts.timeout = options.timeout;
    opts.cache_size = cache;
    opts.negative_max_ttl = Some(NEGATIVE);
    if let Some(valid) = options.valid {
        opts.positive_min_ttl = Some(valid);
        opts.positive_max_ttl = Some(valid);
    }
    builder.build().map_err(|error| error.to_string())
}
