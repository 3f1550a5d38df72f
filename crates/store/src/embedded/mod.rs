//! The default backend: one file in the data directory, no set-up, safe against crashes.
//!
//! In the data directory:
//! - `store.redb`: the documents;
//! - `store.lock`: held by the process that has the store open;
//! - `last-good.json.sealed`: a copy, closed with a digest, of what was there at the last start and the last orderly
//!   stop; it is what a damaged file is restored from;
//! - `store.redb.corrupt-<n>`: a damaged file that was set aside.

mod backup;
mod disk;
mod file;
mod open;
mod tally;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use futures_util::future::{self, BoxFuture, FutureExt};
use tokio::sync::{mpsc, oneshot};

use crate::ledger::Ledger;
use crate::{ChangeStream, Documents, Op, Revision, Store, StoreError};
use open::Opened;
use writer::{Command, Work, Writer};

pub(crate) use disk::create_once;

/// How many writes may wait for the disk before further ones wait to be queued.
const QUEUE_LEN: usize = 1024;

/// A store in a file of the data directory.
///
/// Writes that wait at the same time share one transaction, so that many writers cost few disk flushes. Dropping the
/// store finishes the queued writes and releases the directory.
pub struct Embedded {
    ledger: Arc<Ledger>,
    commits: Arc<AtomicU64>,
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
}

/// The file was damaged, and the documents of the last good copy took its place: writes made after the copy are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// What was wrong with the file.
    pub reason: String,
    /// Where the damaged file is now; `None` when it was missing.
    pub set_aside: Option<PathBuf>,
    /// The revision of the copy.
    pub revision: Revision,
}

// === impl Embedded ===

impl Embedded {
    /// Opens the store in `data_dir`, which is created when there is none. Blocks on the disk.
    pub fn open(data_dir: &Path) -> Result<(Self, Option<Recovered>), StoreError> {
        let Opened { lock, file, documents, recovered } = open::open(data_dir)?;
        let ledger = Arc::new(Ledger::new(documents));
        let commits = Arc::new(AtomicU64::new(0));
        let (commands, queue) = mpsc::channel(QUEUE_LEN);
        let writer = Writer::new(data_dir, lock, file, Arc::clone(&ledger), Arc::clone(&commits));
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let store = Self { ledger, commits, commands: Some(commands), writer: Some(writer) };
        Ok((store, recovered))
    }

    /// What is stored in `data_dir`, which is left as it is: nothing is created, repaired or restored. `None` when there is no store.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while a gateway has it open.
    pub fn peek(data_dir: &Path) -> Result<Option<Documents>, StoreError> {
        open::peek(data_dir)
    }

    /// How many transactions were written since the store was opened; at most one per write, fewer under load.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    async fn ask(&self, work: Work) -> Result<Revision, StoreError> {
        let gone = || StoreError::Unavailable("the writer has stopped".to_owned());
        let (answer, answered) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or_else(gone)?;
        commands.send(Command { work, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Store for Embedded {
    fn load(&self) -> BoxFuture<'_, Result<Documents, StoreError>> {
        future::ready(Ok(self.ledger.load())).boxed()
    }

    fn write(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.ask(Work::Batch(ops)).boxed()
    }

    fn next_id(&self) -> BoxFuture<'_, Result<String, StoreError>> {
        async { Ok(self.ask(Work::Reserve).await?.as_id()) }.boxed()
    }

    fn watch(&self, from: Revision) -> ChangeStream {
        self.ledger.watch(from)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Without senders the writer ends when its queue is empty; then the lock is free.
        self.commands = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("store writer panicked");
        }
    }
}
