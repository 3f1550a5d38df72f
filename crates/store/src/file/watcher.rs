//! The thread that looks at the file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use model::declared::{self, Contents, Declared, Known, Version};
use parking_lot::{Condvar, Mutex};

use super::order::arrange;
use super::reading::{Stamp, read};
use super::{FileOptions, Reload, Shown};
use crate::ledger::New;
use crate::{DocKey, Entry};

/// How long a file must stay as it is after it was read, so that one which is being written in pieces is not taken in the middle.
const REST: Duration = Duration::from_millis(30);

/// Priority of the thread: a tenth of a core where requests take all of it.
const NICE: i32 = 10;

/// Looks at the file until it is told to stop.
pub(super) struct Watcher {
    options: FileOptions,
    shown: Arc<Shown>,
    stop: Arc<Stop>,
    /// The version that was looked at last, unless it may have changed since without a trace.
    seen: Option<Stamp>,
    /// The hash of the content that was read last, whether it could be used or not.
    hash: Option<[u8; 32]>,
    /// The items of the version that was read last.
    known: Known,
    /// What was last told to be wrong.
    complaint: Option<String>,
}

/// Ends the thread.
#[derive(Default)]
pub(super) struct Stop {
    is_told: Mutex<bool>,
    told: Condvar,
}

// === impl Watcher ===

impl Watcher {
    pub(super) fn new(options: FileOptions, shown: Arc<Shown>, stop: Arc<Stop>) -> Self {
        Self { options, shown, stop, seen: None, hash: None, known: Known::default(), complaint: None }
    }

    pub(super) fn run(mut self) {
        // A large file is work for long; requests on the same core go first.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "the thread that follows the configuration file keeps its priority");
        }
        while !self.stop.comes_within(self.options.interval) {
            self.look();
        }
    }

    /// Takes the file if it changed.
    pub(super) fn look(&mut self) {
        let path = &self.options.path;
        let stamp = match Stamp::of(path) {
            Ok(stamp) => stamp,
            Err(error) => return self.miss(&error),
        };
        if self.seen == Some(stamp) {
            return;
        }
        let (stamp, bytes) = match read(path, REST) {
            Ok(Some(whole)) => whole,
            // Somebody writes it right now.
            Ok(None) => return,
            Err(error) => return self.miss(&error),
        };
        // A change in the same tick of the file system's clock, and of the same size, leaves the stamp as it is.
        self.seen = (!stamp.is_fresh(SystemTime::now())).then_some(stamp);
        let hash = <[u8; 32]>::try_from(digest(&SHA256, &bytes).as_ref()).ok();
        if hash != self.hash || hash.is_none() {
            self.take(&bytes, hash);
        }
    }

    fn take(&mut self, bytes: &[u8], hash: Option<[u8; 32]>) {
        self.hash = hash;
        let version = self.parse(bytes);
        let shown = version.and_then(|version| match version {
            Version::Whole(contents) => self.show(contents),
            Version::Changed(documents) => self.replace(documents),
        });
        if shown.is_err() {
            // The next version is compared with what is shown, which is not this one.
            self.known = Known::default();
        }
        match shown {
            Ok(changes) => {
                self.complaint = None;
                tracing::info!(file = %self.shown.path.display(), changes, "the configuration file was read");
                (self.options.report)(Reload::Taken);
            }
            Err(reason) => self.complain(&reason),
        }
    }

    fn parse(&mut self, bytes: &[u8]) -> Result<Version, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("line {line}: it is not UTF-8")
        })?;
        let FileOptions { format, is_lenient, env, .. } = &self.options;
        declared::read_again(text, *format, *is_lenient, &**env, &mut self.known).map_err(|refused| refused.to_string())
    }

    /// Puts documents in the places of those with the same keys, at once.
    fn replace(&self, documents: Vec<Declared>) -> Result<usize, String> {
        let mut plan = self.shown.ledger.plan();
        for Declared { key, text, line, problem } in documents {
            let key = DocKey::parse(key.path()).map_err(|error| format!("line {line}: {error}"))?;
            let old = self.shown.ledger.compare(|old| old.get(&key).cloned());
            if old.as_ref().is_some_and(|old| !is_same(old, &text, problem.as_ref())) {
                let order = old.and_then(|old| old.order);
                plan.follow(key, Some(New { text, order, problem }));
            }
        }
        let changes = plan.documents().count();
        plan.publish();
        Ok(changes)
    }

    /// Makes what was declared the documents of the store, at once.
    fn show(&self, Contents { documents: declared, plugins }: Contents) -> Result<usize, String> {
        let mut lines = HashMap::with_capacity(declared.len());
        let mut documents = Vec::with_capacity(declared.len());
        for Declared { key, text, line, problem } in declared {
            let key = DocKey::parse(key.path()).map_err(|error| format!("line {line}: {error}"))?;
            lines.insert(key.clone(), line);
            documents.push((key, text, problem));
        }
        let (stood, gone) = self.shown.ledger.compare(|old| {
            let stood: Vec<(Option<u64>, bool)> = documents
                .iter()
                .map(|(key, text, problem)| {
                    let old = old.get(key);
                    (old.and_then(|old| old.order), old.is_some_and(|old| is_same(old, text, problem.as_ref())))
                })
                .collect();
            let gone: Vec<DocKey> = old.keys().filter(|key| !lines.contains_key(*key)).cloned().collect();
            (stood, gone)
        });
        let orders = arrange(stood.iter().map(|(order, _)| *order).collect());
        let mut plan = self.shown.ledger.plan();
        let before = plan.revision();
        plan.enable(plugins.map(Into::into));
        for (((key, text, problem), order), (stood, is_same)) in documents.into_iter().zip(orders).zip(stood) {
            if !is_same || stood != Some(order) {
                plan.follow(key, Some(New { text, order: Some(order), problem }));
            }
        }
        for key in gone {
            plan.follow(key, None);
        }
        if before.0 == 0 && plan.revision() == before {
            // An empty file is a configuration, too.
            plan.reserve();
        }
        let changes = plan.documents().count();
        // Before they are told, for who is told may ask.
        *self.shown.lines.write() = lines;
        plan.publish();
        Ok(changes)
    }

    /// Says why the file cannot be read, once until it can be.
    fn miss(&mut self, error: &std::io::Error) {
        (self.seen, self.hash) = (None, None);
        let reason = format!("cannot be read: {error}");
        if self.complaint.as_ref() != Some(&reason) {
            self.complain(&reason);
        }
    }

    /// Says what is wrong with this version of the file.
    fn complain(&mut self, reason: &str) {
        self.complaint = Some(reason.to_owned());
        let path = self.shown.path.display();
        let reason = format!("{path}: {reason}");
        tracing::error!(reason, "the configuration file cannot be used, the configuration stays as it was");
        (self.options.report)(Reload::Refused(&reason));
    }
}

fn is_same(old: &Entry, text: &Arc<str>, problem: Option<&String>) -> bool {
    (Arc::ptr_eq(&old.text, text) || old.text == *text) && old.problem.as_ref() == problem
}

// === impl Stop ===

impl Stop {
    pub(super) fn now(&self) {
        *self.is_told.lock() = true;
        self.told.notify_all();
    }

    /// Waits for the end, but not for long; whether it came.
    fn comes_within(&self, time: Duration) -> bool {
        let mut is_told = self.is_told.lock();
        if !*is_told {
            self.told.wait_for(&mut is_told, time);
        }
        *is_told
    }
}
