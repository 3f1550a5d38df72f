use super::{DocumentsView, FlowError, Published, Write, rank};
use crate::{
    check,
    plugins::PluginSet,
    snapshot::{Compiler, Snapshot, Written},
};
use futures_util::{FutureExt, StreamExt};
use model::documents::Key;
use plugin::Shared;
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};
use store::{Change, ChangeStream, DocKey, Entry, Expect, Op, Revision, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

/// Changes that may wait; who comes then waits for a place.
pub(super) const QUEUE: usize = 256;

/// Whom to tell what came of it.
pub(super) type Answer = oneshot::Sender<Result<u64, FlowError>>;

/// What is asked for.
pub(super) enum Asked {
    /// Changes of some documents.
    Some(Writes),
    /// Other documents in the place of all.
    All(Vec<(Key, Value)>, Answer),
}

/// Changes that are asked for together.
pub(super) struct Writes {
    pub(super) writes: Vec<Write>,
    pub(super) answer: Answer,
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
        compiler: Compiler,
    ) -> Self {
        let view = DocumentsView::default();
        Self { store, plugins, shared, published, view, compiler, retired: Vec::new(), is_behind: false }
    }

    /// Makes changes until nobody can ask for any, and follows those of the store.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Asked>, mut changes: Option<ChangeStream>) {
        let mut asked = Vec::new();
        loop {
            tokio::select! {
                count = queue.recv_many(&mut asked, QUEUE) => {
                    if count == 0 {
                        return;
                    }
                    self.serve(std::mem::take(&mut asked)).await;
                }
                told = told(&mut changes) => self.follow_store(told).await,
            }
        }
    }

    async fn serve(&mut self, asked: Vec<Asked>) {
        let mut group = Vec::new();
        for asked in asked {
            match asked {
                Asked::Some(writes) => group.push(writes),
                Asked::All(documents, answer) => {
                    if !group.is_empty() {
                        self.write(std::mem::take(&mut group)).await;
                    }
                    let _ = answer.send(self.replace(documents).await);
                }
            }
        }
        if !group.is_empty() {
            self.write(group).await;
        }
    }

    /// Makes the changes that wait, with one commit and one snapshot where that is possible.
    async fn write(&mut self, group: Vec<Writes>) {
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
        for (Writes { answer, .. }, outcome) in group.into_iter().zip(outcomes) {
            // A caller that is gone does not need its answer.
            let _ = answer.send(outcome);
        }
    }

    /// Checks all in their order, each as if those before it were stored, and stores them as one batch: none can be stored without
    /// one before it that it relies on. `None` when the store refused the batch, for then nobody knows whose fault it was.
    async fn write_together(&mut self, group: &[Writes]) -> Option<Vec<Result<u64, FlowError>>> {
        let mut view = Cow::Borrowed(&self.view);
        let mut batch = Vec::new();
        let mut checked = Vec::with_capacity(group.len());
        for (at, Writes { writes, .. }) in group.iter().enumerate() {
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
                for (Writes { writes, .. }, _) in group.iter().zip(&checked).filter(|(_, checked)| checked.is_ok()) {
                    self.follow(writes, revision);
                }
                Some(checked.into_iter().map(|checked| checked.map(|()| revision)).collect())
            }
            Err(error) if group.len() == 1 => Some(vec![Err(error)]),
            Err(_) => None,
        }
    }

    async fn write_each(&mut self, group: &[Writes]) -> Vec<Result<u64, FlowError>> {
        let mut outcomes = Vec::with_capacity(group.len());
        for Writes { writes, .. } in group {
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
            read_only @ StoreError::ReadOnly(_) => FlowError::Unavailable(read_only.to_string()),
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
        self.reload().await.map_err(failed)?;
        self.is_behind = false;
        Ok(())
    }

    /// Makes everything what the store holds, and says at which revision.
    pub(super) async fn reload(&mut self) -> Result<Revision, StoreError> {
        let loaded = self.store.load().await?;
        let mut known: HashMap<Key, u64> = self.view.revisions().collect();
        let has_other_plugins = self.plugins.declared() != loaded.plugins.as_ref();
        let mut puts = Vec::new();
        for entry in loaded.entries {
            let Some(key) = key_of(&entry) else { continue };
            let is_same = known.remove(&key) == Some(entry.modified.0);
            if !is_same || has_other_plugins {
                puts.push((key, entry));
            }
        }
        for gone in known.into_keys() {
            self.forget(&gone);
        }
        if has_other_plugins {
            self.enable(loaded.plugins);
        }
        self.take(puts);
        self.publish(loaded.revision.0);
        Ok(loaded.revision)
    }

    /// Enables other plugins. Nothing is in force after that before all documents are taken over again.
    fn enable(&mut self, names: Option<Arc<[String]>>) {
        let mut plugins = self.plugins.enabling(names);
        plugins.prepare_new(&self.plugins, &self.shared);
        self.plugins = Arc::new(plugins);
        self.compiler.begin_with(self.plugins.clone());
        self.view = DocumentsView::default();
    }

    /// Follows what the store says that changed, with one snapshot for all that it says at once.
    async fn follow_store(&mut self, told: Vec<Change>) {
        let mut puts = Vec::new();
        let mut newest = 0;
        for change in told {
            match change {
                Change::Resync => {
                    if let Err(error) = self.reload().await {
                        self.is_behind = true;
                        tracing::error!(%error, "the configuration cannot be read again, it stays as it was");
                    }
                    return;
                }
                Change::Put(entry) => {
                    newest = newest.max(entry.modified.0);
                    // A write of ours comes back.
                    let is_known = |key: &Key| self.view.revision(key).is_some_and(|known| known >= entry.modified.0);
                    if let Some(key) = key_of(&entry).filter(|key| !is_known(key)) {
                        puts.push((key, entry));
                    }
                }
                Change::Delete(key, revision) => {
                    newest = newest.max(revision.0);
                    if let Ok(key) = Key::parse(key.as_str())
                        && self.view.revision(&key).is_some_and(|known| known < revision.0)
                    {
                        self.forget(&key);
                    }
                }
            }
        }
        self.take(puts);
        self.publish(newest);
    }

    /// Takes over what was stored by somebody else.
    fn take(&mut self, mut puts: Vec<(Key, Entry)>) {
        // What others refer to comes first, so that nothing is compiled twice.
        let place = |entry: &Entry| entry.order.unwrap_or(entry.created.0);
        puts.sort_by(|(a, one), (b, other)| (rank(a.kind()), place(one), a).cmp(&(rank(b.kind()), place(other), b)));
        for (key, entry) in puts {
            let value = entry.value();
            let place = self.store.place(&entry.key);
            let written = Written { value: &value, text: entry.text, order: entry.order, place };
            self.compiler.change(&key, self.view.text(&key).as_deref(), Some(&written), entry.problem.as_deref());
            self.view.put(&self.plugins, key, &written, entry.modified.0, Some(entry.created.0));
        }
    }

    /// Stores other documents in the place of all.
    async fn replace(&mut self, documents: Vec<(Key, Value)>) -> Result<u64, FlowError> {
        self.catch_up().await?;
        let mut gone: HashMap<Key, u64> = self.view.revisions().collect();
        let (mut ops, mut puts) = (Vec::new(), Vec::new());
        for (key, value) in documents {
            gone.remove(&key);
            let written = Written::new(&value);
            if self.view.text(&key).is_none_or(|text| *text != *written.text) {
                ops.push(Op::Put { key: doc_key(&key)?, value: value.clone(), expect: Expect::Any });
                puts.push(Write::Put { key, value, expect: Expect::Any });
            }
        }
        let mut writes = Vec::new();
        for key in gone.into_keys() {
            ops.push(Op::Delete { key: doc_key(&key)?, expect: Expect::Any });
            writes.push(Write::Delete { key, expect: Expect::Any, is_forced: true });
        }
        // An empty batch gets no revision, and even no document at all is a configuration.
        let revision = if ops.is_empty() { self.touch().await? } else { self.store(ops).await? };
        puts.sort_by_key(|write| match write {
            Write::Put { key, .. } | Write::Delete { key, .. } => rank(key.kind()),
        });
        writes.extend(puts);
        self.follow(&writes, revision);
        self.publish(revision);
        Ok(revision)
    }

    /// A write that changes no document.
    async fn touch(&mut self) -> Result<u64, FlowError> {
        let id = self.store.next_id().await.map_err(|error| FlowError::Unavailable(error.to_string()))?;
        Ok(id.trim_start_matches('0').parse().unwrap_or_default())
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
        for (at, write) in writes.iter().enumerate() {
            ops.push(match write {
                Write::Put { key, value, expect } => {
                    let view = after.as_ref().unwrap_or(before);
                    check::check_document(view, &self.plugins, &self.shared, key, value).map_err(FlowError::Refused)?;
                    Op::Put { key: doc_key(key)?, value: value.clone(), expect: *expect }
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
                    Op::Delete { key: doc_key(key)?, expect: *expect }
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
        self.published.plugins.store(self.plugins.clone());
        self.published.documents.store(Arc::new(self.view.clone()));
        self.retired.push(self.published.snapshot.swap(snapshot));
        self.published.generation.fetch_add(1, Ordering::Release);
        self.published.report(&self.shared);
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}

/// Where a stored document is; one that is nowhere is named.
fn key_of(entry: &Entry) -> Option<Key> {
    Key::parse(entry.key.as_str())
        .inspect_err(|error| tracing::error!(key = entry.key.as_str(), %error, "a stored document has no valid key"))
        .ok()
}

fn doc_key(key: &Key) -> Result<DocKey, FlowError> {
    DocKey::parse(key.path()).map_err(|e| FlowError::Refused(e.to_string()))
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

/// All that a store says at once; nothing, ever, of one that is not followed.
async fn told(changes: &mut Option<ChangeStream>) -> Vec<Change> {
    let Some(stream) = changes else { return std::future::pending().await };
    let Some(first) = stream.next().await else {
        *changes = None;
        return std::future::pending().await;
    };
    let mut told = vec![first];
    while let Some(Some(next)) = stream.next().now_or_never() {
        told.push(next);
    }
    told
}
