//! The documents in memory, with enough of their history to tell watchers what changed.
//!
//! Watchers share one bounded log of keys and look the documents up when they are told. So a stalled watcher costs
//! nothing, however large the documents: it either finds its place in the log again or is asked to load anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{Change, ChangeStream, DocKey, Documents, Entry, Op, Revision, StoreError};

/// How many changes back a watcher can start or lag before it has to load everything again.
const LOG_LEN: usize = 4096;

/// The documents of a store and those who watch them. One writer at a time, any number of readers.
pub(crate) struct Ledger {
    state: Arc<RwLock<State>>,
    latest: watch::Sender<Revision>,
}

/// The effect of a group of batches, worked out but not yet visible to readers.
pub(crate) struct Plan<'a> {
    ledger: &'a Ledger,
    documents: BTreeMap<DocKey, Option<Entry>>,
    marks: Vec<Mark>,
    revision: Revision,
    plugins: Option<Option<Arc<[String]>>>,
}

/// What a document becomes.
pub(crate) struct New {
    pub(crate) text: Arc<str>,
    pub(crate) order: Option<u64>,
    pub(crate) problem: Option<String>,
}

struct State {
    documents: BTreeMap<DocKey, Entry>,
    plugins: Option<Arc<[String]>>,
    revision: Revision,
    log: VecDeque<Mark>,
    /// Changes up to and including this revision may be missing from the log.
    forgotten: Revision,
}

struct Mark {
    revision: Revision,
    key: DocKey,
    deleted: bool,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(documents: Documents) -> Self {
        let revision = documents.revision;
        Self { state: Arc::new(RwLock::new(State::new(documents))), latest: watch::Sender::new(revision) }
    }

    pub(crate) fn load(&self) -> Documents {
        let state = self.state.read();
        let mut entries: Vec<Entry> = state.documents.values().cloned().collect();
        // Stable, so that documents of one batch stay in the order of their keys.
        entries.sort_by_key(|entry| entry.created);
        Documents { entries, plugins: state.plugins.clone(), revision: state.revision }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.state.read().revision
    }

    /// Starts working out a group of batches. Only one plan may exist at a time.
    pub(crate) fn plan(&self) -> Plan<'_> {
        Plan { ledger: self, documents: BTreeMap::new(), marks: Vec::new(), revision: self.revision(), plugins: None }
    }

    /// Replaces everything, after the backend found that it holds something else than was thought.
    pub(crate) fn replace(&self, documents: Documents) {
        let revision = documents.revision;
        *self.state.write() = State::new(documents);
        self.latest.send_replace(revision);
    }

    /// Compares something with all documents.
    pub(crate) fn compare<T>(&self, compare: impl FnOnce(&BTreeMap<DocKey, Entry>) -> T) -> T {
        compare(&self.state.read().documents)
    }

    pub(crate) fn watch(&self, from: Revision) -> ChangeStream {
        let watcher = Watcher { state: Arc::clone(&self.state), latest: self.latest.subscribe(), seen: from };
        stream::unfold(watcher, Watcher::next).flat_map(stream::iter).boxed()
    }
}

// === impl Plan ===

