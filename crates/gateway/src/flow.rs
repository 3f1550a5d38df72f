//! The single writer of configuration: check, store, compile, publish, answer.

use crate::{
    check,
    plugins::PluginSet,
    shards::Shards,
    snapshot::{Compiler, Problem, Snapshot},
};
use arc_swap::ArcSwap;
use model::documents::{Document, Key, Kind};
use parking_lot::Mutex;
use plugin::Shared;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use store::{DocKey, Expect, Op, Store, StoreError};

/// One change that is asked for.
#[derive(Debug, Clone)]
pub enum Write {
    /// Store a document.
    Put {
        /// Its key.
        key: Key,
        /// The document.
        value: Value,
        /// What must be true of the stored one.
        expect: Expect,
    },
    /// Remove a document.
    Delete {
        /// Its key.
        key: Key,
        /// What must be true of the stored one.
        expect: Expect,
    },
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// The document is wrong, in APISIX's words.
    #[error("{0}")]
    Refused(String),
    /// What was expected is not true any more.
    #[error("the document was changed by somebody else")]
    Conflict,
    /// The store cannot be written.
    #[error("{0}")]
    Unavailable(String),
}

/// The documents in force, as written.
#[derive(Clone, Default)]
#[allow(missing_debug_implementations)] // documents hold secrets
pub struct DocumentsView {
    by_key: Shards<Arc<Document>>,
    /// Keys by their collection, so that a list does not walk through everything.
    collections: Shards<Shards<Arc<Document>>>,
    /// Owners of credentials, by plugin and index key.
    credentials: Shards<Arc<str>>,
    revision: u64,
}

impl DocumentsView {
    /// One document.
    pub fn get(&self, key: &Key) -> Option<&Arc<Document>> {
        self.by_key.get(key.path().as_bytes())
    }

    /// The documents of a kind in the order of their creation; of credentials, those of a consumer.
    pub fn list(&self, kind: Kind, parent: Option<&str>) -> Vec<Arc<Document>> {
        let Some(collection) = self.collections.get(kind.collection().as_bytes()) else { return Vec::new() };
        let mut documents: Vec<_> = collection
            .iter()
            .map(|(_, document)| document.clone())
            .filter(|document| document.key.kind() == kind && (parent.is_none() || document.key.parent() == parent))
            .collect();
        documents.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.key.cmp(&b.key)));
        documents
    }

    pub(crate) fn credential_owner(&self, plugin: &str, key: &[u8]) -> Option<Arc<str>> {
        self.credentials.get(&credential_place(plugin, key)).cloned()
    }
}

fn credential_place(plugin: &str, key: &[u8]) -> Vec<u8> {
    [plugin.as_bytes(), b"\0", key].concat()
}

struct Inner {
    view: DocumentsView,
    compiler: Compiler,
}

/// The configuration's one way in.
#[allow(missing_debug_implementations)]
pub struct Flow {
    store: Arc<dyn Store>,
    plugins: Arc<PluginSet>,
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
    documents: ArcSwap<DocumentsView>,
    snapshot: ArcSwap<Snapshot>,
    generation: AtomicU64,
}

