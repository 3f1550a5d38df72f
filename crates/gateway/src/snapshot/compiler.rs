//! From documents to snapshots, change by change.

mod certificates;
mod consumers;
mod decorations;
mod routes;
mod services;

use super::{CompiledRoute, Problem, Snapshot, Written};
use crate::{
    chain::{Chain, Slot},
    plugins::{Checked, PluginSet, Purpose},
    upstream::{CompiledUpstream, Registry},
};
use model::{
    documents::{self, CostDecoration, Key, Kind},
    settings::Router,
    vars::{BodyNeed, Expr},
};
use plugin::{Shared, Unreadable};
use routes::WrittenRoute;
use serde_json::{Map, Value};
use services::{BrokenService, CompiledService};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Turns documents into snapshots; what did not change is used again, down to the plugin instance.
pub(crate) struct Compiler {
    plugins: Arc<PluginSet>,
    shared: Arc<Shared>,
    upstreams: Arc<Registry>,
    snapshot: Snapshot,
    /// Plugin instances by owner, with the configuration that they were built from.
    slots: HashMap<String, Vec<(String, Value, Arc<Slot>)>>,
    routes: HashMap<String, Arc<CompiledRoute>>,
    written_routes: HashMap<String, WrittenRoute>,
    /// Routes that arrived so far: among equals, who came first wins.
    arrivals: u64,
    services: HashMap<String, Result<CompiledService, BrokenService>>,
    plugin_configs: HashMap<String, Result<Arc<Chain>, String>>,
    global_rules: BTreeMap<String, Result<Arc<Chain>, String>>,
    /// Cost decorations by service and id.
    decorations: HashMap<String, BTreeMap<String, Result<CostDecoration, Unreadable>>>,
    /// Credentials by owner: `(plugin, key)`.
    credentials: HashMap<String, Vec<(String, Vec<u8>)>>,
    /// Routes by what they refer to.
    dependents: HashMap<String, BTreeSet<String>>,
    problems: BTreeMap<String, Problem>,
}

/// Where a document is wrong.
#[derive(Debug)]
struct Wrong {
    path: String,
    message: String,
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self { path: String::new(), message }
    }
}

impl From<documents::DocumentError> for Wrong {
    fn from(error: documents::DocumentError) -> Self {
        Self { path: error.path().to_owned(), message: error.to_string() }
    }
}

impl Compiler {
    pub(crate) fn new(plugins: Arc<PluginSet>, shared: Arc<Shared>, router: Router) -> Self {
        Self {
            snapshot: Snapshot::empty(&plugins, router),
            upstreams: shared.kept(Registry::default),
            plugins,
            shared,
            slots: HashMap::new(),
            routes: HashMap::new(),
            written_routes: HashMap::new(),
            arrivals: 0,
            services: HashMap::new(),
            plugin_configs: HashMap::new(),
            global_rules: BTreeMap::new(),
            decorations: HashMap::new(),
            credentials: HashMap::new(),
            dependents: HashMap::new(),
            problems: BTreeMap::new(),
        }
    }

    /// Begins again with other plugins. Every document has to be compiled again then; what stays as it was keeps its instances.
    pub(crate) fn begin_with(&mut self, plugins: Arc<PluginSet>) {
        let mut slots = std::mem::take(&mut self.slots);
        for kept in slots.values_mut() {
            kept.retain(|(name, ..)| plugins.get(name).is_some());
        }
        let fresh = Self::new(plugins, self.shared.clone(), self.snapshot.routes.router());
        *self = Self { slots, ..fresh };
    }

    /// The snapshot of all changes so far.
    pub(crate) fn snapshot(&mut self, revision: u64) -> Snapshot {
        self.snapshot.revision = self.snapshot.revision.max(revision);
        self.snapshot.problems = self.problems.values().cloned().collect();
        self.snapshot.clone()
    }

    /// Follows the change of one document. `problem` is why the store says that it must not be used.
    pub(crate) fn change(&mut self, key: &Key, old: Option<&str>, new: Option<&Written<'_>>, problem: Option<&str>) {
        let path = key.path();
        if let Some(old) = old {
            self.snapshot.digest.subtract(&path, old);
        }
        if let Some(new) = new {
            self.snapshot.digest.add(&path, &new.text);
        }
        self.problems.remove(&path);
        let outcome = match (new, problem) {
            (Some(written), Some(problem)) => {
                self.quarantine(key, written, problem);
                Err(Wrong::from(problem.to_owned()))
            }
            _ => self.follow(key, new),
        };
        if let Err(Wrong { path: json_path, message }) = outcome {
            if let Some(written) = new.filter(|_| problem.is_none() && key.is_positional()) {
                // What had this key before may be another document that has only moved: its last good version is not this one's.
                self.quarantine(key, written, &message);
            }
            let place = new.and_then(|new| new.place.clone());
            tracing::error!(
                key = %path, at = %json_path, place, reason = %message, "a stored document cannot be used"
            );
            self.problems.insert(path.clone(), Problem { key: path, json_path, message, place });
        }
    }

