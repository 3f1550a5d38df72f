//! What is kept of upstreams over their changes: what runs on nodes, how fast they are, how they are. The only place where a changed
//! upstream meets the one that it replaces.

use super::{
    CompiledUpstream, OWN,
    discovery::{Discovery, Service},
    dns::{self, DnsOptions},
    ewma::Pace,
    health::{Checker, Rounds, Rules, Target},
    least_conn::LeastConn,
    tls::{Identities, Identity},
};
use engine::tls::{BadCertificate, Roots, TlsSettings};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(100);

/// What settings say of upstreams.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// `apisix.disable_upstream_healthcheck`.
    pub checks_nothing: bool,
    /// Where services are looked up; `None` when `discovery.dns` is not written.
    pub discovery: Option<DiscoveryOptions>,
    /// Whether the certificates of servers are verified where nobody wrote anything about it.
    pub verifies_upstreams: bool,
    /// Whom servers' certificates are verified against.
    pub roots: Roots,
}

/// `discovery.dns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryOptions {
    /// Name servers; those of `resolv_conf` when empty.
    pub servers: Vec<std::net::SocketAddr>,
    /// A file with name servers and search domains; `None` is `/etc/resolv.conf`.
    pub resolv_conf: Option<std::path::PathBuf>,
    /// What is asked for, in this order, until there is an answer.
    pub order: Vec<model::settings::RecordType>,
}

/// See the module.
#[derive(Default)]
#[allow(missing_debug_implementations)]
pub struct Registry {
    options: RwLock<RegistryOptions>,
    least_conn: Kept<LeastConn>,
    paces: Kept<Pace>,
    checkers: Mutex<HashMap<Box<str>, Arc<Checker>>>,
    discovery: Discovery,
    identities: Identities,
}

impl Registry {
    /// Says what settings say; before the configuration is compiled.
    pub fn configure(&self, options: RegistryOptions) {
        *self.options.write() = options;
    }

    /// What settings say.
    pub(super) fn options(&self) -> RegistryOptions {
        self.options.read().clone()
    }

    pub(super) fn least_conn(&self, owner: &str, priority: i64) -> Arc<LeastConn> {
        self.least_conn.get(&format!("{owner}#{priority}"))
    }

    pub(super) fn pace(&self, address: &str) -> Arc<Pace> {
        self.paces.get(address)
    }

    /// The checker of an upstream with these checks; `None` ends the one that there was.
    pub(super) fn checker(&self, owner: &str, rules: Option<Rules>) -> Option<Arc<Checker>> {
        let mut checkers = self.checkers.lock();
        let Some(rules) = rules.filter(|_| !self.options.read().checks_nothing) else {
            if let Some(checker) = checkers.remove(owner) {
                checker.end();
            }
            return None;
        };
        if let Some(checker) = checkers.get(owner) {
            checker.follow(rules);
            return Some(checker.clone());
        }
        let checker = Arc::new(Checker::new(owner, rules));
        checkers.insert(owner.into(), checker.clone());
        Some(checker)
    }

    /// The owner has no upstream any more.
    pub(crate) fn forget(&self, owner: &str) {
        self.checker(owner, None);
    }

    /// Whether the certificates of servers are verified where nobody wrote anything about it.
    pub(crate) fn verifies_upstreams(&self) -> bool {
        self.options.read().verifies_upstreams
    }

    /// Whom this certificate and key show; both are in PEM.
    ///
    /// # Errors
    /// What of it cannot be used.
    pub fn identity(&self, cert: &str, key: &str) -> Result<Arc<Identity>, BadCertificate> {
        self.identities.of(cert, key)
    }

    /// Who shows nothing.
    pub fn nobody(&self) -> Arc<Identity> {
        self.identities.nobody().clone()
    }

    /// How connections over TLS are made that show `identity`.
    pub fn tls(&self, identity: &Identity, verifies: bool) -> Arc<TlsSettings> {
        self.identities.settings(identity, verifies, || self.options.read().roots.clone())
    }

    /// The service that an upstream asks for.
    pub(super) fn service(&self, name: &str, upstream: &Arc<CompiledUpstream>) -> Arc<Service> {
        self.discovery.subscribe(name, upstream)
    }

    /// What is checked of the upstream of a document.
    pub fn targets(&self, owner: &str) -> Vec<Arc<Target>> {
        let checker = self.checkers.lock().get(owner).cloned();
        checker.map(|checker| checker.targets()).unwrap_or_default()
    }

    /// The documents whose upstreams are checked, and what is checked there.
    pub fn all_targets(&self) -> Vec<(Box<str>, Vec<Arc<Target>>)> {
        let checkers: Vec<_> = self.checkers.lock().values().cloned().collect();
        let shown = |owner: &str| owner.split(OWN).next().unwrap_or_default().into();
        checkers.into_iter().map(|checker| (shown(&checker.owner), checker.targets())).collect()
    }

    /// Checks nodes and looks services up, until the runtime ends. Names of nodes are resolved as `dns` says.
    pub async fn run(self: Arc<Self>, dns: DnsOptions) {
        let options = self.options();
        let unnamed = [false, true].map(|verifies| self.tls(&self.nobody(), verifies));
        let rounds = Rounds::new(dns::resolver(&dns, 1024), unnamed);
        let services = options.discovery.map(|options| self.discovery.lookups(options));
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.discovery.is_asked() => {}
            }
            let now = Instant::now();
            if let Some(services) = &services {
                services.begin(&self.discovery, now);
            }
            let checkers: Vec<_> = self.checkers.lock().values().cloned().collect();
            for checker in checkers {
                rounds.begin(&checker, now);
            }
        }
    }
}

/// Values that live as long as somebody holds them.
struct Kept<T>(Mutex<HashMap<Box<str>, Weak<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Kept<T> {
    fn get(&self, key: &str) -> Arc<T> {
        let mut values = self.0.lock();
        if let Some(value) = values.get(key).and_then(Weak::upgrade) {
            return value;
        }
        if values.len().is_power_of_two() {
            values.retain(|_, value| value.strong_count() > 0);
        }
        let value = Arc::new(T::default());
        values.insert(key.into(), Arc::downgrade(&value));
        value
    }
}
