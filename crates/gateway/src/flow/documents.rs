use crate::{check, plugins::PluginSet, shards::Shards};
use model::documents::{Document, Key, Kind};
use std::sync::Arc;

/// The documents in force, as written.
#[derive(Clone, Default)]
#[allow(missing_debug_implementations)] // documents hold secrets
pub struct DocumentsView {
    by_key: Shards<Arc<Document>>,
    /// Keys by their collection, so that a list does not walk through everything.
    collections: Shards<Shards<Arc<Document>>>,
    /// Owners of credentials, by plugin and index key.
    credentials: Shards<Arc<str>>,
}

impl DocumentsView {
    /// One document.
    pub fn get(&self, key: &Key) -> Option<&Arc<Document>> {
        self.by_key.get(key.path().as_bytes())
    }

    /// The documents of a kind in the order of their creation; of credentials, those of a consumer.
    pub fn list(&self, kind: Kind, parent: Option<&str>) -> Vec<Arc<Document>> {
        let Some(collection) = self.collections.get(kind.collection().as_bytes()) else { return Vec::new() };
        let mut documents: Vec<_> = collection
            .iter()
            .map(|(_, document)| document.clone())
            .filter(|document| document.key.kind() == kind && (parent.is_none() || document.key.parent() == parent))
            .collect();
        documents.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.key.cmp(&b.key)));
        documents
    }

    /// Stores a document; gives the one that it replaces.
    pub(super) fn put(&mut self, plugins: &PluginSet, document: Arc<Document>) -> Option<Arc<Document>> {
        let path = document.key.path();
        let old = self.by_key.get(path.as_bytes()).cloned();
        if let Some(old) = &old {
            self.forget_credentials(plugins, old);
        }
        if matches!(document.key.kind(), Kind::Consumer | Kind::Credential) {
            let owner: Arc<str> = path.as_str().into();
            for (name, key) in check::credential_keys(plugins, &document.value) {
                self.credentials.insert(&credential_place(&name, &key), owner.clone());
            }
        }
        let collection = document.key.kind().collection();
        if let Some(collection) = self.collections.entry(collection.as_bytes(), Shards::default) {
            collection.insert(path.as_bytes(), document.clone());
        }
        self.by_key.insert(path.as_bytes(), document);
        old
    }

    /// Removes a document and gives it back.
    pub(super) fn remove(&mut self, plugins: &PluginSet, key: &Key) -> Option<Arc<Document>> {
        let path = key.path();
        let old = self.by_key.remove(path.as_bytes())?;
        self.forget_credentials(plugins, &old);
        if let Some(collection) = self.collections.entry(key.kind().collection().as_bytes(), Shards::default) {
            collection.remove(path.as_bytes());
        }
        Some(old)
    }

    fn forget_credentials(&mut self, plugins: &PluginSet, old: &Document) {
        if matches!(old.key.kind(), Kind::Consumer | Kind::Credential) {
            for (name, key) in check::credential_keys(plugins, &old.value) {
                self.credentials.remove(&credential_place(&name, &key));
            }
        }
    }

    pub(crate) fn credential_owner(&self, plugin: &str, key: &[u8]) -> Option<Arc<str>> {
        self.credentials.get(&credential_place(plugin, key)).cloned()
    }
}

fn credential_place(plugin: &str, key: &[u8]) -> Vec<u8> {
    [plugin.as_bytes(), b"\0", key].concat()
}
