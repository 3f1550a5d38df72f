use super::{DocumentsView, FlowError, Published, Write};
use crate::{
    check,
    plugins::PluginSet,
    snapshot::{Compiler, Snapshot, Written},
};
use model::documents::Key;
use plugin::Shared;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
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
    /// Whether the store may hold something else than `view`.
    is_behind: bool,
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
        Self { store, plugins, shared, published, view, compiler, retired: Vec::new(), is_behind: false }
    }

    /// Makes changes until nobody can ask for any.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Asked>) {
        let mut group = Vec::new();
        while queue.recv_many(&mut group, QUEUE).await > 0 {
            self.write(std::mem::take(&mut group)).await;
        }
    }

    /// Makes the changes that wait, with one commit and one snapshot where that is possible.
    async fn write(&mut self, group: Vec<Asked>) {
        let outcomes = match self.catch_up().await {
            Err(error) => vec![Err(error); group.len()],
            Ok(()) => match self.write_together(&group).await {
                Some(outcomes) => outcomes,
                None => self.write_each(&group).await,
            },
        };
        if let Some(newest) = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).max() {
            self.publish(*newest);
        }
        for (Asked { answer, .. }, outcome) in group.into_iter().zip(outcomes) {
            // A caller that is gone does not need its answer.
            let _ = answer.send(outcome);
        }
    }

    /// Checks all in their order, each as if those before it were stored, and stores them as one batch: none can be stored without
    /// one before it that it relies on. `None` when the store refused the batch, for then nobody knows whose fault it was.
    async fn write_together(&mut self, group: &[Asked]) -> Option<Vec<Result<u64, FlowError>>> {
        let mut view = Cow::Borrowed(&self.view);
        let mut batch = Vec::new();
        let mut checked = Vec::with_capacity(group.len());
        for (at, Asked { writes, .. }) in group.iter().enumerate() {
            checked.push(match self.check(&view, writes, at + 1 < group.len()) {
                Ok((ops, after)) => {
                    if let Some(after) = after {
                        view = Cow::Owned(after);
                    }
                    batch.extend(ops);
                    Ok(())
                }
                Err(refused) => Err(refused),
            });
        }
        drop(view);
        if checked.iter().all(Result::is_err) {
            return Some(checked.into_iter().map(|refused| refused.map(|()| 0)).collect());
        }
        match self.store(batch).await {
            Ok(revision) => {
                for (Asked { writes, .. }, _) in group.iter().zip(&checked).filter(|(_, checked)| checked.is_ok()) {
                    self.follow(writes, revision);
                }
                Some(checked.into_iter().map(|checked| checked.map(|()| revision)).collect())
            }
            Err(error) if group.len() == 1 => Some(vec![Err(error)]),
            Err(_) => None,
        }
    }

    async fn write_each(&mut self, group: &[Asked]) -> Vec<Result<u64, FlowError>> {
        let mut outcomes = Vec::with_capacity(group.len());
        for Asked { writes, .. } in group {
            outcomes.push(match self.check(&self.view, writes, false) {
                Ok((ops, _)) => self.store(ops).await,
                Err(refused) => Err(refused),
            });
            if let Some(Ok(revision)) = outcomes.last() {
                self.follow(writes, *revision);
            }
        }
        outcomes
    }

    async fn store(&mut self, ops: Vec<Op>) -> Result<u64, FlowError> {
        self.store.write(ops).await.map(|revision| revision.0).map_err(|error| match error {
            StoreError::Conflict { .. } => FlowError::Conflict,
            other => {
                self.is_behind = true;
                FlowError::Unavailable(other.to_string())
            }
        })
    }

    /// After a failure nobody knows what reached the disk. Reads the store again before anything is checked against what it held.
    async fn catch_up(&mut self) -> Result<(), FlowError> {
        if !self.is_behind {
            return Ok(());
        }
        let failed = |error: StoreError| FlowError::Unavailable(error.to_string());
        // A write makes the store look at its file again.
        self.store.next_id().await.map_err(failed)?;
        let loaded = self.store.load().await.map_err(failed)?;
        let mut known: HashMap<Key, u64> = self.view.revisions().collect();
        for entry in loaded.entries {
            let Ok(key) = Key::parse(entry.key.as_str()) else { continue };
            if known.remove(&key) == Some(entry.modified.0) {
                continue;
            }
            let value = entry.value();
            let written = Written { value: &value, text: entry.text };
            self.compiler.change(&key, self.view.text(&key).as_deref(), Some(&written), entry.problem.as_deref());
            self.view.put(&self.plugins, key, &written, entry.modified.0, Some(entry.created.0));
        }
        for gone in known.into_keys() {
            self.forget(&gone);
        }
        self.publish(loaded.revision.0);
        self.is_behind = false;
        Ok(())
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
                Write::Delete { key, expect, is_forced } => {
                    if !is_forced {
                        check::check_delete(after.as_ref().unwrap_or(before), &self.plugins, key)
                            .map_err(FlowError::Refused)?;
                    }
                    // Whatever came while its owner was on its way out would be there again with the next owner of that name.
                    if leaves_owned(after.as_ref().unwrap_or(before), writes, key) {
                        return Err(FlowError::Conflict);
                    }
                    Op::Delete { key: place(key)?, expect: *expect }
                }
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

    fn follow(&mut self, writes: &[Write], revision: u64) {
        for write in writes {
            match write {
                Write::Put { key, value, .. } => {
                    let written = Written::new(value);
                    self.compiler.change(key, self.view.text(key).as_deref(), Some(&written), None);
                    self.view.put(&self.plugins, key.clone(), &written, revision, None);
                }
                Write::Delete { key, .. } => self.forget(key),
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(old) = self.view.remove(&self.plugins, key) {
            self.compiler.change(key, Some(&old), None, None);
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

/// Whether something would be left of what the document owns.
fn leaves_owned(view: &DocumentsView, writes: &[Write], owner: &Key) -> bool {
    let owned = owner.kind().owned().map(|kind| view.keys(kind, owner.id())).unwrap_or_default();
    if owned.is_empty() {
        return false;
    }
    let deleted: HashSet<&Key> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Delete { key, .. } => Some(key),
            Write::Put { .. } => None,
        })
        .collect();
    owned.iter().any(|key| !deleted.contains(key))
}