    /// What is still kept of documents.
    #[cfg(test)]
    pub(super) fn leftovers(&self) -> usize {
        let kept = self.slots.values().filter(|slots| !slots.is_empty()).count();
        kept + self.routes.len()
            + self.written_routes.len()
            + self.services.len()
            + self.plugin_configs.len()
            + self.global_rules.len()
            + self.decorations.len()
            + self.credentials.len()
            + self.dependents.len()
            + self.snapshot.homes.len()
            + self.snapshot.decorations.len()
            + self.problems.len()
    }

    /// Whether a slot was built from this document.
    #[cfg(test)]
    pub(super) fn owns(&self, owner: &str, id: plugin::SlotId) -> bool {
        self.slots.get(owner).into_iter().flatten().any(|(_, _, slot)| slot.id == id)
    }

    fn follow(&mut self, key: &Key, written: Option<&Written<'_>>) -> Result<(), Wrong> {
        let new = written.map(|written| written.value);
        match key.kind() {
            Kind::Route => self.route(key.id(), written),
            Kind::Service => self.service(key.id(), new),
            Kind::PluginConfig => self.plugin_config(key.id(), new),
            Kind::Upstream => self.upstream(key.id(), new),
            Kind::Consumer => self.consumer(key.id(), new),
            Kind::Credential => self.credential(key, new),
            Kind::ConsumerGroup => self.group(key.id(), new),
            Kind::GlobalRule => self.global_rule(key.id(), new),
            Kind::PluginMetadata => self.plugin_metadata(key.id(), new),
            Kind::CostDecoration => self.decoration(key, new),
            Kind::Ssl => self.certificate(key.id(), new),
            // Served by later parts of the gateway; kept as they are.
            Kind::StreamRoute | Kind::Proto | Kind::Secret => Ok(()),
        }
    }

    /// Closes what a document protects when the store itself says that it cannot be used.
    fn quarantine(&mut self, key: &Key, written: &Written<'_>, problem: &str) {
        let (id, value) = (key.id(), written.value);
        match key.kind() {
            // Nobody gets in with what is gone, and the consumers of a group that is gone are answered 503.
            Kind::Consumer | Kind::Credential | Kind::ConsumerGroup => {
                let _ = self.follow(key, None);
            }
            Kind::GlobalRule => {
                self.global_rules.insert(id.to_owned(), Err(problem.to_owned()));
                self.rebuild_global();
            }
            Kind::Service => {
                self.services.insert(id.to_owned(), Err(BrokenService::new(value, problem)));
                self.rebuild_dependents("service", id);
            }
            Kind::PluginConfig => {
                self.plugin_configs.insert(id.to_owned(), Err(problem.to_owned()));
                self.rebuild_dependents("plugin_config", id);
            }
            Kind::Upstream => self.snapshot.upstreams.insert(id.as_bytes(), None),
            Kind::CostDecoration => self.break_decoration(key),
            Kind::Ssl => self.snapshot.certificates.insert(id.as_bytes(), None),
            Kind::Route => {
                // Remembered as it is now, so that a change of its service does not bring an older version back.
                let arrival = self.remember(id, written);
                self.close(id, value, arrival, problem);
            }
            _ => {}
        }
    }

    // === plugins

