//! Upstreams as compiled, and the choice of a node.

pub mod dns;

use engine::PoolLimits;
use model::documents::{self, PassHost, Scheme};
use smallvec::SmallVec;
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Longest cycle of the weighted round robin; larger weights are scaled down to it.
const MAX_CYCLE: u64 = 4096;
/// Attempts at the very most, whatever `retries` says.
const MAX_RETRIES: u32 = 32;

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

/// A node as compiled.
#[derive(Debug)]
pub struct Node {
    /// As configured, with its port when it has one.
    pub name: Arc<str>,
    /// Host without port.
    pub host: Box<str>,
    /// Its address, unless the host is a name.
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// The `Host` that it sees when it is named by its own name.
    own_host: Box<[u8]>,
    priority: i64,
}

/// A node that was picked.
pub type Pick = Arc<Node>;

impl Node {
    /// As configured.
    pub fn name(&self) -> Arc<str> {
        self.name.clone()
    }
}

/// An upstream as compiled.
#[derive(Debug)]
pub struct CompiledUpstream {
    nodes: Vec<Arc<Node>>,
    /// Indexes of nodes in the order of the weighted round robin.
    cycle: Vec<u16>,
    cursor: AtomicUsize,
    pass_host: PassHost,
    upstream_host: Option<Box<str>>,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Further attempts after a failed one.
    pub retries: u32,
    /// Time after which no further attempt begins.
    pub retry_timeout: Option<Duration>,
    /// How its connections are kept.
    pub pool: Option<PoolLimits>,
}

impl CompiledUpstream {
    /// Compiles an upstream.
    ///
    /// # Errors
    /// What of it this version cannot do.
    pub fn compile(written: &documents::Upstream) -> Result<Self, String> {
        if written.scheme != Scheme::Http {
            return Err("only upstreams of the scheme http can be reached by this version".to_owned());
        }
        if written.algorithm != "roundrobin" {
            return Err(format!(
                "the balancer \"{}\" is not available in this version, only roundrobin is",
                written.algorithm
            ));
        }
        if written.checks.is_some() {
            return Err("health checks are not available in this version".to_owned());
        }
        if written.discovery_type.is_some() || written.service_name.is_some() {
            return Err("service discovery is not available in this version".to_owned());
        }
        let default_port = written.scheme.default_port().unwrap_or(80);
        let mut nodes = Vec::new();
        let mut weights = Vec::new();
        for node in written.nodes.iter().flatten() {
            let name = match node.port {
                Some(port) => format!("{}:{port}", node.host),
                None => node.host.clone(),
            };
            nodes.push(Arc::new(Node {
                name: name.into(),
                host: node.host.as_str().into(),
                ip: node.ip(),
                port: node.port.unwrap_or(default_port),
                own_host: match node.port {
                    Some(port) if port != default_port => format!("{}:{port}", node.host).into_bytes().into(),
                    _ => node.host.as_bytes().into(),
                },
                priority: node.priority,
            }));
            weights.push(u64::from(node.weight));
        }
        let usable = weights.iter().filter(|w| **w > 0).count();
        let retries = written.retries.unwrap_or_else(|| u32::try_from(usable.saturating_sub(1)).unwrap_or(u32::MAX));
        let cycle = cycle(&nodes, &weights);
        Ok(Self {
            cursor: AtomicUsize::new(if cycle.is_empty() { 0 } else { rand::random_range(0..cycle.len()) }),
            cycle,
            nodes,
            pass_host: written.pass_host,
            upstream_host: written.upstream_host.as_deref().map(Into::into),
            timeouts: written.timeout.as_ref().map(Into::into).unwrap_or_default(),
            retries: retries.min(MAX_RETRIES),
            retry_timeout: written.retry_timeout.filter(|t| *t > 0.0).and_then(|t| Duration::try_from_secs_f64(t).ok()),
            pool: written.keepalive_pool.map(|pool| PoolLimits {
                size: usize::try_from(pool.size).unwrap_or(usize::MAX),
                idle_timeout: Duration::try_from_secs_f64(pool.idle_timeout).unwrap_or(Duration::from_secs(60)),
                requests: u64::from(pool.requests),
                ..PoolLimits::default()
            }),
        })
    }

    /// The nodes for one request: the next of the round robin, then those that were not tried yet; higher priorities first.
    pub fn picks(&self) -> Picks<'_> {
        let at = self.cursor.fetch_add(1, Ordering::Relaxed);
        Picks { upstream: self, at, tried: SmallVec::new(), given: 0 }
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

/// See [`CompiledUpstream::picks`].
#[derive(Debug)]
pub struct Picks<'a> {
    upstream: &'a CompiledUpstream,
    at: usize,
    tried: SmallVec<[u16; 4]>,
    given: usize,
}

