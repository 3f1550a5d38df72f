//! The single writer of configuration: check, store, compile, publish, answer. A store that changes by itself is followed.

mod documents;
#[cfg(test)]
mod tests;
mod writer;

pub use documents::DocumentsView;

use crate::{
    plugins::PluginSet,
    snapshot::{Compiler, Problem, Snapshot},
};
use arc_swap::ArcSwap;
use model::{
    documents::{Key, Kind},
    settings::Router,
};
use plugin::Shared;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use store::{DocKey, Expect, Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use writer::{Answer, Asked, QUEUE, Writer, Writes};

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
        /// Also when others refer to it.
        is_forced: bool,
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

/// What is in force, for whoever reads.
struct Published {
    plugins: ArcSwap<PluginSet>,
    documents: ArcSwap<DocumentsView>,
    snapshot: ArcSwap<Snapshot>,
    generation: AtomicU64,
}

/// The configuration's one way in. Changes are made one group after the other by a task of its own: a caller that goes away in
/// the middle cannot leave stored what is not in force.
#[allow(missing_debug_implementations)]
pub struct Flow {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    published: Arc<Published>,
    queue: mpsc::Sender<Asked>,
}

impl Flow {
    /// See [`Flow::open_routing`]; with APISIX's default router.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(
        store: Arc<dyn Store>,
        plugins: Arc<PluginSet>,
        shared: Arc<Shared>,
    ) -> Result<Arc<Self>, StoreError> {
        Self::open_routing(store, plugins, shared, Router::default()).await
    }

    /// Loads what is stored and compiles it. Changes are made on the runtime that this is called on, until the flow is dropped.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open_routing(
        store: Arc<dyn Store>,
        plugins: Arc<PluginSet>,
        shared: Arc<Shared>,
        router: Router,
    ) -> Result<Arc<Self>, StoreError> {
        let mut compiler = Compiler::new(plugins.clone(), shared.clone(), router);
        let published = Arc::new(Published {
            plugins: ArcSwap::new(plugins.clone()),
            documents: ArcSwap::default(),
            snapshot: ArcSwap::from_pointee(compiler.snapshot(0)),
            generation: AtomicU64::new(0),
        });
        let (queue, asked) = mpsc::channel(QUEUE);
        let mut writer = Writer::new(store.clone(), plugins, shared.clone(), published.clone(), compiler);
        let revision = writer.reload().await?;
        let changes = store.changes_by_itself().then(|| store.watch(revision));
        tokio::spawn(writer.run(asked, changes));
        Ok(Arc::new(Self { store, shared, published, queue }))
    }

    /// Checks, stores and publishes changes, all or none. When it answers, the changes are durable and every request that
    /// begins from now on sees them.
    ///
    /// # Errors
    /// [`FlowError`]; nothing was changed then.
    pub async fn write(&self, writes: Vec<Write>) -> Result<u64, FlowError> {
        self.ask(|answer| Asked::Some(Writes { writes, answer })).await
    }

    /// Stores these documents in the place of all there are, and publishes them. They are not checked: one that cannot be used is
    /// quarantined. What stays as it was keeps what it has counted.
    ///
    /// # Errors
    /// [`FlowError`]; nothing was changed then.
    pub async fn replace(&self, documents: Vec<(Key, Value)>) -> Result<u64, FlowError> {
        self.ask(|answer| Asked::All(documents, answer)).await
    }

    async fn ask(&self, asked: impl FnOnce(Answer) -> Asked) -> Result<u64, FlowError> {
        let ended = || FlowError::Unavailable("the configuration is not written any more".to_owned());
        let (answer, outcome) = oneshot::channel();
        self.queue.send(asked(answer)).await.map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
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
        self.published.documents.load_full()
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.snapshot.load_full()
    }

    /// Changes whenever another snapshot is published.
    pub fn generation(&self) -> &AtomicU64 {
        &self.published.generation
    }

    /// The plugins that are enabled now.
    pub fn plugins(&self) -> Arc<PluginSet> {
        self.published.plugins.load_full()
    }

    /// Process-wide state.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What is wrong with stored documents.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.published.snapshot.load().problems().to_vec();
        for problem in &mut problems {
            // It may have moved since.
            problem.place = self.place(&problem.key).or(problem.place.take());
        }
        problems
    }

    /// Where an operator finds a document, such as a file and a line, if it is not in a database. `key` is as `/routes/1`.
    pub fn place(&self, key: &str) -> Option<String> {
        self.store.place(&DocKey::parse(key).ok()?)
    }
}

impl Published {
    fn report(&self, shared: &Shared) {
        let snapshot = self.snapshot.load();
        shared.stats.revision.store(snapshot.revision(), Ordering::Relaxed);
        shared.stats.problems.store(snapshot.problems().len() as u64, Ordering::Relaxed);
    }
}

/// What is referred to comes before what refers to it.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Upstream | Kind::PluginMetadata | Kind::PluginConfig | Kind::ConsumerGroup | Kind::Ssl => 0,
        Kind::Service | Kind::Consumer => 1,
        _ => 2,
    }
}
