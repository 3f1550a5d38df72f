use super::{CompiledConsumer, CompiledRoute, Credential, Problem, Snapshot, UpstreamRef};
use crate::{
    chain::{Chain, Slot},
    plugins::{Checked, PluginSet, Purpose},
    route::{Conditions, UriPattern, network},
    shards::Shards,
    upstream::CompiledUpstream,
};
use model::{
    documents::{self, Key, Kind},
    vars::Expr,
};
use plugin::{Consumer, PluginClass, RouteFacts, Shared};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Turns documents into snapshots; what did not change is used again, down to the plugin instance.
pub(crate) struct Compiler {
    plugins: Arc<PluginSet>,
    shared: Arc<Shared>,
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
    /// Credentials by owner: `(plugin, key)`.
    credentials: HashMap<String, Vec<(String, Vec<u8>)>>,
    /// Routes by what they refer to.
    dependents: HashMap<String, BTreeSet<String>>,
    problems: BTreeMap<String, Problem>,
}

struct WrittenRoute {
    value: Value,
    /// Kept over its changes, so that an update does not send it behind its equals.
    arrival: u64,
}

/// A service that cannot be used. Its routes still match only on its hosts: were they lost, requests would go to another route
/// instead of being refused.
struct BrokenService {
    reason: String,
    hosts: Vec<Arc<str>>,
}

struct CompiledService {
    facts: (Option<Arc<str>>, Vec<Arc<str>>),
    chain: Arc<Chain>,
    upstream: UpstreamRef,
    enable_websocket: Option<bool>,
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
    pub(crate) fn new(plugins: Arc<PluginSet>, shared: Arc<Shared>) -> Self {
        Self {
            snapshot: Snapshot::empty(&plugins),
            plugins,
            shared,
            slots: HashMap::new(),
            routes: HashMap::new(),
            written_routes: HashMap::new(),
            arrivals: 0,
            services: HashMap::new(),
            plugin_configs: HashMap::new(),
            global_rules: BTreeMap::new(),
            credentials: HashMap::new(),
            dependents: HashMap::new(),
            problems: BTreeMap::new(),
        }
    }

    /// The snapshot of all changes so far.
    pub(crate) fn snapshot(&mut self, revision: u64) -> Snapshot {
        self.snapshot.revision = self.snapshot.revision.max(revision);
        self.snapshot.problems = self.problems.values().cloned().collect();
        self.snapshot.clone()
    }

