//! The flow as the Admin and the control API see it.

use admin::{Change, Configuration, Expected, WriteError};
use control::NodeHealth;
use gateway::{
    check,
    flow::{Flow, FlowError, Write},
    upstream::Registry,
};
use model::documents::{Document, Key, Kind};
use plugin::{Description, Shared};
use serde_json::Value;
use std::{ops::Range, sync::Arc};
use store::{Expect, Revision};

/// The running configuration.
pub(crate) struct Live(pub(crate) Arc<Flow>);

impl Live {
    fn descriptions(&self) -> Vec<Description> {
        self.0.plugins().iter().map(|plugin| plugin.description).collect()
    }

    fn one(&self, key: &Key) -> Option<Document> {
        self.0.documents().get(key)
    }

    fn all(&self, kind: Kind, parent: Option<&str>) -> Vec<Document> {
        self.0.documents().list(kind, parent)
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
        self.0.documents().page(kind, parent, range)
    }

    async fn next_id(&self) -> Result<String, WriteError> {
        self.0.next_id().await.map_err(failed)
    }

    fn check(&self, key: &Key, value: &Value) -> Result<(), String> {
        check::check_alone(self.0.plugins(), self.0.shared(), key, value)
    }

    fn check_delete(&self, key: &Key) -> Result<(), String> {
        check::check_delete(&self.0.documents(), self.0.plugins(), key)
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
        self.0.write(writes.collect()).await.map(drop).map_err(failed)
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

    fn plugins(&self) -> Vec<Description> {
        self.descriptions()
    }

    fn revision(&self) -> Option<u64> {
        Some(self.0.snapshot().revision())
    }

    fn digest(&self) -> String {
        self.0.snapshot().digest().to_string()
    }

    fn problems(&self) -> Vec<control::Problem> {
        let problems = self.0.problems().into_iter();
        problems.map(|p| control::Problem { key: p.key, json_path: p.json_path, message: p.message }).collect()
    }

    fn health(&self, key: &Key) -> Vec<NodeHealth> {
        let targets = self.0.shared().kept(Registry::default).targets(&key.path());
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

    fn shared(&self) -> Arc<Shared> {
        self.0.shared().clone()
    }
}
