//! Consumers, their groups and their credentials.

use super::{Compiler, Wrong};
use crate::{
    chain::Slot,
    plugins::{Checked, Purpose},
    shards::Shards,
    snapshot::{CompiledConsumer, Credential},
};
use model::{
    documents::{self, Key, Kind},
    vars::BodyNeed,
};
use plugin::{Consumer, PluginClass};
use serde_json::{Map, Value};
use std::sync::Arc;

impl Compiler {
    pub(super) fn consumer(&mut self, name: &str, new: Option<&Value>) -> Result<(), Wrong> {
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

    pub(super) fn credential(&mut self, key: &Key, new: Option<&Value>) -> Result<(), Wrong> {
        let path = key.path();
        self.remove_credentials(&path);
        let consumer = key.parent().unwrap_or_default().to_owned();
        let slot = self.slots.entry(credentials_key(&consumer)).or_default();
        slot.retain(|(id, ..)| id != key.id());
        let Some(value) = new else { return Ok(()) };
        let written = documents::PluginHolder::parse(Kind::Credential, value)?;
        let inert = Arc::new(Slot {
            upstreams: Vec::new(),
            id: Slot::next_id(),
            name: "",
            origin: "".into(),
            priority: 0,
            class: PluginClass::Auth,
            has_anonymous: false,
            run_policy: plugin::RunPolicy::Always,
            hooks: plugin::Hooks::default(),
            meta: crate::plugins::Meta::default(),
            body_need: BodyNeed::NONE,
        });
        slot.push((key.id().to_owned(), Value::Object(written.plugins.clone()), inert));
        self.add_credential_document(&consumer, key.id(), &path, &written.plugins)
    }

    /// The credentials of a consumer carry its identity: they are made anew when it changes.
    pub(super) fn readd_credentials_of(&mut self, name: &str) -> Result<(), Wrong> {
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

    pub(super) fn add_credential_document(
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

    pub(super) fn add_credentials(
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
            let Checked { config, meta, unresolved } =
                self.plugins.load(name, conf, Purpose::Credential).map_err(wrong)?;
            if meta.is_disabled || unresolved.is_some() {
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

    pub(super) fn remove_credentials(&mut self, owner: &str) {
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

    pub(super) fn group(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/consumer_groups/{id}");
        let Some(value) = new else {
            self.slots.remove(&owner);
            self.snapshot.groups.remove(id.as_bytes());
            return Ok(());
        };
        let written = documents::PluginHolder::parse(Kind::ConsumerGroup, value)?;
        let chain = self.chain(&owner, &written.plugins, false)?;
        self.snapshot.groups.insert(id.as_bytes(), Arc::new(chain));
        Ok(())
    }
}

fn credentials_key(consumer: &str) -> String {
    format!("/consumers/{consumer}/credentials")
}