    /// Follows the change of one document. `problem` is why the store says that it must not be used.
    pub(crate) fn change(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>, problem: Option<&str>) {
        let path = key.path();
        if let Some(old) = old {
            self.snapshot.digest.subtract(&path, old);
        }
        if let Some(new) = new {
            self.snapshot.digest.add(&path, new);
        }
        self.problems.remove(&path);
        let outcome = match (new, problem) {
            (Some(value), Some(problem)) => {
                self.quarantine(key, value, problem);
                Err(Wrong::from(problem.to_owned()))
            }
            _ => self.follow(key, new),
        };
        if let Err(Wrong { path: json_path, message }) = outcome {
            tracing::error!(key = %path, at = %json_path, reason = %message, "a stored document cannot be used");
            self.problems.insert(path.clone(), Problem { key: path, json_path, message });
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
            + self.credentials.len()
            + self.dependents.len()
            + self.problems.len()
    }

    /// Whether a slot was built from this document.
    #[cfg(test)]
    pub(super) fn owns(&self, owner: &str, id: plugin::SlotId) -> bool {
        self.slots.get(owner).into_iter().flatten().any(|(_, _, slot)| slot.id == id)
    }

    fn follow(&mut self, key: &Key, new: Option<&Value>) -> Result<(), Wrong> {
        match key.kind() {
            Kind::Route => self.route(key.id(), new),
            Kind::Service => self.service(key.id(), new),
            Kind::PluginConfig => self.plugin_config(key.id(), new),
            Kind::Upstream => self.upstream(key.id(), new),
            Kind::Consumer => self.consumer(key.id(), new),
            Kind::Credential => self.credential(key, new),
            Kind::ConsumerGroup => self.group(key.id(), new),
            Kind::GlobalRule => self.global_rule(key.id(), new),
            Kind::PluginMetadata => self.plugin_metadata(key.id(), new),
            // Served by later parts of the gateway; kept as they are.
            Kind::Ssl | Kind::StreamRoute | Kind::Proto | Kind::Secret => Ok(()),
        }
    }

    /// Closes what a document protects when the store itself says that it cannot be used.
    fn quarantine(&mut self, key: &Key, value: &Value, problem: &str) {
        let id = key.id();
        match key.kind() {
            Kind::Consumer | Kind::Credential => {
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
            Kind::Route => {
                // Remembered as it is now, so that a change of its service does not bring an older version back.
                let arrival = self.remember(id, value);
                self.refer(id, value);
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
        for (name, conf) in written {
            if let Some(same) = old.iter().find(|(n, c, _)| n == name && c == conf) {
                chain.push(same.2.clone());
                kept.push(same.clone());
                continue;
            }
            let is_credential =
                is_consumer && self.plugins.get(name).is_some_and(|p| p.description.credential.is_some());
            match self.slot(owner, name, conf, is_credential) {
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
    fn slot(&self, owner: &str, name: &str, conf: &Value, is_credential: bool) -> Result<Option<Slot>, String> {
        let purpose = if is_credential { Purpose::Credential } else { Purpose::Plugin };
        let Checked { config, meta } = self.plugins.load(name, conf, purpose)?;
        let Some(plugin) = self.plugins.get(name) else { return Ok(None) };
        if is_credential || meta.is_disabled {
            return Ok(None);
        }
        let description = &plugin.description;
        let hooks = plugin.build(&config, &self.shared, owner)?;
        Ok(Some(Slot {
            id: Slot::next_id(),
            name: description.name,
            priority: meta.priority.unwrap_or(description.priority),
            class: description.spec.class,
            run_policy: description.spec.run_policy,
            hooks,
            meta,
        }))
    }

    // === routes

    fn route(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/routes/{id}");
        let Some(value) = new else {
            self.unplace(id);
            self.slots.remove(&owner);
            self.forget_dependent(id);
            self.written_routes.remove(id);
            return Ok(());
        };
        let arrival = self.remember(id, value);
        self.refer(id, value);
        match self.compile_route(id, &owner, value, arrival) {
            Ok(Some(route)) => {
                self.place(id, route);
                Ok(())
            }
            Ok(None) => {
                self.unplace(id);
                Ok(())
            }
            Err(wrong) => {
                // A route that was good stays as it was; one that never was is closed.
                if self.routes.get(id).is_none_or(|route| route.quarantined.is_some()) {
                    self.close(id, value, arrival, &wrong.message);
                }
                Err(wrong)
            }
        }
    }

    fn compile_route(
        &mut self,
        id: &str,
        owner: &str,
        value: &Value,
        arrival: u64,
    ) -> Result<Option<CompiledRoute>, Wrong> {
        let written = documents::Route::load(value)?;
        if !written.is_enabled() {
            return Ok(None);
        }
        if written.filter_func.is_some() || written.script.is_some() {
            return Err("filter_func and script need Lua, which this version does not have".to_owned().into());
        }
        let conditions = conditions(&written)?;
        let own = self.chain(owner, &written.plugins, false)?;
        let inline = written.upstream.as_ref().map(CompiledUpstream::compile).transpose()?;
        let service = written.service_id.as_ref().map(|id| self.services.get(id));
        let plugin_config = written.plugin_config_id.as_ref().map(|id| self.plugin_configs.get(id));
        let mut quarantined = None;
        let mut missing = None;
        let none = Arc::<Chain>::default();
        let mut service_hosts: &[Arc<str>] = &[];
        let service = match service {
            Some(Some(Ok(service))) => {
                service_hosts = &service.facts.1;
                Some(service)
            }
            Some(Some(Err(broken))) => {
                service_hosts = &broken.hosts;
                quarantined = Some(format!("its service: {}", broken.reason));
                None
            }
            Some(None) => {
                missing = Some(404);
                None
            }
            None => None,
        };
        let plugin_config = match plugin_config {
            Some(Some(Ok(chain))) => chain,
            Some(Some(Err(reason))) => {
                quarantined = Some(format!("its plugin config: {reason}"));
                &none
            }
            Some(None) => {
                missing = missing.or(Some(503));
                &none
            }
            None => &none,
        };
        let chain = match service {
            None if plugin_config.slots().is_empty() => own,
            service => Chain::merge([&own, plugin_config, service.map_or(&*none, |s| &s.chain)]),
        };
        let upstream = match (inline, &written.upstream_id, service) {
            (Some(inline), ..) => UpstreamRef::Inline(Arc::new(inline)),
            (None, Some(id), _) => UpstreamRef::Id(id.as_str().into()),
            (None, None, Some(service)) => service.upstream.clone(),
            (None, None, None) => UpstreamRef::None,
        };
        let mut hosts: Vec<Arc<str>> = written.hosts().map(Into::into).collect();
        if hosts.is_empty() {
            hosts.extend_from_slice(service_hosts);
        }
        Ok(Some(CompiledRoute {
            facts: Arc::new(RouteFacts {
                id: id.into(),
                name: written.name.as_deref().unwrap_or_default().into(),
                service_id: written.service_id.as_deref().map(Into::into),
                service_name: service.and_then(|s| s.facts.0.clone()),
                plugin_config_id: written.plugin_config_id.as_deref().map(Into::into),
            }),
            uris: written.uris().map(UriPattern::new).collect(),
            hosts,
            conditions,
            priority: written.priority,
            arrival,
            chain: Arc::new(chain),
            upstream,
            timeouts: written.timeout.as_ref().map(Into::into),
            enable_websocket: written
                .enable_websocket
                .or_else(|| service.and_then(|s| s.enable_websocket))
                .unwrap_or(false),
            quarantined,
            missing,
        }))
    }

    fn place(&mut self, id: &str, route: CompiledRoute) {
        self.unplace(id);
        let route = Arc::new(route);
        self.snapshot.routes.insert(&route);
        self.routes.insert(id.to_owned(), route);
    }

    fn unplace(&mut self, id: &str) {
        if let Some(old) = self.routes.remove(id) {
            self.snapshot.routes.remove(&old);
        }
    }

    /// Closes a route: it matches where it did or would have, and answers 503.
    fn close(&mut self, id: &str, value: &Value, arrival: u64, reason: &str) {
        if value.get("status").and_then(Value::as_i64) == Some(0) {
            return self.unplace(id);
        }
        let service = value.get("service_id").and_then(reference).and_then(|id| self.services.get(&id));
        let service_hosts = match service {
            Some(Ok(service)) => &service.facts.1[..],
            Some(Err(broken)) => &broken.hosts[..],
            None => &[],
        };
        let closed = closed_route(id, value, service_hosts, arrival, reason);
        self.place(id, closed);
    }

    /// Remembers a route as written; says when it arrived first.
    fn remember(&mut self, id: &str, value: &Value) -> u64 {
        self.forget_dependent(id);
        let arrival = self.written_routes.get(id).map_or(self.arrivals, |known| known.arrival);
        self.arrivals = self.arrivals.max(arrival + 1);
        self.written_routes.insert(id.to_owned(), WrittenRoute { value: value.clone(), arrival });
        arrival
    }

    fn refer(&mut self, id: &str, value: &Value) {
        for at in references(value) {
            self.dependents.entry(at).or_default().insert(id.to_owned());
        }
    }

    /// Takes a route from what it refers to, before it is changed or forgotten.
    fn forget_dependent(&mut self, id: &str) {
        let Some(written) = self.written_routes.get(id) else { return };
        for at in references(&written.value) {
            if let Some(routes) = self.dependents.get_mut(&at) {
                routes.remove(id);
                if routes.is_empty() {
                    self.dependents.remove(&at);
                }
            }
        }
    }

    fn rebuild_dependents(&mut self, kind: &str, id: &str) {
        for route in self.dependents.get(&format!("{kind}/{id}")).cloned().unwrap_or_default() {
            if let Some(value) = self.written_routes.get(&route).map(|written| written.value.clone()) {
                let path = format!("/routes/{route}");
                self.problems.remove(&path);
                if let Err(Wrong { path: json_path, message }) = self.route(&route, Some(&value)) {
                    self.problems.insert(path.clone(), Problem { key: path, json_path, message });
                }
            }
        }
    }

    // === what routes refer to

    fn service(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/services/{id}");
        let outcome = match new {
            None => {
                self.slots.remove(&owner);
                self.services.remove(id);
                Ok(())
            }
            Some(value) => self.compile_service(&owner, value).map(|service| {
                self.services.insert(id.to_owned(), Ok(service));
            }),
        };
        if let Err(wrong) = &outcome
            && !matches!(self.services.get(id), Some(Ok(_)))
            && let Some(value) = new
        {
            self.services.insert(id.to_owned(), Err(BrokenService::new(value, &wrong.message)));
        }
        self.rebuild_dependents("service", id);
        outcome
    }

    fn compile_service(&mut self, owner: &str, value: &Value) -> Result<CompiledService, Wrong> {
        let written = documents::Service::load(value)?;
        if written.script.is_some() {
            return Err("script needs Lua, which this version does not have".to_owned().into());
        }
        let chain = Arc::new(self.chain(owner, &written.plugins, false)?);
        let upstream = match (&written.upstream, &written.upstream_id) {
            (Some(upstream), _) => UpstreamRef::Inline(Arc::new(CompiledUpstream::compile(upstream)?)),
            (None, Some(id)) => UpstreamRef::Id(id.as_str().into()),
            (None, None) => UpstreamRef::None,
        };
        Ok(CompiledService {
            facts: (
                written.name.as_deref().map(Into::into),
                written.hosts.iter().map(|host| host.as_str().into()).collect(),
            ),
            chain,
            upstream,
            enable_websocket: written.enable_websocket,
        })
    }

    fn plugin_config(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/plugin_configs/{id}");
        let outcome = match new {
            None => {
                self.slots.remove(&owner);
                self.plugin_configs.remove(id);
                Ok(())
            }
            Some(value) => documents::PluginConfig::parse(value)
                .map_err(Wrong::from)
                .and_then(|written| self.chain(&owner, &written.plugins, false))
                .map(|chain| {
                    self.plugin_configs.insert(id.to_owned(), Ok(Arc::new(chain)));
                }),
        };
        if let Err(wrong) = &outcome
            && !matches!(self.plugin_configs.get(id), Some(Ok(_)))
        {
            self.plugin_configs.insert(id.to_owned(), Err(wrong.message.clone()));
        }
        self.rebuild_dependents("plugin_config", id);
        outcome
    }

    fn upstream(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let Some(value) = new else {
            self.snapshot.upstreams.remove(id.as_bytes());
            return Ok(());
        };
        let compiled = documents::Upstream::load(value)
            .map_err(Wrong::from)
            .and_then(|written| CompiledUpstream::compile(&written).map_err(Wrong::from));
        match compiled {
            Ok(upstream) => {
                self.snapshot.upstreams.insert(id.as_bytes(), Some(Arc::new(upstream)));
                Ok(())
            }
            Err(wrong) => {
                if !matches!(self.snapshot.upstreams.get(id.as_bytes()), Some(Some(_))) {
                    self.snapshot.upstreams.insert(id.as_bytes(), None);
                }
                Err(wrong)
            }
        }
    }

    // === who calls

    fn consumer(&mut self, name: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/consumers/{name}");
        self.remove_credentials(&owner);
        // Credential documents let nobody in once their consumer is gone or cannot be read.
        for (id, ..) in self.slots.get(&credentials_key(name)).cloned().unwrap_or_default() {
            self.remove_credentials(&format!("{owner}/credentials/{id}"));
        }
        let Some(value) = new else {
            self.slots.remove(&owner);
            self.snapshot.consumers.remove(name.as_bytes());
            return Ok(());
        };
        let compiled = documents::Consumer::parse(value).map_err(Wrong::from).and_then(|written| {
            let chain = Arc::new(self.chain(&owner, &written.plugins, true)?);
            let identity = Arc::new(Consumer {
                name: name.into(),
                group_id: written.group_id.as_deref().map(Into::into),
                custom_id: written.labels.get("custom_id").map(|id| id.as_str().into()),
                credential_id: None,
                labels: written.labels.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect(),
            });
            Ok((written.plugins, CompiledConsumer { identity, chain }))
        });
        match compiled {
            Ok((plugins, consumer)) => {
                self.snapshot.consumers.insert(name.as_bytes(), consumer.clone());
                self.add_credentials(&owner, &plugins, &consumer.identity)?;
                self.readd_credentials_of(name)
            }
            Err(wrong) => {
                // A consumer that cannot be read has no credentials.
                self.snapshot.consumers.remove(name.as_bytes());
                Err(wrong)
            }
        }
    }

    fn credential(&mut self, key: &Key, new: Option<&Value>) -> Result<(), Wrong> {
        let path = key.path();
        self.remove_credentials(&path);
        let consumer = key.parent().unwrap_or_default().to_owned();
        let slot = self.slots.entry(credentials_key(&consumer)).or_default();
        slot.retain(|(id, ..)| id != key.id());
        let Some(value) = new else { return Ok(()) };
        let written = documents::Credential::parse(value)?;
        let inert = Arc::new(Slot {
            id: Slot::next_id(),
            name: "",
            priority: 0,
            class: PluginClass::Auth,
            run_policy: plugin::RunPolicy::Always,
            hooks: plugin::Hooks::default(),
            meta: crate::plugins::Meta::default(),
        });
        slot.push((key.id().to_owned(), Value::Object(written.plugins.clone()), inert));
        self.add_credential_document(&consumer, key.id(), &path, &written.plugins)
    }

    /// The credentials of a consumer carry its identity: they are made anew when it changes.
    fn readd_credentials_of(&mut self, name: &str) -> Result<(), Wrong> {
        let documents = self.slots.get(&credentials_key(name)).cloned().unwrap_or_default();
        for (id, plugins, _) in documents {
            let path = format!("/consumers/{name}/credentials/{id}");
            self.remove_credentials(&path);
            if let Value::Object(plugins) = plugins {
                self.add_credential_document(name, &id, &path, &plugins)?;
            }
        }
        Ok(())
    }

    fn add_credential_document(
        &mut self,
        consumer: &str,
        id: &str,
        path: &str,
        plugins: &Map<String, Value>,
    ) -> Result<(), Wrong> {
        // Without its consumer a credential lets nobody in.
        let Some(owner) = self.snapshot.consumers.get(consumer.as_bytes()) else { return Ok(()) };
        let identity = Consumer { credential_id: Some(id.into()), ..(*owner.identity).clone() };
        self.add_credentials(path, plugins, &Arc::new(identity))
    }

    fn add_credentials(
        &mut self,
        owner: &str,
        plugins: &Map<String, Value>,
        identity: &Arc<Consumer>,
    ) -> Result<(), Wrong> {
        for (name, conf) in plugins {
            let Some(plugin) = self.plugins.get(name) else { continue };
            if plugin.description.credential.is_none() {
                continue;
            }
            let wrong = |message: String| Wrong { path: format!("/plugins/{name}"), message };
            let Checked { config, meta } = self.plugins.load(name, conf, Purpose::Credential).map_err(wrong)?;
            if meta.is_disabled {
                continue;
            }
            let Some((key, compiled)) = plugin.credential(&config).map_err(wrong)? else { continue };
            let hash = self.snapshot.credential_hash(&key.0);
            if let Some(index) = self.snapshot.credentials.entry(name.as_bytes(), Shards::default)
                && let Some(bucket) = index.entry(&hash, || Arc::from([]))
            {
                // The last one loaded wins, as in APISIX; the Admin API refuses duplicates. Those of others stay for when it goes.
                let credential =
                    Credential { key: key.0.clone().into(), owner: owner.into(), consumer: identity.clone(), compiled };
                *bucket = std::iter::once(credential).chain(bucket.iter().cloned()).collect();
            }
            self.credentials.entry(owner.to_owned()).or_default().push((name.clone(), key.0));
        }
        Ok(())
    }

    fn remove_credentials(&mut self, owner: &str) {
        for (name, key) in self.credentials.remove(owner).unwrap_or_default() {
            let hash = self.snapshot.credential_hash(&key);
            let Some(index) = self.snapshot.credentials.entry(name.as_bytes(), Shards::default) else { continue };
            let Some(bucket) = index.get(&hash) else { continue };
            let left: Vec<Credential> =
                bucket.iter().filter(|have| *have.key != *key || *have.owner != *owner).cloned().collect();
            if left.is_empty() {
                index.remove(&hash);
            } else {
                index.insert(&hash, left.into());
            }
        }
    }

    fn group(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/consumer_groups/{id}");
        let Some(value) = new else {
            self.slots.remove(&owner);
            self.snapshot.groups.remove(id.as_bytes());
            return Ok(());
        };
        let written = documents::ConsumerGroup::parse(value)?;
        let chain = self.chain(&owner, &written.plugins, false)?;
        self.snapshot.groups.insert(id.as_bytes(), Arc::new(chain));
        Ok(())
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
            Some(value) => documents::GlobalRule::parse(value)
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
        let compiled = (plugin.description.metadata)(&config).map_err(|e| e.to_string())?;
        self.snapshot.metadata.insert(name.as_bytes(), compiled);
        Ok(())
    }
}

fn credentials_key(consumer: &str) -> String {
    format!("/consumers/{consumer}/credentials")
}

fn conditions(written: &documents::Route) -> Result<Conditions, Wrong> {
    let mut clients = Vec::new();
    for text in written.remote_addrs() {
        let network = network(text)
            .ok_or_else(|| Wrong { path: "/remote_addr".to_owned(), message: format!("invalid ip address: {text}") })?;
        clients.push(network);
    }
    let vars = match &written.vars {
        None => None,
        Some(rule) => Some(Expr::compile(rule).map_err(|e| Wrong {
            path: "/vars".to_owned(),
            message: format!("failed to validate the 'vars' expression: {e}"),
        })?),
    };
    Ok(Conditions {
        methods: written.methods.iter().map(|m| m.as_str().into()).collect(),
        clients,
        vars: vars.filter(|expr| !expr.is_empty()),
    })
}

/// A route that never compiled: the conditions that can be read hold, the others count as true, and the answer is 503.
fn closed_route(id: &str, value: &Value, service_hosts: &[Arc<str>], arrival: u64, reason: &str) -> CompiledRoute {
    let texts = |one: &str, many: &str| -> Vec<String> {
        let many = value.get(many).and_then(Value::as_array).into_iter().flatten();
        value.get(one).into_iter().chain(many).filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let mut uris: Vec<UriPattern> = texts("uri", "uris").iter().map(|uri| UriPattern::new(uri)).collect();
    if uris.is_empty() {
        uris.push(UriPattern::new("/*"));
    }
    let mut hosts: Vec<Arc<str>> = texts("host", "hosts").iter().map(|host| host.as_str().into()).collect();
    if hosts.is_empty() {
        hosts.extend_from_slice(service_hosts);
    }
    CompiledRoute {
        facts: Arc::new(RouteFacts { id: id.into(), ..RouteFacts::default() }),
        uris,
        hosts,
        conditions: Conditions {
            methods: texts("", "methods").into_iter().map(Into::into).collect(),
            clients: texts("remote_addr", "remote_addrs").iter().filter_map(|text| network(text)).collect(),
            vars: value.get("vars").and_then(|rule| Expr::compile(rule).ok()).filter(|expr| !expr.is_empty()),
        },
        priority: value.get("priority").and_then(Value::as_i64).unwrap_or(0),
        arrival,
        chain: Arc::default(),
        upstream: UpstreamRef::None,
        timeouts: None,
        enable_websocket: false,
        quarantined: Some(reason.to_owned()),
        missing: None,
    }
}

impl BrokenService {
    fn new(value: &Value, reason: &str) -> Self {
        let hosts = value.get("hosts").and_then(Value::as_array).into_iter().flatten();
        Self { reason: reason.to_owned(), hosts: hosts.filter_map(|host| host.as_str().map(Into::into)).collect() }
    }
}

/// The keys under which a route waits for changes of what it refers to.
fn references(route: &Value) -> impl Iterator<Item = String> {
    [("service", "service_id"), ("plugin_config", "plugin_config_id")]
        .into_iter()
        .filter_map(|(kind, field)| Some(format!("{kind}/{}", reference(route.get(field)?)?)))
}

fn reference(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|id| id.to_string()))
}