impl Plan<'_> {
    /// Adds a batch; when one of its expectations does not hold, nothing of it is added.
    pub(crate) fn batch(&mut self, ops: Vec<Op>) -> Result<Revision, StoreError> {
        if ops.is_empty() {
            return Ok(self.revision);
        }
        let revision = self.revision.next();
        let mut changed: BTreeMap<DocKey, Option<Entry>> = BTreeMap::new();
        let mut marks = Vec::with_capacity(ops.len());
        for op in ops {
            let found = match changed.get(op.key()) {
                Some(entry) => entry.as_ref().map(|entry| (entry.created, entry.modified)),
                None => self.find(op.key()),
            };
            let modified = found.map(|(_, modified)| modified);
            if !op.expect().holds(modified) {
                return Err(StoreError::Conflict { key: op.key().clone(), expect: op.expect(), found: modified });
            }
            let (key, entry) = match op {
                Op::Put { key, value, .. } => {
                    let entry = Entry {
                        key: key.clone(),
                        text: value.to_string().into(),
                        created: found.map_or(revision, |(created, _)| created),
                        modified: revision,
                        order: None,
                        problem: None,
                    };
                    (key, Some(entry))
                }
                Op::Delete { .. } if found.is_none() => continue,
                Op::Delete { key, .. } => (key, None),
            };
            marks.push(Mark { revision, key: key.clone(), deleted: entry.is_none() });
            changed.insert(key, entry);
        }
        self.documents.extend(changed);
        self.marks.extend(marks);
        self.revision = revision;
        Ok(revision)
    }

    /// Adds a write that makes a document what `new` is, or takes it away; one that is so already is left as it is.
    pub(crate) fn follow(&mut self, key: DocKey, new: Option<New>) {
        let created = {
            let state = self.ledger.state.read();
            let old = state.documents.get(&key);
            let is_same = match (old, &new) {
                (Some(old), Some(new)) => {
                    let is_same_text = Arc::ptr_eq(&old.text, &new.text) || old.text == new.text;
                    is_same_text && (old.order, &old.problem) == (new.order, &new.problem)
                }
                (None, None) => true,
                _ => false,
            };
            if is_same {
                return;
            }
            old.map(|old| old.created)
        };
        let revision = self.reserve();
        self.marks.push(Mark { revision, key: key.clone(), deleted: new.is_none() });
        let entry = new.map(|New { text, order, problem }| Entry {
            key: key.clone(),
            text,
            created: created.unwrap_or(revision),
            modified: revision,
            order,
            problem,
        });
        self.documents.insert(key, entry);
    }

    /// Says which plugins are enabled. Watchers have to load everything again when these are others than before.
    pub(crate) fn enable(&mut self, plugins: Option<Arc<[String]>>) {
        if self.ledger.state.read().plugins != plugins {
            self.reserve();
            self.plugins = Some(plugins);
        }
    }

    /// Adds a write that changes no document.
    pub(crate) fn reserve(&mut self) -> Revision {
        self.revision = self.revision.next();
        self.revision
    }

    /// What has to be stored (`None`: removed) for the plan to be durable.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (&DocKey, Option<&Entry>)> {
        self.documents.iter().map(|(key, entry)| (key, entry.as_ref()))
    }

    /// The revision after the plan.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Makes the plan visible to readers and watchers.
    pub(crate) fn publish(self) {
        let mut state = self.ledger.state.write();
        for (key, entry) in self.documents {
            match entry {
                Some(entry) => state.documents.insert(key, entry),
                None => state.documents.remove(&key),
            };
        }
        state.revision = self.revision;
        state.remember(self.marks);
        if let Some(plugins) = self.plugins {
            state.plugins = plugins;
            state.log.clear();
            state.forgotten = self.revision;
        }
        drop(state);
        self.ledger.latest.send_replace(self.revision);
    }

    /// When the document was created and last modified.
    fn find(&self, key: &DocKey) -> Option<(Revision, Revision)> {
        let times = |entry: &Entry| (entry.created, entry.modified);
        match self.documents.get(key) {
            Some(entry) => entry.as_ref().map(times),
            None => self.ledger.state.read().documents.get(key).map(times),
        }
    }
}

// === impl State ===

impl State {
    fn new(documents: Documents) -> Self {
        Self {
            revision: documents.revision,
            forgotten: documents.revision,
            log: VecDeque::new(),
            plugins: documents.plugins,
            documents: documents.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect(),
        }
    }

    fn remember(&mut self, marks: Vec<Mark>) {
        self.log.extend(marks);
        while self.log.len() > LOG_LEN {
            if let Some(mark) = self.log.pop_front() {
                self.forgotten = mark.revision;
            }
        }
    }

    fn since(&self, seen: Revision) -> Vec<Change> {
        if seen < self.forgotten || seen > self.revision {
            return vec![Change::Resync];
        }
        let start = self.log.partition_point(|mark| mark.revision <= seen);
        self.log.range(start..).filter_map(|mark| self.tell(mark)).collect()
    }

    /// A put that a later one replaced is not told: the later one is further on in the log.
    fn tell(&self, mark: &Mark) -> Option<Change> {
        if mark.deleted {
            return Some(Change::Delete(mark.key.clone(), mark.revision));
        }
        let entry = self.documents.get(&mark.key)?;
        (entry.modified == mark.revision).then(|| Change::Put(entry.clone()))
    }
}

struct Watcher {
    state: Arc<RwLock<State>>,
    latest: watch::Receiver<Revision>,
    seen: Revision,
}

// === impl Watcher ===

impl Watcher {
    async fn next(mut self) -> Option<(Vec<Change>, Self)> {
        loop {
            self.latest.mark_unchanged();
            let changes = {
                let state = self.state.read();
                let changes = state.since(self.seen);
                self.seen = state.revision;
                changes
            };
            if !changes.is_empty() {
                return Some((changes, self));
            }
            self.latest.changed().await.ok()?;
        }
    }
}
