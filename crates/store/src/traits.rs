//! The trait all backends implement.

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::{ChangeStream, DocKey, Documents, Expect, Op, Revision, StoreError};

/// Where documents live.
pub trait Store: Send + Sync {
    /// Reads everything.
    fn load(&self) -> BoxFuture<'_, Result<Documents, StoreError>>;

    /// Takes all steps or none, durably, and answers with the revision at which they were taken. Each step sees what
    /// the steps before it did.
    fn write(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// An id no document had before: the revision of a durable write, in 20 digits.
    fn next_id(&self) -> BoxFuture<'_, Result<String, StoreError>>;

    /// The changes after `from`, usually the revision of a load.
    fn watch(&self, from: Revision) -> ChangeStream;

    /// Whether documents change without a write of ours, so that [`Store::watch`] has to be followed.
    fn changes_by_itself(&self) -> bool {
        false
    }

    /// Where an operator finds a document, such as a file and a line.
    fn place(&self, _key: &DocKey) -> Option<String> {
        None
    }

    /// Stores one document.
    fn put(&self, key: DocKey, value: Value, expect: Expect) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.write(vec![Op::Put { key, value, expect }])
    }

    /// Removes one document.
    fn delete(&self, key: DocKey, expect: Expect) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.write(vec![Op::Delete { key, expect }])
    }
}