    /// The plugins of one document; instances whose configuration is the same are kept, with their counters.
    fn chain(&mut self, owner: &str, written: &Map<String, Value>, is_consumer: bool) -> Result<Chain, Wrong> {
        let old = self.slots.remove(owner).unwrap_or_default();
        let mut kept = Vec::new();
        let mut chain = Vec::new();
        let mut wrong = None;
        let origin: Arc<str> = owner.into();
        for (name, conf) in written {
            if let Some(same) = old.iter().find(|(n, c, _)| n == name && c == conf) {
                chain.push(same.2.clone());
                kept.push(same.clone());
                continue;
            }
            let is_credential =
                is_consumer && self.plugins.get(name).is_some_and(|p| p.description.credential.is_some());
            match self.slot(&origin, name, conf, is_credential) {
                Ok(None) => {}
                Ok(Some(slot)) => {
                    let slot = Arc::new(slot);
                    kept.push((name.clone(), conf.clone(), slot.clone()));
                    chain.push(slot);
                }
                Err(message) => {
                    wrong = Some(Wrong { path: format!("/plugins/{name}"), message });
                    break;
                }
            }
        }
        if let Some(wrong) = wrong {
            // The last good version stays in use, so its instances do too.
            self.slots.insert(owner.to_owned(), old);
            return Err(wrong);
        }
        if !kept.is_empty() {
            self.slots.insert(owner.to_owned(), kept);
        }
        Ok(Chain::new(chain))
    }

    /// One instance; `None` for what is switched off or is a credential.
    fn slot(&self, owner: &Arc<str>, name: &str, conf: &Value, is_credential: bool) -> Result<Option<Slot>, String> {
        let purpose = if is_credential { Purpose::Credential } else { Purpose::Plugin };
        let Checked { config, meta, .. } = self.plugins.load(name, conf, purpose)?;
        let Some(plugin) = self.plugins.get(name) else { return Ok(None) };
        if is_credential || meta.is_disabled {
            return Ok(None);
        }
        let description = &plugin.description;
        let hooks = plugin.build(&config, &self.shared, owner)?;
        let id = Slot::next_id();
        let upstreams = hooks.upstreams.iter().enumerate().map(|(index, written)| {
            self.shown(written)
                .and_then(|shown| {
                    let owner = format!("{owner}#{name}[{index}]");
                    CompiledUpstream::compile_own(written, &owner, id.0, shown, &self.upstreams)
                })
                .map_err(|reason| format!("failed to check the configuration of plugin {name} err: {reason}"))
        });
        let upstreams = upstreams.collect::<Result<_, String>>()?;
        let filter_need = meta.filter.as_ref().map_or(BodyNeed::NONE, Expr::body_need);
        Ok(Some(Slot {
            id,
            name: description.name,
            origin: owner.clone(),
            priority: meta.priority.unwrap_or(description.priority),
            class: description.spec.class,
            has_anonymous: config.get("anonymous_consumer").is_some_and(|name| !name.is_null()),
            run_policy: description.spec.run_policy,
            hooks,
            upstreams,
            meta,
            body_need: BodyNeed::of_config(&config).and(filter_need),
        }))
    }

    // === what every request passes

    fn global_rule(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/global_rules/{id}");
        let outcome = match new {
            None => {
                self.slots.remove(&owner);
                self.global_rules.remove(id);
                Ok(())
            }
            Some(value) => documents::PluginHolder::parse(Kind::GlobalRule, value)
                .map_err(Wrong::from)
                .and_then(|written| self.chain(&owner, &written.plugins, false))
                .map(|chain| {
                    self.global_rules.insert(id.to_owned(), Ok(Arc::new(chain)));
                }),
        };
        if let Err(wrong) = &outcome
            && !matches!(self.global_rules.get(id), Some(Ok(_)))
        {
            self.global_rules.insert(id.to_owned(), Err(wrong.message.clone()));
        }
        self.rebuild_global();
        outcome
    }

    fn rebuild_global(&mut self) {
        let mut slots = Vec::new();
        self.snapshot.closed = None;
        for (id, rule) in &self.global_rules {
            match rule {
                Ok(chain) => slots.extend(chain.slots().iter().cloned()),
                Err(reason) => self.snapshot.closed = Some(format!("global rule {id}: {reason}").into()),
            }
        }
        self.snapshot.global = Arc::new(Chain::new(slots));
    }

    fn plugin_metadata(&mut self, name: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let Some(value) = new else {
            self.snapshot.metadata.remove(name.as_bytes());
            return Ok(());
        };
        let mut value = value.clone();
        if let Value::Object(fields) = &mut value {
            fields.shift_remove("id");
        }
        let Checked { config, .. } = self.plugins.load(name, &value, Purpose::Metadata)?;
        let Some(plugin) = self.plugins.get(name) else { return Ok(()) };
        match plugin.metadata(&config)? {
            Some(compiled) => self.snapshot.metadata.insert(name.as_bytes(), compiled),
            None => {
                self.snapshot.metadata.remove(name.as_bytes());
            }
        }
        Ok(())
    }
}
