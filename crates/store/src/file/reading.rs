//! Reading a file that may be written at the same time.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Longest file that is read.
pub(super) const LONGEST: u64 = 256 << 20;

/// How long a file must have been left alone before its time of change tells all its versions apart.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// What tells versions of a file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of the file that has this path now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::from(&metadata))
    }

    /// Whether the file may still change without changing this.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        let Ok(now) = now.duration_since(SystemTime::UNIX_EPOCH) else { return true };
        let newest = self.modified.0.max(self.changed.0);
        u64::try_from(newest).is_ok_and(|newest| now.as_secs() <= newest.saturating_add(COARSEST_CLOCK.as_secs()))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The bytes of a file, and its stamp if nobody wrote it or put another in its place meanwhile and for `rest` longer.
pub(super) fn read(path: &Path, rest: Duration) -> io::Result<Option<(Stamp, Vec<u8>)>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if metadata.len() > LONGEST {
        return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
    }
    let stamp = Stamp::from(&metadata);
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1);
    // A file that grows without end is not read without end.
    (&mut file).take(LONGEST + 1).read_to_end(&mut bytes)?;
    std::thread::sleep(rest);
    let is_whole = bytes.len() as u64 == stamp.size && Stamp::of(path)? == stamp;
    Ok(is_whole.then_some((stamp, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_file_that_does_not_rest_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "whole").unwrap();
        let (stamp, bytes) = read(&path, Duration::ZERO).unwrap().expect("it rests");
        assert_eq!((bytes.as_slice(), stamp), (&b"whole"[..], Stamp::of(&path).unwrap()));
        for is_replaced in [false, true] {
            let is_read = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_read.load(Ordering::Acquire) {
                        if is_replaced {
                            std::fs::write(dir.path().join("new"), "whole").unwrap();
                            std::fs::rename(dir.path().join("new"), &path).unwrap();
                        } else {
                            std::fs::File::options().append(true).open(&path).unwrap().write_all(b"+").unwrap();
                        }
                    }
                });
                let outcome = read(&path, Duration::from_millis(300)).unwrap();
                is_read.store(true, Ordering::Release);
                assert_eq!(outcome, None, "replaced: {is_replaced}");
            });
        }
    }

    #[test]
    fn only_a_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path(), Duration::ZERO).is_err());
        assert!(read(&dir.path().join("none"), Duration::ZERO).is_err());
        let long = std::fs::File::create(dir.path().join("long")).unwrap();
        long.set_len(LONGEST + 1).unwrap();
        let error = read(&dir.path().join("long"), Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 268435456 bytes");
    }
}
