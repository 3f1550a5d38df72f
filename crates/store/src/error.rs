//! Why a store did not do what it was asked.

use std::path::PathBuf;

use crate::{DocKey, Expect, Revision, SealError};

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What is stored is not what the write expected; nothing of its batch was stored.
    #[error("{key}: expected {expect}, found {}", describe(*.found))]
    Conflict {
        /// The document.
        key: DocKey,
        /// What was expected.
        expect: Expect,
        /// When the stored document was last modified; `None` when there is none.
        found: Option<Revision>,
    },
    /// The store cannot write (or, at open, read) at the moment; asking again later may succeed.
    /// A write answered with this is normally not stored, but may be: the disk failed before it could say.
    #[error("store is unavailable: {0}")]
    Unavailable(String),
    /// Another process, or another store in this one, has the data directory open.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The file is damaged and there is no usable copy to restore; it was left as it is.
    #[error("{} is damaged ({reason}) and cannot be restored ({backup})", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// Why the last good copy was of no help.
        backup: String,
    },
    /// The store shows a file that somebody else writes.
    #[error("the configuration is read from {} and cannot be written here: change that file", .0.display())]
    ReadOnly(PathBuf),
    /// A secret could not be sealed, so nothing was stored; or, at open, there is no key to seal with.
    #[error("secrets cannot be sealed: {0}")]
    Seal(#[from] SealError),
}

fn describe(revision: Option<Revision>) -> String {
    revision.map_or_else(|| "no document".to_owned(), |revision| format!("revision {revision}"))
}
