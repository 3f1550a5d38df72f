//! Quotas in Redis that are counted here first and there now and then.

#[cfg(test)]
mod tests;

use super::redis;
use crate::{
    Taken, Window,
    remote::{Answer, Call, Remote},
    table::{Digest, Entry, Full, Table},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

const MICROS: f64 = 1_000_000.0;

/// Keys that may have something to be told to Redis; a request with one more is counted there at once.
const MAX_UNTOLD: usize = 10_000;

/// Times that a request asks Redis before it is refused.
const TRIES: usize = 3;

/// Keys that one step tells Redis about.
const BATCH: usize = 64;

/// A plugin's quotas, and the task that tells Redis about them.
pub(super) struct Delayed {
    ledger: Arc<Ledger>,
    remote: Arc<Remote>,
    window: Window,
    interval: Duration,
    /// Whether the task was started.
    is_told: Mutex<bool>,
}

/// What is known of each key, and what Redis does not know yet.
#[derive(Default)]
struct Ledger {
    accounts: Table<Account>,
    untold: Mutex<HashMap<Digest, Quota>>,
}

/// A key with its numbers.
#[derive(Clone)]
pub(super) struct Quota {
    pub(super) key: Vec<u8>,
    pub(super) limit: u64,
    pub(super) seconds: u64,
}

/// A key's quota as Redis has told it, and what was used since.
#[derive(Default)]
struct Account {
    /// What was left when Redis was last asked.
    remaining: u64,
    /// Until when that holds, in microseconds since the epoch.
    until: u64,
    /// What was used since, and Redis has not been told.
    untold: u64,
    /// What Redis is being told now.
    telling: u64,
    /// How many answers are under way.
    asking: u32,
    /// Whether more than one was, so that the next may be older than what is known.
    has_overlap: bool,
    /// When this is forgotten.
    forgotten: u64,
}

/// What can be said here.
#[derive(Debug, PartialEq)]
enum Said {
    Taken(Taken),
    /// Redis has to be asked first, and told this.
    Ask(u64),
}

impl Entry for Account {
    fn is_over(&self, now: u64) -> bool {
        self.forgotten <= now
    }
}

impl Delayed {
    pub(super) fn new(remote: Arc<Remote>, window: Window, interval: Duration) -> Self {
        Self { ledger: Arc::default(), remote, window, interval, is_told: Mutex::new(false) }
    }

    /// Takes `cost` from a key's quota. While Redis is away a quota counts for this node alone.
    pub(super) async fn take(self: &Arc<Self>, quota: Quota, cost: u64, now: u64) -> Result<Taken, Full> {
        self.start();
        let digest = self.ledger.accounts.digest(&quota.key);
        if !self.ledger.may_owe(digest, &quota) {
            // There is too much to be told already.
            return Ok(self.ask(&quota, cost).await.map_or_else(|()| quota.own(), |answer| self.told(answer)));
        }
        for _ in 0..TRIES {
            match self.ledger.take(digest, &quota, cost, now)? {
                Said::Taken(taken) => return Ok(taken),
                Said::Ask(untold) => {
                    let answer = self.ask_and_tell(&quota, untold).await;
                    self.ledger.settle(digest, &quota, untold, answer, now)?;
                }
            }
        }
        // Each time it was the very end of a window, which is no reason to let anything through.
        Ok(Taken { remaining: None, reset: 0.0 })
    }

    async fn ask(&self, quota: &Quota, cost: u64) -> Result<Answer, ()> {
        let answers = self.remote.run(redis::script(self.window), vec![quota.call(cost)]).await.map_err(|_| ())?;
        answers.first().copied().ok_or(())
    }

    async fn ask_and_tell(&self, quota: &Quota, untold: u64) -> Option<Answer> {
        let answers = self.remote.run(redis::flush(self.window), vec![quota.call(untold)]).await.ok()?;
        answers.first().copied()
    }

    fn told(&self, answer: Answer) -> Taken {
        redis::taken(self.window, answer)
    }

    /// Starts the task that tells Redis, once.
    fn start(self: &Arc<Self>) {
        let mut is_told = self.is_told.lock();
        if !*is_told {
            let task = tell(Arc::downgrade(self), self.ledger.clone(), self.remote.clone(), self.window, self.interval);
            *is_told = self.remote.beside(task);
        }
    }
}

/// Tells Redis what was used, again and again, and once more when nobody counts any more.
async fn tell(users: Weak<Delayed>, ledger: Arc<Ledger>, remote: Arc<Remote>, window: Window, interval: Duration) {
    let mut has_users = true;
    while has_users {
        tokio::time::sleep(interval).await;
        has_users = users.strong_count() > 0;
        let untold: Vec<(Digest, Quota)> = std::mem::take(&mut *ledger.untold.lock()).into_iter().collect();
        for batch in untold.chunks(BATCH) {
            let amounts: Vec<u64> = batch.iter().map(|(digest, _)| ledger.begin(*digest)).collect();
            let calls = batch.iter().zip(&amounts).map(|((_, quota), amount)| quota.call(*amount)).collect();
            let answers = remote.run(redis::flush(window), calls).await.unwrap_or_default();
            for (at, ((digest, quota), amount)) in batch.iter().zip(amounts).enumerate() {
                let now = plugin::Clock::System.steady().as_micros() as u64;
                // A key that there is no room for any more owes nothing either.
                let _ = ledger.settle_told(*digest, quota, amount, answers.get(at).copied(), now);
            }
        }
    }
}

impl Ledger {
    /// Whether a key may have something to be told.
    fn may_owe(&self, digest: Digest, quota: &Quota) -> bool {
        let mut untold = self.untold.lock();
        if untold.len() >= MAX_UNTOLD && !untold.contains_key(&digest) {
            return false;
        }
        untold.entry(digest).or_insert_with(|| quota.clone());
        true
    }

    fn take(&self, digest: Digest, quota: &Quota, cost: u64, now: u64) -> Result<Said, Full> {
        self.accounts.with(digest, now, |account| account.take(quota, cost, now))
    }

    /// What a key has to tell; it counts until the answer is there.
    fn begin(&self, digest: Digest) -> u64 {
        self.accounts.with_known(digest, 0, Account::begin).unwrap_or_default()
    }

    /// Takes in what Redis says, or that it says nothing: then the quota is this node's own for a window.
    fn settle(&self, digest: Digest, quota: &Quota, told: u64, answer: Option<Answer>, now: u64) -> Result<(), Full> {
        self.accounts.with(digest, now, |account| {
            let answer = answer.map(|answer| (answer.first as u64, answer.second));
            account.settle(told, answer, now);
            if answer.is_none() && account.until <= now {
                (account.remaining, account.until) = (quota.limit, now.saturating_add(quota.micros()));
            }
            account.forgotten = now.saturating_add(quota.micros().saturating_mul(2));
        })
    }

    /// The same for the task, which does not make a quota this node's own: only a request does.
    fn settle_told(
        &self,
        digest: Digest,
        quota: &Quota,
        told: u64,
        answer: Option<Answer>,
        now: u64,
    ) -> Result<(), Full> {
        if answer.is_none() && told > 0 {
            self.untold.lock().entry(digest).or_insert_with(|| quota.clone());
        }
        self.accounts.with(digest, now, |account| {
            account.settle(told, answer.map(|answer| (answer.first as u64, answer.second)), now);
        })
    }
}

impl Account {
    fn take(&mut self, quota: &Quota, cost: u64, now: u64) -> Said {
        if self.until <= now {
            self.forgotten = self.forgotten.max(now.saturating_add(quota.micros().saturating_mul(2)));
            return Said::Ask(self.begin());
        }
        let used = self.untold.saturating_add(self.telling);
        let left = self.remaining.checked_sub(used.saturating_add(cost));
        if left.is_some() {
            self.untold = self.untold.saturating_add(cost);
        }
        let reset = ((self.until - now) as f64 / MICROS * 100.0).floor() / 100.0;
        Said::Taken(Taken { remaining: left, reset })
    }

    fn begin(&mut self) -> u64 {
        let untold = std::mem::take(&mut self.untold);
        self.telling = self.telling.saturating_add(untold);
        self.has_overlap |= self.asking > 0;
        self.asking = self.asking.saturating_add(1);
        untold
    }

    /// `answer`: what is left, and for how many seconds.
    fn settle(&mut self, told: u64, answer: Option<(u64, f64)>, now: u64) {
        self.telling = self.telling.saturating_sub(told);
        self.asking = self.asking.saturating_sub(1);
        match answer {
            Some((remaining, seconds)) => {
                let is_known = self.until > now;
                self.remaining = if self.has_overlap && is_known { self.remaining.min(remaining) } else { remaining };
                self.until = now.saturating_add((seconds * MICROS) as u64);
            }
            None => self.untold = self.untold.saturating_add(told),
        }
        self.has_overlap &= self.asking > 0;
    }
}

impl Quota {
    fn call(&self, cost: u64) -> Call {
        Call { key: self.key.clone(), args: [cost, self.limit, self.seconds].iter().map(u64::to_string).collect() }
    }

    fn micros(&self) -> u64 {
        self.seconds.saturating_mul(MICROS as u64)
    }

    /// What a request gets that can be counted nowhere.
    fn own(&self) -> Taken {
        Taken { remaining: None, reset: self.seconds as f64 }
    }
}
