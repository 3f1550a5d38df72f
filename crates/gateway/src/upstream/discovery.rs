//! Services that are found in DNS.
//!
//! A service is looked up by the background, for all upstreams that ask for it, and again when its records end. Its nodes change in
//! one step. While name servers do not answer, the nodes that are known stay; when they say that there is no such service, there are
//! none.

use super::{CompiledUpstream, dns, registry::DiscoveryOptions};
use hickory_resolver::{
    TokioResolver,
    net::NetError,
    proto::rr::{RData, RecordType as Rr},
};
use model::{documents::Node, settings::RecordType};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore, watch};

/// Records are looked up again so soon at the earliest.
const MIN_TTL: Duration = Duration::from_secs(1);
/// A lookup may take so long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Lookups at the same time.
const MAX_LOOKUPS: usize = 32;
/// Nodes that a service may have.
const MAX_NODES: usize = 4096;

/// The services that upstreams ask for.
#[derive(Default)]
pub(super) struct Discovery {
    services: Mutex<HashMap<Box<str>, Arc<Service>>>,
    asked: Notify,
}

/// A service, by its name.
pub(crate) struct Service {
    name: Box<str>,
    known: Mutex<Known>,
    is_settled: watch::Sender<bool>,
}

#[derive(Default)]
struct Known {
    /// When it is looked up again; `None` while it is.
    due: Option<Instant>,
    is_asked: bool,
    nodes: Arc<[Node]>,
    upstreams: Vec<Weak<CompiledUpstream>>,
}

impl Service {
    /// Waits until the first lookup has ended, however.
    pub(crate) async fn settled(&self) {
        // It ends with the service, which the caller holds.
        let _ = self.is_settled.subscribe().wait_for(|is_settled| *is_settled).await;
    }

    fn settle(&self, found: Result<Found, Failed>) {
        let mut known = self.known.lock();
        let now = Instant::now();
        known.is_asked = false;
        let nodes = match found {
            Ok(Found { nodes, until }) => {
                known.due = Some(until.max(now + MIN_TTL));
                nodes
            }
            Err(Failed { reason, is_certain }) => {
                tracing::error!(service = %self.name, reason, kept = known.nodes.len(), is_certain, "a service cannot be looked up");
                known.due = Some(now + MIN_TTL);
                if is_certain { Arc::from([]) } else { known.nodes.clone() }
            }
        };
        if nodes != known.nodes {
            tracing::info!(service = %self.name, nodes = nodes.len(), "a service has other nodes");
            known.nodes = nodes;
            for upstream in known.upstreams.iter().filter_map(Weak::upgrade) {
                upstream.renew(&known.nodes);
            }
        }
        self.is_settled.send_replace(true);
    }
}

impl Discovery {
    /// Keeps an upstream's nodes those of a service, from those that are known on.
    pub(super) fn subscribe(&self, name: &str, upstream: &Arc<CompiledUpstream>) -> Arc<Service> {
        let mut services = self.services.lock();
        let service = services.entry(name.into()).or_insert_with(|| {
            Arc::new(Service { name: name.into(), known: Mutex::default(), is_settled: watch::Sender::new(false) })
        });
        let mut known = service.known.lock();
        known.upstreams.retain(|upstream| upstream.strong_count() > 0);
        known.upstreams.push(Arc::downgrade(upstream));
        upstream.renew(&known.nodes);
        self.asked.notify_one();
        service.clone()
    }

    /// Waits until somebody has asked for a service.
    pub(super) async fn is_asked(&self) {
        self.asked.notified().await;
    }

