use crate::{
    h1::client::Client,
    tls::{Secure, TlsId},
};
use foldhash::HashMap;
use std::{
    cell::RefCell,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Which connections are kept together. Those over TLS are alike only if the server was asked for by the same name, too: that may
/// be a name that clients choose, so all of them share the room that there is for one upstream's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Target {
    addr: SocketAddr,
    settings: Option<TlsId>,
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
    idle: RefCell<HashMap<Target, Vec<Idle>>>,
}

impl Pool {
    /// An idle connection to this address that is still open and silent. Over TLS only one that was made with the same settings
    /// and for the same name: another one may have shown who somebody else is, or have been believed without a look.
    pub fn take(&self, addr: SocketAddr, secure: Option<Secure<'_>>) -> Option<Box<Client>> {
        let target = Target { addr, settings: secure.map(|secure| secure.settings.id()) };
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(&target)?;
        let now = crate::now();
        loop {
            let Idle { mut client, until } = match secure {
                None => stack.pop()?,
                Some(secure) => {
                    let is_same = |idle: &Idle| idle.client.secured().is_some_and(|(_, name)| name == secure.name);
                    let at = stack.iter().rposition(is_same)?;
                    stack.remove(at)
                }
            };
            if now < until && client.is_silent() {
                return Some(client);
            }
        }
    }

    /// Keeps a connection to this address for the next request, if it may serve one.
    pub fn put(&self, addr: SocketAddr, mut client: Box<Client>, limits: &PoolLimits) {
        let now = crate::now();
        if !client.is_reusable() || client.requests >= limits.requests || now - client.born >= limits.lifetime {
            return;
        }
        let target = Target { addr, settings: client.secured().map(|(settings, _)| settings) };
        let mut idle = self.idle.borrow_mut();
        let stack = idle.entry(target).or_default();
        if stack.len() >= limits.size {
            if target.settings.is_none() || stack.is_empty() {
                return;
            }
            // The oldest may be for a name that nobody asks for any more.
            stack.remove(0);
        }
        client.shrink();
        let until = (now + limits.idle_timeout).min(client.born + limits.lifetime);
        stack.push(Idle { client, until });
    }

    /// Closes what has been idle for too long or was closed by its upstream. Called about once a second.
    pub fn sweep(&self) {
        let now = crate::now();
        self.idle.borrow_mut().retain(|_, stack| {
            stack.retain_mut(|idle| now < idle.until && idle.client.is_silent());
            !stack.is_empty()
        });
    }
}
