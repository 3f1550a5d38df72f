use crate::{check, plugins::PluginSet, shards::Shards, snapshot::Written};
use model::documents::{Document, Key, Kind};
use serde_json::Value;
use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

/// The documents in force, as written.
#[derive(Clone, Default)]
#[allow(missing_debug_implementations)] // documents hold secrets
pub struct DocumentsView {
    collections: Shards<Collection>,
    /// Owners of credentials, by plugin and index key.
    credentials: Shards<Arc<[Key]>>,
}

/// The documents of a kind.
#[derive(Clone, Default)]
struct Collection {
    /// By path.
    documents: Shards<Arc<Kept>>,
    /// In the order of a list; made by the first reader after a change.
    order: OnceLock<Arc<[Arc<Kept>]>>,
}

impl Collection {
    fn order(&self) -> &[Arc<Kept>] {
        self.order.get_or_init(|| {
            let mut order: Vec<_> =
                self.documents.iter().map(|(_, kept)| (kept.place, kept.modified, kept.clone())).collect();
            order.sort_unstable_by(|a, b| (a.0, a.1, &a.2.key).cmp(&(b.0, b.1, &b.2.key)));
            order.into_iter().map(|(.., kept)| kept).collect()
        })
    }
}

/// A document between its uses: its text takes a fifth of what its values would.
pub(super) struct Kept {
    key: Key,
    text: Arc<str>,
    created: u64,
    modified: u64,
    /// Where it stands in a list.
    place: u64,
}

impl Kept {
    fn document(&self) -> Document {
        // It was written from a value.
        let value = serde_json::from_str(&self.text).unwrap_or_default();
        Document { key: self.key.clone(), value, created: self.created, modified: self.modified }
    }
}

impl DocumentsView {
    /// One document.
    pub fn get(&self, key: &Key) -> Option<Document> {
        self.kept(key).map(|kept| kept.document())
    }

    /// Whether there is such a document.
    pub fn contains(&self, key: &Key) -> bool {
        self.kept(key).is_some()
    }

    /// The documents of a kind in the order of their creation; of credentials, those of a consumer.
    pub fn list(&self, kind: Kind, parent: Option<&str>) -> Vec<Document> {
        self.page(kind, parent, 0..usize::MAX).0
    }

    /// A part of [`DocumentsView::list`], and how many documents the whole has. Costs what the part costs.
    pub fn page(&self, kind: Kind, parent: Option<&str>, range: Range<usize>) -> (Vec<Document>, usize) {
        let Some(collection) = self.collection(kind) else { return (Vec::new(), 0) };
        let cut = |kept: &[&Arc<Kept>]| {
            let part = kept.get(range.start..range.end.min(kept.len())).unwrap_or_default();
            part.iter().map(|kept| kept.document()).collect()
        };
        let all: Vec<&Arc<Kept>> =
            collection.order().iter().filter(|kept| parent.is_none() || kept.key.parent() == parent).collect();
        (cut(&all), all.len())
    }

    /// The keys of a kind below a parent.
    pub(super) fn keys(&self, kind: Kind, parent: &str) -> Vec<Key> {
        self.all(kind).filter(|kept| kept.key.parent() == Some(parent)).map(|kept| kept.key.clone()).collect()
    }

    /// The first document of a kind that names an id, and does so in the way asked for.
    pub(crate) fn first_with(&self, kind: Kind, id: &str, refers: impl Fn(&Value) -> bool) -> Option<Key> {
        let refers = |kept: &Kept| {
            // Ids are written without escapes, so a document that does not hold the text does not hold the id.
            let is_candidate = memchr::memmem::find(kept.text.as_bytes(), id.as_bytes()).is_some();
            is_candidate && refers(&kept.document().value)
        };
        self.all(kind)
            .filter(|kept| refers(kept))
            .min_by(|a, b| a.created.cmp(&b.created).then_with(|| a.key.cmp(&b.key)))
            .map(|kept| kept.key.clone())
    }