    pub(super) fn lookups(&self, options: DiscoveryOptions) -> Lookups {
        let DiscoveryOptions { servers, resolv_conf, .. } = options;
        let dns = dns::DnsOptions { servers, resolv_conf, valid: None, timeout: Duration::from_secs(2) };
        let resolver = dns::resolver(&dns, 0);
        Lookups { resolver, order: options.order.into(), slots: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

/// Who looks services up.
pub(super) struct Lookups {
    resolver: Result<TokioResolver, String>,
    order: Arc<[RecordType]>,
    slots: Arc<Semaphore>,
}

impl Lookups {
    /// Begins what is due, and forgets services for which nobody asks any more.
    pub(super) fn begin(&self, discovery: &Discovery, now: Instant) {
        let mut services = discovery.services.lock();
        services.retain(|_, service| {
            let mut known = service.known.lock();
            if !known.upstreams.iter().any(|upstream| upstream.strong_count() > 0) {
                return false;
            }
            if known.is_asked || known.due.is_some_and(|due| now < due) {
                return true;
            }
            known.is_asked = true;
            tokio::spawn(look_up(service.clone(), self.resolver.clone(), self.order.clone(), self.slots.clone()));
            true
        });
    }
}

async fn look_up(
    service: Arc<Service>,
    resolver: Result<TokioResolver, String>,
    order: Arc<[RecordType]>,
    slots: Arc<Semaphore>,
) {
    let Ok(_slot) = slots.acquire().await else { return };
    let found = match resolver {
        Err(reason) => Err(Failed { reason, is_certain: false }),
        Ok(resolver) => match tokio::time::timeout(TIMEOUT, find(&resolver, &service.name, &order)).await {
            Ok(found) => found,
            Err(_) => Err(Failed { reason: "no answer in time".to_owned(), is_certain: false }),
        },
    };
    service.settle(found);
}

struct Found {
    nodes: Arc<[Node]>,
    until: Instant,
}

/// Why nothing was found. Certain is only what a name server has said.
struct Failed {
    reason: String,
    is_certain: bool,
}

impl From<NetError> for Failed {
    fn from(error: NetError) -> Self {
        Self { is_certain: error.is_no_records_found(), reason: error.to_string() }
    }
}

/// The nodes of a service, which is a name and perhaps a port, from the first kind of record that it has.
async fn find(resolver: &TokioResolver, service: &str, order: &[RecordType]) -> Result<Found, Failed> {
    let (name, port) = match service.rsplit_once(':') {
        Some((name, port)) => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (service, None),
        },
        None => (service, None),
    };
    let mut failed = Failed { reason: "no records of any type".to_owned(), is_certain: true };
    for kind in order {
        let found = match kind {
            RecordType::Srv => srv(resolver, name, port).await,
            RecordType::A => addresses(resolver, name, port, Rr::A).await,
            RecordType::Aaaa => addresses(resolver, name, port, Rr::AAAA).await,
        };
        match found {
            Ok(found) => return Ok(found),
            // One server that is silent says nothing of what another type would have.
            Err(other) if failed.is_certain || !other.is_certain => failed = other,
            Err(_) => {}
        }
    }
    Err(failed)
}

async fn ask(resolver: &TokioResolver, name: &str, kind: Rr) -> Result<(Vec<IpAddr>, Instant), Failed> {
    let lookup = resolver.lookup(name, kind).await?;
    let ips = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    });
    let ips: Vec<_> = ips.collect();
    if ips.is_empty() {
        return Err(Failed { reason: format!("no {kind} records"), is_certain: true });
    }
    Ok((ips, lookup.valid_until()))
}

async fn addresses(resolver: &TokioResolver, name: &str, port: Option<u16>, kind: Rr) -> Result<Found, Failed> {
    let (ips, until) = ask(resolver, name, kind).await?;
    Ok(Found { nodes: sorted(ips.into_iter().map(|ip| node(ip, port, 1, 0))), until })
}

/// A node for each address of each record's target. A record's weight is shared out among its addresses, and all weights are
/// multiplied so that they stay whole; weight 0 counts as 1.
async fn srv(resolver: &TokioResolver, name: &str, port: Option<u16>) -> Result<Found, Failed> {
    let lookup = resolver.lookup(name, Rr::SRV).await?;
    let mut until = lookup.valid_until();
    let records = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => Some(srv),
        _ => None,
    });
    let mut resolved = Vec::new();
    for record in records.take(MAX_NODES) {
        let target = record.target.to_ascii();
        let found = match ask(resolver, &target, Rr::A).await {
            Err(failed) if failed.is_certain => ask(resolver, &target, Rr::AAAA).await,
            found => found,
        };
        let (ips, valid) = found.map_err(|Failed { reason, is_certain }| Failed {
            reason: format!("{target}, to which SRV records lead: {reason}"),
            is_certain,
        })?;
        until = until.min(valid);
        resolved.push((record, ips));
    }
    if resolved.is_empty() {
        return Err(Failed { reason: "no SRV records".to_owned(), is_certain: true });
    }
    let multiple = resolved.iter().fold(1u64, |multiple, (_, ips)| lcm(multiple, ips.len() as u64));
    let nodes = resolved.into_iter().flat_map(|(record, ips)| {
        let weight = u64::from(record.weight.max(1)).saturating_mul(multiple) / ips.len() as u64;
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let port = port.or(Some(record.port).filter(|port| *port != 0));
        let priority = -i64::from(record.priority);
        ips.into_iter().map(move |ip| node(ip, port, weight, priority))
    });
    Ok(Found { nodes: sorted(nodes), until })
}

fn node(ip: IpAddr, port: Option<u16>, weight: u32, priority: i64) -> Node {
    let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    Node { host, port, weight, priority, metadata: None }
}

/// Name servers turn their records from answer to answer, which is no change.
fn sorted(nodes: impl Iterator<Item = Node>) -> Arc<[Node]> {
    let mut nodes: Vec<_> = nodes.collect();
    nodes.sort_by(|a, b| (&a.host, a.port, a.priority, a.weight).cmp(&(&b.host, b.port, b.priority, b.weight)));
    nodes.dedup();
    nodes.truncate(MAX_NODES);
    nodes.into()
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}