impl Iterator for Picks<'_> {
    type Item = Pick;

    fn next(&mut self) -> Option<Pick> {
        let cycle = &self.upstream.cycle;
        let nodes = &self.upstream.nodes;
        let mut best: Option<(usize, u16, i64)> = None;
        for step in 0..cycle.len() {
            let index = *cycle.get((self.at.wrapping_add(step)) % cycle.len())?;
            if self.tried.contains(&index) {
                continue;
            }
            let priority = nodes.get(usize::from(index))?.priority;
            if best.is_none_or(|(.., p)| priority > p) {
                best = Some((step, index, priority));
                if self.upstream.is_flat() {
                    break;
                }
            }
        }
        let index = match best {
            Some((step, index, _)) => {
                self.at = self.at.wrapping_add(step);
                index
            }
            // All were tried: another turn, for whom `retries` allows more attempts than there are nodes.
            None if !self.tried.is_empty() => {
                let again = *self.tried.get(self.given % self.tried.len())?;
                self.given += 1;
                return nodes.get(usize::from(again)).cloned();
            }
            None => return None,
        };
        self.tried.push(index);
        self.given += 1;
        nodes.get(usize::from(index)).cloned()
    }
}

impl CompiledUpstream {
    fn is_flat(&self) -> bool {
        let mut priorities = self.nodes.iter().map(|n| n.priority);
        let first = priorities.next();
        priorities.all(|p| Some(p) == first)
    }
}

/// The order of a weighted round robin that spreads each node's turns evenly (as nginx' smooth one does).
fn cycle(nodes: &[Arc<Node>], weights: &[u64]) -> Vec<u16> {
    let sum: u64 = weights.iter().sum();
    if sum == 0 || nodes.len() > usize::from(u16::MAX) {
        return Vec::new();
    }
    let divisor = weights.iter().copied().filter(|w| *w > 0).fold(0, gcd).max(1);
    let mut scaled: Vec<u64> = weights.iter().map(|w| w / divisor).collect();
    let total: u64 = scaled.iter().sum();
    if total > MAX_CYCLE {
        for weight in scaled.iter_mut().filter(|w| **w > 0) {
            *weight = (u128::from(*weight) * u128::from(MAX_CYCLE) / u128::from(total)).max(1) as u64;
        }
    }
    let total: i64 = scaled.iter().sum::<u64>() as i64;
    let mut current = vec![0i64; scaled.len()];
    let mut order = Vec::with_capacity(total as usize);
    for _ in 0..total {
        for (value, weight) in current.iter_mut().zip(&scaled) {
            *value += *weight as i64;
        }
        let best = current.iter().enumerate().rev().max_by_key(|(_, v)| **v).map_or(0, |(i, _)| i);
        if let Some(value) = current.get_mut(best) {
            *value -= total;
        }
        order.push(best as u16);
    }
    order
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(value: &serde_json::Value) -> CompiledUpstream {
        CompiledUpstream::compile(&documents::Upstream::parse(value).unwrap()).unwrap()
    }

    #[test]
    fn weights_are_kept_over_a_cycle_and_zero_is_never_picked() {
        let upstream = compile(&json!({"nodes": {"10.0.0.1:80": 3, "10.0.0.2:80": 1, "10.0.0.3:80": 0}}));
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..400 {
            *counts.entry(upstream.picks().next().unwrap().name.to_string()).or_insert(0) += 1;
        }
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("10.0.0.1:80".into(), 300), ("10.0.0.2:80".into(), 100)]);
    }

    #[test]
    fn a_retry_takes_another_node_and_lower_priorities_come_last() {
        let upstream = compile(&json!({"nodes": [
            {"host": "10.0.0.1", "port": 1, "weight": 1},
            {"host": "10.0.0.2", "port": 1, "weight": 1},
            {"host": "10.0.0.3", "port": 1, "weight": 9, "priority": -1}
        ]}));
        for _ in 0..20 {
            let names: Vec<_> = upstream.picks().take(3).map(|p| p.name.to_string()).collect();
            assert_eq!(names[2], "10.0.0.3:1");
            assert_ne!(names[0], names[1]);
        }
        assert_eq!(upstream.retries, 2);
    }

    #[test]
    fn no_nodes_no_pick() {
        assert!(compile(&json!({"nodes": []})).picks().next().is_none());
    }
}
