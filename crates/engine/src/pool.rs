use crate::h1::client::Client;
use foldhash::HashMap;
use std::{
    cell::RefCell,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Which connections are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolTarget {
    /// The upstream's address.
    pub addr: SocketAddr,
}

/// How long connections are kept.
#[derive(Debug, Clone, Copy)]
pub struct PoolLimits {
    /// Idle connections per target.
    pub size: usize,
    /// Time that one may be idle.
    pub idle_timeout: Duration,
    /// Requests that one may serve.
    pub requests: u64,
    /// Age that one may reach.
    pub lifetime: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { size: 320, idle_timeout: Duration::from_secs(60), requests: 1000, lifetime: Duration::from_secs(3600) }
    }
}

/// A connection between two exchanges.
#[derive(Debug)]
struct Idle {
    client: Box<Client>,
    until: Instant,
}

/// One worker's idle upstream connections. No task watches them: one is checked for death when it is taken.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<HashMap<PoolTarget, Vec<Idle>>>,
}

impl Pool {
    /// An idle connection that is still open and silent.
    pub fn take(&self, target: &PoolTarget) -> Option<Box<Client>> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(target)?;
        let now = crate::now();
        while let Some(Idle { client, until }) = stack.pop() {
            if now < until && client.is_silent() {
                return Some(client);
            }
        }
        None
    }

    /// Keeps a connection for the next request, if it may serve one.
    pub fn put(&self, target: PoolTarget, mut client: Box<Client>, limits: &PoolLimits) {
        let now = crate::now();
        if !client.is_reusable() || client.requests >= limits.requests || now - client.born >= limits.lifetime {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let stack = idle.entry(target).or_default();
        if stack.len() >= limits.size {
            return;
        }
        client.shrink();
        let until = (now + limits.idle_timeout).min(client.born + limits.lifetime);
        stack.push(Idle { client, until });
    }

    /// Closes what has been idle for too long or was closed by its upstream. Called about once a second.
    pub fn sweep(&self) {
        let now = crate::now();
        self.idle.borrow_mut().retain(|_, stack| {
            stack.retain(|idle| now < idle.until && idle.client.is_silent());
            !stack.is_empty()
        });
    }
}
