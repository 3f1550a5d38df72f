use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Counters of the whole gateway, written by the engine's side and read by exporters.
#[derive(Debug, Default)]
#[allow(missing_docs)] // named as nginx's stub_status names them
pub struct Stats {
    pub accepted: AtomicU64,
    pub handled: AtomicU64,
    pub active: AtomicU64,
    pub reading: AtomicU64,
    pub writing: AtomicU64,
    pub waiting: AtomicU64,
    pub requests: AtomicU64,
    /// Requests refused before a route was looked for, because they were malformed or over a limit.
    pub refused: AtomicU64,
    /// Panics caught in plugins.
    pub panics: Panics,
    /// Objects of the configuration that are quarantined now.
    pub problems: AtomicU64,
    /// Revision of the configuration in force.
    pub revision: AtomicU64,
    /// What health checks see.
    pub health: Health,
    /// Configurations that could not be read, with a configuration file.
    pub reloads: Reloads,
}

/// A node as health checks see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Key of the document whose upstream it belongs to.
    pub upstream: String,
    /// Its address, or its name.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// Whether requests go there.
    pub is_usable: bool,
}

type Provider = Box<dyn Fn() -> Vec<NodeStatus> + Send + Sync>;

/// What health checks see, whenever somebody looks.
#[derive(Default)]
pub struct Health(OnceLock<Provider>);

impl Health {
    /// Says who knows; the first who says so does.
    pub fn provide(&self, provider: impl Fn() -> Vec<NodeStatus> + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(provider));
    }

    /// The nodes that are checked.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.0.get().map(|provider| provider()).unwrap_or_default()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").finish_non_exhaustive()
    }
}

/// How often a new version of the configuration file could not be taken, and why the last one could not.
#[derive(Debug, Default)]
pub struct Reloads {
    versions: AtomicU64,
    failures: AtomicU64,
    problem: Mutex<Option<String>>,
}

impl Reloads {
    /// The file says what is in force.
    pub fn succeeded(&self) {
        self.versions.fetch_add(1, Ordering::Relaxed);
        *self.problem.lock() = None;
    }

    /// The file says something that cannot be used.
    pub fn failed(&self, reason: &str) {
        self.versions.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.problem.lock() = Some(reason.to_owned());
    }

    /// Whether there is such a file at all.
    pub fn is_followed(&self) -> bool {
        self.versions.load(Ordering::Relaxed) > 0
    }

    /// How often it could not.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Why it cannot be used now.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }
}

/// How often each plugin has panicked. There are only so many plugins.
#[derive(Debug, Default)]
pub struct Panics(Mutex<BTreeMap<&'static str, u64>>);

impl Panics {
    /// Counts one.
    pub fn count(&self, plugin: &'static str) {
        *self.0.lock().entry(plugin).or_default() += 1;
    }

    /// The plugins that have panicked, by name.
    pub fn by_plugin(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}
