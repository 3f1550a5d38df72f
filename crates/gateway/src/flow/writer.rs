use super::{DocumentsView, FlowError, Published, Write};
use crate::{
    check,
    plugins::PluginSet,
    snapshot::{Compiler, Snapshot, Written},
};
use futures_util::future::join_all;
use model::documents::Key;
use plugin::Shared;
use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};
use store::{DocKey, Op, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

/// Changes that may wait; who comes then waits for a place.
pub(super) const QUEUE: usize = 256;

/// Changes that are asked for together, and whom to tell what came of them.
pub(super) struct Asked {
    pub(super) writes: Vec<Write>,
    pub(super) answer: oneshot::Sender<Result<u64, FlowError>>,
}

/// The one that changes the configuration.
pub(super) struct Writer {
    store: Arc<dyn Store>,
    plugins: Arc<PluginSet>,
    shared: Arc<Shared>,
    published: Arc<Published>,
    view: DocumentsView,
    compiler: Compiler,
    /// Snapshots that requests may still run on. They are let go here, not on a worker.
    retired: Vec<Arc<Snapshot>>,
}

impl Writer {
    pub(super) fn new(
        store: Arc<dyn Store>,
        plugins: Arc<PluginSet>,
        shared: Arc<Shared>,
        published: Arc<Published>,
        view: DocumentsView,
        compiler: Compiler,
    ) -> Self {
        Self { store, plugins, shared, published, view, compiler, retired: Vec::new() }
    }

    /// Makes changes until nobody can ask for any.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Asked>) {
        let mut group = Vec::new();
        while queue.recv_many(&mut group, QUEUE).await > 0 {
            self.write(std::mem::take(&mut group)).await;
        }
    }

    /// Checks all that wait in their order, each as if those before it were stored; gives them to the store together, so that
    /// they share its commit; publishes what was stored with one snapshot.
    async fn write(&mut self, group: Vec<Asked>) {
        let mut view = Cow::Borrowed(&self.view);
        let mut accepted = Vec::new();
        let mut left = group.len();
        for Asked { writes, answer } in group {
            left -= 1;
            match self.check(&view, &writes, left > 0) {
                Ok((ops, after)) => {
                    if let Some(after) = after {
                        view = Cow::Owned(after);
                    }
                    accepted.push((writes, answer, ops));
                }
                Err(refused) => {
                    let _ = answer.send(Err(refused));
                }
            }
        }
        drop(view);
        let stored = join_all(accepted.iter_mut().map(|(.., ops)| self.store.write(std::mem::take(ops)))).await;
        let mut answers = Vec::new();
        let mut followed = Vec::new();
        for ((writes, answer, _), stored) in accepted.into_iter().zip(stored) {
            let outcome = stored.map(|revision| revision.0).map_err(|error| match error {
                StoreError::Conflict { .. } => FlowError::Conflict,
                other => FlowError::Unavailable(other.to_string()),
            });
            if let Ok(revision) = outcome {
                followed.push((revision, writes));
            }
            answers.push((answer, outcome));
        }
        // The store's order is the one that counts.
        followed.sort_by_key(|(revision, _)| *revision);
        let newest = followed.last().map(|(revision, _)| *revision);
        for (revision, writes) in followed {
            for write in writes {
                self.follow(write, revision);
            }
        }
        if let Some(revision) = newest {
            self.publish(revision);
        }
        for (answer, outcome) in answers {
            // A caller that is gone does not need its answer.
            let _ = answer.send(outcome);
        }
    }

    /// Checks changes, each as if those before it were made. Gives the documents as they would be then, when more are to be
    /// checked against them.
    fn check(
        &self,
        before: &DocumentsView,
        writes: &[Write],
        is_followed: bool,
    ) -> Result<(Vec<Op>, Option<DocumentsView>), FlowError> {
        let mut after: Option<DocumentsView> = None;
        let mut ops = Vec::with_capacity(writes.len());
        let place = |key: &Key| DocKey::parse(key.path()).map_err(|e| FlowError::Refused(e.to_string()));
        for (at, write) in writes.iter().enumerate() {
            ops.push(match write {
                Write::Put { key, value, expect } => {
                    let view = after.as_ref().unwrap_or(before);
                    check::check_document(view, &self.plugins, &self.shared, key, value).map_err(FlowError::Refused)?;
                    Op::Put { key: place(key)?, value: value.clone(), expect: *expect }
                }
                Write::Delete { key, expect } => Op::Delete { key: place(key)?, expect: *expect },
            });
            if is_followed || at + 1 < writes.len() {
                let view = after.get_or_insert_with(|| before.clone());
                match write {
                    Write::Put { key, value, .. } => {
                        view.put(&self.plugins, key.clone(), &Written::new(value), 0, None);
                    }
                    Write::Delete { key, .. } => {
                        view.remove(&self.plugins, key);
                    }
                }
            }
        }
        Ok((ops, after))
    }

    fn follow(&mut self, write: Write, revision: u64) {
        match write {
            Write::Put { key, value, .. } => {
                let written = Written::new(&value);
                self.compiler.change(&key, self.view.text(&key).as_deref(), Some(&written), None);
                self.view.put(&self.plugins, key, &written, revision, None);
            }
            Write::Delete { key, .. } => {
                if let Some(old) = self.view.remove(&self.plugins, &key) {
                    self.compiler.change(&key, Some(&old), None, None);
                }
            }
        }
    }

    fn publish(&mut self, revision: u64) {
        let snapshot = Arc::new(self.compiler.snapshot(revision));
        self.published.documents.store(Arc::new(self.view.clone()));
        self.retired.push(self.published.snapshot.swap(snapshot));
        self.published.generation.fetch_add(1, Ordering::Release);
        self.published.report(&self.shared);
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}
