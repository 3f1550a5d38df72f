//! Opening the data directory: lock it, check the file, restore it when it is damaged. Never start empty over
//! anything that was there.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::file::{DocFile, FileError};
use super::{Recovered, backup, disk};
use crate::{Documents, Revision, StoreError};

/// How far the revision jumps when a copy is restored, so that no id given out since the copy is given out again.
const LOST_REVISIONS: u64 = 1_000_000;

/// An open data directory.
pub(super) struct Opened {
    /// Held as long as the store is open.
    pub(super) lock: Lock,
    pub(super) file: DocFile,
    pub(super) documents: Documents,
    pub(super) recovered: Option<Recovered>,
}

/// A data directory that is this process's own.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is being started has a copy of the file until it runs its own program.
        let _ = self.0.unlock();
    }
}

/// The files of a data directory.
pub(super) struct Layout {
    directory: PathBuf,
}

// === impl Layout ===

impl Layout {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(super) fn main(&self) -> PathBuf {
        self.directory.join("store.redb")
    }

    pub(super) fn copy(&self) -> PathBuf {
        self.directory.join("last-good.json.sealed")
    }

    fn lock(&self) -> PathBuf {
        self.directory.join("store.lock")
    }

    /// A file under construction.
    fn draft(&self) -> PathBuf {
        self.directory.join("store.redb.new")
    }

    fn corrupt(&self, n: u32) -> PathBuf {
        self.directory.join(format!("store.redb.corrupt-{n}"))
    }
}

pub(super) fn open(directory: &Path) -> Result<Opened, StoreError> {
    let layout = Layout::new(directory);
    create_directory(directory).map_err(|error| unavailable(directory, error))?;
    let lock = lock(&layout)?;

    let (file, documents, recovered) = match open_main(&layout) {
        Ok((file, documents)) => (file, documents, None),
        Err(FileError::Failed(reason)) => return Err(unavailable(&layout.main(), reason)),
        Err(FileError::Damaged(reason)) => {
            let recovered = restore(&layout, reason)?;
            let (file, documents) =
                DocFile::open(&layout.main()).map_err(|error| unavailable(&layout.main(), error))?;
            (file, documents, Some(recovered))
        }
    };
    // The copy is a precaution: a full disk must not keep the gateway from starting.
    if let Err(error) = backup::write(&layout.copy(), &documents) {
        tracing::warn!(%error, "last good copy of the store could not be written");
    }
    Ok(Opened { lock, file, documents, recovered })
}

/// Reads a copy of the file: opening the file itself may repair it.
pub(super) fn peek(directory: &Path) -> Result<Option<Documents>, StoreError> {
    let layout = Layout::new(directory);
    let main = layout.main();
    if !main.try_exists().map_err(|error| unavailable(&main, error))? {
        return Ok(None);
    }
    let _lock = lock(&layout)?;
    let copied = || {
        // Readable by its owner only, and gone when this ends.
        let copy = tempfile::NamedTempFile::new()?;
        fs::copy(&main, copy.path())?;
        io::Result::Ok(copy)
    };
    let copy = copied().map_err(|error| unavailable(&main, error))?;
    let (_, documents) = DocFile::open(copy.path()).map_err(|error| unavailable(&main, error))?;
    Ok(Some(documents))
}

/// Opens the file, or makes one where there never was one.
fn open_main(layout: &Layout) -> Result<(DocFile, Documents), FileError> {
    let main = layout.main();
    let exists = main.try_exists().map_err(|error| FileError::Failed(error.to_string()))?;
    if !exists {
        if layout.copy().exists() || layout.corrupt(1).exists() {
            return Err(FileError::Damaged("it is missing".to_owned()));
        }
        put_new(layout, &Documents::default())?;
    }
    DocFile::open(&main)
}

fn restore(layout: &Layout, reason: String) -> Result<Recovered, StoreError> {
    let main = layout.main();
    let mut documents = match backup::read(&layout.copy()) {
        Ok(documents) => documents,
        Err(backup) => {
            return Err(StoreError::Corrupt { path: main, reason, backup });
        }
    };
    let revision = documents.revision;
    documents.revision = Revision(revision.0.saturating_add(LOST_REVISIONS));
    let set_aside = set_aside(layout).map_err(|error| unavailable(&main, error))?;
    put_new(layout, &documents).map_err(|error| unavailable(&main, error))?;
    tracing::error!(
        %reason,
        %revision,
        set_aside = set_aside.as_ref().map(|path| path.display().to_string()),
        "store was damaged and is restored from its last good copy; later writes are lost"
    );
    Ok(Recovered { reason, set_aside, revision })
}

/// Builds a file aside and moves it into place, so that a crash leaves no half-made one.
fn put_new(layout: &Layout, documents: &Documents) -> Result<(), FileError> {
    let draft = layout.draft();
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::Failed(error.to_string()));
        }
        _ => DocFile::create(&draft, documents)?,
    }
    disk::rename(&draft, &layout.main()).map_err(|error| FileError::Failed(error.to_string()))
}

fn set_aside(layout: &Layout) -> io::Result<Option<PathBuf>> {
    let main = layout.main();
    if !main.try_exists()? {
        return Ok(None);
    }
    let mut n = 1;
    while layout.corrupt(n).try_exists()? {
        n += 1;
    }
    let aside = layout.corrupt(n);
    disk::rename(&main, &aside)?;
    Ok(Some(aside))
}

fn lock(layout: &Layout) -> Result<Lock, StoreError> {
    let path = layout.lock();
    let file = disk::private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(&path)
        .map_err(|error| unavailable(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(layout.directory.clone())),
        Err(TryLockError::Error(error)) => Err(unavailable(&path, error)),
    }
}

fn create_directory(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn unavailable(path: &Path, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_lock_does_not_hold_it() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let held = lock(&layout).unwrap();
        assert!(matches!(lock(&layout), Err(StoreError::Locked(_))));
        let _inherited = held.0.try_clone().unwrap();
        drop(held);
        assert!(lock(&layout).is_ok());
    }
}
