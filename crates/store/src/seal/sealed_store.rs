//! A store whose secret fields are encrypted in the store it wraps.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::{self, BoxFuture, FutureExt};
use serde_json::Value;

use super::{ApisixKeyring, JsonPath, SealError, Sealer, open_apisix};
use crate::{Change, ChangeStream, DocKey, Documents, Entry, Op, Revision, Store, StoreError};

/// Says which fields of a document are secret. It is asked with secrets in clear and with secrets sealed, and must not
/// look at them.
pub type SealedFields = Arc<dyn Fn(&DocKey, &Value) -> Vec<JsonPath> + Send + Sync>;

/// Seals the secret fields of what is written to another store and opens them in what is read.
///
/// A field that is not sealed in the inner store, because it was written before sealing was turned on or by APISIX,
/// is opened with the keyring of APISIX where there is one, else taken as it is.
pub struct SealedStore {
    inner: Arc<dyn Store>,
    opener: Arc<Opener>,
}

/// What is sealed, and what may be opened besides.
pub struct Sealing {
    /// Fields that are sealed when they are written.
    pub seal: SealedFields,
    /// Fields that are opened when they are read: these, and those that were sealed before the settings changed.
    pub open: SealedFields,
    /// Opens what APISIX sealed.
    pub keyring: Option<ApisixKeyring>,
}

struct Opener {
    sealer: Sealer,
    sealing: Sealing,
}

// === impl SealedStore ===

impl SealedStore {
    /// Wraps `inner` with the keys of a data directory. A first key is made where nothing was sealed yet.
    ///
    /// # Errors
    /// When there is no key file and `inner` has sealed values: see [`SealError::LostKey`].
    pub async fn open(inner: Arc<dyn Store>, data_dir: &Path, sealing: Sealing) -> Result<Self, StoreError> {
        has_key(&*inner, data_dir).await?;
        let opener = Arc::new(Opener { sealer: Sealer::open_or_create(data_dir)?, sealing });
        Ok(Self { inner, opener })
    }
}

/// The documents of `inner` with their secrets opened, without making a key where there is none.
///
/// # Errors
/// See [`SealedStore::open`].
pub async fn opened(inner: Arc<dyn Store>, data_dir: &Path, sealing: Sealing) -> Result<Documents, StoreError> {
    if has_key(&*inner, data_dir).await? {
        SealedStore::open(inner, data_dir, sealing).await?.load().await
    } else {
        inner.load().await
    }
}

/// Whether a data directory has its keys; it must where anything is sealed.
async fn has_key(inner: &dyn Store, data_dir: &Path) -> Result<bool, StoreError> {
    let path = Sealer::key_file(data_dir);
    let is_there = path.try_exists().map_err(|source| SealError::KeyFile { path: path.clone(), source })?;
    if !is_there && let Some(entry) = inner.load().await?.entries.into_iter().find(is_sealed) {
        return Err(SealError::LostKey { path, document: entry.key }.into());
    }
    Ok(is_there)
}

/// Whether any text within is sealed, also one that the settings of today do not know as a secret.
fn is_sealed(entry: &Entry) -> bool {
    entry.text.contains(Sealer::MARK) && has_sealed(&entry.value())
}

fn has_sealed(value: &Value) -> bool {
    match value {
        Value::String(text) => Sealer::is_sealed(text),
        Value::Array(items) => items.iter().any(has_sealed),
        Value::Object(fields) => fields.values().any(has_sealed),
        _ => false,
    }
}

impl Store for SealedStore {
    fn load(&self) -> BoxFuture<'_, Result<Documents, StoreError>> {
        async {
            let mut documents = self.inner.load().await?;
            for entry in &mut documents.entries {
                self.opener.open(entry);
            }
            Ok(documents)
        }
        .boxed()
    }

    fn write(&self, mut ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        for op in &mut ops {
            if let Op::Put { key, value, .. } = op
                && let Err(error) = self.opener.seal(key, value)
            {
                return future::ready(Err(error.into())).boxed();
            }
        }
        self.inner.write(ops)
    }

    fn next_id(&self) -> BoxFuture<'_, Result<String, StoreError>> {
        self.inner.next_id()
    }

    fn watch(&self, from: Revision) -> ChangeStream {
        let opener = Arc::clone(&self.opener);
        self.inner
            .watch(from)
            .map(move |mut change| {
                if let Change::Put(entry) = &mut change {
                    opener.open(entry);
                }
                change
            })
            .boxed()
    }
}

// === impl Opener ===

impl Opener {
    /// Whatever the text looks like, it is the secret: one that looks sealed is sealed again.
    fn seal(&self, key: &DocKey, value: &mut Value) -> Result<(), SealError> {
        for path in distinct((self.sealing.seal)(key, value)) {
            path.visit(value, &mut |place, field| {
                if let Value::String(plain) = field {
                    *plain = self.sealer.seal(&aad(key, place), plain)?;
                }
                Ok::<_, SealError>(())
            })?;
        }
        Ok(())
    }

    fn open(&self, entry: &mut Entry) {
        // What we sealed is found by its format; APISIX's has none.
        if self.sealing.keyring.is_none() && !entry.text.contains(Sealer::MARK) {
            return;
        }
        let mut value = entry.value();
        let mut is_changed = false;
        let Entry { key, problem, .. } = entry;
        for path in distinct((self.sealing.open)(key, &value)) {
            let Ok(()) = path.visit(&mut value, &mut |place, field| {
                match self.open_field(key, place, field) {
                    Ok(is_opened) => is_changed |= is_opened,
                    Err(error) => {
                        // The sealed text must not pass for the secret.
                        *field = Value::Null;
                        is_changed = true;
                        problem.get_or_insert_with(|| format!("{place}: {error}"));
                    }
                }
                Ok::<_, Infallible>(())
            });
        }
        if is_changed {
            entry.text = value.to_string().into();
        }
        if let Entry { key, problem: Some(problem), .. } = entry {
            tracing::error!(%key, %problem, "document has a secret that cannot be opened");
        }
    }

    /// Opens a field; says whether there was something to open.
    fn open_field(&self, key: &DocKey, place: &str, field: &mut Value) -> Result<bool, SealError> {
        let Value::String(text) = field else {
            return Ok(false);
        };
        if Sealer::is_sealed(text) {
            *text = self.sealer.open(&aad(key, place), text)?;
        } else if let Some(plain) = self.sealing.keyring.as_ref().and_then(|keyring| open_apisix(keyring, text)) {
            *text = plain;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// A field must not be sealed twice because it was listed twice.
fn distinct(paths: Vec<JsonPath>) -> Vec<JsonPath> {
    let mut distinct: Vec<JsonPath> = Vec::with_capacity(paths.len());
    for path in paths {
        if !distinct.iter().any(|seen| path.is_within(seen)) {
            distinct.retain(|seen| !seen.is_within(&path));
            distinct.push(path);
        }
    }
    distinct
}

/// No control character is in a key, so the two parts cannot run into each other.
fn aad(key: &DocKey, place: &str) -> Vec<u8> {
    format!("{key}\0{place}").into_bytes()
}