impl Flow {
    /// Loads what is stored and compiles it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(
        store: Arc<dyn Store>,
        plugins: Arc<PluginSet>,
        shared: Arc<Shared>,
    ) -> Result<Arc<Self>, StoreError> {
        let loaded = store.load().await?;
        let mut inner =
            Inner { view: DocumentsView::default(), compiler: Compiler::new(plugins.clone(), shared.clone()) };
        let mut entries: Vec<_> = Vec::new();
        for entry in loaded.entries {
            match Key::parse(entry.key.as_str()) {
                Ok(key) => entries.push((key, entry)),
                Err(error) => tracing::error!(key = entry.key.as_str(), %error, "a stored document has no valid key"),
            }
        }
        // What others refer to comes first, so that nothing is compiled twice.
        entries.sort_by_key(|(key, entry)| (rank(key.kind()), entry.created, entry.modified));
        for (key, entry) in entries {
            let document = Document { key, value: entry.value, created: entry.created.0, modified: entry.modified.0 };
            inner.put(&plugins, Arc::new(document), entry.problem.as_deref());
        }
        inner.view.revision = loaded.revision.0;
        let snapshot = Arc::new(inner.compiler.snapshot(loaded.revision.0));
        let documents = Arc::new(inner.view.clone());
        let flow = Self {
            store,
            plugins,
            shared,
            inner: Mutex::new(inner),
            documents: ArcSwap::new(documents),
            snapshot: ArcSwap::new(snapshot),
            generation: AtomicU64::new(1),
        };
        flow.report();
        Ok(Arc::new(flow))
    }

    /// Checks, stores and publishes changes, all or none. When it answers, the changes are durable and every request that
    /// begins from now on sees them.
    ///
    /// # Errors
    /// [`FlowError`]; nothing was changed then.
    pub async fn write(&self, writes: Vec<Write>) -> Result<u64, FlowError> {
        let view = self.documents();
        let mut ops = Vec::with_capacity(writes.len());
        for write in &writes {
            let place = |key: &Key| DocKey::parse(key.path()).map_err(|e| FlowError::Refused(e.to_string()));
            ops.push(match write {
                Write::Put { key, value, expect } => {
                    check::check_document(&view, &self.plugins, &self.shared, key, value)
                        .map_err(FlowError::Refused)?;
                    Op::Put { key: place(key)?, value: value.clone(), expect: *expect }
                }
                Write::Delete { key, expect } => Op::Delete { key: place(key)?, expect: *expect },
            });
        }
        let revision = self.store.write(ops).await.map_err(|error| match error {
            StoreError::Conflict { .. } => FlowError::Conflict,
            other => FlowError::Unavailable(other.to_string()),
        })?;
        self.publish(writes, revision.0);
        Ok(revision.0)
    }

    fn publish(&self, writes: Vec<Write>, revision: u64) {
        let mut inner = self.inner.lock();
        for write in writes {
            match write {
                Write::Put { key, value, .. } => {
                    let old = inner.view.get(&key).cloned();
                    // Two writers of one key can arrive here in the other order than they were stored.
                    if old.as_ref().is_some_and(|old| old.modified >= revision) {
                        continue;
                    }
                    let created = old.map_or(revision, |old| old.created);
                    let document = Document { key, value, created, modified: revision };
                    inner.put(&self.plugins, Arc::new(document), None);
                }
                Write::Delete { key, .. } => {
                    if inner.view.get(&key).is_some_and(|old| old.modified < revision) {
                        inner.delete(&self.plugins, &key);
                    }
                }
            }
        }
        inner.view.revision = inner.view.revision.max(revision);
        let snapshot = Arc::new(inner.compiler.snapshot(revision));
        self.documents.store(Arc::new(inner.view.clone()));
        self.snapshot.store(snapshot);
        self.generation.fetch_add(1, Ordering::Release);
        drop(inner);
        self.report();
    }

    fn report(&self) {
        let snapshot = self.snapshot.load();
        let stats = &self.shared.stats;
        stats.revision.store(snapshot.revision(), Ordering::Relaxed);
        stats.problems.store(snapshot.problems().len() as u64, Ordering::Relaxed);
    }

    /// An id that no document has: 20 digits.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn next_id(&self) -> Result<String, FlowError> {
        self.store.next_id().await.map_err(|error| FlowError::Unavailable(error.to_string()))
    }

    /// The documents in force.
    pub fn documents(&self) -> Arc<DocumentsView> {
        self.documents.load_full()
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Changes whenever another snapshot is published.
    pub fn generation(&self) -> &AtomicU64 {
        &self.generation
    }

    /// The enabled plugins.
    pub fn plugins(&self) -> &Arc<PluginSet> {
        &self.plugins
    }

    /// Process-wide state.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What is wrong with stored documents.
    pub fn problems(&self) -> Vec<Problem> {
        self.snapshot.load().problems().to_vec()
    }
}

impl Inner {
    fn put(&mut self, plugins: &PluginSet, document: Arc<Document>, problem: Option<&str>) {
        let path = document.key.path();
        let old = self.view.by_key.get(path.as_bytes()).cloned();
        self.compiler.change(&document.key, old.as_ref().map(|d| &d.value), Some(&document.value), problem);
        if let Some(old) = old {
            self.forget_credentials(plugins, &old);
        }
        if matches!(document.key.kind(), Kind::Consumer | Kind::Credential) {
            let owner: Arc<str> = path.as_str().into();
            for (name, key) in check::credential_keys(plugins, &document.value) {
                self.view.credentials.insert(&credential_place(&name, &key), owner.clone());
            }
        }
        let collection = document.key.kind().collection();
        if let Some(collection) = self.view.collections.entry(collection.as_bytes(), Shards::default) {
            collection.insert(path.as_bytes(), document.clone());
        }
        self.view.by_key.insert(path.as_bytes(), document);
    }

    fn delete(&mut self, plugins: &PluginSet, key: &Key) {
        let path = key.path();
        let Some(old) = self.view.by_key.remove(path.as_bytes()) else { return };
        self.forget_credentials(plugins, &old);
        if let Some(collection) = self.view.collections.entry(key.kind().collection().as_bytes(), Shards::default) {
            collection.remove(path.as_bytes());
        }
        self.compiler.change(key, Some(&old.value), None, None);
    }

    fn forget_credentials(&mut self, plugins: &PluginSet, old: &Document) {
        if matches!(old.key.kind(), Kind::Consumer | Kind::Credential) {
            for (name, key) in check::credential_keys(plugins, &old.value) {
                self.view.credentials.remove(&credential_place(&name, &key));
            }
        }
    }
}

/// What is referred to comes before what refers to it.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Upstream | Kind::PluginMetadata | Kind::PluginConfig | Kind::ConsumerGroup => 0,
        Kind::Service | Kind::Consumer => 1,
        _ => 2,
    }
}
