use super::{
    Checker,
    probe::{self, Ways},
    rules::Way,
    target::Target,
};
use engine::tls::TlsSettings;
use futures_util::{StreamExt, stream};
use hickory_resolver::TokioResolver;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};
use tokio::sync::Semaphore;

/// Checks at the same time, of all upstreams together.
const MAX_CHECKS: usize = 256;

/// The rounds of active checks: a round asks all targets of an upstream that are usable, or all that are not. While one is under way
/// no other of its kind begins, so a target that does not answer costs one connection.
pub(crate) struct Rounds {
    ways: Arc<Ways>,
    slots: Arc<Semaphore>,
}

impl Rounds {
    /// `tls` is for checks over TLS: of any server, and of those whose certificate is verified.
    pub(crate) fn new(resolver: Result<TokioResolver, String>, tls: [Arc<TlsSettings>; 2]) -> Self {
        Self { ways: Arc::new(Ways { resolver, tls }), slots: Arc::new(Semaphore::new(MAX_CHECKS)) }
    }

    /// Begins the rounds that are due.
    pub(crate) fn begin(&self, checker: &Arc<Checker>, now: Instant) {
        let targets = checker.targets();
        if targets.is_empty() {
            return;
        }
        let rules = checker.rules.load_full();
        for (kind, interval) in rules.intervals.iter().enumerate() {
            let Some(interval) = *interval else { continue };
            let mut due = checker.due.lock();
            let Some(due) = due.get_mut(kind) else { continue };
            // The first round comes an interval after the first request.
            if now < *due.get_or_insert(now + interval) {
                continue;
            }
            *due = Some(now + interval);
            let asked: Vec<_> = targets.iter().filter(|target| target.is_usable() == (kind == 0)).cloned().collect();
            let Some(is_running) = checker.is_running.get(kind) else { continue };
            if asked.is_empty() || is_running.swap(true, Ordering::AcqRel) {
                continue;
            }
            tokio::spawn(round(checker.clone(), kind, asked, self.ways.clone(), self.slots.clone()));
        }
    }
}

async fn round(checker: Arc<Checker>, kind: usize, targets: Vec<Arc<Target>>, ways: Arc<Ways>, slots: Arc<Semaphore>) {
    let rules = checker.rules.load_full();
    let (checker, rules, ways, slots) = (&checker, &rules, &ways, &slots);
    stream::iter(&targets)
        .for_each_concurrent(rules.concurrency, async |target| {
            let Ok(_slot) = slots.acquire().await else { return };
            // It may have been removed, with its upstream, while others were asked.
            if checker.is_over() || Arc::strong_count(target) < 2 {
                return;
            }
            let report = probe::ask(target, rules, ways).await;
            checker.count(target, Way::Active, report);
        })
        .await;
    if let Some(is_running) = checker.is_running.get(kind) {
        is_running.store(false, Ordering::Release);
    }
}
