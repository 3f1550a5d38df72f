//! The one thread that writes the file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::backup;
use super::file::DocFile;
use super::open::{Layout, Lock};
use crate::ledger::Ledger;
use crate::{Op, Revision, StoreError};

/// How many waiting writes share one transaction at most.
const GROUP_LEN: usize = 256;

/// A write and whom to tell about it.
pub(super) struct Command {
    pub(super) work: Work,
    pub(super) answer: oneshot::Sender<Result<Revision, StoreError>>,
}

pub(super) enum Work {
    Batch(Vec<Op>),
    /// Use up a revision.
    Reserve,
}

pub(super) struct Writer {
    layout: Layout,
    /// `None` after a failure: redb refuses a file on which it failed until it is opened anew.
    file: Option<DocFile>,
    ledger: Arc<Ledger>,
    commits: Arc<AtomicU64>,
    _lock: Lock,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        directory: &Path,
        lock: Lock,
        file: DocFile,
        ledger: Arc<Ledger>,
        commits: Arc<AtomicU64>,
    ) -> Self {
        Self { layout: Layout::new(directory), file: Some(file), ledger, commits, _lock: lock }
    }

    /// Writes until all senders are gone and the queue is empty.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut group = Vec::with_capacity(GROUP_LEN);
        while queue.blocking_recv_many(&mut group, GROUP_LEN) > 0 {
            self.write(group.drain(..));
        }
        if self.commits.load(Ordering::Relaxed) > 0
            && let Err(error) = backup::write(&self.layout.copy(), &self.ledger.load())
        {
            tracing::warn!(%error, "last good copy of the store could not be written");
        }
    }

    /// Commits a group in one transaction; each of its batches succeeds or fails for itself, unless the disk fails.
    fn write(&mut self, group: impl Iterator<Item = Command>) {
        let opened = self.reopen();
        let mut plan = self.ledger.plan();
        let before = plan.revision();
        let mut answers = Vec::new();
        for Command { work, answer } in group {
            let result = match (&opened, work) {
                (Err(reason), _) => Err(StoreError::Unavailable(reason.clone())),
                (Ok(()), Work::Batch(ops)) => plan.batch(ops),
                (Ok(()), Work::Reserve) => Ok(plan.reserve()),
            };
            answers.push((answer, result));
        }
        if plan.revision() != before
            && let Some(file) = &mut self.file
        {
            match file.commit(&plan) {
                Ok(()) => {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    plan.publish();
                }
                Err(error) => {
                    tracing::error!(%error, "store could not be written");
                    self.file = None;
                    // Conflicts too: they may be with a batch that is not stored now.
                    for (_, result) in &mut answers {
                        *result = Err(StoreError::Unavailable(error.to_string()));
                    }
                }
            }
        }
        for (answer, result) in answers {
            // A caller that is gone does not need its answer.
            let _ = answer.send(result);
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
        if self.file.is_some() {
            return Ok(());
        }
        let (file, documents) = DocFile::open(&self.layout.main()).map_err(|error| error.to_string())?;
        let known = self.ledger.revision();
        if documents.revision < known {
            return Err(format!("the file went back from revision {known} to {}", documents.revision));
        }
        // The failed commit may have reached the disk after all.
        if documents.revision > known {
            self.ledger.replace(documents);
        }
        self.file = Some(file);
        Ok(())
    }
}
