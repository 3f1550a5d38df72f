//! What a write asks for.

use std::fmt;

use serde_json::Value;

use crate::{DocKey, Revision};

/// One step of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Store a document.
    Put {
        /// Where.
        key: DocKey,
        /// The document.
        value: Value,
        /// What must be true of the stored document beforehand.
        expect: Expect,
    },
    /// Remove a document. Removing one that is not there changes nothing and is no error unless `expect` says so.
    Delete {
        /// Which.
        key: DocKey,
        /// What must be true of the stored document beforehand.
        expect: Expect,
    },
}

/// The condition under which a step is taken; when it does not hold, nothing of its batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is stored.
    Any,
    /// There is no such document.
    Absent,
    /// There is such a document.
    Present,
    /// The document was last modified at this revision.
    Revision(Revision),
}

// === impl Op ===

impl Op {
    /// The document the step is about.
    pub fn key(&self) -> &DocKey {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// The condition of the step.
    pub fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
        }
    }
}

// === impl Expect ===

impl Expect {
    /// Whether a document last modified at `found` (`None`: no document) is what was expected.
    pub(crate) fn holds(self, found: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Revision(revision) => found == Some(revision),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Absent => f.write_str("no document"),
            Self::Present => f.write_str("a document"),
            Self::Revision(revision) => write!(f, "revision {revision}"),
        }
    }
}
