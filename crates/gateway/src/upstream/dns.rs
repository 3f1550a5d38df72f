//! Names of nodes, resolved by each worker for itself and kept for their TTL.

use super::Pick;
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use std::{
    cell::OnceCell,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Names kept per worker.
const CACHE: u64 = 4096;

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
    /// Name servers; those of `/etc/resolv.conf` when empty.
    pub servers: Vec<SocketAddr>,
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
}

impl Resolver {
    /// Does nothing before the first name.
    pub fn new(options: DnsOptions) -> Self {
        Self { options, resolver: OnceCell::new() }
    }

    /// The address of a node; one of several, chosen anew each time.
    ///
    /// # Errors
    /// When the name has none, or the name servers do not answer in time.
    pub async fn resolve(&self, node: &Pick) -> Result<SocketAddr, Unresolved> {
        if let Some(ip) = node.ip {
            return Ok(SocketAddr::new(ip, node.port));
        }
        let unresolved = |reason: String| Unresolved { name: node.host.to_string(), reason };
        let resolver =
            self.resolver.get_or_init(|| build(&self.options)).as_ref().map_err(|e| unresolved(e.clone()))?;
        let lookup = tokio::time::timeout(self.options.timeout, resolver.lookup_ip(&*node.host))
            .await
            .map_err(|_| unresolved("no answer in time".to_owned()))?
            .map_err(|error| unresolved(error.to_string()))?;
        let addrs: Vec<IpAddr> = lookup.iter().collect();
        // IPv4 first, as nginx's resolver without ipv6=on would give.
        let v4: Vec<IpAddr> = addrs.iter().copied().filter(IpAddr::is_ipv4).collect();
        let pool = if v4.is_empty() { addrs } else { v4 };
        let at = if pool.is_empty() { 0 } else { rand::random_range(0..pool.len()) };
        let ip = pool.get(at).ok_or_else(|| unresolved("no address".to_owned()))?;
        Ok(SocketAddr::new(*ip, node.port))
    }
}

fn build(options: &DnsOptions) -> Result<TokioResolver, String> {
    let mut builder = if options.servers.is_empty() {
        TokioResolver::builder_tokio().map_err(|error| error.to_string())?
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
    opts.cache_size = CACHE;
    opts.negative_max_ttl = Some(Duration::from_secs(5));
    if let Some(valid) = options.valid {
        opts.positive_min_ttl = Some(valid);
        opts.positive_max_ttl = Some(valid);
    }
    builder.build().map_err(|error| error.to_string())
}
