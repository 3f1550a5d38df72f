use super::{
    rules::{Report, Rules, Way},
    target::Target,
};
use crate::upstream::node::Node;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

/// The checks of one upstream, and what they have seen.
#[derive(Debug)]
pub(crate) struct Checker {
    /// Key of the document that the upstream is of.
    pub(crate) owner: Box<str>,
    pub(super) rules: ArcSwap<Rules>,
    targets: Mutex<Vec<Arc<Target>>>,
    /// Counts the changes between usable and not.
    version: AtomicU64,
    is_used: AtomicBool,
    is_over: AtomicBool,
    /// When the usable targets and the others are next due.
    pub(super) due: Mutex<[Option<Instant>; 2]>,
    pub(super) is_running: [AtomicBool; 2],
}

/// Where a node is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// `upstream_host`, when it is what nodes see.
    pub(crate) rewritten_host: Option<&'a str>,
}

impl Checker {
    pub(crate) fn new(owner: &str, rules: Rules) -> Self {
        Self {
            owner: owner.into(),
            rules: ArcSwap::from_pointee(rules),
            targets: Mutex::default(),
            version: AtomicU64::new(0),
            is_used: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            due: Mutex::default(),
            is_running: [AtomicBool::new(false), AtomicBool::new(false)],
        }
    }

    /// Follows a change of the checks; what was seen stays.
    pub(crate) fn follow(&self, rules: Rules) {
        if !self.rules.load().is_same(&rules) {
            self.rules.store(Arc::new(rules));
            *self.due.lock() = Default::default();
        }
    }

    /// Follows a change of the nodes: gives each its target, an old one where there is one.
    pub(crate) fn assign(&self, nodes: &mut [Node], place: Place<'_>) {
        let rules = self.rules.load();
        let (host, port) = rules.host_and_port();
        let mut targets = self.targets.lock();
        let key =
            |target: &Target| (target.host.clone(), target.port, target.hostname.clone(), target.host_header.clone());
        let mut known: foldhash::HashMap<_, _> = targets.drain(..).map(|target| (key(&target), target)).collect();
        let mut taken = foldhash::HashSet::default();
        for node in nodes {
            // There is no client whose Host could be passed on: a node is asked by its own name.
            let own_name = node.ip.is_none().then_some(&*node.host);
            let header: Option<Box<str>> = place.rewritten_host.or(own_name).map(Into::into);
            let hostname: Box<str> = host.map_or_else(|| node.host.clone(), Into::into);
            let at = (node.host.clone(), port.unwrap_or(node.port), hostname, header);
            let target = known.entry(at.clone()).or_insert_with(|| {
                let (host, port, hostname, header) = at.clone();
                Arc::new(Target::new(host, node.ip, port, hostname, header))
            });
            node.target = Some(target.clone());
            if taken.insert(at) {
                targets.push(target.clone());
            }
        }
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// A request goes to the upstream: from now on its nodes are checked.
    pub(crate) fn begin(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// The upstream has no checks any more, or is none.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Changes whenever a target becomes usable or unusable.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What is checked; nothing before the first request.
    pub(crate) fn targets(&self) -> Vec<Arc<Target>> {
        if self.is_used.load(Ordering::Relaxed) { self.targets.lock().clone() } else { Vec::new() }
    }

    /// Whether the answers to requests count.
    pub(crate) fn counts_answers(&self) -> bool {
        self.rules.load().counts_answers
    }

    /// A request has seen something of a node.
    pub(crate) fn report(&self, target: &Target, report: Report) {
        self.count(target, Way::Passive, report);
    }

    pub(super) fn count(&self, target: &Target, way: Way, report: Report) {
        let rules = self.rules.load();
        let Some((verdict, limit)) = rules.judge(way, report) else { return };
        let Some((before, after)) = target.count(verdict, limit) else { return };
        let (before_name, after_name) = (before.name(), after.name());
        if before.is_usable() == after.is_usable() {
            tracing::debug!(upstream = %self.owner, node = %target.host, port = target.port, before_name, after_name, "health");
            return;
        }
        self.version.fetch_add(1, Ordering::AcqRel);
        tracing::warn!(
            upstream = %self.owner,
            node = %target.host,
            port = target.port,
            seen = ?verdict,
            way = ?way,
            "a node was {before_name} and is {after_name}"
        );
    }
}
