//! The flow as the Admin and the control API see it.

use admin::{Change, Configuration, Expected, WriteError};
use control::NodeHealth;
use futures_util::FutureExt;
use gateway::{
    check,
    exchange::{
        Options,
        explain::{Question, explain},
    },
    flow::{Flow, FlowError, Write},
    lint,
    upstream::Registry,
};
use model::documents::{self, Document, Key, Kind};
use plugin::{Description, Shared};
use serde_json::{Value, json};
use std::{ops::Range, sync::Arc};
use store::{Expect, Revision};

/// The running configuration.
pub(crate) struct Live {
    pub(crate) flow: Arc<Flow>,
    /// Whether there is none before the first one comes: what was not stored yet could protect.
    pub(crate) awaits_first: bool,
    /// What the request path runs by.
    pub(crate) options: Options,
}

impl Live {
    fn descriptions(&self) -> Vec<Description> {
        self.flow.plugins().iter().map(|plugin| plugin.description).collect()
    }

    fn one(&self, key: &Key) -> Option<Document> {
        self.flow.documents().get(key)
    }

    fn all(&self, kind: Kind, parent: Option<&str>) -> Vec<Document> {
        self.flow.documents().list(kind, parent)
    }
}

impl Configuration for Live {
    fn document(&self, key: &Key) -> Option<Document> {
        self.one(key)
    }

    fn documents(&self, kind: Kind, parent: Option<&str>) -> Vec<Document> {
        self.all(kind, parent)
    }

    fn page(&self, kind: Kind, parent: Option<&str>, range: Range<usize>) -> (Vec<Document>, usize) {
        self.flow.documents().page(kind, parent, range)
    }

    async fn next_id(&self) -> Result<String, WriteError> {
        self.flow.next_id().await.map_err(failed)
    }

    fn check(&self, key: &Key, value: &Value) -> Result<(), String> {
        check::check_alone(&self.flow.plugins(), self.flow.shared(), key, value)
    }

    fn check_delete(&self, key: &Key) -> Result<(), String> {
        check::check_delete(&self.flow.documents(), &self.flow.plugins(), key)
    }

    async fn write(&self, changes: Vec<Change>) -> Result<(), WriteError> {
        let expect = |expected| match expected {
            Expected::Absent => Expect::Absent,
            Expected::Revision(n) => Expect::Revision(Revision(n)),
        };
        let writes = changes.into_iter().map(|change| match change {
            Change::Put(key, value, expected) => Write::Put { key, value, expect: expect(expected) },
            Change::Delete { key, expected, is_forced } => Write::Delete { key, expect: expect(expected), is_forced },
        });
        self.flow.write(writes.collect()).await.map(drop).map_err(failed)
    }

    async fn replace(&self, documents: Vec<(Key, Value)>) -> Result<(), WriteError> {
        self.flow.replace(documents).await.map(drop).map_err(failed)
    }

    fn plugins(&self) -> Vec<Description> {
        self.descriptions()
    }
}

fn failed(error: FlowError) -> WriteError {
    match error {
        FlowError::Refused(message) => WriteError::Refused(message),
        FlowError::Conflict => WriteError::Conflict,
        FlowError::Unavailable(reason) => WriteError::Unavailable(reason),
    }
}

impl control::View for Live {
    fn document(&self, key: &Key) -> Option<Document> {
        self.one(key)
    }

    fn documents(&self, kind: Kind) -> Vec<Document> {
        self.all(kind, None)
    }

    fn completed(&self, document: &Document) -> Value {
        let mut value = document.value.clone();
        documents::schema(document.key.kind()).fill_defaults(&mut value);
        if let Some(written) = value.get_mut("plugins").and_then(Value::as_object_mut) {
            let plugins = self.flow.plugins();
            for (name, conf) in written {
                *conf = plugins.fill(name, conf);
            }
        }
        value
    }

    fn plugins(&self) -> Vec<Description> {
        self.descriptions()
    }

    fn revision(&self) -> Option<u64> {
        let revision = self.flow.snapshot().revision();
        (revision > 0 || !self.awaits_first).then_some(revision)
    }

    fn digest(&self) -> String {
        self.flow.snapshot().digest().to_string()
    }

    fn problems(&self) -> Vec<control::Problem> {
        let problems = self.flow.problems().into_iter();
        problems
            .map(|p| control::Problem { key: p.key, json_path: p.json_path, message: p.message, place: p.place })
            .collect()
    }

    fn health(&self, key: &Key) -> Vec<NodeHealth> {
        let targets = self.flow.shared().kept(Registry::default).targets(&key.path());
        let nodes = targets.iter().map(|target| {
            let counts = target.counts();
            NodeHealth {
                ip: target.shown_host(),
                port: target.port,
                hostname: target.hostname.to_string(),
                hostheader: target.host_header.as_deref().map(str::to_owned),
                status: target.state().name(),
                success: counts.success,
                http_failure: counts.http_failure,
                tcp_failure: counts.tcp_failure,
                timeout_failure: counts.timeout_failure,
            }
        });
        nodes.collect()
    }

    fn findings(&self) -> Value {
        json!(lint::findings(&self.flow))
    }

    fn explain(&self, question: &[u8]) -> Result<Value, String> {
        let question: Question = serde_json::from_slice(question).map_err(|error| error.to_string())?;
        // It has no connection to wait for.
        let explained = explain(&self.flow, &self.options, &question).now_or_never();
        let explanation = explained.ok_or("the body did not come")?.map_err(|error| error.to_string())?;
        Ok(json!(explanation))
    }

    fn shared(&self) -> Arc<Shared> {
        self.flow.shared().clone()
    }
}
