//! Buckets that are kept in Redis: each is one key and one step, by Redis' own clock.

use super::bucket::{Leak, Poured};
use crate::remote::{Answer, Call, Names, Script};
use std::sync::LazyLock;

/// What APISIX stores: thousandths of requests over the rate, and the millisecond of that. A bucket is kept until it is dry.
pub(super) static POUR: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
        local now = time[1] * 1000 + time[2] / 1000
        local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
        local known = redis.call('HMGET', KEYS[1], 'excess', 'last')
        local excess, last = tonumber(known[1]), tonumber(known[2])
        if excess and last then
            excess = math.max(excess - rate * math.max(now - last, 0) / 1000 + 1000, 0)
            if excess > burst then
                return {0, string.format('%.17g', excess), 0}
            end
            now = math.max(now, last)
        else
            excess = 0
        end
        redis.call('HSET', KEYS[1], 'excess', string.format('%.17g', excess), 'last', string.format('%.17g', now))
        redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(math.ceil((excess + 1000) / rate * 1000) + 1, 1e14)))
        return {1, string.format('%.17g', excess), 0}",
    )
});

/// What a request asks Redis.
pub(super) fn call(names: &Names, key: &[u8], leak: Leak) -> Call {
    let thousandths = |requests: f64| format!("{:e}", requests * 1000.0);
    let args = [leak.rate, leak.burst].into_iter().map(thousandths).collect();
    Call { key: names.key("", key), args }
}

pub(super) fn poured(answer: Answer, Leak { rate, burst }: Leak) -> Poured {
    let excess = answer.first / 1000.0;
    if answer.is_allowed { Poured::Within(excess / rate) } else { Poured::Over((excess - burst) / rate) }
}