    /// Keys and last revisions of all.
    pub(super) fn revisions(&self) -> impl Iterator<Item = (Key, u64)> {
        let all = self.collections.iter().flat_map(|(_, collection)| collection.documents.iter());
        all.map(|(_, kept)| (kept.key.clone(), kept.modified))
    }

    /// Stores a document; gives the text of the one that it replaces.
    pub(super) fn put(
        &mut self,
        plugins: &PluginSet,
        key: Key,
        written: &Written<'_>,
        revision: u64,
        created: Option<u64>,
    ) -> Option<Arc<str>> {
        let path = key.path();
        let old = self.kept(&key).cloned();
        if let Some(old) = &old {
            self.forget_credentials(plugins, old);
        }
        if matches!(key.kind(), Kind::Consumer | Kind::Credential) {
            for (name, index) in check::credential_keys(plugins, written.value) {
                if let Some(owners) = self.credentials.entry(&credential_place(&name, &index), || Arc::from([])) {
                    *owners = owners.iter().cloned().chain([key.clone()]).collect();
                }
            }
        }
        let created = created.or_else(|| Some(old.as_ref()?.created)).unwrap_or(revision);
        if let Some(collection) = self.collections.entry(key.kind().collection().as_bytes(), Collection::default) {
            let place = written.order.unwrap_or(created);
            let kept = Kept { key, text: written.text.clone(), created, modified: revision, place };
            collection.documents.insert(path.as_bytes(), Arc::new(kept));
            collection.order.take();
        }
        old.map(|old| old.text.clone())
    }

    /// Removes a document and gives its text back.
    pub(super) fn remove(&mut self, plugins: &PluginSet, key: &Key) -> Option<Arc<str>> {
        let old = self.kept(key)?.clone();
        self.forget_credentials(plugins, &old);
        if let Some(collection) = self.collections.entry(key.kind().collection().as_bytes(), Collection::default) {
            collection.documents.remove(key.path().as_bytes());
            collection.order.take();
        }
        Some(old.text.clone())
    }

    /// The last revision of a document.
    pub(super) fn revision(&self, key: &Key) -> Option<u64> {
        self.kept(key).map(|kept| kept.modified)
    }

    /// The text of a document.
    pub(super) fn text(&self, key: &Key) -> Option<Arc<str>> {
        self.kept(key).map(|kept| kept.text.clone())
    }

    fn kept(&self, key: &Key) -> Option<&Arc<Kept>> {
        self.collection(key.kind())?.documents.get(key.path().as_bytes())
    }

    fn collection(&self, kind: Kind) -> Option<&Collection> {
        self.collections.get(kind.collection().as_bytes())
    }

    fn all(&self, kind: Kind) -> impl Iterator<Item = &Arc<Kept>> {
        self.collection(kind).into_iter().flat_map(|collection| collection.documents.iter()).map(|(_, kept)| kept)
    }

    fn forget_credentials(&mut self, plugins: &PluginSet, old: &Kept) {
        if matches!(old.key.kind(), Kind::Consumer | Kind::Credential) {
            let value: Value = old.document().value;
            for (name, key) in check::credential_keys(plugins, &value) {
                let place = credential_place(&name, &key);
                let owners = self.credentials.get(&place).into_iter().flat_map(|owners| owners.iter());
                let left: Arc<[Key]> = owners.filter(|owner| **owner != old.key).cloned().collect();
                if left.is_empty() {
                    self.credentials.remove(&place);
                } else {
                    self.credentials.insert(&place, left);
                }
            }
        }
    }

    pub(crate) fn credential_owners(&self, plugin: &str, key: &[u8]) -> &[Key] {
        self.credentials.get(&credential_place(plugin, key)).map_or(&[], |owners| owners)
    }
}

fn credential_place(plugin: &str, key: &[u8]) -> Vec<u8> {
    [plugin.as_bytes(), b"\0", key].concat()
}
