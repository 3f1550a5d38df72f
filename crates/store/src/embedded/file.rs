//! The documents in a redb file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::value::RawValue;

use super::tally::Tally;
use crate::ledger::Plan;
use crate::{DocKey, Documents, Entry, Revision};

/// Path of a document to its record: created, modified (8 bytes each, big endian), JSON.
const DOCUMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const REVISION: &str = "revision";
const TALLY: &str = "tally";
/// redb's page cache. The documents are held in memory anyway.
const CACHE_BYTES: usize = 8 << 20;

/// An open file and the digest of what is in it.
pub(super) struct DocFile {
    database: Database,
    tally: Tally,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// What the file holds is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// The file may be sound, but could not be used.
    #[error("{0}")]
    Failed(String),
}

// === impl DocFile ===

impl DocFile {
    /// Writes a new file; there must be none at `path`.
    pub(super) fn create(path: &Path, documents: &Documents) -> Result<(), FileError> {
        guarded(|| {
            super::disk::private(std::fs::OpenOptions::new().write(true).create_new(true))
                .open(path)
                .map_err(redb::Error::from)?;
            let database = builder().create(path)?;
            let mut file = Self { database, tally: Tally::default() };
            let changes = documents.entries.iter().map(|entry| (&entry.key, Some(entry)));
            file.write(changes, documents.revision)?;
            Ok(file.database.close()?)
        })
    }

    /// Opens a file, checking all of it.
    pub(super) fn open(path: &Path) -> Result<(Self, Documents), FileError> {
        guarded(|| {
            let mut file = Self { database: builder().open(path)?, tally: Tally::default() };
            let documents = file.read()?;
            Ok((file, documents))
        })
    }

    /// Makes a plan durable. After an error the file must be opened anew.
    pub(super) fn commit(&mut self, plan: &Plan<'_>) -> Result<(), FileError> {
        guarded(|| self.write(plan.documents(), plan.revision()))
    }

    fn write<'a>(
        &mut self,
        changes: impl Iterator<Item = (&'a DocKey, Option<&'a Entry>)>,
        revision: Revision,
    ) -> Result<(), FileError> {
        let mut tally = self.tally;
        // redb's default is `Durability::Immediate`: the commit returns when the data is on disk.
        let transaction = self.database.begin_write()?;
        {
            let mut documents = transaction.open_table(DOCUMENTS)?;
            for (key, entry) in changes {
                let key = key.as_str();
                let record = entry.map(encode);
                let replaced = match &record {
                    Some(record) => documents.insert(key, record.as_slice())?,
                    None => documents.remove(key)?,
                };
                if let Some(replaced) = replaced {
                    tally.remove(key, replaced.value());
                }
                if let Some(record) = &record {
                    tally.add(key, record);
                }
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(REVISION, revision.0.to_be_bytes().as_slice())?;
            meta.insert(TALLY, tally.to_bytes().as_slice())?;
        }
        transaction.commit()?;
        self.tally = tally;
        Ok(())
    }

    fn read(&mut self) -> Result<Documents, FileError> {
        let transaction = self.database.begin_read()?;
        let mut tally = Tally::default();
        let mut entries = Vec::new();
        for row in transaction.open_table(DOCUMENTS)?.iter()? {
            let (key, record) = row?;
            tally.add(key.value(), record.value());
            entries.push(decode(key.value(), record.value())?);
        }
        let meta = transaction.open_table(META)?;
        let revision = meta.get(REVISION)?.map(|bytes| bytes.value().to_vec());
        let revision = revision
            .and_then(|bytes| bytes.try_into().ok())
            .map(|bytes| Revision(u64::from_be_bytes(bytes)))
            .ok_or_else(|| FileError::Damaged("it names no revision".to_owned()))?;
        let stored = meta.get(TALLY)?.map(|bytes| bytes.value().to_vec());
        if stored != Some(tally.to_bytes()) {
            let reason = "its documents do not match their digest";
            return Err(FileError::Damaged(reason.to_owned()));
        }
        self.tally = tally;
        Ok(Documents { entries, plugins: None, revision })
    }
}

// === impl FileError ===

impl<E: Into<redb::Error>> From<E> for FileError {
    fn from(error: E) -> Self {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        let error = error.into();
        let damaged = match &error {
            redb::Error::Corrupted(_) | redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. } => {
                true
            }
            redb::Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
            _ => false,
        };
        if damaged { Self::Damaged(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// redb asserts in places that what it reads is what it wrote.
fn guarded<T>(use_file: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
    catch_unwind(AssertUnwindSafe(use_file))
        .unwrap_or_else(|_| Err(FileError::Damaged("reading it failed an assertion".to_owned())))
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut record = Vec::new();
    record.extend(entry.created.0.to_be_bytes());
    record.extend(entry.modified.0.to_be_bytes());
    record.extend(entry.text.as_bytes());
    record
}

fn decode(key: &str, record: &[u8]) -> Result<Entry, FileError> {
    let damaged = |what: &str| FileError::Damaged(format!("{key}: {what}"));
    let (created, rest) = record.split_first_chunk().ok_or_else(|| damaged("record is too short"))?;
    let (modified, json) = rest.split_first_chunk().ok_or_else(|| damaged("record is too short"))?;
    let json: &RawValue = serde_json::from_slice(json).map_err(|_| damaged("record is not JSON"))?;
    Ok(Entry {
        key: DocKey::parse(key).map_err(|error| FileError::Damaged(error.to_string()))?,
        text: json.get().into(),
        created: Revision(u64::from_be_bytes(*created)),
        modified: Revision(u64::from_be_bytes(*modified)),
        order: None,
        problem: None,
    })
}
