use std::{
    hash::{BuildHasher, Hash},
    sync::Arc,
};

/// Entries per shard before the number of shards grows.
const FULL: usize = 64;

/// A hash map whose copy costs a few pointers and whose change copies one shard: what lets a snapshot of 100,000 routes follow
/// a change of one.
#[derive(Debug, Clone)]
pub(crate) struct Shards<V> {
    shards: Vec<Arc<foldhash::HashMap<Box<[u8]>, V>>>,
    hasher: foldhash::fast::FixedState,
    len: usize,
}

impl<V: Clone> Default for Shards<V> {
    fn default() -> Self {
        Self { shards: vec![Arc::default()], hasher: foldhash::fast::FixedState::with_seed(0x706f_7274), len: 0 }
    }
}

impl<V: Clone> Shards<V> {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        self.shards.get(self.shard(key))?.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The value of a key, made by `init` when there is none, to be changed in place.
    pub(crate) fn entry(&mut self, key: &[u8], init: impl FnOnce() -> V) -> Option<&mut V> {
        if self.len > self.shards.len() * FULL {
            self.grow();
        }
        let at = self.shard(key);
        let shard = Arc::make_mut(self.shards.get_mut(at)?);
        if !shard.contains_key(key) {
            self.len += 1;
            shard.insert(key.into(), init());
        }
        shard.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: &[u8], value: V) {
        if let Some(slot) = self.entry(key, || value.clone()) {
            *slot = value;
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<V> {
        let at = self.shard(key);
        let shard = self.shards.get_mut(at)?;
        if !shard.contains_key(key) {
            return None;
        }
        self.len -= 1;
        Arc::make_mut(shard).remove(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|(key, value)| (&**key, value)))
    }

    fn shard(&self, key: &[u8]) -> usize {
        if self.shards.len() == 1 {
            return 0;
        }
        // The map inside hashes with another seed, so that one shard's keys spread over its buckets.
        let mut hasher = self.hasher.build_hasher();
        key.hash(&mut hasher);
        (std::hash::Hasher::finish(&hasher) as usize) % self.shards.len()
    }

    fn grow(&mut self) {
        let mut grown = Self { shards: Vec::new(), hasher: self.hasher.clone(), len: self.len };
        let mut shards = vec![foldhash::HashMap::default(); self.shards.len() * 8];
        grown.shards.resize_with(shards.len(), Arc::default);
        for (key, value) in self.iter() {
            let at = grown.shard(key);
            if let Some(shard) = shards.get_mut(at) {
                shard.insert(Box::from(key), value.clone());
            }
        }
        grown.shards = shards.into_iter().map(Arc::new).collect();
        *self = grown;
    }
}
