//! `apisix.yaml` and `apisix.json`: documents that somebody else writes into a file.

mod order;
mod reading;
mod watcher;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::{self, BoxFuture, FutureExt};
use model::declared::Format;
use parking_lot::RwLock;

use crate::ledger::Ledger;
use crate::{ChangeStream, DocKey, Documents, Op, Revision, Store, StoreError};
use watcher::{Stop, Watcher};

/// The value of a variable of the environment.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// How a file is read.
pub struct FileOptions {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// Whether sections of unknown names are passed over and the last of several documents with the same id counts.
    pub is_lenient: bool,
    /// Variables of the environment, for `${{NAME}}`.
    pub env: Environment,
    /// How often it is looked at.
    pub interval: Duration,
    /// Told what came of each version of the file, once.
    pub report: Arc<dyn Fn(Reload<'_>) + Send + Sync>,
}

/// What came of a version of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload<'a> {
    /// It is what the store holds now.
    Taken,
    /// It cannot be used, and the store holds what it held before.
    Refused(&'a str),
}

/// A store that shows a file and cannot be written. It looks at the file again and again, and takes a new version of it whole
/// or not at all. It has revision 0 until the file could be read for the first time.
pub struct File {
    shown: Arc<Shown>,
    stop: Arc<Stop>,
    watcher: Option<JoinHandle<()>>,
}

/// What the file said when it was last taken.
struct Shown {
    path: PathBuf,
    ledger: Ledger,
    lines: RwLock<HashMap<DocKey, usize>>,
}

// === impl File ===

impl File {
    /// Reads the file, and follows it from now on. A file that is not there, or cannot be used, is waited for.
    pub fn open(options: FileOptions) -> Result<Self, StoreError> {
        let shown = Arc::new(Shown {
            path: options.path.clone(),
            ledger: Ledger::new(Documents::default()),
            lines: RwLock::default(),
        });
        let stop = Arc::new(Stop::default());
        let mut watcher = Watcher::new(options, Arc::clone(&shown), Arc::clone(&stop));
        watcher.look();
        let watcher = std::thread::Builder::new()
            .name("config-file".to_owned())
            .spawn(move || watcher.run())
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { shown, stop, watcher: Some(watcher) })
    }

    fn read_only(&self) -> StoreError {
        StoreError::ReadOnly(self.shown.path.clone())
    }
}

impl Store for File {
    fn load(&self) -> BoxFuture<'_, Result<Documents, StoreError>> {
        future::ready(Ok(self.shown.ledger.load())).boxed()
    }

    fn write(&self, _: Vec<Op>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        future::ready(Err(self.read_only())).boxed()
    }

    fn next_id(&self) -> BoxFuture<'_, Result<String, StoreError>> {
        future::ready(Err(self.read_only())).boxed()
    }

    fn watch(&self, from: Revision) -> ChangeStream {
        self.shown.ledger.watch(from)
    }

    fn changes_by_itself(&self) -> bool {
        true
    }

    fn place(&self, key: &DocKey) -> Option<String> {
        let line = self.shown.lines.read().get(key).copied()?;
        Some(format!("{}:{line}", self.shown.path.display()))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.stop.now();
        if let Some(watcher) = self.watcher.take()
            && watcher.join().is_err()
        {
            tracing::error!("the thread that follows the configuration file panicked");
        }
    }
}
