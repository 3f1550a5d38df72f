//! Documents that live as long as the process.

use futures_util::future::{self, BoxFuture, FutureExt};
use parking_lot::Mutex;

use crate::ledger::Ledger;
use crate::{ChangeStream, Documents, Op, Revision, Store, StoreError};

/// A store in memory, for tests and for configuration that comes from elsewhere.
pub struct Memory {
    ledger: Ledger,
    writing: Mutex<()>,
}

// === impl Memory ===

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::with(Documents::default())
    }

    /// A store that begins with documents.
    pub fn with(documents: Documents) -> Self {
        Self { ledger: Ledger::new(documents), writing: Mutex::new(()) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for Memory {
    fn load(&self) -> BoxFuture<'_, Result<Documents, StoreError>> {
        future::ready(Ok(self.ledger.load())).boxed()
    }

    fn write(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        async {
            let _writing = self.writing.lock();
            let mut plan = self.ledger.plan();
            let answer = plan.batch(ops);
            plan.publish();
            answer
        }
        .boxed()
    }

    fn next_id(&self) -> BoxFuture<'_, Result<String, StoreError>> {
        async {
            let _writing = self.writing.lock();
            let mut plan = self.ledger.plan();
            let revision = plan.reserve();
            plan.publish();
            Ok(revision.as_id())
        }
        .boxed()
    }

    fn watch(&self, from: Revision) -> ChangeStream {
        self.ledger.watch(from)
    }
}
