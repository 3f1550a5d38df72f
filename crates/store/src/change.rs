//! What a watcher is told.

use futures_util::stream::BoxStream;

use crate::{DocKey, Entry, Revision};

/// One change of the stored documents.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A document was stored. When it was stored several times since the watcher last looked, only the last
    /// may be told.
    Put(Entry),
    /// A document was removed by the write of this revision.
    Delete(DocKey, Revision),
    /// The watcher fell behind, or asked for a past that is no longer known: load everything again. Changes that
    /// the new load already contains may follow; their revision is not above that of the load.
    Resync,
}

/// The changes of a store in the order of their revisions. It ends when the store is closed.
pub type ChangeStream = BoxStream<'static, Change>;
