//! Places that are kept in Redis: a set of the requests that run, each with the time at which it is forgotten, by Redis' own clock.

use crate::remote::{Call, Remote, Script};
use std::sync::{Arc, LazyLock};
use tokio::sync::watch;

/// As APISIX stores it. A request that never ended, because its gateway died, is forgotten after `key_ttl`.
pub(super) static ENTER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local now = tonumber(redis.call('TIME')[1])
        local out = {}
        for i, key in ipairs(KEYS) do
            local most, ttl, request = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), ARGV[3 * i]
            redis.call('ZREMRANGEBYSCORE', key, 0, now)
            local running = redis.call('ZCARD', key)
            local is_allowed = running < most and 1 or 0
            if is_allowed == 1 then
                running = running + redis.call('ZADD', key, now + ttl, request)
                redis.call('EXPIRE', key, ttl)
            end
            out[#out + 1] = is_allowed
            out[#out + 1] = running
            out[#out + 1] = 0
            if is_allowed == 0 then break end
        end
        return out",
    )
});

static LEAVE: LazyLock<Script> = LazyLock::new(|| Script::new("return {1, redis.call('ZREM', KEYS[1], ARGV[1]), 0}"));

/// A request's place, whether Redis has noted it or not; dropping it gives it back.
pub(super) struct RemotePlace {
    remote: Arc<Remote>,
    key: Vec<u8>,
    request: Option<String>,
    /// Closed when Redis has answered: before that there may be nothing to give back yet.
    entered: watch::Receiver<()>,
}

impl RemotePlace {
    pub(super) fn new(remote: &Arc<Remote>, key: Vec<u8>, request: &str, entered: watch::Receiver<()>) -> Self {
        Self { remote: remote.clone(), key, request: Some(request.to_owned()), entered }
    }

    /// What the request asks Redis.
    pub(super) fn call(&self, most: u64, ttl: u64) -> Call {
        let request = self.request.clone().unwrap_or_default();
        Call { key: self.key.clone(), args: [most.to_string(), ttl.to_string(), request].into() }
    }

    /// Takes note that Redis has refused it.
    pub(super) fn forget(&mut self) {
        self.request = None;
    }
}

impl Drop for RemotePlace {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            let call = Call { key: std::mem::take(&mut self.key), args: [request].into_iter().collect() };
            let mut entered = self.entered.clone();
            // Nothing is ever sent, so that it ends with the other side.
            self.remote.give_back(&LEAVE, call, async move { while entered.changed().await.is_ok() {} });
        }
    }
}
