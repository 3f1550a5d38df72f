//! Files that plugins follow while the gateway runs: read by one thread, and never by a request or a build.

use crate::{BuildError, Shared};
use parking_lot::{Condvar, Mutex, RwLock};
use std::{
    collections::hash_map::RandomState,
    fs::{File, Metadata},
    hash::BuildHasher,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// A file that was changed less long ago is only taken if the next look finds it the same: somebody may still write it.
const REST: Duration = Duration::from_secs(1);

/// Every so many looks a file is read although it looks the same: its times can be set by hand.
const READ_ANYWAY: u32 = 240;

/// What is read of a file.
pub trait FileContent: Sized + Send + Sync + 'static {
    /// Bytes that a file may have.
    const MAX_BYTES: u64;

    /// Reads the whole of it.
    ///
    /// # Errors
    /// The first line that is wrong. What it says is not told: the path may be that of another file.
    fn parse(bytes: &[u8]) -> Result<Self, BadLine>;

    /// How many entries it has.
    fn len(&self) -> usize;

    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// From 1; 0 is the file as a whole.
    pub line: usize,
    /// What.
    pub reason: &'static str,
}

/// A file that is followed as long as somebody holds this.
#[allow(missing_debug_implementations)]
pub struct FollowedFile<T> {
    path: PathBuf,
    content: RwLock<Option<Arc<T>>>,
    is_looked_at: AtomicBool,
    looking: Mutex<Looking>,
}

/// What is known from the looks so far.
#[derive(Default)]
struct Looking {
    looks: u32,
    /// The version that was read last.
    read: Option<Stamp>,
    /// A version that may not be finished.
    resting: Option<Stamp>,
    hash: Option<u64>,
    hasher: RandomState,
    /// What was last said to be wrong.
    complaint: Option<String>,
}

/// What tells versions of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: Option<SystemTime>,
}

/// What a look came to.
enum Seen<T> {
    /// The version that was read last.
    Same,
    /// One that may be written right now.
    Unfinished,
    New(T),
    /// Why it cannot be used.
    Bad(String),
}

/// All files that are followed, and the thread that looks at them.
#[derive(Default)]
struct Files {
    followed: Mutex<Followed>,
    changed: Condvar,
}

#[derive(Default)]
struct Followed {
    files: Vec<Weak<dyn Look>>,
    has_thread: bool,
}

trait Look: Send + Sync {
    fn look(&self, now: SystemTime);
}

impl Shared {
    /// A file that is read soon and followed from then on. Who asks for the same one shares it.
    ///
    /// # Errors
    /// The path is not absolute.
    pub fn follow<T: FileContent>(&self, path: &str) -> Result<Arc<FollowedFile<T>>, BuildError> {
        if !Path::new(path).is_absolute() || path.contains('\0') {
            return Err(BuildError(format!("{path:?} is no absolute path of a file")));
        }
        let files = self.kept(Files::default);
        let file = self.keyed(path, || FollowedFile::<T> {
            path: path.into(),
            content: RwLock::new(None),
            is_looked_at: AtomicBool::new(false),
            looking: Mutex::default(),
        });
        let look: Arc<dyn Look> = file.clone();
        files.follow(&look);
        Ok(file)
    }
}

impl Files {
    fn follow(self: &Arc<Self>, file: &Arc<dyn Look>) {
        let mut followed = self.followed.lock();
        let is_new = !followed.files.iter().any(|known| std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(file)));
        if is_new {
            followed.files.push(Arc::downgrade(file));
        }
        if !followed.has_thread {
            let this = Arc::downgrade(self);
            let started = thread::Builder::new().name("files".to_owned()).spawn(move || run(&this));
            match started {
                Ok(_) => followed.has_thread = true,
                Err(error) => tracing::error!(%error, "no thread for files: what needs them stays closed"),
            }
        }
        self.changed.notify_all();
    }

    /// Those that somebody still needs; `None` when there is none, and no thread any more.
    fn needed(&self) -> Option<Vec<Arc<dyn Look>>> {
        let mut followed = self.followed.lock();
        followed.files.retain(|file| file.strong_count() > 0);
        followed.has_thread = !followed.files.is_empty();
        followed.has_thread.then(|| followed.files.iter().filter_map(Weak::upgrade).collect())
    }
}

