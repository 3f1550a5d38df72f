//! Where documents live: one trait, its backends, and the sealing of secrets at rest.
//!
//! A store keeps documents exactly as written, under a path such as `/routes/1`. It knows nothing of what they mean:
//! checking and compiling them is for its callers. What it promises is order, atomic batches, and that a write that
//! was answered is on disk.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod change;
mod document;
mod embedded;
mod error;
mod file;
mod ledger;
mod memory;
mod op;
mod seal;
mod traits;

pub use change::{Change, ChangeStream};
pub use document::{DocKey, Documents, Entry, InvalidKey, Revision};
pub use embedded::{Embedded, Recovered};
pub use error::StoreError;
pub use file::{Environment, File, FileOptions, Reload};
pub use memory::Memory;
pub use op::{Expect, Op};
pub use seal::{ApisixKeyring, JsonPath, SealError, SealedFields, SealedStore, Sealer, Sealing, open_apisix, opened};
pub use traits::Store;
