//! A configuration in memory.

use super::super::*;
use model::documents::{self, Document, Key};
use parking_lot::Mutex;
use plugin::Description;
use std::{collections::BTreeMap, future::Future, ops::Range};

/// A configuration without a gateway.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) revision: u64,
    pub(super) documents: BTreeMap<String, Document>,
    /// How many writes still meet a change of somebody else.
    pub(super) conflicts: usize,
    pub(super) is_down: bool,
}

impl Fake {
    fn user(&self, key: &Key) -> Result<(), String> {
        let routes = if key.kind() == Kind::Upstream { self.documents(Kind::Route, None) } else { Vec::new() };
        let user = routes.into_iter().find(|route| route.value["upstream_id"] == key.id());
        user.map_or(Ok(()), |route| {
            let id = route.key.id();
            Err(format!("can not delete this upstream, route [{id}] is still using it now"))
        })
    }
}

impl Configuration for Fake {
    fn document(&self, key: &Key) -> Option<Document> {
        self.state.lock().documents.get(&key.path()).cloned()
    }

    fn page(&self, kind: Kind, parent: Option<&str>, range: Range<usize>) -> (Vec<Document>, usize) {
        let mut all = self.documents(kind, parent);
        all.sort_by_key(|document| (document.created, document.modified));
        let total = all.len();
        (all.into_iter().skip(range.start).take(range.len()).collect(), total)
    }

    fn documents(&self, kind: Kind, parent: Option<&str>) -> Vec<Document> {
        let state = self.state.lock();
        let is_of = |key: &Key| key.kind() == kind && (parent.is_none() || key.parent() == parent);
        state.documents.values().filter(|stored| is_of(&stored.key)).cloned().collect()
    }

    async fn next_id(&self) -> Result<String, WriteError> {
        Ok(format!("{:020}", self.state.lock().revision + 1))
    }

    fn check(&self, key: &Key, value: &Value) -> Result<(), String> {
        let checked = documents::schema(key.kind()).check(value);
        checked.map_err(|violation| format!("invalid configuration: {violation}"))
    }

    fn check_delete(&self, key: &Key) -> Result<(), String> {
        self.user(key)
    }

    async fn replace(&self, documents: Vec<(Key, Value)>) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        if state.is_down {
            return Err(WriteError::Unavailable("connection refused".to_owned()));
        }
        state.revision += 1;
        let revision = state.revision;
        let new =
            |(key, value): (Key, Value)| (key.path(), Document { key, value, created: revision, modified: revision });
        state.documents = documents.into_iter().map(new).collect();
        Ok(())
    }

    #[allow(clippy::manual_async_fn)] // an async fn of a trait does not promise `Send`
    fn write(&self, changes: Vec<Change>) -> impl Future<Output = Result<(), WriteError>> + Send {
        async move {
            for change in &changes {
                match change {
                    Change::Put(key, value, _) => self.check(key, value).map_err(WriteError::Refused)?,
                    Change::Delete { key, is_forced: false, .. } => self.user(key).map_err(WriteError::Refused)?,
                    Change::Delete { .. } => {}
                }
            }
            let mut state = self.state.lock();
            if state.is_down {
                return Err(WriteError::Unavailable("connection refused".to_owned()));
            }
            if state.conflicts > 0 {
                state.conflicts -= 1;
                return Err(WriteError::Conflict);
            }
            for change in &changes {
                let (Change::Put(key, _, expected) | Change::Delete { key, expected, .. }) = change;
                let holds = match (state.documents.get(&key.path()), expected) {
                    (None, Expected::Absent) => true,
                    (Some(stored), Expected::Revision(revision)) => stored.modified == *revision,
                    _ => false,
                };
                if !holds {
                    return Err(WriteError::Conflict);
                }
            }
            state.revision += 1;
            let modified = state.revision;
            for change in changes {
                match change {
                    Change::Put(key, value, _) => {
                        let created = state.documents.get(&key.path()).map_or(modified, |stored| stored.created);
                        state.documents.insert(key.path(), Document { key, value, created, modified });
                    }
                    Change::Delete { key, .. } => {
                        state.documents.remove(&key.path());
                    }
                }
            }
            Ok(())
        }
    }

    fn plugins(&self) -> Vec<Description> {
        let spec = |schema, class| plugin::Spec {
            schema,
            version: 0.1,
            class,
            run_policy: plugin::RunPolicy::Always,
            posture: plugin::Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
        };
        let describe = |name, priority, spec| Description {
            name,
            priority,
            spec,
            build: |_, _| Err(plugin::BuildError("not built here".to_owned())),
            reword: |_, _| None,
            lint: |_| Vec::new(),
            metadata: |_| Err(plugin::BuildError("not built here".to_owned())),
            credential: None,
            index_attribute: "",
            prepare: |_, _| Ok(Vec::new()),
            public_apis: |_| Vec::new(),
            control_apis: Vec::new,
            decorations: None,
            export: None,
        };
        let other = r#"{"schema":{"type":"object","properties":{"count":{"type":"integer"}}}}"#;
        let auth =
            r#"{"scope":"global","schema":{"type":"object"},"consumer_schema":{"type":"object","required":["key"]}}"#;
        vec![
            describe("limit-count", 1002, spec(other, plugin::PluginClass::Other)),
            describe("key-auth", 2500, spec(auth, plugin::PluginClass::Auth)),
        ]
    }
}
