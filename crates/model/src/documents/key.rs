use std::fmt;

use super::Kind;

/// Where a document lives: unique over all kinds. Its parts are valid by construction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    kind: Kind,
    parent: Option<String>,
    id: String,
}

/// Why something cannot be a [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The id has a wrong length or a character that is not allowed.
    #[error("invalid {kind} id \"{id}\"")]
    Id {
        /// What it should identify.
        kind: Kind,
        /// The id.
        id: String,
    },
    /// Credentials belong to a consumer, secrets to a manager, cost decorations to a service; nothing else has a parent.
    #[error("{kind} does not fit below {parent:?}")]
    Parent {
        /// The kind.
        kind: Kind,
        /// The parent that was given.
        parent: Option<String>,
    },
    /// The path does not lead to a document.
    #[error("no document can live at \"{path}\"")]
    Path {
        /// The path.
        path: String,
    },
}

/// What APISIX puts before the place of an item that has no id.
const POSITIONAL: &str = "arr_";

impl Key {
    /// The key of a document that stands alone: of any kind but those of [`Key::below`].
    pub fn new(kind: Kind, id: impl Into<String>) -> Result<Key, KeyError> {
        Key::build(kind, None, id.into())
    }

    /// The key of a credential of a consumer, of the access to a secret manager (`vault`, `aws` or `gcp`), or of a cost
    /// decoration of a service.
    pub fn below(kind: Kind, parent: impl Into<String>, id: impl Into<String>) -> Result<Key, KeyError> {
        Key::build(kind, Some(parent.into()), id.into())
    }

    /// The key of a credential of `consumer`.
    pub fn credential(consumer: impl Into<String>, id: impl Into<String>) -> Result<Key, KeyError> {
        Key::below(Kind::Credential, consumer, id)
    }

    /// The key of the access to a secret manager.
    pub fn secret(manager: impl Into<String>, id: impl Into<String>) -> Result<Key, KeyError> {
        Key::below(Kind::Secret, manager, id)
    }

    /// The key of a document without an id that is the item `index` (from 1) of a list, as APISIX names it. Credentials and
    /// secrets need ids, for they tell where they belong.
    pub fn positional(kind: Kind, index: usize) -> Result<Key, KeyError> {
        Key::new(kind, format!("{POSITIONAL}{index}"))
    }

    /// Whether it may be that of [`Key::positional`]: another document has it when the list changes.
    pub fn is_positional(&self) -> bool {
        self.id.starts_with(POSITIONAL)
    }

    fn build(kind: Kind, parent: Option<String>, id: String) -> Result<Key, KeyError> {
        let parent_fits = match (kind, &parent) {
            (Kind::Credential, Some(consumer)) => fits(Kind::Consumer, consumer),
            (Kind::Secret, Some(manager)) => super::secret_schema(manager).is_some(),
            (Kind::CostDecoration, Some(service)) => fits(Kind::Service, service),
            (Kind::Credential | Kind::Secret | Kind::CostDecoration, None) => false,
            (_, parent) => parent.is_none(),
        };
        if !parent_fits {
            return Err(KeyError::Parent { kind, parent });
        }
        if !fits(kind, &id) {
            return Err(KeyError::Id { kind, id });
        }
        Ok(Key { kind, parent, id })
    }

    /// Reads what [`Key::path`] writes.
    pub fn parse(path: &str) -> Result<Key, KeyError> {
        let unknown = || KeyError::Path { path: path.to_owned() };
        let segments: Vec<&str> = path.strip_prefix('/').ok_or_else(unknown)?.split('/').collect();
        match segments.as_slice() {
            ["consumers", consumer, "credentials", id] => Key::credential(*consumer, *id),
            ["services", service, "graphql_cost_decorations", id] => Key::below(Kind::CostDecoration, *service, *id),
            ["secrets", manager, id] => Key::secret(*manager, *id),
            [collection, id] => Key::new(Kind::from_collection(collection).ok_or_else(unknown)?, *id),
            _ => Err(unknown()),
        }
    }

    /// What kind of document lives here.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The id: a user name for consumers, the name of a plugin for its metadata.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The consumer of a credential, the manager of a secret, the service of a cost decoration.
    pub fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// The path below the prefix of the store: `/routes/1`, `/consumers/jack/credentials/c1`, `/secrets/vault/1`.
    pub fn path(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let collection = self.kind.collection();
        match (self.kind, &self.parent) {
            (Kind::Credential, Some(consumer)) => {
                write!(f, "/consumers/{consumer}/{collection}/{}", self.id)
            }
            (Kind::CostDecoration, Some(service)) => write!(f, "/services/{service}/{collection}/{}", self.id),
            (_, Some(parent)) => write!(f, "/{collection}/{parent}/{}", self.id),
            (_, None) => write!(f, "/{collection}/{}", self.id),
        }
    }
}

fn fits(kind: Kind, id: &str) -> bool {
    let (longest, dots) = match kind {
        Kind::Consumer => (256, false),
        Kind::PluginMetadata => (256, true),
        _ => (64, true),
    };
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_' || (dots && c == b'.');
    (1..=longest).contains(&id.len()) && id.bytes().all(allowed)
}
