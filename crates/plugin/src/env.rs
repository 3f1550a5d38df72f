use crate::{BodyLimits, Clock, Stats};
use foldhash::HashMap;
use model::differences::Compat;
use parking_lot::Mutex;
use std::{
    any::{Any, TypeId},
    sync::{Arc, Weak},
    time::Duration,
};

/// Which node this is.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    /// `apisix.id`, or what was made at the first start.
    pub id: String,
    /// When it was started, since the Unix epoch.
    pub started: Duration,
}

/// Process-wide state that plugin instances share: a weak registry by type and key, so that what nobody uses dies.
#[derive(Default)]
#[allow(missing_debug_implementations)]
pub struct Shared {
    entries: Mutex<HashMap<(TypeId, String), Weak<dyn Any + Send + Sync>>>,
    /// Values that live as long as the gateway.
    kept: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    /// Counters of the whole gateway.
    pub stats: Stats,
    /// The clock that counters run by.
    pub clock: Clock,
    /// What request bodies in memory may cost.
    pub bodies: BodyLimits,
    /// Which node this is.
    pub node: NodeFacts,
    /// Ports on which clients are said to reach us over TLS.
    pub https_ports: Vec<u16>,
}

impl Shared {
    /// With bounds on request bodies.
    pub fn with_bodies(bodies: BodyLimits) -> Self {
        Self { bodies, ..Self::default() }
    }

    /// With a clock of the caller's.
    pub fn with_clock(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// The value of this type under a key; made by `init` when nobody holds one.
    pub fn keyed<T: Send + Sync + 'static>(&self, key: &str, init: impl FnOnce() -> T) -> Arc<T> {
        let mut entries = self.entries.lock();
        let slot = (TypeId::of::<T>(), key.to_owned());
        if let Some(live) = entries.get(&slot).and_then(Weak::upgrade).and_then(|any| any.downcast::<T>().ok()) {
            return live;
        }
        let made = Arc::new(init());
        let any: Arc<dyn Any + Send + Sync> = made.clone();
        entries.insert(slot, Arc::downgrade(&any));
        if entries.len().is_power_of_two() {
            entries.retain(|_, weak| weak.strong_count() > 0);
        }
        made
    }

    /// The one value of this type, kept as long as the gateway lives.
    pub fn kept<T: Send + Sync + 'static>(&self, init: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.kept.lock();
        let any = kept.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(init()));
        match any.clone().downcast::<T>() {
            Ok(value) => value,
            Err(_) => unreachable!("the key is the value's own type"),
        }
    }
}

/// What a plugin may use while it is built. It does no I/O.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub struct BuildEnv<'a> {
    /// Process-wide state.
    pub shared: &'a Arc<Shared>,
    /// Key of the document that configures the plugin, such as `/routes/1`.
    pub owner: &'a str,
    /// The configuration after defaults, as JSON: equal configurations have equal texts.
    pub config: &'a serde_json::Value,
    /// `plugin_attr.<plugin>` of the settings.
    pub attr: &'a serde_json::Value,
    /// Which differences from APISIX are in force.
    pub compat: Compat,
}

/// Why a plugin cannot be built from a configuration that its schema allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);

impl From<String> for BuildError {
    fn from(message: String) -> Self {
        Self(message)
    }
}
