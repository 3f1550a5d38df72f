use super::rules::{Limit, Verdict};
use parking_lot::Mutex;
use std::{
    net::IpAddr,
    sync::atomic::{AtomicU8, Ordering},
};

/// What a node is held to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It answers.
    Healthy,
    /// It answers, with failures among it.
    MostlyHealthy,
    /// It does not answer, with successes among it.
    MostlyUnhealthy,
    /// It does not answer.
    Unhealthy,
}

impl State {
    /// As APISIX writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::MostlyHealthy => "mostly_healthy",
            Self::MostlyUnhealthy => "mostly_unhealthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// Whether requests go there.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Healthy | Self::MostlyHealthy)
    }

    fn of(number: u8) -> Self {
        match number {
            0 => Self::Healthy,
            1 => Self::MostlyHealthy,
            2 => Self::MostlyUnhealthy,
            _ => Self::Unhealthy,
        }
    }
}

/// What was seen of a node since the other thing was seen: either successes or failures are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named as the control API names them
pub struct Counts {
    pub success: u8,
    pub http_failure: u8,
    pub tcp_failure: u8,
    pub timeout_failure: u8,
}

/// Something that is checked: a node, seen through the port and host that its checks name.
#[derive(Debug)]
pub struct Target {
    /// Address or name.
    pub host: Box<str>,
    /// Its address, unless the host is a name.
    pub ip: Option<IpAddr>,
    /// The port that is checked.
    pub port: u16,
    /// The name that it is known by: the host that the checks name, else its own.
    pub hostname: Box<str>,
    /// The `Host` of checks, when it is not the name.
    pub host_header: Option<Box<str>>,
    state: AtomicU8,
    counts: Mutex<Counts>,
    /// Where the name led to last.
    pub(super) found: Mutex<Option<IpAddr>>,
}

impl Target {
    pub(super) fn new(
        host: Box<str>,
        ip: Option<IpAddr>,
        port: u16,
        hostname: Box<str>,
        host_header: Option<Box<str>>,
    ) -> Self {
        Self {
            host,
            ip,
            port,
            hostname,
            host_header,
            state: AtomicU8::new(State::Healthy as u8),
            counts: Mutex::default(),
            found: Mutex::new(None),
        }
    }

    /// Its address; its name as long as nobody has resolved it.
    pub fn shown_host(&self) -> String {
        let found = self.ip.is_none().then(|| *self.found.lock()).flatten();
        found.map_or_else(|| self.host.to_string(), |ip| ip.to_string())
    }

    /// What it is held to be.
    pub fn state(&self) -> State {
        State::of(self.state.load(Ordering::Acquire))
    }

    /// Whether requests go there.
    pub fn is_usable(&self) -> bool {
        self.state().is_usable()
    }

    /// What was seen of it.
    pub fn counts(&self) -> Counts {
        *self.counts.lock()
    }

    /// Counts something that was seen, `limit` of which decide. Says what the state was before, if it is another one now.
    pub(super) fn count(&self, verdict: Verdict, limit: Limit) -> Option<(State, State)> {
        if limit.0 == 0 {
            return None;
        }
        let is_good = verdict == Verdict::Success;
        let mut counts = self.counts.lock();
        let before = self.state();
        if before == if is_good { State::Healthy } else { State::Unhealthy } {
            return None;
        }
        let counter = match verdict {
            Verdict::Success => &mut counts.success,
            Verdict::HttpFailure => &mut counts.http_failure,
            Verdict::TcpFailure => &mut counts.tcp_failure,
            Verdict::Timeout => &mut counts.timeout_failure,
        };
        *counter = counter.saturating_add(1);
        let is_enough = u32::from(*counter) >= limit.0;
        if is_good {
            *counts = Counts { success: counts.success, ..Counts::default() };
        } else {
            counts.success = 0;
        }
        let after = match (before, is_enough) {
            (_, true) if is_good => State::Healthy,
            (_, true) => State::Unhealthy,
            (State::Healthy, false) => State::MostlyHealthy,
            (State::Unhealthy, false) => State::MostlyUnhealthy,
            (other, false) => other,
        };
        self.state.store(after as u8, Ordering::Release);
        (after != before).then_some((before, after))
    }
}
