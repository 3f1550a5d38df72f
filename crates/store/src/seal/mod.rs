//! Secrets in stored documents are encrypted at rest.

mod apisix;
mod fields;
mod sealed_store;
mod sealer;

pub use apisix::{ApisixKeyring, open_apisix};
pub use fields::JsonPath;
pub use sealed_store::{SealedFields, SealedStore, Sealing, opened};
pub use sealer::Sealer;

/// Why a secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file could not be read or made.
    #[error("{}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: std::path::PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// The key file holds something else than keys.
    #[error("{} is not a key file", .0.display())]
    MalformedKeyFile(std::path::PathBuf),
    /// The key file is gone, and what it opens is still there. A new key would open none of it.
    #[error(
        "{} is missing, and {document} has values that only its keys open: \
         put the file back, or start with a new data folder", path.display()
    )]
    LostKey {
        /// The file.
        path: std::path::PathBuf,
        /// One of the documents.
        document: crate::DocKey,
    },
    /// A key has a length the cipher does not take.
    #[error("a key must have 16 or 32 bytes, not {0}")]
    KeyLength(usize),
    /// The text is not in the sealed format.
    #[error("not a sealed value")]
    Malformed,
    /// It was sealed with a key that is not in the key file.
    #[error("sealed with key {0}, which is not in the key file")]
    UnknownKey(String),
    /// It was changed, moved here from another field or document, or sealed with another key.
    #[error("sealed value does not belong here or was changed")]
    Refused,
    /// The cipher or the random generator failed.
    #[error("cipher failed")]
    Cipher,
}
