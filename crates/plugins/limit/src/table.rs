//! What is remembered by key, exact across all workers.

#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use parking_lot::Mutex;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

/// Keys that are remembered at most at one time. An entry takes at most 128 bytes, so this is half a GiB.
pub(crate) const MAX_KEYS: usize = 4 << 20;

/// Locks that the entries are spread over.
const SHARDS: usize = 256;

/// Entries that each request looks at to find those that are over.
const SWEEP: usize = 1;

/// Entries that each new one looks at: more than one, so that those that are over cannot pile up.
const SWEEP_FOR_NEW: usize = 4;

/// What is remembered of one key.
pub(crate) trait Entry: Default {
    /// Whether it says nothing any more, so that a new one in its place would say the same.
    fn is_over(&self, now: u64) -> bool;
}

/// Entries by key.
///
/// An entry never gives way to another: when there are too many, new keys are refused. A client that could push
/// entries out would be forgiven what it had done.
pub(crate) struct Table<E> {
    shards: Box<[Mutex<Shard<E>>]>,
    max_keys_per_shard: usize,
    /// Two secret keys of SipHash, because a key may be chosen by a client: nobody can aim at a shard or collide.
    secrets: [RandomState; 2],
}

/// Whose entries: a plugin's configuration on a document, or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Scope(Digest);

/// 128 bits that stand for a key of any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u64; 2]);

/// There are as many keys as may be remembered at one time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_KEYS} keys are counted, which is as many as there may be")]
pub(crate) struct Full;

#[repr(align(128))] // a lock of its own cache lines
struct Shard<E> {
    entries: IndexMap<Digest, E, BuildHasherDefault<Hashed>>,
    swept: usize,
}

impl<E: Entry> Default for Table<E> {
    fn default() -> Self {
        Self::with_capacity(MAX_KEYS)
    }
}

impl<E: Entry> Table<E> {
    /// With room for another number of keys.
    pub(crate) fn with_capacity(max_keys: usize) -> Self {
        let shard = || Mutex::new(Shard { entries: IndexMap::default(), swept: 0 });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            max_keys_per_shard: max_keys.div_ceil(SHARDS),
            secrets: [RandomState::new(), RandomState::new()],
        }
    }

    /// A scope by its name.
    pub(crate) fn scope(&self, name: &[&str]) -> Scope {
        Scope(self.digest(name))
    }

    /// What stands for a key.
    pub(crate) fn digest(&self, of: &(impl Hash + ?Sized)) -> Digest {
        Digest(self.secrets.each_ref().map(|secret| secret.hash_one(of)))
    }

    /// Uses the entry of a key, or a new one.
    ///
    /// # Errors
    /// The key is new, and there is no room for it.
    pub(crate) fn with<R>(&self, digest: Digest, now: u64, use_it: impl FnOnce(&mut E) -> R) -> Result<R, Full> {
        let Some(shard) = self.shard(digest) else { return Err(Full) };
        let mut shard = shard.lock();
        shard.sweep(SWEEP, now);
        if let Some(entry) = shard.entries.get_mut(&digest) {
            return Ok(use_it(entry));
        }
        shard.sweep(SWEEP_FOR_NEW, now);
        if shard.entries.len() >= self.max_keys_per_shard {
            return Err(Full);
        }
        Ok(use_it(shard.entries.entry(digest).or_default()))
    }

    /// Uses the entry of a key, if there is one; `None` if not.
    pub(crate) fn with_known<R>(&self, digest: Digest, now: u64, use_it: impl FnOnce(&mut E) -> R) -> Option<R> {
        let mut shard = self.shard(digest)?.lock();
        shard.sweep(SWEEP, now);
        shard.entries.get_mut(&digest).map(use_it)
    }

    fn shard(&self, Digest([_, high]): Digest) -> Option<&Mutex<Shard<E>>> {
        self.shards.get(high as usize % SHARDS)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().entries.len()).sum()
    }

    /// Places that there is memory for.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().entries.capacity()).sum()
    }

    /// The most memory that an entry takes: a vector has at most twice the places that it needs, an index of 8 bytes at most 16/7
    /// as many.
    #[cfg(test)]
    pub(crate) fn bytes_of_an_entry() -> usize {
        size_of::<(u64, Digest, E)>() * 2 + 9 * 16 / 7
    }
}

impl<E: Entry> Shard<E> {
    /// Looks at a few entries, and forgets those that are over.
    fn sweep(&mut self, steps: usize, now: u64) {
        for _ in 0..steps {
            match self.entries.get_index(self.swept) {
                None => self.swept = 0,
                Some((_, entry)) if entry.is_over(now) => {
                    self.entries.swap_remove_index(self.swept);
                }
                Some(_) => self.swept += 1,
            }
        }
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }
}

/// Takes a digest, which is a hash already, for its hash.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &b| hash.rotate_left(8) ^ u64::from(b));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 ^= n;
    }

    fn write_usize(&mut self, _length: usize) {}
}