fn run(files: &Weak<Files>) {
    while let Some(files) = files.upgrade() {
        let Some(needed) = files.needed() else { return };
        let number = needed.len();
        for file in needed {
            file.look(SystemTime::now());
        }
        let mut followed = files.followed.lock();
        if followed.files.len() == number {
            files.changed.wait_for(&mut followed, INTERVAL);
        }
    }
}

impl<T: FileContent> FollowedFile<T> {
    /// What was read last that could be used.
    pub fn content(&self) -> Option<Arc<T>> {
        self.content.read().clone()
    }

    /// Whether it is known if there is something that can be used.
    pub fn is_looked_at(&self) -> bool {
        self.is_looked_at.load(Ordering::Acquire)
    }

    fn see(&self, looking: &mut Looking, now: SystemTime) -> Seen<T> {
        let stamp = match Stamp::of(&self.path) {
            Ok(stamp) => stamp,
            Err(reason) => {
                (looking.read, looking.hash) = (None, None);
                return Seen::Bad(reason);
            }
        };
        if looking.read == Some(stamp) && !looking.looks.is_multiple_of(READ_ANYWAY) {
            return Seen::Same;
        }
        if !stamp.is_at_rest(now) && looking.resting != Some(stamp) {
            looking.resting = Some(stamp);
            return Seen::Unfinished;
        }
        if stamp.length > T::MAX_BYTES {
            (looking.read, looking.hash) = (Some(stamp), None);
            return Seen::Bad(format!("it has more than {} bytes", T::MAX_BYTES));
        }
        let (opened, bytes) = match read(&self.path, T::MAX_BYTES) {
            Ok(whole) => whole,
            Err(error) => return Seen::Bad(said(&error)),
        };
        if opened != stamp || Stamp::of(&self.path).as_ref() != Ok(&stamp) {
            // It was replaced or written meanwhile.
            return Seen::Unfinished;
        }
        looking.read = Some(stamp);
        let hash = Some(looking.hasher.hash_one(&bytes));
        if std::mem::replace(&mut looking.hash, hash) == hash {
            return Seen::Same;
        }
        match T::parse(&bytes) {
            Ok(content) => Seen::New(content),
            Err(BadLine { line: 0, reason }) => Seen::Bad(reason.to_owned()),
            Err(BadLine { line, reason }) => Seen::Bad(format!("line {line}: {reason}")),
        }
    }
}

impl<T: FileContent> Look for FollowedFile<T> {
    fn look(&self, now: SystemTime) {
        let looking = &mut *self.looking.lock();
        looking.looks = looking.looks.wrapping_add(1);
        let file = self.path.display();
        match self.see(looking, now) {
            Seen::Unfinished => return,
            Seen::Same => {}
            Seen::New(content) => {
                let entries = content.len();
                *self.content.write() = Some(Arc::new(content));
                looking.complaint = None;
                tracing::info!(%file, entries, "a file was read");
            }
            Seen::Bad(reason) if looking.complaint.as_ref() == Some(&reason) => {}
            Seen::Bad(reason) => {
                if self.content.read().is_some() {
                    tracing::error!(%file, reason, "a file cannot be used, what was read before stays in force");
                } else {
                    tracing::error!(%file, reason, "a file cannot be used, what needs it is closed");
                }
                looking.complaint = Some(reason);
            }
        }
        self.is_looked_at.store(true, Ordering::Release);
    }
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, String> {
        let metadata = std::fs::metadata(path).map_err(|error| said(&error))?;
        // Reading a pipe might never end.
        if metadata.is_file() { Ok(Self::new(&metadata)) } else { Err("it is no regular file".to_owned()) }
    }

    fn new(metadata: &Metadata) -> Self {
        Self { inode: (metadata.dev(), metadata.ino()), length: metadata.len(), modified: metadata.modified().ok() }
    }

    fn is_at_rest(&self, now: SystemTime) -> bool {
        self.modified.is_some_and(|modified| now.duration_since(modified).is_ok_and(|age| age > REST))
    }
}

fn read(path: &Path, max: u64) -> io::Result<(Stamp, Vec<u8>)> {
    let file = File::open(path)?;
    let stamp = Stamp::new(&file.metadata()?);
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok((stamp, bytes))
}

fn said(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}

#[cfg(test)]
mod tests;
